//! The requests of a connection: their numbers, who is refused, whose body is wrong, who is late.

use super::waits::AnswerWait;
use super::{Watched, lock};
use crate::clock::Mono;
use crate::http::page::Refusal;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Watched {
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
        let wait = Arc::new(AnswerWait::new(self.recorder.coarse()));
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
}
