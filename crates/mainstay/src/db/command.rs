//! The database as commands use it: without a worker, and the command `migrate`.

use super::book::Book;
use super::driver::Hidden;
use super::migrate::{Done, Failed, Goal, Migrations, Session};
use super::open::{Open, Settings};
use super::pool::Pool;
use super::reason::told;
use crate::cli::MigrateCommand;
use crate::config::{Config, Database};
use crate::http::body::BoxError;
use crate::log::Log;
use crate::metrics::names;
use mainstay_os::segment::{Layout, Segment};
use sqlx::pool::PoolOptions;
use sqlx::{Any, ConnectOptions, Connection};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// How long a command may take for what a worker does within its boot.
const PATIENCE: Duration = Duration::from_secs(30);

/// A pool of one connection, of a process that is alone.
///
/// # Errors
/// When the database cannot be reached.
pub(crate) async fn alone(
    open: Open,
    database: &Database,
    application: &str,
) -> Result<Pool<Any>, BoxError> {
    let failed = |error: &sqlx::Error| format!("the database says: {}", told(error));
    let kind = Any::kind(&open.url).ok_or("the URL is of no database that this program knows")?;
    let settings = Settings::of(database, 1, application, PATIENCE);
    let options = Any::options(&open.url, &settings).map_err(|error| failed(&error))?;
    let begin = settings.clone();
    let pool = PoolOptions::<Any>::new()
        .max_connections(1)
        .acquire_timeout(settings.acquire_timeout)
        .after_connect(move |connection, _| {
            let begin = begin.clone();
            Box::pin(async move { Any::begin(connection, kind, &begin).await })
        })
        .connect_with(options)
        .await
        .map_err(|error| failed(&error))?;
    let layout = Layout { ring_bytes: [64; 3], ..Layout::small(names::CELLS) };
    let log = Log::new(Segment::on_heap(layout), 0);
    Ok(Pool::new(pool, Arc::new(Book::new(log, open.name, kind, 0, 1, &settings))))
}

/// How many connections the server takes that the configuration names.
///
/// # Errors
/// When it cannot be asked, or does not say.
pub(crate) fn limit(config: &Config, name: &str) -> Result<u32, BoxError> {
    let url = config.database.url.as_ref().ok_or("database.url is not set")?.expose();
    let kind = Any::kind(url).ok_or("the URL is of no database that this program knows")?;
    let settings = Settings::of(&config.database, 1, name, PATIENCE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let failed = |error: &sqlx::Error| format!("the database says: {}", told(error));
        let options = Any::options(url, &settings).map_err(|error| failed(&error))?;
        let asked = tokio::time::timeout(settings.acquire_timeout, async {
            let mut connection = options.connect().await.map_err(|error| failed(&error))?;
            let limit = Any::limit(&mut connection, kind).await;
            // The server forgets who goes without a word, too.
            connection.close().await.ok();
            limit
                .ok_or_else(|| "the database does not say how many connections it takes".to_owned())
        });
        asked.await.map_err(|_| "the database does not answer")?.map_err(BoxError::from)
    })
}

/// Runs the command `migrate` and gives what it prints.
///
/// # Errors
/// Why it could not be done.
pub(crate) fn migrate(
    command: MigrateCommand,
    migrations: Option<&Migrations>,
    config: &Config,
    name: &str,
) -> Result<String, BoxError> {
    let migrations = migrations.ok_or("this program has no migrations")?;
    let url = config.database.url.as_ref();
    let url = url.ok_or("database.url is not set, nor DATABASE_URL")?.expose();
    let settings = Settings::of(&config.database, 1, name, PATIENCE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut session =
            Session::begin(url, migrations, &settings).await.map_err(|failed| text(&failed))?;
        let printed = obey(&mut session, command).await;
        // What was asked for is done or not by now.
        session.end().await.ok();
        printed.map_err(|failed| text(&failed))
    })
}

fn text(failed: &Failed) -> BoxError {
    failed.to_string().into()
}

async fn obey(session: &mut Session, command: MigrateCommand) -> Result<String, Failed> {
    let (goal, dry_run) = match command {
        MigrateCommand::Status { json } => return status(session, json).await,
        MigrateCommand::Up { dry_run } => (Goal::Latest, dry_run),
        MigrateCommand::To { version, dry_run } => (Goal::Version(version), dry_run),
    };
    if dry_run {
        let plan = session.plan(goal).await?;
        let scripts =
            plan.iter().map(|done| format!("-- {}\n{}\n", line(done), done.script.trim()));
        return Ok(or_nothing(scripts.collect()));
    }
    let done = session.reach(goal).await?;
    Ok(or_nothing(done.iter().map(|done| format!("{}\n", line(done))).collect()))
}

fn or_nothing(text: String) -> String {
    if text.is_empty() { "nothing to do\n".to_owned() } else { text }
}

fn line(done: &Done) -> String {
    let way = if done.up { "up" } else { "down" };
    format!("{way} {}: {}", done.version, done.name)
}

async fn status(session: &mut Session, json: bool) -> Result<String, Failed> {
    let standing = session.standing().await?;
    if json {
        let rows = standing.iter().map(|it| {
            serde_json::json!({ "version": it.version, "name": it.name, "state": it.state, "has_way_back": it.has_way_back })
        });
        return Ok(format!("{:#}\n", serde_json::Value::Array(rows.collect())));
    }
    let mut out = String::new();
    for it in &standing {
        let name = if it.name.is_empty() { "(not of this program)" } else { &it.name };
        let back = if it.has_way_back { "" } else { " (no way back)" };
        // Writing to a string does not fail.
        writeln!(out, "{:>14}  {:<8} {name}{back}", it.version, it.state).ok();
    }
    Ok(if out.is_empty() { "there are no migrations\n".to_owned() } else { out })
}
