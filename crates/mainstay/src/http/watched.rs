//! What is known of one connection from outside its task: enough to hold it to its deadlines
//! without a timer per request. The task notes what it does in passing; a sweeper looks a few
//! times a second and judges.

use super::record::{Ended, Recorder};
use crate::clock::Mono;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Keep,
    /// Finish what is in progress, then close.
    Shutdown,
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

    fn waited(&self, now: Mono) -> Duration {
        match self.since.load(Relaxed) {
            0 => Duration::ZERO,
            since => now.since(Mono(since)),
        }
    }
}

/// One connection, shared by its task, its requests and the sweeper. Times are those of the
/// sweeper's last look, so as exact as its interval.
#[derive(Debug)]
pub(crate) struct Watched {
    recorder: Arc<Recorder>,
    peer: Option<SocketAddr>,
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
    /// HTTP/1: the request whose answer is complete but not yet all written, or 0.
    parked: AtomicU64,
    h2: AtomicBool,
    order: AtomicU8,
    ordered: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Watched {
    pub(crate) fn new(
        recorder: Arc<Recorder>,
        peer: Option<SocketAddr>,
        socket: RawFd,
        now: Mono,
    ) -> Watched {
        Watched {
            recorder,
            peer,
            socket,
            phase: AtomicU8::new(FRESH),
            since: AtomicU64::new(now.0),
            active: AtomicU32::new(0),
            bodies: Mutex::default(),
            write_wait: AtomicU64::new(0),
            unsent: AtomicU32::new(0),
            last_write: AtomicU64::new(0),
            parked: AtomicU64::new(0),
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
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
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
    pub(crate) fn park(&self, ended: Ended) {
        // The server may take the next answer before it has written this one.
        self.settle(true);
        self.parked.store(ended.to_word(), Relaxed);
    }

    /// All that was handed over is written (`true`), or never will be: ends what was parked.
    #[inline]
    pub(crate) fn settle(&self, written: bool) {
        let word = self.parked.load(Relaxed);
        if word != 0 {
            self.parked.store(0, Relaxed);
            self.end(Ended::from_word(word), written);
        }
    }

    /// Ends a request: its answer was written, or not.
    pub(crate) fn end(&self, mut ended: Ended, written: bool) {
        if !written {
            ended.status = None;
        }
        self.recorder.end(ended);
        self.request_ended();
    }

    /// The client speaks HTTP/2.
    pub(crate) fn speaks_h2(&self) {
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
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub(crate) fn request_began(&self, h2: bool) {
        if self.active.fetch_add(1, Relaxed) == 0 {
            self.since.store(self.recorder.coarse().0, Relaxed);
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
            FRESH | HEAD if now.since(since) > deadlines.header => Verdict::Abort("header"),
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
            Verdict::Abort(_) => self.order.store(ABORT, Release),
        }
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
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
    };

    fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    fn watched() -> (Watched, Arc<Recorder>) {
        let recorder = Recorder::for_tests();
        recorder.set_coarse(at(100));
        (Watched::new(Arc::clone(&recorder), None, -1, at(100)), recorder)
    }

    #[test]
    fn a_head_that_does_not_come_is_cut_and_a_served_connection_may_idle() {
        let (conn, recorder) = watched();
        assert_eq!(conn.judge(at(110), &DEADLINES, None), Verdict::Keep);
        assert_eq!(conn.judge(at(111), &DEADLINES, None), Verdict::Abort("header"));
        conn.bytes_read();
        assert_eq!(conn.judge(at(111), &DEADLINES, None), Verdict::Abort("header"));
        conn.request_began(false);
        assert_eq!(conn.judge(at(999), &DEADLINES, None), Verdict::Keep);
        recorder.set_coarse(at(200));
        conn.request_ended();
        assert_eq!(conn.judge(at(275), &DEADLINES, None), Verdict::Keep);
        assert_eq!(conn.judge(at(276), &DEADLINES, None), Verdict::Shutdown);
    }

    #[test]
    fn a_drain_lets_idle_connections_linger_and_busy_ones_finish() {
        let (conn, _recorder) = watched();
        let drain = Some(at(105));
        assert_eq!(conn.judge(at(106), &DEADLINES, drain), Verdict::Keep);
        assert_eq!(conn.judge(at(108), &DEADLINES, drain), Verdict::Shutdown);
        conn.request_began(false);
        assert_eq!(conn.judge(at(999), &DEADLINES, drain), Verdict::Keep);
        conn.request_began(true);
        assert_eq!(conn.judge(at(106), &DEADLINES, drain), Verdict::Shutdown, "HTTP/2 at once");
    }

    #[test]
    fn a_body_that_stops_fails_first_and_takes_the_connection_later() {
        let (conn, recorder) = watched();
        conn.request_began(false);
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
        conn.request_began(true);
        conn.request_ended();
        conn.bytes_read();
        assert_eq!(conn.judge(at(120), &DEADLINES, None), Verdict::Keep);
        recorder.set_coarse(at(120));
        assert_eq!(conn.judge(at(176), &DEADLINES, None), Verdict::Shutdown);
    }

    #[test]
    fn a_connection_that_speaks_another_protocol_has_no_deadlines_here() {
        let (conn, _recorder) = watched();
        conn.request_began(false);
        conn.request_ended();
        conn.detach();
        assert_eq!(conn.judge(at(9_999), &DEADLINES, Some(at(101))), Verdict::Keep);
    }

    #[test]
    fn a_client_that_takes_nothing_is_cut_in_any_phase() {
        let (conn, _recorder) = watched();
        conn.request_began(false);
        conn.write_awaited();
        assert_eq!(conn.judge(at(108), &DEADLINES, None), Verdict::Abort("write"));
        conn.write_moved();
        assert_eq!(conn.judge(at(108), &DEADLINES, None), Verdict::Keep);
    }
}
