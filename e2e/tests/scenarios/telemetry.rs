//! Telemetry that leaves the host: what arrives is what was counted, and a receiver that is away costs
//! nobody who serves anything.

use crate::support::*;
use e2e::harness::{Launch, Service, poll};
use e2e::load::Load;
use e2e::peers::{Collector, SILENCE, TestAgent, Total};
use rustix::process::{Signal, kill_process};
use std::time::{Duration, Instant};

const REQUESTS: &str = "mainstay_http_requests_total";

/// A fixture whose metrics go there twice a second.
fn measured(url: &str, temporality: &str, config: &str) -> Service {
    let service = Launch::new(fixture())
        .config(&format!("workers.count = 2\ntelemetry.spool = \"{{dir}}/spool\"\n{config}"))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        .env("OTEL_METRIC_EXPORT_INTERVAL", "500")
        .env("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", temporality)
        .start()
        .ready(START);
    service.wait_workers(2, START);
    service
}

fn kill_watch(service: &Service) {
    let watch = service.status().watch().expect("watch runs");
    kill_process(watch, Signal::KILL).expect("it lives");
    service.wait_status("another watch", START, |it| it.watch().is_some_and(|now| now != watch));
}

/// Stops the service; all requests that it has answered or refused.
fn ended(service: &mut Service) -> u64 {
    service.wait_status("nothing in flight", START, |status| {
        status.workers.iter().all(|it| it.connections == 0 && it.in_flight == 0)
    });
    service.signal(Signal::TERM);
    assert_eq!(service.wait_exit(START).code(), Some(0), "{}", service.log());
    service.access().len() as u64
}

#[test]
fn totals_over_otlp_are_exact_over_killed_workers_a_killed_watch_and_a_reload() {
    let _together = together();
    let collector = Collector::start();
    let mut service = measured(&collector.url(), "cumulative", "");
    let load = Load::new(service.target()).start();
    load.run_for(steady());
    kill_process(pid(service.status().pids()[0]), Signal::KILL).expect("it lives");
    kill_watch(&service);
    load.run_for(steady());
    service.control_ok(&["reload", "--wait"]);
    load.run_for(steady());
    drop(load.stop());
    let lines = ended(&mut service);
    let totals = collector.totals(REQUESTS);
    say(format_args!("{lines} requests, {} exports", totals.len()));
    assert!(totals.len() >= 6, "{totals:?}");
    assert_eq!(totals.last().map(|it| it.value), Some(lines), "the last one has them all");
    assert!(totals.windows(2).all(|it| it[0].value <= it[1].value), "{totals:?}");
    assert!(totals.iter().all(|it| !it.delta && it.times.0 == totals[0].times.0), "one beginning");
}

#[test]
fn differences_over_otlp_add_up_over_a_reload_and_a_receiver_that_is_away() {
    let _together = together();
    let collector = Collector::start();
    let mut service = measured(&collector.url(), "delta", "");
    let load = Load::new(service.target()).start();
    load.run_for(steady());
    collector.answer(503);
    load.run_for(steady());
    collector.answer(200);
    service.control_ok(&["reload", "--wait"]);
    load.run_for(steady());
    drop(load.stop());
    let lines = ended(&mut service);
    let totals = collector.totals(REQUESTS);
    say(format_args!("{lines} requests, {} exports", totals.len()));
    assert_eq!(totals.iter().map(|it| it.value).sum::<u64>(), lines);
    let follow = |it: &[Total]| it[0].times.1 <= it[1].times.0;
    assert!(totals.iter().all(|it| it.delta) && totals.windows(2).all(follow), "{totals:?}");
}

#[test]
fn a_receiver_that_says_nothing_costs_nobody_anything() {
    let _together = together();
    let collector = Collector::start();
    collector.answer(SILENCE);
    let mut service = measured(&collector.url(), "cumulative", "");
    let load = Load::new(service.target()).start();
    load.run_for(steady());
    assert_nothing_lost("a silent receiver", &load.stop(), &service);
    let begin = Instant::now();
    ended(&mut service);
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(8), "the end waited for it: {took:?}");
}

#[test]
fn a_key_for_the_receiver_is_shown_nowhere() {
    let _together = together();
    let collector = Collector::start();
    let keys = "telemetry.preset = \"elastic\"\ntelemetry.key = \"hunter2\"";
    let mut service = measured(&collector.url(), "delta", keys);
    poll(START, || (!collector.totals(REQUESTS).is_empty()).then_some(())).expect("metrics");
    let shown = service.control_ok(&["config"]);
    assert!(shown.contains("OTEL_METRIC_EXPORT_INTERVAL"), "{shown}");
    collector.answer(400);
    service.wait_log(&["The receiver of metrics refused"], START);
    ended(&mut service);
    for text in [shown, service.log()] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn datadogs_test_agent_understands_the_metrics() {
    let _together = together();
    let Some(agent) = TestAgent::start() else { return };
    let mut service = measured(&agent.url(), "delta", "telemetry.preset = \"datadog-agent\"");
    for _ in 0..7 {
        assert_eq!(service.get("/").expect("an answer").status, 200);
    }
    ended(&mut service);
    let understood = agent.understood("metrics").to_string();
    for name in [
        REQUESTS,
        "mainstay_http_request_duration_seconds",
        "mainstay_build_info",
        "fixture_hellos_total",
        "service.instance.id",
        "explicit_bounds",
    ] {
        assert!(understood.contains(name), "{name} is not in {understood:.2000}");
    }
}
