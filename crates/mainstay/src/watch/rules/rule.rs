//! What a rule is: when it fires, when it is over, what it explains.

use crate::config::matchers::{self, Matcher};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How grave it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// It can wait for the morning.
    Warning,
    /// Somebody is to get up.
    Critical,
}

impl Severity {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// When what is bad is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// At this many bad looks in a row.
    Count(u32),
    /// When it was bad for so long.
    For(Duration),
}

/// What it means that nothing can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Whatever was the case still is.
    Keep,
    /// That is bad itself, after [`PATIENCE`] looks.
    Tell,
}

/// Looks in a row without data, or with an error, until that is told.
pub(crate) const PATIENCE: u32 = 3;

/// A rule as it is in force.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// In lower case with underscores; stable.
    pub(crate) name: &'static str,
    /// Its name in Prometheus.
    pub(crate) alert: &'static str,
    pub(crate) severity: Severity,
    /// What tells its alerts apart; empty when there is one at most.
    pub(crate) label: &'static str,
    pub(crate) trigger: Trigger,
    /// Good looks in a row until it is over.
    pub(crate) clear: u32,
    /// How long after the last bad look it is not yet over.
    pub(crate) keep: Duration,
    pub(crate) missing: Missing,
    /// How far back it looks: for so long after another rule is over what that one explains may still be seen.
    pub(crate) window: Duration,
    /// Rules whose alerts are held back while one of this rule is there. They come later in the table.
    pub(crate) explains: &'static [&'static str],
    /// When it fires, in words.
    pub(crate) about: String,
}

impl Rule {
    /// How long its alerts are held back after what explained them is over.
    pub(crate) fn release(&self) -> Duration {
        self.window.max(self.keep)
    }
}

/// Alerts of which nobody is to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quiet {
    /// What keeps them quiet, in words.
    pub(crate) why: String,
    /// All of them are to be true.
    pub(crate) matchers: Vec<Matcher>,
}

impl Quiet {
    /// Whether an alert is one of them.
    pub(crate) fn is(&self, rule: &Rule, subject: &str) -> bool {
        self.matchers.iter().all(|matcher| match &*matcher.name {
            matchers::RULE => matcher.is(rule.name),
            matchers::SEVERITY => matcher.is(rule.severity.as_str()),
            matchers::SUBJECT => matcher.is(subject),
            label => label == rule.label && matcher.is(subject),
        })
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Below the threshold at which it is over.
    Good,
    /// Not bad any more, and not good yet.
    Between,
    Bad,
}

/// What one look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Is(Level),
    /// Nothing is known.
    Missing,
    /// What is known makes no sense.
    Failed,
    /// There is nothing to judge now.
    Paused,
}

/// One look with one rule at one subject.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    /// The rule's name.
    pub(crate) rule: &'static str,
    /// The value of the rule's label.
    pub(crate) subject: String,
    pub(crate) reading: Reading,
    /// What was found, in words.
    pub(crate) text: String,
}
