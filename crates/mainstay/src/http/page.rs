//! What a request's record holds from its beginning to its end, and how it was refused if it was.

use super::context::Context;
use super::watched::BodyWait;
use crate::clock::Mono;
use crate::log::access::{Draft, Protocol};
use crate::metrics::requests::Extent;
use std::sync::Arc;

/// Marks a request that is not described in the in-flight table.
pub(crate) const NO_ENTRY: u32 = u32::MAX;

/// One request's page in the record. Pages are used again, each always with the same entry of the
/// in-flight table.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) entry: u32,
    /// The access line, as far as it is known.
    pub(crate) draft: Draft,
    pub(crate) started: Mono,
    pub(crate) protocol: Protocol,
    /// The status that was answered; 0 before.
    pub(crate) status: u16,
    /// Bytes of the answer's body that were handed over.
    pub(crate) body_bytes: u64,
    /// When the first of them was, nanoseconds from the start.
    pub(crate) first_byte: Option<u64>,
    /// When the answer's head was there, nanoseconds from the start.
    pub(crate) answered: Option<u64>,
    /// How long it waited for a worker, nanoseconds, if a proxy says.
    pub(crate) waited: Option<u64>,
    /// Why it did not end in the ordinary way.
    pub(crate) reason: &'static str,
    /// The answer tells the client to close.
    pub(crate) closing: bool,
    /// What the client was told about a failure.
    pub(crate) error_id: Option<Box<str>>,
    /// The request's body.
    pub(crate) body: Option<Arc<BodyWait>>,
    /// It has no access line: a health check that succeeded, where those are not wanted.
    pub(crate) quiet: bool,
    /// It was a health check, which the application never saw.
    pub(crate) probe: bool,
    pub(crate) context: Option<Arc<Context>>,
}

impl Page {
    pub(crate) fn new(entry: u32) -> Page {
        Page {
            entry,
            draft: Draft::default(),
            started: Mono(0),
            protocol: Protocol::Unknown,
            status: 0,
            body_bytes: 0,
            first_byte: None,
            answered: None,
            waited: None,
            reason: "",
            closing: false,
            error_id: None,
            body: None,
            quiet: false,
            probe: false,
            context: None,
        }
    }

    /// The method, and the route if somebody has named it.
    #[inline]
    pub(crate) fn asked(&self) -> (&[u8], Option<&str>) {
        match self.context.as_deref() {
            Some(context) => (context.method.as_bytes(), context.route.get().map(AsRef::as_ref)),
            None => (b"", None),
        }
    }

    /// What is measured of it beside its time.
    #[inline]
    pub(crate) fn extent(&self) -> Extent {
        Extent {
            answered: self.answered,
            received: self.body.as_ref().map_or(0, |body| body.received()),
            sent: self.body_bytes,
            waited: self.waited,
        }
    }

    /// Forgets the request, and gives back what others may use.
    pub(crate) fn clear(&mut self) {
        self.status = 0;
        self.body_bytes = 0;
        self.first_byte = None;
        self.answered = None;
        self.waited = None;
        self.reason = "";
        self.closing = false;
        self.error_id = None;
        self.body = None;
        self.quiet = false;
        self.probe = false;
        if let Some(context) = self.context.take() {
            Context::retire(context);
        }
    }
}

/// A request that is refused before the application sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// Of the table of `strict`, or a deadline.
    pub(crate) reason: &'static str,
    /// Its head, as far as it came.
    pub(crate) head: Box<[u8]>,
}

/// What can be made out of a head that is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remains<'a> {
    pub(crate) method: &'a [u8],
    pub(crate) target: &'a [u8],
    pub(crate) version: Protocol,
}

impl Refusal {
    /// The request line, taken apart as far as that goes. What comes behind another request
    /// (`is_first` is false) and has not even the shape of one is most likely the rest of a body whose
    /// length was told wrongly. Bodies hold passwords: nothing is told of it.
    pub(crate) fn remains(&self, is_first: bool) -> Remains<'_> {
        let line = self.head.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        let line = if is_first || has_shape(line) { line } else { b"" };
        // The target may hold blanks; method and version are what stands around it.
        let (method, rest) = match line.iter().position(|byte| *byte == b' ') {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &line[line.len()..]),
        };
        let (target, version) = match rest.iter().rposition(|byte| *byte == b' ') {
            Some(at) => match &rest[at + 1..] {
                b"HTTP/1.1" => (&rest[..at], Protocol::H11),
                b"HTTP/1.0" => (&rest[..at], Protocol::H10),
                _ => (rest, Protocol::Unknown),
            },
            None => (rest, Protocol::Unknown),
        };
        Remains { method, target, version }
    }
}

/// Whether a line begins and ends as request lines do.
fn has_shape(line: &[u8]) -> bool {
    let method = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let last = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    (1..=20).contains(&method.len())
        && method.iter().all(u8::is_ascii_uppercase)
        && (last.starts_with(b"HTTP/") || last.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_body_is_not_told() {
        let method = |head: &[u8], is_first| {
            let refusal = Refusal { status: 400, reason: "", head: head.into() };
            refusal.remains(is_first).method.to_vec()
        };
        assert_eq!(method(b"ord=secret&next=/\r\n", false), b"");
        assert_eq!(method(b"PASSWORD is secret", false), b"");
        assert_eq!(method(b"ord=secret", true), b"ord=secret");
        for known in [&b"GET /a b HTTP/1.1\r\n"[..], b"GET /a", b"GET /a HTTP/9.9"] {
            assert_eq!(method(known, false), b"GET");
        }
    }

    #[test]
    fn of_a_bad_head_as_much_is_told_as_there_is() {
        let remains = |head: &[u8]| {
            let refusal = Refusal { status: 400, reason: "", head: head.into() };
            let Remains { method, target, version } = refusal.remains(true);
            (method.to_vec(), target.to_vec(), version)
        };
        let of =
            |method: &[u8], target: &[u8], version| (method.to_vec(), target.to_vec(), version);
        assert_eq!(remains(b"GET /a b HTTP/1.1\r\nHo"), of(b"GET", b"/a b", Protocol::H11));
        assert_eq!(remains(b"GET /a HTTP/9.9\r\n"), of(b"GET", b"/a HTTP/9.9", Protocol::Unknown));
        assert_eq!(remains(b"\x16\x03\x01"), of(b"\x16\x03\x01", b"", Protocol::Unknown));
        assert_eq!(remains(b""), of(b"", b"", Protocol::Unknown));
    }
}
