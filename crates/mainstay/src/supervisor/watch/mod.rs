//! Keeping watch running. Nothing that serves depends on it, so it is simply started again, more
//! slowly the more often it dies.

mod fate;
#[cfg(test)]
mod simulation;
mod told;

use super::listeners::Listener;
use super::machine::{Input, describe};
use super::processes::Process;
use super::program::Program;
use super::run::Supervisor;
use crate::clock::{self, Mono};
use crate::event::{Event, Time};
use crate::incident;
use crate::log::outlet::Outlet;
use crate::passport::{Matter, Passport, Role};
use crate::voice::{Ear, Word};
use fate::{Fate, STEADY};
use mainstay_os::child::Ended;
use mainstay_os::signals::Signal;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;
pub(crate) use told::Told;

/// What it says at its end whom receivers were told by: all have taken it, or one has refused it for good.
const TOLD: i32 = 0;
const REFUSED: i32 = 2;
/// There was nobody to tell it to.
const NOBODY: i32 = 3;
/// A watch that makes room for another has this long to send and to write what is left.
const LEAVE: Duration = Duration::from_secs(8);
/// Whoever tells receivers of watch has this long: its own patience of 20 s, an attempt of 10 s that began within it, and
/// what it takes to start and to write.
const NOTICE: Duration = Duration::from_secs(40);

/// Watch's process and its misfortunes.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    process: Option<Process>,
    fate: Fate,
    /// It was told to make room for another, at this time.
    replaced: Option<Mono>,
    /// The service is at its end and has told it to leave, at this time.
    dismissed: Option<Mono>,
    /// What receivers know of it.
    told: Told,
    teller: Option<Teller>,
}

/// Who tells receivers about watch.
#[derive(Debug)]
pub(crate) struct Teller {
    pub(crate) process: Process,
    /// It is ended then.
    pub(crate) until: Mono,
    /// Whether it tells that watch lives again.
    pub(crate) is_over: bool,
}

/// What an earlier program of this process knew of watch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remembered {
    pub(crate) started: Mono,
    pub(crate) replaced: Option<Mono>,
    pub(crate) told: Told,
}

impl Watch {
    /// That of a service that begins, whose state of alerts is there.
    pub(crate) fn begin(state: Option<&Path>) -> Watch {
        let left = state.and_then(incident::read);
        Watch { told: Told::left(left.as_ref(), clock::mono()), ..Watch::default() }
    }

    /// Takes up a watch that an earlier program of this process started.
    pub(crate) fn resume(
        process: Option<Process>,
        teller: Option<Teller>,
        Remembered { started, replaced, told }: Remembered,
    ) -> Watch {
        let fate = Fate { started, ..Fate::default() };
        Watch { process, fate, replaced, told, teller, ..Watch::default() }
    }

    /// For the next program of this process.
    pub(crate) fn remembered(&self) -> Remembered {
        Remembered { started: self.fate.started, replaced: self.replaced, told: self.told }
    }

    pub(crate) fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Who tells receivers about it.
    pub(crate) fn teller(&self) -> Option<&Teller> {
        self.teller.as_ref()
    }

    /// When it is to be started again.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        (self.process.is_none() && self.dismissed.is_none()).then_some(self.fate.next)
    }

    fn is_failing(&self) -> bool {
        self.process.is_none() && self.fate.is_failing() && self.dismissed.is_none()
    }

    /// It has lived for a while.
    fn is_well(&self, now: Mono) -> bool {
        self.process.is_some() && now.since(self.fate.started) >= STEADY
    }

    fn died(&mut self, now: Mono) -> Duration {
        self.process = None;
        self.fate.died(now)
    }
}

impl Supervisor {
    /// Starts watch when its time has come.
    pub(crate) fn settle_watch(&mut self, now: Mono) {
        if self.watch.replaced.is_some_and(|since| now.since(since) >= LEAVE) {
            self.kill_watch();
        }
        self.settle_notice(now);
        if self.watch.deadline().is_none_or(|next| now < next) {
            return;
        }
        // From here on watch drains, beginning with what this process had not finished.
        self.outlets = None;
        match self.start_watch() {
            Ok(process) => {
                let pid = process.child.pid();
                self.watch.process = Some(process);
                self.watch.fate.started = now;
                self.log.segment().header().set_watch_pid(u64::from(pid));
                self.report(&Event::WatchBooting { pid });
            }
            Err(error) => {
                self.watch.died(now);
                let reason = error.to_string();
                self.report(&Event::SpawnFailed { what: "watch", reason });
            }
        }
    }

    /// Ends who tells about watch, if it is time, and has the end of it told.
    fn settle_notice(&mut self, now: Mono) {
        if !self.settle_teller(now) {
            return;
        }
        let watch = &self.watch;
        let is_time = watch.is_well(now) && watch.dismissed.is_none();
        if let Some(since) = watch.told.well(now).filter(|_| is_time) {
            self.tell_of_watch(watch.fate.deaths, since, true);
        }
    }

    /// Takes in what has become of who tells about watch; whether nobody does any more.
    fn settle_teller(&mut self, now: Mono) -> bool {
        let Some(teller) = &mut self.watch.teller else { return true };
        let ended = match teller.process.child.try_reap() {
            Ok(None) => None,
            Ok(Some((ended, _))) => Some(ended),
            Err(_) => Some(Ended::Code(255)),
        };
        if now >= teller.until {
            // One that is gone is what this wants; it is reaped at the next turn.
            teller.process.child.signal(Signal::Kill).ok();
        }
        let Some(ended) = ended else { return false };
        let is_over = teller.is_over;
        let words = teller.process.ear.as_mut().and_then(Ear::listen).unwrap_or_default();
        self.watch.teller = None;
        self.note_unwritten(words, is_over, ended);
        let reason = match ended {
            Ended::Code(TOLD | NOBODY) => None,
            Ended::Code(REFUSED) => Some("one has refused it".to_owned()),
            ended => Some(format!("the process that tells them {}", describe(ended))),
        };
        if let Some(reason) = reason {
            self.report(&Event::WatchUntold { reason });
        }
        let is_well = self.watch.is_well(now);
        match (is_over, ended) {
            (true, ended) => match (self.watch.told.another(is_well), ended) {
                (Some((since, deaths)), _) => {
                    self.tell_of_watch(deaths, since, false);
                    return self.watch.teller.is_none();
                }
                (None, Ended::Code(TOLD | REFUSED)) => self.watch.told.done(),
                (None, Ended::Code(NOBODY)) => self.end_untold(),
                (None, _) => self.untold_end(now),
            },
            (false, Ended::Code(TOLD)) => {}
            (false, _) => self.watch.told.not_begun(),
        }
        true
    }

    /// Whoever tells of watch has said what it could not write down, or may have come to no word at all.
    fn note_unwritten(&mut self, words: Vec<Word>, is_over: bool, ended: Ended) {
        let said = words.into_iter().find_map(|word| match word {
            Word::Failed { reason, .. } => Some(reason),
            Word::Ready | Word::Recycle { .. } => None,
        });
        let is_unknown = said.is_some() || !matches!(ended, Ended::Code(_));
        self.watch.told.is_unwritten |= is_unknown && !is_over;
        if let Some(reason) = said {
            self.report(&Event::AlertsUnsaved { reason });
        }
    }

    /// The end is told again later, unless that has gone on for too long.
    fn untold_end(&mut self, now: Mono) {
        if !self.watch.told.not_over(now) {
            return;
        }
        self.end_untold();
        self.report(&Event::WatchUntold { reason: "the end of it is given up".to_owned() });
    }

    /// It is over, and nobody is to be told so any more.
    fn end_untold(&mut self) {
        self.watch.told.done();
        if let Err(error) = self.config.alerts.state.as_deref().map_or(Ok(()), incident::forget) {
            self.report(&Event::AlertsUnsaved { reason: error.to_string() });
        }
    }

    /// Starts who tells receivers of alerts about watch, which cannot do it.
    fn tell_of_watch(&mut self, deaths: u32, since: u64, is_over: bool) {
        if self.config.alerts.receivers.is_none() {
            // Nobody is left who would want to know the end; the beginning is for whoever is there by then.
            return if is_over { self.end_untold() } else { self.watch.told.not_begun() };
        }
        if self.watch.teller.is_some() {
            // What is being told is an earlier one. This is told at one of the next deaths.
            return self.watch.told.not_begun();
        }
        let is_unwritten = self.watch.told.is_unwritten;
        let matter = Some(Matter { deaths, since, is_over, is_unwritten });
        let passport = Passport { matter, ..Passport::blank(Role::Notice) };
        let started =
            self.proven().and_then(|it| self.start_process(it, &it.path(), passport, &[]));
        let now = clock::mono();
        match started {
            Ok(process) => {
                self.watch.teller = Some(Teller { process, until: now + NOTICE, is_over });
            }
            Err(error) => {
                if is_over {
                    self.untold_end(now);
                } else {
                    self.watch.told.not_begun();
                }
                self.report(&Event::WatchUntold { reason: error.to_string() });
            }
        }
    }

    /// The program that serves: during a reload the wanted generation's has yet to prove itself.
    fn proven(&self) -> io::Result<&Program> {
        let proven = self.programs.get(&self.log.segment().header().generation());
        let program = proven.or_else(|| self.programs.values().next());
        program.ok_or_else(|| io::Error::other("no program"))
    }

    fn start_watch(&self) -> io::Result<Process> {
        let (generation, _) = self.machine.wanted();
        let program = self.proven()?;
        let slot = self.log.segment().layout().slots - 1;
        if let Some(view) = self.log.segment().slot(slot) {
            view.hand_out(generation, clock::mono().0, 0);
        }
        let passport = Passport {
            slot,
            generation,
            listeners: self.admin.iter().map(Listener::passed).collect(),
            serving: self.listeners.iter().map(|listener| listener.shown.clone()).collect(),
            ..Passport::blank(Role::Watch)
        };
        let admin: Vec<_> = self.admin.iter().map(|listener| listener.fd.as_fd()).collect();
        let process = self.start_process(program, &program.path(), passport, &admin)?;
        if let Some(view) = self.log.segment().slot(slot) {
            view.set_pid(process.child.pid());
        }
        Ok(process)
    }

    /// Watch says nothing but that it cannot start; its end says the rest.
    pub(crate) fn hear_watch(&mut self) {
        let Some(process) = &mut self.watch.process else { return };
        match process.ear.as_mut().and_then(Ear::listen) {
            None => process.ear = None,
            Some(words) => {
                for word in words {
                    if let Word::Failed { reason, .. } = word {
                        self.report(&Event::SpawnFailed { what: "watch", reason });
                    }
                }
            }
        }
    }

    /// While watch does not hold, the supervisor writes the log itself, as far as that does not make
    /// it wait. Only one process drains: watch is started by this one.
    pub(crate) fn write_for_watch(&mut self) {
        if self.watch.is_failing() {
            self.write_logs(Duration::from_millis(5));
        }
    }

    /// Writes what is in the rings; a log that nobody reads is waited for so long.
    pub(crate) fn write_logs(&mut self, patience: Duration) {
        let outlets =
            self.outlets.get_or_insert_with(|| Outlet::take_over(&self.config, &self.log));
        for outlet in outlets {
            // What is not taken now is taken later, or counted.
            outlet.finish(clock::mono() + patience).ok();
        }
    }

    /// USR1, for what this process writes itself.
    pub(crate) fn reopen_own_logs(&mut self) {
        self.outlets.iter_mut().flatten().for_each(Outlet::reopen);
    }

    /// Lets watch begin anew, with the configuration that is in force now.
    pub(crate) fn replace_watch(&mut self) {
        if let Some(process) = &self.watch.process {
            self.watch.replaced.get_or_insert(clock::mono());
            // One that is gone will be started again by itself.
            process.child.signal(Signal::Term).ok();
        }
        self.try_watch_at_once();
    }

    /// Whoever reloads has mended something: a watch that waits for its next try has it now.
    pub(crate) fn try_watch_at_once(&mut self) {
        self.watch.fate.begin_anew(clock::mono());
    }

    /// Watch has ended.
    pub(crate) fn reap_watch(&mut self) {
        self.hear_watch();
        let Some(process) = &self.watch.process else { return };
        let pid = process.child.pid();
        self.note_usage(self.log.segment().layout().slots - 1, process);
        let ended = match process.child.try_reap() {
            Ok(None) => return,
            Ok(Some((ended, _))) => ended,
            Err(_) => Ended::Code(255),
        };
        self.log.segment().header().set_watch_pid(0);
        let delay = self.watch.died(clock::mono());
        if self.watch.dismissed.is_some() {
            return self.feed(Input::WatchGone);
        }
        if self.watch.replaced.take().is_some() && ended == Ended::Code(0) {
            return self.try_watch_at_once();
        }
        let (how, delay) = (describe(ended), Time(delay));
        self.report(&Event::WatchDied { pid, how, delay });
        if let Some(deaths) = self.watch.fate.is_looping() {
            self.report(&Event::WatchCrashLoop { deaths, delay });
            let is_ending = self.watch.teller.as_ref().is_some_and(|it| it.is_over);
            if let Some(since) = self.watch.told.looping(clock::wall(), deaths, is_ending) {
                self.tell_of_watch(deaths, since, false);
            }
        }
        self.write_for_watch();
    }

    /// Ends who tells of watch: what it has not told, it would tell behind whoever comes next.
    pub(crate) fn kill_teller(&self) {
        if let Some(teller) = &self.watch.teller {
            // One that is gone is what this wants.
            teller.process.child.signal(Signal::Kill).ok();
        }
    }

    /// Ends a watch that cannot write what is left.
    pub(crate) fn kill_watch(&self) {
        if let Some(process) = &self.watch.process {
            // A process that is gone is what this wants.
            process.child.signal(Signal::Kill).ok();
        }
    }

    /// Lets watch write what is left and leave.
    pub(crate) fn stop_watch(&mut self) -> Option<Input> {
        self.watch.dismissed = Some(clock::mono());
        let Some(process) = &self.watch.process else { return Some(Input::WatchGone) };
        process.child.signal(Signal::Term).err().map(|_| Input::WatchGone)
    }
}
