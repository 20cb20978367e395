//! The book of one pool in one worker: what its meter shows, who holds its connections, and whether it
//! is empty, or stuck.

use super::meter::{self, Histogram, nanos};
use super::open::{Echo, Settings};
use super::span::Target;
use crate::clock::{self, Mono};
use crate::event::{Event, Time};
use crate::health::checks::Kind;
use crate::http::context::{Context, current};
use crate::log::Log;
use mainstay_os::segment::Meter;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A wait for a connection that is longer than this is told.
const SLOW_ACQUIRE: Duration = Duration::from_millis(200);
/// So often at most.
const SLOW_EVERY: Duration = Duration::from_secs(10);
/// A pool that gives nobody a connection for so long, though its database is well, is stuck.
const WEDGED: Duration = Duration::from_secs(10);
/// Holders that are named when a pool is stuck.
const NAMED: usize = 5;

/// Who holds a connection, and since when.
#[derive(Clone, Debug)]
struct Holder {
    since: Mono,
    request: Option<Arc<Context>>,
}

/// What one look at the pool found that must be acted upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Fine,
    /// The worker must be replaced: its pool gives nothing though the database is well.
    Wedged(String),
}

/// The book of one pool.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) slow_query: Option<Duration>,
    pub(crate) echo: Echo,
    /// Where it leads to.
    pub(crate) target: Target,
    log: Log,
    index: usize,
    max: u32,
    holders: Mutex<Holders>,
    /// When a connection was last taken or given back.
    moved: AtomicU64,
    told_slow: AtomicU64,
    saturated_since: AtomicU64,
}

#[derive(Debug, Default)]
struct Holders {
    next: u64,
    all: BTreeMap<u64, Holder>,
}

impl Book {
    pub(crate) fn new(
        log: Log,
        name: String,
        kind: Kind,
        index: usize,
        max: u32,
        settings: &Settings,
    ) -> Book {
        let book = Book {
            name,
            kind,
            slow_query: settings.slow_query,
            echo: settings.echo,
            target: Target::default(),
            log,
            index,
            max,
            holders: Mutex::default(),
            moved: AtomicU64::new(clock::mono().0),
            told_slow: AtomicU64::new(0),
            saturated_since: AtomicU64::new(0),
        };
        book.meter(|meter| meter.set(meter::MAX, u64::from(max)));
        book
    }

    /// The same of a pool on this URL.
    pub(crate) fn to(self, url: &str) -> Book {
        Book { target: Target::of(url, self.kind), ..self }
    }

    /// Its check's place on the board, and its meter's in the slot.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn max(&self) -> u32 {
        self.max
    }

    fn meter<T: Default>(&self, with: impl FnOnce(Meter<'_>) -> T) -> T {
        self.log.slot().meter(self.index).map(with).unwrap_or_default()
    }

    fn holders(&self) -> MutexGuard<'_, Holders> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody begins to wait for a connection.
    pub(crate) fn wait(self: &Arc<Self>) -> Waiting {
        self.meter(|meter| meter.enter(meter::WAITING));
        Waiting { book: Arc::clone(self), since: clock::mono() }
    }

    /// A statement ended.
    pub(crate) fn ran(&self, run: Duration, failed: bool, slow: bool) {
        self.meter(|meter| {
            meter.add(meter::QUERIES, 1);
            meter.add(meter::RUN, nanos(run));
            meter.add(meter::FAILED, u64::from(failed));
            meter.add(meter::SLOW, u64::from(slow));
            Histogram::Runs.observe(meter, run);
        });
    }

    /// Looks at a pool that has `size` connections, `idle` of them unused, while its database is
    /// `reachable`.
    pub(crate) fn look(&self, size: u32, idle: usize, reachable: bool) -> Verdict {
        let now = clock::mono();
        let waiting = self.meter(|meter| {
            meter.set(meter::SIZE, u64::from(size));
            meter.set(meter::IDLE, idle as u64);
            meter.gauge(meter::WAITING)
        });
        let in_use = self.holders().all.len();
        let is_empty = waiting > 0 && idle == 0 && in_use >= self.max as usize;
        self.note_saturation(is_empty, now);
        let silent = now.since(Mono(self.moved.load(Relaxed)));
        if is_empty && reachable && silent >= WEDGED {
            let holders = self.name_holders(now);
            let after = Time(silent);
            self.log.event(&Event::PoolWedged { pool: self.name.clone(), after, holders });
            return Verdict::Wedged(format!("pool {} gave no connection for {after}", self.name));
        }
        Verdict::Fine
    }

    fn note_saturation(&self, is_empty: bool, now: Mono) {
        let since = self.saturated_since.load(Relaxed);
        let pool = || self.name.clone();
        match (is_empty, since) {
            (true, 0) => {
                self.saturated_since.store(now.0, Relaxed);
                self.meter(|meter| meter.set(meter::SATURATED, 1));
                let waiting = self.meter(|meter| meter.gauge(meter::WAITING));
                self.log.event(&Event::PoolSaturated { pool: pool(), max: self.max, waiting });
            }
            (false, since) if since != 0 => {
                self.saturated_since.store(0, Relaxed);
                self.meter(|meter| meter.set(meter::SATURATED, 0));
                let after = Time(now.since(Mono(since)));
                self.log.event(&Event::PoolRelieved { pool: pool(), after });
            }
            _ => {}
        }
    }

    /// Those who have held connections for longest: `GET /orders for 12.1 s`.
    fn name_holders(&self, now: Mono) -> String {
        let holders = self.holders();
        let mut all: Vec<&Holder> = holders.all.values().collect();
        all.sort_by_key(|holder| holder.since);
        let named = all.iter().take(NAMED).map(|holder| {
            let age = Time(now.since(holder.since));
            match &holder.request {
                Some(request) => {
                    let path = request.route.get().map_or(request.path.as_str(), AsRef::as_ref);
                    format!("{} {path} ({}) for {age}", request.method, request.id)
                }
                None => format!("no request for {age}"),
            }
        });
        let mut text = named.collect::<Vec<_>>().join(", ");
        if all.len() > NAMED {
            text = format!("{text} and {} more", all.len() - NAMED);
        }
        text
    }

    fn moved(&self, now: Mono) {
        self.moved.store(now.0, Relaxed);
    }

    fn tell_slow(&self, waited: Duration, now: Mono) {
        let last = self.told_slow.load(Relaxed);
        let is_due = last == 0 || now.since(Mono(last)) >= SLOW_EVERY;
        if waited >= SLOW_ACQUIRE
            && is_due
            && self.told_slow.compare_exchange(last, now.0, Relaxed, Relaxed).is_ok()
        {
            let (pool, max) = (self.name.clone(), self.max);
            self.log.event(&Event::PoolSlow { pool, waited: Time(waited), max });
        }
    }
}

/// Somebody waits for a connection; dropped, it waits no more.
#[derive(Debug)]
pub(crate) struct Waiting {
    book: Arc<Book>,
    since: Mono,
}

impl Waiting {
    /// There is one.
    pub(crate) fn got(self) -> Held {
        let now = clock::mono();
        let waited = now.since(self.since);
        let book = Arc::clone(&self.book);
        book.moved(now);
        book.meter(|meter| {
            meter.add(meter::ACQUIRED, 1);
            meter.add(meter::WAITED, nanos(waited));
            Histogram::Waits.observe(meter, waited);
            meter.enter(meter::IN_USE);
        });
        book.tell_slow(waited, now);
        let mut holders = book.holders();
        holders.next += 1;
        let number = holders.next;
        let request = current::current();
        holders.all.insert(number, Holder { since: now, request });
        drop(holders);
        Held { book, number, since: now, waited }
    }

    /// There is none in time.
    pub(crate) fn failed(self) {
        let waited = clock::mono().since(self.since);
        self.book.meter(|meter| {
            meter.add(meter::TIMEOUTS, 1);
            meter.add(meter::WAITED, nanos(waited));
            Histogram::Waits.observe(meter, waited);
        });
        let (pool, max) = (self.book.name.clone(), self.book.max);
        self.book.log.event(&Event::PoolTimeout { pool, waited: Time(waited), max });
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.book.meter(|meter| meter.leave(meter::WAITING));
    }
}

/// Somebody holds a connection; dropped, it is given back.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) book: Arc<Book>,
    number: u64,
    since: Mono,
    /// How long was waited for it.
    pub(crate) waited: Duration,
}

impl Drop for Held {
    fn drop(&mut self) {
        let now = clock::mono();
        let held = now.since(self.since);
        self.book.moved(now);
        self.book.meter(|meter| {
            meter.add(meter::HELD, nanos(held));
            Histogram::Holds.observe(meter, held);
            meter.leave(meter::IN_USE);
        });
        self.book.holders().all.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::names;
    use mainstay_os::segment::{Layout, Segment};

    fn book(max: u32) -> Arc<Book> {
        let layout = Layout { slots: 3, ring_bytes: [4_096; 3], ..Layout::small(names::CELLS) };
        let log = Log::new(Segment::on_heap(layout), 0);
        let settings = Settings {
            pool: None,
            hosts: 1,
            workers: 1,
            acquire_timeout: Duration::from_secs(3),
            slow_query: None,
            echo: Echo::Off,
            application: String::new(),
            boot: Duration::from_secs(30),
        };
        Arc::new(Book::new(log, "db".into(), Kind::Postgres, 2, max, &settings))
    }

    fn gauge(book: &Book, index: usize) -> u64 {
        book.meter(|meter| meter.gauge(index))
    }

    fn total(book: &Book, index: usize) -> u64 {
        book.meter(|meter| meter.total(index))
    }

    #[test]
    fn waits_and_holds_are_measured_and_end_with_their_guards() {
        let book = book(2);
        let waiting = book.wait();
        assert_eq!(gauge(&book, meter::WAITING), 1);
        let held = waiting.got();
        assert_eq!((gauge(&book, meter::WAITING), gauge(&book, meter::IN_USE)), (0, 1));
        drop(held);
        assert_eq!((gauge(&book, meter::IN_USE), total(&book, meter::ACQUIRED)), (0, 1));
        assert!(total(&book, meter::HELD) > 0);
        drop(book.wait());
        assert_eq!(total(&book, meter::TIMEOUTS), 0, "whoever leaves has not timed out");
        book.wait().failed();
        assert_eq!((gauge(&book, meter::WAITING), total(&book, meter::TIMEOUTS)), (0, 1));
        let waits: u64 = book.meter(|meter| Histogram::Waits.read(meter).iter().sum());
        assert_eq!(waits, 2);
    }

    #[test]
    fn a_pool_is_saturated_while_somebody_waits_for_one_that_is_all_in_use() {
        let book = book(1);
        let held = book.wait().got();
        assert_eq!(book.look(1, 0, true), Verdict::Fine);
        assert_eq!(gauge(&book, meter::SATURATED), 0, "nobody waits");
        let waiting = book.wait();
        assert_eq!(book.look(1, 0, true), Verdict::Fine);
        assert_eq!(gauge(&book, meter::SATURATED), 1);
        drop(held);
        drop(waiting.got());
        assert_eq!(book.look(1, 1, true), Verdict::Fine);
        assert_eq!(gauge(&book, meter::SATURATED), 0);
    }

    #[test]
    fn a_pool_that_gives_nothing_for_long_is_wedged_only_if_its_database_is_well() {
        let book = book(1);
        let _held = book.wait().got();
        let _waiting = book.wait();
        book.moved(clock::mono() - WEDGED);
        assert_eq!(book.look(1, 0, false), Verdict::Fine);
        assert!(matches!(book.look(1, 0, true), Verdict::Wedged(_)));
        book.moved(clock::mono() - WEDGED + Duration::from_secs(1));
        assert_eq!(book.look(1, 0, true), Verdict::Fine, "somebody got on meanwhile");
    }
}
