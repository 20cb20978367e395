//! Bans as a file that hosts exchange: `NETWORK UNTIL REASON` on each line.

use super::jails::{Banned, Jails, Why};
use super::who::Address;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Clients that one line may name: an IPv4 network of 24 bits has as many.
const WIDEST: u32 = 8;
/// Clients that a file may name; how many of them are in force is for the places to say.
const MOST: usize = 16_384;
const HEAD: &str = "# NETWORK UNTIL REASON\n";

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Each client once, until when, in seconds since the epoch: the latest time that it is named with.
    pub(crate) bans: Vec<(Banned, i64)>,
    /// How many of them are never banned, and are not among those.
    pub(crate) spared: usize,
    /// How many lines cannot be read, or have no place, and what is wrong with the first.
    pub(crate) refused: usize,
    pub(crate) why: Option<String>,
}

/// Reads a file. What has ended by `now`, in seconds since the epoch, is not there.
pub(crate) fn read(text: &str, jails: &Jails, now: i64) -> Listed {
    let (mut listed, mut known) = (Listed::default(), HashMap::new());
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let read = entry(line, jails.ipv6_prefix).and_then(|it| match known.len() < MOST {
            true => Ok(it),
            false => Err(format!("there is no place for more than {MOST} clients")),
        });
        let (clients, until, why) = match read {
            Ok(read) => read,
            Err(error) => {
                listed.refused += 1;
                listed.why.get_or_insert_with(|| format!("line {}: {error}", number + 1));
                continue;
            }
        };
        for ip in clients.into_iter().filter(|_| until > now) {
            if jails.spares(Some(ip)) {
                listed.spared += 1;
                continue;
            }
            let address = Address::of(Some(ip), jails.ipv6_prefix);
            // Where there is no place for all, those that stand first have one.
            let place = *known.entry(address.ip()).or_insert(listed.bans.len());
            let banned = Banned { address, why, dry_run: jails.dry_run, is_listed: true };
            match listed.bans.get_mut(place) {
                None => listed.bans.push((banned, until)),
                Some(latest) if latest.1 < until => *latest = (banned, until),
                Some(_) => {}
            }
        }
    }
    listed
}

/// Writes what [`banned::list`](super::banned::list) says: the bans of this service's own that refuse somebody. What it has
/// from a file is that file's to tell, else two hosts would never forget what each has from the other.
pub(crate) fn write(data: &Value) -> String {
    let mut text = HEAD.to_owned();
    for ban in data["bans"].as_array().into_iter().flatten() {
        let word = |key: &str| ban[key].as_str();
        let all = word("client").zip(word("until")).zip(word("reason"));
        if let Some(((client, until), reason)) = all
            && ban["dry_run"] != true
            && ban["listed"] != true
        {
            // Writing to a text cannot fail.
            writeln!(text, "{client} {until} {reason}").ok();
        }
    }
    text
}

/// A time of the wall clock, in milliseconds, as a file has it: never earlier.
pub(crate) fn until(millis: u64) -> String {
    let seconds = i64::try_from(millis.div_ceil(1_000)).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_string()
}

/// The clients, until when, and for what.
fn entry(line: &str, prefix: u32) -> Result<(Vec<IpAddr>, i64, Why), String> {
    let mut words = line.split_whitespace();
    let (Some(network), Some(until)) = (words.next(), words.next()) else {
        return Err("it is not \"NETWORK UNTIL REASON\"".to_owned());
    };
    let seconds = match until.parse::<i64>() {
        Ok(seconds) => seconds,
        Err(_) => match until.parse::<Timestamp>() {
            Ok(until) => until.as_second(),
            Err(_) => return Err(format!("{until:?} is no time such as 2026-11-27T10:00:00Z")),
        },
    };
    // What others call it is theirs; of what we have a name for, it stays.
    let why = words.next().and_then(Why::named).unwrap_or(Why::File);
    Ok((clients(network, prefix)?, seconds, why))
}

/// Every client of a network.
fn clients(network: &str, prefix: u32) -> Result<Vec<IpAddr>, String> {
    let wrong = || format!("{network:?} is no address or network");
    let (ip, length) = match network.split_once('/') {
        Some((ip, length)) if length.bytes().all(|it| it.is_ascii_digit()) => {
            (ip, Some(length.parse::<u32>().map_err(|_| wrong())?))
        }
        Some(_) => return Err(wrong()),
        None => (network, None),
    };
    let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
    let (bits, one) = match ip {
        IpAddr::V4(_) => (32, 32),
        IpAddr::V6(_) => (128, prefix),
    };
    let length = length.unwrap_or(bits);
    if length > bits {
        return Err(wrong());
    }
    // A part of a client is the client.
    let free = one.saturating_sub(length);
    if free > WIDEST {
        return Err(format!("{network} is wider than {} clients", 1 << WIDEST));
    }
    let each = 0..1_u32 << free;
    Ok(match ip.to_canonical() {
        IpAddr::V4(ip) if bits == 32 => {
            let first = ip.to_bits() & u32::MAX.checked_shl(free).unwrap_or(0);
            each.map(|it| Ipv4Addr::from_bits(first | it).into()).collect()
        }
        // As it was written: it may be one that is spared.
        IpAddr::V6(_) if free == 0 => vec![ip],
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - length.min(one)).unwrap_or(0);
            let step = 128 - one;
            let of = |it: u32| u128::from(it).checked_shl(step).unwrap_or(0);
            each.map(|it| Ipv6Addr::from_bits(ip.to_bits() & mask | of(it)).into()).collect()
        }
        // An IPv4 address in the clothes of IPv6.
        ip if length == bits => vec![ip],
        IpAddr::V4(_) => return Err(wrong()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::banned;
    use super::*;
    use crate::config::{Config, Sources};
    use mainstay_os::segment::{Layout, Segment};
    use std::time::Duration;

    /// 2026-11-27T10:00:00Z.
    const NOW: i64 = 1_795_773_600;

    fn jails(lines: &str) -> Jails {
        let file = Some(("mainstay.toml".into(), lines.to_owned()));
        let config = Config::resolve(&Sources { file, ..Sources::default() });
        Jails::of(&config.unwrap_or_else(|error| panic!("{error}"))).unwrap()
    }

    fn shown(listed: &Listed) -> Vec<String> {
        let show = |(banned, until): &(Banned, i64)| {
            format!("{} {} {}", banned.address, until - NOW, banned.why.as_str())
        };
        let mut shown: Vec<_> = listed.bans.iter().map(show).collect();
        shown.sort_unstable();
        shown
    }

    #[test]
    fn each_line_bans_the_clients_of_its_network_until_its_time() {
        let text = "\
# a comment

192.0.2.7 2026-11-27T11:00:00Z authn_login_fail
192.0.2.8/32 2026-11-27T12:00:00+01:00 found by hand
  198.51.100.6/31\t1795773660
2001:db8::1 2026-11-27T10:00:10Z
2001:db8:0:6::/63 2026-11-27T10:00:10Z x
::ffff:203.0.113.9 2026-11-27T10:00:20Z x
192.0.2.7 2026-11-27T10:00:01Z file
192.0.2.66 2026-11-27T10:00:00Z over
";
        let listed = read(text, &jails(""), NOW);
        assert_eq!(
            shown(&listed),
            [
                "192.0.2.7 3600 authn_login_fail",
                "192.0.2.8 3600 file",
                "198.51.100.6 60 file",
                "198.51.100.7 60 file",
                "2001:db8:0:6::/64 10 file",
                "2001:db8:0:7::/64 10 file",
                "2001:db8::/64 10 file",
                "203.0.113.9 20 file",
            ]
        );
        assert_eq!((listed.refused, listed.spared), (0, 0));
        let wide = read("192.0.2.99/24 1795773660\n2001:db8:0:ff::/56 1795773660", &jails(""), NOW);
        assert_eq!(wide.bans.len(), 512, "{:?}", wide.why);
    }

    #[test]
    fn nothing_in_a_file_bans_this_host_a_proxy_or_whom_the_operator_spares() {
        let jails = jails("proxy.trusted = '10.0.0.0/8'\nbans.ignore = ['192.0.2.7']");
        let until = "2027-01-01T00:00:00Z";
        let networks =
            ["127.0.0.1", "::1", "127.0.0.0/24", "10.1.2.0/24", "192.0.2.7", "::ffff:127.0.0.1"];
        for network in networks {
            let listed = read(&format!("{network} {until}"), &jails, NOW);
            assert_eq!(listed.bans, [], "{network}");
            assert!(listed.spared > 0 && listed.refused == 0, "{network}: {listed:?}");
        }
        let listed = read(&format!("192.0.2.6/31 {until}"), &jails, NOW);
        assert_eq!((listed.bans.len(), listed.spared), (1, 1));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line_and_the_rest_is_in_force() {
        let text = "192.0.2.7 1795773660\n192.0.2.8\n10.0.0.0/8 1795773660\n192.0.2.9 soon x\n";
        let listed = read(text, &jails(""), NOW);
        assert_eq!((listed.bans.len(), listed.refused), (1, 3));
        assert_eq!(listed.why.as_deref(), Some("line 2: it is not \"NETWORK UNTIL REASON\""));
        for wrong in [
            "0.0.0.0/0 1795773660",
            "::/0 1795773660",
            "2001:db8::/32 1795773660",
            "192.0.2.7/33 1795773660",
            "192.0.2.7/-1 1795773660",
            "192.0.2.7/ 1795773660",
            "::ffff:192.0.2.0/120 1795773660",
            "nobody 1795773660",
            "192.0.2.7 99999999999999999999999",
            "\u{0}\u{ff}",
        ] {
            let listed = read(wrong, &jails(""), NOW);
            assert_eq!((listed.bans.len(), listed.refused), (0, 1), "{wrong}");
        }
        let many: String = (0..70).map(|it| format!("198.18.{it}.0/24 1795773660\n")).collect();
        let listed = read(&many, &jails(""), NOW);
        assert_eq!((listed.bans.len(), listed.refused), (MOST, 6));
    }

    #[test]
    fn what_one_host_writes_another_reads_and_does_not_write_again() {
        let segment = Segment::on_heap(Layout { limits: 1 << 16, ..Layout::small(0) });
        let (limits, jails, mono) = (segment.limits(), jails(""), 1_000_000_000_000);
        let wall = NOW.unsigned_abs() * 1_000_000_000;
        for client in ["192.0.2.7", "2001:db8::1"] {
            banned::add(&jails, &limits, client, Some(Duration::from_secs(90)), mono).unwrap();
        }
        let text = write(&banned::list(&limits, mono, wall));
        let mut lines: Vec<_> = text.lines().collect();
        lines[1..].sort_unstable();
        let lines_wanted = [
            "# NETWORK UNTIL REASON",
            "192.0.2.7 2026-11-27T10:01:30Z operator",
            "2001:db8::/64 2026-11-27T10:01:30Z operator",
        ];
        assert_eq!(lines, lines_wanted);
        let listed = read(&text, &jails, NOW);
        assert_eq!(shown(&listed), ["192.0.2.7 90 operator", "2001:db8::/64 90 operator"]);
        let other = Segment::on_heap(Layout { limits: 1 << 16, ..Layout::small(0) });
        banned::take(&jails, &other.limits(), &listed.bans, mono, wall);
        assert_eq!(banned::list(&other.limits(), mono, wall)["bans"].as_array().unwrap().len(), 2);
        assert_eq!(write(&banned::list(&other.limits(), mono, wall)), HEAD);
    }
}
