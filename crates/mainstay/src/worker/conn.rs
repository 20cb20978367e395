//! One connection: hyper on the watched stream, obeying the sweeper's orders.

use super::Shared;
use super::connections::Open;
use super::io::WatchedIo;
use crate::clock;
use crate::event::Event;
use crate::http::Body;
use crate::http::body::{Answer, BoxError};
use crate::http::client::{self, proxy_protocol::Mode};
use crate::http::record::RecordBody;
use crate::http::stack::{Stack, StackFuture};
use crate::http::strict::Limits;
use crate::http::watched::Watched;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

/// What an application must be, in one name.
pub trait App:
    Service<
        Request<Body>,
        Response = Response<Self::Answer>,
        Error = Infallible,
        Future = Self::Call,
    > + Clone
    + Send
    + 'static
{
    /// The body of its answers.
    type Answer: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;
    /// Its future.
    type Call: Future<Output = Result<Response<Self::Answer>, Infallible>> + Send + 'static;
}

impl<S, B> App for S
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Answer = B;
    type Call = S::Future;
}

/// hyper's face of the stack: it calls through a shared reference, one request at a time or, in
/// HTTP/2, one after the other.
struct Face<A> {
    stack: RefCell<Stack<A>>,
    conn: Arc<Watched>,
}

impl<A: App> hyper::service::Service<Request<Incoming>> for Face<A> {
    type Response = Response<RecordBody<Answer<A::Answer>>>;
    type Error = Infallible;
    type Future = StackFuture<A, A::Call, A::Answer>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let request = request.map(|body| Body::incoming(body, &self.conn));
        self.stack.borrow_mut().call(request)
    }
}

/// Bytes that a head of the configured limits may have, and some for what the server keeps with it.
fn head_size(limits: Limits) -> usize {
    let line = if limits.line == 0 { 65_535 } else { limits.line };
    (line + limits.fields * limits.field + 8_192).max(64 * 1_024)
}

/// How hyper is set up; made once for the worker.
pub(crate) fn server(shared: &Shared) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    if !shared.config.http.h2 {
        builder = builder.http1_only();
    }
    builder
        .http1()
        // A client that closes its half after the request still gets its answer, unless told otherwise.
        .half_close(shared.config.http.half_close)
        // The strict parser has judged by the configured limits before; these are never met.
        .max_headers(shared.limits().fields.max(16))
        .max_buf_size(head_size(shared.limits()))
        .keep_alive(!shared.config.http.keep_alive.is_zero())
        // The sweeper holds connections to their deadlines, without a timer per request.
        .header_read_timeout(None);
    builder
}

/// Serves one connection to its end.
pub(crate) async fn serve<A: App, I: AsyncRead + AsyncWrite + AsRawFd + Unpin + Send + 'static>(
    shared: Arc<Shared>,
    server: Arc<Builder<TokioExecutor>>,
    app: A,
    stream: I,
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
) {
    let now = clock::mono();
    shared.recorder.set_coarse(now);
    let recorder = Arc::clone(&shared.recorder);
    let trust = &recorder.book().trust;
    let proxy = if client::trusts(trust, peer) { trust.protocol } else { Mode::Off };
    let is_proxied = proxy != Mode::Off;
    let socket = stream.as_raw_fd();
    let conn = Arc::new(Watched::new(recorder, peer, local, is_proxied, socket, now));
    let open = Open::enter(Arc::clone(&shared), Arc::clone(&conn));
    let face = Face {
        stack: RefCell::new(Stack::new(app, Arc::clone(&conn), Arc::clone(&shared.layers))),
        conn: Arc::clone(&conn),
    };
    let (limits, h2) = (shared.limits(), shared.config.http.h2);
    let io = WatchedIo::new(TokioIo::new(stream), Arc::clone(&conn), open, limits, h2, proxy);
    let mut serving = pin!(server.serve_connection_with_upgrades(io, face));
    let mut registered = false;
    let mut told = false;
    let ended = poll_fn(|cx| {
        if !registered {
            conn.register(cx.waker());
            registered = true;
        }
        if conn.must_abort() {
            return Poll::Ready(Ok(()));
        }
        let ended = serving.as_mut().poll(cx);
        // What has arrived by now has been read above: a request that came with the order to close
        // is answered, and closes the connection by its answer.
        if ended.is_pending() && conn.must_shut_down() && !told && conn.is_quiet() {
            told = true;
            serving.as_mut().graceful_shutdown();
            return serving.as_mut().poll(cx);
        }
        ended
    })
    .await;
    conn.detach();
    if let Err(error) = ended {
        tell(&shared, peer, error.as_ref());
    }
}

/// Tells of a connection that failed, unless it is just a client that left.
fn tell(shared: &Shared, peer: Option<SocketAddr>, error: &(dyn std::error::Error + 'static)) {
    let invalid = error.downcast_ref::<hyper::Error>().is_some_and(|error| {
        error.is_parse() || error.is_parse_too_large() || error.is_parse_status()
    });
    if invalid {
        let peer = peer.map_or_else(|| "unix".to_owned(), |peer| peer.ip().to_string());
        shared.log.event(&Event::InvalidRequest { peer, reason: error.to_string() });
    }
}
