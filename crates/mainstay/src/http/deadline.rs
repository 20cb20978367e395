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
use std::sync::Arc;
use std::task::{Context, Poll};

/// Status and reason of a refusal.
pub(crate) type Why = (u16, &'static str);

const TOO_LARGE: Why = (413, "body_too_large");
const BODY_LATE: Why = (408, "body_timeout");
pub(super) const ANSWER_LATE: Why = (504, "request_timeout");

/// Why a request is not even begun.
#[inline(always)]
pub(crate) fn refusal(conn: &Watched, request: &Request<Body>) -> Option<Why> {
    if let Some(refusal) = conn.take_refusal() {
        return Some((refusal.status, refusal.reason));
    }
    let most = conn.recorder().book().max_body;
    (most != 0 && request.body().size_hint().lower() > most).then_some(TOO_LARGE)
}

/// What a request that has begun is held to.
#[derive(Debug)]
pub(crate) struct Held {
    body: Option<Arc<BodyWait>>,
    answer: Option<Arc<AnswerWait>>,
}

impl Held {
    /// From now on the application is to answer.
    #[inline(always)]
    pub(crate) fn begin(conn: &Watched, request: &Request<Body>) -> Held {
        Held { body: request.body().wait(), answer: conn.asks() }
    }

    /// Looks whether the answer comes in time, and when it is there, whether the request ever was.
    #[inline(always)]
    pub(crate) fn settle<B>(
        &self,
        polled: Poll<Response<Answer<B>>>,
        conn: &Watched,
        cx: &Context<'_>,
    ) -> Poll<Response<Answer<B>>> {
        let Poll::Ready(response) = polled else {
            let overdue = match &self.answer {
                Some(answer) => answer.is_overdue(cx.waker()),
                None => conn.is_overdue(),
            };
            if !overdue {
                return Poll::Pending;
            }
            conn.answers();
            return Poll::Ready(refused(ANSWER_LATE));
        };
        conn.answers();
        Poll::Ready(self.judge(response, conn))
    }

    /// The answer, or a refusal when the request's body turned out to be none.
    #[inline(always)]
    pub(crate) fn judge<B>(
        &self,
        response: Response<Answer<B>>,
        conn: &Watched,
    ) -> Response<Answer<B>> {
        let Some(body) = &self.body else { return response };
        let why = if body.is_too_large() {
            Some(TOO_LARGE)
        } else if let Some(fault) = conn.body_fault() {
            Some(fault)
        } else {
            body.is_expired().then_some(BODY_LATE)
        };
        why.map_or(response, refused)
    }
}

/// The answer to a request whose body nobody reads, or whose head was none: where the next one would
/// begin is not known.
#[cold]
pub(crate) fn left_unread<B>(
    mut answer: Response<B>,
    conn: &Watched,
    request: &Request<Body>,
) -> Response<B> {
    // A head that was refused is not refused again with the next request.
    if conn.take_refusal().is_some() || !request.body().is_end_stream() {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// The answer to a request that is refused; the error stage gives it its form.
#[cold]
pub(crate) fn refused<B>((status, reason): Why) -> Response<Answer<B>> {
    let mut response = Response::new(Answer::Layer { bytes: None });
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    response.extensions_mut().insert(Reason(reason));
    // Where the next request would begin is not known, or not worth waiting for. An application
    // that is late has the connection to itself, too: what it still does is nobody's answer.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
