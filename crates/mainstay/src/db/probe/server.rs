//! Servers: whether they answer, and take writes.

use super::super::reason::finding;
use super::Target;
use crate::health::prober::Finding;
use crate::health::reason::Reason;
use sqlx::{ConnectOptions, Connection, Error};

pub(super) fn judged(asked: Result<bool, Error>) -> Finding {
    match asked {
        Ok(true) => Finding::WELL,
        Ok(false) => Finding::new(Reason::ReadOnly, "the server takes no writes"),
        Err(error) => finding(&error),
    }
}

#[cfg(feature = "postgres")]
pub(super) async fn postgres(target: &Target) -> Result<bool, Error> {
    let options: sqlx::postgres::PgConnectOptions = target.url.parse()?;
    let options = options.application_name("mainstay-probe").disable_statement_logging();
    let mut connection = options.connect().await?;
    let statement = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool";
    let read_only: bool = sqlx::query_scalar(statement).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(!(read_only && target.needs_writes))
}

#[cfg(feature = "mysql")]
pub(super) async fn mysql(target: &Target) -> Result<bool, Error> {
    let options: sqlx::mysql::MySqlConnectOptions = target.url.parse()?;
    let mut connection = options.disable_statement_logging().connect().await?;
    let statement = "SELECT CAST(@@global.read_only AS SIGNED)";
    let read_only: i64 = sqlx::query_scalar(statement).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(!(read_only != 0 && target.needs_writes))
}
