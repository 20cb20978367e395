//! Interleavings of processes that want the same key, or the same place, at the same time.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p mainstay-os --release --lib loom`

use super::refused::{self, Named, Refused};
use super::table::{Full, Table};
use super::whom::Whom;
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
    // Filling all places takes many steps.
    builder.max_branches = 20_000;
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
fn two_who_choose_different_places_for_a_key_count_it_once() {
    explore(4, || {
        let (words, new) = (words(), Key::from_hash(0x5555_6666_7777_8888));
        // All places are taken. One is nobody's choice before it ends, and everybody's afterwards.
        for number in 0..8 {
            let key = Key::from_hash(0x0123_4567_89ab_cdef_u64.wrapping_mul(number * 2 + 3));
            let place = Table::new(&words).find_or_claim(key, key.tag(), 0, || {});
            let place = place.expect("there is room");
            let ends = if number == 0 { 1 } else { 10 + number };
            assert!(place.replace(State::count(ends, 1, number == 0)), "nobody else is there");
        }
        let shared = Arc::clone(&words);
        let early = thread::spawn(move || hit(&shared, new, 0, 100));
        let mine = hit(&words, new, 2, 100);
        let others = early.join().expect("it does not panic");
        assert!(mine != others, "one of one is admitted");
        assert!(!hit(&words, new, 3, 100), "and is kept");
        mine
    });
}

/// Two lines of places, each with a word beside it.
fn permits(words: &[AtomicU64]) -> Rings<'_> {
    let (places, words) = words.split_at(2 * table::LINE_WORDS);
    Rings { table: Table::new(places), words, length: 1 }
}

#[test]
fn whoever_gives_a_place_up_takes_it_from_nobody_who_has_just_come() {
    explore(4, || {
        let words = 2 * table::LINE_WORDS + 2 * table::LINE_PLACES;
        let words = Arc::new((0..words).map(|_| AtomicU64::new(0)).collect::<Vec<_>>());
        let key = Key::from_hash(0x1234_5678_9abc_def0);
        let ask = move |words: &[AtomicU64], slot| {
            let (holder, lives) = (Holder { slot, epoch: 1 }, |_: Holder| true);
            let asked = permits(words).take(key, 1, holder, 1, &lives, &|| {});
            asked.unwrap_or_else(|_| panic!("there is room"))
        };
        let first = ask(&words, 0).expect("nobody else is there");
        let shared = Arc::clone(&words);
        let other = thread::spawn(move || ask(&shared, 1));
        permits(&words).give_back(&first, &|_: Holder| true);
        let others = other.join().expect("it does not panic");
        let third = ask(&words, 2);
        // Whoever came too early has none, and then the place was free for the third.
        assert!(others.is_some() != third.is_some(), "one of one is admitted");
        others.is_some()
    });
}

/// Places and their words, with nobody in them.
fn places() -> Arc<Vec<AtomicU64>> {
    let words = 2 * table::LINE_WORDS + 2 * table::LINE_PLACES;
    Arc::new((0..words).map(|_| AtomicU64::new(0)).collect())
}

/// The permit of one of one, if nobody has it; none as well where there is no place. Of slot 0 nobody lives.
fn one_of_one(words: &[AtomicU64], key: Key, slot: usize) -> Option<Permit> {
    let (holder, lives) = (Holder { slot, epoch: 1 }, |it: Holder| it.slot != 0);
    permits(words).take(key, 1, holder, 1, &lives, &|| {}).ok().flatten()
}

#[test]
fn a_place_of_who_was_killed_is_given_to_one_of_two_who_want_it() {
    explore(2, || {
        let (words, key) = (places(), Key::from_hash(0x1234_5678_9abc_def0));
        one_of_one(&words, key, 0).expect("nobody else is there");
        for number in 1..8 {
            let key = Key::from_hash(0x0123_4567_89ab_cdef_u64.wrapping_mul(number * 2 + 3));
            one_of_one(&words, key, 9).expect("there is room");
        }
        // One comes for the same key, another finds all places taken.
        let shared = Arc::clone(&words);
        let other = thread::spawn(move || one_of_one(&shared, key, 1));
        let new = Key::from_hash(0x5555_6666_7777_8888);
        let mine = one_of_one(&words, new, 2);
        let others = other.join().expect("it does not panic");
        assert!(mine.is_some() != others.is_some(), "one place has one");
        mine.is_some()
    });
}

#[test]
fn of_two_who_ask_while_a_third_gives_the_place_up_none_has_what_the_other_has() {
    explore(2, || {
        let (words, key) = (places(), Key::from_hash(0x1234_5678_9abc_def0));
        let first = one_of_one(&words, key, 1).expect("nobody else is there");
        let others = [2, 3].map(|slot| {
            let words = Arc::clone(&words);
            thread::spawn(move || one_of_one(&words, key, slot))
        });
        permits(&words).give_back(&first, &|it: Holder| it.slot != 0);
        let others = others.map(|it| it.join().expect("it does not panic"));
        let last = one_of_one(&words, key, 4);
        let held = others.iter().chain([&last]).flatten().count();
        assert_eq!(held, 1, "one of one is admitted");
        others[0].is_some()
    });
}

/// Refuses this client once, at this second.
fn refuse(words: &[AtomicU64], key: &[u8], second: u64) -> bool {
    let whom = Whom { policy: &b"p"[..], limit: b"l", key, tried: false };
    Refused::over(words, [1, 2]).note(&whom, second * 1_000_000_000)
}

/// The places of clients with this name, as whoever looks sees them.
fn places_of(words: &[AtomicU64], key: &[u8]) -> Vec<Named> {
    Refused::over(words, [1, 2]).each().filter(|it| it.whom.key == key).collect()
}

#[test]
fn whoever_is_stopped_while_it_hands_out_a_place_and_then_goes_on_takes_nobody_s_name() {
    explore(2, || {
        let words =
            Arc::new((0..refused::words(4_096)).map(|_| AtomicU64::new(0)).collect::<Vec<_>>());
        let shared = Arc::clone(&words);
        // For whoever comes three seconds later, the other has been stopped wherever it is.
        let late = thread::spawn(move || refuse(&shared, b"a", 1));
        let mine = refuse(&words, b"b", 4);
        let others = late.join().expect("it does not panic");
        // What of it nobody can read is given up here.
        let seen = places_of(&words, b"b").len() == 1;
        for (key, is_counted) in [(b"a", others), (b"b", mine)] {
            let is_named = refuse(&words, key, 9) && refuse(&words, key, 9);
            assert!(is_named, "nobody hands out a place any more");
            let places = places_of(&words, key);
            assert_eq!(places.len(), 1, "one client has one place: {places:?}");
            let most = 2 + u64::from(is_counted);
            assert!((2..=most).contains(&places[0].count), "{places:?}");
            // Whether the first of its three refusals was counted, lost, or written over.
            assert!(places[0].count + places[0].before >= 3, "the error is too small: {places:?}");
        }
        seen
    });
}
