//! Figures: memory at rest and cold start of the smallest service, and what scrapes do to its requests; size, cold
//! start and `health` of the program.

use crate::metrics::scrape;
use crate::support::*;
use e2e::harness::{Launch, Service, poll_every, rss_bytes};
use e2e::peers::{find, missing};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

const MIB: f64 = 1024.0 * 1024.0;

/// The limits hold for what users run: an optimised build.
const JUDGED: bool = !cfg!(debug_assertions);

#[test]
fn supervisor_and_workers_are_small_at_rest() {
    let _alone = alone();
    let service = Service::start(lean(), &[], "workers.count = 2").ready(START);
    let status = service.wait_workers(2, START);
    // A few answers, so that what the first one allocates is in the figure.
    for _ in 0..20 {
        assert_eq!(service.get("/").map(|answer| answer.status), Ok(200));
    }
    let mib = |pid| rss_bytes(pid).expect("a living process") as f64 / MIB;
    let supervisor = mib(service.pid());
    let workers: Vec<_> = status.pids().into_iter().map(|number| mib(pid(number))).collect();
    let watch = status.watch().map(mib);
    say(format_args!(
        "RSS: supervisor {supervisor:.2} MiB, workers {workers:.2?} MiB, watch {watch:.2?} MiB"
    ));
    // Most of it are pages of files that all processes share, of which the system maps more or fewer at a time: of a
    // worker's 9.2 MiB 1.4 are its own. So the figure grows with the program, and says little of what a worker costs.
    assert!(!JUDGED || supervisor <= 6.5, "supervisor: {supervisor:.2} MiB");
    assert!(!JUDGED || workers.iter().all(|mib| *mib <= 10.5), "workers: {workers:.2?} MiB");
}

#[test]
fn the_first_answer_comes_soon_after_exec() {
    let _alone = alone();
    let times = (0..5).map(|_| {
        let begun = Instant::now();
        let service = Service::start(hello(), &[], "workers.count = 1");
        let ok = || service.get("/").ok().filter(|answer| answer.status == 200);
        // The usual pause of 5 ms would be a tenth of what is measured.
        let answered = poll_every(Duration::from_millis(1), START, ok).is_some();
        assert!(answered, "no answer:\n{}", service.log());
        begun.elapsed()
    });
    let times: Vec<_> = times.collect();
    let best = times.iter().min().copied().unwrap_or_default();
    say(format_args!("cold start to the first 200: best {best:.1?} of {times:.1?}"));
    assert!(!JUDGED || best <= Duration::from_millis(50), "cold start {best:?}");
}

/// From the begin of one scrape to that of the next, of a scraper in a hurry.
const HURRY: Duration = Duration::from_millis(100);
/// Far more than all phases take.
const LONGEST: Duration = Duration::from_secs(600);
/// Length of a phase with scrapes, and of one without.
const PHASE: Duration = Duration::from_millis(500);

#[test]
fn scrapes_in_a_hurry_make_no_request_late() {
    let _alone = alone();
    let service = Service::start(hello(), &[], "workers.count = 2").ready(START);
    service.wait_workers(2, START);
    let rounds = if JUDGED { 6 } else { 2 };
    let (scraping, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let load = usual_load(&service).start();
    load.run_for(PHASE);
    thread::scope(|scope| {
        let ending = Ending(&over);
        scope.spawn(|| {
            poll_every(HURRY, LONGEST, || {
                let is_on = scraping.load(Relaxed);
                assert!(!is_on || scrape(&service).is_some(), "a scrape is answered");
                over.load(Relaxed).then_some(())
            })
        });
        for round in 0..rounds {
            for (is_on, name) in [(false, "quiet"), (true, "scraped")] {
                load.mark(&format!("{name} {round}"));
                scraping.store(is_on, Relaxed);
                load.run_for(PHASE);
            }
        }
        drop(ending);
    });
    let report = load.stop();
    assert_eq!(report.lost(), 0, "{report}");
    let [quiet, scraped] = ["quiet", "scraped"].map(|name| {
        let phase = |round| {
            let phase = report.phase(&format!("{name} {round}"));
            assert!(phase.ok() > 0, "{name} {round}: nobody was answered\n{report}");
            phase.quantile(0.99)
        };
        let mut all: Vec<Duration> = (0..rounds).map(phase).collect();
        all.sort();
        all[all.len() / 2]
    });
    say(format_args!(
        "p99 of requests: {quiet:.2?}, and {scraped:.2?} with a scrape each {HURRY:?} (medians of {rounds} phases)"
    ));
    // What a neighbour on the machine does to a p99 of a millisecond is more than this.
    let most = quiet * 2 + Duration::from_millis(5);
    assert!(!JUDGED || scraped <= most, "{scraped:?}, and {quiet:?} without scrapes");
}

/// What the image may have.
const IMAGE: f64 = 20e6;

#[test]
fn the_image_is_small() {
    let _together = together();
    let Some(strip) = find("strip") else { return missing("strip") };
    // The same for the whole program is minutes of linking, for a figure that nobody judges.
    let whole = if JUDGED { mainstay_of_the_image() } else { mainstay() };
    let place = tempfile::tempdir().expect("a temporary directory");
    let program = place.path().join("mainstay");
    let done = Command::new(strip).arg("-o").arg(&program).arg(whole).status();
    assert!(done.is_ok_and(|it| it.success()));
    let (rootfs, root) = (contrib("docker/rootfs"), place.path().join("image"));
    let made = Command::new(rootfs).arg(&program).arg(&root).status();
    assert!(made.is_ok_and(|it| it.success()));
    let (program, image) = (size(&program), size(&root));
    say(format_args!("image: {:.1} MB, of which the program {:.1} MB", image / 1e6, program / 1e6));
    assert!(!JUDGED || image <= IMAGE, "{:.1} MB", image / 1e6);
}

/// The bytes of a file, or of all files of a directory.
fn size(path: &Path) -> f64 {
    match path.read_dir() {
        Ok(entries) => entries.flatten().map(|it| size(&it.path())).sum(),
        Err(_) => path.symlink_metadata().expect("it is there").len() as f64,
    }
}

#[test]
fn the_program_is_ready_soon_and_health_costs_no_more_than_curl() {
    let _alone = alone();
    let launch =
        || Launch::new(mainstay()).config("workers.count = 2\nhealth.drain_delay = \"0s\"");
    let times = (0..3).map(|_| {
        let begun = Instant::now();
        let service = launch().start();
        let ok = || service.get("/readyz").ok().filter(|answer| answer.status == 200);
        assert!(poll_every(Duration::from_millis(1), START, ok).is_some(), "{}", service.log());
        begun.elapsed()
    });
    let times: Vec<_> = times.collect();
    let best = times.iter().min().copied().unwrap_or_default();
    say(format_args!(
        "the program, cold, with a new database, to /readyz: best {best:.1?} of {times:.1?}"
    ));
    assert!(!JUDGED || best <= Duration::from_millis(300), "cold start {best:?}");
    let Some(curl) = find("curl") else { return missing("curl") };
    let service = launch().start().ready(START);
    let url = format!("http://{}/healthz", service.admin);
    let run = |command: &mut Command| assert!(command.status().is_ok_and(|it| it.success()));
    let asks = ["--silent", "--fail", "--output", "/dev/null", &url];
    let curl = cpu(|| run(Command::new(&curl).args(asks)));
    let health = cpu(|| drop(service.control_ok(&["health"])));
    let nothing = cpu(|| run(&mut Command::new("true")));
    say(format_args!("CPU: health {health:.1?}, curl {curl:.1?}, a start of `true` {nothing:.1?}"));
    // Noise of a machine that has other work is as much for both.
    assert!(!JUDGED || health <= curl.mul_f64(1.3), "health {health:?}, curl {curl:?}");
}

/// The processor time of what is run: the mean of some runs, for the kernel counts in hundredths of a second.
fn cpu(mut run: impl FnMut()) -> Duration {
    const RUNS: u32 = 50;
    let before = children();
    for _ in 0..RUNS {
        run();
    }
    (children() - before) / RUNS
}

/// What the children that were waited for have used.
fn children() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("proc");
    // The name in parentheses may hold anything; cutime and cstime are the 16th and 17th field.
    let fields = stat.rsplit_once(')').expect("a name").1.split_whitespace();
    let ticks: u64 = fields.skip(13).take(2).map(|it| it.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}
