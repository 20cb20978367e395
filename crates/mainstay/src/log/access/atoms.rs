//! THE table of what an access line can show. Formats are compiled by it, mistakes are corrected by
//! it, and docs/access-log.md is made from it.

use http::header::HeaderName;

/// A row of the table.
#[derive(Debug)]
pub(super) struct Row {
    /// What stands in `%(…)s`; empty when Gunicorn's spelling does not have it.
    pub(super) name: &'static str,
    /// What stands behind `%` in Apache's spelling; several mean the same.
    pub(super) apache: &'static [&'static str],
    /// What it shows, with its unit.
    #[cfg_attr(not(test), expect(dead_code, reason = "for docs/access-log.md"))]
    pub(super) what: &'static str,
    /// When `-` is shown.
    #[cfg_attr(not(test), expect(dead_code, reason = "for docs/access-log.md"))]
    pub(super) missing: &'static str,
    pub(super) is: Is,
}

/// What a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Is {
    Dash,
    Request(Request),
    End(End),
    Family(Family),
}

/// Known when a request begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Peer,
    PeerPort,
    Client,
    LocalAddress,
    LocalPort,
    User,
    Line,
    Method,
    Path,
    Query,
    /// With its question mark.
    MarkedQuery,
    Protocol,
    Target,
    Referer,
    Agent,
    Scheme,
    Host,
    Id,
    Trace,
    Span,
    /// Requests on the connection before this one.
    Reused,
}

/// Known when a request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Started,
    Ended,
    Status,
    Bytes,
    BytesOrDash,
    RequestBytes,
    Seconds,
    Millis,
    Micros,
    DecimalSeconds,
    FirstByte,
    Pid,
    BracketedPid,
    Worker,
    Generation,
    Reason,
    Connection,
    ErrorId,
}

/// With a name in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    RequestHeader,
    ResponseHeader,
    Environ,
    Cookie,
    Time,
}

/// An atom of a format, with the name that it was given.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Atom {
    Dash,
    Request(RequestAtom),
    Answer(HeaderName),
    End(EndAtom),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum RequestAtom {
    Known(Request),
    /// The last of the request's headers of this name.
    Header(HeaderName),
    /// All of them, with commas.
    Joined(HeaderName),
    Cookie(Box<str>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum EndAtom {
    Known(End),
    Moment(Box<super::moment::Moment>),
}

impl Is {
    /// The atom, when it needs no name.
    pub(super) fn atom(self) -> Option<Atom> {
        match self {
            Is::Dash => Some(Atom::Dash),
            Is::Request(known) => Some(Atom::Request(RequestAtom::Known(known))),
            Is::End(known) => Some(Atom::End(EndAtom::Known(known))),
            Is::Family(_) => None,
        }
    }
}

impl Atom {
    /// Whether `%d` and `%f` can show it.
    pub(super) fn is_number(&self) -> bool {
        match self {
            Atom::Request(RequestAtom::Known(known)) => {
                matches!(known, Request::PeerPort | Request::LocalPort | Request::Reused)
            }
            Atom::End(EndAtom::Known(known)) => !matches!(
                known,
                End::Started
                    | End::Ended
                    | End::BracketedPid
                    | End::Reason
                    | End::Connection
                    | End::ErrorId
            ),
            _ => false,
        }
    }
}

const fn row(
    name: &'static str,
    apache: &'static [&'static str],
    is: Is,
    what: &'static str,
    missing: &'static str,
) -> Row {
    Row { name, apache, what, missing, is }
}

/// All atoms: Gunicorn's in its order, then Apache's, then those of mainstay.
#[rustfmt::skip]
pub(super) const ATOMS: &[Row] = &[
    row("h", &["{c}a", "{c}h"], Is::Request(Request::Peer), "address of the connection's other end", "UNIX socket"),
    row("l", &["l"], Is::Dash, "nothing: the name that identd would know", "always"),
    row("u", &["u"], Is::Request(Request::User), "user of HTTP Basic credentials", "none, of another scheme, or unreadable"),
    row("t", &["{end}t"], Is::End(End::Ended), "time at which the request ended, local: `[22/Nov/2026:10:11:24 +0000]`", ""),
    row("r", &["r"], Is::Request(Request::Line), "request line: method, target as received, protocol", "no request line"),
    row("m", &["m"], Is::Request(Request::Method), "method", "no request line"),
    row("U", &["U"], Is::Request(Request::Path), "path without query, percent-decoded", "no request line"),
    row("q", &[], Is::Request(Request::Query), "query as received, without its `?`; empty without one", ""),
    row("H", &["H"], Is::Request(Request::Protocol), "`HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`", "not known"),
    row("s", &["s"], Is::End(End::Status), "status, three digits", "no status"),
    row("B", &["B"], Is::End(End::Bytes), "bytes of the answer's body", ""),
    row("b", &[], Is::End(End::Bytes), "the same: 0 is `0`", ""),
    row("f", &[], Is::Request(Request::Referer), "header Referer", "no such header"),
    row("a", &[], Is::Request(Request::Agent), "header User-Agent", "no such header"),
    row("T", &["T", "{s}T"], Is::End(End::Seconds), "duration, whole seconds", ""),
    row("M", &["{ms}T"], Is::End(End::Millis), "duration, whole milliseconds", ""),
    row("D", &["D", "{us}T"], Is::End(End::Micros), "duration, microseconds", ""),
    row("L", &[], Is::End(End::DecimalSeconds), "duration, seconds with six decimals", ""),
    row("p", &[], Is::End(End::BracketedPid), "process id of the worker: `<16968>`", ""),
    row("{name}i", &["{}i"], Is::Family(Family::RequestHeader), "request header of this name; the last one", "no such header"),
    row("{name}o", &["{}o"], Is::Family(Family::ResponseHeader), "response header of this name; the last one", "no such header, or no answer"),
    row("{name}e", &[], Is::Family(Family::Environ), "WSGI variable of this name", "not known"),
    row("{name}c", &["{}C"], Is::Family(Family::Cookie), "cookie of this name", "no such cookie"),
    row("", &["{}t"], Is::Family(Family::Time), "a time in strftime's form; see below", ""),
    row("", &["q"], Is::Request(Request::MarkedQuery), "query with its `?`; empty without one", ""),
    row("", &["b"], Is::End(End::BytesOrDash), "bytes of the answer's body", "0"),
    row("started", &["t", "{begin}t"], Is::End(End::Started), "time at which the request began, as `t`", ""),
    row("client", &["a", "h"], Is::Request(Request::Client), "address of the client, as trusted proxies tell it", "UNIX socket"),
    row("peer_port", &["{remote}p"], Is::Request(Request::PeerPort), "port of the connection's other end", "UNIX socket"),
    row("local", &["A"], Is::Request(Request::LocalAddress), "address that took the connection", "UNIX socket"),
    row("local_port", &["p", "{local}p", "{canonical}p"], Is::Request(Request::LocalPort), "port that took the connection", "UNIX socket"),
    row("host", &["v", "V"], Is::Request(Request::Host), "host that was asked for, with its port if one was named", "none was named"),
    row("scheme", &[], Is::Request(Request::Scheme), "`http` or `https`, as trusted proxies tell it", "not known"),
    row("target", &[], Is::Request(Request::Target), "target as received", "no request line"),
    row("pid", &["P", "{pid}P"], Is::End(End::Pid), "process id of the worker", ""),
    row("connection", &["X"], Is::End(End::Connection), "the connection afterwards: `+` kept, `-` closed, `X` aborted", "closed"),
    row("reused", &["k"], Is::Request(Request::Reused), "requests on the connection before this one", ""),
    row("first_byte", &["^FB"], Is::End(End::FirstByte), "time until the answer's first byte, microseconds", "no answer"),
    row("request_bytes", &[], Is::End(End::RequestBytes), "bytes of the request's body", ""),
    row("id", &[], Is::Request(Request::Id), "id of the request", "none"),
    row("trace", &[], Is::Request(Request::Trace), "W3C trace id, 32 hex digits", "none"),
    row("span", &[], Is::Request(Request::Span), "W3C span id, 16 hex digits", "none"),
    row("error_id", &["L"], Is::End(End::ErrorId), "id of the error: the one of page, error log and event", "no error"),
    row("reason", &[], Is::End(End::Reason), "why the request did not end in the ordinary way", "it did"),
    row("worker", &[], Is::End(End::Worker), "slot of the worker, from 0", ""),
    row("generation", &[], Is::End(End::Generation), "generation of the worker: raised by each reload", ""),
];

/// The row that `%(name)s` means.
pub(super) fn by_name(name: &str) -> Option<&'static Row> {
    ATOMS.iter().find(|row| row.name == name && !name.is_empty())
}

/// The row that `%name` means in Apache's spelling.
pub(super) fn by_apache(name: &str) -> Option<&'static Row> {
    ATOMS.iter().find(|row| row.apache.contains(&name))
}

/// The name that is nearest to a wrong one, if any is near: by letters, or by case.
pub(super) fn nearest(
    wrong: &str,
    names: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    let distance = |name: &str| match name.eq_ignore_ascii_case(wrong) {
        true => 0,
        false => strsim::damerau_levenshtein(name, wrong),
    };
    let named = names.filter(|name| !name.is_empty() && !name.contains(['{', '<']));
    let best = named.map(|name| (distance(name), name)).min_by_key(|(distance, _)| *distance)?;
    // One slip in three letters still reads as the same word; more is a guess.
    (best.0 <= (wrong.len() / 3).max(1)).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_spelling_stands_once_and_each_row_says_what_it_is() {
        let mut names = HashSet::new();
        let mut apache = HashSet::new();
        for row in ATOMS {
            assert!(row.name.is_empty() || names.insert(row.name), "{row:?}");
            assert!(row.apache.iter().all(|name| apache.insert(*name)), "{row:?}");
            assert!(!row.what.is_empty(), "{row:?}");
            assert!(!row.name.is_empty() || !row.apache.is_empty(), "{row:?}");
        }
    }

    #[test]
    fn a_slip_finds_its_atom_and_a_guess_finds_none() {
        let near = |wrong| nearest(wrong, ATOMS.iter().map(|row| row.name));
        assert_eq!(near("hh"), Some("h"));
        assert_eq!(near("Trace"), Some("trace"));
        assert_eq!(near("genaration"), Some("generation"));
        assert_eq!(near("bandwidth"), None);
    }
}
