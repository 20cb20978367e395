//! Instructions by the processor's own counters, where `perf` is allowed to read them.

use std::process::{Command, Stdio};

use crate::{
    Fallible,
    measure::PROCESSES,
    roles::{ROLE, Role},
    servers::Program,
};

const EVENT: &str = "instructions:u";

/// Whether `perf` is there and can count. Its exit code is 0 even where it cannot.
pub(crate) fn is_usable() -> bool {
    let told = Command::new("perf").args(["stat", "-x,", "-e", EVENT, "true"]).output();
    told.is_ok_and(|output| parse(&String::from_utf8_lossy(&output.stderr), EVENT).is_some())
}

/// What all processes of `program` spend in user mode on this many requests.
///
/// # Errors
/// When the server does not start, a request fails, or `perf` reports no number.
pub(crate) fn instructions(program: &Program, requests: u64) -> Fallible<u64> {
    let server = program.start(PROCESSES, None)?;
    let pids: Vec<String> = server.all.iter().map(u32::to_string).collect();
    // perf counts the server from before the first request to after the last: it attaches, then
    // runs the load as its command.
    let output = Command::new("perf")
        .args(["stat", "-x,", "-e", EVENT, "-p", &pids.join(","), "--"])
        .arg(std::env::current_exe()?)
        .args([server.address.to_string(), requests.to_string()])
        .env(ROLE, Role::Load.name())
        .stdout(Stdio::null())
        .output()?;
    server.stop()?;
    let told = String::from_utf8_lossy(&output.stderr);
    match parse(&told, EVENT) {
        Some(count) if output.status.success() => Ok(count),
        _ => Err(format!("perf did not count: {told}").into()),
    }
}

/// The count in perf's comma-separated form, `12345,,instructions:u,…`.
fn parse(told: &str, event: &str) -> Option<u64> {
    let mut lines = told.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let count = lines.find(|fields| fields.get(2) == Some(&event))?.first()?.parse().ok()?;
    // Some virtual machines offer a counter that stands still.
    (count > 0).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_among_other_lines() {
        let told = "a word of warning\n123456,,instructions:u,1000,100.00,,\n";
        assert_eq!(parse(told, EVENT), Some(123_456));
    }

    #[test]
    fn a_counter_that_is_refused_is_no_count() {
        assert_eq!(parse("<not supported>,,instructions:u,0,100.00,,\n", EVENT), None);
        assert_eq!(parse("0,,instructions:u,1000,100.00,,\n", EVENT), None);
        assert_eq!(parse("", EVENT), None);
    }
}
