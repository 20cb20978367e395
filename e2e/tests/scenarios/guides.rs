//! What the guides tell people to set: each file and each set of variables is a good configuration.

use crate::support::*;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The blocks of this kind in a page.
fn blocks<'a>(page: &'a str, kind: &str) -> Vec<&'a str> {
    let begin = format!("```{kind}\n");
    let behind = page.split(begin.as_str()).skip(1);
    behind.filter_map(|it| it.split_once("```").map(|(block, _)| block)).collect()
}

/// The text with a file of ours for each secret that it names.
fn with_secrets(text: &str, place: &Path) -> String {
    let begin = "/run/secrets/";
    for name in text.split(begin).skip(1) {
        let end = name.find(|it: char| !it.is_ascii_alphanumeric() && it != '-');
        let name = &name[..end.unwrap_or(name.len())];
        let content = match name {
            it if it.contains("receivers") => {
                "ops=https://hooks.example/shop a-key-of-20-letters-\n"
            }
            it if it.contains("heartbeat") => "https://checks.example/ping/1\n",
            "api" => "Authorization=Bearer%20a-key\n",
            _ => "a-key\n",
        };
        fs::write(place.join(name), content).expect("a file");
    }
    text.replace(begin, &format!("{}/", place.display()))
}

/// The program's `check`, in a directory of its own.
fn check(place: &Path) -> Command {
    let mut command = Command::new(mainstay());
    command.arg("check").current_dir(place);
    command
}

fn is_good(command: &mut Command, of: &str) {
    let output = command.output().expect("the program has been built");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{of}\n{said}");
}

/// The variables of a block that does nothing but export some, for the service and nobody else.
fn variables(block: &str) -> Option<Vec<(String, String)>> {
    let mut all = Vec::new();
    for line in block.lines() {
        let line = line.strip_prefix("$ export ")?;
        let (assignments, comment) = line.split_once(" #").unwrap_or((line, ""));
        if comment.contains("for the Agent") {
            return None;
        }
        for assignment in assignments.split_whitespace() {
            let (name, value) = assignment.split_once('=')?;
            all.push((name.to_owned(), value.trim_matches('"').to_owned()));
        }
    }
    Some(all)
}

#[test]
fn every_file_and_every_variable_of_the_guides_is_a_good_configuration() {
    let _together = together();
    let place = tempfile::tempdir().expect("a temporary directory");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut seen = (0, 0);
    for entry in fs::read_dir(docs).expect("the guides") {
        let path = entry.expect("an entry").path();
        let Ok(page) = fs::read_to_string(&path) else { continue };
        // Another configuration, or a file of cargo.
        for block in blocks(&page, "toml").into_iter().filter(|it| !it.contains("[dependencies]")) {
            let file = place.path().join("guide.toml");
            fs::write(&file, with_secrets(block, place.path())).expect("a file");
            let of = format!("{}:\n{block}", path.display());
            is_good(check(place.path()).arg("-c").arg(&file), &of);
            seen.0 += 1;
        }
        for set in blocks(&page, "console").into_iter().filter_map(variables) {
            let set = set.into_iter();
            let set: Vec<_> =
                set.map(|(name, value)| (name, with_secrets(&value, place.path()))).collect();
            let of = format!("{}: {set:?}", path.display());
            is_good(check(place.path()).envs(set), &of);
            seen.1 += 1;
        }
    }
    say(format_args!("{} files and {} sets of variables", seen.0, seen.1));
    assert!(seen.0 >= 8 && seen.1 >= 12, "the guides have them: {seen:?}");
}
