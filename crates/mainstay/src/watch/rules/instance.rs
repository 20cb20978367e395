//! One alert: its state, and what is known of it.
//!
//! The state is the truth, whatever is told of it. Only a good look leads out of *firing*; a look without data,
//! or with an error, leaves everything as it is and stops the clocks.

use super::flap::Flap;
use super::rule::{Finding, Level, Missing, PATIENCE, Reading, Rule, Trigger};
use super::{Moment, nanos};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Nothing is wrong.
    #[default]
    Inactive,
    /// Something is wrong, not for long enough.
    Pending,
    Firing,
    /// It still fires: it was good, not for long enough.
    Recovering,
}

impl State {
    /// Whether the alert is there.
    pub(crate) fn fires(self) -> bool {
        matches!(self, State::Firing | State::Recovering)
    }
}

/// What is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Data {
    #[default]
    Ok,
    #[serde(rename = "no_data")]
    Unknown,
    Error,
}

/// What a look has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Fired,
    Resolved,
}

/// One alert of a rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) state: State,
    pub(crate) data: Data,
    /// The last finding, in words.
    pub(crate) text: String,
    /// Since when it has this state.
    pub(crate) since: Moment,
    /// Since when it is bad, without the time in which nobody knew.
    active: Moment,
    /// When it fired; this tells one incident from another.
    pub(crate) fired: Moment,
    last_bad: Moment,
    last_look: Moment,
    bad_run: u32,
    good_run: u32,
    /// Looks in a row without data, and with an error.
    missing_run: u32,
    error_run: u32,
    flap: Flap,
    /// That it fires was told.
    pub(super) told: bool,
    /// That it fires is still to be told.
    pub(super) owed: bool,
    /// The rule that explains it.
    pub(crate) gate: Option<String>,
    /// Looks in a row in which nobody asked about it.
    pub(super) absent: u32,
}

impl Instance {
    pub(crate) fn is_flapping(&self) -> bool {
        self.flap.is_flapping()
    }

    /// Errors in a row that are enough to be told.
    pub(super) fn is_blind(&self) -> bool {
        self.error_run >= PATIENCE
    }

    /// Takes a look.
    pub(super) fn step(&mut self, rule: &Rule, finding: &Finding, now: Moment) -> Option<Change> {
        if self.last_look == 0 {
            (self.since, self.last_look) = (now, now);
        }
        let passed = now.saturating_sub(self.last_look);
        self.last_look = now;
        let level = match finding.reading {
            Reading::Is(level) => {
                self.data = Data::Ok;
                (self.missing_run, self.error_run) = (0, 0);
                Some(level)
            }
            Reading::Missing => {
                self.error_run = 0;
                self.missing_run = self.missing_run.saturating_add(1);
                let is_told = self.missing_run >= PATIENCE;
                if is_told {
                    self.data = Data::Unknown;
                }
                (is_told && rule.missing == Missing::Tell).then_some(Level::Bad)
            }
            Reading::Failed => {
                self.data = Data::Error;
                self.error_run = self.error_run.saturating_add(1);
                None
            }
            Reading::Paused => None,
        };
        let Some(level) = level else {
            self.skip(passed);
            return None;
        };
        self.text.clone_from(&finding.text);
        if level != Level::Between {
            self.flap.note(level == Level::Bad);
        }
        match level {
            Level::Bad => self.bad(rule, now),
            Level::Between => {
                (self.bad_run, self.good_run) = (0, 0);
                match self.state {
                    State::Pending => self.enter(State::Inactive, now),
                    State::Recovering => self.enter(State::Firing, now),
                    State::Inactive | State::Firing => {}
                }
                None
            }
            Level::Good => self.good(rule, now),
        }
    }

    fn bad(&mut self, rule: &Rule, now: Moment) -> Option<Change> {
        self.good_run = 0;
        self.bad_run = self.bad_run.saturating_add(1);
        self.last_bad = now;
        match self.state {
            State::Firing => return None,
            State::Recovering => {
                self.enter(State::Firing, now);
                return None;
            }
            State::Inactive => {
                self.active = now;
                self.enter(State::Pending, now);
            }
            State::Pending => {}
        }
        let is_time = match rule.trigger {
            Trigger::Count(count) => self.bad_run >= count,
            Trigger::For(time) => now.saturating_sub(self.active) >= nanos(time),
        };
        is_time.then(|| {
            self.enter(State::Firing, now);
            self.fired = now;
            Change::Fired
        })
    }

    fn good(&mut self, rule: &Rule, now: Moment) -> Option<Change> {
        self.bad_run = 0;
        self.good_run = self.good_run.saturating_add(1);
        match self.state {
            State::Inactive => return None,
            State::Pending => {
                self.enter(State::Inactive, now);
                return None;
            }
            State::Firing => self.enter(State::Recovering, now),
            State::Recovering => {}
        }
        let is_kept = now.saturating_sub(self.last_bad) < nanos(rule.keep);
        if self.good_run < rule.clear || is_kept || self.flap.is_flapping() {
            return None;
        }
        self.enter(State::Inactive, now);
        Some(Change::Resolved)
    }

    /// Time in which nobody knew counts for nothing.
    pub(super) fn skip(&mut self, passed: u64) {
        self.active = self.active.saturating_add(passed);
        self.last_bad = self.last_bad.saturating_add(passed);
    }

    /// Nobody has looked for so long: what led to a state is kept, and the way out begins anew.
    pub(super) fn resume(&mut self, gap: u64, now: Moment) {
        self.skip(gap);
        self.last_look = now;
        self.good_run = 0;
        if self.state == State::Recovering {
            self.enter(State::Firing, now);
        }
    }

    fn enter(&mut self, state: State, now: Moment) {
        self.state = state;
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::super::builtin::tests::rule;
    use super::*;
    use std::time::Duration;

    const TICK: u64 = 10_000_000_000;

    /// Takes the looks: `x` bad, `-` between, `.` good, `?` without data, `!` failed, `~` paused; what
    /// came of each: `F` fired, `R` resolved.
    fn run(rule: &Rule, looks: &str) -> (String, Instance) {
        let mut instance = Instance::default();
        let mut changes = String::new();
        for (look, tick) in looks.chars().zip(1..) {
            let reading = match look {
                'x' => Reading::Is(Level::Bad),
                '-' => Reading::Is(Level::Between),
                '.' => Reading::Is(Level::Good),
                '?' => Reading::Missing,
                '!' => Reading::Failed,
                _ => Reading::Paused,
            };
            let finding =
                Finding { rule: rule.name, subject: String::new(), reading, text: String::new() };
            changes.push(match instance.step(rule, &finding, tick * TICK) {
                None => ' ',
                Some(Change::Fired) => 'F',
                Some(Change::Resolved) => 'R',
            });
        }
        (changes.trim_end().to_owned(), instance)
    }

    #[test]
    fn a_counted_rule_fires_at_the_count_and_is_over_after_good_looks_and_its_keep() {
        let rule = Rule { clear: 2, keep: Duration::from_secs(60), ..rule(Trigger::Count(3)) };
        let cases = [
            ("xx.xx.xx.", ""),
            ("xxx", "  F"),
            ("xx!x", "   F"),
            ("xx~~x", "    F"),
            ("xx.x", ""),
            ("xxx......", "  F     R"),
            ("xxx..x......", "  F        R"),
            ("xxx.-......", "  F     R"),
            ("xxx..????????????....", "  F                 R"),
            ("xxx!!!!!!!!!!!!!!!!!!", "  F"),
            ("xxx~~~~~~~~~~~~~~~~~~", "  F"),
        ];
        for (looks, changes) in cases {
            assert_eq!(run(&rule, looks).0, changes, "{looks}");
        }
    }

    #[test]
    fn a_timed_rule_fires_when_it_was_bad_for_its_time_without_what_nobody_knew() {
        let rule = rule(Trigger::For(Duration::from_secs(30)));
        let cases = [
            ("xxx.xxx.", ""),
            ("xxxx", "   F"),
            ("xxx-xxx", ""),
            ("xx????xx", "       F"),
            ("xxxx.", "   FR"),
            ("xxxx-.", "   F R"),
        ];
        for (looks, changes) in cases {
            assert_eq!(run(&rule, looks).0, changes, "{looks}");
        }
    }

    #[test]
    fn absence_is_a_state_of_its_own_and_where_it_matters_it_fires() {
        let (_, instance) = run(&rule(Trigger::Count(1)), "x???");
        assert_eq!((instance.state, instance.data), (State::Firing, Data::Unknown));
        let told = Rule { missing: Missing::Tell, ..rule(Trigger::Count(2)) };
        assert_eq!(run(&told, ".??.???x").0, "       F");
        assert_eq!(run(&told, ".????.").0, "    FR");
    }

    #[test]
    fn what_goes_to_and_fro_fires_once_and_is_over_when_it_is_calm() {
        let (changes, instance) = run(&rule(Trigger::Count(1)), "x.x.x.x.x.x.x.x.x.x.x.x.");
        assert_eq!(changes, "FRFRF", "told until it is known to flap");
        assert!(instance.is_flapping() && instance.state == State::Recovering);
        let calm = format!("{}{}", "x.".repeat(12), ".".repeat(25));
        assert_eq!(run(&rule(Trigger::Count(1)), &calm).0.matches('R').count(), 3);
    }
}
