//! What systemd gives and expects: inherited sockets, notifications, the watchdog.

use crate::support::*;
use e2e::harness::{Launch, poll};
use e2e::load::{Target, get};
use e2e::peers::{find, missing};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
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

/// The system calls of systemd's groups, and the groups in them.
fn groups(analyze: &Path) -> BTreeMap<String, Vec<String>> {
    let told = Command::new(analyze).args(["syscall-filter", "--no-pager"]).output();
    let told = told.expect("a program that was found can be started").stdout;
    let (mut groups, mut group) = (BTreeMap::<_, Vec<_>>::new(), None);
    for line in String::from_utf8_lossy(&told).lines() {
        let word = line.trim();
        match (&group, line.starts_with(' ')) {
            (_, false) => group = word.starts_with('@').then(|| word.to_owned()),
            (Some(group), true) if !word.starts_with('#') => {
                groups.entry(group.clone()).or_default().push(word.to_owned());
            }
            _ => {}
        }
    }
    groups
}

/// A call by itself, or all of a group.
fn calls(name: &str, groups: &BTreeMap<String, Vec<String>>) -> BTreeSet<String> {
    match groups.get(name) {
        Some(members) => members.iter().flat_map(|it| calls(it, groups)).collect(),
        None => BTreeSet::from([name.to_owned()]),
    }
}

/// What the unit's filter lets through: its lines one after the other, each adds or takes away.
fn allowed(groups: &BTreeMap<String, Vec<String>>) -> BTreeSet<String> {
    let unit = fs::read_to_string(contrib("systemd/mainstay.service")).expect("the unit");
    let mut allowed = calls("@default", groups);
    for line in unit.lines().filter_map(|it| it.strip_prefix("SystemCallFilter=")) {
        let (takes_away, names) = line.strip_prefix('~').map_or((false, line), |it| (true, it));
        for call in names.split(' ').flat_map(|it| calls(it, groups)) {
            if takes_away {
                allowed.remove(&call);
            } else {
                allowed.insert(call);
            }
        }
    }
    allowed
}

#[test]
fn the_unit_allows_each_system_call_that_the_service_makes() {
    let _together = together();
    let Some((strace, analyze)) = find("strace").zip(find("systemd-analyze")) else {
        return missing("strace and systemd-analyze");
    };
    let place = tempfile::tempdir().expect("a temporary directory");
    // Beside the service, which keeps its pid and its parent; each process that is started has a table of its own.
    let program = place.path().join("traced");
    let script = format!(
        "#!/bin/sh\nexec '{}' -D -f -qq -c -U name -o '{}'/calls.$$ '{}' \"$@\"\n",
        strace.display(),
        place.path().display(),
        mainstay().display()
    );
    fs::write(&program, script).expect("a file of ours");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a file of ours");
    let config = "workers.count = 2\ndatabase.url = \"sqlite:{dir}/site.db\"\n\
                  log.access = \"{dir}/access.log\"";
    let mut service = Launch::new(&program).config(config).start().ready(4 * START);
    for path in ["/", "/login", "/none"] {
        service.get(path).expect("an answer");
    }
    assert_eq!(service.get_admin("/metrics").map(|answer| answer.status), Ok(200));
    // As ExecReload= may do it, within the same filter.
    service.control_ok(&["reload", "--wait"]);
    let pid = service.pid();
    service.signal(Signal::TERM);
    assert_eq!(service.wait_exit(4 * START).code(), Some(0), "{}", service.log());
    let table = place.path().join(format!("calls.{}", pid.as_raw_nonzero()));
    let whole = || fs::read_to_string(&table).ok().filter(|it| it.contains("total"));
    assert!(poll(START, whole).is_some(), "strace has written nothing");
    let mut made = BTreeSet::new();
    for entry in fs::read_dir(place.path()).expect("a directory of ours").flatten() {
        let text = fs::read_to_string(entry.path()).expect("a file of ours");
        let words = text.lines().map(str::trim).filter(|it| !it.contains([' ', '-', '#', '/']));
        made.extend(words.filter(|it| *it != "total" && *it != "syscall").map(str::to_owned));
    }
    // Not every architecture has epoll_wait.
    assert!(made.contains("epoll_ctl") && made.len() > 50, "{made:?}");
    let mut allowed = allowed(&groups(&analyze));
    // SQLite gives its files to who owns the database, where it runs as root. The unit's user is not.
    if rustix::process::geteuid().is_root() {
        allowed.insert("fchown".to_owned());
    }
    let refused: Vec<_> = made.difference(&allowed).collect();
    assert!(refused.is_empty(), "the unit refuses {refused:?}");
    say(format_args!("the service makes {} system calls, the unit allows each", made.len()));
}
