//! Atoms that are known when a request begins.

use super::atoms::{Request, RequestAtom};
use super::conversion::Conversion;
use super::target::{self, Target};
use super::template::Field;
use super::{Draft, Facts, Protocol};
use crate::log::digits;
use crate::log::escape::Escape;
use http::{HeaderName, header};
use std::fmt::Write;
use std::net::IpAddr;

/// Bytes that an address may have: IPv6 with a zone.
const ADDRESS: usize = 64;
/// Bytes that an id may have.
const ID: usize = 128;
const SCHEME: usize = 16;

impl Protocol {
    /// As it stands in a request line.
    pub(super) fn as_bytes(self) -> &'static [u8] {
        match self {
            Protocol::H10 => b"HTTP/1.0",
            Protocol::H11 => b"HTTP/1.1",
            Protocol::H2 => b"HTTP/2.0",
            Protocol::Unknown => b"",
        }
    }
}

/// Bytes that an atom may have, besides so many texts of any length.
pub(super) fn longest(atom: &RequestAtom, conversion: &Conversion) -> (usize, usize) {
    let width = usize::from(conversion.width);
    let RequestAtom::Known(known) = atom else { return (width, 1) };
    match known {
        Request::Peer | Request::Client | Request::LocalAddress => (ADDRESS + width, 0),
        Request::Id | Request::Trace | Request::Span => (ID + width, 0),
        Request::Scheme | Request::Protocol => (SCHEME + width, 0),
        Request::PeerPort | Request::LocalPort | Request::Reused => {
            (conversion.longest(digits::LONGEST), 0)
        }
        // Method, target, and what stands around them.
        Request::Line => (SCHEME + width, 2),
        Request::MarkedQuery => (1 + width, 1),
        _ => (width, 1),
    }
}

/// Appends an atom to the draft, each text of it with at most `cap` bytes.
#[inline(always)]
pub(super) fn push(
    atom: &RequestAtom,
    field: &Field,
    facts: &Facts<'_>,
    draft: &mut Draft,
    cap: usize,
) {
    let out = &mut draft.text;
    match atom {
        RequestAtom::Known(Request::Line) => line(field, facts, out, cap),
        RequestAtom::Known(Request::Agent) => optional(field, out, facts.agent, cap),
        RequestAtom::Known(Request::Referer) => optional(field, out, facts.referrer, cap),
        RequestAtom::Known(Request::User) => optional(field, out, facts.user, cap),
        RequestAtom::Known(Request::Peer) => named(field, out, facts.peer, ADDRESS),
        RequestAtom::Known(Request::Client) => named(field, out, facts.client, ADDRESS),
        other => push_rarer(other, field, facts, draft, cap),
    }
}

/// Those of them that are not in the default format, which must not make it slower.
#[inline(never)]
fn push_rarer(atom: &RequestAtom, field: &Field, facts: &Facts<'_>, draft: &mut Draft, cap: usize) {
    let Draft { text: out, scratch, .. } = draft;
    match atom {
        RequestAtom::Known(known) => known.push(field, facts, out, scratch, cap),
        RequestAtom::Header(name) => optional(field, out, last(facts, name), cap),
        RequestAtom::Joined(name) => {
            let values = facts.headers.get_all(name).iter().map(http::HeaderValue::as_bytes);
            optional(field, out, target::joined(values, scratch), cap);
        }
        RequestAtom::Cookie(name) => optional(field, out, cookie(facts, name), cap),
    }
}

impl Request {
    fn push(
        self,
        field: &Field,
        facts: &Facts<'_>,
        out: &mut Vec<u8>,
        scratch: &mut Vec<u8>,
        cap: usize,
    ) {
        let local_port = || facts.local.map(|local| local.port()).filter(|port| *port > 0);
        match self {
            Request::Line
            | Request::Agent
            | Request::Referer
            | Request::User
            | Request::Peer
            | Request::Client => {
                debug_assert!(false, "one of those that are not rarer");
            }
            Request::Id => present(field, out, facts.request_id, ID),
            Request::Trace => present(field, out, facts.trace_id, ID),
            Request::Span => present(field, out, facts.span_id, ID),
            Request::Scheme => named(field, out, facts.scheme, SCHEME),
            Request::Host => named(field, out, facts.host, cap),
            Request::Method => present(field, out, facts.method, cap),
            Request::Target => present(field, out, facts.target, cap),
            Request::Protocol => present(field, out, facts.version.as_bytes(), cap),
            Request::Path => {
                let path = Target::of(facts.target).path;
                present(field, out, target::decoded(path, scratch), cap);
            }
            Request::Query => {
                let query = Target::of(facts.target).query.unwrap_or_default();
                field.text(out, query, cap);
            }
            Request::MarkedQuery => {
                if let Some(query) = Target::of(facts.target).query {
                    out.push(b'?');
                    field.text(out, query, cap);
                }
            }
            Request::PeerPort => match facts.peer_port {
                0 => field.missing(out),
                port => field.conversion.number(out, u64::from(port)),
            },
            Request::LocalPort => match local_port() {
                None => field.missing(out),
                Some(port) => field.conversion.number(out, u64::from(port)),
            },
            Request::Reused => field.conversion.number(out, facts.number.saturating_sub(1)),
            Request::LocalAddress => {
                let start = out.len();
                match facts.local.map(|local| local.ip().to_canonical()) {
                    Some(ip) => push_address(field, out, ip),
                    None => out.push(b'-'),
                }
                field.conversion.pad_text(out, start);
            }
        }
    }
}

/// `GET /path HTTP/1.1`; `-` for each part that is not known, and one for all.
#[inline]
fn line(field: &Field, facts: &Facts<'_>, out: &mut Vec<u8>, cap: usize) {
    if !field.is_plain {
        return shown_line(field, facts, out, cap);
    }
    if facts.method.is_empty() && facts.target.is_empty() {
        return out.push(b'-');
    }
    present(field, out, facts.method, cap);
    out.push(b' ');
    present(field, out, facts.target, cap);
    out.push(b' ');
    match facts.version.as_bytes().first_chunk::<8>() {
        Some(version) => out.extend_from_slice(version),
        None => out.push(b'-'),
    }
}

/// With a width or a precision, which count the line as a whole.
#[cold]
fn shown_line(field: &Field, facts: &Facts<'_>, out: &mut Vec<u8>, cap: usize) {
    let whole = [facts.method, b" ", facts.target, b" ", facts.version.as_bytes()].concat();
    let is_known = !(facts.method.is_empty() && facts.target.is_empty());
    let cap = cap.saturating_mul(2);
    optional(field, out, is_known.then_some(&whole[..]), cap);
}

/// The last header of a name.
#[inline(always)]
fn last<'a>(facts: &Facts<'a>, name: &HeaderName) -> Option<&'a [u8]> {
    facts.headers.get_all(name).iter().next_back().map(http::HeaderValue::as_bytes)
}

/// The first cookie of a name, as received.
fn cookie<'a>(facts: &Facts<'a>, name: &str) -> Option<&'a [u8]> {
    let headers = facts.headers.get_all(header::COOKIE).iter();
    let pairs = headers.flat_map(|header| header.as_bytes().split(|byte| *byte == b';'));
    let mut values = pairs.filter_map(|pair| {
        let value = pair.trim_ascii_start().strip_prefix(name.as_bytes())?;
        value.strip_prefix(b"=")
    });
    values.next()
}

#[inline(always)]
fn optional(field: &Field, out: &mut Vec<u8>, text: Option<&[u8]>, cap: usize) {
    match text {
        Some(text) => {
            field.text(out, text, cap);
        }
        None => field.missing(out),
    }
}

/// What is missing when it is empty.
#[inline(always)]
fn present(field: &Field, out: &mut Vec<u8>, text: &[u8], cap: usize) {
    optional(field, out, Some(text).filter(|text| !text.is_empty()), cap);
}

#[inline(always)]
fn named(field: &Field, out: &mut Vec<u8>, text: &str, cap: usize) {
    present(field, out, text.as_bytes(), cap);
}

fn push_address(field: &Field, out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            for (index, octet) in ip.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                digits::push(out, u64::from(octet));
            }
        }
        IpAddr::V6(ip) => {
            let written = write!(Escape::new(out, field.style, ADDRESS), "{ip}");
            debug_assert!(written.is_ok(), "writing to memory does not fail");
        }
    }
}
