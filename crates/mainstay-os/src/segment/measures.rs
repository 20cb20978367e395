//! What one slot's holder measures: the cells of each series of the register, at the series' index.
//! Counters and histograms go on with the slot; a gauge is live and ends with its holder, unless it
//! was set with its time, which is for values of which the last one counts.

use super::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use super::bins::{BINS, bin_of};
use super::register::{Capacity, Kind};

/// Words of a gauge: its mark, then its value.
pub(crate) const GAUGE_WORDS: usize = 2;
const MARK: usize = 0;
const VALUE: usize = 1;
/// The mark of a gauge that ends with its holder; a larger one is the time when it was set.
pub(crate) const LIVE: u64 = 1;

/// Words of a histogram: whether it is in use, the sum, then the bins.
const USED: usize = 0;
const SUM: usize = 1;
const FIRST_BIN: usize = 2;
pub(crate) const HISTOGRAM_WORDS: usize = (FIRST_BIN + BINS).next_multiple_of(8);

/// Cells of a gauge.
pub(crate) type Gauge = [AtomicU64; GAUGE_WORDS];
/// Cells of a histogram.
type Histogram = [AtomicU64; HISTOGRAM_WORDS];

/// Words of all measures of a slot.
pub(crate) fn words(capacity: Capacity) -> usize {
    let Capacity { counters, gauges, histograms, .. } = capacity;
    counters.next_multiple_of(8)
        + (gauges * GAUGE_WORDS).next_multiple_of(8)
        + histograms * HISTOGRAM_WORDS
}

/// What a slot has measured of one gauge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GaugeRead {
    /// When it was set, monotonic nanoseconds; 0 for one that is live.
    pub set_at: u64,
    /// The value.
    pub value: f64,
}

/// The sum of histograms.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    /// Observations in each bin.
    pub bins: Vec<u64>,
    /// Sum of what was observed, billionths of a unit.
    pub sum: f64,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally { bins: vec![0; BINS], sum: 0.0 }
    }
}

impl Tally {
    /// How many observations there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.bins.iter().fold(0, |sum, bin| sum.wrapping_add(*bin))
    }
}

/// View of the cells of one slot. The holder of the slot alone writes, by its pins. An index beyond what
/// there is reads as nothing.
#[derive(Clone, Copy, Debug)]
pub struct Measures<'a> {
    words: &'a [AtomicU64],
    capacity: Capacity,
}

impl<'a> Measures<'a> {
    pub(crate) fn new(words: &'a [AtomicU64], capacity: Capacity) -> Measures<'a> {
        Measures { words, capacity }
    }

    #[inline]
    fn counter(&self, index: usize) -> Option<&'a AtomicU64> {
        (index < self.capacity.counters).then(|| &self.words[index])
    }

    #[inline]
    fn gauge(&self, index: usize) -> Option<&'a Gauge> {
        if index >= self.capacity.gauges {
            return None;
        }
        let begin = self.capacity.counters.next_multiple_of(8) + index * GAUGE_WORDS;
        self.words[begin..].first_chunk()
    }

    #[inline]
    fn histogram_begin(&self, index: usize) -> Option<usize> {
        let Capacity { counters, gauges, histograms, .. } = self.capacity;
        let begin = counters.next_multiple_of(8) + (gauges * GAUGE_WORDS).next_multiple_of(8);
        (index < histograms).then(|| begin + index * HISTOGRAM_WORDS)
    }

    #[inline]
    fn histogram(&self, index: usize) -> Option<&'a Histogram> {
        self.words[self.histogram_begin(index)?..].first_chunk()
    }

    /// What a counter has counted.
    #[must_use]
    pub fn counted(&self, index: usize) -> u64 {
        self.counter(index).map_or(0, |word| word.load(Relaxed))
    }

    /// What a gauge says; `None` when it was not set.
    #[must_use]
    pub fn read_gauge(&self, index: usize) -> Option<GaugeRead> {
        let words = self.gauge(index)?;
        let mark = words[MARK].load(Acquire);
        let value = f64::from_bits(words[VALUE].load(Relaxed));
        let set_at = if mark == LIVE { 0 } else { mark };
        (mark != 0).then_some(GaugeRead { set_at, value })
    }

    /// Says that a histogram will be used, without which it is not read.
    pub fn open(&self, index: usize) {
        if let Some(words) = self.histogram(index) {
            words[USED].store(1, Relaxed);
        }
    }

    /// Puts a value, billionths of a unit, into a histogram whose holder's threads take turns at it: what
    /// would be an exchange is a store.
    #[inline]
    pub fn observe_in_turn(&self, index: usize, value: u64) {
        if let Some(words) = self.histogram(index) {
            let bin = &words[FIRST_BIN + bin_of(value)];
            bin.store(bin.load(Relaxed).wrapping_add(1), Relaxed);
            let sum = f64::from_bits(words[SUM].load(Relaxed)) + value as f64;
            words[SUM].store(sum.to_bits(), Relaxed);
        }
    }

    /// Adds to the sum of a histogram what a settlement puts into a bin of it.
    #[inline]
    pub fn add_to_sum(&self, index: usize, value: u64) {
        if let Some(words) = self.histogram(index) {
            add(&words[SUM], value as f64);
        }
    }

    /// Where a series begins among the measures of a slot.
    pub(crate) fn begin(&self, kind: Kind, index: usize) -> Option<usize> {
        match kind {
            Kind::Counter => (index < self.capacity.counters).then_some(index),
            Kind::Gauge => (index < self.capacity.gauges)
                .then(|| self.capacity.counters.next_multiple_of(8) + index * GAUGE_WORDS),
            Kind::Histogram => self.histogram_begin(index),
        }
    }

    /// Where the bin of a value is among the measures of a slot.
    #[inline]
    pub(crate) fn place(&self, index: usize, value: u64) -> Option<usize> {
        Some(self.histogram_begin(index)? + FIRST_BIN + bin_of(value))
    }

    /// Adds what a histogram has counted to `tally`.
    pub fn read_histogram(&self, index: usize, tally: &mut Tally) {
        let Some(words) = self.histogram(index) else { return };
        // What was never used is not touched: it takes no memory.
        if words[USED].load(Relaxed) == 0 {
            return;
        }
        for (sum, word) in tally.bins.iter_mut().zip(&words[FIRST_BIN..]) {
            *sum = sum.wrapping_add(word.load(Relaxed));
        }
        tally.sum += f64::from_bits(words[SUM].load(Relaxed));
    }

    /// What is live ends with its holder; for the supervisor alone.
    pub(crate) fn clear_live(&self) {
        for words in (0..self.capacity.gauges).filter_map(|index| self.gauge(index)) {
            if words[MARK].load(Relaxed) == LIVE {
                words[MARK].store(0, Relaxed);
                words[VALUE].store(0, Relaxed);
            }
        }
    }
}

#[inline]
pub(crate) fn count(word: &AtomicU64, by: u64) {
    word.fetch_add(by, Relaxed);
}

#[inline]
pub(crate) fn set(words: &Gauge, value: f64, mark: u64) {
    words[VALUE].store(value.to_bits(), Relaxed);
    words[MARK].store(mark, Release);
}

#[inline]
pub(crate) fn shift(words: &Gauge, by: f64) {
    add(&words[VALUE], by);
    words[MARK].store(LIVE, Release);
}

#[inline]
pub(crate) fn observe(words: &Histogram, value: u64) {
    words[FIRST_BIN + bin_of(value)].fetch_add(1, Relaxed);
    add(&words[SUM], value as f64);
}

/// Adds to a word that holds a floating-point number.
#[inline]
fn add(word: &AtomicU64, by: f64) {
    let sum = |bits| Some((f64::from_bits(bits) + by).to_bits());
    word.fetch_update(Relaxed, Relaxed, sum).ok();
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::segment::{Layout, Pin, Segment};

    fn segment() -> Segment {
        let metrics = Capacity { metrics: 0, counters: 3, gauges: 2, histograms: 2 };
        Segment::on_heap(Layout {
            slots: 2,
            counters: 3,
            in_flight: 1,
            ring_bytes: [64; 3],
            metrics,
            limits: 0,
        })
    }

    fn pin(segment: &Segment, kind: Kind, index: usize) -> Pin {
        segment.pin(1, kind, index).expect("the series is there")
    }

    #[test]
    fn totals_go_on_and_what_is_live_ends_with_its_holder() {
        let segment = segment();
        pin(&segment, Kind::Counter, 2).count(5);
        let measures = segment.slot(1).unwrap().measures();
        assert_eq!(measures.read_gauge(0), None);
        pin(&segment, Kind::Gauge, 0).shift(1.5);
        pin(&segment, Kind::Gauge, 0).shift(-0.5);
        pin(&segment, Kind::Gauge, 1).set_at(4.0, 99);
        pin(&segment, Kind::Histogram, 1).observe(5_000_000);
        let gauges = || [0, 1].map(|it| measures.read_gauge(it));
        let last = Some(GaugeRead { set_at: 99, value: 4.0 });
        assert_eq!(gauges(), [Some(GaugeRead { set_at: 0, value: 1.0 }), last]);
        segment.slot(1).unwrap().take_back();
        assert_eq!(gauges(), [None, last]);
        let mut tally = Tally::default();
        measures.read_histogram(1, &mut tally);
        measures.read_histogram(2, &mut tally);
        assert_eq!((tally.count(), tally.bins[bin_of(5_000_000)], tally.sum), (1, 1, 5_000_000.0));
        assert_eq!([1, 2, 3].map(|index| measures.counted(index)), [0, 5, 0]);
        assert_eq!(segment.slot(0).unwrap().measures().counted(2), 0);
    }

    #[test]
    fn there_is_no_pin_for_what_there_is_not() {
        let segment = segment();
        for (kind, count) in [(Kind::Counter, 3), (Kind::Gauge, 2), (Kind::Histogram, 2)] {
            assert!(segment.pin(1, kind, count - 1).is_some());
            assert!(segment.pin(1, kind, count).is_none());
            assert!(segment.pin(1, kind, usize::MAX).is_none());
            assert!(segment.pin(2, kind, 0).is_none());
        }
    }

    #[test]
    fn several_threads_lose_nothing() {
        let segment = segment();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for value in 0..1_000 {
                        pin(&segment, Kind::Counter, 0).count(1);
                        pin(&segment, Kind::Gauge, 1).shift(1.0);
                        pin(&segment, Kind::Histogram, 0).observe(value);
                    }
                });
            }
        });
        let (measures, mut tally) = (segment.slot(1).unwrap().measures(), Tally::default());
        measures.read_histogram(0, &mut tally);
        assert_eq!((measures.counted(0), tally.count()), (3_000, 3_000));
        assert_eq!(tally.sum, 3.0 * 999.0 * 1_000.0 / 2.0);
        assert_eq!(measures.read_gauge(1).map(|gauge| gauge.value), Some(3_000.0));
    }
}
