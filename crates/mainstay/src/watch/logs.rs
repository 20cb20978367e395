//! The writers of the logs: a thread for each outlet, so that one that blocks stops nothing but
//! itself.

use crate::clock::{self, Mono};
use crate::config::Config;
use crate::event::{Event, Time};
use crate::log::Log;
use crate::log::outlet::Outlet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How soon a line is written when there is traffic, and when there was none for a while.
const SOON: Duration = Duration::from_millis(5);
const IDLE: Duration = Duration::from_millis(80);
/// A log that is not written for this long is told of.
const STALL: Duration = Duration::from_secs(1);
/// The longest wait before it is tried again.
const RETRY: Duration = Duration::from_millis(500);
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
    stop: AtomicBool,
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
        for outlet in Outlet::all(config) {
            let (log, orders) = (log.clone(), Arc::clone(&orders));
            let thread = thread::Builder::new().name("log".into()).stack_size(STACK);
            threads.push(thread.spawn(move || Writer::new(outlet, log).run(&orders))?);
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
        self.orders.stop.store(true, SeqCst);
        self.threads.iter().for_each(|it| it.thread().unpark());
        let deadline = clock::mono() + PATIENCE;
        for thread in self.threads {
            // One that blocks for longer is left to the end of the process; what it has not written
            // is in the rings, and the supervisor's to write.
            while !thread.is_finished() && clock::mono() < deadline {
                thread::park_timeout(SOON);
            }
        }
    }
}

/// One thread's part.
struct Writer {
    outlet: Outlet,
    log: Log,
    /// Since when nothing could be written, and whether that was told.
    failing: Option<(Mono, bool)>,
}

impl Writer {
    fn new(outlet: Outlet, log: Log) -> Writer {
        Writer { outlet, log, failing: None }
    }

    fn run(mut self, orders: &Orders) {
        let (mut pause, mut reopened) = (SOON, 0);
        loop {
            let last = orders.stop.load(SeqCst);
            let wanted = orders.reopened.load(SeqCst);
            if wanted != reopened {
                reopened = wanted;
                self.outlet.reopen();
            }
            let done = self.outlet.run(self.log.segment());
            for event in self.outlet.untold() {
                self.log.event(&event);
            }
            pause = match done {
                Ok(0) => (pause * 2).min(IDLE),
                Ok(_) => SOON,
                Err(_) => (pause * 2).min(RETRY),
            };
            self.note(done);
            if last {
                return;
            }
            thread::park_timeout(pause);
        }
    }

    fn note(&mut self, done: io::Result<usize>) {
        let (now, log) = (clock::mono(), self.outlet.name());
        match (done, self.failing) {
            (Ok(_), None) => {}
            (Ok(_), Some((since, told))) => {
                self.failing = None;
                if told {
                    self.log.event(&Event::LogResumed { log, after: Time(now.since(since)) });
                }
            }
            (Err(_), None) => self.failing = Some((now, false)),
            (Err(error), Some((since, false))) if now.since(since) > STALL => {
                self.failing = Some((since, true));
                self.log.event(&Event::LogStalled { log, reason: error.to_string() });
            }
            (Err(_), Some(_)) => {}
        }
    }
}
