//! The `X-Forwarded-*` headers of a request, found in one pass. This runs for each request behind a
//! proxy, so what is not there must cost nothing.

use http::header::ValueIter;
use http::{HeaderMap, HeaderValue};
use std::iter::Rev;

/// The beginning that all of them share.
const FAMILY: &[u8] = b"x-forwarded-";

/// A header of the family.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    For,
    Proto,
    Host,
    Port,
    Prefix,
    /// `on` when the client speaks TLS.
    Ssl,
    /// `ssl` when the client speaks TLS.
    Protocol,
}

/// Their names, by [`Field`].
const NAMES: [&str; 7] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-ssl",
    "x-forwarded-protocol",
];

/// The headers of the family that are there.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    headers: &'a HeaderMap,
    /// The last line of each.
    last: [Option<&'a HeaderValue>; NAMES.len()],
    /// Whether there are lines before the last.
    several: [bool; NAMES.len()],
}

impl<'a> Fields<'a> {
    /// Whether any header of the family is there. A look at each name is cheaper than to hash the
    /// seven names that it might be.
    #[inline]
    pub(super) fn any(headers: &HeaderMap) -> bool {
        headers.keys().any(|name| name.as_str().as_bytes().starts_with(FAMILY))
    }

    #[inline]
    pub(super) fn gather(headers: &'a HeaderMap) -> Fields<'a> {
        let mut fields = Fields { headers, last: [None; _], several: [false; _] };
        for (name, value) in headers {
            let Some(rest) = name.as_str().as_bytes().strip_prefix(FAMILY) else { continue };
            let field = match rest {
                b"for" => Field::For,
                b"proto" => Field::Proto,
                b"host" => Field::Host,
                b"port" => Field::Port,
                b"prefix" => Field::Prefix,
                b"ssl" => Field::Ssl,
                b"protocol" => Field::Protocol,
                _ => continue,
            };
            let before = fields.last[field as usize].replace(value);
            fields.several[field as usize] = before.is_some();
        }
        fields
    }

    /// The lines of a header, the last first.
    #[inline]
    pub(super) fn lines(&self, field: Field) -> Lines<'a> {
        let last = self.last[field as usize];
        let several = self.several[field as usize];
        Lines { last, earlier: several.then(|| self.all_lines(field)) }
    }

    #[cold]
    fn all_lines(&self, field: Field) -> Rev<ValueIter<'a, HeaderValue>> {
        let mut lines = self.headers.get_all(NAMES[field as usize]).into_iter().rev();
        // The last line is told apart from the others.
        lines.next();
        lines
    }

    /// The elements of the list that all lines together are, from right to left, without blanks
    /// around them and without empty ones. A quotation mark is a character like any other: one that
    /// is never closed would otherwise hide what stands right of it.
    #[inline]
    pub(super) fn elements(&self, field: Field) -> Elements<'a> {
        Elements { lines: self.lines(field), rest: None }
    }

    /// What hop `hop` from the right wrote (1 is the nearest). Of a list that is shorter the
    /// leftmost: proxies that replace a header instead of appending to it leave fewer elements.
    #[inline(always)]
    pub(super) fn of_hop(&self, field: Field, hop: usize) -> Option<&'a [u8]> {
        if self.is_there(field) { self.nearest(field, hop) } else { None }
    }

    fn nearest(&self, field: Field, hop: usize) -> Option<&'a [u8]> {
        self.elements(field).take(hop).last()
    }

    /// Element `count` from the right; `None` when there are fewer, or when `count` is 0.
    pub(super) fn counted(&self, field: Field, count: u8) -> Option<&'a [u8]> {
        self.elements(field).nth(usize::from(count).checked_sub(1)?)
    }

    /// Whether there is any line.
    #[inline(always)]
    pub(super) fn is_there(&self, field: Field) -> bool {
        self.last[field as usize].is_some()
    }
}

/// Lines of one header, the last first.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    last: Option<&'a HeaderValue>,
    earlier: Option<Rev<ValueIter<'a, HeaderValue>>>,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let line = match self.last.take() {
            None => self.earlier.as_mut()?.next(),
            last => last,
        };
        line.map(HeaderValue::as_bytes)
    }
}

/// Elements of one header, the rightmost first.
#[derive(Debug)]
pub(super) struct Elements<'a> {
    lines: Lines<'a>,
    /// What is left of the current line.
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    #[inline(always)]
    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let line = match self.rest {
                Some(rest) => rest,
                None => self.lines.next()?,
            };
            let (left, element) = match line.iter().rposition(|b| *b == b',') {
                Some(at) => (line.get(..at), line.get(at + 1..).unwrap_or_default()),
                None => (None, line),
            };
            self.rest = left;
            let element = element.trim_ascii();
            if !element.is_empty() {
                return Some(element);
            }
        }
    }
}
