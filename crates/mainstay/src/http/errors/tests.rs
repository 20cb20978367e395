//! The stage around a real axum application under its guard.

use super::*;
use crate::event::Event;
use crate::http::context::{Context, RequestId, TraceContext};
use crate::http::{Body, guard};
use crate::log::outlet::drained;
use crate::metrics::names;
use axum::extract::Path;
use axum::response::{IntoResponse, Response as AxumResponse};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{ACCEPT, HeaderMap, HeaderValue};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, RETRY_AFTER,
    SET_COOKIE, VARY,
};
use http::{HeaderName, Request, StatusCode};
use http_body_util::BodyExt;
use mainstay_os::segment::{Layout, Segment};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";
const HTML: &str = "text/html; charset=utf-8";

#[derive(Debug, serde::Deserialize)]
struct SecretlyNamedOrder {
    #[expect(dead_code, reason = "read from a request")]
    secret_amount: u32,
}

fn refused() -> std::io::Error {
    std::io::Error::other("hunter2@db.internal refused")
}

async fn failing() -> Result<&'static str, Failure> {
    Err(refused())?;
    Ok("")
}

async fn taken() -> Failure {
    Failure::new(StatusCode::CONFLICT, "That name is <taken>.").because(refused())
}

async fn limited() -> AxumResponse {
    let headers = [(RETRY_AFTER, "7"), (SET_COOKIE, "a=b"), (ETAG, "\"x\""), (VARY, "Cookie")];
    (StatusCode::TOO_MANY_REQUESTS, headers, "slow down, crate::limits").into_response()
}

async fn broken() -> (StatusCode, &'static str) {
    (StatusCode::SERVICE_UNAVAILABLE, "pool at db.internal is empty\n")
}

async fn shaped() -> AxumResponse {
    let json = Json(serde_json::json!({ "mine": true }));
    (StatusCode::BAD_REQUEST, json).into_response()
}

async fn shaped_failure() -> AxumResponse {
    let mut answer = taken().await.status(StatusCode::BAD_GATEWAY).into_response();
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    *answer.body_mut() = "<mine/>".into();
    answer
}

fn app() -> Router {
    let panics = || async {
        let amount: u32 = "zz".parse().expect("seventy of hunter2");
        amount.to_string()
    };
    Router::new()
        .route("/order", post(|_: Json<SecretlyNamedOrder>| async {}))
        .route("/item/{id}", get(|_: Path<u32>| async { "an item" }))
        .route("/timeout", get(|| async { StatusCode::GATEWAY_TIMEOUT }))
        .route("/panic", get(panics))
        .route("/failing", get(failing))
        .route("/taken", get(taken))
        .route("/limited", get(limited))
        .route("/broken", get(broken))
        .route("/shaped", get(shaped))
        .route("/shaped-failure", get(shaped_failure))
        .route("/as-is", get(|| async { (StatusCode::IM_A_TEAPOT, AsIs, "short and stout\n") }))
        .route("/moved", get(|| async { StatusCode::NOT_MODIFIED }))
}

struct Site {
    segment: Segment,
    app: Router,
    stage: Arc<Stage>,
}

#[derive(Debug)]
struct Answered {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answered {
    fn header(&self, name: HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn problem(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Site {
    fn new(pages: Pages) -> Site {
        let layout = Layout {
            slots: 3,
            in_flight: 1,
            ring_bytes: [16_384; 3],
            ..Layout::small(names::CELLS)
        };
        let segment = Segment::on_heap(layout);
        let log = Log::new(segment.clone(), 0);
        segment.header().set_log_level(crate::log::level_word(Event::LogsReopened {}.row().level));
        let count = AtomicU32::new(0);
        let error_id = move || format!("error-{}", count.fetch_add(1, Relaxed));
        let stage = Stage::new(pages, "shop", log, error_id);
        Site { segment, app: app(), stage }
    }

    fn built_in() -> Site {
        Site::new(Pages::load(None, &[]).unwrap())
    }

    fn call(&mut self, request: http::request::Builder, body: &'static str) -> Answered {
        let request = request.body(Body::from(Bytes::from_static(body.as_bytes()))).unwrap();
        let context = Context::begin(|context| {
            context.id = RequestId::accept(b"request-1").unwrap();
            context.trace = TraceContext::within([0xab; 16], [1; 8], 0);
            context.method.push_str(request.method().as_str());
            context.path.push_str(request.uri().path());
            let accept = request.headers().get_all(ACCEPT).iter();
            let accept: Vec<_> = accept.filter_map(|it| it.to_str().ok()).collect();
            context.accept.push_str(&accept.join(", "));
        });
        let context = RequestContext::new(context);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut answer = guard::call(&mut self.app, request).await;
            context.in_scope(|| self.stage.pass(&mut answer));
            let (parts, body) = answer.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let body = String::from_utf8(body.into()).unwrap();
            Answered { status: parts.status.as_u16(), headers: parts.headers, body }
        })
    }

    fn get(&mut self, path: &str, accept: &str) -> Answered {
        self.call(Request::get(path).header(ACCEPT, accept), "")
    }

    fn log(&self) -> String {
        drained(&self.segment)
    }

    fn be_verbose(&self) {
        let debug = Event::RequestRefused {
            method: String::new(),
            path: String::new(),
            status: 0,
            reason: String::new(),
        };
        self.segment.header().set_log_level(crate::log::level_word(debug.row().level));
    }
}

/// What no client may ever see: names and places of the program, and the words of its errors.
const INSIDE: &[&str] = &[
    "u32",
    "expected",
    "Order",
    "secret",
    "hunter2",
    "internal",
    "seventy",
    "slow down",
    "parse",
    "panicked",
    ".rs",
    "crate",
    "::",
];

#[test]
fn every_error_that_nobody_shaped_is_a_page_for_browsers_and_a_problem_for_programs() {
    let mut site = Site::built_in();
    let post = || Request::post("/order").header(CONTENT_TYPE, "application/json");
    let requests: &[(u16, &dyn Fn() -> http::request::Builder, &'static str)] = &[
        (404, &|| Request::get("/nowhere"), ""),
        (405, &|| Request::get("/order"), ""),
        (422, &post, r#"{"secret_amount":"x"}"#),
        (400, &post, r#"{"secret_amount""#),
        (415, &|| Request::post("/order"), "{}"),
        (400, &|| Request::get("/item/zz"), ""),
        (504, &|| Request::get("/timeout"), ""),
        (500, &|| Request::get("/panic"), ""),
        (500, &|| Request::get("/failing"), ""),
        (409, &|| Request::get("/taken"), ""),
        (429, &|| Request::get("/limited"), ""),
        (503, &|| Request::get("/broken"), ""),
    ];
    for (status, request, body) in requests {
        let page = site.call(request().header(ACCEPT, BROWSER), body);
        let problem = site.call(request().header(ACCEPT, JSON), body);
        for answer in [&page, &problem] {
            assert_eq!(answer.status, *status, "{answer:?}");
            assert_eq!(answer.header(CACHE_CONTROL), "no-store");
            let said: Vec<_> = answer.headers.get_all(VARY).iter().collect();
            assert_eq!(said.iter().filter(|name| **name == "Accept").count(), 1, "{said:?}");
            let inside = INSIDE.iter().find(|inside| answer.body.contains(**inside));
            assert_eq!(inside, None, "{}", answer.body);
            assert!(answer.body.contains("request-1") && answer.body.contains(&"ab".repeat(16)));
            assert_eq!(answer.body.contains("error-"), *status >= 500, "{}", answer.body);
        }
        assert_eq!(page.header(CONTENT_TYPE), HTML);
        assert!(page.body.starts_with("<!doctype html>"));
        assert!(page.header(CONTENT_SECURITY_POLICY).starts_with("default-src 'none'"));
        assert_eq!(problem.header(CONTENT_TYPE), PROBLEM);
        assert_eq!(problem.header(CONTENT_SECURITY_POLICY), "");
        let told = problem.problem();
        assert_eq!(told["type"], "about:blank");
        assert_eq!(told["status"], *status);
        assert_eq!(told["error_id"].is_string(), *status >= 500);
    }
}

#[test]
fn headers_of_the_answer_stay_and_those_of_its_old_body_go() {
    let mut site = Site::built_in();
    assert_eq!(site.get("/order", BROWSER).header(ALLOW), "POST");
    let limited = site.get("/limited", BROWSER);
    assert_eq!(limited.header(RETRY_AFTER), "7");
    assert_eq!(limited.header(SET_COOKIE), "a=b");
    assert_eq!(limited.header(ETAG), "");
    let vary: Vec<_> = limited.headers.get_all(VARY).iter().collect();
    assert_eq!(vary, ["Cookie", "Accept"]);
    let length = limited.header(CONTENT_LENGTH);
    assert!(length.is_empty() || length == limited.body.len().to_string());
}

#[test]
fn vary_is_said_once() {
    for (said, expected) in [("*", 1), ("Cookie, accept", 1), ("Cookie", 2), ("Accept-Language", 2)]
    {
        let mut headers = HeaderMap::new();
        headers.insert(VARY, HeaderValue::from_static(said));
        shape::vary_by_accept(&mut headers);
        assert_eq!(headers.get_all(VARY).iter().count(), expected, "{said}");
    }
}

#[test]
fn what_the_application_shaped_is_left_alone() {
    let mut site = Site::built_in();
    for accept in [BROWSER, JSON] {
        let shaped = site.get("/shaped", accept);
        assert_eq!((shaped.status, shaped.body.as_str()), (400, r#"{"mine":true}"#));
        assert_eq!(shaped.header(CONTENT_TYPE), "application/json");
        assert_eq!(shaped.header(VARY), "");
        let as_is = site.get("/as-is", accept);
        assert_eq!((as_is.status, as_is.body.as_str()), (418, "short and stout\n"));
        assert_eq!(as_is.header(CACHE_CONTROL), "");
        let moved = site.get("/moved", accept);
        assert_eq!((moved.status, moved.body.as_str()), (304, ""));
        assert_eq!(moved.header(CONTENT_TYPE), "");
        assert_eq!(site.get("/item/7", accept).body, "an item");
    }
    assert_eq!(site.log(), "");
}

#[test]
fn the_error_id_of_the_answer_is_that_of_its_one_line() {
    for (path, told) in [
        ("/failing", "hunter2@db.internal refused (at "),
        ("/panic", "seventy of hunter2"),
        ("/broken", "pool at db.internal is empty (status 503"),
        ("/timeout", "the application said no more (status 504"),
    ] {
        for accept in [BROWSER, JSON] {
            let mut site = Site::built_in();
            site.get("/failing", accept);
            let before = site.log();
            let answer = site.get(&format!("{path}?token=hunter3"), accept);
            assert!(answer.body.contains("error-1"), "{}", answer.body);
            let line = site.log();
            assert!(before.contains("error-0") && !line.contains("error-0"));
            assert_eq!(line.lines().count(), 1, "{line}");
            let begin = format!("[ERROR] Error handling request GET {path}: ");
            assert!(line.contains(&begin) && line.contains(told), "{line}");
            assert!(line.trim_end().ends_with(", error id error-1)"), "{line}");
            assert!(!line.contains("hunter3"), "{line}");
        }
    }
}

#[test]
fn the_line_of_a_failure_says_where_it_was_made() {
    let mut site = Site::built_in();
    site.get("/failing", JSON);
    let line = site.log();
    assert!(line.contains("http/errors/tests.rs:"), "{line}");
}

#[test]
fn the_words_of_a_failure_for_the_outside_reach_the_client() {
    let mut site = Site::built_in();
    assert_eq!(site.get("/taken", JSON).problem()["detail"], "That name is <taken>.");
    assert!(site.get("/taken", BROWSER).body.contains("That name is &lt;taken&gt;."));
}

#[test]
fn a_failure_in_a_shaped_answer_is_told_and_its_body_left_alone() {
    let mut site = Site::built_in();
    let answer = site.get("/shaped-failure", JSON);
    assert_eq!((answer.status, answer.body.as_str()), (502, "<mine/>"));
    let line = site.log();
    assert!(line.contains("That name is <taken>.: hunter2") && line.contains("error-0"), "{line}");
}

#[test]
fn why_a_request_was_refused_is_told_when_the_level_asks_for_it_and_counted_always() {
    let mut site = Site::built_in();
    let refusals = ["/item/zz", "/taken", "/limited"];
    for path in refusals {
        site.get(path, JSON);
    }
    site.get("/nowhere", JSON);
    assert_eq!(site.log(), "");
    site.be_verbose();
    for path in refusals {
        site.get(path, JSON);
    }
    site.get("/nowhere", JSON);
    let log = site.log();
    assert_eq!(log.lines().count(), 3, "a bare 404 has nothing to tell: {log}");
    assert!(log.contains("Refused GET /item/zz with status 400: "), "{log}");
    assert!(log.contains("`u32`") && log.contains("hunter2") && log.contains("slow down"), "{log}");
    let refused = Event::RequestRefused {
        method: String::new(),
        path: String::new(),
        status: 0,
        reason: String::new(),
    };
    assert_eq!(site.segment.total(names::event_cell(&refused)), 6);
}

#[test]
fn a_panic_is_counted_as_one() {
    let mut site = Site::built_in();
    site.get("/panic", BROWSER);
    let [method, path, panic] = [const { String::new() }; 3];
    let panicked = Event::HandlerPanicked { method, path, panic };
    assert_eq!(site.segment.total(names::event_cell(&panicked)), 1);
}

#[test]
fn a_head_gets_the_headers_of_a_get_and_no_body() {
    for (path, accept) in [("/nowhere", BROWSER), ("/nowhere", JSON), ("/broken", BROWSER)] {
        let get = Site::built_in().get(path, accept);
        let head = Site::built_in().call(Request::head(path).header(ACCEPT, accept), "");
        assert_eq!(head.status, get.status);
        assert_eq!(head.body, "");
        assert_eq!(head.header(CONTENT_LENGTH), get.body.len().to_string());
        for name in [CONTENT_TYPE, CACHE_CONTROL, VARY] {
            assert_eq!(head.header(name.clone()), get.header(name));
        }
    }
}

#[test]
fn several_lines_of_accept_are_one_list() {
    let mut site = Site::built_in();
    let request = || Request::get("/nowhere").header(ACCEPT, "*/*;q=0.1");
    let answer = site.call(request().header(ACCEPT, "text/html"), "");
    assert_eq!(answer.header(CONTENT_TYPE), HTML);
    let json = "text/html;q=0.2, application/json";
    assert_eq!(site.call(request().header(ACCEPT, json), "").header(CONTENT_TYPE), PROBLEM);
}

#[test]
fn scripts_of_a_page_get_what_they_accept() {
    let mut site = Site::built_in();
    for (name, accept, expected) in [
        ("hx-request", "*/*", PROBLEM),
        ("hx-request", "text/html", HTML),
        ("x-requested-with", JSON, PROBLEM),
    ] {
        let request = Request::get("/nowhere").header(name, "true").header(ACCEPT, accept);
        assert_eq!(site.call(request, "").header(CONTENT_TYPE), expected);
    }
}

#[test]
fn a_page_that_fails_when_it_is_needed_is_replaced_and_told_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("error.html"), "{{ 1 // (status - 504) }}").unwrap();
    let mut site = Site::new(Pages::load(Some(dir.path()), &[]).unwrap());
    for _ in 0..3 {
        let answer = site.get("/timeout", BROWSER);
        assert_eq!((answer.status, answer.header(CONTENT_TYPE)), (504, HTML));
        assert!(answer.body.contains("<h1>504 Gateway Timeout</h1>"), "{}", answer.body);
        assert!(answer.body.contains("error-"), "{}", answer.body);
    }
    let log = site.log();
    assert_eq!(log.matches("Error page error.html cannot be made").count(), 1, "{log}");
    assert!(log.contains(": error.html:1: "), "{log}");
    assert_eq!(log.lines().count(), 4, "{log}");
    let answer = site.get("/nowhere", BROWSER);
    assert_eq!(answer.body, "-1");
    assert_eq!(answer.header(CONTENT_SECURITY_POLICY), "", "it is for the user's own page to say");
}
