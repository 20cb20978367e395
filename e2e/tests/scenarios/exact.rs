//! Exactness: whatever becomes of workers and supervisor, every total is what the clients and the
//! application's own ledger have counted.

use crate::metrics::{Scrape, scrape, sum, watch_totals};
use crate::record::old;
use crate::storm::Dice;
use crate::support::*;
use e2e::harness::{Launch, Service, poll, poll_every};
use e2e::ledger::{AMOUNTS, Ledger};
use e2e::load::{Load, Report, Running};
use rustix::process::{Signal, kill_process};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

/// On a fast machine workers live for seconds all the same, and are old enough to be killed.
const CONFIG: &str = "workers.count = 4\nworkers.max_requests = 10000";
/// Far more than 2,000,000 requests take.
const LONGEST: Duration = Duration::from_secs(1_800);

fn requests() -> u64 {
    let number = std::env::var("E2E_REQUESTS").ok().and_then(|text| text.parse().ok());
    number.unwrap_or(40_000)
}

#[test]
fn every_total_is_what_clients_and_the_applications_own_ledger_have_counted() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("ledger");
    let launch = Launch::new(fixture()).config(CONFIG);
    let ledger = path.to_str().expect("a path of text");
    let mut service = launch.env("FIXTURE_LEDGER", ledger).start().ready(START);
    service.wait_workers(4, START);
    let over = AtomicBool::new(false);
    let (report, deeds, scrapes) = thread::scope(|scope| {
        let ending = Ending(&over);
        let watching = scope.spawn(|| watch_totals(&service, &over));
        let load = Load {
            path: "/count".into(),
            max_requests: u64::MAX,
            max_duration: LONGEST,
            ..Load::new(service.target())
        };
        let load = load.start();
        let deeds = disturb(&service, &load);
        let report = load.stop();
        drop(ending);
        (report, deeds, watching.join().expect("no total goes down"))
    });
    service.wait_status("nothing in flight", START, |status| {
        let quiet = status.workers.iter().all(|it| it.connections == 0 && it.in_flight == 0);
        quiet && status.workers.len() == 4 && status.is_settled()
    });
    let last = poll(START, || scrape(&service)).expect("a scrape is answered");
    service.signal(Signal::TERM);
    assert_eq!(service.wait_exit(START).code(), Some(0), "{}", service.log());
    say(format_args!("{} answered, {} failed, {scrapes} scrapes", report.ok(), report.lost()));
    say(format_args!("{deeds:?}, {} recycled", recycled(&last)));
    let kills = deeds["kill"];
    assert!(report.lost() <= kills * 12, "at most what clients had in flight: {report}");
    judge_requests(&last, &report, &service);
    judge_measures(&last, &report, kills, &Ledger::read(&path).expect("a ledger"));
}

/// Kills workers, reloads, and upgrades the supervisor by chance, until enough requests are answered and
/// all of it has happened.
fn disturb(service: &Service, load: &Running) -> BTreeMap<&'static str, u64> {
    let mut dice = Dice::new(815);
    let mut deeds = BTreeMap::from([("kill", 0), ("reload", 0), ("upgrade", 0)]);
    poll_every(Duration::from_millis(100), LONGEST, || {
        let status = service.status();
        let recycled = status.json["events"]["worker.recycling"].as_u64().unwrap_or(0);
        let all = recycled > 0 && deeds.values().all(|count| *count > 0);
        if all && load.answered() >= requests() {
            return Some(());
        }
        if deeds.values().all(|count| *count > 0) && recycled == 0 {
            // On a slow machine nobody gets as old as that between two kills.
            return None;
        }
        let old = old(&status);
        if status.ready() < 4 || old.is_empty() {
            return None;
        }
        let deed = match dice.throw(5) {
            0 => {
                service.control_ok(&["reload", "--wait"]);
                "reload"
            }
            1 => {
                let before = service.log_lines(&["took over in place"]).len();
                service.signal(Signal::USR2);
                let upgraded = poll(START, || {
                    (service.log_lines(&["took over in place"]).len() > before).then_some(())
                });
                assert!(upgraded.is_some(), "no upgrade:\n{}", service.log());
                "upgrade"
            }
            _ => {
                let index = dice.throw(old.len() as u64) as usize;
                // One that is recycled just now is gone before.
                if kill_process(old[index], Signal::KILL).is_err() {
                    return None;
                }
                "kill"
            }
        };
        *deeds.entry(deed).or_default() += 1;
        None
    });
    deeds
}

fn recycled(last: &Scrape) -> f64 {
    last["mainstay_events_total{event=\"worker.recycling\"}"]
}

/// The service's totals of requests against those of its lines and of its clients.
fn judge_requests(last: &Scrape, report: &Report, service: &Service) {
    let requests = last["mainstay_http_requests_total"];
    let lines = service.access().len() as f64;
    let dropped = last["mainstay_access_lines_dropped_total"];
    assert_eq!(requests, lines + dropped, "requests, and access lines");
    assert_eq!(last["mainstay_access_lines_total"], lines);
    let duration = "mainstay_http_request_duration_seconds_count";
    assert_eq!(sum(last, duration, ""), requests, "all series together");
    for class in ["1", "2", "3", "4", "5"] {
        let counted = last[&format!("mainstay_http_responses_{class}xx_total")];
        assert_eq!(sum(last, duration, &format!("status=\"{class}xx\"")), counted, "{class}xx");
    }
    // An answer that the client has may be that of a worker killed before it could count it.
    let (answered, failed) = (report.ok() as f64, report.lost() as f64);
    let lost = last["mainstay_http_requests_lost_total"];
    let counted = sum(last, duration, "method=\"GET\",route=\"/count\",status=\"2xx\"");
    assert!(counted <= answered + failed, "{counted} counted, {answered} + {failed}");
    assert!(counted + lost >= answered, "{counted} counted, {lost} lost, {answered} answered");
}

/// What the application measured against its ledger. A kill may find a worker between the two.
fn judge_measures(
    last: &Scrape,
    report: &Report,
    kills: u64,
    (begun, ended): &(e2e::ledger::Entries, e2e::ledger::Entries),
) {
    let open = begun.count(AMOUNTS) - ended.count(AMOUNTS);
    say(format_args!("{} in the ledger, {open} of them open", begun.count(AMOUNTS)));
    assert!(open <= kills, "{open} records are open, after {kills} kills");
    let within = |what: &str, found: f64, least: u64, most: u64| {
        assert!(found >= least as f64 && found <= most as f64, "{what}: {found}, {least}..={most}");
    };
    for counter in ["fixture_counted_total", "fixture_of_a_library_total{kind=\"x\"}"] {
        within(counter, last[counter], ended.sum(), begun.sum());
    }
    let (all, whole) = (begun.count(AMOUNTS), ended.count(AMOUNTS));
    within("histogram", last["fixture_amounts_count"], whole, all);
    for (bound, most) in [("1.0", 1), ("2.5", 2), ("5.0", 5), ("+Inf", AMOUNTS)] {
        let bucket = last[&format!("fixture_amounts_bucket{{le=\"{bound}\"}}")];
        within(bound, bucket, ended.count(most), begun.count(most));
    }
    // The sum follows its bin, so that a kill may find it an observation behind.
    within("sum", last["fixture_amounts_sum"], ended.sum(), begun.sum());
    assert_eq!((last["fixture_counting"], last["fixture_lives"]), (0.0, 4.0), "live gauges");
    assert!(
        whole >= report.ok() && all <= report.ok() + report.lost(),
        "{whole}..={all}: {report}"
    );
}
