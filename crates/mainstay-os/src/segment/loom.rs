//! Interleavings of one writer and one reader, and the orders in which memory may show them.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p mainstay-os --release --lib loom`
//!
//! loom takes a store for independent of another thread's load when its own thread has loaded the
//! word in between (tokio-rs/loom issues 166 and 392), and may then explore a single execution. So
//! the writer, who loads what it stores, is the thread that runs first here; and each model says
//! which outcomes it must have seen, for a model that explores nothing passes.

use super::atomic::{AtomicU64, Ordering::Relaxed};
use super::sequence::Sequence;
use super::{InFlight, InFlightTable, Ring, Started, inflight, ring};
use ::loom::model::Builder;
use ::loom::sync::Arc;
use ::loom::thread;
use std::collections::BTreeSet;
use std::sync::{Arc as PlainArc, Mutex};

fn words(count: usize) -> Arc<Vec<AtomicU64>> {
    Arc::new((0..count).map(|_| AtomicU64::new(0)).collect())
}

/// Runs `model` in every way that has up to `preemptions` unforced switches between its threads
/// (what goes wrong in such small programs goes wrong with few), and returns all its outcomes.
fn outcomes<O: Ord + Send + 'static>(
    preemptions: usize,
    model: impl Fn() -> O + Sync + Send + 'static,
) -> BTreeSet<O> {
    let all = PlainArc::new(Mutex::new(BTreeSet::new()));
    let seen = PlainArc::clone(&all);
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let outcome = model();
        seen.lock().expect("a model that fails ends the test").insert(outcome);
    });
    std::mem::take(&mut all.lock().expect("all models are done"))
}

/// Record `number`, which fills one word and two bytes.
fn record(number: u16) -> [u8; 10] {
    [number as u8; 10]
}

/// Takes the oldest record out and returns its number.
fn drain(ring: Ring<'_>, buffer: &mut Vec<u8>) -> Option<u16> {
    let popped = ring.pop(buffer)?;
    assert_eq!(popped.bytes, record(popped.kind), "a torn record");
    Some(popped.kind)
}

#[test]
fn a_ring_hands_over_whole_records_in_order() {
    let outcomes = outcomes(5, || {
        // Room for two records of three words each: a third needs one to be gone, and wraps.
        let words = words(ring::words(7 * 8));
        let shared = Arc::clone(&words);
        let drainer = thread::spawn(move || {
            let mut buffer = Vec::new();
            [(); 2].map(|()| drain(Ring::new(&shared), &mut buffer))
        });
        let (ring, mut buffer) = (Ring::new(&words), Vec::new());
        let pushed = [1, 2, 3].map(|number| ring.push(number, &record(number)));
        let early = drainer.join().expect("the drainer does not panic");
        let late = std::iter::from_fn(|| drain(ring, &mut buffer));
        let drained: Vec<_> = early.into_iter().flatten().chain(late).collect();
        let expected = if pushed[2] { &[1, 2, 3][..] } else { &[1, 2] };
        assert_eq!(drained, expected, "{pushed:?}");
        assert_eq!(ring.dropped(), u64::from(!pushed[2]));
        (early, pushed)
    });
    let seen = |early, third| outcomes.contains(&(early, [true, true, third]));
    assert!(outcomes.iter().all(|(_, pushed)| pushed[..2] == [true, true]));
    assert!(seen([None, None], false) && seen([Some(1), None], false));
    assert!(seen([Some(1), Some(2)], true) && seen([None, Some(1)], true), "{outcomes:?}");
}

/// Request `number`, all of whose facts derive from it.
fn request(number: u64) -> (Started<'static>, InFlight) {
    let text: &[u8] = if number == 1 { b"a" } else { b"bb" };
    let started =
        Started { mono: number, wall: number, method: text, path: text, ..Started::default() };
    let read = InFlight {
        started: number,
        started_wall: number,
        method: text.to_vec(),
        path: text.to_vec(),
        ..InFlight::default()
    };
    (started, read)
}

fn table(words: &[AtomicU64]) -> InFlightTable<'_> {
    let (high, entries) = words.split_last().expect("there is one more");
    InFlightTable::new(entries, high)
}

#[test]
fn an_entry_is_never_read_as_a_mixture_of_two_requests() {
    let outcomes = outcomes(4, || {
        let words = words(inflight::ENTRY_WORDS + 1);
        let shared = Arc::clone(&words);
        let reader = thread::spawn(move || {
            let read = table(&shared).read(0)?;
            if !read.partial {
                assert_eq!(read, request(read.started).1, "facts of different requests");
            }
            Some((read.partial, read.started))
        });
        let table = table(&words);
        table.begin(0, &request(1).0);
        table.end(0);
        table.begin(0, &request(2).0);
        let outcome = reader.join().expect("the reader does not panic");
        assert_eq!(table.read(0), Some(request(2).1), "after the end of all writing");
        outcome
    });
    let expected = [None, Some((false, 1)), Some((false, 2)), Some((true, 0))];
    assert_eq!(outcomes, BTreeSet::from(expected));
}

/// The words under a sequence number, each of which says which change it is from.
fn seen(words: &[AtomicU64]) -> Option<[u64; 2]> {
    Sequence(&words[0]).read(|| [1, 2].map(|word| words[word].load(Relaxed)))
}

#[test]
fn what_stands_under_a_sequence_number_is_never_read_as_a_mixture() {
    let outcomes = outcomes(4, || {
        let words = words(3);
        let shared = Arc::clone(&words);
        let reader = thread::spawn(move || seen(&shared));
        for mark in [1, 2] {
            Sequence(&words[0])
                .write(|| [1, 2].into_iter().for_each(|word| words[word].store(mark, Relaxed)));
        }
        let outcome = reader.join().expect("the reader does not panic");
        assert_eq!(seen(&words), Some([2, 2]), "after the end of all writing");
        outcome
    });
    let expected = [None, Some([0, 0]), Some([1, 1]), Some([2, 2])];
    assert_eq!(outcomes, BTreeSet::from(expected));
}

#[test]
fn a_writer_that_was_killed_over_a_change_is_followed_by_another() {
    let outcomes = outcomes(4, || {
        let words = words(3);
        // All of one thread, as for whoever comes after: the change was begun, and one of two words stored.
        words[0].store(1, Relaxed);
        words[1].store(1, Relaxed);
        let shared = Arc::clone(&words);
        let reader = thread::spawn(move || seen(&shared));
        Sequence(&words[0])
            .write(|| [1, 2].into_iter().for_each(|word| words[word].store(2, Relaxed)));
        reader.join().expect("the reader does not panic")
    });
    assert_eq!(outcomes, BTreeSet::from([None, Some([2, 2])]));
}
