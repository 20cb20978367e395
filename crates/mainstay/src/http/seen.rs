//! What the record needs of a request's headers.

use http::header::{HeaderMap, HeaderValue};
use std::borrow::Cow;

/// The headers that the record needs, found in one walk: each search of its own costs as much.
#[derive(Default)]
pub(crate) struct Seen<'a> {
    pub(crate) host: Option<&'a HeaderValue>,
    pub(crate) agent: Option<&'a HeaderValue>,
    pub(crate) referrer: Option<&'a HeaderValue>,
    pub(crate) authorization: Option<&'a HeaderValue>,
    pub(crate) id: Option<&'a HeaderValue>,
    pub(crate) trace: Option<&'a HeaderValue>,
    /// All lines of `tracestate` as one list.
    pub(crate) state: Option<Cow<'a, str>>,
    /// When the nearest proxy took the request: of several lines the last.
    pub(crate) since: Option<&'a HeaderValue>,
    /// All lines as one list, unless it says nothing.
    pub(crate) accept: Option<Cow<'a, str>>,
    /// A proxy may have said something.
    pub(crate) forwarded: bool,
}

impl<'a> Seen<'a> {
    #[inline]
    pub(crate) fn of(headers: &'a HeaderMap) -> Seen<'a> {
        let mut seen = Seen::default();
        for (name, value) in headers {
            match name.as_str().as_bytes() {
                b"host" => seen.host = Some(value),
                b"user-agent" => seen.agent = Some(value),
                b"referer" => seen.referrer = Some(value),
                b"authorization" => seen.authorization = Some(value),
                b"x-request-id" => seen.id = Some(value),
                b"x-request-start" => seen.since = Some(value),
                b"traceparent" => seen.trace = Some(value),
                b"tracestate" => seen.state = joined(seen.state.take(), value),
                b"accept" if value.as_bytes() != b"*/*" => {
                    seen.accept = joined(seen.accept.take(), value);
                }
                [b'f', rest @ ..] | [b'x', b'-', b'f', rest @ ..] => {
                    seen.forwarded |= rest.starts_with(b"orwarded");
                }
                _ => {}
            }
        }
        seen
    }

    /// The last user agent.
    pub(crate) fn agent_bytes(&self) -> Option<&'a [u8]> {
        self.agent.map(HeaderValue::as_bytes)
    }

    /// The last referrer.
    pub(crate) fn referrer_bytes(&self) -> Option<&'a [u8]> {
        self.referrer.map(HeaderValue::as_bytes)
    }
}

/// Several lines are one list (RFC 9110, section 5.3).
fn joined<'a>(before: Option<Cow<'a, str>>, value: &'a HeaderValue) -> Option<Cow<'a, str>> {
    match (before, value.to_str()) {
        (before, Err(_)) => before,
        (None, Ok(value)) => Some(Cow::Borrowed(value)),
        (Some(before), Ok(value)) => Some(Cow::Owned(format!("{before}, {value}"))),
    }
}
