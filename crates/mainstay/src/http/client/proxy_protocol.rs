//! The PROXY protocol, versions 1 and 2, as HAProxy's `proxy-protocol.txt` has it: a balancer that
//! passes connections on says first whose they are.
//!
//! Whether a connection begins so is configured and never guessed: otherwise any client could begin
//! so. For the same reason only peers that are trusted may be asked for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header of version 1, bytes, its end of line included.
const LONGEST_V1: usize = 107;
/// The longest header of version 2, bytes, as nginx has it: addresses take at most 232, the rest is
/// left for what the balancer adds, which is skipped.
const LONGEST_V2: usize = 4096;
/// What version 2 begins with. No other protocol does.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Which versions are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The connection begins with the request.
    #[default]
    Off,
    /// Version 1, the line of text.
    V1,
    /// Version 2, the binary one.
    V2,
    /// Either version, but one of them.
    Auto,
}

impl Mode {
    /// The mode that the configuration calls so: `off`, `v1`, `v2` or `auto`.
    pub(crate) fn named(name: &str) -> Option<Mode> {
        match name {
            "off" => Some(Mode::Off),
            "v1" => Some(Mode::V1),
            "v2" => Some(Mode::V2),
            "auto" => Some(Mode::Auto),
            _ => None,
        }
    }
}

/// How far the reading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// So far it is the beginning of a header. It never takes more than 4,096 bytes.
    Incomplete,
    /// The header is whole.
    Done {
        /// Its length, bytes: the request begins there.
        used: usize,
        /// Whose connection it is. `None`: the balancer's own (LOCAL, a health check), or one whose
        /// addresses it does not know or that are no internet addresses: then the peer counts.
        source: Option<SocketAddr>,
    },
    /// It is none; the connection is to be closed without an answer. Why, as the predicate of a
    /// sentence.
    Invalid(&'static str),
}

/// Reads the header at the beginning of a connection, of which `bytes` is all that came so far. To
/// be called again, with more, while it is incomplete.
pub(crate) fn parse(mode: Mode, bytes: &[u8]) -> Progress {
    let read: fn(&[u8]) -> Read = match (mode, bytes.first()) {
        (Mode::Off, _) => return Progress::Done { used: 0, source: None },
        (_, None) => return Progress::Incomplete,
        (Mode::V1 | Mode::Auto, Some(b'P')) => v1,
        (Mode::V2 | Mode::Auto, Some(b'\r')) => v2,
        (Mode::V1, Some(b'\r')) => return Progress::Invalid("does not begin with version 1"),
        (Mode::V2, Some(b'P')) => return Progress::Invalid("does not begin with version 2"),
        _ => return Progress::Invalid("does not begin with the PROXY protocol"),
    };
    match read(bytes) {
        Ok(Some((used, source))) => Progress::Done { used, source },
        Ok(None) => Progress::Incomplete,
        Err(why) => Progress::Invalid(why),
    }
}

/// Length and source, `None` while more is needed, or what is wrong.
type Read = Result<Option<(usize, Option<SocketAddr>)>, &'static str>;

fn v1(bytes: &[u8]) -> Read {
    const BEGIN: &[u8] = b"PROXY ";
    if !begins_alike(bytes, BEGIN) {
        return Err("does not begin with the PROXY protocol");
    }
    let head = bytes.get(..LONGEST_V1).unwrap_or(bytes);
    let Some(end) = head.iter().position(|b| *b == b'\n') else {
        let too_long = head.len() == LONGEST_V1;
        return if too_long { Err("has a line longer than 107 bytes") } else { Ok(None) };
    };
    let (line, _) = head.split_at_checked(end).ok_or("has no line")?;
    let line = line.strip_suffix(b"\r").ok_or("has a line that ends without a carriage return")?;
    let line = line.strip_prefix(BEGIN).ok_or("does not begin with the PROXY protocol")?;
    let line = std::str::from_utf8(line).map_err(|_| "has a line that is not text")?;
    // Exactly one blank between words, as the specification has it.
    let words: Vec<&str> = line.splitn(6, ' ').collect();
    let source = match words.as_slice() {
        // Whatever follows is to be ignored.
        ["UNKNOWN", ..] => None,
        ["TCP4", from, to, port, to_port] => {
            let ip = both::<Ipv4Addr>(from, to)?;
            Some(SocketAddr::new(ip.into(), ports(port, to_port)?))
        }
        ["TCP6", from, to, port, to_port] => {
            let ip = both::<Ipv6Addr>(from, to)?;
            Some(SocketAddr::new(ip.to_canonical(), ports(port, to_port)?))
        }
        ["TCP4" | "TCP6", ..] => return Err("has not two addresses and two ports"),
        _ => return Err("names no protocol that there is"),
    };
    Ok(Some((end + 1, source)))
}

/// The source of two addresses that are both of one kind.
fn both<A: std::str::FromStr>(from: &str, to: &str) -> Result<A, &'static str> {
    let parse = |text: &str| text.parse::<A>().map_err(|_| "has an address that is none");
    let from = parse(from)?;
    parse(to).map(|_| from)
}

/// The source of two ports, 0 to 65535 without leading zeros.
fn ports(from: &str, to: &str) -> Result<u16, &'static str> {
    let parse = |text: &str| {
        let plain = text == "0" || !text.starts_with(['0', '+']);
        text.parse::<u16>().ok().filter(|_| plain).ok_or("has a port that is none")
    };
    let from = parse(from)?;
    parse(to).map(|_| from)
}

fn v2(bytes: &[u8]) -> Read {
    if !begins_alike(bytes, SIGNATURE) {
        return Err("does not begin with the PROXY protocol");
    }
    let Some(([.., command, family, high, low], rest)) = bytes.split_first_chunk::<16>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let used = 16 + length;
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        0x22..=0x2f => return Err("has a command that there is not"),
        _ => return Err("has a version other than 2"),
    };
    if family >> 4 > 3 || family & 0x0f > 2 {
        return Err("has a family or transport that there is not");
    }
    if used > LONGEST_V2 {
        return Err("is longer than 4096 bytes");
    }
    // Source and destination, and their ports.
    let needed = match (is_local, family >> 4) {
        (false, 1) => 12,
        (false, 2) => 36,
        (false, 3) => 216,
        _ => 0,
    };
    if length < needed {
        return Err("is shorter than the addresses of its family");
    }
    let Some(body) = rest.get(..length) else { return Ok(None) };
    let source = match (is_local, family) {
        (false, 0x11) => source(body, |ip: [u8; 4]| Ipv4Addr::from(ip).into()),
        (false, 0x21) => source(body, |ip: [u8; 16]| Ipv6Addr::from(ip).to_canonical()),
        _ => None,
    };
    Ok(Some((used, source)))
}

/// The first of two addresses of `N` bytes, with the first of the two ports behind them.
fn source<const N: usize>(body: &[u8], ip: fn([u8; N]) -> IpAddr) -> Option<SocketAddr> {
    let (from, rest) = body.split_first_chunk::<N>()?;
    let (_, rest) = rest.split_first_chunk::<N>()?;
    let (port, _) = rest.split_first_chunk::<2>()?;
    Some(SocketAddr::new(ip(*from), u16::from_be_bytes(*port)))
}

/// Whether one begins with the other.
fn begins_alike(bytes: &[u8], begin: &[u8]) -> bool {
    bytes.iter().zip(begin).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::super::corpus;
    use super::*;
    use proptest::prelude::*;

    /// `tests/corpus/proxy`: one case a line, `#` begins a comment, bytes as in
    /// [`corpus::unescape`]. A mode, `|`, the bytes, `|`, and in a `.good` file the source or
    /// `none`, in a `.bad` file the reason.
    fn cases(ending: &str) -> Vec<(String, Mode, Vec<u8>, String)> {
        let read = |(name, line): (String, String)| {
            let [mode, bytes, expected] = line.split('|').map(str::trim).collect::<Vec<_>>()[..]
            else {
                panic!("{name}: no case: {line}");
            };
            let mode = Mode::named(mode).unwrap_or_else(|| panic!("{name}: no mode: {line}"));
            (format!("{name}: {line}"), mode, corpus::unescape(bytes), expected.to_owned())
        };
        corpus::lines("proxy", ending).into_iter().map(read).collect()
    }

    #[test]
    fn every_good_header_is_read_and_never_before_its_last_byte() {
        let cases = cases(".good");
        assert!(cases.len() >= 25, "the corpus has shrunk to {}", cases.len());
        for (case, mode, bytes, expected) in cases {
            let source = (expected != "none").then(|| expected.parse().expect("a source"));
            let done = Progress::Done { used: bytes.len(), source };
            assert_eq!(parse(mode, &bytes), done, "{case}");
            let followed = [&bytes[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
            assert_eq!(parse(mode, &followed), done, "{case}, followed by a request");
            for end in 0..bytes.len() {
                assert_eq!(parse(mode, &bytes[..end]), Progress::Incomplete, "{case}, {end} bytes");
            }
        }
    }

    #[test]
    fn every_bad_header_is_refused_for_its_reason_and_stays_refused() {
        let cases = cases(".bad");
        assert!(cases.len() >= 40, "the corpus has shrunk to {}", cases.len());
        for (case, mode, bytes, expected) in cases {
            let Progress::Invalid(why) = parse(mode, &bytes) else { panic!("{case}: accepted") };
            assert_eq!(why, expected, "{case}");
            for end in 0..bytes.len() {
                let early = parse(mode, &bytes[..end]);
                let fine = matches!(early, Progress::Incomplete | Progress::Invalid(_));
                assert!(fine, "{case}, {end} bytes: {early:?}");
            }
        }
    }

    #[test]
    fn without_the_protocol_nothing_is_read() {
        let done = Progress::Done { used: 0, source: None };
        assert_eq!(parse(Mode::Off, b""), done);
        assert_eq!(parse(Mode::Off, b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n"), done);
    }

    #[test]
    fn the_longest_headers_are_read_and_longer_ones_are_not() {
        let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "f".repeat(length - 16));
        assert!(matches!(parse(Mode::V1, line(107).as_bytes()), Progress::Done { used: 107, .. }));
        assert!(matches!(parse(Mode::V1, line(108).as_bytes()), Progress::Invalid(_)));
        let header = |length: u16| {
            let head = [&SIGNATURE[..], &[0x21, 0x11], &length.to_be_bytes()].concat();
            [head, vec![1; usize::from(length)]].concat()
        };
        assert!(matches!(parse(Mode::V2, &header(4080)), Progress::Done { used: 4096, .. }));
        // It is told before the rest is waited for.
        assert!(matches!(parse(Mode::V2, &header(4081)[..16]), Progress::Invalid(_)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_and_what_is_used_is_there(
            start in 0..4_usize, bytes: Vec<u8>, line in "[ 0-9a-fTCPUNKOW:.\r\n]{0,110}",
        ) {
            let starts: [&[u8]; 4] = [b"", b"PROXY ", SIGNATURE, b"PROXY TCP4 "];
            for mode in [Mode::Off, Mode::V1, Mode::V2, Mode::Auto] {
                for rest in [bytes.as_slice(), line.as_bytes()] {
                    let whole = [starts[start], rest].concat();
                    if let Progress::Done { used, .. } = parse(mode, &whole) {
                        prop_assert!(used <= whole.len());
                    }
                }
            }
        }

        #[test]
        fn what_is_written_is_read_back_in_both_versions(
            ip: IpAddr, to: IpAddr, port: u16, to_port: u16, extra in 0..64_u16,
        ) {
            let expected = SocketAddr::new(ip.to_canonical(), port);
            let to = match (ip, to) {
                (IpAddr::V4(_), IpAddr::V6(_)) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                (IpAddr::V6(_), IpAddr::V4(_)) => IpAddr::V6(Ipv6Addr::LOCALHOST),
                _ => to,
            };
            let name = if ip.is_ipv4() { "TCP4" } else { "TCP6" };
            let line = format!("PROXY {name} {ip} {to} {port} {to_port}\r\n").into_bytes();
            let octets = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            let ports = [port.to_be_bytes(), to_port.to_be_bytes()].concat();
            let body = [octets(ip), octets(to), ports, vec![4; usize::from(extra)]].concat();
            let family = if ip.is_ipv4() { 0x11 } else { 0x21 };
            let length = (body.len() as u16).to_be_bytes();
            let binary = [&SIGNATURE[..], &[0x21, family], &length, &body].concat();
            for bytes in [line, binary] {
                let done = Progress::Done { used: bytes.len(), source: Some(expected) };
                prop_assert_eq!(parse(Mode::Auto, &bytes), done);
            }
        }
    }
}
