//! When a receiver that did not take something is asked again, and when that is told. Pure.

use crate::clock::Mono;
use std::time::Duration;

const BASE: Duration = Duration::from_secs(1);
const CAP: Duration = Duration::from_secs(30);
/// A receiver that takes nothing for so long is away.
const AWAY: Duration = Duration::from_secs(10);

/// How it goes with one receiver.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// Failures in a row.
    failures: u32,
    /// The first of them.
    since: Mono,
    told: bool,
    /// No attempt before.
    next: Mono,
}

impl Course {
    /// When the next attempt may be made.
    pub(super) fn next(&self) -> Mono {
        self.next
    }

    /// Whether the last attempt failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// An attempt failed, and the receiver asked for this wait. Returns whether the receiver is to be called
    /// away now: once.
    pub(super) fn failed(&mut self, now: Mono, after: Option<Duration>) -> bool {
        if self.failures == 0 {
            self.since = now;
        }
        let factor = 1.5_f64.powi(self.failures.min(40) as i32);
        // Many instances that lose the same receiver are not to come back as one: ±20 %, by the last
        // digits of the clock.
        let jitter = 0.8 + (now.0 / 7 % 401) as f64 / 1_000.0;
        let wait = BASE.mul_f64(factor).min(CAP).mul_f64(jitter).min(CAP);
        self.next = now + after.unwrap_or(wait);
        self.failures += 1;
        let is_away = !self.told && now.since(self.since) >= AWAY;
        self.told |= is_away;
        is_away
    }

    /// The receiver answered with something final. Returns for how long it was away, if that was told.
    pub(super) fn answered(&mut self, now: Mono) -> Option<Duration> {
        let told = std::mem::take(self);
        told.told.then(|| now.since(told.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_grow_to_a_limit_and_a_receivers_own_wish_counts() {
        let (mut course, mut now, mut waits) = (Course::default(), Mono(12_345), Vec::new());
        for _ in 0..14 {
            course.failed(now, None);
            waits.push(course.next().since(now).as_secs_f64());
            now = course.next();
        }
        let expected = (0..14).map(|n| 1.5_f64.powi(n).min(30.0));
        for (wait, about) in waits.iter().zip(expected) {
            assert!((about * 0.79..=(about * 1.21).min(30.0)).contains(wait), "{waits:?}");
        }
        course.failed(now, Some(SECOND * 90));
        assert_eq!(course.next(), now + SECOND * 90);
    }

    #[test]
    fn a_receiver_is_called_away_once_and_back_once() {
        let (mut course, start) = (Course::default(), Mono(1));
        assert!(!course.failed(start, None));
        assert!(!course.failed(start + SECOND * 9, None));
        assert!(course.failed(start + SECOND * 10, None));
        assert!(!course.failed(start + SECOND * 60, None));
        assert_eq!(course.answered(start + SECOND * 61), Some(SECOND * 61));
        assert_eq!(course.answered(start + SECOND * 62), None);
        assert!(!course.failed(start + SECOND * 63, None));
        assert_eq!(course.answered(start + SECOND * 64), None, "a short one is not worth a word");
        assert!(!course.is_failing());
    }
}
