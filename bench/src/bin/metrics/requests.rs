//! What all that mainstay measures by itself costs a request, and what a trace adds to it.

use crate::clock;
use mainstay::inside::{Passes, Traces};

/// Requests between two looks at the clock; their spans fit the ring, which is emptied when the clock is stopped.
const BATCH: u64 = 512;
const BATCHES: u64 = 200;
const ROUNDS: usize = 15;
/// What all measuring may cost a request, nanoseconds.
const LIMIT: f64 = 150.0;

/// A thing that is done with each request, by its name; and how many records of spans it leaves in a batch.
type Row = (&'static str, Passes, fn(&mut Passes), u64);

/// Measures, and prints what was found.
pub(crate) fn print() {
    let passes = |traces| Passes::new(traces).expect("memory that processes can share");
    let mut rows: [Row; 4] = [
        ("all counts and measures of its beginning and end", passes(Traces::Off), Passes::count, 0),
        ("with page, context, ids, clock and locks", passes(Traces::Off), Passes::pass, 0),
        ("and its trace, not sampled", passes(Traces::Unsampled), Passes::pass, 0),
        ("and its trace, sampled, into the ring", passes(Traces::Sampled), Passes::pass, BATCH),
    ];
    let mut best = [f64::INFINITY; 4];
    for _ in 0..ROUNDS {
        for ((_, passes, once, spans), best) in rows.iter_mut().zip(&mut best) {
            *best = best.min(round(passes, *once, *spans));
        }
    }
    println!("| of a request | CPU ns |\n|---|--:|");
    for ((what, ..), nanos) in rows.iter().zip(best) {
        println!("| {what} | {nanos:.1} |");
    }
    let verdict = if best[0] <= LIMIT { "is within" } else { "is beyond" };
    println!(
        "\nFastest of {ROUNDS} interleaved rounds of {}; no access line, no connection. The first {verdict} \
         {LIMIT} ns; a trace adds {:.1} ns, and {:.1} ns where it is sampled.\n",
        BATCH * BATCHES,
        best[2] - best[1],
        best[3] - best[1],
    );
}

/// Nanoseconds of processor time for each request of a round.
fn round(passes: &mut Passes, once: fn(&mut Passes), spans: u64) -> f64 {
    let before = passes.ended();
    let mut used = 0.0;
    for _ in 0..BATCHES {
        let begin = clock();
        for _ in 0..BATCH {
            once(passes);
        }
        used += clock() - begin;
        assert_eq!(passes.drain(), spans, "each request that is sampled has a span");
    }
    let ended = passes.ended() - before;
    assert_eq!(ended, BATCH * BATCHES, "each request is counted");
    used / ended as f64
}
