//! What the machine knows of one worker.

use crate::clock::Mono;
use crate::metrics::exits::Exit;
use mainstay_os::child::Ended;
use mainstay_os::signals;
use std::time::Duration;

/// The code of a program that panicked.
const PANIC: i32 = 101;

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
    /// Why it is to leave, once it is. Absent in what programs hand over that do not know it.
    #[serde(default)]
    pub(crate) why: Option<Exit>,
    /// It was told to leave and has not done so in time.
    #[serde(default)]
    pub(crate) is_late: bool,
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
            why: None,
            is_late: false,
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.life, Life::Ready { .. })
    }

    /// Why it has ended, when it has ended like this.
    pub(crate) fn exit(&self, ended: Ended, out_of_memory: bool) -> Exit {
        match (self.life, self.why) {
            (Life::Dying { .. }, _) if self.is_late => Exit::GraceExceeded,
            (Life::Dying { .. }, Some(why)) => why,
            // One that was not told why was told by an earlier program of this process.
            (Life::Draining { .. }, why) if ended == Ended::Code(0) => {
                why.unwrap_or(Exit::Operator)
            }
            (Life::Booting, _) if matches!(ended, Ended::Code(_)) => Exit::BootFailed,
            _ => by_end(ended, out_of_memory),
        }
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

/// Why a process has ended that nobody had told to.
pub(crate) fn by_end(ended: Ended, out_of_memory: bool) -> Exit {
    let signal = match ended {
        Ended::Code(0) => return Exit::CodeZero,
        Ended::Code(PANIC) => return Exit::Panic,
        Ended::Code(_) => return Exit::OtherCode,
        Ended::Signal(signal) => signal,
    };
    match signals::name_of(signal).as_str() {
        "KILL" if out_of_memory => Exit::OutOfMemory,
        "KILL" => Exit::SigKill,
        "ABRT" => Exit::SigAbrt,
        "SEGV" => Exit::SigSegv,
        "BUS" => Exit::SigBus,
        "ILL" => Exit::SigIll,
        "FPE" => Exit::SigFpe,
        _ => Exit::Signal,
    }
}

/// How a process ended, in words.
pub(crate) fn describe(ended: Ended) -> String {
    match ended {
        Ended::Code(code) => format!("exited with code {code}"),
        Ended::Signal(signal) => format!("was ended by SIG{}", signals::name_of(signal)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_an_end_is_what_was_asked_for_or_else_how_it_was() {
        let (now, kill) = (Mono(5), Ended::Signal(signals::Signal::Kill.number()));
        let draining = Life::Draining { since: now, until: now };
        let dying = Life::Dying { until: now, killed: true };
        let exit = |life, why, ended, is_late| {
            Worker { life, why, is_late, ..Worker::new(1, now) }.exit(ended, false).row().name
        };
        let ready = Life::Ready { since: now };
        let asked = Some(Exit::MaxRequests);
        assert_eq!(exit(draining, asked, Ended::Code(0), false), "max_requests");
        assert_eq!(exit(draining, asked, kill, false), "sigkill", "it was to leave by itself");
        assert_eq!(exit(draining, asked, Ended::Code(3), false), "exit_code");
        assert_eq!(exit(ready, asked, kill, false), "sigkill");
        assert_eq!(exit(dying, asked, kill, true), "grace_exceeded");
        assert_eq!(exit(dying, Some(Exit::Timeout), Ended::Signal(6), false), "timeout");
        assert_eq!(exit(Life::Booting, None, Ended::Code(7), false), "boot_failed");
        assert_eq!(exit(Life::Booting, None, Ended::Signal(11), false), "sigsegv");
        assert_eq!(exit(ready, None, Ended::Code(101), false), "panic");
        assert_eq!(exit(ready, None, Ended::Code(0), false), "exit_0");
        assert_eq!(exit(ready, None, Ended::Signal(31), false), "signal");
        assert_eq!(by_end(kill, true).row().name, "oom");
        assert!(Exit::MaxRequests.row().planned && !Exit::GraceExceeded.row().planned);
    }
}
