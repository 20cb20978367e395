//! The last requests of a slot that failed, for whoever tells of an incident: what ended well is never
//! written down here.
//!
//! An entry stands under a [sequence number](super::sequence), so that a reader takes it whole or not at all, and
//! a holder that was killed over it leaves an empty one. They outlive their holder: what a worker failed at before
//! it died is what somebody wants to know.

use super::atomic::{AtomicU64, Ordering::Relaxed};
use super::sequence::Sequence;
use super::text;

/// Entries of a slot; the oldest is the next one to be overwritten.
pub const FAILURES: usize = 8;

/// How many there have been.
const COUNT: usize = 0;
/// Words before the first entry, a cache line.
const HEAD: usize = 8;

const SEQUENCE: usize = 0;
const TIME: usize = 1;
const TOOK: usize = 2;
/// The status, and ten bits for each length.
const FACTS: usize = 3;
const METHOD: usize = 4;
const ROUTE: usize = 5;
const ID: usize = 13;
const REASON: usize = 21;
/// Words of one entry, three cache lines.
const ENTRY_WORDS: usize = 24;
/// The texts: where each begins, and behind the last.
const TEXTS: [usize; 5] = [METHOD, ROUTE, ID, REASON, ENTRY_WORDS];

/// Words of all of it.
pub(crate) const WORDS: usize = HEAD + FAILURES * ENTRY_WORDS;

/// A request that failed. Texts are kept as far as an entry has room for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failed<T> {
    /// When it ended, nanoseconds since the Unix epoch; never 0.
    pub time: u64,
    /// How long it took, nanoseconds.
    pub took: u64,
    /// What it was answered with, or would have been.
    pub status: u16,
    /// Method; cut to 8 bytes.
    pub method: T,
    /// Its route, or where nobody named one its path; cut to 64 bytes.
    pub route: T,
    /// Its id; cut to 64 bytes.
    pub id: T,
    /// Why it did not end in the ordinary way; cut to 24 bytes.
    pub reason: T,
}

/// View of one slot's.
#[derive(Clone, Copy, Debug)]
pub struct Failures<'a> {
    words: &'a [AtomicU64; WORDS],
}

impl<'a> Failures<'a> {
    pub(crate) fn new(words: &'a [AtomicU64; WORDS]) -> Failures<'a> {
        Failures { words }
    }

    fn entries(&self) -> &'a [[AtomicU64; ENTRY_WORDS]] {
        self.words[HEAD..].as_chunks().0
    }

    /// Writes one down in place of the oldest. For one thread of the holder at a time.
    pub fn note(&self, failed: &Failed<&[u8]>) {
        let count = self.words[COUNT].load(Relaxed);
        let entry = &self.entries()[(count % FAILURES as u64) as usize];
        Sequence(&entry[SEQUENCE]).write(|| {
            entry[TIME].store(failed.time, Relaxed);
            entry[TOOK].store(failed.took, Relaxed);
            let mut facts = u64::from(failed.status);
            let texts = [failed.method, failed.route, failed.id, failed.reason];
            for (index, (bytes, place)) in texts.into_iter().zip(TEXTS.windows(2)).enumerate() {
                let stored = text::store(&entry[place[0]..place[1]], bytes);
                facts |= (stored as u64) << (16 + index * 10);
            }
            entry[FACTS].store(facts, Relaxed);
        });
        self.words[COUNT].store(count.wrapping_add(1), Relaxed);
    }

    /// All that can be read at this moment, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Failed<Vec<u8>>> + use<'a> {
        self.entries().iter().filter_map(read)
    }
}

fn read(entry: &[AtomicU64; ENTRY_WORDS]) -> Option<Failed<Vec<u8>>> {
    let failed = Sequence(&entry[SEQUENCE]).read(|| {
        let facts = entry[FACTS].load(Relaxed);
        let text = |index: usize| {
            let mut bytes = Vec::new();
            let len = (facts >> (16 + index * 10) & 0x3ff) as usize;
            text::load(&entry[TEXTS[index]..TEXTS[index + 1]], len, &mut bytes);
            bytes
        };
        Failed {
            time: entry[TIME].load(Relaxed),
            took: entry[TOOK].load(Relaxed),
            status: facts as u16,
            method: text(0),
            route: text(1),
            id: text(2),
            reason: text(3),
        }
    });
    failed.filter(|failed| failed.time != 0)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn words() -> [AtomicU64; WORDS] {
        std::array::from_fn(|_| AtomicU64::new(0))
    }

    fn failed(mark: u64, text: &[u8]) -> Failed<&[u8]> {
        let status = 500 + (mark % 100) as u16;
        Failed {
            time: mark,
            took: !mark,
            status,
            method: b"GET",
            route: text,
            id: text,
            reason: b"",
        }
    }

    fn owned(it: &Failed<&[u8]>) -> Failed<Vec<u8>> {
        Failed {
            time: it.time,
            took: it.took,
            status: it.status,
            method: it.method.to_vec(),
            route: it.route.to_vec(),
            id: it.id.to_vec(),
            reason: it.reason.to_vec(),
        }
    }

    #[test]
    fn the_last_ones_are_kept_as_they_were_and_long_texts_are_cut() {
        let words = words();
        let failures = Failures::new(&words);
        assert_eq!(failures.iter().count(), 0);
        for mark in 1..=11 {
            failures.note(&failed(mark, b"/orders/{id}"));
        }
        let mut all: Vec<_> = failures.iter().collect();
        all.sort_by_key(|it| it.time);
        let expected: Vec<_> = (4..=11).map(|mark| owned(&failed(mark, b"/orders/{id}"))).collect();
        assert_eq!(all, expected);
        let long = [b'x'; 2_000];
        failures.note(&Failed { method: &long, reason: &long, ..failed(99, &long) });
        let cut = failures.iter().find(|it| it.time == 99).unwrap();
        let lengths = [cut.method, cut.route, cut.id, cut.reason].map(|it| it.len());
        assert_eq!((lengths, cut.status), ([8, 64, 64, 24], 599));
    }

    #[test]
    fn one_that_a_killed_holder_left_half_is_none_until_it_is_written_again() {
        let words = words();
        let failures = Failures::new(&words);
        failures.note(&failed(1, b"/a"));
        Sequence(&words[HEAD + SEQUENCE]).break_off();
        words[COUNT].store(0, Relaxed);
        assert_eq!(failures.iter().count(), 0);
        failures.note(&failed(2, b"/b"));
        assert!(failures.iter().eq([owned(&failed(2, b"/b"))]));
    }

    #[test]
    fn what_is_read_while_it_is_written_is_whole() {
        let (words, over) = (words(), AtomicBool::new(false));
        let failures = Failures::new(&words);
        let rounds = if cfg!(miri) { 50 } else { 20_000 };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for mark in 1..rounds {
                    failures.note(&failed(mark, &[mark as u8; 60][..(mark % 60) as usize]));
                }
                over.store(true, Relaxed);
            });
            while !over.load(Relaxed) {
                for it in failures.iter() {
                    let text = [it.time as u8; 60];
                    assert_eq!(it, owned(&failed(it.time, &text[..(it.time % 60) as usize])));
                }
            }
        });
        assert_eq!(failures.iter().count(), FAILURES);
    }
}
