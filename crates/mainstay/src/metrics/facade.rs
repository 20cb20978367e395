//! The recorder of the crate `metrics`: what libraries measure by its macros arrives in the segment, as the
//! application's own metrics do.
//!
//! Names are made to fit: what is no letter, digit or `_` becomes `_`, and a counter's name gets its `_total`.
//! Units are not appended. What cannot be measured is told once by its name, and dropped.

use super::check::MetricError;
use super::handle::{self, Measure, Merge};
use super::registry::{Metrics, Room};
use crate::event::Event;
use ::metrics::{
    CounterFn, GaugeFn, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Most descriptions that are kept, and names that are told of.
const NAMES: usize = 512;

/// Installs the recorder for this process, or tells that somebody else has installed one.
pub(crate) fn install(metrics: &Arc<Metrics>) {
    if ::metrics::set_global_recorder(Facade::new(Arc::clone(metrics))).is_err() {
        metrics.tell(&Event::RecorderTaken {});
    }
}

/// Handles by their keys, which hash themselves.
type Known<H> = Mutex<HashMap<Key, H, BuildHasherDefault<Hashed>>>;

/// The recorder.
struct Facade {
    metrics: Arc<Metrics>,
    counters: Known<::metrics::Counter>,
    gauges: Known<::metrics::Gauge>,
    histograms: Known<::metrics::Histogram>,
    /// What was said of metrics, by their names here.
    helps: Mutex<HashMap<String, String>>,
    /// Names of which it was told that they are not measured.
    told: Mutex<HashSet<String>>,
}

impl fmt::Debug for Facade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facade").finish_non_exhaustive()
    }
}

impl Facade {
    fn new(metrics: Arc<Metrics>) -> Facade {
        Facade {
            metrics,
            counters: Mutex::default(),
            gauges: Mutex::default(),
            histograms: Mutex::default(),
            helps: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// The handle of a key: one that is known, or one that is made of its series. What has no series of its
    /// own is not kept, so that no label makes memory grow.
    fn find<H: Clone, M: Measure>(
        &self,
        known: &Known<H>,
        key: &Key,
        none: fn() -> H,
        own: fn(M) -> H,
        shared: fn(M) -> H,
    ) -> H {
        // Held to the end: whoever comes at the same time gets the same handle, which holds what its
        // counter has seen.
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = known.get(key) {
            return handle.clone();
        }
        let handle = match self.series(key) {
            Ok((series, Room::Own)) => own(series),
            Ok((series, Room::Shared)) => return shared(series),
            Err(error) => {
                self.refuse(key.name(), &error);
                return none();
            }
        };
        known.insert(key.clone(), handle.clone());
        handle
    }

    fn series<M: Measure>(&self, key: &Key) -> Result<(M, Room), MetricError> {
        let name = fit(key.name(), M::kind() == mainstay_os::segment::Kind::Counter);
        let helps = self.helps.lock().unwrap_or_else(PoisonError::into_inner);
        let help = helps.get(&name).cloned().unwrap_or_default();
        drop(helps);
        let mut labels: Vec<_> =
            key.labels().map(|label| (fit(label.key(), false), label.value())).collect();
        // The order in which a macro has them says nothing.
        labels.sort_unstable();
        let labels: Vec<_> = labels.iter().map(|(name, value)| (&**name, *value)).collect();
        self.metrics.loose(&name, &help, Merge::Sum, &labels)
    }

    fn describe<M: Measure>(&self, key: &KeyName, help: &str) {
        let name = fit(key.as_str(), M::kind() == mainstay_os::segment::Kind::Counter);
        self.metrics.explain::<M>(&name, help, Merge::Sum);
        let mut helps = self.helps.lock().unwrap_or_else(PoisonError::into_inner);
        if helps.len() < NAMES || helps.contains_key(&name) {
            helps.insert(name, help.to_owned());
        }
    }

    #[cold]
    fn refuse(&self, name: &str, error: &MetricError) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < NAMES && told.insert(name.to_owned()) {
            self.metrics.tell(&Event::MetricRefused { reason: error.to_string() });
        }
    }
}

impl Recorder for Facade {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe::<handle::Counter>(&key, &description);
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe::<handle::Gauge>(&key, &description);
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe::<handle::Histogram>(&key, &description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> ::metrics::Counter {
        let own = |counter| {
            ::metrics::Counter::from_arc(Arc::new(Total { counter, seen: AtomicU64::new(0) }))
        };
        let shared = |counter| ::metrics::Counter::from_arc(Arc::new(Surplus(counter)));
        self.find(&self.counters, key, ::metrics::Counter::noop, own, shared)
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> ::metrics::Gauge {
        let own = |gauge: handle::Gauge| ::metrics::Gauge::from_arc(Arc::new(gauge));
        self.find(&self.gauges, key, ::metrics::Gauge::noop, own, own)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> ::metrics::Histogram {
        let own = |sizes: handle::Histogram| ::metrics::Histogram::from_arc(Arc::new(sizes));
        self.find(&self.histograms, key, ::metrics::Histogram::noop, own, own)
    }
}

/// A counter, and what this process has made of it. The total goes on from what earlier processes have
/// counted; a library's own total begins anew in each.
struct Total {
    counter: handle::Counter,
    seen: AtomicU64,
}

impl CounterFn for Total {
    fn increment(&self, value: u64) {
        self.seen.fetch_add(value, Relaxed);
        self.counter.add(value);
    }

    fn absolute(&self, value: u64) {
        let before = self.seen.fetch_max(value, Relaxed);
        self.counter.add(value.saturating_sub(before));
    }
}

/// The counter of all that has no series of its own. Totals of unknown beginnings cannot be added to it.
struct Surplus(handle::Counter);

impl CounterFn for Surplus {
    fn increment(&self, value: u64) {
        self.0.add(value);
    }

    fn absolute(&self, _: u64) {}
}

impl GaugeFn for handle::Gauge {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, value: f64) {
        handle::Gauge::set(self, value);
    }
}

impl HistogramFn for handle::Histogram {
    fn record(&self, value: f64) {
        self.observe(value);
    }
}

/// A name as it is exposed.
fn fit(name: &str, is_counter: bool) -> String {
    let fit = |it: char| if it.is_ascii_alphanumeric() { it } else { '_' };
    let mut name: String = name.chars().map(fit).collect();
    if is_counter && !name.ends_with("_total") {
        name.push_str("_total");
    }
    name
}

/// Takes the hash that a key has of itself.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{label, names};
    use ::metrics::{Level, with_local_recorder as with};
    use ::metrics::{counter, describe_counter, describe_gauge, gauge, histogram};
    use mainstay_os::segment::{Kind, Layout, Segment, Tally};

    type Told = Arc<Mutex<Vec<String>>>;

    fn segment() -> Segment {
        let (ring_bytes, metrics) = ([64; 3], names::CAPACITY);
        Segment::on_heap(Layout { slots: 2, ring_bytes, metrics, ..Layout::small(0) })
    }

    /// A process in slot 0.
    fn process(segment: &Segment) -> (Facade, Told) {
        let told = Told::default();
        let log = Arc::clone(&told);
        let tell = move |event: &Event| log.lock().unwrap().push(event.to_string());
        (Facade::new(Metrics::new(segment.clone(), 0, tell)), told)
    }

    fn series(segment: &Segment, kind: Kind) -> Vec<(String, String)> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let of = |metric| text(segment.register().metric(metric).unwrap().name());
        let all = segment.register().series(kind);
        all.map(|it| (of(it.metric), text(it.labels))).collect()
    }

    fn counted(segment: &Segment, index: usize) -> u64 {
        segment.slots().map(|slot| slot.measures().counted(index)).sum()
    }

    #[test]
    fn what_the_macros_measure_arrives() {
        let segment = segment();
        let (facade, told) = process(&segment);
        with(&facade, || {
            for _ in 0..3 {
                counter!("shop.orders", "kind" => "card", "at" => "a\"b").increment(2);
            }
            counter!("shop_orders_total", "at" => "a\"b", "kind" => "card").increment(1);
            counter!("plain").increment(1);
            gauge!("queue").set(5.0);
            gauge!("queue").increment(2.5);
            gauge!("queue").decrement(0.5);
            histogram!("work_seconds").record(0.25);
            histogram!("work_seconds").record_many(0.5, 2);
        });
        let expected = [
            ("shop_orders_total", label::OVERFLOW),
            ("shop_orders_total", "at=\"a\\\"b\",kind=\"card\""),
            ("plain_total", ""),
        ];
        let expected = expected.map(|(name, labels)| (name.to_owned(), labels.to_owned()));
        assert_eq!(series(&segment, Kind::Counter), expected);
        assert_eq!([0, 1, 2].map(|index| counted(&segment, index)), [0, 7, 1]);
        let measures = segment.slot(0).unwrap().measures();
        assert_eq!(measures.read_gauge(0).unwrap().value, 7.0);
        let mut tally = Tally::default();
        measures.read_histogram(0, &mut tally);
        assert_eq!((tally.count(), tally.sum), (3, 1.25e9));
        assert_eq!(told.lock().unwrap().as_slice(), [""; 0]);
    }

    #[test]
    fn a_total_that_begins_anew_with_its_process_goes_on_here() {
        let segment = segment();
        for reached in [[3, 10, 7, 12], [1, 1, 5, 5]] {
            with(&process(&segment).0, || {
                reached.iter().for_each(|total| counter!("polls").absolute(*total));
            });
        }
        assert_eq!(counted(&segment, 0), 17);
        with(&process(&segment).0, || {
            counter!("polls").increment(5);
            counter!("polls").absolute(7);
        });
        assert_eq!(counted(&segment, 0), 24, "at least 7 in this process");
    }

    #[test]
    fn help_may_be_told_before_and_after() {
        let segment = segment();
        let help = || {
            let metrics = segment.register().metrics();
            metrics.map(|(_, it)| String::from_utf8(it.help()).unwrap()).collect::<Vec<_>>()
        };
        with(&process(&segment).0, || {
            describe_counter!("a.b", "Before.");
            counter!("a.b").increment(1);
            gauge!("c").set(1.0);
            assert_eq!(help(), ["Before.", ""]);
            describe_gauge!("c", Unit::Seconds, "After.");
        });
        assert_eq!(help(), ["Before.", "After."]);
        // Who knows no help takes none away.
        with(&process(&segment).0, || counter!("a.b").increment(1));
        assert_eq!(help(), ["Before.", "After."]);
    }

    #[test]
    fn what_cannot_be_measured_is_told_once_and_dropped() {
        let segment = segment();
        let (facade, told) = process(&segment);
        with(&facade, || {
            for _ in 0..3 {
                counter!("mainstay_x").increment(1);
                gauge!("1st").set(1.0);
                gauge!("g", "le" => "1").set(1.0);
                counter!("twice", "a.b" => "1", "a_b" => "2").increment(1);
                gauge!("x_sum").set(1.0);
            }
        });
        assert!(Kind::Counter as u32 == 0 && series(&segment, Kind::Counter).is_empty());
        assert!(series(&segment, Kind::Gauge).is_empty());
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 5, "{told:#?}");
        assert!(told[0].contains("mainstay's own") && told[3].contains("a_b twice"), "{told:#?}");
    }

    #[test]
    fn labels_without_end_are_counted_as_overflow_and_not_kept() {
        let segment = segment();
        let (facade, told) = process(&segment);
        with(&facade, || {
            for user in 0..400 {
                counter!("seen", "user" => user.to_string()).increment(1);
            }
            counter!("seen", "user" => "399").absolute(1_000);
            for user in 0..100 {
                gauge!("held", "user" => user.to_string()).increment(1.0);
            }
        });
        assert_eq!(series(&segment, Kind::Counter).len(), 256);
        assert_eq!((0..256).map(|index| counted(&segment, index)).sum::<u64>(), 400);
        assert_eq!(counted(&segment, 0), 145, "in place of a series of their own");
        assert_eq!(facade.counters.lock().unwrap().len(), 255);
        let refused: Vec<_> =
            segment.register().metrics().map(|(_, metric)| metric.refused()).collect();
        assert_eq!(refused, [146, 37]);
        assert_eq!(told.lock().unwrap().len(), 2, "once for each metric");
    }

    #[test]
    fn a_key_is_found_by_the_hash_that_it_has() {
        let (one, other) = (Key::from_name("a"), Key::from_parts("a", &[("b", "c")]));
        let known: Known<u8> = Mutex::default();
        known.lock().unwrap().extend([(one.clone(), 1), (other.clone(), 2)]);
        let known = known.lock().unwrap();
        assert_eq!((known.get(&one), known.get(&other)), (Some(&1), Some(&2)));
        // The level of a metric changes nothing.
        let facade = process(&segment()).0;
        let of = |level| Metadata::new("t", level, None);
        facade.register_counter(&one, &of(Level::TRACE)).increment(1);
        facade.register_counter(&one, &of(Level::INFO)).increment(1);
        assert_eq!(facade.counters.lock().unwrap().len(), 1);
    }
}
