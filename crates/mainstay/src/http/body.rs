//! Bodies: what the application reads, and what the layers answer.

use super::watched::{BodyWait, Watched};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

/// The body of a request, as the application gets it.
///
/// A client that sends nothing for longer than `http.body_timeout` while the application waits for
/// more, and one that sends more than `http.max_body`, makes reading it fail.
pub struct Body {
    inner: Inner,
}

enum Inner {
    Full(Option<Bytes>),
    Incoming { body: hyper::body::Incoming, conn: Arc<Watched>, wait: Arc<BodyWait> },
    Foreign { body: Mutex<Foreign>, conn: Arc<Watched>, wait: Arc<BodyWait> },
}

/// A body of somebody else's server. Within a lock that is never waited for, so that all bodies are `Sync`.
type Foreign = Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError> + Send>>;

/// Any error of reading a body; boxed, because its source is nobody's contract.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Body {
    #[inline]
    pub(crate) fn incoming(body: hyper::body::Incoming, conn: &Arc<Watched>) -> Body {
        if body.is_end_stream() {
            return Body { inner: Inner::Full(None) };
        }
        let wait = conn.watch_body();
        Body { inner: Inner::Incoming { body, conn: Arc::clone(conn), wait } }
    }

    /// A body that somebody else's server reads.
    pub(crate) fn foreign<B>(body: B, conn: &Arc<Watched>) -> Body
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        if body.is_end_stream() {
            return Body { inner: Inner::Full(None) };
        }
        let body = Mutex::new(Box::pin(Errors { body }) as Foreign);
        Body { inner: Inner::Foreign { body, conn: Arc::clone(conn), wait: conn.watch_body() } }
    }

    /// The watch of a body that is still coming.
    pub(crate) fn wait(&self) -> Option<Arc<BodyWait>> {
        match &self.inner {
            Inner::Full(_) => None,
            Inner::Incoming { wait, .. } | Inner::Foreign { wait, .. } => Some(Arc::clone(wait)),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body { inner: Inner::Full(Some(bytes).filter(|bytes| !bytes.is_empty())) }
    }
}

impl Default for Body {
    fn default() -> Body {
        Body { inner: Inner::Full(None) }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("size", &self.size_hint()).finish_non_exhaustive()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().inner {
            Inner::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Inner::Incoming { body, conn, wait } => {
                if wait.is_expired() {
                    return Poll::Ready(Some(Err(Box::new(BodyTimeout))));
                }
                passed(Pin::new(body).poll_frame(cx), conn, wait, cx)
            }
            Inner::Foreign { body, conn, wait } => {
                if wait.is_expired() {
                    return Poll::Ready(Some(Err(Box::new(BodyTimeout))));
                }
                let body = body.get_mut().unwrap_or_else(PoisonError::into_inner);
                passed(body.as_mut().poll_frame(cx), conn, wait, cx)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Full(bytes) => bytes.is_none(),
            Inner::Incoming { body, .. } => body.is_end_stream(),
            Inner::Foreign { body, .. } => lock(body).is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Inner::Incoming { body, .. } => body.size_hint(),
            Inner::Foreign { body, .. } => lock(body).size_hint(),
        }
    }
}

fn lock(body: &Mutex<Foreign>) -> MutexGuard<'_, Foreign> {
    body.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes that a frame has come, or is waited for, and counts it.
#[inline]
fn passed<E: Into<BoxError>>(
    polled: Poll<Option<Result<Frame<Bytes>, E>>>,
    conn: &Watched,
    wait: &BodyWait,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
    let Poll::Ready(frame) = polled else {
        wait.awaited(conn.recorder().coarse(), cx.waker());
        return Poll::Pending;
    };
    wait.moved();
    if let Some(Ok(frame)) = &frame
        && let Some(data) = frame.data_ref()
    {
        let (received, most) = (wait.count(data.len()), conn.recorder().book().max_body);
        if most != 0 && received > most {
            wait.exceed();
            return Poll::Ready(Some(Err(Box::new(BodyTooLarge))));
        }
    }
    Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
}

pin_project_lite::pin_project! {
    /// A body whose errors are boxed.
    struct Errors<B> { #[pin] body: B }
}

impl<B> HttpBody for Errors<B>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.project().body.poll_frame(cx).map(|it| it.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        // Whoever waited for this body waits no more.
        if let Inner::Incoming { wait, .. } | Inner::Foreign { wait, .. } = &self.inner {
            wait.moved();
        }
    }
}

/// The client stopped sending in the middle of its request.
#[derive(Debug)]
struct BodyTimeout;

impl fmt::Display for BodyTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client sent nothing for longer than http.body_timeout")
    }
}

impl std::error::Error for BodyTimeout {}

/// The request's body is larger than `http.max_body`.
#[derive(Debug)]
struct BodyTooLarge;

impl fmt::Display for BodyTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request's body is larger than http.max_body")
    }
}

impl std::error::Error for BodyTooLarge {}

pin_project_lite::pin_project! {
    /// An answer's body: the application's own, or a few bytes of a layer.
    #[project = AnswerProjection]
    #[derive(Debug)]
    pub(crate) enum Answer<B> {
        App { #[pin] body: B },
        Layer { bytes: Option<Bytes> },
    }
}

impl<B> Answer<B> {
    /// A layer's own bytes.
    pub(crate) fn layer(bytes: Bytes) -> Answer<B> {
        Answer::Layer { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()) }
    }
}

impl<B> HttpBody for Answer<B>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project() {
            AnswerProjection::App { body } => {
                let frame = ready!(body.poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            AnswerProjection::Layer { bytes } => {
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Answer::App { body } => body.is_end_stream(),
            Answer::Layer { bytes } => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::App { body } => body.size_hint(),
            Answer::Layer { bytes } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
        }
    }
}
