//! Sliding window counters: the present window's count, and as much of the one before as still overlaps.
//!
//! The two counts have places of their own, under tags that differ in one bit and so in the same lines: one
//! for windows of even numbers, one for odd ones. A count ends a window after its window.

use super::judge::Judged;
use super::policy::Policy;
use super::state::{Kind, LATEST, State};

/// Both counts at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    /// The number of the present window.
    pub(super) number: u64,
    before: u64,
    count: u64,
    /// What is left of the present window, milliseconds.
    left: u64,
}

/// The number of the window that a count is of, if it is of one.
fn number(policy: &Policy, is: State) -> Option<(u64, u64)> {
    match is.kind() {
        Kind::Count { ends, count } if ends < LATEST => {
            Some(((ends / policy.window_ms).checked_sub(2)?, count))
        }
        _ => None,
    }
}

impl Windows {
    /// From the states of the even and the odd windows. `now` is in milliseconds; somebody's later window
    /// counts as the present one.
    pub(super) fn read(policy: &Policy, states: [State; 2], now: u64) -> Windows {
        let counts = states.map(|is| number(policy, is));
        let latest = counts.iter().flatten().map(|(number, _)| *number).max();
        let here = now / policy.window_ms;
        // Only a little later: what is far ahead is nonsense.
        let number = latest.filter(|latest| *latest > here && *latest <= here + 2).unwrap_or(here);
        let of = |number: u64| {
            let found = counts[(number & 1) as usize];
            found.filter(|found| found.0 == number).map_or(0, |found| found.1)
        };
        let before = number.checked_sub(1).map_or(0, of);
        let elapsed = now.saturating_sub(number * policy.window_ms);
        Windows { number, before, count: of(number), left: policy.window_ms - elapsed }
    }

    /// What a hit finds; `next` is the present window's state.
    pub(super) fn judge(&self, policy: &Policy, cost: u64) -> Judged {
        let Windows { number, before, count, left } = *self;
        let (amount, window) = (policy.amount, policy.window_ms);
        let used = before * left / window + count;
        let after = count.saturating_add(cost);
        let admitted = used.saturating_add(cost) <= amount;
        Judged {
            admitted,
            remaining: amount.saturating_sub(used),
            reset: self.reset(window, count),
            retry: if admitted { 0 } else { self.retry(amount, window, cost) * 1_000_000 },
            next: State::count(
                (number + 2) * window,
                after,
                used.saturating_add(cost).saturating_mul(2) > amount,
            ),
            reset_after_hit: self.reset(window, after),
        }
    }

    /// Nanoseconds until more is left.
    fn reset(&self, window: u64, count: u64) -> u64 {
        let fades = match self.before {
            0 => u64::MAX,
            before => self.left * before % window * 1_000_000 / before,
        };
        let turns = if count == 0 { u64::MAX } else { self.left * 1_000_000 };
        match fades.min(turns) {
            u64::MAX => 0,
            reset => reset,
        }
    }

    /// Milliseconds until so much is left.
    fn retry(&self, amount: u64, window: u64, cost: u64) -> u64 {
        // The most of a window of `before` that may be left when `room` beside it is enough.
        let left = |before: u64, room: u64| ((room + 1) * window - 1) / before.max(1);
        match (amount.checked_sub(cost), amount.checked_sub(self.count.saturating_add(cost))) {
            (None, _) => window,
            (_, Some(room)) => self.left.saturating_sub(left(self.before, room)),
            (Some(room), None) => self.left + window.saturating_sub(left(self.count, room)),
        }
    }
}

/// What is there when a hit of `then` is given back; `None` when that window is not the state's.
pub(super) fn undo(policy: &Policy, is: State, cost: u64, then: u64) -> Option<State> {
    let (number, count) = number(policy, is)?;
    if number != then / policy.window_ms {
        return None;
    }
    let count = count.saturating_sub(cost);
    let hot = count.saturating_mul(2) > policy.amount;
    Some(State::count((number + 2) * policy.window_ms, count, hot))
}
