//! Refuses what is not to be served, and holds the rest to its limits: a request that was refused
//! already is answered so; a body that never comes is a 408, one that is too large a 413, one that is
//! no body a 400; an application that does not answer a 504, never a silent end.

use super::Body;
use super::body::Answer;
use super::record::Reason;
use super::watched::{AnswerWait, BodyWait, Watched};
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

/// The layer around `inner`, for one connection.
#[derive(Clone, Debug)]
pub(crate) struct Deadline<S> {
    inner: S,
    conn: Arc<Watched>,
}

impl<S> Deadline<S> {
    pub(crate) fn new(inner: S, conn: Arc<Watched>) -> Deadline<S> {
        Deadline { inner, conn }
    }

    /// Why the request is not even begun.
    #[inline(always)]
    fn refusal(&self, request: &Request<Body>) -> Option<(u16, &'static str)> {
        if let Some(refusal) = self.conn.take_refusal() {
            return Some((refusal.status, refusal.reason));
        }
        let most = self.conn.recorder().book().max_body;
        (most != 0 && request.body().size_hint().lower() > most).then_some(TOO_LARGE)
    }
}

const TOO_LARGE: (u16, &str) = (413, "body_too_large");
const BODY_LATE: (u16, &str) = (408, "body_timeout");
const ANSWER_LATE: (u16, &str) = (504, "request_timeout");

impl<S, B> Service<Request<Body>> for Deadline<S>
where
    S: Service<Request<Body>, Response = Response<Answer<B>>, Error = Infallible>,
{
    type Response = Response<Answer<B>>;
    type Error = Infallible;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Some(why) = self.refusal(&request) {
            return DeadlineFuture::Refused { why };
        }
        let (body, answer) = (request.body().wait(), self.conn.asks());
        let conn = Arc::clone(&self.conn);
        DeadlineFuture::Running { future: self.inner.call(request), body, answer, conn }
    }
}

pin_project! {
    /// Looks whether the answer comes in time, and when it is there, whether the request ever was.
    #[project = DeadlineProjection]
    pub(crate) enum DeadlineFuture<F> {
        Running {
            #[pin]
            future: F,
            body: Option<Arc<BodyWait>>,
            answer: Option<Arc<AnswerWait>>,
            conn: Arc<Watched>,
        },
        Refused { why: (u16, &'static str) },
    }
}

impl<F, B> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<Answer<B>>, Infallible>>,
{
    type Output = F::Output;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (future, body, answer, conn) = match self.project() {
            DeadlineProjection::Running { future, body, answer, conn } => {
                (future, body, answer, conn)
            }
            DeadlineProjection::Refused { why } => return Poll::Ready(Ok(refused(*why))),
        };
        let Poll::Ready(Ok(response)) = future.poll(cx) else {
            let overdue = match answer {
                Some(answer) => answer.is_overdue(cx.waker()),
                None => conn.is_overdue(),
            };
            if !overdue {
                return Poll::Pending;
            }
            conn.answers();
            return Poll::Ready(Ok(refused(ANSWER_LATE)));
        };
        conn.answers();
        let Some(body) = body else { return Poll::Ready(Ok(response)) };
        let why = if body.is_too_large() {
            Some(TOO_LARGE)
        } else if let Some(fault) = conn.body_fault() {
            Some(fault)
        } else {
            body.is_expired().then_some(BODY_LATE)
        };
        Poll::Ready(Ok(why.map_or(response, refused)))
    }
}

/// The answer to a request that is refused; the error stage gives it its form.
#[cold]
fn refused<B>((status, reason): (u16, &'static str)) -> Response<Answer<B>> {
    let mut response = Response::new(Answer::Layer { bytes: None });
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    response.extensions_mut().insert(Reason(reason));
    // Where the next request would begin is not known, or not worth waiting for. An application
    // that is late has the connection to itself, too: what it still does is nobody's answer.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
