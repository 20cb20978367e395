//! The history at work: each second a look, every ten seconds a batch for the thread that writes.

use super::super::directories::Directories;
use super::super::threads;
use super::intake::Intake;
use super::look;
use super::read::{Answer, Question};
use super::recorder::{Message, Recorder};
use super::roll::STEP;
use super::store::Batch;
use crate::clock::{self, Mono};
use crate::config::Config;
use crate::log::Log;
use crate::metrics::names;
use crate::status::Status;
use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::oneshot;

/// Messages that wait for the thread: about ten minutes of batches.
const WAITING: usize = 64;
/// How many may ask at once.
const ASKING: usize = 8;
/// How long the last batch may take.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// SQLite's and sqlx's frames are large where nothing is optimized.
const STACK: usize = 1 << 20;

/// The way to the thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Door {
    way: Option<SyncSender<Message>>,
    /// How many ask.
    asking: Arc<AtomicUsize>,
}

/// One who asks. Dropped, he does no more.
struct Asking<'a>(&'a AtomicUsize);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Door {
    /// Whether there is a history.
    pub(crate) fn is_open(&self) -> bool {
        self.way.is_some()
    }

    /// Asks; an error when there is no answer in time.
    pub(crate) async fn ask(&self, question: Question) -> io::Result<Answer> {
        let busy = || io::Error::other("the history is busy");
        let (answer, answered) = oneshot::channel();
        let door = self.way.as_ref().ok_or_else(busy)?;
        // Questions must not take the place of batches.
        let _asking = Asking(&self.asking);
        if self.asking.fetch_add(1, Relaxed) >= ASKING {
            return Err(busy());
        }
        door.try_send(Message::Ask(question, answer)).map_err(|_| busy())?;
        tokio::time::timeout(ANSWER, answered).await.map_err(|_| busy())?.map_err(|_| busy())
    }
}

/// The thread, and who hands it what it writes.
#[derive(Debug)]
pub(crate) struct History {
    intake: Arc<Intake>,
    log: Log,
    directories: Arc<Directories>,
    name: String,
    version: String,
    door: Door,
    thread: Option<JoinHandle<()>>,
    /// The ten seconds that are under way.
    step: Cell<Option<i64>>,
    /// When the processor time was looked at, and what it was.
    cpu: Cell<Option<(Mono, u64)>>,
}

impl History {
    /// Starts it, if the configuration asks for it.
    ///
    /// # Errors
    /// When the system has no room for a thread.
    pub(crate) fn start(
        log: &Log,
        config: &Config,
        directories: &Arc<Directories>,
        (name, version): (&str, &str),
    ) -> io::Result<History> {
        let mut history = History {
            intake: Arc::default(),
            log: log.clone(),
            directories: Arc::clone(directories),
            name: name.to_owned(),
            version: version.to_owned(),
            door: Door::default(),
            thread: None,
            step: Cell::new(None),
            cpu: Cell::new(None),
        };
        if !config.history.enabled {
            return Ok(history);
        }
        let (door, told) = mpsc::sync_channel(WAITING);
        let recorder = Recorder {
            log: log.clone(),
            directory: config.alerts.state.clone(),
            most: config.history.max_bytes,
            is_told: false,
            failures: 0,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let thread = thread::Builder::new().name("history".into()).stack_size(STACK);
        history.thread = Some(thread.spawn(move || recorder.run(&told, &runtime))?);
        history.door = Door { way: Some(door), ..Door::default() };
        history.intake.open();
        Ok(history)
    }

    /// Where others put what they find.
    pub(crate) fn intake(&self) -> Arc<Intake> {
        Arc::clone(&self.intake)
    }

    /// Where it can be asked.
    pub(crate) fn door(&self) -> Door {
        self.door.clone()
    }

    /// Each second.
    pub(crate) fn tick(&self) {
        if !self.door.is_open() {
            return;
        }
        let status = Status::read(self.log.segment(), &self.name, &self.version);
        let step = seconds().div_euclid(STEP);
        match self.step.replace(Some(step)) {
            Some(last) if last != step => self.hand_over(&status, last * STEP, (last + 1) * STEP),
            _ => {}
        }
        look::gauges(&self.intake, self.log.segment(), &status, &self.directories);
    }

    /// What there was from then on, and what is over.
    fn hand_over(&self, status: &Status, at: i64, end: i64) {
        let Some(door) = &self.door.way else { return };
        let (segment, now) = (self.log.segment(), clock::mono());
        let cpu = look::processes(&self.intake, segment);
        if let Some((then, before)) = self.cpu.replace(Some((now, cpu))) {
            let passed = now.since(then).as_secs_f64().max(0.001);
            self.intake.look("cpu_cores", cpu.saturating_sub(before) as f64 / 1e6 / passed);
        }
        let (found, mut lost) = self.intake.take();
        let parts: Vec<_> =
            found.parts.into_iter().map(|(name, (kind, bucket))| (name, kind, bucket)).collect();
        let count = (parts.len() + found.happenings.len()) as u64;
        let batch = Batch { at, end, parts, happenings: found.happenings };
        let totals = look::totals(segment, status);
        // Totals come again with the next batch; all else of this one is gone.
        if door.try_send(Message::Batch(Box::new((batch, totals)))).is_err() {
            lost += count;
        }
        self.log.slot().add(names::HISTORY_LOST, lost);
    }

    /// Writes down what there is, as far as that is soon done.
    pub(crate) fn finish(self) {
        let deadline = clock::mono() + PATIENCE;
        if let Some(step) = self.step.get() {
            let status = Status::read(self.log.segment(), &self.name, &self.version);
            self.hand_over(&status, step * STEP, seconds());
        }
        // One that is behind ends when nobody can tell it anything more, or with the process.
        if let Some(door) = &self.door.way {
            door.try_send(Message::End).ok();
        }
        threads::end(self.thread.into_iter().collect(), deadline);
    }
}

fn seconds() -> i64 {
    (clock::wall() / 1_000_000_000) as i64
}
