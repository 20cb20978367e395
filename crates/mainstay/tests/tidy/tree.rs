//! The files of the repository, read once.

use super::source::{self, Source};
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

/// Directories that hold nothing of ours.
const SKIPPED: &[&str] = &["target", ".git", "node_modules"];
/// Files that are read; of others only the name counts.
const READ: &[&str] = &["rs", "md", "toml", "yml", "yaml", "sh", "html", "css", "js", "service"];

/// One file.
#[derive(Debug)]
pub(crate) struct File {
    /// From the root of the repository, with `/` between names.
    pub(crate) path: String,
    pub(crate) text: String,
    /// What it is as a source; `None` for other files.
    pub(crate) source: Option<Source>,
    /// All of it is test code.
    pub(crate) is_test: bool,
}

/// All files.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
    /// Every path there is, those of directories and of files that are not read included.
    pub(crate) paths: BTreeSet<String>,
}

/// A place where a rule is broken.
#[derive(Debug)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

impl File {
    /// A finding in this file; lines are counted from 1.
    pub(crate) fn finding(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, what: what.into() }
    }

    /// The first line of its test code; one behind the last when it has none.
    pub(crate) fn test_begin(&self) -> usize {
        match &self.source {
            _ if self.is_test => 1,
            Some(source) => source.test_begin,
            None => usize::MAX,
        }
    }
}

impl Tree {
    /// The repository that this crate stands in.
    pub(crate) fn of_repository() -> Tree {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut found = Vec::new();
        let mut paths = BTreeSet::new();
        walk(&root, "", &mut found, &mut paths);
        Tree::new(found, paths)
    }

    /// A made-up repository.
    pub(crate) fn of_samples(samples: &[(&str, &str)]) -> Tree {
        let files = samples.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
        Tree::new(files, samples.iter().map(|(path, _)| (*path).into()).collect())
    }

    fn new(found: Vec<(String, String)>, paths: BTreeSet<String>) -> Tree {
        let mut files: Vec<File> = found
            .into_iter()
            .map(|(path, text)| {
                let source = path.ends_with(".rs").then(|| Source::read(&text));
                File { is_test: path.contains("/tests/"), path, text, source }
            })
            .collect();
        let modules: Vec<String> = files.iter().flat_map(test_modules).collect();
        for file in &mut files {
            file.is_test |= modules.iter().any(|module| {
                let rest = file.path.strip_prefix(module.as_str());
                rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            });
        }
        Tree { files, paths }
    }

    /// The files that are Rust.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.source.is_some())
    }
}

/// The modules that a file declares for tests alone, as paths without `.rs`.
fn test_modules(file: &File) -> Vec<String> {
    let Some(source) = &file.source else { return Vec::new() };
    let folder = match file.path.rsplit_once('/') {
        Some((folder, "lib.rs" | "main.rs" | "mod.rs")) => folder,
        _ => file.path.trim_end_matches(".rs"),
    };
    source::test_modules(&source.code).map(|name| format!("{folder}/{name}")).collect()
}

fn walk(
    directory: &Path,
    prefix: &str,
    found: &mut Vec<(String, String)>,
    paths: &mut BTreeSet<String>,
) {
    let entries = fs::read_dir(directory).expect("the repository can be read");
    for entry in entries {
        let entry = entry.expect("the repository can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        paths.insert(path.clone());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), &path, found, paths);
        } else if path == ".ci/run" || READ.iter().any(|ending| has_ending(&name, ending)) {
            let text = fs::read_to_string(entry.path()).expect("sources and documents are text");
            found.push((path, text));
        }
    }
}

fn has_ending(name: &str, ending: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, last)| last == ending)
}
