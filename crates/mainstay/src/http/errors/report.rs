//! What a failed request tells to whoever tracks errors, where somebody does.

use super::Failure;
use crate::http::context::Context;
use crate::log::Log;
use crate::panics::{self, Panic};
use crate::telemetry::sentry::{Fault, Gravity, Report, What};
use http::StatusCode;

/// An answer of 5xx.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed<'a> {
    pub(crate) status: u16,
    /// What the client was given to ask about it.
    pub(crate) error_id: &'a str,
    /// What the answer itself said, or the failure.
    pub(crate) text: Option<&'a str>,
}

/// Reports a panic of the application's. `status` is none when there was no answer.
pub(crate) fn panicked(
    log: &Log,
    context: Option<&Context>,
    panic: &Panic,
    status: Option<u16>,
    error_id: &str,
) {
    tell(log, context, vec![panic.fault()], ("panic", false), status, error_id);
}

/// Reports an answer of 5xx, if it says why it is one: a bare one has nothing to tell.
pub(super) fn failed(
    log: &Log,
    context: Option<&Context>,
    failure: Option<&Failure>,
    failed: &Failed<'_>,
) {
    if !log.makes_reports() {
        return;
    }
    let Failed { status, error_id, text } = *failed;
    // An application's error that panics is told as its text, which says so.
    let chain = failure.and_then(|failure| panics::caught(|| failure.faults()).ok());
    let chain = chain.or_else(|| {
        let title = StatusCode::from_u16(status).ok().and_then(|it| it.canonical_reason());
        let kind = title.unwrap_or("Server Error").to_owned();
        Some(vec![Fault { kind, value: text?.to_owned(), ..Fault::default() }])
    });
    let Some(chain) = chain else { return };
    tell(log, context, chain, ("failure", true), Some(status), error_id);
}

fn tell(
    log: &Log,
    request: Option<&Context>,
    chain: Vec<Fault<'_>>,
    (mechanism, handled): (&'static str, bool),
    status: Option<u16>,
    error_id: &str,
) {
    let Some(reports) = log.reports() else { return };
    let mut tags = Vec::new();
    tags.extend(status.map(|status| ("status", status.to_string())));
    if !error_id.is_empty() {
        tags.push(("error_id", error_id.to_owned()));
    }
    let report = Report {
        id: error_id,
        level: Gravity::Error,
        what: What::Errors { chain, mechanism, handled },
        request,
        tags,
        release: None,
        extra: Vec::new(),
        fingerprint: Vec::new(),
    };
    reports.tell(log, &report);
}
