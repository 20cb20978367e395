//! A reload: a new generation that proves itself worker by worker, or is taken back.

use super::backoff::Backoff;
use super::{Action, Life, Machine, Policy};
use crate::clock::Mono;
use crate::event::{Event, Time};

/// A reload on its way.
#[derive(Clone, Debug)]
pub(super) struct Reload {
    begun: Mono,
    previous: u64,
    previous_policy: Policy,
    /// The worker count that the new policy came with.
    asked: usize,
}

impl Machine {
    pub(super) fn begin_reload(&mut self, mut policy: Policy, now: Mono) {
        let refused = if self.stopping.is_some() {
            Some("the service is stopping")
        } else if self.reload.is_some() {
            Some("a reload is in progress")
        } else {
            None
        };
        if let Some(reason) = refused {
            self.out.push(Action::ReloadEnded(Err(reason.into())));
            return;
        }
        let asked = policy.target.clamp(1, (self.workers.len() - 1).max(1));
        policy.target = asked;
        let previous_policy = std::mem::replace(&mut self.policy, policy);
        let previous = self.generation;
        self.reload = Some(Reload { begun: now, previous, previous_policy, asked });
        self.last_generation += 1;
        self.generation = self.last_generation;
        self.backoff = Backoff::default();
    }

    pub(super) fn fail_reload(&mut self, reason: &str) {
        let Some(reload) = self.reload.take() else { return };
        // A worker count set by hand meanwhile was meant for the service, not for the generation.
        let by_hand = (self.policy.target != reload.asked).then_some(self.policy.target);
        self.policy = reload.previous_policy;
        self.policy.target = by_hand.unwrap_or(self.policy.target);
        self.generation = reload.previous;
        self.report(Event::ReloadFailed { generation: reload.previous, reason: reason.to_owned() });
        self.out.push(Action::ReloadEnded(Err(reason.to_owned())));
    }

    pub(super) fn finish_reload(&mut self, now: Mono) {
        let Some(reload) = &self.reload else { return };
        let current =
            self.count(|worker| worker.is_ready() && worker.generation == self.generation);
        let others = self.count(|worker| {
            worker.life == Life::Booting
                || worker.is_ready() && worker.generation != self.generation
        });
        if current >= self.policy.target && others == 0 {
            let took = Time(now.since(reload.begun));
            self.reload = None;
            self.report(Event::Reloaded { generation: self.generation, took });
            self.out.push(Action::Generation(self.generation));
            self.out.push(Action::ReloadEnded(Ok(self.generation)));
        }
    }
}
