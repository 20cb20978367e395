//! What a run has shown, phase by phase.

use super::client::Tally;
use super::failure::Failure;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// All phases of one run, in order.
#[derive(Debug)]
pub struct Report {
    /// The phases; the first is `steady`.
    pub phases: Vec<Phase>,
}

/// The results of one phase.
#[derive(Debug)]
pub struct Phase {
    /// Name given to `mark`.
    pub name: String,
    /// Time from its mark to the next, or to the end of the run.
    pub elapsed: Duration,
    /// Failed requests by class.
    pub failures: BTreeMap<Failure, u64>,
    /// Good answers by the worker that gave them (`x-worker-pid`).
    pub workers: BTreeMap<u32, u64>,
    /// Ascending, in microseconds, good answers only.
    latencies: Vec<u32>,
    /// The first failures with their circumstances, for the reader of a failed test.
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(marks: &[(String, Instant)], ended: Instant, tallies: Vec<Tally>) -> Self {
        let mut tallies = tallies.into_iter();
        let phases = marks.iter().enumerate().map(|(at, (name, begun))| {
            let end = marks.get(at + 1).map_or(ended, |(_, next)| *next);
            Phase::new(name, *begun, end, tallies.next().unwrap_or_default())
        });
        Self { phases: phases.collect() }
    }

    /// The phase of this name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn phase(&self, name: &str) -> &Phase {
        let found = self.phases.iter().find(|phase| phase.name == name);
        found.expect("the test marked this phase")
    }

    /// Good answers of all phases.
    #[must_use]
    pub fn ok(&self) -> u64 {
        self.phases.iter().map(Phase::ok).sum()
    }

    /// Failed requests of all phases, of every class.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.phases.iter().map(Phase::lost).sum()
    }

    /// Failed requests of all phases by class.
    #[must_use]
    pub fn failures(&self) -> BTreeMap<Failure, u64> {
        let mut all = BTreeMap::new();
        for (class, count) in self.phases.iter().flat_map(|phase| &phase.failures) {
            *all.entry(*class).or_default() += count;
        }
        all
    }
}

impl Phase {
    fn new(name: &str, begun: Instant, end: Instant, tally: Tally) -> Self {
        let mut latencies = tally.latencies;
        latencies.sort_unstable();
        let note = |(at, took, kind, failure): &(Instant, Duration, &str, Failure)| {
            let at = at.saturating_duration_since(begun);
            format!("{failure} at {at:.3?} of {name}, {took:.1?} after its start, {kind}")
        };
        Self {
            name: name.to_owned(),
            elapsed: end.saturating_duration_since(begun),
            failures: tally.failures,
            workers: tally.workers,
            latencies,
            notes: tally.notes.iter().map(note).collect(),
        }
    }

    /// Good answers.
    #[must_use]
    pub fn ok(&self) -> u64 {
        self.latencies.len() as u64
    }

    /// Failed requests of every class.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Good answers per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// Latency that this part of the good answers did not exceed (nearest
    /// rank); zero without answers.
    ///
    /// `part` lies in 0..=1: 0.5 is the median, 1 the maximum.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Duration {
        let rank = (part * self.latencies.len() as f64).ceil() as usize;
        let at = rank.clamp(1, self.latencies.len().max(1)) - 1;
        Duration::from_micros(self.latencies.get(at).copied().unwrap_or(0).into())
    }

    /// The longest latency of a good answer.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.quantile(1.0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, phase) in self.phases.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{phase}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (elapsed, rate) = (self.elapsed.as_secs_f64(), self.rate());
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|part| millis(self.quantile(part)));
        write!(f, "{:<12} {elapsed:6.1} s  {:>8} ok  {rate:8.0}/s  ", self.name, self.ok())?;
        write!(f, "p50 {p50:8.2} ms  p99 {p99:8.2} ms  max {max:8.2} ms  ")?;
        write!(f, "{} lost", self.lost())?;
        for (class, count) in &self.failures {
            write!(f, " {class}={count}")?;
        }
        if !self.workers.is_empty() {
            write!(f, "  ({} workers)", self.workers.len())?;
        }
        for note in &self.notes {
            write!(f, "\n    {note}")?;
        }
        Ok(())
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
