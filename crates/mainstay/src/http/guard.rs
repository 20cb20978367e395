//! Keeps a panic of the application inside its request: the client gets a 500, the worker lives.
//! What the panic said travels with the answer to the record, which knows the request.

use super::Body;
use super::body::Answer;
use crate::panics::{self, Panic};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tower_service::Service;

/// What a panic said, in the extensions of the answer that replaces it.
#[derive(Clone, Debug)]
pub(crate) struct Panicked(pub(crate) Panic);

/// Calls the application.
#[inline(always)]
pub(crate) fn call<S>(app: &mut S, request: Request<Body>) -> Guarded<S, S::Future>
where
    S: Service<Request<Body>, Error = Infallible> + Clone,
{
    // Most applications are always ready; those are called without a detour, because moving
    // requests about is what layers cost.
    let called = panics::caught(|| match app.poll_ready(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(())) => Guarded::Running { future: app.call(request) },
        Poll::Ready(Err(impossible)) => match impossible {},
        Poll::Pending => Guarded::Waiting { call: Some(Box::new((app.clone(), request))) },
    });
    called.unwrap_or_else(|panic| Guarded::Panicked { panic: Some(panic) })
}

pin_project! {
    /// Waits for the application if it is not ready, then for its answer.
    #[project = GuardedProjection]
    pub(crate) enum Guarded<S, F> {
        Running { #[pin] future: F },
        Waiting { call: Option<Box<(S, Request<Body>)>> },
        Panicked { panic: Option<Panic> },
    }
}

impl<S, B> Future for Guarded<S, S::Future>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
{
    type Output = Response<Answer<B>>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // After a panic the state is dropped with the request and never polled again.
        // By reference: what the catcher gives back by value is moved more often.
        let mut polled = Poll::Pending;
        match (panics::caught(|| polled = step(self.as_mut(), cx)), polled) {
            (Ok(()), Poll::Pending) => Poll::Pending,
            (Ok(()), Poll::Ready(Ok(response))) => {
                Poll::Ready(response.map(|body| Answer::App { body }))
            }
            (Ok(()), Poll::Ready(Err(panic))) | (Err(panic), _) => {
                Poll::Ready(internal_error(panic))
            }
        }
    }
}

fn step<S>(
    mut state: Pin<&mut Guarded<S, S::Future>>,
    cx: &mut Context<'_>,
) -> Poll<Result<S::Response, Panic>>
where
    S: Service<Request<Body>, Error = Infallible>,
{
    loop {
        let future = match state.as_mut().project() {
            GuardedProjection::Running { future } => {
                return future.poll(cx).map(|answered| match answered {
                    Ok(response) => Ok(response),
                    Err(impossible) => match impossible {},
                });
            }
            GuardedProjection::Panicked { panic } => {
                return Poll::Ready(Err(panic.take().expect("a panic is answered once")));
            }
            GuardedProjection::Waiting { call } => {
                let (app, _) = &mut **call.as_mut().expect("an application is called once");
                match app.poll_ready(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(impossible)) => match impossible {},
                }
                let (mut app, request) = *call.take().expect("looked at above");
                app.call(request)
            }
        };
        state.set(Guarded::Running { future });
    }
}

fn internal_error<B>(panic: Panic) -> Response<Answer<B>> {
    let mut response = Response::new(Answer::layer(Bytes::from_static(b"Internal Server Error\n")));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response.extensions_mut().insert(Panicked(panic));
    response
}
