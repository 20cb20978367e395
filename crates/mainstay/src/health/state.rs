//! The health states and the hysteresis of one check. Pure: outcomes and times come in, states
//! come out.

use crate::clock::Mono;
use std::time::Duration;

/// What the service says of itself. `/healthz` is 200 in all but the last; `/readyz` only in
/// [`State::Ready`]. Our *degraded* means 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum State {
    /// No worker has been ready yet.
    Starting = 0,
    /// Requests are welcome.
    Ready = 1,
    /// No worker is ready, or a check that matters fails.
    Degraded = 2,
    /// The service is stopping and still serves. Nothing leads back from here.
    Draining = 3,
    /// The end.
    Stopped = 4,
}

impl State {
    /// The word that answers and status use.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Ready => "ready",
            State::Degraded => "degraded",
            State::Draining => "draining",
            State::Stopped => "stopped",
        }
    }

    /// Reads the segment's word; an unknown one is not a ready service.
    pub(crate) fn from_word(word: u64) -> State {
        [State::Starting, State::Ready, State::Degraded, State::Draining, State::Stopped]
            .into_iter()
            .find(|state| *state as u64 == word)
            .unwrap_or(State::Degraded)
    }
}

/// One result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It works.
    Ok,
    /// It fails in a way that will not pass by itself: refused, wrong credentials, not a database.
    Hard,
    /// It did not answer in time, or makes no progress.
    Timeout,
}

/// How many results in a row change a check's mind, and when silence does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thresholds {
    /// Hard failures in a row until it fails.
    pub(crate) fall_hard: u32,
    /// Failures in a row, of which some are time-outs, until it fails.
    pub(crate) fall_timeout: u32,
    /// Successes in a row until it is well again.
    pub(crate) rise: u32,
    /// A last result older than this no longer counts.
    pub(crate) stale: Duration,
}

/// The memory of one check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Check {
    thresholds: Thresholds,
    healthy: bool,
    ever_ok: bool,
    hard_run: u32,
    fail_run: u32,
    ok_run: u32,
    last: Option<Mono>,
}

impl Check {
    /// A check that has not been made: unknown, and so not healthy.
    pub(crate) fn new(thresholds: Thresholds) -> Check {
        Check {
            thresholds,
            healthy: false,
            ever_ok: false,
            hard_run: 0,
            fail_run: 0,
            ok_run: 0,
            last: None,
        }
    }

    /// Takes in one result. Each result ends the opposite run, so fail-ok-fail-ok never adds up.
    pub(crate) fn observe(&mut self, outcome: Outcome, now: Mono) {
        self.last = Some(now);
        if outcome == Outcome::Ok {
            (self.hard_run, self.fail_run) = (0, 0);
            self.ok_run = self.ok_run.saturating_add(1);
            // The very first success is believed at once.
            if self.ok_run >= self.thresholds.rise || !self.ever_ok {
                self.healthy = true;
            }
            self.ever_ok = true;
            return;
        }
        self.ok_run = 0;
        self.fail_run = self.fail_run.saturating_add(1);
        self.hard_run = if outcome == Outcome::Hard { self.hard_run.saturating_add(1) } else { 0 };
        if self.hard_run >= self.thresholds.fall_hard
            || self.fail_run >= self.thresholds.fall_timeout
        {
            self.healthy = false;
        }
    }

    /// The memory as one word, for the segment: whoever makes the check next goes on with it. Runs
    /// beyond 255 are 255.
    pub(crate) fn to_word(self) -> u64 {
        let run = |run: u32| u64::from(run.min(255));
        u64::from(self.healthy)
            | u64::from(self.ever_ok) << 1
            | run(self.hard_run) << 8
            | run(self.fail_run) << 16
            | run(self.ok_run) << 24
    }

    /// The check with this memory, whose last result came at `last`, if one ever did.
    pub(crate) fn from_word(thresholds: Thresholds, word: u64, last: Option<Mono>) -> Check {
        let run = |shift: u32| u32::from((word >> shift) as u8);
        Check {
            thresholds,
            healthy: word & 1 != 0,
            ever_ok: word & 2 != 0,
            hard_run: run(8),
            fail_run: run(16),
            ok_run: run(24),
            last,
        }
    }

    /// Whether its last results say that it is well, however old they are.
    pub(crate) fn was_healthy(&self) -> bool {
        self.healthy
    }

    /// Results in a row that failed.
    pub(crate) fn failures(&self) -> u32 {
        self.fail_run
    }

    /// Whether the check is well at `now`.
    pub(crate) fn is_healthy(&self, now: Mono) -> bool {
        self.healthy && self.last.is_some_and(|last| now.since(last) <= self.thresholds.stale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(rise: u32, outcomes: &str) -> Vec<bool> {
        let thresholds =
            Thresholds { fall_hard: 2, fall_timeout: 3, rise, stale: Duration::from_secs(15) };
        let mut check = Check::new(thresholds);
        let mut now = Mono(0);
        assert!(!check.is_healthy(now), "unknown at start is not ready");
        outcomes
            .chars()
            .map(|outcome| {
                now = now + Duration::from_secs(1);
                let outcome = match outcome {
                    'o' => Outcome::Ok,
                    'H' => Outcome::Hard,
                    'T' => Outcome::Timeout,
                    other => panic!("unknown outcome {other}"),
                };
                check.observe(outcome, now);
                let kept = Check::from_word(thresholds, check.to_word(), Some(now));
                assert_eq!(kept.is_healthy(now), check.is_healthy(now));
                check = kept;
                check.is_healthy(now)
            })
            .collect()
    }

    #[test]
    fn alternating_results_never_flip_a_healthy_check() {
        assert!(replay(1, "oToToToToT").into_iter().all(|healthy| healthy));
        assert!(replay(1, "oHoHoHoHoH").into_iter().all(|healthy| healthy));
    }

    #[test]
    fn the_third_timeout_and_the_second_hard_failure_flip_it() {
        assert_eq!(replay(1, "oTTT"), [true, true, true, false]);
        assert_eq!(replay(1, "oHH"), [true, true, false]);
        assert_eq!(replay(1, "oTHT"), [true, true, true, false]);
    }

    #[test]
    fn a_flipped_check_needs_exactly_rise_successes() {
        assert_eq!(replay(1, "oHHo"), [true, true, false, true]);
        assert_eq!(replay(2, "oHHoo"), [true, true, false, false, true]);
        assert_eq!(replay(2, "oHHoHoo"), [true, true, false, false, false, false, true]);
    }

    #[test]
    fn a_result_that_is_not_renewed_goes_stale() {
        let stale = Duration::from_secs(15);
        let mut check = Check::new(Thresholds { fall_hard: 2, fall_timeout: 3, rise: 1, stale });
        check.observe(Outcome::Ok, Mono(0));
        assert!(check.is_healthy(Mono(0) + stale));
        assert!(!check.is_healthy(Mono(1) + stale));
    }
}
