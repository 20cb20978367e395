//! The harness on its own, without a service.

use super::launch::{file_text, free_address};
use super::*;
use std::process::{Command, Stdio};

#[test]
fn a_scenario_may_override_a_fixed_setting() {
    let (main, admin) = (free_address(), free_address());
    let text = file_text(
        Path::new("/d"),
        main,
        admin,
        "health.drain_delay = \"1s\"\n  server.bind = [\"{address}\", \"unix:{dir}/s\"]",
    );
    let expected = format!(
        "server.admin = \"{admin}\"\nserver.control = \"/d/control.sock\"\n\
         server.pidfile = \"/d/service.pid\"\nhealth.drain_delay = \"1s\"\n\
         server.bind = [\"{main}\", \"unix:/d/s\"]\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn free_addresses_are_not_handed_out_twice() {
    assert_ne!(free_address(), free_address());
}

#[test]
fn our_own_process_is_alive_and_has_memory() {
    let me = rustix::process::getpid();
    assert!(is_alive(me) && rss_bytes(me).unwrap() > 0 && program_inode(me).is_some());
    // Other tests of this process have children too.
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    assert!(children(me).contains(&pid) && children(pid).is_empty());
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(!children(me).contains(&pid) && !is_alive(pid));
}

#[test]
fn a_status_is_read_and_a_half_one_is_not() {
    let text = br#"{"generation": 3, "watch_pid": 9, "workers": [
        {"pid": 5, "generation": 3, "state": "ready", "in_flight": 1, "connections": 2, "requests": 4},
        {"pid": 4, "generation": 2, "state": "draining", "in_flight": 0, "connections": 0, "requests": 9}]}"#;
    let status = Status::parse(text).unwrap();
    assert_eq!((status.ready(), status.pids(), status.is_settled()), (1, vec![5], false));
    assert!(status.has(4) && status.watch().is_some());
    assert!(Status::parse(br#"{"generation": 3}"#).is_none());
}

#[test]
fn polling_ends_at_the_deadline() {
    assert_eq!(poll(Duration::from_millis(20), || None::<()>), None);
    assert_eq!(poll(Duration::ZERO, || Some(1)), Some(1));
}
