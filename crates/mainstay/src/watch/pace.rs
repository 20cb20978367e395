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
/// Who waits for the work does not wait for long, also where others want all of the processor and each rest takes longer
/// than it should: after this time it is done in one go.
const PATIENCE: Duration = Duration::from_millis(50);

/// The turns of one piece of work.
#[derive(Debug)]
pub(super) struct Pace {
    /// When this turn ends.
    ends: Mono,
    /// When there are no more rests.
    until: Mono,
}

impl Pace {
    /// Rests between turns. For threads that nobody waits for but who asked.
    pub(super) fn easy() -> Pace {
        let now = clock::mono();
        Pace { ends: now + TURN, until: now + PATIENCE }
    }

    /// Works on to the end.
    pub(super) fn hurried() -> Pace {
        Pace { ends: Mono(0), until: Mono(0) }
    }

    /// Rests if the turn is over. Called often, between steps of microseconds.
    pub(super) fn step(&mut self) {
        if self.until == Mono(0) {
            return;
        }
        let now = clock::mono();
        if now >= self.until {
            self.until = Mono(0);
        } else if now >= self.ends {
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
        let (begun, mut easy, mut hurried) = (clock::mono(), Pace::easy(), Pace::hurried());
        while easy.until > Mono(0) {
            let ends = easy.ends;
            easy.step();
            assert!(easy.ends == ends || clock::mono() >= ends, "the turn was over");
            assert!(clock::mono() < begun + Duration::from_secs(20), "it rests for ever");
        }
        assert!(clock::mono() >= begun + PATIENCE, "there was time for rests");
        let before = easy.ends;
        easy.step();
        hurried.step();
        assert_eq!((easy.ends, hurried.until), (before, Mono(0)));
    }
}
