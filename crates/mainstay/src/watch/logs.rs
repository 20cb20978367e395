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
        let done = if end == Mono(0) {
            outlet.run(now + TURN)
        } else {
            outlet.finish((now + TURN).min(end))
        };
        pause = match &done {
            Ok(0) => (pause * 2).min(IDLE),
            Ok(_) => SOON,
            // It has waited.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Duration::ZERO,
            Err(_) => (pause * 2).min(RETRY),
        };
        if end != Mono(0) {
            if matches!(done, Ok(0)) || clock::mono() >= end {
                return;
            }
            pause = pause.min(SOON);
        }
        if !pause.is_zero() {
            thread::park_timeout(pause);
        }
    }
}
