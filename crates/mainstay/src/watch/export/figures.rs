//! Everything that is measured, at one moment, as OTLP's metrics: from the same walk as `/metrics`, under the
//! same names. Totals are sent as they stand, or as what came since the last time. Pure.

use super::{exponential, proto};
use crate::metrics::label::parse;
use crate::metrics::text::{BILLION, Shape, Sink, Value, buckets};
use mainstay_os::segment::Tally;
use std::collections::{BTreeMap, HashMap};

/// Values of OTLP's `AggregationTemporality`.
const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;

/// Bins of a histogram in which something is, by their number.
pub(super) type Bins = BTreeMap<u16, u64>;

/// What was measured.
#[derive(Debug, Default)]
pub(super) struct Figures {
    families: Vec<Family>,
}

#[derive(Debug)]
struct Family {
    name: String,
    help: String,
    shape: Shape,
    points: Vec<(String, Point)>,
}

/// One value.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
enum Point {
    Whole(u64),
    Real(f64),
    /// Counts, and the sum.
    Bins(Bins, f64),
}

/// Totals up to which a receiver has everything.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Base {
    /// The segment that they were read from, by when its service started.
    pub(super) segment: u64,
    /// When, nanoseconds since the Unix epoch.
    pub(super) time: u64,
    totals: HashMap<String, Point>,
}

impl Base {
    /// Nothing, at that time.
    pub(super) fn nothing(segment: u64, time: u64) -> Base {
        Base { segment, time, totals: HashMap::new() }
    }
}

impl Sink for Figures {
    fn family(&mut self, name: &str, shape: Shape, help: &str) {
        let (name, help) = (name.to_owned(), help.to_owned());
        self.families.push(Family { name, help, shape, points: Vec::new() });
    }

    fn sample(&mut self, _: &str, labels: &str, value: Value) {
        let point = match value {
            Value::Whole(whole) => Point::Whole(whole),
            // What is no number is not known, and OTLP says that by leaving it out.
            Value::Real(real) if real.is_nan() => return,
            Value::Real(real) => Point::Real(real),
        };
        self.put(labels, point);
    }

    fn histogram(&mut self, _: &str, labels: &str, tally: &Tally) {
        let bins = (0_u16..).zip(&tally.bins).filter(|(_, count)| **count > 0);
        let bins = bins.map(|(bin, count)| (bin, *count)).collect();
        self.put(labels, Point::Bins(bins, tally.sum / BILLION));
    }
}

impl Figures {
    fn put(&mut self, labels: &str, point: Point) {
        if let Some(family) = self.families.last_mut() {
            family.points.push((labels.to_owned(), point));
        }
    }

    /// The totals, to send the next time what came since.
    pub(super) fn base(&self, segment: u64, time: u64) -> Base {
        let totals = self.families.iter().filter(|family| is_total(family.shape));
        let totals = totals.flat_map(|family| {
            family.points.iter().map(|(labels, point)| (key(family, labels), point.clone()))
        });
        Base { segment, time, totals: totals.collect() }
    }

    /// The fields `metrics` of a message `ScopeMetrics`, and how many points are in them: of totals since
    /// `start` as they stand, or, where there is a base, what came since it. The buckets of histograms may
    /// grow by a factor instead of having bounds.
    pub(super) fn encode(
        &self,
        base: Option<&Base>,
        exponential: bool,
        (start, now): (u64, u64),
    ) -> (Vec<u8>, u64) {
        let (mut out, mut count) = (Vec::new(), 0);
        let times = (base.map_or(start, |base| base.time), now);
        for family in &self.families {
            let mut points = Vec::new();
            for (labels, point) in &family.points {
                let known = base.filter(|_| is_total(family.shape));
                let point = match known.map(|base| base.totals.get(&key(family, labels))) {
                    None | Some(None) => point.clone(),
                    Some(Some(before)) => match since(point, before) {
                        Some(point) => point,
                        // Nothing came.
                        None => continue,
                    },
                };
                write_point(family, labels, (&point, exponential), times, &mut points);
                count += 1;
            }
            if !points.is_empty() {
                write_family(family, base.is_some(), exponential, &points, &mut out);
            }
        }
        (out, count)
    }
}

fn is_total(shape: Shape) -> bool {
    matches!(shape, Shape::Counter | Shape::Histogram)
}

fn key(family: &Family, labels: &str) -> String {
    format!("{}{{{labels}}}", family.name)
}

/// What came between two totals; none when nothing did. Totals never go down: one that did is another one.
fn since(now: &Point, before: &Point) -> Option<Point> {
    match (now, before) {
        (Point::Whole(now), Point::Whole(before)) => {
            let more = now.checked_sub(*before).unwrap_or(*now);
            (more > 0).then_some(Point::Whole(more))
        }
        (Point::Real(now), Point::Real(before)) => {
            let more = if now < before { *now } else { now - before };
            (more > 0.0).then_some(Point::Real(more))
        }
        (Point::Bins(now, sum), Point::Bins(before, summed)) => {
            let since = |(bin, now): (&u16, &u64)| {
                Some((*bin, now.checked_sub(before.get(bin).copied().unwrap_or(0))?))
            };
            let (bins, sum) = match now.iter().map(since).collect::<Option<Bins>>() {
                Some(more) => (more, sum - summed),
                None => (now.clone(), *sum),
            };
            let bins: Bins = bins.into_iter().filter(|(_, count)| *count > 0).collect();
            (!bins.is_empty()).then_some(Point::Bins(bins, sum))
        }
        (now, _) => Some(now.clone()),
    }
}

fn write_family(
    family: &Family,
    is_delta: bool,
    exponential: bool,
    points: &[u8],
    out: &mut Vec<u8>,
) {
    let temporality = if is_delta { DELTA } else { CUMULATIVE };
    proto::message(2, out, |out| {
        proto::bytes(1, family.name.as_bytes(), out);
        proto::bytes(2, family.help.as_bytes(), out);
        let stem = family.name.strip_suffix("_total").unwrap_or(&family.name);
        let unit = match stem.rsplit('_').next() {
            Some("seconds") => "s",
            Some("bytes") => "By",
            _ => "",
        };
        proto::bytes(3, unit.as_bytes(), out);
        match family.shape {
            Shape::Gauge | Shape::Info => proto::bytes(5, points, out),
            Shape::Counter => proto::message(7, out, |out| {
                out.extend_from_slice(points);
                proto::number(2, temporality, out);
                proto::number(3, 1, out);
            }),
            Shape::Histogram => proto::message(if exponential { 10 } else { 9 }, out, |out| {
                out.extend_from_slice(points);
                proto::number(2, temporality, out);
            }),
        }
    });
}

/// Appends a field `data_points`.
fn write_point(
    family: &Family,
    labels: &str,
    (point, exponential): (&Point, bool),
    (start, now): (u64, u64),
    out: &mut Vec<u8>,
) {
    proto::message(1, out, |out| {
        if is_total(family.shape) {
            proto::fixed64(2, start, out);
        }
        proto::fixed64(3, now, out);
        let attributes = match point {
            Point::Whole(whole) => {
                proto::fixed64(6, *whole, out);
                7
            }
            Point::Real(real) => {
                proto::fixed64(4, real.to_bits(), out);
                7
            }
            Point::Bins(bins, sum) if exponential => {
                exponential::write(bins, *sum, out);
                1
            }
            Point::Bins(bins, sum) => {
                write_buckets(&family.name, bins, *sum, out);
                9
            }
        };
        for (name, value) in parse(labels) {
            proto::attribute(attributes, &name, &value, out);
        }
    });
}

/// Appends the fields of a message `HistogramDataPoint` that hold what was observed.
fn write_buckets(name: &str, bins: &Bins, sum: f64, out: &mut Vec<u8>) {
    let count = bins.values().fold(0, |sum: u64, count| sum.wrapping_add(*count));
    proto::fixed64(4, count, out);
    proto::fixed64(5, sum.to_bits(), out);
    let buckets = buckets(name);
    let mut counts = vec![0_u64; buckets.len() + 1];
    for (bin, count) in bins {
        let place = buckets.partition_point(|bucket| bucket.bins <= usize::from(*bin));
        counts[place] = counts[place].wrapping_add(*count);
    }
    let packed = |values: &mut dyn Iterator<Item = u64>| -> Vec<u8> {
        values.flat_map(u64::to_le_bytes).collect()
    };
    proto::bytes(6, &packed(&mut counts.into_iter()), out);
    let bounds = buckets.iter().map(|bucket| bucket.bound as f64 / BILLION);
    proto::bytes(7, &packed(&mut bounds.map(f64::to_bits)), out);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use mainstay_os::segment::bin_of;
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
    use opentelemetry_proto::tonic::metrics::v1::ScopeMetrics;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
    use prost::Message;

    /// What stands in the fields, in a form that can be compared: name, temporality, and for each point its
    /// labels, its beginning and its value.
    pub(in super::super) fn read(bytes: &[u8]) -> Vec<String> {
        let scope = ScopeMetrics::decode(bytes).unwrap();
        let mut lines = Vec::new();
        for metric in scope.metrics {
            let unit = metric.unit;
            let (kind, points) = match metric.data.unwrap() {
                Data::Gauge(gauge) => (format!("gauge {unit}"), gauge.data_points),
                Data::Sum(sum) => {
                    assert!(sum.is_monotonic);
                    (format!("sum/{} {unit}", sum.aggregation_temporality), sum.data_points)
                }
                Data::Histogram(histogram) => {
                    for it in histogram.data_points {
                        lines.push(format!(
                            "{} histogram/{} {unit} {:?} {}-{} count {} sum {:?} {:?} {:?}",
                            metric.name,
                            histogram.aggregation_temporality,
                            labels(it.attributes),
                            it.start_time_unix_nano,
                            it.time_unix_nano,
                            it.count,
                            it.sum,
                            it.bucket_counts,
                            it.explicit_bounds
                        ));
                    }
                    continue;
                }
                Data::ExponentialHistogram(histogram) => {
                    for it in histogram.data_points {
                        let positive = it.positive.unwrap();
                        lines.push(format!(
                            "{} exponential/{} {unit} {:?} {}-{} count {} sum {:?} scale {} from {}: {:?}",
                            metric.name,
                            histogram.aggregation_temporality,
                            labels(it.attributes),
                            it.start_time_unix_nano,
                            it.time_unix_nano,
                            it.count,
                            it.sum,
                            it.scale,
                            positive.offset,
                            positive.bucket_counts
                        ));
                    }
                    continue;
                }
                other => panic!("{other:?}"),
            };
            for it in points {
                let value = match it.value.unwrap() {
                    Number::AsInt(whole) => whole.to_string(),
                    Number::AsDouble(real) => format!("{real:?}"),
                };
                let (start, time) = (it.start_time_unix_nano, it.time_unix_nano);
                let labels = labels(it.attributes);
                lines.push(format!("{} {kind} {labels:?} {start}-{time} {value}", metric.name));
            }
        }
        lines
    }

    fn labels(all: Vec<opentelemetry_proto::tonic::common::v1::KeyValue>) -> Vec<String> {
        let text = |it: opentelemetry_proto::tonic::common::v1::KeyValue| match it
            .value
            .unwrap()
            .value
            .unwrap()
        {
            Any::StringValue(value) => format!("{}={value}", it.key),
            other => panic!("{other:?}"),
        };
        all.into_iter().map(text).collect()
    }

    fn figures(more: u64) -> Figures {
        let mut figures = Figures::default();
        figures.family("x_build_info", Shape::Info, "The build.");
        figures.sample("x_build_info", "version=\"1\"", Value::Whole(1));
        figures.family("mails_total", Shape::Counter, "Mails.");
        figures.sample("mails_total", "kind=\"a\\\"b\"", Value::Whole(5 + more));
        figures.sample("mails_total", "kind=\"c\"", Value::Whole(7));
        figures.family("queue_bytes", Shape::Gauge, "");
        figures.sample("queue_bytes", "", Value::Real(0.5));
        figures.sample("queue_bytes", "a=\"none\"", Value::Real(f64::NAN));
        figures.family("work_seconds", Shape::Histogram, "Work.");
        let mut tally = Tally { sum: 7.005e9 + more as f64 * 5e6, ..Tally::default() };
        tally.bins[bin_of(5_000_000)] += 1 + more;
        tally.bins[bin_of(7_000_000_000)] += 1;
        tally.bins[bin_of(20_000_000_000)] += 1;
        figures.histogram("work_seconds", "", &tally);
        figures
    }

    const TIMES: &str =
        "[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0]";

    #[test]
    fn totals_stand_with_their_beginning() {
        let (bytes, count) = figures(0).encode(None, false, (10, 20));
        let expected = [
            "x_build_info gauge  [\"version=1\"] 0-20 1".to_owned(),
            "mails_total sum/2  [\"kind=a\\\"b\"] 10-20 5".to_owned(),
            "mails_total sum/2  [\"kind=c\"] 10-20 7".to_owned(),
            "queue_bytes gauge By [] 0-20 0.5".to_owned(),
            format!(
                "work_seconds histogram/2 s [] 10-20 count 3 sum Some(7.005) \
                 [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1] {TIMES}"
            ),
        ];
        assert_eq!((read(&bytes), count), (expected.into(), 5));
    }

    #[test]
    fn differences_are_what_came_since_the_last_ones() {
        let base = figures(0).base(1, 15);
        let (bytes, count) = figures(2).encode(Some(&base), false, (10, 20));
        let expected = [
            "x_build_info gauge  [\"version=1\"] 0-20 1".to_owned(),
            "mails_total sum/1  [\"kind=a\\\"b\"] 15-20 2".to_owned(),
            "queue_bytes gauge By [] 0-20 0.5".to_owned(),
            format!(
                "work_seconds histogram/1 s [] 15-20 count 2 sum Some({:?}) \
                 [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] {TIMES}",
                7.015 - 7.005
            ),
        ];
        assert_eq!((read(&bytes), count), (expected.into(), 4));
        // A series that is new, such as one of a route that was called first, is there as a whole.
        let (bytes, _) = figures(0).encode(Some(&Base::nothing(1, 3)), false, (1, 4));
        assert!(read(&bytes).contains(&"mails_total sum/1  [\"kind=c\"] 3-4 7".to_owned()));
    }

    #[test]
    fn buckets_grow_by_a_factor_where_that_is_wanted_and_the_base_serves_both() {
        let base = figures(0).base(1, 15);
        let of_work = |bytes: &[u8]| read(bytes).into_iter().find(|it| it.starts_with("work"));
        let (bytes, count) = figures(2).encode(Some(&base), true, (10, 20));
        // 5 ms is between 2^(-62/8) and 2^(-61/8) seconds.
        let expected = format!(
            "work_seconds exponential/1 s [] 15-20 count 2 sum Some({:?}) scale 3 from -62: [2]",
            7.015 - 7.005
        );
        assert_eq!((of_work(&bytes), count), (Some(expected), 4));
        let (bytes, _) = figures(0).encode(None, true, (10, 20));
        let zeros = |count| vec!["0"; count].join(", ");
        let expected = format!(
            "work_seconds exponential/2 s [] 10-20 count 3 sum Some(7.005) scale 3 from -62: \
             [1, {}, 1, {}, 1]",
            zeros(83),
            zeros(11)
        );
        assert_eq!(of_work(&bytes), Some(expected));
    }

    #[test]
    fn a_base_is_kept_as_it_was() {
        let base = figures(1).base(3, 4);
        let text = serde_json::to_string(&base).unwrap();
        assert_eq!(serde_json::from_str::<Base>(&text).unwrap(), base);
    }
}
