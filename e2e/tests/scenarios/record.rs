//! Every request that reached accept has one line and is counted once, whatever becomes of it and of
//! its worker.

use crate::storm::{CLIENTS, Dice, Outcome, PIPELINED, Seen, client};
use crate::support::*;
use crate::wire::Wire;
use e2e::harness::{Service, Status, is_alive, poll_every};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Status, reason, and the request line, which holds the id.
const CONFIG: &str = "workers.count = 4\nlog.access_format = '%(s)s %(reason)s %(r)s'";

/// Only workers of this age are killed: for those that die young the supervisor waits, and longer
/// each time.
const OLD: f64 = 1.6;

/// Ids of the requests by which workers are asked to end, beyond all others.
const EXITS: u64 = 1 << 40;

fn requests() -> u64 {
    let number = std::env::var("E2E_REQUESTS").ok().and_then(|text| text.parse().ok());
    number.unwrap_or(60_000)
}

#[test]
fn every_request_has_one_line_though_workers_are_killed() {
    let _alone = alone();
    let mut service = service(CONFIG);
    service.wait_workers(4, START);
    let (begun, total, next) = (Instant::now(), requests(), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|seed| {
            let (address, next) = (service.address, Arc::clone(&next));
            thread::spawn(move || client(address, &next, total, seed + 1))
        })
        .collect();
    let mut killer = Killer::default();
    killer.kill_until_over(&service, &clients);
    let mut seen = killer.seen;
    seen.extend(clients.into_iter().flat_map(|client| client.join().expect("no client panics")));
    let took = begun.elapsed();
    let status = service.wait_status("nothing in flight", START, |status| {
        let quiet = status.workers.iter().all(|it| it.connections == 0 && it.in_flight == 0);
        quiet && status.workers.len() == 4 && status.is_settled()
    });
    service.signal(Signal::TERM);
    assert_eq!(service.wait_exit(START).code(), Some(0), "{}", service.log());
    let book = Book::read(&service);
    let judged = Judged::of(&seen, &book);
    say(format_args!(
        "{} requests in {took:.1?} ({:.0}/s), {} kills {:?}, statuses {:?}\n{judged:?}",
        seen.len(),
        seen.len() as f64 / took.as_secs_f64(),
        killer.kills.values().sum::<u64>(),
        killer.kills,
        book.statuses,
    ));
    judged.assert(killer.kills.values().sum());
    book.assert_counted(&status);
}

/// Who kills, how often by which means, and what it asked for in doing so.
#[derive(Default)]
struct Killer {
    kills: BTreeMap<&'static str, u64>,
    seen: Vec<Seen>,
}

impl Killer {
    fn kill_until_over(&mut self, service: &Service, clients: &[JoinHandle<Vec<Seen>>]) {
        let mut dice = Dice::new(4_711);
        poll_every(Duration::from_millis(200), Duration::from_secs(3_600), || {
            if clients.iter().all(JoinHandle::is_finished) {
                return Some(());
            }
            let status = service.status();
            let old = old(&status);
            if let (Some(victim), true) = (pick(&old, &mut dice), status.ready() >= 2) {
                let means = match dice.throw(4) {
                    0 => self.signal(victim, Signal::KILL, "SIGKILL"),
                    1 => self.signal(victim, Signal::ABORT, "SIGABRT"),
                    2 => self.signal(victim, Signal::SEGV, "SIGSEGV"),
                    _ => self.ask_to_exit(victim, service),
                };
                *self.kills.entry(means).or_default() += 1;
            }
            None
        });
    }

    fn signal(&mut self, victim: Pid, signal: Signal, name: &'static str) -> &'static str {
        let gone = poll_every(Duration::from_millis(2), START, || {
            // The first SIGSEGV that no fault has caused only removes Rust's handler.
            kill_process(victim, signal).ok();
            (!is_alive(victim)).then_some(())
        });
        assert!(gone.is_some(), "{name} does not end a worker");
        name
    }

    /// As the kernel's killer of processes looks to others: the worker is gone, with status 137.
    fn ask_to_exit(&mut self, victim: Pid, service: &Service) -> &'static str {
        for _ in 0..1_000 {
            let id = EXITS + self.seen.len() as u64;
            let text = format!(
                "GET /exit?id={id}&code=137&pid={victim} HTTP/1.1\r\nHost: e2e\r\nConnection: close\r\n\r\n"
            );
            let answer =
                Wire::connect(service.address).and_then(|mut it| it.send(text.as_bytes()).answer());
            let outcome = answer.map_or_else(Outcome::Failed, |it| Outcome::Answered(it.status));
            self.seen.push(Seen { id, together: id, outcome });
            if !is_alive(victim) {
                return "exit(137)";
            }
        }
        self.signal(victim, Signal::KILL, "SIGKILL")
    }
}

/// Ready workers that may be killed without their successor having to wait.
pub(crate) fn old(status: &Status) -> Vec<Pid> {
    let rows = status.json["workers"].as_array().expect("rows of workers");
    let old = rows.iter().filter(|row| {
        row["state"] == "ready" && row["age_seconds"].as_f64().is_some_and(|age| age > OLD)
    });
    old.filter_map(|row| row["pid"].as_u64())
        .map(|it| pid(u32::try_from(it).expect("a pid")))
        .collect()
}

fn pick(pids: &[Pid], dice: &mut Dice) -> Option<Pid> {
    let count = u64::try_from(pids.len()).ok().filter(|count| *count > 0)?;
    pids.get(usize::try_from(dice.throw(count)).ok()?).copied()
}

/// The access log.
struct Book {
    lines: u64,
    /// Lines with each status.
    statuses: BTreeMap<u16, u64>,
    /// Lines of requests whose worker was gone.
    lost: u64,
    /// Status and reason in the line of each id.
    by_id: HashMap<u64, (u16, String)>,
}

impl Book {
    fn read(service: &Service) -> Book {
        let (statuses, by_id) = (BTreeMap::new(), HashMap::new());
        let mut book = Book { lines: 0, statuses, lost: 0, by_id };
        for line in service.access() {
            let line = String::from_utf8(line).expect("a line is text");
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().unwrap_or_else(|| panic!("no line: {line:?}"));
            let status = word().parse().unwrap_or_else(|_| panic!("no line: {line:?}"));
            let (reason, request) = (word(), word());
            book.lines += 1;
            *book.statuses.entry(status).or_default() += 1;
            book.lost += u64::from(reason.starts_with("worker_"));
            let Some((_, id)) = request.split_once("id=") else { continue };
            let digits = id.find(|it: char| !it.is_ascii_digit()).unwrap_or(id.len());
            let id = id[..digits].parse().unwrap_or_else(|_| panic!("no id: {line:?}"));
            let before = book.by_id.insert(id, (status, reason.to_owned()));
            assert_eq!(before, None, "a second line: {line:?}");
        }
        book
    }

    /// The service's own totals are those of its lines.
    fn assert_counted(&self, status: &Status) {
        let sum = |range: std::ops::Range<u16>| -> u64 {
            let lines = self.statuses.range(range).filter(|(status, _)| **status != 499);
            lines.map(|(_, count)| count).sum()
        };
        let gone = self.statuses.get(&499).copied().unwrap_or(0);
        let expected = [
            ("http_requests", self.lines),
            ("http_responses_1xx", sum(100..200)),
            ("http_responses_2xx", sum(200..300)),
            ("http_responses_3xx", sum(300..400)),
            ("http_responses_4xx", sum(400..500)),
            ("http_responses_5xx", sum(500..600)),
            ("http_requests_abandoned", gone),
            ("http_requests_lost", self.lost),
            ("access_lines", self.lines),
            ("access_lines_dropped", 0),
        ];
        let counted = expected.map(|(name, _)| (name, status.counter(name)));
        assert_eq!(counted, expected, "what was counted, and what is written");
    }
}

/// Both sides held against each other.
#[derive(Debug, Default)]
struct Judged {
    answered: u64,
    left: u64,
    left_with_line: u64,
    failed: u64,
    /// Failed, and no worker ever read it.
    unread: u64,
    /// Failed, and the supervisor wrote the line.
    lost: u64,
    /// Failed, but answered as the service sees it: the answer was lost on its way.
    on_the_way: u64,
    /// Answered in the moment of a kill: the client has its answer, the book a 502. By what was sent
    /// together, since it is written together.
    late: BTreeSet<u64>,
    faults: Vec<String>,
}

impl Judged {
    fn of(seen: &[Seen], book: &Book) -> Judged {
        let mut judged = Judged::default();
        for it in seen {
            let line = book.by_id.get(&it.id).map(|(status, reason)| (*status, reason.as_str()));
            let lost = matches!(line, Some((502, reason)) if reason.starts_with("worker_"));
            match (it.outcome, line) {
                (Outcome::Answered(status), Some((noted, _))) if noted == status => {
                    judged.answered += 1;
                }
                (Outcome::Answered(_), Some(_)) if lost => {
                    judged.answered += 1;
                    judged.late.insert(it.together);
                }
                (Outcome::Left, line) => {
                    judged.left += 1;
                    judged.left_with_line += u64::from(line.is_some());
                }
                (Outcome::Failed(_), line) => {
                    judged.failed += 1;
                    judged.unread += u64::from(line.is_none());
                    judged.lost += u64::from(lost);
                    judged.on_the_way += u64::from(line.is_some() && !lost);
                }
                (Outcome::Answered(_), line) => judged.faults.push(format!("{it:?}: {line:?}")),
            }
        }
        judged
    }

    fn assert(&self, kills: u64) {
        let faults = self.faults.len();
        assert!(
            faults == 0,
            "{faults} answered, and not so in the log: {:#?}",
            &self.faults[..faults.min(10)]
        );
        assert!(self.late.len() as u64 <= kills, "{} late ones, {kills} kills", self.late.len());
        let most = kills * CLIENTS * PIPELINED;
        assert!(self.failed <= most, "{} failed, at most {most} can by {kills} kills", self.failed);
        assert!(self.left_with_line > 0 || self.left < 20, "nobody who left has a line");
    }
}
