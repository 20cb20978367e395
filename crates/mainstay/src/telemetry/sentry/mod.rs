//! Error tracking: what goes wrong becomes an event of Sentry's, in the process where it went wrong or,
//! when that is dead, in the supervisor. It goes through the ring to watch, which sends it; so a report
//! outlives the process that made it.

mod dsn;
pub(crate) mod envelope;
mod event;
mod frames;
mod limit;
mod scrub;
#[cfg(test)]
mod tests;

pub(crate) use dsn::Dsn;
pub(crate) use event::{Fault, Gravity, Report, What};

use crate::clock::{self, Civil};
use crate::config::{Level, Sentry};
use crate::http::context::{Context, Crumb, RequestId, id};
use crate::log::{Log, Service};
use crate::metrics::names;
use crate::telemetry::Parcel;
use limit::Limiter;
use serde_json::Value;
use std::sync::{Mutex, PoisonError};

/// The reports of one process: what all of them say, and how many they may be.
#[derive(Debug)]
pub(crate) struct Reports {
    service: Service,
    release: String,
    slot: usize,
    generation: u64,
    /// The operating system and its release.
    system: (String, String),
    sample_rate: f64,
    pii: bool,
    limiter: Mutex<Limiter>,
}

impl Reports {
    /// Those that the configuration asks for, of the process in this slot; none when it asks for none.
    pub(crate) fn of(
        config: &Sentry,
        service: &Service,
        slot: usize,
        generation: u64,
    ) -> Option<Reports> {
        config.dsn.as_ref()?;
        let Service { name, version, .. } = service;
        let own = || if version.is_empty() { String::new() } else { format!("{name}@{version}") };
        let system = rustix::system::uname();
        let [kind, kernel] = [system.sysname(), system.release()].map(|it| it.to_string_lossy());
        Some(Reports {
            service: service.clone(),
            release: config.release.clone().unwrap_or_else(own),
            slot,
            generation,
            system: (kind.into_owned(), kernel.into_owned()),
            sample_rate: config.sample_rate,
            pii: config.send_pii,
            limiter: Mutex::default(),
        })
    }

    /// Hands a report over, unless it is one too many or not chosen. Nobody waits; what becomes of it is
    /// counted.
    #[cold]
    pub(crate) fn tell(&self, log: &Log, report: &Report<'_>) {
        let cell = if !self.chooses() {
            names::REPORTS_UNSAMPLED
        } else if !self.admits(report) {
            names::REPORTS_SUPPRESSED
        } else if log.hand_over(Parcel::Report, &self.event(report)) {
            names::REPORTS
        } else {
            names::REPORTS_DROPPED
        };
        log.slot().add(cell, 1);
    }

    /// Tells of what the application has said at ERROR outside of any request. Within one it is a
    /// crumb: the answer tells whether the request failed.
    pub(crate) fn tell_record(
        &self,
        log: &Log,
        logger: &str,
        message: &str,
        error: Option<&str>,
        facts: &[(&str, &str)],
    ) {
        let mut extra: Vec<_> = facts.iter().map(|(name, it)| (*name, Value::from(*it))).collect();
        extra.extend(error.map(|error| ("error", Value::from(error))));
        let report = Report {
            id: "",
            level: Gravity::Error,
            what: What::Message { logger, message },
            request: None,
            tags: Vec::new(),
            release: None,
            extra,
            fingerprint: Vec::new(),
        };
        self.tell(log, &report);
    }

    fn event(&self, report: &Report<'_>) -> Vec<u8> {
        let wall = clock::wall();
        let own = compact(RequestId::new(wall).as_str());
        // Who was given an id finds the event by it.
        let id = Some(compact(report.id)).filter(|id| is_event_id(id)).unwrap_or(own);
        report.to_json(self, &id, wall)
    }

    fn admits(&self, report: &Report<'_>) -> bool {
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        limiter.admits(report.fault(), clock::mono())
    }

    fn chooses(&self) -> bool {
        // The upper 53 bits are a fraction.
        let dice = (id::random() >> 11) as f64 / (1_u64 << 53) as f64;
        dice < self.sample_rate
    }
}

/// A UUID without its dashes.
fn compact(id: &str) -> String {
    id.chars().filter(|it| *it != '-').collect()
}

fn is_event_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Remembers something that happened in a request, for the report of its failure. What is finer than
/// info is not remembered.
pub(crate) fn remember(
    context: &Context,
    level: Level,
    category: &str,
    message: &str,
    facts: &[(&str, &str)],
) {
    let level = match level {
        Level::Debug => return,
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
        Level::Critical => "fatal",
    };
    context.drop_crumb(Crumb::new(clock::wall(), level, category, message, facts));
}

/// A wall time by RFC 3339, in microseconds of UTC.
fn stamp(wall: u64) -> String {
    let Civil { year, month, day, hour, minute, second } = Civil::from_unix(wall / 1_000_000_000);
    let micros = wall % 1_000_000_000 / 1_000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}
