//! The loop: wait for a signal, a word, an end, a command or a time, tell the machine, do what it
//! says.

use super::control::Control;
use super::listeners::Listener;
use super::lost::LostLines;
use super::machine::{Input, Machine};
use super::notify::Notifier;
use super::oom::OomCounter;
use super::pidfile::Pidfile;
use super::processes::Process;
use super::program::Program;
use super::queues;
use super::start::Identity;
use super::upgrade::Upgrade;
use super::watch::Watch;
use crate::clock::{self, Mono};
use crate::config::Config;
use crate::event::Event;
use crate::log::Log;
use crate::log::outlet::Outlet;
use mainstay_os::child;
use mainstay_os::signals::{Signal, SignalSource};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// The longest sleep: workers are observed this often.
pub(crate) const OBSERVE: Duration = Duration::from_secs(1);

/// Everything that the service owns.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) identity: Identity,
    pub(crate) config: Config,
    pub(crate) machine: Machine,
    pub(crate) log: Log,
    pub(crate) segment_fd: OwnedFd,
    /// The configuration file as it was at the start.
    pub(crate) origin: OwnedFd,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) admin: Vec<Listener>,
    pub(crate) programs: BTreeMap<u64, Program>,
    pub(crate) slots: Vec<Option<Process>>,
    pub(crate) watch: Watch,
    pub(crate) signals: SignalSource,
    pub(crate) control: Control,
    pub(crate) notifier: Notifier,
    pub(crate) pidfile: Option<Pidfile>,
    pub(crate) oom: OomCounter,
    pub(crate) upgrade: Option<Upgrade>,
    /// The logs' last writers, while watch is none.
    pub(crate) outlets: Option<Vec<Outlet>>,
    /// How the lines of requests look that a dead worker left behind.
    pub(crate) lost_lines: LostLines,
    /// A HUP that came during a reload.
    pub(crate) reload_wanted: bool,
    pub(crate) next_observation: Mono,
    pub(crate) exit: Option<(u8, Option<String>)>,
}

/// What became ready.
#[derive(Clone, Copy, Debug)]
enum Source {
    Signals,
    Voice(usize),
    Process(usize),
    WatchVoice,
    Watch,
    Upgrade,
    Control,
}

impl Supervisor {
    /// Runs the service to its end and returns the exit code.
    pub(crate) fn run(mut self) -> u8 {
        self.feed(Input::Tick);
        self.reload_if_wanted();
        while self.exit.is_none() {
            self.round();
        }
        self.finish()
    }

    fn round(&mut self) {
        let ready = self.wait();
        self.log.segment().header().set_supervisor_beat(clock::mono().0);
        for source in ready {
            match source {
                Source::Signals => self.read_signal(),
                Source::Voice(slot) => self.hear_worker(slot),
                Source::Process(slot) => self.reap_worker(slot),
                Source::WatchVoice => self.hear_watch(),
                Source::Watch => self.reap_watch(),
                Source::Upgrade => self.settle_upgrade(),
                // All commands are looked at below.
                Source::Control => {}
            }
            if self.exit.is_some() {
                return;
            }
        }
        // Commands wait for the outcome of a trial: whoever asks then asks the program that won.
        if self.upgrade.is_none() {
            for command in self.control.read() {
                self.obey(command);
            }
            self.control.write();
        }
        let now = clock::mono();
        self.feed_watchdog(now);
        if now >= self.next_observation {
            self.next_observation = now + OBSERVE;
            self.observe(now);
        }
        self.feed(Input::Tick);
        self.settle_watch(now);
        self.expire_upgrade(now);
    }

    fn wait(&mut self) -> Vec<Source> {
        let mut sources = vec![Source::Signals];
        let mut polls = vec![PollFd::new(&self.signals, PollFlags::IN)];
        for (slot, process) in self.slots.iter().enumerate() {
            let Some(process) = process else { continue };
            sources.push(Source::Process(slot));
            polls.push(PollFd::new(&process.child, PollFlags::IN));
            if let Some(ear) = &process.ear {
                sources.push(Source::Voice(slot));
                polls.push(PollFd::new(ear, PollFlags::IN));
            }
        }
        if let Some(process) = self.watch.process() {
            sources.push(Source::Watch);
            polls.push(PollFd::new(&process.child, PollFlags::IN));
            if let Some(ear) = &process.ear {
                sources.push(Source::WatchVoice);
                polls.push(PollFd::new(ear, PollFlags::IN));
            }
        }
        if let Some(upgrade) = &self.upgrade {
            sources.push(Source::Upgrade);
            polls.push(PollFd::new(&upgrade.process.child, PollFlags::IN));
        }
        let asking = if self.upgrade.is_none() { self.control.waits_for() } else { Vec::new() };
        for (fd, flags) in asking {
            sources.push(Source::Control);
            polls.push(PollFd::from_borrowed_fd(fd, flags));
        }
        let timeout = Timespec::try_from(self.sleep()).ok();
        match poll(&mut polls, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // The set is made of open descriptors of ours; a failure would be a busy loop.
            Err(error) => self.exit = Some((1, Some(format!("poll: {error}")))),
        }
        let ready = polls.iter().map(|poll| !poll.revents().is_empty());
        sources.iter().zip(ready).filter(|(_, ready)| *ready).map(|(source, _)| *source).collect()
    }

    /// How long there is nothing to do, unless something happens.
    fn sleep(&self) -> Duration {
        let now = clock::mono();
        let upgrade = self.upgrade.as_ref().map(|upgrade| upgrade.deadline);
        let deadlines = [
            Some(self.next_observation),
            self.machine.deadline(now),
            self.watch.deadline(),
            self.notifier.interval().map(|interval| now + interval),
            upgrade,
        ];
        let next = deadlines.into_iter().flatten().min().unwrap_or(now + OBSERVE);
        next.since(now).min(OBSERVE)
    }

    fn read_signal(&mut self) {
        let Ok(signal) = self.signals.next() else { return };
        let name = signal.name();
        match signal {
            Signal::Chld => return self.reap_strangers(),
            Signal::Winch => {
                let why = "it is for daemons, and this is none";
                return self.report(&Event::SignalIgnored { signal: name, why });
            }
            _ => self.report(&Event::Signal { signal: name }),
        }
        let (_, target) = self.machine.wanted();
        match signal {
            Signal::Term => self.feed(Input::Stop { quick: false }),
            Signal::Int | Signal::Quit => self.feed(Input::Stop { quick: true }),
            Signal::Hup => self.reload_by_signal(),
            Signal::Usr1 => self.reopen_logs(),
            Signal::Usr2 => self.begin_upgrade(),
            Signal::Ttin => self.feed(Input::Resize { target: target + 1 }),
            Signal::Ttou => self.feed(Input::Resize { target: target.saturating_sub(1) }),
            Signal::Chld | Signal::Winch | Signal::Abrt | Signal::Kill => {}
        }
    }

    fn reopen_logs(&mut self) {
        self.report(&Event::LogsReopened {});
        self.reopen_own_logs();
        let processes = self.slots.iter().flatten().chain(self.watch.process());
        for process in processes {
            // A process that is gone has no logs to reopen.
            process.child.signal(Signal::Usr1).ok();
        }
    }

    /// As process 1 of a container, or as a parent by adoption, reaps whom nobody else awaits.
    fn reap_strangers(&self) {
        let known: Vec<u32> = self
            .slots
            .iter()
            .flatten()
            .chain(self.watch.process())
            .chain(self.watch.teller().map(|teller| &teller.process))
            .chain(self.upgrade.as_ref().map(|upgrade| &upgrade.process))
            .map(|process| process.child.pid())
            .collect();
        while let Ok(Some((pid, ended))) = child::reap_stranger(|pid| known.contains(&pid)) {
            self.report(&Event::Reaped { pid, how: super::machine::describe(ended) });
        }
    }

    /// Tells the machine what the workers' slots say.
    fn observe(&mut self, now: Mono) {
        for slot in 0..self.slots.len() {
            if self.slots[slot].is_none() {
                continue;
            }
            let Some(view) = self.log.segment().slot(slot) else { continue };
            let (beat, rss) = (Mono(view.heartbeat()), view.rss_bytes());
            self.feed(Input::Observed { slot, beat, rss });
        }
        self.feed(Input::Observation);
        queues::measure(&self.log, &self.listeners);
        self.log.slot().beat(now.0, crate::memory::resident());
        self.expire_log_level(now);
        self.tell_ended_bans(now);
        self.write_for_watch();
    }

    fn feed_watchdog(&mut self, now: Mono) {
        let progress = self.machine.makes_progress(now);
        if let Err(error) = self.notifier.feed(now, progress) {
            self.report(&Event::NotifyFailed { reason: error.to_string() });
        }
    }

    /// Counts and logs an event of the supervisor.
    pub(crate) fn report(&self, event: &Event) {
        self.log.event(event);
        if self.log.makes_reports() {
            self.report_event(event);
        }
    }

    /// The end: nothing of ours runs any more.
    fn finish(mut self) -> u8 {
        let (code, reason) = self.exit.take().unwrap_or((1, None));
        let name = self.identity.name.clone();
        match reason {
            None => self.report(&Event::ShuttingDown { name, code }),
            Some(reason) => self.report(&Event::Halted { name, code, reason }),
        }
        self.kill_teller();
        // Watch has written what it could; what is left is ours to write, for as long as it takes
        // to see that nobody reads.
        self.write_logs(Duration::from_secs(1));
        if let Some(pidfile) = &self.pidfile {
            pidfile.remove();
        }
        self.control.remove();
        for listener in self.listeners.iter().chain(&self.admin) {
            listener.unlink().ok();
        }
        code
    }
}
