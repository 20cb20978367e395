//! The open connections, and the sweeper that holds them to their deadlines.

use super::Shared;
use crate::event::Event;
use crate::http::watched::{Verdict, Watched};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Every open connection of the worker.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: Mutex<Open>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    all: HashMap<u64, Arc<Watched>>,
}

impl Connections {
    /// Enters a connection; the number takes it out again.
    pub(crate) fn enter(&self, conn: Arc<Watched>) -> u64 {
        let mut open = self.lock();
        open.next += 1;
        let number = open.next;
        open.all.insert(number, conn);
        if open.all.len() == 1 {
            self.changed.notify_waiters();
        }
        number
    }

    /// Takes a connection out.
    pub(crate) fn leave(&self, number: u64) {
        let mut open = self.lock();
        open.all.remove(&number);
        if open.all.is_empty() {
            self.changed.notify_waiters();
        }
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.lock().all.len()
    }

    /// Drops all of them.
    pub(crate) fn abort_all(&self) {
        for conn in self.lock().all.values() {
            conn.order(Verdict::Abort("grace"));
        }
    }

    /// Resolves when there is one (`true`) or none (`false`).
    pub(crate) async fn wait(&self, some: bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if (self.len() > 0) == some {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Judges all connections at each interval, and sleeps while there are none.
pub(crate) async fn sweep(shared: Arc<Shared>) {
    let deadlines = shared.deadlines();
    let all = [deadlines.header, deadlines.body, deadlines.write, deadlines.linger];
    let shortest = all.into_iter().min().unwrap_or_default();
    let interval = (shortest / 4).clamp(Duration::from_millis(10), Duration::from_millis(250));
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        shared.connections.wait(true).await;
        ticks.tick().await;
        let now = crate::clock::mono();
        shared.recorder.set_coarse(now);
        let draining = shared.draining_since();
        let mut passed = Vec::new();
        for conn in shared.connections.lock().all.values() {
            let verdict = conn.judge(now, &deadlines, draining);
            conn.order(verdict);
            if let Verdict::Abort(which) = verdict {
                passed.push((conn.peer(), which));
            }
        }
        for (peer, which) in passed {
            let peer = peer.map_or_else(|| "a unix socket".to_owned(), |peer| peer.to_string());
            shared.log.event(&Event::DeadlinePassed { peer, which });
        }
    }
}
