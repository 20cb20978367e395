//! Who is counted as one: an address without the bits that one client may choose, or what a header or a cookie says.

use super::rules::KeyBy;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use mainstay_os::segment::Limits;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, Ipv6Addr};

/// Bytes of a value that tell clients apart.
const LONGEST: usize = 1_024;

/// Bits of an IPv6 address that one network has, which is counted beside its clients: as many as a customer gets at
/// most.
pub(crate) const NETWORK: u32 = 48;

/// Whom a count is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who<'a> {
    Address(Address),
    Value(&'a [u8]),
}

/// A client's address as it is counted: a zero, which no header's value holds, and the address's bytes; before those of a
/// network a one, since they may be a client's.
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
        let said = match key {
            KeyBy::Address => None,
            KeyBy::Header(name) => headers.get(name).map(HeaderValue::as_bytes),
            KeyBy::Cookie(name) => cookie(headers, name),
        };
        match said.map(counted).filter(|value| !value.is_empty()) {
            Some(value) => Who::Value(value),
            None => Who::Address(Address::of(client, prefix)),
        }
    }

    /// Whom an operator means: an address or `unix`, or what a header or a cookie says; where that is the key,
    /// `address:` stands before an address.
    ///
    /// # Errors
    /// What it is not.
    pub(crate) fn named(key: &KeyBy, prefix: u32, text: &'a str) -> Result<Who<'a>, String> {
        let address = match key {
            KeyBy::Address => text,
            KeyBy::Header(_) | KeyBy::Cookie(_) => match text.strip_prefix("address:") {
                Some(address) => address,
                None => return Ok(Who::Value(counted(text.as_bytes()))),
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

    /// Whom a limit counts: this one, or the network that he is of, if it is one of IPv6 that holds others.
    #[inline]
    pub(crate) fn of_limit(self, is_wide: bool) -> Option<Who<'a>> {
        match self {
            _ if !is_wide => Some(self),
            Who::Address(address) => address.network().map(Who::Address),
            Who::Value(_) => None,
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

    /// As logs name it. What a header or a cookie says may be a secret: it is told as a hash, which is another in
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

/// What of a value tells clients apart: nothing around it, and no more of it than is worth hashing.
#[inline]
fn counted(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    &value[..value.len().min(LONGEST)]
}

/// What the first cookie of this name says, without the quotes that may stand around it.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let fields = headers.get_all(COOKIE).iter();
    let mut pairs = fields.flat_map(|field| field.as_bytes().split(|it| *it == b';'));
    pairs.find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        let quoted = value.strip_prefix(b"\"").and_then(|it| it.strip_suffix(b"\""));
        Some(quoted.unwrap_or(value))
    })
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
    /// The network of IPv6 that it is of.
    fn network(&self) -> Option<Address> {
        let Some(IpAddr::V6(ip)) = self.ip() else { return None };
        let mut network = Address::of(Some(ip.into()), NETWORK);
        network.bytes[0] = 1;
        Some(network)
    }

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
    fn a_client_of_ipv6_is_of_a_network_which_is_never_taken_for_a_client() {
        let who = |text: &str| Who::Address(address(text, 64));
        let network = |text: &str| who(text).of_limit(true);
        assert_eq!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:1:1::1"));
        let of = network("2001:db8::1").unwrap();
        assert_ne!(of.bytes(), who("2001:db8::1").bytes(), "though their bits are the same");
        let Who::Address(it) = of else { panic!("{of:?}") };
        assert_eq!(it.to_string(), "2001:db8::/48");
        assert_eq!(who("2001:db8::1").of_limit(false), Some(who("2001:db8::1")));
        for none in [who("192.0.2.7"), who("::ffff:192.0.2.7"), Who::Value(b"2001:db8::1")] {
            assert_eq!(none.of_limit(true), None);
        }
        assert_eq!(Who::Address(Address::of(None, 64)).of_limit(true), None);
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

    #[test]
    fn a_cookie_is_the_key_by_its_whole_name_and_value_without_what_stands_around_it() {
        let key = KeyBy::parse("cookie:sid").unwrap();
        let client = Some([192, 0, 2, 7].into());
        let of = |fields: &[&str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(COOKIE, field.parse().unwrap());
            }
            match Who::of(&key, 64, client, &headers) {
                Who::Value(value) => Some(String::from_utf8_lossy(value).into_owned()),
                Who::Address(_) => None,
            }
        };
        for fields in [&["sid=a"][..], &["b=c;  sid= a ;d"], &["b=c", "sid=\"a\"; sid=z"]] {
            assert_eq!(of(fields).as_deref(), Some("a"), "{fields:?}");
        }
        for fields in [&["sid="][..], &["sid"], &["xsid=a; sid2=a; SID=a"], &["sid=\"\""], &[]] {
            assert_eq!(of(fields), None, "{fields:?}");
        }
        let long = "v".repeat(5_000);
        assert_eq!(of(&[&format!("sid={long}")]).map(|it| it.len()), Some(LONGEST));
        assert_eq!(Who::named(&key, 64, &long), Ok(Who::Value(&long.as_bytes()[..LONGEST])));
        assert_eq!(Who::named(&key, 64, " a"), Ok(Who::Value(b"a")));
    }
}
