//! What the record needs of a request's headers.

use http::header::{HeaderMap, HeaderValue};
use std::borrow::Cow;

/// The headers that the record needs, found in one walk: each search of its own costs as much.
#[derive(Default)]
pub(super) struct Seen<'a> {
    pub(super) host: Option<&'a HeaderValue>,
    pub(super) agent: Option<&'a HeaderValue>,
    pub(super) referrer: Option<&'a HeaderValue>,
    pub(super) id: Option<&'a HeaderValue>,
    pub(super) trace: Option<&'a HeaderValue>,
    /// All lines as one list, unless it says nothing.
    pub(super) accept: Option<Cow<'a, str>>,
    /// A proxy may have said something.
    pub(super) forwarded: bool,
}

impl<'a> Seen<'a> {
    #[inline]
    pub(super) fn of(headers: &'a HeaderMap) -> Seen<'a> {
        let mut seen = Seen::default();
        for (name, value) in headers {
            match name.as_str().as_bytes() {
                b"host" => seen.host = Some(value),
                b"user-agent" => seen.agent = Some(value),
                b"referer" => seen.referrer = Some(value),
                b"x-request-id" => seen.id = Some(value),
                b"traceparent" => seen.trace = Some(value),
                b"accept" if value.as_bytes() != b"*/*" => seen.accepts(value),
                [b'f', rest @ ..] | [b'x', b'-', b'f', rest @ ..] => {
                    seen.forwarded |= rest.starts_with(b"orwarded");
                }
                _ => {}
            }
        }
        seen
    }

    fn accepts(&mut self, value: &'a HeaderValue) {
        let Ok(value) = value.to_str() else { return };
        self.accept = Some(match self.accept.take() {
            None => Cow::Borrowed(value),
            // Several lines are one list (RFC 9110, section 5.3).
            Some(before) => Cow::Owned(format!("{before}, {value}")),
        });
    }
}
