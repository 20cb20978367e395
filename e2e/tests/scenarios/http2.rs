//! HTTP/2 by prior knowledge, with a real client.

use crate::support::*;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::http::{Request, StatusCode};
use hyper::body::Frame;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A body that begins and never ends.
struct Endless(Option<Bytes>);

impl HttpBody for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // Nobody is woken for the rest: there is none.
        self.0.take().map_or(Poll::Pending, |bytes| Poll::Ready(Some(Ok(Frame::data(bytes)))))
    }
}

/// Runs a client to its end, which must come within [`START`].
fn run<T>(client: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime for one client");
    let done = runtime.block_on(async { tokio::time::timeout(START, client).await });
    done.expect("the client is done in time")
}

/// A connection, and the task that tells how it ended.
async fn open(address: SocketAddr) -> (SendRequest<Body>, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(address).await.expect("the service listens");
    let opened = handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (sender, connection) = opened.expect("a preface is written");
    (sender, tokio::spawn(connection))
}

/// Sends a request and reads the answer to its end.
async fn ask(
    mut sender: SendRequest<Body>,
    method: &str,
    path: &str,
    body: Body,
) -> hyper::Result<(StatusCode, String)> {
    let request = Request::builder().method(method).uri(format!("http://e2e{path}")).body(body);
    let answer = sender.send_request(request.expect("a request")).await?;
    let status = answer.status();
    let body = to_bytes(Body::new(answer.into_body()), 1 << 20).await;
    Ok((
        status,
        body.map_or_else(|error| error.to_string(), |b| String::from_utf8_lossy(&b).into()),
    ))
}

#[test]
fn a_body_that_stops_coming_is_refused_and_its_connection_lives() {
    let _together = together();
    let service = service("workers.count = 1\nhttp.body_timeout = \"500ms\"");
    let (stuck, took, slow, third) = run(async {
        let (sender, connection) = open(service.address).await;
        let begun = Instant::now();
        let stuck = async {
            let body = Body::new(Endless(Some(Bytes::from_static(b"abc"))));
            (ask(sender.clone(), "POST", "/echo", body).await, begun.elapsed())
        };
        let slow = ask(sender.clone(), "GET", "/slow?ms=3000", Body::empty());
        let ((stuck, took), slow) = tokio::join!(stuck, slow);
        let third = ask(sender.clone(), "GET", "/", Body::empty()).await;
        assert!(!connection.is_finished(), "the connection is still open");
        (stuck, took, slow, third)
    });
    let (status, text) = stuck.expect("an answer for the body that stopped");
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT, "{text}");
    assert!(took < Duration::from_millis(2500), "408 after {took:?}");
    assert_eq!(slow.expect("the stream beside it"), (StatusCode::OK, "slow\n".into()));
    assert_eq!(third.expect("a request afterwards"), (StatusCode::OK, "hello\n".into()));
}

#[test]
fn a_stop_answers_what_is_in_flight_and_does_not_wait_for_idle_connections() {
    let _together = together();
    let mut service = service("workers.count = 1");
    let address = service.address;
    let client = std::thread::spawn(move || {
        run(async {
            // Kept until the end: a client without its sender closes by itself.
            let (_idle, idle_end) = open(address).await;
            let (busy, busy_end) = open(address).await;
            let slow = ask(busy.clone(), "GET", "/slow?ms=2000", Body::empty()).await;
            let ends = [idle_end.await, busy_end.await];
            (slow, ends.map(|end| end.expect("a connection does not panic")))
        })
    });
    service.wait_status("two connections and a request", START, |status| {
        status.workers[0].connections == 2 && in_flight(status) == 1
    });
    service.signal(Signal::TERM);
    let begun = Instant::now();
    assert_eq!(service.wait_exit(START).code(), Some(0), "{}", service.log());
    let took = begun.elapsed();
    say(format_args!("TERM with HTTP/2 connections, a request of 2 s: over after {took:.2?}"));
    let (slow, ends) = client.join().expect("the client does not panic");
    assert_eq!(slow.expect("the request in flight"), (StatusCode::OK, "slow\n".into()));
    assert!(ends.iter().all(Result::is_ok), "{ends:?}");
    assert!(took < Duration::from_secs(5), "{took:?} for a request of 2 s:\n{}", service.log());
}
