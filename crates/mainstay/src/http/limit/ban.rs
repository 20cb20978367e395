//! Bans, as the first of what may refuse: who did too often what `[bans]` counts is refused everything for a
//! while. As long as nobody is banned it costs a look at one word.

use super::refusal::{Quota, in_words, retry_later};
use super::tell;
use crate::clock::{self, Mono};
use crate::event::{Event, Time};
use crate::http::context::Context;
use crate::http::record::Reason;
use crate::limits::jails::{Banned, Jails, Why, key};
use crate::limits::who::Address;
use crate::log::Log;
use crate::metrics::names;
use http::{Response, StatusCode};
use mainstay_os::segment::{Added, Hit, Verdict, Wanted};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The bans of this process, for parts that are not asked on a request's way.
static WARDEN: OnceLock<Arc<Warden>> = OnceLock::new();

/// Lets the parts count that the application brings.
pub(crate) fn install(warden: &Arc<Warden>) {
    // A process has one; a second could only be of the same worker.
    WARDEN.set(Arc::clone(warden)).ok();
}

/// Counts something that a client did, where there are bans.
#[cfg_attr(not(feature = "login"), allow(dead_code, reason = "others count on a request's way"))]
pub(crate) fn note(why: Why, context: &Context) {
    if let Some(warden) = WARDEN.get() {
        warden.note(why, context.client, Some(context), clock::mono());
    }
}

/// Who counts, and bans.
pub(crate) struct Warden {
    jails: Jails,
    log: Log,
}

impl fmt::Debug for Warden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warden").field("jails", &self.jails).finish_non_exhaustive()
    }
}

impl Warden {
    pub(crate) fn new(jails: Jails, log: Log) -> Arc<Warden> {
        Arc::new(Warden { jails, log })
    }

    /// The answer to a client that is banned.
    #[inline(always)]
    pub(super) fn refuses<B: Default>(
        &self,
        client: Option<IpAddr>,
        now: Mono,
    ) -> Option<Box<Response<B>>> {
        if !self.log.segment().limits().any_banned(now.0) {
            return None;
        }
        self.look(client, now)
    }

    #[inline(never)]
    fn look<B: Default>(&self, client: Option<IpAddr>, now: Mono) -> Option<Box<Response<B>>> {
        let limits = self.log.segment().limits();
        let address = Address::of(client, self.jails.ipv6_prefix);
        let ban = limits.bans().find(key(&limits, &address, false), now.0)?;
        // Of one IPv6 network some may be spared, and a reload may have named others.
        if self.jails.spares(client) {
            return None;
        }
        self.log.slot().add(names::BANNED, 1);
        let seconds = (ban.ends.saturating_sub(now.0 / 1_000_000)).div_ceil(1_000).max(1);
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::FORBIDDEN;
        retry_later(response.headers_mut(), seconds);
        let wait = in_words(seconds);
        let message = format!("This address is banned. Please try again in {wait}.");
        response.extensions_mut().insert(Quota { message, violated: Vec::new() });
        response.extensions_mut().insert(Reason("banned"));
        Some(Box::new(response))
    }

    /// Whether this is counted.
    #[inline]
    pub(super) fn counts(&self, why: Why) -> bool {
        !self.jails.counted(why).is_empty()
    }

    /// Counts what a client did, and bans it when that was too often.
    pub(super) fn note(
        &self,
        why: Why,
        client: Option<IpAddr>,
        context: Option<&Context>,
        now: Mono,
    ) {
        let counted = self.jails.counted(why);
        if counted.is_empty() || self.jails.spares(client) {
            return;
        }
        let limits = self.log.segment().limits();
        let address = Address::of(client, self.jails.ipv6_prefix);
        let hits = counted.iter().map(|policy| {
            let key = limits.key(policy.id, why.as_str().as_bytes(), address.bytes());
            Hit { policy: *policy, key, cost: 1 }
        });
        let is_over = |hit: &Hit| {
            let mut verdicts = [Verdict::default()];
            !limits.decide(&[*hit], now.0, &mut verdicts) || verdicts[0].remaining == 0
        };
        let over = hits.clone().filter(is_over).count();
        if over > 0 {
            // Who comes back begins anew.
            hits.for_each(|hit| _ = limits.clear(hit.key));
            self.ban(
                Banned { address, why, dry_run: self.jails.dry_run, is_listed: false },
                context,
                now,
            );
        }
    }

    #[cold]
    fn ban(&self, banned: Banned, context: Option<&Context>, now: Mono) {
        let limits = self.log.segment().limits();
        let wanted = Wanted { note: banned.note(), counts: !banned.dry_run, renews: false };
        let term = |last: Option<&_>| self.jails.term(last, now.0 / 1_000_000);
        let added = limits.bans().add(banned.key(&limits), &wanted, now.0, term);
        // The metrics say how many had no place; who had one already has been told.
        let Added::New(ban) = added else { return };
        let (client, why, times) = (banned.address.to_string(), banned.why.as_str(), ban.times);
        let time = Time(Duration::from_millis(ban.ends.saturating_sub(ban.since)));
        let event = match banned.dry_run {
            true => Event::BanWouldBe { client, time, why, times },
            false => Event::BanAdded { client, time, why, times },
        };
        if !banned.dry_run {
            self.log.slot().add(names::BANS, 1);
        }
        tell::write(&self.log, context, &event, "intrusion_detection", "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};
    use crate::metrics::names;
    use mainstay_os::segment::{Layout, Segment};

    const SECOND: u64 = 1_000_000_000;

    struct Rig {
        warden: Arc<Warden>,
        segment: Segment,
    }

    impl Rig {
        fn new(lines: &str) -> Rig {
            let (ring_bytes, limits) = ([64 << 10; 3], 1 << 20);
            let layout = Layout { ring_bytes, limits, ..Layout::small(names::CELLS) };
            let segment = Segment::on_heap(layout);
            let file = Some(("mainstay.toml".into(), lines.to_owned()));
            let config = Config::resolve(&Sources { file, ..Sources::default() }).unwrap();
            let log = Log::new(segment.clone(), 0);
            Rig { warden: Warden::new(Jails::of(&config).unwrap(), log), segment }
        }

        fn note(&self, why: Why, client: &str, second: u64) {
            self.warden.note(why, client.parse().ok(), None, Mono(second * SECOND));
        }

        /// How long a client is told to stay away.
        fn wait(&self, client: &str, second: u64) -> Option<u64> {
            let now = Mono(second * SECOND);
            let refused = self.warden.refuses::<()>(client.parse().ok(), now)?;
            assert_eq!(refused.status(), StatusCode::FORBIDDEN);
            refused.headers()["retry-after"].to_str().ok()?.parse().ok()
        }

        fn lines(&self) -> Vec<String> {
            let slot = self.segment.slot(0).unwrap();
            let (mut buffer, mut lines) = (Vec::new(), Vec::new());
            while let Some(record) = slot.ring(1).pop(&mut buffer) {
                let line = String::from_utf8(record.bytes[8..].to_vec()).unwrap();
                let message = line.match_indices("] ").nth(2).expect("three brackets").0 + 2;
                lines.push(line[message..].trim_end().to_owned());
            }
            lines
        }
    }

    #[test]
    fn who_does_too_often_what_is_counted_is_refused_until_the_ban_ends() {
        let rig = Rig::new("[bans]\nlogins = '3 per 10 minute'\ntime = '1m'\nfactor = 2");
        for second in [1_000, 1_100] {
            rig.note(Why::Logins, "192.0.2.7", second);
        }
        // The first is no longer within ten minutes.
        rig.note(Why::Logins, "192.0.2.7", 1_601);
        assert_eq!(rig.wait("192.0.2.7", 1_601), None);
        rig.note(Why::Csrf, "192.0.2.7", 1_601);
        rig.note(Why::Logins, "192.0.2.8", 1_601);
        rig.note(Why::Logins, "192.0.2.7", 1_602);
        assert_eq!(rig.wait("192.0.2.7", 1_602), Some(60));
        assert_eq!(rig.wait("192.0.2.7", 1_661), Some(1));
        assert_eq!(rig.wait("192.0.2.8", 1_602), None, "another client");
        assert_eq!(rig.wait("192.0.2.7", 1_662), None);
        for _ in 0..2 {
            rig.note(Why::Logins, "192.0.2.7", 1_662);
        }
        assert_eq!(rig.wait("192.0.2.7", 1_662), None, "who comes back begins anew");
        rig.note(Why::Logins, "192.0.2.7", 1_662);
        assert_eq!(rig.wait("192.0.2.7", 1_662), Some(120), "the second lasts longer");
        assert_eq!(
            rig.lines(),
            [
                "ban.added:192.0.2.7 for 60.0 s (authn_login_fail, ban number 1)",
                "ban.added:192.0.2.7 for 120.0 s (authn_login_fail, ban number 2)",
            ]
        );
        let slot = rig.segment.slot(0).unwrap();
        assert_eq!([names::BANS, names::BANNED].map(|cell| slot.counter(cell)), [2, 3]);
    }

    #[test]
    fn a_network_is_one_client_of_which_those_that_are_named_are_spared() {
        let rig = Rig::new("[bans]\nnot_found = '2/minute'\nignore = ['2001:db8::9']");
        for client in ["2001:db8::1", "2001:db8::9", "2001:db8::2"] {
            rig.note(Why::NotFound, client, 1_000);
        }
        assert_eq!(rig.wait("2001:db8::3", 1_000), Some(600));
        assert_eq!(rig.wait("2001:db8::9", 1_000), None);
        assert_eq!(rig.wait("2001:db8:0:1::1", 1_000), None);
        for spared in ["127.0.0.1", "unix"] {
            (0..9).for_each(|_| rig.note(Why::NotFound, spared, 1_000));
            assert_eq!(rig.wait(spared, 1_000), None);
        }
    }

    #[test]
    fn a_dry_run_tells_once_whom_it_would_ban_and_refuses_nobody() {
        let rig = Rig::new("[bans]\nlimits = '1/minute'\ndry_run = true");
        (0..5).for_each(|_| rig.note(Why::Limits, "192.0.2.7", 1_000));
        assert_eq!(rig.wait("192.0.2.7", 1_000), None);
        let line = "Dry run: 192.0.2.7 would be banned for 600.0 s \
                    (excess_rate_limit_exceeded, ban number 1)";
        assert_eq!(rig.lines(), [line]);
        assert_eq!(rig.segment.slot(0).unwrap().counter(names::BANS), 0);
    }
}
