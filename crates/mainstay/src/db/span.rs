//! The span of a statement, by OpenTelemetry's conventions for databases.

use super::fingerprint::Fingerprint;
use super::summary::summary;
use crate::clock::Mono;
use crate::health::checks::Kind;
use crate::telemetry::Running;
use crate::telemetry::span::{Span, SpanKind, Status};
use sqlx::Error;

/// Where a pool leads to, as far as its URL says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    host: String,
    port: Option<u16>,
    database: String,
}

impl Target {
    /// What a URL says, without user and password.
    pub(crate) fn of(url: &str, kind: Kind) -> Target {
        let Some((_, rest)) = url.split_once("://") else { return Target::default() };
        if !matches!(kind, Kind::Postgres | Kind::MySql) {
            return Target::default();
        }
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        // A password may hold a slash that nobody has escaped.
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|it| it.is_ascii_digit()) => (host, port),
            _ => (authority, ""),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Target { host: host.to_owned(), port: port.parse().ok(), database: database.to_owned() }
    }
}

/// How a statement failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    /// In words without values.
    pub(super) told: String,
    /// SQLSTATE, or the database's own.
    code: String,
    kind: &'static str,
}

impl Failed {
    pub(super) fn new(error: &Error) -> Failed {
        let (code, kind) = match error {
            Error::Database(error) => (error.code().unwrap_or_default().into_owned(), "database"),
            Error::Io(_) => (String::new(), "io"),
            Error::Tls(_) => (String::new(), "tls"),
            Error::Protocol(_) => (String::new(), "protocol"),
            Error::PoolTimedOut => (String::new(), "pool_timed_out"),
            Error::PoolClosed => (String::new(), "pool_closed"),
            Error::Decode(_) | Error::ColumnDecode { .. } => (String::new(), "decode"),
            _ => (String::new(), "_OTHER"),
        };
        Failed { told: super::reason::told(error), code, kind }
    }
}

/// What is known of a statement that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ran<'a> {
    pub(super) system: &'static str,
    pub(super) pool: &'a str,
    pub(super) target: Option<&'a Target>,
    pub(super) statement: &'a Fingerprint,
    pub(super) rows: u64,
    pub(super) failed: Option<&'a Failed>,
}

/// The conventions' name of a kind of database.
pub(super) fn system(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => "postgresql",
        Kind::MySql => "mysql",
        Kind::Sqlite => "sqlite",
        Kind::App => "other_sql",
    }
}

/// Ends the statement's span.
pub(super) fn end(running: &Running, at: Mono, ran: &Ran<'_>) {
    let summary = summary(&ran.statement.text);
    let name = if summary.is_empty() { ran.system } else { &summary };
    let status = ran.failed.map_or(Status::Unset, |failed| Status::Error(&failed.told));
    let span = Span { name, kind: SpanKind::Client, status, ..Span::default() };
    running.end(at, ran.failed.is_some(), &span, |it| {
        it.text("db.system.name", ran.system);
        if let Some(target) = ran.target {
            it.text("db.namespace", &target.database);
            it.text("server.address", &target.host);
            if let Some(port) = target.port {
                it.integer("server.port", port.into());
            }
        }
        it.text("db.operation.name", summary.split(' ').next().unwrap_or_default());
        it.text("db.query.summary", &summary);
        it.text("db.query.text", &ran.statement.text);
        it.integer("db.response.returned_rows", i64::try_from(ran.rows).unwrap_or(i64::MAX));
        it.text("db.client.connection.pool.name", ran.pool);
        if let Some(failed) = ran.failed {
            it.text("db.response.status_code", &failed.code);
            it.text("error.type", if failed.code.is_empty() { failed.kind } else { &failed.code });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_told_without_user_and_password() {
        let of = |url| Target::of(url, Kind::Postgres);
        let target = |host: &str, port, database: &str| Target {
            host: host.into(),
            port,
            database: database.into(),
        };
        assert_eq!(
            of("postgres://shop:hun/t@er2@db:5433/orders?a=b"),
            target("db", Some(5433), "orders")
        );
        assert_eq!(of("postgres://db/orders"), target("db", None, "orders"));
        assert_eq!(of("postgres://u@[::1]:1/x"), target("::1", Some(1), "x"));
        assert_eq!(of("postgres:///x"), target("", None, "x"));
        assert_eq!(Target::of("sqlite:///srv/a.db", Kind::Sqlite), Target::default());
    }
}
