//! Rollups, written forward: each sample goes into the open bucket of every level of its series, and a bucket that
//! time has passed is closed and never touched again. Nothing is read back to be summed up.

use super::shape::Shape;
use std::collections::BTreeMap;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Time that one batch covers, and the finest level, seconds.
pub(crate) const STEP: i64 = 10;

/// The levels of one kind of series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What comes every half a minute or so, and is kept for a page of 90 days.
    Probe,
    Metric,
}

/// Buckets of a width, and how long they are kept, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) width: i64,
    pub(crate) keep: i64,
}

const fn level(width: i64, keep: i64) -> Level {
    Level { width, keep }
}

const OF_PROBES: [Level; 3] =
    [level(MINUTE, 48 * HOUR), level(HOUR, 90 * DAY), level(DAY, 400 * DAY)];
const OF_METRICS: [Level; 4] = [
    level(STEP, 2 * HOUR),
    level(MINUTE, 48 * HOUR),
    level(15 * MINUTE, 30 * DAY),
    level(6 * HOUR, 400 * DAY),
];

/// The widths of all levels, the finest first.
pub(crate) const WIDTHS: [i64; 6] = [STEP, MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, DAY];

/// How long anything is kept, seconds.
pub(crate) const LONGEST: i64 = 400 * DAY;

impl Kind {
    /// The finest first.
    pub(crate) fn levels(self) -> &'static [Level] {
        match self {
            Kind::Probe => &OF_PROBES,
            Kind::Metric => &OF_METRICS,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Kind::Probe => "probe",
            Kind::Metric => "metric",
        }
    }

    pub(crate) fn from_word(word: &str) -> Kind {
        if word == Kind::Probe.as_str() { Kind::Probe } else { Kind::Metric }
    }
}

/// What there was in a time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bucket {
    /// How many: requests, attempts, or looks at a gauge.
    pub(crate) n: u64,
    /// Of these, those that were not as they should be.
    pub(crate) bad: u64,
    pub(crate) sum: f64,
    /// Least and most, where each value is known.
    pub(crate) range: Option<(f64, f64)>,
    /// How long they took.
    pub(crate) shape: Option<Box<Shape>>,
}

impl Bucket {
    /// Adds one value.
    pub(crate) fn add(&mut self, value: f64, is_bad: bool) {
        let one = Bucket {
            n: 1,
            bad: is_bad.into(),
            sum: value,
            range: Some((value, value)),
            shape: None,
        };
        self.merge(&one);
    }

    /// Adds one value that is a time, seconds.
    pub(crate) fn add_time(&mut self, seconds: f64, is_bad: bool) {
        self.add(seconds, is_bad);
        self.shape.get_or_insert_default().add(seconds, 1);
    }

    /// Adds all of another one.
    pub(crate) fn merge(&mut self, other: &Bucket) {
        self.n = self.n.saturating_add(other.n);
        self.bad = self.bad.saturating_add(other.bad);
        self.sum += other.sum;
        self.range = match (self.range, other.range) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, other) => one.or(other),
        };
        if let Some(shape) = &other.shape {
            self.shape.get_or_insert_default().merge(shape);
        }
    }
}

/// One bucket of a series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) series: i64,
    pub(crate) width: i64,
    /// When it begins, seconds since the Unix epoch.
    pub(crate) at: i64,
    pub(crate) bucket: Bucket,
}

/// The open buckets, one for each level of each series.
#[derive(Debug, Default)]
pub(crate) struct Rollup {
    open: BTreeMap<(i64, i64), Open>,
}

#[derive(Debug)]
struct Open {
    at: i64,
    bucket: Bucket,
    /// It has changed since it was last written down.
    is_new: bool,
}

impl Rollup {
    /// Goes on with a bucket that was left open.
    pub(crate) fn resume(&mut self, row: Row) {
        let open = Open { at: row.at, bucket: row.bucket, is_new: false };
        self.open.insert((row.series, row.width), open);
    }

    /// When the youngest of the open ones begins.
    pub(crate) fn last(&self) -> Option<i64> {
        self.open.values().map(|it| it.at).max()
    }

    /// Adds what there was from `at` on, seconds since the Unix epoch. What this closes goes into `closed`.
    pub(crate) fn note(
        &mut self,
        (series, kind): (i64, Kind),
        at: i64,
        bucket: &Bucket,
        closed: &mut Vec<Row>,
    ) {
        for Level { width, .. } in kind.levels() {
            let begin = at - at.rem_euclid(*width);
            let open = self.open.remove(&(series, *width));
            let open = match open {
                // A clock that was set back a little goes on in the open one.
                Some(mut open) if open.at - begin <= *width && begin <= open.at => {
                    open.bucket.merge(bucket);
                    Open { is_new: true, ..open }
                }
                other => {
                    closed.extend(other.map(|it| it.into_row(series, *width)));
                    Open { at: begin, bucket: bucket.clone(), is_new: true }
                }
            };
            self.open.insert((series, *width), open);
        }
    }

    /// Closes what is over at that time.
    pub(crate) fn settle(&mut self, now: i64, closed: &mut Vec<Row>) {
        let over = |width: i64, open: &Open| open.at + width <= now;
        for ((series, width), open) in
            self.open.extract_if(.., |(_, width), open| over(*width, open))
        {
            closed.push(open.into_row(series, width));
        }
    }

    /// The open ones that are not written down.
    pub(crate) fn unsaved(&self) -> impl Iterator<Item = Row> + '_ {
        let unsaved = self.open.iter().filter(|(_, open)| open.is_new);
        unsaved.map(|((series, width), open)| Row {
            series: *series,
            width: *width,
            at: open.at,
            bucket: open.bucket.clone(),
        })
    }

    /// All are written down.
    pub(crate) fn saved(&mut self) {
        self.open.values_mut().for_each(|open| open.is_new = false);
    }

    /// None is written down any more.
    pub(crate) fn forgotten(&mut self) {
        self.open.values_mut().for_each(|open| open.is_new = true);
    }
}

impl Open {
    fn into_row(self, series: i64, width: i64) -> Row {
        Row { series, width, at: self.at, bucket: self.bucket }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whole numbers, so that no order of adding them up makes a difference.
    fn sample() -> impl Strategy<Value = (i64, i64, bool, u32)> {
        (
            0_i64..3,
            prop_oneof![Just(STEP), Just(STEP), Just(70), Just(4_000), Just(90_000)],
            any::<bool>(),
            1_u32..5_000,
        )
    }

    proptest! {
        #[test]
        fn rollups_written_forward_are_what_the_raw_samples_add_up_to(
            samples in prop::collection::vec(sample(), 1..200),
            begin in 1_700_000_000_i64..1_800_000_000,
        ) {
            let (mut rollup, mut closed, mut now) = (Rollup::default(), Vec::new(), begin);
            let mut raw: BTreeMap<(i64, i64, i64), Bucket> = BTreeMap::new();
            for (series, passed, is_bad, value) in samples {
                now += passed;
                let kind = if series == 0 { Kind::Probe } else { Kind::Metric };
                let mut bucket = Bucket::default();
                bucket.add_time(f64::from(value), is_bad);
                rollup.note((series, kind), now, &bucket, &mut closed);
                rollup.settle(now + STEP, &mut closed);
                for level in kind.levels() {
                    let at = now.div_euclid(level.width) * level.width;
                    raw.entry((series, level.width, at)).or_default().add_time(f64::from(value), is_bad);
                }
            }
            rollup.settle(i64::MAX - LONGEST, &mut closed);
            prop_assert_eq!(rollup.unsaved().count(), 0);
            prop_assert_eq!(closed.len(), raw.len(), "each bucket is closed once");
            for row in closed {
                let expected = raw.get(&(row.series, row.width, row.at));
                prop_assert_eq!(Some(&row.bucket), expected);
            }
        }
    }

    #[test]
    fn a_bucket_left_open_goes_on_where_it_was() {
        let (mut rollup, mut closed) = (Rollup::default(), Vec::new());
        let mut one = Bucket::default();
        one.add(1.0, false);
        rollup.note((7, Kind::Metric), 1_000_000_020, &one, &mut closed);
        rollup.settle(1_000_000_030, &mut closed);
        assert_eq!(closed.len(), 1, "ten seconds are over");
        let mut again = Rollup::default();
        rollup.unsaved().for_each(|row| again.resume(row));
        assert_eq!(again.unsaved().count(), 0, "it is written down");
        closed.clear();
        again.note((7, Kind::Metric), 1_000_000_030, &one, &mut closed);
        again.settle(1_000_000_020 + MINUTE, &mut closed);
        let minute = closed.iter().find(|row| row.width == MINUTE).unwrap();
        assert_eq!((minute.bucket.n, minute.bucket.sum), (2, 2.0));
    }

    #[test]
    fn a_clock_set_back_a_little_goes_on_and_far_begins_anew() {
        let (mut rollup, mut closed) = (Rollup::default(), Vec::new());
        let mut one = Bucket::default();
        one.add(1.0, false);
        let now = 1_000_000_000;
        for at in [now, now - 10, now - 30 * DAY] {
            rollup.note((1, Kind::Metric), at, &one, &mut closed);
        }
        assert!(closed.iter().all(|row| row.bucket.n == 2), "{closed:?}");
        assert_eq!(closed.len(), OF_METRICS.len());
    }
}
