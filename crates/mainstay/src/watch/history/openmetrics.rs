//! The history as OpenMetrics with times, of which Prometheus makes blocks of its own. Pure.
//!
//! Each time is told by the finest level that still has it: no bucket overlaps another one, so that counters are
//! sums of all that there was.

use crate::metrics::label::escape;
use serde_json::Value;
use std::fmt::Write as _;

/// Counts, which are added up: field, and name of the family.
const COUNTERS: [(&str, &str, &str); 2] = [
    ("n", "observations", "Requests, attempts, or looks at a gauge, since the history begins."),
    ("bad", "bad", "Those of them that were not as they should be."),
];
/// What each bucket has, if it is known.
const GAUGES: [(&str, &str, &str); 3] = [
    ("mean", "mean", "Mean of a span of time."),
    ("min", "min", "The least of a span of time."),
    ("max", "max", "The most of a span of time."),
];
const QUANTILES: [(&str, &str); 3] = [("p50", "0.5"), ("p95", "0.95"), ("p99", "0.99")];

/// A bucket as it is exported.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    at: i64,
    seconds: i64,
    fields: Value,
}

impl Row {
    fn end(&self) -> i64 {
        self.at + self.seconds
    }
}

/// Reads rows, a line of JSON each; what is none is left out.
pub(super) fn read(lines: &str) -> Vec<Row> {
    let row = |line: &str| {
        let fields: Value = serde_json::from_str(line).ok()?;
        let seconds = fields["seconds"].as_i64().filter(|it| *it > 0)?;
        Some(Row { at: fields["at"].as_i64()?, seconds, fields })
    };
    lines.lines().filter_map(row).collect()
}

/// Rows of all levels, the finest first, as one: of what several have the finest is told, and nothing that is not
/// over at `now`.
fn joined(levels: &[Vec<Row>], now: i64) -> Vec<Row> {
    let mut kept: Vec<Row> = Vec::new();
    for level in levels {
        let closed = level.iter().filter(|it| it.end() <= now);
        let Some(first) = kept.first().map(|it| it.at) else {
            kept = closed.cloned().collect();
            continue;
        };
        // A bucket in which the finer level begins is told as a whole.
        let around = |it: &&Row| it.at < first && first < it.end();
        let begin = closed.clone().find(around).map_or(first, Row::end);
        kept.retain(|it| it.at >= begin);
        let older: Vec<_> = closed.filter(|it| it.end() <= begin).cloned().collect();
        kept.splice(..0, older);
    }
    kept
}

/// All series, family by family.
#[derive(Debug)]
pub(super) struct Exposition {
    now: i64,
    counters: [String; COUNTERS.len()],
    gauges: [String; GAUGES.len()],
    quantiles: String,
}

impl Exposition {
    /// Of what is over at `now`, seconds since the Unix epoch.
    pub(super) fn new(now: i64) -> Exposition {
        Exposition {
            now,
            counters: Default::default(),
            gauges: Default::default(),
            quantiles: String::new(),
        }
    }

    /// Adds a series, with the rows of its levels, the finest first.
    pub(super) fn add(&mut self, series: &str, levels: &[Vec<Row>]) {
        let rows = joined(levels, self.now);
        let Some(first) = rows.first() else { return };
        let mut label = String::new();
        escape(series, true, &mut label);
        // A String takes everything.
        for ((field, name, _), text) in COUNTERS.iter().zip(&mut self.counters) {
            let mut sum = 0_u64;
            let mut sample = |sum: u64, at: i64| {
                writeln!(text, "mainstay_history_{name}_total{{series=\"{label}\"}} {sum} {at}")
                    .ok();
            };
            sample(sum, first.at);
            for row in &rows {
                sum = sum.saturating_add(row.fields[*field].as_u64().unwrap_or_default());
                sample(sum, row.end());
            }
        }
        for ((field, name, _), text) in GAUGES.iter().zip(&mut self.gauges) {
            for (row, value) in
                rows.iter().filter_map(|row| Some((row, row.fields[*field].as_f64()?)))
            {
                let at = row.end();
                writeln!(text, "mainstay_history_{name}{{series=\"{label}\"}} {value} {at}").ok();
            }
        }
        // One after the other, since times of a series may only grow.
        for (field, part) in QUANTILES {
            for (row, value) in
                rows.iter().filter_map(|row| Some((row, row.fields[field].as_f64()?)))
            {
                let (text, at) = (&mut self.quantiles, row.end());
                let labels = format!("series=\"{label}\",quantile=\"{part}\"");
                writeln!(text, "mainstay_history_quantile{{{labels}}} {value} {at}").ok();
            }
        }
    }

    /// The text.
    pub(super) fn finish(self) -> String {
        let mut page = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: &str| {
            if !samples.is_empty() {
                let name = format!("mainstay_history_{name}");
                // A String takes everything.
                write!(page, "# TYPE {name} {kind}\n# HELP {name} {help}\n{samples}").ok();
            }
        };
        for ((_, name, help), samples) in COUNTERS.iter().zip(&self.counters) {
            family(name, "counter", help, samples);
        }
        for ((_, name, help), samples) in GAUGES.iter().zip(&self.gauges) {
            family(name, "gauge", help, samples);
        }
        family(
            "quantile",
            "gauge",
            "What that part of a span's times was at most.",
            &self.quantiles,
        );
        page + "# EOF\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const BEGIN: i64 = 1_800_000_000;

    fn rows(seconds: i64, from: i64, until: i64) -> Vec<Row> {
        let begins = (from..until).step_by(seconds as usize);
        let row = |at| {
            let fields = json!({ "at": at, "seconds": seconds, "n": seconds / 10, "bad": 1 });
            Row { at, seconds, fields }
        };
        begins.map(row).collect()
    }

    /// Each second is told once, by the finest level that has it, and there is no gap.
    fn is_whole(levels: &[Vec<Row>], now: i64) -> Vec<Row> {
        let all = joined(levels, now);
        assert!(all.windows(2).all(|pair| pair[0].end() == pair[1].at), "{all:?}");
        all
    }

    #[test]
    fn each_time_is_told_once_by_the_finest_level_that_has_it() {
        // The finer ones begin in the middle of a bucket of the coarser one.
        let levels = [
            rows(10, BEGIN + 7_210, BEGIN + 8_000),
            rows(60, BEGIN + 3_660, BEGIN + 8_000),
            rows(900, BEGIN, BEGIN + 8_000),
        ];
        let all = is_whole(&levels, BEGIN + 8_000);
        assert_eq!((all[0].at, all.last().unwrap().end()), (BEGIN, BEGIN + 8_000));
        let widths = [10, 60, 900].map(|it| all.iter().filter(|row| row.seconds == it).count());
        // 7,260 to 8,000; 4,500 to 7,260; the rest.
        assert_eq!(widths, [74, 46, 5]);
    }

    #[test]
    fn what_is_not_over_yet_is_told_by_what_is() {
        let now = BEGIN + 100;
        let levels = [
            rows(10, BEGIN + 20, BEGIN + 110),
            rows(60, BEGIN, BEGIN + 110),
            rows(900, BEGIN, now),
        ];
        let all = is_whole(&levels, now);
        assert_eq!((all[0].seconds, all.len()), (60, 5));
        assert_eq!(all.last().unwrap().end(), now);
        let young = [rows(10, BEGIN + 20, now), rows(60, BEGIN + 60, BEGIN + 120)];
        assert_eq!(
            is_whole(&young, now).len(),
            8,
            "the open minute is told by its tens of seconds"
        );
        assert!(joined(&[Vec::new(), Vec::new()], now).is_empty());
    }

    #[test]
    fn counters_are_sums_from_nothing_on_and_names_are_escaped() {
        let lines = "{\"series\":\"a\",\"seconds\":10,\"at\":20,\"n\":3,\"bad\":1,\"mean\":0.5,\"p50\":0.25}\n\
                     {\"series\":\"a\",\"seconds\":10,\"at\":30,\"n\":4,\"bad\":0}\nnothing\n";
        let mut page = Exposition::new(40);
        page.add("a\"b", &[read(lines)]);
        page.add("none", &[Vec::new()]);
        let expected = "# TYPE mainstay_history_observations counter\n\
            # HELP mainstay_history_observations Requests, attempts, or looks at a gauge, since the history begins.\n\
            mainstay_history_observations_total{series=\"a\\\"b\"} 0 20\n\
            mainstay_history_observations_total{series=\"a\\\"b\"} 3 30\n\
            mainstay_history_observations_total{series=\"a\\\"b\"} 7 40\n\
            # TYPE mainstay_history_bad counter\n\
            # HELP mainstay_history_bad Those of them that were not as they should be.\n\
            mainstay_history_bad_total{series=\"a\\\"b\"} 0 20\n\
            mainstay_history_bad_total{series=\"a\\\"b\"} 1 30\n\
            mainstay_history_bad_total{series=\"a\\\"b\"} 1 40\n\
            # TYPE mainstay_history_mean gauge\n\
            # HELP mainstay_history_mean Mean of a span of time.\n\
            mainstay_history_mean{series=\"a\\\"b\"} 0.5 30\n\
            # TYPE mainstay_history_quantile gauge\n\
            # HELP mainstay_history_quantile What that part of a span's times was at most.\n\
            mainstay_history_quantile{series=\"a\\\"b\",quantile=\"0.5\"} 0.25 30\n\
            # EOF\n";
        assert_eq!(page.finish(), expected);
        assert_eq!(Exposition::new(0).finish(), "# EOF\n");
    }
}
