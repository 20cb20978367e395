//! Keeps a panic of the application inside its request: the client gets a 500, the log gets the
//! message and the place, the worker lives.

use super::Body;
use super::body::Answer;
use crate::event::Event;
use crate::log::Log;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use pin_project_lite::pin_project;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use tower_service::Service;

/// The layer around the application.
#[derive(Clone, Debug)]
pub(crate) struct Guard<S> {
    app: S,
    log: Log,
}

impl<S> Guard<S> {
    pub(crate) fn new(app: S, log: Log) -> Guard<S> {
        Guard { app, log }
    }
}

impl<S, B> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
{
    type Response = Response<Answer<B>>;
    type Error = Infallible;
    type Future = GuardFuture<S, S::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The application's readiness is awaited per request, inside the guard.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = request.method().clone();
        let uri = request.uri().clone();
        let log = self.log.clone();
        let state = State::Waiting { app: self.app.clone(), request: Some(request) };
        GuardFuture { state, facts: Facts { method, uri, log } }
    }
}

/// What is told of a request that panicked.
#[derive(Debug)]
struct Facts {
    method: Method,
    uri: Uri,
    log: Log,
}

pin_project! {
    /// Waits for the application, then for its answer.
    pub(crate) struct GuardFuture<S, F> {
        #[pin]
        state: State<S, F>,
        facts: Facts,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, F> {
        Waiting { app: S, request: Option<Request<Body>> },
        Running { #[pin] future: F },
    }
}

impl<S, B> Future for GuardFuture<S, S::Future>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
{
    type Output = Result<Response<Answer<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // After a panic the state is dropped with the request and never polled again.
        match catch_unwind(AssertUnwindSafe(|| step(this.state.as_mut(), cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(response))) => {
                Poll::Ready(Ok(response.map(|body| Answer::App { body })))
            }
            Ok(Poll::Ready(Err(impossible))) => match impossible {},
            Err(payload) => {
                this.facts.log.event(&Event::HandlerPanicked {
                    method: this.facts.method.to_string(),
                    path: this.facts.uri.path().to_owned(),
                    panic: crate::panics::describe(payload.as_ref()),
                });
                Poll::Ready(Ok(internal_error()))
            }
        }
    }
}

fn step<S>(
    mut state: Pin<&mut State<S, S::Future>>,
    cx: &mut Context<'_>,
) -> Poll<Result<S::Response, Infallible>>
where
    S: Service<Request<Body>, Error = Infallible>,
{
    loop {
        match state.as_mut().project() {
            StateProjection::Waiting { app, request } => {
                match app.poll_ready(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(impossible)) => match impossible {},
                }
                let request = request.take().expect("the application is called once");
                let future = app.call(request);
                state.set(State::Running { future });
            }
            StateProjection::Running { future } => return future.poll(cx),
        }
    }
}

fn internal_error<B>() -> Response<Answer<B>> {
    let mut response = Response::new(Answer::layer(Bytes::from_static(b"Internal Server Error\n")));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
