//! Moving windows: the times of as many admissions as there may be, each in a word of a ring beside the
//! key's place. A hit is admitted by replacing a time that is more than a window ago, which is one
//! compare-and-swap; so in any window there are no more than there are words.
//!
//! The order of the words means nothing. Each carries the turn of its place: what a former owner has
//! written, however late, is nothing to the next one. The state says how long the place is needed, and is
//! put off before a time is written.

use super::judge::Judged;
use super::policy::Policy;
use super::state::State;
use super::table::Found;
use crate::segment::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire},
};

const TIME_BITS: u32 = 51;
const TIME: u64 = (1 << TIME_BITS) - 1;

/// A key's place, with its words of the policy's amount.
#[derive(Clone, Copy)]
pub(super) struct Ring<'a> {
    pub(super) place: Found<'a>,
    pub(super) words: &'a [AtomicU64],
}

/// What is counted at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) used: u64,
    /// When the oldest that counts was admitted, microseconds.
    oldest: u64,
}

impl Ring<'_> {
    fn word(&self, micros: u64) -> u64 {
        self.place.by.turn() << TIME_BITS | micros & TIME
    }

    /// When this word's hit was admitted, if it counts at `now`, microseconds.
    fn counts(&self, word: u64, policy: &Policy, now: u64) -> Option<u64> {
        let time = word & TIME;
        let mine = word >> TIME_BITS == self.place.by.turn() && time != 0;
        (mine && time + policy.window_ms * 1_000 >= now).then_some(time)
    }

    /// What is counted; `None` when the place has changed hands meanwhile.
    pub(super) fn survey(&self, policy: &Policy, now: u64) -> Option<Seen> {
        let mut seen = Seen { used: 0, oldest: u64::MAX };
        for word in self.words {
            if let Some(time) = self.counts(word.load(Acquire), policy, now) {
                seen.used += 1;
                seen.oldest = seen.oldest.min(time);
            }
        }
        self.place.again().map(|_| seen)
    }

    /// Takes as many words as a hit costs, or none.
    pub(super) fn take(&self, policy: &Policy, cost: u64, now: u64) -> bool {
        let mine = self.word(now);
        let mut taken = Vec::new();
        let mut left = cost;
        for word in self.words {
            if left == 0 {
                break;
            }
            let was = word.load(Acquire);
            // Of another turn is what a former owner left, as long as the place is still ours.
            let free = self.counts(was, policy, now).is_none()
                && (was >> TIME_BITS == self.place.by.turn() || self.place.again().is_some());
            if free && word.compare_exchange(was, mine, AcqRel, Acquire).is_ok() {
                left -= 1;
                if cost > 1 {
                    taken.push((word, was));
                }
            }
        }
        if left > 0 {
            for (word, was) in taken {
                // What fails was lost to a later owner of the place.
                word.compare_exchange(mine, was, AcqRel, Acquire).ok();
            }
        }
        left == 0
    }

    /// Gives back what a hit of `then`, microseconds, has taken.
    pub(super) fn give_back(&self, cost: u64, then: u64) {
        let (mine, empty) = (self.word(then), self.word(0));
        let taken = self.words.iter().filter(|word| word.load(Acquire) == mine);
        taken
            .filter(|word| word.compare_exchange(mine, empty, AcqRel, Acquire).is_ok())
            .take(usize::try_from(cost).unwrap_or(usize::MAX))
            .for_each(drop);
    }

    /// Microseconds from `now` until `count` of those that count do not any more.
    fn until(&self, policy: &Policy, count: u64, now: u64) -> u64 {
        let counted = |word: &AtomicU64| self.counts(word.load(Acquire), policy, now);
        let mut times: Vec<_> = self.words.iter().filter_map(counted).collect();
        times.sort_unstable();
        let last = usize::try_from(count).ok().and_then(|count| times.get(count.checked_sub(1)?));
        last.map_or(0, |time| (time + policy.window_ms * 1_000).saturating_sub(now))
    }
}

/// What a hit finds. `now` is in microseconds.
pub(super) fn judge(
    policy: &Policy,
    ring: Option<&Ring<'_>>,
    seen: &Seen,
    cost: u64,
    now: u64,
) -> Judged {
    let window = policy.window_ms * 1_000;
    let after = seen.used.saturating_add(cost);
    let admitted = after <= policy.amount;
    let reset = if seen.used == 0 { 0 } else { (seen.oldest + window).saturating_sub(now) };
    let retry = match (admitted, after - policy.amount.min(after)) {
        (true, _) => 0,
        (false, _) if cost > policy.amount => window,
        (false, 1) => reset,
        (false, excess) => ring.map_or(0, |ring| ring.until(policy, excess, now)),
    };
    Judged {
        admitted,
        remaining: policy.amount.saturating_sub(seen.used),
        reset: reset * 1_000,
        retry: retry * 1_000,
        next: next(policy, after, now / 1_000),
        reset_after_hit: if seen.used == 0 { window * 1_000 } else { reset * 1_000 },
    }
}

/// The state of a place of which so much will be used; `now` is in milliseconds. It lasts a little longer
/// than it must, so that not every hit has to put it off.
pub(super) fn next(policy: &Policy, used: u64, now: u64) -> State {
    let ends = now + policy.window_ms + policy.window_ms / 8 + 2;
    State::ring(ends, used.saturating_mul(2) > policy.amount)
}
