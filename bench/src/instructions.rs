//! User-mode instructions per request: the figure that noise does not move.
//!
//! Counted twice, for a small and a large number of requests. The difference holds neither start-up
//! nor connecting nor stopping, only requests.

use crate::{Fallible, callgrind, perf, servers::Program};

const FEW: u64 = 2_000;
const MANY: u64 = 12_000;

/// The instructions of one request of each program (none where it could not be counted), and a
/// sentence on how they were counted.
pub(crate) fn each(programs: &[Program]) -> (Vec<Option<f64>>, String) {
    let span = format!("({MANY} − {FEW} requests)");
    if perf::is_usable() {
        (
            count_all(programs, perf::instructions),
            format!("instructions by perf, all processes {span}"),
        )
    } else if callgrind::is_usable() {
        (
            count_all(programs, callgrind::instructions),
            format!("instructions by callgrind, one worker {span}"),
        )
    } else {
        (vec![None; programs.len()], "instructions n/a: needs perf or valgrind".to_owned())
    }
}

fn count_all(programs: &[Program], count: fn(&Program, u64) -> Fallible<u64>) -> Vec<Option<f64>> {
    let difference = |program: &Program| -> Fallible<f64> {
        eprintln!("instructions of {}", program.name());
        let few = count(program, FEW)?;
        let many = count(program, MANY)?;
        Ok((many as f64 - few as f64) / (MANY - FEW) as f64)
    };
    let counted = programs.iter().map(|program| match difference(program) {
        Ok(instructions) => Some(instructions),
        Err(error) => {
            // The other rows and columns still stand.
            eprintln!("bench: {}: {error}", program.name());
            None
        }
    });
    counted.collect()
}
