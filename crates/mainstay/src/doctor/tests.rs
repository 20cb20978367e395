//! Each rule is found where it is broken, and alone.

use super::host::{Host, Place};
use super::rules::SERVICE;
use super::service::judge;
use crate::config::{Config, Sources};
use serde_json::json;
use std::collections::BTreeSet;

fn config(flags: &[(&'static str, &str)]) -> Config {
    let flags = flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    Config::resolve(&Sources { flags, ..Sources::default() }).unwrap()
}

/// A host on which nothing is wrong.
fn host() -> Host {
    Host {
        cores: 4,
        somaxconn: Some(4096),
        files: Some(65_536),
        memory: Some(4 << 30),
        in_step: Some(true),
        database: Some(Ok(100)),
        running: Some(json!({ "state": "ready", "target": 4 })),
        ..Host::default()
    }
}

fn place(used: f64, is_there: bool, in_memory: bool) -> Place {
    Place { key: "log.access", path: "/var/log/shop".into(), is_there, in_memory, used }
}

fn names(config: &Config, host: &Host) -> BTreeSet<&'static str> {
    judge(config, host).all.iter().map(|it| it.rule.name).collect()
}

const GOOD: &[(&str, &str)] = &[
    ("workers.grace", "30s"),
    ("alerts.receivers", "ops=http://hooks.example/a"),
    ("alerts.state", "/var/lib/shop/alerts"),
    ("heartbeat.url", "http://beat.example/a"),
];

#[test]
fn a_service_without_fault_has_its_stop_budget_alone() {
    let found = judge(&config(GOOD), &host());
    let all: Vec<_> = found.all.iter().map(|it| (it.rule.name, it.what.as_str())).collect();
    let what =
        "A stop takes up to 40s: health.drain_delay 5s, workers.grace 30s, and 5s for the log";
    assert_eq!(all, [("stop-budget", what)]);
}

#[test]
fn each_rule_is_found_where_it_is_broken_and_no_other_with_it() {
    type Case<'a> = (&'a str, &'a [(&'static str, &'a str)], fn(&mut Host));
    let cases: &[Case<'_>] = &[
        ("requests-outlive-grace", &[("workers.grace", "15s")], |_| ()),
        ("requests-outlive-grace", &[("http.request_timeout", "0s")], |_| ()),
        ("hung-workers-stay", &[("workers.timeout", "0s")], |_| ()),
        ("one-worker", &[("workers.count", "1")], |it| it.running = None),
        ("more-workers-than-cores", &[("workers.count", "10")], |it| it.running = None),
        ("pools-exceed-database", &[("database.pool", "21")], |_| ()),
        ("pools-exceed-database", &[("database.hosts", "50")], |_| ()),
        ("database-not-asked", &[], |it| it.database = Some(Err("refused".to_owned()))),
        (
            "sqlite-on-several-hosts",
            &[("database.url", "sqlite:a.db"), ("database.hosts", "2")],
            |_| (),
        ),
        ("trust-is-wide", &[("proxy.trusted", "10.0.0.1,64.0.0.0/2")], |_| ()),
        ("trust-is-off", &[("server.bind", "0.0.0.0:80")], |_| ()),
        ("admin-is-open", &[("server.admin", "0.0.0.0:8001")], |_| ()),
        ("alerts-are-off", &[("alerts.enabled", "false")], |_| ()),
        ("nobody-is-told", &[("alerts.receivers", "")], |_| ()),
        ("alerts-are-not-delivered", &[("alerts.dry_run", "true")], |_| ()),
        ("death-is-silent", &[("heartbeat.url", "")], |_| ()),
        ("log-goes-nowhere", &[("log.access", "")], |_| ()),
        ("kept-in-memory", &[], |it| it.places.push(place(0.1, true, true))),
        ("disk-nearly-full", &[], |it| it.places.push(place(0.85, true, false))),
        ("disk-full", &[], |it| it.places.push(place(0.96, true, false))),
        ("directory-missing", &[], |it| it.places.push(place(0.0, false, false))),
        ("secret-is-readable", &[], |it| {
            it.secrets.push(("sentry.dsn_file", "/run/x".into(), true));
        }),
        ("secret-stands-in-the-file", &[], |it| {
            it.secrets.push(("database.url", "mainstay.toml".into(), false));
        }),
        ("control-socket-is-open", &[], |it| it.open_control = Some("/var/x".into())),
        ("runs-as-root", &[], |it| it.root = true),
        ("clock-is-free", &[], |it| it.in_step = Some(false)),
        ("backlog-is-capped", &[], |it| it.somaxconn = Some(128)),
        ("files-run-out", &[], |it| it.files = Some(1024)),
        ("files-run-out", &[("http.max_connections", "0")], |_| ()),
        ("memory-is-promised-twice", &[("workers.max_rss", "2 GiB")], |_| ()),
        ("memory-is-short", &[], |it| it.memory = Some(64 << 20)),
        ("configuration-warns", &[("workers.max_requests_jitter", "3")], |_| ()),
        ("not-ready", &[], |it| it.running = Some(json!({ "state": "degraded", "target": 4 }))),
        ("lines-were-dropped", &[], |it| {
            let counters = json!({ "mainstay_access_lines_dropped_total": 3 });
            it.running = Some(json!({ "state": "ready", "target": 4, "counters": counters }));
        }),
        ("restart-is-due", &[("workers.count", "6")], |_| ()),
    ];
    let mut seen = BTreeSet::from(["stop-budget"]);
    for (name, flags, change) in cases {
        let mut host = host();
        change(&mut host);
        let all: Vec<_> = GOOD.iter().chain(*flags).copied().collect();
        let expected = BTreeSet::from(["stop-budget", *name]);
        assert_eq!(names(&config(&all), &host), expected, "{name}: {flags:?}");
        seen.insert(name);
    }
    let rules: BTreeSet<_> = SERVICE.iter().map(|it| it.name).collect();
    assert_eq!(seen, rules, "each rule is tried");
}

#[test]
fn what_kubernetes_mounts_and_exposes_is_no_fault_there() {
    let mut host = host();
    host.kubernetes = true;
    host.secrets.push(("sentry.dsn_file", "/run/x".into(), true));
    let all: Vec<_> = GOOD.iter().copied().chain([("server.admin", "0.0.0.0:8001")]).collect();
    let found = judge(&config(&all), &host);
    assert_eq!(found.all.len(), 1, "{found:?}");
    assert!(found.all[0].what.contains("drain_delay 10s"), "{found:?}");
}

#[test]
fn the_exit_code_follows_what_is_unsafe_and_if_asked_what_is_doubtful() {
    use crate::cli::Inspection;
    let how = |strict| Inspection { json: false, strict };
    let doubtful = [("workers.timeout", "0s")];
    let dangerous = [("proxy.trusted", "64.0.0.0/2")];
    let of = |more: &[(&'static str, &'static str)]| {
        let all: Vec<_> = GOOD.iter().chain(more).copied().collect();
        judge(&config(&all), &host())
    };
    assert_eq!(of(&[]).tell("shop", how(true)).0, 0);
    assert_eq!(of(&doubtful).tell("shop", how(false)).0, 0);
    assert_eq!(of(&doubtful).tell("shop", how(true)).0, 1);
    let (code, text) = of(&dangerous).tell("shop", how(false));
    assert_eq!(code, 1);
    assert!(text.starts_with("unsafe: trust-is-wide: proxy.trusted\n  what  64.0.0.0/2"), "{text}");
    assert!(text.ends_with("shop: 1 unsafe, 0 doubtful, 1 note\n"), "{text}");
    let (_, text) = of(&dangerous).tell("shop", Inspection { json: true, strict: false });
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["findings"][0]["name"], "trust-is-wide");
}
