//! Databases: readiness that tells why, on SQLite, PostgreSQL and MariaDB; waits, holders and statements;
//! transactions of requests; migrations.

use crate::support::*;
use crate::wire::Wire;
use e2e::harness::{Launch, Service, poll, poll_every};
use e2e::load::burst;
use e2e::peers::{MariaDb, Postgres, Relay};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_database"))
}

fn launch(url: &str, config: &str) -> Launch {
    Launch::new(program()).config(config).env("DATABASE_URL", url)
}

fn started(url: &str, config: &str) -> Service {
    launch(url, config).start().ready(START)
}

/// On a file in the service's own directory.
fn sqlite(config: &str) -> Service {
    started("sqlite:shop.db", config)
}

fn file(service: &Service) -> PathBuf {
    service.directory().join("shop.db")
}

fn ask(service: &Service, path: &str) -> (u16, String) {
    let answer = e2e::load::get(&service.target(), path, Duration::from_secs(20));
    let answer = answer.unwrap_or_else(|failure| panic!("{path}: {failure:?}\n{}", service.log()));
    (answer.status, String::from_utf8_lossy(&answer.body).trim().to_owned())
}

fn ready(service: &Service) -> u16 {
    service.get("/readyz").map_or(0, |answer| answer.status)
}

/// The reason of the check `database`, as the status has it.
fn reason(service: &Service) -> String {
    let json = service.control_ok(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("a status is JSON");
    let checks = json["checks"].as_array().expect("a list");
    let check = checks.iter().find(|check| check["name"] == "database").expect("the check");
    check["reason"].as_str().expect("a word").to_owned()
}

fn pool(service: &Service, value: &str) -> u64 {
    let json = service.control_ok(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("a status is JSON");
    json["pools"][0][value].as_u64().unwrap_or_else(|| panic!("no {value} in {json:#}"))
}

/// Waits for this answer of `/readyz`, and gives how long that took.
fn wait_readiness(service: &Service, status: u16, deadline: Duration) -> Duration {
    let begun = Instant::now();
    let found = poll_every(Duration::from_millis(20), deadline, || {
        (ready(service) == status).then_some(())
    });
    assert!(found.is_some(), "/readyz is not {status} within {deadline:?}:\n{}", service.log());
    begun.elapsed()
}

#[test]
fn a_check_of_the_applications_own_decides_and_tells_why() {
    let _together = together();
    let switch = tempfile::NamedTempFile::new().expect("a file");
    let set = |word: &str| fs::write(switch.path(), word).expect("a file of ours");
    set("ok");
    let path = switch.path().to_str().expect("a path of ours is UTF-8");
    let config = "health.check_interval = \"300ms\"\nhealth.check_timeout = \"200ms\"";
    let service = launch("sqlite:shop.db", config).env("DATABASE_CHECK", path).start().ready(START);
    for (word, reason) in [("fail", "failed"), ("hang", "timeout"), ("panic", "panicked")] {
        set(word);
        wait_readiness(&service, 503, START);
        let line = service.wait_log(&["check switch fails", "the service is not ready"], START);
        assert!(!line.is_empty());
        let answer = service.get("/readyz").expect("an answer");
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(
            (answer.header("x-readiness-state"), body.as_str()),
            (Some("degraded"), r#"{"status":"degraded"}"#)
        );
        let found = poll(START, || {
            let detail = service.get_admin("/readyz?verbose").ok()?;
            let detail = String::from_utf8_lossy(&detail.body).into_owned();
            (detail.contains(&format!("[-] switch {reason}")) && detail.ends_with("degraded\n"))
                .then_some(())
        });
        assert!(found.is_some(), "no {reason} in the detail");
        let without = service.get_admin("/readyz?exclude=switch").expect("an answer");
        assert_eq!(without.status, 200, "{word}");
        assert_eq!(service.get_admin("/readyz/switch").map(|it| it.status), Ok(503));
        assert_eq!(service.get_admin("/readyz/database").map(|it| it.status), Ok(200));
        assert_eq!(service.get("/healthz").map(|it| it.status), Ok(200), "no restart mends it");
        set("ok");
        wait_readiness(&service, 200, START);
        service.wait_log(&["check switch is well again after"], START);
    }
    // The public answer has nothing of it.
    let verbose = service.get("/readyz?verbose").expect("an answer");
    assert_eq!(verbose.body.trim_ascii(), br#"{"status":"ready"}"#);
}

#[test]
fn failures_that_alternate_with_successes_never_flip_readiness() {
    let _together = together();
    let switch = tempfile::NamedTempFile::new().expect("a file");
    let set = |word: &str| fs::write(switch.path(), word).expect("a file of ours");
    set("ok");
    let path = switch.path().to_str().expect("a path of ours is UTF-8");
    // A check is made for whoever asks, and not by itself meanwhile.
    let config =
        "health.check_interval = \"1m\"\nhealth.check_timeout = \"40ms\"\nworkers.count = 1";
    let service = launch("sqlite:shop.db", config).env("DATABASE_CHECK", path).start().ready(START);
    let results = || {
        let json = service.control_ok(&["status", "--json"]);
        let json: serde_json::Value = serde_json::from_str(&json).expect("a status is JSON");
        let checks = json["checks"].as_array().expect("a list");
        let check = checks.iter().find(|check| check["name"] == "switch").expect("the check");
        check["successes"].as_u64().unwrap_or(0) + check["failures"].as_u64().unwrap_or(0)
    };
    for word in ["fail", "ok", "fail", "ok", "fail"] {
        let before = results();
        set(word);
        // Asked until a new result is there.
        let seen = poll_every(Duration::from_millis(15), START, || {
            assert_eq!(ready(&service), 200, "{word}:\n{}", service.log());
            (results() > before).then_some(())
        });
        assert!(seen.is_some(), "nobody makes the check");
        // One result of each kind, and not two in a row.
        set("ok");
    }
}

/// What each database can be made to do.
struct Outage<'a> {
    url: &'a str,
    stop: &'a mut dyn FnMut(),
    start: &'a mut dyn FnMut(),
}

fn an_outage_is_noticed_told_and_forgotten(outage: &mut Outage<'_>) {
    let service = started(outage.url, "workers.count = 2");
    assert_eq!(ask(&service, "/setup").0, 200);
    assert_eq!(ask(&service, "/insert?n=1").0, 200);
    (outage.stop)();
    let down = wait_readiness(&service, 503, Duration::from_secs(10));
    assert_eq!(service.get("/healthz").map(|answer| answer.status), Ok(200));
    service.wait_log(&["check database fails", "the service is not ready"], START);
    (outage.start)();
    let up = wait_readiness(&service, 200, Duration::from_secs(10));
    say(format_args!("database stopped: 503 after {down:.1?}; started: 200 after {up:.1?}"));
    assert!(up < Duration::from_secs(3), "200 again only after {up:?}");
    assert_eq!(ask(&service, "/count"), (200, "1".into()));
}

#[test]
fn a_postgres_that_stops_and_starts_is_noticed() {
    let _alone = alone();
    let Some(mut postgres) = Postgres::start(40) else { return };
    let url = postgres.url();
    let postgres = std::cell::RefCell::new(&mut postgres);
    an_outage_is_noticed_told_and_forgotten(&mut Outage {
        url: &url,
        stop: &mut || postgres.borrow_mut().stop(),
        start: &mut || postgres.borrow_mut().start_again(),
    });
}

#[test]
fn a_mariadb_that_stops_and_starts_is_noticed() {
    let _alone = alone();
    let Some(mut mariadb) = MariaDb::start(40) else { return };
    let url = mariadb.url();
    let mariadb = std::cell::RefCell::new(&mut mariadb);
    an_outage_is_noticed_told_and_forgotten(&mut Outage {
        url: &url,
        stop: &mut || mariadb.borrow_mut().stop(),
        start: &mut || mariadb.borrow_mut().start_again(),
    });
}

/// 200 clients ask for readiness the whole time, while the database hangs and recovers.
fn readiness_answers_at_once_though_the_database_hangs(
    url: &str,
    freeze: &dyn Fn(),
    thaw: &dyn Fn(),
) {
    // The relay sees each connection: those of the pools, which nobody uses, and those of probes.
    let (head, tail) = url.split_once("127.0.0.1:").expect("peers are on loopback");
    let (port, path) = tail.split_once('/').expect("a URL of ours has a path");
    let port: u16 = port.parse().expect("a port");
    let relay = Relay::to((std::net::Ipv4Addr::LOCALHOST, port).into());
    let service = started(&format!("{head}127.0.0.1:{}/{path}", relay.port()), "workers.count = 2");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let answers = std::sync::Mutex::new(Vec::new());
    let begun = Instant::now();
    let (frozen, thawed) = std::thread::scope(|scope| {
        let _ending = Ending(&stop);
        for _ in 0..200 {
            scope.spawn(|| {
                let Ok(mut wire) = Wire::connect(service.address) else { return };
                let mut mine = Vec::new();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let asked = Instant::now();
                    let request = b"GET /readyz HTTP/1.1\r\nHost: e2e\r\n\r\n";
                    let Ok(answer) = wire.send(request).answer() else { break };
                    mine.push((begun.elapsed(), asked.elapsed(), answer.status));
                    // 200 clients that ask ten times a second each.
                    wire.listen(Duration::from_millis(100));
                }
                answers.lock().expect("no client panics").append(&mut mine);
            });
        }
        // Some answers first, so that what follows is the outage's.
        poll_every(Duration::from_millis(50), Duration::from_secs(1), || None::<()>);
        let frozen = begun.elapsed();
        freeze();
        // Nobody uses the pools: what is opened from now on are probes.
        let hung = Instant::now();
        wait_readiness(&service, 503, Duration::from_secs(10));
        poll_every(Duration::from_millis(50), Duration::from_secs(3), || None::<()>);
        let slack = Duration::from_millis(200);
        let (probes, most) = (relay.since(hung), relay.most(hung, slack));
        say(format_args!("while it hung: {probes} probes, {most} at a time"));
        assert!(probes >= 3 && most == 1, "{probes} probes, {most} at a time");
        thaw();
        let thawed = begun.elapsed();
        wait_readiness(&service, 200, Duration::from_secs(10));
        // Every client asks once more.
        poll_every(Duration::from_millis(50), Duration::from_secs(1), || None::<()>);
        (frozen, thawed)
    });
    let answers = answers.into_inner().expect("no client panics");
    let first = |status: u16, after: Duration| {
        let found = answers.iter().filter(|(at, _, it)| *it == status && *at > after);
        found.map(|(at, ..)| *at - after).min().expect("there is one")
    };
    let last_good = answers
        .iter()
        .filter(|(at, _, status)| *status == 200 && *at < thawed)
        .map(|(at, ..)| *at)
        .max();
    let all_bad = last_good.expect("there is one").saturating_sub(frozen);
    let (down, up) = (first(503, frozen), first(200, thawed));
    let during: Vec<Duration> = answers
        .iter()
        .filter(|(at, ..)| (frozen..thawed).contains(at))
        .map(|(_, took, _)| *took)
        .collect();
    let p99 = quantile(during, 0.99);
    say(format_args!(
        "200 clients at /readyz, database frozen: {} answers, p99 {p99:.1?}, first 503 after {down:.1?}, \
         all 503 after {all_bad:.1?}; thawed: 200 after {up:.1?}",
        answers.len()
    ));
    assert!(all_bad < Duration::from_secs(3), "a 200 came {all_bad:?} after the hang");
    assert!(up < Duration::from_secs(2), "no 200 for {up:?}");
    // The machine is the clients' too: what fails here is waiting for the database.
    assert!(p99 < Duration::from_millis(200), "p99 {p99:?}");
}

fn quantile(mut times: Vec<Duration>, part: f64) -> Duration {
    times.sort_unstable();
    let at = (times.len() as f64 * part) as usize;
    times.get(at.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[test]
fn readiness_answers_at_once_though_postgres_hangs() {
    let _alone = alone();
    let Some(postgres) = Postgres::start(40) else { return };
    let url = postgres.url();
    readiness_answers_at_once_though_the_database_hangs(&url, &|| postgres.freeze(), &|| {
        postgres.thaw();
    });
}

#[test]
fn readiness_answers_at_once_though_mariadb_hangs() {
    let _alone = alone();
    let Some(mariadb) = MariaDb::start(40) else { return };
    let url = mariadb.url();
    readiness_answers_at_once_though_the_database_hangs(&url, &|| mariadb.freeze(), &|| {
        mariadb.thaw();
    });
}

#[test]
fn a_server_without_a_free_connection_is_told_as_such() {
    let _alone = alone();
    if let Some(postgres) = Postgres::start(12) {
        let service = started(&postgres.url(), "workers.count = 1\ndatabase.pool = 1");
        let mut taken: Vec<_> = (0..12).map(|_| postgres.occupy(12)).collect();
        wait_readiness(&service, 503, START);
        assert_eq!(reason(&service), "too_many_connections");
        wait_readiness(&service, 200, START);
        taken.iter_mut().for_each(|child| drop(child.wait()));
    }
    if let Some(mariadb) = MariaDb::start(12) {
        let service = started(&mariadb.url(), "workers.count = 1\ndatabase.pool = 1");
        let mut taken: Vec<_> = (0..14).map(|_| mariadb.occupy(12)).collect();
        wait_readiness(&service, 503, START);
        assert_eq!(reason(&service), "too_many_connections");
        wait_readiness(&service, 200, START);
        taken.iter_mut().for_each(|child| drop(child.wait()));
    }
}

#[test]
fn a_server_that_takes_no_writes_is_not_ready_for_whoever_writes() {
    let _alone = alone();
    if let Some(postgres) = Postgres::start(30) {
        let service = started(&postgres.url(), "workers.count = 1");
        postgres.sql("ALTER SYSTEM SET default_transaction_read_only = on");
        postgres.sql("SELECT pg_reload_conf()");
        wait_readiness(&service, 503, START);
        assert_eq!(reason(&service), "read_only");
        postgres.sql("BEGIN; SET TRANSACTION READ WRITE; COMMIT");
        postgres.sql("ALTER SYSTEM RESET default_transaction_read_only");
        postgres.sql("SELECT pg_reload_conf()");
        wait_readiness(&service, 200, START);
    }
    if let Some(mariadb) = MariaDb::start(30) {
        let service = started(&mariadb.url(), "workers.count = 1");
        mariadb.sql("SET GLOBAL read_only = 1");
        wait_readiness(&service, 503, START);
        assert_eq!(reason(&service), "read_only");
        mariadb.sql("SET GLOBAL read_only = 0");
        wait_readiness(&service, 200, START);
    }
}

#[test]
fn a_file_of_sqlite_that_is_gone_replaced_or_overwritten_is_noticed() {
    let _together = together();
    for (what, expected) in [("gone", "missing"), ("overwritten", "corrupt")] {
        let service = sqlite("workers.count = 2");
        assert_eq!(ask(&service, "/setup").0, 200);
        // One that opens it now would make another.
        service.wait_workers(2, START);
        let path = file(&service);
        match what {
            "gone" => fs::remove_file(&path).expect("the file is there"),
            _ => fs::write(&path, vec![b'x'; 8_192]).expect("the file is there"),
        }
        let took = wait_readiness(&service, 503, Duration::from_secs(7));
        say(format_args!("SQLite's file {what}: 503 after {took:.1?}"));
        assert!(took < Duration::from_secs(6), "{what}: {took:?}");
        assert_eq!(reason(&service), expected);
    }
    let service = sqlite("workers.count = 2");
    assert_eq!(ask(&service, "/setup").0, 200);
    let old = service.wait_workers(2, START).pids();
    let path = file(&service);
    let other = service.directory().join("other.db");
    fs::copy(&path, &other).expect("room for a copy");
    fs::rename(&other, &path).expect("a file of ours");
    service.wait_log(&["its file was replaced"], START);
    // Each worker opens the new file, one after the other.
    service.wait_status("two new workers", START, |status| {
        status.ready() == 2 && status.workers.len() == 2 && old.iter().all(|pid| !status.has(*pid))
    });
    wait_readiness(&service, 200, START);
    assert_eq!(ask(&service, "/insert?n=1").0, 200);
}

#[test]
fn a_lock_of_three_seconds_changes_nothing() {
    let _together = together();
    let service = sqlite("workers.count = 1");
    assert_eq!(ask(&service, "/setup").0, 200);
    // Whoever switches the journal off needs the file alone, and so does whoever opens it then.
    let lock = rusqlite_lock(&file(&service));
    let begun = Instant::now();
    poll_every(Duration::from_millis(50), Duration::from_secs(3), || {
        assert_eq!(ready(&service), 200, "after {:?}:\n{}", begun.elapsed(), service.log());
        None::<()>
    });
    drop(lock);
    assert_eq!(ready(&service), 200);
}

/// Holds an exclusive lock of SQLite's kind on a file, from another process.
fn rusqlite_lock(path: &Path) -> Locker {
    let code = "import sqlite3,sys,time\nc=sqlite3.connect(sys.argv[1],isolation_level=None)\n\
                c.execute('BEGIN EXCLUSIVE')\nprint('locked',flush=True)\nsys.stdin.read()";
    let mut child = std::process::Command::new("python3")
        .args(["-c", code])
        .arg(path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python3 can be started");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("it is piped");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("a line");
    assert_eq!(line.trim(), "locked");
    Locker(child)
}

struct Locker(std::process::Child);

impl Drop for Locker {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_pool_whose_connections_are_all_in_use_is_no_database_that_is_down() {
    let _alone = alone();
    let service = sqlite("workers.count = 1\ndatabase.pool = 2\ndatabase.acquire_timeout = \"5s\"");
    let mut right = 0;
    let holders = burst(&service.target(), "/hold?ms=4000", 2, START);
    service.wait_status("two in flight", START, |status| in_flight(status) == 2);
    let waiters = burst(&service.target(), "/hold?ms=1", 4, START);
    service.wait_log(&["pool database is exhausted"], START);
    for _ in 0..100 {
        right += u32::from(ready(&service) == 200);
    }
    assert_eq!(right, 100, "readiness is the database's");
    assert_eq!((pool(&service, "in_use"), pool(&service, "saturated_workers")), (2, 1));
    assert!(pool(&service, "waiting") >= 3);
    let text = service.control_ok(&["status"]);
    assert!(text.contains("\ndatabase  well   ok") && text.contains("\nPOOL  "), "{text}");
    assert!(holders.collect().iter().all(|it| it.as_ref().is_ok_and(|it| it.status == 200)));
    assert!(waiters.collect().iter().all(|it| it.as_ref().is_ok_and(|it| it.status == 200)));
    service.wait_log(&["pool database has connections again"], START);
    assert_eq!(pool(&service, "saturated_workers"), 0);
}

#[test]
fn whoever_waits_in_vain_gets_503_with_a_time_to_come_back() {
    let _together = together();
    let service =
        sqlite("workers.count = 1\ndatabase.pool = 1\ndatabase.acquire_timeout = \"300ms\"");
    let holder = burst(&service.target(), "/hold?ms=2000", 1, START);
    service.wait_status("one in flight", START, |status| in_flight(status) == 1);
    let answer = service.get("/count").expect("an answer");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    service.wait_log(&["pool database gave no connection within"], START);
    assert_eq!(ready(&service), 200);
    assert!(holder.collect().iter().all(|it| it.as_ref().is_ok_and(|it| it.status == 200)));
    assert_eq!(pool(&service, "timeouts"), 1);
}

#[test]
fn a_worker_whose_pool_is_stuck_is_replaced_and_the_host_stays_ready() {
    let _alone = alone();
    let service =
        sqlite("workers.count = 1\ndatabase.pool = 1\ndatabase.acquire_timeout = \"30s\"");
    let old = service.wait_workers(1, START).pids()[0];
    assert_eq!(ask(&service, "/leak").0, 200);
    let waiting = burst(&service.target(), "/hold?ms=1", 1, Duration::from_secs(40));
    let line = service.wait_log(&["pool database is stuck"], Duration::from_secs(20));
    assert!(line.contains("GET /leak"), "{line}");
    let status = service.wait_status("another worker", START, |status| {
        status.ready() == 1 && !status.has(old) || status.pids().iter().any(|pid| *pid != old)
    });
    assert_eq!(ready(&service), 200, "{:#}", status.json);
    assert_eq!(ask(&service, "/hold?ms=1").0, 200);
    drop(waiting);
}

fn statements_are_told_without_their_values(service: &Service, is_server: bool) {
    assert_eq!(ask(service, "/setup").0, 200);
    assert_eq!(ask(service, "/insert?n=1").0, 200);
    assert_eq!(ask(service, "/literal").0, 200);
    let id = |line: &str| {
        line.split("request_id=").nth(1).map(|it| it.split(' ').next().unwrap_or("").to_owned())
    };
    let insert = service
        .wait_log(&["insert into items (id, name) values (...)", "ms=", "affected=1"], START);
    assert!(
        id(&insert).is_some_and(|id| id.len() == 36) && insert.contains("path=/insert"),
        "{insert}"
    );
    service.wait_log(&["select id from items where name = ? and id in (...)"], START);
    assert_eq!(ask(service, "/loop?n=12").0, 200);
    let repeated =
        service.wait_log(&["10 equal statements of database in one request, get /loop"], START);
    assert!(repeated.to_lowercase().contains("select name from items where id ="), "{repeated}");
    assert_eq!(service.log_lines(&["equal statements"]).len(), 1);
    assert_eq!(ask(service, "/fail").0, 500);
    service.wait_log(&["statement of database failed", "nowhere where code = ?"], START);
    assert_eq!(ask(service, "/fail?n=1").0, 409, "what is there already is a conflict");
    service.wait_log(&["statement of database failed: unique constraint violated"], START);
    assert_eq!(ask(service, "/sleep?ms=1500").0, 200);
    service.wait_log(&["statement of database still runs after", "get /sleep"], START);
    service.wait_log(&["slow statement of database", "get /sleep"], START);
    assert_eq!(ask(service, "/foreign?n=10").0, 200);
    let foreign = "select ? as secret, ? as number, ? as three";
    service.wait_log(&[foreign, "rows=1"], START);
    if is_server {
        // SQLite's statements are told by sqlx from a thread of its own, which knows no request.
        service.wait_log(&[foreign, "rows=1", "path=/foreign"], START);
        let loops = "10 equal statements of sqlx in one request, get /foreign";
        service.wait_log(&[loops, foreign], START);
    }
    let log = service.log();
    assert!(!log.contains("hunter2") && !log.contains("4711") && !log.contains("item 1"), "{log}");
}

#[test]
fn statements_of_all_databases_are_told_without_their_values() {
    let _alone = alone();
    let config = "workers.count = 1\ndatabase.echo = \"sql\"\ndatabase.slow_query = \"500ms\"";
    statements_are_told_without_their_values(&sqlite(config), false);
    if let Some(postgres) = Postgres::start(30) {
        statements_are_told_without_their_values(&started(&postgres.url(), config), true);
    }
    if let Some(mariadb) = MariaDb::start(30) {
        statements_are_told_without_their_values(&started(&mariadb.url(), config), true);
    }
}

fn transactions_end_with_their_requests(service: &Service) {
    assert_eq!(ask(service, "/setup").0, 200);
    let count = || ask(service, "/count").1.parse::<u64>().expect("a number");
    assert_eq!(
        (ask(service, "/tx?n=1&end=ok").0, ask(service, "/tx?n=2&end=redirect").0),
        (200, 303)
    );
    assert_eq!(count(), 2, "what went well stays");
    let failures = [("refuse", 409), ("fail", 500), ("panic", 500), ("body", 500)];
    for (n, (end, status)) in (3..).zip(failures) {
        assert_eq!(ask(service, &format!("/tx?n={n}&end={end}")).0, status, "{end}");
        assert_eq!(count(), 2, "nothing is left of {end}");
    }
    service.wait_log(&["a transaction is still in use when the answer begins"], START);
    // A deadline, then a client that leaves.
    assert_eq!(ask(service, "/tx?n=10&end=slow&ms=60000").0, 504);
    assert_eq!(count(), 2);
    let mut wire = Wire::connect(service.address).expect("the service listens");
    wire.send(b"GET /tx?n=11&end=slow&ms=4000 HTTP/1.1\r\nHost: e2e\r\n\r\n");
    service.wait_status("it is in flight", START, |status| in_flight(status) == 1);
    wire.reset();
    service.wait_access(&["499", "/tx?n=11"], START);
    service.wait_status("it has ended", START, |status| in_flight(status) == 0);
    assert_eq!(count(), 2);
    // The pool of one is usable after all that.
    assert_eq!(ask(service, "/tx?n=12&end=ok").0, 200);
    assert_eq!((count(), pool(service, "in_use")), (3, 0));
}

#[test]
fn transactions_end_with_their_requests_on_all_databases() {
    let _alone = alone();
    let config = "workers.count = 1\ndatabase.pool = 1\nhttp.request_timeout = \"6s\"";
    transactions_end_with_their_requests(&sqlite(config));
    if let Some(postgres) = Postgres::start(30) {
        transactions_end_with_their_requests(&started(&postgres.url(), config));
    }
    if let Some(mariadb) = MariaDb::start(30) {
        transactions_end_with_their_requests(&started(&mariadb.url(), config));
    }
}

#[test]
fn an_unsafe_request_outlives_its_client_where_that_is_wanted() {
    let _together = together();
    for (detach, expected) in [(true, "1"), (false, "0")] {
        let service = sqlite(&format!("workers.count = 1\nhttp.detach = {detach}"));
        assert_eq!(ask(&service, "/setup").0, 200);
        let mut wire = Wire::connect(service.address).expect("the service listens");
        wire.send(
            b"POST /tx?n=1&end=slow&ms=4000 HTTP/1.1\r\nHost: e2e\r\nContent-Length: 0\r\n\r\n",
        );
        service.wait_status("it is in flight", START, |status| in_flight(status) == 1);
        wire.reset();
        service.wait_access(&["499", "/tx?n=1"], START);
        // Four seconds and some: what goes on has ended then.
        let found = poll_every(Duration::from_millis(50), Duration::from_secs(6), || {
            (ask(&service, "/count").1 == "1").then_some(())
        });
        assert_eq!(found.is_some(), detach, "{}", service.log());
        assert_eq!(ask(&service, "/count").1, expected);
    }
    // A stop waits for it.
    let mut service = sqlite("workers.count = 1\nhttp.detach = true");
    assert_eq!(ask(&service, "/setup").0, 200);
    let mut wire = Wire::connect(service.address).expect("the service listens");
    wire.send(b"POST /tx?n=1&end=slow&ms=4000 HTTP/1.1\r\nHost: e2e\r\nContent-Length: 0\r\n\r\n");
    service.wait_status("it is in flight", START, |status| in_flight(status) == 1);
    wire.reset();
    service.wait_access(&["499", "/tx?n=1"], START);
    service.control_ok(&["stop"]);
    assert_eq!(service.wait_exit(START).code(), Some(0));
    let again =
        Launch::new(program()).env("DATABASE_URL", &format!("sqlite:{}", file(&service).display()));
    let again = again.config("workers.count = 1").start().ready(START);
    assert_eq!(ask(&again, "/count").1, "1");
}

fn migrations_are_run_before_a_worker_is_ready(url: &str) {
    let config = "workers.count = 4\ndatabase.migrate = \"on-start\"";
    let service = launch(url, config).copied().start().ready(START);
    let line = ["ran 2 migrations up to version 2"];
    service.wait_log(&line, START);
    service.wait_workers(4, START);
    assert_eq!(service.log_lines(&line).len(), 1, "{}", service.log());
    assert_eq!(ask(&service, "/insert?n=1").0, 200);
    let status = service.control_ok(&["migrate"]);
    assert!(
        status.contains("1  done     items\n") && status.contains("2  done     names\n"),
        "{status}"
    );
    let plan = service.control_ok(&["migrate", "to", "1", "--dry-run"]);
    assert!(plan.contains("-- down 2: names\nDROP INDEX"), "{plan}");
    assert_eq!(service.control_ok(&["migrate", "to", "1"]), "down 2: names\n");
    assert_eq!(service.control_ok(&["migrate", "up"]), "up 2: names\n");
    assert_eq!(service.control_ok(&["migrate", "up"]), "nothing to do\n");
    assert_eq!(ask(&service, "/count").1, "1");
}

#[test]
fn migrations_are_run_once_and_by_command_on_all_databases() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    migrations_are_run_before_a_worker_is_ready(&format!(
        "sqlite:{}",
        directory.path().join("a.db").display()
    ));
    if let Some(postgres) = Postgres::start(60) {
        migrations_are_run_before_a_worker_is_ready(&postgres.url());
    }
    if let Some(mariadb) = MariaDb::start(60) {
        migrations_are_run_before_a_worker_is_ready(&mariadb.url());
    }
}

#[test]
fn a_migration_that_fails_stops_the_start_and_the_reload_and_names_its_statement() {
    let _together = together();
    let config = "workers.count = 1\ndatabase.migrate = \"on-start\"";
    let mut broken = launch("sqlite:shop.db", config).env("DATABASE_MIGRATIONS", "broken").start();
    assert!(!broken.wait_exit(START).success());
    let statement = [
        "migration 3 (more) failed at line 2",
        "no such table: nowhere",
        "insert into nowhere values (1)",
    ];
    broken.wait_log(&statement, START);
    let file = broken.directory().join("settings");
    drop(file);
    // A reload onto it keeps the generation that serves.
    let switch = tempfile::NamedTempFile::new().expect("a file");
    let path = switch.path().to_str().expect("a path of ours is UTF-8");
    let service =
        launch("sqlite:shop.db", config).env("DATABASE_SETTINGS", path).start().ready(START);
    assert_eq!(ask(&service, "/insert?n=1").0, 200);
    fs::write(switch.path(), "broken").expect("a file of ours");
    let reload = service.control(&["reload", "--wait"]);
    let said = String::from_utf8_lossy(&reload.stderr).into_owned();
    assert_eq!(reload.status.code(), Some(1), "{said}");
    assert!(said.contains("migration 3 (more) failed at line 2"), "{said}");
    assert_eq!((ready(&service), ask(&service, "/count").1.as_str()), (200, "1"));
}

#[test]
fn a_database_that_comes_late_is_waited_for_and_one_that_refuses_is_not() {
    let _alone = alone();
    let Some(mut postgres) = Postgres::start(30) else { return };
    let url = postgres.url();
    postgres.stop();
    let service = launch(&url, "workers.count = 1").start();
    service.wait_workers(1, START);
    assert_eq!(ready(&service), 503);
    service.wait_log(&["check database fails: refused"], START);
    postgres.start_again();
    wait_readiness(&service, 200, START);
    let nowhere = url.replace("/postgres", "/nowhere");
    let mut refused = launch(&nowhere, "workers.count = 1").start();
    assert!(!refused.wait_exit(START).success());
    refused.wait_log(&["pool database: no_database"], START);
}
