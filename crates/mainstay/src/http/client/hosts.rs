//! What a proxy says of host, port and prefix, and which hosts it may name.

use super::witness::{Sight, Witness};
use super::{Origin, Refused, Trust, address};
use std::fmt;
use std::net::Ipv6Addr;

/// The longest name of DNS, bytes.
const LONGEST_HOST: usize = 253;

/// Hosts that a proxy may name. Empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AllowedHosts {
    any: bool,
    /// In lower case. One that begins with `.` holds the name behind the dot and all below it.
    names: Vec<Box<str>>,
}

impl AllowedHosts {
    /// Reads a comma list of names (`example.com`, `[::1]`), domains with all that is below them
    /// (`.example.com`), and `*` for every valid host. Ports do not count and are not written.
    ///
    /// # Errors
    /// Names the entry that is none of these.
    pub(crate) fn parse(list: &str) -> Result<AllowedHosts, String> {
        let mut hosts = AllowedHosts::default();
        for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            if entry == "*" {
                hosts.any = true;
                continue;
            }
            let name = entry.strip_prefix('.').unwrap_or(entry);
            match host_and_port(name.as_bytes()) {
                Some((_, None)) => hosts.names.push(entry.to_ascii_lowercase().into()),
                _ => return Err(format!("{entry:?} is neither a host name nor a .domain")),
            }
        }
        Ok(hosts)
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.any && self.names.is_empty()
    }

    /// Whether it holds this host, in whatever case.
    fn holds(&self, host: &str) -> bool {
        let is = |host: &str, name: &str| host.eq_ignore_ascii_case(name);
        let below = |domain: &str| {
            let begin = host.len().checked_sub(domain.len());
            begin.and_then(|at| host.get(at..)).is_some_and(|end| is(end, domain))
        };
        self.any
            || self.names.iter().any(|name| match name.strip_prefix('.') {
                Some(domain) => is(host, domain) || below(name),
                None => is(host, name),
            })
    }
}

/// A list that [`AllowedHosts::parse`] reads back.
impl fmt::Display for AllowedHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.any.then_some("*").into_iter().chain(self.names.iter().map(AsRef::as_ref));
        f.write_str(&all.collect::<Vec<_>>().join(","))
    }
}

/// Host and port of `example.com`, `example.com:8443`, `192.0.2.1`, `[::1]` or `[::1]:8443`.
fn host_and_port(text: &[u8]) -> Option<(&str, Option<u16>)> {
    let text = std::str::from_utf8(text).ok()?;
    let (host, port) = match text.rfind(':') {
        // The last colon of a bare address in brackets is a part of it.
        Some(at) if !text.ends_with(']') => {
            let (host, port) = text.split_at_checked(at)?;
            (host, Some(address::number(port.strip_prefix(':')?.as_bytes())?))
        }
        _ => (text, None),
    };
    let in_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let good = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse::<Ipv6Addr>().is_ok(),
        None => {
            // Labels are not empty, but for the root behind a final dot.
            let labels = host.strip_suffix('.').unwrap_or(host);
            host.len() <= LONGEST_HOST
                && host.bytes().all(in_name)
                && labels.split('.').all(|label| !label.is_empty())
        }
    };
    good.then_some((host, port))
}

/// Whether it is a path that can stand before others: begins with one `/`, and has neither `\`,
/// which browsers read as `/`, nor anything that ends a path or a line.
fn is_prefix(text: &[u8]) -> bool {
    let in_path = |b: &u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:@".contains(b);
    text.starts_with(b"/") && !text.starts_with(b"//") && text.iter().all(in_path)
}

impl Origin {
    /// Takes a host, and its port if it has one, when `asked`.
    pub(super) fn take_host(
        &mut self,
        trust: &Trust,
        value: &[u8],
        asked: bool,
        witness: &mut impl Witness,
    ) {
        let what = "host";
        if !asked {
            return witness.saw(Sight::Unasked { what, value });
        }
        let judged = match host_and_port(value) {
            None => Err(Refused::BadHost),
            Some((host, _)) if !trust.hosts.is_empty() && !trust.hosts.holds(host) => {
                Err(Refused::HostNotAllowed)
            }
            Some(found) => Ok(found),
        };
        match judged {
            Ok((host, port)) => {
                self.host = Some(host.to_ascii_lowercase().into());
                self.port = port;
                witness.saw(Sight::Took { what, value });
            }
            Err(why) => {
                self.refuse(why);
                witness.saw(Sight::Refused { what, value, why });
            }
        }
    }

    /// Takes a port, before that of the host.
    pub(super) fn take_port(&mut self, value: &[u8], witness: &mut impl Witness) {
        let what = "port";
        match address::number(value) {
            Some(port) => {
                self.port = Some(port);
                witness.saw(Sight::Took { what, value });
            }
            None => {
                self.refuse(Refused::BadPort);
                witness.saw(Sight::Refused { what, value, why: Refused::BadPort });
            }
        }
    }

    pub(super) fn take_prefix(&mut self, value: &[u8], witness: &mut impl Witness) {
        let what = "prefix";
        match std::str::from_utf8(value) {
            Ok(prefix) if is_prefix(value) => {
                self.prefix = Some(prefix.into());
                witness.saw(Sight::Took { what, value });
            }
            _ => {
                self.refuse(Refused::BadPrefix);
                witness.saw(Sight::Refused { what, value, why: Refused::BadPrefix });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hosts_are_held_by_name_and_by_domain() {
        let hosts = AllowedHosts::parse("example.com, .Example.org , [::1]").unwrap();
        for host in ["example.com", "EXAMPLE.com", "example.org", "a.b.example.org", "[::1]"] {
            assert!(hosts.holds(host), "{host}");
        }
        for host in ["a.example.com", "xexample.org", "org", "example.org.evil.net", "[::2]", ""] {
            assert!(!hosts.holds(host), "{host}");
        }
        assert_eq!(hosts.to_string(), "example.com,.example.org,[::1]");
        assert!(AllowedHosts::parse("*").unwrap().holds("anything.example"));
        assert!(AllowedHosts::parse("").unwrap().is_empty());
        assert!(!AllowedHosts::parse("*").unwrap().is_empty());
    }

    #[test]
    fn an_entry_that_is_no_host_is_named() {
        for entry in ["example.com:80", "*.example.com", "a b", "..", ".", "http://a", "[::1"] {
            let error = AllowedHosts::parse(entry).unwrap_err();
            assert_eq!(error, format!("{entry:?} is neither a host name nor a .domain"));
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_maybe_a_port() {
        let read = |text: &'static str| host_and_port(text.as_bytes());
        assert_eq!(read("example.com"), Some(("example.com", None)));
        assert_eq!(read("h:8443"), Some(("h", Some(8443))));
        assert_eq!(read("[::1]"), Some(("[::1]", None)));
        assert_eq!(read("[::1]:80"), Some(("[::1]", Some(80))));
        assert_eq!(read("example.com."), Some(("example.com.", None)));
        for text in ["", ":80", "a:", "a:b", "a:80:80", "::1", "a/b", "a@b", "a..b", ".a", "a b"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(host_and_port(b"\xff"), None);
        assert_eq!(host_and_port("a".repeat(254).as_bytes()), None);
    }

    #[test]
    fn a_prefix_leads_to_no_other_host() {
        for text in ["/", "/p", "/a/b", "/p/", "/a%20b", "/a//b"] {
            assert!(is_prefix(text.as_bytes()), "{text}");
        }
        for text in
            ["", "p", "//evil.example", "/\\evil.example", "/a?b", "/a#b", "/a b", "/\"", "/é"]
        {
            assert!(!is_prefix(text.as_bytes()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_readers_panic(bytes: Vec<u8>, text in "[\\[\\]a-z0-9:.*,-]{0,16}") {
            host_and_port(&bytes);
            if let Ok(hosts) = AllowedHosts::parse(&text) {
                let read_back = AllowedHosts::parse(&hosts.to_string());
                prop_assert_eq!(read_back.map(|it| it.to_string()), Ok(hosts.to_string()));
                hosts.holds(&text);
            }
            prop_assert!(!is_prefix(&bytes) || bytes.starts_with(b"/"));
        }
    }
}
