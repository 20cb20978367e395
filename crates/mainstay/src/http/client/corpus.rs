//! Reads the corpora in `tests/corpus`, for tests alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The lines of all files with this ending in a directory of the corpus, each with its file's name;
/// without comments, which begin with `#`, and without empty lines.
pub(crate) fn lines(directory: &str, ending: &str) -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(directory);
    let entries = fs::read_dir(&directory).expect("the corpus is part of the tree");
    let names: BTreeSet<String> = entries
        .map(|entry| {
            entry.expect("a readable directory").file_name().to_string_lossy().into_owned()
        })
        .filter(|name| name.ends_with(ending))
        .collect();
    let mut lines = Vec::new();
    for name in names {
        let text = fs::read_to_string(directory.join(&name)).expect("a file of the corpus is text");
        let kept = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.extend(kept.map(|line| (name.clone(), line.to_owned())));
    }
    lines
}

/// The bytes that a text of the corpus stands for: `\r`, `\n`, `\t`, `\s` (a blank), `\\`, `\xHH` for any
/// byte, and `\*N,HH` for N times a byte; everything else for itself.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut parts = text.split('\\');
    bytes.extend(parts.next().unwrap_or_default().bytes());
    while let Some(part) = parts.next() {
        let hex = |text: &str| u8::from_str_radix(text, 16).expect("two digits");
        let mut rest = part.get(1..).unwrap_or_default();
        match part.as_bytes().first() {
            Some(b'r') => bytes.push(b'\r'),
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(b's') => bytes.push(b' '),
            Some(b'x') => {
                bytes.push(hex(&rest[..2]));
                rest = &rest[2..];
            }
            Some(b'*') => {
                let (count, byte) = rest.split_once(',').expect("a count and a byte");
                bytes.extend(vec![hex(&byte[..2]); count.parse().expect("a count")]);
                rest = &byte[2..];
            }
            None => {
                bytes.push(b'\\');
                rest = parts.next().unwrap_or_default();
            }
            _ => panic!("no escape: \\{part}"),
        }
        bytes.extend(rest.bytes());
    }
    bytes
}
