//! The few forms of protobuf that OTLP is written in, and as much reading as its answers need. Pure.

use crate::watch::varint;

/// Appends a field of bytes: a text, a message, packed numbers.
pub(super) fn bytes(field: u32, value: &[u8], out: &mut Vec<u8>) {
    tag(field, 2, out);
    varint::put(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a message that `fill` writes.
pub(super) fn message(field: u32, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    fill(&mut inner);
    bytes(field, &inner, out);
}

/// Appends a number of the kinds `fixed64`, `sfixed64` and `double` by its bits.
pub(super) fn fixed64(field: u32, bits: u64, out: &mut Vec<u8>) {
    tag(field, 1, out);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Appends a number of the kinds `uint64`, `int64` that is not negative, `bool` and `enum`.
pub(super) fn number(field: u32, value: u64, out: &mut Vec<u8>) {
    tag(field, 0, out);
    varint::put(out, value);
}

/// Appends a `KeyValue` with a text.
pub(super) fn attribute(field: u32, key: &str, value: &str, out: &mut Vec<u8>) {
    message(field, out, |out| {
        bytes(1, key.as_bytes(), out);
        message(2, out, |out| bytes(1, value.as_bytes(), out));
    });
}

fn tag(field: u32, wire: u32, out: &mut Vec<u8>) {
    varint::put(out, u64::from(field << 3 | wire));
}

/// A value as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message; ends with `Err` where it is none.
pub(super) fn fields(mut rest: &[u8]) -> impl Iterator<Item = Result<(u32, Value<'_>), ()>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = read_field(&mut rest);
        if field.is_none() {
            rest = &[];
        }
        Some(field.ok_or(()))
    })
}

fn read_field<'a>(rest: &mut &'a [u8]) -> Option<(u32, Value<'a>)> {
    let tag = varint::take(rest)?;
    let field = u32::try_from(tag >> 3).ok().filter(|field| *field > 0)?;
    let value = match tag & 7 {
        0 => Value::Number(varint::take(rest)?),
        1 => Value::Number(u64::from_le_bytes(*split(rest, 8)?.first_chunk()?)),
        2 => {
            let len = usize::try_from(varint::take(rest)?).ok()?;
            Value::Bytes(split(rest, len)?)
        }
        5 => Value::Number(u64::from(u32::from_le_bytes(*split(rest, 4)?.first_chunk()?))),
        _ => return None,
    };
    Some((field, value))
}

fn split<'a>(rest: &mut &'a [u8], at: usize) -> Option<&'a [u8]> {
    let (before, after) = rest.split_at_checked(at)?;
    *rest = after;
    Some(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        number(1, 300, &mut out);
        fixed64(2, 7, &mut out);
        attribute(16, "k", "v", &mut out);
        let read: Result<Vec<_>, ()> = fields(&out).collect();
        let inner = [0x0a, 1, b'k', 0x12, 3, 0x0a, 1, b'v'];
        let expected =
            vec![(1, Value::Number(300)), (2, Value::Number(7)), (16, Value::Bytes(&inner))];
        assert_eq!(read, Ok(expected));
        assert!(fields(&out[..out.len() - 1]).any(|field| field.is_err()));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            fields(&bytes).for_each(drop);
        }
    }
}
