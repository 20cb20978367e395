//! Signals that stop, reopen, or do nothing, as Gunicorn means them.

use crate::support::*;
use e2e::load::{Failure, burst};
use rustix::process::Signal;
use std::time::{Duration, Instant};

#[test]
fn int_and_quit_stop_quickly_with_status_zero() {
    let _together = together();
    for signal in [Signal::INT, Signal::QUIT] {
        let mut service = service("workers.count = 2\nworkers.grace = \"60s\"");
        let cut = burst(&service.target(), "/slow?ms=60000", 1, START);
        service.wait_status("the request in flight", START, |status| {
            status.workers.iter().any(|worker| worker.in_flight == 1)
        });
        service.signal(signal);
        let status = service.wait_exit(Duration::from_secs(5));
        assert_eq!(status.code(), Some(0), "{signal:?}:\n{}", service.log());
        // A quick stop does not wait for a request of a minute.
        assert!(cut.collect().iter().all(Result::is_err));
    }
}

#[test]
fn int_during_a_term_wait_makes_the_stop_quick() {
    let _together = together();
    let mut service = service("workers.count = 1\nworkers.grace = \"60s\"");
    let _cut = burst(&service.target(), "/slow?ms=60000", 1, START);
    service.wait_status("the request in flight", START, |status| {
        status.workers.iter().any(|worker| worker.in_flight == 1)
    });
    service.signal(Signal::TERM);
    service.wait_log(&["signal", "term"], START);
    assert!(service.try_exit().is_none(), "TERM waits for the request");
    let begun = Instant::now();
    service.signal(Signal::INT);
    assert_eq!(service.wait_exit(Duration::from_secs(5)).code(), Some(0), "{}", service.log());
    say(format_args!("INT during a TERM wait: over after {:.2?}", begun.elapsed()));
}

#[test]
fn the_grace_time_ends_a_stop_that_waits_in_vain() {
    let _together = together();
    let mut service = service("workers.count = 1\nworkers.grace = \"1s\"");
    let cut = burst(&service.target(), "/slow?ms=60000", 1, START);
    service.wait_status("the request in flight", START, |status| {
        status.workers.iter().any(|worker| worker.in_flight == 1)
    });
    service.signal(Signal::TERM);
    assert_eq!(service.wait_exit(Duration::from_secs(10)).code(), Some(0), "{}", service.log());
    assert!(cut.collect().iter().all(Result::is_err));
}

#[test]
fn usr1_is_logged_and_winch_changes_nothing() {
    let _together = together();
    let service = service("workers.count = 2");
    let before = service.wait_workers(2, START);
    service.signal(Signal::WINCH);
    service.signal(Signal::USR1);
    // Signals are handled in order: once USR1 is in the log, WINCH is over.
    service.wait_log(&["usr1"], START);
    let after = service.wait_workers(2, START);
    assert_eq!((after.pids(), after.generation), (before.pids(), before.generation));
    assert_eq!(service.get("/").map(|answer| answer.status), Ok(200));
}

#[test]
fn term_removes_the_pidfile_and_the_control_socket() {
    let _together = together();
    let mut service = service("workers.count = 1");
    let [pidfile, socket] = ["service.pid", "control.sock"].map(|n| service.directory().join(n));
    let text = std::fs::read_to_string(&pidfile).expect("a pidfile while the service runs");
    assert_eq!(text, format!("{}\n", service.pid()));
    assert!(socket.exists());
    service.signal(Signal::TERM);
    assert_eq!(service.wait_exit(START).code(), Some(0), "{}", service.log());
    assert!(!pidfile.exists() && !socket.exists());
    assert_eq!(service.get("/").map(|answer| answer.status), Err(Failure::Refused));
}
