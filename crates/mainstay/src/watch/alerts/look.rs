//! One look at the service, from the same totals that `/metrics` shows.

use super::super::directories::Directories;
use super::super::rules::facts::{Facts, Pool, Probe, Receiver};
use crate::clock;
use crate::health::State;
use crate::metrics::names;
use crate::status::{Status, makes_progress};
use mainstay_os::segment::Segment;
use std::collections::BTreeMap;

/// A service may be so long without a ready worker when it starts, seconds.
const START: f64 = 60.0;

/// The events that are counted.
const CRASH_LOOP: &str = "worker.crash_loop";
const FAILED_LOGIN: &str = "authn_login_fail";

/// Looks.
pub(super) fn look(
    segment: &Segment,
    status: &Status,
    directories: &Directories,
    receivers: Vec<Receiver>,
    probes: Vec<Probe>,
) -> Facts {
    let total = |cell| segment.total(cell);
    let apart = total(names::PROBES) + total(names::ABANDONED);
    let ready_workers = status.workers.iter().filter(|worker| worker.state == "ready").count();
    let (ready, why) = ready(segment, status, ready_workers);
    Facts {
        ready,
        why,
        requests: total(names::REQUESTS).saturating_sub(apart),
        errors: total(names::STATUS_5XX).saturating_sub(total(names::PROBE_FAILURES)),
        failed_logins: names::event_cell_of(FAILED_LOGIN).map_or(0, total),
        restarts: names::RESTARTS.map(total),
        exits: names::exit_cells().map(|(_, cell)| total(cell)).collect(),
        crash_loops: names::event_cell_of(CRASH_LOOP).map_or(0, total),
        pools: pools(status),
        directories: directories.used(),
        receivers,
        own: BTreeMap::new(),
        probes,
        gap: None,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::text::{Format, Page};
    use mainstay_os::segment::Layout;

    #[test]
    fn what_is_counted_is_what_metrics_show() {
        let (counters, metrics, ring_bytes) = (names::CELLS, names::CAPACITY, [64; 3]);
        let segment =
            Segment::on_heap(Layout { slots: 4, ring_bytes, metrics, ..Layout::small(counters) });
        let add = |cell: usize, count| segment.slot(0).unwrap().add(cell, count);
        for (cell, count) in [
            (names::REQUESTS, 100),
            (names::PROBES, 30),
            (names::ABANDONED, 3),
            (names::STATUS_5XX, 12),
            (names::PROBE_FAILURES, 10),
            (names::RESTARTS[0], 4),
            (names::event_cell_of(CRASH_LOOP).unwrap(), 5),
            (names::event_cell_of(FAILED_LOGIN).unwrap(), 6),
        ] {
            add(cell, count);
        }
        let status = Status::read(&segment, "shop", "1");
        let facts = look(&segment, &status, &Directories::default(), Vec::new(), Vec::new());
        assert_eq!((facts.requests, facts.errors, facts.restarts), (67, 2, [4, 0]));
        assert_eq!((facts.crash_loops, facts.failed_logins), (5, 6));
        assert_eq!(facts.ready, Some(false), "it has been starting for long");
        assert!(!facts.complete && facts.why.contains("0 of 0 workers are ready"));
        segment.header().set_state(State::Draining as u64);
        let facts = look(&segment, &status, &Directories::default(), Vec::new(), Vec::new());
        assert_eq!(facts.ready, None);
        let mut page = Page::new(Format::Prometheus);
        super::super::super::metrics::walk(&segment, &status, &Default::default(), &mut page);
        let page = page.finish();
        assert!(page.contains("mainstay_events_total{event=\"authn_login_fail\"} 6\n"));
    }
}
