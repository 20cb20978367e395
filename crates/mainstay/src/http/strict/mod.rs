//! Judges the framing of HTTP/1 requests before hyper sees a byte of them.
//!
//! hyper hides what a strict server must know: a Content-Length beside a Transfer-Encoding, repeated
//! lines, bare LFs, the text of chunk sizes, the names of trailers. [`Framing`] follows the bytes of
//! one connection as they arrive and lets pass, unit by unit, what is beyond doubt: a whole head, a
//! piece of a body, a chunk-size line, a trailer line. Everything that it lets pass hyper accepts
//! too, and reads in the same way.
//!
//! Pure, without allocation. **What passes and what is refused depends on the bytes alone, never on
//! how they were split**: whatever is judged before a line's end has come must be judged alike when
//! the line comes whole.
//!
//! - `reject`: the table of what can be wrong;
//! - `head`: a head, line by line, of which `request_line`, `field`, `coding` and `host` read parts;
//! - `chunk`: chunk-size lines and trailers;
//! - `class`: what each byte may be part of;
//! - `judge`: one outcome for fuzzing and tests.

mod chunk;
mod class;
mod coding;
mod field;
mod head;
mod host;
pub(crate) mod judge;
mod reject;
mod request_line;

#[cfg(test)]
pub(crate) use reject::REJECTS;
pub(crate) use reject::Reject;

use head::{Content, Head};
use reject::Fault;
use std::ops::Range;

/// Longest request line that hyper can take, without its CRLF; also the longest field.
const LONGEST: usize = 65_535;
/// Most fields of a head, as in Gunicorn.
const MOST_FIELDS: usize = 32_768;
/// Longest field where the limit is 0, as in Gunicorn.
const FIELD: usize = 8190;

/// How much a head may hold. The bounds of Gunicorn's `limit_request_line`, `_fields` and
/// `_field_size`; a whole head is thereby at most `line + 2 + fields × field + 2` bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limits {
    /// Bytes of the request line without its CRLF. 0, and whatever is more, means 65,535, which is
    /// the most that hyper takes. More is answered with 414.
    pub(crate) line: usize,
    /// Lines of fields of a head, and again of trailers. 0, and whatever is more, means 32,768. More
    /// is answered with 431.
    pub(crate) fields: usize,
    /// Bytes of one field: name, colon, value and CRLF; 0 means 8190, the most is 65,535. More is
    /// answered with 431. A chunk-size line with its extensions may have as many.
    pub(crate) field: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { line: 4094, fields: 100, field: FIELD }
    }
}

/// The limits in the form that they are compared in.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    line: u32,
    fields: u32,
    field: u32,
}

impl Bounds {
    fn of(limits: Limits) -> Bounds {
        let bound = |limit: usize, zero: usize, most: usize| {
            let limit = if limit == 0 { zero } else { limit.min(most) };
            u32::try_from(limit).expect("every bound is small")
        };
        Bounds {
            line: bound(limits.line, LONGEST, LONGEST),
            fields: bound(limits.fields, MOST_FIELDS, MOST_FIELDS),
            field: bound(limits.field, FIELD, LONGEST),
        }
    }

    #[inline(always)]
    fn line(&self) -> usize {
        self.line as usize
    }

    #[inline(always)]
    fn field(&self) -> usize {
        self.field as usize
    }
}

/// What a connection is to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// A head, or the empty line that may come before one.
    Head,
    /// The rest of a body of known length.
    Body,
    ChunkLine,
    ChunkData,
    /// The CRLF behind a chunk's data.
    ChunkEnd,
    Trailers,
    Tunnel,
}

/// The framing of one connection. Made once for it, and fed all that the client sends.
#[derive(Debug)]
pub(crate) struct Framing {
    /// The head that is being read; of chunk-size lines and trailers only what was searched.
    head: Head,
    heads: u64,
    /// Bytes that are still to come, of the body or of the chunk; among trailers, bytes of these so
    /// far.
    left: u64,
    bounds: Bounds,
    /// Bytes of chunk extensions in this body so far.
    extensions: u16,
    stage: Stage,
    /// Once something is wrong, nothing passes any more.
    fault: Option<Fault>,
}

const _: () = assert!(size_of::<Framing>() <= 64, "there is one for each connection");

/// What was wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rejected {
    /// So many of the fed bytes come before the offending unit and may still be handed on.
    pub(crate) verified: usize,
    pub(crate) reject: Reject,
    /// The head of the request was handed on and counted; its body is what is wrong.
    pub(crate) in_body: bool,
    /// Where the offending head stands in what was fed, as far as it has come, beginning with its
    /// request line. Empty for a body.
    pub(crate) head: Range<usize>,
}

impl Framing {
    pub(crate) fn new(limits: Limits) -> Framing {
        Framing {
            head: Head::default(),
            heads: 0,
            left: 0,
            bounds: Bounds::of(limits),
            extensions: 0,
            stage: Stage::Head,
            fault: None,
        }
    }

    /// Takes everything that was not verified by the last call, followed by what is new. `Ok(n)`:
    /// the first `n` bytes are verified and may be handed on; the rest, an incomplete head,
    /// chunk-size line or trailer line, is to be fed again with more behind it.
    ///
    /// # Errors
    /// What is wrong, as soon as it is certain. Every later call says the same again.
    #[inline]
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<usize, Rejected> {
        let mut verified = 0;
        if let Some(fault) = self.fault {
            return Err(self.rejected(fault, verified, bytes));
        }
        while let Some(rest @ [_, ..]) = bytes.get(verified..) {
            let step = match self.stage {
                Stage::Head => self.read_head(rest),
                Stage::Body | Stage::ChunkData => Ok(Some(self.skip(rest.len()))),
                Stage::Tunnel => Ok(Some(rest.len())),
                _ => self.read_chunked(rest),
            };
            match step {
                Ok(Some(length)) => verified += length,
                Ok(None) => break,
                Err(fault) => {
                    self.fault = Some(fault);
                    return Err(self.rejected(fault, verified, bytes));
                }
            }
        }
        Ok(verified)
    }

    /// The client closes here, with `held` bytes that were not verified: what to tell it where it
    /// stopped in the midst of something (400, `incomplete_head` or `incomplete_body`); `None`
    /// between requests, in a tunnel, and after a fault, which was told already. A lone empty line is
    /// nothing: old clients send one behind a body.
    pub(crate) fn eof(&self, held: usize) -> Option<Reject> {
        match self.stage {
            _ if self.fault.is_some() => None,
            Stage::Tunnel => None,
            Stage::Head if self.head.is_untouched(held) => None,
            Stage::Head => Some(Fault::IncompleteHead.reject()),
            _ => Some(Fault::IncompleteBody.reject()),
        }
    }

    /// Whether a head has begun and is not complete.
    #[cfg(test)]
    pub(crate) fn is_in_head(&self) -> bool {
        self.stage == Stage::Head && !self.head.is_untouched(self.head.searched)
    }

    /// Whether a body has begun and is not complete.
    pub(crate) fn is_in_body(&self) -> bool {
        !matches!(self.stage, Stage::Head | Stage::Tunnel)
    }

    /// Complete heads so far.
    #[inline]
    pub(crate) fn heads(&self) -> u64 {
        self.heads
    }

    /// The connection switched protocols (101, or a CONNECT that was granted): everything passes from
    /// now on. Without this call, what follows such a request is judged as the next head.
    pub(crate) fn tunnel(&mut self) {
        self.stage = Stage::Tunnel;
        self.fault = None;
    }

    #[inline(always)]
    fn read_head(&mut self, rest: &[u8]) -> Result<Option<usize>, Fault> {
        let Some((length, content)) = self.head.read(&self.bounds, rest)? else {
            return Ok(None);
        };
        self.head = Head::default();
        self.heads += 1;
        match content {
            Content::Length(0) => {}
            Content::Length(length) => {
                self.left = length;
                self.stage = Stage::Body;
            }
            Content::Chunked => {
                self.extensions = 0;
                self.stage = Stage::ChunkLine;
            }
        }
        Ok(Some(length))
    }

    /// Body data is counted and not looked at.
    #[inline(always)]
    fn skip(&mut self, length: usize) -> usize {
        let skipped = usize::try_from(self.left).map_or(length, |left| left.min(length));
        self.left -= skipped as u64;
        if self.left == 0 {
            let is_chunk = self.stage == Stage::ChunkData;
            self.stage = if is_chunk { Stage::ChunkEnd } else { Stage::Head };
        }
        skipped
    }

    #[cold]
    fn rejected(&self, fault: Fault, verified: usize, bytes: &[u8]) -> Rejected {
        let in_body = self.stage != Stage::Head;
        let mut head = verified..verified;
        if !in_body {
            let rest = bytes.get(verified..).unwrap_or_default();
            head.start += if rest.starts_with(b"\r\n") { 2 } else { 0 };
            let rest = bytes.get(head.start..).unwrap_or_default();
            let end = rest.windows(4).position(|it| it == b"\r\n\r\n").map(|at| at + 4);
            head.end = head.start + end.unwrap_or(rest.len());
        }
        Rejected { verified, reject: fault.reject(), in_body, head }
    }
}

#[cfg(test)]
mod tests;
