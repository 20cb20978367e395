//! Starts that must fail: one clear message each, and the right exit code.

use crate::support::*;
use e2e::harness::{Launch, Service};
use std::net::TcpListener;
use std::time::Duration;

/// Long enough for five tries, one second apart, to bind a busy port.
const REFUSAL: Duration = Duration::from_secs(15);

/// The service does not start; its message holds these words.
fn refused(mut service: Service, code: i32, words: &[&str]) {
    let status = service.wait_exit(REFUSAL);
    let log = service.log();
    assert_eq!(status.code(), Some(code), "{words:?}:\n{log}");
    for word in words {
        assert!(log.contains(word), "{word:?} is not in:\n{log}");
    }
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn a_bad_configuration_names_key_value_and_origin_and_ends_with_78() {
    let _together = together();
    for (line, words) in [
        ("workers.count = \"many\"", ["workers.count", "many", "mainstay.toml"]),
        ("workers.cuont = 4", ["workers.cuont", "workers.count", "mainstay.toml"]),
        ("http.keep_alive = \"soon\"", ["http.keep_alive", "soon", "mainstay.toml"]),
        ("workers.count = [", ["mainstay.toml", "", ""]),
    ] {
        refused(Service::start(fixture(), &[], line), 78, &words);
    }
    let env = [("MAINSTAY_WORKERS_COUNT", "0.5")];
    refused(Service::start(fixture(), &env, ""), 78, &["MAINSTAY_WORKERS_COUNT", "0.5"]);
    let env = [("MAINSTAY_WORKERS_CUONT", "2")];
    refused(Service::start(fixture(), &env, ""), 78, &["CUONT", "MAINSTAY_WORKERS_COUNT"]);
}

#[test]
fn a_missing_or_unreadable_configuration_file_ends_with_78() {
    let _together = together();
    for file in ["missing.toml", "/"] {
        refused(Launch::new(fixture()).arg("-c").arg(file).start(), 78, &[file]);
    }
}

#[test]
fn an_unknown_flag_ends_with_64_and_names_the_nearest() {
    let _together = together();
    let service = Launch::new(fixture()).arg("--wrokers").arg("2").start();
    refused(service, 64, &["--wrokers", "--workers"]);
}

#[test]
fn a_busy_port_is_named_and_ends_with_1() {
    let _together = together();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("a bound listener").to_string();
    let config = format!("server.bind = \"{address}\"");
    refused(Service::start(fixture(), &[], &config), 1, &[&address]);
}

#[test]
fn an_unwritable_pidfile_is_named_and_ends_with_1() {
    let _together = together();
    let config = "server.pidfile = \"{dir}/no/such/directory/service.pid\"";
    refused(Service::start(fixture(), &[], config), 1, &["no/such/directory/service.pid"]);
}

#[test]
fn the_pidfile_of_a_living_process_refuses_the_start_and_a_stale_one_does_not() {
    let _together = together();
    let place = tempfile::tempdir().expect("a temporary directory");
    let path = place.path().join("shared.pid");
    let config = format!("server.pidfile = \"{}\"", path.display());
    let me = std::process::id().to_string();
    std::fs::write(&path, format!("{me}\n")).expect("our own directory");
    refused(Service::start(fixture(), &[], &config), 1, &["shared.pid", &me]);
    let kept = std::fs::read_to_string(&path).expect("the other's pidfile is left alone");
    assert_eq!(kept.trim(), me);
    // Above the highest process id that Linux gives.
    std::fs::write(&path, "4999999\n").expect("our own directory");
    let service = service(&config);
    let text = std::fs::read_to_string(&path).expect("its own pidfile now");
    assert_eq!(text.trim(), service.pid().to_string());
}

#[test]
fn a_second_service_on_the_same_port_or_control_socket_is_refused() {
    let _together = together();
    let first = service("workers.count = 1");
    let address = first.address.to_string();
    let config = format!("server.bind = \"{address}\"");
    refused(Service::start(fixture(), &[], &config), 1, &[&address]);
    let socket = first.directory().join("control.sock");
    let config = format!("server.control = \"{}\"", socket.display());
    refused(Service::start(fixture(), &[], &config), 1, &["control.sock"]);
    assert_eq!(first.status().ready(), 1, "the first one still answers on its socket");
    assert_eq!(first.get("/").map(|answer| answer.status), Ok(200));
}

#[test]
fn a_check_says_what_is_wrong_without_starting_anything() {
    let _together = together();
    let service = service("workers.count = 1");
    assert_eq!(service.control(&["check"]).status.code(), Some(0));
    service.configure("workers.count = \"many\"");
    let output = service.control(&["check"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("workers.count"), "{output:?}");
}
