//! The clients themselves: tasks of one current-thread runtime.

use super::failure::Failure;
use super::stream::Connection;
use super::wire::Head;
use super::{Load, Shared};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;

/// How many failures are kept with their circumstances.
const MAX_NOTES: usize = 20;

/// How long a client waits for the server to close first.
const CLOSE_WAIT: Duration = Duration::from_millis(200);

/// Raw results of one phase.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Latency of each good answer in microseconds, in order of arrival.
    pub(crate) latencies: Vec<u32>,
    pub(crate) failures: BTreeMap<Failure, u64>,
    pub(crate) workers: BTreeMap<u32, u64>,
    /// Moment of the end, age, kind of client, class.
    pub(crate) notes: Vec<(Instant, Duration, &'static str, Failure)>,
}

type Tallies = Rc<RefCell<Vec<Tally>>>;

/// Runs all clients to their end; one tally for each phase.
pub(crate) fn run(load: &Load, shared: &Arc<Shared>) -> Vec<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the load client");
    let tallies = Tallies::default();
    let tasks = LocalSet::new();
    for number in 0..load.new_connections + load.kept_alive {
        let client = Client {
            load: load.clone(),
            shared: Arc::clone(shared),
            tallies: Rc::clone(&tallies),
            kept: number >= load.new_connections,
        };
        tasks.spawn_local(client.run());
    }
    runtime.block_on(tasks);
    tallies.take()
}

struct Client {
    load: Load,
    shared: Arc<Shared>,
    tallies: Tallies,
    /// Keeps its connection, instead of a new one for each request.
    kept: bool,
}

impl Client {
    async fn run(self) {
        let request = request(&self.load.path, self.kept);
        let mut connection = None;
        while self.shared.next() {
            let begun = Instant::now();
            let attempt = self.attempt(&mut connection, &request);
            let outcome = match tokio::time::timeout(self.load.deadline, attempt).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Failure::Timeout),
            };
            self.note(begun, outcome);
            let keep = self.kept && outcome.is_ok_and(|head| !head.close);
            if !keep
                && let Some(old) = connection.take()
                && outcome.is_ok()
            {
                old.wait_closed(CLOSE_WAIT).await;
            }
            match self.load.think {
                Some(think) => tokio::time::sleep(think).await,
                // A refusal is quick: without a pause it would be a busy loop.
                None if outcome.is_err() => tokio::time::sleep(Duration::from_millis(1)).await,
                None => {}
            }
        }
    }

    async fn attempt(
        &self,
        connection: &mut Option<Connection>,
        request: &[u8],
    ) -> Result<Head, Failure> {
        let open = match connection {
            Some(open) => open,
            None => connection.insert(Connection::open(&self.load.target, false).await?),
        };
        open.exchange(request).await
    }

    fn note(&self, begun: Instant, outcome: Result<Head, Failure>) {
        let now = Instant::now();
        let took = now - begun;
        let phase = self.shared.phase.load(Ordering::Relaxed);
        let mut tallies = self.tallies.borrow_mut();
        if tallies.len() <= phase {
            tallies.resize_with(phase + 1, Tally::default);
        }
        let tally = &mut tallies[phase];
        let failure = match outcome {
            Ok(head) if (200..300).contains(&head.status) => {
                tally.latencies.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
                if let Some(pid) = head.worker {
                    *tally.workers.entry(pid).or_default() += 1;
                }
                self.shared.answered.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Ok(head) => Failure::BadStatus(head.status),
            Err(failure) => failure,
        };
        self.shared.failed.fetch_add(1, Ordering::Relaxed);
        *tally.failures.entry(failure).or_default() += 1;
        if tally.notes.len() < MAX_NOTES {
            let kind = if self.kept { "kept-alive" } else { "new connection" };
            tally.notes.push((now, took, kind, failure));
        }
    }
}

/// A GET of `path`; a client of single requests says that it will not come back.
pub(crate) fn request(path: &str, keep: bool) -> Vec<u8> {
    let close = if keep { "" } else { "Connection: close\r\n" };
    format!("GET {path} HTTP/1.1\r\nHost: e2e\r\n{close}\r\n").into_bytes()
}
