//! What is configured as a secret is shown nowhere, whatever fails on its way.

use crate::alerts::{LONG, Ward};
use crate::support::*;
use e2e::harness::{descendants, poll};
use e2e::peers::Hook;
use std::fs;
use std::path::Path;

/// Part of each of them.
const SECRET: &str = "hunter2";

/// Everything in a directory but the configuration, by its path.
fn files(directory: &Path, all: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&path, all),
            Ok(kind) if kind.is_file() && path.extension().is_none_or(|it| it != "toml") => {
                // One that is gone by now shows nothing.
                all.extend(fs::read(&path).ok().map(|it| (path.display().to_string(), it)));
            }
            _ => {}
        }
    }
}

/// Everything that the service shows to anybody.
fn shown(ward: &Ward) -> Vec<(String, Vec<u8>)> {
    let service = &ward.service;
    let mut all = Vec::new();
    for path in ["/status", "/alerts", "/probes", "/metrics", "/readyz?verbose", "/history"] {
        let page = service.get_admin(path).unwrap_or_else(|it| panic!("{path}: {it:?}"));
        all.push((format!("GET {path}"), page.body.to_vec()));
    }
    for path in ["/", "/fail", "/readyz", "/nowhere"] {
        let page = service.get(path).unwrap_or_else(|it| panic!("{path}: {it:?}"));
        all.push((format!("GET {path}"), page.body.to_vec()));
    }
    for command in [
        "status",
        "status --json",
        "config",
        "config --json",
        "check",
        "doctor",
        "doctor --json",
        "alerts",
        "alerts --json",
        "alerts explain",
        "probes",
        "probes --json",
        "requests",
        "limits list",
        "limits list --json",
        "history",
        "history events",
        "notify test chat",
        "notify test nobody",
        "rules export --format prometheus",
        "rules export --format alertmanager",
        "rules export --format grafana",
    ] {
        let output = service.control(&command.split(' ').collect::<Vec<_>>());
        all.push((command.to_owned(), [output.stdout, output.stderr].concat()));
    }
    files(service.directory(), &mut all);
    for process in descendants(service.pid()).into_iter().chain([service.pid()]) {
        let path = format!("/proc/{process}/cmdline");
        all.extend(fs::read(&path).ok().map(|it| (path, it)));
    }
    all.push(("the log".to_owned(), service.log().into_bytes()));
    all.push(("access lines".to_owned(), service.access().concat()));
    all
}

#[test]
fn no_secret_is_in_any_log_page_command_or_file_of_state_whatever_fails_on_its_way() {
    let _together = together();
    let hook = Hook::start();
    // Nobody listens at port 1, so each of them fails, and has something to say.
    let receivers = format!(
        "ops={} {SECRET}-{SECRET}-{SECRET}, chat=slack+http://127.0.0.1:1/services/{SECRET}, \
         topic=ntfy+http://127.0.0.1:1/{SECRET} {SECRET}-{SECRET}-{SECRET}, \
         mail=smtp://shop:{SECRET}@127.0.0.1:1?from=a@example.org&to=b@example.org",
        hook.url()
    );
    let config = format!(
        "alerts.interval = \"100ms\"\nprobing.own = false\n\
         telemetry.endpoint = \"http://127.0.0.1:1/\"\ntelemetry.headers = \"api-key={SECRET}\"\n\
         sentry.dsn = \"http://{SECRET}@127.0.0.1:1/1\"\n\
         limits.default = \"1000000/minute\"\nlimits.storage = \"redis://:{SECRET}@127.0.0.1:1/0\"\n\
         heartbeat.url = \"http://127.0.0.1:1/ping/{SECRET}\"\nheartbeat.interval = \"1s\"\n\
         [[probes]]\nname = \"shop\"\nurl = \"http://127.0.0.1:1/?token={SECRET}\"\n\
         headers = \"api-key={SECRET}\"\ninterval = \"1s\"\n"
    );
    let ward = Ward::telling(&receivers, 2, &config);
    ward.set("fail");
    ward.wait_alert("not_ready", "firing", |it| it["state"] == "firing");
    ward.wait_alert("probe_down", "firing", |it| it["state"] == "firing");
    ward.wait_messages(&hook, 1);
    for told in ["Receiver chat takes no", "Receiver topic takes no", "Receiver mail takes no"] {
        ward.service.wait_log(&[told], LONG);
    }
    kill_watch(&ward.service);
    ward.service.control_ok(&["reload", "--wait"]);
    let alerts = poll(LONG, || ward.alert("not_ready").filter(|it| it["state"] == "firing"));
    assert!(alerts.is_some(), "{}", ward.service.log());
    let all = shown(&ward);
    let written: usize = all.iter().map(|(_, text)| text.len()).sum();
    say(format_args!("{} places with {written} bytes, none with a secret", all.len()));
    for (place, text) in &all {
        let text = String::from_utf8_lossy(text);
        let around = text.find(SECRET).map(|at| {
            text[..at]
                .chars()
                .rev()
                .take(200)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect::<String>()
        });
        assert_eq!(around, None, "{place} shows a secret behind this");
    }
    assert!(all.len() > 40 && written > 50_000, "that was not everything");
}
