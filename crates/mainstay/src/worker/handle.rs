//! What the application is given: its worker.

use super::history::SeriesHistory;
use super::maintenance::{self, Maintenance};
use super::{Check, Shared};
use crate::clock;
use crate::config::Config;
#[cfg(feature = "database")]
use crate::db::{Open, Pool};
use crate::http::body::BoxError;
use crate::metrics::families;
use crate::metrics::{Counter, Gauge, Histogram, Labelled, Merge, MetricError};
use crate::status::Status;
use serde::de::DeserializeOwned;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The worker that runs the application: its configuration, its service, its end. Cloning is
/// cheap.
#[derive(Clone)]
pub struct Worker {
    shared: Arc<Shared>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("generation", &self.generation()).finish_non_exhaustive()
    }
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>) -> Worker {
        Worker { shared }
    }

    /// The application's own table, `[app]` of the configuration, as a type of its own.
    ///
    /// # Errors
    /// When the table does not fit the type; the message names the key.
    pub fn app_config<T: DeserializeOwned>(&self) -> Result<T, BoxError> {
        let table = self.shared.config.app.clone();
        T::deserialize(table).map_err(|error| format!("[app]: {}", error.message()).into())
    }

    /// The service's name: `server.name`, or the program's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The generation this worker belongs to: 1 at start, one more with each reload.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.shared.generation
    }

    /// The configuration that the worker runs with, as it was when its generation began.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// The service as it is now, in all its processes. Costs some microseconds, no system call but
    /// the clock's.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::read(self.shared.log.segment(), &self.shared.name, &self.shared.version)
    }

    /// What a series of the history was, from so long ago until now, in at most so many spans; the command
    /// `history` lists the series. Nothing while watch is away, where `history.enabled` or `server.admin` is off,
    /// or where nothing of that name was ever seen.
    pub async fn history(
        &self,
        series: &str,
        ago: Duration,
        points: usize,
    ) -> Option<SeriesHistory> {
        let (bind, series) = (self.shared.config.server.admin.clone()?, series.to_owned());
        let now = clock::wall() / 1_000_000_000;
        let since = i64::try_from(now.saturating_sub(ago.as_secs())).ok()?;
        // It waits for another process, and this one's other requests do not.
        let asked = move || super::history::ask(&bind, &series, since, points);
        tokio::task::spawn_blocking(asked).await.ok()?
    }

    /// Says which announced work is under way, in place of what was said before by any worker: nobody is told of the
    /// alerts that it covers while it lasts, as in the windows of `alerts.maintenance`. It stands until it is over,
    /// or until this is said again without it, even if all workers are gone meanwhile. Without `alerts.state`,
    /// without which nobody is told of anything, it does nothing.
    ///
    /// # Errors
    /// When a matcher is none, or it cannot be written; what was said before stands.
    pub async fn under_maintenance(&self, all: Vec<Maintenance>) -> Result<(), BoxError> {
        let Some(state) = self.shared.config.alerts.state.clone() else { return Ok(()) };
        // It waits for the disk.
        tokio::task::spawn_blocking(move || maintenance::say(&state, &all)).await?
    }

    /// A counter without labels, such as `shop_orders_total`. It is there, at 0, from now on, and over
    /// all workers that ever were it counts each addition exactly once.
    ///
    /// As of all metrics: a name is letters, digits and `_`, begins with a letter and not with
    /// `mainstay_`, and says its unit (`_seconds`, `_bytes`); that of a counter ends with `_total`. The
    /// same name is the same metric in all workers. There may be 256 metrics, with 1,024 series as
    /// counters, 256 as gauges and 1,024 as histograms, those of mainstay included.
    ///
    /// # Errors
    /// When the name is wrong or known as something else, or there is no more room.
    pub fn counter(&self, name: &str, help: &str) -> Result<Counter, MetricError> {
        self.shared.metrics.single(name, help, Merge::Sum)
    }

    /// A counter with labels, whose names are checked here; see [`Worker::counter`] and
    /// [`Labelled::with`].
    ///
    /// # Errors
    /// As [`Worker::counter`], and when the name of a label is wrong.
    pub fn counter_by<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
    ) -> Result<Labelled<Counter, N>, MetricError> {
        self.shared.metrics.family(name, help, Merge::Sum, &labels).map(Labelled::new)
    }

    /// A gauge without labels; see [`Worker::counter`]. `merge` says how the values of all workers
    /// become one.
    ///
    /// # Errors
    /// As [`Worker::counter`].
    pub fn gauge(&self, name: &str, help: &str, merge: Merge) -> Result<Gauge, MetricError> {
        self.shared.metrics.single(name, help, merge)
    }

    /// A gauge with labels; see [`Worker::gauge`] and [`Labelled::with`].
    ///
    /// # Errors
    /// As [`Worker::counter_by`].
    pub fn gauge_by<const N: usize>(
        &self,
        name: &str,
        help: &str,
        merge: Merge,
        labels: [&str; N],
    ) -> Result<Labelled<Gauge, N>, MetricError> {
        self.shared.metrics.family(name, help, merge, &labels).map(Labelled::new)
    }

    /// A histogram without labels; see [`Worker::counter`]. It is shown with the customary bounds: from
    /// 5 ms to 10 s when its name ends with `_seconds`, otherwise 1, 2.5 and 5 of each power of ten up to
    /// 10⁹.
    ///
    /// # Errors
    /// As [`Worker::counter`].
    pub fn histogram(&self, name: &str, help: &str) -> Result<Histogram, MetricError> {
        self.shared.metrics.single(name, help, Merge::Sum)
    }

    /// A histogram with labels; see [`Worker::histogram`] and [`Labelled::with`].
    ///
    /// # Errors
    /// As [`Worker::counter_by`].
    pub fn histogram_by<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
    ) -> Result<Labelled<Histogram, N>, MetricError> {
        self.shared.metrics.family(name, help, Merge::Sum, &labels).map(Labelled::new)
    }

    /// Has a directory measured, such as that of uploads: size, use and inodes of its file system are in
    /// the metrics `mainstay_directory_…`, by its absolute path, while a worker that wants them lives. No
    /// request waits for that, even when the file system does not answer.
    ///
    /// # Errors
    /// When the path is not UTF-8 or too long, or there are 64 already.
    pub fn measure_directory(&self, path: impl AsRef<Path>) -> Result<(), BoxError> {
        let path = std::path::absolute(path)?;
        let text = path.to_str().ok_or_else(|| format!("not UTF-8: {}", path.display()))?;
        let (family, labels) = (&families::DIRECTORY_WANTED, [("directory", text)]);
        self.shared.metrics.own_gauge(family, Merge::Sum, &labels)?.set(1.0);
        Ok(())
    }

    /// Adds something to what readiness depends on: `code` is run in the background, by one worker of
    /// the host at a time, and while it fails, `/readyz` is 503. Its error goes to the log, never to a
    /// client. A name alone is enough for the usual [`Check`].
    ///
    /// # Errors
    /// When the name is empty, too long or taken, or there are more checks than 24.
    pub fn ready<F, Fut>(&self, check: impl Into<Check>, code: F) -> Result<(), BoxError>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.shared.checks.add(check.into(), code)
    }

    /// A pool of connections to SQLite: `sqlite:shop.db`, made if it is not there, with a write-ahead
    /// log and foreign keys.
    ///
    /// As of all pools: it is a check of readiness by itself; it may have `database.pool` connections;
    /// a database that is away is no error, the service is not ready until it is there.
    ///
    /// # Errors
    /// What no waiting mends: a URL of another database, a file that cannot be opened.
    #[cfg(feature = "sqlite")]
    pub async fn sqlite(&self, open: impl Into<Open>) -> Result<Pool<sqlx::Sqlite>, BoxError> {
        self.shared.pools.open(&self.shared, open.into()).await
    }

    /// A pool of connections to PostgreSQL: `postgres://user:password@host/name`; see
    /// [`Worker::sqlite`].
    ///
    /// # Errors
    /// What no waiting mends: a URL of another database, a user, password or database that the server
    /// does not know.
    #[cfg(feature = "postgres")]
    pub async fn postgres(&self, open: impl Into<Open>) -> Result<Pool<sqlx::Postgres>, BoxError> {
        self.shared.pools.open(&self.shared, open.into()).await
    }

    /// A pool of connections to MySQL or MariaDB: `mysql://user:password@host/name`; see
    /// [`Worker::sqlite`].
    ///
    /// # Errors
    /// What no waiting mends: a URL of another database, a user, password or database that the server
    /// does not know.
    #[cfg(feature = "mysql")]
    pub async fn mysql(&self, open: impl Into<Open>) -> Result<Pool<sqlx::MySql>, BoxError> {
        self.shared.pools.open(&self.shared, open.into()).await
    }

    /// A pool of connections to the database that the configuration names, `database.url` or
    /// `DATABASE_URL`, of whatever kind the program was built for. [`Pool::sql`] writes its
    /// placeholders.
    ///
    /// # Errors
    /// When none is named, and as its siblings.
    #[cfg(feature = "database")]
    pub async fn database(&self) -> Result<Pool<sqlx::Any>, BoxError> {
        let url = self.shared.config.database.url.as_ref();
        let url = url.ok_or("database.url is not set, nor DATABASE_URL")?;
        self.shared.pools.open(&self.shared, Open::new(url.expose())).await
    }

    /// Brings the database of a pool up to date with the steps of a part of mainstay's own.
    ///
    /// # Errors
    /// When it stays away for as long as the worker may boot, or a step fails.
    #[cfg(feature = "login")]
    pub(crate) async fn bring_up(
        &self,
        pool: &Pool<sqlx::Any>,
        migrations: &crate::db::Migrations,
    ) -> Result<(), BoxError> {
        super::migrate::bring_up(&self.shared, pool, migrations).await
    }

    /// This worker's way into the log.
    #[cfg(feature = "login")]
    pub(crate) fn log(&self) -> &crate::log::Log {
        &self.shared.log
    }

    /// How many workers there should be on this host, this one included.
    #[cfg(feature = "login")]
    pub(crate) fn siblings(&self) -> usize {
        usize::try_from(self.shared.log.segment().header().target()).unwrap_or(1).max(1)
    }

    /// Resolves when this worker has been told to leave. Long answers, such as event streams,
    /// should end then; the worker waits for them for `workers.grace`.
    pub async fn stopping(&self) {
        self.shared.drain.wait().await;
    }
}
