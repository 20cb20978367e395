//! One line of a head or of trailers (RFC 9112 §5), read in one pass where it is ordinary.

use super::Bounds;
use super::class::{self, TOKEN};
use super::reject::Fault;

/// What begins with some bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Line<'a> {
    Field(Field<'a>),
    /// The empty line that ends the block, two bytes.
    End,
    /// A line whose end has not come.
    Partial,
}

/// A field that is in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    /// With the space around it.
    pub(super) raw: &'a [u8],
    /// Bytes of the line, those of its CRLF included.
    pub(super) length: usize,
    /// What comes behind the line.
    pub(super) behind: &'a [u8],
}

impl<'a> Field<'a> {
    /// The value without the space around it.
    pub(super) fn value(&self) -> &'a [u8] {
        trim(self.raw)
    }
}

/// Without the spaces and tabs around it (OWS of RFC 9110 §5.6.3).
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Reads the line that begins with `tail`, behind `count` fields of the same block.
#[inline(always)]
pub(super) fn read<'a>(tail: &'a [u8], bounds: &Bounds, count: u32) -> Result<Line<'a>, Fault> {
    if let Some(field) = fast(tail)
        && field.length <= bounds.field()
        && count < bounds.fields
    {
        return Ok(Line::Field(field));
    }
    match tail {
        [b'\r', b'\n', ..] => Ok(Line::End),
        [] | [b'\r'] => Ok(Line::Partial),
        [b'\r', ..] => Err(Fault::BareCr),
        _ => slow(tail, bounds, count),
    }
}

/// Whatever this accepts, [`slow`] accepts too.
#[inline(always)]
fn fast(tail: &[u8]) -> Option<Field<'_>> {
    let colon = class::run(tail, TOKEN);
    let (name, rest) = tail.split_at_checked(colon)?;
    let rest = rest.strip_prefix(b":")?;
    let (raw, rest) = rest.split_at_checked(class::value_run(rest))?;
    let behind = rest.strip_prefix(b"\r\n")?;
    if name.is_empty() {
        return None;
    }
    Some(Field { name, raw, length: tail.len() - behind.len(), behind })
}

/// The canonical order of judgement: number, length, end of the line, name, value.
#[cold]
#[inline(never)]
fn slow<'a>(tail: &'a [u8], bounds: &Bounds, count: u32) -> Result<Line<'a>, Fault> {
    if count >= bounds.fields {
        return Err(Fault::TooManyFields);
    }
    let Some(content) =
        content(tail, bounds).map_err(|long| long.unwrap_or(Fault::FieldTooLong))?
    else {
        return Ok(Line::Partial);
    };
    if let [b' ' | b'\t', ..] = content {
        return Err(Fault::ObsFold);
    }
    let colon = memchr::memchr(b':', content).ok_or(Fault::FieldWithoutColon)?;
    let (name, raw) = content.split_at_checked(colon).unwrap_or_default();
    let raw = raw.get(1..).unwrap_or_default();
    if name.is_empty() {
        return Err(Fault::FieldNameEmpty);
    }
    if !class::all(name, TOKEN) {
        let spaced = class::all(trim(name), TOKEN);
        return Err(if spaced { Fault::SpaceBeforeColon } else { Fault::FieldNameInvalid });
    }
    if class::value_run(raw) < raw.len() {
        return Err(Fault::FieldValueControl);
    }
    let length = content.len() + 2;
    let behind = tail.get(length..).unwrap_or_default();
    Ok(Line::Field(Field { name, raw, length, behind }))
}

/// A line without its CRLF, `None` as long as that has not come; `Err(None)` if it is longer than a
/// field may be, also as long as its end has not come.
pub(super) fn content<'a>(
    tail: &'a [u8],
    bounds: &Bounds,
) -> Result<Option<&'a [u8]>, Option<Fault>> {
    let end = memchr::memchr(b'\n', tail);
    if end.unwrap_or(tail.len()) >= bounds.field() {
        return Err(None);
    }
    let Some(end) = end else { return Ok(None) };
    let content = tail.get(..end).and_then(|it| it.strip_suffix(b"\r")).ok_or(Fault::BareLf)?;
    match memchr::memchr(b'\r', content) {
        Some(_) => Err(Some(Fault::BareCr)),
        None => Ok(Some(content)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::*;
    use proptest::prelude::*;

    const SMALL: Limits = Limits { line: 0, fields: 2, field: 10 };

    #[test]
    fn a_field_of_just_the_allowed_length_passes_and_one_more_byte_is_431() {
        let bounds = Bounds::of(SMALL);
        let field = Field { name: b"abc", raw: b" def", length: 10, behind: b"" };
        assert_eq!(read(b"abc: def\r\n", &bounds, 1), Ok(Line::Field(field)));
        assert_eq!(read(b"abc: defg\r\n", &bounds, 1), Err(Fault::FieldTooLong));
        assert_eq!(read(b"abc: def\r", &bounds, 1), Ok(Line::Partial));
        assert_eq!(read(b"abc: defg\r", &bounds, 1), Err(Fault::FieldTooLong));
        assert_eq!(read(b"a: b\r\n", &bounds, 2), Err(Fault::TooManyFields));
        assert_eq!(read(b"a", &bounds, 2), Err(Fault::TooManyFields));
        assert_eq!(read(b"\r\n", &bounds, 2), Ok(Line::End));
    }

    proptest! {
        #[test]
        fn the_fast_way_accepts_nothing_that_the_slow_way_refuses(
            line in "[A-Za-z_ \t:-]{0,12}:?[ -~\t\r\n\0]{0,24}\r?\n?"
        ) {
            let bounds = Bounds::of(Limits::default());
            if let Some(field) = fast(line.as_bytes()) {
                prop_assert_eq!(slow(line.as_bytes(), &bounds, 0), Ok(Line::Field(field)));
            }
        }
    }
}
