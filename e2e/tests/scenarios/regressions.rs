//! Faults that once were: upgrade beside stop and reload, links, sockets in the
//! same place, askers that are rude to the control socket.

use crate::support::*;
use e2e::harness::{Launch, poll, program_inode};
use e2e::load::{Target, burst, get};
use rustix::process::Signal;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

#[test]
fn term_right_after_usr2_ends_the_service_with_status_zero() {
    let _together = together();
    let mut service = service("workers.count = 2");
    service.wait_workers(2, START);
    service.signal(Signal::USR2);
    service.signal(Signal::TERM);
    assert_eq!(service.wait_exit(START).code(), Some(0), "{}", service.log());
}

#[test]
fn a_reload_right_after_usr2_succeeds() {
    let _together = together();
    let service = service("workers.count = 2");
    let before = service.wait_workers(2, START);
    service.signal(Signal::USR2);
    service.control_ok(&["reload", "--wait"]);
    let after = service.wait_status("a new generation alone", START, |status| {
        status.generation > before.generation && status.workers.len() == 2 && status.is_settled()
    });
    assert_eq!(after.json["supervisor_pid"], before.json["supervisor_pid"]);
    assert_eq!(service.get("/").map(|answer| answer.status), Ok(200));
}

#[test]
fn a_reload_follows_a_link_that_points_to_another_program() {
    let _together = together();
    let launch = Launch::new(fixture()).linked().config("workers.count = 1");
    let service = launch.start().ready(START);
    let program = |status: &e2e::harness::Status| {
        program_inode(pid(status.pids()[0])).expect("a ready worker runs a program")
    };
    let old = program(&service.wait_workers(1, START));
    let (second, link) = (service.directory().join("second"), service.directory().join("next"));
    std::fs::copy(fixture(), &second).expect("room for a copy");
    let inode = |path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).expect("ours"));
    // As a deployment does it: there is a link at every moment.
    std::os::unix::fs::symlink("second", &link).expect("our own directory");
    std::fs::rename(link, service.program()).expect("a rename within one directory");
    service.control_ok(&["reload", "--wait"]);
    let new = program(&service.wait_workers(1, START));
    assert_ne!(new, old, "the worker still runs the first copy");
    assert_eq!(new, inode(&second), "the worker runs the second copy");
}

#[test]
fn the_end_of_an_older_service_leaves_the_unix_socket_of_a_newer_one() {
    let _together = together();
    let bind = "workers.count = 1\nserver.bind = [\"{address}\", \"unix:{dir}/app.sock\"]";
    let mut old = service(bind);
    let path = old.directory().join("app.sock");
    let target = Target::Unix(path.clone());
    let slow = burst(&target, "/slow?ms=8000", 1, START);
    old.wait_status("the request in flight", START, |status| in_flight(status) == 1);
    old.signal(Signal::TERM);
    // As long as the old one listens, the new one is refused, and rightly so.
    let sealed = poll(START, || UnixStream::connect(&path).is_err().then_some(()));
    assert!(sealed.is_some(), "the old service still listens:\n{}", old.log());
    assert!(old.try_exit().is_none(), "the old service waits for its request:\n{}", old.log());
    let socket = path.display();
    let bind = format!("workers.count = 1\nserver.bind = [\"{{address}}\", \"unix:{socket}\"]");
    let new = service(&bind);
    let answer = || get(&target, "/", Duration::from_secs(5)).map(|answer| answer.status);
    assert_eq!(answer(), Ok(200), "beside the old one:\n{}", new.log());
    assert!(old.try_exit().is_none(), "the old service ended too early for this scenario");
    assert!(slow.collect().iter().all(|o| o.as_ref().is_ok_and(|answer| answer.status == 200)));
    assert_eq!(old.wait_exit(START).code(), Some(0), "{}", old.log());
    assert!(path.exists(), "the old service took the socket of the new one with it");
    assert_eq!(answer(), Ok(200), "after the end of the old one:\n{}", new.log());
}

#[test]
fn forty_silent_clients_do_not_lock_the_operator_out() {
    const SILENT: usize = 40;
    let _together = together();
    let service = service("workers.count = 1");
    let socket = service.directory().join("control.sock");
    let (sender, opened) = mpsc::channel();
    // On a thread of its own: connecting to a full queue has no end by itself.
    std::thread::spawn(move || {
        for _ in 0..SILENT {
            // The scenario may have failed meanwhile.
            sender.send(UnixStream::connect(&socket)).ok();
        }
    });
    let open = |_| opened.recv_timeout(START).expect("somebody accepts").expect("a socket");
    let silent: Vec<_> = (0..SILENT).map(open).collect();
    service.control_ok(&["status"]);
    assert_eq!(service.status().ready(), 1);
    drop(silent);
}

#[test]
fn an_asker_that_closes_its_half_still_gets_its_answer() {
    let _together = together();
    let service = service("workers.count = 1");
    let socket = service.directory().join("control.sock");
    let mut stream = UnixStream::connect(socket).expect("the control socket");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket option");
    stream.write_all(b"{\"command\":\"status\"}\n").expect("an open socket");
    stream.shutdown(Shutdown::Write).expect("an open socket");
    let mut line = String::new();
    let read = BufReader::new(stream).read_line(&mut line);
    assert!(read.is_ok() && line.ends_with('\n'), "{read:?}: {line:?}\n{}", service.log());
    assert!(serde_json::from_str::<Value>(&line).is_ok_and(|answer| answer.is_object()), "{line}");
    assert!(line.contains("supervisor_pid"), "{line}");
}

#[test]
fn workers_with_several_threads_lose_nothing_and_count_every_request() {
    let _alone = alone();
    let service = service("workers.count = 2\nworkers.threads = 4");
    service.wait_workers(2, START);
    let load = usual_load(&service).start();
    undisturbed(&service, &load);
    load.mark("reload");
    service.control_ok(&["reload", "--wait"]);
    load.mark("after");
    undisturbed(&service, &load);
    let report = load.stop();
    assert_nothing_lost("reload with 2 workers of 4 threads", &report, &service);
    let status = service.wait_status("nothing in flight", START, |status| {
        status.json["in_flight"] == 0 && in_flight(status) == 0
    });
    let counted = status.json["requests"].as_u64().expect("a number");
    assert!(counted >= report.ok(), "{counted} counted, {} answered", report.ok());
}

/// On a busy machine a thread of a low priority does not get the processor that it needs to die, and who is not dead
/// has no successor: watch was away for seconds, and what workers logged meanwhile found no room.
#[test]
fn no_thread_has_a_priority_with_which_it_cannot_even_die() {
    let _together = together();
    let service = service("workers.count = 1");
    assert_eq!(service.get_admin("/metrics").map(|page| page.status), Ok(200));
    let status = service.wait_workers(1, START);
    let watch = status.watch().expect("watch runs").as_raw_nonzero().get();
    let mut threads = 0;
    for process in [i32::try_from(status.pids()[0]).expect("a pid"), watch] {
        let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("it lives");
        for task in tasks.flatten() {
            let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else { continue };
            let (name, fields) = stat.rsplit_once(") ").expect("a name in brackets");
            let fields: Vec<&str> = fields.split(' ').collect();
            // Behind the name: nice is the 17th field, the policy the 39th.
            assert_eq!((fields[16], fields[38]), ("0", "0"), "{name}");
            threads += 1;
        }
    }
    assert!(threads > 5, "{threads} threads");
}
