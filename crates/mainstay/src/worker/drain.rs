//! The way out of a worker: who is told when, and how long they have.

use crate::clock::{self, Mono};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::Notify;

/// The state of a worker's drain; set by the signal thread, awaited by tasks.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    since: AtomicU64,
    quick: AtomicBool,
    begun: Notify,
    hurried: Notify,
}

impl Drain {
    /// Begins the drain, or makes one that has begun a quick one.
    pub(crate) fn begin(&self, quick: bool) {
        let now = clock::mono().0.max(1);
        // Only the first call sets the time.
        let first = self.since.compare_exchange(0, now, SeqCst, SeqCst).is_ok();
        if quick && !self.quick.swap(true, SeqCst) {
            self.hurried.notify_waiters();
        }
        if first {
            self.begun.notify_waiters();
        }
    }

    /// When it began.
    pub(crate) fn since(&self) -> Option<Mono> {
        Some(self.since.load(SeqCst)).filter(|since| *since != 0).map(Mono)
    }

    /// Resolves when it has begun.
    pub(crate) async fn wait(&self) {
        let begun = self.begun.notified();
        tokio::pin!(begun);
        // Registered before the look, so that a beginning between the two is not missed.
        begun.as_mut().enable();
        if self.since().is_none() {
            begun.await;
        }
    }

    /// Resolves when what is left is to be cut: after `grace`, or `quick_grace` if that is asked
    /// for on the way.
    pub(crate) async fn over(&self, grace: Duration, quick_grace: Duration) {
        let hurried = self.hurried.notified();
        tokio::pin!(hurried);
        hurried.as_mut().enable();
        if !self.quick.load(SeqCst) {
            let slow = tokio::time::timeout(grace, hurried).await.is_err();
            if slow {
                return;
            }
        }
        let never = std::future::pending::<()>();
        // The time-out is the wait.
        tokio::time::timeout(quick_grace, never).await.ok();
    }
}
