//! The cells of one series in one slot, found once and then held, so that measuring is an addition and
//! a bound check.

use super::Cells;
use super::measures::{self, GAUGE_WORDS, HISTOGRAM_WORDS};
use std::fmt;
use std::sync::Arc;

/// Cells of one series in one slot; made by [`Segment::pin`](super::Segment::pin). The holder of the slot
/// alone writes. Cloning is cheap.
#[derive(Clone)]
pub struct Pin {
    cells: Arc<Cells>,
    begin: usize,
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pin").field("begin", &self.begin).finish_non_exhaustive()
    }
}

impl Pin {
    pub(crate) fn new(cells: Arc<Cells>, begin: usize) -> Pin {
        Pin { cells, begin }
    }

    /// Adds to a counter.
    #[inline]
    pub fn count(&self, by: u64) {
        if let Some(word) = self.cells.words().get(self.begin) {
            measures::count(word, by);
        }
    }

    #[inline]
    fn gauge(&self, act: impl FnOnce(&measures::Gauge)) {
        let words = self.cells.words().get(self.begin..).unwrap_or_default();
        if let Some(words) = words.first_chunk::<GAUGE_WORDS>() {
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
        let words = self.cells.words().get(self.begin..).unwrap_or_default();
        if let Some(words) = words.first_chunk::<HISTOGRAM_WORDS>() {
            measures::observe(words, value);
        }
    }
}
