//! The text of an exposition: Prometheus text 0.0.4 or OpenMetrics 1.0. Pure.

use super::label::escape;
use mainstay_os::segment::{Exemplar, Tally, bin_of};
use std::fmt::Write as _;
use std::sync::LazyLock;

/// Billionths in a unit.
pub(crate) const BILLION: f64 = 1e9;
/// Bounds that durations are shown with, milliseconds: those of client libraries.
const TIMES: [u64; 14] =
    [5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000];
/// Powers of ten that other sizes are shown with: 1, 2.5 and 5 of each.
const DECADES: std::ops::Range<u32> = 0..9;

/// How an exposition is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// What everybody reads.
    Prometheus,
    /// What is written when it is asked for.
    OpenMetrics,
}

impl Format {
    /// The value of `Content-Type`, without which recent scrapers refuse an answer.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What a client with this `Accept` is answered with: OpenMetrics when it likes that no less than
    /// plain text, and names it.
    pub(crate) fn of(accept: &str) -> Format {
        let (mut open, mut plain) = (0.0, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';');
            let name = parts.next().unwrap_or_default().trim();
            let (mut quality, mut version) = (1.0_f64, "");
            for (key, value) in parts.filter_map(|part| part.split_once('=')) {
                match key.trim() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "version" => version = value.trim().trim_matches('"'),
                    _ => {}
                }
            }
            let is_open = name.eq_ignore_ascii_case("application/openmetrics-text");
            if is_open && matches!(version, "" | "1.0.0") {
                open = quality.max(open);
            } else if name.eq_ignore_ascii_case("text/plain") && matches!(version, "" | "0.0.4") {
                plain = quality.max(plain);
            }
        }
        if open > 0.0 && open >= plain { Format::OpenMetrics } else { Format::Prometheus }
    }
}

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Counter,
    Gauge,
    Histogram,
    /// Facts as labels of the value 1; its name ends with `_info`.
    Info,
}

impl Shape {
    /// The word of an exposition.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Shape::Counter => "counter",
            Shape::Gauge => "gauge",
            Shape::Histogram => "histogram",
            Shape::Info => "info",
        }
    }
}

/// A value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    Whole(u64),
    Real(f64),
}

/// Who is shown everything that is measured, family by family.
pub(crate) trait Sink {
    /// Whether a family is of any use. What is costly to find out is left out where it is not; what costs nothing may
    /// come all the same.
    fn wants(&self, _name: &str) -> bool {
        true
    }
    /// Begins a family; its samples follow before the next one.
    fn family(&mut self, name: &str, shape: Shape, help: &str);
    /// A sample of the family; `labels` are rendered.
    fn sample(&mut self, name: &str, labels: &str, value: Value);
    /// A histogram of the family.
    fn histogram(&mut self, name: &str, labels: &str, tally: &Tally);
}

/// An exposition that is being written.
#[derive(Debug)]
pub(crate) struct Page {
    format: Format,
    text: String,
}

impl Page {
    pub(crate) fn new(format: Format) -> Page {
        Page { format, text: String::with_capacity(16 * 1_024) }
    }

    /// The whole text.
    pub(crate) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Sink for Page {
    fn family(&mut self, name: &str, shape: Shape, help: &str) {
        let open = self.format == Format::OpenMetrics;
        let end = match shape {
            Shape::Counter if open => "_total",
            Shape::Info if open => "_info",
            _ => "",
        };
        let name = name.strip_suffix(end).unwrap_or(name);
        let word = match shape {
            Shape::Info if !open => "gauge",
            shape => shape.as_str(),
        };
        // Writing to a string does not fail.
        writeln!(self.text, "# TYPE {name} {word}").ok();
        let unit = ["seconds", "bytes"]
            .into_iter()
            .find(|unit| name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')));
        if let (Some(unit), true) = (unit, open) {
            writeln!(self.text, "# UNIT {name} {unit}").ok();
        }
        if !help.is_empty() {
            write!(self.text, "# HELP {name} ").ok();
            escape(help, open, &mut self.text);
            self.text.push('\n');
        }
    }

    fn sample(&mut self, name: &str, labels: &str, value: Value) {
        self.part(name, "", labels, value);
    }

    fn histogram(&mut self, name: &str, labels: &str, tally: &Tally) {
        let (mut below, mut sum, mut lower) = (0, 0_u64, None);
        for bucket in buckets(name) {
            // Every bound is the edge of a bin, so this is exact.
            let bins = &tally.bins[below..bucket.bins];
            sum = bins.iter().fold(sum, |sum, bin| sum.wrapping_add(*bin));
            self.bucket(name, labels, &bucket.label, sum);
            self.exemplar(tally, |value| lower < Some(value) && value <= bucket.bound);
            (below, lower) = (bucket.bins, Some(bucket.bound));
        }
        let count = tally.bins[below..].iter().fold(sum, |sum, bin| sum.wrapping_add(*bin));
        self.bucket(name, labels, "le=\"+Inf\"", count);
        self.exemplar(tally, |value| lower < Some(value));
        self.part(name, "_count", labels, Value::Whole(count));
        self.part(name, "_sum", labels, Value::Real(tally.sum / BILLION));
    }
}

impl Page {
    /// A sample of a name in two parts.
    fn part(&mut self, name: &str, end: &str, labels: &str, value: Value) {
        self.text.extend([name, end]);
        if !labels.is_empty() {
            self.text.extend(["{", labels, "}"]);
        }
        self.text.push(' ');
        match value {
            Value::Whole(whole) => write!(self.text, "{whole}").ok(),
            Value::Real(real) if real == f64::INFINITY => write!(self.text, "+Inf").ok(),
            Value::Real(real) if real == f64::NEG_INFINITY => write!(self.text, "-Inf").ok(),
            Value::Real(real) => write!(self.text, "{real}").ok(),
        };
        self.text.push('\n');
    }

    /// A line of a histogram.
    fn bucket(&mut self, name: &str, labels: &str, bound: &str, count: u64) {
        let comma = if labels.is_empty() { "" } else { "," };
        self.text.extend([name, "_bucket{", labels, comma, bound, "} "]);
        writeln!(self.text, "{count}").ok();
    }

    /// Appends to the line of a bucket the newest exemplar whose value is in it.
    fn exemplar(&mut self, tally: &Tally, is_in: impl Fn(u64) -> bool) {
        if self.format != Format::OpenMetrics {
            return;
        }
        let inside = tally.exemplars.iter().filter(|it| is_in(it.value));
        let Some(Exemplar { value, time, trace, span }) = inside.max_by_key(|it| it.time) else {
            return;
        };
        // Behind the count, whose line has ended.
        self.text.pop();
        let (trace, span) = (u128::from_be_bytes(*trace), u64::from_be_bytes(*span));
        let value = *value as f64 / BILLION;
        let (seconds, millis) = (time / 1_000_000_000, time / 1_000_000 % 1_000);
        // Far less than the 128 characters that labels may have.
        write!(self.text, " # {{trace_id=\"{trace:032x}\",span_id=\"{span:016x}\"}}").ok();
        writeln!(self.text, " {value} {seconds}.{millis:03}").ok();
    }
}

/// A bucket that histograms are shown with.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// The largest value that belongs to it, billionths.
    pub(crate) bound: u64,
    /// How many bins are in it and those before.
    pub(crate) bins: usize,
    /// The label of its line.
    label: String,
}

/// The buckets of a histogram of this name, without the last one, which has no bound.
pub(crate) fn buckets(name: &str) -> &'static [Bucket] {
    static OF_TIMES: LazyLock<Vec<Bucket>> =
        LazyLock::new(|| TIMES.iter().map(|millis| bucket(millis * 1_000_000)).collect());
    static OF_SIZES: LazyLock<Vec<Bucket>> = LazyLock::new(|| {
        let of_decade = |decade| [4, 10, 20].map(|quarters| quarters * 10_u64.pow(decade + 9) / 4);
        let bounds = DECADES.flat_map(of_decade).chain([10_u64.pow(DECADES.end + 9)]);
        bounds.map(bucket).collect()
    });
    if name.ends_with("_seconds") { &OF_TIMES } else { &OF_SIZES }
}

fn bucket(bound: u64) -> Bucket {
    Bucket { bound, bins: bin_of(bound) + 1, label: format!("le=\"{}\"", canonical(bound)) }
}

/// A bound as both formats like it: `0.005`, `1.0`, `2.5e+06`.
fn canonical(billionths: u64) -> String {
    let value = billionths as f64 / BILLION;
    if value < 1e6 {
        return format!("{value:?}");
    }
    let text = format!("{value:e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{digits}e+{power:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One family of each shape.
    fn page(format: Format) -> String {
        let mut page = Page::new(format);
        page.family("x_build_info", Shape::Info, "The build.");
        page.sample("x_build_info", "version=\"1\"", Value::Whole(1));
        page.family("mails_total", Shape::Counter, "Mails \"sent\",\nby \\kind.");
        page.sample("mails_total", "kind=\"a\"", Value::Whole(u64::MAX));
        page.family("queue_bytes", Shape::Gauge, "");
        page.sample("queue_bytes", "", Value::Real(0.1));
        page.sample("queue_bytes", "a=\"b\"", Value::Real(f64::NAN));
        page.sample("queue_bytes", "a=\"c\"", Value::Real(f64::NEG_INFINITY));
        let mut tally = Tally { sum: 7e9 + 5e6, ..Tally::default() };
        for value in [5_000_000, 5_000_001, 7_000_000_000, 20_000_000_000] {
            tally.bins[bin_of(value)] += 1;
        }
        page.family("work_seconds", Shape::Histogram, "Work.");
        page.histogram("work_seconds", "how=\"fast\"", &tally);
        page.finish()
    }

    #[test]
    fn the_text_is_as_prometheus_reads_it() {
        let expected = r#"# TYPE x_build_info gauge
# HELP x_build_info The build.
x_build_info{version="1"} 1
# TYPE mails_total counter
# HELP mails_total Mails "sent",\nby \\kind.
mails_total{kind="a"} 18446744073709551615
# TYPE queue_bytes gauge
queue_bytes 0.1
queue_bytes{a="b"} NaN
queue_bytes{a="c"} -Inf
# TYPE work_seconds histogram
# HELP work_seconds Work.
work_seconds_bucket{how="fast",le="0.005"} 1
work_seconds_bucket{how="fast",le="0.01"} 2
work_seconds_bucket{how="fast",le="0.025"} 2
work_seconds_bucket{how="fast",le="0.05"} 2
work_seconds_bucket{how="fast",le="0.075"} 2
work_seconds_bucket{how="fast",le="0.1"} 2
work_seconds_bucket{how="fast",le="0.25"} 2
work_seconds_bucket{how="fast",le="0.5"} 2
work_seconds_bucket{how="fast",le="0.75"} 2
work_seconds_bucket{how="fast",le="1.0"} 2
work_seconds_bucket{how="fast",le="2.5"} 2
work_seconds_bucket{how="fast",le="5.0"} 2
work_seconds_bucket{how="fast",le="7.5"} 3
work_seconds_bucket{how="fast",le="10.0"} 3
work_seconds_bucket{how="fast",le="+Inf"} 4
work_seconds_count{how="fast"} 4
work_seconds_sum{how="fast"} 7.005
"#;
        assert_eq!(page(Format::Prometheus), expected);
    }

    #[test]
    fn openmetrics_names_families_without_their_endings_and_ends_with_a_mark() {
        let text = page(Format::OpenMetrics);
        let heads: Vec<_> = text.lines().filter(|line| line.starts_with('#')).collect();
        let expected = [
            "# TYPE x_build info",
            "# HELP x_build The build.",
            "# TYPE mails counter",
            "# HELP mails Mails \\\"sent\\\",\\nby \\\\kind.",
            "# TYPE queue_bytes gauge",
            "# UNIT queue_bytes bytes",
            "# TYPE work_seconds histogram",
            "# UNIT work_seconds seconds",
            "# HELP work_seconds Work.",
            "# EOF",
        ];
        assert_eq!(heads, expected);
        let samples = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
        };
        assert_eq!(samples(&text), samples(&page(Format::Prometheus)));
        assert!(text.ends_with("\n# EOF\n"));
    }

    #[test]
    fn buckets_have_the_newest_exemplar_of_their_values_where_exemplars_can_be_read() {
        let exemplar = |value, time: u64| Exemplar {
            value,
            time: time * 1_000_000,
            trace: [time as u8; 16],
            span: [0, 1, 2, 3, 4, 5, 6, 7],
        };
        let exemplars = vec![
            exemplar(7_500_000, 1_003),
            exemplar(10_000_000, 2_004),
            exemplar(5_000_000, 3_000),
            exemplar(0, 2_999),
            exemplar(70_000_000_000, 4_000),
        ];
        let tally = Tally { exemplars, ..Tally::default() };
        let text = |format| {
            let mut page = Page::new(format);
            page.histogram("work_seconds", "", &tally);
            page.finish()
        };
        let open = text(Format::OpenMetrics);
        let found: Vec<_> = open.lines().filter(|line| line.contains(" # ")).collect();
        let span = "span_id=\"0001020304050607\"";
        let trace = |byte: &str| byte.repeat(16);
        let expected = [
            format!(
                "work_seconds_bucket{{le=\"0.005\"}} 0 # {{trace_id=\"{}\",{span}}} 0.005 3.000",
                trace("b8")
            ),
            format!(
                "work_seconds_bucket{{le=\"0.01\"}} 0 # {{trace_id=\"{}\",{span}}} 0.01 2.004",
                trace("d4")
            ),
            format!(
                "work_seconds_bucket{{le=\"+Inf\"}} 0 # {{trace_id=\"{}\",{span}}} 70 4.000",
                trace("a0")
            ),
        ];
        assert_eq!(found, expected);
        assert!(!text(Format::Prometheus).contains(" # "));
    }

    #[test]
    fn sizes_have_bounds_of_all_magnitudes() {
        let all: Vec<_> = buckets("body_bytes").iter().map(|it| canonical(it.bound)).collect();
        assert_eq!(all[..4], ["1.0", "2.5", "5.0", "10.0"]);
        assert_eq!(
            all[18..],
            [
                "1e+06", "2.5e+06", "5e+06", "1e+07", "2.5e+07", "5e+07", "1e+08", "2.5e+08",
                "5e+08", "1e+09"
            ]
        );
    }

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,\
             text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for accept in [
            prometheus_3,
            "application/openmetrics-text",
            "Application/OpenMetrics-Text;\
             version=\"1.0.0\", text/plain",
        ] {
            assert_eq!(Format::of(accept), Format::OpenMetrics, "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/plain",
            "application/openmetrics-text; version=0.0.1",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.1, text/plain",
        ] {
            assert_eq!(Format::of(accept), Format::Prometheus, "{accept}");
        }
    }
}
