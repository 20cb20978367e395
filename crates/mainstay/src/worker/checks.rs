//! The worker's part in the checks of health: those of the application, which only a worker can make,
//! and any that nobody else makes in time.

use crate::clock::{self, Mono};
use crate::config::Health;
use crate::health::checks::{Checkpoint, Kind, Nature, declare};
use crate::health::prober::{Finding, Prober};
use crate::health::reason::Reason;
use crate::http::body::BoxError;
use crate::log::Log;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A check of the application's own, before it is given its code.
#[derive(Clone, Debug)]
pub struct Check {
    name: String,
    critical: bool,
    every: Option<Duration>,
    deadline: Option<Duration>,
}

impl Check {
    /// A check of this name, of at most 48 bytes, on which the service depends; every
    /// `health.check_interval`, with `health.check_timeout` to answer.
    pub fn new(name: impl Into<String>) -> Check {
        Check { name: name.into(), critical: true, every: None, deadline: None }
    }

    /// The service is ready though it fails.
    #[must_use]
    pub fn optional(self) -> Check {
        Check { critical: false, ..self }
    }

    /// Made so often, while it is well.
    #[must_use]
    pub fn every(self, interval: Duration) -> Check {
        Check { every: Some(interval), ..self }
    }

    /// It has so long to answer.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Check {
        Check { deadline: Some(deadline), ..self }
    }
}

impl From<&str> for Check {
    fn from(name: &str) -> Check {
        Check::new(name)
    }
}

impl From<String> for Check {
    fn from(name: String) -> Check {
        Check::new(name)
    }
}

pub(super) type Work = Pin<Box<dyn Future<Output = Finding> + Send>>;
pub(super) type Code = Arc<dyn Fn() -> Work + Send + Sync>;

/// What this worker has declared.
#[derive(Clone)]
struct Declared {
    index: usize,
    name: String,
    nature: Nature,
    target: String,
    /// How it is made here.
    code: Code,
}

/// The checks of one worker.
pub(crate) struct Checks {
    log: Log,
    generation: u64,
    interval: Duration,
    timeout: Duration,
    prober: Prober,
    declared: Mutex<Vec<Declared>>,
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checks").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Checks {
    pub(crate) fn new(log: Log, generation: u64, health: &Health) -> Checks {
        let prober = Prober::new(log.clone(), generation);
        let (interval, timeout) = (health.check_interval, health.check_timeout);
        Checks { log, generation, interval, timeout, prober, declared: Mutex::default() }
    }

    /// Adds a check of the application's and makes it for the first time.
    ///
    /// # Errors
    /// When the name is none, is taken in this worker, or there are too many checks.
    pub(crate) fn add<F, Fut>(self: &Arc<Self>, check: Check, code: F) -> Result<(), BoxError>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let nature = Nature {
            kind: Kind::App,
            critical: check.critical,
            needs_writes: false,
            every: check.every.unwrap_or(self.interval),
            deadline: check.deadline.unwrap_or(self.timeout),
        };
        let code: Code = Arc::new(move || {
            let work = code();
            Box::pin(async move {
                match work.await {
                    Ok(()) => Finding::WELL,
                    Err(error) => Finding::new(Reason::Failed, error.to_string()),
                }
            })
        });
        let index = self.declare(check.name, nature, String::new(), code)?;
        self.make(index);
        Ok(())
    }

    /// The nature of a check of something with an address, as the configuration has it.
    #[cfg(feature = "database")]
    pub(super) fn of_address(&self, kind: Kind, needs_writes: bool, critical: bool) -> Nature {
        let (every, deadline) = (self.interval, self.timeout);
        Nature { kind, critical, needs_writes, every, deadline }
    }

    #[cfg(feature = "database")]
    fn checkpoint(&self, index: usize) -> Option<Checkpoint<'_>> {
        self.prober.wanted().find(|check| check.index == index)
    }

    /// Whether the check at this place is well.
    #[cfg(feature = "database")]
    pub(super) fn is_well(&self, index: usize, now: Mono) -> bool {
        self.checkpoint(index).is_some_and(|check| check.is_healthy(now))
    }

    /// Remembers what the thing of a check is.
    #[cfg(feature = "database")]
    pub(super) fn set_identity(&self, index: usize, identity: u64) {
        if let Some(check) = self.checkpoint(index) {
            check.set_identity(identity);
        }
    }

    /// What it was.
    #[cfg(feature = "database")]
    pub(super) fn identity_of(&self, name: &str) -> u64 {
        let found = self.prober.wanted().find(|check| check.name() == name);
        found.map_or(0, |check| check.identity())
    }

    /// Declares a check, and gives its place on the board.
    ///
    /// # Errors
    /// As [`Checks::add`].
    pub(crate) fn declare(
        &self,
        name: String,
        nature: Nature,
        target: String,
        code: Code,
    ) -> Result<usize, BoxError> {
        let mut all = self.declared.lock().unwrap_or_else(PoisonError::into_inner);
        if name.trim().is_empty() || name.len() > mainstay_os::segment::MAX_NAME {
            let most = mainstay_os::segment::MAX_NAME;
            return Err(format!("{name:?} is no name of a check: it has 1 to {most} bytes").into());
        }
        if all.iter().any(|known| known.name == name) {
            return Err(format!("there is a check {name:?} already").into());
        }
        let found = declare(self.log.segment(), self.generation, &name, nature, &target);
        let Some(index) = found.map(|check| check.index) else {
            let most = mainstay_os::segment::ENTRIES;
            return Err(format!("no room for the check {name:?}: there are {most}").into());
        };
        all.push(Declared { index, name, nature, target, code });
        Ok(index)
    }

    /// Notes what was found of a check by other means.
    #[cfg(feature = "database")]
    pub(super) fn note(&self, index: usize, finding: Finding) {
        self.prober.note(index, finding);
    }

    /// Says again what this worker wants, where somebody else has said otherwise meanwhile, and makes
    /// the checks that are due. What has an address is watch's to check, and a worker's when watch is
    /// late. Gives the time of the next one.
    pub(crate) fn attend(self: &Arc<Self>, now: Mono) -> Option<Mono> {
        let all = self.declared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let segment = self.log.segment();
        if segment.header().generation() == self.generation {
            for Declared { name, nature, target, .. } in &all {
                declare(segment, self.generation, name, *nature, target);
            }
        }
        let mut next = None;
        for check in self.prober.wanted() {
            let mine = all.iter().any(|known| known.index == check.index);
            if !mine {
                continue;
            }
            let patience = if check.nature.kind.has_address() {
                check.nature.every / 2 + check.nature.deadline
            } else {
                Duration::ZERO
            };
            let due = check.due() + patience;
            if due <= now {
                self.make(check.index);
            } else {
                next = Some(next.map_or(due, |next: Mono| next.min(due)));
            }
        }
        next
    }

    /// Somebody asks whether the service is ready: has results renewed that are not quite new, for
    /// whoever asks next.
    pub(crate) fn ask(self: &Arc<Self>) {
        let now = clock::mono();
        let may = |check: Checkpoint<'_>| check.may_be_renewed(now).then_some(check.index);
        // Nearly always nothing, which costs a look at each.
        let old: Vec<usize> = self.prober.wanted().filter_map(may).collect();
        old.into_iter().for_each(|index| self.make(index));
    }

    /// Makes a check, unless somebody is at it.
    fn make(self: &Arc<Self>, index: usize) {
        let all = self.declared.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(code) = all.iter().find(|known| known.index == index).map(|it| it.code.clone())
        else {
            return;
        };
        drop(all);
        let began = self
            .prober
            .wanted()
            .find(|check| check.index == index)
            .is_some_and(|check| self.prober.begin(&check));
        if began {
            let this = Arc::clone(self);
            tokio::spawn(async move { this.prober.make(index, code()).await });
        }
    }
}
