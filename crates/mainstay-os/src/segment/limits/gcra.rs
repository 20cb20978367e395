//! The generic cell rate algorithm: one time, at which all that was admitted is paid for.

use super::judge::Judged;
use super::policy::Policy;
use super::state::{Kind, State};

/// What a hit finds. `now` is in nanoseconds.
#[inline(always)]
pub(super) fn judge(policy: &Policy, is: State, cost: u64, now: u64) -> Judged {
    let (amount, interval) = (policy.amount, policy.interval);
    let paid = match is.kind() {
        Kind::Pace(nanos) => nanos.max(now),
        _ => now,
    };
    let (whole, owed) = (amount.saturating_mul(interval), paid - now);
    let needed = cost.saturating_mul(interval).saturating_add(owed);
    let admitted = needed <= whole;
    let window = policy.window_ms * 1_000_000;
    let remaining = |owed: u64| whole.saturating_sub(owed) / interval;
    // Until one more is there.
    let reset = |owed: u64| match owed {
        0 => 0,
        _ => owed - (amount.saturating_sub(remaining(owed) + 1)).saturating_mul(interval).min(owed),
    };
    Judged {
        admitted,
        remaining: remaining(owed),
        reset: reset(owed),
        retry: match admitted {
            true => 0,
            false if cost > amount => window,
            false => needed - whole,
        },
        next: State::pace(now.saturating_add(needed)),
        reset_after_hit: if admitted { reset(needed) } else { 0 },
    }
}

/// What is there when a hit of `then` is given back; `None` when nothing is owed for it any more.
pub(super) fn undo(policy: &Policy, is: State, cost: u64, then: u64) -> Option<State> {
    match is.kind() {
        Kind::Pace(nanos) if nanos > then => {
            Some(State::pace(nanos.saturating_sub(cost.saturating_mul(policy.interval))))
        }
        _ => None,
    }
}
