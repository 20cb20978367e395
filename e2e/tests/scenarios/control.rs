//! The commands on the control socket.

use crate::support::*;
use e2e::load::burst;
use rustix::process::Signal;
use std::time::Duration;

#[test]
fn status_tells_state_generation_and_every_worker() {
    let _together = together();
    let service = service("workers.count = 2");
    let status = service.wait_workers(2, START);
    assert_eq!(status.json["supervisor_pid"], service.pid().as_raw_nonzero().get());
    assert_eq!(status.json["state"], "ready");
    for worker in status.json["workers"].as_array().expect("a list") {
        for key in ["slot", "rss_bytes", "heartbeat_age_seconds", "age_seconds"] {
            assert!(worker[key].is_number(), "{key} in {worker}");
        }
        assert!(worker["heartbeat_age_seconds"].as_f64().expect("a number") < 10.0, "{worker}");
    }
    let text = service.control_ok(&["status"]);
    assert!(status.pids().iter().all(|pid| text.contains(&pid.to_string())), "{text}");
    let mode = std::fs::metadata(service.directory().join("control.sock")).expect("a socket");
    let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions());
    assert_eq!(mode & 0o777, 0o600, "nobody else may control the service");
}

#[test]
fn served_requests_are_counted_exactly() {
    let _together = together();
    let service = service("workers.count = 2");
    let before = service.wait_workers(2, START);
    let count = |s: &e2e::harness::Status| s.workers.iter().map(|w| w.requests).sum::<u64>();
    for _ in 0..25 {
        assert_eq!(service.get("/").map(|answer| answer.status), Ok(200));
    }
    let expected = count(&before) + 25;
    service.wait_status("25 requests more", START, |status| count(status) == expected);
}

#[test]
fn workers_are_added_removed_and_recycled_by_command() {
    let _together = together();
    let service = service("workers.count = 2");
    service.wait_workers(2, START);
    service.control_ok(&["workers", "add", "2"]);
    service.wait_workers(4, START);
    service.control_ok(&["workers", "remove", "1"]);
    let status = service.wait_workers(3, START);
    let old = status.pids()[0];
    let text = service.control_ok(&["workers"]);
    assert!(text.contains(&old.to_string()), "{text}");
    service.control_ok(&["workers", "recycle", &old.to_string()]);
    service.wait_status("one recycled worker", START, |now| {
        now.ready() == 3 && now.workers.len() == 3 && !now.has(old)
    });
}

#[test]
fn requests_in_flight_are_listed_with_method_path_and_age() {
    let _together = together();
    let service = service("workers.count = 1");
    let slow = burst(&service.target(), "/slow?ms=3000", 1, START);
    service.wait_status("the request in flight", START, |status| {
        status.workers.iter().any(|worker| worker.in_flight == 1)
    });
    let json = service.control_ok(&["requests", "--json"]);
    let text = service.control_ok(&["requests"]);
    for word in ["GET", "/slow"] {
        assert!(json.contains(word) && text.contains(word), "{word} in {json}\n{text}");
    }
    assert!(json.contains("age"), "{json}");
    assert!(slow.collect().iter().all(|outcome| outcome.as_ref().is_ok_and(|a| a.status == 200)));
    service.wait_status("nothing in flight", START, |status| {
        status.workers.iter().all(|worker| worker.in_flight == 0)
    });
    assert!(!service.control_ok(&["requests", "--json"]).contains("/slow"));
}

#[test]
fn a_log_level_can_be_changed_for_a_while() {
    let _together = together();
    let service = service("workers.count = 1");
    // WINCH has a line at debug. Of pending signals the lowest number is read first, which WINCH is
    // not: a command's answer tells that it is over, and the line of USR1, sent after that, that its
    // own line is written.
    let debug_lines = || {
        let before = service.log_lines(&["usr1"]).len();
        service.signal(Signal::WINCH);
        service.control_ok(&["status"]);
        service.signal(Signal::USR1);
        let handled = || (service.log_lines(&["usr1"]).len() > before).then_some(());
        assert!(e2e::harness::poll(START, handled).is_some(), "{}", service.log());
        service.log_lines(&["[debug]", "winch"]).len()
    };
    assert_eq!(debug_lines(), 0, "{}", service.log());
    service.control_ok(&["log-level", "debug", "--for", "4s"]);
    assert_eq!(debug_lines(), 1, "{}", service.log());
    // Each probe leaves one line more as long as the level is debug.
    let mut last = 1;
    let reverted = e2e::harness::poll(Duration::from_secs(20), || {
        let now = debug_lines();
        let quiet = now == last;
        last = now;
        quiet.then_some(())
    });
    assert!(reverted.is_some(), "the level does not go back:\n{}", service.log());
}

#[test]
fn stop_ends_the_service_with_status_zero() {
    let _together = together();
    for args in [["stop"].as_slice(), &["stop", "--quick"]] {
        let mut service = service("workers.count = 2");
        service.control_ok(args);
        assert_eq!(service.wait_exit(START).code(), Some(0), "{args:?}:\n{}", service.log());
    }
}

#[test]
fn a_command_without_a_service_ends_with_status_two() {
    let _together = together();
    let mut service = service("workers.count = 1");
    service.control_ok(&["stop"]);
    service.wait_exit(START);
    for args in [["status"].as_slice(), &["reload", "--wait"], &["workers", "add", "1"]] {
        let output = service.control(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{args:?}: {output:?}");
    }
}

#[test]
fn clients_that_say_nothing_do_not_hold_up_the_control_socket() {
    let _together = together();
    let service = service("workers.count = 1");
    let socket = service.directory().join("control.sock");
    let silent: Vec<_> =
        (0..10).map_while(|_| std::os::unix::net::UnixStream::connect(&socket).ok()).collect();
    assert!(!silent.is_empty());
    assert_eq!(service.status().ready(), 1);
    assert_eq!(service.get("/").map(|answer| answer.status), Ok(200));
}
