//! The error stage: every answer of 400 or more that the application did not shape becomes a page
//! or a problem, as the client accepts, and every failure is one line of the log.
//!
//! *Shaped* is what has a content type other than `text/plain`, or carries [`AsIs`]. Plain text is
//! what frameworks make of refusals and of bare strings; it names types and fields of the program,
//! so it goes to the log and never to the client. Whoever has something to tell says it with
//! [`Failure`] or shapes it.
//!
//! A good answer costs a look at its status.

mod failure;
mod negotiate;
mod page;
mod problem;
pub(crate) mod report;
mod shape;
/// The guide's examples are compiled.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../../../../../docs/error-pages.md")]
struct Guide;

#[cfg(feature = "axum")]
#[cfg(test)]
mod tests;
mod words;

pub use failure::{AsIs, Failure};
pub(crate) use page::{OwnPage, Pages};

use super::body::{Answer, BoxError};
use super::context::RequestContext;
use crate::log::Log;
use bytes::Bytes;
use http::Response;
use http_body::Body as HttpBody;
use std::fmt;
use std::sync::Arc;

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

    /// Lets an answer pass, or gives it its form, if the request that is current here failed.
    #[inline(always)]
    pub(crate) fn pass<B>(&self, response: &mut Response<Answer<B>>)
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
    {
        // In its place: a good answer is not moved.
        if response.status().as_u16() >= 400 {
            let bare = std::mem::replace(response, Response::new(Answer::Layer { bytes: None }));
            *response = self.shape(&Asked { context: RequestContext::current() }, bare);
        }
    }
}

/// The name of the error that an answer tells, in its extensions: for the record.
#[derive(Clone, Debug)]
pub(crate) struct ErrorId(pub(crate) String);

/// What is known of the request that failed.
#[derive(Debug)]
struct Asked {
    context: Option<RequestContext>,
}

impl Asked {
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
