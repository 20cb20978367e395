//! What a scrape of `/metrics` costs watch, with 2,000 series of which 16 workers have measured, what it does
//! to those who serve, and what the same costs in Python's prometheus_client with its files.
//!
//! `cargo run --release -p bench -- scrape` starts it.

use std::{
    fs,
    net::SocketAddr,
    process::{Command, ExitCode},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use e2e::load::{Load, send};
use mainstay::{BoxError, Merge, Worker};

use crate::{Fallible, servers::Program};

const WORKERS: usize = 16;
/// Metrics and the series of each: 1,000 counters, 200 gauges and 800 histograms.
const COUNTERS: (usize, usize) = (4, 250);
const GAUGES: (usize, usize) = (4, 50);
const HISTOGRAMS: (usize, usize) = (16, 50);
/// Scrapes of which the processor time is measured together, and rounds, of which the fastest counts.
const SCRAPES: u32 = 50;
const ROUNDS: usize = 5;
/// Pause of a scraper in a hurry.
const HURRY: Duration = Duration::from_millis(100);
/// Length of a phase with scrapes and of one without.
const PHASE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(10);
/// The same in Python: what an addition costs, and a scrape of the files of as many processes.
const PYTHON: &str = include_str!("scrape.py");

/// Declares everything in a worker, and measures once of each.
pub(crate) fn declare(worker: &Worker) -> Result<(), BoxError> {
    for metric in 0..COUNTERS.0 {
        let family = worker.counter_by(&format!("bench_{metric}_total"), "Counted.", ["route"])?;
        (0..COUNTERS.1).for_each(|it| family.with([&*route(it)]).inc());
    }
    for metric in 0..GAUGES.0 {
        let name = format!("bench_{metric}_bytes");
        let family = worker.gauge_by(&name, "Measured.", Merge::Sum, ["route"])?;
        (0..GAUGES.1).for_each(|it| family.with([&*route(it)]).set(1.5));
    }
    for metric in 0..HISTOGRAMS.0 {
        let family = worker.histogram_by(&format!("bench_{metric}_seconds"), "Took.", ["route"])?;
        for series in 0..HISTOGRAMS.1 {
            let one = family.with([&*route(series)]);
            [0.003, 0.004, 0.02, 0.3].into_iter().for_each(|value| one.observe(value));
        }
    }
    Ok(())
}

fn route(number: usize) -> String {
    format!("/orders/{number}")
}

/// Measures, and prints what was found.
///
/// # Errors
/// When a server does not start, or does not answer.
pub(crate) fn print() -> Fallible<ExitCode> {
    let server = Program::Measured.start(WORKERS, None)?;
    let admin = server.admin.ok_or("no admin listener")?;
    let others = |pid: &&u32| !server.workers.contains(pid) && server.all.first() != Some(*pid);
    let watch = *server.all.iter().find(others).ok_or("no watch")?;
    println!(
        "| a scrape of 2,000 series of {WORKERS} workers | bytes | CPU ms of watch |\n|---|--:|--:|"
    );
    for (what, accept, coding) in [
        ("Prometheus text", "text/plain", ""),
        ("OpenMetrics", "application/openmetrics-text", ""),
        ("Prometheus text in gzip", "text/plain", "gzip"),
    ] {
        let length = scrape(admin, accept, coding)?;
        let mut best = f64::INFINITY;
        for _ in 0..ROUNDS {
            let before = cpu_time(watch)?;
            for _ in 0..SCRAPES {
                scrape(admin, accept, coding)?;
            }
            best = best.min((cpu_time(watch)? - before) / f64::from(SCRAPES) / 1e6);
        }
        println!("| {what} | {length} | {best:.2} |");
    }
    println!("\nFastest of {ROUNDS} rounds of {SCRAPES}, connecting and sending included.\n");
    disturbance(server.address, admin)?;
    server.stop()?;
    python()
}

/// Load in turns with a scraper in a hurry and without.
fn disturbance(address: SocketAddr, admin: SocketAddr) -> Fallible<()> {
    let (scraping, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let load =
        Load { new_connections: 0, think: Some(Duration::from_millis(4)), ..Load::new(address) };
    let (mut quiet, mut scraped) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                let begun = Instant::now();
                if scraping.load(Relaxed) {
                    scrape(admin, "text/plain", "gzip").ok();
                }
                thread::sleep(HURRY.saturating_sub(begun.elapsed()));
            }
        });
        for _ in 0..ROUNDS {
            for (is_on, found) in [(false, &mut quiet), (true, &mut scraped)] {
                scraping.store(is_on, Relaxed);
                let running = load.clone().start();
                running.run_for(PHASE);
                let report = running.stop();
                found.push(report.phase("steady").quantile(0.99).as_secs_f64() * 1e3);
            }
        }
        over.store(true, Relaxed);
    });
    let median = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    println!(
        "p99 of requests: {:.2} ms, and {:.2} ms with a scrape each {} ms (medians of {ROUNDS} phases of each).\n",
        median(quiet),
        median(scraped),
        HURRY.as_millis()
    );
    Ok(())
}

/// Scrapes once; how long the answer is.
fn scrape(admin: SocketAddr, accept: &str, coding: &str) -> Fallible<usize> {
    let text = format!(
        "GET /metrics HTTP/1.1\r\nHost: bench\r\nAccept: {accept}\r\nAccept-Encoding: {coding}\r\n\
         Connection: close\r\n\r\n"
    );
    let answer = send(&admin.into(), text.as_bytes(), PATIENCE);
    let answer = answer.map_err(|failure| format!("no scrape: {failure:?}"))?;
    Ok(answer.body.len())
}

/// Processor time of all threads of a process, nanoseconds.
fn cpu_time(pid: u32) -> Fallible<f64> {
    let mut sum = 0.0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let told = fs::read_to_string(task?.path().join("schedstat"))?;
        let used: f64 = told.split(' ').next().ok_or("no schedstat")?.parse()?;
        sum += used;
    }
    Ok(sum)
}

fn python() -> Fallible<ExitCode> {
    let Some(programs) = e2e::peers::python("prometheus_client", "0.26.0") else {
        return Ok(ExitCode::SUCCESS);
    };
    let directory = tempfile::tempdir()?;
    let mut command = Command::new(programs.join("python"));
    command.args(["-c", PYTHON]).env("PROMETHEUS_MULTIPROC_DIR", directory.path());
    for (number, series) in [COUNTERS, GAUGES, HISTOGRAMS] {
        command.args([number.to_string(), series.to_string()]);
    }
    let output = command.arg(WORKERS.to_string()).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    print!("{}", String::from_utf8_lossy(&output.stdout));
    Ok(ExitCode::SUCCESS)
}
