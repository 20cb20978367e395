//! How watch fares: when it is started again, and which of its deaths are worth a word. Pure.

use crate::clock::Mono;
use std::time::Duration;

/// The wait after watch's first death, 1.5 times as long after each further one in a row.
const BASE: Duration = Duration::from_millis(100);
const CAP: Duration = Duration::from_secs(30);
/// A watch that has lived this long was well.
pub(super) const STEADY: Duration = Duration::from_secs(10);
/// So many deaths in a row are a loop.
const LOOP: u32 = 3;

/// Its misfortunes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fate {
    /// When the last one was started.
    pub(super) started: Mono,
    /// In a row.
    pub(super) deaths: u32,
    /// When the next one is to be, if there is none.
    pub(super) next: Mono,
}

impl Fate {
    /// It has died; returns how long the next one waits.
    pub(super) fn died(&mut self, now: Mono) -> Duration {
        self.deaths = if now.since(self.started) >= STEADY { 1 } else { self.deaths + 1 };
        let factor = 1.5_f64.powi(self.deaths.saturating_sub(1).min(40) as i32);
        let delay = BASE.mul_f64(factor).min(CAP);
        self.next = now + delay;
        delay
    }

    /// Somebody has changed something, or wants to see it: what was before does not count, and nothing is waited for.
    pub(super) fn begin_anew(&mut self, now: Mono) {
        (self.deaths, self.next) = (0, now);
    }

    /// It dies so often that somebody else should write what it does not get to write.
    pub(super) fn is_failing(&self) -> bool {
        self.deaths >= 2
    }

    /// Its deaths in a row, where that is worth a word: at the third, and whenever they are twice as many.
    pub(super) fn is_looping(&self) -> Option<u32> {
        let threes = self.deaths / LOOP;
        (self.deaths.is_multiple_of(LOOP) && threes.is_power_of_two()).then_some(self.deaths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_in_a_row_are_told_ever_more_seldom() {
        let mut fate = Fate::default();
        let told: Vec<u32> = (0..50)
            .filter_map(|_| {
                fate.died(Mono(1));
                fate.is_looping()
            })
            .collect();
        assert_eq!(told, [3, 6, 12, 24, 48]);
        fate.died(Mono(0) + STEADY * 2);
        assert_eq!((fate.deaths, fate.is_looping()), (1, None));
    }
}
