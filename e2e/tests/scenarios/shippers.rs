//! Programs that read the logs: with the configuration that contrib/ has for them they read each line once and
//! whole, over rotation too.

use crate::support::*;
use e2e::harness::{Launch, poll};
use e2e::peers::{Rsyslog, find, missing};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn rsyslog_sends_each_line_once_and_whole_over_rotation() {
    let _together = together();
    let config = "workers.count = 2\nlog.access = \"{dir}/logs/access.log\"\n\
                  log.access_format = \"id %(id)s %(s)s end\"";
    let service = Launch::new(fixture()).directory("logs").config(config).start().ready(START);
    let logs = service.directory().join("logs");
    let Some(shipper) = Rsyslog::start(&logs.join("access.log")) else { return };
    let load = usual_load(&service).start();
    for number in 1..=3 {
        load.run_for(steady() / 2);
        let rotated = logs.join(format!("access.log.{number}"));
        fs::rename(logs.join("access.log"), &rotated).expect("our own directory");
        service.signal(Signal::USR1);
        let opened = poll(START, || logs.join("access.log").exists().then_some(()));
        assert!(opened.is_some(), "{}", service.log());
    }
    load.run_for(steady() / 2);
    let report = load.stop();
    assert_nothing_lost("while rsyslog reads", &report, &service);
    wait_idle(&service);
    let mut last = (0, 0);
    let all = poll(START, || {
        let written = lines_of(&logs);
        let sent = shipper.lines();
        last = (written.values().sum::<usize>(), sent.len());
        (last.0 as u64 >= report.ok() && last.0 == last.1).then_some((written, sent))
    });
    let (written, sent) = all.unwrap_or_else(|| {
        panic!("{} lines were written, {} sent\n{}", last.0, last.1, shipper.said())
    });
    let mut times = BTreeMap::new();
    for line in sent {
        assert!(line.starts_with("id ") && line.ends_with(" end"), "torn: {line}");
        *times.entry(line).or_insert(0) += 1;
    }
    assert_eq!(times, written);
    say(format_args!("rsyslog sent {} lines over 3 rotations, each once", last.1));
}

/// The lines of all files of a directory, and how often each is there.
fn lines_of(directory: &Path) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("the logs").flatten() {
        for line in fs::read_to_string(entry.path()).unwrap_or_default().lines() {
            *times.entry(line.to_owned()).or_insert(0) += 1;
        }
    }
    times
}

#[test]
fn goaccess_reads_every_line_of_the_default_access_log() {
    let _together = together();
    let Some(program) = find("goaccess") else { return missing("GoAccess") };
    let service = service("workers.count = 1");
    for path in ["/", "/a%20b?c=d", "/none", "/readyz"] {
        service.get(path).expect("an answer");
    }
    service.wait_access(&["/none"], START);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/goaccess/goaccess.conf");
    let report = service.directory().join("report.json");
    let output = Command::new(program)
        .arg(service.access_path())
        .arg("-p")
        .arg(file)
        .args(["--no-global-config", "-o"])
        .arg(&report)
        .output()
        .expect("a program that was found can be started");
    assert!(output.status.success(), "{output:?}");
    let text = fs::read_to_string(report).expect("its report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let general = &report["general"];
    assert!(general["valid_requests"].as_u64().is_some_and(|it| it >= 4), "{general}");
    assert_eq!(general["failed_requests"], 0, "{general}");
}
