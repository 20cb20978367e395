//! The header `traceparent`: which trace a request belongs to (W3C Trace Context, level 2).

use super::context::id::{ONES, ascii};

/// Length of the header in version 00, bytes.
pub(crate) const LENGTH: usize = 55;
/// The flags that level 2 knows: sampled, and random trace id. Others are not passed on.
const KNOWN_FLAGS: u8 = 0b11;

/// The parsed header: a trace, and the span in it that made the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceParent {
    /// Id of the trace; never all zero.
    pub(crate) trace: [u8; 16],
    /// Id of the span that is the parent of ours; never all zero.
    pub(crate) parent: [u8; 8],
    /// Bit 0: sampled by the caller. Bit 1: the trace id is random. The others are 0.
    pub(crate) flags: u8,
}

/// Reads the value of a header. `None` when it is invalid, and a new trace begins.
///
/// Version 00 has exactly [`LENGTH`] bytes; of higher versions the first 55 are read, which a `-`
/// must follow if anything does; version ff is invalid. Hexadecimal digits are lower case, and ids
/// of zeros alone are invalid.
#[inline]
pub(crate) fn parse(value: &[u8]) -> Option<TraceParent> {
    let (head, rest) = value.split_first_chunk::<LENGTH>()?;
    // Judged at the end and all at once: a valid header is what mostly comes.
    let mut bad = 0;
    let mut at = |from: usize| {
        let text: &[u8; 8] = head[from..].first_chunk().expect("places are fixed");
        word(*text, &mut bad)
    };
    let trace = [at(3), at(11), at(19), at(27)];
    let parent = [at(36), at(44)];
    let small = [head[0], head[1], head[53], head[54], b'0', b'0', b'0', b'0'];
    let [version, flags, ..] = word(small, &mut bad).to_be_bytes();
    if bad != 0 || [head[2], head[35], head[52]] != [b'-'; 3] {
        return None;
    }
    if version == 0xff || (version == 0 && !rest.is_empty()) {
        return None;
    }
    if rest.first().is_some_and(|next| *next != b'-') {
        return None;
    }
    let is_zero = |words: &[u32]| words.iter().fold(0, |all, word| all | word) == 0;
    if is_zero(&trace) || is_zero(&parent) {
        return None;
    }
    let mut found = TraceParent { trace: [0; 16], parent: [0; 8], flags: flags & KNOWN_FLAGS };
    for (bytes, word) in found.trace.chunks_exact_mut(4).zip(trace) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    for (bytes, word) in found.parent.chunks_exact_mut(4).zip(parent) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    Some(found)
}

/// The number in eight lower-case hexadecimal digits, all eight at once; sets bits of `bad` when they
/// are something else.
#[inline(always)]
fn word(text: [u8; 8], bad: &mut u64) -> u32 {
    let text = u64::from_be_bytes(text);
    // Letters have bit 6, digits do not. The value that each byte would have, if it is a digit:
    let letters = (text >> 6) & ONES;
    let values = (text & (ONES * 0x0f)) + letters * 9;
    // It was one exactly when it is below 16 and writing it gives the same byte.
    *bad |= values & (ONES * 0xf0) | (ascii(values) ^ text);
    // Nibbles of pairs, then of fours, then of all eight move together.
    let pairs = (values | values >> 4) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    (fours | fours >> 16) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::client::corpus;
    use proptest::prelude::*;

    /// What is passed on of it, in version 00.
    fn written(it: &TraceParent) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("00-{}-{}-{:02x}", hex(&it.trace), hex(&it.parent), it.flags)
    }

    /// `tests/corpus/traceparent`: one case a line, `#` begins a comment, bytes as in
    /// [`corpus::unescape`]. In a `.good` file a value, a blank, and what is written for it; in a
    /// `.bad` file values alone.
    #[test]
    fn the_corpus_is_read_as_its_files_say() {
        let (mut good, mut bad) = (0, 0);
        for (name, line) in corpus::lines("traceparent", ".good") {
            let (value, expected) = line.rsplit_once(' ').expect("a value and what is written");
            let found = parse(&corpus::unescape(value));
            assert_eq!(found.as_ref().map(written).as_deref(), Some(expected), "{name}: {line}");
            good += 1;
        }
        for (name, line) in corpus::lines("traceparent", ".bad") {
            assert_eq!(parse(&corpus::unescape(&line)), None, "{name}: {line}");
            bad += 1;
        }
        assert!(good >= 8 && bad >= 30, "the corpus has shrunk to {good} and {bad}");
    }

    #[test]
    fn ids_and_flags_are_the_bytes_of_the_digits() {
        let value = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let found = parse(value).unwrap();
        assert_eq!(found.trace[..4], [0x0a, 0xf7, 0x65, 0x19]);
        assert_eq!(found.trace[12..], [0x1c, 0x80, 0x31, 0x9c]);
        assert_eq!(found.parent, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
        assert!(found.flags == 1);
    }

    /// What the standard library makes of one digit.
    fn is_lower_hex(byte: u8) -> bool {
        byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(trace: [u8; 16], parent: [u8; 8], flags in 0..=3_u8) {
            let it = TraceParent { trace, parent, flags: flags & KNOWN_FLAGS };
            let expected = (trace != [0; 16] && parent != [0; 8]).then_some(it);
            prop_assert_eq!(parse(written(&it).as_bytes()), expected);
        }

        #[test]
        fn eight_digits_are_read_as_the_standard_library_reads_them(
            value: u32, at in 0..8_usize, byte: u8,
        ) {
            let mut text: [u8; 8] = format!("{value:08x}").into_bytes().try_into().unwrap();
            let read = |text| {
                let mut bad = 0;
                let value = word(text, &mut bad);
                (bad == 0).then_some(value)
            };
            prop_assert_eq!(read(text), Some(value));
            text[at] = byte;
            let expected = u32::from_str_radix(&String::from_utf8_lossy(&text), 16);
            let expected = expected.ok().filter(|_| is_lower_hex(byte));
            prop_assert_eq!(read(text), expected);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, text in "[0-9a-fA-F-]{50,60}") {
            parse(&bytes);
            parse(text.as_bytes());
        }
    }
}
