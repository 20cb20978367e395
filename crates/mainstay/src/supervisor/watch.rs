//! Keeping watch running. Nothing that serves depends on it, so it is simply started again, more
//! slowly the more often it dies.

use super::listeners::Listener;
use super::machine::{Input, describe};
use super::processes::Process;
use super::program::Program;
use super::run::Supervisor;
use crate::clock::{self, Mono};
use crate::event::{Event, Time};
use crate::log::outlet::Outlet;
use crate::passport::{Matter, Passport, Role};
use crate::voice::{Ear, Word};
use mainstay_os::child::Ended;
use mainstay_os::signals::Signal;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// The wait after watch's first death, 1.5 times as long after each further one in a row.
const BASE: Duration = Duration::from_millis(100);
const CAP: Duration = Duration::from_secs(30);
/// A watch that makes room for another has this long to send and to write what is left.
const LEAVE: Duration = Duration::from_secs(8);
/// A watch that has lived this long was well.
const STEADY: Duration = Duration::from_secs(10);

/// So many deaths in a row are a loop.
const LOOP: u32 = 3;
/// Whoever tells receivers of that has this long.
const NOTICE: Duration = Duration::from_secs(30);

/// Watch's process and its misfortunes.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    process: Option<Process>,
    started: Mono,
    deaths: u32,
    next: Mono,
    /// It was told to make room for another, at this time.
    replaced: Option<Mono>,
    /// The service is at its end and has told it to leave, at this time.
    dismissed: Option<Mono>,
    /// Since when receivers were told that it dies again and again, nanoseconds since the Unix epoch.
    told: Option<u64>,
    /// Receivers did not take that.
    untold: bool,
    /// Who tells them, and until when.
    teller: Option<(Process, Mono)>,
}

impl Watch {
    /// Takes up a watch that an earlier program of this process started.
    pub(crate) fn resume(process: Option<Process>, started: Mono, replaced: Option<Mono>) -> Watch {
        Watch { process, started, replaced, ..Watch::default() }
    }

    pub(crate) fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    pub(crate) fn started(&self) -> Mono {
        self.started
    }

    pub(crate) fn replaced(&self) -> Option<Mono> {
        self.replaced
    }

    /// Who tells receivers about it.
    pub(crate) fn teller(&self) -> Option<&Process> {
        self.teller.as_ref().map(|(process, _)| process)
    }

    /// When it is to be started again.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        (self.process.is_none() && self.dismissed.is_none()).then_some(self.next)
    }

    /// It dies so often that somebody else should write what it does not get to write.
    fn is_failing(&self) -> bool {
        self.process.is_none() && self.deaths >= 2 && self.dismissed.is_none()
    }

    /// Its deaths in a row, where that is worth a word: at the third, and whenever they are twice as many.
    fn is_looping(&self) -> Option<u32> {
        let threes = self.deaths / LOOP;
        (self.deaths.is_multiple_of(LOOP) && threes.is_power_of_two()).then_some(self.deaths)
    }

    fn died(&mut self, now: Mono) -> Duration {
        self.process = None;
        self.deaths = if now.since(self.started) >= STEADY { 1 } else { self.deaths + 1 };
        let factor = 1.5_f64.powi(self.deaths.saturating_sub(1).min(40) as i32);
        let delay = BASE.mul_f64(factor).min(CAP);
        self.next = now + delay;
        delay
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
                self.watch.started = now;
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
        if let Some((process, until)) = &self.watch.teller {
            let ended = match process.child.try_reap() {
                Ok(None) => None,
                Ok(Some((ended, _))) => Some(ended),
                Err(_) => Some(Ended::Code(255)),
            };
            if now >= *until {
                // One that is gone is what this wants; it is reaped at the next turn.
                process.child.signal(Signal::Kill).ok();
            }
            let Some(ended) = ended else { return };
            self.watch.teller = None;
            if ended != Ended::Code(0) {
                self.watch.untold = self.watch.told.is_some();
                let reason = format!("the process that tells them: {}", describe(ended));
                self.report(&Event::WatchUntold { reason });
            }
        }
        let lives = self.watch.process.is_some() && now.since(self.watch.started) >= STEADY;
        if let Some(since) = self.watch.told.filter(|_| lives) {
            self.watch.told = None;
            self.tell_of_watch(Matter { deaths: self.watch.deaths, since, is_over: true });
        }
    }

    /// Starts who tells receivers of alerts about watch, which cannot do it.
    fn tell_of_watch(&mut self, matter: Matter) {
        if self.config.alerts.receivers.is_none() {
            return;
        }
        if self.watch.teller.is_some() {
            // What is being told is the end of an earlier loop.
            self.watch.untold = !matter.is_over;
            return;
        }
        let passport = Passport { matter: Some(matter), ..Passport::blank(Role::Notice) };
        let started =
            self.proven().and_then(|it| self.start_process(it, &it.path(), passport, &[]));
        match started {
            Ok(process) => self.watch.teller = Some((process, clock::mono() + NOTICE)),
            Err(error) => {
                self.watch.untold = !matter.is_over;
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
            self.watch.deaths = 0;
            self.watch.next = clock::mono();
            return;
        }
        let (how, delay) = (describe(ended), Time(delay));
        self.report(&Event::WatchDied { pid, how, delay });
        if let Some(deaths) = self.watch.is_looping() {
            self.report(&Event::WatchCrashLoop { deaths, delay });
            // Again if nobody took it; by the same key, so that it is one incident for those who did.
            if self.watch.told.is_none() || std::mem::take(&mut self.watch.untold) {
                let since = *self.watch.told.get_or_insert_with(clock::wall);
                self.tell_of_watch(Matter { deaths, since, is_over: false });
            }
        }
        self.write_for_watch();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_in_a_row_are_told_ever_more_seldom() {
        let mut watch = Watch::default();
        let told: Vec<u32> = (0..50)
            .filter_map(|_| {
                watch.died(Mono(1));
                watch.is_looping()
            })
            .collect();
        assert_eq!(told, [3, 6, 12, 24, 48]);
        watch.died(Mono(0) + STEADY * 2);
        assert_eq!((watch.deaths, watch.is_looping()), (1, None));
    }
}
