//! Rules about texts of any kind: open ends, paths of one machine, links, and what the documents
//! promise.

use super::tree::{File, Finding, Tree};

/// Files that there must be, each with words that must stand in it.
pub(crate) const PROMISES: &[(&str, &str)] = &[
    ("README.md", "cargo run --release -- serve"),
    ("README.md", "cargo test --workspace"),
    (".ci/run", "cargo test --workspace"),
    ("CHANGELOG.md", "## [Unreleased]"),
    ("ARCHITECTURE.md", "## Invariants"),
    ("CONTRIBUTING.md", ""),
    ("SECURITY.md", ""),
    ("LICENSE-MIT", ""),
    ("LICENSE-APACHE", ""),
    ("clippy.toml", "disallowed-methods"),
    ("deny.toml", "[licenses]"),
    ("docs/README.md", ""),
    ("docs/operating.md", ""),
    ("docs/config.md", ""),
    ("docs/events.md", ""),
];

/// What of `promises` the tree does not keep.
pub(crate) fn broken_promises(tree: &Tree, promises: &[(&str, &str)]) -> Vec<String> {
    let broken = promises.iter().filter(|(path, words)| {
        let file = tree.files.iter().find(|file| file.path == *path);
        let read = file.is_some_and(|file| file.text.contains(words));
        // Of a file that is not read only the name counts.
        !read && (file.is_some() || !words.is_empty() || !tree.paths.contains(*path))
    });
    broken.map(|(path, words)| format!("{path}: {words:?}")).collect()
}

fn lines(file: &File) -> impl Iterator<Item = (usize, &str)> {
    file.text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

pub(crate) fn open_ends(tree: &Tree) -> Vec<Finding> {
    // Taken apart, so that this very file is none of its findings.
    const MARKS: &[&str] =
        &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("todo", "!")];
    let mut found = Vec::new();
    for file in &tree.files {
        for (line, text) in lines(file) {
            let mut words = text.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '!'));
            if words.any(|word| MARKS.contains(&word)) {
                found.push(file.finding(line, "an open end: do it, or write an issue"));
            }
        }
    }
    found
}

pub(crate) fn paths_of_a_machine(tree: &Tree) -> Vec<Finding> {
    const PLACES: &[&str] = &[
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/tm", "p/"),
    ];
    let mut found = Vec::new();
    for file in &tree.files {
        for (line, text) in lines(file) {
            let place = PLACES.iter().find(|place| {
                text.match_indices(**place).any(|(at, _)| {
                    // Behind a name it is a part of some other path.
                    let before = text[..at].chars().next_back();
                    before
                        .is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '.' | '_' | '-' | '}'))
                })
            });
            found.extend(
                place.map(|place| file.finding(line, format!("{place} is a path of some machine"))),
            );
        }
    }
    found
}

pub(crate) fn dead_links(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        let mut fenced = false;
        for (line, text) in lines(file) {
            if text.trim_start().starts_with("```") {
                fenced = !fenced;
            }
            let targets = links(text).filter(|_| !fenced);
            let dead = targets.filter(|target| !tree.paths.contains(&resolved(&file.path, target)));
            found.extend(dead.map(|target| file.finding(line, format!("{target} leads nowhere"))));
        }
    }
    found
}

/// Rows of the table of proofs without a test: `[its name](its file)`.
pub(crate) fn missing_proofs(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for page in tree.files.iter().filter(|file| file.path == "docs/proofs.md") {
        let rows = lines(page).filter(|(_, text)| text.starts_with("| "));
        for (line, row) in rows.filter(|(_, row)| !row.ends_with("| the test |")) {
            let link = row.rsplit_once("](").and_then(|(before, target)| {
                let name = before.rsplit_once('[')?.1;
                Some((name, resolved(&page.path, target.split(')').next()?)))
            });
            let is_there = link.as_ref().is_some_and(|(name, path)| {
                let test = format!("#[test]\nfn {name}(");
                tree.files.iter().any(|file| file.path == *path && file.text.contains(&test))
            });
            if !is_there {
                found.push(page.finding(line, "no test shows it"));
            }
        }
    }
    found
}

/// Pages with Rust in them that no source takes in as documentation, so that no compiler reads it.
pub(crate) fn uncompiled_examples(tree: &Tree) -> Vec<Finding> {
    let taken: Vec<String> = tree
        .files
        .iter()
        .filter(|file| file.path.ends_with(".rs"))
        .flat_map(|file| {
            let after = file.text.split("#[doc = include_str!(\"").skip(1);
            after.filter_map(|rest| Some(resolved(&file.path, rest.split('"').next()?)))
        })
        .collect();
    let mut found = Vec::new();
    for page in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        let first = lines(page).find(|(_, text)| text.starts_with("```rust"));
        let read = first.filter(|_| !taken.contains(&page.path));
        found.extend(read.map(|(line, _)| page.finding(line, "nobody compiles it")));
    }
    found
}

/// The targets of a line's relative links, without their anchors.
fn links(line: &str) -> impl Iterator<Item = &str> {
    // What stands between backquotes is no link.
    line.split('`').step_by(2).flat_map(|text| {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let targets = targets.map(|target| target.split('#').next().unwrap_or_default());
        targets.filter(|target| !target.is_empty() && !target.contains(':'))
    })
}

/// A link of the file `from` as a path from the root.
fn resolved(from: &str, target: &str) -> String {
    let mut names: Vec<&str> = from.split('/').collect();
    names.pop();
    for name in target.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join("/")
}

pub(crate) fn dependencies_of_the_floor(tree: &Tree) -> Vec<Finding> {
    const MAY: &[&str] = &["libc", "loom", "rustix"];
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| file.path == "crates/mainstay-os/Cargo.toml") {
        let mut counts = false;
        for (line, text) in lines(file) {
            if text.starts_with('[') {
                counts = text.ends_with("dependencies]") && !text.contains("dev-");
            } else if let (true, Some((name, _))) = (counts, text.split_once(['.', ' ', '='])) {
                let refused = !name.starts_with('#') && !MAY.contains(&name);
                found.extend(
                    refused.then(|| file.finding(line, format!("{name} is not for mainstay-os"))),
                );
            }
        }
    }
    found
}
