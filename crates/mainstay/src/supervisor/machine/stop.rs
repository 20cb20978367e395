//! The way out: readiness off → still accepting → sealed and draining → watch → exit.

use super::{ABORT_GRACE, Action, Life, Machine, Worker};
use crate::clock::Mono;
use crate::event::{Event, Time};
use crate::metrics::exits::Exit;
use mainstay_os::signals::Signal;
use std::time::Duration;

/// Watch has this long to write what is left.
const WATCH_GRACE: Duration = Duration::from_secs(5);

/// How far the stop is.
#[derive(Clone, Debug)]
pub(crate) struct Stopping {
    stage: Stage,
    quick: bool,
    code: u8,
    reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not ready any more, still accepting.
    Delay { until: Mono },
    /// Workers finish.
    Workers,
    /// Watch writes what is left.
    Watch { until: Mono },
    /// Nothing runs.
    Gone,
}

impl Stopping {
    pub(crate) fn deadline(&self) -> Option<Mono> {
        match self.stage {
            Stage::Delay { until } | Stage::Watch { until } => Some(until),
            Stage::Workers | Stage::Gone => None,
        }
    }
}

impl Machine {
    /// Whether workers that die are still replaced.
    pub(super) fn serves_on(&self) -> bool {
        self.stopping.as_ref().is_none_or(|stop| matches!(stop.stage, Stage::Delay { .. }))
    }

    pub(super) fn stop(&mut self, quick: bool, now: Mono) {
        if let Some(stop) = &mut self.stopping {
            if quick && !stop.quick {
                stop.quick = true;
                self.report(Event::QuickStop {});
                self.hurry(now);
            }
            return;
        }
        let delay = if quick { Duration::ZERO } else { self.policy.drain_delay };
        self.report(Event::StopBegun { delay: Time(delay) });
        self.begin_stop(delay, quick, 0, None, now);
    }

    /// Ends the service because it cannot serve. The first reason stands.
    pub(super) fn halt(&mut self, code: u8, reason: String, now: Mono) {
        if self.stopping.is_none() {
            self.begin_stop(Duration::ZERO, true, code, Some(reason), now);
        }
    }

    fn begin_stop(
        &mut self,
        delay: Duration,
        quick: bool,
        code: u8,
        reason: Option<String>,
        now: Mono,
    ) {
        // Who dies on the way out is replaced by what has proved itself.
        self.fail_reload("the service is stopping");
        let stage = Stage::Delay { until: now + delay };
        self.stopping = Some(Stopping { stage, quick, code, reason });
    }

    /// Takes the stop one stage further when its time has come.
    pub(super) fn settle_stop(&mut self, now: Mono) {
        let Some(stop) = &self.stopping else { return };
        match stop.stage {
            Stage::Delay { until } if now >= until || stop.quick => {
                self.set_stage(Stage::Workers);
                self.out.push(Action::Seal);
                self.dismiss(now);
                self.settle_stop(now);
            }
            Stage::Workers if self.workers().next().is_none() => {
                self.set_stage(Stage::Watch { until: now + WATCH_GRACE });
                self.out.push(Action::StopWatch);
            }
            Stage::Watch { until } if now >= until => {
                self.out.push(Action::KillWatch);
                self.watch_gone();
            }
            Stage::Delay { .. } | Stage::Workers | Stage::Watch { .. } | Stage::Gone => {}
        }
    }

    pub(super) fn watch_gone(&mut self) {
        let Some(stop) = &self.stopping else { return };
        if matches!(stop.stage, Stage::Watch { .. }) {
            let (code, reason) = (stop.code, stop.reason.clone());
            self.set_stage(Stage::Gone);
            self.out.push(Action::Exit { code, reason });
        }
    }

    fn set_stage(&mut self, stage: Stage) {
        if let Some(stop) = &mut self.stopping {
            stop.stage = stage;
        }
    }

    /// Tells every worker to leave: those that serve drain, those that boot have nothing to lose.
    fn dismiss(&mut self, now: Mono) {
        let quick = self.stopping.as_ref().is_some_and(|stop| stop.quick);
        if quick {
            self.hurry(now);
        }
        let (grace, signal) = if quick {
            (self.policy.quick_grace, Signal::Quit)
        } else {
            (self.policy.grace, Signal::Term)
        };
        for slot in 0..self.workers.len() {
            match self.workers[slot].as_ref().map(|worker| worker.life) {
                Some(Life::Ready { .. }) => {
                    self.set_why(slot, Exit::Shutdown);
                    let until = now + grace + ABORT_GRACE;
                    self.set_life(slot, Life::Draining { since: now, until });
                    self.out.push(Action::Draining { slot });
                    self.out.push(Action::Signal { slot, signal });
                }
                Some(Life::Booting) => {
                    self.set_why(slot, Exit::Shutdown);
                    self.set_life(slot, Life::Dying { until: now + ABORT_GRACE, killed: true });
                    self.out.push(Action::Signal { slot, signal: Signal::Kill });
                }
                Some(Life::Draining { .. } | Life::Dying { .. }) | None => {}
            }
        }
    }

    /// Shortens the grace of workers that drain already.
    fn hurry(&mut self, now: Mono) {
        let limit = now + self.policy.quick_grace + ABORT_GRACE;
        for slot in 0..self.workers.len() {
            let Some(worker) = &self.workers[slot] else { continue };
            if let Worker { life: Life::Draining { since, until }, .. } = *worker {
                self.set_life(slot, Life::Draining { since, until: until.min(limit) });
                self.out.push(Action::Signal { slot, signal: Signal::Quit });
            }
        }
    }

    fn set_life(&mut self, slot: usize, life: Life) {
        if let Some(worker) = self.worker_mut(slot) {
            worker.life = life;
        }
    }
}
