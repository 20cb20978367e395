//! The table of rate limits: counts of keys that all processes share, of fixed size, without a lock.
//!
//! A count has a place of two words (`table`, `state`), which says by itself when it ends. What is admitted
//! is decided by one compare-and-swap, so as many are admitted as a limit says, by however many processes,
//! whoever of them is killed. A count that has to make room for another before it has ended is forgiven, and
//! counted in [`Limits::evicted`]; a key for which there is no room is admitted, and counted in
//! [`Limits::full`].
//!
//! Times are monotonic nanoseconds of the host (`CLOCK_MONOTONIC`), the same for all processes.

mod bans;
mod counter;
mod gcra;
mod geometry;
mod judge;
mod key;
mod moving;
mod parts;
mod permits;
mod policy;
mod refused;
mod sip;
mod sliding;
mod state;
mod store;
mod table;
mod whom;

pub use bans::{Added, BAN_NOTE, Ban, Bans, Wanted};
pub(crate) use geometry::Geometry;
pub use key::{Key, Scope, Subject};
pub use permits::{Entry, Holder, MAX_PERMITS, Permit};
pub use policy::{Policy, PolicyError, Strategy};
pub use refused::{Named, Refused};
pub use store::{Breaker, Turn};
pub use whom::{REFUSED_NAME, Whom};

use super::atomic::{AtomicU64, Ordering::Relaxed};
use judge::Judged;
use moving::Ring;
use state::State;
use std::time::Duration;
use table::{Found, Full, Replace, Table};

/// The largest amount of [`Strategy::MovingWindow`] of which each admission's time is kept.
pub const EXACT_AMOUNT: u64 = 1_024;

// Words of the head.
const SECRET: usize = 0;
const EVICTED: usize = 2;
const FULL: usize = 3;
// 4 and 5 are the store's.
/// Until when a ban may be in force that everybody asks for; until when any; up to when ends were told, all in
/// milliseconds; and how many had no place.
const BANS_UNTIL: usize = 6;
const BANS_NEWEST: usize = 7;
const BANS_TOLD: usize = 8;
const BANS_UNMADE: usize = 9;
/// Limits of one request that are looked at once, unless others are faster.
const STEPS: usize = 4;
/// Words before the places.
pub(crate) const HEAD_WORDS: usize = 16;

/// One limit that a request counts against.
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    /// Which limit.
    pub policy: Policy,
    /// Whose count.
    pub key: Key,
    /// How much it takes, mostly 1. Above the amount it is never admitted.
    pub cost: u64,
}

/// What one limit says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether this limit admits the hit. The request is admitted when all of its limits do.
    pub admitted: bool,
    /// How much is left, after the hit where it was consumed.
    pub remaining: u64,
    /// Nanoseconds until more is left; 0 when nothing is used.
    pub reset_after_ns: u64,
    /// Nanoseconds until this hit can be admitted, as far as is known now; 0 when it is. For a cost above the
    /// amount one window, though it will not be admitted then either.
    pub retry_after_ns: u64,
}

impl Verdict {
    /// Until more is left.
    #[must_use]
    pub fn reset_after(&self) -> Duration {
        Duration::from_nanos(self.reset_after_ns)
    }

    /// Until this hit can be admitted.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        Duration::from_nanos(self.retry_after_ns)
    }
}

/// View of the table; everybody writes.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    words: &'a [AtomicU64],
    geometry: Geometry,
}

impl<'a> Limits<'a> {
    pub(crate) fn new(words: &'a [AtomicU64], geometry: Geometry) -> Limits<'a> {
        Limits { words, geometry }
    }

    fn counts(&self) -> Table<'a> {
        Table::new(&self.words[self.geometry.counts()])
    }

    /// What keys are hashed with, from now on; for the supervisor alone, before anybody else is there.
    #[cfg(not(loom))]
    pub(crate) fn set_secret(&self, secret: [u64; 2]) {
        self.words[SECRET].store(secret[0], Relaxed);
        self.words[SECRET + 1].store(secret[1], Relaxed);
    }

    fn secret(&self) -> [u64; 2] {
        [self.words[SECRET].load(Relaxed), self.words[SECRET + 1].load(Relaxed)]
    }

    /// A policy in a scope. The same in all processes for the life of the segment.
    #[must_use]
    pub fn scope(&self, policy_id: u64, scope: &[u8]) -> Scope {
        Scope::of(self.secret(), policy_id, scope)
    }

    /// Whom limits are for. The same in all processes for the life of the segment.
    #[inline]
    #[must_use]
    pub fn subject(&self, subject: &[u8]) -> Subject {
        Subject::of(self.secret(), subject)
    }

    /// The key of `key` in `scope` under a policy. Who has several limits of one request makes scopes
    /// beforehand and the subject once.
    #[must_use]
    pub fn key(&self, policy_id: u64, scope: &[u8], key: &[u8]) -> Key {
        self.scope(policy_id, scope).key(self.subject(key))
    }

    /// How many counts had to make room before they had ended.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.words[EVICTED].load(Relaxed)
    }

    /// How many hits were admitted because there was no room to count them.
    #[must_use]
    pub fn full(&self) -> u64 {
        self.words[FULL].load(Relaxed)
    }

    /// Decides on all hits of a request at once: if each of its limits admits, all are consumed, otherwise
    /// none. Writes what each limit says into `verdicts`, which has at least as many places.
    ///
    /// Whoever is killed in between may have consumed some of them.
    pub fn decide(&self, hits: &[Hit], now_ns: u64, verdicts: &mut [Verdict]) -> bool {
        if let ([hit], [verdict, ..]) = (hits, &mut *verdicts) {
            *verdict = self.consume(hit, now_ns);
            return verdict.admitted;
        }
        let mut steps = [None; STEPS];
        if !self.look(hits, now_ns, verdicts, &mut steps) {
            return false;
        }
        for (index, (hit, verdict)) in hits.iter().zip(&mut *verdicts).enumerate() {
            if let Some(Some(Step { place, next, reset })) = steps.get(index)
                && place.replace(*next)
            {
                verdict.remaining = verdict.remaining.saturating_sub(hit.cost);
                verdict.reset_after_ns = *reset;
                continue;
            }
            *verdict = self.consume(hit, now_ns);
            if !verdict.admitted {
                // Others were faster: what was taken is given back, and told as it stands then.
                hits[..index].iter().for_each(|hit| self.refund(hit, now_ns));
                let denied = *verdict;
                self.peek(hits, now_ns, verdicts);
                verdicts[index] = denied;
                return false;
            }
        }
        true
    }

    /// What [`decide`](Limits::decide) would say now. Consumes nothing.
    pub fn peek(&self, hits: &[Hit], now_ns: u64, verdicts: &mut [Verdict]) -> bool {
        self.look(hits, now_ns, verdicts, &mut [])
    }

    /// Keeps as many steps as there is room for, where one step is all there is to do.
    #[inline]
    fn look(
        &self,
        hits: &[Hit],
        now_ns: u64,
        verdicts: &mut [Verdict],
        steps: &mut [Option<Step<'a>>],
    ) -> bool {
        let counts = self.counts();
        // The first is looked for at once.
        hits.iter().skip(1).for_each(|hit| counts.prefetch(hit.key));
        let mut admitted = true;
        for (index, (hit, verdict)) in hits.iter().zip(verdicts).enumerate() {
            let mut note = |found: Option<Found<'a>>, judged: &Judged| {
                *verdict = judged.without();
                admitted &= verdict.admitted;
                if let (Some(step), Some(found)) = (steps.get_mut(index), found) {
                    let (place, next, reset) = (found.step(), judged.next, judged.reset_after_hit);
                    *step = Some(Step { place, next, reset });
                }
            };
            // Each by itself, so that nothing of it passes through memory.
            let (policy, tag) = (&hit.policy, hit.key.tag());
            match policy.strategy {
                Strategy::FixedWindow => {
                    let found = counts.find(hit.key, tag);
                    note(found, &counter::judge(policy, is(found), hit.cost, now_ns / 1_000_000));
                }
                Strategy::Gcra => {
                    let found = counts.find(hit.key, tag);
                    note(found, &gcra::judge(policy, is(found), hit.cost, now_ns));
                }
                Strategy::SlidingWindowCounter => {
                    let plan = Self::plan_sliding(counts, hit, now_ns);
                    note(plan.found, &plan.judged);
                }
                // There is more than one step to it.
                Strategy::MovingWindow => note(None, &self.plan_moving(hit, now_ns).judged),
            }
        }
        admitted
    }

    /// Gives back what a hit has consumed that was decided on at `now_ns`, unless its window has ended.
    pub fn refund(&self, hit: &Hit, now_ns: u64) {
        let now = now_ns / 1_000_000;
        let (policy, cost) = (&hit.policy, hit.cost);
        if policy.strategy == Strategy::MovingWindow {
            return self.rings(hit).refund(hit, now_ns);
        }
        let tag = match policy.strategy {
            Strategy::SlidingWindowCounter => hit.key.tag() | (now / policy.window_ms) & 1,
            _ => hit.key.tag(),
        };
        while let Some(found) = self.counts().find(hit.key, tag) {
            let next = match policy.strategy {
                Strategy::Gcra => gcra::undo(policy, found.is, cost, now_ns),
                Strategy::SlidingWindowCounter => sliding::undo(policy, found.is, cost, now),
                _ => counter::undo(policy, found.is, cost, now),
            };
            if next.is_none_or(|next| found.replace(next)) {
                return;
            }
        }
    }

    /// Forgets what a key has used. Whether it had used anything.
    #[must_use]
    pub fn clear(&self, key: Key) -> bool {
        let mut cleared =
            [key.tag(), key.tag() | 1].map(|tag| self.counts().clear(key, tag)).contains(&true);
        for class in self.geometry.classes() {
            cleared |= Table::new(&self.words[class.places]).clear(key, key.tag());
        }
        cleared
    }

    /// What a hit finds.
    #[inline(always)]
    fn plan(&self, counts: Table<'a>, hit: &Hit, now_ns: u64) -> Plan<'a> {
        let (policy, key, cost) = (&hit.policy, hit.key, hit.cost);
        match policy.strategy {
            Strategy::FixedWindow => {
                let found = counts.find(key, key.tag());
                let judged = counter::judge(policy, is(found), cost, now_ns / 1_000_000);
                Plan { tag: key.tag(), found, judged }
            }
            Strategy::Gcra => {
                let found = counts.find(key, key.tag());
                Plan { tag: key.tag(), found, judged: gcra::judge(policy, is(found), cost, now_ns) }
            }
            Strategy::SlidingWindowCounter => Self::plan_sliding(counts, hit, now_ns),
            Strategy::MovingWindow => self.plan_moving(hit, now_ns),
        }
    }

    // Apart, so that what they need is not held ready for the others.
    #[inline(never)]
    fn plan_sliding(counts: Table<'a>, hit: &Hit, now_ns: u64) -> Plan<'a> {
        let (policy, key) = (&hit.policy, hit.key);
        let found = counts.find_both(key);
        let windows = sliding::Windows::read(policy, found.map(is), now_ns / 1_000_000);
        let (odd, judged) = (windows.number & 1, windows.judge(policy, hit.cost));
        Plan { tag: key.tag() | odd, found: found[odd as usize], judged }
    }

    #[inline(never)]
    fn plan_moving(&self, hit: &Hit, now_ns: u64) -> Plan<'a> {
        let (ring, judged) = self.rings(hit).judge(hit, now_ns);
        Plan { tag: hit.key.tag(), found: ring.map(|ring| ring.place), judged }
    }

    /// Decides on one hit, and consumes it if it is admitted.
    #[inline]
    fn consume(&self, hit: &Hit, now_ns: u64) -> Verdict {
        let (counts, policy, cost) = (self.counts(), &hit.policy, hit.cost);
        // Each by itself, so that nothing of it passes through memory.
        let settled = match policy.strategy {
            Strategy::FixedWindow => {
                let found = counts.find(hit.key, hit.key.tag());
                settle(found, &counter::judge(policy, is(found), cost, now_ns / 1_000_000), cost)
            }
            Strategy::Gcra => {
                let found = counts.find(hit.key, hit.key.tag());
                settle(found, &gcra::judge(policy, is(found), cost, now_ns), cost)
            }
            Strategy::SlidingWindowCounter => {
                let plan = Self::plan_sliding(counts, hit, now_ns);
                settle(plan.found, &plan.judged, cost)
            }
            Strategy::MovingWindow => None,
        };
        match settled {
            Some(verdict) => verdict,
            None => self.consume_slowly(hit, now_ns),
        }
    }

    /// The same, for keys that are new and races that were lost.
    #[inline(never)]
    fn consume_slowly(&self, hit: &Hit, now_ns: u64) -> Verdict {
        loop {
            let plan = self.plan(self.counts(), hit, now_ns);
            let judged = &plan.judged;
            if !judged.admitted {
                return judged.without();
            }
            let place = match plan.found {
                Some(place) => place,
                None => match self.claim(hit, plan.tag, now_ns) {
                    Err(Full) => {
                        self.words[FULL].fetch_add(1, Relaxed);
                        return judged.with(hit.cost);
                    }
                    // Settled by another meanwhile: it is judged again.
                    Ok(place) if place.is.is_settled() => continue,
                    Ok(place) => place,
                },
            };
            let consumed = match hit.policy.strategy {
                Strategy::MovingWindow => self.rings(hit).consume(place, hit, judged, now_ns),
                _ => place.replace(judged.next),
            };
            if consumed {
                return judged.with(hit.cost);
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn claim(&self, hit: &Hit, tag: u64, now_ns: u64) -> Result<Found<'a>, Full> {
        let table = match hit.policy.strategy {
            Strategy::MovingWindow => self.rings(hit).table,
            _ => self.counts(),
        };
        table.find_or_claim(hit.key, tag, now_ns / 1_000_000, || {
            self.words[EVICTED].fetch_add(1, Relaxed);
        })
    }

    /// The rings of a moving window.
    fn rings(&self, hit: &Hit) -> Rings<'a> {
        let class = self.geometry.class(hit.policy.amount);
        Rings {
            table: Table::new(&self.words[class.places]),
            words: &self.words[class.rings],
            length: class.length,
        }
    }
}

/// What is in a place; nothing, where there is none.
#[inline(always)]
fn is(found: Option<Found<'_>>) -> State {
    found.map_or(State(0), |found| found.is)
}

/// What one step settles: a refusal, or an admission for which there is a place that nobody else was faster at.
#[inline(always)]
fn settle(found: Option<Found<'_>>, judged: &Judged, cost: u64) -> Option<Verdict> {
    if !judged.admitted {
        return Some(judged.without());
    }
    found?.replace(judged.next).then(|| judged.with(cost))
}

/// What a hit has found, and what it would do.
#[derive(Clone, Copy, Debug)]
struct Plan<'a> {
    tag: u64,
    found: Option<Found<'a>>,
    judged: Judged,
}

/// What remains to be done for a hit that was looked at.
#[derive(Clone, Copy, Debug)]
struct Step<'a> {
    place: Replace<'a>,
    next: State,
    reset: u64,
}

/// Places with rings of one length.
#[derive(Clone, Copy, Debug)]
struct Rings<'a> {
    table: Table<'a>,
    words: &'a [AtomicU64],
    length: usize,
}

impl<'a> Rings<'a> {
    fn ring(&self, place: Found<'a>, hit: &Hit) -> Ring<'a> {
        let words = &self.words[place.index * self.length..][..self.length];
        match usize::try_from(hit.policy.amount) {
            Ok(amount) if amount < words.len() => Ring { place, words: &words[..amount] },
            _ => Ring { place, words },
        }
    }

    fn judge(&self, hit: &Hit, now_ns: u64) -> (Option<Ring<'a>>, Judged) {
        let (policy, cost) = (&hit.policy, hit.cost);
        loop {
            let ring = self.table.find(hit.key, hit.key.tag()).map(|place| self.ring(place, hit));
            let judged = if policy.amount > EXACT_AMOUNT {
                let now = now_ns / 1_000_000;
                let seen =
                    ring.map_or(Some(parts::Seen::NONE), |it| parts::survey(&it, policy, now));
                seen.map(|seen| parts::judge(policy, &seen, cost, now))
            } else {
                let now = now_ns / 1_000;
                let none = Some(moving::Seen::default());
                let seen = ring.map_or(none, |it| it.survey(policy, now));
                seen.map(|seen| moving::judge(policy, ring.as_ref(), &seen, cost, now))
            };
            // Otherwise the place has changed hands meanwhile.
            if let Some(judged) = judged {
                return (ring, judged);
            }
        }
    }

    /// Takes what a hit costs, unless others were faster.
    fn consume(&self, mut place: Found<'a>, hit: &Hit, judged: &Judged, now_ns: u64) -> bool {
        let wanted = now_ns / 1_000_000 + hit.policy.window_ms + 1;
        let lasts = place.is.is_settled() && place.is.ends() >= wanted;
        if !lasts || place.is.is_hot() != judged.next.is_hot() {
            if !place.replace(judged.next) {
                return false;
            }
            place.is = judged.next;
        }
        let ring = self.ring(place, hit);
        if hit.policy.amount > EXACT_AMOUNT {
            parts::take(&ring, &hit.policy, hit.cost, now_ns / 1_000_000)
        } else {
            ring.take(&hit.policy, hit.cost, now_ns / 1_000)
        }
    }

    fn refund(&self, hit: &Hit, now_ns: u64) {
        let Some(place) = self.table.find(hit.key, hit.key.tag()) else { return };
        let ring = self.ring(place, hit);
        if hit.policy.amount > EXACT_AMOUNT {
            parts::give_back(&ring, &hit.policy, hit.cost, now_ns / 1_000_000);
        } else {
            ring.give_back(hit.cost, now_ns / 1_000);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom;
