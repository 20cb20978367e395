//! The metrics that this process has declared, and the way from labels to series.

use super::check::{self, MetricError};
use super::families;
use super::handle::{Counter, Gauge, Measure, Merge, Place};
use super::label;
use crate::event::Event;
use mainstay_os::segment::{Declined, Kind, Segment};
use std::collections::HashMap;
#[cfg(feature = "metrics")]
use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Most series of one metric: of counters, gauges, histograms.
const LIMITS: [u64; 3] = [256, 64, 64];
/// Most series of one metric of mainstay's own, which are as many as the configuration names things.
const OWN_LIMIT: u64 = 256;
/// Longest value of a label, bytes.
pub(crate) const MAX_VALUE: usize = 128;

/// The way into the register for one process.
pub(crate) struct Metrics {
    segment: Segment,
    slot: usize,
    /// Names with their labels, joined by commas.
    declared: Mutex<HashMap<String, String>>,
    tell: Box<dyn Fn(&Event) + Send + Sync>,
    /// Metrics of loose labels whose overflow was told.
    #[cfg(feature = "metrics")]
    told: Mutex<HashSet<usize>>,
}

/// What a handle stands for.
#[cfg(feature = "metrics")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// The series that was asked for.
    Own,
    /// That of everything for which there is no room.
    Shared,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("slot", &self.slot).finish_non_exhaustive()
    }
}

/// A metric with labels.
pub(crate) struct Family<M> {
    metrics: Arc<Metrics>,
    name: String,
    labels: Vec<String>,
    index: usize,
    merge: Merge,
    known: Mutex<HashMap<String, M>>,
    overflow: M,
    is_told: AtomicBool,
}

impl Metrics {
    /// Metrics that are measured in `slot`, which this process holds; `tell` is told of what there is
    /// no room for.
    pub(crate) fn new(
        segment: Segment,
        slot: usize,
        tell: impl Fn(&Event) + Send + Sync + 'static,
    ) -> Arc<Metrics> {
        Arc::new(Metrics {
            segment,
            slot,
            declared: Mutex::default(),
            tell: Box::new(tell),
            #[cfg(feature = "metrics")]
            told: Mutex::default(),
        })
    }

    /// A metric without labels.
    ///
    /// # Errors
    /// [`MetricError`].
    pub(crate) fn single<M: Measure>(
        &self,
        name: &str,
        help: &str,
        merge: Merge,
    ) -> Result<M, MetricError> {
        let index = self.declare(name, help, M::kind(), merge, &[])?;
        self.reserve(name, index, merge, "")
    }

    /// A metric with labels.
    ///
    /// # Errors
    /// [`MetricError`].
    pub(crate) fn family<M: Measure>(
        self: &Arc<Metrics>,
        name: &str,
        help: &str,
        merge: Merge,
        labels: &[&str],
    ) -> Result<Family<M>, MetricError> {
        if labels.is_empty() {
            return Err(MetricError::new(name, "it is to have labels and has none"));
        }
        let index = self.declare(name, help, M::kind(), merge, labels)?;
        let overflow = self.reserve(name, index, merge, label::OVERFLOW)?;
        Ok(Family {
            metrics: Arc::clone(self),
            name: name.to_owned(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            index,
            merge,
            known: Mutex::default(),
            overflow,
            is_told: AtomicBool::new(false),
        })
    }

    /// A gauge of mainstay's own.
    ///
    /// # Errors
    /// When there is no more room, or the labels are too long.
    pub(crate) fn own_gauge(
        &self,
        family: &families::Family,
        merge: Merge,
        labels: &[(&str, &str)],
    ) -> Result<Gauge, MetricError> {
        self.own(family, merge, labels)
    }

    /// A counter of mainstay's own.
    ///
    /// # Errors
    /// When there is no more room, or the labels are too long.
    pub(crate) fn own_counter(
        &self,
        family: &families::Family,
        labels: &[(&str, &str)],
    ) -> Result<Counter, MetricError> {
        self.own(family, Merge::Sum, labels)
    }

    fn own<M: Measure>(
        &self,
        family: &families::Family,
        merge: Merge,
        labels: &[(&str, &str)],
    ) -> Result<M, MetricError> {
        let (name, help) = (family.name, family.help.trim());
        let nature = nature(M::kind(), merge);
        let index = self.segment.register().declare(name.as_bytes(), nature, help.as_bytes());
        let index = index.map_err(|declined| MetricError::new(name, why(declined)))?;
        let labels = label::render(labels.iter().copied());
        let measure = self.handle(index, merge, &labels, OWN_LIMIT);
        measure.ok_or_else(|| {
            MetricError::new(name, format!("there is no room for another series, {labels}"))
        })
    }

    /// A series of a metric whose series may have different labels, sorted by their names; the one of
    /// the overflow where there is no room for it.
    ///
    /// # Errors
    /// [`MetricError`].
    #[cfg(feature = "metrics")]
    pub(crate) fn loose<M: Measure>(
        &self,
        name: &str,
        help: &str,
        merge: Merge,
        labels: &[(&str, &str)],
    ) -> Result<(M, Room), MetricError> {
        check::name(name, M::kind())?;
        let names: Vec<_> = labels.iter().map(|(name, _)| *name).collect();
        check::labels(name, &names)?;
        let index = self.enter(name, help, M::kind(), merge)?;
        if labels.is_empty() {
            return Ok((self.reserve(name, index, merge, "")?, Room::Own));
        }
        let overflow = self.reserve(name, index, merge, label::OVERFLOW)?;
        let (text, limit) = (label::render(labels.iter().copied()), LIMITS[M::kind() as usize]);
        let is_short = labels.iter().all(|(_, value)| value.len() <= MAX_VALUE);
        let handle = is_short.then(|| self.handle(index, merge, &text, limit)).flatten();
        if let Some(handle) = handle {
            return Ok((handle, Room::Own));
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        self.refuse(name, index, limit, told.insert(index));
        Ok((overflow, Room::Shared))
    }

    /// Says what a metric means, if it is there.
    #[cfg(feature = "metrics")]
    pub(crate) fn explain<M: Measure>(&self, name: &str, help: &str, merge: Merge) {
        let mut metrics = self.segment.register().metrics();
        if metrics.any(|(_, metric)| metric.name() == name.as_bytes()) {
            // What it is was said before; whoever says otherwise explains something else.
            self.enter(name, help, M::kind(), merge).ok();
        }
    }

    /// Tells something of metrics.
    pub(crate) fn tell(&self, event: &Event) {
        (self.tell)(event);
    }

    #[cold]
    fn refuse(&self, name: &str, index: usize, limit: u64, is_news: bool) {
        if let Some(metric) = self.segment.register().metric(index) {
            metric.refuse();
        }
        if is_news {
            self.tell(&Event::MetricOverflow { metric: name.to_owned(), limit });
        }
    }

    fn declare(
        &self,
        name: &str,
        help: &str,
        kind: Kind,
        merge: Merge,
        labels: &[&str],
    ) -> Result<usize, MetricError> {
        check::name(name, kind)?;
        check::labels(name, labels)?;
        let mut declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = labels.join(",");
        if let Some(known) = declared.get(name).filter(|known| **known != labels) {
            let why = format!("it has been registered with the labels [{known}], not [{labels}]");
            return Err(MetricError::new(name, why));
        }
        let index = self.enter(name, help, kind, merge)?;
        declared.insert(name.to_owned(), labels);
        Ok(index)
    }

    /// Finds a metric in the register, or adds it.
    fn enter(
        &self,
        name: &str,
        help: &str,
        kind: Kind,
        merge: Merge,
    ) -> Result<usize, MetricError> {
        if let Some(other) = self.clash(name) {
            let why = format!("{other} would have the same name in OpenMetrics");
            return Err(MetricError::new(name, why));
        }
        let nature = nature(kind, merge);
        let index = self.segment.register().declare(name.as_bytes(), nature, help.as_bytes());
        index.map_err(|declined| MetricError::new(name, why(declined)))
    }

    /// OpenMetrics names a counter without its `_total`.
    fn clash(&self, name: &str) -> Option<String> {
        let other = match name.strip_suffix("_total") {
            Some(stem) => stem.to_owned(),
            None => format!("{name}_total"),
        };
        let register = self.segment.register();
        let taken = register.metrics().any(|(_, metric)| metric.name() == other.as_bytes());
        taken.then_some(other)
    }

    fn reserve<M: Measure>(
        &self,
        name: &str,
        index: usize,
        merge: Merge,
        labels: &str,
    ) -> Result<M, MetricError> {
        let handle = self.handle(index, merge, labels, u64::MAX);
        handle.ok_or_else(|| {
            MetricError::new(name, "there is no room for another series of its kind")
        })
    }

    fn handle<M: Measure>(
        &self,
        metric: usize,
        merge: Merge,
        labels: &str,
        limit: u64,
    ) -> Option<M> {
        let register = self.segment.register();
        let series = register.claim(M::kind(), metric, labels.as_bytes(), limit)?;
        let pin = self.segment.pin(self.slot, M::kind(), series)?;
        Some(M::at(Place { pin, merge }))
    }
}

impl<M: Measure> Family<M> {
    pub(crate) fn with(&self, values: &[&str]) -> M {
        let labels =
            label::render(self.labels.iter().map(String::as_str).zip(values.iter().copied()));
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = known.get(&labels) {
            return handle.clone();
        }
        drop(known);
        let is_short = values.iter().all(|value| value.len() <= MAX_VALUE);
        let limit = LIMITS[M::kind() as usize];
        let handle = is_short.then(|| self.metrics.handle(self.index, self.merge, &labels, limit));
        let Some(handle) = handle.flatten() else {
            let is_news = !self.is_told.swap(true, Relaxed);
            self.metrics.refuse(&self.name, self.index, limit, is_news);
            return self.overflow.clone();
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(labels).or_insert(handle).clone()
    }
}

/// What a metric is, in the register.
pub(crate) fn nature(kind: Kind, merge: Merge) -> u32 {
    kind as u32 | (merge as u32) << 8
}

/// What the register says that a metric is; none for what this program does not know.
pub(crate) fn of_nature(nature: u32) -> Option<(Kind, Merge)> {
    let kinds = [Kind::Counter, Kind::Gauge, Kind::Histogram];
    let kind = kinds.into_iter().find(|kind| *kind as u32 == nature & 0xff)?;
    Some((kind, Merge::from_number(nature >> 8)))
}

fn why(declined: Declined) -> String {
    match declined {
        Declined::Full => "there is no room for another metric".into(),
        Declined::Other(found) => match of_nature(found) {
            Some((kind, merge)) => {
                format!("it is known as {kind:?} ({merge:?}), which stands while the service runs")
            }
            None => "it is known as something else".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::handle::{Counter, Histogram, Labelled};
    use crate::metrics::names;
    use mainstay_os::segment::{Layout, Tally};

    fn segment() -> Segment {
        let metrics = names::CAPACITY;
        let ring_bytes = [64; 3];
        Segment::on_heap(Layout { slots: 3, ring_bytes, metrics, ..Layout::small(0) })
    }

    fn metrics(segment: &Segment, slot: usize) -> (Arc<Metrics>, Arc<Mutex<Vec<String>>>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&told);
        let tell = move |event: &Event| log.lock().unwrap().push(event.to_string());
        (Metrics::new(segment.clone(), slot, tell), told)
    }

    #[test]
    fn a_total_is_the_sum_of_all_slots_and_goes_on_with_them() {
        let segment = segment();
        let counters: Vec<Counter> = [0, 1]
            .map(|slot| metrics(&segment, slot).0.single("x_total", "", Merge::Sum).unwrap())
            .into();
        counters[0].inc();
        counters[1].add(4);
        segment.slot(1).unwrap().take_back();
        segment.slot(1).unwrap().hand_out(2, 1, 0);
        counters[1].inc();
        let total: u64 = segment.slots().map(|slot| slot.measures().counted(0)).sum();
        assert_eq!(total, 6);
    }

    #[test]
    fn handles_of_the_same_labels_are_the_same_series() {
        let segment = segment();
        let (first, _) = metrics(&segment, 0);
        let by: Labelled<Histogram, 2> = Labelled::new(
            first.family("work_seconds", "Work.", Merge::Sum, &["kind", "how"]).unwrap(),
        );
        for value in ["fast", "slow", "fast"] {
            by.with(["mail", value]).observe(0.25);
        }
        by.with(["mail", "fast"]).observe(f64::NAN);
        by.with(["mail", "fast"]).observe(-1.0);
        let series: Vec<_> = segment.register().series(Kind::Histogram).collect();
        let labels: Vec<_> = series.iter().map(|it| String::from_utf8_lossy(&it.labels)).collect();
        let expected = [label::OVERFLOW, r#"kind="mail",how="fast""#, r#"kind="mail",how="slow""#];
        assert_eq!(labels, expected);
        let mut tally = Tally::default();
        segment.slot(0).unwrap().measures().read_histogram(1, &mut tally);
        assert_eq!((tally.count(), tally.sum), (2, 5e8));
    }

    #[test]
    fn what_has_no_room_is_counted_apart_and_told_once() {
        let segment = segment();
        let (metrics, told) = metrics(&segment, 0);
        let by: Labelled<Counter, 1> =
            Labelled::new(metrics.family("x_total", "", Merge::Sum, &["user"]).unwrap());
        for user in 0..300 {
            by.with([&user.to_string()]).inc();
        }
        by.with([&"x".repeat(MAX_VALUE + 1)]).inc();
        let slot = segment.slot(0).unwrap();
        let metric = segment.register().metric(0).unwrap();
        assert_eq!((metric.series(), slot.measures().counted(0), metric.refused()), (256, 46, 46));
        let total: u64 = (0..256).map(|series| slot.measures().counted(series)).sum();
        assert_eq!(total, 301, "nothing is lost");
        assert_eq!(told.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_metric_that_is_known_otherwise_is_refused_with_the_reason() {
        let segment = segment();
        let (metrics, _) = metrics(&segment, 0);
        metrics.single::<Gauge>("jobs", "", Merge::Max).unwrap();
        let told = |result: Result<(), MetricError>| result.unwrap_err().to_string();
        let gauge = |merge| told(metrics.single::<Gauge>("jobs", "", merge).map(drop));
        assert!(gauge(Merge::Min).contains("Gauge (Max)"), "{}", gauge(Merge::Min));
        let counter = metrics.single::<Counter>("jobs_total", "", Merge::Sum);
        assert!(told(counter.map(drop)).contains("OpenMetrics"));
        metrics.family::<Counter>("x_total", "", Merge::Sum, &["a"]).map(drop).unwrap();
        let other = metrics.family::<Counter>("x_total", "", Merge::Sum, &["b"]);
        assert!(told(other.map(drop)).contains("[a], not [b]"));
        assert!(metrics.family::<Counter>("y_total", "", Merge::Sum, &[]).is_err());
    }
}
