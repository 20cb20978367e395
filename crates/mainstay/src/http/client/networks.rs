//! Which peers are proxies of ours: a list of addresses and networks, as in `FORWARDED_ALLOW_IPS`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What `private` stands for: the networks of RFC 1918 and RFC 4193.
const PRIVATE: &str = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7";
/// What `loopback` stands for.
const LOOPBACK: &str = "127.0.0.0/8,::1";

/// A set of addresses, and whether peers on unix sockets belong to it. Empty by default.
///
/// An IPv4 address that is written as IPv6 (`::ffff:10.0.0.1`) is the IPv4 address, in the list as
/// well as in the question; otherwise a listener on `[::]` would know nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Networks {
    v4: Vec<Network<u32>>,
    v6: Vec<Network<u128>>,
    unix: bool,
    /// The list as it is written back: entries in their order, each in its canonical form.
    written: Vec<Box<str>>,
}

/// Addresses whose bits under `mask` are `base`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network<B> {
    base: B,
    mask: B,
}

impl Networks {
    /// Reads a comma list of addresses (`10.0.0.1`, `::1`), networks (`10.0.0.0/8`, `fd00::/8`),
    /// and the words `private`, `loopback` and `unix`. Blanks and empty entries do not count; an
    /// empty list holds nobody.
    ///
    /// # Errors
    /// Names the entry and what is wrong with it. Bits set behind the prefix are an error, since
    /// half of those who write `10.1.2.3/8` mean the one and half the other. So is what holds
    /// everybody (`*`, `0.0.0.0/0`, `::/0`): then each client could name any address its own.
    pub(crate) fn parse(list: &str) -> Result<Networks, String> {
        let mut networks = Networks::default();
        for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let written = networks.add(entry)?;
            networks.written.push(written.into());
        }
        Ok(networks)
    }

    /// Whether the address is in one of the networks.
    #[inline]
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => self.v4.iter().any(|it| ip.to_bits() & it.mask == it.base),
            IpAddr::V6(ip) => self.v6.iter().any(|it| ip.to_bits() & it.mask == it.base),
        }
    }

    /// Whether peers on unix sockets, who have no address, belong to it.
    #[inline]
    pub(crate) fn trusts_unix(&self) -> bool {
        self.unix
    }

    /// Takes in one entry and returns its canonical form.
    fn add(&mut self, entry: &str) -> Result<String, String> {
        match entry {
            "unix" => self.unix = true,
            "private" | "loopback" => {
                let list = if entry == "private" { PRIVATE } else { LOOPBACK };
                for network in list.split(',') {
                    self.add(network)?;
                }
            }
            "*" => return Err(holds_everybody(entry)),
            _ => return self.add_network(entry),
        }
        Ok(entry.to_owned())
    }

    fn add_network(&mut self, entry: &str) -> Result<String, String> {
        let (address, prefix) = match entry.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (entry, None),
        };
        let unknown = || format!("{entry:?} is neither an address nor a network");
        let ip: IpAddr = address.parse().map_err(|_| unknown())?;
        let width = if ip.is_ipv4() { 32 } else { 128 };
        let length = match prefix {
            None => width,
            // Digits alone, so that "+8" is none.
            Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                let length = text.parse::<u32>().ok().filter(|it| *it <= width);
                length.ok_or_else(|| format!("{entry:?} has a prefix longer than {width} bits"))?
            }
            Some(_) => return Err(unknown()),
        };
        // From here on a mapped network is the IPv4 network; `contains` asks for no mapped address.
        let (ip, length) = match ip.to_canonical() {
            IpAddr::V4(v4) if ip.is_ipv6() && length >= 96 => (IpAddr::V4(v4), length - 96),
            _ => (ip, length),
        };
        if length == 0 {
            return Err(holds_everybody(entry));
        }
        let base = match ip {
            IpAddr::V4(ip) => {
                let mask = u32::MAX << (32 - length);
                let base = ip.to_bits() & mask;
                self.v4.push(Network { base, mask });
                IpAddr::V4(Ipv4Addr::from_bits(base))
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX << (128 - length);
                let base = ip.to_bits() & mask;
                self.v6.push(Network { base, mask });
                IpAddr::V6(Ipv6Addr::from_bits(base))
            }
        };
        let full = length == if base.is_ipv4() { 32 } else { 128 };
        let canonical = if full { base.to_string() } else { format!("{base}/{length}") };
        if base == ip {
            Ok(canonical)
        } else {
            Err(format!("{entry:?} has bits set behind its prefix: use {canonical} or {ip}"))
        }
    }
}

fn holds_everybody(entry: &str) -> String {
    format!("{entry:?} would believe everybody about who they are: name the proxies' networks")
}

/// A list that [`Networks::parse`] reads back.
impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(text: &str) -> Networks {
        Networks::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn holds(text: &str, ip: &str) -> bool {
        list(text).contains(ip.parse().unwrap())
    }

    #[test]
    fn addresses_and_networks_hold_what_they_name() {
        assert!(holds("127.0.0.1,::1", "127.0.0.1"));
        assert!(holds(" 127.0.0.1 , ::1 ,", "::1"));
        assert!(!holds("127.0.0.1,::1", "127.0.0.2"));
        assert!(!holds("127.0.0.1", "::1"));
        assert!(holds("10.0.0.0/8", "10.255.255.255"));
        assert!(!holds("10.0.0.0/8", "11.0.0.0"));
        assert!(holds("fd00::/8", "fdff::1"));
        assert!(!holds("fd00::/8", "fe00::1"));
        assert!(holds("2001:db8::/127", "2001:db8::1"));
        assert!(!holds("2001:db8::/127", "2001:db8::2"));
        assert!(!holds("", "127.0.0.1"));
    }

    #[test]
    fn a_mapped_address_is_the_address_in_list_and_question() {
        assert!(holds("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(holds("::ffff:10.1.2.3", "10.1.2.3"));
        assert!(holds("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(!holds("::ffff:10.0.0.0/104", "11.1.2.3"));
        assert_eq!(list("::ffff:10.0.0.0/104").to_string(), "10.0.0.0/8");
        assert!(!holds("::/64", "10.1.2.3"));
    }

    #[test]
    fn presets_stand_for_their_networks() {
        for ip in ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fd12::1", "fc00::"] {
            assert!(holds("private", ip), "{ip}");
        }
        for ip in ["172.32.0.1", "8.8.8.8", "127.0.0.1", "169.254.0.1", "100.64.0.1", "2001:db8::"]
        {
            assert!(!holds("private", ip), "{ip}");
        }
        assert!(holds("loopback", "127.8.9.10") && holds("loopback", "::1"));
        assert!(!holds("loopback", "10.0.0.1"));
    }

    #[test]
    fn unix_is_a_word_of_its_own() {
        assert!(list("unix").trusts_unix() && list("10.0.0.1, unix").trusts_unix());
        assert!(!list("private,loopback").trusts_unix() && !list("").trusts_unix());
    }

    #[test]
    fn what_holds_everybody_is_refused() {
        for text in ["*", "0.0.0.0/0", "::/0", "10.0.0.1,*", "::ffff:0:0/96", "1.2.3.4/0"] {
            let error = Networks::parse(text).unwrap_err();
            assert!(error.contains("would believe everybody"), "{text}: {error}");
        }
    }

    #[test]
    fn an_entry_that_is_no_network_is_named() {
        for text in
            ["localhost", "10.0.0", "10.0.0.1/", "10.0.0.0/+8", "::1/a", "1.2.3.4:80", "[::1]"]
        {
            let error = Networks::parse(text).unwrap_err();
            assert_eq!(error, format!("{text:?} is neither an address nor a network"));
        }
        let error = |text| Networks::parse(text).unwrap_err();
        assert_eq!(error("10.0.0.0/33"), "\"10.0.0.0/33\" has a prefix longer than 32 bits");
        assert_eq!(error("::/4294967297"), "\"::/4294967297\" has a prefix longer than 128 bits");
        assert_eq!(
            error("10.1.2.3/8"),
            "\"10.1.2.3/8\" has bits set behind its prefix: use 10.0.0.0/8 or 10.1.2.3"
        );
        assert!(error("fd00::1/64").contains("use fd00::/64 or fd00::1"));
    }

    #[test]
    fn a_list_is_written_back() {
        for text in ["", "127.0.0.1,::1", "private,loopback,unix", "10.0.0.0/8,fd00::/8"] {
            assert_eq!(list(text).to_string(), text);
        }
        assert_eq!(list(" 10.0.0.1/32 ,, FD00:0::/8").to_string(), "10.0.0.1,fd00::/8");
    }

    proptest! {
        #[test]
        fn no_list_makes_the_reader_panic_and_what_it_read_survives_writing(
            text in "([0-9a-f:./*, ]|unix|private|10\\.0\\.0\\.0/){0,12}|\\PC*",
        ) {
            if let Ok(networks) = Networks::parse(&text) {
                prop_assert_eq!(Networks::parse(&networks.to_string()), Ok(networks));
            }
        }

        #[test]
        fn a_network_holds_exactly_those_who_share_its_prefix(
            base: u32, other: u32, near in 0..32_u32, length in 1..=32_u32,
        ) {
            let mask = u32::MAX << (32 - length);
            let network = list(&format!("{}/{length}", Ipv4Addr::from_bits(base & mask)));
            for ip in [other, base ^ (1 << near), base] {
                let expected = (ip ^ base) >> (32 - length) == 0;
                prop_assert_eq!(network.contains(Ipv4Addr::from_bits(ip).into()), expected);
            }
        }
    }
}
