//! What a look costs: all rules, and as many of the operator's own, over many workers.

use super::*;
use crate::config::Sources;
use crate::metrics::requests::Requests;
use crate::status::OTHER_SLOTS;
use mainstay_os::segment::{Layout, Phase, Segment};
use rustix::time::{ClockId, clock_gettime};

const WORKERS: usize = 64;
const RULES: usize = 50;
const ROUTES: usize = 20;
const LOOKS: u32 = 200;
/// What it may cost with optimisation.
const MOST: Duration = Duration::from_millis(1);

fn segment() -> Segment {
    let (counters, metrics, ring_bytes) = (names::CELLS, names::CAPACITY, [4_096; 3]);
    let slots = WORKERS + OTHER_SLOTS;
    let layout = Layout { slots, in_flight: 8, ring_bytes, metrics, ..Layout::small(counters) };
    // Memory that is taken only where it is touched.
    let (segment, _fd) = Segment::create(layout).unwrap();
    segment.header().set_state(State::Ready as u64);
    segment.header().set_target(WORKERS as u64);
    for index in 0..WORKERS {
        let slot = segment.slot(index).unwrap();
        slot.hand_out(1, clock::mono().0, 0);
        slot.set_pid(1_000 + index as u32);
        slot.set_phase(Phase::Ready);
        slot.beat(clock::mono().0, 1 << 25);
        let mut requests = Requests::new(segment.clone(), index, |_| {});
        for route in 0..ROUTES {
            let series = requests.series(b"GET", Some(&format!("/route/{route}")), 200);
            slot.measures().observe_in_turn(series.duration, 1_000_000);
        }
    }
    segment
}

fn looker(log: &Log) -> (Looker, Work) {
    let own = |index: usize| match index % 3 {
        0 => format!("own{index}: increase(mainstay_http_requests_total, 5m) > {index}00000"),
        1 => format!("own{index}: avg(mainstay_worker_resident_memory_bytes, 5m) > 900GB"),
        _ => format!("own{index}: p95(mainstay_http_request_duration_seconds, 5m) > {index}s"),
    };
    let rules: Vec<_> = (0..RULES).map(own).collect();
    let flags = [("alerts.rules", rules.join("; "))].into();
    let config = Config::resolve(&Sources { flags, ..Sources::default() }).unwrap();
    let looker = Looker {
        log: log.clone(),
        receivers: named(&config),
        maintenance: Vec::new(),
        zones: super::Zones::default(),
        own: own::named(&config.alerts),
        sender: sender("shop", "1", &config.alerts),
        directories: Arc::default(),
        intake: Arc::default(),
        probes: Arc::default(),
        office: Arc::new(Office::new(Book::default())),
        shown: Arc::default(),
        config,
    };
    // And one that the program has by itself.
    assert_eq!(looker.own.len(), RULES + 1);
    let (work, _) = looker.begin(clock::mono());
    (looker, work)
}

fn spent() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// `cargo test --release -p mainstay --all-features --lib cost -- --ignored --nocapture`
#[test]
#[ignore = "it measures: for a release build on a quiet machine"]
fn a_look_at_64_workers_with_50_rules_of_ones_own_costs_no_millisecond() {
    let log = Log::new(segment(), WORKERS + 1);
    let (looker, mut work) = looker(&log);
    let mut now = work.last;
    let mut measure = |is_time: bool| {
        let mut each: Vec<_> = (0..LOOKS)
            .map(|_| {
                now += 10_000_000_000;
                let begun = spent();
                looker.look(&mut work, now, is_time);
                spent() - begun
            })
            .collect();
        each.sort();
        each[each.len() / 2]
    };
    measure(true);
    let (decided, noted) = (measure(true), measure(false));
    eprintln!("a look that decides: {decided:?}, one that takes note alone: {noted:?}");
    assert!(cfg!(debug_assertions) || decided <= MOST, "{decided:?}");
}
