//! Probes: what an outside monitor would ask, asked from here. Each has a thread, so that one that waits stops
//! no other; what they found is shown to the alert rules, on the admin listener and in the metrics.
//!
//! `attempt` asks once (`stream`, `http`, `tls`, `certificate`, `dns` are what it asks with, `family` over which
//! addresses, `failure` says what went wrong), `verdict` decides what attempts mean, `vantage` whether anything can be reached from here, `own`
//! which probes the service has by itself, `show` publishes, `command` is for people.

mod attempt;
#[cfg(feature = "tls")]
mod certificate;
mod command;
mod dns;
mod failure;
mod family;
mod http;
mod own;
#[cfg(feature = "tls")]
#[cfg(test)]
mod phases;
mod show;
mod stream;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;
mod vantage;
mod verdict;

use super::history::Intake;
use super::rules::facts;
use super::threads;
use crate::clock::{self, Mono};
use crate::config::Config;
use crate::config::probes::{Family, Probe};
use crate::event::{Event, Time};
use crate::health::State as Health;
use crate::log::Log;
use attempt::{Attempt, attempt};
pub(crate) use command::{list, once};
use failure::Failure;
use mainstay_os::segment::Segment;
use show::Gauges;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use vantage::Vantage;
use verdict::{Outcome, State, Verdict};

/// What is published is published again this often, so that what is old is known to be.
const REFRESH: Duration = Duration::from_secs(5);
/// The first attempts are spread over this time.
const SPREAD: Duration = Duration::from_secs(2);
/// A service may be starting for so long.
const START: Duration = Duration::from_secs(60);
/// How long attempts that are under way at the end are waited for.
const PATIENCE: Duration = Duration::from_millis(500);
/// TLS needs more than most.
const STACK: usize = 1 << 20;

/// What one probe has found.
#[derive(Debug)]
struct Entry {
    probe: Probe,
    is_own: bool,
    verdict: Verdict,
    last: Option<(Mono, u64, Attempt)>,
}

/// What all have found, shared with whoever shows it.
#[derive(Debug, Default)]
pub(crate) struct Board {
    entries: Mutex<Vec<Entry>>,
}

impl Board {
    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the alert rules look at. Certificates are judged at `seconds` since the Unix epoch.
    pub(crate) fn look(&self, seconds: u64) -> Vec<facts::Probe> {
        let entries = self.entries();
        let each = entries.iter().map(|entry| {
            let attempt = entry.last.as_ref().map(|(_, _, attempt)| attempt);
            let left = attempt.and_then(|it| it.ends);
            facts::Probe {
                name: entry.probe.name.clone(),
                target: entry.probe.target.to_string(),
                is_own: entry.is_own,
                is_up: match entry.verdict.state() {
                    State::Unknown => None,
                    state => Some(state == State::Up),
                },
                why: attempt.map(Attempt::why).unwrap_or_default(),
                days_left: left.map(|end| (end as f64 - seconds as f64) / 86_400.0),
            }
        });
        each.collect()
    }
}

/// The threads.
#[derive(Debug)]
pub(crate) struct Probes {
    board: Arc<Board>,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Probes {
    /// Starts those of the configuration, and those that the service has for its listeners.
    ///
    /// # Errors
    /// When the system has no room for a thread.
    pub(crate) fn start(
        log: &Log,
        config: &Config,
        serving: &[String],
        intake: &Arc<Intake>,
    ) -> io::Result<Probes> {
        let now = clock::mono();
        let own = own::probes(config, serving).into_iter().map(|probe| (probe, true));
        let all = own.chain(config.probes.iter().map(|probe| (probe.clone(), false)));
        let entries: Vec<_> = all.map(|(probe, is_own)| Entry::new(probe, is_own, now)).collect();
        let names: Vec<_> = entries.iter().map(|entry| entry.probe.name.clone()).collect();
        show::forget(log, &names);
        let board = Arc::new(Board { entries: Mutex::new(entries) });
        let is_over = Arc::new(AtomicBool::new(false));
        let vantage = Arc::new(Vantage::new(config, log));
        let mut threads = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let prober = Prober {
                index,
                board: Arc::clone(&board),
                is_over: Arc::clone(&is_over),
                vantage: Arc::clone(&vantage),
                gauges: Gauges::new(log, name),
                log: log.clone(),
                intake: Arc::clone(intake),
            };
            let thread = thread::Builder::new().name("probe".into()).stack_size(STACK);
            threads.push(thread.spawn(move || prober.run())?);
        }
        Ok(Probes { board, is_over, threads })
    }

    pub(crate) fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// A thread has ended by itself, which only a fault in it does.
    pub(crate) fn has_failed(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Ends them; one that waits for an answer is left to the end of the process.
    pub(crate) fn finish(self) {
        self.is_over.store(true, SeqCst);
        threads::end(self.threads, clock::mono() + PATIENCE);
    }
}

impl Entry {
    fn new(probe: Probe, is_own: bool, now: Mono) -> Entry {
        let verdict = Verdict::new(probe.interval, probe.confirm, probe.recover, now);
        Entry { probe, is_own, verdict, last: None }
    }
}

/// The thread of one probe.
struct Prober {
    index: usize,
    board: Arc<Board>,
    is_over: Arc<AtomicBool>,
    vantage: Arc<Vantage>,
    gauges: Gauges,
    log: Log,
    intake: Arc<Intake>,
}

impl Prober {
    fn run(self) {
        let (probe, is_own) = {
            let entries = self.board.entries();
            (entries[self.index].probe.clone(), entries[self.index].is_own)
        };
        let spread = probe.interval.min(SPREAD);
        let mut next = clock::mono() + spread.mul_f64(dice() as f64 / 1_000.0);
        self.gauges.set(State::Unknown);
        while !self.is_over.load(SeqCst) {
            let now = clock::mono();
            if now < next {
                thread::park_timeout(next.since(now).min(REFRESH));
                self.gauges.set(self.board.entries()[self.index].verdict.state());
                continue;
            }
            let was_paused = is_own && !is_judged(self.log.segment(), now);
            let found = attempt(&probe);
            let is_paused = was_paused || is_own && !is_judged(self.log.segment(), clock::mono());
            if found.has_reached() {
                self.vantage.reached();
            }
            let outcome =
                if is_paused { Outcome::Paused } else { judge(&probe, &found, &self.vantage) };
            next = self.note(&probe, outcome, found, now);
        }
    }

    /// Takes note of an attempt; returns when the next one is due.
    fn note(&self, probe: &Probe, outcome: Outcome, mut found: Attempt, begun: Mono) -> Mono {
        if outcome != Outcome::Paused {
            self.gauges.count(outcome, &found);
        }
        // What says nothing of the target is no attempt on it.
        if matches!(outcome, Outcome::Good | Outcome::Bad) {
            let seconds = found.total.as_secs_f64();
            self.intake.attempt(&probe.name, seconds, outcome == Outcome::Bad);
        }
        let why = found.why();
        let mut entries = self.board.entries();
        let entry = &mut entries[self.index];
        // Who does not come as far as that says nothing of certificates.
        found.ends = found.ends.or_else(|| entry.last.as_ref().and_then(|(.., last)| last.ends));
        let change = entry.verdict.note(outcome, begun);
        entry.last = Some((begun, clock::wall(), found));
        let (state, pause) = (entry.verdict.state(), entry.verdict.pause(dice()));
        drop(entries);
        self.gauges.set(state);
        let name = || probe.name.clone();
        if let Some(change) = &change {
            let why = if change.to == State::Down { format!(": {why}") } else { String::new() };
            let text = format!("{:?} after {}{why}", change.to, Time(change.after));
            self.intake.happened("probe", &probe.name, text.to_lowercase());
        }
        match change.map(|change| (change.from, change.to, Time(change.after))) {
            Some((_, State::Down, _)) => {
                self.log.event(&Event::ProbeDown {
                    probe: name(),
                    target: probe.target.to_string(),
                    reason: why,
                });
            }
            Some((State::Down, State::Up, after)) => {
                self.log.event(&Event::ProbeUp { probe: name(), after });
            }
            // That nothing can be known is told once, for all.
            _ => {}
        }
        begun + pause
    }
}

/// What an attempt says of its target.
fn judge(probe: &Probe, found: &Attempt, vantage: &Vantage) -> Outcome {
    let Some(failure) = found.failure else { return Outcome::Good };
    // A host without IPv6 learns nothing about it, and has not lost anything.
    if failure == Failure::NoWay && matches!(probe.family, Family::Only(_)) {
        return Outcome::Unknown;
    }
    if found.is_near || found.has_reached() || !failure.may_be_ours() {
        return Outcome::Bad;
    }
    if vantage.can_reach(failure) { Outcome::Bad } else { Outcome::Unknown }
}

/// Whether the service is to be there: one that starts or stops is not.
fn is_judged(segment: &Segment, now: Mono) -> bool {
    match Health::from_word(segment.header().state()) {
        Health::Draining | Health::Stopped => false,
        Health::Starting => now.since(Mono(segment.header().started_mono())) >= START,
        Health::Ready | Health::Degraded => true,
    }
}

/// A number below 1,000 from the last digits of the clock: many are not to ask as one.
fn dice() -> u64 {
    clock::mono().0 / 7 % 1_000
}
