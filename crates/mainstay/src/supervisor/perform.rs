//! Carrying out what the machine wants.

use super::machine::{Action, Input};
use super::run::Supervisor;
use crate::clock;
use crate::event::Event;
use crate::health::State;
use mainstay_os::segment::Phase;
use mainstay_os::signals::Signal;
use std::collections::VecDeque;

impl Supervisor {
    /// Tells the machine something and does what it says, until it says nothing more.
    pub(crate) fn feed(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for action in self.machine.handle(input, clock::mono()) {
                inputs.extend(self.perform(action));
            }
        }
        let (_, target) = self.machine.wanted();
        self.log.segment().header().set_target(target as u64);
    }

    fn perform(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::Spawn { slot, generation } => return Some(self.spawn_worker(slot, generation)),
            Action::Signal { slot, signal } => self.signal_worker(slot, signal),
            Action::TellInFlight { slot } => self.tell_in_flight(slot),
            Action::Draining { slot } => {
                if let Some(view) = self.log.segment().slot(slot) {
                    view.set_phase(Phase::Draining);
                }
            }
            Action::Report(event) => self.report(&event),
            Action::State(state) => self.enter(state),
            Action::Generation(generation) => {
                let header = self.log.segment().header();
                header.set_generation(generation);
                header.set_generation_since(clock::wall());
                // Nobody boots an older program any more.
                self.programs.retain(|number, _| *number >= generation);
            }
            Action::ReloadEnded(result) => self.end_reload(&result),
            Action::Seal => self.seal(),
            Action::StopWatch => return self.stop_watch(),
            Action::KillWatch => self.kill_watch(),
            Action::Exit { code, reason } => self.exit = Some((code, reason)),
        }
        None
    }

    fn signal_worker(&mut self, slot: usize, signal: Signal) {
        let Some(process) = &self.slots[slot] else { return };
        if matches!(signal, Signal::Abrt | Signal::Kill)
            && let Some(view) = self.log.segment().slot(slot)
        {
            view.set_phase(Phase::Dying);
        }
        if let Err(error) = process.child.signal(signal) {
            let reason = format!("signal {}: {error}", signal.name());
            self.report(&Event::SpawnFailed { what: "a signal", reason });
        }
    }

    fn enter(&mut self, state: State) {
        let header = self.log.segment().header();
        header.set_state(state as u64);
        match state {
            State::Draining => {
                header.set_draining_since(clock::mono().0);
                self.tell_manager("STOPPING=1");
            }
            State::Ready => {
                if !self.machine.is_reloading() {
                    self.tell_manager("READY=1");
                }
                // What read the configuration is not needed while nothing changes; failing to say
                // so costs some memory.
                mainstay_os::memory::forget_code().ok();
            }
            State::Starting | State::Degraded | State::Stopped => {}
        }
    }

    /// Tells the service manager.
    pub(crate) fn tell_manager(&self, state: &str) {
        if let Err(error) = self.notifier.tell(state) {
            self.report(&Event::NotifyFailed { reason: error.to_string() });
        }
    }

    fn seal(&self) {
        let header = self.log.segment().header();
        if header.draining_since() == 0 {
            header.set_draining_since(clock::mono().0);
        }
        let mut sealed = 0;
        for listener in self.listeners.iter().filter(|listener| !listener.inherited) {
            match listener.seal() {
                Ok(()) => sealed += 1,
                Err(error) => self.report(&Event::SealFailed {
                    listener: listener.shown.clone(),
                    reason: error.to_string(),
                }),
            }
        }
        self.report(&Event::Sealed { listeners: sealed });
    }

    /// The first lines of the log.
    pub(crate) fn announce(&mut self) {
        let pid = std::process::id();
        let (name, version) = (self.identity.name.clone(), self.identity.version.clone());
        self.report(&Event::Starting { name, version });
        for warning in &self.config.warnings {
            self.report(&Event::ConfigWarning { warning: warning.clone() });
        }
        let addresses: Vec<_> = self.listeners.iter().map(|l| l.shown.as_str()).collect();
        self.report(&Event::Listening { addresses: addresses.join(","), pid });
        let (_, count) = self.machine.wanted();
        let threads = self.config.workers.threads as usize;
        self.report(&Event::UsingWorkers { count, threads });
    }
}
