//! By which time rows are old. A clock may leap by years and come back after a while, and a row that was let go is
//! gone: so only as much time counts as has passed while somebody looked, and a clock that has leapt is believed when
//! it has shown its new time for a day. Pure.

use serde::{Deserialize, Serialize};

/// A clock that moves by more at once has leapt, seconds.
const LEAP: i64 = 3_600;
/// One that has leapt is believed after that time, seconds.
const STEADY: i64 = 24 * 3_600;

/// That time, as it follows the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Age {
    /// The time by which rows are old, seconds since the Unix epoch; 0 before the first look at a clock.
    at: i64,
    /// What the clock showed last.
    clock: i64,
    /// Since when it shows a time that is not believed, by that time.
    leapt: Option<i64>,
}

impl Age {
    /// One that begins where a file ends that knows nothing of this.
    pub(super) fn since(end: i64) -> Age {
        Age { at: end, clock: end, leapt: None }
    }

    /// The clock shows `clock`; so much has passed since the last look at least. Returns the time by which rows are
    /// old.
    pub(super) fn look(&mut self, clock: i64, least: i64) -> i64 {
        let passed = clock - std::mem::replace(&mut self.clock, clock);
        if self.at == 0 || (clock - self.at).abs() <= LEAP {
            (self.at, self.leapt) = (clock, None);
            return clock;
        }
        let is_leap = passed.abs() > LEAP;
        self.at += if is_leap { least } else { passed.max(0) };
        let since = *self.leapt.get_or_insert(clock);
        if is_leap || clock < since {
            self.leapt = Some(clock);
        } else if clock - since >= STEADY {
            (self.at, self.leapt) = (clock, None);
        }
        // Where the time that was believed is ahead, as that of a first look at a wrong clock, nothing goes by it.
        self.at.min(clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dice;

    const BEGIN: i64 = 1_800_000_000;
    const DAY: i64 = 24 * 3_600;
    const STEP: i64 = 10;

    #[test]
    fn a_clock_that_leaps_is_believed_when_it_has_held_for_a_day_and_not_before() {
        for leap in [400 * DAY, 2 * DAY, -400 * DAY, -10_000 * DAY] {
            let mut age = Age::default();
            assert_eq!(age.look(BEGIN, STEP), BEGIN);
            for step in 0..DAY / STEP {
                let told = age.look(BEGIN + leap + step * STEP, STEP);
                let clock = BEGIN + leap + step * STEP;
                assert_eq!(told, clock.min(BEGIN + (step + 1) * STEP), "{leap}");
            }
            let later = BEGIN + leap + DAY;
            assert_eq!(age.look(later, STEP), later, "{leap}");
        }
    }

    #[test]
    fn a_clock_that_was_ahead_when_it_was_first_seen_lets_nothing_go_when_it_is_put_right() {
        let mut age = Age::default();
        assert_eq!(age.look(BEGIN + 400 * DAY, STEP), BEGIN + 400 * DAY);
        for step in 0..3 * DAY / STEP {
            let right = BEGIN + step * STEP;
            assert!(age.look(right, STEP) <= right);
        }
        // Nor does the end of a file that was written by such a clock.
        assert_eq!(Age::since(BEGIN + 400 * DAY).look(BEGIN, STEP), BEGIN);
    }

    #[test]
    fn a_watch_that_begins_anew_goes_on_doubting() {
        let mut age = Age::since(BEGIN);
        let wrong = BEGIN + 400 * DAY;
        for step in 0..DAY / STEP {
            let text = serde_json::to_string(&age).unwrap();
            age = serde_json::from_str(&text).unwrap();
            assert!(age.look(wrong + step * STEP, STEP) <= BEGIN + DAY + STEP);
        }
        assert_eq!(age.look(BEGIN + DAY, STEP), BEGIN + DAY, "it is right again");
    }

    #[test]
    fn however_a_clock_leaps_and_comes_back_within_a_day_no_more_time_counts_than_has_passed() {
        for seed in 0..300 {
            let mut dice = Dice(seed);
            let (mut age, mut now, mut off, mut held) = (Age::since(BEGIN), BEGIN, 0, 0);
            for _ in 0..2_000 {
                let passed = STEP + dice.roll(600) as i64;
                now += passed;
                held += passed;
                // It is set at random, and right again before anybody may believe it.
                if off != 0 && (held > DAY / 2 || dice.roll(40) == 0) {
                    off = 0;
                } else if off == 0 && dice.roll(60) == 0 {
                    let far = 2 * DAY + dice.roll(900 * DAY as u64) as i64;
                    (off, held) = (if dice.roll(2) == 0 { far } else { -far }, 0);
                }
                let told = age.look(now + off, STEP);
                assert!(told <= now, "{seed}: {told} at {now}, {off} off");
                assert!(off != 0 || told == now, "{seed}: a clock that is right is believed");
            }
        }
    }
}
