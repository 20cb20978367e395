//! What is known of one connection from outside its task: enough to hold it to its deadlines
//! without a timer per request. The task notes what it does in passing; a sweeper looks a few
//! times a second and judges.

use super::book::Recorder;
use super::page::{Page, Refusal};
use crate::clock::Mono;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

/// The deadlines of a connection, each longer than zero but `keep_alive` and `linger`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    /// For the head of a request.
    pub(crate) header: Duration,
    /// For the next bytes of a body that the application waits for.
    pub(crate) body: Duration,
    /// For the client to take bytes.
    pub(crate) write: Duration,
    /// Between two requests.
    pub(crate) keep_alive: Duration,
    /// Between two requests once the worker drains.
    pub(crate) linger: Duration,
    /// For the application to begin its answer; zero for no limit.
    pub(crate) request: Duration,
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Keep,
    /// Finish what is in progress, then close.
    Shutdown,
    /// The head that has begun does not come: answer so, then close.
    RefuseHead,
    /// The application does not answer in time.
    Overdue,
    /// Close now; the deadline that passed.
    Abort(&'static str),
}

const FRESH: u8 = 0;
const HEAD: u8 = 1;
const IDLE: u8 = 2;
const DETACHED: u8 = 3;

/// A peer that was told to go away has at least this long to do so.
const FAREWELL: Duration = Duration::from_secs(1);

const RUN: u8 = 0;
const SHUTDOWN: u8 = 1;
const ABORT: u8 = 2;

/// One body that the application reads. HTTP/2 has several on a connection, and one that stops
/// coming is no fault of the others.
#[derive(Debug, Default)]
pub(crate) struct BodyWait {
    /// Bytes that came.
    received: AtomicU64,
    too_large: AtomicBool,
    /// Since when the application waits for more; 0 while it does not.
    since: AtomicU64,
    expired: AtomicBool,
    /// Who reads the body; in HTTP/2 another task than the connection's.
    reader: Mutex<Option<Waker>>,
}

impl BodyWait {
    /// The application waits for more, as of `now`, and is woken by `reader`.
    pub(crate) fn awaited(&self, now: Mono, reader: &Waker) {
        let mut known = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.as_ref().is_some_and(|known| known.will_wake(reader)) {
            *known = Some(reader.clone());
        }
        if self.since.load(Relaxed) == 0 {
            self.since.store(now.0, Relaxed);
        }
    }

    /// Fails the body: its reader looks, and finds it expired.
    fn expire(&self) {
        self.expired.store(true, Release);
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// It no longer does.
    pub(crate) fn moved(&self) {
        if self.since.load(Relaxed) != 0 {
            self.since.store(0, Relaxed);
        }
    }

    /// The body did not come in time.
    pub(crate) fn is_expired(&self) -> bool {
        self.expired.load(Relaxed)
    }

    /// So many more bytes came.
    pub(crate) fn count(&self, bytes: usize) -> u64 {
        self.received.fetch_add(bytes as u64, Relaxed) + bytes as u64
    }

    /// Bytes that came so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// More came than may.
    pub(crate) fn exceed(&self) {
        self.too_large.store(true, Relaxed);
    }

    /// Whether more came than may.
    pub(crate) fn is_too_large(&self) -> bool {
        self.too_large.load(Relaxed)
    }

    fn waited(&self, now: Mono) -> Duration {
        match self.since.load(Relaxed) {
            0 => Duration::ZERO,
            since => now.since(Mono(since)),
        }
    }
}

/// One answer of HTTP/2 that the application is to begin; HTTP/1 has one at a time, which the
/// connection keeps.
#[derive(Debug)]
pub(crate) struct AnswerWait {
    since: Mono,
    overdue: AtomicBool,
    waiter: Mutex<Option<Waker>>,
}

impl AnswerWait {
    /// Whether its time is over; if not, `waker` is woken when it is.
    pub(crate) fn is_overdue(&self, waker: &Waker) -> bool {
        let mut waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiter.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *waiter = Some(waker.clone());
        }
        self.overdue.load(Relaxed)
    }

    fn expire(&self) {
        self.overdue.store(true, Relaxed);
        let waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

/// An address as text.
#[derive(Clone, Copy, Debug)]
struct IpText {
    bytes: [u8; 46],
    len: u8,
}

impl IpText {
    fn of(peer: Option<SocketAddr>) -> IpText {
        use std::io::Write;
        let mut bytes = [0; 46];
        let mut rest = &mut bytes[..];
        let room = rest.len();
        if let Some(peer) = peer {
            // The longest address fits; what would not is left out.
            write!(rest, "{}", peer.ip().to_canonical()).ok();
        }
        let len = room - rest.len();
        IpText { bytes, len: len as u8 }
    }

    #[inline]
    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        str::from_utf8(bytes).unwrap_or_default()
    }
}

/// One connection, shared by its task, its requests and the sweeper. Times are those of the
/// sweeper's last look, so as exact as its interval.
#[derive(Debug)]
pub(crate) struct Watched {
    recorder: Arc<Recorder>,
    /// The other end of the socket, and whom it comes for.
    socket_peer: Option<SocketAddr>,
    peer: OnceLock<Option<SocketAddr>>,
    peer_text: OnceLock<IpText>,
    local: Option<SocketAddr>,
    /// The socket, by number; only ever looked at.
    socket: RawFd,
    phase: AtomicU8,
    since: AtomicU64,
    active: AtomicU32,
    bodies: Mutex<Vec<Arc<BodyWait>>>,
    write_wait: AtomicU64,
    /// HTTP/2: frames handed over that their streams have not taken, and the last write.
    unsent: AtomicU32,
    last_write: AtomicU64,
    /// HTTP/1: the request whose answer is complete but not yet all written.
    parked: Mutex<Option<Box<Page>>>,
    has_parked: AtomicBool,
    /// Requests that have begun.
    number: AtomicU64,
    /// The request that is refused instead of served, by its number; 0 for none.
    refused: AtomicU64,
    refusal: Mutex<Option<Refusal>>,
    /// What was wrong with the body of the present request.
    /// Of the request with this number, which those before it must not be blamed for.
    body_fault: Mutex<Option<(u64, (u16, &'static str))>>,
    /// Targets that are not as the server shows them, by the number of their request.
    raw_targets: Mutex<Vec<(u64, Vec<u8>)>>,
    has_raw_targets: AtomicBool,
    /// HTTP/1: since when the application is to answer; 0 while it is not.
    asked: AtomicU64,
    overdue: AtomicBool,
    answers: Mutex<Vec<Arc<AnswerWait>>>,
    tunnel: AtomicBool,
    head_overdue: AtomicBool,
    /// Why the connection was cut.
    cut: Mutex<&'static str>,
    h2: AtomicBool,
    order: AtomicU8,
    ordered: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Watched {
    /// A connection of `peer`, who says first for whom it comes if it `is_proxied`.
    pub(crate) fn new(
        recorder: Arc<Recorder>,
        peer: Option<SocketAddr>,
        local: Option<SocketAddr>,
        is_proxied: bool,
        socket: RawFd,
        now: Mono,
    ) -> Watched {
        Watched {
            recorder,
            socket_peer: peer,
            peer: if is_proxied { OnceLock::new() } else { OnceLock::from(peer) },
            peer_text: if is_proxied { OnceLock::new() } else { IpText::of(peer).into() },
            local,
            socket,
            phase: AtomicU8::new(FRESH),
            since: AtomicU64::new(now.0),
            active: AtomicU32::new(0),
            bodies: Mutex::default(),
            write_wait: AtomicU64::new(0),
            unsent: AtomicU32::new(0),
            last_write: AtomicU64::new(0),
            parked: Mutex::default(),
            has_parked: AtomicBool::new(false),
            number: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            refusal: Mutex::default(),
            body_fault: Mutex::default(),
            raw_targets: Mutex::default(),
            has_raw_targets: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            overdue: AtomicBool::new(false),
            answers: Mutex::default(),
            tunnel: AtomicBool::new(false),
            head_overdue: AtomicBool::new(false),
            cut: Mutex::new(""),
            h2: AtomicBool::new(false),
            order: AtomicU8::new(RUN),
            ordered: AtomicU64::new(0),
            waker: Mutex::new(None),
        }
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The other end, if it has an address.
    #[inline]
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer.get().copied().flatten()
    }

    /// Its address as text; empty without one.
    #[inline]
    pub(crate) fn peer_text(&self) -> &str {
        self.peer_text.get().map_or("", IpText::as_str)
    }

    /// This end, if it has an address.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// The socket's number.
    pub(crate) fn socket(&self) -> RawFd {
        self.socket
    }

    // === noted by the connection's task ===

    /// Bytes arrived.
    pub(crate) fn bytes_read(&self) {
        // While a request is served, what comes is its body, or waits for its end.
        if self.active.load(Relaxed) > 0 {
            return;
        }
        let (phase, h2) = (self.phase.load(Relaxed), self.h2.load(Relaxed));
        match phase {
            // In HTTP/2 bytes between requests are mostly frames that begin none.
            FRESH if h2 => self.enter(IDLE),
            FRESH | IDLE if !h2 => self.enter(HEAD),
            _ => {}
        }
    }

    /// The client takes no bytes at the moment.
    pub(crate) fn write_awaited(&self) {
        if self.write_wait.load(Relaxed) == 0 {
            self.write_wait.store(self.recorder.coarse().0, Relaxed);
        }
    }

    /// The client took bytes.
    pub(crate) fn write_moved(&self) {
        if self.write_wait.load(Relaxed) != 0 {
            self.write_wait.store(0, Relaxed);
        }
        if self.h2.load(Relaxed) {
            self.last_write.store(self.recorder.coarse().0, Relaxed);
        }
    }

    /// A frame of an answer was handed over to a stream of HTTP/2 (`true`), or taken by it.
    pub(crate) fn frame(&self, handed: bool) {
        if handed {
            self.unsent.fetch_add(1, Relaxed);
        } else {
            self.unsent.fetch_sub(1, Relaxed);
        }
    }

    /// The answer is complete, but not yet written: the request ends when it is. Called, as
    /// [`Watched::settle`] is, by the connection's task alone.
    #[inline]
    pub(crate) fn park(&self, page: Box<Page>) {
        // The server may take the next answer before it has written this one.
        self.settle(true);
        *lock(&self.parked) = Some(page);
        self.has_parked.store(true, Relaxed);
    }

    /// All that was handed over is written (`true`), or never will be: ends what was parked.
    #[inline]
    pub(crate) fn settle(&self, written: bool) {
        if self.has_parked.load(Relaxed) {
            self.has_parked.store(false, Relaxed);
            let parked = lock(&self.parked).take();
            if let Some(page) = parked {
                self.end(page, written);
            }
        }
    }

    /// Ends a request: its answer was written, or not.
    #[inline]
    pub(crate) fn end(&self, page: Box<Page>, written: bool) {
        let cut = if written { None } else { Some(self.why_cut()) };
        self.recorder.end(page, cut);
        self.request_ended();
    }

    /// Status and reason of a request that was cut.
    #[cold]
    fn why_cut(&self) -> (u16, &'static str) {
        match *lock(&self.cut) {
            "write" => (499, "write_timeout"),
            "body" => (408, "body_timeout"),
            "grace" => (503, "shutdown"),
            _ => (499, "client_gone"),
        }
    }

    /// A trusted proxy said for whom it comes; `None` for itself.
    pub(crate) fn comes_for(&self, source: Option<SocketAddr>) {
        let peer = source.or(self.socket_peer);
        // It says so once, and first.
        self.peer.set(peer).ok();
        self.peer_text.set(IpText::of(peer)).ok();
    }

    // === requests of the connection ===

    /// Counts a request and gives its number, from 1.
    #[inline]
    pub(crate) fn next_number(&self) -> u64 {
        self.number.fetch_add(1, Relaxed) + 1
    }

    /// Refuses request `number`, or the one after the last that was read.
    pub(crate) fn refuse(&self, refusal: Refusal, number: u64) {
        *lock(&self.refusal) = Some(refusal);
        self.refused.store(number, Relaxed);
    }

    /// The refusal of request `number`.
    #[inline]
    pub(crate) fn refusal_of(&self, number: u64) -> Option<Refusal> {
        if self.refused.load(Relaxed) != number {
            return None;
        }
        lock(&self.refusal).clone()
    }

    /// Takes the refusal of the request that is served now, if it is refused.
    #[inline]
    pub(crate) fn take_refusal(&self) -> Option<Refusal> {
        let refused = self.refused.load(Relaxed);
        if refused == 0 || refused != self.number.load(Relaxed) {
            return None;
        }
        self.refused.store(0, Relaxed);
        lock(&self.refusal).take()
    }

    /// Takes a refusal that was not served.
    pub(crate) fn unserved_refusal(&self) -> Option<Refusal> {
        self.refused.store(0, Relaxed);
        lock(&self.refusal).take()
    }

    /// The body of request `number` is wrong.
    pub(crate) fn fault_body(&self, number: u64, status: u16, reason: &'static str) {
        *lock(&self.body_fault) = Some((number, (status, reason)));
    }

    /// What is wrong with the body of the request that is served now.
    pub(crate) fn body_fault(&self) -> Option<(u16, &'static str)> {
        let (number, fault) = (*lock(&self.body_fault))?;
        (number == self.number.load(Relaxed)).then_some(fault)
    }

    /// Request `number` has a target that the server will not show as it came.
    pub(crate) fn note_target(&self, number: u64, target: &[u8]) {
        lock(&self.raw_targets).push((number, target.to_vec()));
        self.has_raw_targets.store(true, Relaxed);
    }

    /// The target of request `number`, if it is such a one.
    #[inline]
    pub(crate) fn raw_target(&self, number: u64) -> Option<Vec<u8>> {
        if !self.has_raw_targets.load(Relaxed) {
            return None;
        }
        let mut targets = lock(&self.raw_targets);
        let at = targets.iter().position(|(known, _)| *known == number)?;
        Some(targets.swap_remove(at).1)
    }

    /// No further request is taken on this connection.
    #[inline]
    pub(crate) fn is_at_its_last(&self) -> bool {
        let limit = self.recorder.book().per_connection;
        limit != 0 && self.number.load(Relaxed) >= limit
    }

    /// The application is to answer. In HTTP/2 what is given is asked whether it does so in time.
    #[inline]
    pub(crate) fn asks(&self) -> Option<Arc<AnswerWait>> {
        if self.h2.load(Relaxed) {
            return Some(self.ask_h2());
        }
        self.overdue.store(false, Relaxed);
        self.asked.store(self.recorder.coarse().0, Relaxed);
        None
    }

    fn ask_h2(&self) -> Arc<AnswerWait> {
        let since = self.recorder.coarse();
        let wait = AnswerWait { since, overdue: AtomicBool::new(false), waiter: Mutex::default() };
        let wait = Arc::new(wait);
        let mut answers = lock(&self.answers);
        // Whoever holds it no longer waits no longer.
        answers.retain(|known| Arc::strong_count(known) > 1);
        answers.push(Arc::clone(&wait));
        wait
    }

    /// HTTP/1: the answer has begun.
    #[inline]
    pub(crate) fn answers(&self) {
        self.asked.store(0, Relaxed);
    }

    /// HTTP/1: the answer does not begin in time.
    #[inline]
    pub(crate) fn is_overdue(&self) -> bool {
        self.overdue.load(Relaxed)
    }

    /// The connection speaks another protocol from now on.
    pub(crate) fn tunnel(&self) {
        self.tunnel.store(true, Relaxed);
    }

    /// Whether it does.
    #[inline]
    pub(crate) fn is_tunnel(&self) -> bool {
        self.tunnel.load(Relaxed)
    }

    /// Whether an answer that did not wait for its request's body closes the connection.
    pub(crate) fn closes_early(&self) -> bool {
        self.body_fault().is_some() || self.bodies().iter().any(|body| body.is_too_large())
    }

    /// Whether the head that has begun is given up.
    #[inline]
    pub(crate) fn must_refuse_head(&self) -> bool {
        self.head_overdue.load(Relaxed)
    }

    /// Since when there was a part of a head.
    pub(crate) fn head_since(&self) -> Mono {
        Mono(self.since.load(Relaxed))
    }

    /// Requests that have begun.
    pub(crate) fn requests(&self) -> u64 {
        self.number.load(Relaxed)
    }

    /// The client speaks HTTP/2.
    pub(crate) fn speaks_h2(&self) {
        if self.phase.load(Relaxed) == HEAD {
            // A part of the preface looked like one.
            self.enter(IDLE);
        }
        self.h2.store(true, Relaxed);
        self.last_write.store(self.recorder.coarse().0, Relaxed);
    }

    /// A request comes with a body. The watch of one that is over is used again.
    pub(crate) fn watch_body(&self) -> Arc<BodyWait> {
        let mut bodies = self.bodies();
        if let Some(free) = bodies.iter_mut().find_map(|body| {
            *Arc::get_mut(body)? = BodyWait::default();
            Some(body)
        }) {
            return Arc::clone(free);
        }
        let body = Arc::new(BodyWait::default());
        bodies.push(Arc::clone(&body));
        body
    }

    fn bodies(&self) -> MutexGuard<'_, Vec<Arc<BodyWait>>> {
        lock(&self.bodies)
    }

    /// Idle for longer than others: since when, if it may be closed without a loss.
    pub(crate) fn idle_since(&self) -> Option<Mono> {
        let idle = self.phase.load(Relaxed) == IDLE && self.active.load(Relaxed) == 0;
        (idle && !self.must_shut_down()).then(|| Mono(self.since.load(Relaxed)))
    }

    /// The connection speaks another protocol from now on, or is gone: its deadlines are the
    /// application's.
    pub(crate) fn detach(&self) {
        self.enter(DETACHED);
    }

    /// Whether closing now loses nobody: no request has begun to come.
    pub(crate) fn is_quiet(&self) -> bool {
        let quiet = matches!(self.phase.load(Relaxed), FRESH | IDLE);
        self.h2.load(Relaxed) || quiet && self.active.load(Relaxed) == 0
    }

    /// A request's head is complete.
    #[inline]
    pub(crate) fn request_began(&self, now: Mono, h2: bool) {
        if self.active.fetch_add(1, Relaxed) == 0 {
            self.since.store(now.0, Relaxed);
        }
        if h2 && !self.h2.load(Relaxed) {
            self.speaks_h2();
        }
    }

    /// A request's answer was handed over, or given up.
    pub(crate) fn request_ended(&self) {
        if self.active.fetch_sub(1, Relaxed) == 1 {
            self.enter(IDLE);
        }
    }

    fn enter(&self, phase: u8) {
        self.since.store(self.recorder.coarse().0, Relaxed);
        self.phase.store(phase, Relaxed);
    }

    /// Remembers whom to wake when an order is given. A task's waker stays the same, so once is
    /// enough.
    pub(crate) fn register(&self, waker: &Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }

    /// The connection is to finish.
    pub(crate) fn must_shut_down(&self) -> bool {
        self.order.load(Acquire) != RUN
    }

    /// The connection is to be dropped.
    pub(crate) fn must_abort(&self) -> bool {
        self.order.load(Acquire) == ABORT
    }

    // === judged by the sweeper ===

    /// What is to become of the connection at `now`, in a worker that drains since then.
    pub(crate) fn judge(
        &self,
        now: Mono,
        deadlines: &Deadlines,
        draining: Option<Mono>,
    ) -> Verdict {
        let since = Mono(self.since.load(Relaxed));
        let phase = self.phase.load(Relaxed);
        if phase == DETACHED {
            return Verdict::Keep;
        }
        let unread = self.write_wait.load(Relaxed);
        if unread != 0 && now.since(Mono(unread)) > deadlines.write {
            return Verdict::Abort("write");
        }
        if self.active.load(Relaxed) > 0 {
            return self.judge_busy(now, deadlines, draining.is_some());
        }
        let ordered = self.ordered.load(Relaxed);
        if ordered != 0
            && phase == IDLE
            && now.since(Mono(ordered)) > deadlines.linger.max(FAREWELL)
        {
            return Verdict::Abort("closing");
        }
        let lingered = draining.is_some_and(|begun| now.since(begun.max(since)) > deadlines.linger);
        let h2_drains = draining.is_some() && self.h2.load(Relaxed);
        match phase {
            FRESH if lingered => Verdict::Shutdown,
            IDLE if h2_drains => Verdict::Shutdown,
            HEAD if now.since(since) > deadlines.header * 2 => Verdict::Abort("header"),
            HEAD if now.since(since) > deadlines.header => Verdict::RefuseHead,
            FRESH if now.since(since) > deadlines.header => Verdict::Abort("header"),
            IDLE if lingered || now.since(since) > deadlines.keep_alive => Verdict::Shutdown,
            _ => Verdict::Keep,
        }
    }

    fn judge_busy(&self, now: Mono, deadlines: &Deadlines, draining: bool) -> Verdict {
        let h2 = self.h2.load(Relaxed);
        // A client that gives no window takes nothing, though the socket would.
        let last = Mono(self.last_write.load(Relaxed));
        if h2 && self.unsent.load(Relaxed) > 0 && now.since(last) > deadlines.write {
            return Verdict::Abort("write");
        }
        if !deadlines.request.is_zero() {
            let asked = self.asked.load(Relaxed);
            if asked != 0 && now.since(Mono(asked)) > deadlines.request {
                return Verdict::Overdue;
            }
            if h2 {
                let answers = lock(&self.answers);
                let late = answers.iter().filter(|it| now.since(it.since) > deadlines.request);
                late.for_each(|answer| answer.expire());
            }
        }
        match self.judge_bodies(now, deadlines.body, h2) {
            // HTTP/2 has a way to say it that loses nothing; no need to wait.
            Verdict::Keep if draining && h2 => Verdict::Shutdown,
            verdict => verdict,
        }
    }

    /// A body that stops coming fails first; if the application does not even notice, the
    /// connection goes, unless it carries other requests.
    fn judge_bodies(&self, now: Mono, limit: Duration, h2: bool) -> Verdict {
        for body in self.bodies().iter() {
            let waited = body.waited(now);
            if waited > limit * 2 && !h2 {
                return Verdict::Abort("body");
            }
            if waited > limit && !body.is_expired() {
                body.expire();
            }
        }
        Verdict::Keep
    }

    /// Serving one HTTP/1 request for longer than `limit`: worth a look whether its client is there.
    pub(crate) fn is_long_busy(&self, now: Mono, limit: Duration) -> bool {
        let since = Mono(self.since.load(Relaxed));
        self.active.load(Relaxed) > 0 && !self.h2.load(Relaxed) && now.since(since) > limit
    }

    /// Carries a verdict out.
    pub(crate) fn order(&self, verdict: Verdict, now: Mono) {
        match verdict {
            Verdict::Keep => return,
            Verdict::Shutdown if self.must_shut_down() => return,
            Verdict::Shutdown => {
                self.ordered.store(now.0, Relaxed);
                self.order.store(SHUTDOWN, Release);
            }
            Verdict::RefuseHead if self.head_overdue.swap(true, Relaxed) => return,
            Verdict::Overdue if self.overdue.swap(true, Relaxed) => return,
            Verdict::RefuseHead | Verdict::Overdue => {}
            Verdict::Abort(why) => {
                *lock(&self.cut) = why;
                self.order.store(ABORT, Release);
            }
        }
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINES: Deadlines = Deadlines {
        header: Duration::from_secs(10),
        body: Duration::from_secs(5),
        write: Duration::from_secs(7),
        keep_alive: Duration::from_secs(75),
        linger: Duration::from_secs(2),
        request: Duration::ZERO,
    };

    fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    fn watched() -> (Watched, Arc<Recorder>) {
        let recorder = Recorder::for_tests();
        recorder.set_coarse(at(100));
        (Watched::new(Arc::clone(&recorder), None, None, false, -1, at(100)), recorder)
    }

    #[test]
    fn a_head_that_does_not_come_is_cut_and_a_served_connection_may_idle() {
        let (conn, recorder) = watched();
        assert_eq!(conn.judge(at(110), &DEADLINES, None), Verdict::Keep);
        assert_eq!(conn.judge(at(111), &DEADLINES, None), Verdict::Abort("header"));
        conn.bytes_read();
        assert_eq!(conn.judge(at(111), &DEADLINES, None), Verdict::RefuseHead);
        assert_eq!(conn.judge(at(121), &DEADLINES, None), Verdict::Abort("header"), "unheard");
        conn.request_began(recorder.coarse(), false);
        assert_eq!(conn.judge(at(999), &DEADLINES, None), Verdict::Keep);
        recorder.set_coarse(at(200));
        conn.request_ended();
        assert_eq!(conn.judge(at(275), &DEADLINES, None), Verdict::Keep);
        assert_eq!(conn.judge(at(276), &DEADLINES, None), Verdict::Shutdown);
    }

    #[test]
    fn a_drain_lets_idle_connections_linger_and_busy_ones_finish() {
        let (conn, recorder) = watched();
        let drain = Some(at(105));
        assert_eq!(conn.judge(at(106), &DEADLINES, drain), Verdict::Keep);
        assert_eq!(conn.judge(at(108), &DEADLINES, drain), Verdict::Shutdown);
        conn.request_began(recorder.coarse(), false);
        assert_eq!(conn.judge(at(999), &DEADLINES, drain), Verdict::Keep);
        conn.request_began(recorder.coarse(), true);
        assert_eq!(conn.judge(at(106), &DEADLINES, drain), Verdict::Shutdown, "HTTP/2 at once");
    }

    #[test]
    fn a_body_that_stops_fails_first_and_takes_the_connection_later() {
        let (conn, recorder) = watched();
        conn.request_began(recorder.coarse(), false);
        let (body, other) = (conn.watch_body(), conn.watch_body());
        body.awaited(recorder.coarse(), Waker::noop());
        assert_eq!(conn.judge(at(105), &DEADLINES, None), Verdict::Keep);
        assert!(!body.is_expired());
        assert_eq!(conn.judge(at(106), &DEADLINES, None), Verdict::Keep);
        assert!(body.is_expired() && !other.is_expired());
        assert_eq!(conn.judge(at(107), &DEADLINES, None), Verdict::Keep);
        assert_eq!(conn.judge(at(111), &DEADLINES, None), Verdict::Abort("body"));
        body.moved();
        assert_eq!(conn.judge(at(121), &DEADLINES, None), Verdict::Keep);
        drop(body);
        assert!(!conn.watch_body().is_expired(), "a watch used again begins anew");
    }

    #[test]
    fn frames_between_http2_requests_begin_no_head() {
        let (conn, recorder) = watched();
        conn.request_began(recorder.coarse(), true);
        conn.request_ended();
        conn.bytes_read();
        assert_eq!(conn.judge(at(120), &DEADLINES, None), Verdict::Keep);
        recorder.set_coarse(at(120));
        assert_eq!(conn.judge(at(176), &DEADLINES, None), Verdict::Shutdown);
    }

    #[test]
    fn a_connection_that_speaks_another_protocol_has_no_deadlines_here() {
        let (conn, recorder) = watched();
        conn.request_began(recorder.coarse(), false);
        conn.request_ended();
        conn.detach();
        assert_eq!(conn.judge(at(9_999), &DEADLINES, Some(at(101))), Verdict::Keep);
    }

    #[test]
    fn a_client_that_takes_nothing_is_cut_in_any_phase() {
        let (conn, recorder) = watched();
        conn.request_began(recorder.coarse(), false);
        conn.write_awaited();
        assert_eq!(conn.judge(at(108), &DEADLINES, None), Verdict::Abort("write"));
        conn.write_moved();
        assert_eq!(conn.judge(at(108), &DEADLINES, None), Verdict::Keep);
    }
}
