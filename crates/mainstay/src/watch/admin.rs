//! What the admin listener answers: the probes, from the segment, so that they never queue behind a stuck
//! application and still tell the truth about it; the metrics; and status, alerts and probes as JSON.

use super::alerts::Shown;
use super::detail::Question;
#[cfg(feature = "sqlite")]
use super::history::{self, Door};
use super::probes::Board;
use super::scrapes::Scrapes;
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
use hyper::body::Incoming;
use std::sync::Arc;

/// What the answers are made from.
#[derive(Debug)]
pub(crate) struct Admin {
    log: Log,
    name: String,
    version: String,
    live: String,
    ready: String,
    scrapes: Scrapes,
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
        (scrapes, alerts, probes): (Scrapes, Arc<Shown>, Arc<Board>),
    ) -> Admin {
        let (live, ready) = (config.health.live_path.clone(), config.health.ready_path.clone());
        Admin {
            log,
            name,
            version,
            live,
            ready,
            scrapes,
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

    /// A thread has ended by itself, which only a fault in it does.
    pub(crate) fn has_failed(&self) -> bool {
        self.scrapes.has_failed()
    }

    /// The answer.
    pub(crate) async fn respond(&self, request: Request<Incoming>) -> Response<Bytes> {
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
        if request.uri().path() == "/metrics"
            && matches!(*request.method(), Method::GET | Method::HEAD)
        {
            return self.scrapes.answer(request.headers()).await;
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
