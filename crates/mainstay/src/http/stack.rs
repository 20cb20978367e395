//! THE order of layers, as one function in and one function out. A request passes them from the first
//! to the last, its answer back from the last to the first.
//!
//! Layers are plain functions, and what they keep of a request stands side by side in one future: a
//! layer that wraps the next one's future moves all of it at its boundary (measured: 45 to 65
//! instructions each).

use super::Body;
use super::body::Answer;
use super::context::current;
use super::deadline::{self, Held};
use super::errors::Stage;
use super::guard::{self, Guarded};
use super::probes::{self, Paths};
use super::record::{self, RecordBody, Ticket};
use super::watched::Watched;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower_service::Service;

/// What the layers of all connections share.
#[derive(Debug)]
pub(crate) struct Layers {
    /// Where the probes are.
    pub(crate) paths: Arc<Paths>,
    /// How errors look.
    pub(crate) stage: Arc<Stage>,
}

/// The application under all layers, for one connection.
#[derive(Clone, Debug)]
pub(crate) struct Stack<S> {
    app: S,
    conn: Arc<Watched>,
    layers: Arc<Layers>,
}

impl<S> Stack<S> {
    pub(crate) fn new(app: S, conn: Arc<Watched>, layers: Arc<Layers>) -> Stack<S> {
        Stack { app, conn, layers }
    }
}

impl<S, B> Service<Request<Body>> for Stack<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
    B: HttpBody<Data = Bytes, Error: Into<super::body::BoxError>>,
{
    type Response = Response<RecordBody<Answer<B>>>;
    type Error = Infallible;
    type Future = StackFuture<S, S::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The application's readiness is awaited per request, inside the guard.
        Poll::Ready(Ok(()))
    }

    /// The way in.
    #[inline(always)]
    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // Who, under which id, and the record: sees all; its end is the last thing to run.
        let mut ticket = Ticket::begin(&mut request, &self.conn);
        let (log, paths) = (self.conn.recorder().log(), &self.layers.paths);
        // Answers before anything can refuse.
        let inner = if let Some(answer) = probes::answer(log, paths, &request) {
            Inner::Probe { answer: Some(answer) }
        // Refusals, limits of bodies and of time.
        } else if let Some(why) = deadline::refusal(&self.conn, &request) {
            Inner::Refused { why }
        } else {
            let held = Held::begin(&self.conn, &request);
            // A panic is a 500, not a lost connection.
            let app = ticket.within(|| guard::call(&mut self.app, request));
            Inner::App { app, held }
        };
        StackFuture { inner, ticket: Some(ticket), layers: Arc::clone(&self.layers) }
    }
}

pin_project! {
    /// One request under all layers. What runs within is part of the request: its log records say so.
    pub(crate) struct StackFuture<S, F> {
        #[pin]
        inner: Inner<S, F>,
        // Dropped after the application's future: the request ends when all of it has.
        ticket: Option<Ticket>,
        layers: Arc<Layers>,
    }
}

pin_project! {
    #[project = InnerProjection]
    enum Inner<S, F> {
        App { #[pin] app: Guarded<S, F>, held: Held },
        Refused { why: deadline::Why },
        Probe { answer: Option<Response<Bytes>> },
    }
}

impl<S, B> Future for StackFuture<S, S::Future>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    B: HttpBody<Data = Bytes, Error: Into<super::body::BoxError>>,
{
    type Output = Result<Response<RecordBody<Answer<B>>>, Infallible>;

    /// The way out.
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let ticket = this.ticket.as_mut().expect("a future is not polled after it is done");
        let (conn, context) = ticket.parts();
        let answered = current::within(context, || {
            let response = match this.inner.project() {
                InnerProjection::App { app, held } => held.settle(app.poll(cx), conn, cx),
                InnerProjection::Refused { why } => Poll::Ready(deadline::refused(*why)),
                InnerProjection::Probe { answer } => {
                    let answer = answer.take().expect("a future is not polled after it is done");
                    return Poll::Ready(answer.map(Answer::layer));
                }
            };
            // Every error that nobody shaped gets its form.
            response.map(|response| this.layers.stage.pass(response))
        });
        let response = ready!(answered);
        let ticket = this.ticket.take().expect("looked at above");
        Poll::Ready(Ok(record::answered(response, ticket)))
    }
}
