//! SQLite's file: whether it is there, the one that was opened, a database, and writable.

use super::super::reason::finding;
use super::{Target, identity};
use crate::health::prober::Finding;
use crate::health::reason::Reason;
use sqlx::{ConnectOptions, Connection, Error};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file that a URL of SQLite names; `None` for a database in memory.
pub(crate) fn file_of(url: &str) -> Option<PathBuf> {
    let options: sqlx::sqlite::SqliteConnectOptions = url.parse().ok()?;
    let is_memory = url.contains(":memory:") || url.contains("mode=memory");
    (!is_memory).then(|| options.get_filename().to_owned())
}

pub(super) async fn probe(target: Target) -> Finding {
    /// How long a probe waits for a lock.
    const BUSY: std::time::Duration = std::time::Duration::from_millis(250);
    /// A disk with less than this has no room for a log of a few transactions.
    const ROOM: u64 = 1 << 20;

    let Some(path) = file_of(&target.url) else { return Finding::WELL };
    let now = identity(&path);
    if now == 0 {
        return Finding::new(Reason::Missing, path.display().to_string());
    }
    if target.identity != 0 && now != target.identity {
        return Finding::new(Reason::Replaced, path.display().to_string());
    }
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    // Read and write, as the pool does: the log of a writer that died must be taken up.
    let options = options.create_if_missing(false).busy_timeout(BUSY).disable_statement_logging();
    let read = async {
        let mut connection = options.connect().await?;
        let counted: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
            .fetch_one(&mut connection)
            .await?;
        connection.close().await?;
        Ok::<i64, Error>(counted)
    };
    if let Err(error) = read.await {
        return finding(&error);
    }
    if !has_header(&path, now) {
        let text = format!("{} was overwritten", path.display());
        return Finding::new(Reason::Corrupt, text);
    }
    if !target.needs_writes {
        return Finding::WELL;
    }
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for place in [path.as_path(), directory] {
        if rustix::fs::access(place, rustix::fs::Access::WRITE_OK).is_err() {
            return Finding::new(Reason::NotWritable, place.display().to_string());
        }
    }
    match rustix::fs::statvfs(directory) {
        Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM => {
            Finding::new(Reason::NotWritable, "the disk is full")
        }
        _ => Finding::WELL,
    }
}

fn log_of(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Whether a file begins as SQLite's do. A database that reads its pages from its log does not notice
/// when the file itself was overwritten, until the next checkpoint.
fn has_header(path: &Path, identity: u64) -> bool {
    use std::os::unix::fs::FileExt;
    /// Files by their paths. They stay open: closing one would drop all locks that this process has on
    /// the file, those of SQLite's connections too. One that was replaced is no longer used.
    static OPEN: Mutex<Vec<(PathBuf, u64, File)>> = Mutex::new(Vec::new());

    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|(known, then, _)| known != path || *then == identity);
    if !open.iter().any(|(known, ..)| known == path) {
        match File::open(path) {
            Ok(file) => open.push((path.to_owned(), identity, file)),
            // Gone meanwhile; the next probe says so.
            Err(_) => return true,
        }
    }
    let Some((.., file)) = open.iter().find(|(known, ..)| known == path) else { return true };
    let mut header = [0; 16];
    match file.read_at(&mut header, 0) {
        // A new one in another mode than with a log has nothing in it at first.
        Ok(0) => !log_of(path).exists(),
        Ok(_) => &header == b"SQLite format 3\0",
        Err(_) => false,
    }
}
