//! A note: a short text with two values that the supervisor changes as a whole while everybody may
//! read it.
//!
//! It stands under a [sequence number](super::sequence): while it is being changed it counts as empty, and a
//! supervisor killed over it leaves an empty note, which its successor can write again.

use super::atomic::{AtomicU64, Ordering::Relaxed};
use super::sequence::Sequence;
use super::text;

const SEQUENCE: usize = 0;
const VALUES: usize = 1;
const LENGTH: usize = 3;
/// Words before the text.
const FIXED_WORDS: usize = 4;
/// Longest text, bytes.
pub const MAX_NOTE: usize = 128;
/// Words of one note.
pub(crate) const WORDS: usize = FIXED_WORDS + text::words_for(MAX_NOTE);

/// View of one note. The supervisor alone writes.
#[derive(Clone, Copy, Debug)]
pub struct Note<'a> {
    words: &'a [AtomicU64; WORDS],
}

/// A note as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoteRead {
    /// The two values.
    pub values: [u64; 2],
    bytes: [u8; MAX_NOTE],
    len: usize,
}

impl NoteRead {
    /// The text; never empty.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl<'a> Note<'a> {
    #[inline]
    pub(crate) fn new(words: &'a [AtomicU64; WORDS]) -> Note<'a> {
        Note { words }
    }

    /// Whether there is a note, for the price of one load.
    #[inline]
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.words[LENGTH].load(Relaxed) != 0
    }

    /// The note; `None` when it is empty or being changed.
    #[must_use]
    pub fn read(&self) -> Option<NoteRead> {
        let read = self.sequence().read(|| {
            let values = [VALUES, VALUES + 1].map(|word| self.words[word].load(Relaxed));
            // A length that makes no sense is cut to what there is.
            let len = usize::try_from(self.words[LENGTH].load(Relaxed)).unwrap_or(MAX_NOTE);
            let len = len.min(MAX_NOTE);
            let mut bytes = [0; MAX_NOTE];
            let (chunks, _) = bytes.as_chunks_mut::<8>();
            let used = text::words_for(len);
            for (chunk, word) in chunks.iter_mut().zip(&self.words[FIXED_WORDS..]).take(used) {
                *chunk = word.load(Relaxed).to_le_bytes();
            }
            NoteRead { values, bytes, len }
        });
        read.filter(|read| read.len > 0)
    }

    /// Replaces the note; for the supervisor alone. An empty text removes it; of a longer one than
    /// [`MAX_NOTE`] bytes the beginning is kept.
    pub fn write(&self, values: [u64; 2], text: &[u8]) {
        self.sequence().write(|| {
            self.words[VALUES].store(values[0], Relaxed);
            self.words[VALUES + 1].store(values[1], Relaxed);
            let stored = text::store(&self.words[FIXED_WORDS..], text);
            self.words[LENGTH].store(stored as u64, Relaxed);
        });
    }

    fn sequence(&self) -> Sequence<'a> {
        Sequence(&self.words[SEQUENCE])
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::segment::cases;
    use proptest::prelude::*;

    fn words() -> [AtomicU64; WORDS] {
        std::array::from_fn(|_| AtomicU64::new(0))
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn a_note_is_read_as_it_was_written(
            notes in prop::collection::vec(
                (any::<[u64; 2]>(), prop::collection::vec(any::<u8>(), 0..150)), 1..4),
        ) {
            let words = words();
            let note = Note::new(&words);
            prop_assert!(!note.is_there() && note.read().is_none());
            for (values, text) in notes {
                note.write(values, &text);
                let kept = &text[..text.len().min(MAX_NOTE)];
                let read = note.read();
                prop_assert_eq!(note.is_there(), !kept.is_empty());
                prop_assert_eq!(read.map(|read| read.values), (!kept.is_empty()).then_some(values));
                prop_assert_eq!(read.as_ref().map_or(&[][..], NoteRead::text), kept);
            }
        }
    }

    #[test]
    fn a_note_that_its_writer_died_over_is_empty_until_it_is_written_again() {
        let words = words();
        let note = Note::new(&words);
        note.write([1, 2], b"before");
        note.sequence().break_off();
        assert_eq!(note.read(), None);
        note.write([3, 4], b"after");
        assert_eq!(note.read().as_ref().map(NoteRead::text), Some(&b"after"[..]));
    }

    #[test]
    fn a_reader_beside_a_writer_sees_whole_notes_only() {
        let words = words();
        let note = Note::new(&words);
        let rounds = if cfg!(miri) { 50 } else { 20_000_u64 };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=rounds {
                    note.write(
                        [round, !round],
                        &[round as u8; MAX_NOTE][..1 + round as usize % 100],
                    );
                }
            });
            let mut last = 0;
            while last < rounds {
                let Some(read) = note.read() else { continue };
                let round = read.values[0];
                assert_eq!(read.values[1], !round);
                assert_eq!(read.text().len(), 1 + round as usize % 100);
                assert!(read.text().iter().all(|byte| *byte == round as u8));
                assert!(round >= last);
                last = round;
            }
        });
    }
}
