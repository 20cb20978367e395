//! Work that one worker does for all: who has the lease does it, until it ends or he is gone.

use super::{Db, Error};
use mainstay::sqlx;

/// Takes the lease, or keeps it, until `until`; false while somebody else has it.
pub(crate) async fn take(
    db: &Db,
    name: &str,
    holder: &str,
    now: i64,
    until: i64,
) -> Result<bool, Error> {
    let statement = "UPDATE site_leases SET holder = ?, until = ? \
                     WHERE name = ? AND (holder = ? OR until <= ?)";
    let taken = sqlx::query(db.sql(statement))
        .bind(holder)
        .bind(until)
        .bind(name)
        .bind(holder)
        .bind(now)
        .execute(db)
        .await?;
    if taken.rows_affected() > 0 {
        return Ok(true);
    }
    let statement = "INSERT INTO site_leases (name, holder, until) VALUES (?, ?, ?)";
    let added = sqlx::query(db.sql_if_new(statement))
        .bind(name)
        .bind(holder)
        .bind(until)
        .execute(db)
        .await?;
    Ok(added.rows_affected() > 0)
}

/// Gives it back, so that another one need not wait for its end.
pub(crate) async fn give_back(db: &Db, name: &str, holder: &str) -> Result<(), Error> {
    let statement = "UPDATE site_leases SET until = 0 WHERE name = ? AND holder = ?";
    sqlx::query(db.sql(statement)).bind(name).bind(holder).execute(db).await?;
    Ok(())
}
