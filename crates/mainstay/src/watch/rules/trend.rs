//! Where something that fills up is going: the median of the slopes between all samples of some hours, which
//! one large upload does not move.

use super::{Moment, nanos};
use std::collections::VecDeque;
use std::time::Duration;

/// How far back it looks.
const SPAN: Duration = Duration::from_secs(6 * 3_600);
/// Time between two samples: 72 of them are some two thousand slopes.
const EVERY: Duration = Duration::from_secs(300);
/// Less than this says nothing.
const LEAST: Duration = Duration::from_secs(1_800);
/// What lies further ahead is not foreseen.
const FAR: Duration = Duration::from_secs(365 * 86_400);

/// Samples of the part that is used, 0 to 1, the oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trend {
    samples: VecDeque<(Moment, f64)>,
    /// Growth in a second, as of the last sample.
    slope: f64,
}

impl Trend {
    /// Takes note of what is used now.
    pub(crate) fn note(&mut self, now: Moment, used: f64) {
        let last = self.samples.back().map(|(at, _)| at.saturating_add(nanos(EVERY)));
        if last.is_some_and(|next| now < next) {
            return;
        }
        self.samples.push_back((now, used));
        while self.samples.front().is_some_and(|(at, _)| at.saturating_add(nanos(SPAN)) < now) {
            self.samples.pop_front();
        }
        self.slope = self.median();
    }

    /// How long until it is full, if it goes on like this. None while it does not grow, or nobody knows.
    pub(crate) fn full_in(&self, used: f64) -> Option<Duration> {
        let seconds = (1.0 - used).max(0.0) / self.slope;
        let is_one = self.slope > 0.0 && seconds <= FAR.as_secs_f64();
        is_one.then(|| Duration::from_secs_f64(seconds))
    }

    /// The median of all slopes; 0 where there are too few.
    fn median(&self) -> f64 {
        let ends = self.samples.front().zip(self.samples.back());
        if ends.is_none_or(|((first, _), (last, _))| last.saturating_sub(*first) < nanos(LEAST)) {
            return 0.0;
        }
        let pairs = self.samples.iter().enumerate().flat_map(|(index, later)| {
            self.samples.iter().take(index).map(move |before| (before, later))
        });
        let slope = |((from, low), (to, high)): (&(Moment, f64), &(Moment, f64))| {
            (high - low) / ((to - from) as f64 / 1e9)
        };
        let mut slopes: Vec<f64> = pairs.map(slope).collect();
        let middle = slopes.len() / 2;
        // Of an even number the lower one: it foresees nothing too early.
        let middle = middle - usize::from(slopes.len().is_multiple_of(2));
        *slopes.select_nth_unstable_by(middle, f64::total_cmp).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dice;

    const MINUTE: u64 = 60_000_000_000;

    /// What is foreseen after so many minutes, each of which is noted.
    fn after(minutes: u64, used: impl Fn(f64) -> f64) -> Option<f64> {
        let mut trend = Trend::default();
        (0..=minutes).for_each(|minute| trend.note(minute * MINUTE, used(minute as f64)));
        trend.full_in(used(minutes as f64)).map(|it| it.as_secs_f64() / 60.0)
    }

    fn is_near(found: Option<f64>, minutes: f64) -> bool {
        found.is_some_and(|found| (found - minutes).abs() < minutes / 20.0)
    }

    #[test]
    fn what_grows_steadily_is_full_when_it_will_be() {
        assert!(is_near(after(60, |minute| 0.5 + minute * 0.001), 440.0));
        assert!(is_near(after(900, |minute| minute * 0.001), 100.0));
        // In steps, as uploads come.
        assert!(is_near(after(360, |minute| 0.5 + (minute / 30.0).floor() * 0.01), 1_140.0));
        // It fell before; what counts is the last hours.
        let turned =
            |minute: f64| if minute < 400.0 { 0.9 } else { 0.2 + (minute - 400.0) * 0.001 };
        assert!(is_near(after(800, turned), 400.0));
    }

    #[test]
    fn nothing_is_foreseen_of_what_does_not_grow_or_is_not_known_for_long() {
        assert_eq!(after(25, |minute| minute * 0.01), None, "too short a time");
        assert_eq!(after(600, |_| 0.7), None);
        assert_eq!(after(600, |minute| 0.9 - minute * 0.001), None);
        assert_eq!(after(600, |minute| 0.5 + minute * 1e-9), None, "in some centuries");
        // One large upload is none of its ways.
        assert_eq!(after(600, |minute| if minute < 500.0 { 0.3 } else { 0.8 }), None);
        assert_eq!(after(0, |_| 1.0), None);
    }

    #[test]
    fn noise_and_what_is_deleted_now_and_then_do_not_hide_where_it_goes() {
        for seed in 0..50 {
            let mut dice = Dice(seed);
            let mut trend = Trend::default();
            let used = |minute: u64| 0.3 + minute as f64 * 0.001;
            for minute in 0..=360 {
                let noise = dice.roll(1_000) as f64 / 50_000.0;
                let gone = if dice.roll(10) == 0 { 0.2 } else { 0.0 };
                trend.note(minute * MINUTE, used(minute) + noise - gone);
            }
            let found = trend.full_in(used(360)).unwrap().as_secs_f64() / 60.0;
            assert!((300.0..400.0).contains(&found), "seed {seed}: {found}");
        }
    }
}
