//! How many reports one process makes: a fault that every request meets is one fault, and whoever is
//! told of it a thousand times reads none of them. Pure.

use crate::clock::Mono;
use std::collections::HashMap;
use std::time::Duration;

/// The time after which all is counted anew.
const WINDOW: Duration = Duration::from_secs(60);
/// Reports of one fault in that time.
const SAME: u32 = 10;
/// Reports in that time, whatever they are of. So many faults are told apart at most.
const ALL: u32 = 100;

/// What one process has reported lately.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    began: Option<Mono>,
    all: u32,
    /// By the hash of what makes two reports ones of the same fault.
    same: HashMap<u64, u32>,
}

impl Limiter {
    /// Whether there is room for one more report of this fault, which is taken.
    pub(super) fn admits(&mut self, fault: u64, now: Mono) -> bool {
        if self.began.is_none_or(|began| now.since(began) >= WINDOW) {
            *self = Limiter { began: Some(now), ..Limiter::default() };
        }
        if self.all >= ALL {
            return false;
        }
        let same = self.same.entry(fault).or_default();
        if *same >= SAME {
            return false;
        }
        *same += 1;
        self.all += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_reported_ten_times_a_minute_and_all_together_a_hundred_times() {
        let mut limiter = Limiter::default();
        let now = |seconds: u64| Mono(seconds * 1_000_000_000);
        let admitted = |limiter: &mut Limiter, fault, at| {
            (0..50).filter(|_| limiter.admits(fault, now(at))).count()
        };
        assert_eq!(admitted(&mut limiter, 1, 5), 10);
        assert_eq!(admitted(&mut limiter, 2, 6), 10, "another fault has room of its own");
        assert_eq!(admitted(&mut limiter, 1, 64), 0);
        let more: usize = (3..30).map(|fault| admitted(&mut limiter, fault, 64)).sum();
        assert_eq!(more, 80);
        assert_eq!(limiter.same.len(), 10, "what is refused takes no memory");
        assert_eq!(admitted(&mut limiter, 1, 65), 10, "a minute is over");
    }
}
