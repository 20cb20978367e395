//! Where everything is: sizes chosen at start, offsets computed from them, and the stamp by which
//! two programs recognise that they mean the same.

use super::atomic::{AtomicU64, Ordering::Relaxed};
use super::limits::Geometry;
use super::places::Places;
use super::register::Capacity;
use super::{board, header};
use std::fmt;

/// `mainstay` in ASCII.
const MAGIC: u64 = u64::from_le_bytes(*b"mainstay");
/// Raised whenever the meaning of a word changes.
const VERSION: u64 = 12;
/// The words before the register of metrics: the header and the board.
pub(crate) const REGISTER: usize = header::WORDS + board::WORDS;
/// A segment larger than this is a mistake, or an attack on the mapper.
const MAX_WORDS: usize = 1 << 31;

/// Words of a cache line.
const LINE: usize = 8;

/// Words of the stamp.
const STAMP: usize = 11 + RINGS;

/// Rings of each slot. They are told apart by their index; what goes where is their users' affair.
pub const RINGS: usize = 3;

/// The sizes of a segment, fixed for its life. Each of them and [`Layout::words`] is at most 2³¹.
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
    /// Metrics and their series.
    pub metrics: Capacity,
    /// Bytes of the table of rate limits; memory is taken by what is used. With less than a few
    /// kilobytes nothing is limited.
    pub limits: usize,
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
    /// One slot with so many counters and nothing else, for who needs more to say what.
    #[must_use]
    pub const fn small(counters: usize) -> Layout {
        Layout {
            slots: 1,
            counters,
            in_flight: 0,
            ring_bytes: [0; RINGS],
            metrics: Capacity::NONE,
            limits: 0,
        }
    }

    /// The first word of the first slot.
    pub(crate) fn first_slot(self) -> usize {
        REGISTER + self.metrics.register_words()
    }

    /// Words of one slot.
    pub(crate) fn slot_words(self) -> usize {
        Places::of(&self).words()
    }

    /// Whether these sizes can be those of a segment. Holds for sizes that a stranger wrote, too:
    /// nothing else is computed from them before.
    ///
    /// # Errors
    /// [`LayoutError::Size`] when one of them, or the segment, is beyond 2³¹ words (16 GiB; memory is
    /// taken only where it is touched).
    pub(crate) fn check(self) -> Result<(), LayoutError> {
        let Capacity { metrics, counters, gauges, histograms } = self.metrics;
        let sizes = [self.slots, self.counters, self.in_flight, self.limits];
        let series = [metrics, counters, gauges, histograms];
        let mut all = sizes.iter().chain(&self.ring_bytes).chain(&series);
        if all.any(|size| *size > MAX_WORDS) {
            return Err(LayoutError::Size);
        }
        // With each size below 2^31 a slot's words fit 64 bits, but the product may not.
        let words = (self.slot_words() as u128) * (self.slots as u128)
            + (self.first_slot() + LINE + Geometry::new(self.limits).words()) as u128;
        if words > MAX_WORDS as u128 { Err(LayoutError::Size) } else { Ok(()) }
    }

    /// Words of the whole segment.
    #[must_use]
    pub fn words(self) -> usize {
        self.first_limit() + Geometry::new(self.limits).words()
    }

    /// The first word of the table of rate limits, which begins a cache line.
    pub(crate) fn first_limit(self) -> usize {
        (self.first_slot() + self.slots * self.slot_words()).next_multiple_of(LINE)
    }

    /// Writes the stamp into a fresh segment.
    pub(crate) fn stamp(self, words: &[AtomicU64]) {
        for (word, value) in words.iter().zip(self.stamp_words()) {
            word.store(value, Relaxed);
        }
    }

    fn stamp_words(self) -> [u64; STAMP] {
        [
            MAGIC,
            VERSION,
            self.words() as u64,
            self.slots as u64,
            self.counters as u64,
            self.in_flight as u64,
            self.ring_bytes[0] as u64,
            self.ring_bytes[1] as u64,
            self.ring_bytes[2] as u64,
            self.metrics.metrics as u64,
            self.metrics.counters as u64,
            self.metrics.gauges as u64,
            self.metrics.histograms as u64,
            self.limits as u64,
        ]
    }

    /// Reads the stamp of a segment that somebody else made.
    ///
    /// # Errors
    /// [`LayoutError`] unless magic, version and all sizes agree with the words at hand.
    pub fn read(words: &[AtomicU64]) -> Result<Layout, LayoutError> {
        if words.len() < REGISTER || words[0].load(Relaxed) != MAGIC {
            return Err(LayoutError::NotASegment);
        }
        let found = words[1].load(Relaxed);
        if found != VERSION {
            return Err(LayoutError::Version { found, known: VERSION });
        }
        let size = |index: usize| usize::try_from(words[index].load(Relaxed)).ok();
        let mut sizes = [0; STAMP - 3];
        for (place, index) in sizes.iter_mut().zip(3..) {
            *place = size(index).ok_or(LayoutError::Size)?;
        }
        let [slots, counters, in_flight, first, second, third, rest @ ..] = sizes;
        let [metrics, series, gauges, histograms, limits] = rest;
        let metrics = Capacity { metrics, counters: series, gauges, histograms };
        let ring_bytes = [first, second, third];
        let layout = Layout { slots, counters, in_flight, ring_bytes, metrics, limits };
        layout.check()?;
        if layout.words() != words.len() || size(2) != Some(words.len()) {
            return Err(LayoutError::Size);
        }
        Ok(layout)
    }
}
