//! A journal: the few values that a drainer notes before it writes, so that its successor can tell
//! what was done.
//!
//! There are two copies, and one word that says which of them stands: a note replaces another one
//! as a whole, whatever instruction its writer is killed at. A word that says neither says that
//! nothing is under way.

use super::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// Values of a note. What they mean is their users' affair.
pub const JOURNAL_VALUES: usize = 9;
/// Words of one journal.
pub(crate) const WORDS: usize = 20;
const _: () = assert!(2 * JOURNAL_VALUES < WORDS, "two copies and the word that chooses");

const STANDS: usize = 0;

/// View of one journal. One drainer writes at a time.
#[derive(Clone, Copy, Debug)]
pub struct Journal<'a> {
    words: &'a [AtomicU64; WORDS],
}

impl<'a> Journal<'a> {
    pub(crate) fn new(words: &'a [AtomicU64; WORDS]) -> Journal<'a> {
        Journal { words }
    }

    /// The note that stands, if one does.
    #[must_use]
    pub fn read(&self) -> Option<[u64; JOURNAL_VALUES]> {
        let copy = self.standing()?;
        Some(std::array::from_fn(|value| self.words[begin(copy) + value].load(Relaxed)))
    }

    /// Notes what is about to be done, in place of what was noted before.
    pub fn write(&self, values: &[u64; JOURNAL_VALUES]) {
        let copy = match self.standing() {
            Some(0) => 1,
            _ => 0,
        };
        for (word, value) in self.words[begin(copy)..].iter().zip(values) {
            word.store(*value, Relaxed);
        }
        self.words[STANDS].store(copy as u64 + 1, Release);
    }

    /// Nothing is under way any more.
    pub fn clear(&self) {
        self.words[STANDS].store(0, Release);
    }

    fn standing(&self) -> Option<usize> {
        match self.words[STANDS].load(Acquire) {
            1 => Some(0),
            2 => Some(1),
            _ => None,
        }
    }
}

/// The first word of a copy.
const fn begin(copy: usize) -> usize {
    1 + copy * JOURNAL_VALUES
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_note_stands_until_another_one_does_and_half_of_one_never() {
        let words = std::array::from_fn(|_| AtomicU64::new(0));
        let journal = Journal::new(&words);
        assert_eq!(journal.read(), None);
        for round in 1..5 {
            let note = [round; JOURNAL_VALUES];
            journal.write(&note);
            assert_eq!(journal.read(), Some(note));
            // What a writer killed on its way leaves is in the copy that does not stand.
            let other = if words[STANDS].load(Relaxed) == 1 { 1 } else { 0 };
            words[begin(other)].store(99, Relaxed);
            assert_eq!(journal.read(), Some(note));
        }
        journal.clear();
        assert_eq!(journal.read(), None);
    }
}
