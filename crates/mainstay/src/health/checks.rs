//! The checks of the service as they stand in the segment: who is to be asked when, what came of it,
//! and what the service is therefore.
//!
//! Nobody owns a check. Whoever finds that one is due takes its lease, makes it, and writes the result
//! where everybody reads it; so there is one at a time for the whole host, and none is missed because
//! a process died.

use super::State;
use super::reason::{Reason, Weight};
use super::state::{Check, Outcome, Thresholds};
use crate::clock::Mono;
use mainstay_os::segment::{BoardEntry, Segment};
use std::time::Duration;

/// Results in a row that change a check's mind.
const FALL_HARD: u32 = 2;
const FALL_TIMEOUT: u32 = 3;
const RISE: u32 = 1;
/// A result older than so many intervals no longer counts.
const STALE: u32 = 3;
/// While it fails, a check is made at least this often: recovery matters more than the cost of one.
const RETRY: Duration = Duration::from_secs(1);
/// What is locked for longer than this is not just busy.
const BUSY: Duration = Duration::from_secs(10);
/// How much longer than its deadline a check may hold its lease.
const MARGIN: Duration = Duration::from_secs(1);

/// What makes a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The application's own code, in a worker.
    App = 1,
    /// A fresh connection to the address, by anybody.
    Sqlite = 2,
    /// The same.
    Postgres = 3,
    /// The same.
    MySql = 4,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::App, Kind::Sqlite, Kind::Postgres, Kind::MySql];

    /// The word that detail uses.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Kind::App => "application",
            Kind::Sqlite => "sqlite",
            Kind::Postgres => "postgres",
            Kind::MySql => "mysql",
        }
    }

    /// Whether anybody can make it, from what stands in the segment.
    pub(crate) fn has_address(self) -> bool {
        self != Kind::App
    }
}

/// What a check is, as those who declare it say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nature {
    pub(crate) kind: Kind,
    /// The service is not ready while it fails.
    pub(crate) critical: bool,
    /// What can only be read is of no use.
    pub(crate) needs_writes: bool,
    /// How often it is made while it is well; whole milliseconds, at most 74 hours.
    pub(crate) every: Duration,
    /// How long it may take; whole milliseconds, at most 74 hours.
    pub(crate) deadline: Duration,
}

const MILLIS_BITS: u32 = 28;

impl Nature {
    fn to_flags(self) -> u64 {
        let most = (1 << MILLIS_BITS) - 1;
        let millis =
            |time: Duration| u64::try_from(time.as_millis()).unwrap_or(most).clamp(1, most);
        self.kind as u64
            | u64::from(self.critical) << 4
            | u64::from(self.needs_writes) << 5
            | millis(self.every) << 8
            | millis(self.deadline) << (8 + MILLIS_BITS)
    }

    fn from_flags(flags: u64) -> Option<Nature> {
        let millis = |shift: u32| Duration::from_millis(flags >> shift & ((1 << MILLIS_BITS) - 1));
        Some(Nature {
            kind: Kind::ALL.into_iter().find(|kind| *kind as u64 == flags & 15)?,
            critical: flags & 16 != 0,
            needs_writes: flags & 32 != 0,
            every: millis(8),
            deadline: millis(8 + MILLIS_BITS),
        })
    }

    fn thresholds(self) -> Thresholds {
        let stale = self.every.max(RETRY) * STALE + self.deadline;
        Thresholds { fall_hard: FALL_HARD, fall_timeout: FALL_TIMEOUT, rise: RISE, stale }
    }
}

// Values of an entry.
const MEMORY: usize = 0;
const LAST: usize = 1;
const SINCE: usize = 2;
const TOOK: usize = 3;
const OKS: usize = 4;
const FAILURES: usize = 5;
const BUSY_SINCE: usize = 6;
#[cfg_attr(not(feature = "database"), allow(dead_code, reason = "databases have addresses"))]
const IDENTITY: usize = 7;

/// The reason stands above the memory of [`Check`].
const REASON_SHIFT: u32 = 32;

/// One check of the service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checkpoint<'a> {
    /// Its place on the board.
    pub(crate) index: usize,
    pub(crate) nature: Nature,
    entry: BoardEntry<'a>,
}

/// How a check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) healthy: bool,
    /// Its last result, and when that came; none before the first.
    pub(crate) reason: Option<Reason>,
    pub(crate) last: Option<Mono>,
    /// The last result is too old to count.
    pub(crate) stale: bool,
    /// Since when it is as it is.
    pub(crate) since: Mono,
    /// How long the last one took.
    pub(crate) took: Duration,
    /// Failures in a row.
    pub(crate) run: u32,
    /// Results since the service began.
    pub(crate) oks: u64,
    pub(crate) failures: u64,
}

/// A result that changed what the service thinks of the thing that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) healthy: bool,
    /// How long it was as it was; none at its first result.
    pub(crate) after: Option<Duration>,
}

/// Finds the check of this name, or adds it, for `generation`. `None` when there is no room.
pub(crate) fn declare<'a>(
    segment: &'a Segment,
    generation: u64,
    name: &str,
    nature: Nature,
    target: &str,
) -> Option<Checkpoint<'a>> {
    let (index, entry) = segment.board().claim(name.as_bytes())?;
    let (generation, flags) = (generation as u32, nature.to_flags());
    if !entry.stands(generation, flags, target.as_bytes()) {
        entry.declare(generation, flags, target.as_bytes());
    }
    Some(Checkpoint { index, nature, entry })
}

/// The checks that `generation` wants.
pub(crate) fn wanted(segment: &Segment, generation: u64) -> impl Iterator<Item = Checkpoint<'_>> {
    segment.board().entries().filter_map(move |(index, entry)| {
        let nature = Nature::from_flags(entry.flags())?;
        entry.is_wanted_by(generation as u32).then_some(Checkpoint { index, nature, entry })
    })
}

/// What the service is: as the supervisor says, but not ready while a check fails on which it depends.
/// Costs a few loads for each check.
#[inline]
pub(crate) fn state(segment: &Segment, now: Mono) -> State {
    let header = segment.header();
    match State::from_word(header.state()) {
        State::Ready => {
            let mut checks = wanted(segment, header.generation());
            let fails = checks.any(|check| check.nature.critical && !check.is_healthy(now));
            if fails { State::Degraded } else { State::Ready }
        }
        other => other,
    }
}

impl Checkpoint<'_> {
    /// Its name.
    pub(crate) fn name(&self) -> String {
        String::from_utf8_lossy(&self.entry.name()).into_owned()
    }

    /// What it checks: an address, which may hold a password. `None` while that is being changed.
    #[cfg_attr(not(feature = "database"), allow(dead_code, reason = "databases have addresses"))]
    pub(crate) fn target(&self) -> Option<String> {
        String::from_utf8(self.entry.target()?).ok()
    }

    fn last(&self) -> Option<Mono> {
        Some(self.entry.value(LAST)).filter(|last| *last != 0).map(Mono)
    }

    fn check(&self) -> Check {
        Check::from_word(self.nature.thresholds(), self.entry.value(MEMORY), self.last())
    }

    /// Whether it is well at `now`.
    #[inline]
    pub(crate) fn is_healthy(&self, now: Mono) -> bool {
        self.check().is_healthy(now)
    }

    /// All that is known of it.
    pub(crate) fn health(&self, now: Mono) -> Health {
        let (check, last) = (self.check(), self.last());
        let number = (self.entry.value(MEMORY) >> REASON_SHIFT) as u8;
        Health {
            healthy: check.is_healthy(now),
            reason: last.map(|_| Reason::from_number(number)),
            last,
            stale: check.was_healthy() && !check.is_healthy(now),
            since: Mono(self.entry.value(SINCE)),
            took: Duration::from_nanos(self.entry.value(TOOK)),
            run: check.failures(),
            oks: self.entry.value(OKS),
            failures: self.entry.value(FAILURES),
        }
    }

    /// When it is to be made next; at once before the first time.
    pub(crate) fn due(&self) -> Mono {
        let Some(last) = self.last() else { return Mono(0) };
        let healthy = self.check().failures() == 0;
        let every = if healthy { self.nature.every } else { self.nature.every.min(RETRY) };
        // Up to a tenth earlier or later, so that checks of many hosts do not march in step.
        let tenth = u64::try_from(every.as_nanos() / 10).unwrap_or(u64::MAX).max(1);
        let early = last.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (2 * tenth);
        Mono((last + every).0.saturating_add(tenth).saturating_sub(early))
    }

    /// Whether its last result is old enough, from its beginning, that somebody who asks for it may
    /// have a newer one made: while it times out, one follows the other.
    pub(crate) fn may_be_renewed(&self, now: Mono) -> bool {
        let took = Duration::from_nanos(self.entry.value(TOOK));
        self.last().is_none_or(|last| now.since(last) + took >= self.nature.deadline / 4)
    }

    /// Takes it upon `holder` to make the check now, if nobody else is at it.
    pub(crate) fn begin(&self, holder: usize, now: Mono) -> bool {
        let until = now + self.nature.deadline + MARGIN;
        self.entry.lease(holder as u64, now.0, until.0)
    }

    /// What the check's thing was when it was first met, such as a file's number; 0 for nothing.
    #[cfg_attr(not(feature = "database"), allow(dead_code, reason = "databases have addresses"))]
    pub(crate) fn identity(&self) -> u64 {
        self.entry.value(IDENTITY)
    }

    /// Remembers that.
    #[cfg_attr(not(feature = "database"), allow(dead_code, reason = "databases have addresses"))]
    pub(crate) fn set_identity(&self, identity: u64) {
        self.entry.set(IDENTITY, identity);
    }

    /// Writes the result of a check that `holder` began at `began`, and gives the lease back.
    pub(crate) fn finish(
        &self,
        holder: usize,
        began: Mono,
        now: Mono,
        reason: Reason,
    ) -> Option<Change> {
        let (mut check, is_first) = (self.check(), self.last().is_none());
        let was_healthy = check.was_healthy();
        check.observe(self.outcome(reason, now), now);
        let healthy = check.was_healthy();
        self.entry.add(if reason == Reason::Ok { OKS } else { FAILURES }, 1);
        self.entry.set(TOOK, u64::try_from(now.since(began).as_nanos()).unwrap_or(u64::MAX));
        self.entry.set(MEMORY, check.to_word() | (reason as u64) << REASON_SHIFT);
        self.entry.set(LAST, now.0);
        let since = Mono(self.entry.value(SINCE));
        if is_first || healthy != was_healthy {
            self.entry.set(SINCE, now.0);
        }
        self.entry.release(holder as u64);
        let after = (!is_first).then(|| now.since(since));
        // The first success is what everybody expects.
        let changed = if is_first { !healthy } else { healthy != was_healthy };
        changed.then_some(Change { healthy, after })
    }

    /// How a result counts, in the light of those before it.
    fn outcome(&self, reason: Reason, now: Mono) -> Outcome {
        if reason.weight() != Weight::Busy {
            self.entry.set(BUSY_SINCE, 0);
        }
        match reason.weight() {
            Weight::Good => Outcome::Ok,
            Weight::Hard => Outcome::Hard,
            Weight::Slow => Outcome::Timeout,
            Weight::Busy => match self.entry.value(BUSY_SINCE) {
                0 => {
                    self.entry.set(BUSY_SINCE, now.0);
                    Outcome::Ok
                }
                since if now.since(Mono(since)) <= BUSY => Outcome::Ok,
                _ => Outcome::Hard,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dice;
    use mainstay_os::segment::Layout;

    fn segment() -> Segment {
        let layout = Layout::small(0);
        let segment = Segment::on_heap(layout);
        segment.header().set_state(State::Ready as u64);
        segment.header().set_generation(1);
        segment
    }

    fn nature() -> Nature {
        Nature {
            kind: Kind::Postgres,
            critical: true,
            needs_writes: false,
            every: Duration::from_secs(5),
            deadline: Duration::from_millis(800),
        }
    }

    fn at(millis: u64) -> Mono {
        Mono(1_000_000_000_000 + millis * 1_000_000)
    }

    fn observe(check: &Checkpoint<'_>, millis: u64, reason: Reason) -> Option<Change> {
        assert!(check.begin(1, at(millis)));
        check.finish(1, at(millis), at(millis), reason)
    }

    #[test]
    fn what_a_check_is_survives_the_segment() {
        let nature = Nature { needs_writes: true, ..nature() };
        assert_eq!(Nature::from_flags(nature.to_flags()), Some(nature));
        assert_eq!(Nature::from_flags(0), None);
        let endless = Nature { every: Duration::MAX, deadline: Duration::ZERO, ..nature };
        let kept = Nature::from_flags(endless.to_flags()).unwrap();
        assert_eq!((kept.every.as_secs(), kept.deadline.as_millis()), (268_435, 1));
    }

    #[test]
    fn the_service_is_not_ready_before_the_first_success_nor_while_a_check_fails() {
        let segment = segment();
        assert_eq!(state(&segment, at(0)), State::Ready, "nothing to depend on");
        let check = declare(&segment, 1, "db", nature(), "postgres://a/b").unwrap();
        assert_eq!(state(&segment, at(0)), State::Degraded);
        assert_eq!(observe(&check, 0, Reason::Ok), None);
        assert_eq!(state(&segment, at(1)), State::Ready);
        assert_eq!(observe(&check, 1_000, Reason::Refused), None);
        assert_eq!(state(&segment, at(1_001)), State::Ready);
        let change = observe(&check, 2_000, Reason::Refused).unwrap();
        assert_eq!((change.healthy, change.after), (false, Some(Duration::from_secs(2))));
        assert_eq!(state(&segment, at(2_001)), State::Degraded);
        assert_eq!(check.health(at(2_001)).reason, Some(Reason::Refused));
        let change = observe(&check, 5_000, Reason::Ok).unwrap();
        assert_eq!((change.healthy, change.after), (true, Some(Duration::from_secs(3))));
        assert_eq!(state(&segment, at(5_001)), State::Ready);
        segment.header().set_state(State::Draining as u64);
        assert_eq!(observe(&check, 6_000, Reason::Ok), None);
        assert_eq!(state(&segment, at(6_001)), State::Draining, "a drain never flips back");
    }

    #[test]
    fn failures_that_alternate_with_successes_flip_nothing() {
        let segment = segment();
        let check = declare(&segment, 1, "db", nature(), "").unwrap();
        observe(&check, 0, Reason::Ok);
        for round in 1..20 {
            let reason = if round % 2 == 0 { Reason::Ok } else { Reason::Timeout };
            assert_eq!(observe(&check, round * 1_000, reason), None);
            assert_eq!(state(&segment, at(round * 1_000)), State::Ready);
        }
    }

    #[test]
    fn a_result_that_nobody_renews_does_not_stay_green() {
        let segment = segment();
        let check = declare(&segment, 1, "db", nature(), "").unwrap();
        observe(&check, 0, Reason::Ok);
        assert_eq!(state(&segment, at(15_800)), State::Ready);
        assert_eq!(state(&segment, at(15_801)), State::Degraded);
        assert!(check.health(at(15_801)).stale);
    }

    #[test]
    fn a_lock_of_three_seconds_flips_nothing_and_one_of_a_minute_does() {
        let segment = segment();
        let check = declare(&segment, 1, "db", nature(), "").unwrap();
        observe(&check, 0, Reason::Ok);
        for second in 1..4 {
            assert_eq!(observe(&check, second * 1_000, Reason::Locked), None);
        }
        assert_eq!(observe(&check, 4_000, Reason::Ok), None);
        let flipped =
            (5..60).find(|second| observe(&check, second * 1_000, Reason::Locked).is_some());
        assert_eq!(flipped, Some(17), "ten seconds, and then twice");
    }

    #[test]
    fn only_what_the_serving_generation_wants_counts() {
        let segment = segment();
        let check = declare(&segment, 1, "db", nature(), "").unwrap();
        observe(&check, 0, Reason::Ok);
        let new = declare(&segment, 2, "search", nature(), "").unwrap();
        observe(&new, 0, Reason::Refused);
        assert_eq!(state(&segment, at(1)), State::Ready, "generation 2 does not serve yet");
        segment.header().set_generation(2);
        assert_eq!(state(&segment, at(1)), State::Degraded);
        assert_eq!(wanted(&segment, 2).count(), 1);
        let optional = Nature { critical: false, ..nature() };
        declare(&segment, 2, "search", optional, "").unwrap();
        assert_eq!(state(&segment, at(1)), State::Ready, "nothing depends on it");
    }

    #[test]
    fn a_check_is_made_by_one_at_a_time_and_again_when_its_maker_died() {
        let segment = segment();
        let check = declare(&segment, 1, "db", nature(), "").unwrap();
        assert!(check.begin(1, at(0)) && !check.begin(2, at(1)));
        assert!(check.begin(2, at(1_801)), "deadline and margin are over");
        check.finish(2, at(1_801), at(1_900), Reason::Ok);
        assert!(check.begin(3, at(1_901)));
        assert_eq!(check.health(at(1_901)).took, Duration::from_millis(99));
    }

    #[test]
    fn a_check_is_due_around_its_interval_and_sooner_while_it_fails() {
        let segment = segment();
        let check = declare(&segment, 1, "db", nature(), "").unwrap();
        assert_eq!(check.due(), Mono(0));
        let mut dice = Dice(1);
        for (reason, around) in [(Reason::Ok, 5_000), (Reason::Timeout, 1_000)] {
            for _ in 0..200 {
                let now = dice.roll(1_000_000);
                check.begin(1, at(now));
                check.finish(1, at(now), at(now), reason);
                let after = check.due().since(at(now)).as_millis() as u64;
                assert!((around * 9 / 10..=around * 11 / 10).contains(&after), "{after}");
            }
        }
        assert!(!check.may_be_renewed(check.last().unwrap() + Duration::from_millis(199)));
        assert!(check.may_be_renewed(check.last().unwrap() + Duration::from_millis(200)));
    }
}
