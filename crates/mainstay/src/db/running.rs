//! The statements that run in this process, so that one that does not end is told of while it still
//! runs.

use super::book::Book;
use super::fingerprint::Fingerprint;
use super::statement::of_request;
use crate::clock::{self, Mono};
use crate::event::{Event, Time};
use crate::http::context::Context;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

struct Entry {
    began: Mono,
    book: Arc<Book>,
    fingerprint: Arc<Fingerprint>,
    request: Option<Arc<Context>>,
    told: bool,
}

#[derive(Default)]
struct Table {
    next: u64,
    all: BTreeMap<u64, Entry>,
}

static TABLE: Mutex<Table> = Mutex::new(Table { next: 0, all: BTreeMap::new() });

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place in the table, left when it is dropped.
#[derive(Debug)]
pub(super) struct Running(u64);

impl Drop for Running {
    fn drop(&mut self) {
        table().all.remove(&self.0);
    }
}

pub(super) fn enter(
    book: &Arc<Book>,
    fingerprint: &Arc<Fingerprint>,
    request: Option<Arc<Context>>,
) -> Running {
    let entry = Entry {
        began: clock::mono(),
        book: Arc::clone(book),
        fingerprint: Arc::clone(fingerprint),
        request,
        told: false,
    };
    let mut table = table();
    table.next += 1;
    let number = table.next;
    table.all.insert(number, entry);
    Running(number)
}

/// Tells of the statements that have run for longer than is slow, each once. Gives the time at which
/// the next one would be.
pub(crate) fn look(now: Mono) -> Option<Mono> {
    let mut next = None;
    // Told outside of the lock: a line may have to wait for its turn.
    let mut events = Vec::new();
    for entry in table().all.values_mut().filter(|entry| !entry.told) {
        let Some(limit) = entry.book.slow_query else { continue };
        let due = entry.began + limit;
        if due <= now {
            entry.told = true;
            let (pool, statement) = (entry.book.name.clone(), entry.fingerprint.text.clone());
            let (so_far, request) =
                (Time(now.since(entry.began)), of_request(entry.request.as_deref()));
            let event = Event::QueryRunning { pool, so_far, statement, request };
            events.push((Arc::clone(&entry.book), event));
        } else {
            next = Some(next.map_or(due, |next: Mono| next.min(due)));
        }
    }
    events.iter().for_each(|(book, event)| book.log().event(event));
    next
}
