//! Processor time and allocations of one thing that is done again and again.

use rustix::time::{ClockId, clock_gettime};
use std::fmt::Write;
use std::hint::black_box;

/// How often a thing is done in one round.
const ROUND: u32 = 50_000;
/// Rounds, of which the fastest counts: what a neighbour takes only ever makes them slower.
const ROUNDS: usize = 15;
/// Bytes that the row copies against which the others are held.
const COPIED: usize = 570;

/// A row of the table.
pub(crate) struct Row<'a> {
    pub(crate) key: &'static str,
    pub(crate) what: &'static str,
    /// Bytes of what it makes.
    pub(crate) bytes: usize,
    /// Does it once.
    pub(crate) once: Box<dyn FnMut() + 'a>,
}

/// What a row costs.
struct Cost {
    nanos: f64,
    allocations: f64,
}

/// The table, as Markdown. The rows are measured in turn, again and again.
pub(crate) fn table(rows: &mut [Row<'_>]) -> String {
    let mut best = vec![f64::INFINITY; rows.len()];
    let mut copying = f64::INFINITY;
    for _ in 0..ROUNDS {
        copying = copying.min(copy());
        for (row, best) in rows.iter_mut().zip(&mut best) {
            *best = best.min(time(&mut *row.once));
        }
    }
    let mut text = format!(
        "| made and handed over | bytes | CPU ns | × copying {COPIED} bytes | allocations |\n\
         |---|--:|--:|--:|--:|\n\
         | copying {COPIED} bytes | {COPIED} | {copying:.1} | 1.0 | 0 |\n"
    );
    for (row, nanos) in rows.iter_mut().zip(best) {
        let Cost { nanos, allocations } = Cost { nanos, allocations: allocations(&mut *row.once) };
        let (what, bytes, ratio) = (row.what, row.bytes, nanos / copying);
        writeln!(text, "| {what} | {bytes} | {nanos:.1} | {ratio:.1} | {allocations} |")
            .expect("a string takes everything");
    }
    text + "\nCPU time of the thread that makes the line, fastest of 15 interleaved rounds of 50,000.\n"
}

/// What a profiler is told to look at.
#[inline(never)]
pub(crate) fn measured(once: &mut dyn FnMut()) {
    once();
}

/// Nanoseconds of processor time of this thread, for each of a round.
fn time(once: &mut dyn FnMut()) -> f64 {
    let begin = clock();
    for _ in 0..ROUND {
        once();
    }
    (clock() - begin) / f64::from(ROUND)
}

/// The loop against which everything is held, so that figures of two machines can be compared.
fn copy() -> f64 {
    let from = vec![b'a'; COPIED];
    let mut to = vec![0; COPIED];
    time(&mut || {
        black_box(&mut to).copy_from_slice(black_box(&from));
    })
}

/// Allocations for each, when everything that is kept has been made.
fn allocations(once: &mut dyn FnMut()) -> f64 {
    let counted = allocation_counter::measure(|| (0..ROUND).for_each(|_| once()));
    counted.count_total as f64 / f64::from(ROUND)
}

fn clock() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}
