//! A pool's database brought up to date with the steps of a part of mainstay's own.

use super::session::Session;
use super::{Done, Failed, Goal, Migrations};
use crate::db::Pool;
use crate::db::open::Settings;
use crate::db::probe;
use crate::health::checks::Kind;
use sqlx::Any;

/// Does what is pending, under the lock that all who migrate take.
pub(crate) async fn bring_up(
    pool: &Pool<Any>,
    migrations: &Migrations,
    settings: &Settings,
) -> Result<Vec<Done>, Failed> {
    let url = pool.sqlx().connect_options().database_url.clone();
    let is_memory = pool.book.kind == Kind::Sqlite && probe::file_of(url.as_str()).is_none();
    let mut session = if is_memory {
        // Another connection would be to another database.
        Session::within(pool.acquire().await?, migrations).await?
    } else {
        Session::begin(url.as_str(), migrations, settings).await?
    };
    let done = session.reach(Goal::Latest).await;
    // What was asked for is done or not by now.
    session.end().await.ok();
    done
}
