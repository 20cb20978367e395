//! Sentry as a receiver: one event is one envelope and one request. When the server says that it wants
//! no more for a while, what comes meanwhile is lost, and told with the next event that it takes.

use super::receiver::{Answer, Post, Receiver, Verdict};
use crate::clock::{self, Mono};
use crate::config::Config;
use crate::log::Log;
use crate::metrics::names;
use crate::telemetry::Parcel;
use crate::telemetry::sentry::Dsn;
use crate::telemetry::sentry::envelope::{CLIENT, Losses, envelope};
use std::fmt;
use std::time::Duration;

/// For an answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server is left alone that says too many requests and not for how long.
const PAUSE: Duration = Duration::from_secs(60);
/// The longest that it may ask for.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);
/// What is told of an answer's reason, bytes.
const REASON: usize = 200;

/// The project that a DSN names.
pub(crate) struct Sentry {
    url: String,
    auth: String,
    /// No event is wanted until then.
    paused: Option<Mono>,
    /// Reports lost so far, of which the server knows `told`, and will know `riding` if it takes what
    /// was posted last.
    losses: Box<dyn Fn() -> Losses + Send>,
    held_back: u64,
    told: Losses,
    riding: Losses,
}

impl fmt::Debug for Sentry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sentry").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Sentry {
    /// The receiver that the configuration names. What was lost before now is nothing to tell.
    pub(crate) fn of(config: &Config, log: &Log) -> Option<Sentry> {
        // The configuration was judged when it was read.
        let dsn = Dsn::parse(config.sentry.dsn.as_ref()?.expose()).ok()?;
        let segment = log.segment().clone();
        let losses = move || Losses {
            dropped: segment.total(names::REPORTS_DROPPED),
            suppressed: segment.total(names::REPORTS_SUPPRESSED),
            unsampled: segment.total(names::REPORTS_UNSAMPLED),
            held_back: 0,
        };
        Some(Sentry::new(&dsn, losses))
    }

    fn new(dsn: &Dsn, losses: impl Fn() -> Losses + Send + 'static) -> Sentry {
        let told = losses();
        Sentry {
            url: dsn.url(),
            auth: dsn.auth(CLIENT),
            paused: None,
            losses: Box::new(losses),
            held_back: 0,
            told,
            riding: told,
        }
    }

    /// Takes in for how long an answer wants no events.
    fn pause(&mut self, answer: &Answer<'_>) {
        let of = |name: &str| {
            let found = answer.headers.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str())
        };
        let pause = match of("x-sentry-rate-limits") {
            Some(limits) => limit_of_errors(limits),
            None if answer.status == 429 => {
                let after = of("retry-after").and_then(|it| it.trim().parse().ok());
                Some(after.map_or(PAUSE, Duration::from_secs))
            }
            None => None,
        };
        if let Some(pause) = pause {
            let until = clock::mono() + pause.min(LONGEST);
            self.paused = self.paused.max(Some(until));
        }
    }
}

/// The longest of the limits that concern errors, in `seconds:categories:scope:reason, …`. No category
/// means all of them.
fn limit_of_errors(limits: &str) -> Option<Duration> {
    let concerns = |limit: &str| {
        let mut parts = limit.trim().split(':');
        let seconds: f64 = parts.next()?.trim().parse().ok()?;
        let mut categories = parts.next().unwrap_or_default().split(';').map(str::trim);
        categories
            .any(|it| matches!(it, "" | "error" | "default"))
            .then(|| Duration::try_from_secs_f64(seconds.ceil()).ok())
            .flatten()
    };
    limits.split(',').filter_map(concerns).max()
}

impl Receiver for Sentry {
    fn name(&self) -> &'static str {
        "sentry"
    }

    fn takes(&self) -> Parcel {
        Parcel::Report
    }

    fn post(&mut self, parcels: &[&[u8]]) -> Option<Post> {
        if self.paused.is_some_and(|until| clock::mono() < until) {
            self.held_back += parcels.len() as u64;
            return None;
        }
        self.paused = None;
        let [event] = parcels else { return None };
        self.riding = Losses { held_back: self.held_back, ..(self.losses)() };
        let body = envelope(event, self.riding.since(self.told), clock::wall())?;
        let headers = [
            ("Content-Type", "application/x-sentry-envelope"),
            ("User-Agent", CLIENT),
            ("X-Sentry-Auth", &self.auth),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Some(Post { url: self.url.clone(), headers, body })
    }

    fn judge(&mut self, answer: &Answer<'_>) -> Verdict {
        self.pause(answer);
        match answer.status {
            200..300 => {
                self.told = self.riding;
                Verdict::Taken { rejected: 0 }
            }
            // The server counts it itself, and sent again it would only be one more too many.
            429 => Verdict::Refused("too many events".to_owned()),
            408 | 500.. => Verdict::Again { after: None },
            status => {
                let text = String::from_utf8_lossy(answer.body);
                let text = text.get(..text.floor_char_boundary(REASON)).unwrap_or_default();
                Verdict::Refused(format!("status {status}: {}", text.trim()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
