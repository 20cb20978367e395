//! What is known of one connection from outside its task: enough to hold it to its deadlines
//! without a timer per request. The task notes what it does in passing; a sweeper looks a few
//! times a second and judges.

mod judge;
mod requests;
#[cfg(test)]
mod tests;
mod waits;

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

pub(crate) use waits::{AnswerWait, BodyWait};

/// One connection, shared by its task, its requests and the sweeper. Times are those of the
/// sweeper's last look, so as exact as its interval.
#[derive(Debug)]
pub(crate) struct Watched {
    recorder: Arc<Recorder>,
    /// The other end of the socket, and whom it comes for.
    socket_peer: Option<SocketAddr>,
    peer: OnceLock<Option<SocketAddr>>,
    /// Its address as text, made once and read for each request.
    peer_text: OnceLock<Box<str>>,
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
            peer_text: if is_proxied { OnceLock::new() } else { text_of(peer).into() },
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
        self.peer_text.get().map_or("", AsRef::as_ref)
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
        self.peer_text.set(text_of(peer)).ok();
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
}

fn text_of(peer: Option<SocketAddr>) -> Box<str> {
    peer.map(|peer| peer.ip().to_canonical().to_string()).unwrap_or_default().into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
