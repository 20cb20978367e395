//! The way out: letters wait in the book, and for each receiver a thread takes them to it, the oldest first.
//!
//! A letter leaves the book when its receiver has answered for good. Whoever dies in between sends it again
//! under the same id.

use super::super::export::client::Client;
use super::super::rules::{Moment, facts, nanos};
use super::book::Book;
use super::letter::{Letter, Sender};
use super::pace::{Pace, Verdict, life};
use super::shape::{PATIENCE, send};
use crate::clock::{self, Mono};
use crate::config::receivers::Receiver;
use crate::event::{Event, Time};
use crate::log::Log;
use crate::metrics::names;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A thread that waits looks up this often.
const TURN: Duration = Duration::from_millis(500);

/// What the threads share.
#[derive(Debug)]
pub(super) struct Office {
    book: Mutex<Book>,
    bell: Condvar,
    /// When everything is to be over, monotonic nanoseconds; 0 while that is not asked for.
    end: AtomicU64,
    /// Since when each receiver takes nothing.
    failing: Mutex<BTreeMap<String, Mono>>,
    /// The book could not be saved, and that was told.
    is_unsaved: Mutex<bool>,
}

impl Office {
    pub(super) fn new(book: Book) -> Office {
        Office {
            book: Mutex::new(book),
            bell: Condvar::new(),
            end: AtomicU64::new(0),
            failing: Mutex::default(),
            is_unsaved: Mutex::default(),
        }
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything is to be over then.
    pub(super) fn close(&self, end: Mono) {
        self.end.store(end.0, SeqCst);
        self.bell.notify_all();
    }

    /// When it is to be over, once that is asked for.
    pub(super) fn end(&self) -> Option<Mono> {
        Some(Mono(self.end.load(SeqCst))).filter(|end| *end != Mono(0))
    }

    /// There is something new for the receivers.
    pub(super) fn ring(&self) {
        self.bell.notify_all();
    }

    /// Saves what the book says now. What cannot be saved counts all the same, as long as this process lives.
    pub(super) fn save(&self, book: &Book, log: &Log) {
        let saved = book.save();
        let mut is_unsaved = self.is_unsaved.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Err(error), false) = (&saved, *is_unsaved) {
            log.event(&Event::AlertsUnsaved { reason: error.to_string() });
        }
        *is_unsaved = saved.is_err();
    }

    /// Hands letters over to the receiver that stands in for this one, those that `is_one` names.
    pub(super) fn hand_over(
        &self,
        receiver: &Receiver,
        log: &Log,
        now: Moment,
        is_one: impl Fn(&Letter) -> bool,
    ) {
        let Some(stand_in) = &receiver.policy.fallback else { return };
        let mut book = self.book();
        let (count, lost) = book.hand_over(&receiver.name, stand_in, now, is_one);
        if count == 0 {
            return;
        }
        self.save(&book, log);
        drop(book);
        log.slot().add(names::NOTIFY_LOST, lost as u64);
        let (receiver, stand_in, count) = (receiver.name.clone(), stand_in.clone(), count as u64);
        log.event(&Event::NotifierStandIn { receiver, stand_in, count });
        self.ring();
    }

    fn failing(&self) -> MutexGuard<'_, BTreeMap<String, Mono>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it goes with these receivers.
    pub(super) fn look(&self, receivers: &[Receiver], now: Mono) -> Vec<facts::Receiver> {
        let failing = self.failing();
        let each = receivers.iter().map(|receiver| {
            let since = failing.get(&receiver.name);
            let failing = since.map_or(Duration::ZERO, |since| now.since(*since));
            facts::Receiver { name: receiver.name.clone(), failing }
        });
        each.collect()
    }
}

/// A client for one receiver.
pub(super) fn client() -> Client {
    Client::new(PATIENCE)
}

/// The thread of one receiver.
#[derive(Debug)]
pub(super) struct Courier<'a> {
    office: &'a Office,
    receiver: &'a Receiver,
    sender: &'a Sender,
    log: &'a Log,
    client: Client,
    pace: Pace,
    /// Its failing was told.
    told: bool,
    /// The moment of the clock of letters, for a monotonic one.
    base: (Moment, Mono),
}

impl<'a> Courier<'a> {
    pub(super) fn new(
        office: &'a Office,
        (receiver, sender): (&'a Receiver, &'a Sender),
        log: &'a Log,
        base: (Moment, Mono),
    ) -> Courier<'a> {
        let (client, pace) = (client(), Pace::default());
        Courier { office, receiver, sender, log, client, pace, told: false, base }
    }

    /// Delivers until the end is ordered, and then what is there, each letter once.
    pub(super) fn run(mut self) {
        loop {
            let (now, end) = (clock::mono(), self.office.end());
            if end.is_some_and(|end| now >= end || self.pace.is_failing()) {
                return;
            }
            let book = self.office.book();
            let letter = book.first(&self.receiver.name).cloned();
            match letter {
                None if end.is_some() => return,
                Some(letter) if now >= self.pace.next => {
                    drop(book);
                    self.attempt(&letter, now);
                }
                _ => {
                    // Who rings knows nothing that is not looked at again.
                    let bell = &self.office.bell;
                    drop(bell.wait_timeout(book, TURN).unwrap_or_else(PoisonError::into_inner));
                }
            }
        }
    }

    fn attempt(&mut self, letter: &Letter, now: Mono) {
        let (start, at) = self.base;
        let moment = start + nanos(now.since(at));
        if moment.saturating_sub(letter.made) > nanos(life(letter.severity())) {
            return self.lost(letter, "it is too old by now", moment);
        }
        match send(&self.client, self.receiver, letter, self.sender) {
            Ok((Verdict::Taken, _)) => {
                self.log.slot().add(names::NOTIFIED, 1);
                self.answered();
                self.done(letter);
            }
            Ok((Verdict::Partly, reason)) => {
                self.log.slot().add(names::NOTIFIED, 1);
                let (receiver, what) = (self.receiver.name.clone(), letter.what());
                self.log.event(&Event::NotificationPartly { receiver, what, reason });
                self.answered();
                self.done(letter);
            }
            Ok((Verdict::Again(after), how)) => {
                self.failed(&format!("it answers with {how}"), after);
            }
            Ok((Verdict::Refused, how)) => {
                // It answers, and takes nothing: it is not tried again, and not well either.
                self.pace = Pace::default();
                self.office.failing().entry(self.receiver.name.clone()).or_insert(now);
                self.lost(letter, &format!("it was refused with {how}"), moment);
            }
            Err(reason) => self.failed(&reason, None),
        }
    }

    fn done(&self, letter: &Letter) {
        let mut book = self.office.book();
        book.done(&self.receiver.name, &letter.id);
        self.office.save(&book, self.log);
    }

    fn lost(&self, letter: &Letter, reason: &str, now: Moment) {
        self.log.slot().add(names::NOTIFY_LOST, 1);
        let (receiver, what, reason) =
            (self.receiver.name.clone(), letter.what(), reason.to_owned());
        self.log.event(&Event::NotificationLost { receiver, what, reason });
        if self.receiver.policy.fallback.is_some() {
            self.office.hand_over(self.receiver, self.log, now, |it| it.id == letter.id);
        }
        self.done(letter);
    }

    fn answered(&mut self) {
        self.pace = Pace::default();
        let since = self.office.failing().remove(&self.receiver.name);
        if std::mem::take(&mut self.told) {
            let now = clock::mono();
            let after = Time(now.since(since.unwrap_or(now)));
            self.log.event(&Event::NotifierBack { receiver: self.receiver.name.clone(), after });
        }
    }

    fn failed(&mut self, reason: &str, after: Option<Duration>) {
        let now = clock::mono();
        self.log.slot().add(names::NOTIFY_FAILED, 1);
        self.pace.failed(now, after);
        self.office.failing().insert(self.receiver.name.clone(), self.pace.since);
        if !std::mem::replace(&mut self.told, true) {
            let waiting = self.office.book().waiting(&self.receiver.name) as u64;
            let (receiver, reason) = (self.receiver.name.clone(), reason.to_owned());
            self.log.event(&Event::NotifierAway { receiver, reason, waiting });
        }
    }
}
