//! The record of each request: its in-flight entry in the segment from the first layer to the last
//! byte, its one count, and its step towards recycling. What ends here has ended for everybody.

use super::Body;
use super::body::{Answer, BoxError};
use super::guard::Panicked;
use super::watched::Watched;
use crate::clock::{self, Mono};
use crate::event::Event;
use crate::log::Log;
use crate::metrics::names;
use crate::panics;
use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use mainstay_os::segment::Started;
use pin_project_lite::pin_project;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, Release},
};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tower_service::Service;

/// Marks a request that is not described in the in-flight table.
const NO_ENTRY: u32 = u32::MAX;

/// One process's book of requests.
pub(crate) struct Recorder {
    log: Log,
    /// Entries of the in-flight table that are free; the last one freed is the next one used, so
    /// that few pages of the table are ever touched.
    free: Mutex<Vec<u32>>,
    /// The time of the last look at the clock, monotonic nanoseconds.
    coarse: AtomicU64,
    /// Wall time minus monotonic time, renewed by the heartbeat, so that a start costs one clock.
    wall_offset: AtomicU64,
    /// Answers tell the client to close.
    closing: AtomicBool,
    /// Requests that ended in this process, and after how many of them to call.
    served: AtomicU64,
    limit: u64,
    at_limit: Box<dyn Fn(u64) + Send + Sync>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("served", &self.served).finish_non_exhaustive()
    }
}

impl Recorder {
    /// A book that calls `at_limit` once, when the request with number `limit` has ended; 0 never.
    pub(crate) fn new(
        log: Log,
        limit: u64,
        at_limit: impl Fn(u64) + Send + Sync + 'static,
    ) -> Arc<Recorder> {
        let capacity = log.slot().in_flight().capacity();
        let capacity = u32::try_from(capacity).unwrap_or(NO_ENTRY - 1);
        let recorder = Recorder {
            free: Mutex::new((0..capacity).rev().collect()),
            log,
            coarse: AtomicU64::new(0),
            wall_offset: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            served: AtomicU64::new(0),
            limit,
            at_limit: Box::new(at_limit),
        };
        recorder.look_at_clocks();
        Arc::new(recorder)
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
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

    /// From now on answers say `Connection: close`.
    pub(crate) fn close_connections(&self) {
        self.closing.store(true, Release);
    }

    /// Requests that ended in this process.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Relaxed)
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Relaxed) || self.log.segment().header().draining_since() != 0
    }

    fn begin<B>(&self, request: &Request<B>, conn: &Arc<Watched>) -> Ticket {
        let now = clock::mono();
        self.set_coarse(now);
        let slot = self.log.slot();
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let entry = match free {
            Some(entry) => {
                let uri = request.uri();
                let path = uri.path_and_query().map_or(uri.path(), |target| target.as_str());
                let started = Started {
                    mono: now.0,
                    wall: now.0.wrapping_add(self.wall_offset.load(Relaxed)),
                    peer: conn.peer(),
                    method: request.method().as_str().as_bytes(),
                    path: path.as_bytes(),
                    ..Started::default()
                };
                slot.in_flight().begin(entry as usize, &started);
                entry
            }
            None => {
                slot.add(names::IN_FLIGHT_OVERFLOW, 1);
                NO_ENTRY
            }
        };
        slot.request_began();
        conn.request_began(request.version() == Version::HTTP_2);
        Ticket { conn: Arc::clone(conn), entry, status: None, armed: true }
    }

    /// Closes the books of a request.
    pub(crate) fn end(&self, ended: Ended) {
        let slot = self.log.slot();
        slot.add(names::REQUESTS, 1);
        slot.add(ended.status.map_or(names::ABANDONED, names::status_cell), 1);
        slot.request_ended();
        if ended.entry != NO_ENTRY {
            slot.in_flight().end(ended.entry as usize);
            self.free.lock().unwrap_or_else(PoisonError::into_inner).push(ended.entry);
        }
        let served = self.served.fetch_add(1, Relaxed) + 1;
        if served == self.limit {
            (self.at_limit)(served);
        }
    }

    /// A recorder over a segment on the heap.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Arc<Recorder> {
        use mainstay_os::segment::{Layout, Segment};
        let layout =
            Layout { slots: 3, counters: names::CELLS, in_flight: 4, ring_bytes: [4_096; 2] };
        Recorder::new(Log::new(Segment::on_heap(layout), 0), 0, |_| {})
    }
}

/// A request that has begun. Dropping it ends the request, however it came to that.
#[derive(Debug)]
pub(crate) struct Ticket {
    conn: Arc<Watched>,
    entry: u32,
    status: Option<StatusCode>,
    armed: bool,
}

/// A request at its end: its place in the table, and the status that was answered, if one was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    entry: u32,
    pub(crate) status: Option<StatusCode>,
}

impl Ended {
    /// As one word that is not 0.
    pub(crate) fn to_word(self) -> u64 {
        let status = self.status.map_or(0, |status| status.as_u16());
        1 << 63 | u64::from(self.entry) << 16 | u64::from(status)
    }

    /// Of such a word.
    pub(crate) fn from_word(word: u64) -> Ended {
        let status = StatusCode::from_u16((word & 0xffff) as u16).ok();
        Ended { entry: (word >> 16 & 0xffff_ffff) as u32, status }
    }
}

impl Ticket {
    /// Leaves the end of the request to the caller.
    fn disarm(&mut self) -> Ended {
        self.armed = false;
        Ended { entry: self.entry, status: self.status }
    }

    /// Tells of the panic in this request.
    fn tell_panic(&self, panic: String) {
        let log = self.conn.recorder().log();
        let request = log.slot().in_flight().read(self.entry as usize);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (method, path) = request
            .map(|request| (text(&request.method), text(&request.path)))
            .unwrap_or_else(|| ("?".into(), "?".into()));
        log.event(&Event::HandlerPanicked { method, path, panic });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.armed {
            let ended = Ended { entry: self.entry, status: self.status };
            self.conn.end(ended, true);
        }
    }
}

/// The layer around `inner`, for one connection.
#[derive(Clone, Debug)]
pub(crate) struct Record<S> {
    inner: S,
    conn: Arc<Watched>,
}

impl<S> Record<S> {
    pub(crate) fn new(inner: S, conn: Arc<Watched>) -> Record<S> {
        Record { inner, conn }
    }
}

impl<S, B> Service<Request<Body>> for Record<S>
where
    S: Service<Request<Body>, Response = Response<Answer<B>>, Error = Infallible>,
{
    type Response = Response<RecordBody<Answer<B>>>;
    type Error = Infallible;
    type Future = RecordFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let ticket = self.conn.recorder().begin(&request, &self.conn);
        let h1 = request.version() < Version::HTTP_2;
        RecordFuture { future: self.inner.call(request), ticket: Some(ticket), h1 }
    }
}

pin_project! {
    /// Holds the request's ticket until there is an answer to carry it.
    pub(crate) struct RecordFuture<F> {
        #[pin]
        future: F,
        ticket: Option<Ticket>,
        h1: bool,
    }
}

impl<F, B> Future for RecordFuture<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Result<Response<RecordBody<B>>, Infallible>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut response) = ready!(this.future.poll(cx));
        let mut ticket = this.ticket.take().expect("a future is not polled after it is done");
        ticket.status = Some(response.status());
        if response.status() == StatusCode::INTERNAL_SERVER_ERROR
            && let Some(Panicked(panic)) = response.extensions_mut().remove()
        {
            ticket.tell_panic(panic);
        }
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let closing = ticket.conn.must_shut_down() || ticket.conn.recorder().is_closing();
        if *this.h1 && !switches && closing {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let h1 = *this.h1;
        Poll::Ready(Ok(response.map(|body| RecordBody {
            body,
            ticket: Some(ticket),
            h1,
            handed: false,
        })))
    }
}

pin_project! {
    /// The answer's body; when the server drops it, the request has ended.
    pub(crate) struct RecordBody<B> {
        #[pin]
        body: B,
        ticket: Option<Ticket>,
        h1: bool,
        handed: bool,
    }

    impl<B> PinnedDrop for RecordBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            let Some(mut ticket) = this.ticket.take() else { return };
            if *this.h1 {
                // What the server has taken may still wait for the client to take it.
                let ended = ticket.disarm();
                ticket.conn.park(ended);
            } else if *this.handed {
                ticket.conn.frame(false);
            }
        }
    }
}

impl<B> HttpBody for RecordBody<B>
where
    B: HttpBody<Data = Bytes, Error = BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        // A body that panics ends its connection, as one that fails does; the worker lives.
        let polled = panics::caught(|| this.body.poll_frame(cx)).unwrap_or_else(|panic| {
            if let Some(ticket) = this.ticket {
                ticket.tell_panic(panic.clone());
            }
            Poll::Ready(Some(Err(panic.into())))
        });
        // In HTTP/2 a body is polled again when the stream has room for more.
        if !*this.h1 {
            let handing = matches!(polled, Poll::Ready(Some(Ok(_))));
            if handing != *this.handed
                && let Some(ticket) = this.ticket
            {
                ticket.conn.frame(handing);
                *this.handed = handing;
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
