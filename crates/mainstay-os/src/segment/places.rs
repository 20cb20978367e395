//! Where the parts of a slot are, computed once from the sizes: every request asks for most of them.

use super::layout::{Layout, RINGS};
use super::{ENTRIES, register::Capacity};
use super::{failures, inflight, measures, meter, ring, slot};
use std::ops::Range;

/// Words of all meters, one for each entry of the board.
const METER_WORDS: usize = ENTRIES * meter::WORDS;

/// Parts of every slot, in words of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) counters: Range<usize>,
    pub(crate) measures: Range<usize>,
    pub(crate) meters: Range<usize>,
    pub(crate) failures: Range<usize>,
    pub(crate) in_flight: Range<usize>,
    pub(crate) rings: [Range<usize>; RINGS],
    /// Series of each kind among the measures.
    pub(crate) metrics: Capacity,
}

impl Places {
    /// For sizes that were checked, or are about to be by what this gives.
    pub(crate) fn of(layout: &Layout) -> Places {
        let mut end = slot::FIXED_WORDS;
        let mut next = |begins: usize, words: usize| {
            end = begins.max(end);
            let part = end..end + words;
            end = part.end;
            part
        };
        let counters = next(0, layout.counters);
        let measures = next(
            slot::FIXED_WORDS + layout.counters.next_multiple_of(8),
            measures::words(layout.metrics),
        );
        Places {
            counters,
            measures,
            meters: next(0, METER_WORDS),
            failures: next(0, failures::WORDS),
            in_flight: next(0, layout.in_flight * inflight::ENTRY_WORDS),
            rings: layout.ring_bytes.map(|bytes| next(0, ring::words(bytes))),
            metrics: layout.metrics,
        }
    }

    /// Words of a slot.
    pub(crate) fn words(&self) -> usize {
        self.rings[RINGS - 1].end
    }
}
