//! Fixed windows: how many were admitted since the first admission, until that is a window ago.

use super::judge::Judged;
use super::policy::Policy;
use super::state::{Kind, State};

/// What a hit finds. `now` is in milliseconds.
#[inline(always)]
pub(super) fn judge(policy: &Policy, is: State, cost: u64, now: u64) -> Judged {
    let fresh = (now + policy.window_ms, 0);
    let (ends, count) = match is.kind() {
        Kind::Count { ends, count } if ends > now => (ends, count),
        _ => fresh,
    };
    let after = count.saturating_add(cost);
    let admitted = after <= policy.amount;
    let left = (ends - now).min(policy.window_ms);
    Judged {
        admitted,
        remaining: policy.amount.saturating_sub(count),
        reset: if count == 0 { 0 } else { left * 1_000_000 },
        retry: match admitted {
            true => 0,
            // There may be nothing to wait for: a cost above the amount is never admitted.
            false if count == 0 => policy.window_ms * 1_000_000,
            false => left * 1_000_000,
        },
        next: State::count(ends, after, after.saturating_mul(2) > policy.amount),
        reset_after_hit: left * 1_000_000,
    }
}

/// What is there when a hit of `then` is given back; `None` when its window has ended.
pub(super) fn undo(policy: &Policy, is: State, cost: u64, then: u64) -> Option<State> {
    match is.kind() {
        Kind::Count { ends, count } if ends > then && ends <= then + policy.window_ms => {
            let count = count.saturating_sub(cost);
            Some(State::count(ends, count, count.saturating_mul(2) > policy.amount))
        }
        _ => None,
    }
}
