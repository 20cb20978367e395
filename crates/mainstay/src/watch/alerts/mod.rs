//! The alert rules at work: a thread looks at the service, decides with all rules at once, writes down what it
//! has decided together with what is to be delivered, and tells it; a thread for each receiver delivers.

mod book;
mod command;
#[cfg(test)]
mod cost;
mod desk;
mod evidence;
mod figures;
mod hours;
mod hush;
mod letter;
mod look;
mod notice;
mod office;
mod pace;
mod requests;
mod shape;
mod show;
mod wishes;
mod zones;

use super::directories::Directories;
use super::history::Intake;
use super::probes::Board;
use super::rules::builtin::rules;
use super::rules::engine::{Engine, Kind, Notice};
use super::rules::facts::{self, Facts};
use super::rules::judge::findings;
use super::rules::own;
use super::rules::{Moment, nanos};
use crate::announced;
use crate::clock::{self, Mono};
use crate::config::maintenance::{self, Window};
use crate::config::own::OwnRule;
use crate::config::receivers::{self, Receiver, Shape};
use crate::config::{self, Config};
use crate::event::{Event, Time};
use crate::health::State;
use crate::log::Log;
use crate::metrics::names;
use crate::status::Status;
use book::Book;
pub(crate) use command::{explain, export, list, test};
use desk::Still;
use evidence::Routes;
use hours::Place;
pub(crate) use hush::Wish;
use letter::{Item, Sender};
pub(crate) use notice::notice;
use office::{Courier, Office};
pub(crate) use show::Shown;
use show::{Gauges, Picture};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
pub(crate) use wishes::ask;
use zones::Zones;

/// What goes up and down between two looks, such as a pool, is looked at this often.
const SAMPLE: Duration = Duration::from_secs(1);
/// The state is saved this often at most, unless something has changed.
const SAVE: Duration = Duration::from_secs(5);
/// Nobody has looked for a while, if it is longer than two looks and than this.
const GAP: Duration = Duration::from_secs(15);
/// How long the last letters may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// A thread that ends is looked for this often.
const SOON: Duration = Duration::from_millis(5);
/// TLS needs more than most.
const STACK: usize = 1 << 20;

/// The threads.
#[derive(Debug)]
pub(crate) struct Alerts {
    office: Arc<Office>,
    shown: Arc<Shown>,
    thread: Option<JoinHandle<()>>,
}

impl Alerts {
    /// Starts what the configuration asks for.
    ///
    /// # Errors
    /// When the system has no room for a thread.
    pub(crate) fn start(
        log: &Log,
        config: &Config,
        (directories, probes, intake): (&Arc<Directories>, Arc<Board>, &Arc<Intake>),
        (name, version): (&str, &str),
    ) -> io::Result<Alerts> {
        let shown = Arc::new(Shown::default());
        if !config.alerts.enabled {
            let office = Arc::new(Office::new(Book::default()));
            return Ok(Alerts { office, shown, thread: None });
        }
        let office = Arc::new(Office::new(open(log, config)));
        // The configuration has judged it.
        let maintenance = maintenance::parse(&config.alerts.maintenance).unwrap_or_default();
        let (zones, unknown) = Zones::of(&maintenance);
        for zone in unknown {
            log.event(&Event::AlertsZone { zone });
        }
        let look = Looker {
            log: log.clone(),
            config: config.clone(),
            receivers: named(config),
            zones,
            maintenance,
            own: own::named(&config.alerts),
            sender: sender(name, version, &config.alerts),
            directories: Arc::clone(directories),
            probes,
            intake: Arc::clone(intake),
            office: Arc::clone(&office),
            shown: Arc::clone(&shown),
        };
        let thread = thread::Builder::new().name("alerts".into()).stack_size(STACK);
        let thread = Some(thread.spawn(move || look.run())?);
        Ok(Alerts { office, shown, thread })
    }

    /// What the admin listener shows.
    pub(crate) fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.shown)
    }

    /// The thread has ended by itself, which only a fault in it does.
    pub(crate) fn has_failed(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Delivers what is there, as far as that is soon done. The rest stays in the book.
    pub(crate) fn finish(self) {
        let deadline = clock::mono() + PATIENCE;
        self.office.close(deadline);
        if let Some(thread) = self.thread {
            thread.thread().unpark();
            // One that waits for an answer is left to the end of the process.
            while !thread.is_finished() && clock::mono() < deadline {
                thread::park_timeout(SOON);
            }
        }
    }
}

/// Longer than that between two looks is a gap, nanoseconds.
fn patience(interval: Duration) -> u64 {
    nanos((interval * 2).max(GAP))
}

/// The receivers that the configuration names; it has judged them.
fn named(config: &Config) -> Vec<Receiver> {
    let text = config.alerts.receivers.as_ref().map_or("", |it| it.expose());
    receivers::parse(text).unwrap_or_default()
}

fn sender(name: &str, version: &str, alerts: &config::Alerts) -> Sender {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let (service, version, link) = (name.to_owned(), version.to_owned(), alerts.link.clone());
    Sender { service, version, host, link }
}

/// The book as it was left.
fn open(log: &Log, config: &Config) -> Book {
    let Some(directory) = &config.alerts.state else { return Book::default() };
    match Book::open(directory) {
        Ok((book, None)) => book,
        Ok((book, Some(reason))) => {
            log.event(&Event::AlertsForgotten { reason });
            book
        }
        Err(error) => {
            let reason = format!("{}: {error}", directory.display());
            log.event(&Event::AlertsUnsaved { reason });
            Book::default()
        }
    }
}

/// The thread that looks.
struct Looker {
    log: Log,
    config: Config,
    receivers: Vec<Receiver>,
    maintenance: Vec<Window>,
    zones: Zones,
    own: Vec<OwnRule>,
    sender: Sender,
    directories: Arc<Directories>,
    probes: Arc<Board>,
    intake: Arc<Intake>,
    office: Arc<Office>,
    shown: Arc<Shown>,
}

/// What it has in hand.
struct Work {
    engine: Engine,
    routes: Routes,
    announced: announced::Board,
    gauges: Gauges,
    saved: Moment,
    last: Moment,
    /// The rules' time at which it began, and the monotonic clock's.
    base: (Moment, Mono),
    /// For how long nobody had looked, until that is judged.
    gap: Option<Duration>,
    /// Of the states that were saved.
    states: u64,
}

impl Looker {
    fn run(self) {
        let start = clock::mono();
        let (work, base) = self.begin(start);
        thread::scope(|scope| {
            let mut couriers = Vec::new();
            for receiver in &self.receivers {
                let whom = (receiver, &self.sender);
                let courier = Courier::new(&self.office, whom, &self.log, base);
                let thread = thread::Builder::new().name("notify".into()).stack_size(STACK);
                match thread.spawn_scoped(scope, move || courier.run()) {
                    Ok(thread) => couriers.push(thread),
                    // Whoever looks after this thread sees that something is wrong.
                    Err(_) => return self.office.close(clock::mono()),
                }
            }
            self.look_on(work, base, || couriers.iter().any(thread::ScopedJoinHandle::is_finished));
        });
    }

    /// Goes on where the book ends.
    fn begin(&self, start: Mono) -> (Work, (Moment, Mono)) {
        let (segment, alerts) = (self.log.segment(), &self.config.alerts);
        let mut book = self.office.book();
        let kept = &mut book.kept;
        // Somebody ended the service, and nobody was to look after it.
        let was_ended = std::mem::take(&mut kept.ended);
        let run = segment.header().started_mono();
        let here = Place { run, mono: start.0, wall: clock::wall() };
        let before = (kept.memory.last(), kept.place);
        let begin = hours::go_on(before, here, was_ended);
        let now = begin.now;
        let memory = std::mem::take(&mut kept.memory);
        let patience = patience(alerts.interval);
        let (engine, _) = Engine::resume(rules(alerts), memory, now, patience);
        // Of one that was killed it is told however short it was: nobody knows what else that has ended.
        let is_gap = begin.passed > patience || begin.is_unclean;
        let gap = is_gap.then_some(Duration::from_nanos(begin.passed));
        if let Some(gap) = gap {
            self.log.event(&Event::AlertsGap { gap: Time(gap) });
        }
        let gap = gap.filter(|_| !was_ended);
        kept.memory = engine.memory();
        kept.put_off(begin.leap);
        kept.windows = std::mem::take(&mut kept.windows).of(segment.header().started_wall());
        let names: Vec<_> = self.receivers.iter().map(|it| &*it.name).collect();
        for (receiver, letter) in book.strangers(&names) {
            self.log.slot().add(names::NOTIFY_LOST, 1);
            let (what, reason) = (letter.what(), "nobody of that name is told any more".to_owned());
            self.log.event(&Event::NotificationLost { receiver, what, reason });
        }
        if let Some(state) = &alerts.state {
            wishes::tidy(state);
        }
        let gauges = Gauges::new(segment, self.log.slot_index(), &engine);
        let routes = Routes::default();
        let announced = announced::Board::default();
        let (saved, states) = (0, 0);
        let base = (now, start);
        let work = Work { engine, routes, announced, gauges, saved, last: now, gap, states, base };
        (work, base)
    }

    /// Looks until the end is ordered, or a courier has failed.
    fn look_on(&self, mut work: Work, (begin, start): (Moment, Mono), failed: impl Fn() -> bool) {
        let interval = self.config.alerts.interval;
        let mut next = start;
        while self.office.end().is_none() {
            if failed() {
                return self.office.close(clock::mono());
            }
            let mono = clock::mono();
            let now = begin + nanos(mono.since(start));
            let is_time = mono >= next;
            self.look(&mut work, now, is_time);
            if is_time {
                // What came late is not made up for.
                next = (next + interval).max(mono);
            }
            let wait = next.since(clock::mono()).min(SAMPLE);
            thread::park_timeout(wait.max(Duration::from_millis(1)));
        }
        let state = State::from_word(self.log.segment().header().state());
        let mut book = self.office.book();
        book.kept.ended = matches!(state, State::Draining | State::Stopped);
        self.office.save(&book, &self.log);
    }

    /// Takes note of everything, and decides if it is time to.
    fn look(&self, work: &mut Work, now: Moment, is_time: bool) {
        let (segment, alerts) = (self.log.segment(), &self.config.alerts);
        let passed = now.saturating_sub(std::mem::replace(&mut work.last, now));
        if passed > patience(alerts.interval) {
            // Watch was stopped, or had no turn.
            let gap = Duration::from_nanos(passed);
            self.log.event(&Event::AlertsGap { gap: Time(gap) });
            work.gap = Some(gap);
        }
        let status = Status::read(segment, &self.sender.service, &self.sender.version);
        let receivers = self.office.look(&self.receivers, clock::mono());
        let probes = self.probes.look(clock::wall() / 1_000_000_000);
        let mut facts = look::look(segment, &status, &self.directories, receivers, probes);
        if is_time {
            facts.own = figures::find(&self.own, segment, &status, &self.directories);
        }
        work.routes.note(now, segment, alerts);
        let mut book = self.office.book();
        self.grant(work, &mut book, now);
        book.kept.windows.note(now, &facts, alerts);
        if !is_time {
            return self.show(work, &facts, &book);
        }
        book.kept.windows.note_own(now, &facts, &self.own);
        facts.gap = work.gap.take();
        let blind = work.engine.blind();
        let found = findings((alerts, &self.own), &book.kept.windows, &facts, &blind);
        let failed = found.iter().filter(|it| it.reading == super::rules::rule::Reading::Failed);
        self.log.slot().add(names::EVALUATION_ERRORS, failed.count() as u64);
        let announced = alerts.state.as_ref().map_or(&[][..], |state| work.announced.look(state));
        // What is said by day and hour follows the host's clock.
        let wall = clock::wall();
        let times = (now, wall);
        let quiet = book
            .kept
            .hush
            .quiet((&self.maintenance, announced), times, |it| self.zones.east(it, wall));
        work.engine.be_quiet(quiet);
        let notices = work.engine.tick(now, found, facts.complete);
        book.kept.hush.forget(&work.engine);
        let evidence = notices.iter().any(|it| it.kind != Kind::Held).then(|| {
            let remembered = (&book.kept.windows, &work.routes);
            evidence::gather(segment, &status, &facts, remembered, times, alerts)
        });
        let evidence = evidence.unwrap_or_default();
        let posted = if alerts.dry_run {
            0
        } else {
            self.post(&mut book, &work.engine, (&notices, &evidence), now)
        };
        book.kept.memory = work.engine.memory();
        let mono = work.base.1 + Duration::from_nanos(now - work.base.0);
        let run = segment.header().started_mono();
        book.kept.place = Place { run, mono: mono.0, wall };
        let states = states(&work.engine);
        let is_new = !notices.is_empty() || posted > 0 || states != work.states;
        if is_new || now.saturating_sub(work.saved) >= nanos(SAVE) {
            (work.saved, work.states) = (now, states);
            self.office.save(&book, &self.log);
        }
        work.gauges.set(&work.engine);
        self.show(work, &facts, &book);
        drop(book);
        let failing = facts.receivers.iter().map(|it| it.failing).max().unwrap_or_default();
        self.shown.looked_at(clock::mono(), failing);
        self.log.slot().add(names::EVALUATIONS, 1);
        notices.iter().for_each(|notice| self.tell(notice, &evidence, now));
        self.stand_in(&facts.receivers, now);
        self.office.ring();
    }

    /// Does what commands have asked for.
    fn grant(&self, work: &Work, book: &mut Book, now: Moment) {
        let Some(state) = &self.config.alerts.state else { return };
        for (id, wish) in wishes::waiting(state) {
            let around = (&work.engine, &self.sender);
            let known = match &wish {
                Wish::Acknowledge { alert, by } => Some((alert.clone(), by.clone())),
                _ => None,
            };
            let granted = book.kept.hush.grant(&id, wish, around, now).map(|(told, is_new)| {
                if is_new {
                    if let Some((alert, by)) = &known {
                        self.tell_known(book, alert, by, now);
                    }
                    // Whoever asked may rely on it.
                    self.office.save(book, &self.log);
                    self.log.event(&Event::AlertsQuiet { what: told.clone() });
                }
                told
            });
            wishes::answer(state, &id, &granted);
        }
    }

    /// Tells those who would go on calling people that somebody knows.
    fn tell_known(&self, book: &mut Book, alert: &str, by: &str, now: Moment) {
        if self.config.alerts.dry_run {
            return;
        }
        for receiver in self.receivers.iter().filter(|it| it.shape == Shape::PagerDuty) {
            let letter = book.desk(&receiver.name).known(alert, by, now);
            let lost = letter.map_or(0, |letter| book.post(&receiver.name, letter));
            self.log.slot().add(names::NOTIFY_LOST, lost as u64);
        }
    }

    /// Puts letters into the book: about what is to be told, and what waited for its time. Returns how many.
    fn post(
        &self,
        book: &mut Book,
        engine: &Engine,
        (notices, evidence): (&[Notice], &serde_json::Value),
        now: Moment,
    ) -> usize {
        let mut posted = 0;
        let hush = book.kept.hush.clone();
        let still = |item: &Item| match still(engine, item) {
            Still::Fires(_) if hush.known_by(&item.name(), item.fired).is_some() => Still::Quiet,
            still => still,
        };
        for receiver in &self.receivers {
            let is_behind = book.waiting(&receiver.name) > 0;
            let desk = book.desk(&receiver.name);
            for notice in notices.iter().filter(|it| it.kind != Kind::Held) {
                desk.note(Item::of(notice, &self.sender, evidence, now), &receiver.policy, now);
            }
            let letters = desk.turn(now, receiver, is_behind, still);
            posted += letters.len();
            let lost = letters.into_iter().map(|it| book.post(&receiver.name, it)).sum::<usize>();
            self.log.slot().add(names::NOTIFY_LOST, lost as u64);
            if lost > 0 {
                let (receiver, what) = (receiver.name.clone(), format!("{lost} of the oldest"));
                let reason = "too many wait".to_owned();
                self.log.event(&Event::NotificationLost { receiver, what, reason });
            }
        }
        posted
    }

    /// Tells others what is for receivers that have taken nothing for too long.
    fn stand_in(&self, receivers: &[facts::Receiver], now: Moment) {
        for (receiver, found) in self.receivers.iter().zip(receivers) {
            if !found.failing.is_zero() && found.failing >= receiver.policy.fallback_after {
                self.office.hand_over(receiver, &self.log, now, |_| true);
            }
        }
    }

    fn show(&self, work: &Work, facts: &Facts, book: &Book) {
        self.shown.set(Picture::take((&work.engine, &self.sender), &facts.receivers, book));
        work.gauges.set_receivers(&facts.receivers, book);
    }

    /// Writes it into the log.
    fn tell(&self, notice: &Notice, evidence: &serde_json::Value, now: Moment) {
        let rule = letter::name(&notice.rule, &notice.subject);
        let why = notice.reason.as_ref().map_or(String::new(), |it| format!(" ({it})"));
        let what = format!("{}{why}", notice.text);
        let severity = notice.severity.as_str();
        let kind = format!("{:?}", notice.kind).to_lowercase();
        self.intake.happened("alert", &rule, format!("{kind}, {severity}: {what}"));
        match notice.kind {
            Kind::Firing => {
                let what = format!("{what}{}", evidence::words(evidence));
                self.log.event(&Event::AlertFiring { rule: rule.clone(), severity, what });
            }
            Kind::Held => self.log.event(&Event::AlertHeld { rule: rule.clone(), what }),
            Kind::Resolved => {
                let after = Time(Duration::from_nanos(now.saturating_sub(notice.fired)));
                self.log.event(&Event::AlertResolved { rule: rule.clone(), after, what });
            }
        }
        if self.config.alerts.dry_run && notice.kind != Kind::Held {
            for receiver in &self.receivers {
                let (receiver, what) = (receiver.name.clone(), rule.clone());
                self.log.event(&Event::NotificationDry { receiver, what });
            }
        }
    }
}

/// How it is with an alert that was told.
fn still(engine: &Engine, item: &Item) -> Still {
    let rules = engine.rules().iter();
    let Some(rule) = rules.into_iter().position(|rule| rule.name == item.rule) else {
        return Still::Unknown;
    };
    match engine.alerts(rule).find(|(subject, _)| *subject == item.subject) {
        Some((_, alert)) if alert.state.fires() && alert.fired == item.fired => match alert.gate {
            Some(_) => Still::Quiet,
            None => Still::Fires(alert.text.clone()),
        },
        _ => Still::Unknown,
    }
}

/// The state of every alert in one number, to see whether one has changed.
fn states(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    for index in 0..engine.rules().len() {
        for (subject, alert) in engine.alerts(index) {
            (index, subject, alert.state as u8, &alert.gate).hash(&mut hasher);
        }
    }
    hasher.finish()
}
