//! Metrics: over kills, recycling, upgrades and reloads totals are exact and never go down.

use crate::support::*;
use e2e::harness::{Service, poll_every};
use e2e::load::{Load, send};
use rustix::process::{Signal, kill_process};
use std::collections::BTreeMap;
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
        let watching = scope.spawn(|| watch_totals(&service, &over));
        let load = Load::new(service.target()).start();
        load.run_for(steady());
        kill_process(pid(service.status().pids()[0]), Signal::KILL).expect("it lives");
        service.wait_workers(2, START);
        load.run_for(steady());
        service.signal(Signal::USR2);
        service.wait_log(&["took over in place"], START);
        load.run_for(steady());
        service.control_ok(&["reload", "--wait"]);
        load.run_for(steady());
        let report = load.stop();
        over.store(true, Ordering::Relaxed);
        (report, watching.join().expect("no total goes down"))
    });
    service.wait_status("nothing in flight", START, |status| {
        status.workers.iter().all(|it| it.connections == 0 && it.in_flight == 0)
    });
    let last = scrape(&service).expect("a scrape is answered");
    service.signal(Signal::TERM);
    assert_eq!(service.wait_exit(START).code(), Some(0), "{}", service.log());

    let requests = last["mainstay_http_requests_total"];
    say(format_args!("{requests} requests, {} failed, {scrapes} scrapes", report.lost()));
    let lines = service.access().len() as f64 + last["mainstay_access_lines_quiet_total"];
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
