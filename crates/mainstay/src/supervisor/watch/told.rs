//! What receivers of alerts are to be told of watch, and when: that it dies again and again, once, and that it lives
//! again, once. Pure.

use crate::clock::Mono;
use crate::incident::Incident;
use std::time::Duration;

/// An end that somebody did not take is told again after this long, then after twice as long, and so on.
const PAUSE: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// Nobody is told an end for longer than that, as no other alert is.
const GIVE_UP: Duration = Duration::from_secs(24 * 60 * 60);

/// How far that is. It is handed to the next program of an upgrade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Told {
    /// When the incident began that is not over for everybody, nanoseconds since the Unix epoch.
    since: Option<u64>,
    /// Somebody did not take that it began.
    untold: bool,
    /// When its end was told first, and when it is to be told again.
    over: Option<(Mono, Mono)>,
    /// How often it was not taken.
    tries: u32,
    /// Who was told that it began may not be written down.
    #[serde(default)]
    pub(super) is_unwritten: bool,
    /// Another one began while the end of this one is being told: when, and how often watch has died in it.
    #[serde(default)]
    next: Option<(u64, u32)>,
}

impl Told {
    /// What an earlier service has left: it may have ended before everybody knew, of the beginning or of the end.
    pub(super) fn left(incident: Option<&Incident>, now: Mono) -> Told {
        let since = incident.map(|it| it.since);
        let over = incident.filter(|it| it.is_over).map(|_| (now, now));
        Told { since, untold: since.is_some(), over, ..Told::default() }
    }

    /// Watch dies again and again: since when, if somebody is to be told so. By the same time, so that it is one
    /// incident for those who knew of it. While its end is being told, this is another one, which is told behind that.
    pub(super) fn looping(&mut self, wall: u64, deaths: u32, is_ending: bool) -> Option<u64> {
        if is_ending {
            let (since, _) = self.next.unwrap_or((wall, 0));
            self.next = Some((since, deaths));
            return None;
        }
        if self.over.is_some() {
            // Some know that it was over, so this is another one for all.
            self.done();
        }
        let is_known = self.since.is_some() && !std::mem::take(&mut self.untold);
        let since = *self.since.get_or_insert(wall);
        (!is_known).then_some(since)
    }

    /// The end is told, or could not be: since when there is another one, which takes its place, and how often watch has
    /// died in it. A watch that is well by then has ended that one too, and nobody has heard of it.
    pub(super) fn another(&mut self, is_well: bool) -> Option<(u64, u32)> {
        let (since, deaths) = self.next.take().filter(|_| !is_well)?;
        *self = Told { since: Some(since), ..Told::default() };
        Some((since, deaths))
    }

    /// Nobody has been told the beginning.
    pub(super) fn not_begun(&mut self) {
        self.untold = self.since.is_some();
    }

    /// Watch lives, and has done so for a while: since when the incident was whose end is to be told now.
    pub(super) fn well(&self, now: Mono) -> Option<u64> {
        self.since.filter(|_| self.over.is_none_or(|(_, next)| now >= next))
    }

    /// Everybody knows of the end, or will never.
    pub(super) fn done(&mut self) {
        *self = Told::default();
    }

    /// Somebody did not take the end. Whether that is given up.
    pub(super) fn not_over(&mut self, now: Mono) -> bool {
        let first = self.over.map_or(now, |(first, _)| first);
        let pause = PAUSE.saturating_mul(1 << self.tries.min(10)).min(LONGEST);
        self.tries += 1;
        self.over = Some((first, now + pause));
        now.since(first) >= GIVE_UP
    }
}
