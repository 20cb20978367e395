//! Sessions as arguments of axum's handlers, and cookies as parts of their answers.

use super::{Login, Session, SignedIn, SignedOut, cookie};
use crate::Failure;
use crate::http::context::RequestContext;
use axum_core::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponseParts, ResponseParts};
use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use std::convert::Infallible;

async fn session_of<S>(parts: &Parts, state: &S) -> Result<Option<Session>, Failure>
where
    Login: FromRef<S>,
{
    let login = Login::from_ref(state);
    login.session(&parts.headers, RequestContext::of(&parts.extensions)).await
}

impl<S> FromRequestParts<S> for Session
where
    S: Send + Sync,
    Login: FromRef<S>,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Session, Failure> {
        let words = "You are not signed in, or you were signed out after a while.";
        let found = session_of(parts, state).await?;
        found.ok_or_else(|| Failure::new(StatusCode::UNAUTHORIZED, words))
    }
}

impl<S> OptionalFromRequestParts<S> for Session
where
    S: Send + Sync,
    Login: FromRef<S>,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Session>, Failure> {
        session_of(parts, state).await
    }
}

impl IntoResponseParts for SignedIn {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        parts.headers_mut().append(SET_COOKIE, self.cookie().clone());
        kept_by_nobody(&mut parts);
        Ok(parts)
    }
}

impl IntoResponseParts for SignedOut {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        for value in cookie::taken_back() {
            parts.headers_mut().append(SET_COOKIE, value);
        }
        kept_by_nobody(&mut parts);
        Ok(parts)
    }
}

/// A cache that keeps an answer with a cookie gives it to others.
fn kept_by_nobody(parts: &mut ResponseParts) {
    let headers = parts.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
