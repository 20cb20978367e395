//! `[alerts]` as plain values.

use super::Secret;
use super::sections::Values;
use std::{path::PathBuf, time::Duration};

/// `[alerts]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Alerts {
    /// Whether the rules are evaluated.
    pub enabled: bool,
    /// Time between two looks; 100 ms at least.
    pub interval: Duration,
    /// The check in a row at which not being ready fires, 1 to 1,000.
    pub readiness_checks: u32,
    /// Part of the requests that may fail, 0 to 1.
    pub errors_above: f64,
    /// Within what time that is judged; 100 ms at least.
    pub errors_window: Duration,
    /// Restarts of workers that there may be.
    pub restarts_above: u64,
    /// Within what time; above zero.
    pub restarts_window: Duration,
    /// `unplanned` or `all`.
    pub restarts_count: String,
    /// Failed logins that there may be within `errors_window`.
    pub logins_above: u64,
    /// Requests that rate limits may refuse within `errors_window`.
    pub limits_above: u64,
    /// Part of an uploads directory's file system that may be used, 0 to 1.
    pub uploads_above: f64,
    /// Who is told, as a list; the addresses are secrets.
    pub receivers: Option<Secret>,
    /// File in which they stand.
    pub receivers_file: Option<PathBuf>,
    /// Rules of the operator's own, as a list.
    pub rules: String,
    /// When some of them are told to nobody, as a list.
    pub maintenance: String,
    /// Where people look further, for what they are told; empty for nowhere.
    pub link: String,
    /// Directory for the state of alerts; none means memory.
    pub state: Option<PathBuf>,
    /// Whether nothing is delivered.
    pub dry_run: bool,
}

impl Values<'_> {
    pub(super) fn alerts(&self) -> Alerts {
        let receivers = Some(self.text("alerts.receivers")).filter(|it| !it.is_empty());
        Alerts {
            enabled: self.yes("alerts.enabled"),
            interval: self.duration("alerts.interval"),
            readiness_checks: self.small("alerts.readiness_checks"),
            errors_above: self.ratio("alerts.errors_above"),
            errors_window: self.duration("alerts.errors_window"),
            restarts_above: self.number("alerts.restarts_above"),
            restarts_window: self.duration("alerts.restarts_window"),
            restarts_count: self.text("alerts.restarts_count"),
            logins_above: self.number("alerts.logins_above"),
            limits_above: self.number("alerts.limits_above"),
            uploads_above: self.ratio("alerts.uploads_above"),
            receivers: receivers.map(Secret::new),
            receivers_file: self.path("alerts.receivers_file"),
            rules: self.text("alerts.rules"),
            maintenance: self.text("alerts.maintenance"),
            link: self.text("alerts.link"),
            state: self.path("alerts.state"),
            dry_run: self.yes("alerts.dry_run"),
        }
    }
}
