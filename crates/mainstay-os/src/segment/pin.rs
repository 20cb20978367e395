//! The cells of one series in one slot, found once and then held, so that measuring is an addition and
//! a comparison.

use super::atomic::AtomicU64;
use super::measures::{self, GAUGE_WORDS, HISTOGRAM_WORDS};
use super::{Cells, Exemplar};
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

/// Cells of one series in one slot; made by [`Segment::pin`](super::Segment::pin). The holder of the slot
/// alone writes. Cloning is cheap.
#[derive(Clone)]
pub struct Pin {
    /// The first of the words from the series' cells to the end of all, and how many they are. To find them
    /// through their owner each time would be most of what an addition costs.
    first: NonNull<AtomicU64>,
    count: usize,
    begin: usize,
    /// Keeps the words.
    _cells: Arc<Cells>,
}

// SAFETY: the pointer stands for a shared slice of atomics, which the owner beside it keeps.
unsafe impl Send for Pin {}
// SAFETY: as above.
unsafe impl Sync for Pin {}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pin").field("begin", &self.begin).finish_non_exhaustive()
    }
}

impl Pin {
    pub(crate) fn new(cells: Arc<Cells>, begin: usize) -> Pin {
        let words = cells.words().get(begin..).unwrap_or_default();
        let (first, count) = (NonNull::from(words).cast(), words.len());
        Pin { first, count, begin, _cells: cells }
    }

    #[inline]
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: it was made from this slice of the words, which stay where they are while their owner lives,
        // and that is kept.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.count) }
    }

    /// Adds to a counter.
    #[inline]
    pub fn count(&self, by: u64) {
        if let Some(word) = self.words().first() {
            measures::count(word, by);
        }
    }

    #[inline]
    fn gauge(&self, act: impl FnOnce(&measures::Gauge)) {
        if let Some(words) = self.words().first_chunk::<GAUGE_WORDS>() {
            act(words);
        }
    }

    /// Sets a gauge that ends with its holder.
    #[inline]
    pub fn set(&self, value: f64) {
        self.gauge(|words| measures::set(words, value, measures::LIVE));
    }

    /// Sets a gauge that stays after its holder, at `now` (monotonic nanoseconds).
    #[inline]
    pub fn set_at(&self, value: f64, now: u64) {
        self.gauge(|words| measures::set(words, value, now.max(measures::LIVE + 1)));
    }

    /// Adds to a gauge that ends with its holder.
    #[inline]
    pub fn shift(&self, by: f64) {
        self.gauge(|words| measures::shift(words, by));
    }

    /// Puts a value, billionths of a unit, into a histogram.
    #[inline]
    pub fn observe(&self, value: u64) {
        if let Some(words) = self.words().first_chunk::<HISTOGRAM_WORDS>() {
            measures::observe(words, value);
        }
    }

    /// Keeps an observation of a histogram as an example, under its trace. The holder's threads take turns.
    pub fn exemplify(&self, exemplar: &Exemplar) {
        if let Some(words) = self.words().first_chunk::<HISTOGRAM_WORDS>() {
            measures::exemplify(words, exemplar);
        }
    }
}
