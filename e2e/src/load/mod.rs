//! The load client: closed-loop HTTP/1.1 over raw sockets, and an exact word
//! for everything that goes wrong.
//!
//! It runs on a thread and a runtime of its own, so that a blocking test does
//! not slow it down. A request is never tried again: what fails, counts.

mod client;
mod failure;
mod oneshot;
mod report;
mod stream;
mod wire;

pub use failure::Failure;
pub use oneshot::{Burst, Response, burst, get, send};
pub use report::{Phase, Report};
pub use stream::Target;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What load to put on a service. Build with [`Load::new`] and change fields.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where the service listens.
    pub target: Target,
    /// Clients that open a new connection for each request. Default 4.
    pub new_connections: usize,
    /// Clients that keep their connection until the server closes it. Default 8.
    pub kept_alive: usize,
    /// Path asked for with GET. Default `/`.
    pub path: String,
    /// Pause of each client between an answer and its next request; 1 ms is
    /// the finest. Default none: the next request follows at once.
    pub think: Option<Duration>,
    /// Time within which the whole answer must be there. Default 10 s.
    pub deadline: Duration,
    /// The run ends by itself after this time. Default 120 s.
    pub max_duration: Duration,
    /// The run ends by itself after this many requests. Default 10 million.
    pub max_requests: u64,
}

impl Load {
    /// The default load on `target`.
    pub fn new(target: impl Into<Target>) -> Self {
        Self {
            target: target.into(),
            new_connections: 4,
            kept_alive: 8,
            path: "/".into(),
            think: None,
            deadline: Duration::from_secs(10),
            max_duration: Duration::from_secs(120),
            max_requests: 10_000_000,
        }
    }

    /// Starts the clients; the first phase is called `steady`.
    ///
    /// # Panics
    /// When the system refuses a thread.
    #[must_use]
    pub fn start(self) -> Running {
        let shared = Arc::new(Shared::new(&self));
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("load".into())
            .spawn(move || client::run(&self, &theirs))
            .expect("a thread for the load client");
        Running { shared, thread }
    }
}

/// State seen by the test's thread and by the clients.
#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    /// Index into `marks`.
    phase: AtomicUsize,
    marks: Mutex<Vec<(String, Instant)>>,
    begun: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    end: Instant,
    max_requests: u64,
}

impl Shared {
    fn new(load: &Load) -> Self {
        let now = Instant::now();
        Self {
            stop: AtomicBool::new(false),
            phase: AtomicUsize::new(0),
            marks: Mutex::new(vec![("steady".into(), now)]),
            begun: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            end: now + load.max_duration,
            max_requests: load.max_requests,
        }
    }

    /// Takes one request from what is left of the run.
    fn next(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
            && Instant::now() < self.end
            && self.begun.fetch_add(1, Ordering::Relaxed) < self.max_requests
    }
}

/// A load under way.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    thread: JoinHandle<Vec<client::Tally>>,
}

impl Running {
    /// Begins a new phase. A request belongs to the phase in which it ends:
    /// what a disturbance delayed is booked on the disturbance.
    ///
    /// # Panics
    /// When a client has panicked.
    pub fn mark(&self, name: &str) {
        let mut marks = self.shared.marks.lock().expect("no client panics");
        marks.push((name.to_owned(), Instant::now()));
        self.shared.phase.store(marks.len() - 1, Ordering::Relaxed);
    }

    /// Whole, good answers so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Failed requests so far.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }

    /// Whether the run has reached one of its own limits.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Lets the run go on for a time, or until it is over by itself.
    #[expect(clippy::disallowed_methods, reason = "the load's duration is the condition")]
    pub fn run_for(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end && !self.is_over() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the run has reached one of its own limits.
    #[must_use]
    pub fn join(self) -> Report {
        self.collect()
    }

    /// Ends the run: what is in flight is still waited for.
    #[must_use]
    pub fn stop(self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.collect()
    }

    fn collect(self) -> Report {
        let tallies = self.thread.join().expect("the load client does not panic");
        let ended = Instant::now().min(self.shared.end);
        let marks = self.shared.marks.lock().expect("no client panics");
        Report::new(&marks, ended, tallies)
    }
}

#[cfg(test)]
mod tests;
