//! The admin listener: the probes, answered from the segment, so that they never queue behind a
//! stuck application and still tell the truth about it; the metrics; and status, alerts and probes as JSON.

use super::alerts::Shown;
use super::detail::Question;
use super::directories::Directories;
#[cfg(feature = "sqlite")]
use super::history::{self, Door};
use super::metrics;
use super::probes::Board;
use crate::clock;
use crate::config::Config;
use crate::health::State;
use crate::health::answer::{Probe, answer};
use crate::health::checks;
use crate::log::Log;
use crate::metrics::readiness;
use crate::status::{self, Status, makes_progress};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

/// Connections at once: enough for every prober, not enough to starve watch.
const CONNECTIONS: usize = 64;
/// A client here sends its request at once, or is not welcome.
const HEADER: Duration = Duration::from_secs(5);

/// What the answers are made from.
#[derive(Debug)]
pub(crate) struct Admin {
    log: Log,
    name: String,
    version: String,
    live: String,
    ready: String,
    places: Semaphore,
    directories: Arc<Directories>,
    alerts: Arc<Shown>,
    probes: Arc<Board>,
    #[cfg(feature = "sqlite")]
    history: Door,
}

impl Admin {
    pub(crate) fn new(
        log: Log,
        name: String,
        version: String,
        config: &Config,
        (directories, alerts, probes): (Arc<Directories>, Arc<Shown>, Arc<Board>),
    ) -> Admin {
        let (live, ready) = (config.health.live_path.clone(), config.health.ready_path.clone());
        let places = Semaphore::new(CONNECTIONS);
        Admin {
            log,
            name,
            version,
            live,
            ready,
            places,
            directories,
            alerts,
            probes,
            #[cfg(feature = "sqlite")]
            history: Door::default(),
        }
    }

    /// With a history that can be asked.
    #[cfg(feature = "sqlite")]
    pub(crate) fn with_history(self, history: Door) -> Admin {
        Admin { history, ..self }
    }

    /// The answer. All but history is there at once, so that what was asked is answered also when watch ends.
    async fn respond(&self, request: Request<Incoming>) -> Response<Bytes> {
        #[cfg(feature = "sqlite")]
        if let Some(rest) = request.uri().path().strip_prefix("/history")
            && request.method() == Method::GET
            && self.history.is_open()
        {
            let query = request.uri().query().unwrap_or_default();
            let now = (clock::wall() / 1_000_000_000) as i64;
            let question = history::question(rest, query, now);
            return self.of_history(question).await;
        }
        self.answer(&request)
    }

    #[cfg(feature = "sqlite")]
    async fn of_history(&self, question: Option<history::Question>) -> Response<Bytes> {
        let Some(question) = question else {
            return plain(StatusCode::BAD_REQUEST, "Bad Request\n");
        };
        match self.history.ask(question).await {
            Ok(Some((text, kind))) => typed(text, kind),
            Ok(None) => plain(StatusCode::NOT_FOUND, "There is no such series\n"),
            Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "The history is busy\n"),
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Bytes> {
        let (method, path) = (request.method(), request.uri().path());
        let (segment, now) = (self.log.segment(), clock::mono());
        if path == self.live {
            return answer(
                Probe::Live,
                method,
                State::from_word(segment.header().state()),
                makes_progress(segment, now),
            );
        }
        if let Some(rest) =
            path.strip_prefix(&self.ready).filter(|it| matches!(it.as_bytes(), [] | [b'/', ..]))
        {
            let question = Question::read(rest, request.uri().query().unwrap_or_default());
            let makes_progress = makes_progress(segment, now);
            if question.is_plain() || method != Method::GET {
                let state = checks::state(segment, now);
                return self.counted(answer(Probe::Ready, method, state, makes_progress));
            }
            let state = match State::from_word(segment.header().state()) {
                State::Ready if !makes_progress => State::Degraded,
                state => state,
            };
            let status = Status::read(segment, &self.name, &self.version);
            return self.counted(question.answer(&status, state, request.headers()));
        }
        if path == "/metrics" && matches!(*method, Method::GET | Method::HEAD) {
            let status = Status::read(segment, &self.name, &self.version);
            return metrics::answer(segment, &status, &self.directories, request.headers());
        }
        if path == "/status" && method == Method::GET {
            return json(format!("{}\n", self.status()));
        }
        if path == "/alerts" && method == Method::GET {
            return json(format!("{}\n", self.alerts.text()));
        }
        if path == "/probes" && method == Method::GET {
            return json(format!("{}\n", self.probes.text()));
        }
        plain(StatusCode::NOT_FOUND, "Not Found\n")
    }

    /// An answer to a request for readiness, which is counted.
    fn counted(&self, answer: Response<Bytes>) -> Response<Bytes> {
        readiness::answered(self.log.segment().header(), self.log.slot(), answer.status().as_u16());
        answer
    }

    fn status(&self) -> serde_json::Value {
        status::to_json(self.log.segment(), &self.name, &self.version)
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    response
}

fn json(text: String) -> Response<Bytes> {
    typed(text, "application/json")
}

fn typed(text: String, kind: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Serves on an inherited listener until the runtime ends.
///
/// # Errors
/// When the descriptor is not a listening socket.
pub(crate) fn listen(fd: OwnedFd, admin: Arc<Admin>) -> io::Result<()> {
    rustix::io::ioctl_fionbio(&fd, true)?;
    let address = rustix::net::getsockname(&fd)?;
    if address.address_family() == rustix::net::AddressFamily::UNIX {
        let listener = UnixListener::from_std(fd.into())?;
        tokio::spawn(async move {
            loop {
                let accepted = listener.accept().await;
                serve(accepted.map(|(stream, _)| TokioIo::new(stream)), &admin).await;
            }
        });
    } else {
        let listener = TcpListener::from_std(fd.into())?;
        tokio::spawn(async move {
            loop {
                let accepted = listener.accept().await;
                serve(accepted.map(|(stream, _)| TokioIo::new(stream)), &admin).await;
            }
        });
    }
    Ok(())
}

async fn serve<I>(accepted: io::Result<I>, admin: &Arc<Admin>)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let Ok(stream) = accepted else {
        // Out of descriptors, most likely; a moment gives some back.
        let never = std::future::pending::<()>();
        return drop(tokio::time::timeout(Duration::from_millis(100), never).await);
    };
    let admin = Arc::clone(admin);
    tokio::spawn(async move {
        let Ok(_place) = admin.places.try_acquire() else { return };
        let service = service_fn(|request: Request<Incoming>| async {
            Ok::<_, Infallible>(admin.respond(request).await.map(Whole))
        });
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(HEADER).half_close(true);
        // A client that breaks off has its reasons.
        server.serve_connection(stream, service).await.ok();
    });
}

/// A body that is there at once.
struct Whole(Bytes);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = std::mem::take(&mut self.0);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}
