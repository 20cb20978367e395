//! The sending of what leaves the host: from the rings to a spool for each receiver, from there to it.
//!
//! One thread drains, and one for each receiver sends, so that one that blocks stops nothing but itself.
//! None of it is on the path of a request: a ring that nobody drains is full, and counts what it refuses.

pub(crate) mod client;
mod course;
mod disk;
mod drain;
mod exponential;
mod figures;
mod frame;
mod otlp;
mod proto;
mod push;
pub(crate) mod receiver;
mod sender;
mod sentry;
mod spool;
#[cfg(test)]
mod tests;
mod totals;

use crate::clock::{self, Mono};
use crate::config::Config;
use crate::config::otel::Route;
use crate::event::Event;
use crate::log::Log;
use crate::telemetry::Parcel;
use crate::watch::directories::Directories;
use crate::watch::threads;
use drain::{Drain, Way};
use otlp::{Origin, Otlp};
use push::Push;
use receiver::Receiver;
use sender::{Pace, Sender};
use sentry::Sentry;
use spool::Spool;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use totals::Totals;

/// How soon a ring is looked at again when there is traffic, and when there was none for a while.
const SOON: Duration = Duration::from_millis(5);
const IDLE: Duration = Duration::from_millis(80);
/// How long the last parcels may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// TLS needs more than most.
const STACK: usize = 1 << 20;

/// What the threads are told.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// When everything is to be over, monotonic nanoseconds; 0 while that is not asked for.
    end: AtomicU64,
    /// Nothing more comes from the rings.
    drained: AtomicBool,
}

impl Orders {
    /// Whether what is in the spools now is all.
    pub(super) fn is_drained(&self) -> bool {
        self.drained.load(SeqCst)
    }

    /// When everything is to be over.
    pub(super) fn end(&self) -> Mono {
        Mono(self.end.load(SeqCst))
    }
}

/// The threads.
#[derive(Debug)]
pub(crate) struct Exporters {
    orders: Arc<Orders>,
    threads: Vec<JoinHandle<()>>,
}

/// A receiver with its pace.
struct Target {
    receiver: Box<dyn Receiver>,
    pace: Pace,
}

/// Where spools are.
#[derive(Clone, Debug)]
struct Room {
    directory: Option<PathBuf>,
    bytes: u64,
}

impl Exporters {
    /// Starts what the configuration asks for, if anything.
    ///
    /// # Errors
    /// When the system has no room for a thread.
    pub(crate) fn start(
        log: &Log,
        config: &Config,
        directories: &Arc<Directories>,
        (name, version): (&str, &str),
    ) -> io::Result<Exporters> {
        let orders = Arc::new(Orders::default());
        let mut threads = Vec::new();
        let origin = Origin::new(&attributes(log, config, name, version));
        let targets = targets(log, config, &origin);
        if !targets.is_empty() {
            let (log, orders) = (log.clone(), Arc::clone(&orders));
            let telemetry = &config.telemetry;
            let room = Room { directory: telemetry.spool.clone(), bytes: telemetry.spool_size };
            let thread = thread::Builder::new().name("telemetry".into()).stack_size(STACK);
            threads.push(thread.spawn(move || export(&log, targets, &room, &orders))?);
        }
        if let Some(route) = config.otel.metrics.clone() {
            let push = Push {
                log: log.clone(),
                directories: Arc::clone(directories),
                name: name.to_owned(),
                version: version.to_owned(),
                origin,
                route,
                interval: config.otel.interval,
                delta: config.otel.delta,
                exponential: config.otel.exponential,
                directory: config.telemetry.spool.clone(),
            };
            let orders = Arc::clone(&orders);
            let thread = thread::Builder::new().name("metrics".into()).stack_size(STACK);
            threads.push(thread.spawn(move || push.run(&orders))?);
        }
        Ok(Exporters { orders, threads })
    }

    /// A thread has ended by itself, which only a fault in it does.
    pub(crate) fn has_failed(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Sends what is there, as far as that is soon done. The rest stays in the spool.
    pub(crate) fn finish(self) {
        let deadline = clock::mono() + PATIENCE;
        self.orders.end.store(deadline.0, SeqCst);
        // What one that waits for an answer has is in the spool.
        threads::end(self.threads, deadline);
    }
}

/// The receivers of parcels.
fn targets(log: &Log, config: &Config, origin: &Origin) -> Vec<Target> {
    let otlp = |name, parcel, route: &Route| Target {
        pace: Pace { timeout: route.timeout, delay: route.delay, most: route.most },
        receiver: Box::new(Otlp { name, parcel, route: route.clone(), origin: origin.clone() }),
    };
    let traces = config.otel.traces.as_ref().map(|it| otlp("traces", Parcel::Spans, it));
    let logs = config.otel.logs.as_ref().map(|it| otlp("logs", Parcel::Logs, it));
    let sentry = Sentry::of(config, log).map(|sentry| Target {
        pace: Pace { timeout: sentry::TIMEOUT, delay: Duration::ZERO, most: 1 },
        receiver: Box::new(sentry),
    });
    traces.into_iter().chain(logs).chain(sentry).collect()
}

/// What is told of the service; what comes later counts.
fn attributes(log: &Log, config: &Config, name: &str, version: &str) -> Vec<(String, String)> {
    let header = log.segment().header();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // One for the service on this host from its start on, over reloads and upgrades.
    let instance = format!("{host}-{:x}", header.started_wall());
    let known = [
        ("service.name", name.to_owned()),
        ("service.version", version.to_owned()),
        ("service.instance.id", instance),
        ("deployment.environment.name", config.server.environment.clone().unwrap_or_default()),
        ("host.name", host),
        ("process.pid", header.supervisor_pid().to_string()),
        ("telemetry.sdk.name", "mainstay".to_owned()),
        ("telemetry.sdk.language", "rust".to_owned()),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let mut all: Vec<_> = known.map(|(name, value)| (name.to_owned(), value)).into();
    all.extend(config.otel.attributes.iter().cloned());
    all.extend(config.otel.service_name.clone().map(|it| ("service.name".to_owned(), it)));
    all
}

/// The life of the thread that drains, and within it those of the senders.
fn export(log: &Log, targets: Vec<Target>, room: &Room, orders: &Orders) {
    let ways: Vec<_> = targets.iter().map(|target| open(log, target, room)).collect();
    let mut drain = Drain::new(log, &ways);
    // Before anything is sent, the rings are behind what an earlier watch had put into the spools.
    drain.take_over();
    thread::scope(|scope| {
        let mut senders = Vec::new();
        for (way, Target { receiver, pace }) in ways.iter().zip(targets) {
            let sender = Sender::new(way, receiver, pace, log, orders);
            let thread = thread::Builder::new().name(way.name.into()).stack_size(STACK);
            match thread.spawn_scoped(scope, move || sender.run()) {
                Ok(thread) => senders.push(thread),
                Err(_) => return,
            }
        }
        let mut pause = SOON;
        while orders.end() == Mono(0) {
            if senders.iter().any(thread::ScopedJoinHandle::is_finished) {
                // Whoever looks after this thread sees that something is wrong.
                break;
            }
            pause = if drain.step() > 0 { SOON } else { (pause * 2).min(IDLE) };
            drain.tell_dropped(clock::mono());
            thread::park_timeout(pause);
        }
        drain.take_all();
        drain.tell_dropped(clock::mono());
        orders.drained.store(true, SeqCst);
        ways.iter().for_each(|way| way.bell.notify_one());
    });
}

/// The way to a receiver, with its spool as it was left.
fn open(log: &Log, target: &Target, room: &Room) -> Way {
    let (name, segment) = (target.receiver.name(), log.segment());
    let directory = room.directory.as_ref().map(|it| it.join(name));
    let spool = directory.and_then(|directory| {
        let spool = Spool::on_disk(&directory, room.bytes, segment.header().started_wall());
        let reason = match spool {
            Ok(spool) => return Some(spool),
            Err(error) => format!("{}: {error}", directory.display()),
        };
        log.event(&Event::TelemetryUnspooled { receiver: name, reason });
        None
    });
    let spool = spool.unwrap_or_else(|| Spool::in_memory(room.bytes));
    let totals = Totals::new(segment, log.slot_index(), name);
    totals.reconcile(spool.waiting());
    totals.set_spool(spool.unsent());
    let takes = target.receiver.takes();
    Way { name, takes, spool: Mutex::new(spool), bell: Condvar::new(), totals }
}
