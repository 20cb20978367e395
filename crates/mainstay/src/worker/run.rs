//! A worker's life: boot the application, say READY, serve, drain, leave.

use super::accept::{Listener, accept};
use super::assemble::{Parts, assemble};
use super::conn::App;
use super::minder::Minder;
use super::{Shared, Worker};
use crate::clock;
use crate::config::{Config, QUICK_GRACE};
#[cfg(feature = "database")]
use crate::db::Foreign;
#[cfg(feature = "database")]
use crate::db::Migrations;
use crate::event::{Event, Time};
use crate::http::body::BoxError;
use crate::http::errors::OwnPage;
use crate::log::bridge;
use crate::panics;
use crate::passport::{Passed, Passport};
use crate::telemetry::Settings;
use crate::voice::{Voice, Word};
use mainstay_os::signals::SignalSource;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

type Listeners = Vec<(OwnedFd, Passed)>;

/// How a worker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did what it was told.
    Done,
    /// The runtime, a descriptor or a thread was not to be had, or the factory panicked.
    BootFailed,
    /// The factory returned an error.
    AppFailed,
}

/// What a worker does before the application.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Error pages of the application's.
    pub(crate) pages: Vec<OwnPage>,
    /// The steps of the schema.
    #[cfg(feature = "database")]
    pub(crate) migrations: Option<Migrations>,
}

/// Runs the worker role to its end.
pub(crate) fn run<F, Fut, A>(
    passport: &Passport,
    config: Config,
    name: String,
    version: String,
    plan: Plan,
    factory: F,
) -> Outcome
where
    F: FnOnce(Worker) -> Fut,
    Fut: Future<Output = Result<A, BoxError>>,
    A: App,
{
    let voice = match Voice::take(passport.voice) {
        Ok(voice) => Arc::new(voice),
        // Without a voice nobody can be told; the exit code says it.
        Err(_) => return Outcome::BootFailed,
    };
    match start(passport, config, name, version, &voice, &plan.pages) {
        Ok((shared, runtime, listeners)) => {
            live(&shared, runtime, listeners, &voice, plan, factory)
        }
        Err(error) => {
            voice.say(&Word::Failed { code: 3, reason: error.to_string() });
            Outcome::BootFailed
        }
    }
}

fn start(
    passport: &Passport,
    config: Config,
    name: String,
    version: String,
    voice: &Arc<Voice>,
    pages: &[OwnPage],
) -> io::Result<(Arc<Shared>, Runtime, Listeners)> {
    // Before any thread, so that all of them have the signals blocked.
    let source = SignalSource::open()?;
    // Before the application runs: what it starts must not inherit them.
    let listeners = passport.take_listeners()?;
    let (log, _) = passport.open_log()?;
    panics::install(log.clone());
    // Before records are taken in: whether spans are wanted is asked once.
    log.set_telemetry(&Settings::of(&config));
    bridge::install(&log);
    let says = Arc::clone(voice);
    let generation = passport.generation;
    let parts = Parts { log, config, name, version, generation, pages };
    let shared = assemble(parts, move |word| says.say(&word))?;
    // For the limits and bans that the application brings.
    shared.layers.limiter.install();
    #[cfg(feature = "metrics")]
    crate::metrics::facade::install(&shared.metrics);
    let runtime = runtime(&shared)?;
    let entered = runtime.enter();
    let minder = Minder::new(source, Arc::clone(&shared))?;
    drop(entered);
    runtime.spawn(minder.run());
    Ok((shared, runtime, listeners))
}

/// The runtime that serves: on this thread alone, or on as many as configured.
fn runtime(shared: &Shared) -> io::Result<Runtime> {
    panics::serve_here();
    let log = shared.log.clone();
    let mut builder = match shared.config.workers.threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(threads as usize);
            builder
        }
    };
    builder.enable_all().on_thread_start(panics::serve_here);
    builder.on_thread_park(move || panics::tell_uncaught(&log)).build()
}

fn live<F, Fut, A>(
    shared: &Arc<Shared>,
    runtime: Runtime,
    listeners: Listeners,
    voice: &Arc<Voice>,
    plan: Plan,
    factory: F,
) -> Outcome
where
    F: FnOnce(Worker) -> Fut,
    Fut: Future<Output = Result<A, BoxError>>,
    A: App,
{
    let worker = Worker::new(Arc::clone(shared));
    let built = panics::caught(|| {
        runtime.block_on(async {
            shared.layers.limiter.meet_store().await;
            prepare(shared, plan).await?;
            factory(worker).await
        })
    });
    let (code, reason) = match built {
        Ok(Ok(app)) => match panics::caught(|| serve(shared, &runtime, listeners, voice, app)) {
            Ok(Ok(())) => {
                runtime.shutdown_timeout(Duration::from_millis(100));
                return Outcome::Done;
            }
            Ok(Err(error)) => (3, error.to_string()),
            Err(panic) => (3, format!("the worker panicked: {panic}")),
        },
        Ok(Err(error)) => (4, chain(error.as_ref())),
        Err(panic) => (3, format!("the factory panicked: {panic}")),
    };
    shared.log.event(&Event::AppFailed { reason: reason.clone() });
    voice.say(&Word::Failed { code, reason });
    if code == 4 { Outcome::AppFailed } else { Outcome::BootFailed }
}

#[cfg(feature = "database")]
async fn prepare(shared: &Shared, plan: Plan) -> Result<(), BoxError> {
    let is_traced = shared.log.tracing().is_some();
    bridge::statements::listen(Foreign::new(&shared.database_settings(), is_traced));
    match plan.migrations {
        Some(migrations) => super::migrate::on_start(shared, &migrations).await,
        None => Ok(()),
    }
}

#[cfg(not(feature = "database"))]
async fn prepare(_: &Shared, _: Plan) -> Result<(), BoxError> {
    Ok(())
}

/// An error with its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn serve<A: App>(
    shared: &Arc<Shared>,
    runtime: &Runtime,
    listeners: Listeners,
    voice: &Arc<Voice>,
    app: A,
) -> io::Result<()> {
    runtime.block_on(async {
        let mut accepting = Vec::new();
        for (fd, passed) in listeners {
            let listener = Listener::from_fd(fd, passed.ends)?;
            accepting.push(tokio::spawn(accept(listener, Arc::clone(shared), app.clone())));
        }
        drop(app);
        let now = shared.recorder.look_at_clocks();
        shared.log.slot().beat(now.0, crate::memory::resident());
        shared.log.slot().set_ready_at(now.0);
        voice.say(&Word::Ready);
        shared.drain.wait().await;
        leave(shared, accepting).await;
        Ok(())
    })
}

/// Finishes what is there.
async fn leave(shared: &Arc<Shared>, accepting: Vec<tokio::task::JoinHandle<()>>) {
    let begun = clock::mono();
    shared.recorder.close_connections();
    let in_flight = shared.log.slot().gauge_in_flight();
    let connections = shared.connections.len() as u64;
    let pid = std::process::id();
    shared.log.event(&Event::DrainBegun { pid, in_flight, connections });
    let finish = async {
        for task in accepting {
            // A task of ours that panicked has nothing left to accept.
            task.await.ok();
        }
        let connections = shared.connections.len() as u64;
        if connections > 0 {
            shared.log.event(&Event::DrainWaiting { connections });
        }
        shared.connections.wait_empty().await;
        shared.recorder.detached().wait_empty().await;
    };
    let over = shared.drain.over(shared.config.workers.grace, QUICK_GRACE);
    if either(finish, over).await {
        let connections = shared.connections.len() as u64;
        shared.log.event(&Event::DrainForced { connections });
        shared.connections.abort_all(clock::mono());
        tokio::time::timeout(Duration::from_millis(500), shared.connections.wait_empty())
            .await
            .ok();
    }
    shared.layers.limiter.tell_rest(clock::mono());
    shared.layers.lookout.tell_rest(clock::mono());
    let served = shared.recorder.served();
    let took = Time(clock::mono().since(begun));
    shared.log.event(&Event::Drained { pid, served, took });
}

/// Waits for the first of two; true if that was the second.
async fn either(first: impl Future<Output = ()>, second: impl Future<Output = ()>) -> bool {
    let mut first = std::pin::pin!(first);
    let mut second = std::pin::pin!(second);
    std::future::poll_fn(|cx| {
        if first.as_mut().poll(cx).is_ready() {
            return std::task::Poll::Ready(false);
        }
        second.as_mut().poll(cx).map(|()| true)
    })
    .await
}
