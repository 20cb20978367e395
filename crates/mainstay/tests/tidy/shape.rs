//! Rules about single Rust files: heads, lengths, unsafe code, tests.

use super::paths::named;
use super::source::item_below;
use super::tree::{File, Finding, Tree};

/// Longest file without its tests, lines.
const FILE: usize = 600;
/// Longest body of a function, lines.
const FUNCTION: usize = 80;
/// The only crate with unsafe code.
const UNSAFE_HOME: &str = "crates/mainstay-os/";
/// Where waiting is done for all tests, and where it is the thing measured.
const MAY_SLEEP: &[&str] = &["e2e/src/harness/", "e2e/src/load/", "bench/"];

pub(crate) fn heads(tree: &Tree) -> Vec<Finding> {
    let headless = tree.sources().filter(|file| !file.text.starts_with("//! "));
    headless.map(|file| file.finding(1, "does not begin with //! and what the file is")).collect()
}

pub(crate) fn lengths_of_files(tree: &Tree) -> Vec<Finding> {
    let lengths = tree
        .sources()
        .filter(|file| !file.is_test)
        .map(|file| (file, file.test_begin().min(file.text.lines().count() + 1) - 1));
    let long = lengths.filter(|(_, lines)| *lines > FILE);
    long.map(|(file, lines)| file.finding(1, format!("{lines} lines, at most {FILE}"))).collect()
}

pub(crate) fn lengths_of_functions(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.sources() {
        for (line, name, length) in functions(file) {
            if line < file.test_begin() && length > FUNCTION {
                let what = format!("fn {name} has {length} lines, at most {FUNCTION}");
                found.push(file.finding(line, what));
            }
        }
    }
    found
}

/// Line, name and length of the body of each function, by matching braces.
fn functions(file: &File) -> Vec<(usize, String, usize)> {
    let code = file.source.as_ref().map_or("", |source| &source.code);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let is_word =
            code[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let rest = &code[at + 3..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if let (true, false, Some(length)) = (is_word, name.is_empty(), body_length(rest)) {
            let line = code[..at].matches('\n').count() + 1;
            found.push((line, name, length));
        }
    }
    found
}

/// Lines between the braces of the body of a function whose text begins here; `None` for one
/// without a body.
fn body_length(text: &str) -> Option<usize> {
    let (mut depth, mut brackets, mut begin) = (0_usize, 0_isize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if depth == 0 && brackets == 0 => return None,
            '{' => {
                depth += 1;
                if depth == 1 {
                    begin = at;
                }
            }
            '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(text[begin..at].matches('\n').count().saturating_sub(1));
                }
            }
            _ => {}
        }
    }
    None
}

/// The lines of code of a file, counted from 1.
fn lines(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let code = file.source.as_ref().map_or("", |source| &source.code);
    code.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// Whether `word` stands in `line` as a word of its own.
fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

pub(crate) fn unsafe_elsewhere(tree: &Tree) -> Vec<Finding> {
    let files = tree.sources().filter(|file| !file.path.starts_with(UNSAFE_HOME));
    files
        .flat_map(|file| {
            let at = lines(file).filter(|(_, line)| has_word(line, "unsafe"));
            at.map(|(line, _)| file.finding(line, "unsafe code belongs into mainstay-os"))
        })
        .collect()
}

pub(crate) fn unsafe_without_reason(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.sources() {
        let text: Vec<&str> = file.text.lines().collect();
        for (line, code) in lines(file) {
            let block = code.split("unsafe").skip(1).map(str::trim_start);
            let asks =
                block.into_iter().any(|rest| rest.starts_with('{') || rest.starts_with("impl "));
            if asks && !has_reason(&text, line) {
                found.push(file.finding(line, "unsafe without a SAFETY comment above it"));
            }
        }
    }
    found
}

/// Whether the comment above the statement in `line` (counted from 1) gives a reason.
fn has_reason(text: &[&str], line: usize) -> bool {
    let mut above = text[..line - 1].iter().rev().map(|line| line.trim()).peekable();
    // Up to the beginning of the statement …
    while let Some(code) = above.peek() {
        if code.starts_with("//") || code.is_empty() || code.ends_with([';', '{', '}']) {
            break;
        }
        above.next();
    }
    // … and then through its comment.
    above.take_while(|line| line.starts_with("//")).any(|line| line.starts_with("// SAFETY:"))
}

pub(crate) fn attributes_of_tests(tree: &Tree) -> Vec<Finding> {
    const REFUSED: &[(&str, &str)] = &[
        ("#[ignore]", "an ignored test needs a reason: #[ignore = \"…\"]"),
        ("#[should_panic", "catch the failure and look at it"),
    ];
    let mut found = Vec::new();
    for file in tree.sources() {
        for (line, code) in lines(file) {
            let refused = REFUSED.iter().filter(|(attribute, _)| code.contains(attribute));
            found.extend(refused.map(|(_, why)| file.finding(line, *why)));
        }
    }
    found
}

pub(crate) fn names_of_tests(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.sources() {
        let code: Vec<&str> = lines(file).map(|(_, code)| code).collect();
        let tests = (0..code.len()).filter(|index| code[*index].trim() == "#[test]");
        let named = tests.filter(|index| {
            item_below(&code, *index).is_some_and(|item| item.contains("fn test_"))
        });
        found
            .extend(named.map(|index| file.finding(index + 1, "a test is named by what it shows")));
    }
    found
}

pub(crate) fn sleeps_in_tests(tree: &Tree) -> Vec<Finding> {
    const SLEEPS: &[&str] =
        &["std::thread::sleep", "tokio::time::sleep", "tokio::time::sleep_until"];
    let mut found = Vec::new();
    for file in tree.sources() {
        if MAY_SLEEP.iter().any(|place| file.path.starts_with(place)) {
            continue;
        }
        for named in named(file).into_iter().filter(|named| named.line >= file.test_begin()) {
            if SLEEPS.contains(&named.path.as_str()) {
                found.push(file.finding(named.line, "wait for a condition with a deadline"));
            }
        }
    }
    found
}
