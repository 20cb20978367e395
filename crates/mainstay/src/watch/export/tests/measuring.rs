//! Metrics on their way to a server.

use super::super::figures::tests::read;
use super::super::{Exporters, proto};
use super::server::{Deed, Server, ok};
use super::*;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use std::sync::Arc;

fn start(segment: &Segment, server: &Server, keys: &str, temporality: &str) -> Exporters {
    let env = [
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", server.url.as_str()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", temporality),
    ];
    Exporters::start(&watch(segment), &config(keys, &env), &Arc::default(), ("shop", "1.2"))
        .unwrap()
}

/// The points of a metric in all requests that were taken, each as its beginning and its value.
fn points(server: &Server, name: &str) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    for request in server.came().iter().filter(|request| request.taken) {
        let request = ExportMetricsServiceRequest::decode(&request.body[..]).unwrap();
        let scope = &request.resource_metrics[0].scope_metrics[0];
        let mut fields = Vec::new();
        scope.metrics.iter().for_each(|it| proto::bytes(2, &it.encode_to_vec(), &mut fields));
        for line in read(&fields).iter().filter(|line| line.starts_with(&format!("{name} "))) {
            let mut words = line.rsplit(' ');
            let value = words.next().unwrap().parse().unwrap();
            let (start, _) = words.next().unwrap().split_once('-').unwrap();
            found.push((start.parse().unwrap(), value));
        }
    }
    found
}

const REQUESTS: &str = "mainstay_http_requests_total";

fn served(segment: &Segment, requests: u64) {
    segment.slot(0).unwrap().add(names::REQUESTS, requests);
}

#[test]
fn totals_are_sent_at_each_interval_and_at_the_end() {
    let (segment, server) = (segment(1 << 10), Server::start(|_| ok()));
    served(&segment, 5);
    let exporters = start(&segment, &server, "", "cumulative");
    until("a point", || points(&server, REQUESTS).iter().any(|point| point.1 == 5));
    served(&segment, 2);
    until("another", || points(&server, REQUESTS).iter().any(|point| point.1 == 7));
    served(&segment, 1);
    exporters.finish();
    let started = segment.header().started_wall();
    let points = points(&server, REQUESTS);
    assert_eq!(points.last(), Some(&(started, 8)));
    assert!(points.iter().all(|(start, _)| *start == started));
}

#[test]
fn differences_add_up_whatever_the_receiver_did_and_however_often_watch_was_replaced() {
    // Every third request is not taken, one way or the other.
    let server = Server::start(|n| match n % 6 {
        2 => Deed::Answer(503, "retry-after: 0\r\n", Vec::new()),
        5 => Deed::Answer(400, "", Vec::new()),
        _ => ok(),
    });
    let directory = tempfile::tempdir().unwrap();
    let keys = format!("spool = {:?}", directory.path());
    let (segment, mut all) = (segment(1 << 10), 0);
    for life in 0..4 {
        let exporters = start(&segment, &server, &keys, "delta");
        for _ in 0..3 {
            let before = server.came().len();
            served(&segment, 3 + life);
            all += 3 + life;
            until("a request", || server.came().len() > before);
        }
        exporters.finish();
        // Between two watches somebody serves.
        served(&segment, 10);
        all += 10;
        segment.slot(3).unwrap().hand_out(1, 0, 0);
    }
    let exporters = start(&segment, &server, &keys, "delta");
    let sum = || points(&server, REQUESTS).iter().map(|point| point.1).sum::<u64>();
    until("all of them", || sum() >= all);
    exporters.finish();
    assert_eq!(sum(), all);
    let starts: Vec<u64> = points(&server, REQUESTS).iter().map(|point| point.0).collect();
    assert!(starts.is_sorted(), "windows follow each other: {starts:?}");
    assert_eq!(starts[0], segment.header().started_wall());
}

#[test]
fn without_a_place_to_keep_it_a_new_watch_begins_a_new_window() {
    let (segment, server) = (segment(1 << 10), Server::start(|_| ok()));
    served(&segment, 5);
    start(&segment, &server, "", "delta").finish();
    served(&segment, 100);
    segment.slot(3).unwrap().hand_out(1, 0, 0);
    let exporters = start(&segment, &server, "", "delta");
    let before = server.came().len();
    until("a request", || server.came().len() > before);
    served(&segment, 2);
    exporters.finish();
    let values: Vec<u64> = points(&server, REQUESTS).iter().map(|point| point.1).collect();
    assert_eq!(values, [5, 2], "nothing is in two windows");
}
