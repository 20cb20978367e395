//! The file: opened, checked and put aside if it cannot be used. One connection holds it alone.

use crate::clock;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

pub(super) const FILE: &str = "history.db";
/// What cannot be read is put aside: the newest under the first name, what was there before under the next.
const BAD: [&str; 3] = ["history.db.bad", "history.db.bad.1", "history.db.bad.2"];
/// What belongs to a file while it is open has its name, and this behind it.
const LOG: &str = "-wal";
/// A page, bytes.
pub(super) const PAGE: u64 = 4096;
/// What memory alone may take, bytes.
const MEMORY: u64 = 8 << 20;
/// Another watch may be about to end.
const BUSY: Duration = Duration::from_secs(5);
/// "msty", in the head of the file.
const APPLICATION: i64 = 0x6d73_7479;
/// What its tables mean.
const VERSION: i64 = 1;
/// SQLite's codes for a file that is damaged, or none of its own.
const DAMAGED: [u32; 2] = [11, 26];

const SCHEMA: &str = "
CREATE TABLE series(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL);
CREATE TABLE roll(series INTEGER NOT NULL, res INTEGER NOT NULL, ts INTEGER NOT NULL, n INTEGER NOT NULL,
    bad INTEGER NOT NULL, sum REAL NOT NULL, mn REAL, mx REAL, shape BLOB, PRIMARY KEY(series, res, ts)) WITHOUT ROWID;
CREATE TABLE open(series INTEGER NOT NULL, res INTEGER NOT NULL, ts INTEGER NOT NULL, n INTEGER NOT NULL,
    bad INTEGER NOT NULL, sum REAL NOT NULL, mn REAL, mx REAL, shape BLOB, PRIMARY KEY(series, res)) WITHOUT ROWID;
CREATE TABLE event(id INTEGER PRIMARY KEY, ts INTEGER NOT NULL, kind TEXT NOT NULL, what TEXT NOT NULL,
    text TEXT NOT NULL);
CREATE INDEX event_ts ON event(ts);
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
";

/// How large the file may become, and the log beside it, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) file: u64,
    log: u64,
}

impl Room {
    /// Both together are at most `most`.
    pub(super) fn of(most: u64) -> Room {
        let log = (most / 4).min(8 << 20);
        Room { file: most - log, log }
    }

    /// Pages that the file may have.
    pub(super) fn pages(self) -> i64 {
        (self.file / PAGE) as i64
    }
}

/// An open one.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) connection: SqliteConnection,
    pub(super) room: Room,
    /// Why what was there is not used.
    pub(super) forgotten: Option<String>,
}

/// Memory alone.
///
/// # Errors
/// When there is not even room for that.
pub(super) async fn in_memory(most: u64) -> sqlx::Result<Opened> {
    let room = Room::of(most.min(MEMORY));
    let connection = connect(options().in_memory(true).filename(":memory:"), room).await?;
    Ok(Opened { connection, room, forgotten: None })
}

/// The file of a directory, which is made if it is not there. A damaged one is put aside.
///
/// # Errors
/// When the directory cannot be used, or another process uses it.
pub(super) async fn open(directory: &Path, most: u64) -> sqlx::Result<Opened> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let room = Room::of(most);
    let forgotten = match attempt(directory, room).await {
        Ok(connection) => return Ok(Opened { connection, room, forgotten: None }),
        Err(error) if is_damaged(&error) => error.to_string(),
        Err(error) => return Err(error),
    };
    put_aside(directory)?;
    let connection = attempt(directory, room).await?;
    Ok(Opened { connection, room, forgotten: Some(forgotten) })
}

/// Whether it says that the file is of no use.
pub(super) fn is_damaged(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            code(error.as_ref()).is_some_and(|it| DAMAGED.contains(&it))
        }
        sqlx::Error::Protocol(_) => true,
        _ => false,
    }
}

/// Whether it says that there is no more room in the file.
pub(super) fn is_full(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if code(error.as_ref()) == Some(13))
}

fn code(error: &dyn sqlx::error::DatabaseError) -> Option<u32> {
    // The lowest byte is what went wrong, the others say more of it.
    error.code()?.parse::<u32>().ok().map(|code| code & 0xff)
}

/// Renames the file and its log, so that somebody may look at them. Of those that were put aside before the oldest
/// goes, so that they cannot fill the disk.
pub(super) fn put_aside(directory: &Path) -> io::Result<()> {
    let names = [FILE].into_iter().chain(BAD);
    let moves: Vec<_> = names.clone().zip(names.skip(1)).collect();
    for (from, to) in moves.into_iter().rev() {
        // First the log: who is killed in between leaves a file without one, and not the log of another file.
        for part in [LOG, ""] {
            let [from, to] = [from, to].map(|it| directory.join(format!("{it}{part}")));
            match fs::rename(from, &to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) => {}
                // What is in the place of a log belongs to the file that was there before.
                Err(_) => match fs::remove_file(to) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                },
            }
        }
    }
    Ok(())
}

async fn attempt(directory: &Path, room: Room) -> sqlx::Result<SqliteConnection> {
    let path = directory.join(FILE);
    // SQLite would let everybody read it.
    OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
    connect(options().filename(path), room).await
}

fn options() -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new().busy_timeout(BUSY);
    options.thread_name(|_| "history-file".to_owned()).disable_statement_logging()
}

/// Connects. One that fails is closed before that is told: whatever comes later must not meet its log.
async fn connect(options: SqliteConnectOptions, room: Room) -> sqlx::Result<SqliteConnection> {
    let mut connection = options.connect().await?;
    match prepare(&mut connection, room).await {
        Ok(()) => Ok(connection),
        Err(error) => {
            connection.close().await.ok();
            Err(error)
        }
    }
}

async fn prepare(connection: &mut SqliteConnection, room: Room) -> sqlx::Result<()> {
    let (pages, log) = (room.pages(), room.log);
    let checkpoint = (log / PAGE / 4).max(1);
    // First of all that nobody else has it: no memory is shared with others then, and none is left behind.
    let settings = format!(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA page_size = {PAGE}; PRAGMA auto_vacuum = INCREMENTAL; \
         PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -1024; \
         PRAGMA max_page_count = {pages}; PRAGMA wal_autocheckpoint = {checkpoint}; \
         PRAGMA journal_size_limit = {log}"
    );
    sqlx::raw_sql(AssertSqlSafe(settings)).execute(&mut *connection).await?;
    check(connection).await?;
    begin(connection).await?;
    let made = make(connection).await;
    end(connection, made).await
}

/// Whether it is in order, and a history.
async fn check(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let found: String =
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *connection).await?;
    if found != "ok" {
        return Err(sqlx::Error::Protocol(found.trim_end().replace('\n', ": ")));
    }
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *connection)
        .await?;
    let application: i64 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let version: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    if tables > 0 && (application, version) != (APPLICATION, VERSION) {
        return Err(sqlx::Error::Protocol("it is no history of this version".to_owned()));
    }
    Ok(())
}

/// Begins a transaction, which [`end`] ends. By statements of our own: sqlx counts how deep in transactions it is, and
/// is wrong once SQLite has rolled one back by itself, as it does when a disk is full. What it then takes for the inner
/// part of another is never committed.
pub(super) async fn begin(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query("BEGIN").execute(connection).await.map(drop)
}

/// Ends a transaction of which `done` says how it went.
pub(super) async fn end<T>(
    connection: &mut SqliteConnection,
    done: sqlx::Result<T>,
) -> sqlx::Result<T> {
    let done = match done {
        Ok(value) => sqlx::query("COMMIT").execute(&mut *connection).await.map(|_| value),
        Err(error) => Err(error),
    };
    if done.is_err() {
        // Where SQLite has rolled back there is nothing left to roll back.
        sqlx::query("ROLLBACK").execute(connection).await.ok();
    }
    done
}

/// Makes the tables if there are none, and writes something, which shows whether that can be done.
async fn make(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *connection)
        .await?;
    if tables == 0 {
        sqlx::raw_sql(SCHEMA).execute(&mut *connection).await?;
        let marks = format!("PRAGMA application_id={APPLICATION}; PRAGMA user_version={VERSION}");
        sqlx::raw_sql(AssertSqlSafe(marks)).execute(&mut *connection).await?;
    }
    sqlx::query("INSERT OR REPLACE INTO meta VALUES('opened', ?)")
        .bind((clock::wall() / 1_000_000_000).to_string())
        .execute(connection)
        .await
        .map(drop)
}
