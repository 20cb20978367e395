//! Fail2ban's own judge of filters, `fail2ban-regex` of Debian. Its server is not started.

use super::{find, missing};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The lines of a log that a filter matches, each with the address that Fail2ban would ban for it. `filter` is
/// one of this repository, such as `mainstay[mode=login]`, or one that comes with Fail2ban. None where it is
/// not installed.
///
/// # Panics
/// When it cannot read the filter.
#[must_use]
pub fn fail2ban(log: &Path, filter: &str) -> Option<Vec<(String, String)>> {
    let Some(program) = find("fail2ban-regex") else {
        missing("fail2ban-regex");
        return None;
    };
    let name = filter.split('[').next().unwrap_or(filter);
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/fail2ban/filter.d");
    let options = filter.strip_prefix(name).unwrap_or_default();
    let ours: PathBuf = ours.join(format!("{name}.conf"));
    let filter =
        if ours.exists() { format!("{}{options}", ours.display()) } else { filter.to_owned() };
    // Addresses as they are, and nobody is asked for names.
    let mut command = Command::new(program);
    command.args(["--raw", "--usedns=no", "--encoding=utf-8", "--out", "<ip> <matches>"]);
    let output = command.arg(log).arg(&filter).output().expect("a program that was found");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some_and(|it| it < 2), "{filter}: {text}{said}");
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let lines = lines.map(|line| {
        let (ip, line) = line.split_once(' ').unwrap_or_else(|| panic!("{line}"));
        (ip.to_owned(), line.to_owned())
    });
    Some(lines.collect())
}
