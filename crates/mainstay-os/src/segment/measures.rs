//! What one slot's holder measures: the cells of each series of the register, at the series' index.
//! Counters and histograms go on with the slot; a gauge is live and ends with its holder, unless it
//! was set with its time, which is for values of which the last one counts.

use super::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use super::bins::{BINS, bin_of};
use super::exemplar::{self, Exemplar};
use super::register::{Capacity, Kind};

/// Words of a gauge: its mark, then its value.
pub(crate) const GAUGE_WORDS: usize = 2;
const MARK: usize = 0;
const VALUE: usize = 1;
/// The mark of a gauge that ends with its holder; a larger one is the time when it was set.
pub(crate) const LIVE: u64 = 1;

/// Words of a histogram: what of it is in use, the sum, the bins, then the exemplars.
const USED: usize = 0;
const SUM: usize = 1;
/// Where a line of a cache begins.
const FIRST_BIN: usize = 8;
const EXEMPLARS: usize = (FIRST_BIN + BINS).next_multiple_of(8);
pub(crate) const HISTOGRAM_WORDS: usize = EXEMPLARS + exemplar::WORDS;
/// Bits of [`USED`]: it may be observed, it may have exemplars, and from [`FIRST_GROUP`] on one for each group
/// of bins in which something may be. What nobody used is not looked at: it takes neither memory nor time.
const OPEN: u64 = 1;
const EXEMPLIFIED: u64 = 2;
const FIRST_GROUP: usize = 2;
/// Bins of a group, two lines of a cache.
const GROUP: usize = 16;
const _: () = assert!(FIRST_GROUP + BINS.div_ceil(GROUP) <= 64);
/// Words of a line of a cache.
const LINE: usize = 8;

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
    /// Observations that belong to traces, in no order.
    pub exemplars: Vec<Exemplar>,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally { bins: vec![0; BINS], sum: 0.0, exemplars: Vec::new() }
    }
}

impl Tally {
    /// Begins anew.
    pub fn clear(&mut self) {
        self.bins.fill(0);
        self.sum = 0.0;
        self.exemplars.clear();
    }

    /// How many observations there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.bins.iter().fold(0, |sum, bin| sum.wrapping_add(*bin))
    }
}

/// Adds what several slots have counted in a histogram to `tally`. That of one slot is far away from that of
/// another, so all are asked for before the first is read: the processor waits for them together.
pub fn read_histograms(slots: &[Measures<'_>], index: usize, tally: &mut Tally) {
    for part in [Part::Head, Part::Bins] {
        slots.iter().for_each(|slot| slot.fetch(index, part));
    }
    slots.iter().for_each(|slot| slot.read_histogram(index, tally));
}

/// What is fetched of a histogram.
#[derive(Clone, Copy)]
enum Part {
    Head,
    Bins,
}

/// Asks the processor for a line of memory, without waiting for it.
#[inline]
fn fetch(word: &AtomicU64) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a hint, which reads nothing, at an address that is valid.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(word).cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = word;
}

/// View of the cells of one slot. The holder of the slot alone writes, by its pins. An index beyond what
/// there is reads as nothing.
#[derive(Clone, Copy, Debug)]
pub struct Measures<'a> {
    words: &'a [AtomicU64],
    capacity: Capacity,
}

impl<'a> Measures<'a> {
    #[inline]
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
            words[USED].fetch_or(OPEN, Relaxed);
        }
    }

    /// Puts a value, billionths of a unit, into a histogram whose holder's threads take turns at it: what
    /// would be an exchange is a store.
    #[inline]
    pub fn observe_in_turn(&self, index: usize, value: u64) {
        if let Some(words) = self.histogram(index) {
            let bin = bin_of(value);
            mark(&words[USED], bin);
            let bin = &words[FIRST_BIN + bin];
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

    /// Keeps an observation of a histogram as an example, under its trace. The holder's threads take turns.
    pub fn exemplify(&self, index: usize, exemplar: &Exemplar) {
        if let Some(words) = self.histogram(index) {
            self::exemplify(words, exemplar);
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

    /// Where the bin of a value is among the measures of a slot. Something may be in it from now on.
    #[inline]
    pub(crate) fn place(&self, index: usize, value: u64) -> Option<usize> {
        let (begin, bin) = (self.histogram_begin(index)?, bin_of(value));
        mark(&self.words[begin + USED], bin);
        Some(begin + FIRST_BIN + bin)
    }

    /// Adds what a histogram has counted to `tally`.
    pub fn read_histogram(&self, index: usize, tally: &mut Tally) {
        let Some(words) = self.histogram(index) else { return };
        let used = words[USED].load(Relaxed);
        if used & EXEMPLIFIED != 0
            && let Some(cells) = words[EXEMPLARS..].first_chunk()
        {
            tally.exemplars.extend(exemplar::read(cells));
        }
        if used & OPEN == 0 {
            return;
        }
        // Few are used, and a branch for each of them all would cost more than reading those.
        let mut groups = used >> FIRST_GROUP;
        while groups != 0 {
            let begin = groups.trailing_zeros() as usize * GROUP;
            groups &= groups - 1;
            let end = BINS.min(begin + GROUP);
            let Some(sums) = tally.bins.get_mut(begin..end) else { break };
            for (sum, word) in sums.iter_mut().zip(&words[FIRST_BIN + begin..]) {
                *sum = sum.wrapping_add(word.load(Relaxed));
            }
        }
        tally.sum += f64::from_bits(words[SUM].load(Relaxed));
    }

    /// Asks for the lines of memory that [`read_histogram`](Self::read_histogram) will look at; once for the
    /// head, and once, when that is there, for the bins that it names.
    fn fetch(&self, index: usize, part: Part) {
        let Some(words) = self.histogram(index) else { return };
        let Part::Bins = part else { return fetch(&words[USED]) };
        let used = words[USED].load(Relaxed);
        if used & OPEN == 0 {
            return;
        }
        let mut groups = used >> FIRST_GROUP;
        while groups != 0 {
            let begin = FIRST_BIN + groups.trailing_zeros() as usize * GROUP;
            groups &= groups - 1;
            // The last group is shorter, and what follows is the histogram's, too.
            [begin, begin + LINE].into_iter().filter_map(|it| words.get(it)).for_each(fetch);
        }
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
    let bin = bin_of(value);
    mark(&words[USED], bin);
    words[FIRST_BIN + bin].fetch_add(1, Relaxed);
    add(&words[SUM], value as f64);
}

pub(crate) fn exemplify(words: &Histogram, exemplar: &Exemplar) {
    if let Some(cells) = words[EXEMPLARS..].first_chunk() {
        exemplar::write(cells, exemplar);
        words[USED].fetch_or(EXEMPLIFIED, Relaxed);
    }
}

/// Notes that something may be in a bin, before it is: whoever is killed in between has noted too much.
#[inline]
fn mark(used: &AtomicU64, bin: usize) {
    let bit = 1 << (FIRST_GROUP + bin / GROUP);
    if used.load(Relaxed) & bit == 0 {
        used.fetch_or(bit, Relaxed);
    }
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
            in_flight: 1,
            ring_bytes: [64; 3],
            metrics,
            ..Layout::small(3)
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
    fn every_bin_is_read_whoever_has_put_something_into_it() {
        use crate::segment::upper_edge;
        let segment = segment();
        let slot = segment.slot(1).unwrap();
        let pin = pin(&segment, Kind::Histogram, 1);
        let mut tally = Tally::default();
        for bin in 0..BINS {
            let value = upper_edge(bin);
            match bin % 3 {
                0 => pin.observe(value),
                1 => slot.measures().observe_in_turn(1, value),
                _ => count(slot.cell(slot.bin_cell(1, value)).unwrap(), 1),
            }
            tally.clear();
            slot.measures().read_histogram(1, &mut tally);
            assert_eq!(tally.count(), bin as u64 + 1);
        }
        assert!(tally.bins.iter().all(|count| *count == 1));
    }

    #[test]
    fn an_exemplar_goes_on_with_its_slot() {
        let segment = segment();
        let slot = segment.slot(1).unwrap();
        let exemplar = Exemplar { value: 5, time: 6, trace: [7; 16], span: [8; 8] };
        pin(&segment, Kind::Histogram, 1).observe(5);
        slot.measures().exemplify(1, &exemplar);
        slot.measures().exemplify(2, &exemplar);
        slot.take_back();
        slot.hand_out(2, 0, 0);
        pin(&segment, Kind::Histogram, 1);
        let mut tally = Tally::default();
        segment.slots().for_each(|slot| slot.measures().read_histogram(1, &mut tally));
        assert_eq!((tally.count(), tally.exemplars), (1, vec![exemplar]));
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
