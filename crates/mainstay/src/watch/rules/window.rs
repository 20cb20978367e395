//! How much totals have grown within a span of time, from samples of them.

use super::{Moment, nanos};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;

/// Samples that are kept of the longest span.
const SAMPLES: u64 = 720;

/// Samples of some totals, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Series {
    samples: VecDeque<(Moment, Vec<u64>)>,
}

impl Series {
    /// What has counted from nothing since `birth`.
    pub(crate) fn born(birth: Moment, columns: usize) -> Series {
        Series { samples: VecDeque::from([(birth, vec![0; columns])]) }
    }

    /// Adds a sample. What is older than `longest` is forgotten, but for one.
    pub(crate) fn note(&mut self, now: Moment, totals: Vec<u64>, longest: Duration) {
        if self.samples.front().is_some_and(|(_, first)| first.len() != totals.len()) {
            // Another program has other columns.
            self.samples.clear();
        }
        let longest = nanos(longest);
        let count = self.samples.len();
        // The last one moves until it is far enough from the one before.
        if count >= 2 && self.samples[count - 1].0 - self.samples[count - 2].0 < longest / SAMPLES {
            self.samples.pop_back();
        }
        self.samples.push_back((now, totals));
        while self.samples.len() >= 2 && self.samples[1].0.saturating_add(longest) <= now {
            self.samples.pop_front();
        }
    }

    /// How much a column has grown within the last `window` and, at most, the time between two samples. Where
    /// nobody has looked for a while, less: what may be older is not counted. `None` when it has shrunk.
    pub(crate) fn grown(&self, column: usize, window: Duration) -> Option<u64> {
        let window = nanos(window);
        let Some((now, last)) = self.samples.back() else { return Some(0) };
        let from = now.saturating_sub(window);
        let after = self.samples.partition_point(|(at, _)| *at <= from);
        let near = |at: Moment| at.saturating_add(window / 5) >= from;
        let before = after.checked_sub(1).map(|it| &self.samples[it]).filter(|(at, _)| near(*at));
        let (_, base) = before.unwrap_or(&self.samples[after.min(self.samples.len() - 1)]);
        last.get(column)?.checked_sub(*base.get(column)?)
    }

    /// The last sample of a column; 0 when there is none.
    pub(crate) fn latest(&self, column: usize) -> u64 {
        self.samples.back().and_then(|(_, totals)| totals.get(column)).copied().unwrap_or(0)
    }

    /// When the last sample was taken; 0 when there is none.
    pub(crate) fn last(&self) -> Moment {
        self.samples.back().map_or(0, |(at, _)| *at)
    }

    /// How much each column has grown to these totals within the last `window` before `now`.
    pub(crate) fn grown_to(&self, now: Moment, totals: &[u64], window: Duration) -> Vec<u64> {
        let mut series = self.clone();
        series.samples.push_back((now.max(self.last()), totals.to_vec()));
        (0..totals.len()).map(|column| series.grown(column, window).unwrap_or(0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;
    const HOUR: Duration = Duration::from_secs(3_600);

    fn series(samples: &[(u64, u64)]) -> Series {
        let mut series = Series::default();
        samples.iter().for_each(|(at, total)| series.note(at * SECOND, vec![*total], HOUR));
        series
    }

    #[test]
    fn what_happened_within_the_window_is_counted_and_nothing_older() {
        let found = series(&[(0, 5), (10, 5), (3_000, 9), (3_610, 16), (3_620, 16)]);
        assert_eq!(found.grown(0, HOUR), Some(11), "since 10 s");
        assert_eq!(found.grown(0, Duration::from_secs(60)), Some(0), "nobody looked before");
        assert_eq!(found.grown(0, Duration::from_secs(650)), Some(7));
    }

    #[test]
    fn a_service_that_is_younger_than_the_window_has_counted_from_nothing() {
        let mut series = Series::born(100 * SECOND, 1);
        series.note(110 * SECOND, vec![11], HOUR);
        assert_eq!(series.grown(0, HOUR), Some(11));
        // Watch begins without a memory after many hours: what it finds may be old.
        let mut series = Series::born(100 * SECOND, 1);
        series.note(100_000 * SECOND, vec![11], HOUR);
        series.note(100_010 * SECOND, vec![13], HOUR);
        assert_eq!(series.grown(0, HOUR), Some(2));
    }

    #[test]
    fn a_total_that_shrinks_is_no_number() {
        assert_eq!(series(&[(0, 5), (10, 4)]).grown(0, HOUR), None);
        assert_eq!(Series::default().grown(0, HOUR), Some(0));
    }

    proptest! {
        #[test]
        fn counts_are_those_of_the_events_themselves(
            steps in prop::collection::vec((1_u64..30, 0_u64..4), 1..800),
            window in 180_u64..3_000,
        ) {
            let (mut series, mut at, mut total) = (Series::born(0, 1), 0, 0);
            let mut events = Vec::new();
            for (pause, count) in steps {
                at += pause;
                total += count;
                events.push((at, count));
                series.note(at * SECOND, vec![total], HOUR);
            }
            let within = |seconds: u64| -> u64 {
                let young = events.iter().filter(|(when, _)| when + seconds > at);
                young.map(|(_, count)| count).sum()
            };
            let found = series.grown(0, Duration::from_secs(window)).unwrap();
            // Looks are 30 s apart at most, and 5 s of an hour is what two samples are.
            prop_assert!(found >= within(window), "{found} {}", within(window));
            prop_assert!(found <= within(window + 36), "{found} {}", within(window + 36));
            prop_assert!(series.samples.len() as u64 <= SAMPLES + 3);
        }
    }
}
