//! The request line (RFC 9112 §3), read in one pass where it is ordinary.

use super::class::{self, METHOD, TARGET};
use super::host;
use super::reject::Fault;

/// A request line that is in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Line {
    /// Its bytes, those of its CRLF included.
    pub(super) length: usize,
    /// HTTP/1.1 and not HTTP/1.0.
    pub(super) is_11: bool,
}

/// Reads the line that begins with `tail`; `None` as long as its end has not come.
#[inline(always)]
pub(super) fn read(tail: &[u8], limit: usize) -> Result<Option<Line>, Fault> {
    match fast(tail) {
        Some(line) if line.length <= limit + 2 => Ok(Some(line)),
        _ => slow(tail, limit),
    }
}

/// A line with a path as its target. Whatever this accepts, [`slow`] accepts too.
#[inline(always)]
fn fast(tail: &[u8]) -> Option<Line> {
    let method = class::run(tail, METHOD);
    // CONNECT and everything else that is not quite ordinary goes the slow way.
    if !(3..=20).contains(&method) || tail.first() == Some(&b'C') {
        return None;
    }
    let rest = tail.get(method..)?.strip_prefix(b" /")?;
    let target = class::run(rest, TARGET);
    let (http, rest) = rest.get(target..)?.split_first_chunk::<8>()?;
    let is_11 = match rest.first_chunk::<3>()? {
        b"1\r\n" => true,
        b"0\r\n" => false,
        _ => return None,
    };
    if http != b" HTTP/1." {
        return None;
    }
    Some(Line { length: method + 2 + target + 11, is_11 })
}

/// The canonical order of judgement: first byte, length, end of the line, words from the left.
#[cold]
#[inline(never)]
fn slow(tail: &[u8], limit: usize) -> Result<Option<Line>, Fault> {
    match tail.first() {
        None => return Ok(None),
        Some(b'\r') => return Err(Fault::BlankLines),
        Some(b'\n') => return Err(Fault::BareLf),
        Some(first) if !class::is(*first, METHOD) => return Err(Fault::MethodInvalid),
        Some(_) => {}
    }
    let Some(end) = memchr::memchr(b'\n', tail) else {
        return waiting(tail, limit).map(|()| None);
    };
    let line = tail.get(..end).unwrap_or_default();
    let content = line.strip_suffix(b"\r");
    if content.unwrap_or(line).len() > limit {
        return Err(Fault::RequestLineTooLong);
    }
    let content = content.ok_or(Fault::BareLf)?;
    if memchr::memchr(b'\r', content).is_some() {
        return Err(Fault::BareCr);
    }
    let is_11 = words(content)?;
    Ok(Some(Line { length: end + 1, is_11 }))
}

/// A line whose end has not come: whether it is too long already, whatever comes.
pub(super) fn waiting(tail: &[u8], limit: usize) -> Result<(), Fault> {
    // The CR of a line of just the allowed length may have come.
    let length = tail.len() - usize::from(tail.last() == Some(&b'\r') && tail.len() == limit + 1);
    if length > limit { Err(Fault::RequestLineTooLong) } else { Ok(()) }
}

fn words(line: &[u8]) -> Result<bool, Fault> {
    let mut words = line.split(|byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    if !(3..=20).contains(&method.len()) || !class::all(method, METHOD) {
        return Err(Fault::MethodInvalid);
    }
    let target = words.next().ok_or(Fault::RequestLineInvalid)?;
    judge_target(method, target)?;
    let version = words.next().ok_or(Fault::RequestLineInvalid)?;
    if words.next().is_some() {
        return Err(Fault::RequestLineInvalid);
    }
    match version {
        b"HTTP/1.1" => Ok(true),
        b"HTTP/1.0" => Ok(false),
        _ => Err(Fault::VersionUnsupported),
    }
}

/// The four forms of a target (RFC 9112 §3.2), each where it belongs.
fn judge_target(method: &[u8], target: &[u8]) -> Result<(), Fault> {
    let is_connect = method == b"CONNECT";
    if !has_uri_characters(target) {
        return Err(Fault::TargetInvalid);
    }
    if is_connect {
        return if host::is_authority_with_port(target) {
            Ok(())
        } else {
            Err(Fault::TargetOfConnect)
        };
    }
    if target.starts_with(b"/") {
        return Ok(());
    }
    if target == b"*" {
        return if method == b"OPTIONS" { Ok(()) } else { Err(Fault::TargetAsterisk) };
    }
    let Some(colon) = target.windows(3).position(|it| it == b"://") else {
        return Err(Fault::TargetAuthority);
    };
    let (scheme, rest) = target.split_at_checked(colon).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return Err(Fault::TargetScheme);
    }
    let rest = rest.get(3..).unwrap_or_default();
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    let authority = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    if host::is_authority(authority) { Ok(()) } else { Err(Fault::TargetInvalid) }
}

/// Whether there are no other bytes than hyper lets be in a target: printable ASCII without `<` and
/// `>`, and neither '`' in a path nor `"` in a query. A fragment is let be, and hyper cuts it off.
fn has_uri_characters(target: &[u8]) -> bool {
    let mut odd = b'`';
    !target.is_empty()
        && target.iter().all(|byte| {
            match byte {
                b'?' => odd = b'"',
                b'#' => odd = 0,
                _ => {}
            }
            class::is(*byte, TARGET) || (matches!(byte, b'"' | b'`') && *byte != odd)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_of_just_the_allowed_length_passes_and_one_more_byte_is_414() {
        let line = b"GET /abc HTTP/1.1\r\n";
        assert_eq!(read(line, 17), Ok(Some(Line { length: 19, is_11: true })));
        assert_eq!(read(line, 16), Err(Fault::RequestLineTooLong));
        assert_eq!(read(&line[..18], 17), Ok(None), "its CR may have come");
        assert_eq!(read(&line[..17], 16), Err(Fault::RequestLineTooLong));
        assert_eq!(read(b"GET /abc HTTP/1.1x", 17), Err(Fault::RequestLineTooLong));
    }

    proptest! {
        #[test]
        fn the_fast_way_accepts_nothing_that_the_slow_way_refuses(
            line in "[A-Za-z#-]{0,22} {0,2}[/*a-z:?#\"`<{]{0,9} {0,2}HTTP/[0-2].[0-2]\r?\n?"
        ) {
            if let Some(line_read) = fast(line.as_bytes()) {
                prop_assert_eq!(slow(line.as_bytes(), 4094), Ok(Some(line_read)));
            }
        }

        #[test]
        fn hyper_accepts_every_target_that_passes(
            method in "CONNECT|GET|OPTIONS",
            target in "(/|[*]|http://|HTTPS://|ftp://|)([a-c%@:.?#\"`<>|^~{}\\[\\]/]|[0-9]){0,9}"
        ) {
            if judge_target(method.as_bytes(), target.as_bytes()).is_ok() {
                prop_assert!(target.parse::<http::Uri>().is_ok(), "{} {}", method, target);
            }
        }
    }
}
