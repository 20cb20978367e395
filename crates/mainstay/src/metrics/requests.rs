//! How long requests took, by method, route and class of status. All three are from closed sets: what
//! a client sends never makes a series.

use super::families;
use super::handle::Merge;
use super::label::{OVERFLOW, render};
use super::names;
use super::registry::{MAX_VALUE, nature};
use crate::event::Event;
use mainstay_os::segment::{Kind, Segment};
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
/// Most series.
const LIMIT: u64 = 256;
/// Most routes that are remembered, those without a series included.
const ROUTES: usize = 1_024;

/// For each method and class of one route, the series and one more; 0 before the first such request.
type Row = [[u32; CLASSES.len()]; METHODS.len()];

/// The way from a request to its series, for one process.
pub(crate) struct Requests {
    segment: Segment,
    slot: usize,
    /// The metric and its series for what has none; nothing where there is no room for metrics.
    metric: Option<(usize, usize)>,
    unmatched: Box<Row>,
    routes: HashMap<Box<str>, Box<Row>>,
    is_told: bool,
    tell: Box<dyn Fn(&Event) + Send + Sync>,
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("metric", &self.metric).finish_non_exhaustive()
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
        let family = families::REQUEST_DURATION;
        let nature = nature(Kind::Histogram, Merge::Sum);
        let help = family.help.trim().as_bytes();
        let declared = segment.register().declare(family.name.as_bytes(), nature, help).ok();
        let mut requests = Requests {
            segment,
            slot,
            metric: None,
            unmatched: Box::default(),
            routes: HashMap::new(),
            is_told: false,
            tell: Box::new(tell),
        };
        requests.metric =
            declared.and_then(|metric| Some((metric, requests.claim(metric, OVERFLOW, u64::MAX)?)));
        requests
    }

    /// The histogram in which a request of this method, route (if somebody has named it) and status
    /// belongs; [`names::NONE`] when there is none.
    #[inline]
    pub(crate) fn series(&mut self, method: &[u8], route: Option<&str>, status: u16) -> usize {
        let Some((metric, overflow)) = self.metric else { return names::NONE };
        let (method, class) = (method_index(method), class_index(status));
        let row = match route {
            None => Some(&self.unmatched),
            Some(route) => self.routes.get(route),
        };
        match row.map(|row| row[method][class]) {
            None | Some(0) => self.find(metric, overflow, (method, route, class)),
            Some(known) => known as usize - 1,
        }
    }

    #[cold]
    fn find(
        &mut self,
        metric: usize,
        overflow: usize,
        (method, route, class): (usize, Option<&str>, usize),
    ) -> usize {
        let shown = route.unwrap_or(UNMATCHED);
        let series = (shown.len() <= MAX_VALUE).then(|| {
            let labels =
                [("method", METHODS[method]), ("route", shown), ("status", CLASSES[class])];
            self.claim(metric, &render(labels.into_iter()), LIMIT)
        });
        let series = series.flatten().unwrap_or_else(|| {
            self.refuse(metric);
            overflow
        });
        let row = match route {
            None => Some(&mut self.unmatched),
            Some(route) if self.routes.contains_key(route) || self.routes.len() < ROUTES => {
                Some(self.routes.entry(route.into()).or_default())
            }
            Some(_) => None,
        };
        if let (Some(row), Ok(known)) = (row, u32::try_from(series + 1)) {
            row[method][class] = known;
        }
        series
    }

    fn claim(&self, metric: usize, labels: &str, limit: u64) -> Option<usize> {
        let register = self.segment.register();
        let series = register.claim(Kind::Histogram, metric, labels.as_bytes(), limit)?;
        self.segment.slot(self.slot)?.measures().open(series);
        Some(series)
    }

    fn refuse(&mut self, metric: usize) {
        if let Some(metric) = self.segment.register().metric(metric) {
            metric.refuse();
        }
        if !std::mem::replace(&mut self.is_told, true) {
            let metric = families::REQUEST_DURATION.name.to_owned();
            (self.tell)(&Event::MetricOverflow { metric, limit: LIMIT });
        }
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
        Segment::on_heap(Layout { slots: 1, counters: 0, in_flight: 0, ring_bytes, metrics })
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
        assert_eq!(labels(&segment, get), expected);
        let other = requests.series(b"get", None, 499);
        assert_eq!(
            labels(&segment, other),
            r#"method="OTHER",route="unmatched",status="abandoned""#
        );
        for number in 0..1_000 {
            assert_eq!(requests.series(format!("M{number}").as_bytes(), None, 499), other);
        }
        assert_eq!(segment.register().metric(0).unwrap().series(), 3);
    }

    #[test]
    fn routes_that_are_too_many_or_too_long_are_one_series() {
        let segment = segment();
        let mut requests = requests(&segment);
        let overflow = requests.series(b"GET", Some(&"x".repeat(MAX_VALUE + 1)), 200);
        assert_eq!(labels(&segment, overflow), OVERFLOW);
        let found: Vec<_> = (0..2_000)
            .map(|number| requests.series(b"GET", Some(&format!("/{number}")), 200))
            .collect();
        assert_eq!(found.iter().filter(|series| **series == overflow).count(), 2_000 - 255);
        assert_eq!(requests.series(b"GET", Some("/7"), 200), found[7]);
        assert!(requests.routes.len() <= ROUTES);
    }

    #[test]
    fn without_room_for_metrics_there_is_none() {
        let (ring_bytes, metrics) = ([64; 3], mainstay_os::segment::Capacity::NONE);
        let segment =
            Segment::on_heap(Layout { slots: 1, counters: 0, in_flight: 0, ring_bytes, metrics });
        assert_eq!(requests(&segment).series(b"GET", None, 200), names::NONE);
        assert_eq!(segment.slot(0).unwrap().bin_cell(names::NONE, 7), names::NONE);
    }
}
