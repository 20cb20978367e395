//! The user of HTTP Basic credentials. The password behind it is never put into memory.

/// The user, decoded into `scratch`. `None` for other schemes and for what cannot be read: not
/// base64, without a colon (then it may be a secret as a whole), not UTF-8, or no name at all.
pub(crate) fn user<'a>(authorization: &[u8], scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let (scheme, rest) = authorization.split_at_checked(5)?;
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    scratch.clear();
    let encoded = rest.strip_prefix(b" ")?.trim_ascii();
    let data = encoded.strip_suffix(b"==").or(encoded.strip_suffix(b"=")).unwrap_or(encoded);
    if encoded.len() % 4 != 0 {
        return None;
    }
    let mut has_password = false;
    for group in data.chunks(4) {
        let mut bits = 0_u32;
        for character in group {
            bits = bits << 6 | sextet(*character)?;
        }
        // Four characters are three bytes, three are two, two are one.
        bits <<= 6 * (4 - group.len());
        for byte in bits.to_be_bytes().iter().skip(1).take(group.len() - 1) {
            has_password |= *byte == b':';
            if !has_password {
                scratch.push(*byte);
            }
        }
    }
    let readable = has_password && !scratch.is_empty() && std::str::from_utf8(scratch).is_ok();
    readable.then_some(scratch)
}

fn sextet(character: u8) -> Option<u32> {
    Some(u32::from(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_read_and_nothing_else() {
        for (header, shown) in [
            ("Basic YWwiaWNlOnB3", Some("al\"ice")),
            ("basic  YTpi ", Some("a")),
            ("BASIC YTo=", Some("a")),
            ("Basic w6k6eA==", Some("é")),
            ("Basic OnB3", None),
            ("Basic c2VjcmV0", None),
            ("Basic /zpi", None),
            ("Basic Y!pi", None),
            ("Basic YTpiYWI", None),
            ("Basic =", None),
            ("Basic ====", None),
            ("Basic", None),
            ("Bearer YTpi", None),
            ("", None),
        ] {
            let mut scratch = Vec::new();
            let found = user(header.as_bytes(), &mut scratch);
            assert_eq!(found, shown.map(str::as_bytes), "{header}");
        }
    }
}
