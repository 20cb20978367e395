//! What is shown of workers that came and went, of processes and of readiness.

use super::metrics::{alone, begin, one};
use super::processes::{self, Use};
use crate::clock;
use crate::health::{State, checks};
use crate::metrics::families::{self, Family};
use crate::metrics::names;
use crate::metrics::text::{Sink, Value};
use crate::status::{Status, makes_progress};
use mainstay_os::segment::Segment;

/// Microseconds of a second.
const MILLION: f64 = 1e6;
/// Words of a label, by whether it is so.
const WORDS: [&str; 2] = ["false", "true"];

/// Appends all of it.
pub(super) fn expose(page: &mut dyn Sink, segment: &Segment, status: &Status) {
    exits(page, segment);
    readiness(page, segment);
    begin(page, &families::REQUESTS_BEGUN);
    for (protocol, cell) in names::PROTOCOLS.into_iter().zip(names::BEGUN..) {
        let begun = Value::Whole(segment.total(cell));
        one(page, &families::REQUESTS_BEGUN, &[("protocol", protocol)], begun);
    }
    of_processes(page, segment, status);
}

fn exits(page: &mut dyn Sink, segment: &Segment) {
    begin(page, &families::WORKER_EXITS);
    for (row, cell) in names::exit_cells() {
        let labels = [("planned", WORDS[usize::from(row.planned)]), ("reason", row.name)];
        one(page, &families::WORKER_EXITS, &labels, Value::Whole(segment.total(cell)));
    }
    begin(page, &families::WORKER_RESTARTS);
    for (word, cell) in WORDS.into_iter().zip(names::RESTARTS) {
        let restarts = Value::Whole(segment.total(cell));
        one(page, &families::WORKER_RESTARTS, &[("planned", word)], restarts);
    }
}

fn readiness(page: &mut dyn Sink, segment: &Segment) {
    let now = clock::mono();
    let ready = checks::state(segment, now) == State::Ready && makes_progress(segment, now);
    alone(page, &families::READY, Value::Whole(ready.into()));
    begin(page, &families::READINESS_ANSWERS);
    for (status, cell) in ["200", "503"].into_iter().zip(names::READINESS) {
        let answers = Value::Whole(segment.total(cell));
        one(page, &families::READINESS_ANSWERS, &[("status", status)], answers);
    }
    alone(page, &families::READINESS_RUN, Value::Whole(segment.header().bad_run()));
}

/// What the system must be asked for.
const OF_PROCESSES: [&Family; 10] = [
    &families::ROLE_CPU,
    &families::ROLE_MEMORY,
    &families::WORKER_FDS,
    &families::PROCESS_CPU,
    &families::PROCESS_MEMORY,
    &families::PROCESS_VIRTUAL,
    &families::PROCESS_FDS,
    &families::PROCESS_MAX_FDS,
    &families::PROCESS_THREADS,
    &families::PROCESS_START,
];

fn of_processes(page: &mut dyn Sink, segment: &Segment, status: &Status) {
    if !OF_PROCESSES.iter().any(|it| page.wants(it.name)) {
        return;
    }
    let parts = processes::look(segment);
    let roles =
        [("supervisor", parts.supervisor), ("watch", parts.watch), ("worker", parts.workers)];
    let seconds = |used: &Use| Value::Real(used.cpu as f64 / MILLION);
    begin(page, &families::ROLE_CPU);
    for (role, used) in &roles {
        one(page, &families::ROLE_CPU, &[("role", role)], seconds(used));
    }
    begin(page, &families::ROLE_MEMORY);
    for (role, used) in &roles {
        one(page, &families::ROLE_MEMORY, &[("role", role)], Value::Whole(used.resident));
    }
    begin(page, &families::WORKER_FDS);
    for (slot, fds) in &parts.worker_fds {
        let slot = slot.to_string();
        one(page, &families::WORKER_FDS, &[("slot", &slot)], Value::Whole(*fds));
    }
    let all = parts.supervisor.and(parts.watch).and(parts.workers);
    alone(page, &families::PROCESS_CPU, seconds(&all));
    alone(page, &families::PROCESS_MEMORY, Value::Whole(all.resident));
    alone(page, &families::PROCESS_VIRTUAL, Value::Whole(all.virtual_bytes));
    alone(page, &families::PROCESS_FDS, Value::Whole(all.fds));
    alone(page, &families::PROCESS_MAX_FDS, Value::Whole(all.max_fds));
    alone(page, &families::PROCESS_THREADS, Value::Whole(all.threads));
    alone(page, &families::PROCESS_START, Value::Real(status.started_unix_seconds));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::exits::Exit;
    use crate::metrics::text::{Format, Page};
    use mainstay_os::segment::Layout;

    #[test]
    fn every_reason_is_shown_from_the_start() {
        let (counters, metrics, ring_bytes) = (names::CELLS, names::CAPACITY, [64; 3]);
        let segment =
            Segment::on_heap(Layout { slots: 3, ring_bytes, metrics, ..Layout::small(counters) });
        segment.slot(1).unwrap().add(names::exit_cell(Exit::SigKill), 2);
        segment.slot(1).unwrap().add(names::RESTARTS[0], 2);
        let mut page = Page::new(Format::Prometheus);
        expose(&mut page, &segment, &Status::read(&segment, "shop", "1"));
        let page = page.finish();
        for line in [
            "mainstay_worker_exits_total{planned=\"false\",reason=\"sigkill\"} 2",
            "mainstay_worker_exits_total{planned=\"true\",reason=\"reload\"} 0",
            "mainstay_worker_restarts_total{planned=\"false\"} 2",
            "mainstay_worker_restarts_total{planned=\"true\"} 0",
            "mainstay_readiness_answers_total{status=\"503\"} 0",
            "mainstay_readiness_failures_in_a_row 0",
            "mainstay_http_requests_begun_total{protocol=\"1.0\"} 0",
            "mainstay_cpu_seconds_total{role=\"watch\"} 0",
            "mainstay_ready 0",
        ] {
            assert!(page.lines().any(|it| it == line), "{line}");
        }
    }
}
