//! Probes: what they ask, where, and how long they have patience.

use super::Workload;
use super::settings::list;
use crate::config::units::show_duration;
use crate::doctor::finding::Findings;
use serde_json::Value;
use std::time::Duration;

/// A probe, with the kubelet's defaults.
struct Probe<'a> {
    asks: Asks<'a>,
    timeout: Duration,
    /// From its first failure, and from the start, until the kubelet acts.
    budget: Duration,
    from_start: Duration,
}

enum Asks<'a> {
    Http {
        path: &'a str,
        port: &'a Value,
    },
    /// `health` or `health --ready` of the program itself.
    Itself {
        ready: bool,
    },
    Other,
}

fn probe<'a>(work: &Workload<'a>, name: &str) -> Option<Probe<'a>> {
    let value = work.container.get(name).filter(|it| it.is_object())?;
    let number = |key: &str, default| value[key].as_u64().unwrap_or(default);
    let budget = Duration::from_secs(
        number("periodSeconds", 10).saturating_mul(number("failureThreshold", 3)),
    );
    let http = &value["httpGet"];
    let asks = match http["path"].as_str() {
        Some(path) => Asks::Http { path, port: &http["port"] },
        None if http.is_object() => Asks::Http { path: "/", port: &http["port"] },
        None => {
            let words: Vec<_> = list(&value["exec"]["command"]).filter_map(Value::as_str).collect();
            match words.contains(&"health") {
                true => Asks::Itself { ready: words.contains(&"--ready") },
                false => Asks::Other,
            }
        }
    };
    Some(Probe {
        asks,
        timeout: Duration::from_secs(number("timeoutSeconds", 1)),
        budget,
        from_start: budget.saturating_add(Duration::from_secs(number("initialDelaySeconds", 0))),
    })
}

pub(super) fn judge(work: &Workload<'_>, found: &mut Findings) {
    let [readiness, liveness, startup] =
        ["readinessProbe", "livenessProbe", "startupProbe"].map(|name| probe(work, name));
    let of = |name: &str| format!("{}: {name}", work.subject);
    match &readiness {
        None => {
            found.add("no-readiness-probe", &*work.subject, "Its container has no readinessProbe");
        }
        Some(probe) => {
            place(work, probe, of("readinessProbe"), &[&work.config.health.ready_path], found);
            let [limit, checks] = [probe.timeout, work.config.health.check_timeout];
            if limit <= checks {
                let [limit, checks] = [limit, checks].map(show_duration);
                let what = format!("timeoutSeconds is {limit}, health.check_timeout {checks}");
                found.add("probe-times-out-first", of("readinessProbe"), what);
            }
        }
    }
    match &liveness {
        None => {
            found.add("no-liveness-probe", &*work.subject, "Its container has no livenessProbe");
        }
        Some(probe) => alive(work, probe, startup.is_some(), found),
    }
    if let Some(probe) = &startup {
        let health = &work.config.health;
        place(work, probe, of("startupProbe"), &[&health.live_path, &health.ready_path], found);
        let waits_for_boot = match probe.asks {
            Asks::Http { path, port } => {
                path == health.ready_path || work.port_of(port) != work.admin()
            }
            Asks::Itself { ready } => ready,
            Asks::Other => false,
        };
        if waits_for_boot {
            boot(work, probe.from_start, of("startupProbe"), found);
        }
    }
}

/// What liveness asks: it must not restart what heals itself, nor what is merely busy.
fn alive(work: &Workload<'_>, probe: &Probe<'_>, has_startup: bool, found: &mut Findings) {
    let subject = format!("{}: livenessProbe", work.subject);
    let health = &work.config.health;
    match probe.asks {
        Asks::Http { path, .. } if path == health.ready_path => {
            found.add("liveness-asks-for-readiness", &*subject, format!("It asks for {path}"));
        }
        Asks::Itself { ready: true } => {
            found.add("liveness-asks-for-readiness", &*subject, "It runs health --ready");
        }
        _ => place(work, probe, subject.clone(), &[&health.live_path], found),
    }
    if let Asks::Http { port, .. } = probe.asks
        && let Some(port) = work.port_of(port).filter(|it| work.ports().contains(it))
    {
        let what = format!("It asks port {port}, where the application answers");
        found.add("liveness-of-the-application", &*subject, what);
        if !has_startup {
            boot(work, probe.from_start, subject.clone(), found);
        }
    }
    if let Some(timeout) = work.config.workers.timeout.filter(|it| probe.budget <= *it) {
        let [budget, timeout] = [probe.budget, timeout].map(show_duration);
        let what = format!("It gives up after {budget}, workers.timeout is {timeout}");
        found.add("liveness-too-quick", subject, what);
    }
}

/// Whether a probe that fails until the first worker is ready has the patience.
fn boot(work: &Workload<'_>, budget: Duration, subject: String, found: &mut Findings) {
    let needed = work.config.workers.boot_timeout;
    if budget <= needed {
        let [budget, needed] = [budget, needed].map(show_duration);
        let what =
            format!("It gives up {budget} after the start, workers.boot_timeout is {needed}");
        found.add("startup-too-quick", subject, what);
    }
}

/// Whether somebody answers where a probe asks, and what it wants to know.
fn place(
    work: &Workload<'_>,
    probe: &Probe<'_>,
    subject: String,
    paths: &[&String],
    found: &mut Findings,
) {
    let Asks::Http { path, port } = probe.asks else { return };
    let number = work.port_of(port);
    if !number.is_some_and(|it| work.ports().contains(&it) || work.admin() == Some(it)) {
        let (ports, admin) = (work.ports(), work.admin());
        let admin = admin.map_or("none".to_owned(), |it| it.to_string());
        let what = format!("It asks port {port}; server.bind has {ports:?}, server.admin {admin}");
        found.add("probe-of-another-port", &*subject, what);
    }
    // On the admin listener single checks stand below it.
    let fits = |it: &&&String| {
        let rest = path.strip_prefix(it.as_str());
        rest.is_some_and(|it| it.is_empty() || it.starts_with(['/', '?']))
    };
    if !paths.iter().any(|it| fits(&it)) {
        let wanted: Vec<_> = paths.iter().map(|it| it.as_str()).collect();
        let what = format!("It asks for {path}, not for {}", wanted.join(" or "));
        found.add("probe-of-another-path", subject, what);
    }
}
