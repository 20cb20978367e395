//! What is said of an error: its title, its sentence, and the names it can be asked about by.
//! The sentences say nothing that a peer could not know already.

use http::StatusCode;
use serde::Serialize;

/// All that a client is told. Templates see the fields by these names.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Told<'a> {
    /// The status code.
    pub(crate) status: u16,
    /// Its phrase, `Not Found`.
    pub(crate) title: &'a str,
    /// The application's outside words, or the sentence of the status.
    pub(crate) message: &'a str,
    pub(crate) request_id: Option<&'a str>,
    /// On 5xx alone: the name of the line in the log.
    pub(crate) error_id: Option<&'a str>,
    pub(crate) trace_id: Option<&'a str>,
    /// The name of the service.
    pub(crate) service: &'a str,
}

/// The phrase of a status.
pub(crate) fn title(status: StatusCode) -> &'static str {
    let unknown = if status.is_client_error() { "Client Error" } else { "Server Error" };
    status.canonical_reason().unwrap_or(unknown)
}

/// The sentence for whoever met an error of this status, when the application gave no other.
pub(crate) fn sentence(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "The request could not be understood.",
        401 => "You need to sign in first.",
        402 => "This has to be paid for first.",
        403 => "You are not allowed to do this.",
        404 => "There is nothing at this address.",
        405 => "This cannot be done at this address.",
        406 => "This is not available in any form that you accept.",
        407 => "The proxy wants you to sign in first.",
        408 => "The request took too long to arrive.",
        409 => "This conflicts with a change that was made meanwhile.",
        410 => "What was at this address is gone for good.",
        411 => "The request does not say how long it is.",
        412 => "This has changed since you last saw it.",
        413 => "The request is too large.",
        414 => "The address is too long.",
        415 => "The request's type of content is not accepted here.",
        416 => "There is no such part of it.",
        417 => "What the request expects cannot be met.",
        421 => "This server does not answer for that name.",
        422 => "The request was read, but its content is not valid.",
        423 => "This is locked at the moment.",
        424 => "Something that this depends on failed.",
        425 => "The request came too early to be safe. Please try again.",
        426 => "Another protocol is needed for this.",
        428 => "The request has to say which version it is about.",
        429 => "There were too many requests. Please wait a little before the next one.",
        431 => "The headers of the request are too large.",
        451 => "This is not available for legal reasons.",
        _ if status.is_client_error() => "The request could not be fulfilled.",
        500 => "The service met an error of its own.",
        501 => "The service does not know how to do this.",
        502 => "Something that the service depends on did not answer properly.",
        503 => "The service cannot answer right now. Please try again in a moment.",
        504 => "The answer took too long. Please try again in a moment.",
        505 => "The service does not speak this version of the protocol.",
        507 => "There is no room left to do this.",
        _ => sentence(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_of_an_error_has_a_title_and_a_sentence() {
        for status in (400..600).filter_map(|code| StatusCode::from_u16(code).ok()) {
            assert!(!title(status).is_empty());
            let sentence = sentence(status);
            assert!(sentence.ends_with('.') && sentence.len() < 90, "{status}: {sentence}");
        }
        let unknown = StatusCode::from_u16(599).unwrap();
        assert_eq!(title(unknown), "Server Error");
        assert_eq!(sentence(unknown), sentence(StatusCode::INTERNAL_SERVER_ERROR));
    }
}
