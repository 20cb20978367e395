//! What a request waits for: the next bytes of its body, the beginning of its answer.

use crate::clock::Mono;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, Release},
};
use std::task::Waker;
use std::time::Duration;

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
    pub(super) fn expire(&self) {
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

    pub(super) fn waited(&self, now: Mono) -> Duration {
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
    pub(super) since: Mono,
    overdue: AtomicBool,
    waiter: Mutex<Option<Waker>>,
}

impl AnswerWait {
    /// One that is asked for now.
    pub(super) fn new(since: Mono) -> AnswerWait {
        AnswerWait { since, overdue: AtomicBool::new(false), waiter: Mutex::default() }
    }

    /// Whether its time is over; if not, `waker` is woken when it is.
    pub(crate) fn is_overdue(&self, waker: &Waker) -> bool {
        let mut waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiter.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *waiter = Some(waker.clone());
        }
        self.overdue.load(Relaxed)
    }

    pub(super) fn expire(&self) {
        self.overdue.store(true, Relaxed);
        let waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}
