//! When a receiver that did not take something is asked again, and what its answer means. Pure.

use super::super::export::receiver::Answer;
use super::super::rules::rule::Severity;
use crate::clock::Mono;
use std::time::{Duration, UNIX_EPOCH};

const BASE: Duration = Duration::from_secs(1);
const LEAST: Duration = Duration::from_millis(100);
const CAP: Duration = Duration::from_secs(300);
/// The longest wait that a receiver may ask for.
const LONGEST: Duration = Duration::from_secs(3_600);

/// How long something is worth delivering.
pub(super) fn life(severity: Severity) -> Duration {
    match severity {
        Severity::Critical => Duration::from_secs(24 * 3_600),
        Severity::Warning => Duration::from_secs(4 * 3_600),
    }
}

/// How it goes with one receiver.
#[derive(Debug, Default)]
pub(super) struct Pace {
    failures: u32,
    /// The first of them.
    pub(super) since: Mono,
    /// No attempt before.
    pub(super) next: Mono,
}

impl Pace {
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// An attempt failed, and the receiver asked for this wait.
    pub(super) fn failed(&mut self, now: Mono, after: Option<Duration>) {
        if self.failures == 0 {
            self.since = now;
        }
        let most = BASE.saturating_mul(1 << self.failures.min(10)).min(CAP);
        // Any time up to that, by the last digits of the clock: many instances are not to come back as one.
        let wait = most.mul_f64((now.0 / 7 % 1_000) as f64 / 1_000.0).max(LEAST);
        self.next = now + after.map_or(wait, |after| after.clamp(LEAST, LONGEST));
        self.failures = self.failures.saturating_add(1);
    }
}

/// What an answer means for what was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "mail"), allow(dead_code, reason = "of mail"))]
pub(super) enum Verdict {
    Taken,
    /// By some of those it is for; the others never will.
    Partly,
    /// To be sent again, after this time if the receiver named one.
    Again(Option<Duration>),
    /// It will never be taken.
    Refused,
}

/// Judges an answer that came at `seconds` since the Unix epoch.
pub(super) fn judge(answer: &Answer<'_>, seconds: u64) -> Verdict {
    match answer.status {
        200..300 => Verdict::Taken,
        408 | 425 | 429 | 500.. => Verdict::Again(wanted(answer, seconds)),
        _ => Verdict::Refused,
    }
}

/// The wait that an answer asks for, in seconds or as a date.
fn wanted(answer: &Answer<'_>, seconds: u64) -> Option<Duration> {
    let (_, value) = answer.headers.iter().find(|(name, _)| name == "retry-after")?;
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(date.saturating_sub(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, after: Option<&str>) -> Verdict {
        let headers: Vec<_> =
            after.map(|it| ("retry-after".to_owned(), it.to_owned())).into_iter().collect();
        judge(&Answer { status, headers: &headers, body: b"" }, 784_111_777)
    }

    #[test]
    fn what_may_pass_is_tried_again_as_the_receiver_asks_and_what_will_not_is_not() {
        for status in [200, 202, 204] {
            assert_eq!(verdict(status, None), Verdict::Taken);
        }
        for status in [408, 425, 429, 500, 503] {
            assert_eq!(verdict(status, None), Verdict::Again(None));
        }
        for status in [301, 400, 401, 403, 404, 410] {
            assert_eq!(verdict(status, Some("1")), Verdict::Refused);
        }
        let seconds = |n| Verdict::Again(Some(Duration::from_secs(n)));
        assert_eq!(verdict(429, Some("7")), seconds(7));
        assert_eq!(verdict(503, Some("Sun, 06 Nov 1994 08:50:37 GMT")), seconds(60));
        assert_eq!(verdict(503, Some("Sun, 06 Nov 1994 08:00:00 GMT")), seconds(0));
        assert_eq!(verdict(503, Some("soon")), Verdict::Again(None));
    }

    #[test]
    fn waits_grow_to_five_minutes_and_a_wish_counts() {
        let (mut pace, mut now) = (Pace::default(), Mono(6_993));
        for failures in 0..20_u32 {
            pace.failed(now, None);
            let wait = pace.next.since(now);
            let most = BASE.saturating_mul(1 << failures.min(10)).min(CAP);
            assert!(wait >= LEAST && wait <= most, "{failures}: {wait:?}");
            now = pace.next + Duration::from_nanos(1_234_567);
        }
        pace.failed(now, Some(Duration::from_secs(90)));
        assert_eq!(pace.next.since(now), Duration::from_secs(90));
        pace.failed(now, Some(LONGEST * 9));
        assert_eq!(pace.next.since(now), LONGEST);
        assert_eq!(pace.since, Mono(6_993));
    }
}
