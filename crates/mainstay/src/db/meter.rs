//! What is measured of a pool, and where it stands in the meter of its worker's slot.

use mainstay_os::segment::Meter;
use std::time::Duration;

// Gauges.
/// Connections that the pool may have.
pub(crate) const MAX: usize = 0;
/// Connections that it has.
pub(crate) const SIZE: usize = 1;
/// Of those, the ones that nobody uses.
pub(crate) const IDLE: usize = 2;
/// Connections that somebody holds.
pub(crate) const IN_USE: usize = 3;
/// Requests that wait for a connection.
pub(crate) const WAITING: usize = 4;
/// 1 while all connections are in use and somebody waits.
pub(crate) const SATURATED: usize = 5;

// Totals. Times are nanoseconds.
/// Connections taken.
pub(crate) const ACQUIRED: usize = 0;
/// Waits that ended without one.
pub(crate) const TIMEOUTS: usize = 1;
/// Time spent waiting for connections.
pub(crate) const WAITED: usize = 2;
/// Time that connections were held.
pub(crate) const HELD: usize = 3;
/// Time that statements took.
pub(crate) const RUN: usize = 4;
/// Statements that ended.
pub(crate) const QUERIES: usize = 5;
/// Of those, the ones that failed.
pub(crate) const FAILED: usize = 6;
/// Of those, the ones that were slow.
pub(crate) const SLOW: usize = 7;
/// First cells of the histograms of waits, holds and runs.
const WAITS: usize = 16;
const HOLDS: usize = WAITS + CELLS;
const RUNS: usize = HOLDS + CELLS;

/// Cells of a histogram: each twice as wide as the one before.
pub(crate) const CELLS: usize = 24;
/// The first cell ends at 2^14 ns, about 16 µs; the last but one at about 69 s.
const FIRST: u32 = 14;

/// Which histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Histogram {
    Waits,
    Holds,
    Runs,
}

impl Histogram {
    fn begin(self) -> usize {
        match self {
            Histogram::Waits => WAITS,
            Histogram::Holds => HOLDS,
            Histogram::Runs => RUNS,
        }
    }

    /// Adds one time to it.
    pub(crate) fn observe(self, meter: Meter<'_>, time: Duration) {
        meter.add(self.begin() + cell(time), 1);
    }

    /// Its cells.
    pub(crate) fn read(self, meter: Meter<'_>) -> [u64; CELLS] {
        std::array::from_fn(|cell| meter.total(self.begin() + cell))
    }
}

/// The cell that a time belongs to.
fn cell(time: Duration) -> usize {
    let nanos = nanos(time);
    let above = 64 - (nanos >> FIRST).leading_zeros();
    (above as usize).min(CELLS - 1)
}

/// The time that at least this part of the times in `cells` does not exceed: the upper end of a cell,
/// so at most twice as much. `None` when there are none.
pub(crate) fn quantile(cells: &[u64; CELLS], part: f64) -> Option<Duration> {
    let all: u64 = cells.iter().sum();
    let wanted = ((all as f64 * part).ceil() as u64).max(1);
    let mut seen = 0;
    let found = cells.iter().position(|count| {
        seen += count;
        seen >= wanted
    })?;
    Some(Duration::from_nanos(1 << (FIRST + found as u32)))
}

/// Whole nanoseconds.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_into_the_cell_that_it_is_below_the_end_of() {
        for (micros, expected) in [(0, 0), (16, 0), (17, 1), (32, 1), (33, 2), (1_000_000, 16)] {
            assert_eq!(cell(Duration::from_micros(micros)), expected, "{micros} µs");
        }
        assert_eq!(cell(Duration::MAX), CELLS - 1);
    }

    #[test]
    fn a_quantile_is_at_most_twice_the_true_one() {
        let mut cells = [0; CELLS];
        assert_eq!(quantile(&cells, 0.5), None);
        for millis in 1..=100_u64 {
            cells[cell(Duration::from_millis(millis))] += 1;
        }
        for (part, truth) in [(0.5, 50), (0.99, 99), (1.0, 100)] {
            let found = quantile(&cells, part).unwrap();
            let truth = Duration::from_millis(truth);
            assert!(truth <= found && found <= 2 * truth, "{part}: {found:?}");
        }
    }
}
