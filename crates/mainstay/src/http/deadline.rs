//! Turns whatever the application made of a body that stopped coming into a 408.

use super::Body;
use super::body::Answer;
use super::watched::BodyWait;
use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower_service::Service;

/// The layer around `inner`.
#[derive(Clone, Debug)]
pub(crate) struct Deadline<S> {
    inner: S,
}

impl<S> Deadline<S> {
    pub(crate) fn new(inner: S) -> Deadline<S> {
        Deadline { inner }
    }
}

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
        let wait = request.body().wait();
        DeadlineFuture { future: self.inner.call(request), wait }
    }
}

pin_project! {
    /// Looks, when the answer is there, whether the request ever was.
    pub(crate) struct DeadlineFuture<F> {
        #[pin]
        future: F,
        wait: Option<Arc<BodyWait>>,
    }
}

impl<F, B> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<Answer<B>>, Infallible>>,
{
    type Output = F::Output;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = ready!(this.future.poll(cx));
        if this.wait.as_ref().is_none_or(|wait| !wait.is_expired()) {
            return Poll::Ready(Ok(response));
        }
        let mut response = Response::new(Answer::layer(Bytes::from_static(b"Request Timeout\n")));
        *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        Poll::Ready(Ok(response))
    }
}
