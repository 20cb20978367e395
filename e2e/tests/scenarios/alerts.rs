//! Alerts: one outage is told once and ended once, whoever dies meanwhile and whatever the receiver answers.

use crate::support::*;
use e2e::harness::{Launch, Service, poll, poll_every};
use e2e::load::Load;
use e2e::peers::{Hook, Message, promtool_rules};
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// For what takes some looks and some attempts of a receiver in a bad mood.
pub(crate) const LONG: Duration = Duration::from_secs(90);
/// What is told of a watch that dies again and again.
const WATCH_DIES: &str = "watch_crash_loop";
/// Kills of watch after which it starts slowly; a reload begins anew.
const IN_A_ROW: usize = 5;

/// A service whose readiness is a word in a file, and which tells `hook`.
pub(crate) struct Ward {
    pub(crate) service: Service,
    switch: tempfile::NamedTempFile,
}

impl Ward {
    fn start(hook: &Hook, config: &str) -> Ward {
        Ward::with(hook, 2, &format!("workers.count = 2\n{config}"))
    }

    fn with(hook: &Hook, workers: usize, config: &str) -> Ward {
        // Many incidents are more messages than an hour has.
        let receivers = format!("ops={} 0123456789abcdef budget=1000", hook.url());
        Ward::telling(&receivers, workers, config)
    }

    /// One that tells these receivers.
    pub(crate) fn telling(receivers: &str, workers: usize, config: &str) -> Ward {
        let switch = tempfile::NamedTempFile::new().expect("a file");
        fs::write(switch.path(), "ok").expect("a file of ours");
        let config = format!(
            "health.check_interval = \"200ms\"\nhealth.check_timeout = \"150ms\"\n\
             alerts.state = \"{{dir}}/alerts\"\n\
             alerts.receivers = {receivers:?}\n{config}"
        );
        let service = Launch::new(Path::new(env!("CARGO_BIN_EXE_database")))
            .config(&config)
            .env("DATABASE_URL", "sqlite:shop.db")
            .env("DATABASE_CHECK", switch.path().to_str().expect("a path of ours is UTF-8"))
            .start()
            .ready(START);
        service.wait_workers(workers, START);
        Ward { service, switch }
    }

    pub(crate) fn set(&self, word: &str) {
        fs::write(self.switch.path(), word).expect("a file of ours");
    }

    /// What `/alerts` shows of a rule's first alert; nothing while watch is away.
    pub(crate) fn alert(&self, rule: &str) -> Option<Value> {
        let page = self.service.get_admin("/alerts").ok()?;
        let page: Value = serde_json::from_slice(&page.body).ok()?;
        let rules = page["rules"].as_array()?.iter();
        rules.into_iter().find(|it| it["rule"] == rule)?["alerts"].get(0).cloned()
    }

    pub(crate) fn wait_alert(&self, rule: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let found = poll(LONG, || self.alert(rule).filter(|it| is(it)));
        found.unwrap_or_else(|| {
            panic!("{rule} is not {what}: {:?}\n{}", self.alert(rule), self.service.log())
        })
    }

    pub(crate) fn wait_messages(&self, hook: &Hook, count: usize) -> Vec<Message> {
        let found = poll(LONG, || Some(of_service(hook)).filter(|it| it.len() >= count));
        found.unwrap_or_else(|| {
            let told: Vec<_> = hook.unique().iter().map(Message::what).collect();
            panic!("no {count} messages, but {told:?}\n{}", self.service.log())
        })
    }
}

/// What was told of the service itself, and not of watch: that it dies, and that for some time there was none.
fn of_service(hook: &Hook) -> Vec<Message> {
    let is =
        |it: &Message| ![WATCH_DIES, "monitoring_gap"].iter().any(|of| it.what().ends_with(of));
    hook.unique().into_iter().filter(is).collect()
}

pub(crate) fn what(messages: &[Message]) -> Vec<String> {
    messages.iter().map(Message::what).collect()
}

#[test]
fn an_outage_under_load_is_two_messages_and_its_failures_none() {
    let _alone = alone();
    let hook = Hook::start();
    let ward = Ward::start(&hook, "alerts.interval = \"200ms\"\nalerts.errors_window = \"2s\"");
    let load = usual_load(&ward.service).start();
    load.run_for(Duration::from_secs(1));
    assert_eq!(what(&hook.taken()), [""; 0]);
    let begun = Instant::now();
    ward.set("fail");
    let failing = Load { path: "/fail".into(), ..usual_load(&ward.service) }.start();
    let messages = ward.wait_messages(&hook, 1);
    say(format_args!("told {:?} after it began, with a check each 200 ms", begun.elapsed()));
    let held = ward.wait_alert("high_5xx", "held back", |it| it["state"] == "firing");
    assert_eq!(held["held_by"], "not_ready", "{held}");
    load.run_for(steady());
    ward.set("ok");
    drop(failing.stop());
    ward.wait_messages(&hook, 2);
    ward.wait_alert("high_5xx", "over", |it| it["state"] == "inactive" && it["held_by"].is_null());
    load.run_for(Duration::from_secs(3));
    drop(load.stop());
    assert_eq!(what(&hook.taken()), ["firing not_ready", "resolved not_ready"]);
    let first = &messages[0];
    assert_eq!(first.body["version"], "4");
    assert_eq!(first.body["receiver"], "ops");
    let evidence = &first.body["mainstay"]["evidence"];
    assert_eq!(evidence["failing_checks"][0]["check"], "switch", "{evidence}");
    assert!(first.header("webhook-signature").is_some_and(|it| it.starts_with("v1,")));
    let page = ward.service.get_admin("/metrics").expect("watch answers").text();
    for line in [
        "mainstay_alerts{rule=\"not_ready\",state=\"firing\"} 0",
        "mainstay_alert_notifications_sent_total 2",
        "mainstay_alert_notifications_waiting{receiver=\"ops\"} 0",
        "mainstay_events_total{event=\"alert.firing\"} 1",
        "mainstay_events_total{event=\"alert.resolved\"} 1",
    ] {
        assert!(page.lines().any(|it| it == line), "{line}");
    }
    ward.service.wait_log(&["Alert not_ready is over after"], START);
    assert!(!ward.service.log().contains("hunter2"), "an address is a secret");
}

/// Kills watch at instants of no rhyme until there were so many; returns how many there were.
fn kill_watches(ward: &Ward, seed: u64, most: usize, stop: &AtomicUsize) -> usize {
    let (mut dice, mut kills) = (seed | 1, 0);
    while kills < most && stop.load(Ordering::SeqCst) == 0 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let end = Instant::now() + Duration::from_millis((dice >> 33) % 900);
        let watch = poll_every(Duration::from_millis(20), START, || {
            ward.service.status().watch().filter(|_| Instant::now() >= end)
        });
        // One that has gone by itself was not killed.
        kills += usize::from(watch.is_some_and(|it| kill_process(it, Signal::KILL).is_ok()));
    }
    kills
}

#[test]
fn a_watch_that_is_killed_at_any_point_loses_nothing_and_repeats_nothing_under_another_id() {
    let _alone = alone();
    let wanted = std::env::var("E2E_KILLS").ok().and_then(|it| it.parse().ok()).unwrap_or(20);
    let hook = Hook::start();
    let ward = Ward::start(&hook, "alerts.interval = \"100ms\"");
    hook.moody(4_711);
    let (mut kills, mut incidents) = (0, 0);
    while kills < wanted {
        let stop = AtomicUsize::new(0);
        kills += thread::scope(|scope| {
            let killer = scope.spawn(|| kill_watches(&ward, incidents as u64, IN_A_ROW, &stop));
            ward.set("fail");
            ward.wait_messages(&hook, 2 * incidents + 1);
            ward.set("ok");
            ward.wait_messages(&hook, 2 * incidents + 2);
            stop.store(1, Ordering::SeqCst);
            killer.join().expect("it has killed")
        });
        incidents += 1;
        ward.service.control_ok(&["reload", "--wait"]);
    }
    hook.moody(0);
    let idle = |page: Value| page["receivers"][0]["waiting"] == 0;
    let page = || serde_json::from_slice(&ward.service.get_admin("/alerts").ok()?.body).ok();
    let done = poll(LONG, || page().filter(|it| idle(Value::clone(it))));
    assert!(done.is_some(), "something is not delivered:\n{}", ward.service.log());
    let (taken, unique) = (hook.taken(), of_service(&hook));
    say(format_args!(
        "{kills} kills over {incidents} incidents: {} deliveries of {} messages",
        taken.len(),
        unique.len()
    ));
    assert_eq!(unique.len(), 2 * incidents, "{:?}", what(&unique));
    for pair in unique.chunks(2) {
        assert_eq!(what(pair), ["firing not_ready", "resolved not_ready"]);
        let [one, two] = [&pair[0], &pair[1]].map(|it| it.body["alerts"][0]["startsAt"].clone());
        assert_eq!(one, two, "both ends of one incident");
    }
}

#[test]
fn receivers_hear_of_a_watch_that_dies_again_and_again_and_that_it_lives_again() {
    let _together = together();
    let hook = Hook::start();
    let config = format!(
        "workers.count = 1\nalerts.state = \"{{dir}}/alerts\"\nalerts.receivers = \"ops={}\"",
        hook.url()
    );
    let service = Launch::new(hello()).config(&config).start().ready(START);
    let mut last = None;
    for _ in 0..3 {
        let next = poll(START, || service.status().watch().filter(|it| last != Some(*it)));
        let watch = next.unwrap_or_else(|| panic!("no watch\n{}", service.log()));
        kill_process(watch, Signal::KILL).expect("it lives");
        last = Some(watch);
    }
    let told = || {
        let all = hook.unique().into_iter();
        all.filter(|it| it.what().ends_with(WATCH_DIES)).collect::<Vec<_>>()
    };
    for (count, word) in [(1, "firing"), (2, "resolved")] {
        let found = poll(LONG, || Some(told()).filter(|it| it.len() == count));
        let found = found.unwrap_or_else(|| panic!("{:?}\n{}", what(&told()), service.log()));
        assert_eq!(found[count - 1].what(), format!("{word} {WATCH_DIES}"));
        assert_eq!(service.get("/").expect("an answer").status, 200);
    }
    let all = told();
    let said = all[0].body["alerts"][0]["annotations"]["summary"].as_str().expect("text");
    assert!(said.starts_with("watch died 3 times in a row"), "{said}");
    let [one, two] = [&all[0], &all[1]].map(|it| it.body["alerts"][0]["startsAt"].clone());
    assert_eq!(one, two, "both ends of one incident");
    assert!(!service.log().contains("were not told about watch"), "{}", service.log());
}

#[test]
fn ten_unplanned_restarts_are_silent_and_one_more_is_told_with_its_reason() {
    let _together = together();
    let hook = Hook::start();
    let ward = Ward::start(&hook, "alerts.interval = \"100ms\"\nalerts.restarts_window = \"10m\"");
    let restarts = |count: u64| {
        let text = format!("{count} unplanned");
        ward.wait_alert("worker_restarts", &text, |it| {
            it["text"].as_str().is_some_and(|it| it.starts_with(&text))
        })
    };
    let old = ward.service.status().pids();
    ward.service.control_ok(&["workers", "recycle"]);
    ward.service.wait_status("both are others", LONG, |it| {
        it.pids().len() == 2 && it.ready() == 2 && it.pids().iter().all(|pid| !old.contains(pid))
    });
    for count in 1..=10 {
        kill_a_worker(&ward.service);
        ward.service.wait_workers(2, LONG);
        assert_eq!(restarts(count)["state"], "inactive");
    }
    let quiet = hook.unique().iter().all(|it| it.what() != "firing worker_restarts");
    assert!(quiet, "{:?}", what(&hook.unique()));
    kill_a_worker(&ward.service);
    assert_eq!(restarts(11)["state"], "firing");
    let told =
        poll(LONG, || hook.unique().into_iter().find(|it| it.what() == "firing worker_restarts"));
    let told = told.expect("it is delivered");
    let summary = told.body["alerts"][0]["annotations"]["summary"].as_str().expect("a text");
    assert!(summary.starts_with("11 unplanned and 2 planned restarts within 10m"), "{summary}");
    assert_eq!(told.body["mainstay"]["evidence"]["worker_exits"]["sigkill"], 11);
}

#[test]
fn a_pool_that_gives_no_connection_is_told_with_its_figures() {
    let _together = together();
    let hook = Hook::start();
    let config = "workers.count = 1\ndatabase.pool = 1\ndatabase.acquire_timeout = \"300ms\"\n\
                  alerts.interval = \"1s\"";
    let ward = Ward::with(&hook, 1, config);
    ward.wait_alert("pool_exhausted", "silent", |it| it["state"] == "inactive");
    thread::scope(|scope| {
        let hold = || e2e::load::get(&ward.service.target(), "/hold?ms=4000", LONG);
        let both = [scope.spawn(hold), scope.spawn(hold)];
        let mut statuses: Vec<_> =
            both.into_iter().filter_map(|it| Some(it.join().ok()?.ok()?.status)).collect();
        statuses.sort_unstable();
        assert!(statuses.len() == 2 && statuses[0] == 200 && statuses[1] >= 500, "{statuses:?}");
    });
    ward.wait_messages(&hook, 1);
    let told = &hook.unique()[0];
    assert_eq!(told.what(), "firing pool_exhausted");
    let alert = &told.body["alerts"][0];
    assert_eq!(alert["labels"]["pool"], "database", "{alert}");
    let summary = alert["annotations"]["summary"].as_str().expect("a text");
    assert!(summary.contains("1 waits timed out within 1m"), "{summary}");
    let evidence = &told.body["mainstay"]["evidence"];
    let failed = &evidence["last_failed"][0];
    assert!(failed["route"] == "/hold" && failed["status"].as_u64() >= Some(500), "{evidence}");
    let id = failed["id"].as_str().expect("an id");
    let is_its = |line: &&str| line.contains(id) && line.contains("/hold");
    let log = ward.service.log();
    assert!(log.lines().any(|line| is_its(&line)), "the log has it under {id}:\n{log}");
    let users = &evidence["busy_pools"][0]["users"][0];
    assert_eq!((&users["in_use"], &users["requests"][0]["path"]), (&1.into(), &"/hold".into()));
    assert!(users["worker"].as_u64() > Some(1) && !evidence.to_string().contains("ms=4000"));
}

/// What is used in percent, as df has it: `used,avail` or `iused,iavail`.
fn df(columns: &str, path: &Path) -> f64 {
    let columns = format!("--output={columns}");
    let output = Command::new("df").args([&columns, "-k"]).arg(path).output();
    let output = output.expect("df is there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().nth(1).expect("a line of numbers");
    let numbers: Vec<f64> = line.split_whitespace().filter_map(|it| it.parse().ok()).collect();
    100.0 * numbers[0] / (numbers[0] + numbers[1])
}

#[test]
fn an_uploads_directory_is_as_full_as_df_says_and_more_than_80_percent_is_told() {
    let _together = together();
    let hook = Hook::start();
    let place = tempfile::tempdir().expect("a temporary directory");
    let Some(_disk) = Disk::mount(place.path(), "10m,nr_inodes=200") else { return };
    let fill =
        |kib: usize| fs::write(place.path().join("upload"), vec![b'x'; kib << 10]).expect("room");
    // 79 % of 10 MiB.
    fill(8_088);
    let config = format!("alerts.interval = \"200ms\"\nserver.uploads = {:?}", place.path());
    let ward = Ward::start(&hook, &config);
    let told = |is: &Value| -> f64 {
        let text = is["text"].as_str().unwrap_or_default();
        text.split(" %").next().and_then(|it| it.parse().ok()).unwrap_or(0.0)
    };
    let found = ward.wait_alert("directory_full", "measured", |it| told(it) > 0.0);
    assert!(
        (told(&found) - df("used,avail", place.path())).abs() <= 0.1,
        "{found} {}",
        df("used,avail", place.path())
    );
    assert_eq!(found["state"], "inactive");
    fill(8_296);
    let found = ward.wait_alert("directory_full", "told", |it| it["state"] == "firing");
    assert!(
        (told(&found) - df("used,avail", place.path())).abs() <= 0.1 && told(&found) > 80.0,
        "{found}"
    );
    fill(100);
    ward.wait_messages(&hook, 2);
    // As full of names as of bytes, as df counts both.
    (0..165).for_each(|it| fs::write(place.path().join(it.to_string()), "").expect("an inode"));
    ward.wait_messages(&hook, 3);
    let found = ward.alert("directory_full").expect("it fires");
    let text = found["text"].as_str().unwrap_or_default();
    let inodes = text.split(" and ").nth(1).and_then(|it| it.split(" %").next()?.parse().ok());
    let inodes: f64 = inodes.unwrap_or_else(|| panic!("no inodes in {text}"));
    let df = df("iused,iavail", place.path());
    assert!((inodes - df).abs() <= 0.1 && inodes > 80.0 && told(&found) < 10.0, "{text} {df}");
    let all = ["firing directory_full", "resolved directory_full", "firing directory_full"];
    assert_eq!(what(&hook.unique()), all);
}

#[test]
fn rules_are_explained_exported_and_their_receivers_tested() {
    let _together = together();
    let hook = Hook::start();
    let ward = Ward::start(&hook, "alerts.restarts_above = 7");
    let told = ward.service.control_ok(&["alerts", "explain"]);
    assert!(
        told.contains("more than 7 times within 1h") && told.contains("ops (signed)"),
        "{told}"
    );
    let rules = ward.service.control_ok(&["rules", "export", "--format", "prometheus"]);
    assert!(rules.contains("> 7"), "{rules}");
    if let Some(complaints) = promtool_rules(&rules) {
        assert_eq!(complaints, "", "{rules}");
    }
    ward.wait_alert("not_ready", "evaluated", |it| it["state"] == "inactive");
    let told = ward.service.control_ok(&["alerts"]);
    assert!(told.contains("not_ready") && told.contains("receiver ops: 0 wait"), "{told}");
    let told = ward.service.control_ok(&["notify", "test", "ops"]);
    assert!(told.contains("ops has taken it with status 200"), "{told}");
    assert_eq!(what(&hook.taken()), ["firing test"]);
    let shown = ward.service.control_ok(&["config"]);
    assert!(!shown.contains("hunter2") && !shown.contains("0123456789abcdef"), "{shown}");
}
