//! What an algorithm finds, before anything is consumed.

use super::Verdict;
use super::state::State;

/// Times are nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    pub(super) admitted: bool,
    /// What is left before the hit.
    pub(super) remaining: u64,
    /// Until more is left, before the hit.
    pub(super) reset: u64,
    pub(super) retry: u64,
    /// The state after the hit, if it is admitted.
    pub(super) next: State,
    /// Until more is left, after the hit.
    pub(super) reset_after_hit: u64,
}

impl Judged {
    /// As it stands without the hit.
    #[inline(always)]
    pub(super) fn without(&self) -> Verdict {
        Verdict {
            admitted: self.admitted,
            remaining: self.remaining,
            reset_after_ns: self.reset,
            retry_after_ns: self.retry,
        }
    }

    /// As it stands with the admitted hit.
    #[inline(always)]
    pub(super) fn with(&self, cost: u64) -> Verdict {
        Verdict {
            admitted: true,
            remaining: self.remaining.saturating_sub(cost),
            reset_after_ns: self.reset_after_hit,
            retry_after_ns: 0,
        }
    }
}
