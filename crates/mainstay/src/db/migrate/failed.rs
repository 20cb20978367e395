//! Why migrations fail, in words that name the step and the statement.

use crate::db::reason::{self, told};
use sqlx::Error;
use sqlx::migrate::MigrateError;
use std::fmt;

/// Bytes of a statement that is told.
const TOLD: usize = 400;

/// Why migrations did not come to their end.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The database could not be reached, or not be used.
    Database(Error),
    /// The URL is of no database that this program knows.
    Unknown,
    /// Two steps have one version.
    Twice(i64),
    /// A step was done in another form than it has now.
    Changed(i64),
    /// A step was done that the program does not have.
    Missing(i64),
    /// A step was begun and not ended, on a database that cannot take back its parts; and the table that
    /// says so.
    Dirty(i64, &'static str),
    /// There is no step of this version.
    NoSuch(i64),
    /// A step cannot be undone.
    NoWayBack(i64),
    /// A statement failed.
    Statement { version: i64, name: String, line: usize, statement: String, error: Error },
    /// Somebody else migrates, and does not come to an end.
    Locked(std::io::Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::Database(error)
    }
}

impl From<MigrateError> for Failed {
    fn from(error: MigrateError) -> Failed {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                Failed::Database(error)
            }
            other => Failed::Database(Error::Protocol(other.to_string())),
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Database(error) => write!(f, "the database says: {}", told(error)),
            Failed::Unknown => f.write_str("the URL is of no database that this program knows"),
            Failed::Twice(version) => write!(f, "two migrations have the version {version}"),
            Failed::Changed(version) => write!(
                f,
                "migration {version} was done in another form than it has now: add a new one instead"
            ),
            Failed::Missing(version) => write!(
                f,
                "migration {version} was done, and this program does not have it: is it an older one?"
            ),
            Failed::Dirty(version, table) => write!(
                f,
                "migration {version} was begun and failed in the middle: mend the schema by hand, \
                 then remove its row from {table}"
            ),
            Failed::NoSuch(version) => write!(f, "there is no migration {version}"),
            Failed::NoWayBack(version) => write!(f, "migration {version} has no way back"),
            Failed::Statement { version, name, line, statement, error } => write!(
                f,
                "migration {version} ({name}) failed at line {line}: {}: {}",
                told(error),
                shortened(statement)
            ),
            Failed::Locked(error) => write!(f, "another process migrates: {error}"),
        }
    }
}

impl Failed {
    /// Whether it may go well a little later.
    pub(crate) fn may_pass(&self) -> bool {
        use crate::health::reason::Reason;
        let Failed::Database(error) = self else { return false };
        let reason = reason::finding(error).reason;
        matches!(reason, Reason::Refused | Reason::Unreachable | Reason::Starting | Reason::Timeout)
            || matches!(reason, Reason::TooManyConnections | Reason::Locked)
    }
}

/// A statement on one line, and not for ever.
fn shortened(statement: &str) -> String {
    let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.len() > TOLD {
        true => format!("{} ...", &line[..line.floor_char_boundary(TOLD)]),
        false => line,
    }
}
