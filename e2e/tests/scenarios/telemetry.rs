//! Telemetry that leaves the host: what arrives is what was counted, and a receiver that is away costs
//! nobody who serves anything.

use crate::metrics::{scrape, sum};
use crate::support::*;
use base64ct::{Base64, Encoding};
use e2e::harness::{Launch, Service, poll};
use e2e::load::{Load, send};
use e2e::peers::{Collector, SILENCE, TestAgent, Total, protoc};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::metrics::v1::ExponentialHistogramDataPoint;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use rustix::process::{Signal, kill_process};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const REQUESTS: &str = "mainstay_http_requests_total";
const TRACES: &str = "receiver=\"traces\"";
/// The message of traces, for `protoc`.
const DEFINITION: &str = "opentelemetry/proto/collector/trace/v1/trace_service.proto";
const MESSAGE: &str = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest";
/// For all that an outage has left to be sent.
const LONG: Duration = Duration::from_secs(90);

/// A fixture whose metrics go there twice a second.
fn measured(url: &str, temporality: &str, config: &str) -> Service {
    let spool = "telemetry.spool = \"{dir}/spool\"";
    let service = Launch::new(fixture())
        .config(&format!("workers.count = 2\n{EACH_LINE_ONCE}\n{spool}\n{config}"))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        .env("OTEL_METRIC_EXPORT_INTERVAL", "500")
        .env("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", temporality)
        .start()
        .ready(START);
    service.wait_workers(2, START);
    service
}

/// Stops the service; all requests that it has answered or refused: the lines of its log, and those that found no
/// room while there was no watch to write them.
fn ended(service: &mut Service) -> u64 {
    wait_idle(service);
    let dropped = service.status().counter("access_lines_dropped");
    service.signal(Signal::TERM);
    assert_eq!(service.wait_exit(START).code(), Some(0), "{}", service.log());
    service.access().len() as u64 + dropped
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

/// Waits until the sender has nothing left, and gives the spans of requests, each once, and how many were
/// lost by the service's own account.
fn served(service: &Service, collector: &Collector) -> (HashMap<Vec<u8>, Span>, u64) {
    let of = |page: &str, series: &str| {
        let all = page.lines().filter(|it| it.starts_with(series) && it.contains(TRACES));
        all.filter_map(|it| it.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    let own = |page: &str, series: &str| {
        page.lines().find_map(|it| it.strip_prefix(series)?.trim().parse::<u64>().ok())
    };
    let sent = || {
        let page = service.get_admin("/metrics").ok()?.text();
        let made = own(&page, "mainstay_spans_total ")?;
        let dropped = own(&page, "mainstay_spans_dropped_total ")?;
        let sent = of(&page, "mainstay_telemetry_sent_total");
        let lost = of(&page, "mainstay_telemetry_lost_total");
        (made > 0 && made <= sent + lost).then_some(dropped + lost)
    };
    let lost =
        poll(LONG, sent).unwrap_or_else(|| panic!("not everything is sent:\n{}", service.log()));
    let spans = collector.spans().into_iter().filter(|span| span.kind == 2);
    (spans.map(|span| (span.span_id.clone(), span)).collect(), lost)
}

#[test]
fn every_request_is_one_span_over_an_outage_a_killed_worker_a_killed_watch_and_a_reload() {
    let _together = together();
    let collector = Collector::start();
    let room = "telemetry.spool_size = \"1 GiB\"";
    let mut service = measured(&collector.url(), "cumulative", room);
    let load = Load::new(service.target()).start();
    load.run_for(steady());
    collector.answer(503);
    load.run_for(steady());
    kill_process(pid(service.status().pids()[0]), Signal::KILL).expect("it lives");
    kill_watch(&service);
    load.run_for(steady());
    collector.answer(200);
    service.control_ok(&["reload", "--wait"]);
    load.run_for(steady());
    drop(load.stop());
    wait_idle(&service);
    let (spans, lost) = served(&service, &collector);
    let lines = ended(&mut service);
    let untold = lines.abs_diff(spans.len() as u64 + lost);
    say(format_args!("{lines} requests, {} spans, {lost} lost, {untold} untold", spans.len()));
    // One that a worker had settled and not handed over when it was killed.
    assert!(untold <= 1, "{lines} requests, {} spans, {lost} lost", spans.len());
    for span in spans.values() {
        assert!(span.name == "GET /" || span.name == "GET", "{span:?}");
        assert!(span.trace_id.len() == 16 && span.start_time_unix_nano <= span.end_time_unix_nano);
    }
}

/// Length of an outage: `E2E_OUTAGE` in seconds, or 10 s.
fn outage() -> Duration {
    let seconds = std::env::var("E2E_OUTAGE").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(10))
}

/// Asks once for what is not there, and gives the id of the trace.
fn ask_marked(service: &Service, digit: &str) -> Vec<u8> {
    let trace = digit.repeat(32);
    let text = format!(
        "GET /nowhere HTTP/1.1\r\nHost: e2e\r\nTraceparent: 00-{trace}-00f067aa0ba902b7-01\r\n\
         Connection: close\r\n\r\n"
    );
    assert_eq!(send(&service.target(), text.as_bytes(), START).expect("an answer").status, 404);
    let byte = u8::from_str_radix(&digit.repeat(2), 16).expect("a digit");
    vec![byte; 16]
}

#[test]
fn of_a_long_outage_arrives_what_the_spool_holds_and_the_surplus_is_counted() {
    const ROOM: f64 = 2.0 * 1024.0 * 1024.0;
    let _together = together();
    let collector = Collector::start();
    let room = "telemetry.spool_size = \"2 MiB\"";
    let mut service = measured(&collector.url(), "cumulative", room);
    let of = |name: &str, part: &str| sum(&scrape(&service).expect("a scrape"), name, part);
    let lost = |reason: &str| {
        let labels = format!("receiver=\"traces\",reason=\"{reason}\"");
        of("mainstay_telemetry_lost_total", &labels)
    };
    let load = Load::new(service.target()).start();
    load.run_for(steady());
    drop(load.stop());
    collector.answer(503);
    let begun = Instant::now();
    // Before there is any load: the spool is full of it within a tenth of a second.
    let (early, mut turn) = (ask_marked(&service, "a"), 0);
    let waits = || (of("mainstay_telemetry_spool_bytes", TRACES) > 0.0).then_some(());
    poll(START, waits).expect("what is first waits");
    let load = Load::new(service.target()).start();
    while begun.elapsed() < outage() || lost("spool_full") == 0.0 {
        load.run_for(outage() / 5);
        kill_process(pid(service.status().pids()[0]), Signal::KILL).expect("it lives");
        service.wait_workers(2, START);
        if turn % 2 == 0 {
            kill_watch(&service);
        }
        turn += 1;
    }
    // A watch that began just now has yet to look what is in the spool.
    let kept =
        poll(START, || Some(of("mainstay_telemetry_spool_bytes", TRACES)).filter(|it| *it > 0.0));
    let kept = kept.expect("something waits");
    assert!(kept > ROOM * 0.7 && kept <= ROOM, "{kept} bytes wait");
    let report = load.stop();
    wait_idle(&service);
    collector.answer(200);
    let (spans, lost_in_all) = served(&service, &collector);
    let surplus = lost("spool_full");
    for reason in ["spool_failed", "unreadable", "malformed", "refused", "rejected", "watch_died"] {
        assert_eq!(lost(reason), 0.0, "{reason}");
    }
    let lines = ended(&mut service);
    let untold = lines.abs_diff(spans.len() as u64 + lost_in_all);
    say(format_args!(
        "{lines} requests, {} failed, {} spans, {surplus} beyond the spool, {turn} workers killed, {untold} untold",
        report.lost(),
        spans.len()
    ));
    // At most one for each worker that had settled it and not handed it over when it was killed.
    assert!(untold <= turn, "{lines} requests, {} spans, {lost_in_all} lost", spans.len());
    assert!(surplus > 0.0);
    let has = |trace: &[u8]| spans.values().any(|span| span.trace_id == trace);
    assert!(has(&early), "an outage is told from its beginning");
}

#[test]
fn three_decoders_read_the_same_in_every_field_of_a_span() {
    let _together = together();
    let Some(agent) = TestAgent::start() else { return };
    let mut service = measured(&agent.url(), "delta", "");
    for path in ["/", "/nowhere?page=2&token=hunter2", "/panic"] {
        drop(service.get(path).expect("an answer"));
    }
    ended(&mut service);
    let theirs = agent.understood("traces");
    let ours = agent.bodies("/v1/traces");
    assert!(!theirs.to_string().contains("hunter2"), "{theirs}");
    let mut compared = 0;
    for (theirs, body) in theirs.as_array().expect("a list").iter().zip(ours) {
        let ours = ExportTraceServiceRequest::decode(&body[..]).expect("OTLP");
        let Some(third) = protoc(DEFINITION, MESSAGE, &body) else { return };
        compared += agree(&ours, theirs);
        agree(&ours, &third);
    }
    say(format_args!("{compared} spans agree in every field"));
    assert!(compared >= 3, "{theirs}");
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

#[test]
fn three_decoders_read_the_same_in_histograms_whose_buckets_grow_by_a_factor() {
    const DURATION: &str = "mainstay_http_request_duration_seconds";
    const MESSAGE: &str = "opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest";
    let _together = together();
    let Some(agent) = TestAgent::start() else { return };
    let mut service = Launch::new(fixture())
        .config("workers.count = 1")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &agent.url())
        .env(
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "base2_exponential_bucket_histogram",
        )
        .start()
        .ready(START);
    for _ in 0..7 {
        assert_eq!(service.get("/").expect("an answer").status, 200);
    }
    let lines = ended(&mut service);
    let body = agent.bodies("/v1/metrics").pop().expect("the last export");
    let definition = "opentelemetry/proto/collector/metrics/v1/metrics_service.proto";
    let Some(third) = protoc(definition, MESSAGE, &body) else { return };
    let second = agent.understood("metrics");
    let second = second.as_array().and_then(|all| all.last()).expect("the last export");
    let points = |whole: &Value| {
        let scopes =
            list(whole, "resource_metrics").into_iter().flat_map(|it| list(&it, "scope_metrics"));
        let metrics = scopes.flat_map(|it| list(&it, "metrics"));
        let found = metrics.into_iter().find(|it| it["name"] == DURATION).expect("it is sent");
        list(&found["exponential_histogram"], "data_points")
    };
    assert_eq!(points(second), points(&third));
    let ours = ExportMetricsServiceRequest::decode(&body[..]).expect("OTLP");
    let scopes = ours.resource_metrics.into_iter().flat_map(|it| it.scope_metrics);
    let found = scopes.flat_map(|it| it.metrics).find(|it| it.name == DURATION);
    let Some(Data::ExponentialHistogram(ours)) = found.and_then(|it| it.data) else {
        panic!("no such histogram");
    };
    let first: Vec<_> = ours.data_points.iter().map(grown).collect();
    assert_eq!(first, points(&third));
    let count: u64 = ours.data_points.iter().map(|it| it.count).sum();
    assert_eq!(count, lines, "each request is in it once");
}

/// A point as protobuf's JSON has it.
fn grown(point: &ExponentialHistogramDataPoint) -> Value {
    let positive = point.positive.as_ref().map_or(Value::Null, |it| {
        let counts = it.bucket_counts.iter().map(u64::to_string).collect::<Vec<_>>();
        without_defaults(json!({ "offset": it.offset, "bucket_counts": counts }))
    });
    // What is there though it is zero is one that may be absent.
    let mut shown = without_defaults(json!({
        "attributes": attributes(&point.attributes),
        "start_time_unix_nano": point.start_time_unix_nano.to_string(),
        "time_unix_nano": point.time_unix_nano.to_string(),
        "scale": point.scale,
        "positive": positive,
        "zero_threshold": point.zero_threshold,
    }));
    for (name, count) in [("count", point.count), ("zero_count", point.zero_count)] {
        if count > 0 {
            shown[name] = json!(count.to_string());
        }
    }
    shown["sum"] = json!(point.sum);
    shown
}

fn list(value: &Value, name: &str) -> Vec<Value> {
    value[name].as_array().cloned().unwrap_or_default()
}

/// Compares what two decoders have read, span by span and field by field; how many spans that were.
fn agree(ours: &ExportTraceServiceRequest, theirs: &Value) -> usize {
    let resources = list(theirs, "resource_spans");
    let their_scopes = resources.iter().flat_map(|it| list(it, "scope_spans"));
    let their_spans: Vec<_> = their_scopes.flat_map(|it| list(&it, "spans")).collect();
    let our_scopes = ours.resource_spans.iter().flat_map(|it| &it.scope_spans);
    let our_spans: Vec<_> = our_scopes.flat_map(|it| &it.spans).map(shown).collect();
    assert_eq!(our_spans, their_spans);
    let resource = ours.resource_spans[0].resource.as_ref().expect("a resource");
    assert_eq!(attributes(&resource.attributes), resources[0]["resource"]["attributes"]);
    our_spans.len()
}

/// A span as protobuf's JSON has it: what is as it is by default is left out.
fn shown(span: &Span) -> Value {
    const KINDS: [&str; 4] = ["", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER", "SPAN_KIND_CLIENT"];
    let status = span.status.as_ref().map_or(Value::Null, |status| {
        let code = ["", "STATUS_CODE_OK", "STATUS_CODE_ERROR"][status.code as usize];
        without_defaults(json!({ "code": code, "message": status.message }))
    });
    assert!(span.events.is_empty() && span.links.is_empty(), "{span:?}");
    without_defaults(json!({
        "trace_id": Base64::encode_string(&span.trace_id),
        "span_id": Base64::encode_string(&span.span_id),
        "parent_span_id": Base64::encode_string(&span.parent_span_id),
        "trace_state": span.trace_state,
        "flags": span.flags,
        "name": span.name,
        "kind": KINDS[span.kind as usize],
        "start_time_unix_nano": span.start_time_unix_nano.to_string(),
        "end_time_unix_nano": span.end_time_unix_nano.to_string(),
        "attributes": attributes(&span.attributes),
        "dropped_attributes_count": span.dropped_attributes_count,
        "status": status,
    }))
}

fn attributes(all: &[KeyValue]) -> Value {
    let one = |it: &KeyValue| {
        let value = match it.value.as_ref().and_then(|it| it.value.as_ref()) {
            Some(Any::StringValue(text)) => json!({ "string_value": text }),
            Some(Any::IntValue(number)) => json!({ "int_value": number.to_string() }),
            Some(Any::BoolValue(is)) => json!({ "bool_value": is }),
            Some(Any::DoubleValue(number)) => json!({ "double_value": number }),
            other => panic!("{other:?}"),
        };
        json!({ "key": it.key, "value": value })
    };
    all.iter().map(one).collect()
}

fn without_defaults(value: Value) -> Value {
    let Value::Object(all) = value else { return value };
    let is_default = |it: &Value| [json!(""), json!(0), json!([]), Value::Null].contains(it);
    all.into_iter().filter(|(_, it)| !is_default(it)).collect::<Map<_, _>>().into()
}
