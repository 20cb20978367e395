//! Faults: killed workers, broken new code, blocked runtimes, crash loops, a killed supervisor.

use crate::support::*;
use e2e::harness::{Launch, Service, children, is_alive, poll};
use e2e::load::{Load, burst, send};
use rustix::process::{Signal, kill_process};
use std::io::Read;
use std::time::{Duration, Instant};

#[test]
fn a_worker_killed_every_second_loses_only_what_was_inside_it() {
    let _alone = alone();
    let boot = Duration::from_millis(500);
    let service = Service::start(fixture(), &[("FIXTURE_BOOT_MS", "500")], "workers.count = 2");
    let service = service.ready(START);
    service.wait_workers(2, START);
    let load = usual_load(&service).start();
    undisturbed(&service, &load);
    load.mark("kills");
    let (mut inside, mut slowest) = (0, Duration::ZERO);
    for round in 0..5 {
        let status = service.wait_workers(2, START);
        let victim = status.workers[round % 2].pid;
        // A stopped process takes nothing more: what it holds can be counted.
        kill_process(pid(victim), Signal::STOP).expect("a worker of the status");
        let frozen = service.status();
        let row = frozen.workers.iter().find(|worker| worker.pid == victim);
        let row = row.expect("a stopped worker is still a worker");
        // One more for a connection between accept and its place in the segment.
        inside += row.connections.max(row.in_flight) + 1;
        kill_process(pid(victim), Signal::KILL).expect("a stopped worker");
        let killed = Instant::now();
        let complete = |s: &e2e::harness::Status| s.ready() == 2 && !s.has(victim);
        service.wait_status("a replacement", boot + Duration::from_secs(2), complete);
        slowest = slowest.max(killed.elapsed());
        load.run_for(Duration::from_secs(1).saturating_sub(killed.elapsed()));
    }
    let report = load.stop();
    say(format_args!("SIGKILL of a worker every second, boot 0.5 s\n{report}"));
    let lost = report.lost();
    say(format_args!("{lost} lost, {inside} inside; slowest replacement {slowest:.2?}"));
    assert!(lost <= inside, "{lost} lost, {inside} inside\n{report}");
    assert!(report.failures().keys().all(|class| class.is_cut_off()), "{report}");
}

#[test]
fn a_killed_watch_process_is_replaced_and_nothing_is_lost() {
    let _alone = alone();
    let service = service("workers.count = 2");
    service.wait_workers(2, START);
    let load = usual_load(&service).start();
    for _ in 0..3 {
        let watch =
            service.wait_status("a watch process", START, |s| s.watch().is_some_and(is_alive));
        let watch = watch.watch().expect("just waited for");
        kill_process(watch, Signal::KILL).expect("the watch process of the status");
        let fresh = |s: &e2e::harness::Status| s.watch().is_some_and(|now| now != watch);
        service.wait_status("another watch process", START, fresh);
    }
    let answers = || service.get_admin("/healthz").ok().filter(|answer| answer.status == 200);
    assert!(poll(START, answers).is_some(), "{}", service.log());
    assert_nothing_lost("SIGKILL of watch x3", &load.stop(), &service);
}

/// How new code can be broken, and words one of which the reason must hold.
const BROKEN: [(&str, &[&str]); 4] = [
    ("exit", &["exit", "status 7", "code 7"]),
    ("hang", &["boot timeout", "boot_timeout", "within", "timed out"]),
    ("panic", &["panic", "boot"]),
    ("error", &["fixture fails at boot", "load"]),
];

#[test]
fn a_reload_onto_broken_code_keeps_the_old_generation_and_says_why() {
    let _alone = alone();
    let boot_timeout = Duration::from_secs(2);
    let service = service("workers.count = 2\nworkers.boot_timeout = \"2s\"");
    let before = service.wait_workers(2, START);
    let load = usual_load(&service).start();
    for (kind, words) in BROKEN {
        service.fixture(&[("FIXTURE_BOOT", kind)]);
        let begun = Instant::now();
        let output = service.control(&["reload", "--wait"]);
        let took = begun.elapsed();
        let reason = String::from_utf8_lossy(&output.stderr).to_lowercase();
        say(format_args!("reload onto {kind}: {took:.2?}, {}", reason.trim()));
        assert_eq!(output.status.code(), Some(1), "{kind}: {output:?}");
        assert!(words.iter().any(|word| reason.contains(word)), "{kind}: {reason}");
        assert!(took <= boot_timeout + Duration::from_secs(1), "{kind} took {took:?}");
        let after = service.wait_workers(2, START);
        assert_eq!((after.pids(), after.generation), (before.pids(), before.generation), "{kind}");
    }
    service.fixture(&[]);
    service.control_ok(&["reload", "--wait"]);
    service.wait_status("a good reload afterwards", START, |status| {
        // Numbers of generations that failed are not used again.
        status.generation > before.generation && status.is_settled()
    });
    assert_nothing_lost("reloads onto broken code", &load.stop(), &service);
}

#[test]
fn while_new_code_is_broken_a_dead_worker_is_replaced_from_the_old_program() {
    let _together = together();
    let config = "workers.count = 2\nworkers.boot_timeout = \"5s\"";
    let service = Launch::new(fixture()).copied().config(config).start().ready(START);
    let before = service.wait_workers(2, START);
    service.install_script("#!/bin/sh\nexit 7\n");
    let output = service.control(&["reload", "--wait"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let victim = before.pids()[0];
    kill_process(pid(victim), Signal::KILL).expect("a worker of the status");
    let status = service.wait_status("a replacement of the old generation", START, |status| {
        status.ready() == 2 && !status.has(victim)
    });
    assert!(status.workers.iter().all(|worker| worker.generation == before.generation));
    for _ in 0..10 {
        assert_eq!(service.get("/slow").map(|answer| answer.text()), Ok("slow\n".into()));
    }
}

#[test]
fn a_blocked_worker_is_reported_and_replaced_while_the_others_answer() {
    let _alone = alone();
    let service = service("workers.count = 2\nworkers.timeout = \"2s\"");
    let before = service.wait_workers(2, START);
    let probes = Load {
        new_connections: 2,
        kept_alive: 0,
        path: "/healthz".into(),
        think: Some(Duration::from_millis(10)),
        ..Load::new(service.address)
    };
    let probes = probes.start();
    let blocked = burst(&service.target(), "/block", 1, START);
    probes.mark("blocked");
    let line = service.wait_log(&["GET", "/block"], Duration::from_secs(10));
    say(format_args!("a blocked worker is reported: {line}"));
    assert!(line.contains("ERROR") || line.contains("CRITICAL"), "{line}");
    let after = line.split("/block").nth(1).unwrap_or_default();
    assert!(after.contains(|c: char| c.is_ascii_digit()), "an age stands in the line: {line}");
    service.wait_status("a replacement", START, |status| {
        status.ready() == 2 && before.pids().iter().any(|pid| !status.has(*pid))
    });
    let report = probes.stop();
    say(format_args!("/healthz beside a blocked worker\n{report}"));
    let p99 = report.phase("blocked").quantile(0.99);
    assert!(p99 < Duration::from_millis(50), "p99 of /healthz {p99:?}\n{report}");
    assert!(blocked.collect().iter().all(Result::is_err), "nobody answers a request for ever");
}

#[test]
fn with_every_worker_blocked_the_admin_listener_says_so_at_once() {
    let _alone = alone();
    let service = service("workers.count = 2\nworkers.timeout = \"8s\"");
    service.wait_workers(2, START);
    // One at a time: whoever is blocked cannot take the next one.
    for count in 1..=2 {
        let _never_answered = burst(&service.target(), "/block", 1, START);
        service.wait_status("one more blocked worker", Duration::from_secs(5), |status| {
            status.workers.iter().filter(|worker| worker.in_flight > 0).count() == count
        });
    }
    let red = || service.get_admin("/healthz").ok().filter(|answer| answer.status == 503);
    let deadline = Duration::from_secs(5);
    assert!(poll(deadline, red).is_some(), "/healthz stays green:\n{}", service.log());
    for path in ["/healthz", "/readyz"] {
        let answer = service.get_admin(path).expect("the admin listener answers");
        let (took, text) = (answer.took, answer.text());
        say(format_args!("every worker blocked, admin {path}: {took:.1?} {}", text.trim()));
        assert_eq!(answer.status, 503, "{path}: {text}");
        assert!(took < Duration::from_millis(50), "{path} took {took:?}");
    }
    let text = service.get_admin("/healthz").expect("the admin listener answers").text();
    assert!(["progress", "stalled"].iter().any(|word| text.contains(word)), "{text}");
}

#[test]
fn nobody_survives_a_killed_supervisor() {
    let _together = together();
    let mut service = service("workers.count = 2\nworkers.grace = \"2s\"");
    service.wait_workers(2, START);
    // A busy worker must go as well.
    let _in_flight = burst(&service.target(), "/slow?ms=60000", 1, Duration::from_secs(5));
    let family = children(service.pid());
    assert!(family.len() >= 3, "two workers and watch: {family:?}");
    service.signal(Signal::KILL);
    service.wait_exit(START);
    let gone = || family.iter().all(|pid| !is_alive(*pid)).then_some(());
    let deadline = Duration::from_secs(2) + Duration::from_secs(3);
    assert!(poll(deadline, gone).is_some(), "orphans are left:\n{}", service.log());
}

#[test]
fn an_application_that_never_boots_ends_the_service_with_its_exit_code() {
    let _together = together();
    for count in ["1", "4"] {
        for (kind, code) in [("exit", 3), ("panic", 3), ("error", 4)] {
            let config = format!("workers.count = {count}");
            let mut service = Service::start(fixture(), &[("FIXTURE_BOOT", kind)], &config);
            let status = service.wait_exit(Duration::from_secs(30));
            assert_eq!(status.code(), Some(code), "{kind} x{count}:\n{}", service.log());
        }
    }
}

#[test]
fn an_application_that_hangs_at_boot_ends_the_service_after_the_boot_timeout() {
    let _together = together();
    let config = "workers.count = 2\nworkers.boot_timeout = \"1s\"";
    let mut service = Service::start(fixture(), &[("FIXTURE_BOOT", "hang")], config);
    let status = service.wait_exit(Duration::from_secs(30));
    assert_eq!(status.code(), Some(3), "{}", service.log());
}

#[test]
fn a_panic_in_a_handler_is_a_500_and_the_worker_lives() {
    let _together = together();
    let service = service("workers.count = 1");
    let before = service.wait_workers(1, START).pids();
    for _ in 0..3 {
        assert_eq!(service.get("/panic").map(|answer| answer.status), Ok(500));
    }
    assert_eq!(service.get("/").map(|answer| answer.status), Ok(200));
    assert_eq!(service.status().pids(), before);
}

#[test]
fn a_standard_error_that_nobody_reads_stops_nobody_and_loses_nothing_unsaid() {
    let _together = together();
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let launch = Launch::new(fixture()).config("workers.count = 1").stderr(writer);
    let mut service = launch.start().ready(START);
    // More lines than the pipe and the worker's ring hold together.
    let sent = 8_000;
    for _ in 0..sent {
        let answer = send(&service.target(), b"NOT A REQUEST\r\n\r\n", START);
        assert!(answer.is_ok_and(|answer| answer.status == 400));
    }
    let answer = service.get("/").map(|answer| answer.status);
    assert_eq!(answer, Ok(200), "served while nobody reads the log");
    let reading = std::thread::spawn(move || {
        let mut log = String::new();
        reader.read_to_string(&mut log).map(|_| log)
    });
    service.signal(Signal::TERM);
    assert_eq!(service.wait_exit(START).code(), Some(0));
    let log = reading.join().expect("a reader").expect("a log of text");
    let written = log.lines().filter(|line| line.contains("Invalid request")).count();
    let told: usize = log
        .lines()
        .filter_map(|line| {
            line.split_once(" log lines of ")?.0.rsplit(' ').next()?.parse::<usize>().ok()
        })
        .sum();
    assert!(told > 0 && written < sent, "the pipe held everything: {written} written");
    // Lines of the worker's own life are among those that found no room.
    assert!((sent..sent + 10).contains(&(written + told)), "{written} + {told} of {sent}");
    assert!(log.lines().all(|line| line.starts_with('[')), "a torn line");
}

#[test]
fn a_standard_error_that_is_never_read_does_not_hold_the_stop() {
    let _together = together();
    let (_reader, writer) = std::io::pipe().expect("a pipe");
    let launch = Launch::new(fixture()).config("workers.count = 1").stderr(writer);
    let mut service = launch.start().ready(START);
    for _ in 0..1_500 {
        let answer = send(&service.target(), b"NOT A REQUEST\r\n\r\n", START);
        assert!(answer.is_ok_and(|answer| answer.status == 400));
    }
    let watch = service.status().watch().expect("watch runs");
    service.signal(Signal::TERM);
    assert_eq!(service.wait_exit(START).code(), Some(0));
    assert!(poll(START, || (!is_alive(watch)).then_some(())).is_some(), "watch is left behind");
}
