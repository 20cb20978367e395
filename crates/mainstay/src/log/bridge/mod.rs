//! The application's own records: what it says through `tracing` and `log` becomes lines of the error
//! log, with the request that it was said in.
//!
//! Installed in workers alone, before the application runs. An application that has installed a
//! subscriber or a logger of its own keeps it; [`log_layer`] makes this one part of it.

mod facade;
mod fields;
mod layer;
mod spans;
pub(crate) mod statements;

use super::levels::{self, Finest};
use super::{ErrorFacts, Log, Record, RecordContext};
use crate::config::Level;
use crate::http::context::{Context, current};
use crate::telemetry::sentry;
use facade::Facade;
use fields::Fields;
use layer::{Bridge, Gate};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use tracing_core::{Dispatch, Subscriber, callsite, dispatcher};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// This worker's log.
static WORKER: OnceLock<Log> = OnceLock::new();
/// The facade passes its records to us, and so its level is ours to set.
static OWNS_FACADE: AtomicBool = AtomicBool::new(false);
/// The finest level that the two libraries were told.
static TOLD: AtomicU8 = AtomicU8::new(u8::MAX);

/// Where records go.
#[derive(Clone, Debug, Default)]
enum Outlet {
    /// To this worker's log; nowhere in other processes.
    #[default]
    Worker,
    #[cfg(test)]
    Log(Log),
}

impl Outlet {
    fn log(&self) -> Option<&Log> {
        match self {
            Outlet::Worker => WORKER.get(),
            #[cfg(test)]
            Outlet::Log(log) => Some(log),
        }
    }
}

/// From now on this process's records go to `log`.
pub(crate) fn install(log: &Log) {
    static FACADE: Facade = Facade(Outlet::Worker);
    if WORKER.set(log.clone()).is_err() {
        return;
    }
    let ours = Registry::default().with(Bridge::default()).with(Gate::default());
    // Whoever was here first stays.
    dispatcher::set_global_default(Dispatch::new(ours)).ok();
    OWNS_FACADE.store(::log::set_logger(&FACADE).is_ok(), Relaxed);
    refresh(log);
}

/// Tells the two libraries the finest level in force, so that what is finer costs its call site one
/// comparison. Called at each sign of life, which is how long a change of levels may take.
pub(crate) fn refresh(log: &Log) {
    let (filter, told) = match levels::finest(log.segment()) {
        Finest::Trace => (::log::LevelFilter::Trace, 5),
        Finest::Level(Level::Debug) => (::log::LevelFilter::Debug, 4),
        Finest::Level(Level::Info) => (::log::LevelFilter::Info, 3),
        Finest::Level(Level::Warning) => (::log::LevelFilter::Warn, 2),
        Finest::Level(Level::Error) => (::log::LevelFilter::Error, 1),
        Finest::Level(Level::Critical) => (::log::LevelFilter::Off, 0),
    };
    if TOLD.swap(told, Relaxed) == told {
        return;
    }
    if OWNS_FACADE.load(Relaxed) {
        ::log::set_max_level(filter);
    }
    callsite::rebuild_interest_cache();
}

/// The layer by which records of `tracing` reach mainstay's error log, for an application that builds
/// a subscriber of its own:
///
/// ```
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let subscriber = tracing_subscriber::registry().with(mainstay::log_layer());
/// # drop(subscriber);
/// ```
///
/// Without a subscriber of its own an application needs none of this: its workers have one. The levels
/// in force (`log.level`, the command `log-level`) hold for this layer alone, not for others of the
/// subscriber. In processes that are not workers the layer does nothing.
pub fn log_layer<S>() -> impl Layer<S> + Send + Sync + 'static
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    Bridge::default().with_filter(Gate::default())
}

/// The guide's examples are compiled.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../../../../../docs/logging-from-your-app.md")]
struct Guide;

/// Whether a record of this level and target is asked for, here and now.
fn asks(log: &Log, level: Level, is_trace: bool, target: &str) -> bool {
    levels::passes(log.segment(), level, is_trace, target, |wanted| {
        current::with_current(|context| context.is_some_and(|it| it.id.as_bytes() == wanted))
    })
}

/// Facts of a record that fit on the stack.
const FEW: usize = 24;

/// Writes a record: of `fields`, the first `own` are its own, the others its spans'. A record that
/// `tracing` has `from_log` carries its true target among them.
fn tell(log: &Log, level: Level, target: &str, from_log: bool, fields: &mut Fields, own: usize) {
    let context = current::current();
    let context = context.as_deref();
    let client = context.and_then(|context| context.client);
    let client = client.map(|client| fields.aside(&client));
    let (trace, span) =
        context.map_or(([0; 32], [0; 16]), |it| (it.trace.trace_hex(), it.trace.span_hex()));
    let has_trace = context.is_some_and(|context| context.trace.is_some());
    let hex = |digits| Some(digits).filter(|_| has_trace).and_then(|it| str::from_utf8(it).ok());

    let (mut few, mut many) = ([("", ""); FEW], Vec::new());
    if fields.len() > FEW {
        many.resize(fields.len(), ("", ""));
    }
    let facts = if many.is_empty() { &mut few[..] } else { &mut many[..] };
    let (mut message, mut error, mut logger, mut count) = ("", None, target, 0);
    for (at, (key, value)) in fields.iter().enumerate() {
        match key {
            "message" if at < own => message = value,
            "error" | "err" if at < own && error.is_none() => error = Some(value),
            "log.target" if from_log => logger = value,
            "log.module_path" | "log.file" | "log.line" if from_log => {}
            _ => {
                if let Some(place) = facts.get_mut(count) {
                    *place = (key, value);
                    count += 1;
                }
            }
        }
    }
    // An error that is returned by an instrumented function comes without words.
    let message = if message.is_empty() { error.take().unwrap_or_default() } else { message };
    let facts = facts.get(..count).unwrap_or_default();
    report(log, context, (level, logger), message, error, facts);
    log.record(&Record {
        level,
        logger,
        message,
        fields: facts,
        error: error.map(|message| ErrorFacts { message }),
        context: context.map(|context| RecordContext {
            request_id: context.id.as_str(),
            trace_id: hex(&trace[..]).unwrap_or_default(),
            span_id: hex(&span[..]).unwrap_or_default(),
            route: context.route.get().map_or("", AsRef::as_ref),
            client: client.as_ref().map_or("", |client| fields.text(client)),
            method: &context.method,
            path: &context.path,
            ..RecordContext::default()
        }),
    });
}

/// What reports of errors have of a record: within a request it is remembered, outside of any it is
/// reported itself where it is an error.
fn report(
    log: &Log,
    context: Option<&Context>,
    (level, logger): (Level, &str),
    message: &str,
    error: Option<&str>,
    facts: &[(&str, &str)],
) {
    let Some(reports) = log.reports() else { return };
    match context {
        Some(context) => {
            let error = error.map(|error| ("error", error));
            let facts: Vec<_> = error.iter().chain(facts).copied().collect();
            sentry::remember(context, level, logger, message, &facts);
        }
        None if level >= Level::Error => reports.tell_record(log, logger, message, error, facts),
        None => {}
    }
}

/// A subscriber as workers have it, over `log`.
#[cfg(test)]
pub(crate) fn subscriber(log: &Log) -> Dispatch {
    let outlet = Outlet::Log(log.clone());
    Dispatch::new(Registry::default().with(Bridge(outlet.clone())).with(Gate(outlet)))
}

/// Runs `work` under a subscriber, and no other test under its own meanwhile.
///
/// Which callsites are of interest is kept for a whole process. Where it has just one subscriber, it is asked
/// anew of the thread that happens to rebuild the cache, which may be that of a test without any: so there are
/// always two more.
#[cfg(test)]
pub(crate) fn in_turn<T>(subscriber: &Dispatch, work: impl FnOnce() -> T) -> T {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    static OTHERS: OnceLock<[Dispatch; 2]> = OnceLock::new();
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    OTHERS.get_or_init(|| [(); 2].map(|()| Dispatch::new(Registry::default())));
    dispatcher::with_default(subscriber, work)
}

#[cfg(test)]
mod tests;
