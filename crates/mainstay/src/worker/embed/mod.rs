//! A worker without a service around it: the HTTP stack as a layer in somebody else's server, on memory of
//! its own. What a service does for its workers, this does in one small task: it looks at the clock, makes the
//! checks that are due, and holds requests to their deadlines.

use super::assemble::{Parts, assemble};
use super::conn::App;
use super::connections::sweep;
use super::{Shared, Worker};
use crate::clock::{self, Mono};
use crate::config::{Config, Sources};
use crate::event::Event;
use crate::health::State;
use crate::http::Body;
use crate::http::body::BoxError;
use crate::http::stack::Stack;
use crate::http::watched::Watched;
use crate::log::{LINE, Log, Stream, level_word};
use crate::metrics::names;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use mainstay_os::segment::{Layout, Segment};
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tower_layer::Layer;
use tower_service::Service;

/// How often the clock is looked at, and requests are judged.
const TICK: Duration = Duration::from_millis(100);
/// Requests that can be described at once.
const IN_FLIGHT: usize = 1_024;
/// Bytes of the table of rate limits; memory is taken by what is used.
const LIMITS: usize = 16 << 20;

/// The HTTP stack without a service around it, as a layer of tower: ids and traces, who the client is, rate
/// limits and bans, deadlines, error pages, `/healthz` and `/readyz`, one line for each request. It
/// lives in a program that has a server already, and in tests ([`crate::testing`]).
///
/// ```
/// # mod axum { pub use ::axum::*; }
/// # async fn router() -> Result<axum::Router, mainstay::BoxError> {
/// use axum::{Router, routing::get};
///
/// let stack = mainstay::Embedded::start("shop", "http.request_timeout = \"10s\"").await?;
/// let router = Router::new().route("/", get(|| async { "hello" })).layer(stack.clone());
/// # Ok(router)
/// # }
/// ```
///
/// What makes a service is not there: workers and their replacement, reload, strict parsing, deadlines of
/// connections, `/metrics`, alerts, the file of bans, and sending anything anywhere. Lines wait for [`Embedded::take_lines`]. The
/// client's address is that in an extension of type `SocketAddr`, where the server has put one; requests without
/// it are those of one client, as of one UNIX socket, and share one count of each limit.
/// Records of `tracing` and panics outside of handlers remain the program's own.
#[derive(Clone)]
pub struct Embedded {
    shared: Arc<Shared>,
    /// Rings have one reader.
    reader: Arc<Mutex<Vec<u8>>>,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl Embedded {
    /// The stack for the application `name`, with the settings of this TOML text and no others. Limits that
    /// layers of routes bring ([`crate::limit`]) count in the first one that a process starts.
    ///
    /// # Errors
    /// What is wrong with the settings; outside of a runtime of tokio.
    pub async fn start(name: &str, toml: &str) -> Result<Embedded, BoxError> {
        let runtime = Handle::try_current()?;
        let sources = Sources { app_defaults: Some(toml.to_owned()), ..Sources::default() };
        let mut config = Config::resolve(&sources)?;
        // Nobody is there who would send reports.
        config.sentry.dsn = None;
        // Whoever has the connection knows whether its client takes anything.
        config.http.write_timeout = Duration::from_secs(u32::MAX.into());
        if config.bans.file.take().is_some() {
            let without = "bans.file does nothing here: it is read by watch, which a service has";
            config.warnings.push(without.to_owned());
        }
        let log = Log::new(segment(&config)?, 0);
        log.slot().hand_out(1, clock::mono().0, 0);
        log.slot().set_pid(std::process::id());
        for warning in std::mem::take(&mut config.warnings) {
            log.event(&Event::ConfigWarning { warning });
        }
        let (name, version) = (name.to_owned(), String::new());
        let parts = Parts { log, config, name, version, generation: 1, pages: &[] };
        // Nobody replaces this worker.
        let shared = assemble(parts, |_| {})?;
        shared.layers.limiter.install();
        shared.layers.limiter.meet_store().await;
        shared.log.segment().header().set_state(State::Ready as u64);
        shared.log.slot().set_ready_at(clock::mono().0);
        runtime.spawn(mind(Arc::downgrade(&shared)));
        Ok(Embedded { shared, reader: Arc::default() })
    }

    /// The worker that an application is given: its settings, metrics, checks and pools.
    #[must_use]
    pub fn worker(&self) -> Worker {
        Worker::new(Arc::clone(&self.shared))
    }

    /// The lines of both logs since they were last taken, in the order of their time. What finds no room
    /// meanwhile, `log.buffer`, is dropped and counted in the status.
    #[must_use]
    pub fn take_lines(&self) -> Vec<String> {
        let mut buffer = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = Vec::new();
        for stream in [Stream::Access, Stream::Error] {
            let ring = self.shared.log.slot().ring(stream as usize);
            while let Some(record) = ring.pop(&mut buffer) {
                if record.kind == LINE
                    && let Some((time, line)) = record.bytes.split_first_chunk()
                {
                    let line = String::from_utf8_lossy(line);
                    lines.push((u64::from_le_bytes(*time), line.trim_end().to_owned()));
                }
            }
        }
        lines.sort_by_key(|(time, _)| *time);
        lines.into_iter().map(|(_, line)| line).collect()
    }
}

/// Memory for one worker, which nobody else sees.
fn segment(config: &Config) -> Result<Segment, BoxError> {
    let bytes = usize::try_from(config.log.buffer)?.clamp(64 << 10, 64 << 20);
    let layout = Layout {
        slots: 1,
        counters: names::CELLS,
        in_flight: IN_FLIGHT,
        // No telemetry.
        ring_bytes: [bytes, bytes / 4, 64],
        metrics: names::CAPACITY,
        limits: LIMITS,
    };
    let (segment, _) = Segment::create(layout)?;
    let header = segment.header();
    let level = level_word(config.log.level);
    header.set_schema(names::SCHEMA);
    header.set_supervisor_pid(u64::from(std::process::id()));
    header.set_started_mono(clock::mono().0);
    header.set_started_wall(clock::wall());
    header.set_generation(1);
    header.set_target(1);
    header.set_log_level(level);
    header.set_log_level_base(level);
    Ok(segment)
}

/// Does what the clock asks for, until nobody has the stack any more.
async fn mind(shared: Weak<Shared>) {
    let mut ticks = tokio::time::interval(TICK);
    let (mut last, mut next_check) = (clock::mono(), Mono(0));
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let now = shared.recorder.look_at_clocks();
        // Nobody is judged for a time in which this runtime stood still.
        if shared.connections.len() > 0 && now.since(last) < TICK * 2 {
            sweep(&shared, now);
        }
        last = now;
        shared.layers.limiter.tell_ended(now);
        shared.layers.lookout.tell_ended(now);
        shared.layers.limiter.mind_store(now);
        if now >= next_check {
            let soon = now + Duration::from_secs(1);
            let due = [shared.checks.attend(now), look_at_pools(&shared, now), Some(soon)];
            next_check = due.into_iter().flatten().min().unwrap_or(soon);
        }
    }
}

#[cfg(feature = "database")]
fn look_at_pools(shared: &Shared, now: Mono) -> Option<Mono> {
    shared.pools.look(&shared.checks, now)
}

#[cfg(not(feature = "database"))]
fn look_at_pools(_: &Shared, _: Mono) -> Option<Mono> {
    None
}

impl<S> Layer<S> for Embedded {
    type Service = Under<S>;

    fn layer(&self, inner: S) -> Under<S> {
        Under { inner, shared: Arc::clone(&self.shared) }
    }
}

/// An application under the stack; made by [`Embedded`].
#[derive(Clone)]
pub struct Under<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> fmt::Debug for Under<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Under").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

/// The answer to be; see [`Embedded`].
pub type EmbeddedFuture =
    Pin<Box<dyn Future<Output = Result<Response<EmbeddedBody>, Infallible>> + Send>>;

impl<S, B> Service<Request<B>> for Under<S>
where
    S: App,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<EmbeddedBody>;
    type Error = Infallible;
    type Future = EmbeddedFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The application's readiness is awaited within its request.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> EmbeddedFuture {
        let shared = Arc::clone(&self.shared);
        let now = shared.recorder.look_at_clocks();
        let peer = request.extensions().get::<SocketAddr>().copied();
        let is_head = request.method() == Method::HEAD;
        // Connections are the server's affair: to the stack each request is the only one of its own.
        let recorder = Arc::clone(&shared.recorder);
        let conn = Arc::new(Watched::new(recorder, peer, None, false, -1, now));
        let open = Open::enter(&shared, &conn);
        let mut stack =
            Stack::new(self.inner.clone(), Arc::clone(&conn), Arc::clone(&shared.layers));
        let request = request.map(|body| Body::foreign(body, &conn));
        let mut answer = Box::pin(stack.call(request));
        Box::pin(async move {
            let response = std::future::poll_fn(|cx| {
                // Whoever judges the request wakes this.
                conn.register(cx.waker());
                answer.as_mut().poll(cx)
            });
            let Ok(response) = response.await;
            drop(answer);
            let left = response.headers().get(CONTENT_LENGTH);
            let left = left.and_then(|it| it.to_str().ok()?.parse().ok());
            // Of an answer to HEAD the server takes no body.
            let left = if is_head { Some(0) } else { left };
            Ok(response.map(|body| EmbeddedBody {
                body: Some(Box::pin(body)),
                left,
                is_over: false,
                conn,
                _open: open,
            }))
        })
    }
}

/// A request among those that are judged by the clock.
struct Open {
    shared: Arc<Shared>,
    number: u64,
}

impl Open {
    fn enter(shared: &Arc<Shared>, conn: &Arc<Watched>) -> Open {
        let number = shared.connections.enter(Arc::clone(conn));
        Open { shared: Arc::clone(shared), number }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.connections.leave(self.number);
    }
}

/// The body of an answer; when the server drops it, the request has ended.
pub struct EmbeddedBody {
    /// There until this is dropped.
    body: Option<Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError> + Send>>>,
    /// Bytes that the server still wants, where it knows.
    left: Option<u64>,
    /// The body has said that it is over.
    is_over: bool,
    conn: Arc<Watched>,
    _open: Open,
}

impl fmt::Debug for EmbeddedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedBody").field("size", &self.size_hint()).finish_non_exhaustive()
    }
}

impl HttpBody for EmbeddedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let polled = body.as_mut().poll_frame(cx);
        match &polled {
            Poll::Ready(None) => this.is_over = true,
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                this.left = this.left.map(|left| left.saturating_sub(bytes));
            }
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, |body| body.size_hint())
    }
}

impl Drop for EmbeddedBody {
    fn drop(&mut self) {
        // All of it was handed to the server, or the client went first.
        let whole = self.is_over || self.left == Some(0) || self.is_end_stream();
        drop(self.body.take());
        self.conn.settle(whole);
    }
}

#[cfg(test)]
mod tests;
