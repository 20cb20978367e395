//! The pools of a worker: opened, watched, and given up when they are stuck.

use super::Shared;
use super::checks::Checks;
use crate::clock::Mono;
use crate::db::probe::{self, Target};
use crate::db::{Book, Driver, Open, Pool, Settings, Verdict, driver, reason, running};
use crate::event::{Event, Time};
use crate::health::checks::Kind;
use crate::health::prober::Finding;
use crate::health::reason::Reason;
use crate::http::body::BoxError;
use crate::log::Log;
use sqlx::pool::PoolOptions;
use sqlx::{ConnectOptions, Connection};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// What is looked at of one pool.
struct Watched {
    book: Arc<Book>,
    /// Connections, and those that nobody uses.
    size: Box<dyn Fn() -> (u32, usize) + Send + Sync>,
    /// SQLite's file, and what it was when it was opened.
    file: Option<(PathBuf, u64)>,
}

/// The pools of one worker.
pub(crate) struct Pools {
    all: Mutex<Vec<Watched>>,
    /// Asks for this worker to be replaced.
    replace: Box<dyn Fn(String) + Send + Sync>,
    asked: std::sync::atomic::AtomicBool,
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").finish_non_exhaustive()
    }
}

/// A first connection, as far as it came.
struct First {
    limit: Option<u32>,
    finding: Finding,
}

impl Pools {
    pub(crate) fn new(replace: impl Fn(String) + Send + Sync + 'static) -> Pools {
        Pools { all: Mutex::default(), replace: Box::new(replace), asked: false.into() }
    }

    /// Opens a pool.
    ///
    /// A database that is away is no error: the pool is there, and the service not ready until the
    /// database is.
    ///
    /// # Errors
    /// What no waiting mends: a URL of another database, or one that cannot be read; a user, password
    /// or database that the server does not know; a file that cannot be opened.
    pub(crate) async fn open<DB: Driver>(
        &self,
        shared: &Shared,
        open: Open,
    ) -> Result<Pool<DB>, BoxError> {
        let Open { url, name, .. } = &open;
        let Some(kind) = DB::kind(url) else {
            let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
            return Err(format!("pool {name}: {scheme:?} is not a URL of {}", DB::NAME).into());
        };
        let settings = shared.database_settings();
        let options = DB::options(url, &settings).map_err(|error| refused(name, &error))?;
        let first = first::<DB>(&options, kind, &settings).await;
        if is_final(first.finding.reason) {
            let Finding { reason, text } = first.finding;
            return Err(format!("pool {name}: {}: {text}", reason.as_str()).into());
        }
        let is_memory = kind == Kind::Sqlite && probe::file_of(url).is_none();
        let max = match open.max.or(settings.pool) {
            // Each connection to a database in memory has one of its own.
            _ if is_memory => 1,
            Some(max) => max,
            None if kind == Kind::Sqlite => 4,
            None => settings.share(first.limit),
        };
        let index = declare(&shared.checks, &open, kind)?;
        let file = probe::file_of(url).filter(|_| kind == Kind::Sqlite);
        let file = file.map(|path| (path.clone(), probe::identity(&path)));
        if let Some((_, identity)) = &file {
            shared.checks.set_identity(index, *identity);
        }
        let log = shared.log.clone();
        let book = Book::new(log, name.clone(), kind, index, max, &settings);
        let book = Arc::new(book.to(url));
        let pool = pool::<DB>(options, kind, &settings, max, is_memory);
        tell(&shared.log, &book, &settings, first.limit);
        shared.checks.note(index, first.finding);
        let size = {
            let pool = pool.clone();
            Box::new(move || (pool.size(), pool.num_idle()))
        };
        let watched = Watched { book: Arc::clone(&book), size, file };
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(watched);
        Ok(Pool::new(pool, book))
    }

    /// Looks at all pools, and at the statements that run. Gives the time of the next look that is
    /// worth it.
    pub(crate) fn look(&self, checks: &Checks, now: Mono) -> Option<Mono> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        for Watched { book, size, file } in all.iter() {
            let (size, idle) = size();
            let reachable = checks.is_well(book.index(), now);
            let mut wish = match book.look(size, idle, reachable) {
                Verdict::Wedged(reason) => Some(reason),
                Verdict::Fine => None,
            };
            if let Some((path, opened)) = file {
                let found = probe::identity(path);
                // One that is gone may come back; in another one this worker's writes are lost.
                if found != 0 && found != *opened {
                    wish = Some(format!("pool {}: its file was replaced", book.name));
                }
            }
            if let Some(reason) = wish
                && !self.asked.swap(true, std::sync::atomic::Ordering::Relaxed)
            {
                (self.replace)(reason);
            }
        }
        drop(all);
        running::look(now)
    }
}

/// Puts the pool's check on the board.
fn declare(checks: &Arc<Checks>, open: &Open, kind: Kind) -> Result<usize, BoxError> {
    let nature = checks.of_address(kind, open.needs_writes, open.critical);
    let (url, needs_writes) = (open.url.clone(), open.needs_writes);
    let identities = Arc::downgrade(checks);
    let name = open.name.clone();
    checks.declare(
        open.name.clone(),
        nature,
        open.url.clone(),
        Arc::new(move || {
            let identity = identities.upgrade().map_or(0, |checks| checks.identity_of(&name));
            let target = Target { kind, url: url.clone(), needs_writes, identity };
            Box::pin(probe::probe(target))
        }),
    )
}

/// Connects once, to learn how many connections the server takes and whether it is there at all.
async fn first<DB: Driver>(
    options: &driver::Options<DB>,
    kind: Kind,
    settings: &Settings,
) -> First {
    let connect = async {
        let mut connection = options.connect().await?;
        let limit = DB::limit(&mut connection, kind).await;
        connection.close().await?;
        Ok::<_, sqlx::Error>(limit)
    };
    match tokio::time::timeout(settings.acquire_timeout, connect).await {
        Ok(Ok(limit)) => First { limit, finding: Finding::WELL },
        Ok(Err(error)) => First { limit: None, finding: reason::finding(&error) },
        Err(_elapsed) => {
            let text = format!("no answer in {}", Time(settings.acquire_timeout));
            First { limit: None, finding: Finding::new(Reason::Timeout, text) }
        }
    }
}

/// Whether waiting mends nothing.
fn is_final(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Unauthorized
            | Reason::NoDatabase
            | Reason::Corrupt
            | Reason::Missing
            | Reason::NotWritable
            | Reason::Failed
    )
}

fn refused(name: &str, error: &sqlx::Error) -> BoxError {
    format!("pool {name}: {}", reason::told(error)).into()
}

fn pool<DB: Driver>(
    options: driver::Options<DB>,
    kind: Kind,
    settings: &Settings,
    max: u32,
    is_memory: bool,
) -> sqlx::Pool<DB> {
    let begin = settings.clone();
    let mut pool = PoolOptions::<DB>::new()
        .max_connections(max)
        .acquire_timeout(settings.acquire_timeout)
        // Told by the book, with who waits and who holds.
        .acquire_slow_level(log::LevelFilter::Off)
        .acquire_time_level(log::LevelFilter::Off)
        .after_connect(move |connection, _| {
            let begin = begin.clone();
            Box::pin(async move { DB::begin(connection, kind, &begin).await })
        });
    if is_memory {
        pool = pool.idle_timeout(None).max_lifetime(None).min_connections(1);
    }
    pool.connect_lazy_with(options)
}

/// One line for the service, not one for each worker.
fn tell(log: &Log, book: &Book, settings: &Settings, limit: Option<u32>) {
    let all = book.max().saturating_mul(settings.workers).saturating_mul(settings.hosts);
    if let Some(limit) = limit.filter(|limit| all > *limit) {
        let (pool, max, workers, hosts) =
            (book.name.clone(), book.max(), settings.workers, settings.hosts);
        log.event(&Event::PoolOversized { pool, max, workers, hosts, all, limit });
    }
    let of = match limit {
        Some(limit) => format!(", {all} of the {limit} that the server takes"),
        None => String::new(),
    };
    let (pool, kind, max, workers) =
        (book.name.clone(), book.kind.as_str(), book.max(), settings.workers);
    log.event(&Event::PoolOpened { pool, kind, max, workers, of });
}

impl Shared {
    /// The settings of pools, from the configuration.
    pub(super) fn database_settings(&self) -> Settings {
        let target = u32::try_from(self.log.segment().header().target()).unwrap_or(1);
        let boot = self.config.workers.boot_timeout;
        Settings::of(&self.config.database, target, &self.name, boot)
    }
}
