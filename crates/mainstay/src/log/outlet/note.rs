//! What a drainer notes in the segment before it writes to a file, so that its successor knows what
//! of it was done.

use crate::log::Stream;
use mainstay_os::segment::{JOURNAL_VALUES, Journal};

/// A file, and a byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) dev: u64,
    pub(super) ino: u64,
    /// The file's size before the batch, or the rest of it, is written there.
    pub(super) size: u64,
}

/// What is under way: the batch up to the rings' intents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) streams: Vec<Stream>,
    /// Where it is written; none for a stream, of which the beginning of a line may be out.
    pub(super) mark: Option<Mark>,
    /// What of the batch other files have: lines up to this byte.
    pub(super) offset: u64,
    pub(super) len: u64,
    /// The drainer's slot, and what its counters of written lines will say.
    pub(super) slot: usize,
    pub(super) counts: [u64; 2],
    /// All of it is written: what remains is to take it from the rings and to count it.
    pub(super) is_done: bool,
}

const ACCESS: u64 = 1;
const ERROR: u64 = 2;
const DONE: u64 = 4;
const FILE: u64 = 8;

impl Note {
    pub(super) fn write(&self, journal: Journal<'_>) {
        let mark = self.mark.unwrap_or(Mark { dev: 0, ino: 0, size: 0 });
        let streams = self.streams.iter().map(|stream| match stream {
            Stream::Access => ACCESS,
            Stream::Error => ERROR,
        });
        let mut flags = streams.fold(0, |all, one| all | one);
        flags |= if self.is_done { DONE } else { 0 };
        flags |= if self.mark.is_some() { FILE } else { 0 };
        let [access, error] = self.counts;
        let slot = self.slot as u64;
        let Mark { dev, ino, size } = mark;
        journal.write(&[dev, ino, size, self.offset, self.len, slot, access, error, flags]);
    }

    /// The note that stands. What makes no sense is none.
    pub(super) fn read(journal: Journal<'_>) -> Option<Note> {
        let [dev, ino, size, offset, len, slot, access, error, flags]: [u64; JOURNAL_VALUES] =
            journal.read()?;
        let streams = [(ACCESS, Stream::Access), (ERROR, Stream::Error)];
        let streams = streams.into_iter().filter(|(flag, _)| flags & flag != 0);
        Some(Note {
            streams: streams.map(|(_, stream)| stream).collect(),
            mark: (flags & FILE != 0).then_some(Mark { dev, ino, size }),
            offset: Some(offset).filter(|offset| *offset <= len)?,
            len,
            slot: usize::try_from(slot).ok()?,
            counts: [access, error],
            is_done: flags & DONE != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::outlet::tests::segment;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let segment = segment(64);
        let journal = segment.header().journal(1);
        let file = Mark { dev: 1, ino: 2, size: 3 };
        for mark in [Some(file), None] {
            let streams = vec![Stream::Access, Stream::Error];
            let counts = [7, 8];
            let note = Note { streams, mark, offset: 4, len: 5, slot: 6, counts, is_done: true };
            note.write(journal);
            assert_eq!(Note::read(journal), Some(note));
        }
        journal.write(&[9; JOURNAL_VALUES]);
        assert_eq!(Note::read(journal).map(|note| note.streams), Some(vec![Stream::Access]));
        journal.write(&[0, 0, 0, 2, 1, 0, 0, 0, 0]);
        assert_eq!(Note::read(journal), None, "more was written than there is");
    }
}
