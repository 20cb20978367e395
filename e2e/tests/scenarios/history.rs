//! History: what watch has written down outlives it, however it dies, and the commands show it.

use crate::support::*;
use e2e::harness::{Launch, Service, poll};
use e2e::peers::promtool_blocks;
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// For two batches, and a watch that starts again.
const LONG: Duration = Duration::from_secs(40);

fn begin(directory: &Path) -> Service {
    let state = directory.display();
    let config = format!("workers.count = 1\nalerts.state = \"{state}\"");
    let service = Launch::new(fixture()).config(&config).start().ready(START);
    service.wait_workers(1, START);
    service
}

/// Counts of a series by the second at which their ten seconds begin; nothing while watch is away.
fn counts(service: &Service, series: &str) -> Option<BTreeMap<i64, u64>> {
    // Of the last hour there are ten seconds each.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let path = format!("/history/points?series={series}&points=5000&since={}", now - 3_600);
    let answer = service.get_admin(&path).ok().filter(|it| it.status == 200)?;
    let page: Value = serde_json::from_slice(&answer.body).ok()?;
    let points = page["points"].as_array()?.iter();
    points.map(|it| Some((it["at"].as_i64()?, it["n"].as_u64()?))).collect()
}

fn wait_requests(service: &Service, wanted: u64) -> BTreeMap<i64, u64> {
    let found =
        poll(LONG, || counts(service, "requests").filter(|it| it.values().sum::<u64>() >= wanted));
    let found = found.unwrap_or_else(|| {
        panic!("{:?} of {wanted} requests\n{}", counts(service, "requests"), service.log())
    });
    assert_eq!(found.values().sum::<u64>(), wanted, "{found:?}");
    found
}

/// Requests that are no health checks, as `/metrics` has them.
fn requests(service: &Service) -> u64 {
    let status = service.status();
    let of = |name| status.counter(name);
    of("http_requests") - of("http_probe_requests") - of("http_requests_abandoned")
}

#[test]
fn a_killed_watch_loses_no_request_and_of_looks_no_more_than_the_last_ten_seconds() {
    let _together = together();
    let directory = tempfile::tempdir().expect("a directory");
    let service = begin(directory.path());
    let ask = |times: u32| {
        (0..times).for_each(|_| drop(service.get("/").expect("an answer")));
        requests(&service)
    };
    let written = wait_requests(&service, ask(50));
    let looks = counts(&service, "in_flight").expect("watch answers");
    let sent = ask(30);
    let watch = service.status().watch().expect("watch lives");
    kill_process(watch, Signal::KILL).expect("it lives");
    let all = wait_requests(&service, sent);
    assert!(written.iter().all(|(at, n)| all[at] >= *n), "{written:?} became {all:?}");
    let again = counts(&service, "in_flight").expect("watch answers");
    assert!(looks.iter().all(|(at, n)| again[at] >= *n), "{looks:?} became {again:?}");
    let span = |all: &BTreeMap<i64, u64>| all.last_key_value().map(|(at, _)| *at);
    assert!(span(&again) > span(&looks), "it goes on");
    let shown = service.control_ok(&["history", "show", "requests"]);
    assert!(shown.starts_with("TIME"), "{shown}");
    assert!(service.control_ok(&["history"]).contains("request_seconds"));
    let events = service.control_ok(&["history", "events"]);
    assert!(events.contains("deployment") && events.contains("start"), "{events}");
    let exported = service.control_ok(&["history", "export", "requests", "--format", "csv"]);
    let counted = exported.lines().filter(|it| it.starts_with("requests,10,"));
    let counted = counted.filter_map(|it| it.split(',').nth(3)?.parse::<u64>().ok());
    assert!(counted.sum::<u64>() >= sent, "{exported}");
}

#[test]
fn prometheus_makes_blocks_of_the_exported_history_in_which_each_request_is() {
    let _together = together();
    let directory = tempfile::tempdir().expect("a directory");
    let service = begin(directory.path());
    (0..50).for_each(|_| drop(service.get("/").expect("an answer")));
    wait_requests(&service, requests(&service));
    // Of what is not over yet nothing is exported.
    let mut said = String::new();
    let whole = poll(LONG, || {
        let exported = service.control_ok(&["history", "export", "--format", "openmetrics"]);
        let Some(made) = promtool_blocks(&exported) else { return Some(()) };
        let samples = made.unwrap_or_else(|why| panic!("{why}\n{exported}"));
        let total = "mainstay_history_observations_total\", series=\"requests\"";
        let values = samples.iter().filter(|it| it.contains(total));
        let values = values.filter_map(|it| it.rsplit(' ').nth(1)?.parse::<f64>().ok());
        let values: Vec<_> = values.collect();
        said = format!("{values:?} of\n{exported}");
        assert!(values.iter().is_sorted(), "a counter falls: {said}");
        let quantile = |it: &String| it.contains("quantile=\"0.95\"");
        (values.last() == Some(&50.0) && samples.iter().any(quantile)).then_some(())
    });
    assert!(whole.is_some(), "{said}");
}

#[test]
fn a_spoilt_history_is_put_aside_and_told_and_the_service_serves() {
    let _together = together();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("history.db");
    fs::write(&path, "This is no database. ".repeat(500)).expect("a file of ours");
    let service = begin(directory.path());
    service.wait_log(&["The history begins anew", "put aside"], START);
    assert!(directory.path().join("history.db.bad").exists());
    assert_eq!(service.get("/").expect("an answer").status, 200);
    assert!(service.control_ok(&["history"]).starts_with("SERIES"));
}
