//! The pod itself: its end, its ports, its rights, its memory, and where it writes.

use super::Workload;
use super::manifest::{bytes, cores, name_of, selects};
use super::settings::list;
use crate::config::units::{show_bytes, show_duration};
use crate::config::{Bind, Count, LogTarget, keys};
use crate::doctor::finding::Findings;
use crate::doctor::host::sqlite_file;
use crate::doctor::service::{END, drain_delay, is_loopback, workers};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the kubelet waits by default.
const GRACE: u64 = 30;
/// Where a user without a session has temporary files.
const TEMPORARY: &str = "/tmp";
/// Nodes take some seconds to learn that a pod goes.
const WITHDRAWN: Duration = Duration::from_secs(5);

pub(super) fn judge(work: &Workload<'_>, found: &mut Findings) {
    end(work, found);
    ports(work, found);
    rights(work, found);
    resources(work, found);
    places(work, found);
    secrets(work, found);
}

fn end(work: &Workload<'_>, found: &mut Findings) {
    let given = work.pod["spec"]["terminationGracePeriodSeconds"].as_u64();
    let hook = sleeps(&work.container["lifecycle"]["preStop"]);
    let (delay, grace) = (drain_delay(work.config, true), work.config.workers.grace);
    let needed =
        hook.unwrap_or_default().saturating_add(delay).saturating_add(grace).saturating_add(END);
    if Duration::from_secs(given.unwrap_or(GRACE)) < needed {
        let [needed, delay, grace, end] = [needed, delay, grace, END].map(show_duration);
        let given = given.map_or(format!("{GRACE} by default"), |it| it.to_string());
        let hook = hook.map_or_else(String::new, |it| format!("preStop {}, ", show_duration(it)));
        let what = format!(
            "terminationGracePeriodSeconds is {given}; a stop takes up to {needed}: {hook}health.drain_delay \
             {delay}, workers.grace {grace}, {end} for the log"
        );
        found.add("grace-too-short", &*work.subject, what);
    }
    if let Some(hook) = hook {
        let what = format!("Its preStop hook takes {}", show_duration(hook));
        found.add("prestop-sleeps", &*work.subject, what);
    }
    if delay < WITHDRAWN {
        let what = format!("health.drain_delay is {}", show_duration(delay));
        found.add("drain-too-short", &*work.subject, what);
    }
}

/// How long a hook sleeps.
fn sleeps(hook: &Value) -> Option<Duration> {
    if let Some(seconds) = hook["sleep"]["seconds"].as_u64() {
        return Some(Duration::from_secs(seconds));
    }
    let words = list(&hook["exec"]["command"]).filter_map(Value::as_str);
    let text = words.collect::<Vec<_>>().join(" ");
    let mut words = text.split(|it: char| it.is_whitespace() || it == ';');
    words.find(|it| it.ends_with("sleep"))?;
    words.next()?.trim_end_matches('s').parse().ok().map(Duration::from_secs)
}

fn ports(work: &Workload<'_>, found: &mut Findings) {
    let server = &work.config.server;
    let closed = |it: &Bind| matches!(it, Bind::Tcp { host, .. } if is_loopback(host));
    if server.bind.iter().all(closed) {
        let what = format!("server.bind is {}", server.bind[0]);
        found.add("loopback-bind", &*work.subject, what);
    }
    let probes = ["readinessProbe", "livenessProbe", "startupProbe"];
    let asked = probes.iter().any(|name| {
        work.port_of(&work.container[*name]["httpGet"]["port"])
            .is_some_and(|it| Some(it) == work.admin())
    });
    if let Some(admin) = server.admin.as_ref().filter(|it| asked && closed(it)) {
        let what = format!("server.admin is {admin}, and a probe asks there");
        found.add("loopback-bind", &*work.subject, what);
    }
    for service in work.all.of(&["Service"]) {
        if !selects(&service["spec"]["selector"], work.labels()) {
            continue;
        }
        for port in list(&service["spec"]["ports"]) {
            let target = port.get("targetPort").unwrap_or(&port["port"]);
            let number = work.port_of(target);
            if !number.is_some_and(|it| work.ports().contains(&it) || Some(it) == work.admin()) {
                let what = format!("It sends to port {target}; server.bind has {:?}", work.ports());
                found.add("service-sends-elsewhere", name_of(service), what);
            }
        }
    }
}

fn rights(work: &Workload<'_>, found: &mut Findings) {
    let (own, all) = (&work.container["securityContext"], &work.pod["spec"]["securityContext"]);
    let either = |key: &str| own.get(key).or_else(|| all.get(key));
    let is_user = either("runAsUser").and_then(Value::as_u64).is_some_and(|it| it > 0);
    if !is_user && either("runAsNonRoot") != Some(&Value::Bool(true)) {
        found.add("runs-as-root", &*work.subject, "Nothing says that it must not");
    }
    if own["readOnlyRootFilesystem"] != true {
        found.add("writable-root", &*work.subject, "readOnlyRootFilesystem is not true");
    }
    let drops = list(&own["capabilities"]["drop"]).any(|it| it == "ALL");
    if own["allowPrivilegeEscalation"] != false || !drops {
        let what = "allowPrivilegeEscalation is not false, or not ALL capabilities are dropped";
        found.add("rights-to-spare", &*work.subject, what);
    }
}

fn resources(work: &Workload<'_>, found: &mut Findings) {
    let limits = &work.container["resources"]["limits"];
    let cpu = limits.get("cpu").and_then(cores);
    if work.config.workers.count == Count::Auto && cpu.is_none() {
        let what = "workers.count is auto, and no CPU limit is set";
        found.add("workers-by-the-node", &*work.subject, what);
    }
    let Some(limit) = limits.get("memory").and_then(bytes) else {
        return found.add("no-memory-limit", &*work.subject, "resources.limits.memory is not set");
    };
    let workers = workers(work.config.workers.count, cpu.unwrap_or(1));
    if let Some(each) = work.config.workers.max_rss.filter(|it| it.saturating_mul(workers) > limit)
    {
        let [each, limit] = [each, limit].map(show_bytes);
        let what = format!("{workers} workers of up to {each} each, and {limit} in all");
        found.add("memory-is-promised-twice", &*work.subject, what);
    }
}

/// Where it writes, by the key that says so.
fn written(work: &Workload<'_>) -> Vec<(&'static str, PathBuf)> {
    let config = work.config;
    let mut all = Vec::new();
    for (key, target) in [("log.access", &config.log.access), ("log.error", &config.log.error)] {
        if let LogTarget::File(path) = target {
            all.push((key, path.clone()));
        }
    }
    // Without a place of its own the socket is among temporary files, as for any user but root.
    let control = config.server.control.clone();
    let control = control.unwrap_or_else(|| PathBuf::from(TEMPORARY).join("mainstay/service.sock"));
    all.push(("server.control", control));
    let url = config.database.url.as_ref().and_then(|it| sqlite_file(it.expose()));
    let more = [
        ("server.pidfile", config.server.pidfile.clone()),
        ("server.uploads", config.server.uploads.clone()),
        ("alerts.state", config.alerts.state.clone()),
        ("telemetry.spool", config.telemetry.spool.clone()),
        ("database.url", url.map(PathBuf::from)),
    ];
    all.extend(more.into_iter().filter_map(|(key, path)| Some((key, path?))));
    let home = work.container["workingDir"].as_str().unwrap_or("/");
    all.into_iter().map(|(key, path)| (key, Path::new(home).join(path))).collect()
}

fn places(work: &Workload<'_>, found: &mut Findings) {
    let read_only = work.container["securityContext"]["readOnlyRootFilesystem"] == true;
    let mounts = || list(&work.container["volumeMounts"]);
    for (key, path) in written(work) {
        let is_mounted = mounts().any(|it| {
            it["readOnly"] != true
                && it["mountPath"].as_str().is_some_and(|at| path.starts_with(at))
        });
        if is_mounted {
            continue;
        }
        let shown = path.display();
        if read_only {
            let what = format!("{key} is {shown}, and no writable volume is mounted there");
            found.add("read-only-place", &*work.subject, what);
        } else if key.starts_with("log.") {
            let what = format!("{key} is {shown}, and no volume is mounted there");
            found.add("log-in-the-container", &*work.subject, what);
        }
    }
}

/// Secrets whose values the manifests say; they are not shown.
fn secrets(work: &Workload<'_>, found: &mut Findings) {
    let is_secret = |name: &str| {
        let mut known = keys::all().filter(|key| key.secret);
        known.any(|key| key.variable() == name || key.aliases.iter().any(|it| it.var == name))
            || ["PASSWORD", "SECRET", "TOKEN"].iter().any(|word| name.ends_with(word))
    };
    for variable in list(&work.container["env"]) {
        let (name, value) = (variable["name"].as_str(), variable["value"].as_str());
        let (Some(name), Some(value)) = (name, value.filter(|it| !it.is_empty())) else { continue };
        if is_secret(name) && sqlite_file(value).is_none() {
            let what = format!("The value of {name} stands in it");
            found.add("secret-in-the-manifest", &*work.subject, what);
        }
    }
    for entry in work.config.effective().iter().filter(|it| it.holds_secret()) {
        if let Some(file) = entry.file() {
            let what = format!("{} stands in {}", entry.key.path, file.display());
            found.add("secret-in-the-manifest", &*work.subject, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_hook_that_sleeps_is_known_in_its_forms() {
        for (hook, expected) in [
            (json!({ "sleep": { "seconds": 7 } }), Some(7)),
            (json!({ "exec": { "command": ["sleep", "10"] } }), Some(10)),
            (json!({ "exec": { "command": ["sh", "-c", "/bin/sleep 15s; true"] } }), Some(15)),
            (json!({ "exec": { "command": ["true"] } }), None),
            (Value::Null, None),
        ] {
            assert_eq!(sleeps(&hook), expected.map(Duration::from_secs), "{hook}");
        }
    }
}
