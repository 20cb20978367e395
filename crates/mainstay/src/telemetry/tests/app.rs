//! An application under the whole stack, and what is then in the ring.

use super::{Decoded, attribute, spans_of};
use crate::clock;
use crate::config::Level;
use crate::config::otel::Sampler;
use crate::db::{Book as PoolBook, Foreign, Pool, Settings as PoolSettings};
use crate::health::checks::Kind;
use crate::http::Body;
use crate::http::book::{Book, Recorder};
use crate::http::client::Trust;
use crate::http::errors::{Pages, Stage};
use crate::http::probes::Paths;
use crate::http::stack::{Layers, Stack};
use crate::http::watched::Watched;
use crate::log::bridge::statements::{Listener, Told};
use crate::log::{Log, TELEMETRY, bridge, level_word};
use crate::metrics::names;
use crate::telemetry::{Parcel, Settings};
use crate::{Outgoing, RequestContext};
use axum::Router;
use axum::extract::{MatchedPath, State};
use axum::routing::{get, post};
use http::{Request, StatusCode, Version};
use http_body_util::BodyExt;
use mainstay_os::segment::{Layout, Segment};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ScopeLogs};
use prost::Message;
use std::sync::Arc;
use std::time::Duration;
use tower_service::Service;
use tracing::Instrument;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

#[derive(Clone)]
struct Shop {
    pool: Pool<sqlx::Sqlite>,
}

/// Names the route, as the guide says.
async fn name_route(
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    let route = request.extensions().get::<MatchedPath>();
    if let (Some(route), Some(context)) = (route, RequestContext::of(request.extensions())) {
        context.set_route(route.as_str());
    }
    next.run(request).await
}

async fn order(State(shop): State<Shop>, context: RequestContext) -> String {
    let outer = tracing::info_span!("load", order = 7_u64, gift = true);
    let answer = async {
        let inner = tracing::info_span!("price", otel.kind = "client", otel.name = "GET /price");
        let outgoing = inner.in_scope(|| context.outgoing());
        assert_eq!(inner.in_scope(Outgoing::current), Some(outgoing.clone()));
        drop(inner);
        sqlx::query("SELECT 1 WHERE 'secret' <> ?").bind("x").fetch_all(&shop.pool).await.unwrap();
        format!("{} {}", outgoing.traceparent(), outgoing.tracestate().unwrap_or("none"))
    };
    let answer = answer.instrument(outer).await;
    // SQLite's thread is in the span too, and may leave it after it has answered: it does before it answers again.
    drop(shop.pool.acquire().await.unwrap());
    answer
}

async fn failing(State(shop): State<Shop>) -> StatusCode {
    let failed = sqlx::query("SELECT a FROM nothing").fetch_all(&shop.pool).await;
    tracing::info_span!("work").in_scope(|| tracing::error!(error = "no stock", "failed"));
    assert!(failed.is_err());
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn busy() -> StatusCode {
    (0..10_000).for_each(|at| drop(tracing::info_span!("step", at)));
    StatusCode::SERVICE_UNAVAILABLE
}

async fn late(context: RequestContext) -> &'static str {
    tokio::spawn(context.scope(async {
        tokio::task::yield_now().await;
        drop(tracing::info_span!("late"));
    }));
    "soon"
}

struct Rig {
    log: Log,
    recorder: Arc<Recorder>,
}

impl Rig {
    fn new(settings: Option<Settings>, ring: usize) -> Rig {
        let layout = Layout {
            in_flight: 4,
            ring_bytes: [64, 64 * 1_024, ring],
            ..Layout::small(names::CELLS)
        };
        let segment = Segment::on_heap(layout);
        segment.header().set_log_level(level_word(Level::Warning));
        let log = Log::new(segment, 0);
        if let Some(settings) = settings {
            log.set_telemetry(&settings);
        }
        let paths = Paths { live: "/healthz".into(), ready: "/readyz".into() };
        let book =
            Book { quiet: Some(Arc::new(paths)), trust: Trust::default(), ..Book::default() };
        let recorder = Recorder::new(log.clone(), book, |_| {});
        Rig { log, recorder }
    }

    fn sampling(sampler: Sampler) -> Rig {
        Rig::new(Some(settings(sampler)), 1 << 20)
    }

    /// Sends requests to the shop, one after the other, and gives the bodies of the answers.
    fn ask(&self, requests: Vec<Request<Body>>) -> Vec<String> {
        bridge::in_turn(&bridge::subscriber(&self.log), || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let answers = runtime.block_on(self.serve(requests));
            // What was spawned comes to its end.
            runtime.block_on(async {
                for _ in 0..8 {
                    tokio::task::yield_now().await;
                }
            });
            answers
        })
    }

    async fn pool(&self) -> Pool<sqlx::Sqlite> {
        let url = "sqlite::memory:";
        let config = crate::Config::resolve(&crate::config::Sources::default()).unwrap();
        let settings = PoolSettings::of(&config.database, 1, "test", Duration::from_secs(30));
        let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
        let pool = pool.connect_lazy(url).unwrap();
        let book = PoolBook::new(self.log.clone(), "shop".into(), Kind::Sqlite, 0, 1, &settings);
        Pool::new(pool, Arc::new(book))
    }

    async fn serve(&self, requests: Vec<Request<Body>>) -> Vec<String> {
        let app = Router::new()
            .route("/orders/{id}", get(order))
            .route("/failing", post(failing).get(failing))
            .route("/busy", get(busy))
            .route("/late", get(late))
            .route_layer(axum::middleware::from_fn(name_route))
            .with_state(Shop { pool: self.pool().await });
        let stage =
            Stage::new(Pages::load(None, &[]).unwrap(), "shop", self.log.clone(), || "e".into());
        let paths = Paths { live: "/healthz".into(), ready: "/readyz".into() };
        let limiter = crate::http::limit::Limiter::for_tests(&self.log);
        let paths = Arc::new(paths);
        let lookout = crate::http::limit::lookout::Lookout::for_tests(&self.log);
        let layers = Arc::new(Layers { paths, stage, limiter, lookout, asked: Box::new(|| {}) });
        let peer = Some(([192, 0, 2, 9], 5_000).into());
        let recorder = Arc::clone(&self.recorder);
        let conn = Arc::new(Watched::new(recorder, peer, None, false, -1, clock::mono()));
        let mut stack = Stack::new(app, conn, layers);
        let mut answers = Vec::new();
        for request in requests {
            let answer = stack.call(request).await.unwrap();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            answers.push(String::from_utf8(body.to_vec()).unwrap());
        }
        answers
    }

    fn parcels(&self, wanted: Parcel) -> Vec<Vec<u8>> {
        let (mut all, mut buffer) = (Vec::new(), Vec::new());
        while let Some(record) = self.log.slot().ring(TELEMETRY).pop(&mut buffer) {
            assert!(record.bytes.len() < 256 << 10, "fits the smallest ring");
            if record.kind == wanted as u16 {
                all.push(record.bytes.to_vec());
            }
        }
        all
    }

    fn spans(&self) -> Vec<Decoded> {
        self.parcels(Parcel::Spans).iter().flat_map(|parcel| spans_of(parcel)).collect()
    }

    fn count(&self, counter: usize) -> u64 {
        self.log.slot().counter(counter)
    }
}

fn settings(sampler: Sampler) -> Settings {
    let methods = vec!["GET".to_owned()];
    Settings { traces: true, logs: false, sampler, keep_slow: None, methods }
}

fn request(target: &str) -> http::request::Builder {
    Request::get(target).version(Version::HTTP_2).header("host", "shop.example:8443")
}

fn bare(target: &str) -> Request<Body> {
    request(target).body(Body::default()).unwrap()
}

/// A request that its caller has a trace for.
fn called(target: &str, flags: &str) -> Request<Body> {
    let request = request(target)
        .header("traceparent", format!("00-{TRACE}-{CALLER}-{flags}"))
        .header("tracestate", "a=1")
        .header("tracestate", "b=2")
        .header("user-agent", "curl/8")
        .header("x-request-id", "no proxy of ours says so");
    request.body(Body::default()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn named<'a>(spans: &'a [Decoded], name: &str) -> &'a Decoded {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name}: {spans:#?}"))
}

fn told(span: &Decoded, key: &str) -> String {
    attribute(&span.attributes, key).unwrap_or_default()
}

#[test]
fn a_request_and_what_happens_in_it_are_one_tree() {
    let rig = Rig::sampling(Sampler::default());
    let answers = rig.ask(vec![called("/orders/7?page=2&access_token=hunter2", "01")]);
    let spans = rig.spans();
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["GET /price", "SELECT", "load", "GET /orders/{id}"]);
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE && span.trace_state == "a=1,b=2"));
    assert!(spans.iter().all(|span| span.start_time_unix_nano <= span.end_time_unix_nano));

    let server = named(&spans, "GET /orders/{id}");
    assert_eq!((hex(&server.parent_span_id).as_str(), server.kind), (CALLER, 2));
    assert_eq!((server.flags, server.status.clone()), (0x301, None));
    for (key, value) in [
        ("http.request.method", "GET"),
        ("url.path", "/orders/7"),
        ("url.query", "page=2&access_token=REDACTED"),
        ("url.scheme", "http"),
        ("http.route", "/orders/{id}"),
        ("http.response.status_code", "200"),
        ("network.protocol.version", "2"),
        ("client.address", "192.0.2.9"),
        ("network.peer.address", "192.0.2.9"),
        ("network.peer.port", "5000"),
        ("server.address", "shop.example"),
        ("server.port", "8443"),
        ("user_agent.original", "curl/8"),
        ("error.type", ""),
    ] {
        assert_eq!(told(server, key), value, "{key}");
    }
    assert_eq!(told(server, "http.request.id").len(), 36);

    let load = named(&spans, "load");
    assert_eq!((&load.parent_span_id, load.kind), (&server.span_id, 1));
    assert_eq!((told(load, "order"), told(load, "gift")), ("7".to_owned(), "true".to_owned()));
    let price = named(&spans, "GET /price");
    assert_eq!((&price.parent_span_id, price.kind, price.attributes.len()), (&load.span_id, 3, 1));
    let expected = format!("00-{TRACE}-{}-01 a=1,b=2", hex(&price.span_id));
    assert_eq!(answers, [expected], "what goes out names the span that it goes out of");

    let statement = named(&spans, "SELECT");
    assert_eq!((&statement.parent_span_id, statement.kind), (&load.span_id, 3));
    for (key, value) in [
        ("db.system.name", "sqlite"),
        ("db.query.text", "SELECT ? WHERE ? <> ?"),
        ("db.query.summary", "SELECT"),
        ("db.operation.name", "SELECT"),
        ("db.client.connection.pool.name", "shop"),
        ("db.response.returned_rows", "1"),
    ] {
        assert_eq!(told(statement, key), value, "{key}");
    }
    assert_eq!((rig.count(names::SPANS), rig.count(names::SPANS_DROPPED)), (4, 0));
}

#[test]
fn what_is_not_sampled_is_kept_when_it_fails_or_is_slow_and_is_nothing_otherwise() {
    let rig = Rig::sampling(Sampler::default());
    let answers = rig.ask(vec![called("/orders/7", "00"), bare("/healthz")]);
    assert!(
        answers[0].contains("-00 a=1,b=2"),
        "nobody further down records it either: {answers:?}"
    );
    assert_eq!(
        (rig.spans(), rig.count(names::SPANS), rig.count(names::SPANS_DROPPED)),
        (vec![], 0, 0)
    );

    rig.ask(vec![called("/failing", "00")]);
    let spans = rig.spans();
    assert_eq!(spans.len(), 3, "{spans:#?}");
    let server = named(&spans, "GET /failing");
    assert_eq!(
        (told(server, "mainstay.kept"), told(server, "error.type")),
        ("error".into(), "500".into())
    );
    assert_eq!(server.status.as_ref().unwrap().code, 2);
    let statement = named(&spans, "SELECT nothing");
    assert_eq!(
        (told(statement, "error.type"), statement.status.as_ref().unwrap().code),
        ("1".into(), 2)
    );
    let work = named(&spans, "work");
    assert_eq!(work.status.as_ref().unwrap().message, "no stock");
    assert_eq!(attribute(&work.events[0].attributes, "exception.message").unwrap(), "no stock");

    let slow = Settings {
        keep_slow: Some(Duration::ZERO),
        ..settings(Sampler { parent_based: true, ratio: 0.0 })
    };
    let rig = Rig::new(Some(slow), 1 << 20);
    rig.ask(vec![bare("/orders/7")]);
    assert_eq!(told(named(&rig.spans(), "GET /orders/{id}"), "mainstay.kept"), "slow");
}

#[test]
fn a_method_that_is_not_known_and_a_path_that_met_no_route_name_nothing() {
    let rig = Rig::sampling(Sampler::ALL);
    let strange = Request::builder().method("BREW").uri("/failing").version(Version::HTTP_2);
    rig.ask(vec![strange.body(Body::default()).unwrap(), bare("/nothing/here")]);
    let spans = rig.spans();
    let [strange, unmatched] = &spans[..] else { panic!("two: {spans:#?}") };
    assert_eq!(
        (strange.name.as_str(), told(strange, "http.request.method")),
        ("HTTP /failing", "_OTHER".into())
    );
    assert_eq!(told(strange, "http.request.method_original"), "BREW");
    assert_eq!((unmatched.name.as_str(), told(unmatched, "http.route")), ("GET", String::new()));
    assert_eq!((unmatched.status.clone(), told(unmatched, "error.type")), (None, String::new()));
    assert!(unmatched.parent_span_id.is_empty() && unmatched.flags == 0x103);
}

#[test]
fn without_traces_nothing_is_recorded_and_the_trace_goes_on_all_the_same() {
    let rig = Rig::new(None, 1 << 20);
    let answers = rig.ask(vec![called("/orders/7", "01")]);
    assert!(answers[0].starts_with(&format!("00-{TRACE}-")) && answers[0].ends_with("-01 a=1,b=2"));
    assert_eq!((rig.spans(), rig.count(names::SPANS)), (vec![], 0));
}

#[test]
fn many_spans_come_in_several_parcels_and_each_is_there_or_counted() {
    let rig = Rig::sampling(Sampler::ALL);
    rig.ask(vec![bare("/busy")]);
    let parcels = rig.parcels(Parcel::Spans);
    let spans: u64 = parcels.iter().map(|parcel| spans_of(parcel).len() as u64).sum();
    assert!(parcels.len() > 10 && spans == rig.count(names::SPANS));
    assert_eq!(spans + rig.count(names::SPANS_DROPPED), 10_001, "with a ring that is too small");

    let rig = Rig::sampling(Sampler { parent_based: true, ratio: 0.0 });
    rig.ask(vec![bare("/busy")]);
    let spans = rig.spans();
    assert_eq!(told(spans.last().unwrap(), "http.response.status_code"), "503");
    assert_eq!(spans.len() as u64, rig.count(names::SPANS));
    assert!(rig.count(names::SPANS_DROPPED) > 5_000);
    assert_eq!(rig.count(names::SPANS) + rig.count(names::SPANS_DROPPED), 10_001);
}

#[test]
fn a_full_ring_costs_spans_that_are_counted_and_no_request() {
    let rig = Rig::new(Some(settings(Sampler::ALL)), 2_048);
    let answers = rig.ask((0..20).map(|_| bare("/orders/7")).collect());
    assert_eq!(answers.len(), 20);
    let (made, dropped) = (rig.count(names::SPANS), rig.count(names::SPANS_DROPPED));
    assert!(made >= 4 && dropped >= 4 && made + dropped == 80, "{made} {dropped}");
    assert_eq!(rig.spans().len() as u64, made);
}

#[test]
fn a_span_that_ends_after_its_request_is_kept_as_the_request_was() {
    for (flags, expected) in [("01", 2), ("00", 0)] {
        let rig = Rig::sampling(Sampler::default());
        rig.ask(vec![called("/late", flags)]);
        let spans = rig.spans();
        assert_eq!(spans.len(), expected, "{spans:#?}");
        if expected > 0 {
            assert_eq!(named(&spans, "late").parent_span_id, named(&spans, "GET /late").span_id);
        }
    }
}

#[test]
fn spans_outside_of_any_request_are_traces_of_their_own() {
    let rig = Rig::sampling(Sampler::ALL);
    bridge::in_turn(&bridge::subscriber(&rig.log), || {
        let job = tracing::info_span!("job");
        job.in_scope(|| drop(tracing::info_span!("step")));
        let outgoing = job.in_scope(Outgoing::current).unwrap().traceparent();
        assert_eq!(Outgoing::current(), None);
        drop(job);
        drop(tracing::debug_span!("detail"));
        let spans = rig.spans();
        let (job, step) = (named(&spans, "job"), named(&spans, "step"));
        assert_eq!((spans.len(), &step.parent_span_id), (2, &job.span_id));
        assert!(job.parent_span_id.is_empty() && job.trace_id == step.trace_id);
        assert_eq!(outgoing, format!("00-{}-{}-03", hex(&job.trace_id), hex(&job.span_id)));
    });
}

#[test]
fn records_of_the_log_carry_their_request_s_trace_to_receivers() {
    let all = Settings { logs: true, ..settings(Sampler::ALL) };
    let rig = Rig::new(Some(all), 1 << 20);
    rig.ask(vec![called("/failing", "01")]);
    let parcels = rig.parcels(Parcel::Logs);
    let records: Vec<LogRecord> =
        parcels.iter().flat_map(|it| ScopeLogs::decode(&**it).unwrap().log_records).collect();
    let said = records.iter().find(|record| {
        attribute(&record.attributes, "exception.message").as_deref() == Some("no stock")
    });
    let said = said.unwrap_or_else(|| panic!("{records:#?}"));
    assert_eq!((hex(&said.trace_id).as_str(), said.severity_number), (TRACE, 17));
    assert_eq!(attribute(&said.attributes, "url.path").as_deref(), Some("/failing"));
    let event = records.iter().find(|record| record.event_name == "query.failed");
    assert!(event.is_some(), "{records:#?}");
    assert_eq!(rig.count(names::RECORDS), records.len() as u64);
}

#[test]
fn statements_of_pools_of_sqlx_s_own_have_spans_that_begin_when_they_did() {
    let rig = Rig::sampling(Sampler::ALL);
    let config = crate::Config::resolve(&crate::config::Sources::default()).unwrap();
    let pool = PoolSettings::of(&config.database, 1, "test", Duration::from_secs(30));
    let took = Duration::from_millis(250);
    let told = Told { text: "SELECT a FROM b WHERE c = 'hunter2'", rows: 3, affected: 0, took };
    Foreign::new(&pool, true).statement(&rig.log, &told);
    let spans = rig.spans();
    let span = named(&spans, "SELECT b");
    let length = span.end_time_unix_nano - span.start_time_unix_nano;
    assert!(span.parent_span_id.is_empty() && length >= 250_000_000, "{length}");
    assert_eq!(
        super::attribute(&span.attributes, "db.query.text").unwrap(),
        "SELECT a FROM b WHERE c = ?"
    );
}
