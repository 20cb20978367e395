//! Whether a database works, asked by a fresh connection: a pool cannot tell one that is gone from one
//! whose connections are all in use, and an open connection to SQLite proves nothing.

#[cfg(any(feature = "postgres", feature = "mysql"))]
mod server;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "sqlite")]
pub(crate) use sqlite::file_of;

use crate::health::checks::Kind;
use crate::health::prober::Finding;
use crate::health::reason::Reason;
use std::path::Path;

/// What is probed.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    pub(crate) needs_writes: bool,
    /// What the file was when it was opened; 0 for not known.
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "others have no file"))]
    pub(crate) identity: u64,
}

/// Probes a database. Whoever calls sets the deadline, and drops what takes longer.
pub(crate) async fn probe(target: Target) -> Finding {
    match target.kind {
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => sqlite::probe(target).await,
        #[cfg(feature = "postgres")]
        Kind::Postgres => server::judged(server::postgres(&target).await),
        #[cfg(feature = "mysql")]
        Kind::MySql => server::judged(server::mysql(&target).await),
        _ => Finding::new(Reason::Failed, "this program knows no such database"),
    }
}

/// Device and number of a file as one word; 0 when there is none.
pub(crate) fn identity(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(file) = std::fs::metadata(path) else { return 0 };
    (file.dev().rotate_left(32) ^ file.ino()).max(1)
}

/// No URL is of a file.
#[cfg(not(feature = "sqlite"))]
pub(crate) fn file_of(_: &str) -> Option<std::path::PathBuf> {
    None
}
