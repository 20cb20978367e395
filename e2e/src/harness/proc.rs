//! What the system says about processes, read from `/proc`.

use rustix::process::Pid;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// The living direct children of a process.
#[must_use]
pub fn children(parent: Pid) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers
        .filter_map(Pid::from_raw)
        .filter(|pid| {
            stat(*pid).is_some_and(|(state, p)| state != 'Z' && p == parent.as_raw_nonzero().get())
        })
        .collect()
}

/// The living children of a process, theirs, and so on.
#[must_use]
pub fn descendants(ancestor: Pid) -> Vec<Pid> {
    let mut found = children(ancestor);
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children(*pid));
        next += 1;
    }
    found
}

/// Whether the process exists and is no zombie. (In a container without an
/// init, nobody reaps an orphan.)
#[must_use]
pub fn is_alive(pid: Pid) -> bool {
    stat(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// Resident memory of a process in bytes; nothing when it is gone.
#[must_use]
pub fn rss_bytes(pid: Pid) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// Inode of the program that the process runs: it changes with an exec of a
/// new copy, although the process id stays.
#[must_use]
pub fn program_inode(pid: Pid) -> Option<u64> {
    Some(fs::metadata(format!("/proc/{pid}/exe")).ok()?.ino())
}

/// State letter and parent.
fn stat(pid: Pid) -> Option<(char, i32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, even a parenthesis.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
