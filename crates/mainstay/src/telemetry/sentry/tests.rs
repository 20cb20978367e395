//! Events as a process makes them, out of its ring.

use super::*;
use crate::config::Secret;
use crate::http::context::TraceContext;
use crate::log::TELEMETRY;
use http::HeaderMap;
use mainstay_os::segment::{Capacity, Layout, Segment};
use std::sync::Arc;

fn log() -> (Segment, Log) {
    let layout = Layout {
        slots: 1,
        counters: names::CELLS,
        in_flight: 0,
        ring_bytes: [0, 0, 64 << 10],
        metrics: Capacity::NONE,
        limits: 0,
    };
    let segment = Segment::on_heap(layout);
    (segment.clone(), Log::new(segment, 0))
}

fn settings() -> Sentry {
    let dsn = Secret::new("https://hunter2@sentry.example/1".to_owned());
    Sentry::for_tests(dsn)
}

fn service() -> Service {
    Service {
        name: "shop".into(),
        version: "1.2".into(),
        environment: "staging".into(),
        host: "web-1".into(),
        ..Service::default()
    }
}

fn reports(config: &Sentry) -> Reports {
    Reports::of(config, &service(), 3, 7).unwrap()
}

fn events(segment: &Segment) -> Vec<Value> {
    let (mut all, mut buffer) = (Vec::new(), Vec::new());
    let ring = segment.slot(0).unwrap().ring(TELEMETRY);
    while let Some(record) = ring.pop(&mut buffer) {
        assert_eq!(record.kind, Parcel::Report as u16);
        all.push(serde_json::from_slice(record.bytes).unwrap());
    }
    all
}

fn failing<'a>(value: &str, request: Option<&'a Context>) -> Report<'a> {
    let inner = Fault { kind: "Refused".into(), value: "no route".into(), ..Fault::default() };
    let outer = Fault {
        kind: "Stock".into(),
        value: value.into(),
        place: Some(("src/stock.rs", 17, 9)),
        backtrace: None,
    };
    Report {
        id: "0193c1d2-0000-7000-8000-000000000001",
        level: Gravity::Error,
        what: What::Errors { chain: vec![outer, inner], mechanism: "failure", handled: true },
        request,
        tags: vec![("status", "502".into())],
        release: None,
        extra: vec![("api_key", "hunter2".into()), ("order", 7.into())],
        fingerprint: Vec::new(),
    }
}

fn request() -> Arc<Context> {
    let context = Context::begin(|context| {
        context.client = Some([192, 0, 2, 7].into());
        context.id = RequestId::accept(b"abc").unwrap();
        context.trace = TraceContext::within([0xab; 16], [1; 8], 1);
        context.host.push_str("shop.example");
        context.method.push_str("POST");
        context.path.push_str("/orders/7");
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer hunter2"),
            ("cookie", "session=hunter2"),
            ("x-api-key", "hunter2"),
            ("x-forwarded-for", "192.0.2.7"),
            ("accept", "text/html"),
            ("accept", "image/png"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        context.keep_head(Some("page=2&token=hunter2"), &headers);
    });
    context.route.set("/orders/{id}".into()).unwrap();
    remember(&context, Level::Info, "shop", "placing", &[("password", "hunter2"), ("n", "1")]);
    remember(&context, Level::Debug, "shop", "too fine", &[]);
    remember(&context, Level::Error, "query", "SELECT ?", &[]);
    context
}

#[test]
fn an_event_tells_the_error_its_request_and_what_came_before_without_a_secret() {
    let (segment, log) = log();
    let context = request();
    reports(&settings()).tell(&log, &failing("at http://a:hunter2@stock/: away", Some(&context)));
    let told = events(&segment);
    let [event] = &told[..] else { panic!("{told:?}") };
    assert_eq!(event["event_id"], "0193c1d2000070008000000000000001");
    assert_eq!((&event["level"], &event["platform"]), (&"error".into(), &"native".into()));
    assert_eq!(event["server_name"], "web-1");
    assert_eq!(event["release"], "shop@1.2");
    assert_eq!(event["environment"], "staging");
    assert_eq!(event["transaction"], "/orders/{id}");
    let values = event["exception"]["values"].as_array().unwrap();
    assert_eq!((&values[0]["type"], &values[0]["value"]), (&"Refused".into(), &"no route".into()));
    assert_eq!(values[1]["value"], "at http://a:[Filtered]@stock/: away");
    assert_eq!(values[1]["mechanism"], serde_json::json!({ "type": "failure", "handled": true }));
    assert_eq!(values[1]["stacktrace"]["frames"][0]["lineno"], 17);
    assert_eq!(values[0]["stacktrace"], Value::Null);
    let head = &event["request"];
    assert_eq!(
        (&head["method"], &head["url"]),
        (&"POST".into(), &"http://shop.example/orders/7".into())
    );
    assert_eq!(head["query_string"], "page=2&token=[Filtered]");
    assert_eq!(head["headers"]["cookie"], "[Filtered]");
    assert_eq!(head["headers"]["accept"], "text/html, image/png");
    assert_eq!(head["headers"]["x-forwarded-for"], Value::Null);
    assert_eq!(event["contexts"]["trace"]["trace_id"], "ab".repeat(16));
    assert_eq!(event["contexts"]["runtime"]["name"], "rust");
    assert_eq!(event["tags"]["request_id"], "abc");
    assert_eq!(
        (&event["tags"]["worker"], &event["tags"]["generation"]),
        (&"3".into(), &"7".into())
    );
    assert_eq!(event["user"], Value::Null);
    let crumbs = event["breadcrumbs"]["values"].as_array().unwrap();
    let told: Vec<_> = crumbs.iter().map(|it| it["message"].as_str().unwrap()).collect();
    assert_eq!(told, ["placing", "SELECT ?"]);
    assert_eq!(crumbs[0]["data"], serde_json::json!({ "password": "[Filtered]", "n": "1" }));
    assert_eq!(event["extra"], serde_json::json!({ "api_key": "[Filtered]", "order": 7 }));
    assert!(!event.to_string().contains("hunter2"));
    assert!(!event.to_string().contains("192.0.2.7"));
    assert_eq!(segment.total(names::REPORTS), 1);
}

#[test]
fn the_client_s_address_is_told_only_where_it_is_asked_for() {
    let (segment, log) = log();
    let context = request();
    let config = Sentry { send_pii: true, release: Some("r1".into()), ..settings() };
    reports(&config).tell(&log, &failing("x", Some(&context)));
    let event = &events(&segment)[0];
    assert_eq!(event["user"]["ip_address"], "192.0.2.7");
    assert_eq!(event["release"], "r1");
    assert!(!event.to_string().contains("hunter2"));
}

#[test]
fn an_event_has_an_id_of_its_own_where_nobody_was_given_one() {
    let (segment, log) = log();
    let reports = reports(&settings());
    for id in ["", "error-0"] {
        reports.tell(&log, &Report { id, ..failing("x", None) });
    }
    let ids: Vec<_> =
        events(&segment).iter().map(|it| it["event_id"].as_str().unwrap().to_owned()).collect();
    assert!(ids.iter().all(|id| is_event_id(id)) && ids[0] != ids[1], "{ids:?}");
}

#[test]
fn of_the_same_fault_ten_are_reported_and_the_others_counted() {
    let (segment, log) = log();
    let reports = reports(&settings());
    for number in 0..25 {
        reports.tell(&log, &failing(&format!("order {number} is away"), None));
    }
    assert_eq!(events(&segment).len(), 10);
    assert_eq!(segment.total(names::REPORTS), 10);
    assert_eq!(segment.total(names::REPORTS_SUPPRESSED), 15);
    reports.tell_record(&log, "shop", "job 7 failed", None, &[("job", "7")]);
    let event = &events(&segment)[0];
    assert_eq!(
        (&event["logger"], &event["logentry"]["formatted"]),
        (&"shop".into(), &"job 7 failed".into())
    );
}

#[test]
fn what_a_sample_leaves_out_and_what_finds_no_room_is_counted() {
    let (segment, log) = log();
    let reports_of = |sample_rate| reports(&Sentry { sample_rate, ..settings() });
    reports_of(0.0).tell(&log, &failing("x", None));
    assert_eq!(segment.total(names::REPORTS_UNSAMPLED), 1);
    let every = reports_of(1.0);
    let long = "x".repeat(10_000);
    for mechanism in 0..20_u64 {
        let fingerprint = vec![mechanism.to_string()];
        every.tell(&log, &Report { fingerprint, ..failing(&long, None) });
    }
    let dropped = segment.total(names::REPORTS_DROPPED);
    assert!(dropped > 0);
    assert_eq!(segment.total(names::REPORTS) + dropped, 20);
    assert_eq!(events(&segment).len() as u64, 20 - dropped);
}

#[test]
fn without_a_dsn_nothing_is_reported() {
    let config = Sentry { dsn: None, ..settings() };
    assert!(Reports::of(&config, &service(), 0, 1).is_none());
}
