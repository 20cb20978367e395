//! The sending against a real server that does what its plan says.

mod exporting;
mod killing;
mod measuring;
mod server;

use crate::config::{Config, Sources};
use crate::log::{Log, TELEMETRY};
use crate::metrics::names;
use crate::telemetry::Parcel;
use mainstay_os::segment::{Layout, Segment};
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};
use prost::Message;
use std::thread;
use std::time::Duration;

/// Three slots, of which two were handed out, and watch in the last.
fn segment(ring: usize) -> Segment {
    let segment = Segment::on_heap(Layout {
        slots: 4,
        counters: names::CELLS,
        in_flight: 1,
        ring_bytes: [1 << 16, 1 << 16, ring],
        metrics: names::CAPACITY,
        limits: 0,
    });
    for (index, slot) in segment.slots().enumerate().filter(|(index, _)| *index != 1) {
        slot.hand_out(1, 0, 0);
        slot.set_pid(index as u32 + 100);
    }
    segment.header().set_started_wall(1_700_000_000_000_000_000);
    segment
}

/// Watch's way into the log.
fn watch(segment: &Segment) -> Log {
    Log::new(segment.clone(), 3)
}

/// A parcel of so many spans whose names begin with `name`.
fn parcel(name: &str, spans: usize) -> Vec<u8> {
    let span = |number| Span {
        trace_id: vec![7; 16],
        span_id: vec![9; 8],
        name: format!("{name}.{number}"),
        ..Span::default()
    };
    let spans = (0..spans).map(span).collect();
    ScopeSpans { spans, ..ScopeSpans::default() }.encode_to_vec()
}

fn push(segment: &Segment, slot: usize, parcel: &[u8]) -> bool {
    segment.slot(slot).unwrap().ring(TELEMETRY).push(Parcel::Spans as u16, parcel)
}

fn config(keys: &str, env: &[(&str, &str)]) -> Config {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let file = Some(("mainstay.toml".into(), format!("[telemetry]\n{keys}")));
    Config::resolve(&Sources { file, env, ..Sources::default() }).unwrap()
}

/// Waits for what is to come.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = crate::clock::mono() + Duration::from_secs(30);
    while !is_so() {
        assert!(crate::clock::mono() < deadline, "waited for: {what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// What the error log says by now.
fn told(segment: &Segment) -> String {
    crate::log::outlet::drained(segment)
}

/// The lines of the exposition that begin so.
fn shown(segment: &Segment, begin: &str) -> Vec<String> {
    let page = crate::watch::metrics::tests::exposed(segment);
    let lines = page.lines().filter(|line| line.starts_with(begin));
    lines.filter(|line| !line.ends_with(" 0")).map(str::to_owned).collect()
}
