//! What differs between databases when a pool is opened.

use super::open::Settings;
use crate::health::checks::Kind;
use sqlx::{ConnectOptions, Connection, Database, Error};

/// A database of which the worker can give pools: `Sqlite`, `Postgres` and `MySql` of [`sqlx`], and
/// `Any`, which takes the one that the URL names.
pub trait Driver: Hidden {}

impl<DB: Hidden> Driver for DB {}

/// How a connection is opened.
pub(crate) type Options<DB> = <<DB as Database>::Connection as Connection>::Options;

/// The part of [`Driver`] that is nobody else's affair.
pub trait Hidden: Database {
    /// Which database a URL leads to.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "nobody else implements or calls it")]
    fn kind(url: &str) -> Option<Kind>;

    /// Options for connections to `url`, with what mainstay wants of them.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "nobody else implements or calls it")]
    fn options(url: &str, settings: &Settings) -> Result<Options<Self>, Error>;

    /// What a new connection needs before it is used.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "nobody else implements or calls it")]
    fn begin(
        connection: &mut Self::Connection,
        kind: Kind,
        settings: &Settings,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let _ = (connection, kind, settings);
        std::future::ready(Ok(()))
    }

    /// How many connections the server takes.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "nobody else implements or calls it")]
    fn limit(
        connection: &mut Self::Connection,
        kind: Kind,
    ) -> impl Future<Output = Option<u32>> + Send;

    /// Rows that a statement changed.
    #[doc(hidden)]
    fn affected(result: &Self::QueryResult) -> u64;
}

/// Asks for the number of connections that a server takes; those that only its superuser may open do not
/// count.
fn limit_of(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Postgres => Some(
            "SELECT current_setting('max_connections')::int8 \
             - current_setting('superuser_reserved_connections')::int8",
        ),
        Kind::MySql => Some("SELECT CAST(@@max_connections AS SIGNED)"),
        Kind::Sqlite | Kind::App => None,
    }
}

macro_rules! limit {
    ($connection:expr, $kind:expr) => {{
        let statement = limit_of($kind)?;
        let asked = sqlx::query_scalar::<_, i64>(statement).fetch_one($connection).await;
        u32::try_from(asked.ok()?).ok()
    }};
}

#[cfg(feature = "sqlite")]
impl Hidden for sqlx::Sqlite {
    fn affected(result: &Self::QueryResult) -> u64 {
        result.rows_affected()
    }

    #[allow(private_interfaces, reason = "nobody else implements or calls it")]
    fn kind(url: &str) -> Option<Kind> {
        (scheme(url) == "sqlite").then_some(Kind::Sqlite)
    }

    #[allow(private_interfaces, reason = "nobody else implements or calls it")]
    fn options(url: &str, settings: &Settings) -> Result<Options<Self>, Error> {
        use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
        let options: SqliteConnectOptions = writable(url).parse()?;
        let options = options.busy_timeout(settings.acquire_timeout).foreign_keys(true);
        let options = if url.contains("mode=ro") {
            options
        } else {
            options.journal_mode(SqliteJournalMode::Wal)
        };
        Ok(options.disable_statement_logging())
    }

    #[allow(private_interfaces, reason = "nobody else implements or calls it")]
    async fn limit(_: &mut Self::Connection, _: Kind) -> Option<u32> {
        None
    }
}

#[cfg(feature = "postgres")]
impl Hidden for sqlx::Postgres {
    fn affected(result: &Self::QueryResult) -> u64 {
        result.rows_affected()
    }

    #[allow(private_interfaces, reason = "nobody else implements or calls it")]
    fn kind(url: &str) -> Option<Kind> {
        matches!(scheme(url), "postgres" | "postgresql").then_some(Kind::Postgres)
    }

    #[allow(private_interfaces, reason = "nobody else implements or calls it")]
    fn options(url: &str, settings: &Settings) -> Result<Options<Self>, Error> {
        let options: sqlx::postgres::PgConnectOptions = url.parse()?;
        let options = match options.get_application_name() {
            None => options.application_name(&settings.application),
            Some(_) => options,
        };
        Ok(options.disable_statement_logging())
    }

    #[allow(private_interfaces, reason = "nobody else implements or calls it")]
    async fn limit(connection: &mut Self::Connection, kind: Kind) -> Option<u32> {
        limit!(connection, kind)
    }
}

#[cfg(feature = "mysql")]
impl Hidden for sqlx::MySql {
    fn affected(result: &Self::QueryResult) -> u64 {
        result.rows_affected()
    }

    #[allow(private_interfaces, reason = "nobody else implements or calls it")]
    fn kind(url: &str) -> Option<Kind> {
        matches!(scheme(url), "mysql" | "mariadb").then_some(Kind::MySql)
    }

    #[allow(private_interfaces, reason = "nobody else implements or calls it")]
    fn options(url: &str, _: &Settings) -> Result<Options<Self>, Error> {
        let options: sqlx::mysql::MySqlConnectOptions = url.parse()?;
        Ok(options.disable_statement_logging())
    }

    #[allow(private_interfaces, reason = "nobody else implements or calls it")]
    async fn limit(connection: &mut Self::Connection, kind: Kind) -> Option<u32> {
        limit!(connection, kind)
    }
}

impl Hidden for sqlx::Any {
    fn affected(result: &Self::QueryResult) -> u64 {
        result.rows_affected()
    }

    #[allow(private_interfaces, reason = "nobody else implements or calls it")]
    fn kind(url: &str) -> Option<Kind> {
        match scheme(url) {
            "sqlite" if cfg!(feature = "sqlite") => Some(Kind::Sqlite),
            "postgres" | "postgresql" if cfg!(feature = "postgres") => Some(Kind::Postgres),
            "mysql" | "mariadb" if cfg!(feature = "mysql") => Some(Kind::MySql),
            _ => None,
        }
    }

    #[allow(private_interfaces, reason = "nobody else implements or calls it")]
    fn options(url: &str, _: &Settings) -> Result<Options<Self>, Error> {
        sqlx::any::install_default_drivers();
        let options: sqlx::any::AnyConnectOptions = writable(url).parse()?;
        Ok(options.disable_statement_logging())
    }

    #[allow(private_interfaces, reason = "nobody else implements or calls it")]
    async fn begin(
        connection: &mut Self::Connection,
        kind: Kind,
        settings: &Settings,
    ) -> Result<(), Error> {
        use sqlx::Executor;
        if kind == Kind::Sqlite {
            let busy = settings.acquire_timeout.as_millis();
            let pragmas = format!(
                "PRAGMA busy_timeout = {busy}; PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON"
            );
            connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(pragmas))).await?;
        }
        Ok(())
    }

    #[allow(private_interfaces, reason = "nobody else implements or calls it")]
    async fn limit(connection: &mut Self::Connection, kind: Kind) -> Option<u32> {
        limit!(connection, kind)
    }
}

fn scheme(url: &str) -> &str {
    url.split_once(':').map_or("", |(scheme, _)| scheme)
}

/// A URL of SQLite that makes its file if there is none, unless it says otherwise.
fn writable(url: &str) -> String {
    let is_file = scheme(url) == "sqlite" && !url.contains(":memory:");
    match url.contains('?') {
        _ if !is_file || url.contains("mode=") => url.to_owned(),
        true => format!("{url}&mode=rwc"),
        false => format!("{url}?mode=rwc"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_unless_the_url_says_otherwise() {
        for (url, expected) in [
            ("sqlite:a.db", "sqlite:a.db?mode=rwc"),
            ("sqlite://a.db?cache=shared", "sqlite://a.db?cache=shared&mode=rwc"),
            ("sqlite:a.db?mode=ro", "sqlite:a.db?mode=ro"),
            ("sqlite::memory:", "sqlite::memory:"),
            ("postgres://a/b", "postgres://a/b"),
        ] {
            assert_eq!(writable(url), expected);
        }
    }
}
