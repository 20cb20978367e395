//! Making a check: under its deadline, with its lease, and with a line of the log when it changes what
//! is thought of its thing.

use super::checks::{Change, Checkpoint, wanted};
use super::reason::Reason;
use crate::clock;
use crate::event::{Event, Time};
use crate::log::Log;
use crate::panics;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

/// What a check has found, with what the other side said about it: for the log alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) reason: Reason,
    pub(crate) text: String,
}

impl Finding {
    /// A finding with some words.
    pub(crate) fn new(reason: Reason, text: impl Into<String>) -> Finding {
        Finding { reason, text: text.into() }
    }

    /// All is well.
    pub(crate) const WELL: Finding = Finding { reason: Reason::Ok, text: String::new() };
}

/// Who makes checks: one process.
#[derive(Clone, Debug)]
pub(crate) struct Prober {
    log: Log,
    /// The generation whose checks it makes; none for the one that serves.
    generation: Option<u64>,
}

impl Prober {
    pub(crate) fn new(log: Log, generation: u64) -> Prober {
        Prober { log, generation: Some(generation) }
    }

    /// One that makes the checks of whichever generation serves.
    #[cfg(feature = "database")]
    pub(crate) fn of_service(log: Log) -> Prober {
        Prober { log, generation: None }
    }

    /// The checks that its generation wants.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = Checkpoint<'_>> {
        let serving = || self.log.segment().header().generation();
        wanted(self.log.segment(), self.generation.unwrap_or_else(serving))
    }

    fn checkpoint(&self, index: usize) -> Option<Checkpoint<'_>> {
        self.wanted().find(|check| check.index == index)
    }

    /// Takes it upon this process to make a check now.
    pub(crate) fn begin(&self, check: &Checkpoint<'_>) -> bool {
        check.begin(self.log.slot_index(), clock::mono())
    }

    /// Makes the check whose lease this process has, and writes down what came of it.
    pub(crate) async fn make(&self, index: usize, work: impl Future<Output = Finding>) {
        let began = clock::mono();
        let Some(deadline) = self.checkpoint(index).map(|check| check.nature.deadline) else {
            return;
        };
        let finding = match tokio::time::timeout(deadline, guarded(work)).await {
            Ok(finding) => finding,
            Err(_elapsed) => {
                Finding::new(Reason::Timeout, format!("no answer in {}", Time(deadline)))
            }
        };
        let Some(check) = self.checkpoint(index) else { return };
        let holder = self.log.slot_index();
        if let Some(change) = check.finish(holder, began, clock::mono(), finding.reason) {
            self.tell(&check, change, finding);
        }
    }

    /// Notes what was found without having been asked for, such as by the first connection.
    #[cfg_attr(not(feature = "database"), allow(dead_code, reason = "databases are met at once"))]
    pub(crate) fn note(&self, index: usize, finding: Finding) {
        let Some(check) = self.checkpoint(index) else { return };
        let now = clock::mono();
        if let Some(change) = check.finish(self.log.slot_index(), now, now, finding.reason) {
            self.tell(&check, change, finding);
        }
    }

    fn tell(&self, check: &Checkpoint<'_>, change: Change, finding: Finding) {
        let name = check.name();
        let reason = match finding.text {
            text if text.is_empty() => finding.reason.as_str().to_owned(),
            text => format!("{} ({text})", finding.reason.as_str()),
        };
        self.log.event(&match (change.healthy, check.nature.critical) {
            (true, _) => {
                Event::CheckRecovered { name, after: Time(change.after.unwrap_or_default()) }
            }
            (false, true) => Event::CheckFailed { name, reason },
            (false, false) => Event::OptionalCheckFailed { name, reason },
        });
    }
}

/// A panic in a check is a finding.
async fn guarded(work: impl Future<Output = Finding>) -> Finding {
    let mut work = pin!(work);
    std::future::poll_fn(|cx: &mut Context<'_>| {
        let work: Pin<&mut _> = work.as_mut();
        panics::caught(|| work.poll(cx))
            .unwrap_or_else(|panic| Poll::Ready(Finding::new(Reason::Panicked, panic.to_string())))
    })
    .await
}
