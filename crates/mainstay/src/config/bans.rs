//! `[bans]` as plain values.

use super::sections::Values;
use std::path::PathBuf;
use std::time::Duration;

/// `[bans]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Bans {
    /// How many refusals by rate limits ban a client, as a limit string; empty for none.
    pub limits: String,
    /// How many failed logins do.
    pub logins: String,
    /// How many answers of 404 do.
    pub not_found: String,
    /// How many refused requests of pages of other origins do.
    pub csrf: String,
    /// How many answers of 4xx to tools of attackers do.
    pub attack_tools: String,
    /// How long the first ban lasts, at least a second.
    pub time: Duration,
    /// How much longer each further one lasts, 1 to 100.
    pub factor: u64,
    /// The longest that they become.
    pub max_time: Duration,
    /// Who is never banned, as a list.
    pub ignore: String,
    /// Where bans of others stand.
    pub file: Option<PathBuf>,
    /// Whether nobody is refused.
    pub dry_run: bool,
}

impl Values<'_> {
    pub(super) fn bans(&self) -> Bans {
        Bans {
            limits: self.text("bans.limits"),
            logins: self.text("bans.logins"),
            not_found: self.text("bans.not_found"),
            csrf: self.text("bans.csrf"),
            attack_tools: self.text("bans.attack_tools"),
            time: self.duration("bans.time"),
            factor: self.number("bans.factor"),
            max_time: self.duration("bans.max_time"),
            ignore: self.text("bans.ignore"),
            file: self.path("bans.file"),
            dry_run: self.yes("bans.dry_run"),
        }
    }
}
