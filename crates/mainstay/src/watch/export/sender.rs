//! From a spool to its receiver: the oldest first, again until it is taken or refused.

use super::Orders;
use super::client::Client;
use super::course::Course;
use super::drain::Way;
use super::receiver::{Receiver, Verdict};
use super::spool::Batch;
use super::totals::Reason;
use crate::clock::{self, Mono};
use crate::event::{Event, Time};
use crate::log::Log;
use std::sync::PoisonError;
use std::time::Duration;

/// Most bytes of a request, before it is compressed, give or take one parcel.
const MOST: usize = 1 << 20;
/// A thread that waits looks up this often.
const TURN: Duration = Duration::from_millis(500);
/// What a receiver refuses is told at most this often.
const TELL: Duration = Duration::from_secs(60);

/// How requests to a receiver are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// For an answer.
    pub(super) timeout: Duration,
    /// How long what came first waits for company.
    pub(super) delay: Duration,
    /// Most parcels in a request.
    pub(super) most: usize,
}

/// The thread of one receiver.
pub(super) struct Sender<'a> {
    way: &'a Way,
    receiver: Box<dyn Receiver>,
    pace: Pace,
    client: Client,
    log: &'a Log,
    orders: &'a Orders,
    course: Course,
    /// Since when something waits.
    since: Option<Mono>,
    told: Option<Mono>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(
        way: &'a Way,
        receiver: Box<dyn Receiver>,
        pace: Pace,
        log: &'a Log,
        orders: &'a Orders,
    ) -> Sender<'a> {
        let (client, course) = (Client::new(pace.timeout), Course::default());
        Sender { way, receiver, pace, client, log, orders, course, since: None, told: None }
    }

    /// Sends until the end is ordered and nothing waits, or nothing more can be done.
    pub(super) fn run(mut self) {
        loop {
            let now = clock::mono();
            let is_end = self.orders.is_drained();
            if is_end && now >= self.orders.end() {
                return;
            }
            match self.wait_for(now, is_end) {
                Some(wait) if wait.is_zero() => {
                    self.attempt();
                    // At the end each receiver has one chance.
                    if is_end && self.course.is_failing() {
                        return;
                    }
                }
                Some(wait) => self.sleep(wait),
                None if is_end => return,
                None => self.sleep(TURN),
            }
        }
    }

    /// How long to wait before the next attempt; none when there is nothing to send.
    fn wait_for(&mut self, now: Mono, is_end: bool) -> Option<Duration> {
        let (waiting, bytes) = {
            let spool = self.way.spool();
            (spool.waiting(), spool.unsent())
        };
        if waiting == 0 {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert(now);
        if is_end {
            return Some(Duration::ZERO);
        }
        let is_much = waiting >= self.pace.most as u64 || bytes >= MOST as u64;
        let company =
            if is_much || self.course.is_failing() { now } else { since + self.pace.delay };
        Some(company.max(self.course.next()).since(now))
    }

    fn sleep(&self, wait: Duration) {
        let spool = self.way.spool();
        // Who rings knows nothing that is not looked at again.
        drop(
            self.way
                .bell
                .wait_timeout(spool, wait.min(TURN))
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    fn attempt(&mut self) {
        let oldest = self.way.spool().oldest(self.pace.most, MOST);
        let (batch, unread) = match oldest {
            Ok(oldest) => oldest,
            Err(error) => return self.failed(&error.to_string(), None),
        };
        if unread > 0 {
            // How many items that were stands nowhere; what is counted is corrected by what waits.
            let reason = format!("{unread} bytes of it cannot be read");
            self.log.event(&Event::TelemetryLost { receiver: self.way.name, reason });
        }
        if batch.is_empty() {
            return self.correct();
        }
        let post = self.receiver.post(&batch.parcels());
        let Some(post) = post else {
            self.way.totals.lost(Reason::HeldBack, batch.items);
            return self.done(&batch);
        };
        let receiver = &mut self.receiver;
        match self.client.send(&post, |answer| (receiver.judge(answer), answer.status)) {
            Err(reason) => self.failed(&reason, None),
            Ok((Verdict::Again { after }, status)) => {
                self.failed(&format!("it answers with status {status}"), after);
            }
            Ok((Verdict::Taken { rejected }, _)) => {
                let rejected = rejected.min(batch.items);
                self.way.totals.sent(batch.items - rejected);
                self.way.totals.lost(Reason::Rejected, rejected);
                if rejected > 0 {
                    self.refused(rejected, "it took the rest");
                }
                self.answered(&batch);
            }
            Ok((Verdict::Refused(reason), _)) => {
                self.way.totals.lost(Reason::Refused, batch.items);
                self.refused(batch.items, &reason);
                self.answered(&batch);
            }
        }
    }

    /// Nothing is left, whatever was thought to wait.
    fn correct(&mut self) {
        let waiting = self.way.spool().give_up_waiting();
        self.way.totals.lost(Reason::Unreadable, waiting);
    }

    fn answered(&mut self, batch: &Batch) {
        if let Some(after) = self.course.answered(clock::mono()) {
            let (receiver, after) = (self.way.name, Time(after));
            self.log.event(&Event::TelemetryBack { receiver, after });
        }
        self.done(batch);
    }

    fn done(&mut self, batch: &Batch) {
        self.since = None;
        let mut spool = self.way.spool();
        // Otherwise it is sent again after a restart, and nothing else can be done.
        spool.done(batch).ok();
        self.way.totals.set_spool(spool.unsent());
    }

    fn failed(&mut self, reason: &str, after: Option<Duration>) {
        if self.course.failed(clock::mono(), after) {
            let (receiver, reason) = (self.way.name, reason.to_owned());
            let waiting = self.way.spool().waiting();
            self.log.event(&Event::TelemetryAway { receiver, reason, waiting });
        }
    }

    fn refused(&mut self, items: u64, reason: &str) {
        let now = clock::mono();
        if self.told.is_none_or(|told| now.since(told) >= TELL) {
            self.told = Some(now);
            let (receiver, reason) = (self.way.name, reason.to_owned());
            self.log.event(&Event::TelemetryRefused { receiver, items, reason });
        }
    }
}
