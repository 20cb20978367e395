//! Chunked bodies (RFC 9112 §7.1): chunk-size lines, what ends a chunk, and trailers.

use super::class::{self, TOKEN};
use super::field::{self, Line};
use super::reject::Fault;
use super::{Bounds, Framing, Head, Stage};

/// Bytes of extensions in one body from which hyper refuses them.
const EXTENSIONS: usize = 16 * 1024;
/// Most bytes of trailers that hyper takes.
const TRAILERS: u64 = 16 * 1024;

/// Trailers that are not let pass: what RFC 9110 §6.5.1 names for framing, routing, authentication,
/// request modifiers, response control and content format, and what tells of the client's address.
const FORBIDDEN: &[&[u8]] = &[
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"forwarded",
    b"host",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"keep-alive",
    b"max-forwards",
    b"pragma",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"range",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"www-authenticate",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
];

impl Framing {
    /// Reads on within a chunked body, but for the data of chunks.
    pub(super) fn read_chunked(&mut self, rest: &[u8]) -> Result<Option<usize>, Fault> {
        match self.stage {
            Stage::ChunkEnd => self.read_chunk_end(rest),
            Stage::Trailers => self.read_trailer(rest),
            _ => self.read_chunk_line(rest),
        }
    }

    fn read_chunk_end(&mut self, rest: &[u8]) -> Result<Option<usize>, Fault> {
        match rest {
            [b'\r', b'\n', ..] => {
                self.stage = Stage::ChunkLine;
                Ok(Some(2))
            }
            [] | [b'\r'] => Ok(None),
            _ => Err(Fault::ChunkEndMissing),
        }
    }

    fn read_chunk_line(&mut self, rest: &[u8]) -> Result<Option<usize>, Fault> {
        if self.is_waiting(rest, Fault::ChunkLineTooLong)? {
            return Ok(None);
        }
        let Some(line) = read_size(rest, &self.bounds)? else {
            return Ok(None);
        };
        let extensions = usize::from(self.extensions) + line.extensions;
        if extensions >= EXTENSIONS {
            return Err(Fault::ChunkExtensionsTooLong);
        }
        self.extensions = u16::try_from(extensions).expect("less than their bound");
        self.head.searched = 0;
        self.left = line.size;
        self.stage = if line.size == 0 { Stage::Trailers } else { Stage::ChunkData };
        Ok(Some(line.length))
    }

    /// One trailer, or the empty line behind the last.
    fn read_trailer(&mut self, rest: &[u8]) -> Result<Option<usize>, Fault> {
        if self.is_waiting(rest, Fault::FieldTooLong)? {
            return Ok(None);
        }
        match field::read(rest, &self.bounds, self.head.trailers())? {
            Line::Partial => Ok(None),
            Line::End => {
                self.head = Head::default();
                self.left = 0;
                self.stage = Stage::Head;
                Ok(Some(2))
            }
            Line::Field(field) => {
                self.left += field.length as u64;
                if self.left + 2 > TRAILERS {
                    return Err(Fault::TrailersTooLong);
                }
                if FORBIDDEN.iter().any(|name| field.name.eq_ignore_ascii_case(name)) {
                    return Err(Fault::TrailerForbidden);
                }
                self.head.count_trailer();
                Ok(Some(field.length))
            }
        }
    }

    /// Whether the line that `rest` begins with was looked at before and still has no end.
    fn is_waiting(&mut self, rest: &[u8], too_long: Fault) -> Result<bool, Fault> {
        let searched = std::mem::replace(&mut self.head.searched, rest.len());
        let new = rest.get(searched..).unwrap_or_default();
        if searched < 2 || memchr::memchr(b'\n', new).is_some() {
            return Ok(false);
        }
        if rest.len() >= self.bounds.field() { Err(too_long) } else { Ok(true) }
    }
}

/// A chunk-size line.
struct SizeLine {
    size: u64,
    /// Bytes behind the size, without the CRLF.
    extensions: usize,
    /// All bytes.
    length: usize,
}

fn read_size(tail: &[u8], bounds: &Bounds) -> Result<Option<SizeLine>, Fault> {
    let content =
        field::content(tail, bounds).map_err(|fault| fault.unwrap_or(Fault::ChunkLineTooLong))?;
    let Some(content) = content else { return Ok(None) };
    let digits = content.iter().take_while(|byte| byte.is_ascii_hexdigit());
    let (mut size, mut length) = (0, 0);
    for digit in digits {
        size = size << 4 | u64::from((*digit as char).to_digit(16).unwrap_or_default());
        length += 1;
    }
    if !(1..=16).contains(&length) {
        return Err(Fault::ChunkSizeInvalid);
    }
    let extensions = content.get(length..).unwrap_or_default();
    if !extensions.is_empty() && !field::trim(extensions).starts_with(b";") {
        return Err(Fault::ChunkSizeInvalid);
    }
    if !are_extensions(extensions) {
        return Err(Fault::ChunkExtensionInvalid);
    }
    Ok(Some(SizeLine { size, extensions: extensions.len(), length: content.len() + 2 }))
}

/// `*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )`, with the bad whitespace that
/// RFC 9112 §7.1.1 bids to read over.
fn are_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some(behind) = skip_space(rest).strip_prefix(b";") else { return false };
        let Some(behind) = skip_token(skip_space(behind)) else { return false };
        rest = behind;
        let Some(value) = skip_space(behind).strip_prefix(b"=") else { continue };
        let value = skip_space(value);
        let quoted = value.strip_prefix(b"\"");
        let Some(behind) = quoted.map_or_else(|| skip_token(value), skip_quoted) else {
            return false;
        };
        rest = behind;
    }
    true
}

fn skip_space(bytes: &[u8]) -> &[u8] {
    let length = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    bytes.get(length..).unwrap_or_default()
}

fn skip_token(bytes: &[u8]) -> Option<&[u8]> {
    let length = class::run(bytes, TOKEN);
    bytes.get(length..).filter(|_| length > 0)
}

/// What is behind a quoted string whose first quote is gone (RFC 9110 §5.6.4).
fn skip_quoted(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        bytes = match bytes {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] if class::is(*byte, class::VALUE) => rest,
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_names_with_values_that_are_tokens_or_quoted() {
        let good =
            ["", ";a", ";a=b", "; a = b", " ;a", ";a=\"b c\"", ";a=\"\\\"\"", ";a;b=c;d=\"\""];
        for text in good {
            assert!(are_extensions(text.as_bytes()), "{text}");
        }
        let bad = [
            ";",
            ";;",
            ";=b",
            ";a=",
            ";a=\"",
            ";a=\"\\\"",
            ";a=b c",
            ";a b",
            "a",
            ";a=\"b\"c",
            ";\0",
            ";a=\"\0\"",
            " ",
            ";a ",
            ";a,b",
            ";a=\"\\",
        ];
        for text in bad {
            assert!(!are_extensions(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn forbidden_trailers_are_sorted_and_in_lower_case() {
        assert!(FORBIDDEN.is_sorted());
        assert!(FORBIDDEN.iter().all(|name| name.to_ascii_lowercase() == *name));
    }
}
