//! What one look at the service finds, all of one moment; and what of it is remembered for a while.

use super::builtin::{LOOPS, POOL_WINDOW, WIDTHS};
use super::own::{Found, History};
use super::window::Series;
use super::{Moment, nanos};
use crate::config::Alerts;
use crate::config::own::OwnRule;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The service at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Whether it is ready; none while it starts or stops.
    pub(crate) ready: Option<bool>,
    /// Why it is not, in words.
    pub(crate) why: String,
    /// Requests that ended, without health checks and without clients that left.
    pub(crate) requests: u64,
    /// Of these, those that ended with a 5xx.
    pub(crate) errors: u64,
    /// Logins that failed.
    pub(crate) failed_logins: u64,
    /// Workers that were restarted: unplanned, and planned.
    pub(crate) restarts: [u64; 2],
    /// Ends of workers by reason, in the order of the table of reasons.
    pub(crate) exits: Vec<u64>,
    /// How often workers died young in a row.
    pub(crate) crash_loops: u64,
    pub(crate) pools: Vec<Pool>,
    pub(crate) directories: Vec<Directory>,
    pub(crate) receivers: Vec<Receiver>,
    /// What own rules look at, by their names.
    pub(crate) own: BTreeMap<String, [Found; 2]>,
    pub(crate) probes: Vec<Probe>,
    /// For how long nobody has looked, at the first look after that.
    pub(crate) gap: Option<Duration>,
    /// A worker is ready, so what is not named here is wanted by nobody.
    pub(crate) complete: bool,
}

/// A pool, all workers together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) in_use: u64,
    pub(crate) max: u64,
    pub(crate) waiting: u64,
    /// Some worker's is exhausted while somebody waits.
    pub(crate) is_saturated: bool,
    pub(crate) timeouts: u64,
    /// Nanoseconds that were waited.
    pub(crate) waited: u64,
}

/// Used parts of a file system's space, and of its inodes if it counts them; none while it does not answer.
pub(crate) type Used = Option<(f64, Option<f64>)>;

/// The file system of a directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    pub(crate) path: String,
    pub(crate) used: Used,
    /// When it is full, if it goes on as in the last hours.
    pub(crate) full_in: Option<Duration>,
}

/// A receiver of notifications.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receiver {
    pub(crate) name: String,
    /// How long it has taken nothing of what is for it.
    pub(crate) failing: Duration,
}

/// What is asked from outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Probe {
    pub(crate) name: String,
    pub(crate) target: String,
    /// It is one of the service's own endpoints.
    pub(crate) is_own: bool,
    /// None while nobody can know.
    pub(crate) is_up: Option<bool>,
    /// Why the last attempt failed.
    pub(crate) why: String,
    /// Until the first of its certificates ends.
    pub(crate) days_left: Option<f64>,
}

/// Columns of a pool's series.
pub(crate) const TIMEOUTS: usize = 0;
pub(crate) const WAITED: usize = 1;
pub(crate) const SATURATED: usize = 2;

/// What is remembered of the totals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Windows {
    /// When the service began.
    birth: Moment,
    last: Moment,
    /// Requests, failures, failed logins.
    pub(crate) requests: Series,
    /// Unplanned restarts, planned ones, crash loops.
    pub(crate) restarts: Series,
    /// Ends of workers by reason.
    pub(crate) exits: Series,
    pub(crate) pools: BTreeMap<String, Series>,
    /// How long each pool was saturated, nanoseconds.
    saturated: BTreeMap<String, u64>,
    /// What own rules have found, by their names.
    pub(crate) own: BTreeMap<String, History>,
}

impl Windows {
    /// Of a service that began then; an earlier service's count for nothing.
    pub(crate) fn of(self, birth: Moment) -> Windows {
        if self.birth == birth {
            return self;
        }
        Windows {
            birth,
            requests: Series::born(birth, 3),
            restarts: Series::born(birth, 3),
            ..Windows::default()
        }
    }

    /// Takes note of what own rules find.
    pub(crate) fn note_own(&mut self, now: Moment, facts: &Facts, rules: &[OwnRule]) {
        self.own.retain(|name, _| rules.iter().any(|rule| rule.name == *name));
        for rule in rules {
            let found = facts.own.get(&rule.name).cloned().unwrap_or_default();
            let how = (rule.function, rule.window);
            self.own.entry(rule.name.clone()).or_default().note(self.birth, now, found, how);
        }
    }

    /// Takes note of a look.
    pub(crate) fn note(&mut self, now: Moment, facts: &Facts, alerts: &Alerts) {
        let errors = alerts.errors_window * WIDTHS[WIDTHS.len() - 1];
        // Who is under way is counted here before there, so a difference may go back by one.
        let risen = |column, total: u64| total.max(self.requests.latest(column));
        let requests = vec![risen(0, facts.requests), risen(1, facts.errors), facts.failed_logins];
        self.requests.note(now, requests, errors);
        let [unplanned, planned] = facts.restarts;
        let restarts = alerts.restarts_window.max(Duration::from_millis(1) * LOOPS);
        self.restarts.note(now, vec![unplanned, planned, facts.crash_loops], restarts);
        if now.saturating_sub(self.exits.last()) >= nanos(restarts) / 60 {
            self.exits.note(now, facts.exits.clone(), restarts);
        }
        // A look that came late tells nothing of the time before.
        let passed = now.saturating_sub(self.last).min(nanos(alerts.interval));
        self.last = now;
        for pool in &facts.pools {
            let time = self.saturated.entry(pool.name.clone()).or_default();
            *time += if pool.is_saturated { passed } else { 0 };
            let series = self.pools.entry(pool.name.clone()).or_default();
            series.note(now, vec![pool.timeouts, pool.waited, *time], POOL_WINDOW);
        }
        if facts.complete {
            let named: BTreeSet<_> = facts.pools.iter().map(|pool| &*pool.name).collect();
            self.pools.retain(|name, _| named.contains(&**name));
            self.saturated.retain(|name, _| named.contains(&**name));
        }
    }
}
