//! The record of each request: its in-flight entry in the segment from the first layer to the last
//! byte, its access line, its one count, and its step towards recycling. What ends here has ended for
//! everybody.

use super::Body;
use super::body::{Answer, BoxError};
use super::client::{self, Origin, Trust};
use super::context::{Context, RequestContext, RequestId, Scheme, TraceContext, current};
use super::errors::ErrorId;
use super::page::{NO_ENTRY, Page, Refusal};
use super::probes::Paths;
use super::traceparent;
use super::watched::Watched;
use crate::clock::{self, Mono};
use crate::event::Event;
use crate::log::access::{AccessFormat, Ended, Ending, Facts, Protocol};
use crate::log::stamps::Stamps;
use crate::log::{LINE, Log, Stream};
use crate::metrics::names;
use crate::panics;
use bytes::Bytes;
use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use mainstay_os::segment::{Record as LineRecord, Settlement, Started};
use pin_project_lite::pin_project;
use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Task, Poll, ready};
use tower_service::Service;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The client went away before it had its answer; nginx's number.
const CLIENT_GONE: u16 = 499;

/// Why an answer is not the application's, for the access line; a layer puts it into the answer's
/// extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reason(pub(crate) &'static str);

/// What the book is told about the service.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// How access lines look; none where none are wanted.
    pub(crate) access: Option<AccessFormat>,
    /// Access lines show the trace.
    pub(crate) shows_trace: bool,
    /// Where health checks are, if those that succeed have no lines.
    pub(crate) quiet: Option<Arc<Paths>>,
    pub(crate) generation: u64,
    /// Call when so many requests have ended; 0 never.
    pub(crate) limit: u64,
    /// Requests after which a connection is closed; 0 never.
    pub(crate) per_connection: u64,
    /// Largest body, bytes; 0 for no limit.
    pub(crate) max_body: u64,
    /// Whom to believe about the client.
    pub(crate) trust: Trust,
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

/// Where lines are made.
struct Lines {
    stamps: Stamps,
    line: Vec<u8>,
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
        let recorder = Recorder {
            pages: Mutex::new(Pages { free: Vec::new(), made: 0, capacity }),
            lines: Mutex::new(Lines { stamps, line: Vec::with_capacity(1_024) }),
            log,
            book,
            coarse: AtomicU64::new(0),
            wall_offset: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            served: AtomicU64::new(0),
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

    fn wall(&self, now: Mono) -> u64 {
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

    fn is_closing(&self) -> bool {
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
    fn begin(&self, request: &mut Request<Body>, conn: &Arc<Watched>) -> Ticket {
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
        self.log.slot().request_began();
        conn.request_began(now, request.version() == Version::HTTP_2);
        Ticket { conn: Arc::clone(conn), page: Some(page) }
    }

    /// Writes what is known of a request into its page and its entry.
    #[inline]
    fn enter(&self, page: &mut Page, conn: &Watched, request: &mut Request<Body>, number: u64) {
        let wall = self.wall(page.started);
        let headers = request.headers();
        let seen = Seen::of(headers);
        let origin = if seen.forwarded {
            client::resolve(&self.book.trust, conn.peer(), headers)
        } else {
            Origin::of(conn.peer())
        };
        // The name that a stranger gives itself is looked at only if it is one of ours.
        let id = seen.id.filter(|_| client::trusts(&self.book.trust, conn.peer()));
        let id = id.and_then(|id| RequestId::accept(id.as_bytes()));
        let id = id.unwrap_or_else(|| RequestId::new(wall));
        let trace = seen.trace.and_then(|it| traceparent::parse(it.as_bytes()));
        let trace = trace.map_or_else(TraceContext::begin, |trace| {
            TraceContext::within(trace.trace, trace.parent, trace.flags)
        });
        if let Some(refused) = origin.refused {
            self.log.slot().add(names::FORWARDED_REFUSED, 1);
            if refused.ends_the_request() {
                let reason = refused.as_str();
                conn.refuse(Refusal { status: 400, reason, head: Box::default() }, number);
                self.tell_invalid(conn, reason);
            }
        }
        let uri = request.uri();
        let target = uri.path_and_query().map_or(uri.path(), |target| target.as_str());
        let host = origin.host.as_deref().or_else(|| uri.authority().map(|it| it.as_str()));
        let host = host.or_else(|| seen.host?.to_str().ok()).unwrap_or_default();
        let method = request.method().as_str();
        let context = Context::begin(|context| {
            context.client = origin.client;
            context.peer = conn.peer();
            context.id = id;
            context.trace = trace;
            context.scheme = origin.scheme;
            context.host.push_str(host);
            context.prefix.push_str(origin.prefix.as_deref().unwrap_or_default());
            context.method.push_str(method);
            context.path.push_str(uri.path());
            if let Some(accept) = seen.accept {
                context.accept.push_str(&accept);
            }
        });
        if let Some(access) = &self.book.access {
            let absolute;
            let target = match conn.raw_target(number) {
                Some(raw) => {
                    absolute = raw;
                    &absolute[..]
                }
                None if uri.scheme().is_some() && request.version() < Version::HTTP_2 => {
                    absolute = uri.to_string().into_bytes();
                    &absolute[..]
                }
                None => target.as_bytes(),
            };
            let (mut trace_id, mut span_id) = ([0; 32], [0; 16]);
            let shows_trace = self.book.shows_trace;
            if shows_trace {
                (trace_id, span_id) = (trace.trace_hex(), trace.span_hex());
            }
            let hex = |digits| if shows_trace { str_of(digits) } else { "" };
            let other;
            let client = match origin.client {
                client if client == conn.peer().map(|peer| peer.ip()) => conn.peer_text(),
                Some(client) => {
                    other = client.to_string();
                    &other
                }
                None => "",
            };
            let facts = Facts {
                method: method.as_bytes(),
                target,
                version: protocol(request.version()),
                headers,
                peer: conn.peer_text(),
                peer_port: conn.peer().map_or(0, |peer| peer.port()),
                client,
                scheme: origin.scheme.as_str(),
                host,
                local: conn.local(),
                request_id: id.as_str(),
                trace_id: hex(&trace_id),
                span_id: hex(&span_id),
                number,
                started_wall: wall,
            };
            access.begin(&facts, &mut page.draft);
        }
        if page.entry != NO_ENTRY {
            let started = Started {
                mono: page.started.0,
                wall,
                peer: conn.peer(),
                client: origin.client.filter(|it| Some(*it) != conn.peer().map(|peer| peer.ip())),
                trace: trace.trace_id,
                span: trace.span_id,
                method: method.as_bytes(),
                path: target.as_bytes(),
                id: id.as_bytes(),
                agent: seen.agent.map_or(&b""[..], HeaderValue::as_bytes),
                referrer: seen.referrer.map_or(&b""[..], HeaderValue::as_bytes),
                user: b"",
            };
            self.log.slot().in_flight().begin(page.entry as usize, &started);
        }
        page.body = request.body().wait();
        page.quiet = match &self.book.quiet {
            Some(paths) => paths.probe(uri.path()).is_some(),
            None => false,
        };
        request.extensions_mut().insert(RequestContext::new(Arc::clone(&context)));
        page.context = Some(context);
    }

    /// The same for one of which only a bad head came.
    #[cold]
    fn enter_refused(&self, page: &mut Page, conn: &Watched, refusal: &Refusal, number: u64) {
        self.tell_invalid(conn, refusal.reason);
        let wall = self.wall(page.started);
        let id = RequestId::new(wall);
        let remains = refusal.remains();
        page.reason = refusal.reason;
        page.context = Some(Context::begin(|context| {
            context.client = conn.peer().map(|peer| peer.ip());
            context.peer = conn.peer();
            context.id = id;
            context.method.push_str(&String::from_utf8_lossy(remains.method));
            let path = remains.target.split(|byte| *byte == b'?').next().unwrap_or_default();
            context.path.push_str(&String::from_utf8_lossy(path));
        }));
        if let Some(access) = &self.book.access {
            let headers = HeaderMap::new();
            let facts = Facts {
                method: remains.method,
                target: remains.target,
                version: remains.version,
                headers: &headers,
                peer: conn.peer_text(),
                peer_port: conn.peer().map_or(0, |peer| peer.port()),
                client: conn.peer_text(),
                scheme: Scheme::Http.as_str(),
                host: "",
                local: conn.local(),
                request_id: id.as_str(),
                trace_id: "",
                span_id: "",
                number,
                started_wall: wall,
            };
            access.begin(&facts, &mut page.draft);
        }
        if page.entry != NO_ENTRY {
            let started = Started {
                mono: page.started.0,
                wall,
                peer: conn.peer(),
                method: remains.method,
                path: remains.target,
                id: id.as_bytes(),
                ..Started::default()
            };
            self.log.slot().in_flight().begin(page.entry as usize, &started);
        }
    }

    fn tell_invalid(&self, conn: &Watched, reason: &str) {
        let peer = match conn.peer_text() {
            "" => "unix",
            peer => peer,
        };
        let event = Event::InvalidRequest { peer: peer.to_owned(), reason: reason.to_owned() };
        self.log.event(&event);
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
        self.log.slot().request_began();
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
        let status = if page.status == 0 { CLIENT_GONE } else { page.status };
        let quiet = page.quiet && status < 400;
        let mut lines = self.lines();
        let Lines { stamps, line } = &mut *lines;
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
        let record = (!line.is_empty()).then(|| LineRecord {
            ring: Stream::Access as usize,
            kind: LINE,
            bytes: line,
            handed: names::ACCESS_LINES,
            dropped: names::ACCESS_DROPPED,
        });
        if quiet {
            slot.add(names::ACCESS_QUIET, 1);
        }
        let entry = (page.entry != NO_ENTRY).then_some(page.entry as usize);
        let cells = [names::REQUESTS, names::status_cell(status)];
        slot.settle(&Settlement { entry, cells, record });
        drop(lines);
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

    /// A recorder over a segment on the heap.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Arc<Recorder> {
        use mainstay_os::segment::{Layout, Segment};
        let ring_bytes = [4_096; 2];
        let layout = Layout { slots: 3, counters: names::CELLS, in_flight: 4, ring_bytes };
        Recorder::new(Log::new(Segment::on_heap(layout), 0), Book::default(), |_| {})
    }
}

/// The headers that the record needs, found in one walk: each search of its own costs as much.
#[derive(Default)]
struct Seen<'a> {
    host: Option<&'a HeaderValue>,
    agent: Option<&'a HeaderValue>,
    referrer: Option<&'a HeaderValue>,
    id: Option<&'a HeaderValue>,
    trace: Option<&'a HeaderValue>,
    /// All lines as one list, unless it says nothing.
    accept: Option<Cow<'a, str>>,
    /// A proxy may have said something.
    forwarded: bool,
}

impl<'a> Seen<'a> {
    #[inline]
    fn of(headers: &'a HeaderMap) -> Seen<'a> {
        let mut seen = Seen::default();
        for (name, value) in headers {
            match name.as_str().as_bytes() {
                b"host" => seen.host = Some(value),
                b"user-agent" => seen.agent = Some(value),
                b"referer" => seen.referrer = Some(value),
                b"x-request-id" => seen.id = Some(value),
                b"traceparent" => seen.trace = Some(value),
                b"accept" if value.as_bytes() != b"*/*" => seen.accepts(value),
                [b'f', rest @ ..] | [b'x', b'-', b'f', rest @ ..] => {
                    seen.forwarded |= rest.starts_with(b"orwarded");
                }
                _ => {}
            }
        }
        seen
    }

    fn accepts(&mut self, value: &'a HeaderValue) {
        let Ok(value) = value.to_str() else { return };
        self.accept = Some(match self.accept.take() {
            None => Cow::Borrowed(value),
            // Several lines are one list (RFC 9110, section 5.3).
            Some(before) => Cow::Owned(format!("{before}, {value}")),
        });
    }
}

fn protocol(version: Version) -> Protocol {
    match version {
        Version::HTTP_10 => Protocol::H10,
        Version::HTTP_11 => Protocol::H11,
        Version::HTTP_2 => Protocol::H2,
        _ => Protocol::Unknown,
    }
}

/// Hex digits as text.
fn str_of(digits: &[u8]) -> &str {
    str::from_utf8(digits).unwrap_or_default()
}

/// A request that has begun. Dropping it ends the request, however it came to that.
#[derive(Debug)]
pub(crate) struct Ticket {
    conn: Arc<Watched>,
    /// There until the request has ended, or its end was left to the connection.
    page: Option<Box<Page>>,
}

impl Ticket {
    /// Tells of the panic in this request's answer.
    fn tell_panic(&mut self, panic: String) {
        let Some(page) = &mut self.page else { return };
        page.reason = "body_panicked";
        let (method, path) = match page.context.as_deref() {
            Some(context) => (context.method.clone(), context.path.clone()),
            None => ("?".into(), "?".into()),
        };
        self.conn.recorder().log().event(&Event::HandlerPanicked { method, path, panic });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(page) = self.page.take() {
            // Without an answer the client, or whoever cut the connection, went first.
            let written = page.status != 0 && page.reason != "body_failed";
            self.conn.end(page, written);
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

    fn poll_ready(&mut self, cx: &mut Task<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let ticket = self.conn.recorder().begin(&mut request, &self.conn);
        let h1 = request.version() < Version::HTTP_2;
        let context = ticket.page.as_ref().and_then(|page| page.context.clone());
        RecordFuture { future: self.inner.call(request), ticket: Some(ticket), context, h1 }
    }
}

pin_project! {
    /// Holds the request's ticket until there is an answer to carry it. What runs within is part of
    /// the request: its log records say so.
    pub(crate) struct RecordFuture<F> {
        #[pin]
        future: F,
        ticket: Option<Ticket>,
        context: Option<Arc<Context>>,
        h1: bool,
    }
}

impl<F, B> Future for RecordFuture<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Result<Response<RecordBody<B>>, Infallible>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Task<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut response) = ready!(current::within(this.context, || this.future.poll(cx)));
        let mut ticket = this.ticket.take().expect("a future is not polled after it is done");
        let h1 = *this.h1;
        *this.context = None;
        if let Some(page) = &mut ticket.page {
            note_answer(&mut response, page, &ticket.conn, h1);
        }
        Poll::Ready(Ok(response.map(|body| RecordBody {
            body,
            ticket: Some(ticket),
            h1,
            handed: false,
        })))
    }
}

/// Writes down what is known when the answer's head is there, and adds to it what every answer has.
#[inline(always)]
fn note_answer<B>(response: &mut Response<B>, page: &mut Page, conn: &Watched, h1: bool) {
    let status = response.status();
    page.status = status.as_u16();
    if page.status >= 400 {
        note_failure(response, page);
    }
    let recorder = conn.recorder();
    if let Some(access) = &recorder.book.access
        && access.wants_answer()
    {
        access.answered(response.headers(), &mut page.draft);
    }
    if let Some(context) = &page.context {
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_bytes(context.id.as_bytes()) {
            headers.insert(REQUEST_ID, id);
        }
        if context.trace.parent.is_some()
            && let Ok(trace) = HeaderValue::try_from(context.trace.to_string())
        {
            headers.insert(TRACEPARENT, trace);
        }
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        conn.tunnel();
        return;
    }
    let closing = conn.must_shut_down() || recorder.is_closing() || conn.is_at_its_last();
    if h1 && closing {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        page.closing = true;
    }
}

#[cold]
fn note_failure<B>(response: &mut Response<B>, page: &mut Page) {
    let extensions = response.extensions_mut();
    if let Some(Reason(reason)) = extensions.remove() {
        page.reason = reason;
    }
    if let Some(ErrorId(id)) = extensions.remove() {
        page.error_id = Some(id.into());
    }
    page.closing = response.headers().get(CONNECTION).is_some_and(|it| it == "close");
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
                if let Some(page) = ticket.page.take() {
                    ticket.conn.park(page);
                }
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

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        // A body that panics ends its connection, as one that fails does; the worker lives.
        let polled = panics::caught(|| this.body.poll_frame(cx)).unwrap_or_else(|panic| {
            if let Some(ticket) = this.ticket {
                ticket.tell_panic(panic.clone());
            }
            Poll::Ready(Some(Err(panic.into())))
        });
        let Some(Ticket { conn, page: Some(page) }) = this.ticket else { return polled };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                page.body_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if page.first_byte.is_none() {
                    // As exact as the last look, which was at most an instant ago.
                    page.first_byte =
                        Some(conn.recorder().coarse().0.saturating_sub(page.started.0));
                }
            }
            Poll::Ready(Some(Err(_))) if page.reason.is_empty() => page.reason = "body_failed",
            _ => {}
        }
        // In HTTP/2 a body is polled again when the stream has room for more.
        if !*this.h1 {
            let handing = matches!(polled, Poll::Ready(Some(Ok(_))));
            if handing != *this.handed {
                conn.frame(handing);
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
