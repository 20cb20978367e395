//! Files that belong to incidents, as the database knows them.

use super::{Db, Error, Row};
use mainstay::db::Connection;
use mainstay::sqlx::{self, Any, Row as _};

#[derive(Clone, Debug)]
pub(crate) struct Attachment {
    /// The name of the file on disk, and in addresses.
    pub(crate) id: String,
    pub(crate) incident: String,
    /// What whoever sent it calls it; only ever shown.
    pub(crate) name: String,
    pub(crate) media: String,
    pub(crate) size: i64,
    pub(crate) at: i64,
    pub(crate) author: String,
}

impl Attachment {
    fn read(row: &Row) -> Result<Attachment, Error> {
        Ok(Attachment {
            id: row.try_get(0)?,
            incident: row.try_get(1)?,
            name: row.try_get(2)?,
            media: row.try_get(3)?,
            size: row.try_get(4)?,
            at: row.try_get(5)?,
            author: row.try_get(6)?,
        })
    }
}

/// All of them, oldest first.
pub(crate) async fn all(db: &Db) -> Result<Vec<Attachment>, Error> {
    let statement = "SELECT id, incident, name, media, size, at, author FROM site_attachments \
                     ORDER BY at, id";
    let rows = sqlx::query(statement).fetch_all(db).await?;
    rows.iter().map(Attachment::read).collect()
}

/// One of them.
pub(crate) async fn find(db: &Db, id: &str) -> Result<Option<Attachment>, Error> {
    let statement = "SELECT id, incident, name, media, size, at, author FROM site_attachments \
                     WHERE id = ?";
    let row = sqlx::query(db.sql(statement)).bind(id).fetch_optional(db).await?;
    row.as_ref().map(Attachment::read).transpose()
}

/// Bytes of all of them.
pub(crate) async fn total(db: &Db) -> Result<i64, Error> {
    // A sum has another type on each database.
    let rows = sqlx::query("SELECT size FROM site_attachments").fetch_all(db).await?;
    rows.iter().map(|row| row.try_get::<i64, _>(0)).sum()
}

/// Adds one.
pub(crate) async fn add(
    db: &Db,
    connection: &mut Connection<Any>,
    attachment: &Attachment,
) -> Result<(), Error> {
    let statement = "INSERT INTO site_attachments (id, incident, name, media, size, at, author) \
                     VALUES (?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(db.sql(statement))
        .bind(&attachment.id)
        .bind(&attachment.incident)
        .bind(&attachment.name)
        .bind(&attachment.media)
        .bind(attachment.size)
        .bind(attachment.at)
        .bind(&attachment.author)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// Removes one; its file is the caller's to remove, once that stays.
pub(crate) async fn remove(
    db: &Db,
    connection: &mut Connection<Any>,
    id: &str,
) -> Result<(), Error> {
    let statement = "DELETE FROM site_attachments WHERE id = ?";
    sqlx::query(db.sql(statement)).bind(id).execute(&mut *connection).await?;
    Ok(())
}
