//! The shared segment: one array of atomic words that supervisor, workers and watch all map.
//!
//! **Everything in it is a 64-bit atomic word**, text included, so no read of it is ever undefined,
//! whatever another process does or dies doing. Structure is laid over the words by [`Layout`]:
//! a header, a board of named entries, a register of metrics, then `slots` equal slots, each with an
//! assignment line, a progress line, a counter block, the cells of each series of the register, a meter
//! for each entry of the board, the last requests that failed, a table of requests in flight and the rings;
//! then the table of rate limits.
//!
//! Invariants (ARCHITECTURE.md has the reasons):
//! 1. A counter block belongs to its slot, never to a pid; no counter ever goes down.
//! 2. Each line of a slot has exactly one writer at a time: the supervisor for the assignment, the
//!    process that holds the slot for everything else, the drainer for the ring's tail. Between two
//!    holders the supervisor alone clears what is live. The board, the register and the table of rate
//!    limits have several writers, and are compare-and-swap only.
//! 3. Nothing read from the segment is used as an index or a length without a bound check.
//! 4. Whatever a process killed at any instruction leaves behind is valid to read.

mod bins;
mod board;
mod cells;
mod exemplar;
mod failures;
#[cfg(all(test, not(loom)))]
mod garbage;
mod header;
mod inflight;
mod journal;
mod layout;
mod limits;
#[cfg(all(test, loom))]
mod loom;
#[cfg(not(loom))]
mod map;
mod measures;
mod meter;
mod note;
mod pin;
mod places;
mod register;
mod ring;
mod sequence;
mod settle;
mod slot;
mod text;

pub use bins::{BINS, bin_of, upper_edge};
pub use board::{Board, BoardEntry, ENTRIES, ENTRY_VALUES, MAX_NAME, MAX_TARGET};
pub use cells::Cells;
pub use exemplar::Exemplar;
pub use failures::{FAILURES, Failed, Failures};
pub use header::{Header, JOURNALS, NOTES};
pub use inflight::{InFlight, InFlightTable, MAX_METHOD, MAX_PATH, Started};
pub use journal::{JOURNAL_VALUES, Journal};
pub use layout::{Layout, LayoutError, RINGS};
pub use limits::{
    Added, BAN_NOTE, Ban, Bans, Breaker, EXACT_AMOUNT, Entry, Hit, Holder, Key, Limits,
    MAX_PERMITS, Named, Permit, Policy, PolicyError, REFUSED_NAME, Refused, Scope, Strategy,
    Subject, Turn, Verdict, Wanted, Whom,
};
#[cfg(not(loom))]
pub use map::MapError;
pub use measures::{GaugeRead, Measures, Tally, read_histograms};
pub use meter::{GAUGES, Meter, TOTALS};
pub use note::{MAX_NOTE, Note, NoteRead};
pub use pin::Pin;
pub use register::{
    Capacity, Declined, Kind, MAX_HELP, MAX_LABELS, MAX_METRIC_NAME, Metric, Register, Series,
};
pub use ring::{Front, Ring, RingRecord};
pub use settle::{Record, Settlement};
pub use slot::{Burnt, Phase, Slot};

/// The atomic word of the segment; loom's own under `--cfg loom`.
pub(crate) mod atomic {
    #[cfg(loom)]
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};
    #[cfg(not(loom))]
    pub(crate) use std::sync::atomic::{AtomicU64, Ordering, fence};
}

use places::Places;
use std::sync::Arc;

/// A mapped segment. Cloning shares the mapping.
#[derive(Clone, Debug)]
pub struct Segment {
    cells: Arc<Cells>,
    layout: Layout,
    /// Where slots begin and the parts of each are, computed once: every request asks for its slot.
    first_slot: usize,
    places: Arc<Places>,
    /// Where the table of rate limits begins, and its parts, computed once for the same reason.
    first_limit: usize,
    limits: limits::Geometry,
}

impl Segment {
    /// A segment on the heap of this process: for tests, and for the HTTP stack embedded in a
    /// program that has no supervisor.
    #[must_use]
    pub fn on_heap(layout: Layout) -> Segment {
        let cells = Arc::new(Cells::on_heap(layout.words()));
        let segment = Segment::of(cells, layout);
        layout.stamp(segment.cells.words());
        segment
    }

    /// Lays `layout`, already verified against the cells, over them.
    #[cfg(not(loom))]
    pub(crate) fn from_parts(cells: Cells, layout: Layout) -> Segment {
        Segment::of(Arc::new(cells), layout)
    }

    fn of(cells: Arc<Cells>, layout: Layout) -> Segment {
        let (first_slot, first_limit) = (layout.first_slot(), layout.first_limit());
        let places = Arc::new(Places::of(&layout));
        let limits = limits::Geometry::new(layout.limits);
        Segment { cells, layout, first_slot, places, first_limit, limits }
    }

    /// The sizes this segment was made with.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The service-wide part, written by the supervisor alone.
    #[inline]
    #[must_use]
    pub fn header(&self) -> Header<'_> {
        Header::new(self.cells.words())
    }

    /// The board, written by everybody.
    #[must_use]
    pub fn board(&self) -> Board<'_> {
        Board::new(&self.cells.words()[header::WORDS..])
    }

    /// The register of metrics, written by everybody.
    #[must_use]
    pub fn register(&self) -> Register<'_> {
        Register::new(&self.cells.words()[layout::REGISTER..], self.layout.metrics)
    }

    /// The table of rate limits, written by everybody.
    #[inline]
    #[must_use]
    pub fn limits(&self) -> Limits<'_> {
        Limits::new(&self.cells.words()[self.first_limit..], self.limits)
    }

    /// Whether a holder of permits is still there: dead or killed, it is until it was reaped.
    #[must_use]
    pub fn lives(&self, holder: Holder) -> bool {
        let slot = self.slot(holder.slot);
        slot.is_some_and(|slot| slot.phase() != Phase::Free && slot.epoch() as u32 == holder.epoch)
    }

    /// Slot `index`, or `None` beyond [`Layout::slots`].
    #[inline]
    #[must_use]
    pub fn slot(&self, index: usize) -> Option<Slot<'_>> {
        if index >= self.layout.slots {
            return None;
        }
        let begin = self.first_slot(index);
        let words = &self.cells.words()[begin..begin + self.places.words()];
        Some(Slot::new(words, &self.places))
    }

    /// The cells of series `index` of this kind in slot `slot`, for whoever holds that; a histogram is
    /// read from now on. `None` when there are none.
    #[must_use]
    pub fn pin(&self, slot: usize, kind: Kind, index: usize) -> Option<Pin> {
        let view = self.slot(slot)?;
        let begin = view.measures().begin(kind, index)?;
        if kind == Kind::Histogram {
            view.measures().open(index);
        }
        let begin = self.first_slot(slot) + self.places.measures.start + begin;
        Some(Pin::new(Arc::clone(&self.cells), begin))
    }

    /// The first word of slot `index`.
    #[inline]
    fn first_slot(&self, index: usize) -> usize {
        self.first_slot + index * self.places.words()
    }

    /// Every slot in order of its index.
    pub fn slots(&self) -> impl Iterator<Item = Slot<'_>> {
        (0..self.layout.slots).filter_map(|index| self.slot(index))
    }

    /// The sum of counter `index` over all slots: a total of the service, past holders included.
    #[must_use]
    pub fn total(&self, index: usize) -> u64 {
        self.slots().map(|slot| slot.counter(index)).fold(0, u64::wrapping_add)
    }
}

/// How often a property is tried: enough to be told of what is wrong, few where each is slow.
#[cfg(all(test, not(loom)))]
pub(crate) fn cases() -> proptest::test_runner::Config {
    let cases = if cfg!(miri) { 4 } else { 512 };
    // What fails is printed as a case of its own; a file beside the source helps nobody else.
    proptest::test_runner::Config { cases, failure_persistence: None, ..Default::default() }
}
