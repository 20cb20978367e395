//! The answer of `status --json`, as far as the scenarios read it.

use rustix::process::Pid;
use serde_json::Value;

/// One worker's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRow {
    /// Process id.
    pub pid: u32,
    /// Generation of its program and configuration.
    pub generation: u64,
    /// `booting`, `ready`, `draining` or `dying`.
    pub state: String,
    /// Requests under way.
    pub in_flight: u64,
    /// Open connections.
    pub connections: u64,
    /// Requests served by this process.
    pub requests: u64,
}

/// The service's own account of itself.
#[derive(Debug, Clone)]
pub struct Status {
    /// Current generation.
    pub generation: u64,
    /// All workers, in any state.
    pub workers: Vec<WorkerRow>,
    /// The whole answer.
    pub json: Value,
}

impl Status {
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let json: Value = serde_json::from_slice(text).ok()?;
        let workers = json.get("workers")?.as_array()?.iter().map(row).collect::<Option<_>>()?;
        Some(Self { generation: json.get("generation")?.as_u64()?, workers, json })
    }

    /// How many workers are ready.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.workers.iter().filter(|worker| worker.state == "ready").count()
    }

    /// Process ids of the ready workers, ascending.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let ready = self.workers.iter().filter(|worker| worker.state == "ready");
        let mut pids: Vec<_> = ready.map(|worker| worker.pid).collect();
        pids.sort_unstable();
        pids
    }

    /// Whether this process id is among the workers, in any state.
    #[must_use]
    pub fn has(&self, pid: u32) -> bool {
        self.workers.iter().any(|worker| worker.pid == pid)
    }

    /// Whether all workers are ready and of the current generation.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.workers.iter().all(|w| w.state == "ready" && w.generation == self.generation)
    }

    /// The total of a counter over all processes that ever were, by its name without the
    /// `mainstay_` before it and the `_total` behind it.
    ///
    /// # Panics
    /// When there is no such counter.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        let counters = self.json.get("counters");
        let found = counters.and_then(|all| all.get(format!("mainstay_{name}_total"))?.as_u64());
        found.unwrap_or_else(|| panic!("no counter {name} in {:#}", self.json))
    }

    /// Process id of the watch process.
    #[must_use]
    pub fn watch(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.json.get("watch_pid")?.as_u64()?).ok()?)
    }
}

fn row(value: &Value) -> Option<WorkerRow> {
    let number = |key: &str| value.get(key)?.as_u64();
    Some(WorkerRow {
        pid: u32::try_from(number("pid")?).ok()?,
        generation: number("generation")?,
        state: value.get("state")?.as_str()?.to_owned(),
        in_flight: number("in_flight")?,
        connections: number("connections")?,
        requests: number("requests")?,
    })
}
