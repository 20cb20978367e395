//! What measuring costs: processor time of one addition, beside the crates that others use, of all that is measured
//! of a request, and of adding up what all slots have.
//!
//! `cargo run --release -p bench -- metrics` starts it.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

mod requests;

use mainstay_os::segment::{Capacity, Kind, Layout, Segment, Tally};
use metrics::Recorder;
use prometheus_client::metrics::{counter::Counter, family::Family, histogram::Histogram};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;

/// How often a thing is done in one round.
const ROUND: u32 = 200_000;
/// Rounds, of which the fastest counts: what a neighbour takes only ever makes them slower.
const ROUNDS: usize = 15;
/// Those of client libraries, seconds.
const BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const SLOTS: usize = 16;
const CAPACITY: Capacity = Capacity { metrics: 64, counters: 1_000, gauges: 500, histograms: 500 };
const RECYCLES: u64 = 10_000;

/// A thing that is done, by its name.
type Row = (&'static str, Box<dyn FnMut()>);

fn main() {
    let mut rows = rows();
    let mut best = vec![f64::INFINITY; rows.len()];
    for _ in 0..ROUNDS {
        for ((_, once), best) in rows.iter_mut().zip(&mut best) {
            *best = best.min(time(ROUND, &mut **once));
        }
    }
    println!("| one addition | CPU ns |\n|---|--:|");
    for ((what, _), nanos) in rows.iter().zip(best) {
        println!("| {what} | {nanos:.1} |");
    }
    println!(
        "\nFastest of {ROUNDS} interleaved rounds of {ROUND}; the call through a box is in each.\n"
    );
    requests::print();
    totals();
}

fn segment() -> Segment {
    let (ring_bytes, metrics) = ([64; 3], CAPACITY);
    let layout = Layout { slots: SLOTS, in_flight: 1, ring_bytes, metrics, ..Layout::small(64) };
    Segment::create(layout).expect("memory that processes can share").0
}

fn rows() -> Vec<Row> {
    let segment = segment();
    let register = segment.register();
    let metric = register.declare(b"x", 0, b"").expect("room");
    let pin = |kind| {
        let series = register.claim(kind, metric, b"", 1_000).expect("room");
        segment.pin(0, kind, series).expect("a series")
    };
    let (counter, histogram) = (pin(Kind::Counter), pin(Kind::Histogram));
    let mut rows: Vec<Row> = vec![
        ("nothing", Box::new(|| _ = black_box(1))),
        ("nothing, with a size", {
            let mut sizes = sizes();
            Box::new(move || _ = black_box((sizes() * 1e9) as u64))
        }),
        ("counter of mainstay", Box::new(move || counter.count(black_box(1)))),
        ("histogram of mainstay, 572 bins", {
            let mut sizes = sizes();
            Box::new(move || histogram.observe((sizes() * 1e9) as u64))
        }),
    ];
    rows.extend(of_metrics());
    rows.extend(of_prometheus_client());
    rows
}

/// Sizes over all bounds, in turn.
fn sizes() -> impl FnMut() -> f64 {
    let mut size = 0.001_f64;
    move || {
        size = if size > 10.0 { 0.001 } else { size * 1.37 };
        black_box(size)
    }
}

fn of_metrics() -> Vec<Row> {
    let builder = metrics_exporter_prometheus::PrometheusBuilder::new();
    let builder = builder.set_buckets(&BOUNDS).expect("there are some");
    let recorder: &'static _ = Box::leak(Box::new(builder.build_recorder()));
    let told = metrics::Metadata::new("bench", metrics::Level::INFO, None);
    let counter = recorder.register_counter(&metrics::Key::from_name("x"), &told);
    let histogram = recorder.register_histogram(&metrics::Key::from_name("y"), &told);
    let (mut first, mut count) = (sizes(), 0_u64);
    vec![
        ("counter of metrics-exporter-prometheus, kept", {
            Box::new(move || counter.increment(black_box(1)))
        }),
        ("counter of metrics-exporter-prometheus, by the macro", {
            Box::new(move || {
                metrics::with_local_recorder(recorder, || {
                    metrics::counter!("z", "kind" => "card").increment(black_box(1));
                });
            })
        }),
        ("histogram of metrics-exporter-prometheus, kept, emptied as it asks for", {
            Box::new(move || {
                histogram.record(first());
                count += 1;
                if count.is_multiple_of(10_000) {
                    recorder.handle().run_upkeep();
                }
            })
        }),
    ]
}

fn of_prometheus_client() -> Vec<Row> {
    let counter = Counter::<u64>::default();
    let family = Family::<Vec<(String, String)>, Counter>::default();
    let histogram = Histogram::new(BOUNDS);
    let mut sizes = sizes();
    vec![
        ("counter of prometheus-client", Box::new(move || _ = counter.inc())),
        ("counter of prometheus-client, by its labels", {
            let labels = vec![("kind".to_owned(), "card".to_owned())];
            Box::new(move || _ = family.get_or_create(&labels).inc())
        }),
        ("histogram of prometheus-client, 14 buckets", {
            Box::new(move || histogram.observe(sizes()))
        }),
    ]
}

/// What a scrape adds up, of slots that have measured everything, before and after they were handed out
/// again and again.
fn totals() {
    let segment = segment();
    let register = segment.register();
    let metric = register.declare(b"x", 0, b"").expect("room");
    let kinds = [Kind::Counter, Kind::Gauge, Kind::Histogram];
    for (kind, index) in
        kinds.into_iter().flat_map(|kind| (0..CAPACITY.of(kind)).map(move |it| (kind, it)))
    {
        let labels = format!("route=\"/orders/{index}\"");
        let series = register.claim(kind, metric, labels.as_bytes(), 5_000).expect("room");
        for slot in 0..SLOTS {
            let pin = segment.pin(slot, kind, series).expect("a series");
            match kind {
                Kind::Counter => pin.count(1),
                Kind::Gauge => pin.set(1.0),
                Kind::Histogram => pin.observe(5_000_000),
            }
        }
    }
    let series: usize = kinds.map(|kind| CAPACITY.of(kind)).iter().sum();
    let measure = || {
        let rounds = (0..ROUNDS).map(|_| time(3, &mut || _ = black_box(add_up(&segment))));
        rounds.fold(f64::INFINITY, f64::min) / 1e6
    };
    let before = measure();
    let counted = add_up(&segment);
    for generation in 0..RECYCLES {
        let slot = segment.slot(generation as usize % SLOTS).expect("a slot");
        slot.take_back();
        slot.hand_out(generation, 0, 0);
    }
    assert_eq!(add_up(&segment), counted, "totals stay");
    println!(
        "Adding up {series} series of {SLOTS} slots: {before:.2} ms of CPU, {:.2} ms after",
        measure()
    );
    println!("{RECYCLES} recycles (without the text of the exposition).");
}

/// The sum of all totals.
fn add_up(segment: &Segment) -> u64 {
    let (mut sum, mut tally) = (0, Tally::default());
    for kind in [Kind::Counter, Kind::Gauge, Kind::Histogram] {
        for series in segment.register().series(kind) {
            tally.clear();
            for slot in segment.slots() {
                let measures = slot.measures();
                match kind {
                    Kind::Counter => sum += measures.counted(series.index),
                    Kind::Gauge => _ = black_box(measures.read_gauge(series.index)),
                    Kind::Histogram => measures.read_histogram(series.index, &mut tally),
                }
            }
            if kind == Kind::Histogram {
                sum += tally.count();
            }
        }
    }
    sum
}

/// Nanoseconds of processor time of this thread, for each of a round.
fn time(round: u32, once: &mut dyn FnMut()) -> f64 {
    let begin = clock();
    for _ in 0..round {
        once();
    }
    (clock() - begin) / f64::from(round)
}

fn clock() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}
