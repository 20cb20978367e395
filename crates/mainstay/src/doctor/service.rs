//! Judging a service: its configuration against what is known of its host and of itself. Pure.

use super::finding::Findings;
use super::host::Host;
use super::rules::SERVICE;
use crate::config::units::{show_bytes, show_duration};
use crate::config::{AutoDuration, Bind, Config, Count, LogTarget};
use std::time::Duration;

/// What the end of watch, and of the log, may take besides.
pub(crate) const END: Duration = Duration::from_secs(5);
/// Descriptors of a worker besides connections.
const OTHER_FILES: u64 = 64;
/// Memory below which a worker with an application is cramped.
const CRAMPED: u64 = 32 << 20;

/// Everything that is found.
pub(crate) fn judge(config: &Config, host: &Host) -> Findings {
    let mut found = Findings::new(SERVICE);
    let workers = workers(config.workers.count, host.cores);
    time(config, host.kubernetes, &mut found);
    processes(config, host, workers, &mut found);
    database(config, host, workers, &mut found);
    listeners(config, host, &mut found);
    told(config, &mut found);
    kept(host, &mut found);
    running(config, host, workers, &mut found);
    for warning in &config.warnings {
        found.add("configuration-warns", "configuration", warning.clone());
    }
    found
}

pub(crate) fn workers(count: Count, cores: usize) -> u64 {
    match count {
        Count::Fixed(count) => count.into(),
        Count::Auto => cores as u64,
    }
}

/// The delay of a stop, as a service that is no terminal's has it.
pub(crate) fn drain_delay(config: &Config, kubernetes: bool) -> Duration {
    match config.health.drain_delay {
        AutoDuration::Fixed(delay) => delay,
        AutoDuration::Auto => Duration::from_secs(if kubernetes { 10 } else { 5 }),
    }
}

fn time(config: &Config, kubernetes: bool, found: &mut Findings) {
    let (delay, grace) = (drain_delay(config, kubernetes), config.workers.grace);
    let [all, delay, end] = [delay + grace + END, delay, END].map(show_duration);
    let grace_text = show_duration(grace);
    let what = format!(
        "A stop takes up to {all}: health.drain_delay {delay}, workers.grace {grace_text}, and {end} for the log"
    );
    found.add("stop-budget", "workers.grace", what);
    match config.http.request_timeout {
        Some(limit) if limit <= grace => {}
        limit => {
            let limit = limit.map_or("none".to_owned(), show_duration);
            let what = format!("http.request_timeout is {limit}, workers.grace is {grace_text}");
            found.add("requests-outlive-grace", "workers.grace", what);
        }
    }
    if config.workers.timeout.is_none() {
        found.add("hung-workers-stay", "workers.timeout", "It is 0s: never");
    }
}

fn processes(config: &Config, host: &Host, workers: u64, found: &mut Findings) {
    let count = config.workers.count;
    if workers == 1 {
        found.add("one-worker", "workers.count", "There is one worker");
    }
    let cores = host.cores as u64;
    if count != Count::Auto && workers > 2 * cores + 1 {
        let what = format!("{workers} workers, {cores} cores");
        found.add("more-workers-than-cores", "workers.count", what);
    }
    if host.root {
        found.add(
            "runs-as-root",
            "user",
            "doctor runs as root; so would a service that is started as it",
        );
    }
    if host.in_step == Some(false) {
        found.add("clock-is-free", "clock", "The kernel says that nothing keeps it in step");
    }
    let backlog = u64::from(config.server.backlog);
    if let Some(most) = host.somaxconn.filter(|most| *most < backlog) {
        let what = format!("server.backlog is {backlog}, the kernel's somaxconn {most}");
        found.add("backlog-is-capped", "server.backlog", what);
    }
    let connections = config.http.max_connections;
    if let Some(most) = host.files
        && connections.is_none_or(|it| it + OTHER_FILES > most)
    {
        let wanted = connections.map_or("no limit".to_owned(), |it| it.to_string());
        let what = format!("A process may open {most} files; http.max_connections is {wanted}");
        found.add("files-run-out", "http.max_connections", what);
    }
    let Some(limit) = host.memory else { return };
    let shown = show_bytes(limit);
    match config.workers.max_rss {
        Some(each) if each.saturating_mul(workers) > limit => {
            let each = show_bytes(each);
            let what = format!("{workers} workers of up to {each} each, and {shown} in all");
            found.add("memory-is-promised-twice", "workers.max_rss", what);
        }
        _ if limit / workers.max(1) < CRAMPED => {
            found.add("memory-is-short", "cgroup", format!("{shown} for {workers} workers"));
        }
        _ => {}
    }
}

fn database(config: &Config, host: &Host, workers: u64, found: &mut Findings) {
    let database = &config.database;
    let url = database.url.as_ref().map_or("", |it| it.expose());
    if url.starts_with("sqlite:") && database.hosts > 1 {
        let what =
            format!("database.hosts is {}, and the database a file of SQLite", database.hosts);
        found.add("sqlite-on-several-hosts", "database.url", what);
    }
    match &host.database {
        None => {}
        Some(Err(why)) => found.add("database-not-asked", "database.url", why.clone()),
        Some(Ok(limit)) => {
            let (limit, hosts) = (u64::from(*limit), u64::from(database.hosts));
            let each = match database.pool {
                Count::Fixed(count) => count.into(),
                // A fifth is left to others, but a pool of nothing there is not.
                Count::Auto => (limit * 8 / 10 / (hosts * workers.max(1))).clamp(1, 10),
            };
            // A reload boots one worker more; hosts do so one after the other.
            let all = each * (hosts * workers + 1);
            if all > limit {
                let what = format!(
                    "Up to {all} connections ({each} for each of {workers} workers on {hosts} hosts, and for one \
                     more during a reload); the server takes {limit}"
                );
                found.add("pools-exceed-database", "database.pool", what);
            }
        }
    }
}

fn listeners(config: &Config, host: &Host, found: &mut Findings) {
    let proxy = &config.proxy;
    for network in proxy.trusted.split(',').map(str::trim) {
        let Some((address, prefix)) = network.split_once('/') else { continue };
        let least = if address.contains(':') { 16 } else { 8 };
        // fc00::/7 are private addresses alone.
        if prefix.parse::<u8>().is_ok_and(|it| it < least) && !address.starts_with("fc") {
            found.add("trust-is-wide", "proxy.trusted", format!("{network} is trusted"));
        }
    }
    let open = |it: &&Bind| matches!(it, Bind::Tcp { host, .. } if !is_loopback(host));
    let only_own = ["127.0.0.1,::1", "127.0.0.1", "::1", "loopback", ""];
    if let Some(bind) = config.server.bind.iter().find(open)
        && only_own.contains(&proxy.trusted.as_str())
    {
        let what = format!("Others reach {bind}, and no proxy but of this host is trusted");
        found.add("trust-is-off", "proxy.trusted", what);
    }
    if let Some(bind) = config.server.admin.as_ref().filter(open)
        && !host.kubernetes
    {
        found.add("admin-is-open", "server.admin", format!("It is bound to {bind}"));
    }
    if let Some(directory) = &host.open_control {
        let what = format!("Everybody may write to {}", directory.display());
        found.add("control-socket-is-open", "server.control", what);
    }
}

/// Whether only processes of the same host reach it.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|it| it.is_loopback())
}

fn told(config: &Config, found: &mut Findings) {
    let alerts = &config.alerts;
    if !alerts.enabled {
        found.add("alerts-are-off", "alerts.enabled", "It is false");
    } else if alerts.receivers.is_none() {
        found.add("nobody-is-told", "alerts.receivers", "It is empty");
    } else if alerts.dry_run {
        found.add("alerts-are-not-delivered", "alerts.dry_run", "It is true");
    }
    if config.heartbeat.url.is_none() {
        found.add("death-is-silent", "heartbeat.url", "It is empty");
    }
    for (key, target) in [("log.access", &config.log.access), ("log.error", &config.log.error)] {
        if *target == LogTarget::Nowhere {
            found.add("log-goes-nowhere", key, "It is empty");
        }
    }
}

fn kept(host: &Host, found: &mut Findings) {
    for place in &host.places {
        let path = place.path.display();
        let percent = place.used * 100.0;
        let what = format!("The file system of {path} is {percent:.0} % full");
        match place.used {
            _ if !place.is_there => {
                found.add("directory-missing", place.key, format!("{path} is not there"));
            }
            0.95.. => found.add("disk-full", place.key, what),
            0.8.. => found.add("disk-nearly-full", place.key, what),
            _ => {}
        }
        if place.in_memory {
            found.add("kept-in-memory", place.key, format!("{path} is a file system in memory"));
        }
    }
    for (key, path, everybody) in &host.secrets {
        let path = path.display();
        // What Kubernetes mounts is readable within the container alone.
        if *everybody && !host.kubernetes {
            found.add("secret-is-readable", *key, format!("Everybody may read {path}"));
        }
        if !key.ends_with("_file") {
            found.add("secret-stands-in-the-file", *key, format!("It stands in {path}"));
        }
    }
}

fn running(config: &Config, host: &Host, workers: u64, found: &mut Findings) {
    let Some(status) = &host.running else { return };
    let state = status["state"].as_str().unwrap_or("unknown");
    if state != "ready" {
        found.add("not-ready", "running service", format!("Its state is {state}"));
    }
    let target = status["target"].as_u64();
    if let Some(target) = target.filter(|it| *it != workers)
        && config.workers.count != Count::Auto
    {
        let what = format!("It wants {target} workers, workers.count says {workers}");
        found.add("restart-is-due", "running service", what);
    }
    let dropped = status["counters"]["mainstay_access_lines_dropped_total"].as_u64();
    if let Some(dropped) = dropped.filter(|it| *it > 0) {
        found.add(
            "lines-were-dropped",
            "running service",
            format!("{dropped} lines since it started"),
        );
    }
}
