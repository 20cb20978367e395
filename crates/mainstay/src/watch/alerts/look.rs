//! One look at the service, from the same totals that `/metrics` shows.

use super::super::directories::Directories;
use super::super::rules::facts::{Directory, Facts, Pool, Receiver};
use crate::clock;
use crate::health::State;
use crate::metrics::names;
use crate::status::{Status, makes_progress};
use mainstay_os::segment::Segment;

/// A service may be so long without a ready worker when it starts, seconds.
const START: f64 = 60.0;

/// Looks.
pub(super) fn look(
    segment: &Segment,
    status: &Status,
    directories: &Directories,
    receivers: Vec<Receiver>,
) -> Facts {
    let total = |cell| segment.total(cell);
    let apart = total(names::PROBES) + total(names::ABANDONED);
    let ready_workers = status.workers.iter().filter(|worker| worker.state == "ready").count();
    let directories = directories.used().into_iter();
    let (ready, why) = ready(segment, status, ready_workers);
    Facts {
        ready,
        why,
        requests: total(names::REQUESTS).saturating_sub(apart),
        errors: total(names::STATUS_5XX).saturating_sub(total(names::PROBE_FAILURES)),
        restarts: names::RESTARTS.map(total),
        exits: names::exit_cells().map(|(_, cell)| total(cell)).collect(),
        crash_loops: names::event_cell_of("worker.crash_loop").map_or(0, total),
        pools: pools(status),
        directories: directories.map(|(path, used)| Directory { path, used }).collect(),
        receivers,
        complete: ready_workers > 0,
    }
}

/// Whether a request for readiness would be answered with 200, and why not.
fn ready(segment: &Segment, status: &Status, ready_workers: usize) -> (Option<bool>, String) {
    match State::from_word(segment.header().state()) {
        State::Draining | State::Stopped => return (None, String::new()),
        State::Starting if status.uptime_seconds < START => return (None, String::new()),
        _ => {}
    }
    let makes_progress = makes_progress(segment, clock::mono());
    if status.state == State::Ready.as_str() && makes_progress {
        return (Some(true), String::new());
    }
    let failing = status.checks.iter().filter(|check| check.critical && !check.healthy);
    let mut why: Vec<_> =
        failing.map(|check| format!("check {} fails ({})", check.name, check.reason)).collect();
    if !makes_progress {
        why.push("no worker makes progress".to_owned());
    }
    why.push(format!("{ready_workers} of {} workers are ready", status.target));
    (Some(false), why.join("; "))
}

#[cfg(feature = "database")]
fn pools(status: &Status) -> Vec<Pool> {
    let pools = status.pools.iter();
    pools
        .map(|pool| Pool {
            name: pool.name.clone(),
            in_use: pool.in_use,
            max: pool.max,
            waiting: pool.waiting,
            is_saturated: pool.saturated_workers > 0,
            timeouts: pool.timeouts,
            waited: (pool.waited_seconds * 1e9) as u64,
        })
        .collect()
}

#[cfg(not(feature = "database"))]
fn pools(_: &Status) -> Vec<Pool> {
    Vec::new()
}
