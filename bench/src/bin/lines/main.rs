//! What an access line costs: processor time and allocations, from the facts of a request to the
//! record in the ring, beside what others do for the same fields.
//!
//! `cargo run --release -p bench -- lines` starts it; a program of its own because its allocator
//! counts, which the servers of the other table should not pay for.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod heads;
mod measure;
mod ours;
mod samples;
mod theirs;

use measure::Row;
use std::process::ExitCode;

/// What may go wrong here is told to whoever sits before the terminal, and ends the run.
type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// What is only counted, for `valgrind --tool=callgrind --toggle-collect='*measured*'`.
const COUNTED: u64 = 20_000;

fn main() -> ExitCode {
    // `ROW` runs one row alone and as often as a profiler needs.
    let only = std::env::args().nth(1);
    match rows(only.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lines: {error}");
            ExitCode::FAILURE
        }
    }
}

fn rows(only: Option<&str>) -> Fallible<()> {
    let (logger, guard) = theirs::subscriber();
    let mut rows: Vec<Row<'_>> = Vec::new();
    rows.extend(ours::rows()?);
    rows.extend(heads::rows());
    rows.extend(theirs::rows(&logger));
    if let Some(only) = only {
        let mut row = rows.into_iter().find(|row| row.key == only).ok_or("no such row")?;
        (0..COUNTED).for_each(|_| measure::measured(&mut *row.once));
        return Ok(());
    }
    print!("{}", measure::table(&mut rows));
    drop(guard);
    Ok(())
}
