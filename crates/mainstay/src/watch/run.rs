//! Watch's life: write logs on a thread, answer probes, leave when told.

use super::admin::Admin;
use super::alerts::Alerts;
use super::bans::BanFile;
use super::connections::Connections;
use super::directories::Directories;
use super::export::Exporters;
use super::heartbeat::Heartbeat;
#[cfg(feature = "sqlite")]
use super::history::History;
#[cfg(not(feature = "sqlite"))]
use super::history::Intake;
use super::logs::LogWriters;
use super::probes::Probes;
use super::scrapes::Scrapes;
use super::statsd;
use crate::clock;
use crate::config::Config;
use crate::event::Event;
use crate::log::{Log, Look};
use crate::panics;
use crate::passport::{Passed, Passport};
use crate::telemetry::Settings;
use crate::voice::{Voice, Word};
use mainstay_os::signals::{Signal, SignalSource};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// How long the last metrics may take to be pushed.
const LAST_PUSH: Duration = Duration::from_millis(500);
/// Enough for a loop that reads a descriptor.
const STACK: usize = 128 * 1024;

/// Runs the watch role to its end.
///
/// # Errors
/// When it cannot begin; the reason has been told to the supervisor.
pub(crate) fn run(
    passport: &Passport,
    config: &Config,
    name: String,
    version: String,
) -> io::Result<()> {
    let voice = Voice::take(passport.voice)?;
    let result = live(passport, config, name, version);
    if let Err(error) = &result {
        voice.say(&Word::Failed { code: 1, reason: error.to_string() });
    }
    result
}

fn live(passport: &Passport, config: &Config, name: String, version: String) -> io::Result<()> {
    let source = SignalSource::open()?;
    let (log, _) = passport.open_log()?;
    log.set_telemetry(&Settings::of(config));
    panics::install(log.clone());
    log.set_look(Look::of(config, &name, &version));
    let stop = Arc::new(Notify::new());
    let writers = LogWriters::start(&log, config)?;
    listen(source, log.clone(), Arc::clone(&stop), writers.reopener())?;
    let listeners = passport.take_listeners()?;
    let directories = Arc::new(Directories::new(config.server.uploads.as_deref()));
    let exporters = Exporters::start(&log, config, &directories, (&name, &version))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    #[cfg(feature = "sqlite")]
    let history = History::start(&log, config, &directories, (&name, &version))?;
    #[cfg(feature = "sqlite")]
    let intake = history.intake();
    // Nobody takes what is put there.
    #[cfg(not(feature = "sqlite"))]
    let intake = Arc::new(Intake::default());
    let probes = Probes::start(&log, config, &passport.serving, &intake)?;
    let found = (&directories, probes.board(), &intake);
    let alerts = Alerts::start(&log, config, found, (&name, &version))?;
    let bans = BanFile::start(&log, config)?;
    let heartbeat = Heartbeat::start(&log, config, alerts.shown())?;
    let scrapes = Scrapes::start(&log, &directories, (&name, &version))?;
    let shown = (scrapes, alerts.shown(), probes.board());
    let admin = Admin::new(log.clone(), name, version, config, shown);
    #[cfg(feature = "sqlite")]
    let admin = admin.with_history(history.door());
    runtime.block_on(async {
        let (leave, told) = oneshot::channel();
        let connections = Connections::new();
        let push = tokio::spawn(statsd::run(log.clone(), config.metrics.clone(), told));
        let threads = Threads {
            writers: &writers,
            exporters: &exporters,
            alerts: &alerts,
            probes: &probes,
            heartbeat: &heartbeat,
            bans: &bans,
            #[cfg(feature = "sqlite")]
            history: &history,
        };
        let admin = (Arc::new(admin), &connections);
        attend(listeners, admin, &directories, &log, &stop, threads).await?;
        // The last telemetry and the last lines take a while, and probes and scrapers are answered meanwhile.
        let end = move || {
            heartbeat.finish();
            bans.finish();
            probes.finish();
            alerts.finish();
            // What those have found last is in it.
            #[cfg(feature = "sqlite")]
            history.finish();
            exporters.finish();
        };
        tokio::task::spawn_blocking(end).await.map_err(io::Error::other)?;
        // Lines of workers are written while a client takes its time with the last answer.
        connections.finish().await;
        let end = move || writers.finish();
        tokio::task::spawn_blocking(end).await.map_err(io::Error::other)?;
        drop(leave);
        tokio::time::timeout(LAST_PUSH, push).await.ok();
        Ok(())
    })
}

/// What has threads that must not end by themselves.
struct Threads<'a> {
    writers: &'a LogWriters,
    exporters: &'a Exporters,
    alerts: &'a Alerts,
    probes: &'a Probes,
    heartbeat: &'a Heartbeat,
    bans: &'a BanFile,
    #[cfg(feature = "sqlite")]
    history: &'a History,
}

async fn attend(
    listeners: Vec<(OwnedFd, Passed)>,
    (admin, connections): (Arc<Admin>, &Connections),
    directories: &Directories,
    log: &Log,
    stop: &Notify,
    threads: Threads<'_>,
) -> io::Result<()> {
    for (fd, _) in listeners {
        let admin = Arc::clone(&admin);
        connections.listen(fd, move |request| {
            let admin = Arc::clone(&admin);
            async move { admin.respond(request).await }
        })?;
    }
    #[cfg(feature = "database")]
    tokio::spawn(super::checks::run(log.clone()));
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let stopped = stop.notified();
    tokio::pin!(stopped);
    loop {
        let tick = ticks.tick();
        tokio::pin!(tick);
        let over = std::future::poll_fn(|cx| {
            if stopped.as_mut().poll(cx).is_ready() {
                return std::task::Poll::Ready(true);
            }
            tick.as_mut().poll(cx).map(|_| false)
        });
        if over.await {
            return Ok(());
        }
        if threads.writers.has_failed() {
            return Err(io::Error::other("a log's thread has failed"));
        }
        // What found no room for a thread is tried again at the next tick.
        directories.settle(log.segment()).ok();
        if threads.exporters.has_failed() {
            return Err(io::Error::other("a thread of telemetry has failed"));
        }
        if admin.has_failed() {
            return Err(io::Error::other("the thread of scrapes has failed"));
        }
        if threads.alerts.has_failed() {
            return Err(io::Error::other("a thread of alerts has failed"));
        }
        if threads.probes.has_failed() {
            return Err(io::Error::other("a thread of a probe has failed"));
        }
        if threads.heartbeat.has_failed() {
            return Err(io::Error::other("the thread of the heartbeat has failed"));
        }
        if threads.bans.has_failed() {
            return Err(io::Error::other("the thread of the file of bans has failed"));
        }
        #[cfg(feature = "sqlite")]
        threads.history.tick();
        log.slot().beat(clock::mono().0, crate::memory::resident());
    }
}

/// Hears signals on a thread of its own.
fn listen(
    source: SignalSource,
    log: Log,
    stop: Arc<Notify>,
    reopen: impl Fn() + Send + 'static,
) -> io::Result<()> {
    let thread = thread::Builder::new().name("signals".into()).stack_size(STACK);
    thread.spawn(move || {
        while let Ok(signal) = source.wait() {
            match signal {
                Signal::Term | Signal::Int | Signal::Quit => stop.notify_one(),
                Signal::Usr1 => {
                    reopen();
                    log.event(&Event::LogsReopened {});
                }
                Signal::Abrt => std::process::abort(),
                _ => {}
            }
        }
    })?;
    Ok(())
}
