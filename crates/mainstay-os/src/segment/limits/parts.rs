//! Moving windows of amounts of which not each admission's time can be kept: a count for each 64th of the
//! window, in a word of the ring beside the key's place. What is counted are the present part and the 64
//! before it: in any window there are no more than the amount, and an admission counts for up to a part
//! longer than a window.
//!
//! A hit adds to the present part's word by compare-and-swap and then looks again: of two who have added to
//! different parts at once, one sees too many and takes his back.

use super::judge::Judged;
use super::moving::{self, Ring};
use super::policy::Policy;
use crate::segment::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, SeqCst},
    fence,
};

/// Parts of a window.
const PARTS: u64 = 64;
/// Words that a ring must have: the parts, the present one, and some that others may be ahead.
pub(super) const WORDS: usize = 72;

const COUNT_BITS: u32 = 22;
const NUMBER_BITS: u32 = 29;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
const NUMBER: u64 = (1 << NUMBER_BITS) - 1;

/// What is counted at one time.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    used: u64,
    /// How many parts ago there were so many; the last is the oldest that counts.
    counts: [u64; PARTS as usize + 1],
}

impl Seen {
    pub(super) const NONE: Seen = Seen { used: 0, counts: [0; PARTS as usize + 1] };
}

/// Milliseconds of a part.
fn part(policy: &Policy) -> u64 {
    policy.window_ms.div_ceil(PARTS)
}

fn word(ring: &Ring<'_>, number: u64, count: u64) -> u64 {
    (ring.place.by.turn() << NUMBER_BITS | number & NUMBER) << COUNT_BITS | count.min(COUNT)
}

/// The count of a word, and how many parts before `number` it is. One of somebody who is ahead counts as
/// of the present.
fn counted(ring: &Ring<'_>, word: u64, number: u64) -> Option<(usize, u64)> {
    let mine = word >> (NUMBER_BITS + COUNT_BITS) == ring.place.by.turn();
    let ago = number.wrapping_sub(word >> COUNT_BITS) & NUMBER;
    let ago = if ago > NUMBER - (WORDS as u64 - PARTS - 1) { 0 } else { ago };
    (mine && ago <= PARTS).then_some((ago as usize, word & COUNT))
}

fn here<'a>(ring: &Ring<'a>, number: u64) -> &'a AtomicU64 {
    &ring.words[..WORDS][(number % WORDS as u64) as usize]
}

/// What is counted; `None` when the place has changed hands meanwhile. `now` is in milliseconds, as below.
pub(super) fn survey(ring: &Ring<'_>, policy: &Policy, now: u64) -> Option<Seen> {
    let (number, mut seen) = (now / part(policy), Seen::NONE);
    for word in &ring.words[..WORDS] {
        if let Some((ago, count)) = counted(ring, word.load(Acquire), number) {
            seen.counts[ago] += count;
            seen.used += count;
        }
    }
    ring.place.again().map(|_| seen)
}

/// Adds a hit's cost, unless there would be too many.
pub(super) fn take(ring: &Ring<'_>, policy: &Policy, cost: u64, now: u64) -> bool {
    let number = now / part(policy);
    let place = here(ring, number);
    let was = place.load(Acquire);
    let count =
        counted(ring, was, number).filter(|_| was >> COUNT_BITS & NUMBER == number & NUMBER);
    // Of another turn is what a former owner left, as long as the place is still ours.
    let next = word(ring, number, count.map_or(0, |(_, count)| count) + cost);
    if ring.place.again().is_none() || place.compare_exchange(was, next, AcqRel, Acquire).is_err() {
        return false;
    }
    fence(SeqCst);
    let fits = survey(ring, policy, now).is_none_or(|seen| seen.used <= policy.amount);
    if !fits {
        give_back(ring, policy, cost, now);
    }
    fits
}

/// Takes back what a hit of `then` has added.
pub(super) fn give_back(ring: &Ring<'_>, policy: &Policy, cost: u64, then: u64) {
    let number = then / part(policy);
    let place = here(ring, number);
    let mut was = place.load(Acquire);
    while let Some((_, count)) = counted(ring, was, number)
        && was >> COUNT_BITS & NUMBER == number & NUMBER
    {
        let next = word(ring, number, count.saturating_sub(cost));
        match place.compare_exchange(was, next, AcqRel, Acquire) {
            Ok(_) => return,
            Err(found) => was = found,
        }
    }
}

/// What a hit finds.
pub(super) fn judge(policy: &Policy, seen: &Seen, cost: u64, now: u64) -> Judged {
    let (amount, part) = (policy.amount, part(policy));
    let after = seen.used.saturating_add(cost);
    let admitted = after <= amount;
    // Until so many of those that count do not any more, nanoseconds.
    let until = |many: u64| {
        let mut left = many;
        let oldest = (0..=PARTS).rev().find(|ago| {
            left = left.saturating_sub(seen.counts[*ago as usize]);
            left == 0
        });
        let ago = oldest.unwrap_or(0);
        ((now / part + PARTS + 1 - ago) * part).saturating_sub(now) * 1_000_000
    };
    let reset = if seen.used == 0 { 0 } else { until(1) };
    Judged {
        admitted,
        remaining: amount.saturating_sub(seen.used),
        reset,
        retry: match admitted {
            true => 0,
            false if cost > amount => policy.window_ms * 1_000_000,
            false => until(after - amount),
        },
        next: moving::next(policy, after, now + part),
        reset_after_hit: if seen.used == 0 { until(u64::MAX) } else { reset },
    }
}
