//! The facts as arguments of axum's handlers.

use super::facts::Fact;
use super::{ClientAddr, PeerAddr, RequestContext, RequestHost, RequestId, Scheme, TraceContext};
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use std::convert::Infallible;
use std::fmt;

/// A handler asked for a fact of its request that is not known, or the request is not served by
/// mainstay. Answered with 500: it is no fault of the client. `Option` of the fact never fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotKnown(&'static str);

impl fmt::Display for NotKnown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request's {} is not known", self.0)
    }
}

impl std::error::Error for NotKnown {}

impl IntoResponse for NotKnown {
    fn into_response(self) -> Response {
        // What is missing is for whoever builds the service, not for whoever asks it.
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for RequestContext {
    type Rejection = NotKnown;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<RequestContext, NotKnown> {
        RequestContext::of(&parts.extensions).cloned().ok_or(NotKnown("context"))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for RequestContext {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &S,
    ) -> Result<Option<RequestContext>, Infallible> {
        Ok(RequestContext::of(&parts.extensions).cloned())
    }
}

macro_rules! extracted {
    ($($type:ident)*) => {
        $(
            impl<S: Sync> FromRequestParts<S> for $type {
                type Rejection = NotKnown;

                async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<$type, NotKnown> {
                    $type::of(&parts.extensions).ok_or(NotKnown(<$type as Fact>::NAME))
                }
            }

            impl<S: Sync> OptionalFromRequestParts<S> for $type {
                type Rejection = Infallible;

                async fn from_request_parts(
                    parts: &mut Parts,
                    _: &S,
                ) -> Result<Option<$type>, Infallible> {
                    Ok($type::of(&parts.extensions))
                }
            }
        )*
    };
}

extracted! { ClientAddr PeerAddr RequestHost RequestId Scheme TraceContext }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::context::Context;
    use std::pin::pin;
    use std::task::{self, Poll, Waker};
    use tower_service::Service;

    async fn handler(client: ClientAddr, id: RequestId, peer: Option<PeerAddr>) -> String {
        format!("{client} {id} {}", peer.is_some())
    }

    fn status(context: Option<RequestContext>) -> StatusCode {
        let mut app = axum::Router::new().route("/", axum::routing::get(handler));
        let mut request = http::Request::new(axum::body::Body::empty());
        if let Some(context) = context {
            request.extensions_mut().insert(context);
        }
        let mut answer = pin!(app.call(request));
        let Poll::Ready(Ok(answer)) =
            answer.as_mut().poll(&mut task::Context::from_waker(Waker::noop()))
        else {
            panic!("nothing to wait for")
        };
        answer.status()
    }

    #[test]
    fn a_handler_takes_facts_as_arguments() {
        let context = Context::begin(|context| {
            context.client = Some([192, 0, 2, 1].into());
            context.id = RequestId::accept(b"abc").unwrap();
        });
        assert_eq!(status(Some(RequestContext::new(context))), StatusCode::OK);
        assert_eq!(status(None), StatusCode::INTERNAL_SERVER_ERROR);
        let without_client =
            Context::begin(|context| context.id = RequestId::accept(b"abc").unwrap());
        let answered = status(Some(RequestContext::new(without_client)));
        assert_eq!(answered, StatusCode::INTERNAL_SERVER_ERROR);
    }
}
