//! The thread that sends metrics: all of them at each interval, and once more at the end.
//!
//! Totals as they stand need no memory: what was not taken is in the next ones. For differences the totals
//! that the receiver has are kept, in the spool's directory where there is one, so that the next watch goes
//! on from there. Without it, a new watch of a service that runs begins anew: what was counted between the
//! last export and its start is in no difference, and nothing is ever in two.

use super::Orders;
use super::client::Client;
use super::course::Course;
use super::figures::{Base, Figures};
use super::otlp::{self, Origin};
use super::receiver::Verdict;
use super::totals::{Reason, Totals};
use crate::clock::{self, Mono};
use crate::config::otel::Route;
use crate::event::{Event, Time};
use crate::log::Log;
use crate::status::Status;
use crate::watch::directories::Directories;
use crate::watch::metrics;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io, thread};

const NAME: &str = "metrics";
/// The file of the spool's directory that has the base.
const FILE: &str = "metrics.json";
/// The thread looks up this often.
const TURN: Duration = Duration::from_millis(500);
/// What the receiver refuses is told at most this often.
const TELL: Duration = Duration::from_secs(60);

/// What is sent, and where.
#[derive(Debug)]
pub(super) struct Push {
    pub(super) log: Log,
    pub(super) directories: Arc<Directories>,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) origin: Origin,
    pub(super) route: Route,
    pub(super) interval: Duration,
    /// Differences are sent.
    pub(super) delta: bool,
    /// Buckets of histograms grow by a factor.
    pub(super) exponential: bool,
    /// The spool's directory.
    pub(super) directory: Option<PathBuf>,
}

/// The thread's life.
#[derive(Debug)]
struct Life {
    push: Push,
    client: Client,
    totals: Totals,
    course: Course,
    base: Option<Base>,
    told: Option<Mono>,
}

impl Push {
    /// Sends until the end is ordered.
    pub(super) fn run(self, orders: &Orders) {
        let totals = Totals::new(self.log.segment(), self.log.slot_index(), NAME);
        let base = self.delta.then(|| self.first_base());
        let client = Client::new(self.route.timeout);
        let mut next = clock::mono() + self.interval;
        let course = Course::default();
        let mut life = Life { push: self, client, totals, course, base, told: None };
        loop {
            let is_end = orders.end() != Mono(0);
            let now = clock::mono();
            if is_end || now >= next {
                life.attempt();
                next = match life.course.is_failing() {
                    // Sooner than at the next interval, unless that is short.
                    true => life.course.next().min(now + life.push.interval.max(TURN)),
                    false => (next + life.push.interval).max(now),
                };
            }
            if is_end {
                return;
            }
            let wait = next.since(clock::mono()).min(TURN);
            thread::park_timeout(wait);
        }
    }

    fn segment_id(&self) -> u64 {
        self.log.segment().header().started_wall()
    }

    fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        let segment = self.log.segment();
        let status = Status::read(segment, &self.name, &self.version);
        metrics::walk(segment, &status, &self.directories.seen(), &mut figures);
        figures
    }

    /// What the receiver is known to have.
    fn first_base(&self) -> Base {
        let kept = self.directory.as_ref().and_then(|directory| {
            let text = fs::read(directory.join(FILE)).ok()?;
            serde_json::from_slice::<Base>(&text).ok()
        });
        if let Some(kept) = kept.filter(|kept| kept.segment == self.segment_id()) {
            return kept;
        }
        let is_first = self.log.slot().epoch() <= 1;
        if is_first {
            let segment = self.segment_id();
            return Base::nothing(segment, segment);
        }
        self.figures().base(self.segment_id(), clock::wall())
    }

    fn keep(&self, base: &Base) -> io::Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let text = serde_json::to_vec(base).map_err(io::Error::other)?;
        let new = directory.join(format!("{FILE}.new"));
        fs::create_dir_all(directory)?;
        fs::write(&new, text)?;
        fs::rename(new, directory.join(FILE))
    }
}

impl Life {
    fn attempt(&mut self) {
        let (figures, now) = (self.push.figures(), clock::wall());
        let start = self.push.segment_id();
        let (fields, points) =
            figures.encode(self.base.as_ref(), self.push.exponential, (start, now));
        let body = self.push.origin.request(|out| out.extend_from_slice(&fields));
        let post = otlp::post(&self.push.route, body);
        let outcome = self.client.send(&post, |answer| (otlp::judge(answer), answer.status));
        match outcome {
            Err(reason) => self.failed(&reason, None),
            Ok((Verdict::Again { after }, status)) => {
                self.failed(&format!("it answers with status {status}"), after);
            }
            Ok((Verdict::Taken { rejected }, _)) => {
                let rejected = rejected.min(points);
                self.count(points, rejected, Reason::Rejected, "it took the rest");
                if self.base.is_some() {
                    let base = figures.base(start, now);
                    // Otherwise the next watch begins anew.
                    self.push.keep(&base).ok();
                    self.base = Some(base);
                }
            }
            // Nothing is lost by it: the totals stay, and so does the base.
            Ok((Verdict::Refused(reason), _)) => {
                self.count(points, points, Reason::Refused, &reason);
            }
        }
    }

    fn count(&mut self, points: u64, lost: u64, reason: Reason, words: &str) {
        let now = clock::mono();
        self.totals.taken(points);
        if lost < points {
            self.totals.sent(points - lost);
        }
        self.totals.lost(reason, lost);
        if lost > 0 && self.told.is_none_or(|told| now.since(told) >= TELL) {
            self.told = Some(now);
            let (receiver, items, reason) = (NAME, lost, words.to_owned());
            self.push.log.event(&Event::TelemetryRefused { receiver, items, reason });
        }
        if let Some(after) = self.course.answered(now) {
            self.push.log.event(&Event::TelemetryBack { receiver: NAME, after: Time(after) });
        }
    }

    fn failed(&mut self, reason: &str, after: Option<Duration>) {
        if self.course.failed(clock::mono(), after) {
            let (receiver, reason, waiting) = (NAME, reason.to_owned(), 0);
            self.push.log.event(&Event::TelemetryAway { receiver, reason, waiting });
        }
    }
}
