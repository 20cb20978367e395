//! What was, as the application may show it: asked of watch, which alone has the history.

use crate::ask;
use crate::config::Bind;
use serde::Deserialize;
use std::time::Duration;

/// Watch answers at once, or is not there.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a series was in one span of time.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[non_exhaustive]
pub struct HistoryPoint {
    /// When it begins, seconds since the Unix epoch.
    pub at: i64,
    /// How many: requests, attempts, or looks at a gauge.
    #[serde(rename = "n")]
    pub count: u64,
    /// Of these, those that were not as they should be.
    pub bad: u64,
    /// Their mean, where each has a value.
    pub mean: Option<f64>,
    /// The least of them, where it is known.
    pub min: Option<f64>,
    /// The most of them, where it is known.
    pub max: Option<f64>,
    /// What half of them took at most, seconds, where times are known; a fifth off at most.
    pub p50: Option<f64>,
    /// What 95 of 100 took at most.
    pub p95: Option<f64>,
    /// What 99 of 100 took at most.
    pub p99: Option<f64>,
}

/// A series from then on; spans in which nothing was seen are left out.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[non_exhaustive]
pub struct SeriesHistory {
    /// Length of each span, seconds.
    pub seconds: i64,
    /// The oldest first.
    pub points: Vec<HistoryPoint>,
}

/// Asks watch; nothing when it does not answer, or knows no such series.
pub(super) fn ask(bind: &Bind, series: &str, since: i64, points: usize) -> Option<SeriesHistory> {
    let name: String = form_urlencoded::byte_serialize(series.as_bytes()).collect();
    let path = format!("/history/points?series={name}&since={since}&points={points}");
    let answer = ask::get(bind, &path, PATIENCE).ok().filter(|it| it.status == 200)?;
    serde_json::from_str(&answer.body).ok()
}
