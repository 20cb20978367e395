//! The parts of a worker, put together from its configuration: the same ones whether a process of a service
//! runs it or somebody else's program has it embedded.

use super::Shared;
use super::checks::Checks;
use super::connections::Connections;
use super::drain::Drain;
#[cfg(feature = "database")]
use super::pools::Pools;
use crate::clock;
use crate::config::Config;
use crate::http::book::{Book, Recorder};
use crate::http::client::Trust;
use crate::http::context::RequestId;
use crate::http::errors::{OwnPage, Pages, Stage};
use crate::http::limit::Limiter;
use crate::http::limit::ban::Warden;
use crate::http::limit::lookout::Lookout;
use crate::http::probes::Paths;
use crate::http::stack::Layers;
use crate::limits::jails::Jails;
use crate::limits::settings::Settings as Limits;
use crate::limits::signs::Signs;
use crate::log::{Log, Look};
use crate::metrics::registry::Metrics;
use crate::telemetry::sentry::Reports;
use crate::voice::Word;
use std::io;
use std::sync::Arc;

/// What a worker is made of.
pub(crate) struct Parts<'a> {
    pub(crate) log: Log,
    pub(crate) config: Config,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) generation: u64,
    /// Error pages of the application's.
    pub(crate) pages: &'a [OwnPage],
}

/// Puts a worker together, which `says` when it wants to be replaced.
///
/// # Errors
/// What is wrong with a setting that is read here.
pub(crate) fn assemble(
    parts: Parts<'_>,
    says: impl Fn(Word) + Clone + Send + Sync + 'static,
) -> io::Result<Arc<Shared>> {
    let Parts { log, config, name, version, generation, pages } = parts;
    let look = Look::of(&config, &name, &version);
    let access = look.access(&config).map_err(io::Error::other)?;
    let reports = Reports::of(&config.sentry, &look.service, log.slot_index(), generation);
    log.set_reports(reports);
    log.set_look(look);
    let paths =
        Paths { live: config.health.live_path.clone(), ready: config.health.ready_path.clone() };
    let paths = Arc::new(paths);
    let format = &config.log.access_format;
    let book = Book {
        access,
        shows_trace: ["ecs", "trace", "span"].iter().any(|it| format.contains(it)),
        shows_first_byte: format.contains("^FB") || format.contains("first_byte"),
        quiet: (!config.log.probes).then(|| Arc::clone(&paths)),
        ignores_trace: !config.otel.propagates,
        generation,
        limit: request_limit(&config),
        per_connection: config.http.keep_alive_requests.unwrap_or(0),
        max_body: config.http.max_body.unwrap_or(0),
        detach: config.http.detach.then(|| config.http.request_timeout.unwrap_or_default()),
        trust: Trust::of(&config.proxy).map_err(io::Error::other)?,
    };
    let recycles = says.clone();
    let recorder = Recorder::new(log.clone(), book, move |served| {
        let reason = format!("max_requests {served} reached");
        recycles(Word::Recycle { reason, broken: false });
    });
    let pages = Pages::load(config.http.error_pages.as_deref(), pages).map_err(io::Error::other)?;
    let error_id = || RequestId::new(clock::wall()).to_string();
    let stage = Stage::new(pages, name.clone(), log.clone(), error_id);
    let checks = Arc::new(Checks::new(log.clone(), generation, &config.health));
    let asked = {
        let checks = Arc::clone(&checks);
        Box::new(move || checks.ask())
    };
    let metrics = Metrics::new(log.segment().clone(), log.slot_index(), log.teller());
    let (limiter, lookout) = limiter(&config, &log, &metrics).map_err(io::Error::other)?;
    Ok(Arc::new(Shared {
        name,
        version,
        generation,
        log,
        recorder,
        connections: Connections::default(),
        drain: Drain::default(),
        checks,
        metrics,
        #[cfg(feature = "database")]
        pools: Pools::new(move |reason| says(Word::Recycle { reason, broken: true })),
        layers: Arc::new(Layers { paths, stage, limiter, lookout, asked }),
        config,
    }))
}

/// The limits and bans, and who looks at answers.
fn limiter(
    config: &Config,
    log: &Log,
    metrics: &Arc<Metrics>,
) -> Result<(Arc<Limiter>, Arc<Lookout>), String> {
    let within = |(key, reason): (&str, String)| format!("{key}: {reason}");
    let warden = Warden::new(Jails::of(config).map_err(within)?, log.clone());
    let limits = Limits::of(&config.limits)?;
    let workers = usize::try_from(log.segment().header().target()).unwrap_or(1);
    let (signs, prefix) = (Signs::of(config).map_err(within)?, config.limits.ipv6_prefix);
    let lookout = Lookout::new(signs, prefix, Arc::clone(&warden), log.clone(), workers);
    Ok((Limiter::new(limits, warden, log.clone(), metrics, workers)?, lookout))
}

/// `max_requests` plus a share of the jitter that differs between workers, so that they do not all
/// recycle at once; 0 for never.
fn request_limit(config: &Config) -> u64 {
    let workers = &config.workers;
    let Some(limit) = workers.max_requests else { return 0 };
    // The low bits of start time and pid are as good as dice here.
    let seed = clock::mono().0 ^ u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    limit
        + seed.wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31)
            % (workers.max_requests_jitter + 1)
}
