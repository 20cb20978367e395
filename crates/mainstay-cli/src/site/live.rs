//! What the running service itself says of its components.

use crate::site::state::State;
use crate::site::store::component::{Component, Source};
use mainstay::{CheckStatus, Status};

/// The rules about the web service as a whole.
const OF_SERVICE: [&str; 7] = [
    "not_ready",
    "crash_loop",
    "pool_exhausted",
    "high_5xx*",
    "worker_restarts",
    "listener_silent",
    "monitoring_gap",
];

/// How a component is measured to be.
pub(crate) fn measured(component: &Component, status: &Status) -> State {
    match &component.source {
        Source::Nobody => component.set_state,
        Source::Service => of_service(status),
        Source::Check(name) => of_check(name, status),
        Source::Probe(name) => of_probe(name, status),
    }
}

fn of_service(status: &Status) -> State {
    let ready = status.workers.iter().filter(|worker| worker.state == "ready").count() as u64;
    match status.state {
        "starting" => State::Unknown,
        _ if ready == 0 => State::Down,
        // A check on which the service depends fails, or a worker is missing.
        "degraded" => State::Degraded,
        _ if ready < status.target => State::Degraded,
        _ => State::Operational,
    }
}

fn of_check(name: &str, status: &Status) -> State {
    let Some(check) = status.checks.iter().find(|check| check.name == name) else {
        return State::Unknown;
    };
    match check.reason {
        "unknown" | "stale" => State::Unknown,
        _ if check.healthy => State::Operational,
        _ if check.critical => State::Down,
        _ => State::Degraded,
    }
}

fn of_probe(name: &str, status: &Status) -> State {
    match status.probes.iter().find(|probe| probe.name == name).map(|probe| probe.state) {
        Some("up") => State::Operational,
        Some("down") => State::Down,
        _ => State::Unknown,
    }
}

/// What chooses the alerts that are about a component, each by itself.
pub(crate) fn alerts(component: &Component, status: &Status) -> Vec<String> {
    match &component.source {
        Source::Nobody => Vec::new(),
        Source::Service => OF_SERVICE.iter().map(|rule| format!("rule={rule}")).collect(),
        Source::Probe(name) => vec![format!("probe={name}")],
        Source::Check(name) => {
            let is_critical = |it: &&CheckStatus| it.name == *name && it.critical;
            // While such a check fails the service is not ready.
            let ready = status.checks.iter().find(is_critical);
            let ready = ready.map(|_| "rule=not_ready".to_owned());
            // A pool is a check of the same name.
            [format!("pool={name}")].into_iter().chain(ready).collect()
        }
    }
}

/// What the service is made of: id, name and source of each component that it has by itself.
pub(crate) fn parts(status: &Status) -> Vec<(String, String, Source)> {
    let mut parts = vec![("service".to_owned(), "Web service".to_owned(), Source::Service)];
    for check in &status.checks {
        let id: String = check
            .name
            .to_lowercase()
            .chars()
            .map(|it| if it.is_ascii_alphanumeric() { it } else { '-' })
            .take(48)
            .collect();
        parts.push((id, titled(&check.name), Source::Check(check.name.clone())));
    }
    // Those of the service's own say what its workers say.
    for probe in status.probes.iter().filter(|probe| !probe.own) {
        parts.push((
            format!("probe-{}", probe.name),
            titled(&probe.name),
            Source::Probe(probe.name.clone()),
        ));
    }
    parts
}

/// `database` as people write it: `Database`.
fn titled(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|it| it.to_uppercase().collect::<String>());
    format!("{}{}", first.unwrap_or_default(), letters.as_str())
}
