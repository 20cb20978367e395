//! The supervisor's decisions, pure: `(input, now) → actions`. No clock, no process, no file.
//!
//! The heart is [`Machine::settle`]: after every input it compares what runs with what should run
//! and takes the next step. Reload, recycling, scaling and crash recovery are therefore one
//! mechanism: *fill up what is missing; replace what is flagged by booting one more first; drain
//! what is too much.* Nothing is drained while fewer than the target are ready.

mod backoff;
mod messages;
mod reload;
#[cfg(test)]
mod simulation;
mod stop;
mod worker;

pub(crate) use messages::{Action, Input, Memory, Policy};
pub(crate) use stop::Stopping;
pub(crate) use worker::{BootFailure, Life, Worker, describe};

use crate::clock::Mono;
use crate::event::{Event, Mib, Time};
use crate::health::State;
use crate::health::state::{Check, Outcome, Thresholds};
use crate::metrics::exits::Exit;
use backoff::Backoff;
use mainstay_os::child::Ended;
use mainstay_os::signals::Signal;
use reload::Reload;
use std::time::Duration;

/// After ABRT a worker has this long until KILL; after its grace, as long again.
pub(crate) const ABORT_GRACE: Duration = Duration::from_secs(1);

/// The supervisor's mind.
#[derive(Debug)]
pub(crate) struct Machine {
    policy: Policy,
    workers: Vec<Option<Worker>>,
    /// The generation that should serve.
    generation: u64,
    /// The highest number given to a generation, failed ones included.
    last_generation: u64,
    reload: Option<Reload>,
    backoff: Backoff,
    ever_ready: bool,
    stopping: Option<Stopping>,
    progress: Check,
    state: State,
    told_no_slot: bool,
    out: Vec<Action>,
}

impl Machine {
    /// A machine that has `slots` worker slots and nothing running.
    pub(crate) fn new(policy: Policy, slots: usize) -> Machine {
        let thresholds =
            Thresholds { fall_hard: 2, fall_timeout: 3, rise: 1, stale: Duration::from_secs(15) };
        Machine {
            policy,
            workers: vec![None; slots],
            generation: 1,
            last_generation: 1,
            reload: None,
            backoff: Backoff::default(),
            ever_ready: false,
            stopping: None,
            progress: Check::new(thresholds),
            state: State::Starting,
            told_no_slot: false,
            out: Vec::new(),
        }
    }

    /// Takes up what an earlier program of this process had running.
    pub(crate) fn resume(&mut self, memory: &Memory, workers: Vec<(usize, Worker)>) {
        self.generation = memory.generation;
        self.last_generation = memory.last_generation;
        self.policy.target = memory.target;
        self.ever_ready = memory.ever_ready;
        self.backoff = memory.backoff;
        self.state = State::from_word(memory.state);
        for (slot, worker) in workers {
            if let Some(place) = self.workers.get_mut(slot) {
                *place = Some(worker);
            }
        }
    }

    /// What [`Machine::resume`] needs of this one, besides its workers.
    pub(crate) fn memory(&self) -> Memory {
        Memory {
            generation: self.generation,
            last_generation: self.last_generation,
            target: self.policy.target,
            ever_ready: self.ever_ready,
            backoff: self.backoff,
            state: self.state as u64,
        }
    }

    /// Whether the service answers for itself.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Takes in one input and returns what to do, in order.
    pub(crate) fn handle(&mut self, input: Input, now: Mono) -> Vec<Action> {
        self.apply(input, now);
        self.check_times(now);
        if self.stopping.is_some() {
            // Not ready before anything is closed.
            self.judge(now);
        }
        self.settle(now);
        self.judge(now);
        std::mem::take(&mut self.out)
    }

    fn apply(&mut self, input: Input, now: Mono) {
        match input {
            Input::Tick => {}
            Input::Started { slot, pid } => self.started(slot, pid),
            Input::SpawnFailed { slot, reason } => {
                let failure = BootFailure { code: 3, reason };
                self.boot_failed(slot, failure, now);
                self.forget(slot);
            }
            Input::Ready { slot } => self.ready(slot, now),
            Input::BootFailed { slot, failure } => self.boot_failed(slot, failure, now),
            Input::WantsRecycle { slot, reason, why } => self.flag(slot, reason, why),
            Input::Observed { slot, beat, rss } => self.observed(slot, beat, rss, now),
            Input::Observation => self.note_stall(now),
            Input::Exited { slot, ended } => self.exited(slot, ended, now),
            Input::Reload { policy } => self.begin_reload(policy, now),
            Input::Resize { target } => self.resize(target),
            Input::Recycle { slot: Some(slot), reason } => {
                self.flag(slot, reason, Exit::Operator);
            }
            Input::Recycle { slot: None, reason } => {
                let all = 0..self.workers.len();
                all.for_each(|slot| self.flag(slot, reason.clone(), Exit::Operator));
            }
            Input::Stop { quick } => self.stop(quick, now),
            Input::WatchGone => self.watch_gone(),
        }
    }

    // === what a worker does ===

    fn started(&mut self, slot: usize, pid: u32) {
        if let Some(worker) = self.worker_mut(slot) {
            worker.pid = pid;
            let generation = worker.generation;
            self.report(Event::WorkerBooting { pid, slot, generation });
        }
    }

    fn ready(&mut self, slot: usize, now: Mono) {
        let Some(worker) = self.worker_mut(slot) else { return };
        if worker.life != Life::Booting {
            return;
        }
        worker.life = Life::Ready { since: now };
        worker.beat = now;
        let (pid, generation, boot) = (worker.pid, worker.generation, now.since(worker.spawned));
        self.ever_ready = true;
        self.progress.observe(Outcome::Ok, now);
        self.report(Event::WorkerReady { pid, boot: Time(boot), generation });
    }

    fn boot_failed(&mut self, slot: usize, failure: BootFailure, now: Mono) {
        let Some(worker) = self.worker_mut(slot) else { return };
        if worker.life != Life::Booting {
            return;
        }
        let (pid, generation) = (worker.pid, worker.generation);
        // The process is on its way out; should it hang there, KILL follows.
        worker.why = Some(Exit::BootFailed);
        worker.life = Life::Dying { until: now + ABORT_GRACE, killed: false };
        self.report(Event::WorkerBootFailed { pid, reason: failure.reason.clone() });
        if !self.serves_on() {
            return;
        }
        if self.reload.is_some() && generation == self.generation {
            self.fail_reload(&failure.reason);
        } else if self.ever_ready {
            self.died_young(now);
        } else {
            self.halt(failure.code, failure.reason, now);
        }
    }

    fn exited(&mut self, slot: usize, ended: Ended, now: Mono) {
        let Some(worker) = self.worker_mut(slot) else { return };
        let life = worker.life;
        if life == Life::Booting {
            let code = if ended == Ended::Code(4) { 4 } else { 3 };
            let reason = format!("{} before it was ready", worker::describe(ended));
            self.boot_failed(slot, BootFailure { code, reason }, now);
        } else if let Life::Ready { since } = life
            && self.serves_on()
            && now.since(since) < backoff::YOUNG
        {
            let how = worker::describe(ended);
            self.died_after_ready(slot, &format!("{how} just after it was ready"), now);
        }
        self.forget(slot);
    }

    fn observed(&mut self, slot: usize, beat: Mono, rss: u64, now: Mono) {
        let Some(worker) = self.worker_mut(slot) else { return };
        worker.beat = worker.beat.max(beat);
        let (life, silent) = (worker.life, now.since(worker.beat));
        let serves = matches!(life, Life::Ready { .. } | Life::Draining { .. });
        if serves && self.policy.heartbeat_timeout.is_some_and(|limit| silent > limit) {
            return self.timed_out(slot, silent, now);
        }
        let Life::Ready { since } = life else { return };
        let age = now.since(since);
        if self.policy.lifetime.is_some_and(|limit| age > limit) {
            self.flag(slot, format!("lifetime {} reached", Time(age)), Exit::MaxLifetime);
        } else if self.policy.max_rss.is_some_and(|limit| rss > limit) {
            let reason = format!("resident memory {} reached", Mib(rss));
            self.flag(slot, reason, Exit::MemoryLimit);
        }
    }

    fn timed_out(&mut self, slot: usize, silent: Duration, now: Mono) {
        let Some(worker) = self.worker_mut(slot) else { return };
        let pid = worker.pid;
        worker.why = Some(Exit::Timeout);
        worker.life = Life::Dying { until: now + ABORT_GRACE, killed: false };
        self.report(Event::WorkerTimeout { pid, silent: Time(silent) });
        self.out.push(Action::TellInFlight { slot });
        self.send(slot, Signal::Abrt, "no progress");
    }

    fn flag(&mut self, slot: usize, reason: String, why: Exit) {
        let Some(worker) = self.worker_mut(slot) else { return };
        if worker.flagged || !worker.is_ready() {
            return;
        }
        worker.flagged = true;
        worker.why = Some(why);
        let pid = worker.pid;
        self.report(Event::Recycling { pid, reason });
    }

    /// New code that dies as soon as it serves has not proved itself either.
    fn died_after_ready(&mut self, slot: usize, how: &str, now: Mono) {
        let is_new = self.worker(slot).is_some_and(|w| w.generation == self.generation);
        if self.reload.is_some() && is_new {
            self.fail_reload(how);
        } else {
            self.died_young(now);
        }
    }

    fn died_young(&mut self, now: Mono) {
        let (deaths, delay) = self.backoff.death(now);
        if !delay.is_zero() {
            self.report(Event::CrashLoop { deaths, delay: Time(delay) });
        }
    }

    // === what an operator does ===

    fn resize(&mut self, target: usize) {
        // One slot must stay free for the next replacement.
        let target = target.clamp(1, (self.workers.len() - 1).max(1));
        if target != self.policy.target {
            self.policy.target = target;
            self.report(Event::WorkersChanged { count: target });
        }
    }

    // === what time does ===

    /// When the machine wants to be asked again, if nothing happens before.
    pub(crate) fn deadline(&self, now: Mono) -> Option<Mono> {
        let workers = self.workers.iter().flatten();
        let lives = workers.filter_map(|worker| worker.deadline(self.policy.boot_timeout));
        let wants = self.serves_on() && (self.missing() > 0 || self.wants_replacement());
        // A wait that is over and still not used waits for an event, not for a time.
        let waits = self.backoff.until().filter(|until| wants && *until > now);
        let stop = self.stopping.as_ref().and_then(Stopping::deadline);
        lives.chain(waits).chain(stop).min()
    }

    fn check_times(&mut self, now: Mono) {
        for slot in 0..self.workers.len() {
            let Some(worker) = &self.workers[slot] else { continue };
            if worker.deadline(self.policy.boot_timeout).is_none_or(|deadline| now < deadline) {
                continue;
            }
            match worker.life {
                Life::Booting => {
                    let limit = Time(self.policy.boot_timeout);
                    let reason = format!("not ready within the boot timeout of {limit}");
                    self.boot_failed(slot, BootFailure { code: 3, reason }, now);
                    self.set_why(slot, Exit::BootTimeout);
                    self.kill(slot, "boot timeout", now);
                }
                Life::Draining { .. } => {
                    self.out.push(Action::TellInFlight { slot });
                    self.kill(slot, "grace is over", now);
                    if let Some(worker) = self.worker_mut(slot) {
                        worker.is_late = true;
                    }
                }
                Life::Dying { killed: false, .. } => self.kill(slot, "it did not leave", now),
                Life::Dying { killed: true, .. } | Life::Ready { .. } => {}
            }
        }
        let steady = self.workers.iter().flatten().any(|worker| {
            matches!(worker.life, Life::Ready { since } if self.backoff.is_over(since, now))
        });
        if steady {
            self.backoff = Backoff::default();
        }
    }

    // === the one rule ===

    fn settle(&mut self, now: Mono) {
        self.settle_stop(now);
        if !self.serves_on() {
            return;
        }
        let missing = self.missing();
        let allowed = self.backoff.allows(now);
        if allowed && missing > 0 {
            // After a death in youth the next one starts only when the last one is up.
            let booting = self.count(|worker| worker.life == Life::Booting);
            let at_once =
                if self.backoff.is_calm() { missing } else { 1_usize.saturating_sub(booting) };
            (0..at_once).for_each(|_| self.spawn(now));
        } else if allowed && self.wants_replacement() && self.stopping.is_none() {
            self.spawn(now);
        }
        while self.count(Worker::is_ready) > self.policy.target {
            let Some(slot) = self.victim() else { break };
            self.drain(slot, now);
        }
        self.finish_reload(now);
    }

    /// How many ready or booting workers are missing.
    fn missing(&self) -> usize {
        let there = self.count(|worker| worker.is_ready() || worker.life == Life::Booting);
        self.policy.target.saturating_sub(there)
    }

    fn wants_replacement(&self) -> bool {
        let booting = self.count(|worker| worker.life == Life::Booting);
        booting == 0
            && self.missing() == 0
            && self.count(Worker::is_ready) <= self.policy.target
            && self.count(|worker| worker.is_ready() && self.is_outdated(worker)) > 0
    }

    fn is_outdated(&self, worker: &Worker) -> bool {
        worker.flagged || worker.generation != self.generation
    }

    /// Whom to drain when one is too many: who is outdated, and of those the oldest.
    fn victim(&self) -> Option<usize> {
        let ready = self.workers.iter().enumerate().filter_map(|(slot, worker)| {
            worker.as_ref().filter(|worker| worker.is_ready()).map(|worker| (slot, worker))
        });
        ready.min_by_key(|(_, w)| (!self.is_outdated(w), w.spawned)).map(|(slot, _)| slot)
    }

    fn spawn(&mut self, now: Mono) {
        let Some(slot) = self.workers.iter().position(Option::is_none) else {
            if !std::mem::replace(&mut self.told_no_slot, true) {
                self.report(Event::NoSlot { slots: self.workers.len() });
            }
            return;
        };
        self.told_no_slot = false;
        self.workers[slot] = Some(Worker::new(self.generation, now));
        self.out.push(Action::Spawn { slot, generation: self.generation });
    }

    fn drain(&mut self, slot: usize, now: Mono) {
        let until = now + self.policy.grace + ABORT_GRACE;
        let generation = self.generation;
        let Some(worker) = self.worker_mut(slot) else { return };
        let is_old = worker.generation != generation;
        worker.why.get_or_insert(if is_old { Exit::Reload } else { Exit::ScaleDown });
        worker.life = Life::Draining { since: now, until };
        self.out.push(Action::Draining { slot });
        self.out.push(Action::Signal { slot, signal: Signal::Term });
    }

    /// Follows the health state from what is ready and whether it makes progress.
    fn judge(&mut self, now: Mono) {
        let ready = self.count(Worker::is_ready);
        if ready > 0 && self.fresh(now) > 0 {
            self.progress.observe(Outcome::Ok, now);
        }
        let (state, why) = if self.stopping.is_some() {
            (State::Draining, "stopping".into())
        } else if !self.ever_ready {
            (State::Starting, String::new())
        } else if ready == 0 {
            (State::Degraded, "no worker is ready".into())
        } else if !self.progress.is_healthy(now) {
            (State::Degraded, "no worker makes progress".into())
        } else {
            (State::Ready, format!("workers ready: {ready}"))
        };
        if state != self.state {
            let from = std::mem::replace(&mut self.state, state).as_str();
            self.report(Event::StateChanged { from, to: state.as_str(), why });
            self.out.push(Action::State(state));
        }
    }

    /// The end of an observation round: when no ready worker makes progress, that is one failure.
    fn note_stall(&mut self, now: Mono) {
        if self.count(Worker::is_ready) > 0 && self.fresh(now) == 0 {
            self.progress.observe(Outcome::Timeout, now);
        }
    }

    /// Ready workers that make progress.
    fn fresh(&self, now: Mono) -> usize {
        self.count(|w| w.is_ready() && now.since(w.beat) <= self.policy.stale_after)
    }

    // === small things ===

    fn worker_mut(&mut self, slot: usize) -> Option<&mut Worker> {
        self.workers.get_mut(slot).and_then(Option::as_mut)
    }

    /// The worker in `slot`.
    pub(crate) fn worker(&self, slot: usize) -> Option<&Worker> {
        self.workers.get(slot).and_then(Option::as_ref)
    }

    /// All workers with their slots.
    pub(crate) fn workers(&self) -> impl Iterator<Item = (usize, &Worker)> {
        self.workers.iter().enumerate().filter_map(|(slot, w)| w.as_ref().map(|w| (slot, w)))
    }

    /// The generation that should serve, and how many workers of it.
    pub(crate) fn wanted(&self) -> (u64, usize) {
        (self.generation, self.policy.target)
    }

    /// The number that the next reload's generation gets.
    pub(crate) fn next_generation(&self) -> u64 {
        self.last_generation + 1
    }

    /// Whether there is something to show for: a worker that makes progress, or none expected.
    pub(crate) fn makes_progress(&self, now: Mono) -> bool {
        !self.ever_ready || self.stopping.is_some() || self.fresh(now) > 0
    }

    /// A reload is on its way.
    pub(crate) fn is_reloading(&self) -> bool {
        self.reload.is_some()
    }

    /// Why the worker in `slot`, which has ended like this, has done so, and whether another one takes
    /// its place.
    pub(crate) fn exit(&self, slot: usize, ended: Ended, out_of_memory: bool) -> (Exit, bool) {
        let exit = match self.worker(slot) {
            Some(worker) => worker.exit(ended, out_of_memory),
            None => worker::by_end(ended, out_of_memory),
        };
        let is_surplus = self.worker(slot).is_some_and(|it| it.why == Some(Exit::ScaleDown));
        (exit, self.serves_on() && !is_surplus)
    }

    /// The service is on its way out.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    fn count(&self, which: impl Fn(&Worker) -> bool) -> usize {
        self.workers.iter().flatten().filter(|worker| which(worker)).count()
    }

    fn set_why(&mut self, slot: usize, why: Exit) {
        if let Some(worker) = self.worker_mut(slot) {
            worker.why = Some(why);
        }
    }

    fn forget(&mut self, slot: usize) {
        if let Some(place) = self.workers.get_mut(slot) {
            *place = None;
        }
    }

    fn report(&mut self, event: Event) {
        self.out.push(Action::Report(event));
    }

    fn send(&mut self, slot: usize, signal: Signal, why: &str) {
        let Some(worker) = self.worker(slot) else { return };
        let (pid, why) = (worker.pid, why.to_owned());
        self.report(Event::WorkerSignalled { pid, signal: signal.name(), why });
        self.out.push(Action::Signal { slot, signal });
    }

    fn kill(&mut self, slot: usize, why: &str, now: Mono) {
        if let Some(worker) = self.worker_mut(slot) {
            worker.life = Life::Dying { until: now + ABORT_GRACE, killed: true };
        }
        self.send(slot, Signal::Kill, why);
    }
}
