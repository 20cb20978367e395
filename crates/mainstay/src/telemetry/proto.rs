//! Protocol Buffers, as far as spans and log records need them: fields are written behind each other,
//! and what is zero or empty is left out, as proto3 has it.

/// Kinds of fields on the wire.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED32: u32 = 5;

/// Most bytes of a short pair: what is around it still has lengths of one byte.
pub(super) const PAIR: usize = 121;

/// Appends the fields of a message to a buffer.
#[derive(Debug)]
pub(super) struct Proto<'a>(pub(super) &'a mut Vec<u8>);

impl Proto<'_> {
    fn tag(&mut self, field: u32, kind: u32) {
        self.raw(u64::from(field << 3 | kind));
    }

    fn raw(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A field of type `uint32`, `uint64`, `int64` that is not negative, `bool` or an enumeration.
    pub(super) fn varint(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.always(field, value);
        }
    }

    /// The same where zero is told: in a `oneof`.
    pub(super) fn always(&mut self, field: u32, value: u64) {
        self.tag(field, VARINT);
        self.raw(value);
    }

    pub(super) fn fixed64(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.eight(field, value);
        }
    }

    /// Eight bytes where zero is told: a `double` in a `oneof`.
    pub(super) fn eight(&mut self, field: u32, value: u64) {
        self.tag(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn fixed32(&mut self, field: u32, value: u32) {
        if value != 0 {
            self.tag(field, FIXED32);
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// A field of type `bytes` or `string`.
    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        if !value.is_empty() {
            self.text(field, value);
        }
    }

    /// The same where emptiness is told.
    pub(super) fn text(&mut self, field: u32, value: &[u8]) {
        self.tag(field, LENGTH);
        self.raw(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A message `KeyValue` with a text, both together at most [`PAIR`] bytes and the key not empty: of so
    /// short ones all lengths are known before.
    pub(super) fn pair(&mut self, field: u32, key: &[u8], value: &[u8]) {
        let (of_key, of_value) = (key.len() as u8, value.len() as u8);
        self.tag(field, LENGTH);
        self.0.extend_from_slice(&[of_key + of_value + 6, 1 << 3 | LENGTH as u8, of_key]);
        self.0.extend_from_slice(key);
        self.0.extend_from_slice(&[
            2 << 3 | LENGTH as u8,
            of_value + 2,
            1 << 3 | LENGTH as u8,
            of_value,
        ]);
        self.0.extend_from_slice(value);
    }

    /// A message within this one.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Proto<'_>)) {
        self.tag(field, LENGTH);
        // One byte is enough for the length of most; what is longer is moved.
        let at = self.0.len();
        self.0.push(0);
        write(self);
        let length = self.0.len() - at - 1;
        let more = (length.checked_ilog2().unwrap_or(0) / 7) as usize;
        if more > 0 {
            self.0.resize(self.0.len() + more, 0);
            self.0.copy_within(at + 1..at + 1 + length, at + 1 + more);
        }
        for place in 0..=more {
            let rest = (length >> (7 * place)) as u8 & 0x7f;
            let goes_on = if place < more { 0x80 } else { 0 };
            self.0[at + place] = rest | goes_on;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::bytes::Buf;
    use prost::encoding::{decode_key, decode_varint};

    proptest! {
        #[test]
        fn numbers_and_lengths_are_read_back_by_another_reader(
            field in 1..200_u32, value: u64, text in prop::collection::vec(any::<u8>(), 0..40_000),
        ) {
            let mut out = Vec::new();
            let mut proto = Proto(&mut out);
            proto.always(field, value);
            proto.message(field, |inner| inner.0.extend_from_slice(&text));
            let mut rest = &out[..];
            prop_assert_eq!(decode_key(&mut rest).unwrap().0, field);
            prop_assert_eq!(decode_varint(&mut rest).unwrap(), value);
            prop_assert_eq!(decode_key(&mut rest).unwrap().0, field);
            prop_assert_eq!(decode_varint(&mut rest).unwrap() as usize, text.len());
            prop_assert_eq!(rest.remaining(), text.len());
            prop_assert_eq!(rest, &text[..]);
        }
    }

    #[test]
    fn a_short_pair_is_what_it_is_as_messages() {
        for (key, value) in [(1, 0), (1, PAIR - 1), (PAIR, 0), (20, 100)] {
            let (key, value) = (vec![b'k'; key], vec![b'v'; value]);
            let (mut short, mut long) = (Vec::new(), Vec::new());
            Proto(&mut short).pair(9, &key, &value);
            Proto(&mut long).message(9, |pair| {
                pair.bytes(1, &key);
                pair.message(2, |it| it.text(1, &value));
            });
            assert_eq!(short, long);
        }
    }

    #[test]
    fn lengths_at_the_edges_of_their_bytes_are_right() {
        for length in [0, 1, 127, 128, 129, 16_383, 16_384, 2_097_151, 2_097_152] {
            let mut out = Vec::new();
            Proto(&mut out).message(1, |inner| inner.0.resize(inner.0.len() + length, 7));
            let mut rest = &out[1..];
            assert_eq!(decode_varint(&mut rest).unwrap() as usize, length);
            assert_eq!(rest.len(), length);
        }
    }
}
