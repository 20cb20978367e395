//! USR2: the supervisor's own program is replaced in place, under the same pid, with listeners,
//! segment and workers kept.
//!
//! The new program is tried first, in a child that reads what would be handed over; only one that
//! says READY is trusted with the service.

use super::handover::Handover;
use super::machine::describe;
use super::processes::Process;
use super::program::Program;
use super::run::Supervisor;
use super::start::Identity;
use crate::clock::{self, Mono};
use crate::config::load::memory;
use crate::event::Event;
use crate::passport::{Passport, Role, VARIABLE};
use crate::voice::{Ear, Voice, Word};
use mainstay_os::child;
use mainstay_os::signals::Signal;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// A new program on trial.
#[derive(Debug)]
pub(crate) struct Upgrade {
    pub(crate) process: Process,
    pub(crate) deadline: Mono,
}

impl Supervisor {
    /// Puts the program on disk on trial.
    pub(crate) fn begin_upgrade(&mut self) {
        if self.machine.is_reloading() || self.machine.is_stopping() || self.upgrade.is_some() {
            let reason = "a reload, an upgrade or the end of the service is in progress".into();
            return self.report(&Event::UpgradeRefused { reason });
        }
        let program = self.identity.program.display().to_string();
        self.report(&Event::UpgradeBegun { program });
        match self.start_probe() {
            Ok(process) => {
                let deadline = clock::mono() + self.config.workers.boot_timeout;
                self.upgrade = Some(Upgrade { process, deadline });
            }
            Err(error) => self.report(&Event::UpgradeRefused { reason: error.to_string() }),
        }
    }

    fn start_probe(&self) -> io::Result<Process> {
        let (handover, owned) = Handover::of(self);
        let paper = memory("mainstay-handover", &handover)?;
        let (generation, _) = self.machine.wanted();
        let program = self.programs.get(&generation);
        let program: &Program = program.ok_or_else(|| io::Error::other("no program"))?;
        let passport = Passport {
            slot: self.log.segment().layout().slots - crate::status::OTHER_SLOTS,
            generation,
            handover: Some(paper.as_raw_fd()),
            ..Passport::blank(Role::Probe)
        };
        let mut more = owned;
        more.push(paper.as_fd());
        let path = self.identity.program.as_os_str();
        self.start_process(program, path, passport, &more)
    }

    /// The trial has ended: trust the program, or not.
    pub(crate) fn settle_upgrade(&mut self) {
        let Some(upgrade) = &mut self.upgrade else { return };
        let words = upgrade.process.ear.as_mut().and_then(Ear::listen).unwrap_or_default();
        let ended = match upgrade.process.child.try_reap() {
            Ok(None) => return,
            Ok(Some((ended, _))) => describe(ended),
            Err(error) => error.to_string(),
        };
        self.upgrade = None;
        let reason = match words.into_iter().next() {
            Some(Word::Ready) if self.machine.is_stopping() => "the service is stopping".into(),
            Some(Word::Ready) => self.replace_program().to_string(),
            Some(Word::Failed { reason, .. }) => reason,
            Some(Word::Recycle { .. }) | None => format!("the new program {ended} on trial"),
        };
        self.report(&Event::UpgradeRefused { reason });
        self.reload_if_wanted();
    }

    /// A program that does not answer is not trusted.
    pub(crate) fn expire_upgrade(&mut self, now: Mono) {
        let Some(upgrade) = &self.upgrade else { return };
        if now >= upgrade.deadline {
            // Its end is reaped as a stranger's.
            upgrade.process.child.signal(Signal::Kill).ok();
            self.upgrade = None;
            let reason = "the new program did not answer within the boot timeout".into();
            self.report(&Event::UpgradeRefused { reason });
            self.reload_if_wanted();
        }
    }

    /// Becomes the new program. Returns only if that failed.
    fn replace_program(&self) -> io::Error {
        let (handover, owned) = Handover::of(self);
        let paper = match memory("mainstay-handover", &handover) {
            Ok(paper) => paper,
            Err(error) => return error,
        };
        let (generation, _) = self.machine.wanted();
        let passport = Passport {
            slot: self.log.segment().layout().slots - crate::status::OTHER_SLOTS,
            generation,
            segment: self.segment_fd.as_raw_fd(),
            handover: Some(paper.as_raw_fd()),
            ..Passport::blank(Role::Supervisor)
        };
        let mut keep = owned;
        keep.push(paper.as_fd());
        let process = child::Program {
            path: self.identity.program.as_os_str(),
            name: &self.identity.called,
            args: &self.identity.args,
            env: &[(VARIABLE, passport.to_text())],
            env_remove: &["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"],
            keep: &keep,
        };
        process.replace()
    }
}

/// The trial, in the new program: says whether it could take over, and changes nothing.
pub(crate) fn probe(identity: &Identity, passport: &Passport) {
    let Ok(voice) = Voice::take(passport.voice) else { return };
    let tried = Handover::take(passport)
        .map_err(|error| error.to_string())
        .and_then(|handover| handover.check(identity))
        .and_then(|()| passport.open_log().map(drop).map_err(|error| error.to_string()));
    voice.say(&match tried {
        Ok(()) => Word::Ready,
        Err(reason) => Word::Failed { code: 1, reason },
    });
}
