//! Where the threads of watch put what they find, until the next batch takes it all.

use super::roll::{Bucket, Kind};
use crate::clock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most happenings between two batches; more are lost and counted.
const MOST: usize = 1_000;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Happening {
    /// When, seconds since the Unix epoch.
    pub(crate) at: i64,
    /// `alert`, `deployment`, `exit` or `probe`.
    pub(crate) kind: &'static str,
    /// Its subject, such as the alert's or the probe's name.
    pub(crate) what: String,
    pub(crate) text: String,
}

/// What was found since the last batch.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// Somebody takes it.
    is_open: AtomicBool,
    lost: AtomicU64,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) parts: BTreeMap<String, (Kind, Bucket)>,
    pub(crate) happenings: Vec<Happening>,
}

impl Intake {
    /// From now on somebody takes what is put here.
    pub(crate) fn open(&self) {
        self.is_open.store(true, Relaxed);
    }

    /// How a gauge is now.
    pub(crate) fn look(&self, series: &str, value: f64) {
        self.note(series, Kind::Metric, |bucket| bucket.add(value, false));
    }

    /// Whether all is well now.
    pub(crate) fn is_well(&self, series: &str, is_well: bool) {
        self.note(series, Kind::Probe, |bucket| bucket.add(f64::from(u8::from(is_well)), !is_well));
    }

    /// An attempt of a probe, which took so many seconds.
    pub(crate) fn attempt(&self, probe: &str, seconds: f64, is_bad: bool) {
        let series = format!("probe:{probe}");
        self.note(&series, Kind::Probe, |bucket| bucket.add_time(seconds, is_bad));
    }

    /// Something happened.
    pub(crate) fn happened(&self, kind: &'static str, what: &str, text: String) {
        if !self.is_open.load(Relaxed) {
            return;
        }
        let mut found = self.found();
        if found.happenings.len() >= MOST {
            self.lost.fetch_add(1, Relaxed);
            return;
        }
        let at = (clock::wall() / 1_000_000_000) as i64;
        found.happenings.push(Happening { at, kind, what: what.to_owned(), text });
    }

    /// All of it, and how much was lost.
    pub(crate) fn take(&self) -> (Found, u64) {
        (std::mem::take(&mut *self.found()), self.lost.swap(0, Relaxed))
    }

    fn note(&self, series: &str, kind: Kind, add: impl FnOnce(&mut Bucket)) {
        if !self.is_open.load(Relaxed) {
            return;
        }
        let mut found = self.found();
        if let Some((_, bucket)) = found.parts.get_mut(series) {
            return add(bucket);
        }
        let mut bucket = Bucket::default();
        add(&mut bucket);
        found.parts.insert(series.to_owned(), (kind, bucket));
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_taken_once_and_nothing_piles_up_where_nobody_takes_it() {
        let intake = Intake::default();
        intake.attempt("shop", 0.5, true);
        intake.happened("probe", "shop", "down".to_owned());
        assert!(intake.take().0.parts.is_empty());
        intake.open();
        intake.look("in_flight", 3.0);
        intake.look("in_flight", 5.0);
        intake.attempt("shop", 0.5, true);
        (0..MOST + 2).for_each(|_| intake.happened("probe", "shop", "down".to_owned()));
        let (found, lost) = intake.take();
        assert_eq!((found.happenings.len(), lost), (MOST, 2));
        let (_, in_flight) = &found.parts["in_flight"];
        assert_eq!((in_flight.n, in_flight.sum, in_flight.range), (2, 8.0, Some((3.0, 5.0))));
        assert_eq!(found.parts["probe:shop"].1.bad, 1);
        assert!(intake.take().0.parts.is_empty());
    }
}
