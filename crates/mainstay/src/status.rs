//! What is going on, as status output, the console and the built-in site show it: one snapshot of
//! the segment.

use crate::clock::{self, Mono};
use crate::health::checks::{self, Checkpoint};
use crate::metrics::{families, label, names};
use mainstay_os::segment::{Kind, Phase, Segment, Slot};
use std::time::Duration;

/// The service at one moment.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Status {
    /// The service's name.
    pub name: String,
    /// The application's version, as it says itself.
    pub version: String,
    /// The generation that serves: 1 at start, one more with each reload.
    pub generation: u64,
    /// `starting`, `ready`, `degraded`, `draining` or `stopped`.
    pub state: &'static str,
    /// Since the service started, over reloads and upgrades, seconds.
    pub uptime_seconds: f64,
    /// When it started, seconds since the Unix epoch.
    pub started_unix_seconds: f64,
    /// Pid of the supervisor.
    pub supervisor_pid: u32,
    /// Pid of watch, while it runs.
    pub watch_pid: Option<u32>,
    /// Workers that should be ready.
    pub target: u64,
    /// Requests that ended since the service started, in all workers that ever were.
    pub requests: u64,
    /// Requests being served now.
    pub in_flight: u64,
    /// Workers that exist now, in the order of their slots.
    pub workers: Vec<WorkerStatus>,
    /// What is checked for readiness.
    pub checks: Vec<CheckStatus>,
    /// What is probed, by name.
    pub probes: Vec<ProbeStatus>,
    /// The pools of database connections, all workers together.
    #[cfg(feature = "database")]
    pub pools: Vec<crate::db::PoolStatus>,
}

/// One check at that moment.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct CheckStatus {
    /// Its name.
    pub name: String,
    /// `application`, `sqlite`, `postgres` or `mysql`.
    pub kind: &'static str,
    /// The service is not ready while it fails.
    pub critical: bool,
    /// Whether it is well.
    pub healthy: bool,
    /// Its last result: `ok`, or why it failed; `stale` when that is too old to count, `unknown`
    /// before the first.
    pub reason: &'static str,
    /// Since the last result, seconds; none before the first.
    pub age_seconds: Option<f64>,
    /// How long the last one took, seconds.
    pub took_seconds: f64,
    /// Since it is as well, or as ill, as it is: seconds.
    pub since_seconds: f64,
    /// Failures in a row up to now.
    pub failures_in_a_row: u32,
    /// Good results since the service started.
    pub successes: u64,
    /// Other results since the service started.
    pub failures: u64,
}

/// One probe at that moment, as watch has found it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct ProbeStatus {
    /// Its name.
    pub name: String,
    /// `up`, `down`, or `unknown` while nobody knows, or watch does not say.
    pub state: &'static str,
    /// Whether it asks for one of the service's own endpoints.
    pub own: bool,
}

/// One worker at that moment.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// Its place in the segment.
    pub slot: usize,
    /// Its process.
    pub pid: u32,
    /// The generation it runs.
    pub generation: u64,
    /// `booting`, `ready`, `draining` or `dying`.
    pub state: &'static str,
    /// Since it was started, seconds.
    pub age_seconds: f64,
    /// Requests it has served to their end.
    pub requests: u64,
    /// Requests it serves now.
    pub in_flight: u64,
    /// Connections it has open.
    pub connections: u64,
    /// Its resident memory at the last heartbeat, bytes.
    pub rss_bytes: u64,
    /// Since its last heartbeat, seconds; since its start before the first.
    pub heartbeat_age_seconds: f64,
}

/// One request in flight.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct RequestStatus {
    pub(crate) pid: u32,
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) age_seconds: f64,
    pub(crate) peer: Option<String>,
}

/// Watch says every five seconds how a probe is; what is older is not known.
const PROBE_AGE: Duration = Duration::from_secs(20);
/// And what is as old as this is no probe any more.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// Slots for processes that are not workers: the supervisor's and watch's, behind all others.
pub(crate) const OTHER_SLOTS: usize = 2;

/// The slots of workers.
pub(crate) fn worker_slots(segment: &Segment) -> impl Iterator<Item = (usize, Slot<'_>)> {
    let workers = segment.layout().slots.saturating_sub(OTHER_SLOTS);
    segment.slots().enumerate().take(workers)
}

impl Status {
    /// Reads the segment.
    pub(crate) fn read(segment: &Segment, name: &str, version: &str) -> Status {
        let now = clock::mono();
        let header = segment.header();
        let workers: Vec<_> = worker_slots(segment)
            .filter(|(_, slot)| slot.phase() != Phase::Free && slot.pid() != 0)
            .map(|(index, slot)| WorkerStatus::read(index, slot, now))
            .collect();
        Status {
            name: name.to_owned(),
            version: version.to_owned(),
            generation: header.generation(),
            state: checks::state(segment, now).as_str(),
            uptime_seconds: now.since(Mono(header.started_mono())).as_secs_f64(),
            started_unix_seconds: header.started_wall() as f64 / 1e9,
            supervisor_pid: u32::try_from(header.supervisor_pid()).unwrap_or(0),
            watch_pid: u32::try_from(header.watch_pid()).ok().filter(|pid| *pid != 0),
            target: header.target(),
            requests: segment.total(names::REQUESTS),
            in_flight: workers.iter().map(|worker| worker.in_flight).sum(),
            workers,
            checks: checks::wanted(segment, header.generation())
                .map(|check| CheckStatus::read(&check, now))
                .collect(),
            probes: probes(segment, now),
            #[cfg(feature = "database")]
            pools: checks::wanted(segment, header.generation())
                .filter_map(|check| crate::db::PoolStatus::read(segment, &check))
                .collect(),
        }
    }
}

/// The probes, from what watch shows of them.
fn probes(segment: &Segment, now: Mono) -> Vec<ProbeStatus> {
    let register = segment.register();
    let name = families::PROBE_UP.name.as_bytes();
    let Some((metric, _)) = register.metrics().find(|(_, it)| it.name() == name) else {
        return Vec::new();
    };
    let Some(watch) = segment.slot(segment.layout().slots.saturating_sub(1)) else {
        return Vec::new();
    };
    let series = register.series(Kind::Gauge).filter(|series| series.metric == metric);
    let mut found: Vec<_> = series
        .filter_map(|series| {
            let gauge = watch.measures().read_gauge(series.index)?;
            let labels = label::parse(&String::from_utf8_lossy(&series.labels));
            let (_, name) = labels.into_iter().find(|(name, _)| name == "probe")?;
            let age = now.since(Mono(gauge.set_at));
            // Nobody says it any more: it is not probed, or watch has been away for long.
            if age > FORGOTTEN {
                return None;
            }
            let state = match gauge.value {
                _ if age > PROBE_AGE => "unknown",
                1.0 => "up",
                0.0 => "down",
                _ => "unknown",
            };
            let own = is_own(&name);
            Some(ProbeStatus { name, state, own })
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// `healthz`, `readyz-2`: what the service's own probes are called, and no other.
fn is_own(name: &str) -> bool {
    let is_number = |rest: &str| rest.strip_prefix('-').is_some_and(|it| it.parse::<u16>().is_ok());
    let rests = ["healthz", "readyz"].into_iter().filter_map(|own| name.strip_prefix(own));
    rests.into_iter().any(|rest| rest.is_empty() || is_number(rest))
}

impl CheckStatus {
    fn read(check: &Checkpoint<'_>, now: Mono) -> CheckStatus {
        let health = check.health(now);
        let reason = match health.reason {
            None => "unknown",
            Some(_) if health.stale => "stale",
            Some(reason) => reason.as_str(),
        };
        CheckStatus {
            name: check.name(),
            kind: check.nature.kind.as_str(),
            critical: check.nature.critical,
            healthy: health.healthy,
            reason,
            age_seconds: health.last.map(|last| now.since(last).as_secs_f64()),
            took_seconds: health.took.as_secs_f64(),
            since_seconds: now.since(health.since).as_secs_f64(),
            failures_in_a_row: health.run,
            successes: health.oks,
            failures: health.failures,
        }
    }
}

/// The status as JSON, with the totals of all counters and events over all processes.
pub(crate) fn to_json(segment: &Segment, name: &str, version: &str) -> serde_json::Value {
    let status = Status::read(segment, name, version);
    let mut value = serde_json::to_value(status).expect("a status is plain JSON");
    value["counters"] = totals(segment, names::counter_cells());
    value["events"] = totals(segment, names::event_cells());
    value
}

fn totals(
    segment: &Segment,
    cells: impl Iterator<Item = (&'static str, usize)>,
) -> serde_json::Value {
    let totals = cells.map(|(name, cell)| (name.to_owned(), segment.total(cell).into()));
    serde_json::Value::Object(totals.collect())
}

impl WorkerStatus {
    fn read(index: usize, slot: Slot<'_>, now: Mono) -> WorkerStatus {
        let spawned = Mono(slot.spawned());
        WorkerStatus {
            slot: index,
            pid: slot.pid(),
            generation: slot.generation(),
            state: slot.phase().as_str(),
            age_seconds: now.since(spawned).as_secs_f64(),
            requests: slot.counter(names::REQUESTS).saturating_sub(slot.served_before()),
            in_flight: slot.gauge_in_flight(),
            connections: slot.gauge_connections(),
            rss_bytes: slot.rss_bytes(),
            heartbeat_age_seconds: now.since(Mono(slot.heartbeat()).max(spawned)).as_secs_f64(),
        }
    }
}

/// The requests in flight in one slot.
pub(crate) fn requests_of(slot: Slot<'_>, now: Mono) -> Vec<RequestStatus> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let table = slot.in_flight();
    table
        .iter()
        .map(|request| RequestStatus {
            pid: slot.pid(),
            id: text(&request.id),
            method: if request.partial { "?".into() } else { text(&request.method) },
            path: if request.partial { "?".into() } else { text(&request.path) },
            age_seconds: if request.partial {
                0.0
            } else {
                now.since(Mono(request.started)).as_secs_f64()
            },
            peer: request.peer.map(|peer| peer.to_string()),
        })
        .collect()
}

/// Whether any ready worker has given a sign of life within three intervals.
pub(crate) fn makes_progress(segment: &Segment, now: Mono) -> bool {
    let interval = std::time::Duration::from_nanos(segment.header().heartbeat_interval());
    let mut ready =
        worker_slots(segment).filter(|(_, slot)| slot.phase() == Phase::Ready).peekable();
    // Nobody ready is a matter of the state; progress is about those who should make it.
    ready.peek().is_none()
        || ready.any(|(_, slot)| {
            let beat = Mono(slot.heartbeat().max(slot.ready_at()).max(slot.spawned()));
            now.since(beat) <= interval * 3
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Merge;
    use crate::metrics::registry::Metrics;
    use mainstay_os::segment::Layout;

    #[test]
    fn a_probe_is_as_watch_said_of_late_and_not_known_when_it_says_no_more() {
        let (counters, metrics, ring_bytes) = (names::CELLS, names::CAPACITY, [64; 3]);
        let segment =
            Segment::on_heap(Layout { slots: 3, ring_bytes, metrics, ..Layout::small(counters) });
        assert!(probes(&segment, clock::mono()).is_empty());
        let metrics = Metrics::new(segment.clone(), 2, |_| {});
        for (name, value) in [("site", 1.0), ("db", 0.0), ("far", f64::NAN), ("readyz-2", 1.0)] {
            let labels = [("probe", name)];
            metrics.own_gauge(&families::PROBE_UP, Merge::Last, &labels).unwrap().set(value);
        }
        let now = clock::mono();
        let states = |at: Mono| -> Vec<_> {
            probes(&segment, at).into_iter().map(|it| (it.name, it.state, it.own)).collect()
        };
        let found = states(now);
        let found: Vec<_> =
            found.iter().map(|(name, state, own)| (&**name, *state, *own)).collect();
        let expected = [
            ("db", "down", false),
            ("far", "unknown", false),
            ("readyz-2", "up", true),
            ("site", "up", false),
        ];
        assert_eq!(found, expected);
        let later = states(now + PROBE_AGE * 2);
        assert!(later.len() == 4 && later.iter().all(|(_, state, _)| *state == "unknown"));
        assert!(states(now + FORGOTTEN * 2).is_empty());
        assert!(!is_own("readyz-x") && !is_own("healthzone") && is_own("healthz"));
    }
}
