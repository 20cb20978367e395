//! The stack in a program that has a server of its own.

use super::Embedded;
use crate::testing::{Tested, start};
use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use http::Request;
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;

/// A body that does not know its end before it is there: the texts from the last to the first.
struct Streamed(Vec<&'static str>);

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop().map(|it| Ok(Frame::data(Bytes::from_static(it.as_bytes())))))
    }
}

async fn echo(text: String) -> String {
    text
}

async fn broken() -> &'static str {
    panic!("as told")
}

async fn stuck() -> &'static str {
    std::future::pending().await
}

async fn tested(toml: &str) -> Tested<Router> {
    let router = Router::new()
        .route("/", get(async || "hello\n"))
        .route("/echo", post(echo))
        .route("/broken", get(broken))
        .route("/stuck", get(stuck));
    start(toml, async |_| Ok(router)).await.unwrap()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(work)
}

#[test]
fn who_asks_for_the_head_of_an_own_answer_to_too_many_requests_gets_its_length_alone() {
    run(async {
        let limit = crate::limit("1/hour").shared("head-of-own");
        let limit = limit.on_breach(|_| http::Response::new("too many\n".into()));
        let router = Router::new().route("/own", get(async || "hello\n").layer(limit));
        let app = start("", async |_| Ok(router)).await.unwrap();
        let ask = async |method: &str| {
            let request = Request::builder().method(method).uri("/own");
            let answer = app.send(request.body("").unwrap()).await;
            let length = answer.headers().get("content-length").cloned();
            (length.map(|it| it.to_str().unwrap().to_owned()), answer.into_body())
        };
        ask("GET").await;
        assert_eq!(ask("GET").await.1, "too many\n");
        assert_eq!(ask("HEAD").await, (Some("9".to_owned()), Bytes::new()));
    });
}

#[test]
fn what_a_tool_asks_for_while_its_client_is_banned_is_not_counted() {
    run(async {
        let stack = Embedded::start("tested", "bans.attack_tools = '2/minute'").await.unwrap();
        let app = stack.layer(Router::new());
        let mut statuses = Vec::new();
        for _ in 0..4 {
            let request = Request::builder().header("user-agent", "sqlmap/1.7");
            let mut request = request.body(axum::body::Body::empty()).unwrap();
            request.extensions_mut().insert(std::net::SocketAddr::from(([192, 0, 2, 7], 5_000)));
            statuses.push(app.clone().call(request).await.unwrap().status().as_u16());
        }
        assert_eq!(statuses, [404, 404, 403, 403]);
        let tools = crate::metrics::names::ATTACK_TOOLS;
        assert_eq!(stack.shared.log.slot().counter(tools), 2);
    });
}

#[test]
fn what_of_the_settings_does_nothing_is_told_at_the_start() {
    run(async {
        let settings =
            "bans.file = '/nowhere'\nbans.attack_tools = '1/minute'\nsecurity.attack_tools = []";
        let lines = tested(settings).await.take_lines();
        assert!(lines.iter().any(|it| it.contains("bans.file does nothing here")), "{lines:?}");
        assert!(lines.iter().any(|it| it.contains("bans.attack_tools does nothing")), "{lines:?}");
    });
}

#[test]
fn a_request_has_an_id_a_line_and_its_answer() {
    run(async {
        let app = tested("").await;
        let answer = app.get("/?a=1").await;
        assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"hello\n"[..]));
        assert!(answer.headers().contains_key("x-request-id"));
        let lines = app.take_lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("127.0.0.1 - - ["), "{lines:?}");
        assert!(lines[0].contains("\"GET /?a=1 HTTP/1.1\" 200 6 "), "{lines:?}");
        assert!(app.take_lines().is_empty());
    });
}

#[test]
fn an_answer_that_the_server_took_is_whole_and_one_that_it_dropped_is_not() {
    run(async {
        let stack = Embedded::start("shop", "").await.unwrap();
        let streamed = async || axum::body::Body::new(Streamed(vec!["b", "a"]));
        let app = Router::new().route("/", get(async || "hello\n")).route("/stream", get(streamed));
        let app = stack.layer(app);
        let ask = async |method: &str, path: &str| {
            let request = Request::builder().method(method).uri(path);
            app.clone().call(request.body(crate::Body::default()).unwrap()).await.unwrap()
        };
        // A server takes no body of an answer to HEAD.
        drop(ask("HEAD", "/").await);
        let streamed = ask("GET", "/stream").await.into_body();
        assert_eq!(streamed.collect().await.unwrap().to_bytes(), "ab");
        drop(ask("GET", "/").await);
        let lines = stack.take_lines();
        let status = |line: &String| line.split("\" ").nth(1).unwrap()[..3].to_owned();
        let all: Vec<_> = lines.iter().map(status).collect();
        assert_eq!(all, ["200", "200", "499"], "{lines:#?}");
    });
}

#[test]
fn limits_refuse_what_comes_too_often_and_probes_are_not_counted() {
    run(async {
        let app = tested("limits.default = \"2/hour\"").await;
        for status in [200, 200, 429] {
            assert_eq!(app.get("/").await.status(), status);
        }
        assert_eq!(app.get("/readyz").await.status(), 200);
    });
}

#[test]
fn a_panic_is_an_error_page_and_a_body_too_large_is_refused() {
    run(async {
        let app = tested("http.max_body = \"1KiB\"").await;
        assert_eq!(app.get("/broken").await.status(), 500);
        let post = |length: usize| Request::post("/echo").body(vec![b'a'; length]).unwrap();
        assert_eq!(app.send(post(1_000)).await.body().len(), 1_000);
        assert_eq!(app.send(post(2_000)).await.status(), 413);
        assert!(app.take_lines().iter().any(|it| it.contains("as told")));
    });
}

#[test]
fn a_request_that_takes_too_long_is_answered_with_504() {
    run(async {
        let app = tested("http.request_timeout = \"200ms\"").await;
        let answer = tokio::time::timeout(Duration::from_secs(20), app.get("/stuck")).await;
        assert_eq!(answer.expect("an answer in time").status(), 504);
    });
}

#[test]
fn a_request_that_is_long_under_way_is_left_alone_and_those_after_it_are_still_judged() {
    run(async {
        let app = tested("http.request_timeout = \"1500ms\"").await;
        for _ in 0..2 {
            let answer = tokio::time::timeout(Duration::from_secs(20), app.get("/stuck")).await;
            assert_eq!(answer.expect("an answer in time").status(), 504);
        }
    });
}

#[test]
fn the_application_has_its_worker() {
    run(async {
        let app = start("app.greeting = \"hi\"", async |worker| {
            let settings: std::collections::BTreeMap<String, String> = worker.app_config()?;
            let orders = worker.counter("shop_orders_total", "Orders.")?;
            worker.ready("stock", || async { Err("none left".into()) })?;
            Ok(Router::new().route(
                "/",
                get(async move || {
                    orders.add(1);
                    settings["greeting"].clone()
                }),
            ))
        });
        let app = app.await.unwrap();
        assert_eq!(&app.get("/").await.body()[..], b"hi");
        let end = tokio::time::timeout(Duration::from_secs(20), async {
            while app.get("/readyz").await.status() != 503 {
                tokio::task::yield_now().await;
            }
        });
        end.await.expect("the check is made");
    });
}

#[test]
fn a_setting_that_is_wrong_is_told() {
    let told = run(async { Embedded::start("shop", "limits.defualt = \"1/hour\"").await });
    assert!(told.unwrap_err().to_string().contains("limits.defualt"));
}
