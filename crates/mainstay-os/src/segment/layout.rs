//! Where everything is: sizes chosen at start, offsets computed from them, and the stamp by which
//! two programs recognise that they mean the same.

use super::atomic::{AtomicU64, Ordering::Relaxed};
use super::{board, header, inflight, ring, slot};
use std::fmt;

/// `mainstay` in ASCII.
const MAGIC: u64 = u64::from_le_bytes(*b"mainstay");
/// Raised whenever the meaning of a word changes.
const VERSION: u64 = 5;
/// The words before the first slot: the header and the board.
pub(crate) const FIRST_SLOT: usize = header::WORDS + board::WORDS;
/// A segment larger than this is a mistake, or an attack on the mapper.
const MAX_WORDS: usize = 1 << 30;

/// Rings of each slot. They are told apart by their index; what goes where is their users' affair.
pub const RINGS: usize = 2;

/// The sizes of a segment, fixed for its life. Each of them and [`Layout::words`] is at most 2³⁰.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Number of slots: workers of two generations and a few, the supervisor and watch.
    pub slots: usize,
    /// Counters in each slot's block.
    pub counters: usize,
    /// Requests in flight that a slot can describe at once; more are served without a description
    /// and counted as such.
    pub in_flight: usize,
    /// Bytes of each of a slot's rings, rounded up to multiples of 8.
    pub ring_bytes: [usize; RINGS],
}

/// Why a segment was refused. Two programs that disagree refuse each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// The words do not begin with the magic number, or are too few to hold a header.
    NotASegment,
    /// Made by a program of another layout version.
    Version {
        /// What the segment says.
        found: u64,
        /// What this program knows.
        known: u64,
    },
    /// The sizes in the header do not give the size of the memory.
    Size,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayoutError::NotASegment => f.write_str("not a mainstay segment"),
            LayoutError::Version { found, known } => {
                write!(f, "segment layout {found}, but this program knows layout {known}")
            }
            LayoutError::Size => f.write_str("the segment's size does not match its header"),
        }
    }
}

impl std::error::Error for LayoutError {}

impl Layout {
    /// Words of one slot.
    pub(crate) fn slot_words(self) -> usize {
        slot::FIXED_WORDS
            + self.counters.next_multiple_of(8)
            + slot::METER_WORDS
            + self.in_flight * inflight::ENTRY_WORDS
            + self.ring_bytes.map(ring::words).iter().sum::<usize>()
    }

    /// Whether these sizes can be those of a segment. Holds for sizes that a stranger wrote, too:
    /// nothing else is computed from them before.
    ///
    /// # Errors
    /// [`LayoutError::Size`] when one of them, or the segment, is beyond 2³⁰ words (8 GiB; memory is
    /// taken only where it is touched).
    pub(crate) fn check(self) -> Result<(), LayoutError> {
        let [first, second] = self.ring_bytes;
        let sizes = [self.slots, self.counters, self.in_flight, first, second];
        if sizes.iter().any(|size| *size > MAX_WORDS) {
            return Err(LayoutError::Size);
        }
        // With each size below 2^30 a slot's words fit 64 bits, but the product may not.
        let words = (self.slot_words() as u128) * (self.slots as u128) + FIRST_SLOT as u128;
        if words > MAX_WORDS as u128 { Err(LayoutError::Size) } else { Ok(()) }
    }

    /// Words of the whole segment.
    #[must_use]
    pub fn words(self) -> usize {
        FIRST_SLOT + self.slots * self.slot_words()
    }

    /// Writes the stamp into a fresh segment.
    pub(crate) fn stamp(self, words: &[AtomicU64]) {
        for (word, value) in words.iter().zip(self.stamp_words()) {
            word.store(value, Relaxed);
        }
    }

    fn stamp_words(self) -> [u64; 6 + RINGS] {
        [
            MAGIC,
            VERSION,
            self.words() as u64,
            self.slots as u64,
            self.counters as u64,
            self.in_flight as u64,
            self.ring_bytes[0] as u64,
            self.ring_bytes[1] as u64,
        ]
    }

    /// Reads the stamp of a segment that somebody else made.
    ///
    /// # Errors
    /// [`LayoutError`] unless magic, version and all sizes agree with the words at hand.
    pub fn read(words: &[AtomicU64]) -> Result<Layout, LayoutError> {
        if words.len() < FIRST_SLOT || words[0].load(Relaxed) != MAGIC {
            return Err(LayoutError::NotASegment);
        }
        let found = words[1].load(Relaxed);
        if found != VERSION {
            return Err(LayoutError::Version { found, known: VERSION });
        }
        let size = |index: usize| usize::try_from(words[index].load(Relaxed)).ok();
        let layout = match [size(3), size(4), size(5), size(6), size(7)] {
            [Some(slots), Some(counters), Some(in_flight), Some(first), Some(second)] => {
                Layout { slots, counters, in_flight, ring_bytes: [first, second] }
            }
            _ => return Err(LayoutError::Size),
        };
        layout.check()?;
        if layout.words() != words.len() || size(2) != Some(words.len()) {
            return Err(LayoutError::Size);
        }
        Ok(layout)
    }
}
