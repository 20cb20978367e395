//! Hosts and ports (RFC 3986 §3.2.2 and §3.2.3), as `Host` and targets have them.

use super::class::{self, HOST};
use std::net::Ipv6Addr;

/// A value of `Host`: a host, which may be empty, and an optional port.
#[inline(always)]
pub(super) fn is_host_field(value: &[u8]) -> bool {
    let name = class::run(value, HOST);
    match value.get(name..) {
        None | Some([]) => true,
        Some([b':', port @ ..]) => is_port(port),
        // Nobody sends the percent-encoding that the grammar has, but it is in order.
        Some(_) => is_rare(value),
    }
}

/// The authority of a target: a host that is not empty, without percent-encoding, which hyper
/// refuses there, and an optional port.
pub(super) fn is_authority(value: &[u8]) -> bool {
    !matches!(value, [] | [b':', ..]) && !value.contains(&b'%') && is_host_field(value)
}

/// The target of a CONNECT: a host and a port.
pub(super) fn is_authority_with_port(value: &[u8]) -> bool {
    let digits = value.rsplit(|byte| *byte == b':').next().unwrap_or_default();
    let is_number = digits.len() < value.len() && digits.iter().all(u8::is_ascii_digit);
    is_number && digits.iter().any(|digit| *digit != b'0') && is_authority(value)
}

/// As RFC 3986 has it, digits, none at all included; but no more than a port can be.
#[inline(always)]
fn is_port(port: &[u8]) -> bool {
    let is_small = port.len() < 5 || (port.len() == 5 && port <= b"65535".as_slice());
    is_small && port.iter().all(u8::is_ascii_digit)
}

#[cold]
fn is_rare(value: &[u8]) -> bool {
    if let [b'[', rest @ ..] = value {
        let mut parts = rest.splitn(2, |byte| *byte == b']');
        let address = parts.next().and_then(|it| str::from_utf8(it).ok()).unwrap_or_default();
        return address.parse::<Ipv6Addr>().is_ok()
            && parts
                .next()
                .is_some_and(|rest| rest.strip_prefix(b":").map_or(rest.is_empty(), is_port));
    }
    let mut rest = value;
    loop {
        match rest.get(class::run(rest, HOST)..) {
            Some([b'%', high, low, behind @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                rest = behind;
            }
            Some([b':', port @ ..]) => return is_port(port),
            Some([]) => return true,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        let good = [
            "",
            "a",
            "example.com",
            "example.com:8080",
            "a:",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:443",
            "under_score",
            "a%20b",
            "a%C3%A4:80",
            "x:65535",
            "a,b",
        ];
        for value in good {
            assert!(is_host_field(value.as_bytes()), "{value}");
        }
        let bad = [
            "a b",
            "a/b",
            "user@a",
            "a:b",
            "a:80:80",
            "a:65536",
            "a:000001",
            "[::1",
            "::1",
            "[a]",
            "[::1]x",
            "[::1]:x",
            "a%2",
            "a%zz",
            "a?",
            "a#",
            "http://a",
            "a\\b",
            "\u{e4}",
            "[v1.a]",
            "[::1%25eth0]",
            "\"a\"",
            "a:-1",
            "a:+1",
            "<a>",
        ];
        for value in bad {
            assert!(!is_host_field(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn a_connect_names_a_port() {
        for value in ["a:443", "[::1]:443", "127.0.0.1:65535"] {
            assert!(is_authority_with_port(value.as_bytes()), "{value}");
        }
        for value in ["a", "a:", ":443", "[::1]", "a:0", "a:65536", "u@a:1", "a:443/", "a%41:1", ""]
        {
            assert!(!is_authority_with_port(value.as_bytes()), "{value}");
        }
    }
}
