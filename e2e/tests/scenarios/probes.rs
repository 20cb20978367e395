//! Probes, the heartbeat, and the rules as Prometheus understands them.

use crate::support::*;
use e2e::harness::{Launch, Service, poll};
use e2e::peers::{Hook, Message, Monitor, TlsServer, promtool_test};
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// For what takes some attempts.
const LONG: Duration = Duration::from_secs(60);

/// What `/probes` shows of one; nothing while watch is away.
pub(crate) fn probe(service: &Service, name: &str) -> Option<Value> {
    let page: Value = serde_json::from_slice(&service.get_admin("/probes").ok()?.body).ok()?;
    page["probes"].as_array()?.iter().find(|it| it["probe"] == name).cloned()
}

pub(crate) fn wait_probe(service: &Service, name: &str, state: &str) -> Value {
    let found = poll(LONG, || probe(service, name).filter(|it| it["state"] == state));
    found.unwrap_or_else(|| {
        panic!("{name} is not {state}: {:?}\n{}", probe(service, name), service.log())
    })
}

fn wait_messages(hook: &Hook, service: &Service, count: usize) -> Vec<String> {
    let found = poll(LONG, || Some(hook.unique()).filter(|it| it.len() >= count));
    let found = found.unwrap_or_else(|| {
        let told: Vec<_> = hook.unique().iter().map(Message::what).collect();
        panic!("no {count} messages, but {told:?}\n{}", service.log())
    });
    found.iter().map(Message::what).collect()
}

#[test]
fn a_service_that_is_killed_is_down_once_that_is_sure_and_up_again_when_it_is_back() {
    let _together = together();
    let hook = Hook::start();
    let shop = Service::start(hello(), &[], "workers.count = 1").ready(START);
    let (address, bind) =
        (shop.address, format!("server.bind = \"{}\"\nworkers.count = 1", shop.address));
    let mut service = Launch::new(fixture())
        .config(&format!(
            "workers.count = 1\nprobing.own = true\nalerts.interval = \"200ms\"\n\
             alerts.state = \"{{dir}}/alerts\"\nalerts.receivers = \"ops={}\"\n\
             [[probes]]\nname = \"shop\"\nurl = \"http://{address}/?token=hunter2\"\n\
             interval = \"400ms\"\ntimeout = \"5s\"\n",
            hook.url()
        ))
        .start()
        .ready(START);
    for name in ["shop", "healthz", "readyz"] {
        wait_probe(&service, name, "up");
    }
    kill_process(shop.pid(), Signal::KILL).expect("it lives");
    let down = wait_probe(&service, "shop", "down");
    assert_eq!(down["last"]["good"], false, "{down}");
    assert_eq!(wait_messages(&hook, &service, 1), ["firing probe_down"]);
    let told = &hook.unique()[0];
    assert_eq!(told.body["alerts"][0]["labels"]["probe"], "shop", "{}", told.text);
    let table = service.control_ok(&["probes"]);
    assert!(table.lines().any(|it| it.starts_with("shop     down ")), "{table}");
    drop(shop);
    let _again = Launch::new(hello()).config(&bind).start();
    let up = wait_probe(&service, "shop", "up");
    assert_eq!(up["last"]["status"], 200, "{up}");
    let told = wait_messages(&hook, &service, 2);
    assert_eq!(told, ["firing probe_down", "resolved probe_down"]);
    let page = service.get_admin("/metrics").expect("watch answers").text();
    let failed = "mainstay_probe_attempts_total{outcome=\"failure\",probe=\"shop\"} ";
    let failed = page.lines().find_map(|it| it.strip_prefix(failed)).expect("it is counted");
    assert!(failed.parse::<u64>().is_ok_and(|it| it >= 3), "{failed}");
    for line in [
        "mainstay_probe_up{probe=\"shop\"} 1",
        "mainstay_probe_up{probe=\"readyz\"} 1",
        "mainstay_probe_attempts_total{outcome=\"unknown\",probe=\"shop\"} 0",
        "mainstay_events_total{event=\"probe.down\"} 1",
    ] {
        assert!(page.lines().any(|it| it == line), "{line} in {page}");
    }
    let state = service.control_ok(&["status", "--json"]);
    let state: Value = serde_json::from_str(&state).expect("JSON");
    let shop = state["probes"].as_array().expect("probes").iter().find(|it| it["name"] == "shop");
    assert_eq!(shop.expect("it is there")["state"], "up", "{state}");
    // A service that ends is not down.
    service.control_ok(&["stop"]);
    service.wait_exit(START);
    let log = service.log();
    assert!(
        log.contains("Probe shop is up again after") && !log.contains("Probe healthz"),
        "{log}"
    );
    assert!(!log.contains("hunter2"), "what stands behind the path may be a secret\n{log}");
}

#[test]
fn the_heartbeat_stops_with_readiness_and_a_watch_that_stood_still_says_so() {
    let _together = together();
    let (hook, monitor) = (Hook::start(), Monitor::start());
    let switch = tempfile::NamedTempFile::new().expect("a file");
    let set = |word: &str| fs::write(switch.path(), word).expect("a file of ours");
    set("ok");
    let service = Launch::new(Path::new(env!("CARGO_BIN_EXE_database")))
        .config(&format!(
            "workers.count = 2\nhealth.check_interval = \"200ms\"\n\
             health.check_timeout = \"150ms\"\nalerts.interval = \"200ms\"\n\
             alerts.state = \"{{dir}}/alerts\"\nalerts.receivers = \"ops={}\"\n\
             heartbeat.url = \"{}\"\nheartbeat.interval = \"200ms\"\n",
            hook.url(),
            monitor.url()
        ))
        .env("DATABASE_URL", "sqlite:shop.db")
        .env("DATABASE_CHECK", switch.path().to_str().expect("a path of ours is UTF-8"))
        .start()
        .ready(START);
    let wait_beats = |count: usize| {
        let found = poll(LONG, || (monitor.count() >= count).then_some(()));
        assert!(found.is_some(), "{} beats, not {count}\n{}", monitor.count(), service.log());
    };
    wait_beats(3);
    set("fail");
    service.wait_log(&["No heartbeat is sent: the service is not ready"], LONG);
    let withheld = || {
        let page = service.get_admin("/metrics").ok()?.text();
        let line =
            page.lines().find_map(|it| it.strip_prefix("mainstay_heartbeats_withheld_total "))?;
        line.parse::<u64>().ok()
    };
    let before = monitor.count();
    let found = poll(LONG, || withheld().filter(|it| *it >= 5));
    assert!(found.is_some(), "they are counted\n{}", service.log());
    assert_eq!(monitor.count(), before, "nothing is sent");
    set("ok");
    wait_beats(before + 3);
    service.wait_log(&["Heartbeats are sent again after"], LONG);
    // A look is due each 200 ms, and 15 s without one are a gap.
    let watch = service.status().watch().expect("watch runs");
    kill_process(watch, Signal::STOP).expect("it lives");
    let (begun, before) = (Instant::now(), monitor.count());
    poll(LONG, || (begun.elapsed() > Duration::from_millis(15_500)).then_some(()));
    assert!(monitor.count() <= before + 1, "a watch that stands still says nothing");
    kill_process(watch, Signal::CONT).expect("it lives");
    wait_beats(before + 3);
    service.wait_log(&["Alert rules were not evaluated for 1"], LONG);
    let told = poll(LONG, || {
        let all = hook.unique();
        all.into_iter().find(|it| it.what() == "firing monitoring_gap")
    });
    let told = told.unwrap_or_else(|| panic!("the gap is not told\n{}", service.log()));
    let summary = told.body["alerts"][0]["annotations"]["summary"].as_str().expect("a text");
    assert!(summary.starts_with("monitoring gap of 1"), "{summary}");
    assert!(monitor.targets().iter().all(|it| it == "/ping/hunter2"));
    assert!(!service.log().contains("hunter2"), "an address is a secret");
}

/// The program's `probe NAME`, with this table.
fn probe_once(place: &Path, table: &str) -> (Option<i32>, String) {
    let file = place.join("probe.toml");
    fs::write(&file, format!("[[probes]]\nname = \"site\"\n{table}\n")).expect("a file");
    let mut command = Command::new(mainstay());
    let output = command.args(["probe", "site", "-c"]).arg(&file).output().expect("it is built");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn certificates_are_judged_as_a_browser_does_and_their_days_are_told() {
    let _together = together();
    let place = tempfile::tempdir().expect("a temporary directory");
    let (Some(good), Some(other)) =
        (TlsServer::start("localhost", 10), TlsServer::start("other.example", 10))
    else {
        return;
    };
    let url = |server: &TlsServer| format!("url = \"https://localhost:{}/\"", server.port());
    let ca = |server: &TlsServer| format!("{}\nca = {:?}", url(server), server.certificate());
    let (code, said) = probe_once(place.path(), &ca(&good));
    assert_eq!(code, Some(0), "{said}");
    for words in ["status       200", "  tls ", "  first_byte ", "certificate  ends in 10.0 days"] {
        assert!(said.contains(words), "{words} in {said}");
    }
    let (code, said) = probe_once(place.path(), &url(&good));
    assert!(code == Some(1) && said.contains("(tls_untrusted)"), "{said}");
    assert!(said.contains("ends in 10.0 days"), "it was seen, whoever has signed it: {said}");
    let (code, said) = probe_once(place.path(), &ca(&other));
    assert!(code == Some(1) && said.contains("(tls_name)"), "{said}");
    let (_, said) = probe_once(place.path(), &format!("{}\nca = \"nothing.pem\"", url(&good)));
    assert!(said.contains("(ca)"), "{said}");
}

/// Random services whose totals promtool judges too.
const DRILLS: u64 = 100;

#[test]
fn the_service_and_promtool_say_the_same_of_the_same_random_totals() {
    let _together = together();
    let mut fired = std::collections::BTreeMap::new();
    // Ten series each: a few long ones, and many that are short.
    let drills = (1..=DRILLS).map(|seed| (seed, if seed <= 4 { 320 } else { 60 }));
    for (seed, looks) in drills {
        let drill = mainstay::inside::drill(seed, looks);
        let Some(said) = promtool_test(&drill.rules, &drill.tests) else { return };
        assert!(said.is_empty(), "seed {seed}:\n{}", said.chars().take(4_000).collect::<String>());
        for (rule, count) in drill.fired {
            *fired.entry(rule).or_insert(0) += count;
        }
    }
    say(format_args!(
        "{} series; looks at which a rule fired, alike in both: {fired:?}",
        DRILLS * 10
    ));
    assert!(fired.len() == 7 && fired.values().all(|count| *count > 0), "{fired:?}");
    // It does find what is not alike.
    let drill = mainstay::inside::drill(1, 320);
    let wrong = drill.rules.replace("> 10'", "> 11'");
    assert_ne!(wrong, drill.rules);
    assert_ne!(promtool_test(&wrong, &drill.tests), Some(String::new()));
}

/// Tests of rules as they are by default, with scrapes each 15 s.
const UNITS: &str = r"
evaluation_interval: 15s
tests:
- interval: 15s
  input_series:
  - { series: 'mainstay_ready{instance=\x22a\x22}', values: '1x10 0x20' }
  - { series: 'mainstay_worker_restarts_total{planned=\x22false\x22,instance=\x22a\x22}', values: '0x20 1+1x9 10x40 11x20' }
  - { series: 'mainstay_worker_restarts_total{planned=\x22true\x22,instance=\x22a\x22}', values: '0+7x120' }
  - { series: 'mainstay_directory_used_ratio{directory=\x22/x\x22}', values: '0.8x20 0.81x20' }
  - { series: 'mainstay_probe_up{probe=\x22shop\x22}', values: '1x9 _x9 0x9' }
  - { series: 'mainstay_probe_up{probe=\x22readyz-2\x22}', values: '1x9 0x9' }
  - { series: 'mainstay_probe_certificate_days_left{probe=\x22shop\x22}', values: '20x9 10x9 5x9' }
  - { series: 'mainstay_build_info{instance=\x22a\x22}', values: '1x20' }
  promql_expr_test:
";

#[test]
fn the_exported_rules_hold_where_they_are_named_to() {
    let _together = together();
    let service = Launch::new(hello()).config("workers.count = 1").start().ready(START);
    let rules = service.control_ok(&["rules", "export", "--format", "prometheus"]);
    let mut tests = UNITS.replace("\\x22", "\"");
    for (alert, seconds, count) in [
        ("MainstayNotReady", 180, 0),
        ("MainstayNotReady", 195, 1),
        ("MainstayWorkerRestarts", 1_050, 0),
        ("MainstayWorkerRestarts", 1_200, 1),
        ("MainstayDirectoryFull", 300, 0),
        ("MainstayDirectoryFull", 420, 1),
        ("MainstayProbeDown", 240, 0),
        ("MainstayProbeDown", 330, 1),
        ("MainstayListenerSilent", 120, 0),
        ("MainstayListenerSilent", 200, 1),
        ("MainstayCertificateExpiry", 120, 0),
        ("MainstayCertificateExpiry", 200, 1),
        ("MainstayCertificateEndsSoon", 200, 0),
        ("MainstayCertificateEndsSoon", 400, 1),
        ("MainstayAbsent", 300, 0),
        ("MainstayAbsent", 900, 1),
    ] {
        let expression =
            format!("count(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}) or vector(0)");
        tests.push_str(&format!(
            "  - {{ expr: '{expression}', eval_time: {seconds}s, exp_samples: [{{ labels: '{{}}', value: {count} }}] }}\n"
        ));
    }
    if let Some(said) = promtool_test(&rules, &tests) {
        assert_eq!(said, "", "{tests}");
    }
    let inhibits = service.control_ok(&["rules", "export", "--format", "alertmanager"]);
    assert!(inhibits.contains("alertname=\"MainstayNotReady\""), "{inhibits}");
    let board = service.control_ok(&["rules", "export", "--format", "grafana"]);
    let board: Value = serde_json::from_str(&board).expect("JSON");
    assert_eq!(board["title"], "mainstay");
}
