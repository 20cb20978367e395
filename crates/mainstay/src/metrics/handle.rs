//! The handles with which an application measures. Each stands for one series and one place in this
//! process's slot; using it is an addition to a word of memory.

use super::registry::Family;
use mainstay_os::segment::{Exemplar, Kind, Pin};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Billionths in a unit.
const BILLION: f64 = 1e9;

/// How the values that workers give a gauge become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Merge {
    /// Their sum, of the workers that live. The default.
    #[default]
    Sum = 0,
    /// The largest, of the workers that live.
    Max = 1,
    /// The smallest, of the workers that live.
    Min = 2,
    /// The one that was set last, by a worker that may have gone since.
    Last = 3,
}

impl Merge {
    pub(crate) fn from_number(number: u32) -> Merge {
        let all = [Merge::Sum, Merge::Max, Merge::Min, Merge::Last];
        all.into_iter().find(|it| *it as u32 == number).unwrap_or_default()
    }
}

/// A series' place in a slot.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) pin: Pin,
    pub(crate) merge: Merge,
}

/// What has handles: [`Counter`], [`Gauge`] and [`Histogram`].
pub trait Measure: sealed::Sealed + Clone + Send + Sync + 'static {}

pub(crate) mod sealed {
    use super::{Kind, Place};

    pub trait Sealed: Sized {
        #[doc(hidden)]
        fn kind() -> Kind;
        #[doc(hidden)]
        #[allow(private_interfaces, reason = "nobody outside can name the trait")]
        fn at(place: Place) -> Self;
    }
}

macro_rules! handles {
    ($($name:ident)*) => {$(
        impl Measure for $name {}

        impl sealed::Sealed for $name {
            fn kind() -> Kind {
                Kind::$name
            }

            #[allow(private_interfaces, reason = "nobody outside can name the trait")]
            fn at(place: Place) -> $name {
                $name { place }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("cells", &self.place.pin).finish()
            }
        }
    )*};
}

handles! { Counter Gauge Histogram }

/// A total that only grows: over all workers that ever were, it counts each addition exactly once,
/// even when a worker is killed. Cloning is cheap; all clones are the same series.
#[derive(Clone)]
pub struct Counter {
    place: Place,
}

impl Counter {
    /// Adds 1.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `by`. A total wraps at 2⁶⁴.
    #[inline]
    pub fn add(&self, by: u64) {
        self.place.pin.count(by);
    }
}

/// A value that goes up and down. Each worker has its own; [`Merge`] says what becomes of them. Cloning
/// is cheap; all clones are the same series.
#[derive(Clone)]
pub struct Gauge {
    place: Place,
}

impl Gauge {
    /// Sets this worker's value.
    pub fn set(&self, value: f64) {
        match self.place.merge {
            Merge::Last => self.place.pin.set_at(value, crate::clock::mono().0),
            Merge::Sum | Merge::Max | Merge::Min => self.place.pin.set(value),
        }
    }

    /// Adds to this worker's value, which is 0 before. A gauge whose last value counts is only set:
    /// nothing is added to it.
    pub fn add(&self, by: f64) {
        if self.place.merge != Merge::Last {
            self.place.pin.shift(by);
        }
    }

    /// Adds 1.
    pub fn inc(&self) {
        self.add(1.0);
    }

    /// Takes 1 away.
    pub fn dec(&self) {
        self.add(-1.0);
    }
}

/// How many observations there were of each size: in bins that are at most a tenth of their size wide,
/// from a millionth to a thousand millions. Cloning is cheap; all clones are the same series.
#[derive(Clone)]
pub struct Histogram {
    place: Place,
}

impl Histogram {
    /// Counts a value, as exact as a billionth. Values that are negative or no number are not counted.
    #[inline]
    pub fn observe(&self, value: f64) {
        if let Some(billionths) = Histogram::billionths(value) {
            self.put(billionths);
        }
    }

    /// What a value is counted as, if it is.
    #[inline]
    pub(crate) fn billionths(value: f64) -> Option<u64> {
        // Rounds; a conversion that does not fit gives the largest number.
        (value >= 0.0).then_some((value * BILLION + 0.5) as u64)
    }

    /// Counts a time, in seconds.
    #[inline]
    pub fn observe_duration(&self, time: Duration) {
        self.put(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    #[inline]
    fn put(&self, billionths: u64) {
        self.place.pin.observe(billionths);
    }

    /// Keeps a value that was counted as an example. Threads take turns.
    pub(crate) fn exemplify(&self, exemplar: &Exemplar) {
        self.place.pin.exemplify(exemplar);
    }
}

/// A metric with `N` labels; [`Labelled::with`] gives the handle of one series. Cloning is cheap.
#[derive(Clone)]
pub struct Labelled<M, const N: usize> {
    family: Arc<Family<M>>,
}

impl<M, const N: usize> fmt::Debug for Labelled<M, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Labelled").field("labels", &N).finish_non_exhaustive()
    }
}

impl<M: Measure, const N: usize> Labelled<M, N> {
    pub(crate) fn new(family: Family<M>) -> Labelled<M, N> {
        Labelled { family: Arc::new(family) }
    }

    /// The series with these values, in the order of the labels' names; it is there, at 0, from now on.
    /// Keep the handle: finding it costs a lock and a look-up. Values are to be few and known: a metric
    /// has at most 256 series as a counter and 64 as a gauge or histogram. What is beyond that, or has a
    /// value longer than 128 bytes, is counted in the series `overflow="true"`, and told in the log.
    #[must_use]
    pub fn with(&self, values: [&str; N]) -> M {
        self.family.with(&values)
    }
}
