//! Bans by command, and the ends of bans. Workers ban by themselves.

use super::run::Supervisor;
use crate::clock::{self, Mono};
use crate::event::{Event, Time};
use crate::limits::banned;
use crate::limits::jails::{Banned, Jails};
use crate::metrics::names;
use serde_json::{Value, json};
use std::time::Duration;

impl Supervisor {
    /// The bans that are in force.
    pub(crate) fn bans(&self) -> Value {
        banned::list(&self.log.segment().limits(), clock::mono().0, clock::wall())
    }

    /// Bans a client, in place of a ban that may be in force.
    pub(crate) fn ban(&self, client: &str, millis: Option<u64>) -> Result<Value, String> {
        let (limits, now) = (self.log.segment().limits(), clock::mono().0);
        let lasts = millis.map(Duration::from_millis);
        let (banned, ban) = banned::add(&self.jails()?, &limits, client, lasts, now)?;
        let (client, why, times) = (banned.address.to_string(), banned.why.as_str(), ban.times);
        let lasts = Duration::from_millis(ban.ends.saturating_sub(ban.since));
        self.log.slot().add(names::BANS, 1);
        self.report(&Event::BanAdded { client: client.clone(), time: Time(lasts), why, times });
        Ok(json!({ "client": client, "seconds": lasts.as_secs() }))
    }

    /// Lifts the ban of a client, or all.
    pub(crate) fn lift_bans(&self, client: Option<&str>) -> Result<Value, String> {
        let (limits, now) = (self.log.segment().limits(), clock::mono().0);
        let lifted = banned::lift(&self.jails()?, &limits, client, now)?;
        let mut clients = Vec::new();
        for Banned { address, why, .. } in lifted {
            let (client, why) = (address.to_string(), why.as_str());
            clients.push(client.clone());
            self.report(&Event::BanLifted { client, why });
        }
        Ok(json!({ "lifted": clients }))
    }

    /// Tells of bans that have ended.
    pub(super) fn tell_ended_bans(&self, now: Mono) {
        let limits = self.log.segment().limits();
        for ban in limits.bans().ended(now.0).iter().filter(|ban| ban.counts) {
            // Of whom nothing is known, nothing can be told.
            let Some(banned) = Banned::of(&limits, ban) else { continue };
            let (client, why) = (banned.address.to_string(), banned.why.as_str());
            let time = Time(Duration::from_millis(ban.ends.saturating_sub(ban.since)));
            self.report(&Event::BanExpired { client, time, why });
        }
    }

    fn jails(&self) -> Result<Jails, String> {
        Jails::of(&self.config).map_err(|(key, reason)| format!("{key}: {reason}"))
    }
}
