//! How the pools of one name are doing in all workers together.

use super::meter::{self, CELLS, Histogram, quantile};
use crate::health::checks::{self, Checkpoint};
use crate::status::worker_slots;
use mainstay_os::segment::{Meter, Phase, Segment};

/// The pools of one name, all workers together. Times are seconds; quantiles are at most twice the true
/// ones, over the life of the service, and none before the first.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct PoolStatus {
    /// The name, which is that of its check.
    pub name: String,
    /// `sqlite`, `postgres` or `mysql`.
    pub kind: &'static str,
    /// Connections that may be open.
    pub max: u64,
    /// Connections that are open.
    pub size: u64,
    /// Open connections that nobody uses, at the last look.
    pub idle: u64,
    /// Connections that somebody holds.
    pub in_use: u64,
    /// Requests that wait for one.
    pub waiting: u64,
    /// Workers whose pool is exhausted while somebody waits.
    pub saturated_workers: u64,
    /// Connections taken.
    pub acquired: u64,
    /// Waits that ended without one.
    pub timeouts: u64,
    /// Time spent waiting, seconds.
    pub waited_seconds: f64,
    /// Statements that ended.
    pub statements: u64,
    /// Of those, the ones that failed.
    pub failed: u64,
    /// Of those, the ones that took longer than `database.slow_query`.
    pub slow: u64,
    /// Waits for connections.
    pub wait_p50: Option<f64>,
    /// The same.
    pub wait_p99: Option<f64>,
    /// How long connections were held.
    pub hold_p50: Option<f64>,
    /// The same.
    pub hold_p99: Option<f64>,
    /// How long statements took.
    pub run_p50: Option<f64>,
    /// The same.
    pub run_p99: Option<f64>,
}

impl PoolStatus {
    /// Reads the meters that belong to a check; `None` for one that is no pool's.
    pub(crate) fn read(segment: &Segment, check: &Checkpoint<'_>) -> Option<PoolStatus> {
        if !check.nature.kind.has_address() {
            return None;
        }
        let all = || segment.slots().filter_map(|slot| slot.meter(check.index));
        let live = || {
            let workers = worker_slots(segment).filter(|(_, slot)| slot.phase() != Phase::Free);
            workers.filter_map(|(_, slot)| slot.meter(check.index))
        };
        let gauge = |index| live().map(|meter| meter.gauge(index)).sum();
        let total = |index| all().map(|meter| meter.total(index)).fold(0, u64::wrapping_add);
        let time = |histogram: Histogram, part| {
            let cells = sum(all().map(|meter| histogram.read(meter)));
            quantile(&cells, part).map(|time| time.as_secs_f64())
        };
        Some(PoolStatus {
            name: check.name(),
            kind: check.nature.kind.as_str(),
            max: gauge(meter::MAX),
            size: gauge(meter::SIZE),
            idle: gauge(meter::IDLE),
            in_use: gauge(meter::IN_USE),
            waiting: gauge(meter::WAITING),
            saturated_workers: live()
                .filter(|it: &Meter<'_>| it.gauge(meter::SATURATED) != 0)
                .count() as u64,
            acquired: total(meter::ACQUIRED),
            timeouts: total(meter::TIMEOUTS),
            waited_seconds: total(meter::WAITED) as f64 / 1e9,
            statements: total(meter::QUERIES),
            failed: total(meter::FAILED),
            slow: total(meter::SLOW),
            wait_p50: time(Histogram::Waits, 0.5),
            wait_p99: time(Histogram::Waits, 0.99),
            hold_p50: time(Histogram::Holds, 0.5),
            hold_p99: time(Histogram::Holds, 0.99),
            run_p50: time(Histogram::Runs, 0.5),
            run_p99: time(Histogram::Runs, 0.99),
        })
    }
}

/// The slots whose pool of this name is in use, with how many of its connections.
pub(crate) fn holding(segment: &Segment, pool: &str) -> Vec<(usize, u64)> {
    let mut checks = checks::wanted(segment, segment.header().generation());
    let is_it = |it: &Checkpoint<'_>| it.nature.kind.has_address() && it.name() == pool;
    let Some(check) = checks.find(is_it) else { return Vec::new() };
    let workers = worker_slots(segment).filter(|(_, slot)| slot.phase() != Phase::Free);
    let in_use = workers.filter_map(|(index, slot)| {
        let meter = slot.meter(check.index)?;
        Some((index, meter.gauge(meter::IN_USE))).filter(|(_, in_use)| *in_use > 0)
    });
    in_use.collect()
}

fn sum(all: impl Iterator<Item = [u64; CELLS]>) -> [u64; CELLS] {
    all.fold([0; CELLS], |sum, cells| std::array::from_fn(|cell| sum[cell] + cells[cell]))
}
