//! Who is counted as one: an address without the bits that one client may choose, or what a header says.

use super::rules::KeyBy;
use http::HeaderMap;
use mainstay_os::segment::Limits;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, Ipv6Addr};

/// Whom a count is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who<'a> {
    Address(Address),
    Value(&'a [u8]),
}

/// A client's address as it is counted: a zero, which no header's value holds, and the address's bytes.
/// A client of a unix socket has none; all of them are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    bytes: [u8; 17],
    length: usize,
    prefix: u32,
}

impl<'a> Who<'a> {
    /// Who comes with these headers from this address.
    #[inline]
    pub(crate) fn of(
        key: &KeyBy,
        prefix: u32,
        client: Option<IpAddr>,
        headers: &'a HeaderMap,
    ) -> Who<'a> {
        if let KeyBy::Header(name) = key
            && let Some(value) = headers.get(name)
            && !value.as_bytes().is_empty()
        {
            return Who::Value(value.as_bytes());
        }
        Who::Address(Address::of(client, prefix))
    }

    /// Whom an operator means: an address or `unix`, or what a header says; where a header is the key,
    /// `address:` stands before an address.
    ///
    /// # Errors
    /// What it is not.
    pub(crate) fn named(key: &KeyBy, prefix: u32, text: &'a str) -> Result<Who<'a>, String> {
        let address = match key {
            KeyBy::Address => text,
            KeyBy::Header(_) => match text.strip_prefix("address:") {
                Some(address) => address,
                None => return Ok(Who::Value(text.as_bytes())),
            },
        };
        match address {
            "unix" => Ok(Who::Address(Address::of(None, prefix))),
            _ => match address.parse() {
                Ok(ip) => Ok(Who::Address(Address::of(Some(ip), prefix))),
                Err(_) => Err(format!("{address:?} is not an address, nor \"unix\"")),
            },
        }
    }

    /// What is hashed.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Who::Address(address) => address.bytes(),
            Who::Value(value) => value,
        }
    }

    /// As logs name it. What a header says may be a secret: it is told as a hash, which is another in
    /// each service and the same in all its processes.
    pub(crate) fn shown(&self, limits: &Limits<'_>) -> String {
        match self {
            Who::Address(address) => address.to_string(),
            Who::Value(value) => {
                let mut hasher = DefaultHasher::new();
                limits.key(0, b"shown", value).hash(&mut hasher);
                format!("key#{:012x}", hasher.finish() >> 16)
            }
        }
    }
}

impl Address {
    #[inline]
    pub(crate) fn of(client: Option<IpAddr>, prefix: u32) -> Address {
        let mut bytes = [0; 17];
        let length = match client.map(|it| it.to_canonical()) {
            None => 1,
            Some(IpAddr::V4(ip)) => {
                bytes[1..5].copy_from_slice(&ip.octets());
                5
            }
            Some(IpAddr::V6(ip)) => {
                let kept = ip.to_bits() & u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
                bytes[1..].copy_from_slice(&kept.to_be_bytes());
                17
            }
        };
        Address { bytes, length, prefix }
    }
}

impl Address {
    /// The address, of IPv6 with zeros behind the bits that count; none of a client of a unix socket.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        let bytes = &self.bytes[1..self.length];
        match self.length {
            5 => bytes.first_chunk::<4>().map(|it| IpAddr::from(*it)),
            17 => bytes.first_chunk::<16>().map(|it| IpAddr::from(*it)),
            _ => None,
        }
    }

    /// Bits of an IPv6 address that count.
    pub(crate) fn prefix(&self) -> u32 {
        self.prefix
    }

    /// What is hashed.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length {
            5 => {
                let [_, a, b, c, d, ..] = self.bytes;
                write!(f, "{a}.{b}.{c}.{d}")
            }
            17 => {
                let bytes = self.bytes.last_chunk().expect("16 of 17");
                write!(f, "{}", Ipv6Addr::from_bits(u128::from_be_bytes(*bytes)))?;
                if self.prefix < 128 { write!(f, "/{}", self.prefix) } else { Ok(()) }
            }
            _ => f.write_str("unix"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str, prefix: u32) -> Address {
        Address::of(Some(text.parse().unwrap()), prefix)
    }

    #[test]
    fn one_connections_ipv6_addresses_are_one_client_and_mapped_ones_are_ipv4() {
        assert_eq!(address("2001:db8::1", 64), address("2001:db8::ffff:1", 64));
        assert_ne!(address("2001:db8::1", 64), address("2001:db8:0:1::1", 64));
        assert_eq!(address("2001:db8:0:1::1", 48), address("2001:db8::1", 48));
        assert_ne!(address("2001:db8::1", 128), address("2001:db8::2", 128));
        assert_eq!(address("::ffff:192.0.2.7", 64), address("192.0.2.7", 64));
        assert_ne!(address("::ffff:192.0.2.7", 64), address("::ffff:192.0.2.8", 64));
        assert_eq!(address("2001:db8::1", 64).to_string(), "2001:db8::/64");
        assert_eq!(address("2001:db8::1", 128).to_string(), "2001:db8::1");
        assert_eq!(address("192.0.2.7", 64).to_string(), "192.0.2.7");
        assert_eq!(Address::of(None, 64).to_string(), "unix");
    }

    #[test]
    fn a_header_is_the_key_where_it_is_sent_and_no_value_is_anothers_address() {
        let key = KeyBy::parse("header:x-api-key").unwrap();
        let mut headers = HeaderMap::new();
        let client = Some([192, 0, 2, 7].into());
        let by_address = Who::Address(address("192.0.2.7", 64));
        assert_eq!(Who::of(&key, 64, client, &headers), by_address);
        assert_eq!(by_address.bytes()[0], 0, "no value of a header holds a zero");
        headers.insert("x-api-key", "hunter2".parse().unwrap());
        assert_eq!(Who::of(&key, 64, client, &headers), Who::Value(b"hunter2"));
        assert_eq!(Who::named(&key, 64, "hunter2"), Ok(Who::Value(b"hunter2")));
        assert_eq!(Who::named(&key, 64, "address:192.0.2.7"), Ok(by_address));
        assert_eq!(Who::named(&KeyBy::Address, 64, "192.0.2.7"), Ok(by_address));
        assert!(Who::named(&KeyBy::Address, 64, "hunter2").is_err());
        headers.insert("x-api-key", "".parse().unwrap());
        assert_eq!(Who::of(&key, 64, client, &headers), by_address);
    }
}
