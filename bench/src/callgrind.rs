//! Instructions by callgrind, which needs no processor counters and nobody's permission.
//!
//! Only serving processes run under it: a supervisor needs system calls (pidfds) that many
//! installed valgrinds do not know. A worker is started by its supervisor, so it has to step under
//! callgrind itself: [`step_under`] replaces it, under the same pid and with the same descriptors.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    Fallible, measure,
    roles::Role,
    servers::{PROGRAM, Program},
};

/// The variable that names the directory for callgrind's files, and asks for callgrind.
pub(crate) const RESULTS: &str = "BENCH_CALLGRIND";

/// The variable by which mainstay tells a process what it is, in JSON.
const MAINSTAY_ROLE: &str = "MAINSTAY_ROLE";

/// Whether valgrind is there.
pub(crate) fn is_usable() -> bool {
    let told = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    told.is_ok_and(|status| status.success())
}

/// What the one worker of `program` executes from its start to its end, with this many requests.
///
/// # Errors
/// When the server does not start or stop under callgrind, or a request fails.
pub(crate) fn instructions(program: &Program, requests: u64) -> Fallible<u64> {
    let results = tempfile::tempdir()?;
    let server = program.start(1, Some(results.path()))?;
    measure::exactly(server.address, requests)?;
    let workers = server.workers.clone();
    server.stop()?;
    workers.iter().map(|pid| total(&results.path().join(pid.to_string()))).sum()
}

/// Goes on as the same program under callgrind, if this process is to serve and is to be counted;
/// otherwise returns at once.
///
/// # Errors
/// When valgrind cannot be executed. With success, it does not return.
pub(crate) fn step_under() -> Fallible<()> {
    let Some(results) = std::env::var_os(RESULTS) else { return Ok(()) };
    let told = std::env::var(MAINSTAY_ROLE).ok().and_then(|text| text.parse::<Value>().ok());
    let worker = told.is_some_and(|told| told["role"] == "worker");
    let bare = matches!(Role::from_environment(), Some(Role::Hyper | Role::Axum));
    // In place of another program this one must not go on as itself, whether counted or not.
    let other = std::env::var_os(PROGRAM).map(PathBuf::from);
    if !worker && !bare && other.is_none() {
        return Ok(());
    }
    let program = other.map_or_else(std::env::current_exe, Ok)?;
    let mut command = if worker || bare {
        let mut callgrind = Command::new("valgrind");
        callgrind.args(["--tool=callgrind", "--quiet"]);
        // A file named by the pid, written when the process ends.
        callgrind.arg(format!("--callgrind-out-file={}/%p", results.display())).arg(program);
        callgrind
    } else {
        Command::new(program)
    };
    Err(command
        .args(std::env::args_os().skip(1))
        .env_remove(RESULTS)
        .env_remove(PROGRAM)
        .exec()
        .into())
}

fn total(file: &Path) -> Fallible<u64> {
    let written = fs::read_to_string(file).map_err(|error| {
        format!("callgrind wrote no counts for a worker ({}): {error}", file.display())
    })?;
    parse(&written).ok_or_else(|| format!("no total in {}", file.display()).into())
}

/// The `summary:` or `totals:` line of one of callgrind's files.
fn parse(written: &str) -> Option<u64> {
    let value = |line: &str| {
        let rest = line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:"))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    written.lines().rev().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found_by_either_name() {
        assert_eq!(parse("events: Ir\nsummary: 977\n\nfn=(1) main\n1 977\n"), Some(977));
        assert_eq!(parse("events: Ir\nfn=(1) main\n1 977\n\ntotals: 977\n"), Some(977));
    }

    #[test]
    fn a_file_without_a_total_has_none() {
        assert_eq!(parse("events: Ir\n"), None);
    }
}
