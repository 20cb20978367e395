//! A head as it comes: where its reading stands, and what was learned of it.

use super::Bounds;
use super::coding::Codings;
use super::field::{self, Field, Line};
use super::host;
use super::reject::Fault;
use super::request_line;

/// What follows a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Content {
    /// So many bytes, perhaps none.
    Length(u64),
    Chunked,
}

/// Facts about a head, one bit each.
mod fact {
    /// The request line is read.
    pub(super) const LINE: u8 = 1;
    pub(super) const HTTP_11: u8 = 1 << 1;
    pub(super) const HOST: u8 = 1 << 2;
    pub(super) const CONTENT_TYPE: u8 = 1 << 3;
    pub(super) const CONTENT_LENGTH: u8 = 1 << 4;
    pub(super) const TRANSFER_ENCODING: u8 = 1 << 5;
    pub(super) const EXPECTATION: u8 = 1 << 6;
    /// What is decided when the head is whole, beside the missing Host.
    pub(super) const RARE: u8 = TRANSFER_ENCODING | EXPECTATION;
}

/// Progress within a head. All offsets count from the first byte that is not verified.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Head {
    /// Where the line begins that is read next.
    at: usize,
    /// So many bytes were fed. If they reach into that line, its end is not among them.
    pub(super) searched: usize,
    length: u64,
    fields: u32,
    facts: u8,
    codings: Codings,
}

impl Head {
    /// Whether of `held` bytes none belongs to a head: there are none, or just an empty line.
    #[inline]
    pub(super) fn is_untouched(&self, held: usize) -> bool {
        self.facts == 0 && held <= self.at
    }

    /// Among trailers: how many there were.
    pub(super) fn trailers(&self) -> u32 {
        self.fields
    }

    pub(super) fn count_trailer(&mut self) {
        self.fields += 1;
        self.searched = 0;
    }

    /// Reads on. The bytes of a head that is whole and in order, an empty line before it included.
    #[inline(always)]
    pub(super) fn read(
        &mut self,
        bounds: &Bounds,
        rest: &[u8],
    ) -> Result<Option<(usize, Content)>, Fault> {
        // A line that was looked at before is read again only when its end has come: a head that
        // comes byte by byte is searched once. (Two bytes tell an empty line.)
        if self.searched > self.at + 1 && self.is_waiting(bounds, rest)? {
            return Ok(None);
        }
        // Progress is kept in registers, and written back where the bytes end.
        let mut head = *self;
        if head.facts & fact::LINE == 0 && !head.begin(bounds, rest)? {
            head.searched = rest.len();
            *self = head;
            return Ok(None);
        }
        let mut tail = rest.get(head.at..).unwrap_or_default();
        loop {
            match field::read(tail, bounds, head.fields)? {
                Line::Field(field) => {
                    head.note(&field)?;
                    head.fields += 1;
                    tail = field.behind;
                }
                Line::End => {
                    let length = rest.len() - tail.len() + 2;
                    return Ok(Some((length, head.content()?)));
                }
                Line::Partial => {
                    head.at = rest.len() - tail.len();
                    head.searched = rest.len();
                    *self = head;
                    return Ok(None);
                }
            }
        }
    }

    /// Whether the line that is read next still has no end.
    #[cold]
    #[inline(never)]
    fn is_waiting(&mut self, bounds: &Bounds, rest: &[u8]) -> Result<bool, Fault> {
        let new = rest.get(self.searched..).unwrap_or_default();
        if memchr::memchr(b'\n', new).is_some() {
            return Ok(false);
        }
        self.searched = rest.len();
        let line = rest.get(self.at..).unwrap_or_default();
        if self.facts & fact::LINE == 0 {
            request_line::waiting(line, bounds.line())?;
        } else if line.len() >= bounds.field() {
            return Err(Fault::FieldTooLong);
        }
        Ok(true)
    }

    /// Reads the request line, and the one empty line that RFC 9112 §2.2 wants to be passed over
    /// before it; Gunicorn passes over one as well. Whether it has come.
    #[inline(always)]
    fn begin(&mut self, bounds: &Bounds, rest: &[u8]) -> Result<bool, Fault> {
        if let (0, [b'\r', behind @ ..]) = (self.at, rest) {
            match behind {
                [] => return Ok(false),
                [b'\n', ..] => self.at = 2,
                _ => return Err(Fault::BareCr),
            }
        }
        let tail = rest.get(self.at..).unwrap_or_default();
        let Some(line) = request_line::read(tail, bounds.line())? else { return Ok(false) };
        self.at += line.length;
        self.facts = if line.is_11 { fact::LINE | fact::HTTP_11 } else { fact::LINE };
        Ok(true)
    }

    /// Looks at a field, if its first letter is that of one that matters.
    #[inline(always)]
    fn note(&mut self, field: &Field<'_>) -> Result<(), Fault> {
        let first = field.name.first().map_or(0, |first| first | 0x20);
        if !matches!(first, b'c' | b'e' | b'h' | b't') {
            return Ok(());
        }
        let name = field.name;
        match name.len() {
            4 if is(name, b"host") => {
                self.once(fact::HOST, Fault::HostDuplicate)?;
                let valid = host::is_host_field(field.value());
                if valid { Ok(()) } else { Err(Fault::HostInvalid) }
            }
            6 if is(name, b"expect") => {
                if !field.value().eq_ignore_ascii_case(b"100-continue") {
                    self.facts |= fact::EXPECTATION;
                }
                Ok(())
            }
            12 if is(name, b"content-type") => {
                self.once(fact::CONTENT_TYPE, Fault::ContentTypeDuplicate)
            }
            14 if is(name, b"content-length") => {
                self.once(fact::CONTENT_LENGTH, Fault::ContentLengthDuplicate)?;
                self.length = content_length(field.value())?;
                Ok(())
            }
            17 if is(name, b"transfer-encoding") => {
                self.facts |= fact::TRANSFER_ENCODING;
                self.codings.add(field.value());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    #[inline(always)]
    fn once(&mut self, fact: u8, fault: Fault) -> Result<(), Fault> {
        if self.facts & fact != 0 {
            return Err(fault);
        }
        self.facts |= fact;
        Ok(())
    }

    /// The head is whole: what follows it.
    #[inline(always)]
    fn content(&self) -> Result<Content, Fault> {
        if self.facts & fact::RARE != 0 {
            return self.rare_content();
        }
        if self.facts & (fact::HTTP_11 | fact::HOST) == fact::HTTP_11 {
            return Err(Fault::HostMissing);
        }
        Ok(Content::Length(self.length))
    }

    /// Faults of the framing come first: they are the dangerous ones.
    #[cold]
    fn rare_content(&self) -> Result<Content, Fault> {
        let has = |fact| self.facts & fact != 0;
        let mut content = Content::Length(self.length);
        if has(fact::TRANSFER_ENCODING) {
            if !has(fact::HTTP_11) {
                return Err(Fault::TransferEncodingInHttp10);
            }
            if has(fact::CONTENT_LENGTH) {
                return Err(Fault::ContentLengthWithTransferEncoding);
            }
            self.codings.judge()?;
            content = Content::Chunked;
        }
        if has(fact::HTTP_11) && !has(fact::HOST) {
            return Err(Fault::HostMissing);
        }
        if has(fact::EXPECTATION) {
            return Err(Fault::ExpectationFailed);
        }
        Ok(content)
    }
}

/// Whether a name begins with another, which is of lower-case letters and `-`. No character of
/// tokens but its capital becomes one of these by this bit, so few instructions compare a word.
#[inline(always)]
fn is<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    name.first_chunk::<N>().is_some_and(|name| name.map(|byte| byte | 0x20) == *lower)
}

/// 1 to 19 digits, which every `u64` can hold.
fn content_length(value: &[u8]) -> Result<u64, Fault> {
    if value.contains(&b',') {
        return Err(Fault::ContentLengthList);
    }
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return Err(Fault::ContentLengthInvalid);
    }
    Ok(value.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}
