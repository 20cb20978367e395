//! Access lines: one for each request, in a format of Gunicorn's or Apache's atoms, or in ECS.
//!
//! A format is compiled once. A line is then made in two steps, since a request's facts are gone when
//! it ends: [`AccessFormat::begin`] writes everything that is known at first, escaped and joined with
//! the format's own text, into a draft; [`AccessFormat::end`] copies its few pieces and puts what
//! is known last between them. A draft is also what can be kept where a killed worker leaves it.
//!
//! All of it is pure: no clock, no environment. After a few lines nothing allocates.
//! docs/access-log.md tells users what may stand in a format.

mod atoms;
mod conversion;
mod credentials;
mod ecs;
mod environ;
mod moment;
#[cfg(test)]
mod page;
mod request;
mod response;
mod spelling;
mod target;
mod template;
#[cfg(test)]
mod tests;

pub(crate) use credentials::user;

use super::Service;
use super::stamps::Stamps;
use http::HeaderMap;
use std::fmt;
use std::net::SocketAddr;

/// The format that is used when none is chosen: Gunicorn's, with the duration in microseconds.
pub(crate) const DEFAULT: &str =
    r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(D)s"#;

/// The protocol of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    H10,
    H11,
    H2,
    /// The head did not say, or said something else.
    Unknown,
}

/// What is known when a request begins.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// Empty when the head was too bad to tell.
    pub(crate) method: &'a [u8],
    /// As received; may hold any byte when the head was bad.
    pub(crate) target: &'a [u8],
    pub(crate) version: Protocol,
    pub(crate) headers: &'a HeaderMap,
    /// The last `User-Agent` and the last `Referer`.
    pub(crate) agent: Option<&'a [u8]>,
    pub(crate) referrer: Option<&'a [u8]>,
    /// The user of Basic credentials.
    pub(crate) user: Option<&'a [u8]>,
    /// Address of the socket's other end; empty for a UNIX socket.
    pub(crate) peer: &'a str,
    pub(crate) peer_port: u16,
    /// Address of the client as trusted proxies tell it; empty when there is none.
    pub(crate) client: &'a str,
    /// `http` or `https`; empty when not known.
    pub(crate) scheme: &'a str,
    /// Host that was asked for, with its port if one was named; empty without one.
    pub(crate) host: &'a str,
    /// What took the connection; `None` for a UNIX socket.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) request_id: &'a [u8],
    /// 32 hex digits, or empty.
    pub(crate) trace_id: &'a [u8],
    /// 16 hex digits, or empty.
    pub(crate) span_id: &'a [u8],
    /// Of the request on its connection, from 1.
    pub(crate) number: u64,
    /// Nanoseconds since the Unix epoch.
    pub(crate) started_wall: u64,
}

/// What is known when a request has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended<'a> {
    /// 0 when there is none.
    pub(crate) status: u16,
    /// Bytes of the answer's body that went out, without framing.
    pub(crate) body_bytes: u64,
    /// Nanoseconds from the beginning to the end.
    pub(crate) duration: u64,
    /// Nanoseconds from the beginning to the answer's first byte; `None` when there was none.
    pub(crate) first_byte: Option<u64>,
    /// Nanoseconds since the Unix epoch, at the end.
    pub(crate) wall: u64,
    /// Process that served it.
    pub(crate) pid: u32,
    /// Slot of that process.
    pub(crate) worker: usize,
    pub(crate) generation: u64,
    /// Why it did not end in the ordinary way, as a code such as `client_gone`; empty if it did. Codes
    /// that begin with `worker_` mean that the worker was lost.
    pub(crate) reason: &'a str,
    pub(crate) connection: Ending,
    /// Empty when nothing failed.
    pub(crate) error_id: &'a str,
    /// Bytes of the request's body that came in.
    pub(crate) request_bytes: u64,
}

/// What became of the connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    KeepAlive,
    Close,
    /// Before the answer was written.
    Aborted,
}

/// A mistake in a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FormatError {
    /// Character at which it is, from 1.
    pub(crate) column: usize,
    /// What is wrong, and the nearest right atom if one is near.
    pub(crate) message: String,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.message)
    }
}

impl std::error::Error for FormatError {}

/// The first half of a line, with what it takes to make one. To be used again for the next request:
/// what it has allocated it keeps.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    text: Vec<u8>,
    /// Where the pieces end that are known at first.
    cuts: Vec<u32>,
    /// Where the pieces behind them end that the answer brought; none while there was none.
    answers: Vec<u32>,
    /// For what has to be decoded before it can be written.
    scratch: Vec<u8>,
    started: u64,
    /// Something did not fit.
    is_cut: bool,
}

impl Draft {
    fn clear(&mut self) {
        self.text.clear();
        self.cuts.clear();
        self.answers.clear();
        self.is_cut = false;
    }

    /// Ends a piece.
    #[inline(always)]
    fn cut(&mut self) {
        self.cuts.push(self.text.len() as u32);
    }
}

/// A compiled format.
#[derive(Debug)]
pub(crate) struct AccessFormat {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Text(template::Template),
    Ecs(Box<ecs::Ecs>),
}

impl AccessFormat {
    /// Compiles `ecs`, or a format of Gunicorn's atoms, `%(name)s`, or one of Apache's, `%name`: a format
    /// with a `%(` in it is Gunicorn's. No line will be longer than `max_line` bytes, its newline
    /// included.
    ///
    /// # Errors
    /// The first mistake. Also a `max_line` that leaves no room for what the format itself writes.
    pub(crate) fn compile(
        text: &str,
        service: &Service,
        max_line: usize,
    ) -> Result<AccessFormat, FormatError> {
        let kind = if text == "ecs" {
            Kind::Ecs(Box::new(ecs::Ecs::new(service, max_line)?))
        } else {
            Kind::Text(template::Template::new(spelling::pieces(text)?, max_line)?)
        };
        Ok(AccessFormat { kind })
    }

    /// Writes into `draft` what is known when a request begins.
    #[inline]
    pub(crate) fn begin(&self, facts: &Facts<'_>, draft: &mut Draft) {
        match &self.kind {
            Kind::Text(template) => template.begin(facts, draft),
            Kind::Ecs(ecs) => ecs.begin(facts, draft),
        }
    }

    /// Whether [`answered`](Self::answered) has anything to do.
    #[inline]
    pub(crate) fn wants_answer(&self) -> bool {
        matches!(&self.kind, Kind::Text(template) if template.wants_answer())
    }

    /// Adds the response headers that the format shows. Without this call they are `-`.
    #[inline]
    pub(crate) fn answered(&self, response_headers: &HeaderMap, draft: &mut Draft) {
        if let Kind::Text(template) = &self.kind
            && template.wants_answer()
        {
            template.answered(response_headers, draft);
        }
    }

    /// Appends the whole line with its newline to `out`.
    #[inline]
    pub(crate) fn end(
        &self,
        draft: &Draft,
        ended: &Ended<'_>,
        stamps: &mut Stamps,
        out: &mut Vec<u8>,
    ) {
        match &self.kind {
            Kind::Text(template) => template.end(draft, ended, stamps, out),
            Kind::Ecs(ecs) => ecs.end(draft, ended, stamps, out),
        }
    }
}
