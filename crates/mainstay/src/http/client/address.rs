//! One address as proxies write it: with a port or a zone, in brackets or without.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address in `192.0.2.1`, `192.0.2.1:5555`, `2001:db8::1`, `[2001:db8::1]`,
/// `[2001:db8::1]:5555` or `fe80::1%eth0`, in its canonical form: without port and zone, and IPv4
/// where IPv6 only wraps it. `None` for anything else, numbers with leading zeros included, which
/// some read as octal.
///
/// A port may be obfuscated (`_p1`), as RFC 7239 has it. IPv6 with a port but without brackets
/// cannot be told from an address, and is read as one.
#[inline]
pub(super) fn parse(text: &[u8]) -> Option<IpAddr> {
    match v4(text) {
        Some((ip, rest)) => is_port(rest).then_some(IpAddr::V4(ip)),
        None => v6(text),
    }
}

/// The IPv4 address that the text begins with, and what follows it. By hand because this runs for
/// each request behind a proxy, and what follows need not be found first.
#[inline]
fn v4(text: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let mut rest = text;
    let mut bits = 0_u32;
    for octet in 0..4 {
        if octet > 0 {
            rest = rest.strip_prefix(b".")?;
        }
        let [first @ b'0'..=b'9', tail @ ..] = rest else { return None };
        let mut value = u32::from(first - b'0');
        rest = tail;
        while let [digit @ b'0'..=b'9', tail @ ..] = rest {
            // A leading zero, or already too large to take another digit.
            if value == 0 || value > 25 {
                return None;
            }
            value = value * 10 + u32::from(digit - b'0');
            rest = tail;
        }
        if value > 255 {
            return None;
        }
        bits = bits << 8 | value;
    }
    Some((Ipv4Addr::from_bits(bits), rest))
}

#[inline(never)]
fn v6(text: &[u8]) -> Option<IpAddr> {
    let (inside, port) = match text.strip_prefix(b"[") {
        Some(text) => {
            let end = text.iter().position(|b| *b == b']')?;
            let (inside, end) = text.split_at_checked(end)?;
            (inside, end.strip_prefix(b"]")?)
        }
        None => (text, &[][..]),
    };
    let address = match inside.iter().position(|b| *b == b'%') {
        // A zone has a name, and says nothing to another machine.
        Some(at) if at + 1 < inside.len() => inside.get(..at)?,
        Some(_) => return None,
        None => inside,
    };
    let ip: Ipv6Addr = std::str::from_utf8(address).ok()?.parse().ok()?;
    is_port(port).then(|| IpAddr::V6(ip).to_canonical())
}

/// Whether what follows an address is nothing, a port, or an obfuscated port.
#[inline]
fn is_port(text: &[u8]) -> bool {
    match text {
        [] => true,
        [b':', b'_', name @ ..] => {
            let in_name = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
            !name.is_empty() && name.iter().all(in_name)
        }
        [b':', digits @ ..] => number(digits).is_some(),
        _ => false,
    }
}

/// The port in up to five digits; 0 is none.
pub(super) fn number(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'));
    u16::try_from(value).ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<String> {
        parse(text.as_bytes()).map(|ip| ip.to_string())
    }

    #[test]
    fn ports_brackets_and_zones_are_taken_off() {
        for (text, ip) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:5555", "192.0.2.1"),
            ("0.0.0.0", "0.0.0.0"),
            ("255.255.255.255:65535", "255.255.255.255"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:DB8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]:_http", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25eth0]:80", "fe80::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:c000:201]:80", "192.0.2.1"),
            ("2001:db8::1:5555", "2001:db8::1:5555"),
        ] {
            assert_eq!(read(text).as_deref(), Some(ip), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_address() {
        for text in [
            "",
            "unknown",
            "unix:",
            "localhost",
            "1.1.1",
            "1.1.1.1.1",
            "1.1.1.256",
            "01.1.1.1",
            "1.1.1.00",
            "1.1.1.999999999999",
            "1.1.1.1:",
            "1.1.1.1:0",
            "1.1.1.1:65536",
            "1.1.1.1:+80",
            "1.1.1.1:123456",
            "1.1.1.1:_",
            "1.1.1.1%eth0",
            "[1.1.1.1]",
            "1.1.1.1 ",
            "[::1",
            "::1]",
            "[::1]80",
            "[::1]:",
            "[]",
            "fe80::1%",
            "[::1]]",
            ":::1",
            "1.1.1.1,",
            "\"1.1.1.1\"",
            "1..1.1",
            "-1.1.1.1",
            "0x1.1.1.1",
            "16843009",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_address_is_read_back_with_and_without_port(ip: IpAddr, port in 1..=u16::MAX) {
            let expected = Some(ip.to_canonical());
            prop_assert_eq!(parse(ip.to_string().as_bytes()), expected);
            let with_port = std::net::SocketAddr::new(ip, port).to_string();
            prop_assert_eq!(parse(with_port.as_bytes()), expected);
        }

        #[test]
        fn what_begins_like_ipv4_is_read_as_the_standard_library_reads_it(text in "[0-9.]{0,16}") {
            let expected = text.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
            prop_assert_eq!(parse(text.as_bytes()), expected);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, text in "[\\[\\]0-9a-f:.%_\"]{0,24}") {
            parse(&bytes);
            parse(text.as_bytes());
        }
    }
}
