//! What goes into the machine, and what comes out.

use super::BootFailure;
use super::backoff::Backoff;
use crate::clock::Mono;
use crate::event::Event;
use crate::health::State;
use crate::metrics::exits::Exit;
use mainstay_os::child::Ended;
use mainstay_os::signals::Signal;
use std::time::Duration;

/// What the configuration says to the machine. Times of `None` mean never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Workers that should be ready.
    pub(crate) target: usize,
    /// From start to READY.
    pub(crate) boot_timeout: Duration,
    /// Longest silence of a worker.
    pub(crate) heartbeat_timeout: Option<Duration>,
    /// Time a draining worker has.
    pub(crate) grace: Duration,
    /// The same after INT or QUIT.
    pub(crate) quick_grace: Duration,
    /// Age at which a worker is replaced.
    pub(crate) lifetime: Option<Duration>,
    /// Resident bytes at which a worker is replaced.
    pub(crate) max_rss: Option<u64>,
    /// From TERM until connections are no longer accepted.
    pub(crate) drain_delay: Duration,
    /// A heartbeat older than this is no progress.
    pub(crate) stale_after: Duration,
}

/// What a machine remembers over an upgrade.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Memory {
    pub(crate) generation: u64,
    pub(crate) last_generation: u64,
    pub(crate) target: usize,
    pub(crate) ever_ready: bool,
    pub(crate) backoff: Backoff,
    pub(crate) state: u64,
}

/// What happens to the machine.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// Time passed; [`Machine::deadline`] says when this is wanted at the latest.
    Tick,
    /// A [`Action::Spawn`] was carried out.
    Started { slot: usize, pid: u32 },
    /// A [`Action::Spawn`] could not be carried out.
    SpawnFailed { slot: usize, reason: String },
    /// The worker says READY.
    Ready { slot: usize },
    /// The worker says why it will not be.
    BootFailed { slot: usize, failure: BootFailure },
    /// The worker wants to be replaced.
    WantsRecycle { slot: usize, reason: String, why: Exit },
    /// The worker's sign of life and memory, as read from its slot.
    Observed { slot: usize, beat: Mono, rss: u64 },
    /// All workers have been observed once more.
    Observation,
    /// The worker is gone and reaped.
    Exited { slot: usize, ended: Ended },
    /// Run the program on disk under this policy as a new generation.
    Reload { policy: Policy },
    /// Have this many workers.
    Resize { target: usize },
    /// Replace the worker in this slot, or all.
    Recycle { slot: Option<usize>, reason: String },
    /// End the service: gracefully, or quickly.
    Stop { quick: bool },
    /// Watch is gone (or was never there).
    WatchGone,
}

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Start a worker of `generation` in `slot`; answered by `Started` or `SpawnFailed`.
    Spawn { slot: usize, generation: u64 },
    /// Send a worker a signal.
    Signal { slot: usize, signal: Signal },
    /// Tell of the requests that the worker has in flight.
    TellInFlight { slot: usize },
    /// The slot's worker is draining; the segment should say so.
    Draining { slot: usize },
    /// Tell of something.
    Report(Event),
    /// The service's state changed.
    State(State),
    /// A generation serves alone from now on.
    Generation(u64),
    /// A reload ended: with the new generation, or with the reason why not.
    ReloadEnded(Result<u64, String>),
    /// Let nobody new connect; workers will empty the queues.
    Seal,
    /// Let watch write what is left, and end.
    StopWatch,
    /// End watch at once.
    KillWatch,
    /// Leave with this code.
    Exit { code: u8, reason: Option<String> },
}
