//! Values that events show in a form of their own.

use std::fmt;

/// A request too many, as nginx tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limiting<'a>(pub(super) &'a str);

impl fmt::Display for Limiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing may end the name of a zone before its end.
        let zone = self.0.replace('"', "_");
        write!(f, "limiting requests, excess: 1.000 by zone \"{zone}\"")
    }
}

/// A span of time, shown in the unit that suits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) std::time::Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.as_millis() < 1_000 {
            write!(f, "{} ms", self.0.as_millis())
        } else {
            write!(f, "{:.1} s", self.0.as_secs_f64())
        }
    }
}

/// An amount of memory in MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mib(pub(crate) u64);

impl fmt::Display for Mib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} MiB", self.0 as f64 / f64::from(1 << 20))
    }
}

/// What a worker had done when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// From start to end.
    pub(crate) uptime: Time,
    /// Requests it completed.
    pub(crate) served: u64,
    /// Requests it had in flight at its end.
    pub(crate) in_flight: u64,
    /// Its largest resident memory.
    pub(crate) peak_rss: Mib,
    /// Processor time it used.
    pub(crate) cpu: Time,
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts { uptime, served, in_flight, peak_rss, cpu } = self;
        write!(
            f,
            "uptime {uptime}, {served} requests served, {in_flight} in flight, \
             peak memory {peak_rss}, cpu {cpu}"
        )
    }
}
