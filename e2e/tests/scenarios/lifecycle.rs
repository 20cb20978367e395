//! Reload, recycling, upgrade, scaling and stop under load: nothing is lost.

use crate::support::*;
use e2e::harness::{Launch, Service, poll, program_inode};
use e2e::load::{Failure, Target, burst};
use rustix::process::Signal;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

/// Two workers that need 1.5 s to boot, both ready.
fn slow_booting(config: &str) -> Service {
    let service = Launch::new(fixture()).env(BOOT_MS.0, BOOT_MS.1).config(config).start();
    let service = service.ready(START);
    service.wait_workers(2, START);
    service
}

#[test]
fn five_reloads_under_load_lose_nothing_and_go_unnoticed() {
    let _alone = alone();
    let service = slow_booting("workers.count = 2");
    let load = usual_load(&service).start();
    undisturbed(&service, &load);
    load.mark("reload");
    for round in 0..5 {
        if round % 2 == 0 {
            reload(&service, 2);
            continue;
        }
        let before = service.status().generation;
        service.control_ok(&["reload", "--wait"]);
        service.wait_status("the next generation alone", START, |status| {
            status.generation == before + 1 && status.workers.len() == 2 && status.is_settled()
        });
    }
    let report = load.stop();
    assert_nothing_lost("reload x5, boot 1.5 s", &report, &service);
    assert_unnoticed(&report, "reload", BOOT);
}

#[test]
fn recycling_every_hundred_requests_loses_nothing_and_goes_unnoticed() {
    let _alone = alone();
    let service = slow_booting("workers.count = 2");
    let load = usual_load(&service).start();
    undisturbed(&service, &load);
    load.mark("reconfigure");
    service.configure("workers.count = 2\nworkers.max_requests = 100");
    service.control_ok(&["reload", "--wait"]);
    load.mark("recycling");
    let seen = RefCell::new(BTreeSet::new());
    service.wait_status("eight workers in turn", Duration::from_secs(60), |status| {
        // Recycling boots first and drains then: never fewer than configured.
        assert!(status.ready() >= 2, "{status:#?}");
        seen.borrow_mut().extend(status.pids());
        seen.borrow().len() >= 8
    });
    let report = load.stop();
    assert_nothing_lost("recycling every 100 requests, boot 1.5 s", &report, &service);
    assert_unnoticed(&report, "recycling", BOOT);
}

#[test]
fn the_supervisor_is_upgraded_in_place_three_times_and_nothing_is_lost() {
    let _alone = alone();
    let launch = Launch::new(fixture()).copied().config("workers.count = 2");
    let service = launch.env(BOOT_MS.0, BOOT_MS.1).start().ready(START);
    service.wait_workers(2, START);
    let load = usual_load(&service).start();
    undisturbed(&service, &load);
    load.mark("upgrade");
    for _ in 0..3 {
        let before = service.wait_workers(2, START);
        let old = program_inode(service.pid());
        service.install(fixture());
        service.signal(Signal::USR2);
        let changed = || program_inode(service.pid()).filter(|now| Some(*now) != old);
        assert!(poll(START, changed).is_some(), "no new program:\n{}", service.log());
        let status = service.wait_workers(2, START);
        assert_eq!(status.pids(), before.pids(), "workers are kept over an upgrade");
        assert!(status.generation >= before.generation, "the generation goes on");
        reload(&service, 2);
    }
    let report = load.stop();
    assert_nothing_lost("USR2 x3, each with a reload after it", &report, &service);
    assert_unnoticed(&report, "upgrade", BOOT);
}

#[test]
fn scaling_up_and_down_under_load_loses_nothing() {
    let _alone = alone();
    let service = slow_booting("workers.count = 2");
    let load = usual_load(&service).start();
    undisturbed(&service, &load);
    load.mark("scaling");
    for _ in 0..2 {
        service.signal(Signal::TTIN);
        service.wait_workers(3, START);
        service.signal(Signal::TTOU);
        service.wait_workers(2, START);
    }
    let report = load.stop();
    assert_nothing_lost("TTIN and TTOU x2, boot 1.5 s", &report, &service);
    assert_unnoticed(&report, "scaling", BOOT);
}

#[test]
fn the_last_worker_is_never_scaled_away() {
    let _together = together();
    let service = service("workers.count = 1");
    service.signal(Signal::TTOU);
    service.wait_log(&["ttou"], START);
    assert_eq!(service.wait_workers(1, START).workers.len(), 1);
    assert_eq!(service.get("/").map(|answer| answer.status), Ok(200));
}

#[test]
fn term_answers_everybody_in_a_full_accept_queue() {
    let _alone = alone();
    term_with_full_queue("", |service| service.target());
}

#[test]
fn term_answers_everybody_in_the_full_queue_of_a_unix_socket() {
    let _alone = alone();
    let bind = "server.bind = [\"unix:{dir}/app.sock\", \"{address}\"]\n";
    term_with_full_queue(bind, |service| Target::Unix(service.directory().join("app.sock")));
}

/// The only worker has one request in flight and its thread held; the queue is
/// then filled to its limit, and only then comes TERM.
fn term_with_full_queue(bind: &str, target: impl Fn(&Service) -> Target) {
    const QUEUE: usize = 64;
    let limit = Duration::from_secs(20);
    let mut service = service(&format!("{bind}workers.count = 1\nserver.backlog = {QUEUE}"));
    let target = target(&service);
    let slow = burst(&target, "/slow?ms=3500", 1, limit);
    let held = burst(&target, "/block?ms=2500", 1, limit);
    service.wait_status("both requests in flight", START, |status| {
        status.workers.iter().map(|worker| worker.in_flight).sum::<u64>() == 2
    });
    let queued = burst(&target, "/", QUEUE, limit);
    assert_eq!(queued.connected(), QUEUE, "the kernel takes as many as the backlog says");
    service.signal(Signal::TERM);
    for (name, burst) in [("slow", slow), ("held", held), ("queued", queued)] {
        let outcomes = burst.collect();
        let good = outcomes.iter().filter(|o| o.as_ref().is_ok_and(|answer| answer.status == 200));
        let (good, all) = (good.count(), outcomes.len());
        say(format_args!("TERM with a full queue, {name}: {good} of {all} answered"));
        assert_eq!(good, all, "{name}: {outcomes:?}\n{}", service.log());
    }
    assert_eq!(service.wait_exit(limit).code(), Some(0), "{}", service.log());
}

#[test]
fn term_under_load_ends_every_connection_with_an_answer() {
    let _alone = alone();
    let mut service = service("workers.count = 2");
    let mut load = usual_load(&service);
    // New connections are refused once the listener is gone, and rightly so.
    load.new_connections = 0;
    let load = load.start();
    undisturbed(&service, &load);
    load.mark("stop");
    service.signal(Signal::TERM);
    assert_eq!(service.wait_exit(START).code(), Some(0), "{}", service.log());
    let report = load.stop();
    say(format_args!("TERM under kept-alive load\n{report}"));
    // After its last answer each client comes back and is refused.
    let others: Vec<_> = report.failures().into_keys().filter(|c| *c != Failure::Refused).collect();
    assert!(others.is_empty(), "{others:?}\n{report}\n{}", service.log());
}

#[test]
fn a_reload_boots_the_program_that_is_now_on_disk() {
    let _together = together();
    let service = Launch::new(fixture()).copied().config("workers.count = 1").start().ready(START);
    assert_eq!(service.get("/slow").map(|answer| answer.status), Ok(200));
    service.install(hello());
    reload(&service, 1);
    assert_eq!(service.get("/slow").map(|answer| answer.status), Ok(404));
    assert_eq!(service.get("/").map(|answer| answer.text()), Ok("hello\n".into()));
}

#[test]
fn a_reload_applies_the_new_configuration_and_refuses_a_bad_one() {
    let _together = together();
    let service = service("workers.count = 1");
    service.configure("workers.count = 2");
    reload(&service, 2);
    service.configure("workers.count = \"many\"");
    let before = service.status();
    let output = service.control(&["reload", "--wait"]);
    // The command reads the same file, so it may refuse before it connects.
    assert!(!output.status.success(), "{output:?}");
    service.signal(Signal::HUP);
    service.wait_log(&["workers.count", "many"], START);
    service.configure("workers.count = 2");
    let after = service.status();
    assert_eq!((after.pids(), after.generation), (before.pids(), before.generation));
    assert_eq!(service.get("/").map(|answer| answer.status), Ok(200));
}

#[test]
fn workers_are_recycled_by_lifetime() {
    let _together = together();
    let service = service("workers.count = 1\nworkers.lifetime = \"1s\"");
    let first = service.wait_workers(1, START).pids();
    service.wait_status("another worker", START, |status| {
        status.ready() >= 1 && !status.pids().is_empty() && !status.has(first[0])
    });
    service.wait_log(&["lifetime"], START);
}

#[test]
fn workers_are_recycled_by_memory_with_never_fewer_than_wanted() {
    let _together = together();
    let service = service("workers.count = 1\nworkers.max_rss = \"1 MiB\"");
    let first = service.wait_workers(1, START).pids();
    service.wait_status("another worker", START, |status| {
        assert!(status.ready() >= 1, "nobody is ready while one is replaced");
        !status.has(first[0])
    });
    service.wait_log(&["resident memory"], START);
}

/// Reloads by signal and waits until the next generation is alone.
fn reload(service: &Service, workers: usize) {
    let next = service.status().generation + 1;
    service.signal(Signal::HUP);
    service.wait_status("the next generation alone", START, |status| {
        status.generation == next && status.workers.len() == workers && status.is_settled()
    });
}
