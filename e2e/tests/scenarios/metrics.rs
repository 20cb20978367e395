//! Metrics: over kills, recycling, upgrades and reloads totals are exact and never go down.

use crate::support::*;
use e2e::harness::{Service, poll_every};
use e2e::load::{Load, send};
use rustix::process::{Signal, kill_process};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const SCRAPE: Duration = Duration::from_millis(100);

/// One scrape: series and values.
pub(crate) type Scrape = BTreeMap<String, f64>;

pub(crate) fn scrape(service: &Service) -> Option<Scrape> {
    let answer = service.get_admin("/metrics").ok().filter(|answer| answer.status == 200)?;
    let text = answer.text();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let read = samples.map(|line| {
        let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
        (series.to_owned(), value.parse().unwrap_or_else(|_| panic!("no number: {line}")))
    });
    Some(read.collect())
}

/// Whether a series may only grow.
fn is_total(series: &str) -> bool {
    let name = series.split('{').next().unwrap_or_default();
    ["_total", "_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end))
}

/// Holds each scrape against the one before until `over`, and returns how many there were.
pub(crate) fn watch_totals(service: &Service, over: &AtomicBool) -> usize {
    let (mut before, mut scrapes) = (Scrape::new(), 0);
    poll_every(SCRAPE, Duration::from_secs(3_600), || {
        // A scrape that fails is one that was lost: watch is never away here.
        let now = scrape(service).expect("a scrape is answered");
        for (series, value) in before.iter().filter(|(series, _)| is_total(series)) {
            let found = now.get(series).copied();
            assert!(found >= Some(*value), "{series} was {value} and is {found:?}");
        }
        (before, scrapes) = (now, scrapes + 1);
        over.load(Ordering::Relaxed).then_some(scrapes)
    })
    .expect("the load ends before")
}

/// The sum of all series of this name whose labels have `part`.
pub(crate) fn sum(scrape: &Scrape, name: &str, part: &str) -> f64 {
    let of_name = |series: &str| series.split('{').next() == Some(name) && series.contains(part);
    scrape.iter().filter(|(series, _)| of_name(series)).map(|(_, value)| value).sum()
}

#[test]
fn totals_are_exact_and_never_go_down_whatever_becomes_of_workers_and_supervisor() {
    let _together = together();
    let mut service = service("workers.count = 2\nworkers.max_requests = 3000");
    service.wait_workers(2, START);
    let over = AtomicBool::new(false);
    let (report, scrapes) = thread::scope(|scope| {
        let ending = Ending(&over);
        let watching = scope.spawn(|| watch_totals(&service, &over));
        let load = Load::new(service.target()).start();
        load.run_for(steady());
        kill_a_worker(&service);
        service.wait_workers(2, START);
        load.run_for(steady());
        service.signal(Signal::USR2);
        service.wait_log(&["took over in place"], START);
        load.run_for(steady());
        service.control_ok(&["reload", "--wait"]);
        load.run_for(steady());
        let report = load.stop();
        drop(ending);
        (report, watching.join().expect("no total goes down"))
    });
    wait_idle(&service);
    let last = scrape(&service).expect("a scrape is answered");
    service.signal(Signal::TERM);
    assert_eq!(service.wait_exit(START).code(), Some(0), "{}", service.log());

    let requests = last["mainstay_http_requests_total"];
    say(format_args!("{requests} requests, {} failed, {scrapes} scrapes", report.lost()));
    let unwritten =
        ["quiet", "dropped"].map(|it| last[&format!("mainstay_access_lines_{it}_total")]);
    let lines = service.access().len() as f64 + unwritten.iter().sum::<f64>();
    assert_eq!(requests, lines, "requests, and access lines");
    let duration = "mainstay_http_request_duration_seconds_count";
    assert_eq!(sum(&last, duration, ""), requests, "all series together");
    let lost = last["mainstay_http_requests_lost_total"];
    let fives = last["mainstay_http_responses_5xx_total"];
    assert_eq!(sum(&last, duration, "status=\"5xx\""), fives);
    let named = sum(&last, duration, "method=\"GET\",route=\"/\",status=\"2xx\"");
    // An answer that the client has may be that of a worker killed before it could count it.
    let answered = report.ok() as f64;
    let failed = report.lost() as f64;
    assert!(named <= answered + failed && named + lost >= answered, "{named}, {answered}, {lost}");
    let hellos = last["fixture_hellos_total{how=\"warmly\"}"];
    assert!(hellos >= answered && hellos <= answered + failed, "{hellos}");
    assert!(report.lost() <= 12, "at most what the clients had in flight: {:?}", report.failures());
}

#[test]
fn every_scrape_is_answered_while_one_watch_follows_another() {
    let _together = together();
    let service = Service::start(hello(), &[], "workers.count = 1").ready(START);
    let over = AtomicBool::new(false);
    let scrapes = thread::scope(|scope| {
        let ending = Ending(&over);
        let scraper = || {
            let mut scrapes = 0;
            poll_every(Duration::ZERO, 5 * START, || {
                let answer = service.get_admin("/metrics");
                let is_whole = answer.as_ref().is_ok_and(|it| it.status == 200);
                assert!(is_whole, "{answer:?}\n{}", service.log());
                scrapes += 1;
                over.load(Ordering::Relaxed).then_some(())
            });
            scrapes
        };
        let scrapers: Vec<_> = (0..3).map(|_| scope.spawn(scraper)).collect();
        for _ in 0..3 {
            let watch = service.status().watch();
            service.control_ok(&["reload", "--wait"]);
            service.wait_status("another watch", START, |it| {
                it.watch().is_some_and(|now| Some(now) != watch)
            });
        }
        drop(ending);
        scrapers.into_iter().map(|it| it.join().expect("no scrape is lost")).sum::<u64>()
    });
    say(format_args!("{scrapes} scrapes over three reloads"));
}

#[test]
fn a_scraper_gets_the_format_that_it_asks_for() {
    let _together = together();
    let service = service("workers.count = 1");
    let ask = |accept: &str| {
        let admin = service.admin.into();
        let text =
            format!("GET /metrics HTTP/1.1\r\nHost: e2e\r\n{accept}Connection: close\r\n\r\n");
        let answer = send(&admin, text.as_bytes(), START).expect("an answer");
        (answer.header("content-type").map(str::to_owned), answer.text().ends_with("\n# EOF\n"))
    };
    let plain = Some("text/plain; version=0.0.4; charset=utf-8".to_owned());
    assert_eq!(ask(""), (plain, false));
    let open = Some("application/openmetrics-text; version=1.0.0; charset=utf-8".to_owned());
    assert_eq!(ask("Accept: application/openmetrics-text; version=1.0.0\r\n"), (open, true));
}

#[test]
fn gzip_holds_the_text_that_everybody_else_gets() {
    let _together = together();
    let service = service("workers.count = 1");
    service.get("/count").expect("an answer");
    let ask = |coding: &str| {
        let text = format!(
            "GET /metrics HTTP/1.1\r\nHost: e2e\r\n{coding}Accept: application/openmetrics-text\r\n\
             Connection: close\r\n\r\n"
        );
        send(&service.admin.into(), text.as_bytes(), START).expect("an answer")
    };
    let both = || {
        let (coded, plain) = (ask("Accept-Encoding: gzip\r\n"), ask(""));
        assert_eq!(coded.header("content-encoding"), Some("gzip"));
        assert_eq!(coded.header("vary"), Some("Accept, Accept-Encoding"));
        assert_eq!(plain.header("content-encoding"), None);
        assert!(coded.body.len() * 5 < plain.body.len(), "{} of it", coded.body.len());
        let mut decoded = String::new();
        let mut decoder = flate2::read::GzDecoder::new(&coded.body[..]);
        decoder.read_to_string(&mut decoded).expect("gzip of text");
        (decoded, plain.text())
    };
    // What the time between the two changes is values alone, and none of what the service has counted.
    let still = |line: &str| line.starts_with("# ") || line.contains("_http_request");
    let lines = |text: &str| -> Vec<String> {
        let line = |line: &str| match still(line) {
            true => line.to_owned(),
            false => line.rsplit_once(' ').map_or(line, |(series, _)| series).to_owned(),
        };
        text.lines().map(line).collect()
    };
    // A request that was answered is counted a moment after.
    let same = poll_every(SCRAPE, START, || {
        let (decoded, plain) = both();
        (lines(&decoded) == lines(&plain)).then_some(())
    });
    assert!(same.is_some(), "{:?}", both());
}

/// Waits until the metrics are so.
fn wait_scrape(service: &Service, what: &str, is_so: impl Fn(&Scrape) -> bool) -> Scrape {
    let mut last = Scrape::new();
    let found = poll_every(SCRAPE, START, || {
        last = scrape(service)?;
        is_so(&last).then(|| last.clone())
    });
    found.unwrap_or_else(|| panic!("not {what}: {last:#?}\n{}", service.log()))
}

/// Ends of workers for this reason.
fn exits(scrape: &Scrape, reason: &str) -> f64 {
    sum(scrape, "mainstay_worker_exits_total", &format!("reason=\"{reason}\""))
}

#[test]
fn ends_of_workers_are_counted_by_reason_and_take_no_processor_time_with_them() {
    let _together = together();
    let service = service("workers.count = 2\nworkers.timeout = \"2s\"");
    service.wait_workers(2, START);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let ending = Ending(&over);
        let watching = scope.spawn(|| watch_totals(&service, &over));
        let first = scrape(&service).expect("a scrape is answered");
        assert_eq!(sum(&first, "mainstay_worker_exits_total", ""), 0.0, "all are there, at 0");
        assert_eq!(first["mainstay_workers_spawned_total"], 2.0);
        Load::new(service.target()).start().run_for(steady());
        let before = scrape(&service).expect("a scrape is answered");
        let burnt = "mainstay_cpu_seconds_total{role=\"worker\"}";
        for victim in service.status().pids() {
            kill_process(pid(victim), Signal::KILL).expect("it lives");
        }
        let now = wait_scrape(&service, "killed", |it| exits(it, "sigkill") == 2.0);
        assert!(before[burnt] > 0.0 && now[burnt] >= before[burnt], "{before:?} {now:?}");
        service.wait_workers(2, START);
        service.control_ok(&["reload", "--wait"]);
        wait_scrape(&service, "reloaded", |it| exits(it, "reload") == 2.0);
        service.control_ok(&["workers", "recycle"]);
        wait_scrape(&service, "recycled", |it| exits(it, "operator") == 2.0);
        service.signal(Signal::TTOU);
        wait_scrape(&service, "fewer", |it| exits(it, "scale_down") == 1.0);
        let last = service.status().pids()[0];
        service.get(&format!("/exit?code=7&pid={last}")).expect_err("its worker is gone");
        wait_scrape(&service, "left", |it| exits(it, "exit_code") == 1.0);
        service.wait_workers(1, START);
        service.get("/block").expect_err("its worker is stuck");
        let now = wait_scrape(&service, "stuck", |it| exits(it, "timeout") == 1.0);
        let restarts =
            |planned| now[&format!("mainstay_worker_restarts_total{{planned=\"{planned}\"}}")];
        assert_eq!((restarts("true"), restarts("false")), (4.0, 4.0));
        drop(ending);
        watching.join().expect("no total goes down");
    });
    service.wait_workers(1, START);
    wait_scrape(&service, "started as often as ended, and one more", |it| {
        let ended = sum(it, "mainstay_worker_exits_total", "");
        ended == 9.0 && it["mainstay_workers_spawned_total"] == ended + 1.0
    });
}

#[test]
fn a_worker_that_has_served_its_requests_leaves_as_planned() {
    let _together = together();
    let service = service("workers.count = 1\nworkers.max_requests = 20");
    Load::new(service.target()).start().run_for(steady());
    let last = wait_scrape(&service, "recycled", |it| exits(it, "max_requests") > 0.0);
    assert_eq!(sum(&last, "mainstay_worker_exits_total", "planned=\"false\""), 0.0);
}

#[test]
fn a_run_of_answers_that_the_service_is_not_ready_is_one_of_all_listeners() {
    let _together = together();
    let service = service("workers.count = 2\nhealth.drain_delay = \"60s\"");
    service.wait_workers(2, START);
    let run = "mainstay_readiness_failures_in_a_row";
    let bad = "mainstay_readiness_answers_total{status=\"503\"}";
    let first = scrape(&service).expect("a scrape is answered");
    assert_eq!((first["mainstay_ready"], first[run]), (1.0, 0.0));
    service.signal(Signal::TERM);
    wait_scrape(&service, "draining", |it| it["mainstay_ready"] == 0.0);
    for _ in 0..3 {
        assert_eq!(service.get("/readyz").expect("an answer").status, 503);
    }
    assert_eq!(service.get_admin("/readyz").expect("an answer").status, 503);
    for victim in service.status().pids() {
        kill_process(pid(victim), Signal::KILL).expect("it lives");
    }
    wait_scrape(&service, "killed", |it| exits(it, "sigkill") == 2.0);
    assert_eq!(service.get_admin("/readyz/").expect("an answer").status, 503);
    let last = scrape(&service).expect("a scrape is answered");
    assert_eq!((last[run], last[bad] - first[bad]), (5.0, 5.0));
}

#[test]
fn requests_are_measured_by_protocol_size_and_the_time_that_they_waited() {
    let _together = together();
    let service = service("workers.count = 1");
    let ask =
        |text: String| send(&service.target(), text.as_bytes(), START).expect("an answer").status;
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let since = since.expect("after 1970").as_secs_f64() - 3.0;
    let post = format!(
        "POST /echo HTTP/1.1\r\nHost: e2e\r\nX-Request-Start: t={since:.3}\r\n\
         Content-Length: 5\r\nConnection: close\r\n\r\nhello"
    );
    assert_eq!(ask(post), 200);
    assert_eq!(ask("GET / HTTP/1.0\r\nX-Request-Start: never\r\n\r\n".into()), 200);
    let last = wait_scrape(&service, "measured", |it| {
        it.contains_key("mainstay_http_request_body_bytes_sum{method=\"POST\",route=\"/echo\"}")
            && sum(it, "mainstay_http_time_to_first_byte_seconds_count", "route=\"/\"") == 1.0
            // A scrape reads one after another, and may meet a request at its end.
            && sum(it, "mainstay_http_requests_begun_total", "") == it["mainstay_http_requests_total"]
    });
    let of = |name: &str| last[&format!("{name}{{method=\"POST\",route=\"/echo\"}}")];
    assert_eq!(of("mainstay_http_request_body_bytes_sum"), 5.0);
    assert_eq!(of("mainstay_http_response_body_bytes_sum"), 5.0);
    assert_eq!(of("mainstay_http_time_to_first_byte_seconds_count"), 1.0);
    assert_eq!(last["mainstay_http_requests_begun_total{protocol=\"1.0\"}"], 1.0);
    assert_eq!(last["mainstay_http_requests_begun_total{protocol=\"unknown\"}"], 0.0);
    assert_eq!(last["mainstay_http_queue_wait_seconds_count"], 1.0, "what is no time is none");
    let waited = last["mainstay_http_queue_wait_seconds_sum"];
    assert!((2.9..60.0).contains(&waited), "{waited}");
    // Failures of a route are there before the first of them.
    let failures = "method=\"POST\",route=\"/echo\",status=\"5xx\"";
    let failures = format!("mainstay_http_request_duration_seconds_count{{{failures}}}");
    assert_eq!(last[&failures], 0.0);
}

#[test]
fn connections_that_wait_for_a_worker_are_seen() {
    let _together = together();
    let service = service("workers.count = 1\nserver.backlog = 64");
    thread::scope(|scope| {
        scope.spawn(|| service.get("/block?ms=4000"));
        let busy = poll_every(SCRAPE, START, || (in_flight(&service.status()) == 1).then_some(()));
        busy.expect("the worker is busy");
        let connect = || std::net::TcpStream::connect(service.address).expect("there is room");
        let waiting: Vec<_> = (0..5).map(|_| connect()).collect();
        let seen =
            wait_scrape(&service, "waiting", |it| sum(it, "mainstay_listener_queue", "") >= 5.0);
        assert_eq!(sum(&seen, "mainstay_listener_queue_max", ""), 64.0);
        drop(waiting);
    });
}

#[test]
fn connections_that_wait_on_a_unix_socket_are_seen() {
    let _together = together();
    let bind = "server.bind = [\"{address}\", \"unix:{dir}/socket\"]";
    let service = service(&format!("workers.count = 1\nserver.backlog = 64\n{bind}"));
    let socket = service.directory().join("socket");
    thread::scope(|scope| {
        scope.spawn(|| service.get("/block?ms=4000"));
        let busy = poll_every(SCRAPE, START, || (in_flight(&service.status()) == 1).then_some(()));
        busy.expect("the worker is busy");
        let connect = || std::os::unix::net::UnixStream::connect(&socket).expect("there is room");
        let waiting: Vec<_> = (0..5).map(|_| connect()).collect();
        let seen = wait_scrape(&service, "waiting", |it| {
            sum(it, "mainstay_listener_queue", "socket\"") >= 5.0
        });
        assert_eq!(sum(&seen, "mainstay_listener_queue_max", "socket\""), 64.0);
        drop(waiting);
    });
}

#[test]
fn how_full_a_directory_is_agrees_with_df() {
    let _together = together();
    let place = tempfile::tempdir().expect("a directory");
    let Some(disk) = Disk::mount(place.path(), "4m") else { return };
    std::fs::write(place.path().join("file"), vec![b'x'; 1_000_000]).expect("there is room");
    let uploads = place.path().to_str().expect("UTF-8");
    let service = service(&format!("workers.count = 1\nserver.uploads = \"{uploads}\""));
    let label = format!("{{directory=\"{uploads}\"}}");
    let told = wait_scrape(&service, "measured", |it| {
        it.get(&format!("mainstay_directory_up{label}")) == Some(&1.0)
    });
    let found = |name: &str| told[&format!("mainstay_directory_{name}{label}")];
    let mut df = std::process::Command::new("df");
    df.args(["-B1", "--output=size,used,avail,itotal,iavail,pcent,ipcent"]).arg(place.path());
    let text = String::from_utf8(df.output().expect("df is there").stdout).expect("plain text");
    let line = text.lines().nth(1).expect("a line").replace('%', "");
    let expected: Vec<f64> =
        line.split_whitespace().map(|word| word.parse().expect("a number")).collect();
    let names = ["size_bytes", "used_bytes", "available_bytes", "inodes", "inodes_free"];
    assert_eq!(names.map(found), expected[..5]);
    // df rounds up to whole percents.
    assert_eq!((found("used_ratio") * 100.0).ceil(), expected[5]);
    assert_eq!((found("inodes_used_ratio") * 100.0).ceil(), expected[6]);
    assert!(found("used_bytes") >= 1e6 && found("age_seconds") < 60.0);
    drop(service);
    drop(disk);
}
