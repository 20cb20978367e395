//! A login kit: users with passwords, sessions and one-time links, kept in the service's own database.
//!
//! [`Login`] is opened once by each worker and stands in the application's state; [`Session`] is an
//! argument of handlers. What happens is told in the log under the names of OWASP's vocabulary. The
//! guide is docs/login.md.

mod administer;
mod command;
mod cookie;
mod csrf;
#[cfg(feature = "axum")]
mod extract;
mod hashers;
mod links;
mod name;
mod password;
mod refusal;
mod schema;
mod secret;
mod session;
mod settings;
mod sign_in;
mod tell;
#[cfg(test)]
mod tests;
mod throttle;
mod types;

pub use command::command;
pub use csrf::{Csrf, CsrfFuture, CsrfService};
pub use password::Password;
pub use refusal::Refusal;
pub use session::{Session, SignedIn, SignedOut};
pub use settings::Settings;
pub use types::{Link, LinkOf, User};

use crate::clock;
use crate::db::Pool;
use crate::http::body::BoxError;
use crate::log::Log;
use crate::worker::Worker;
use csrf::Judge;
use hashers::Hashers;
use secret::Key;
use sqlx::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

/// The guide's examples are compiled.
#[cfg(all(doctest, feature = "axum", feature = "sqlite"))]
#[doc = include_str!("../../../../docs/login.md")]
struct Guide;

/// Users, passwords, sessions and links of one service. Cloning is cheap, and gives the same one.
///
/// With axum, where the state has it (`Login: FromRef<State>`), [`Session`] is an argument of handlers.
#[derive(Clone)]
pub struct Login {
    inner: Arc<Inner>,
}

struct Inner {
    pool: Pool<Any>,
    log: Log,
    key: Key,
    settings: Settings,
    hashers: Hashers,
    judge: Judge,
    /// When old rows were swept last, ms since the Unix epoch.
    swept: AtomicI64,
    /// The clock of tests, which only they move.
    #[cfg(test)]
    clock: AtomicI64,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("pool", &self.inner.pool).finish_non_exhaustive()
    }
}

impl Login {
    /// Opens the kit on a database: its tables, `mainstay_…`, are made or brought up to date first,
    /// whatever `database.migrate` says. Takes the default [`Settings`].
    ///
    /// # Errors
    /// When the database stays away for as long as the worker may boot, the tables cannot be made, or
    /// there can be no threads.
    pub async fn open(worker: &Worker, pool: &Pool<Any>) -> Result<Login, BoxError> {
        Login::open_with(worker, pool, Settings::default()).await
    }

    /// As [`Login::open`], with settings of the application's own.
    ///
    /// # Errors
    /// As [`Login::open`], and when a trusted origin is none.
    pub async fn open_with(
        worker: &Worker,
        pool: &Pool<Any>,
        settings: Settings,
    ) -> Result<Login, BoxError> {
        worker.bring_up(pool, &schema::migrations()).await?;
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let hashers = settings.hashers.unwrap_or(processors / worker.siblings()).max(1);
        Login::over(worker.log().clone(), pool.clone(), settings, hashers).await
    }

    /// On a database whose tables are there.
    async fn over(
        log: Log,
        pool: Pool<Any>,
        settings: Settings,
        hashers: usize,
    ) -> Result<Login, BoxError> {
        let judge = Judge::new(&settings.origins)?;
        let key = schema::key(&pool).await?;
        let hashers = Hashers::start(hashers, settings.patience)?;
        let inner = Inner {
            pool,
            log,
            key,
            settings,
            hashers,
            judge,
            swept: AtomicI64::new(0),
            #[cfg(test)]
            clock: AtomicI64::new(wall()),
        };
        Ok(Login { inner: Arc::new(inner) })
    }

    fn pool(&self) -> &Pool<Any> {
        &self.inner.pool
    }

    /// Milliseconds since the Unix epoch. Of all times in the tables, since several hosts read them.
    fn now(&self) -> i64 {
        #[cfg(test)]
        return self.inner.clock.load(std::sync::atomic::Ordering::Relaxed);
        #[cfg(not(test))]
        wall()
    }
}

fn wall() -> i64 {
    i64::try_from(clock::wall() / 1_000_000).unwrap_or(i64::MAX)
}

/// A span of time as the tables have it.
fn millis(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
