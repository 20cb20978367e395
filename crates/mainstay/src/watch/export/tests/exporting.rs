//! From rings to a server, through whatever it does.

use super::super::Exporters;
use super::server::{Deed, Server, ok};
use super::*;
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const QUICK: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "5");

fn start(segment: &Segment, server: &Server, keys: &str, env: &[(&str, &str)]) -> Exporters {
    let traces = format!("{}/v1/traces", server.url);
    let mut env = env.to_vec();
    env.extend([QUICK, ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &traces)]);
    Exporters::start(&watch(segment), &config(keys, &env), &Arc::default(), ("shop", "1.2"))
        .unwrap()
}

fn names(name: &str, spans: usize) -> Vec<String> {
    (0..spans).map(|number| format!("{name}.{number}")).collect()
}

fn lost(segment: &Segment, reason: &str) -> Vec<String> {
    let begin = format!("mainstay_telemetry_lost_total{{receiver=\"traces\",reason=\"{reason}\"}}");
    shown(segment, &begin)
}

#[test]
fn spans_arrive_under_who_sends_them_with_the_headers_that_were_asked_for() {
    let (segment, server) = (segment(1 << 16), Server::start(|_| ok()));
    push(&segment, 0, &parcel("a", 2));
    push(&segment, 2, &parcel("b", 1));
    let env = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_SERVICE_NAME", "other"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=pay"),
    ];
    let exporters = start(&segment, &server, "", &env);
    until("a request", || !server.came().is_empty());
    exporters.finish();
    let request = server.came().remove(0);
    let head = request.head.to_ascii_lowercase();
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    for line in [
        "api-key: hunter2",
        "content-type: application/x-protobuf",
        "content-encoding: gzip",
        "user-agent: mainstay/",
    ] {
        assert!(head.contains(line), "{line} is not in {head}");
    }
    let mut body = Vec::new();
    GzDecoder::new(&request.body[..]).read_to_end(&mut body).unwrap();
    let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
    let spans = &request.resource_spans[0];
    let attributes = &spans.resource.as_ref().unwrap().attributes;
    let value = |key: &str| -> Vec<String> {
        let found = attributes.iter().filter(|it| it.key == key);
        let found = found.map(|it| format!("{:?}", it.value.as_ref().unwrap().value));
        found.collect()
    };
    assert_eq!(value("service.name").len(), 1);
    assert!(value("service.name")[0].contains("\"other\""), "{attributes:?}");
    assert!(value("team")[0].contains("\"pay\"") && value("service.version")[0].contains("1.2"));
    assert!(
        value("service.instance.id").len() == 1 && value("deployment.environment.name").is_empty()
    );
    let scope = &spans.scope_spans[0];
    assert_eq!(scope.scope.as_ref().unwrap().name, "mainstay");
    let found: Vec<_> = scope.spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(found, ["a.0", "a.1", "b.0"]);
    let sent = "mainstay_telemetry_sent_total{receiver=\"traces\"}";
    assert_eq!(shown(&segment, sent), [format!("{sent} 3")]);
    assert_eq!(shown(&segment, "mainstay_telemetry_lost_total"), [""; 0]);
}

#[test]
fn what_is_not_taken_now_is_sent_again() {
    let deeds = [
        Deed::Close,
        Deed::Answer(503, "", Vec::new()),
        Deed::Answer(429, "retry-after: 0\r\n", Vec::new()),
        Deed::Silence,
        Deed::Answer(502, "retry-after: 0\r\n", Vec::new()),
    ];
    let server = Server::start(move |n| deeds.get(n).cloned().unwrap_or_else(ok));
    let segment = segment(1 << 16);
    push(&segment, 0, &parcel("a", 3));
    let exporters = start(&segment, &server, "", &[("OTEL_EXPORTER_OTLP_TIMEOUT", "300")]);
    until("the spans", || server.spans() == names("a", 3));
    exporters.finish();
    assert_eq!(server.came().len(), 6);
    assert_eq!(shown(&segment, "mainstay_telemetry_lost_total"), [""; 0]);
    assert_eq!(shown(&segment, "mainstay_telemetry_spool_bytes"), [""; 0], "nothing waits");
}

#[test]
fn a_receivers_wish_to_wait_is_granted() {
    let busy = Deed::Answer(429, "retry-after: 2\r\n", Vec::new());
    let server = Server::start(move |n| if n == 0 { busy.clone() } else { ok() });
    let segment = segment(1 << 16);
    push(&segment, 0, &parcel("a", 1));
    let exporters = start(&segment, &server, "", &[]);
    until("the first request", || !server.came().is_empty());
    let begin = crate::clock::mono();
    until("the second", || server.came().len() == 2);
    let waited = crate::clock::mono().since(begin);
    assert!(waited > Duration::from_millis(1_900), "{waited:?}");
    exporters.finish();
}

#[test]
fn what_is_refused_is_lost_counted_and_told_and_the_next_is_sent() {
    // `Status` with the message "no such project".
    let status = [&[0x12, 15][..], b"no such project"].concat();
    let server = Server::start(move |n| match n {
        0 => Deed::Answer(400, "", status.clone()),
        _ => ok(),
    });
    let segment = segment(1 << 16);
    push(&segment, 0, &parcel("a", 3));
    let exporters = start(&segment, &server, "", &[]);
    until("the first request", || server.came().len() == 1);
    push(&segment, 0, &parcel("b", 1));
    until("the second", || server.spans() == names("b", 1));
    exporters.finish();
    assert!(lost(&segment, "refused")[0].ends_with(" 3"));
    let told = told(&segment);
    assert!(told.contains("refused 3 items: status 400: no such project"), "{told}");
}

#[test]
fn what_a_receiver_rejects_of_a_request_is_counted() {
    // `partial_success { rejected_spans: 2 }`.
    let server = Server::start(|_| Deed::Answer(200, "", vec![0x0a, 2, 0x08, 2]));
    let segment = segment(1 << 16);
    push(&segment, 0, &parcel("a", 5));
    let exporters = start(&segment, &server, "", &[]);
    until("a request", || !server.came().is_empty());
    exporters.finish();
    assert!(lost(&segment, "rejected")[0].ends_with(" 2"));
    assert!(shown(&segment, "mainstay_telemetry_sent_total")[0].ends_with(" 3"));
}

#[test]
fn what_is_no_span_spoils_nothing() {
    let (segment, server) = (segment(1 << 16), Server::start(|_| ok()));
    for bad in [&b"this is no message of any kind"[..], b"short", b""] {
        push(&segment, 0, bad);
    }
    push(&segment, 0, &parcel("a", 1));
    let exporters = start(&segment, &server, "", &[]);
    until("the span", || server.spans() == names("a", 1));
    exporters.finish();
    assert!(lost(&segment, "malformed")[0].ends_with(" 3"));
}

#[test]
fn what_waits_when_watch_ends_is_sent_by_the_next_one_from_its_spool() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::on(listener, |n| if n == 0 { Deed::Close } else { ok() });
    let directory = tempfile::tempdir().unwrap();
    let keys = format!("spool = {:?}", directory.path());
    let segment = segment(1 << 16);
    push(&segment, 0, &parcel("a", 4));
    start(&segment, &server, &keys, &[("OTEL_BSP_SCHEDULE_DELAY", "60000")]).finish();
    assert_eq!(server.came().len(), 1, "one attempt at the end");
    push(&segment, 2, &parcel("b", 2));
    let exporters = start(&segment, &server, &keys, &[]);
    let all = [names("a", 4), names("b", 2)].concat();
    until("all spans", || server.spans() == all);
    exporters.finish();
    let sums = ["taken", "sent"]
        .map(|it| shown(&segment, &format!("mainstay_telemetry_{it}_total")).remove(0));
    assert!(sums.iter().all(|sum| sum.ends_with(" 6")), "{sums:?}");
}

#[test]
fn without_a_spool_what_a_watch_had_in_memory_is_counted_as_lost_with_it() {
    let (segment, server) = (segment(1 << 16), Server::start(|_| Deed::Close));
    push(&segment, 0, &parcel("a", 4));
    let keys = "spool = \"/proc/none\"";
    start(&segment, &server, keys, &[]).finish();
    start(&segment, &server, keys, &[]).finish();
    assert!(lost(&segment, "watch_died")[0].ends_with(" 4"));
    let told = told(&segment);
    assert!(told.contains("No spool for traces, telemetry waits in memory"), "{told}");
}

#[test]
fn a_full_spool_keeps_what_it_has_and_the_rest_is_counted() {
    let is_back = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&is_back);
    let server = Server::start(move |_| match answers.load(Relaxed) {
        false => Deed::Answer(503, "retry-after: 1\r\n", Vec::new()),
        true => ok(),
    });
    let directory = tempfile::tempdir().unwrap();
    let keys = format!("spool = {:?}\nspool_size = \"1 MiB\"", directory.path());
    let segment = segment(4 << 20);
    push(&segment, 0, &parcel("first", 1));
    let exporters = start(&segment, &server, &keys, &[]);
    until("the first request", || server.came().len() == 1);
    let mut pushed = 1_u64;
    for number in 0..3_000 {
        // About 600 bytes each.
        pushed += u64::from(push(&segment, 0, &parcel(&format!("{number:0500}"), 1)));
    }
    assert_eq!(pushed, 3_001, "the ring has room");
    let of = |name: &str| -> u64 {
        let lines = shown(&segment, name);
        lines.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    };
    // Whoever takes something makes room.
    until("all to be looked at", || of("mainstay_telemetry_taken_total") == pushed);
    is_back.store(true, Relaxed);
    until("all to be sent or lost", || {
        of("mainstay_telemetry_sent_total") + of("mainstay_telemetry_lost_total") == pushed
    });
    exporters.finish();
    let (spans, full) = (server.spans(), lost(&segment, "spool_full"));
    assert!(full[0].ends_with(&format!(" {}", pushed - spans.len() as u64)), "{full:?}");
    assert!(spans.len() > 1_500 && spans.len() < 2_000, "{}", spans.len());
    let oldest = (0..1_500).map(|number| format!("{number:0500}.0"));
    assert!(spans[1..=1_500].iter().cloned().eq(oldest), "the oldest are kept, in their order");
    let told = told(&segment);
    assert_eq!(
        told.matches("The spool of traces loses telemetry: it is full").count(),
        1,
        "{told}"
    );
}

#[test]
fn a_burst_of_100_000_spans_arrives_whole() {
    const SPANS: usize = 100_000;
    let (segment, server) = (segment(4 << 20), Server::start(|_| ok()));
    let directory = tempfile::tempdir().unwrap();
    let keys = format!("spool = {:?}", directory.path());
    let exporters = start(&segment, &server, &keys, &[]);
    let begin = crate::clock::mono();
    for number in 0..SPANS {
        let parcel = parcel(&format!("{number:0150}"), 1);
        // As fast as there is room: a worker would drop it, and this is about what was handed over.
        until("room", || push(&segment, 0, &parcel));
    }
    until("all spans", || {
        shown(&segment, "mainstay_telemetry_sent_total")
            .first()
            .is_some_and(|line| line.ends_with(&format!(" {SPANS}")))
    });
    println!("{SPANS} spans in {:?}", crate::clock::mono().since(begin));
    exporters.finish();
    let expected = (0..SPANS).map(|number| format!("{number:0150}.0"));
    assert!(server.spans().into_iter().eq(expected));
    assert_eq!(shown(&segment, "mainstay_telemetry_lost_total"), [""; 0]);
}
