//! What systemd gives and expects: inherited sockets, notifications, the watchdog.

use crate::support::*;
use e2e::harness::{Launch, poll};
use e2e::load::{Target, get};
use rustix::process::Signal;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

#[test]
fn a_socket_from_systemd_is_served_over_reloads() {
    let _together = together();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let target = Target::from(listener.local_addr().expect("a bound listener"));
    let launch = Launch::new(fixture()).config("workers.count = 1").listen_fd(listener);
    let mut service = launch.start();
    let answers = || {
        let answer = get(&target, "/readyz", Duration::from_secs(1)).ok()?;
        (answer.status == 200).then_some(())
    };
    assert!(poll(START, answers).is_some(), "{}", service.log());
    service.control_ok(&["reload", "--wait"]);
    assert!(poll(START, answers).is_some(), "{}", service.log());
    service.signal(Signal::TERM);
    assert_eq!(service.wait_exit(START).code(), Some(0), "{}", service.log());
}

#[test]
fn a_socket_from_systemd_outlives_the_service_and_so_does_its_queue() {
    let _together = together();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let target = Target::from(listener.local_addr().expect("a bound listener"));
    let start = || {
        let passed = listener.try_clone().expect("a descriptor");
        Launch::new(fixture()).config("workers.count = 1").listen_fd(passed).start()
    };
    let answers = || {
        let answer = get(&target, "/readyz", Duration::from_secs(1)).ok()?;
        (answer.status == 200).then_some(())
    };
    let mut service = start();
    assert!(poll(START, answers).is_some(), "{}", service.log());
    service.signal(Signal::TERM);
    assert_eq!(service.wait_exit(START).code(), Some(0), "{}", service.log());
    // Nobody serves now; whoever connects waits for the next service.
    let waiting = e2e::load::burst(&target, "/", 4, START);
    let service = start();
    assert!(poll(START, answers).is_some(), "{}", service.log());
    let outcomes = waiting.collect();
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
}

/// Receives notifications until one holds this line; returns it whole.
fn expect(socket: &UnixDatagram, line: &str, seen: &mut Vec<String>) -> String {
    let end = Instant::now() + START;
    let mut buffer = [0_u8; 4096];
    while Instant::now() < end {
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        seen.push(text.clone());
        if text.lines().any(|l| l == line) {
            return text;
        }
    }
    panic!("no {line} among {seen:?}")
}

#[test]
fn systemd_is_told_of_ready_reloading_stopping_and_progress() {
    let _together = together();
    let place = tempfile::tempdir().expect("a temporary directory");
    let path = place.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).expect("a socket in our own directory");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a socket option");
    let launch = Launch::new(fixture()).config("workers.count = 1");
    let launch = launch.env("NOTIFY_SOCKET", &path.to_string_lossy());
    let mut service = launch.env("WATCHDOG_USEC", "2000000").start();
    let mut seen = Vec::new();
    expect(&socket, "READY=1", &mut seen);
    assert_eq!(service.get("/readyz").map(|a| a.status), Ok(200), "READY=1 means ready");
    expect(&socket, "WATCHDOG=1", &mut seen);
    service.signal(Signal::HUP);
    let reloading = expect(&socket, "RELOADING=1", &mut seen);
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    expect(&socket, "READY=1", &mut seen);
    service.signal(Signal::TERM);
    expect(&socket, "STOPPING=1", &mut seen);
    assert_eq!(service.wait_exit(START).code(), Some(0), "{}", service.log());
}

#[test]
fn the_watchdog_is_not_fed_while_no_worker_makes_progress() {
    let _together = together();
    let place = tempfile::tempdir().expect("a temporary directory");
    let path = place.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).expect("a socket in our own directory");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket option");
    let launch = Launch::new(fixture()).config("workers.count = 1\nworkers.timeout = \"30s\"");
    let launch = launch.env("NOTIFY_SOCKET", &path.to_string_lossy());
    let service = launch.env("WATCHDOG_USEC", "1000000").start().ready(START);
    expect(&socket, "WATCHDOG=1", &mut Vec::new());
    let _held = e2e::load::burst(&service.target(), "/block", 1, Duration::from_secs(1));
    // Systemd would act after one second without a word; this waits for two.
    let (end, mut quiet) = (Instant::now() + START, Instant::now());
    let mut buffer = [0_u8; 4096];
    while quiet.elapsed() < Duration::from_secs(2) {
        assert!(Instant::now() < end, "the watchdog is fed for a blocked worker");
        if let Ok(length) = socket.recv(&mut buffer)
            && buffer[..length].windows(10).any(|part| part == b"WATCHDOG=1")
        {
            quiet = Instant::now();
        }
    }
}
