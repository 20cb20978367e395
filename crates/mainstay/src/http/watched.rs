//! What is known of one connection from outside its task: enough to hold it to its deadlines
//! without a timer per request. The task notes what it does in passing; a sweeper looks a few
//! times a second and judges.

use super::record::Recorder;
use crate::clock::Mono;
use std::net::SocketAddr;
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
    /// Fail the body that does not come; the request gets its answer.
    ExpireBody,
    /// Close now; the deadline that passed.
    Abort(&'static str),
}

const FRESH: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;
const IDLE: u8 = 3;
const DETACHED: u8 = 4;

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
}

impl BodyWait {
    /// The application waits for more, as of `now`.
    pub(crate) fn awaited(&self, now: Mono) {
        if self.since.load(Relaxed) == 0 {
            self.since.store(now.0, Relaxed);
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
    phase: AtomicU8,
    since: AtomicU64,
    active: AtomicU32,
    bodies: Mutex<Vec<Arc<BodyWait>>>,
    write_wait: AtomicU64,
    h2: AtomicBool,
    order: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

impl Watched {
    pub(crate) fn new(recorder: Arc<Recorder>, peer: Option<SocketAddr>, now: Mono) -> Watched {
        Watched {
            recorder,
            peer,
            phase: AtomicU8::new(FRESH),
            since: AtomicU64::new(now.0),
            active: AtomicU32::new(0),
            bodies: Mutex::default(),
            write_wait: AtomicU64::new(0),
            h2: AtomicBool::new(false),
            order: AtomicU8::new(RUN),
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

    // === noted by the connection's task ===

    /// Bytes arrived.
    pub(crate) fn bytes_read(&self) {
        let phase = self.phase.load(Relaxed);
        // In HTTP/2 bytes between requests are mostly frames that begin none.
        if phase == FRESH || phase == IDLE && !self.h2.load(Relaxed) {
            self.enter(HEAD);
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
        self.h2.load(Relaxed) || matches!(self.phase.load(Relaxed), FRESH | IDLE)
    }

    /// A request's head is complete.
    pub(crate) fn request_began(&self, h2: bool) {
        self.active.fetch_add(1, Relaxed);
        self.phase.store(BUSY, Relaxed);
        if h2 {
            self.h2.store(true, Relaxed);
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
        let lingered = draining.is_some_and(|begun| now.since(begun.max(since)) > deadlines.linger);
        match phase {
            FRESH if lingered => Verdict::Shutdown,
            FRESH | HEAD if now.since(since) > deadlines.header => Verdict::Abort("header"),
            IDLE if lingered || now.since(since) > deadlines.keep_alive => Verdict::Shutdown,
            // HTTP/2 has a way to say it that loses nothing; no need to wait.
            IDLE | BUSY if draining.is_some() && self.h2.load(Relaxed) => Verdict::Shutdown,
            BUSY => self.judge_bodies(now, deadlines.body),
            _ => Verdict::Keep,
        }
    }

    /// A body that stops coming fails first; if the application does not even notice, the
    /// connection goes.
    fn judge_bodies(&self, now: Mono, limit: Duration) -> Verdict {
        let mut verdict = Verdict::Keep;
        for body in self.bodies().iter() {
            let waited = body.waited(now);
            if waited > limit * 2 {
                return Verdict::Abort("body");
            }
            if waited > limit && !body.expired.swap(true, Relaxed) {
                verdict = Verdict::ExpireBody;
            }
        }
        verdict
    }

    /// Carries a verdict out.
    pub(crate) fn order(&self, verdict: Verdict) {
        match verdict {
            Verdict::Keep => return,
            Verdict::Shutdown if self.must_shut_down() => return,
            Verdict::Shutdown => self.order.store(SHUTDOWN, Release),
            // The body knows; its reader must look.
            Verdict::ExpireBody => {}
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
        (Watched::new(Arc::clone(&recorder), None, at(100)), recorder)
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
        body.awaited(recorder.coarse());
        assert_eq!(conn.judge(at(105), &DEADLINES, None), Verdict::Keep);
        assert_eq!(conn.judge(at(106), &DEADLINES, None), Verdict::ExpireBody);
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
