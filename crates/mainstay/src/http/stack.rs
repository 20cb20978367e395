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
use super::detached;
use super::ending::{self, Ending};
use super::errors::Stage;
use super::guard::{self, Guarded};
use super::limit::lookout::Lookout;
use super::limit::{Admitted, Asked, Entered, Limiter, Waiting};
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
use tokio::task::JoinHandle;
use tower_service::Service;

/// What the layers of all connections share.
pub(crate) struct Layers {
    /// Where the probes are.
    pub(crate) paths: Arc<Paths>,
    /// How errors look.
    pub(crate) stage: Arc<Stage>,
    /// How often clients may come.
    pub(crate) limiter: Arc<Limiter>,
    /// Who looks at what they are answered.
    pub(crate) lookout: Arc<Lookout>,
    /// Told when somebody asks whether the service is ready.
    pub(crate) asked: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Layers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layers").field("paths", &self.paths).finish_non_exhaustive()
    }
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
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes, Error: Into<super::body::BoxError>> + Send + 'static,
{
    type Response = Response<RecordBody<Answer<B>>>;
    type Error = Infallible;
    type Future = StackFuture<S, S::Future, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The application's readiness is awaited per request, inside the guard.
        Poll::Ready(Ok(()))
    }

    /// The way in.
    #[inline(always)]
    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // Who, under which id, and the record: sees all; its end is the last thing to run.
        let mut ticket = Ticket::begin(&mut request, &self.conn);
        let log = self.conn.recorder().log();
        let mut admitted = Admitted::default();
        // Answers before anything can refuse.
        let inner = if let Some(answer) = probes::answer(log, &self.layers, &request) {
            ticket.is_probe();
            Inner::Probe { answer: Some(answer) }
        } else {
            // Who is banned, or came too often.
            match self.layers.limiter.enter(&asked(&mut ticket, &request)) {
                Entered::Admitted(met, held) => {
                    admitted = met;
                    ticket.hold(held);
                    begin(&mut self.app, &mut ticket, request)
                }
                Entered::Refused(answer) => {
                    let answer = deadline::left_unread(*answer, &self.conn, &request);
                    Inner::Limited { answer: Some(answer) }
                }
                Entered::Waits(waiting, held) => {
                    ticket.hold(held);
                    let app = self.app.clone();
                    Inner::Waits { waits: Some(Box::new(Waits { waiting, app, request })) }
                }
            }
        };
        StackFuture { inner, ticket: Some(ticket), layers: Arc::clone(&self.layers), admitted }
    }
}

/// What limits look at.
#[inline(always)]
fn asked<'a>(ticket: &'a mut Ticket, request: &'a Request<Body>) -> Asked<'a> {
    let (conn, context) = ticket.parts();
    let (context, now) = (context.as_deref(), conn.recorder().coarse());
    Asked {
        context,
        client: context.map_or(conn.peer().map(|it| it.ip()), |context| context.client),
        method: request.method(),
        path: request.uri().path(),
        headers: request.headers(),
        now,
        wall: conn.recorder().wall(now),
    }
}

/// What comes behind the limits.
#[inline(always)]
fn begin<S, B>(app: &mut S, ticket: &mut Ticket, request: Request<Body>) -> Inner<S, S::Future, B>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    let (conn, _) = ticket.parts();
    // Refusals, limits of bodies and of time.
    if let Some(why) = deadline::refusal(conn, &request) {
        return Inner::Refused { why };
    }
    let held = Held::begin(conn, &request);
    let limit = conn.recorder().book().detach;
    let limit = limit.filter(|_| detached::is_unsafe(request.method()));
    // A panic is a 500, not a lost connection.
    let app = ticket.within(|| guard::call(app, request));
    match limit {
        None => Inner::App { app, held, ending: None },
        // Goes on when the client leaves.
        Some(limit) => Inner::Task { task: detached::detach(app, held, limit, ticket) },
    }
}

/// A request of which the store of limits is asked.
struct Waits<S> {
    waiting: Box<Waiting>,
    app: S,
    request: Request<Body>,
}

/// What comes when the store has answered.
#[cold]
#[inline(never)]
fn wait<S, B>(
    waits: &mut Option<Box<Waits<S>>>,
    ticket: &mut Ticket,
    limiter: &Limiter,
    admitted: &mut Admitted,
    cx: &mut Context<'_>,
) -> Poll<Inner<S, S::Future, B>>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    let waiting = waits.as_mut().expect("a future is not polled after it is done");
    let reply = ready!(waiting.waiting.poll(cx));
    let Waits { waiting, mut app, request } = *waits.take().expect("looked at above");
    Poll::Ready(match limiter.settle(&asked(ticket, &request), &waiting, reply) {
        Ok(met) => {
            *admitted = met;
            begin(&mut app, ticket, request)
        }
        Err(answer) => {
            // Who is refused holds nothing.
            ticket.let_go();
            let answer = deadline::left_unread(*answer, ticket.parts().0, &request);
            Inner::Limited { answer: Some(answer) }
        }
    })
}

pin_project! {
    /// One request under all layers. What runs within is part of the request: its log records say so.
    pub(crate) struct StackFuture<S, F, B> {
        #[pin]
        inner: Inner<S, F, B>,
        // Dropped after the application's future: the request ends when all of it has.
        ticket: Option<Ticket>,
        layers: Arc<Layers>,
        // What its limits said.
        admitted: Admitted,
    }
}

pin_project! {
    #[project = InnerProjection]
    enum Inner<S, F, B> {
        App { #[pin] app: Guarded<S, F>, held: Held, ending: Option<Box<Ending<B>>> },
        Task { task: JoinHandle<Response<Answer<B>>> },
        Refused { why: deadline::Why },
        Limited { answer: Option<Response<Bytes>> },
        Waits { waits: Option<Box<Waits<S>>> },
        Probe { answer: Option<Response<Bytes>> },
    }
}

impl<S, B> Future for StackFuture<S, S::Future, B>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes, Error: Into<super::body::BoxError>> + Send + 'static,
{
    type Output = Result<Response<RecordBody<Answer<B>>>, Infallible>;

    /// The way out.
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let ticket = this.ticket.as_mut().expect("a future is not polled after it is done");
        if let InnerProjection::Waits { waits } = this.inner.as_mut().project() {
            let limiter = &this.layers.limiter;
            let next = ready!(wait(waits, ticket, limiter, this.admitted, cx));
            this.inner.set(next);
        }
        let (conn, context) = ticket.parts();
        let mut held = Vec::new();
        let answered = current::within(context, || {
            let response = match this.inner.project() {
                // What was begun is ended before the answer is one.
                InnerProjection::App { ending: Some(ending), .. } => ending.poll(cx),
                InnerProjection::App { app, held, ending } => {
                    let response = ready!(held.settle(app.poll(cx), conn, cx));
                    match ending::begin(response) {
                        Ok(response) => Poll::Ready(response),
                        Err(waits) => ending.insert(waits).poll(cx),
                    }
                }
                InnerProjection::Task { task } => Pin::new(task).poll(cx).map(detached::answer),
                InnerProjection::Limited { answer } => {
                    let answer = answer.take().expect("a future is not polled after it is done");
                    Poll::Ready(answer.map(Answer::layer))
                }
                InnerProjection::Refused { why } => Poll::Ready(deadline::refused(*why)),
                InnerProjection::Waits { .. } => unreachable!("it was waited for above"),
                InnerProjection::Probe { answer } => {
                    let answer = answer.take().expect("a future is not polled after it is done");
                    return Poll::Ready(answer.map(Answer::layer));
                }
            };
            response.map(|mut response| {
                let limiter = &this.layers.limiter;
                let noted = limiter.answered(this.admitted, conn.recorder(), &mut response);
                if let Some(mut noted) = noted {
                    let is_head = || current::current().is_some_and(|it| &*it.method == "HEAD");
                    if noted.body.is_some() {
                        noted.put(is_head(), &mut response);
                    }
                    held = noted.held;
                }
                // Every error that nobody shaped gets its form.
                this.layers.stage.pass(&mut response);
                response
            })
        });
        let response = ready!(answered);
        let mut ticket = this.ticket.take().expect("looked at above");
        ticket.hold(held);
        this.layers.lookout.see(&response, &mut ticket);
        Poll::Ready(Ok(record::answered(response, ticket)))
    }
}
