//! Figures: memory at rest and cold start of the smallest service.

use crate::support::*;
use e2e::harness::{Service, poll_every, rss_bytes};
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
