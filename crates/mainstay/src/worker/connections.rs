//! The open connections, and the look that holds them to their deadlines.

use super::Shared;
use super::accept::Listener;
use crate::clock::{self, Mono};
use crate::event::Event;
use crate::http::watched::{Verdict, Watched};
use crate::metrics::names;
use mainstay_os::fds;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Notify;

/// A request that takes longer is worth asking whether its client is still there.
const LONG: Duration = Duration::from_secs(1);
/// A full worker whom somebody waits for looks this often whether a connection has become idle.
const AGAIN: Duration = Duration::from_millis(10);

/// Every open connection of the worker.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: Mutex<Book>,
    /// Nobody is left.
    empty: Notify,
    /// Somebody left a worker that was full.
    room: Notify,
    /// Somebody came: the minder sleeps longer while nobody is there.
    first: Notify,
}

#[derive(Debug, Default)]
struct Book {
    next: u64,
    all: HashMap<u64, Arc<Watched>>,
}

impl Connections {
    /// Enters a connection; the number takes it out again.
    pub(crate) fn enter(&self, conn: Arc<Watched>) -> u64 {
        let (number, first) = {
            let mut open = self.lock();
            open.next += 1;
            let number = open.next;
            open.all.insert(number, conn);
            (number, open.all.len() == 1)
        };
        if first {
            self.first.notify_one();
        }
        number
    }

    /// Takes a connection out.
    pub(crate) fn leave(&self, number: u64) {
        let empty = {
            let mut open = self.lock();
            open.all.remove(&number);
            open.all.is_empty()
        };
        self.room.notify_waiters();
        if empty {
            self.empty.notify_waiters();
        }
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.lock().all.len()
    }

    /// Drops all of them.
    pub(crate) fn abort_all(&self, now: Mono) {
        for conn in self.lock().all.values() {
            conn.order(Verdict::Abort("grace"), now);
        }
    }

    /// Resolves when there are fewer than `most`. While somebody waits at `door` idle connections are
    /// asked to close, the longest idle first: whoever waits has something to ask.
    pub(crate) async fn wait_for_room(&self, most: Option<u64>, door: &Listener) {
        let Some(most) = most else { return };
        let is_full = || self.len() as u64 >= most;
        while is_full() {
            let mut room = pin!(self.room.notified());
            // Registered before the look, so that one who leaves between the two is not missed.
            room.as_mut().enable();
            if !is_full() {
                return;
            }
            // A connection that nobody needs is left open: its client may ask on it at any time.
            let mut waits = pin!(door.somebody_waits());
            let there_is_room = poll_fn(|cx| match room.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(true),
                Poll::Pending => waits.as_mut().poll(cx).map(|()| false),
            });
            if !there_is_room.await {
                self.close_longest_idle();
                // Where nobody is idle yet, somebody may soon be.
                tokio::time::timeout(AGAIN, room).await.ok();
            }
        }
    }

    /// Asks the longest idle connection, the older one of two, to close.
    fn close_longest_idle(&self) {
        let now = clock::mono();
        let longest_idle = {
            let open = self.lock();
            let idle = open.all.iter().filter_map(|(number, conn)| {
                let since = conn.idle_since()?;
                Some(((since, *number), conn))
            });
            idle.min_by_key(|(order, _)| *order).map(|(_, conn)| Arc::clone(conn))
        };
        if let Some(conn) = longest_idle {
            conn.order(Verdict::Shutdown, now);
        }
    }

    /// Resolves when there is none.
    pub(crate) async fn wait_empty(&self) {
        loop {
            let empty = self.empty.notified();
            tokio::pin!(empty);
            // Registered before the look, so that an end between the two is not missed.
            empty.as_mut().enable();
            if self.len() == 0 {
                return;
            }
            empty.await;
        }
    }

    /// Resolves when a first connection has come.
    pub(crate) async fn first(&self) {
        self.first.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place in the books, given back when its stream is dropped, however that comes.
#[derive(Debug)]
pub(crate) struct Open {
    shared: Arc<Shared>,
    number: u64,
}

impl Open {
    pub(crate) fn enter(shared: Arc<Shared>, conn: Arc<Watched>) -> Open {
        let slot = shared.log.slot();
        slot.connection_opened();
        slot.add(names::CONNECTIONS, 1);
        let number = shared.connections.enter(conn);
        Open { shared, number }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.log.slot().connection_closed();
        self.shared.connections.leave(self.number);
    }
}

/// Judges every connection once.
pub(crate) fn sweep(shared: &Shared, now: Mono) {
    let deadlines = shared.deadlines();
    shared.recorder.set_coarse(now);
    let draining = shared.draining_since();
    let (mut passed, mut long) = (Vec::new(), Vec::new());
    for conn in shared.connections.lock().all.values() {
        let verdict = conn.judge(now, &deadlines, draining);
        if conn.socket() < 0 {
            // A connection that another server has is for it to close; its requests are judged all the same.
            if !matches!(verdict, Verdict::Abort(_)) {
                conn.order(verdict, now);
            }
            continue;
        }
        conn.order(verdict, now);
        if let Verdict::Abort(which) = verdict {
            passed.push((conn.peer(), which));
        } else if conn.is_long_busy(now, LONG) {
            long.push(Arc::clone(conn));
        }
    }
    leave_the_gone(&long, now);
    for (peer, which) in passed {
        let peer = peer.map_or_else(|| "a unix socket".to_owned(), |peer| peer.to_string());
        shared.log.event(&Event::DeadlinePassed { peer, which });
    }
}

/// Drops long requests whose clients have reset their connections; the server, which may not read
/// while it serves, would not notice.
fn leave_the_gone(long: &[Arc<Watched>], now: Mono) {
    let sockets: Vec<_> = long.iter().map(|conn| conn.socket()).collect();
    for (conn, gone) in long.iter().zip(fds::hung_up(&sockets)) {
        if gone {
            conn.order(Verdict::Abort("client"), now);
        }
    }
}
