//! Requests as a worker's book counts, measures and traces them: without a connection, without an application and
//! without an access line.

use crate::config::{Config, Sources};
use crate::http::book::{Book, Recorder};
use crate::http::page::Page;
use crate::log::{Log, TELEMETRY};
use crate::metrics::names;
use crate::telemetry::Settings;
use mainstay_os::segment::{Layout, Segment};
use std::fmt;
use std::sync::Arc;

/// Bytes of the ring of spans.
const RING: usize = 1 << 20;

/// What is recorded of their traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traces {
    /// Nothing.
    Off,
    /// Until the end of each, since it might fail; all of them end well.
    Unsampled,
    /// All of it, handed over to the ring.
    Sampled,
}

/// Requests, one after another, on a segment of their own that processes can share.
pub struct Passes {
    segment: Segment,
    recorder: Arc<Recorder>,
    page: Box<Page>,
    took: u64,
    buffer: Vec<u8>,
}

impl fmt::Debug for Passes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passes").field("recorder", &self.recorder).finish_non_exhaustive()
    }
}

impl Passes {
    /// Requests of which traces are recorded so.
    ///
    /// # Errors
    /// When there is no memory for a segment, or no such configuration.
    pub fn new(traces: Traces) -> Result<Passes, String> {
        let sampler = match traces {
            Traces::Off => None,
            Traces::Unsampled => Some("parentbased_always_off"),
            Traces::Sampled => Some("always_on"),
        };
        let endpoint = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/v1/traces");
        let env = sampler.into_iter().flat_map(|it| [endpoint, ("OTEL_TRACES_SAMPLER", it)]);
        let env = env.map(|(name, value)| (name.into(), value.into())).collect();
        let config = Config::resolve(&Sources { env, ..Sources::default() });
        let config = config.map_err(|error| error.to_string())?;
        let (ring_bytes, metrics) = ([4_096, 4_096, RING], names::CAPACITY);
        let layout = Layout { in_flight: 4, ring_bytes, metrics, ..Layout::small(names::CELLS) };
        let (segment, _) = Segment::create(layout).map_err(|error| error.to_string())?;
        let log = Log::new(segment.clone(), 0);
        log.set_telemetry(&Settings::of(&config));
        let recorder = Recorder::new(log, Book::default(), |_| {});
        let page = recorder.answered();
        Ok(Passes { segment, recorder, page, took: 0, buffer: Vec::new() })
    }

    /// Counts and measures beginning and end of a request, and does nothing else.
    #[inline]
    pub fn count(&mut self) {
        // From microseconds to a twentieth of a second.
        self.took = (self.took + 1_000_003) % 50_000_000;
        self.recorder.count_whole(&self.page, self.took);
    }

    /// Takes a request from its beginning to its end: page, context and clocks, counts and measures, and its span.
    #[inline]
    pub fn pass(&mut self) {
        self.recorder.pass();
    }

    /// Requests that have ended.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.segment.total(names::REQUESTS)
    }

    /// Takes the records with spans out of the ring; how many there were.
    pub fn drain(&mut self) -> u64 {
        let Some(slot) = self.segment.slot(0) else { return 0 };
        let ring = slot.ring(TELEMETRY);
        let mut count = 0;
        while ring.pop(&mut self.buffer).is_some() {
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_counted_and_has_a_span_where_it_is_sampled() {
        for (traces, spans) in [(Traces::Off, 0), (Traces::Unsampled, 0), (Traces::Sampled, 5)] {
            let mut passes = Passes::new(traces).unwrap();
            (0..5).for_each(|_| passes.pass());
            (0..3).for_each(|_| passes.count());
            assert_eq!((passes.ended(), passes.drain()), (8, spans), "{traces:?}");
            assert_eq!(passes.drain(), 0);
        }
    }
}
