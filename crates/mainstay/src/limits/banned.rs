//! Bans as a table for people and as JSON for programs, and what commands do with them.

use super::exchange;
use super::jails::{Banned, Jails, Why};
use super::table::columns;
use super::who::Address;
use mainstay_os::segment::{Added, Ban, Limits, Wanted};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

/// The longest that one of the file of bans lasts, milliseconds: a year.
const LONGEST: u64 = 366 * 86_400_000;

/// All bans that are in force, the last one first; with the time of the wall's clock too.
pub(crate) fn list(limits: &Limits<'_>, now: u64, wall: u64) -> Value {
    let mut bans: Vec<Ban> = limits.bans().in_force(now).collect();
    bans.sort_unstable_by_key(|ban| std::cmp::Reverse(ban.since));
    let (now, wall) = (now / 1_000_000, wall / 1_000_000);
    let bans = bans.iter().map(|ban| {
        let banned = Banned::of(limits, ban);
        json!({
            "client": banned.map(|it| it.address.to_string()),
            "reason": banned.map(|it| it.why.as_str()),
            "age_seconds": now.saturating_sub(ban.since) as f64 / 1e3,
            "left_seconds": ban.ends.saturating_sub(now) as f64 / 1e3,
            "until": exchange::until(wall.saturating_add(ban.ends.saturating_sub(now))),
            "times": ban.times,
            "listed": banned.is_some_and(|it| it.is_listed),
            "dry_run": banned.is_some_and(|it| it.dry_run),
        })
    });
    json!({ "bans": bans.collect::<Vec<_>>() })
}

/// [`list`] as text.
pub(crate) fn list_text(data: &Value) -> String {
    let head = ["CLIENT", "REASON", "SINCE", "LEFT", "TIMES", "EFFECT"].map(str::to_owned);
    let mut rows = vec![head];
    for ban in data["bans"].as_array().into_iter().flatten() {
        let text = |key: &str| ban[key].as_str().unwrap_or("not known").to_owned();
        let seconds = |key: &str| format!("{:.0}s", ban[key].as_f64().unwrap_or(0.0));
        let effect = if ban["dry_run"] == true { "tells" } else { "refuses" };
        rows.push([
            text("client"),
            text("reason"),
            seconds("age_seconds"),
            seconds("left_seconds"),
            ban["times"].to_string(),
            effect.to_owned(),
        ]);
    }
    if rows.len() == 1 { "nobody is banned\n".to_owned() } else { columns(&rows) }
}

/// What was added, as text.
pub(crate) fn added_text(data: &Value) -> String {
    let client = data["client"].as_str().unwrap_or_default();
    format!("banned {client} for {}s\n", data["seconds"])
}

/// What was lifted, as text.
pub(crate) fn lifted_text(data: &Value) -> String {
    let lifted = data["lifted"].as_array().into_iter().flatten();
    let lifted: Vec<_> = lifted.filter_map(Value::as_str).collect();
    match lifted.is_empty() {
        true => "nobody was banned\n".to_owned(),
        false => format!("lifted {}\n", lifted.join(", ")),
    }
}

/// Bans whom an operator names, in place of a ban that may be in force.
///
/// # Errors
/// When it is no address, or one that is never banned, or there is no place.
pub(crate) fn add(
    jails: &Jails,
    limits: &Limits<'_>,
    client: &str,
    lasts: Option<Duration>,
    now: u64,
) -> Result<(Banned, Ban), String> {
    let ip = address(client)?;
    if jails.spares(Some(ip)) {
        return Err(format!(
            "{client} is this host, one of proxy.trusted or one of bans.ignore, and is never banned"
        ));
    }
    let address = Address::of(Some(ip), jails.ipv6_prefix);
    let banned = Banned { address, why: Why::Operator, dry_run: false, is_listed: false };
    let wanted = Wanted { note: banned.note(), counts: true, renews: true };
    let term = |last: Option<&Ban>| {
        let (times, usual) = jails.term(last, now / 1_000_000);
        (times, lasts.unwrap_or(usual))
    };
    match limits.bans().add(banned.key(limits), &wanted, now, term) {
        Added::New(ban) | Added::Already(ban) => Ok((banned, ban)),
        Added::NoRoom => Err("there is no place for another ban".to_owned()),
    }
}

/// Lifts the bans of whom an operator names, or all; gives whose they were.
///
/// # Errors
/// When it is no address.
pub(crate) fn lift(
    jails: &Jails,
    limits: &Limits<'_>,
    client: Option<&str>,
    now: u64,
) -> Result<Vec<Banned>, String> {
    let bans = limits.bans();
    let wanted = match client {
        Some(client) => Some(Address::of(Some(address(client)?), jails.ipv6_prefix)),
        None => None,
    };
    let found: Vec<Banned> =
        bans.in_force(now).filter_map(|ban| Banned::of(limits, &ban)).collect();
    let meant = found.into_iter().filter(|it| wanted.is_none_or(|wanted| it.address == wanted));
    Ok(meant.filter(|it| bans.lift(it.key(limits), now).is_some()).collect())
}

/// What became of bans that were taken over.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) added: usize,
    pub(crate) lifted: usize,
    /// For which there is no place; to be tried again.
    pub(crate) unplaced: Vec<(Banned, i64)>,
    /// Their client is banned for something of this host's own.
    pub(crate) waiting: Vec<Waiting>,
}

/// Whom a file bans behind a ban of this host's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    entry: (Banned, i64),
    /// When the ban before it ends, milliseconds. One that is gone earlier was lifted, and with it this one.
    ends: u64,
}

/// Puts what the file of bans says in force, until so many seconds since the epoch, and lifts what stood there before and
/// does not any more.
pub(crate) fn take(
    jails: &Jails,
    limits: &Limits<'_>,
    listed: &[(Banned, i64)],
    now: u64,
    wall: u64,
) -> Taken {
    let (bans, mut taken) = (limits.bans(), Taken::default());
    let named: HashSet<(IpAddr, bool)> =
        listed.iter().filter_map(|(it, _)| Some((it.address.ip()?, it.dry_run))).collect();
    let is_named =
        |it: &Banned| it.address.ip().is_some_and(|ip| named.contains(&(ip, it.dry_run)));
    let found: Vec<Banned> =
        bans.in_force(now).filter_map(|ban| Banned::of(limits, &ban)).collect();
    for old in found.iter().filter(|it| it.is_listed && !is_named(it)) {
        taken.lifted += usize::from(bans.lift(old.key(limits), now).is_some());
    }
    taken.place(jails, limits, listed, now, wall);
    taken
}

impl Taken {
    /// Puts in force whom no other ban stands before any more.
    pub(crate) fn retry(
        &mut self,
        jails: &Jails,
        limits: &Limits<'_>,
        waiting: &[Waiting],
        now: u64,
        wall: u64,
    ) {
        let stands = |it: &Waiting| limits.bans().find(it.entry.0.key(limits), now).is_some();
        let is_due = |it: &&Waiting| it.ends <= now / 1_000_000 || stands(it);
        let due: Vec<_> = waiting.iter().filter(is_due).map(|it| it.entry).collect();
        self.place(jails, limits, &due, now, wall);
    }

    /// Puts these in force, and lifts none.
    pub(crate) fn place(
        &mut self,
        jails: &Jails,
        limits: &Limits<'_>,
        listed: &[(Banned, i64)],
        now: u64,
        wall: u64,
    ) {
        if listed.is_empty() {
            return;
        }
        let bans = limits.bans();
        let now_ms = now / 1_000_000;
        let is_listed = |ban: &Ban| Banned::of(limits, ban).is_some_and(|it| it.is_listed);
        // The other half is for bans of this host's own.
        let half = bans.places() / 2;
        let mut free = half.saturating_sub(bans.in_force(now).filter(is_listed).count());
        for entry @ (banned, until) in listed {
            let until = u64::try_from(*until).unwrap_or(0).saturating_mul(1_000);
            let lasts = until.saturating_sub(wall / 1_000_000).min(LONGEST);
            let key = banned.key(limits);
            let there = bans.find(key, now);
            // Clocks are read one after the other, and a year has no end that is told.
            let is_same = |ban: &Ban| match lasts {
                LONGEST => ban.ends > now_ms + LONGEST / 2,
                _ => ban.ends.abs_diff(now_ms + lasts) <= 2_000,
            };
            match &there {
                _ if lasts == 0 => continue,
                Some(ban) if is_listed(ban) && is_same(ban) => continue,
                Some(ban) if !is_listed(ban) => {
                    self.waiting.push(Waiting { entry: *entry, ends: ban.ends });
                    continue;
                }
                None if free == 0 => {
                    self.unplaced.push(*entry);
                    continue;
                }
                _ => {}
            }
            let wanted =
                Wanted { note: banned.note(), counts: !banned.dry_run, renews: there.is_some() };
            let term =
                |last: Option<&Ban>| (jails.term(last, now_ms).0, Duration::from_millis(lasts));
            match bans.add(key, &wanted, now, term) {
                Added::New(_) => {
                    self.added += 1;
                    free = free.saturating_sub(usize::from(there.is_none()));
                }
                // Somebody was faster.
                Added::Already(ban) => self.waiting.push(Waiting { entry: *entry, ends: ban.ends }),
                Added::NoRoom => self.unplaced.push(*entry),
            }
        }
    }
}

/// An address, or an IPv6 network as lists show it.
fn address(text: &str) -> Result<IpAddr, String> {
    let wrong = || format!("{text:?} is not an address");
    match text.split_once('/') {
        None => text.parse().map_err(|_| wrong()),
        Some((ip, length)) if length.bytes().all(|it| it.is_ascii_digit()) => {
            ip.parse().ok().filter(IpAddr::is_ipv6).ok_or_else(wrong)
        }
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};
    use mainstay_os::segment::{Layout, Segment};

    const NOW: u64 = 1_000_000_000_000;

    fn rig() -> (Segment, Jails) {
        let segment =
            Segment::on_heap(Layout { ring_bytes: [64; 3], limits: 1 << 16, ..Layout::small(0) });
        (segment, Jails::of(&Config::resolve(&Sources::default()).unwrap()).unwrap())
    }

    #[test]
    fn whom_an_operator_bans_is_listed_until_the_ban_is_lifted() {
        let (segment, jails) = rig();
        let limits = segment.limits();
        assert_eq!(list_text(&list(&limits, NOW, 0)), "nobody is banned\n");
        let hour = Duration::from_secs(3_600);
        add(&jails, &limits, "192.0.2.7", Some(hour), NOW).unwrap();
        add(&jails, &limits, "2001:db8::1", None, NOW + 2_000_000_000).unwrap();
        assert_eq!(
            list_text(&list(&limits, NOW + 10_000_000_000, 0)),
            "\
CLIENT         REASON    SINCE  LEFT   TIMES  EFFECT
2001:db8::/64  operator  8s     592s   1      refuses
192.0.2.7      operator  10s    3590s  1      refuses
"
        );
        let lifted = |client| {
            let lifted = lift(&jails, &limits, client, NOW).unwrap();
            lifted.iter().map(|it| it.address.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(lifted(Some("192.0.2.8")), [""; 0]);
        assert_eq!(lifted(Some("2001:db8::/64")), ["2001:db8::/64"]);
        assert_eq!(lifted(None), ["192.0.2.7"]);
        assert_eq!(list(&limits, NOW, 0)["bans"].as_array().unwrap().len(), 0);
    }

    #[test]
    fn nobody_bans_this_host_a_proxy_or_what_is_no_address() {
        let (segment, jails) = rig();
        for (client, why) in [
            ("127.0.0.1", "never banned"),
            ("::1", "never banned"),
            ("nobody", "not an address"),
            ("10.0.0.0/8", "not an address"),
            ("2001:db8::/x", "not an address"),
        ] {
            let error = add(&jails, &segment.limits(), client, None, NOW).unwrap_err();
            assert!(error.contains(why), "{client}: {error}");
        }
    }
}
