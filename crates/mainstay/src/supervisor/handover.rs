//! What the supervisor hands to its next program when it is upgraded in place: everything it owns,
//! as numbers of descriptors that stay open over the exec.

use super::control::Control;
use super::listeners::{Listener, SocketFile};
use super::lost::LostLines;
use super::machine::{Machine, Memory, Worker};
use super::notify::Notifier;
use super::oom::OomCounter;
use super::pidfile::Pidfile;
use super::processes::Process;
use super::program::Program;
use super::run::Supervisor;
use super::start::{Identity, inherited_config};
use super::watch::{Remembered, Teller, Told, Watch};
use super::{control, reload};
use crate::clock::{self, Mono};
use crate::config::load::read_memory;
use crate::log::Log;
use crate::log::Look;
use crate::passport::Passport;
use crate::telemetry::Settings;
use crate::voice::Ear;
use mainstay_os::child::Child;
use mainstay_os::fds;
use mainstay_os::signals::SignalSource;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;

/// The whole of it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Handover {
    memory: Memory,
    reload_wanted: bool,
    slots: usize,
    /// The configuration file as it was at the start: what only a restart changes is still so.
    origin: RawFd,
    listeners: Vec<Handed>,
    admin: Vec<Handed>,
    control: Handed,
    pidfile: Option<PathBuf>,
    programs: Vec<HandedProgram>,
    workers: Vec<HandedWorker>,
    watch: Option<HandedProcess>,
    watch_started: Mono,
    /// Absent in what programs handed over that never replaced watch.
    #[serde(default)]
    watch_replaced: Option<Mono>,
    /// Absent, with who tells it, in what programs handed over that forgot what receivers knew of watch.
    #[serde(default)]
    watch_told: Told,
    #[serde(default)]
    watch_teller: Option<HandedTeller>,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct HandedTeller {
    process: HandedProcess,
    until: Mono,
    is_over: bool,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Handed {
    fd: RawFd,
    shown: String,
    path: Option<SocketFile>,
    inherited: bool,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct HandedProgram {
    generation: u64,
    file: RawFd,
    snapshot: RawFd,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct HandedProcess {
    pid: u32,
    ear: Option<RawFd>,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct HandedWorker {
    slot: usize,
    worker: Worker,
    process: HandedProcess,
}

impl Handed {
    fn of(listener: &Listener) -> Handed {
        let (shown, path) = (listener.shown.clone(), listener.path.clone());
        Handed { fd: listener.fd.as_raw_fd(), shown, path, inherited: listener.inherited }
    }

    fn take(self) -> io::Result<Listener> {
        Ok(Listener {
            fd: fds::take(self.fd)?,
            shown: self.shown,
            path: self.path,
            inherited: self.inherited,
        })
    }
}

impl HandedProcess {
    fn of(process: &Process) -> HandedProcess {
        let ear = process.ear.as_ref().map(|ear| ear.as_fd().as_raw_fd());
        HandedProcess { pid: process.child.pid(), ear }
    }

    fn take(self) -> io::Result<Process> {
        let ear = self.ear.map(|ear| fds::take(ear).and_then(Ear::new)).transpose()?;
        Ok(Process { child: Child::adopt(self.pid)?, ear })
    }
}

impl HandedTeller {
    fn of(Teller { process, until, is_over }: &Teller) -> HandedTeller {
        HandedTeller { process: HandedProcess::of(process), until: *until, is_over: *is_over }
    }

    fn take(self) -> io::Result<Teller> {
        let HandedTeller { process, until, is_over } = self;
        Ok(Teller { process: process.take()?, until, is_over })
    }
}

impl Handover {
    /// Writes down what `supervisor` owns, with the descriptors that must stay open.
    pub(crate) fn of(supervisor: &Supervisor) -> (Handover, Vec<BorrowedFd<'_>>) {
        let programs = supervisor.programs.iter();
        let workers = supervisor.machine.workers().filter_map(|(slot, worker)| {
            let process = HandedProcess::of(supervisor.slots[slot].as_ref()?);
            Some(HandedWorker { slot, worker: worker.clone(), process })
        });
        let Remembered { started, replaced, told } = supervisor.watch.remembered();
        let handover = Handover {
            memory: supervisor.machine.memory(),
            reload_wanted: supervisor.reload_wanted,
            slots: supervisor.slots.len(),
            origin: supervisor.origin.as_raw_fd(),
            listeners: supervisor.listeners.iter().map(Handed::of).collect(),
            admin: supervisor.admin.iter().map(Handed::of).collect(),
            control: Handed {
                fd: supervisor.control.as_fd().as_raw_fd(),
                shown: String::new(),
                path: Some(supervisor.control.file().clone()),
                inherited: false,
            },
            pidfile: supervisor.pidfile.as_ref().map(|pidfile| pidfile.path().to_owned()),
            programs: programs
                .map(|(generation, program)| HandedProgram {
                    generation: *generation,
                    file: program.file().as_raw_fd(),
                    snapshot: program.snapshot.as_raw_fd(),
                })
                .collect(),
            workers: workers.collect(),
            watch: supervisor.watch.process().map(HandedProcess::of),
            watch_started: started,
            watch_replaced: replaced,
            watch_told: told,
            watch_teller: supervisor.watch.teller().map(HandedTeller::of),
        };
        (handover, supervisor.everything_owned())
    }

    /// Reads what was written down.
    ///
    /// # Errors
    /// When the passport names none, or this program does not understand it.
    pub(crate) fn take(passport: &Passport) -> io::Result<Handover> {
        let number = passport.handover.ok_or_else(|| io::Error::other("nothing handed over"))?;
        read_memory(fds::take(number)?)
    }

    /// The configuration of the generation that serves, read by this program.
    ///
    /// # Errors
    /// When it cannot be read, or this program refuses it.
    pub(crate) fn check(&self, identity: &Identity) -> Result<(), String> {
        for program in &self.programs {
            let snapshot = fds::take(program.snapshot).map_err(|error| error.to_string())?;
            inherited_config(identity, snapshot).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Makes a supervisor of it.
    ///
    /// # Errors
    /// When a descriptor or a child is not there.
    pub(crate) fn restore(
        self,
        mut identity: Identity,
        log: Log,
        signals: SignalSource,
        segment_fd: OwnedFd,
    ) -> io::Result<Supervisor> {
        let mut programs = BTreeMap::new();
        for program in self.programs {
            let snapshot = fds::take(program.snapshot)?;
            let config = inherited_config(&identity, snapshot.try_clone()?);
            let config = config.map_err(|error| io::Error::other(error.to_string()))?;
            let file = fds::take(program.file)?;
            programs.insert(program.generation, Program::resume(file, snapshot, config));
        }
        let generation = self.memory.generation;
        let config = programs.get(&generation).map(|program| program.config.clone());
        let mut config = config.ok_or_else(|| io::Error::other("the generation has no program"))?;
        let origin = fds::take(self.origin)?;
        let begun = inherited_config(&identity, origin.try_clone()?)
            .map_err(|error| io::Error::other(error.to_string()))?;
        config.keep_restart_keys(&begun);
        identity.take_name(&begun);
        let mut machine = Machine::new(reload::policy(&config, self.slots), self.slots);
        let mut slots: Vec<Option<Process>> = (0..self.slots).map(|_| None).collect();
        let mut workers = Vec::new();
        for handed in self.workers {
            if let Some(place) = slots.get_mut(handed.slot) {
                *place = Some(handed.process.take()?);
                workers.push((handed.slot, handed.worker));
            }
        }
        machine.resume(&self.memory, workers);
        let watch = self.watch.map(HandedProcess::take).transpose()?;
        let teller = self.watch_teller.map(HandedTeller::take).transpose()?;
        let (started, replaced) = (self.watch_started, self.watch_replaced);
        let remembered = Remembered { started, replaced, told: self.watch_told };
        let look = Look::of(&config, &identity.name, &identity.version);
        let lost_lines = LostLines::new(&config, &look, &log).map_err(io::Error::other)?;
        super::reports::set(&log, &config, &look, machine.wanted().0);
        log.set_look(look);
        log.set_telemetry(&Settings::of(&config));
        let file = self.control.path.ok_or_else(|| io::Error::other("no control socket"))?;
        let control = Control::resume(fds::take(self.control.fd)?, file)?;
        let take = |all: Vec<Handed>| -> io::Result<Vec<Listener>> {
            all.into_iter().map(Handed::take).collect()
        };
        Ok(Supervisor {
            machine,
            slots,
            watch: Watch::resume(watch, teller, remembered),
            programs,
            listeners: take(self.listeners)?,
            admin: take(self.admin)?,
            pidfile: self.pidfile.map(Pidfile::resume),
            oom: OomCounter::find(),
            notifier: Notifier::find()?,
            outlets: None,
            config,
            identity,
            log,
            segment_fd,
            signals,
            control,
            upgrade: None,
            lost_lines,
            reload_wanted: self.reload_wanted,
            origin,
            next_observation: clock::mono(),
            exit: None,
        })
    }
}

impl Supervisor {
    /// Every descriptor that the next program needs.
    fn everything_owned(&self) -> Vec<BorrowedFd<'_>> {
        let mut all = vec![
            self.segment_fd.as_fd(),
            self.origin.as_fd(),
            control::Control::as_fd(&self.control),
        ];
        let listeners = self.listeners.iter().chain(&self.admin);
        all.extend(listeners.map(|listener| listener.fd.as_fd()));
        for program in self.programs.values() {
            all.extend([program.file().as_fd(), program.snapshot.as_fd()]);
        }
        let teller = self.watch.teller().map(|teller| &teller.process);
        let processes = self.slots.iter().flatten().chain(self.watch.process()).chain(teller);
        all.extend(processes.filter_map(|process| process.ear.as_ref()).map(AsFd::as_fd));
        all
    }
}
