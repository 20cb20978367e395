//! What an error of a database means for whoever asks whether it works.

use crate::health::prober::Finding;
use crate::health::reason::Reason;
use sqlx::Error;
use std::borrow::Cow;
use std::io::ErrorKind;

/// The finding that an error is.
pub(crate) fn finding(error: &Error) -> Finding {
    Finding::new(reason(error), told(error))
}

fn reason(error: &Error) -> Reason {
    match error {
        Error::Io(error) => match error.kind() {
            // A server that goes away in the middle of the greeting does not listen either.
            ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof => Reason::Refused,
            ErrorKind::TimedOut => Reason::Timeout,
            ErrorKind::NotFound
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::AddrNotAvailable => Reason::Unreachable,
            // How a resolver says that there is no such host.
            _ if error.raw_os_error().is_none() => Reason::Unreachable,
            _ => Reason::Failed,
        },
        Error::PoolTimedOut => Reason::Timeout,
        Error::Database(error) => of_code(error.code(), error.message()),
        _ => Reason::Failed,
    }
}

/// By SQLSTATE, by SQLite's extended result codes, or by MySQL's words where its SQLSTATE says nothing.
fn of_code(code: Option<Cow<'_, str>>, message: &str) -> Reason {
    let code = code.unwrap_or_default();
    match &*code {
        // PostgreSQL, and MySQL for some of them.
        "28P01" | "28000" => Reason::Unauthorized,
        "3D000" => Reason::NoDatabase,
        "53300" | "08004" => Reason::TooManyConnections,
        "57P01" | "57P02" | "57P03" | "08S01" => Reason::Starting,
        "25006" => Reason::ReadOnly,
        "53100" => Reason::NotWritable,
        // MySQL: an unknown database is a syntax error to its SQLSTATE.
        "42000" if message.contains("nknown database") => Reason::NoDatabase,
        "HY000" if message.contains("read-only") || message.contains("read_only") => {
            Reason::ReadOnly
        }
        // Said instead of a greeting, which is before codes.
        "" | "HY000" if message.contains("oo many connections") => Reason::TooManyConnections,
        // SQLite: the primary code is the lower byte.
        other => match other.parse::<u32>().map(|code| code & 0xff) {
            Ok(5 | 6) => Reason::Locked,
            Ok(8) => Reason::NotWritable,
            Ok(10 | 13) => Reason::NotWritable,
            Ok(11 | 26) => Reason::Corrupt,
            Ok(14) => Reason::Missing,
            _ => Reason::Failed,
        },
    }
}

/// An error in words for a log. PostgreSQL's detail, which holds values, is left out.
pub(crate) fn told(error: &Error) -> String {
    match error {
        Error::Database(error) => {
            let code = error.code().map(|code| format!(" (code {code})")).unwrap_or_default();
            let constraint = error.constraint().map(|it| format!(", constraint {it}"));
            let message = match error.kind() {
                // The message of a broken constraint may repeat the value that broke it.
                sqlx::error::ErrorKind::Other => error.message().to_owned(),
                sqlx::error::ErrorKind::UniqueViolation => "unique constraint violated".to_owned(),
                sqlx::error::ErrorKind::ForeignKeyViolation => "foreign key violated".to_owned(),
                sqlx::error::ErrorKind::NotNullViolation => {
                    "not-null constraint violated".to_owned()
                }
                sqlx::error::ErrorKind::CheckViolation => "check constraint violated".to_owned(),
                _ => "constraint violated".to_owned(),
            };
            format!("{message}{code}{}", constraint.unwrap_or_default())
        }
        // What cannot be read as a URL may be a password.
        Error::Configuration(_) => "the address cannot be read".to_owned(),
        other => other.to_string(),
    }
}

/// Errors that are not the service's own fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// No connection was free in time.
    Exhausted,
    /// What was to be made is there already.
    Exists,
}

/// The class of an error of sqlx's, if it is one and has one.
pub(crate) fn class_of(error: &(dyn std::error::Error + 'static)) -> Option<Class> {
    match error.downcast_ref::<Error>()? {
        Error::PoolTimedOut => Some(Class::Exhausted),
        Error::Database(error) if error.is_unique_violation() => Some(Class::Exists),
        _ => None,
    }
}

/// An error of sqlx's, or of a database's, in words without values.
pub(crate) fn told_of(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    error.downcast_ref::<Error>().map(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_mean_what_their_servers_mean() {
        for (code, message, expected) in [
            ("28P01", "password authentication failed", Reason::Unauthorized),
            ("3D000", "database \"x\" does not exist", Reason::NoDatabase),
            ("42000", "Unknown database 'x'", Reason::NoDatabase),
            ("42000", "You have an error in your SQL syntax", Reason::Failed),
            ("53300", "sorry, too many clients already", Reason::TooManyConnections),
            ("57P03", "the database system is starting up", Reason::Starting),
            (
                "HY000",
                "The MariaDB server is running with the --read-only option",
                Reason::ReadOnly,
            ),
            ("5", "database is locked", Reason::Locked),
            ("261", "database is locked", Reason::Locked),
            ("1032", "attempt to write a readonly database", Reason::NotWritable),
            ("14", "unable to open database file", Reason::Missing),
            ("26", "file is not a database", Reason::Corrupt),
            ("1", "no such table: x", Reason::Failed),
        ] {
            assert_eq!(of_code(Some(code.into()), message), expected, "{code} {message}");
        }
        assert_eq!(of_code(None, ""), Reason::Failed);
        assert_eq!(of_code(None, "Too many connections"), Reason::TooManyConnections);
    }

    #[test]
    fn the_system_s_errors_are_told_apart() {
        let io = |kind: ErrorKind| reason(&Error::Io(kind.into()));
        assert_eq!(io(ErrorKind::ConnectionRefused), Reason::Refused);
        assert_eq!(io(ErrorKind::HostUnreachable), Reason::Unreachable);
        assert_eq!(io(ErrorKind::TimedOut), Reason::Timeout);
        let unknown = std::io::Error::other("failed to lookup address information");
        assert_eq!(reason(&Error::Io(unknown)), Reason::Unreachable);
    }
}
