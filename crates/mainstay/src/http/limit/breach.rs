//! What the application answers, in its own words, to who came too often.

use super::Limiter;
use super::route::{Asking, Noted};
use crate::event::Event;
use crate::http::errors::AsIs;
use crate::panics;
use bytes::Bytes;
use http::Response;
use http::header::RETRY_AFTER;
use std::sync::Arc;

pub(super) type Answers = Arc<dyn Fn(&Breach<'_>) -> Response<Bytes> + Send + Sync>;

/// A request that a [`Limit`](super::route::Limit) refuses, for code that answers it.
#[derive(Clone, Copy, Debug)]
pub struct Breach<'a> {
    asking: &'a Asking<'a>,
    limit: &'a str,
    retry_after: u64,
}

impl<'a> Breach<'a> {
    /// What the request says.
    #[must_use]
    pub fn asking(&self) -> &'a Asking<'a> {
        self.asking
    }

    /// The limits of the layer, as they were written.
    #[must_use]
    pub fn limit(&self) -> &'a str {
        self.limit
    }

    /// In how many seconds it is worth another try.
    #[must_use]
    pub fn retry_after(&self) -> u64 {
        self.retry_after
    }
}

/// The application's answer in place of `refused`, whose fields it has unless it says otherwise. If the code panics, it
/// is told, and `refused` stands.
pub(super) fn answer<B: Default>(
    limiter: &Limiter,
    answers: &Answers,
    limit: &str,
    asking: &Asking<'_>,
    refused: Box<Response<B>>,
) -> Box<Response<B>> {
    let seconds = refused.headers().get(RETRY_AFTER);
    let retry_after = seconds.and_then(|it| it.to_str().ok()?.parse().ok()).unwrap_or(1);
    let own = match panics::caught(|| answers(&Breach { asking, limit, retry_after })) {
        Ok(own) => own,
        Err(panic) => {
            let (method, path) = asking.place();
            let event = Event::HandlerPanicked { method, path, panic: panic.to_string() };
            limiter.log.event(&event);
            return refused;
        }
    };
    let (mut own, body) = own.into_parts();
    let (usual, empty) = refused.into_parts();
    for (name, value) in &usual.headers {
        if !own.headers.contains_key(name) {
            own.headers.append(name, value.clone());
        }
    }
    let extensions = &mut own.extensions;
    if let Some(reason) = usual.extensions.get::<crate::http::record::Reason>() {
        extensions.insert(*reason);
    }
    extensions.insert(AsIs);
    extensions.insert(Noted { body: Some(body), ..Noted::default() });
    Box::new(Response::from_parts(own, empty))
}
