//! What all processes know of a store elsewhere that counts for several hosts: whether it answers, and whom it
//! has refused until when.

use super::state::{Kind, State};
use super::{Key, Limits};
use crate::segment::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};
use std::time::Duration;

/// The word of the breaker: 0 while the store answers, else when it may be tried again (milliseconds) and how
/// often it was tried.
pub(super) const BREAKER: usize = 4;
/// When it was opened, monotonic nanoseconds.
pub(super) const SINCE: usize = 5;
/// When it was closed (milliseconds), and how often it had been tried.
pub(super) const CLOSED: usize = 10;

const TRIES_BITS: u32 = 8;
const TRIES: u64 = (1 << TRIES_BITS) - 1;
/// Until the first try.
const FIRST_MS: u64 = 250;
/// Doublings of it.
const DOUBLED: u64 = 5;
/// Whoever fails so soon after it was closed fails as before: the pauses go on growing.
const SOON_MS: u64 = 10_000;
/// How long a try may take before another may: whoever tried may have died.
const LEASE_MS: u64 = 2_000;

/// Whether the store is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It answers.
    Ask,
    /// It does not.
    Leave,
    /// It did not, and the caller alone is to try whether it does again.
    Try,
}

/// The breaker of the store: open while it does not answer. Everybody writes.
#[derive(Clone, Copy, Debug)]
pub struct Breaker<'a> {
    word: &'a AtomicU64,
    since: &'a AtomicU64,
    closed: &'a AtomicU64,
}

impl Breaker<'_> {
    /// Whose turn it is.
    #[must_use]
    pub fn turn(&self, now_ns: u64) -> Turn {
        let was = self.word.load(Acquire);
        if was == 0 {
            return Turn::Ask;
        }
        let now = now_ns / 1_000_000;
        if now < was >> TRIES_BITS {
            return Turn::Leave;
        }
        let next = word(now + LEASE_MS, was & TRIES);
        match self.word.compare_exchange(was, next, AcqRel, Acquire) {
            Ok(_) => Turn::Try,
            Err(_) => Turn::Leave,
        }
    }

    /// Whether it is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.word.load(Acquire) != 0
    }

    /// The store has failed somebody who asked. True for the one whose failure opened it.
    #[must_use]
    pub fn failed(&self, now_ns: u64) -> bool {
        if self.is_open() {
            return false;
        }
        self.since.store(now_ns, Relaxed);
        let (now, closed) = (now_ns / 1_000_000, self.closed.load(Relaxed));
        let is_soon = closed != 0 && now.saturating_sub(closed >> TRIES_BITS) < SOON_MS;
        let tries = if is_soon { ((closed & TRIES) + 1).min(TRIES) } else { 1 };
        let next = word(now + (FIRST_MS << (tries - 1).min(DOUBLED)), tries);
        self.word.compare_exchange(0, next, AcqRel, Acquire).is_ok()
    }

    /// The store has failed the one who tried.
    pub fn failed_again(&self, now_ns: u64) {
        let was = self.word.load(Acquire);
        if was != 0 {
            let tries = was & TRIES;
            let pause = FIRST_MS << tries.min(DOUBLED);
            let next = word(now_ns / 1_000_000 + pause, (tries + 1).min(TRIES));
            // Whoever was faster knows more.
            self.word.compare_exchange(was, next, AcqRel, Acquire).ok();
        }
    }

    /// The store has answered the one who tried. For the one who closes it, how long it was open.
    #[must_use]
    pub fn answered(&self, now_ns: u64) -> Option<Duration> {
        let was = self.word.swap(0, AcqRel);
        if was != 0 {
            self.closed.store(word(now_ns / 1_000_000, was & TRIES), Relaxed);
        }
        (was != 0).then(|| Duration::from_nanos(now_ns.saturating_sub(self.since.load(Relaxed))))
    }
}

/// Never 0, since there was a try.
fn word(until_ms: u64, tries: u64) -> u64 {
    until_ms << TRIES_BITS | tries.max(1)
}

impl<'a> Limits<'a> {
    /// The breaker of the store.
    #[must_use]
    pub fn breaker(&self) -> Breaker<'a> {
        let [word, since, closed] = [BREAKER, SINCE, CLOSED].map(|at| &self.words[at]);
        Breaker { word, since, closed }
    }

    /// For how long the store will go on refusing a key, as far as it was [noted](Limits::note_refused).
    #[must_use]
    pub fn refused(&self, key: Key, now_ns: u64) -> Option<Duration> {
        let place = self.counts().find(key, key.tag())?.is;
        let left = place.ends().checked_sub(now_ns / 1_000_000).filter(|left| *left > 0)?;
        // What is beyond the time for which it is believed.
        let beyond = match place.kind() {
            Kind::Count { count, .. } => count,
            _ => 0,
        };
        Some(Duration::from_millis(left) + Duration::from_secs(beyond))
    }

    /// The store refuses a key, and will for `all`; of that it is believed for `lasts`. The key must be of a scope in
    /// which nothing is counted. Where there is no room, the store is asked again.
    pub fn note_refused(&self, key: Key, lasts: Duration, all: Duration, now_ns: u64) {
        let now = now_ns / 1_000_000;
        let lasts = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        if lasts == 0 {
            return;
        }
        let beyond = all.saturating_sub(Duration::from_millis(lasts)).as_secs();
        let state = State::count(now.saturating_add(lasts), beyond, false);
        let evicted = || {
            self.words[super::EVICTED].fetch_add(1, Relaxed);
        };
        if let Ok(place) = self.counts().find_or_claim(key, key.tag(), now, evicted) {
            // Whoever was faster notes the same.
            place.replace(state);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::segment::{Layout, Segment};

    const MS: u64 = 1_000_000;

    fn segment() -> Segment {
        Segment::on_heap(Layout { limits: 1 << 16, ..Layout::small(0) })
    }

    #[test]
    fn one_failure_opens_the_breaker_and_one_at_a_time_tries_whether_it_is_over() {
        let segment = segment();
        let limits = segment.limits();
        let (breaker, begin) = (limits.breaker(), 5_000 * MS);
        assert_eq!(breaker.turn(begin), Turn::Ask);
        assert!(breaker.failed(begin) && !breaker.failed(begin), "it is told once");
        assert_eq!(breaker.turn(begin + 249 * MS), Turn::Leave);
        let now = begin + 250 * MS;
        assert_eq!([breaker.turn(now), breaker.turn(now)], [Turn::Try, Turn::Leave]);
        breaker.failed_again(now);
        assert_eq!(breaker.turn(now + 499 * MS), Turn::Leave);
        assert_eq!(breaker.turn(now + 500 * MS), Turn::Try);
        assert_eq!(breaker.turn(now + 2_499 * MS), Turn::Leave, "it is being tried");
        assert_eq!(breaker.turn(now + 2_500 * MS), Turn::Try, "whoever tried has died");
        let closed = breaker.answered(begin + 3_000 * MS);
        assert_eq!(closed, Some(Duration::from_secs(3)));
        assert_eq!(breaker.answered(begin + 3_000 * MS), None, "it is told once");
        assert_eq!(breaker.turn(begin + 3_000 * MS), Turn::Ask);
    }

    #[test]
    fn who_fails_again_soon_after_an_answer_waits_longer() {
        let segment = segment();
        let limits = segment.limits();
        let (breaker, mut now) = (limits.breaker(), 5_000 * MS);
        for pause in [250, 500, 1_000] {
            assert!(breaker.failed(now));
            assert_eq!(breaker.turn(now + (pause - 1) * MS), Turn::Leave);
            assert_eq!(breaker.turn(now + pause * MS), Turn::Try);
            assert!(breaker.answered(now + pause * MS).is_some());
            now += (pause + 100) * MS;
        }
        now += 20_000 * MS;
        assert!(breaker.failed(now));
        assert_eq!(breaker.turn(now + 250 * MS), Turn::Try, "it was well in between");
    }

    #[test]
    fn tries_come_ever_more_seldom_and_never_end() {
        let segment = segment();
        let limits = segment.limits();
        let (breaker, mut now) = (limits.breaker(), 5_000 * MS);
        assert!(breaker.failed(now));
        let mut pauses = Vec::new();
        for _ in 0..600 {
            let begin = now;
            while breaker.turn(now) != Turn::Try {
                now += MS;
            }
            pauses.push((now - begin) / MS);
            breaker.failed_again(now);
        }
        assert_eq!(pauses[..7], [250, 500, 1_000, 2_000, 4_000, 8_000, 8_000]);
        assert!(pauses[7..].iter().all(|pause| *pause == 8_000));
    }

    #[test]
    fn whom_the_store_refuses_is_known_until_it_does_not() {
        let segment = segment();
        let limits = segment.limits();
        let (key, now) = (limits.key(1, b"refused", b"a"), 5_000 * MS);
        assert_eq!(limits.refused(key, now), None);
        limits.note_refused(key, Duration::from_secs(2), Duration::from_secs(2), now);
        assert_eq!(limits.refused(key, now + 500 * MS), Some(Duration::from_millis(1_500)));
        assert_eq!(limits.refused(limits.key(1, b"refused", b"b"), now), None);
        limits.note_refused(key, Duration::from_secs(4), Duration::from_secs(4), now + 1_000 * MS);
        assert_eq!(limits.refused(key, now + 2_000 * MS), Some(Duration::from_secs(3)));
        assert_eq!(limits.refused(key, now + 5_000 * MS), None);
        // Of an hour a minute is believed, and the hour is told.
        let [minute, hour] = [60, 3_600].map(Duration::from_secs);
        limits.note_refused(key, minute, hour, now + 6_000 * MS);
        let left = limits.refused(key, now + 7_000 * MS);
        assert_eq!(left, Some(Duration::from_secs(3_599)));
        assert_eq!(limits.refused(key, now + 66_000 * MS), None);
        limits.note_refused(key, Duration::from_secs(4), Duration::from_secs(4), now + 6_000 * MS);
        assert!(limits.clear(key));
        assert_eq!(limits.refused(key, now + 6_000 * MS), None);
    }
}
