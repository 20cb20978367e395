//! The writers of the logs: a thread for each outlet, so that one that blocks stops nothing but
//! itself.

use super::threads;
use crate::clock::{self, Mono};
use crate::config::Config;
use crate::log::Log;
use crate::log::outlet::Outlet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How soon a line is written when there is traffic, and when there was none for a while.
const SOON: Duration = Duration::from_millis(5);
const IDLE: Duration = Duration::from_millis(80);
/// The longest wait before what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// A thread that waits for a reader looks up this often.
const TURN: Duration = Duration::from_millis(250);
/// How long the last lines may take.
const PATIENCE: Duration = Duration::from_secs(2);
const STACK: usize = 256 * 1024;

/// The threads.
#[derive(Debug)]
pub(crate) struct LogWriters {
    orders: Arc<Orders>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Orders {
    /// When the last lines are to be written, monotonic nanoseconds; 0 while that is not asked for.
    end: AtomicU64,
    /// How often files were to be opened anew.
    reopened: AtomicU64,
}

impl LogWriters {
    /// Starts them.
    ///
    /// # Errors
    /// When the system has no room for a thread.
    pub(crate) fn start(log: &Log, config: &Config) -> io::Result<LogWriters> {
        let orders = Arc::new(Orders::default());
        let mut threads = Vec::new();
        for outlet in Outlet::take_over(config, log) {
            let orders = Arc::clone(&orders);
            let thread = thread::Builder::new().name("log".into()).stack_size(STACK);
            threads.push(thread.spawn(move || write(outlet, &orders))?);
        }
        Ok(LogWriters { orders, threads })
    }

    /// A thread has ended by itself, which only a fault in it does.
    pub(crate) fn has_failed(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// What opens files anew when called.
    pub(crate) fn reopener(&self) -> impl Fn() + Send + use<> {
        let orders = Arc::clone(&self.orders);
        let threads: Vec<_> = self.threads.iter().map(|it| it.thread().clone()).collect();
        move || {
            orders.reopened.fetch_add(1, SeqCst);
            threads.iter().for_each(thread::Thread::unpark);
        }
    }

    /// Writes what is there and ends.
    pub(crate) fn finish(self) {
        let deadline = clock::mono() + PATIENCE;
        self.orders.end.store(deadline.0, SeqCst);
        // What one that blocks has not written is in the rings, and the supervisor's to write.
        threads::end(self.threads, deadline);
    }
}

/// One thread's life.
fn write(mut outlet: Outlet, orders: &Orders) {
    let (mut pause, mut reopened) = (SOON, 0);
    loop {
        let wanted = orders.reopened.load(SeqCst);
        if wanted != reopened {
            reopened = wanted;
            outlet.reopen();
        }
        let end = Mono(orders.end.load(SeqCst));
        let now = clock::mono();
        let until = if end == Mono(0) { now + TURN } else { (now + TURN).min(end) };
        let done = if end == Mono(0) { outlet.run(until) } else { outlet.finish(until) };
        pause = match &done {
            Ok(0) => (pause * 2).min(IDLE),
            Ok(_) => SOON,
            // It has waited.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Duration::ZERO,
            Err(_) => (pause * 2).min(RETRY),
        };
        if end != Mono(0) {
            // All that was there when it was told is written. Workers that go on serving write more at any time, which
            // is its successor's, and that one does not begin before this one ends.
            if (done.is_ok() && clock::mono() < until) || clock::mono() >= end {
                return;
            }
            pause = pause.min(SOON);
        }
        if !pause.is_zero() {
            thread::park_timeout(pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use crate::metrics::names;
    use mainstay_os::segment::{Layout, Segment};
    use std::sync::atomic::AtomicBool;

    #[test]
    fn the_end_of_a_writer_does_not_wait_until_nobody_logs_any_more() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("error.log");
        let flags = vec![("log.error", path.to_str().unwrap().to_owned())];
        let config = Config::resolve(&Sources { flags, ..Sources::default() }).unwrap();
        let layout = Layout { slots: 2, ring_bytes: [1 << 20; 3], ..Layout::small(names::CELLS) };
        let log = Log::new(Segment::on_heap(layout), 0);
        let writers = LogWriters::start(&log, &config).unwrap();
        let is_over = AtomicBool::new(false);
        let took = thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(SeqCst) {
                    log.event(&crate::event::Event::LogsReopened {});
                    thread::park_timeout(Duration::from_micros(100));
                }
            });
            let deadline = clock::mono() + Duration::from_secs(20);
            while std::fs::read(&path).is_ok_and(|it| it.is_empty()) || !path.exists() {
                assert!(clock::mono() < deadline, "nothing is written");
                thread::yield_now();
            }
            let begun = clock::mono();
            writers.finish();
            is_over.store(true, SeqCst);
            clock::mono().since(begun)
        });
        assert!(took < PATIENCE, "{took:?}");
    }
}
