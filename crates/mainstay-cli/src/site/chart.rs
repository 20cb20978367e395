//! Small charts of the last day, as paths of an inline SVG: nothing of them needs a script or a style of its own.

use super::format;
use mainstay::{HistoryPoint, SeriesHistory, Worker};
use serde::Serialize;
use std::fmt::Write as _;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
/// Enough for a quarter of an hour each.
const POINTS: usize = 100;
/// Of a day in the picture, which has room for one more stroke: a span that has just begun stands at the day's end.
const WIDTH: f64 = 540.0;
const HEIGHT: f64 = 40.0;

/// One chart.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Chart {
    title: &'static str,
    /// What a `path` draws: a stroke for each span.
    path: String,
    /// Of the tallest stroke, in words.
    most: String,
    /// Of the whole day, or of the last span, in words.
    now: String,
}

/// The charts of the service; none while there is no history.
pub(crate) async fn all(worker: &Worker, now: i64) -> Vec<Chart> {
    // Whoever does not answer the first is not asked again: a person waits.
    let Some(requests) = worker.history("requests", DAY, POINTS).await else { return Vec::new() };
    let times = worker.history("request_seconds", DAY, POINTS).await;
    let since = now - DAY.as_secs() as i64;
    let mut charts = Vec::new();
    // A span that began before the day is drawn, and not counted.
    let of_day = || requests.points.iter().filter(|it| it.at >= since);
    let count = |value: f64| format::count(value as u64);
    for (title, of) in [
        ("Requests", (|it: &HistoryPoint| it.count) as fn(&HistoryPoint) -> u64),
        ("Answered with 5xx", |it| it.bad),
    ] {
        let total = format!("{} in 24 hours", format::count(of_day().map(of).sum()));
        charts.push(chart(title, &requests, since, |it| Some(of(it) as f64), count, total));
    }
    if let Some(times) = times {
        let last = times.points.iter().rev().find_map(|it| it.p95);
        let last = last.map_or_else(|| "none".to_owned(), milliseconds);
        charts.push(chart(
            "Time of 95 %",
            &times,
            since,
            |it| it.p95,
            milliseconds,
            last + " lately",
        ));
    }
    charts
}

fn milliseconds(seconds: f64) -> String {
    let millis = seconds * 1e3;
    if millis >= 10.0 { format!("{millis:.0} ms") } else { format!("{millis:.1} ms") }
}

fn chart(
    title: &'static str,
    series: &SeriesHistory,
    since: i64,
    of: impl Fn(&HistoryPoint) -> Option<f64>,
    words: impl Fn(f64) -> String,
    now: String,
) -> Chart {
    let values = series.points.iter().filter_map(|it| Some((it.at, of(it)?)));
    let values: Vec<_> = values.filter(|(_, value)| *value > 0.0).collect();
    let most = values.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let mut path = String::new();
    for (at, value) in values {
        // A span that began before the day is at its edge.
        let x = (at - since).max(0) as f64 / DAY.as_secs_f64() * WIDTH;
        let height = (value / most * HEIGHT).max(1.0);
        // A String takes everything.
        write!(path, "M{:.1} {HEIGHT}v-{height:.1}", x + 2.5).ok();
    }
    Chart { title, path, most: words(most), now }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_span_is_a_stroke_as_high_as_it_is_large_and_what_is_not_there_is_none() {
        let series = json!({ "seconds": 900, "points": [
            { "at": 1_000_000, "n": 10, "bad": 0 },
            { "at": 1_000_900, "n": 20, "bad": 1 },
            { "at": 1_043_200, "n": 0, "bad": 0 },
        ]});
        let series = serde_json::from_value(series).unwrap();
        let count = |value: f64| format::count(value as u64);
        let of = |it: &HistoryPoint| Some(it.count as f64);
        let drawn = chart("Requests", &series, 1_000_000, of, count, "30".to_owned());
        assert_eq!(drawn.path, "M2.5 40v-20.0M8.1 40v-40.0");
        assert_eq!(drawn.most, "20");
        let none = chart("Time", &series, 1_000_000, |it| it.p95, milliseconds, String::new());
        assert_eq!((none.path.as_str(), none.most.as_str()), ("", "0.0 ms"));
        // A span that has just begun: its stroke is 4 wide, and the picture ends behind it.
        let lately = json!({ "seconds": 900, "points": [{ "at": 1_086_400, "n": 1, "bad": 0 }] });
        let lately = serde_json::from_value(lately).unwrap();
        let drawn = chart("Requests", &lately, 1_000_000, of, count, String::new());
        assert_eq!(drawn.path, "M542.5 40v-40.0");
        assert!(include_str!("assets/service.html").contains("viewBox=\"0 0 545 40\""));
        assert_eq!(milliseconds(0.0123), "12 ms");
    }
}
