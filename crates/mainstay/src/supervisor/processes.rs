//! Worker processes: starting them with their passport, hearing them, and closing their books.

use super::listeners::Listener;
use super::machine::{BootFailure, Input, Life, describe};
use super::program::Program;
use super::run::Supervisor;
use crate::clock::{self, Mono};
use crate::event::{Event, Facts, Mib, Time};
use crate::metrics::exits::Exit;
use crate::metrics::names;
use crate::passport::{Passport, Role, VARIABLE};
use crate::status;
use crate::voice::{Ear, Word};
use mainstay_os::child::{self, Child, Ended, Usage};
use mainstay_os::segment::Phase;
use mainstay_os::signals::Signal;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// At most this many requests in flight are told of one worker.
const TOLD: usize = 100;

/// A process of the service and its voice.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) child: Child,
    /// None once it has said its last word.
    pub(crate) ear: Option<Ear>,
}

/// Variables of the service manager that are for the supervisor alone.
const OURS_ALONE: &[&str] = &[
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "NOTIFY_SOCKET",
];

impl Supervisor {
    /// Starts `program` in a role, with the descriptors that the role needs.
    ///
    /// # Errors
    /// When the program cannot be executed or the system has no room.
    pub(crate) fn start_process(
        &self,
        program: &Program,
        path: &OsStr,
        passport: Passport,
        more: &[BorrowedFd<'_>],
    ) -> io::Result<Process> {
        let (hears, speaks) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let passport = Passport {
            segment: self.segment_fd.as_raw_fd(),
            config: program.snapshot.as_raw_fd(),
            voice: speaks.as_raw_fd(),
            ..passport
        };
        let mut keep = vec![self.segment_fd.as_fd(), program.snapshot.as_fd(), speaks.as_fd()];
        keep.extend_from_slice(more);
        let process = child::Program {
            path,
            name: &self.identity.called,
            args: &self.identity.args,
            env: &[(VARIABLE, passport.to_text())],
            env_remove: OURS_ALONE,
            keep: &keep,
        };
        let last = match passport.role {
            // What it has not told, the next service tells: it must not speak behind that.
            Role::Notice => Signal::Kill,
            // An orphan finishes what it has and leaves, as if told to.
            _ => Signal::Term,
        };
        let child = process.spawn(last)?;
        Ok(Process { child, ear: Some(Ear::new(hears)?) })
    }

    /// Starts a worker in `slot` and tells the machine how that went.
    pub(crate) fn spawn_worker(&mut self, slot: usize, generation: u64) -> Input {
        let now = clock::mono();
        let started = self.try_spawn_worker(slot, generation, now);
        match started {
            Ok(pid) => Input::Started { slot, pid },
            Err(error) => {
                if let Some(view) = self.log.segment().slot(slot) {
                    view.take_back();
                }
                let reason = error.to_string();
                self.report(&Event::SpawnFailed { what: "a worker", reason: reason.clone() });
                Input::SpawnFailed { slot, reason }
            }
        }
    }

    fn try_spawn_worker(&mut self, slot: usize, generation: u64, now: Mono) -> io::Result<u32> {
        let Some(program) = self.programs.get(&generation) else {
            return Err(io::Error::other(format!("generation {generation} has no program")));
        };
        let view = self.log.segment().slot(slot);
        let view = view.ok_or_else(|| io::Error::other("no such slot"))?;
        view.hand_out(generation, now.0, view.counter(names::REQUESTS));
        let passport = Passport {
            slot,
            generation,
            listeners: self.listeners.iter().map(Listener::passed).collect(),
            ..Passport::blank(Role::Worker)
        };
        let listeners: Vec<_> = self.listeners.iter().map(|listener| listener.fd.as_fd()).collect();
        let process = self.start_process(program, &program.path(), passport, &listeners)?;
        let pid = process.child.pid();
        view.set_pid(pid);
        self.slots[slot] = Some(process);
        self.log.slot().add(names::WORKERS_SPAWNED, 1);
        Ok(pid)
    }

    /// Takes in what a worker says.
    pub(crate) fn hear_worker(&mut self, slot: usize) {
        let Some(process) = &mut self.slots[slot] else { return };
        let Some(words) = process.ear.as_mut().and_then(Ear::listen) else {
            process.ear = None;
            return;
        };
        for word in words {
            let input = match word {
                Word::Ready => {
                    if let Some(view) = self.log.segment().slot(slot)
                        && view.phase() == Phase::Booting
                    {
                        view.set_phase(Phase::Ready);
                    }
                    Input::Ready { slot }
                }
                Word::Failed { code, reason } => {
                    Input::BootFailed { slot, failure: BootFailure { code, reason } }
                }
                Word::Recycle { reason, broken } => {
                    let why = if broken { Exit::PoolWedged } else { Exit::MaxRequests };
                    Input::WantsRecycle { slot, reason, why }
                }
            };
            self.feed(input);
        }
    }

    /// Reaps a worker that has ended and closes its books.
    pub(crate) fn reap_worker(&mut self, slot: usize) {
        // Its last words come before its end.
        self.hear_worker(slot);
        let Some(process) = &self.slots[slot] else { return };
        self.note_usage(slot, process);
        let (ended, usage) = match process.child.try_reap() {
            Ok(Some(end)) => end,
            Ok(None) => return,
            // Reaped by something else in this process, which has no business there; it is gone
            // all the same.
            Err(_) => (Ended::Code(255), Usage::default()),
        };
        let pid = process.child.pid();
        self.slots[slot] = None;
        // Before anybody reads the table: what was half settled is settled.
        if let Some(view) = self.log.segment().slot(slot) {
            view.complete();
        }
        self.tell_end(slot, pid, ended, usage);
        let segment = self.log.segment().clone();
        if let Some(view) = segment.slot(slot) {
            self.settle_lost(slot, view, pid, why_lost(ended));
            view.take_back();
        }
        self.feed(Input::Exited { slot, ended });
    }

    /// Writes down what a process that has ended, and is to be reaped, has used.
    pub(crate) fn note_usage(&self, slot: usize, process: &Process) {
        if let (Ok(Some(usage)), Some(view)) =
            (process.child.peek_usage(), self.log.segment().slot(slot))
        {
            view.add_burnt(u64::try_from(usage.cpu.as_micros()).unwrap_or(0));
        }
    }

    fn tell_end(&mut self, slot: usize, pid: u32, ended: Ended, usage: Usage) {
        let Some(view) = self.log.segment().slot(slot) else { return };
        let now = clock::mono();
        let facts = Facts {
            uptime: Time(now.since(Mono(view.spawned()))),
            served: view.counter(names::REQUESTS).saturating_sub(view.served_before()),
            in_flight: view.gauge_in_flight(),
            peak_rss: Mib(usage.peak_rss),
            cpu: Time(usage.cpu),
        };
        let life = self.machine.worker(slot).map(|worker| worker.life);
        let draining = matches!(life, Some(Life::Draining { .. }));
        let killed_by_us = matches!(life, Some(Life::Dying { .. }));
        let killed = ended == Ended::Signal(Signal::Kill.number());
        let out_of_memory = killed && !killed_by_us && self.oom.killed();
        let (exit, is_replaced) = self.machine.exit(slot, ended, out_of_memory);
        self.log.slot().add(names::exit_cell(exit), 1);
        if is_replaced {
            self.log.slot().add(names::RESTARTS[usize::from(exit.row().planned)], 1);
        }
        if let (true, Ended::Code(0)) = (draining, ended) {
            return self.report(&Event::WorkerExited { pid, code: 0, facts });
        }
        let died = Event::WorkerDied { pid, how: describe(ended), facts };
        if !killed_by_us {
            if out_of_memory {
                self.report(&Event::WorkerOutOfMemory { pid, rss: Mib(usage.peak_rss) });
            }
            self.tell_in_flight(slot);
            if matches!(life, Some(Life::Ready { .. } | Life::Draining { .. })) {
                self.report_death(slot, &died, ended, out_of_memory);
            }
        }
        self.report(&died);
    }

    /// Tells of the requests that a worker has in flight.
    pub(crate) fn tell_in_flight(&self, slot: usize) {
        let Some(view) = self.log.segment().slot(slot) else { return };
        for request in status::requests_of(view, clock::mono()).into_iter().take(TOLD) {
            self.report(&Event::RequestStuck {
                pid: request.pid,
                method: request.method,
                path: request.path,
                age: Time(std::time::Duration::from_secs_f64(request.age_seconds)),
                peer: request.peer.unwrap_or_else(|| "a unix socket".to_owned()),
            });
        }
    }
}

/// The reason in the access lines of requests that a worker left behind.
fn why_lost(ended: Ended) -> &'static str {
    match ended {
        Ended::Signal(signal) if signal == Signal::Kill.number() => "worker_killed",
        Ended::Signal(_) => "worker_crashed",
        Ended::Code(_) => "worker_exited",
    }
}
