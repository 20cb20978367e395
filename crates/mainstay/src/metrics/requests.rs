//! How long requests took, by method, route and class of status, and how large they and their answers
//! were. All labels are from closed sets: what a client sends never makes a series.

use super::families::{self, Family};
use super::handle::Merge;
use super::label::{OVERFLOW, render};
use super::names;
use super::registry::{MAX_VALUE, nature};
use crate::event::Event;
use mainstay_os::segment::{Exemplar, Kind, Segment};
use std::collections::HashMap;
use std::fmt;

/// The route of a request for which nobody has named one.
const UNMATCHED: &str = "unmatched";
/// Methods that have series of their own; the last stands for all others.
const METHODS: [&str; 11] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY",
    "OTHER",
];
/// Classes of status; the last is for requests that ended without one.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "abandoned"];
/// Most series of the time of requests.
const LIMIT: u64 = 384;
/// The class in which failures are.
const FAILURES: usize = 4;
/// What is measured without regard to the status.
const EXTENTS: [&Family; 3] =
    [&families::FIRST_BYTE, &families::REQUEST_BYTES, &families::RESPONSE_BYTES];
/// Most series of each of them.
const EXTENT_LIMIT: u64 = 128;
/// Billionths in a unit.
const BILLION: u64 = 1_000_000_000;
/// Most routes that are remembered, those without a series included.
const ROUTES: usize = 1_024;

/// For each method of one route, the series: their numbers and one more, 0 before the first such request.
type Row = [Known; METHODS.len()];

/// The series of one method and route.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    classes: [u32; CLASSES.len()],
    extents: [u32; EXTENTS.len()],
}

/// The series of a request; [`names::NONE`] for what there is none for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Series {
    /// Of how long it took.
    pub(crate) duration: usize,
    extents: [usize; EXTENTS.len()],
}

/// What is measured of a request beside its time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extent {
    /// Nanoseconds until the head of the answer was there, if there was one.
    pub(crate) answered: Option<u64>,
    /// Bytes of its body.
    pub(crate) received: u64,
    /// Bytes of the answer's body.
    pub(crate) sent: u64,
    /// Nanoseconds that it waited for a worker, if somebody knows.
    pub(crate) waited: Option<u64>,
}

/// A metric of the register, and its series for what has none.
#[derive(Clone, Copy, Debug)]
struct Declared {
    metric: usize,
    overflow: usize,
}

/// The way from a request to its series, for one process.
pub(crate) struct Requests {
    segment: Segment,
    slot: usize,
    /// Nothing where there is no room for metrics.
    metrics: Option<[Declared; 1 + EXTENTS.len()]>,
    waits: usize,
    unmatched: Box<Row>,
    routes: HashMap<Box<str>, Box<Row>>,
    is_told: bool,
    tell: Box<dyn Fn(&Event) + Send + Sync>,
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("slot", &self.slot).finish_non_exhaustive()
    }
}

impl Requests {
    /// Requests whose ends are counted in `slot`, which this process holds; `tell` is told when there
    /// are too many series.
    pub(crate) fn new(
        segment: Segment,
        slot: usize,
        tell: impl Fn(&Event) + Send + Sync + 'static,
    ) -> Requests {
        let mut requests = Requests {
            segment,
            slot,
            metrics: None,
            waits: names::NONE,
            unmatched: Box::default(),
            routes: HashMap::new(),
            is_told: false,
            tell: Box::new(tell),
        };
        let waits = requests.declare(&families::QUEUE_WAIT);
        requests.waits =
            waits.and_then(|waits| requests.claim(waits, "", u64::MAX)).unwrap_or(names::NONE);
        requests.metrics = requests.declare_all();
        requests
    }

    fn declare(&self, family: &Family) -> Option<usize> {
        let nature = nature(Kind::Histogram, Merge::Sum);
        let help = family.help.trim().as_bytes();
        self.segment.register().declare(family.name.as_bytes(), nature, help).ok()
    }

    fn declare_all(&self) -> Option<[Declared; 1 + EXTENTS.len()]> {
        let declare = |family| {
            let metric = self.declare(family)?;
            Some(Declared { metric, overflow: self.claim(metric, OVERFLOW, u64::MAX)? })
        };
        let [first, request, response] = EXTENTS.map(declare);
        Some([declare(&families::REQUEST_DURATION)?, first?, request?, response?])
    }

    /// The histograms in which a request of this method, route (if somebody has named it) and status
    /// belongs.
    #[inline]
    pub(crate) fn series(&mut self, method: &[u8], route: Option<&str>, status: u16) -> Series {
        let (method, class) = (method_index(method), class_index(status));
        let row = match route {
            None => Some(&self.unmatched),
            Some(route) => self.routes.get(route),
        };
        match row.map(|row| &row[method]) {
            Some(known) if known.classes[class] != 0 => known.series(class),
            _ => self.find(method, route, class),
        }
    }

    /// Measures a request of these series. Threads take turns.
    #[inline]
    pub(crate) fn measure(&self, series: Series, extent: &Extent) {
        let Some(slot) = self.segment.slot(self.slot) else { return };
        let (measures, [first, received, sent]) = (slot.measures(), series.extents);
        if let Some(answered) = extent.answered {
            measures.observe_in_turn(first, answered);
        }
        measures.observe_in_turn(received, extent.received.saturating_mul(BILLION));
        measures.observe_in_turn(sent, extent.sent.saturating_mul(BILLION));
        if let Some(waited) = extent.waited {
            measures.observe_in_turn(self.waits, waited);
        }
    }

    /// Keeps the time of a request of these series as an example, under its trace. Threads take turns.
    pub(crate) fn exemplify(&self, series: Series, exemplar: &Exemplar) {
        if let Some(slot) = self.segment.slot(self.slot) {
            slot.measures().exemplify(series.duration, exemplar);
        }
    }

    #[cold]
    fn find(&mut self, method: usize, route: Option<&str>, class: usize) -> Series {
        let none = Series { duration: names::NONE, extents: [names::NONE; EXTENTS.len()] };
        let Some([duration, extents @ ..]) = self.metrics else { return none };
        let shown = route.unwrap_or(UNMATCHED);
        let row = match route {
            None => Some(&self.unmatched),
            Some(route) => self.routes.get(route),
        };
        let mut known = row.map(|row| row[method]).unwrap_or_default();
        let labels = [("method", METHODS[method]), ("route", shown)];
        if known.extents[0] == 0 {
            for (place, declared) in known.extents.iter_mut().zip(extents) {
                *place = self.open(declared, &labels, EXTENT_LIMIT);
            }
        }
        // Failures are there before the first of them: from nothing to one is no rate.
        for class in [class, FAILURES] {
            if known.classes[class] == 0 {
                let labels = [labels[0], labels[1], ("status", CLASSES[class])];
                known.classes[class] = self.open(duration, &labels, LIMIT);
            }
        }
        let row = match route {
            None => Some(&mut self.unmatched),
            Some(route) if self.routes.contains_key(route) || self.routes.len() < ROUTES => {
                Some(self.routes.entry(route.into()).or_default())
            }
            Some(_) => None,
        };
        if let Some(row) = row {
            row[method] = known;
        }
        known.series(class)
    }

    /// The number, and one more, of the series with these labels, or of that for what has no room.
    fn open(&mut self, declared: Declared, labels: &[(&str, &str)], limit: u64) -> u32 {
        let fits = labels.iter().all(|(_, value)| value.len() <= MAX_VALUE);
        let series =
            fits.then(|| self.claim(declared.metric, &render(labels.iter().copied()), limit));
        let series = series.flatten().unwrap_or_else(|| {
            self.refuse(declared.metric, limit);
            declared.overflow
        });
        // A segment has far fewer series.
        u32::try_from(series + 1).unwrap_or(u32::MAX)
    }

    fn claim(&self, metric: usize, labels: &str, limit: u64) -> Option<usize> {
        let register = self.segment.register();
        let series = register.claim(Kind::Histogram, metric, labels.as_bytes(), limit)?;
        self.segment.slot(self.slot)?.measures().open(series);
        Some(series)
    }

    fn refuse(&mut self, metric: usize, limit: u64) {
        let register = self.segment.register();
        let Some(found) = register.metric(metric) else { return };
        found.refuse();
        let metric = String::from_utf8_lossy(&found.name()).into_owned();
        if !std::mem::replace(&mut self.is_told, true) {
            (self.tell)(&Event::MetricOverflow { metric, limit });
        }
    }
}

impl Known {
    #[inline]
    fn series(&self, class: usize) -> Series {
        let place = |one_more: u32| (one_more as usize).wrapping_sub(1);
        Series { duration: place(self.classes[class]), extents: self.extents.map(place) }
    }
}

#[inline]
fn method_index(method: &[u8]) -> usize {
    let known = METHODS.iter().position(|known| known.as_bytes() == method);
    known.unwrap_or(METHODS.len() - 1)
}

#[inline]
fn class_index(status: u16) -> usize {
    match status {
        // As in the counters: a client that left.
        names::CLIENT_GONE => 5,
        100..500 => usize::from(status / 100) - 1,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_os::segment::Layout;

    fn requests(segment: &Segment) -> Requests {
        Requests::new(segment.clone(), 0, |_| {})
    }

    fn segment() -> Segment {
        let (ring_bytes, metrics) = ([64; 3], names::CAPACITY);
        Segment::on_heap(Layout { ring_bytes, metrics, ..Layout::small(0) })
    }

    fn labels(segment: &Segment, index: usize) -> String {
        let series = segment.register().series(Kind::Histogram).nth(index).unwrap();
        String::from_utf8(series.labels).unwrap()
    }

    #[test]
    fn what_a_client_sends_never_makes_a_series() {
        let segment = segment();
        let mut requests = requests(&segment);
        let get = requests.series(b"GET", Some("/orders/{id}"), 200);
        assert_eq!(requests.series(b"GET", Some("/orders/{id}"), 204), get);
        let expected = r#"method="GET",route="/orders/{id}",status="2xx""#;
        assert_eq!(labels(&segment, get.duration), expected);
        let other = requests.series(b"get", None, 499);
        assert_eq!(
            labels(&segment, other.duration),
            r#"method="OTHER",route="unmatched",status="abandoned""#
        );
        for number in 0..1_000 {
            assert_eq!(requests.series(format!("M{number}").as_bytes(), None, 499), other);
        }
        // Two rows of what came and of failures, and that for what has no room.
        assert_eq!(count(&segment, &families::REQUEST_DURATION), 5);
        assert_eq!(count(&segment, &families::RESPONSE_BYTES), 3);
    }

    fn count(segment: &Segment, family: &Family) -> u64 {
        let metrics = segment.register().metrics();
        let found =
            metrics.map(|(_, metric)| metric).find(|it| it.name() == family.name.as_bytes());
        found.unwrap().series()
    }

    #[test]
    fn failures_of_a_route_have_a_series_before_the_first_of_them() {
        let segment = segment();
        requests(&segment).series(b"GET", Some("/"), 200);
        let all: Vec<_> = segment.register().series(Kind::Histogram).map(|it| it.labels).collect();
        let failures = br#"method="GET",route="/",status="5xx""#.to_vec();
        assert!(all.contains(&failures));
    }

    #[test]
    fn sizes_and_times_are_in_the_series_of_method_and_route() {
        let segment = segment();
        let mut requests = requests(&segment);
        let series = requests.series(b"POST", Some("/"), 500);
        assert_eq!(requests.series(b"POST", Some("/"), 200).extents, series.extents);
        let extent =
            Extent { answered: Some(5), received: 7, sent: u64::MAX, waited: Some(2_000_000) };
        requests.measure(series, &extent);
        requests.measure(series, &Extent { received: 3, ..Extent::default() });
        let read = |index: usize| {
            let mut tally = mainstay_os::segment::Tally::default();
            segment.slot(0).unwrap().measures().read_histogram(index, &mut tally);
            (tally.count(), tally.sum)
        };
        let [first, received, sent] = series.extents.map(read);
        assert_eq!((first, received, sent.0), ((1, 5.0), (2, 10e9), 2));
        assert_eq!(read(requests.waits), (1, 2e6));
    }

    #[test]
    fn routes_that_are_too_many_or_too_long_are_one_series() {
        let segment = segment();
        let mut requests = requests(&segment);
        let overflow = requests.series(b"GET", Some(&"x".repeat(MAX_VALUE + 1)), 200);
        assert_eq!(labels(&segment, overflow.duration), OVERFLOW);
        let found: Vec<_> = (0..2_000)
            .map(|number| requests.series(b"GET", Some(&format!("/{number}")), 200))
            .collect();
        let refused = |it: &&Series| it.duration == overflow.duration;
        // Each route has a series of failures, too.
        assert_eq!(found.iter().filter(refused).count(), 2_000 - 192);
        assert_eq!(requests.series(b"GET", Some("/7"), 200), found[7]);
        assert!(requests.routes.len() <= ROUTES);
    }

    #[test]
    fn without_room_for_metrics_there_is_none() {
        let (ring_bytes, metrics) = ([64; 3], mainstay_os::segment::Capacity::NONE);
        let segment = Segment::on_heap(Layout { ring_bytes, metrics, ..Layout::small(0) });
        let mut requests = requests(&segment);
        let series = requests.series(b"GET", None, 200);
        assert_eq!(series.duration, names::NONE);
        requests.measure(series, &Extent { answered: Some(1), ..Extent::default() });
        assert_eq!(segment.slot(0).unwrap().bin_cell(names::NONE, 7), names::NONE);
    }
}
