//! What each byte may be part of: one table, and a scan of eight bytes at a time.

/// A character of tokens (RFC 9110 §5.6.2).
pub(super) const TOKEN: u8 = 1;
/// A character of methods: of tokens, but no lower-case letter and no `#`, as in Gunicorn.
pub(super) const METHOD: u8 = 2;
/// A character of request targets, wherever it stands.
pub(super) const TARGET: u8 = 4;
/// A character of host names (`reg-name` of RFC 3986 §3.2.2, but `%`) or of ports.
pub(super) const HOST: u8 = 8;
/// A byte of field values: all but control bytes, TAB excepted.
pub(super) const VALUE: u8 = 16;

const CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        let mark = matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        );
        if mark || byte.is_ascii_alphanumeric() {
            table[at] |= TOKEN;
            if !byte.is_ascii_lowercase() && byte != b'#' {
                table[at] |= METHOD;
            }
        }
        // `"` and '`' are for the slow way: they may stand in some places only.
        if byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"' | b'`') {
            table[at] |= TARGET;
        }
        let host = matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
        );
        if host || byte.is_ascii_alphanumeric() {
            table[at] |= HOST;
        }
        if byte == b'\t' || !byte.is_ascii_control() {
            table[at] |= VALUE;
        }
        at += 1;
    }
    table
}

#[inline(always)]
pub(super) fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

pub(super) fn all(bytes: &[u8], class: u8) -> bool {
    bytes.iter().all(|byte| is(*byte, class))
}

/// How many of the first bytes are of this class.
#[inline(always)]
pub(super) fn run(bytes: &[u8], class: u8) -> usize {
    let mut rest = bytes;
    // Of a fixed length, so that the loop over it is unrolled: half the instructions.
    while let Some((chunk, behind)) = rest.split_first_chunk::<8>() {
        if let Some(at) = chunk.iter().position(|byte| !is(*byte, class)) {
            return bytes.len() - rest.len() + at;
        }
        rest = behind;
    }
    let last = rest.iter().position(|byte| !is(*byte, class)).unwrap_or(rest.len());
    bytes.len() - rest.len() + last
}

/// How many of the first bytes a field value may have: [`run`] of [`VALUE`], sixteen at a time.
#[inline(always)]
pub(super) fn value_run(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    // Without branches between the bytes, so that the compiler takes all sixteen as one.
    while let Some((chunk, behind)) = rest.split_first_chunk::<16>() {
        if chunk.iter().fold(false, |found, byte| found | (*byte < 0x20) | (*byte == 0x7f)) {
            break;
        }
        rest = behind;
    }
    while let Some((word, behind)) = rest.split_first_chunk::<8>() {
        let controls = controls(u64::from_le_bytes(*word));
        if controls == 0 {
            rest = behind;
            continue;
        }
        let at = controls.trailing_zeros() as usize / 8;
        match rest.get(at..) {
            Some([b'\t', behind @ ..]) => rest = behind,
            _ => return bytes.len() - rest.len() + at,
        }
    }
    let last = rest.iter().position(|byte| !is(*byte, VALUE)).unwrap_or(rest.len());
    bytes.len() - rest.len() + last
}

/// The high bit of each byte below 0x20 and of each DEL. Above the lowest such byte there may be
/// more bits than there are such bytes, since the subtractions borrow.
#[inline(always)]
fn controls(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let below = word.wrapping_sub(ONES * 0x20);
    let del = (word ^ (ONES * 0x7f)).wrapping_sub(ONES);
    (below | del) & !word & (ONES * 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_byte_ends_a_value_or_not_wherever_it_stands() {
        for byte in 0..=255_u8 {
            for at in 0..20 {
                let mut bytes = [b'a'; 20];
                bytes[at] = byte;
                let expected = if is(byte, VALUE) { 20 } else { at };
                assert_eq!(value_run(&bytes), expected, "byte {byte:#x} at {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn eight_at_a_time_is_as_one_at_a_time(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x20_u8..0x7f, Just(9)], 0..64)
        ) {
            prop_assert_eq!(value_run(&bytes), run(&bytes, VALUE));
        }
    }
}
