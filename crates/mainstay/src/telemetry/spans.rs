//! The spans of one trace in this process, until its end decides about them: of a request, or of a span
//! of the application's that belongs to none.

use super::attributes::Attributes;
use super::server::Asked;
use super::span::Span;
use super::{Parcel, Settings};
use crate::clock;
use crate::http::context::id::random;
use crate::log::Log;
use crate::metrics::names;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// As many bytes of spans are handed over at once.
const PARCEL: usize = 16 << 10;
/// As many bytes are taken for the first span; most requests have few.
const FIRST: usize = 1 << 10;
/// As many bytes wait for the end of a trace that may not be kept. With a longest span behind them they
/// fit the smallest ring.
const WAITING: usize = 64 << 10;

/// The trace's part in this process.
pub(crate) struct Spans {
    log: Log,
    pub(crate) trace: [u8; 16],
    /// The span that all of them hang from.
    pub(crate) root: [u8; 8],
    /// The caller's.
    pub(crate) parent: Option<[u8; 8]>,
    /// As they are told to others.
    pub(crate) flags: u8,
    pub(crate) state: String,
    /// What the request said, beyond its context; empty for what is no request.
    pub(crate) asked: Asked,
    buffer: Mutex<Buffer>,
}

#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// Spans in it.
    count: u64,
    /// Spans for which there was no room.
    surplus: u64,
    /// Set at the end: whether what comes later is kept.
    kept: Option<bool>,
}

impl Buffer {
    /// Makes room for a first span at once.
    fn prepare(&mut self) {
        if self.bytes.is_empty() {
            self.bytes.reserve(FIRST);
        }
    }
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans").field("flags", &self.flags).finish_non_exhaustive()
    }
}

impl Spans {
    /// Spans of the trace of which `root` is ours.
    pub(crate) fn new(
        log: &Log,
        trace: [u8; 16],
        root: [u8; 8],
        parent: Option<[u8; 8]>,
        flags: u8,
    ) -> Spans {
        Spans {
            log: log.clone(),
            trace,
            root,
            parent,
            flags,
            state: String::new(),
            asked: Asked::default(),
            buffer: Mutex::default(),
        }
    }

    /// A trace that begins here and is no request.
    fn begin(log: &Log, settings: &Settings) -> Spans {
        let mut trace = [0; 16];
        trace[..8].copy_from_slice(&random().max(1).to_be_bytes());
        trace[8..].copy_from_slice(&random().to_be_bytes());
        // The id is random, and the flags say so.
        let flags = 2 | u8::from(settings.sampler.samples(&trace, None));
        Spans::new(log, trace, new_id(), None, flags)
    }

    /// Whether the trace is recorded whatever becomes of it.
    pub(crate) fn is_sampled(&self) -> bool {
        self.flags & 1 != 0
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a span that has ended.
    pub(crate) fn add(&self, span: &Span<'_>, attributes: impl FnOnce(&mut Attributes<'_, '_>)) {
        let mut buffer = self.buffer();
        let is_certain = buffer.kept.unwrap_or(self.is_sampled());
        if !is_certain {
            if buffer.kept.is_some() {
                return;
            }
            if buffer.bytes.len() >= WAITING {
                buffer.surplus += 1;
                return;
            }
        }
        buffer.prepare();
        let span = Span { trace: self.trace, state: &self.state, flags: self.flags, ..*span };
        span.write(&mut buffer.bytes, attributes);
        buffer.count += 1;
        if is_certain && (buffer.kept.is_some() || buffer.bytes.len() >= PARCEL) {
            self.hand_over(&mut buffer);
        }
    }

    /// Ends it: what there is, and what comes later, is handed over if it is sampled or to be kept.
    /// `write` appends the root.
    pub(crate) fn end(&self, keep: bool, write: impl FnOnce(&mut Vec<u8>)) {
        let mut buffer = self.buffer();
        if buffer.kept.is_some() {
            return;
        }
        let kept = keep || self.is_sampled();
        buffer.kept = Some(kept);
        if !kept {
            buffer.bytes = Vec::new();
            return;
        }
        buffer.prepare();
        write(&mut buffer.bytes);
        buffer.count += 1;
        self.hand_over(&mut buffer);
        if buffer.surplus > 0 {
            self.log.slot().add(names::SPANS_DROPPED, buffer.surplus);
        }
        buffer.bytes = Vec::new();
    }

    fn hand_over(&self, buffer: &mut Buffer) {
        let counter = match self.log.hand_over(Parcel::Spans, &buffer.bytes) {
            true => names::SPANS,
            false => names::SPANS_DROPPED,
        };
        self.log.slot().add(counter, buffer.count);
        buffer.bytes.clear();
        buffer.count = 0;
    }
}

/// An id for a span; ids of zeros mean none.
pub(crate) fn new_id() -> [u8; 8] {
    random().max(1).to_be_bytes()
}

/// Where in a trace something happens.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) spans: Arc<Spans>,
    /// The span that it happens in.
    pub(crate) parent: [u8; 8],
}

impl Place {
    /// Directly in a request.
    pub(crate) fn root(spans: &Arc<Spans>) -> Place {
        Place { spans: Arc::clone(spans), parent: spans.root }
    }
}

/// A span that runs: an id, and when it began.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) spans: Arc<Spans>,
    pub(crate) id: [u8; 8],
    parent: Option<[u8; 8]>,
    start: u64,
    began: clock::Mono,
}

impl Running {
    /// Begins at `place`, or as the root of a trace of its own.
    pub(crate) fn begin(log: &Log, settings: &Settings, place: Option<Place>) -> Running {
        let (spans, id, parent) = match place {
            Some(Place { spans, parent }) => (spans, new_id(), Some(parent)),
            None => {
                let spans = Arc::new(Spans::begin(log, settings));
                let root = spans.root;
                (spans, root, None)
            }
        };
        Running { spans, id, parent, start: clock::wall(), began: clock::mono() }
    }

    /// Takes back the beginning of one that is told of at its end.
    #[cfg(feature = "database")]
    pub(crate) fn ago(mut self, took: std::time::Duration) -> Running {
        self.start = self.start.saturating_sub(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.began = self.began - took;
        self
    }

    /// Ends at this time, as `span` says; `failed` keeps a trace of its own that is not sampled.
    pub(crate) fn end(
        &self,
        at: clock::Mono,
        failed: bool,
        span: &Span<'_>,
        attributes: impl FnOnce(&mut Attributes<'_, '_>),
    ) {
        let took = at.0.saturating_sub(self.began.0);
        let (start, end) = (self.start, self.start.saturating_add(took));
        let span = Span { id: self.id, parent: self.parent, start, end, ..*span };
        if self.parent.is_some() {
            let remote = Some(false);
            return self.spans.add(&Span { remote, ..span }, attributes);
        }
        let spans = &*self.spans;
        let is_slow = spans.log.tracing().is_some_and(|settings| settings.is_slow(took));
        spans.end(failed || is_slow, |out| {
            Span { trace: spans.trace, flags: spans.flags, ..span }.write(out, attributes);
        });
    }
}
