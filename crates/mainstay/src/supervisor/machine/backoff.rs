//! The wait between starts of workers that die young.

use crate::clock::Mono;
use std::time::Duration;

/// A worker that ends within this time after READY, untold, died young; so did each that never got
/// there.
pub(crate) const YOUNG: Duration = Duration::from_secs(1);
/// A worker that has been ready this long ends the memory of deaths before it.
const STEADY: Duration = Duration::from_secs(5);
/// The wait after the second death in a row; the first is replaced at once.
const BASE: Duration = Duration::from_millis(250);
const FACTOR: f64 = 1.5;
const CAP: Duration = Duration::from_secs(30);

/// Deaths in youth, in a row.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Backoff {
    deaths: u32,
    last: Mono,
    until: Mono,
}

impl Backoff {
    /// Counts a death and returns how many that makes and how long to wait.
    pub(crate) fn death(&mut self, now: Mono) -> (u32, Duration) {
        self.deaths = self.deaths.saturating_add(1);
        let delay = match self.deaths {
            1 => Duration::ZERO,
            // The exponent is bounded so that the product stays finite; the cap is far below.
            n => BASE.mul_f64(FACTOR.powi((n - 2).min(40) as i32)).min(CAP),
        };
        self.last = now;
        self.until = now + delay;
        (self.deaths, delay)
    }

    pub(crate) fn allows(&self, now: Mono) -> bool {
        now >= self.until
    }

    pub(crate) fn until(&self) -> Option<Mono> {
        (self.deaths > 0).then_some(self.until)
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.deaths == 0
    }

    /// Whether a worker ready `since` then shows that the loop is broken.
    pub(crate) fn is_over(&self, since: Mono, now: Mono) -> bool {
        self.deaths > 0 && since > self.last && now.since(since) >= STEADY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_death_is_replaced_at_once_and_waits_grow_by_half_up_to_the_cap() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..6).map(|_| backoff.death(Mono(0)).1.as_millis()).collect();
        assert_eq!(waits, [0, 250, 375, 562, 843, 1_265]);
        let last = (0..100).map(|_| backoff.death(Mono(0)).1).last();
        assert_eq!(last, Some(CAP));
    }
}
