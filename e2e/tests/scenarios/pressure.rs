//! Clients and readers that are slow on purpose, and what everybody else notices of it.

use crate::support::*;
use crate::wire::Wire;
use e2e::harness::{Launch, Service, poll_every};
use e2e::load::{Load, Report};
use rustix::process::Signal;
use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

/// Clients that send a byte a second.
const SLOW: usize = 500;

/// What a health check may take at the 99th of a hundred, beyond what it takes undisturbed.
const HEALTHY: Duration = Duration::from_millis(20);

/// Times of health checks, over new and kept connections in turn, ascending.
fn health(service: &Service, until: impl Fn() -> bool) -> Vec<Duration> {
    let (mut times, mut kept) = (Vec::new(), None);
    while !until() {
        let begun = Instant::now();
        let mut wire = match kept.take() {
            Some(wire) => wire,
            None => Wire::connect(service.address).expect("the service listens"),
        };
        let status = wire.send(b"GET /healthz HTTP/1.1\r\nHost: e2e\r\n\r\n").answer();
        assert_eq!(status.map(|answer| answer.status), Ok(200), "{}", service.log());
        times.push(begun.elapsed());
        if times.len() % 2 == 1 {
            kept = Some(wire);
        }
    }
    times.sort_unstable();
    times
}

fn p99(times: &[Duration]) -> Duration {
    times.get(times.len() * 99 / 100).or(times.last()).copied().unwrap_or_default()
}

#[test]
fn slow_heads_hold_nobody_up() {
    let _alone = alone();
    let service = service(
        "workers.count = 2\nhttp.header_timeout = \"2s\"\nlog.access_format = '%(s)s %(reason)s %(U)s'\n\
         log.probes = false",
    );
    service.wait_workers(2, START);
    let end = Instant::now() + steady();
    let before = p99(&health(&service, || Instant::now() >= end));
    let open = |_| Wire::connect(service.address).expect("the service listens");
    let mut slow: Vec<_> = (0..SLOW).map(open).collect();
    let dripping = thread::spawn(move || {
        let mut bytes = b"GET /slow HTTP/1.1\r\n".iter();
        // Longer than the deadline by what its looks may be late.
        poll_every(Duration::from_secs(1), Duration::from_secs(4), || {
            let byte = bytes.next().copied().expect("a head longer than the scenario");
            slow.iter_mut().for_each(|wire| _ = wire.send(&[byte]));
            None::<()>
        });
        slow
    });
    let during = health(&service, || dripping.is_finished());
    let mut slow = dripping.join().expect("who drips does not panic");
    let (checks, during) = (during.len(), p99(&during));
    say(format_args!(
        "/healthz p99 {during:.1?} beside {SLOW} slow heads, {before:.1?} before ({checks} checks; \
         rule: at most {HEALTHY:?})"
    ));
    assert!(during <= HEALTHY + before, "p99 {during:?}, undisturbed {before:?}");
    let refused = |wire: &mut Wire| wire.answer().is_ok_and(|answer| answer.status == 408);
    let told = slow.iter_mut().map(refused).filter(|told| *told).count();
    assert_eq!(told, SLOW, "clients that were told 408");
    let lines = poll_every(Duration::from_millis(50), START, || {
        let lines = service.access_but_probes().len();
        (lines >= SLOW).then_some(lines)
    });
    let late = service
        .access_but_probes()
        .iter()
        .filter(|line| line.starts_with(b"408 header_timeout "))
        .count();
    assert_eq!((late, lines), (SLOW, Some(SLOW)), "lines with 408, and lines");
}

/// As fast as it goes, for the length of a steady phase.
fn full_load(service: &Service) -> Report {
    let load = Load { new_connections: 1, kept_alive: 7, ..Load::new(service.address) }.start();
    load.run_for(steady());
    load.stop()
}

#[test]
fn a_stdout_that_nobody_reads_stalls_nothing() {
    let _alone = alone();
    // The smallest room for lines that there is.
    let config = "workers.count = 2\nlog.buffer = \"64 KiB\"";
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut blocked = Launch::new(fixture()).config(config).stdout(writer).start().ready(START);
    let free = service(config);
    for service in [&blocked, &free] {
        service.wait_workers(2, START);
    }
    let (beside, report) = (full_load(&free), full_load(&blocked));
    drop(free);
    let [(rate, slow), (usual_rate, usual_slow)] = [&report, &beside].map(|report| {
        let phase = report.phase("steady");
        (phase.rate(), phase.quantile(0.99))
    });
    say(format_args!(
        "stdout that nobody reads: {rate:.0}/s, p99 {slow:.1?}; one that is read: {usual_rate:.0}/s, \
         p99 {usual_slow:.1?}; {:.2} of it",
        rate / usual_rate
    ));
    assert_nothing_lost("a stdout that nobody reads", &report, &blocked);
    assert!(rate >= usual_rate / 2.0, "{rate:.0}/s, beside it {usual_rate:.0}/s");
    let status = blocked.wait_status("nothing in flight", START, |status| {
        status.workers.iter().all(|it| it.in_flight == 0 && it.connections == 0)
    });
    let reading = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    blocked.signal(Signal::TERM);
    assert_eq!(blocked.wait_exit(START).code(), Some(0), "{}", blocked.log());
    let text = reading.join().expect("a reader does not panic").expect("the log is text");
    // Health checks that came before the service was ready are lines too.
    let whole = |line: &&str| line.starts_with("127.0.0.1 ") && line.contains("\"GET /");
    let lines = text.lines().filter(whole).count() as u64;
    let (requests, dropped) =
        (status.counter("http_requests"), status.counter("access_lines_dropped"));
    let told = told_dropped(&text) + told_dropped(&blocked.log());
    say(format_args!("{requests} requests, {lines} lines read, {dropped} dropped, {told} told"));
    assert!(dropped > 0, "the pipe was never full");
    assert_eq!(lines + dropped, requests, "{}", blocked.log());
    assert_eq!(told, dropped, "what lines say was dropped:\n{}", blocked.log());
}

/// Dropped lines as the log tells them.
fn told_dropped(log: &str) -> u64 {
    let lines = log.lines().filter_map(|line| {
        let (before, _) = line.split_once(" log lines")?;
        before.rsplit(' ').next()?.parse::<u64>().ok()
    });
    lines.sum()
}
