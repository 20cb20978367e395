//! Bans, read from the configuration: for what, for how long, and whom never; and what stands of one in the
//! segment.

use super::parse::Rate;
use super::plan::policy;
use super::settings::read_many;
use super::who::Address;
use crate::config::Config;
use crate::http::client::Networks;
use mainstay_os::segment::{BAN_NOTE, Ban, Key, Limits, Policy, Strategy};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// For what somebody is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Why {
    Limits = 0,
    Logins = 1,
    NotFound = 2,
    Csrf = 3,
    /// Somebody said so.
    Operator = 4,
    AttackTool = 5,
    /// A file says so, for a reason of its own.
    File = 6,
}

/// What is counted, with its key and the name that the log has for it, which is OWASP's.
const WHYS: [(Why, &str, &str); 7] = [
    (Why::Limits, "bans.limits", "excess_rate_limit_exceeded"),
    (Why::Logins, "bans.logins", "authn_login_fail"),
    (Why::NotFound, "bans.not_found", "malicious_excess_404"),
    (Why::Csrf, "bans.csrf", "malicious_csrf"),
    (Why::Operator, "", "operator"),
    (Why::AttackTool, "bans.attack_tools", "malicious_attack_tool"),
    (Why::File, "", "file"),
];

impl Why {
    /// As the log names it.
    pub(crate) fn as_str(self) -> &'static str {
        WHYS[self as usize].2
    }

    /// What the log names so.
    pub(crate) fn named(name: &str) -> Option<Why> {
        WHYS.iter().find(|(.., it)| *it == name).map(|(why, ..)| *why)
    }
}

/// `[bans]`, read.
#[derive(Clone, Debug)]
pub(crate) struct Jails {
    /// What is counted, by [`Why`].
    counted: [Vec<Policy>; 6],
    time: Duration,
    factor: u64,
    max_time: Duration,
    ignore: Networks,
    proxies: Networks,
    /// Bits of an IPv6 address that tell clients apart.
    pub(crate) ipv6_prefix: u32,
    pub(crate) dry_run: bool,
}

impl Jails {
    /// As `[bans]` says.
    ///
    /// # Errors
    /// The key and what is wrong with its value.
    pub(crate) fn of(config: &Config) -> Result<Jails, (&'static str, String)> {
        let bans = &config.bans;
        let (operator, tools) = (String::new(), &bans.attack_tools);
        let texts = [&bans.limits, &bans.logins, &bans.not_found, &bans.csrf, &operator, tools];
        let mut counted = [const { Vec::new() }; 6];
        for ((place, text), (_, key, _)) in counted.iter_mut().zip(texts).zip(WHYS) {
            let rates = read_many(text).map_err(|error| (key, error))?;
            let policies: Result<_, String> = rates.iter().map(counts).collect();
            *place = policies.map_err(|error| (key, error))?;
        }
        let networks =
            |key: &'static str, list: &str| Networks::parse(list).map_err(|error| (key, error));
        Ok(Jails {
            counted,
            time: bans.time,
            factor: bans.factor,
            max_time: bans.max_time.max(bans.time),
            ignore: networks("bans.ignore", &bans.ignore)?,
            proxies: networks("proxy.trusted", &config.proxy.trusted)?,
            ipv6_prefix: config.limits.ipv6_prefix,
            dry_run: bans.dry_run,
        })
    }

    /// What is counted of this.
    pub(crate) fn counted(&self, why: Why) -> &[Policy] {
        self.counted.get(why as usize).map_or(&[], Vec::as_slice)
    }

    /// Whether a client is never banned: who has no address, this host, proxies, and whom an operator names.
    pub(crate) fn spares(&self, client: Option<IpAddr>) -> bool {
        client.is_none_or(|ip| {
            ip.to_canonical().is_loopback() || self.ignore.contains(ip) || self.proxies.contains(ip)
        })
    }

    /// How manieth a ban that begins at `now` is, and how long it lasts. `now` is in milliseconds.
    pub(crate) fn term(&self, last: Option<&Ban>, now: u64) -> (u64, Duration) {
        let memory = u64::try_from(self.max_time.as_millis()).unwrap_or(u64::MAX);
        let last = last.filter(|last| now < last.ends.saturating_add(memory));
        let times = last.map_or(0, |last| last.times).saturating_add(1);
        let power = u32::try_from(times - 1).unwrap_or(u32::MAX);
        let factor = u32::try_from(self.factor.saturating_pow(power)).unwrap_or(u32::MAX);
        (times, self.time.saturating_mul(factor).min(self.max_time))
    }
}

/// How events are counted: as the last ones before each moment, so that no window's end helps anybody.
fn counts(rate: &Rate) -> Result<Policy, String> {
    match rate.amount {
        0 => Err(format!("\"{rate}\" would ban before anything happened")),
        _ => policy(Strategy::MovingWindow, rate),
    }
}

/// Who is banned, as it stands beside a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Banned {
    pub(crate) address: Address,
    pub(crate) why: Why,
    /// Nothing is refused.
    pub(crate) dry_run: bool,
    /// It stands in the file of bans.
    pub(crate) is_listed: bool,
}

/// In the first word of a note: it stands in the file of bans.
const LISTED: u64 = 1 << 24;
const V4: u64 = 4;
const V6: u64 = 6;

impl Banned {
    /// What the ban is found by.
    pub(crate) fn key(&self, limits: &Limits<'_>) -> Key {
        key(limits, &self.address, self.dry_run)
    }

    /// For the words beside it.
    pub(crate) fn note(&self) -> [u64; BAN_NOTE] {
        let (kind, bits) = match self.address.ip() {
            Some(IpAddr::V4(ip)) => (V4, u128::from(ip.to_bits())),
            Some(IpAddr::V6(ip)) => (V6, ip.to_bits()),
            None => (0, 0),
        };
        let prefix = u64::from(self.address.prefix()) << 8;
        let listed = if self.is_listed { LISTED } else { 0 };
        [kind | prefix | (self.why as u64) << 16 | listed, (bits >> 64) as u64, bits as u64]
    }

    /// Reads those words; `None` when they are not this ban's.
    pub(crate) fn of(limits: &Limits<'_>, ban: &Ban) -> Option<Banned> {
        let [about, high, low] = ban.note;
        let bits = u128::from(high) << 64 | u128::from(low);
        let ip = match about & 0xff {
            V4 => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits).ok()?)),
            V6 => IpAddr::V6(Ipv6Addr::from_bits(bits)),
            _ => return None,
        };
        let prefix = u32::try_from(about >> 8 & 0xff).ok().filter(|it| (1..=128).contains(it))?;
        let address = Address::of(Some(ip), prefix);
        let why = usize::try_from(about >> 16 & 0xff).ok().and_then(|it| WHYS.get(it))?.0;
        let is_listed = about & LISTED != 0;
        let banned = Banned { address, why, dry_run: !ban.counts, is_listed };
        ban.is_of(banned.key(limits)).then_some(banned)
    }
}

/// The key of the ban of a client, or of one that is only told of.
pub(crate) fn key(limits: &Limits<'_>, address: &Address, dry_run: bool) -> Key {
    let scope: &[u8] = if dry_run { b"bans, dry" } else { b"bans" };
    limits.key(0, scope, address.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use mainstay_os::segment::{Added, Layout, Segment, Wanted};

    fn read(lines: &str) -> Jails {
        let file = Some(("mainstay.toml".into(), lines.to_owned()));
        let config = Config::resolve(&Sources { file, ..Sources::default() });
        Jails::of(&config.unwrap_or_else(|error| panic!("{error}"))).unwrap()
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn this_host_proxies_and_the_ignored_are_spared() {
        let jails = read(
            "proxy.trusted = '10.0.0.0/8, unix'\nbans.ignore = ['192.0.2.0/24', '2001:db8::1']",
        );
        for spared in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "10.1.2.3", "192.0.2.7"]
        {
            assert!(jails.spares(ip(spared)), "{spared}");
        }
        assert!(jails.spares(ip("2001:db8::1")) && jails.spares(None));
        assert!(!jails.spares(ip("2001:db8::2")) && !jails.spares(ip("198.51.100.1")));
    }

    #[test]
    fn bans_grow_up_to_the_longest_and_are_forgotten_after_as_long() {
        let jails = read("[bans]\ntime = '1m'\nfactor = 3\nmax_time = '10m'");
        let last = |times, ends| {
            let segment = Segment::on_heap(Layout { limits: 1 << 16, ..Layout::small(0) });
            let (limits, wanted) =
                (segment.limits(), Wanted { note: [0; 3], counts: true, renews: false });
            let added = limits
                .bans()
                .add(limits.key(0, b"", b""), &wanted, 0, |_| (times, Duration::from_millis(ends)));
            let Added::New(ban) = added else { panic!("{added:?}") };
            ban
        };
        let minutes = |times| {
            let (next, lasts) = jails.term(Some(&last(times, 1_000)), 2_000);
            assert_eq!(next, times + 1);
            lasts.as_secs() / 60
        };
        assert_eq!(jails.term(None, 0), (1, Duration::from_secs(60)));
        assert_eq!([minutes(1), minutes(2), minutes(3), minutes(400)], [3, 9, 10, 10]);
        let later = 1_000 + 600_000;
        assert_eq!(jails.term(Some(&last(2, 1_000)), later).0, 1);
        let steady = read("[bans]\ntime = '30d'");
        assert_eq!(steady.term(Some(&last(2, 1_000)), 2_000).1, Duration::from_secs(30 * 86_400));
    }

    #[test]
    fn what_stands_beside_a_ban_is_believed_when_it_is_its_own() {
        let segment = Segment::on_heap(Layout { limits: 1 << 16, ..Layout::small(0) });
        let limits = segment.limits();
        for (client, why, dry_run) in [
            ("192.0.2.7", Why::Limits, false),
            ("2001:db8::1", Why::Operator, false),
            ("255.255.255.255", Why::Csrf, true),
        ] {
            let address = Address::of(ip(client), 64);
            let banned = Banned { address, why, dry_run, is_listed: dry_run };
            let ban = |note| {
                let wanted = Wanted { note, counts: !dry_run, renews: true };
                let term = |_: Option<&Ban>| (1, Duration::from_secs(1));
                let added = limits.bans().add(banned.key(&limits), &wanted, 0, term);
                let Added::New(ban) = added else { panic!("{added:?}") };
                ban
            };
            assert_eq!(Banned::of(&limits, &ban(banned.note())), Some(banned));
            let [about, high, low] = banned.note();
            for other in [[about, high ^ 1 << 63, low], [about ^ 2, high, low], [0, 0, 0]] {
                assert_eq!(Banned::of(&limits, &ban(other)), None, "{other:?}");
            }
        }
    }

    #[test]
    fn a_jail_that_bans_before_anything_happened_is_a_mistake() {
        let file = Some(("mainstay.toml".into(), "bans.logins = '0/minute'".to_owned()));
        let error = Config::resolve(&Sources { file, ..Sources::default() }).unwrap_err();
        assert!(error.to_string().contains("would ban before anything happened"), "{error}");
    }
}
