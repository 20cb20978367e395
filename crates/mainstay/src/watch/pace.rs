//! Long work in short turns: who works for milliseconds rests every now and then, so that whoever serves on the same
//! processor waits for one turn at most.
//!
//! A low priority would do the same, and more: a thread that gets no turn does not even die. When watch was killed on a
//! busy machine, one of `SCHED_IDLE` kept it from being reaped, and another from being started, for seconds.

use crate::clock::{self, Mono};
use std::thread;
use std::time::Duration;

/// Far less than a scheduler lets a thread work that nobody interrupts, which is milliseconds.
const TURN: Duration = Duration::from_micros(100);
/// Leaves five sixths of a processor to others.
const REST: Duration = Duration::from_micros(500);
/// Who waits for the work does not wait for long: after some thirty milliseconds of rests it is done in one go.
const RESTS: u32 = 50;

/// The turns of one piece of work.
#[derive(Debug)]
pub(super) struct Pace {
    /// When this turn ends.
    ends: Mono,
    /// How many rests there may be.
    rests: u32,
}

impl Pace {
    /// Rests between turns. For threads that nobody waits for but who asked.
    pub(super) fn easy() -> Pace {
        Pace { ends: clock::mono() + TURN, rests: RESTS }
    }

    /// Works on to the end.
    pub(super) fn hurried() -> Pace {
        Pace { ends: Mono(0), rests: 0 }
    }

    /// Rests if the turn is over. Called often, between steps of microseconds.
    pub(super) fn step(&mut self) {
        if self.rests > 0 && clock::mono() >= self.ends {
            self.rests -= 1;
            thread::park_timeout(REST);
            self.ends = clock::mono() + TURN;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_worked_for_a_turn_rests_and_not_for_ever() {
        let (mut easy, mut hurried) = (Pace::easy(), Pace::hurried());
        let end = clock::mono() + Duration::from_secs(20);
        while easy.rests > 0 {
            let (before, rests) = (clock::mono(), easy.rests);
            let is_over = before >= easy.ends;
            easy.step();
            assert!(!is_over || easy.rests == rests - 1, "the turn was over");
            assert!(before < end, "{rests} rests are left");
        }
        let before = easy.ends;
        easy.step();
        hurried.step();
        assert_eq!((easy.ends, easy.rests, hurried.rests), (before, 0, 0));
    }
}
