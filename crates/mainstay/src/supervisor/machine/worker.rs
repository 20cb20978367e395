//! What the machine knows of one worker.

use crate::clock::Mono;
use mainstay_os::child::Ended;
use mainstay_os::signals;
use std::time::Duration;

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Life {
    /// Started, not READY.
    Booting,
    /// Serving since then.
    Ready { since: Mono },
    /// Told to finish, with a deadline after which it is killed.
    Draining { since: Mono, until: Mono },
    /// Told to abort or killed; KILL is sent at `until` unless it was.
    Dying { until: Mono, killed: bool },
}

/// One worker.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Worker {
    /// 0 until the process is started.
    pub(crate) pid: u32,
    pub(crate) generation: u64,
    pub(crate) spawned: Mono,
    pub(crate) life: Life,
    /// Its last sign of life.
    pub(crate) beat: Mono,
    /// To be replaced.
    pub(crate) flagged: bool,
}

/// Why a worker will never be READY.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct BootFailure {
    /// The exit code that the supervisor takes over if the service was never ready: 3 for a worker
    /// that failed to boot, 4 for an application that failed to load.
    pub(crate) code: u8,
    pub(crate) reason: String,
}

impl Worker {
    pub(crate) fn new(generation: u64, now: Mono) -> Worker {
        Worker {
            pid: 0,
            generation,
            spawned: now,
            life: Life::Booting,
            beat: Mono(0),
            flagged: false,
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.life, Life::Ready { .. })
    }

    /// When something must be done about it, if it does nothing itself.
    pub(crate) fn deadline(&self, boot_timeout: Duration) -> Option<Mono> {
        match self.life {
            Life::Booting => Some(self.spawned + boot_timeout),
            Life::Draining { until, .. } | Life::Dying { until, killed: false } => Some(until),
            Life::Ready { .. } | Life::Dying { killed: true, .. } => None,
        }
    }
}

/// How a process ended, in words.
pub(crate) fn describe(ended: Ended) -> String {
    match ended {
        Ended::Code(code) => format!("exited with code {code}"),
        Ended::Signal(signal) => format!("was ended by SIG{}", signals::name_of(signal)),
    }
}
