//! One look at the service for the history: gauges each second, totals with each batch.

use super::super::directories::Directories;
use super::super::processes;
use super::intake::Intake;
use super::totals::Totals;
use crate::clock;
use crate::health::{State, checks};
use crate::metrics::{families, label, names};
use crate::status::{Status, makes_progress};
use mainstay_os::segment::{Kind, Measures, Segment, Tally, read_histograms};

/// The events that are counted.
const UPGRADED: &str = "upgrade.done";

/// What goes up and down.
pub(super) fn gauges(
    intake: &Intake,
    segment: &Segment,
    status: &Status,
    directories: &Directories,
) {
    let ready = status.workers.iter().filter(|worker| worker.state == "ready").count();
    intake.look("in_flight", status.in_flight as f64);
    intake.look("workers_ready", ready as f64);
    let now = clock::mono();
    // One that starts or stops is not judged.
    match State::from_word(segment.header().state()) {
        State::Starting | State::Draining | State::Stopped => {}
        State::Ready | State::Degraded => {
            let is_ready = checks::state(segment, now) == State::Ready;
            intake.is_well("ready", is_ready && makes_progress(segment, now));
        }
    }
    #[cfg(feature = "database")]
    for pool in &status.pools {
        intake.look(&format!("pool_used:{}", pool.name), pool.in_use as f64);
        intake.look(&format!("pool_waiting:{}", pool.name), pool.waiting as f64);
    }
    for directory in directories.used() {
        if let Some((part, _)) = directory.used {
            intake.look(&format!("directory_used:{}", directory.path), part);
        }
    }
}

/// What takes longer to find out: returns the processor time that all processes have used, microseconds.
pub(super) fn processes(intake: &Intake, segment: &Segment) -> u64 {
    let parts = processes::look(segment);
    let all = parts.supervisor.and(parts.watch).and(parts.workers);
    intake.look("memory_bytes", all.resident as f64);
    all.cpu
}

/// The totals, those of `/metrics`.
pub(super) fn totals(segment: &Segment, status: &Status) -> Totals {
    let total = |cell| segment.total(cell);
    let apart = total(names::PROBES) + total(names::ABANDONED);
    let durations = durations(segment);
    Totals {
        birth: segment.header().started_wall(),
        requests: total(names::REQUESTS).saturating_sub(apart),
        errors: total(names::STATUS_5XX).saturating_sub(total(names::PROBE_FAILURES)),
        took: durations.sum / 1e9,
        bins: durations.bins,
        generation: status.generation,
        version: status.version.clone(),
        upgrades: names::event_cell_of(UPGRADED).map_or(0, total),
        exits: names::exit_cells().map(|(_, cell)| total(cell)).collect(),
    }
}

/// How long requests took that had an answer.
fn durations(segment: &Segment) -> Tally {
    let register = segment.register();
    let name = families::REQUEST_DURATION.name.as_bytes();
    let mut durations = Tally::default();
    let Some((metric, _)) = register.metrics().find(|(_, it)| it.name() == name) else {
        return durations;
    };
    let slots = segment.slots().filter(|slot| slot.epoch() != 0);
    let measures: Vec<Measures<'_>> = slots.map(|slot| slot.measures()).collect();
    for series in register.series(Kind::Histogram).filter(|it| it.metric == metric) {
        let labels = label::parse(&String::from_utf8_lossy(&series.labels));
        if labels.iter().any(|(name, value)| name == "status" && value == "abandoned") {
            continue;
        }
        read_histograms(&measures, series.index, &mut durations);
    }
    durations
}
