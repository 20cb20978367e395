//! The flags of the benchmark. Parsed by hand: there are three.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{Fallible, servers::Program};

const USAGE: &str =
    "usage: cargo run --release -p bench -- [--rounds N] [--seconds S] [--bin PATH]...
  --rounds N    interleaved rounds, of which medians are printed (default 5)
  --seconds S   seconds of load in each round of each server (default 2)
  --bin PATH    measure another program that links mainstay too, for instance e2e's hello, or a
                build of another commit; may be repeated
usage: cargo run --release -p bench -- lines [ROW]
  what an access line costs; ROW makes 20,000 of one kind for a profiler
usage: cargo run --release -p bench -- metrics
  what measuring costs
usage: cargo run --release -p bench -- scrape
  what a scrape costs watch and those who serve";

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    binaries: Vec<PathBuf>,
}

impl Options {
    /// The rows of the table, in order.
    pub(crate) fn programs(&self) -> Vec<Program> {
        let others = self.binaries.iter().cloned().map(Program::Other);
        let own = [Program::Hyper, Program::Axum, Program::Mainstay, Program::Limited];
        let nginx = Path::new("/usr/sbin/nginx");
        let nginx = nginx.exists().then(|| Program::Nginx(nginx.to_owned()));
        own.into_iter().chain(nginx).chain(others).collect()
    }
}

/// Reads the flags.
///
/// # Errors
/// The usage, for anything that is not a flag or not a value of one.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Fallible<Options> {
    let mut options = Options { rounds: 5, time: Duration::from_secs(2), binaries: Vec::new() };
    let mut args = args.into_iter();
    while let Some(flag) = args.next() {
        let value = args.next().ok_or(USAGE)?;
        let number = || value.to_str().and_then(|text| text.parse::<f64>().ok());
        match flag.to_str() {
            Some("--rounds") => {
                options.rounds =
                    number().filter(|n| (1.0..=1000.0).contains(n)).ok_or(USAGE)? as usize;
            }
            Some("--seconds") => {
                let seconds = number().filter(|n| (0.1..=600.0).contains(n)).ok_or(USAGE)?;
                options.time = Duration::from_secs_f64(seconds);
            }
            // The server runs in a directory of its own, where a relative path would be another.
            Some("--bin") => options.binaries.push(PathBuf::from(value).canonicalize()?),
            _ => return Err(USAGE.into()),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Fallible<Options> {
        parse(args.iter().map(OsString::from))
    }

    #[test]
    fn without_flags_there_are_five_rounds_of_two_seconds_and_a_row_for_each_server() {
        let options = parsed(&[]).expect("no flag is needed");
        assert_eq!((options.rounds, options.time), (5, Duration::from_secs(2)));
        let of_others = |it: &Program| matches!(it, Program::Nginx(_));
        assert_eq!(options.programs().iter().filter(|it| !of_others(it)).count(), 4);
    }

    #[test]
    fn flags_are_heard() {
        let options =
            parsed(&["--rounds", "3", "--seconds", "0.5", "--bin", "/"]).expect("good flags");
        assert_eq!((options.rounds, options.time), (3, Duration::from_millis(500)));
        assert!(options.programs().contains(&Program::Other(PathBuf::from("/"))));
    }

    #[test]
    fn anything_else_is_answered_with_the_usage() {
        for wrong in
            [&["--rounds"][..], &["--rounds", "none"], &["--seconds", "0"], &["--fast", "1"]]
        {
            assert!(
                parsed(wrong).is_err_and(|error| error.to_string().starts_with("usage")),
                "{wrong:?}"
            );
        }
    }
}
