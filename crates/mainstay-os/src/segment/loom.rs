//! Every interleaving, and every order in which memory may show it, of one writer and one reader.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p mainstay-os --release --lib loom`

use super::atomic::AtomicU64;
use super::{InFlightTable, Ring, Started, inflight, ring};
use ::loom::model::Builder;
use ::loom::sync::Arc;
use ::loom::thread;

fn words(count: usize) -> Arc<Vec<AtomicU64>> {
    Arc::new((0..count).map(|_| AtomicU64::new(0)).collect())
}

/// Explores `model` up to `preemptions` unforced switches between the threads: what goes wrong in
/// such small programs goes wrong with few.
fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Record `number`, which fills one word and two bytes.
fn record(number: u16) -> [u8; 10] {
    [number as u8; 10]
}

#[test]
fn a_ring_hands_over_whole_records_in_order() {
    explore(3, || {
        // Room for two records of three words each: the third needs one to be gone, and wraps.
        let words = words(ring::words(7 * 8));
        let writes = Arc::clone(&words);
        let writer = thread::spawn(move || {
            let ring = Ring::new(&writes);
            for number in 1..=3 {
                ring.push(number, &record(number));
            }
        });
        let (ring, mut buffer, mut drained) = (Ring::new(&words), Vec::new(), Vec::new());
        let mut drain = |drained: &mut Vec<u16>| {
            let Some(popped) = ring.pop(&mut buffer) else { return false };
            assert_eq!(popped.bytes, record(popped.kind), "a torn record");
            drained.push(popped.kind);
            true
        };
        drain(&mut drained);
        drain(&mut drained);
        writer.join().expect("the writer does not panic");
        while drain(&mut drained) {}
        assert!(drained.is_sorted(), "out of order: {drained:?}");
        assert_eq!(drained.len() as u64 + ring.dropped(), 3, "{drained:?} and what was dropped");
        assert!(drained.starts_with(&[1, 2]), "there was room for two: {drained:?}");
    });
}

#[test]
fn an_entry_is_never_read_as_a_mixture_of_two_requests() {
    explore(3, || {
        let words = words(inflight::ENTRY_WORDS + 1);
        let writes = Arc::clone(&words);
        let started = |mono: u64, path: &'static [u8]| Started {
            mono,
            wall: mono,
            peer: None,
            method: path,
            path,
        };
        let writer = thread::spawn(move || {
            let (high, entries) = writes.split_last().expect("there is one more");
            let table = InFlightTable::new(entries, high);
            table.begin(0, &started(1, b"a"));
            table.end(0);
            table.begin(0, &started(2, b"bb"));
        });
        let (high, entries) = words.split_last().expect("there is one more");
        let table = InFlightTable::new(entries, high);
        if let Some(read) = table.read(0) {
            let facts = (read.started, read.started_wall, &*read.method, &*read.path);
            match read.started {
                0 => assert!(read.partial),
                1 => assert_eq!(facts, (1, 1, &b"a"[..], &b"a"[..])),
                _ => assert_eq!(facts, (2, 2, &b"bb"[..], &b"bb"[..])),
            }
        }
        writer.join().expect("the writer does not panic");
        assert_eq!(table.read(0).map(|read| read.started), Some(2), "after the end of all writing");
    });
}
