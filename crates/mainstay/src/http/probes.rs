//! Answers `/healthz` and `/readyz` from the segment, before anything that may refuse a request.

use super::Body;
use super::body::Answer;
use crate::health::State;
use crate::health::answer::{Probe, answer};
use crate::log::Log;
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower_service::Service;

/// Where the probes are.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(crate) live: String,
    pub(crate) ready: String,
}

impl Paths {
    /// Which probe is at `path`.
    pub(crate) fn probe(&self, path: &str) -> Option<Probe> {
        if path == self.live {
            Some(Probe::Live)
        } else if path == self.ready {
            Some(Probe::Ready)
        } else {
            None
        }
    }
}

/// The layer around `inner`.
#[derive(Clone, Debug)]
pub(crate) struct Probes<S> {
    inner: S,
    log: Log,
    paths: Arc<Paths>,
}

impl<S> Probes<S> {
    pub(crate) fn new(inner: S, log: Log, paths: Arc<Paths>) -> Probes<S> {
        Probes { inner, log, paths }
    }
}

impl<S, B> Service<Request<Body>> for Probes<S>
where
    S: Service<Request<Body>, Response = Response<Answer<B>>, Error = Infallible>,
{
    type Response = Response<Answer<B>>;
    type Error = Infallible;
    type Future = ProbesFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.paths.probe(request.uri().path()) {
            None => ProbesFuture::Inner { future: self.inner.call(request) },
            Some(probe) => {
                let state = State::from_word(self.log.segment().header().state());
                // A worker that answers makes progress.
                let answer = answer(probe, request.method(), state, true);
                ProbesFuture::Answered { answer: Some(answer) }
            }
        }
    }
}

pin_project! {
    /// Either the inner future or an answer that is there already.
    #[project = ProbesProjection]
    pub(crate) enum ProbesFuture<F> {
        Inner { #[pin] future: F },
        Answered { answer: Option<Response<bytes::Bytes>> },
    }
}

impl<F, B> Future for ProbesFuture<F>
where
    F: Future<Output = Result<Response<Answer<B>>, Infallible>>,
{
    type Output = F::Output;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            ProbesProjection::Inner { future } => Poll::Ready(ready!(future.poll(cx))),
            ProbesProjection::Answered { answer } => {
                let answer = answer.take().expect("a future is not polled after it is done");
                Poll::Ready(Ok(answer.map(Answer::layer)))
            }
        }
    }
}
