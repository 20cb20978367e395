//! The error stage: every answer of 400 or more that the application did not shape becomes a page
//! or a problem, as the client accepts, and every failure is one line of the log.
//!
//! *Shaped* is what has a content type other than `text/plain`, or carries [`AsIs`]. Plain text is
//! what frameworks make of refusals and of bare strings; it names types and fields of the program,
//! so it goes to the log and never to the client. Whoever has something to tell says it with
//! [`Failure`] or shapes it.
//!
//! A good answer costs what [`Asked`] keeps of the request: nothing of it is made, all of it is
//! shared.

mod failure;
mod negotiate;
mod page;
mod problem;
mod shape;
#[cfg(feature = "axum")]
#[cfg(test)]
mod tests;
mod words;

pub use failure::{AsIs, Failure};
pub(crate) use page::Pages;

use super::Body;
use super::body::{Answer, BoxError};
use super::context::RequestContext;
use crate::log::Log;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower_service::Service;

/// What all connections' error stages share.
pub(crate) struct Stage {
    pages: Pages,
    service: String,
    log: Log,
    error_id: Box<dyn Fn() -> String + Send + Sync>,
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").field("pages", &self.pages).finish_non_exhaustive()
    }
}

impl Stage {
    /// A stage for the service of this name; `error_id` makes the name of an error, a UUIDv7.
    pub(crate) fn new(
        pages: Pages,
        service: impl Into<String>,
        log: Log,
        error_id: impl Fn() -> String + Send + Sync + 'static,
    ) -> Arc<Stage> {
        Arc::new(Stage { pages, service: service.into(), log, error_id: Box::new(error_id) })
    }
}

/// The name of the error that an answer tells, in its extensions: for the record.
#[derive(Clone, Debug)]
pub(crate) struct ErrorId(pub(crate) String);

/// What is kept of a request in case that it fails: all of it shared, none of it made.
#[derive(Debug)]
struct Asked {
    context: Option<RequestContext>,
}

impl Asked {
    #[inline(always)]
    fn of(request: &Request<Body>) -> Asked {
        Asked { context: RequestContext::of(request.extensions()).cloned() }
    }

    fn method(&self) -> &str {
        self.context.as_ref().map_or("?", |context| context.method())
    }

    /// Without the query, which may hold what no log should.
    fn path(&self) -> &str {
        self.context.as_ref().map_or("?", |context| context.path())
    }

    fn accept(&self) -> Option<&[u8]> {
        let accept = self.context.as_ref()?.context().accept.as_bytes();
        (!accept.is_empty()).then_some(accept)
    }
}

/// The layer around `inner`.
#[derive(Clone, Debug)]
pub(crate) struct ErrorPages<S> {
    inner: S,
    stage: Arc<Stage>,
}

impl<S> ErrorPages<S> {
    pub(crate) fn new(inner: S, stage: Arc<Stage>) -> ErrorPages<S> {
        ErrorPages { inner, stage }
    }
}

impl<S, B> Service<Request<Body>> for ErrorPages<S>
where
    S: Service<Request<Body>, Response = Response<Answer<B>>, Error = Infallible>,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
{
    type Response = Response<Answer<B>>;
    type Error = Infallible;
    type Future = ErrorPagesFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (asked, stage) = (Asked::of(&request), Arc::clone(&self.stage));
        ErrorPagesFuture { future: self.inner.call(request), asked, stage }
    }
}

pin_project! {
    /// Looks at the status of the answer.
    pub(crate) struct ErrorPagesFuture<F> {
        #[pin]
        future: F,
        asked: Asked,
        stage: Arc<Stage>,
    }
}

impl<F, B> Future for ErrorPagesFuture<F>
where
    F: Future<Output = Result<Response<Answer<B>>, Infallible>>,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
{
    type Output = F::Output;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = ready!(this.future.poll(cx));
        if response.status().as_u16() < 400 {
            return Poll::Ready(Ok(response));
        }
        Poll::Ready(Ok(this.stage.shape(this.asked, response)))
    }
}
