//! Numbers of which small ones are short: seven bits in each byte, the lowest first, as protobuf has them. Pure.

/// Appends a number.
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a number from the front of bytes; none where there is none.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_put_is_taken_and_what_is_behind_it_stays(
            number in prop_oneof![any::<u64>(), 0..300_u64], behind: Vec<u8>,
        ) {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            prop_assert!(bytes.len() <= 10);
            prop_assert_eq!(take(&mut &bytes[..bytes.len() - 1]), None);
            bytes.extend(&behind);
            let mut rest = &bytes[..];
            prop_assert_eq!(take(&mut rest), Some(number));
            prop_assert_eq!(rest, &behind[..]);
        }
    }

    #[test]
    fn what_never_ends_is_no_number() {
        assert_eq!(take(&mut &[0xff; 12][..]), None);
        assert_eq!(take(&mut &[][..]), None);
    }
}
