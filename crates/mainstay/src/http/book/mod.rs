//! One process's book of requests: opens a page for each that begins, writes down what is known of
//! it, and closes the page with its line and its counts, as one act.

mod enter;
mod pass;
mod trace;

use super::Body;
use super::client::Trust;
use super::context::RequestContext;
use super::detached::Detached;
use super::page::{NO_ENTRY, Page, Refusal};
use super::probes::Paths;
use super::watched::Watched;
use crate::clock::{self, Mono};
use crate::log::access::{AccessFormat, Ended, Ending};
use crate::log::stamps::Stamps;
use crate::log::{LINE, Log, Stream};
use crate::metrics::names;
use crate::metrics::requests::{Requests, Series};
use http::header::HeaderMap;
use http::{Request, Version};
use mainstay_os::segment::{Failed, Record as LineRecord, Settlement};
use std::fmt;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What the book is told about the service.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// How access lines look; none where none are wanted.
    pub(crate) access: Option<AccessFormat>,
    /// Access lines show the trace.
    pub(crate) shows_trace: bool,
    /// Access lines show when the answer's first byte came: that costs a look at the clock.
    pub(crate) shows_first_byte: bool,
    /// Where health checks are, if those that succeed have no lines.
    pub(crate) quiet: Option<Arc<Paths>>,
    /// A trace that the client names is not taken up.
    pub(crate) ignores_trace: bool,
    pub(crate) generation: u64,
    /// Call when so many requests have ended; 0 never.
    pub(crate) limit: u64,
    /// Requests after which a connection is closed; 0 never.
    pub(crate) per_connection: u64,
    /// Largest body, bytes; 0 for no limit.
    pub(crate) max_body: u64,
    /// Whom to believe about the client.
    pub(crate) trust: Trust,
    /// Requests of unsafe methods go on when their client leaves, for so long; zero for no limit.
    pub(crate) detach: Option<Duration>,
}

/// One process's book of requests.
pub(crate) struct Recorder {
    log: Log,
    book: Book,
    pages: Mutex<Pages>,
    lines: Mutex<Lines>,
    /// The time of the last look at the clock, monotonic nanoseconds.
    coarse: AtomicU64,
    /// Wall time minus monotonic time, renewed by the heartbeat, so that a start costs one clock.
    wall_offset: AtomicU64,
    /// Answers tell the client to close.
    closing: AtomicBool,
    /// Requests that ended in this process.
    served: AtomicU64,
    detached: Detached,
    at_limit: Box<dyn Fn(u64) + Send + Sync>,
}

/// Pages that are free; the last one freed is the next one used, so that few pages, and few entries of
/// the in-flight table, are ever touched.
#[expect(clippy::vec_box, reason = "a page moves from hand to hand; only its address should")]
struct Pages {
    free: Vec<Box<Page>>,
    made: u32,
    capacity: u32,
}

/// Where lines are made and requests are counted.
struct Lines {
    stamps: Stamps,
    line: Vec<u8>,
    requests: Requests,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("served", &self.served).finish_non_exhaustive()
    }
}

impl Recorder {
    /// A book that calls `at_limit` once, when the request with the number of `book.limit` has ended.
    pub(crate) fn new(
        log: Log,
        book: Book,
        at_limit: impl Fn(u64) + Send + Sync + 'static,
    ) -> Arc<Recorder> {
        let capacity = log.slot().in_flight().capacity();
        let capacity = u32::try_from(capacity).unwrap_or(NO_ENTRY - 1);
        let stamps = Stamps::new(mainstay_os::zone::offset_at);
        let requests = Requests::new(log.segment().clone(), log.slot_index(), log.teller());
        let recorder = Recorder {
            pages: Mutex::new(Pages { free: Vec::new(), made: 0, capacity }),
            lines: Mutex::new(Lines { stamps, line: Vec::with_capacity(1_024), requests }),
            log,
            book,
            coarse: AtomicU64::new(0),
            wall_offset: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            served: AtomicU64::new(0),
            detached: Detached::default(),
            at_limit: Box::new(at_limit),
        };
        recorder.look_at_clocks();
        Arc::new(recorder)
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn book(&self) -> &Book {
        &self.book
    }

    /// Reads both clocks anew; the heartbeat does it.
    pub(crate) fn look_at_clocks(&self) -> Mono {
        let now = clock::mono();
        self.wall_offset.store(clock::wall().wrapping_sub(now.0), Relaxed);
        self.set_coarse(now);
        now
    }

    /// The time of the last look.
    pub(crate) fn coarse(&self) -> Mono {
        Mono(self.coarse.load(Relaxed))
    }

    pub(crate) fn set_coarse(&self, now: Mono) {
        self.coarse.store(now.0, Relaxed);
    }

    /// The wall time of a monotonic one, as of the last look.
    pub(crate) fn wall(&self, now: Mono) -> u64 {
        now.0.wrapping_add(self.wall_offset.load(Relaxed))
    }

    /// From now on answers say `Connection: close`.
    pub(crate) fn close_connections(&self) {
        self.closing.store(true, Release);
    }

    /// Requests that ended in this process.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Relaxed)
    }

    /// Requests that go on without their client.
    pub(crate) fn detached(&self) -> &Detached {
        &self.detached
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Relaxed) || self.log.segment().header().draining_since() != 0
    }

    fn page(&self) -> Box<Page> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = pages.free.pop() {
            return page;
        }
        let entry = pages.made;
        if entry >= pages.capacity {
            self.log.slot().add(names::IN_FLIGHT_OVERFLOW, 1);
            return Box::new(Page::new(NO_ENTRY));
        }
        pages.made += 1;
        Box::new(Page::new(entry))
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(super) fn begin(&self, request: &mut Request<Body>, conn: &Watched) -> Box<Page> {
        let now = clock::mono();
        self.set_coarse(now);
        let number = conn.next_number();
        let mut page = self.page();
        page.started = now;
        match conn.refusal_of(number) {
            Some(refusal) => {
                self.enter_refused(&mut page, conn, &refusal, number);
                // The head that stands for it says nothing of it.
                *request.headers_mut() = HeaderMap::new();
                if let Some(context) = &page.context {
                    let context = RequestContext::new(Arc::clone(context));
                    request.extensions_mut().insert(context);
                }
            }
            None => self.enter(&mut page, conn, request, number),
        }
        self.count_begin(&page);
        conn.request_began(now, request.version() == Version::HTTP_2);
        page
    }

    /// The line and the count of a request whose head came, as far as it came, and that nobody will
    /// ever answer.
    #[cold]
    pub(crate) fn unserved(&self, conn: &Arc<Watched>, refusal: &Refusal) {
        let mut page = self.page();
        page.started = conn.head_since();
        self.enter_refused(&mut page, conn, refusal, conn.next_number());
        page.status = refusal.status;
        page.reason = refusal.reason;
        self.count_begin(&page);
        self.close(page, Ending::Aborted);
    }

    /// Closes the books of a request, whose answer was written or cut for a reason.
    #[inline]
    pub(crate) fn end(&self, mut page: Box<Page>, cut: Option<(u16, &'static str)>) {
        let ending = match cut {
            Some((status, reason)) => {
                // What failed before the cut is the better reason.
                page.status = status;
                page.reason = if page.reason.is_empty() { reason } else { page.reason };
                Ending::Aborted
            }
            None if page.closing => Ending::Close,
            None => Ending::KeepAlive,
        };
        self.close(page, ending);
    }

    #[inline]
    fn close(&self, mut page: Box<Page>, connection: Ending) {
        let slot = self.log.slot();
        let now = clock::mono();
        let duration = now.0.saturating_sub(page.started.0);
        let status = if page.status == 0 { names::CLIENT_GONE } else { page.status };
        let quiet = page.quiet && status < 400;
        let mut lines = self.lines();
        let Lines { stamps, line, requests } = &mut *lines;
        line.clear();
        if let (Some(access), false) = (&self.book.access, quiet) {
            let wall = self.wall(now);
            // The drainer puts the lines of several processes in order by this.
            line.extend_from_slice(&wall.to_le_bytes());
            let ended = Ended {
                status,
                body_bytes: page.body_bytes,
                duration,
                first_byte: page.first_byte,
                wall,
                pid: self.log.pid(),
                worker: self.log.slot_index(),
                generation: self.book.generation,
                reason: page.reason,
                connection,
                error_id: page.error_id.as_deref().unwrap_or_default(),
                request_bytes: page.body.as_ref().map_or(0, |body| body.received()),
            };
            access.end(&page.draft, &ended, stamps, line);
        }
        let record = (!line.is_empty()).then_some(LineRecord {
            ring: Stream::Access as usize,
            kind: LINE,
            bytes: line,
            handed: names::ACCESS_LINES,
            dropped: names::ACCESS_DROPPED,
        });
        let record = record.ok_or(if quiet { names::ACCESS_QUIET } else { names::NONE });
        let series = self.count_end(requests, &page, (status, duration), record);
        if status >= 500 && !page.probe {
            self.note_failure(&page, status, duration);
        }
        drop(lines);
        if let Some(context) = &page.context
            && (context.spans.is_some() || context.trace.flags & 1 != 0)
        {
            self.end_trace(&page, context, series, duration);
        }
        slot.request_ended();
        page.clear();
        if page.entry != NO_ENTRY {
            self.pages.lock().unwrap_or_else(PoisonError::into_inner).free.push(page);
        }
        let served = self.served.fetch_add(1, Relaxed) + 1;
        if served == self.book.limit {
            (self.at_limit)(served);
        }
    }

    /// Counts a request that begins.
    #[inline]
    fn count_begin(&self, page: &Page) {
        let slot = self.log.slot();
        slot.request_began();
        slot.add(names::BEGUN + page.protocol as usize, 1);
    }

    /// Counts and measures a request that has ended, with its line, and gives where it was measured. Lines are
    /// locked.
    #[inline]
    fn count_end(
        &self,
        requests: &mut Requests,
        page: &Page,
        (status, duration): (u16, u64),
        record: Result<LineRecord<'_>, usize>,
    ) -> Series {
        let slot = self.log.slot();
        let (method, route) = page.asked();
        let series = requests.series(method, route, status);
        let cells =
            [names::REQUESTS, names::status_cell(status), slot.bin_cell(series.duration, duration)];
        let entry = (page.entry != NO_ENTRY).then_some(page.entry as usize);
        slot.settle(&Settlement { entry, cells, record });
        slot.measures().add_to_sum(series.duration, duration);
        requests.measure(series, &page.extent());
        series
    }

    /// Writes down a request that failed, for whoever tells of an incident. Lines are locked.
    #[cold]
    fn note_failure(&self, page: &Page, status: u16, duration: u64) {
        let context = page.context.as_deref();
        let path = context.map_or("", |context| context.path.as_str());
        let (method, route) = page.asked();
        self.log.slot().failures().note(&Failed {
            time: self.wall(page.started).saturating_add(duration),
            took: duration,
            status,
            method,
            route: route.unwrap_or(path).as_bytes(),
            id: context.map_or(b"", |context| context.id.as_bytes()),
            reason: page.reason.as_bytes(),
        });
    }

    /// A recorder over a segment on the heap.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Arc<Recorder> {
        use mainstay_os::segment::{Layout, Segment};
        let ring_bytes = [4_096; 3];
        let layout = Layout { slots: 3, in_flight: 4, ring_bytes, ..Layout::small(names::CELLS) };
        Recorder::new(Log::new(Segment::on_heap(layout), 0), Book::default(), |_| {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::context::{Context, RequestId};

    #[test]
    fn what_fails_is_written_down_with_its_id_and_neither_what_is_well_nor_a_health_check() {
        let recorder = Recorder::for_tests();
        for (status, probe) in [(200, false), (404, false), (503, true), (502, false), (200, false)]
        {
            let mut page = recorder.page();
            page.started = clock::mono();
            (page.status, page.probe, page.reason) = (status, probe, "handler_timeout");
            page.context = Some(Context::begin(|context| {
                context.id = RequestId::accept(b"0af1").unwrap();
                context.method.push_str("GET");
                context.path.push_str("/orders");
            }));
            recorder.log.slot().request_began();
            recorder.close(page, Ending::KeepAlive);
        }
        let found: Vec<_> = recorder.log.slot().failures().iter().collect();
        let [failed] = &found[..] else { panic!("{found:?}") };
        assert_eq!(
            (failed.status, &failed.method[..], &failed.route[..]),
            (502, &b"GET"[..], &b"/orders"[..])
        );
        assert_eq!((&failed.id[..], &failed.reason[..]), (&b"0af1"[..], &b"handler_timeout"[..]));
        assert!(failed.time > 0);
    }
}
