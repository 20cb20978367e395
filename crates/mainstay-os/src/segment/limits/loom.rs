//! Interleavings of processes that want the same key, or the same place, at the same time.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p mainstay-os --release --lib loom`

use super::table::{Full, Table};
use super::*;
use ::loom::model::Builder;
use ::loom::sync::Arc;
use ::loom::thread;
use std::sync::{Arc as PlainArc, Mutex};

/// Two lines of places and nothing else.
fn words() -> Arc<Vec<AtomicU64>> {
    Arc::new((0..2 * table::LINE_WORDS).map(|_| AtomicU64::new(0)).collect())
}

/// Takes one of one until `ends`, as the decision of a fixed window does.
fn hit(words: &[AtomicU64], key: Key, now: u64, ends: u64) -> bool {
    let table = Table::new(words);
    loop {
        let found = match table.find(key, key.tag()) {
            Some(found) => found,
            None => match table.find_or_claim(key, key.tag(), now, || {}) {
                Ok(found) => found,
                Err(Full) => panic!("there is room"),
            },
        };
        if found.is.is_settled() && found.is.ends() > now {
            return false;
        }
        if found.replace(State::count(ends, 1, false)) {
            return true;
        }
    }
}

/// Runs `model` in every way that has so many unforced switches, and fails unless each of both threads was
/// the one to be admitted: a model that explores nothing passes.
fn explore(preemptions: usize, model: impl Fn() -> bool + Sync + Send + 'static) {
    let seen = PlainArc::new(Mutex::new([0_u64; 2]));
    let told = PlainArc::clone(&seen);
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let mine = model();
        told.lock().expect("a model that fails ends the test")[usize::from(mine)] += 1;
    });
    let seen = *seen.lock().expect("all models are done");
    assert!(seen.iter().all(|many| *many > 10), "explored {seen:?}");
    eprintln!("explored {seen:?}");
}

#[test]
fn a_key_that_is_new_to_two_is_counted_once() {
    explore(5, || {
        let (words, key) = (words(), Key::from_hash(0x1234_5678_9abc_def0));
        let shared = Arc::clone(&words);
        let other = thread::spawn(move || hit(&shared, key, 1, 10));
        let mine = hit(&words, key, 1, 10);
        let others = other.join().expect("it does not panic");
        assert!(mine != others, "one of one is admitted");
        mine
    });
}

#[test]
fn a_place_that_ends_is_taken_once_though_its_owner_comes_back() {
    explore(4, || {
        let (words, old) = (words(), Key::from_hash(0x1111_2222_3333_4444));
        let new = Key::from_hash(0x5555_6666_7777_8888);
        // What ends, and is the best place for somebody new, beside others that go on.
        assert!(hit(&words, old, 0, 1));
        let shared = Arc::clone(&words);
        let owner = thread::spawn(move || {
            let again = hit(&shared, old, 2, 10);
            (again, hit(&shared, new, 2, 10))
        });
        let mine = hit(&words, new, 2, 10);
        let (again, others) = owner.join().expect("it does not panic");
        assert!(again, "nobody else has hit the old key");
        assert!(mine != others, "one of one is admitted");
        assert!(!hit(&words, old, 3, 10) && !hit(&words, new, 3, 10), "and both are kept");
        mine
    });
}
