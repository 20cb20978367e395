//! The schema brought up to date before the application is made. All workers try; whoever has the lock
//! does it, the others find that nothing is left to do.

use super::Shared;
use crate::clock;
use crate::db::Migrations;
#[cfg(feature = "login")]
use crate::db::Pool;
use crate::db::migrate::{Done, Failed, Goal, Session};
use crate::event::{Event, Time};
use crate::http::body::BoxError;
#[cfg(feature = "login")]
use sqlx::Any;
use std::time::Duration;

/// Between two tries at a database that is away.
const RETRY: Duration = Duration::from_millis(250);

/// Runs what is pending, if the configuration asks for it. A database that is away is waited for, as
/// long as the worker may boot.
///
/// # Errors
/// The step and the statement that failed, or why the database cannot be used.
pub(super) async fn on_start(shared: &Shared, migrations: &Migrations) -> Result<(), BoxError> {
    let database = &shared.config.database;
    if database.migrate != "on-start" {
        return Ok(());
    }
    let url = database.url.as_ref();
    let url = url.ok_or("database.migrate is on-start, and database.url is not set")?.expose();
    let settings = shared.database_settings();
    patiently(shared, settings.boot, async || {
        let mut session = Session::begin(url, migrations, &settings).await?;
        let done = session.reach(Goal::Latest).await;
        session.end().await.ok();
        done
    })
    .await
}

/// Brings the database of a pool up to date with the steps of a part of mainstay's own.
///
/// # Errors
/// As [`on_start`].
#[cfg(feature = "login")]
pub(super) async fn bring_up(
    shared: &Shared,
    pool: &Pool<Any>,
    migrations: &Migrations,
) -> Result<(), BoxError> {
    let settings = shared.database_settings();
    patiently(shared, settings.boot, async || {
        crate::db::migrate::bring_up(pool, migrations, &settings).await
    })
    .await
}

/// Tries until it is done, while the database is away and the worker may boot, and tells what was done.
async fn patiently(
    shared: &Shared,
    boot: Duration,
    reach: impl AsyncFn() -> Result<Vec<Done>, Failed>,
) -> Result<(), BoxError> {
    let begun = clock::mono();
    // What is left is for the supervisor to hear why.
    let deadline = begun + boot.mul_f64(0.8);
    loop {
        match reach().await {
            Ok(done) => {
                if let Some(last) = done.last() {
                    let took = Time(clock::mono().since(begun));
                    let (count, version) = (done.len(), last.version);
                    shared.log.event(&Event::Migrated { count, version, took });
                }
                return Ok(());
            }
            Err(failed) if failed.may_pass() && clock::mono() < deadline => wait().await,
            Err(failed) => return Err(told(&failed)),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a database that is away tells nobody when it is back"
)]
async fn wait() {
    tokio::time::sleep(RETRY).await;
}

fn told(failed: &Failed) -> BoxError {
    failed.to_string().into()
}
