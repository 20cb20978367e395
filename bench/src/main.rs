//! What a request costs under mainstay, beside bare hyper and bare axum of the same lock file.
//!
//! `cargo run --release -p bench` prints the table of DESIGN §9 for the current tree. The program
//! starts itself again as each of the servers, so that all of them are one build.
//! `cargo run --release -p bench -- lines` prints what an access line costs (`bin/lines`), `-- metrics` what
//! measuring costs (`bin/metrics`), `-- limits` what limits cost (`bin/limits.rs`), and `-- scrape` what
//! `/metrics` costs.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod args;
mod callgrind;
mod instructions;
mod measure;
mod perf;
mod process;
mod roles;
mod scrape;
mod servers;
mod table;

use std::{
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use roles::Role;

/// What may go wrong here is told to whoever sits before the terminal, and ends the run.
type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let done = callgrind::step_under().and_then(|()| match Role::from_environment() {
        None => bench(),
        Some(Role::Hyper) => roles::hyper(),
        Some(Role::Axum) => roles::axum(),
        Some(Role::Mainstay) => Ok(roles::mainstay()),
        Some(Role::Measured) => Ok(roles::measured()),
        Some(Role::Load) => roles::load(),
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Fallible<ExitCode> {
    let first = std::env::args_os().nth(1).unwrap_or_default();
    if let Some(program) = ["limits", "lines", "metrics"].into_iter().find(|it| first == *it) {
        return other(program);
    }
    if first == "scrape" {
        return scrape::print();
    }
    let options = args::parse(std::env::args_os().skip(1))?;
    let programs = options.programs();
    let speeds = measure::rounds(&programs, &options)?;
    let (counts, method) = instructions::each(&programs);
    print!("{}", table::markdown(&programs, &speeds, &counts, &table::settings(&options, &method)));
    Ok(ExitCode::SUCCESS)
}

/// Another program: the allocator of one counts, for which no server of this one should pay.
fn other(program: &str) -> Fallible<ExitCode> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--release", "--quiet", "--package", "bench", "--bin", program, "--"]);
    Err(command.args(std::env::args_os().skip(2)).exec().into())
}
