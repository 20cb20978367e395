//! Lines of others with the fields of ours, for somebody who puts them together by hand.

use crate::measure::Row;
use serde::Serialize;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::subscriber::{DefaultGuard, set_default};
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};

/// What keeps the subscriber in place and its thread alive.
pub(crate) type Kept = (DefaultGuard, WorkerGuard);

/// A JSON subscriber for this thread, that hands its lines to a thread of its own.
pub(crate) fn subscriber() -> (NonBlocking, Kept) {
    // What does not fit is dropped, as in ours; nothing is written, which ours does not do either.
    let (writer, guard) = tracing_appender::non_blocking(io::sink());
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(writer.clone())
        .finish();
    (writer, (set_default(subscriber), guard))
}

/// The fields of a line.
#[derive(Serialize)]
struct Fields<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: u128,
    #[serde(rename = "log.level")]
    level: &'a str,
    message: &'a str,
    #[serde(rename = "ecs.version")]
    ecs: &'a str,
    #[serde(rename = "service.name")]
    service: &'a str,
    #[serde(rename = "event.dataset")]
    dataset: &'a str,
    #[serde(rename = "http.request.method")]
    method: &'a str,
    #[serde(rename = "http.version")]
    version: &'a str,
    #[serde(rename = "url.original")]
    target: &'a str,
    #[serde(rename = "url.path")]
    path: &'a str,
    #[serde(rename = "url.query")]
    query: &'a str,
    #[serde(rename = "url.domain")]
    domain: &'a str,
    #[serde(rename = "client.ip")]
    client: &'a str,
    #[serde(rename = "source.ip")]
    source: &'a str,
    #[serde(rename = "source.port")]
    port: u16,
    #[serde(rename = "http.request.id")]
    id: &'a str,
    #[serde(rename = "user_agent.original")]
    agent: &'a str,
    #[serde(rename = "event.duration")]
    duration: u64,
    #[serde(rename = "http.response.status_code")]
    status: u16,
    #[serde(rename = "http.response.body.bytes")]
    bytes: u64,
    #[serde(rename = "process.pid")]
    pid: u32,
}

fn fields() -> Fields<'static> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Fields {
        timestamp: now.as_millis(),
        level: "info",
        message: "GET /catalogue/lamps/1042 200",
        ecs: "9.4.0",
        service: "shop",
        dataset: "shop.access",
        method: "GET",
        version: "1.1",
        target: "/catalogue/lamps/1042?color=red&page=2",
        path: "/catalogue/lamps/1042",
        query: "color=red&page=2",
        domain: "shop.example.com",
        client: "203.0.113.9",
        source: "203.0.113.9",
        port: 40_001,
        id: "019aa8b4-3f5c-7d2e-9a1b-6c7d8e9fa0b1",
        agent: "curl/8.17.0",
        duration: 1_234_905,
        status: 200,
        bytes: 5_120,
        pid: 16_968,
    }
}

/// A row for the usual combination, and one for the formatting alone.
pub(crate) fn rows(writer: &NonBlocking) -> [Row<'static>; 3] {
    let line = || serde_json::to_vec(&fields()).expect("plain fields");
    let bytes = line().len() + 1;
    let mut kept = Vec::new();
    let mut writer = writer.clone();
    [
        Row {
            key: "tracing",
            what: "tracing-subscriber JSON + tracing-appender",
            bytes,
            once: Box::new(event),
        },
        Row {
            key: "serde",
            what: "serde_json derive + tracing-appender",
            bytes,
            once: Box::new(move || {
                let mut line = line();
                line.push(b'\n');
                io::Write::write_all(&mut writer, &line).expect("the writer never fails");
            }),
        },
        Row {
            key: "serde-only",
            what: "serde_json derive into a kept buffer, not handed over",
            bytes,
            once: Box::new(move || {
                kept.clear();
                serde_json::to_writer(&mut kept, &fields()).expect("plain fields");
                kept.push(b'\n');
                std::hint::black_box(&kept);
            }),
        },
    ]
}

fn event() {
    let Fields { method, version, target, path, query, domain, client, source, .. } = fields();
    let Fields { port, id, agent, duration, status, bytes, pid, ecs, service, dataset, .. } =
        fields();
    tracing::info!(
        "ecs.version" = ecs,
        "service.name" = service,
        "event.dataset" = dataset,
        "http.request.method" = method,
        "http.version" = version,
        "url.original" = target,
        "url.path" = path,
        "url.query" = query,
        "url.domain" = domain,
        "client.ip" = client,
        "source.ip" = source,
        "source.port" = port,
        "http.request.id" = id,
        "user_agent.original" = agent,
        "event.duration" = duration,
        "http.response.status_code" = status,
        "http.response.body.bytes" = bytes,
        "process.pid" = pid,
        "GET /catalogue/lamps/1042 200"
    );
}
