//! The register: which metrics there are, and which series each of them has. Every process finds them
//! here by name and labels; what a process measures is in its own slot, at the series' index.
//!
//! Entries are only ever added, by compare-and-swap, so that whoever dies at any instruction blocks
//! nobody. An entry is claimed by one word, a hash of its text; whoever finds that word may write the
//! text again, since all write the same. The cells of a series follow from its index alone, so there is
//! nothing to allocate, and nothing that could leak.

use super::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use super::text;

/// Longest name of a metric, bytes.
pub const MAX_METRIC_NAME: usize = 96;
/// Longest help text, bytes; of a longer one the beginning counts.
pub const MAX_HELP: usize = 256;
/// Longest text of a series' labels, bytes.
pub const MAX_LABELS: usize = 504;

// Words of a metric.
const NAME_LENGTH: usize = 0;
const NAME: usize = 1;
const NATURE: usize = NAME + text::words_for(MAX_METRIC_NAME);
const CLAIMED: usize = NATURE + 1;
const REFUSED: usize = CLAIMED + 1;
const HELP_SUM: usize = REFUSED + 1;
const HELP_LENGTH: usize = HELP_SUM + 1;
const HELP: usize = HELP_LENGTH + 1;
const METRIC_WORDS: usize = (HELP + text::words_for(MAX_HELP)).next_multiple_of(8);

// Words of a series: metric and length in one, then the text.
const HEAD: usize = 0;
const LABELS: usize = 1;
const SERIES_WORDS: usize = LABELS + text::words_for(MAX_LABELS);

/// Marks a nature that somebody has said.
const SAID: u64 = 1 << 32;

/// What a series measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A total, which never goes down.
    Counter = 0,
    /// A value, which may go up and down.
    Gauge = 1,
    /// How many observations there were of each size.
    Histogram = 2,
}

/// How many metrics there may be, and how many series of each kind. Each is at most 2³¹.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Metrics of all kinds.
    pub metrics: usize,
    /// Series that are counters; 8 bytes in each slot.
    pub counters: usize,
    /// Series that are gauges; 16 bytes in each slot.
    pub gauges: usize,
    /// Series that are histograms; 5,184 bytes in each slot.
    pub histograms: usize,
}

impl Capacity {
    /// No metrics.
    pub const NONE: Capacity = Capacity { metrics: 0, counters: 0, gauges: 0, histograms: 0 };

    /// Series of a kind.
    #[must_use]
    pub fn of(self, kind: Kind) -> usize {
        [self.counters, self.gauges, self.histograms][kind as usize]
    }

    fn series(self) -> usize {
        self.counters + self.gauges + self.histograms
    }

    /// Words of the register.
    pub(crate) fn register_words(self) -> usize {
        let words = self.metrics * (1 + METRIC_WORDS) + self.series() * (1 + SERIES_WORDS);
        words.next_multiple_of(8)
    }
}

/// Why a metric cannot be declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declined {
    /// There are as many as there may be, or the name is empty or longer than [`MAX_METRIC_NAME`].
    Full,
    /// Somebody has declared it with another nature, which stands.
    Other(u32),
}

/// View of the register.
#[derive(Clone, Copy, Debug)]
pub struct Register<'a> {
    words: &'a [AtomicU64],
    capacity: Capacity,
}

/// View of one metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric<'a> {
    words: &'a [AtomicU64],
}

/// One series, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Its place among those of its kind, and in each slot's cells.
    pub index: usize,
    /// The index of its metric.
    pub metric: usize,
    /// The text of its labels.
    pub labels: Vec<u8>,
}

/// Ids beside their entries, so that a search touches few lines.
#[derive(Clone, Copy)]
struct Table<'a> {
    ids: &'a [AtomicU64],
    entries: &'a [AtomicU64],
    width: usize,
}

impl<'a> Table<'a> {
    fn entry(self, index: usize) -> &'a [AtomicU64] {
        &self.entries[index * self.width..][..self.width]
    }

    /// Indices that are claimed. They are claimed from the first on.
    fn claimed(self) -> impl Iterator<Item = usize> + use<'a> {
        (0..self.ids.len()).take_while(move |index| self.ids[*index].load(Acquire) != 0)
    }

    /// Finds the entry of this id for which `is_it` holds, or claims one if `may_claim`. Says whether
    /// it was claimed.
    fn claim(
        self,
        id: u64,
        may_claim: impl Fn() -> bool,
        is_it: impl Fn(&'a [AtomicU64]) -> bool,
    ) -> Option<(usize, bool)> {
        for (index, word) in self.ids.iter().enumerate() {
            let mut found = word.load(Acquire);
            let mut claimed = false;
            if found == 0 {
                if !may_claim() {
                    return None;
                }
                found = match word.compare_exchange(0, id, AcqRel, Acquire) {
                    Ok(_) => {
                        claimed = true;
                        id
                    }
                    Err(found) => found,
                };
            }
            if found == id && is_it(self.entry(index)) {
                return Some((index, claimed));
            }
        }
        None
    }
}

impl<'a> Register<'a> {
    pub(crate) fn new(words: &'a [AtomicU64], capacity: Capacity) -> Register<'a> {
        Register { words: &words[..capacity.register_words()], capacity }
    }

    fn metrics_table(&self) -> Table<'a> {
        self.table(0, self.capacity.metrics, METRIC_WORDS)
    }

    fn series_table(&self, kind: Kind) -> Table<'a> {
        let Capacity { metrics, counters, gauges, .. } = self.capacity;
        let before = [0, counters, counters + gauges][kind as usize];
        let begin = metrics * (1 + METRIC_WORDS) + before * (1 + SERIES_WORDS);
        self.table(begin, self.capacity.of(kind), SERIES_WORDS)
    }

    fn table(&self, begin: usize, entries: usize, width: usize) -> Table<'a> {
        let (ids, rest) = self.words[begin..].split_at(entries);
        Table { ids, entries: &rest[..entries * width], width }
    }

    /// Finds the metric of this name, or adds it. `nature` says what it is; who says it first is
    /// believed, and its meaning is its users' affair. The last help stands; an empty one changes
    /// nothing.
    ///
    /// # Errors
    /// [`Declined`] when there is no room for it, or it is something else already.
    pub fn declare(&self, name: &[u8], nature: u32, help: &[u8]) -> Result<usize, Declined> {
        if name.is_empty() || name.len() > MAX_METRIC_NAME {
            return Err(Declined::Full);
        }
        let id = sum(0, name).max(1);
        let named = |words| Metric { words }.is_named(name);
        let (index, _) = self.metrics_table().claim(id, || true, named).ok_or(Declined::Full)?;
        let metric = Metric { words: self.metrics_table().entry(index) };
        let said = SAID | u64::from(nature);
        match metric.words[NATURE].compare_exchange(0, said, AcqRel, Acquire) {
            Err(found) if found != said => return Err(Declined::Other(found as u32)),
            _ => {}
        }
        if !help.is_empty() {
            metric.set_help(&help[..help.len().min(MAX_HELP)]);
        }
        Ok(index)
    }

    /// Metric `index`, if there is one and somebody has said what it is.
    #[must_use]
    pub fn metric(&self, index: usize) -> Option<Metric<'a>> {
        let table = self.metrics_table();
        let claimed = table.ids.get(index)?.load(Acquire) != 0;
        let metric = Metric { words: table.entry(index) };
        (claimed && metric.words[NATURE].load(Acquire) & SAID != 0).then_some(metric)
    }

    /// All metrics, with their indices.
    pub fn metrics(&self) -> impl Iterator<Item = (usize, Metric<'a>)> + use<'a> {
        let register = *self;
        let all = self.metrics_table().claimed();
        all.filter_map(move |index| Some((index, register.metric(index)?)))
    }

    /// Finds the series of this kind, metric and labels, or adds it. `None` when `metric` has `limit`
    /// of them, give or take one for each process that adds at the same time; when there is no room;
    /// when the labels are longer than [`MAX_LABELS`]; or when there is no such metric.
    #[must_use]
    pub fn claim(&self, kind: Kind, metric: usize, labels: &[u8], limit: u64) -> Option<usize> {
        let found = self.metric(metric).filter(|_| labels.len() <= MAX_LABELS)?;
        let head = (metric as u64 + 1) << 32 | labels.len() as u64;
        let may_claim = || found.series() < limit;
        let is_it = |words: &[AtomicU64]| {
            if words[HEAD].load(Acquire) == 0 {
                text::store(&words[LABELS..], labels);
                words[HEAD].store(head, Release);
            }
            words[HEAD].load(Acquire) == head && labels_of(words) == labels
        };
        let id = sum(metric as u64 + 1, labels).max(1);
        let (index, claimed) = self.series_table(kind).claim(id, may_claim, is_it)?;
        if claimed {
            found.words[CLAIMED].fetch_add(1, Relaxed);
        }
        Some(index)
    }

    /// All series of a kind, in the order of their indices.
    pub fn series(&self, kind: Kind) -> impl Iterator<Item = Series> + use<'a> {
        let (table, metrics) = (self.series_table(kind), self.capacity.metrics);
        table.claimed().filter_map(move |index| {
            let words = table.entry(index);
            let metric = (words[HEAD].load(Acquire) >> 32).checked_sub(1)?;
            let metric = usize::try_from(metric).ok().filter(|metric| *metric < metrics)?;
            Some(Series { index, metric, labels: labels_of(words) })
        })
    }
}

fn labels_of(words: &[AtomicU64]) -> Vec<u8> {
    let length = words[HEAD].load(Acquire) as u32 as usize;
    let mut labels = Vec::new();
    text::load(&words[LABELS..], length.min(MAX_LABELS), &mut labels);
    labels
}

impl Metric<'_> {
    fn is_named(&self, name: &[u8]) -> bool {
        if self.words[NAME_LENGTH].load(Acquire) == 0 {
            text::store(&self.words[NAME..NATURE], name);
            self.words[NAME_LENGTH].store(name.len() as u64, Release);
        }
        self.name() == name
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> Vec<u8> {
        let length = self.words[NAME_LENGTH].load(Acquire);
        let length = usize::try_from(length).unwrap_or(MAX_METRIC_NAME).min(MAX_METRIC_NAME);
        let mut name = Vec::new();
        text::load(&self.words[NAME..NATURE], length, &mut name);
        name
    }

    /// What it is, as whoever declared it first has said.
    #[must_use]
    pub fn nature(&self) -> u32 {
        self.words[NATURE].load(Acquire) as u32
    }

    /// How many series it has.
    #[must_use]
    pub fn series(&self) -> u64 {
        self.words[CLAIMED].load(Relaxed)
    }

    /// Counts that a series of it was refused.
    pub fn refuse(&self) {
        self.words[REFUSED].fetch_add(1, Relaxed);
    }

    /// How often a series of it was refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.words[REFUSED].load(Relaxed)
    }

    fn set_help(&self, help: &[u8]) {
        let sum = sum(0, help);
        if self.words[HELP_SUM].load(Acquire) == sum && self.help() == help {
            return;
        }
        self.words[HELP_SUM].store(0, Release);
        text::store(&self.words[HELP..], help);
        self.words[HELP_LENGTH].store(help.len() as u64, Release);
        self.words[HELP_SUM].store(sum, Release);
    }

    /// What it means; empty while that is being changed, or when whoever changed it died.
    #[must_use]
    pub fn help(&self) -> Vec<u8> {
        let expected = self.words[HELP_SUM].load(Acquire);
        let length = usize::try_from(self.words[HELP_LENGTH].load(Acquire)).unwrap_or(MAX_HELP);
        let mut help = Vec::new();
        text::load(&self.words[HELP..], length.min(MAX_HELP), &mut help);
        if sum(0, &help) == expected { help } else { Vec::new() }
    }
}

/// FNV-1a, spread: for telling texts apart, not for keeping anybody out.
fn sum(seed: u64, bytes: &[u8]) -> u64 {
    let begin = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = bytes
        .iter()
        .fold(begin, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    hash ^ hash >> 29
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::segment::cases;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const CAPACITY: Capacity = Capacity { metrics: 4, counters: 40, gauges: 3, histograms: 2 };

    fn words() -> Vec<AtomicU64> {
        (0..CAPACITY.register_words()).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn a_metric_is_found_by_its_name_and_is_what_was_said_first() {
        let words = words();
        let register = Register::new(&words, CAPACITY);
        assert_eq!(register.declare(b"orders_total", 7, b"Orders."), Ok(0));
        assert_eq!(register.declare(b"mails_total", 7, b"Mails."), Ok(1));
        assert_eq!(register.declare(b"orders_total", 7, b"Orders placed."), Ok(0));
        assert_eq!(register.declare(b"orders_total", 8, b""), Err(Declined::Other(7)));
        let metric = register.metric(0).unwrap();
        assert_eq!((metric.name(), metric.nature()), (b"orders_total".to_vec(), 7));
        assert_eq!(register.declare(b"orders_total", 7, b""), Ok(0));
        assert_eq!(metric.help(), b"Orders placed.");
        assert_eq!(register.declare(b"", 1, b""), Err(Declined::Full));
        assert_eq!(register.declare(&[b'x'; 97], 1, b""), Err(Declined::Full));
        for name in [b"c", b"d"] {
            register.declare(name, 1, &[b'x'; 300]).unwrap();
        }
        assert_eq!(register.declare(b"e", 1, b""), Err(Declined::Full));
        assert_eq!(register.metrics().count(), 4);
        assert_eq!(register.metric(3).unwrap().help(), [b'x'; MAX_HELP]);
    }

    #[test]
    fn a_series_is_claimed_once_and_a_metric_has_no_more_than_it_may() {
        let words = words();
        let register = Register::new(&words, CAPACITY);
        let orders = register.declare(b"orders_total", 0, b"").unwrap();
        let mails = register.declare(b"mails_total", 0, b"").unwrap();
        let claim = |metric, labels: &[u8]| register.claim(Kind::Counter, metric, labels, 2);
        assert_eq!((claim(orders, b""), claim(mails, b"")), (Some(0), Some(1)));
        assert_eq!((claim(orders, b"a=\"b\""), claim(orders, b"")), (Some(2), Some(0)));
        assert_eq!(claim(orders, b"a=\"c\""), None, "it has two");
        assert_eq!(claim(orders, b"a=\"b\""), Some(2), "known ones are found");
        assert_eq!(claim(3, b""), None, "there is no such metric");
        assert_eq!(claim(mails, &[b'x'; MAX_LABELS + 1]), None);
        let labels: Vec<_> = register.series(Kind::Counter).map(|it| it.labels).collect();
        assert_eq!(labels, [b"".to_vec(), b"".to_vec(), b"a=\"b\"".to_vec()]);
        let gauge = |labels: &[u8]| register.claim(Kind::Histogram, orders, labels, 9);
        assert_eq!((gauge(b"1"), gauge(b"2"), gauge(b"3")), (Some(0), Some(1), None));
    }

    #[test]
    fn what_a_claimant_that_died_left_behind_is_completed_by_whoever_comes_next() {
        let words = words();
        let register = Register::new(&words, CAPACITY);
        words[0].store(sum(0, b"orders_total"), Relaxed);
        assert_eq!(register.metrics().count(), 0, "nobody has said what it is");
        assert_eq!(register.declare(b"orders_total", 3, b"Orders."), Ok(0));
        let ids = CAPACITY.metrics * (1 + METRIC_WORDS);
        words[ids].store(sum(1, b"a=\"b\""), Relaxed);
        assert_eq!(register.series(Kind::Counter).count(), 0);
        assert_eq!(register.claim(Kind::Counter, 0, b"a=\"b\"", 5), Some(0));
        assert_eq!(register.series(Kind::Counter).count(), 1);
    }

    #[test]
    fn threads_that_claim_the_same_at_once_get_the_same() {
        let words = words();
        let register = Register::new(&words, CAPACITY);
        let found: Vec<Vec<_>> = std::thread::scope(|scope| {
            let claim = |thread: usize| {
                let metric = register.declare(b"orders_total", 0, b"Orders.").unwrap();
                let mut found: Vec<_> = (0..20)
                    .map(|number| (number * (thread * 2 + 1)) % 20)
                    .map(|number| {
                        let labels = format!("kind=\"{number}\"");
                        let index = register.claim(Kind::Counter, metric, labels.as_bytes(), 64);
                        (number, index.unwrap())
                    })
                    .collect();
                found.sort_unstable();
                found.dedup();
                found
            };
            let threads: Vec<_> = (0..2).map(|it| scope.spawn(move || claim(it))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(found[0], found[1]);
        let indices: BTreeSet<_> = found[0].iter().map(|(_, index)| index).collect();
        assert_eq!((indices.len(), register.metric(0).unwrap().series()), (20, 20));
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn damaged_words_are_read_without_harm(
            damage in prop::collection::vec((0..CAPACITY.register_words(), any::<u64>()), 0..30),
        ) {
            let words = words();
            let register = Register::new(&words, CAPACITY);
            for name in ["one", "two"] {
                let metric = register.declare(name.as_bytes(), 0, b"help").unwrap();
                let claimed = register.claim(Kind::Counter, metric, name.as_bytes(), 9);
                prop_assert!(claimed.is_some());
            }
            for (at, value) in damage {
                words[at].store(value, Relaxed);
            }
            for (_, metric) in register.metrics() {
                prop_assert!(metric.name().len() <= MAX_METRIC_NAME);
                prop_assert!(metric.help().len() <= MAX_HELP);
            }
            for kind in [Kind::Counter, Kind::Gauge, Kind::Histogram] {
                for series in register.series(kind) {
                    prop_assert!(series.labels.len() <= MAX_LABELS);
                    prop_assert!(series.metric < CAPACITY.metrics);
                }
                for metric in 0..CAPACITY.metrics + 1 {
                    let claimed = register.claim(kind, metric, b"new", u64::MAX);
                    prop_assert!(claimed.is_none_or(|index| index < CAPACITY.of(kind)));
                }
            }
        }
    }
}
