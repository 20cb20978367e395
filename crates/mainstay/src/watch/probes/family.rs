//! IPv4 and IPv6 apart: which addresses an attempt goes to, and what two attempts, one over each, mean together.
//! Clients try one after the other, so that a family that is broken is seen by nobody but those who have no other.

use super::STACK;
use super::attempt::Attempt;
use super::failure::Failure;
use crate::clock::Mono;
use crate::config::probes::Ip;
use std::net::SocketAddr;
use std::panic;
use std::thread;

/// Finds the addresses of a host.
pub(super) type Lookup<'a> =
    dyn Fn(&str, u16, Mono) -> Result<Vec<SocketAddr>, Failure> + Sync + 'a;

/// The way that an attempt takes.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) lookup: &'a Lookup<'a>,
    /// Over this family.
    pub(super) only: Option<Ip>,
    /// Where a host has no address of it, over the other.
    pub(super) may_stray: bool,
}

impl Way<'_> {
    /// Where it leads.
    ///
    /// # Errors
    /// Why it leads nowhere.
    pub(super) fn addresses(
        &self,
        host: &str,
        port: u16,
        deadline: Mono,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let all = (self.lookup)(host, port, deadline)?;
        let is_ours = |it: &SocketAddr| self.only.is_none_or(|only| only == Ip::of(it.ip()));
        if !all.iter().any(is_ours) {
            return if self.may_stray { Ok(all) } else { Err(Failure::NoAddress) };
        }
        Ok(all.into_iter().filter(is_ours).collect())
    }
}

/// Asks over both at the same time, so that one that is slow takes nothing of the other's time.
pub(super) fn both(ask: impl Fn(Ip) -> Attempt + Sync) -> Attempt {
    let six = || ask(Ip::V6);
    let each = thread::scope(|scope| {
        let thread = thread::Builder::new().name("probe".into()).stack_size(STACK);
        let other = thread.spawn_scoped(scope, six);
        let four = ask(Ip::V4);
        // Without room for a thread it is asked afterwards.
        let six = match other {
            Ok(other) => other.join().unwrap_or_else(|fault| panic::resume_unwind(fault)),
            Err(_) => six(),
        };
        [(Ip::V4, four), (Ip::V6, six)]
    });
    merge(each)
}

/// What both mean together. A family of which the name has no address, or to which no way leads from here, counts as
/// nothing, unless there is nothing else.
fn merge(each: [(Ip, Attempt); 2]) -> Attempt {
    let is_asked = |it: &Attempt| it.failure != Some(Failure::NoAddress);
    let asked = each.iter().filter(|(_, it)| is_asked(it));
    let families = asked.map(|(ip, it)| (*ip, it.failure)).collect();
    let ends = each.iter().filter_map(|(_, it)| it.ends).min();
    let total = each.iter().map(|(_, it)| it.total).max().unwrap_or_default();
    let rank = |it: &Attempt| match it.failure {
        Some(Failure::NoAddress) => (0, None),
        Some(Failure::NoWay) => (1, None),
        // The slower one is what is told of two that are good.
        None => (2, Some(it.total)),
        Some(_) => (3, None),
    };
    // Of equals the last is taken, and that is to be the first.
    let told = each.into_iter().rev().max_by_key(|(_, it)| rank(it));
    let told = told.map(|(_, it)| it).unwrap_or_default();
    Attempt { families, ends, total, ..told }
}

#[cfg(test)]
mod tests {
    use super::super::attempt::attempt_by;
    use super::*;
    use crate::config::probes::{Expect, Family, Probe, Target};
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
    use std::time::Duration;

    const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    const BAD: &str = "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n";

    /// Says this to everybody at an address of this host.
    fn serve(address: SocketAddr, says: String) -> Option<SocketAddr> {
        let listener = match TcpListener::bind(address) {
            Ok(listener) => listener,
            // Not every host has IPv6, and nothing that could be installed brings it.
            Err(error) => {
                assert!(address.is_ipv6(), "no listener at {address}: {error}");
                eprintln!("skipped: no listener at {address}: {error}");
                return None;
            }
        };
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                // What was asked matters to nobody.
                let _some = stream.read(&mut [0; 4_096]);
                stream.write_all(says.as_bytes()).unwrap_or_default();
            }
        });
        Some(address)
    }

    /// Two hosts, of which each family says something; None: nobody listens there.
    fn ask(family: Family, four: Option<&str>, six: Option<&str>) -> Option<Attempt> {
        let here = |ip: std::net::IpAddr, says: Option<&str>| match says {
            Some(says) => serve(SocketAddr::new(ip, 0), says.to_owned()),
            None => TcpListener::bind((ip, 0)).and_then(|it| it.local_addr()).ok(),
        };
        let all = [here(Ipv4Addr::LOCALHOST.into(), four)?, here(Ipv6Addr::LOCALHOST.into(), six)?];
        Some(ask_at(family, &all))
    }

    fn ask_at(family: Family, addresses: &[SocketAddr]) -> Attempt {
        let target = Target::parse("http://shop.example/").unwrap();
        let usual = Probe::usual("shop", target);
        let probe = Probe { family, timeout: Duration::from_secs(20), ..usual };
        attempt_by(&probe, &|_, _, _| Ok(addresses.to_vec()))
    }

    /// No connection is ever made to what is of many, whatever ways there are.
    fn nowhere(ip: Ip) -> SocketAddr {
        let text = if ip == Ip::V4 { "255.255.255.255:80" } else { "[ff0e::1]:80" };
        text.parse().unwrap()
    }

    #[test]
    fn a_family_that_is_broken_is_down_and_named_where_the_other_one_is_good() {
        let Some(found) = ask(Family::Both, Some(GOOD), None) else { return };
        assert_eq!(found.why(), "over IPv6: nobody listens there");
        assert_eq!(found.families, [(Ip::V4, None), (Ip::V6, Some(Failure::Refused))]);
        assert!(found.is_near && found.phases.connect.is_some());
        let found = ask(Family::Both, Some(BAD), Some(GOOD)).unwrap();
        assert_eq!(
            (found.why().as_str(), found.status),
            ("over IPv4: its status is 500", Some(500))
        );
        let found = ask(Family::Both, Some(GOOD), Some(GOOD)).unwrap();
        assert_eq!((found.failure, found.status), (None, Some(200)));
        assert_eq!(found.families, [(Ip::V4, None), (Ip::V6, None)]);
        let found = ask(Family::Both, Some(BAD), Some(BAD)).unwrap();
        assert_eq!(found.why(), "its status is 500");
    }

    #[test]
    fn one_family_is_asked_alone_where_it_is_wanted_alone() {
        let Some(found) = ask(Family::Any, Some(GOOD), None) else { return };
        assert_eq!((found.failure, found.families.len()), (None, 0));
        assert_eq!(ask(Family::Any, None, Some(GOOD)).unwrap().failure, None);
        for (only, failure) in [(Ip::V4, None), (Ip::V6, Some(Failure::Refused))] {
            assert_eq!(ask(Family::Only(only), Some(GOOD), None).unwrap().failure, failure);
        }
        let four = "127.0.0.1:1".parse().unwrap();
        let found = ask_at(Family::Only(Ip::V6), &[four]);
        assert_eq!(found.failure, Some(Failure::NoAddress));
    }

    #[test]
    fn a_family_without_addresses_or_without_a_way_from_here_counts_as_nothing() {
        let four = serve("127.0.0.1:0".parse().unwrap(), GOOD.to_owned()).unwrap();
        let found = ask_at(Family::Both, &[four]);
        assert_eq!((found.failure, &found.families[..]), (None, &[(Ip::V4, None)][..]));
        let found = ask_at(Family::Both, &[four, nowhere(Ip::V6)]);
        assert_eq!(found.failure, None);
        assert_eq!(found.families, [(Ip::V4, None), (Ip::V6, Some(Failure::NoWay))]);
        let found = ask_at(Family::Both, &[nowhere(Ip::V4), nowhere(Ip::V6)]);
        assert_eq!(found.failure, Some(Failure::NoWay));
        let found = ask_at(Family::Both, &["127.0.0.1:1".parse().unwrap(), nowhere(Ip::V6)]);
        assert_eq!(found.why(), "over IPv4: nobody listens there");
    }

    #[test]
    fn an_address_to_which_no_way_leads_hides_no_other_failure() {
        let refused = "127.0.0.1:1".parse().unwrap();
        for all in [[refused, nowhere(Ip::V6)], [nowhere(Ip::V4), refused]] {
            assert_eq!(ask_at(Family::Any, &all).failure, Some(Failure::Refused), "{all:?}");
        }
    }

    #[test]
    fn a_redirect_to_a_host_of_one_family_is_followed_over_that_one() {
        let Some(six) = serve("[::1]:0".parse().unwrap(), String::new()) else { return };
        let last = serve("127.0.0.1:0".parse().unwrap(), GOOD.to_owned()).unwrap();
        let sent = "HTTP/1.1 302 x\r\nLocation: http://other.example/\r\n\r\n".to_owned();
        let first = serve(SocketAddr::new(six.ip(), 0), sent).unwrap();
        let expect = Expect { status: vec![(200, 200)], redirects: 1, ..Expect::default() };
        let usual = Probe::usual("shop", Target::parse("http://shop.example/").unwrap());
        for (family, failure) in
            [(Family::Both, None), (Family::Only(Ip::V6), Some(Failure::NoAddress))]
        {
            let probe = Probe { family, expect: expect.clone(), ..usual.clone() };
            let found = attempt_by(&probe, &|host, _, _| {
                Ok(vec![if host == "shop.example" { first } else { last }])
            });
            assert_eq!(found.failure, failure, "{found:?}");
        }
    }

    #[test]
    fn the_slower_of_two_that_are_good_is_told_and_the_certificate_that_ends_first() {
        let took = |seconds, ends| Attempt {
            total: Duration::from_secs(seconds),
            status: Some(200 + seconds as u16),
            ends,
            ..Attempt::default()
        };
        let found = merge([(Ip::V4, took(2, Some(7))), (Ip::V6, took(1, Some(5)))]);
        assert_eq!((found.status, found.ends), (Some(202), Some(5)));
        assert_eq!(found.total, Duration::from_secs(2));
    }
}
