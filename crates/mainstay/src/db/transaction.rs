//! A transaction of a pool.

use super::pool::{Connection, Link};
use sqlx::{Database, Error};
use std::ops::{Deref, DerefMut};

/// A transaction; `&mut *transaction` is an executor. Dropped, it is rolled back.
#[derive(Debug)]
pub struct Transaction<DB: Database> {
    connection: Connection<DB>,
}

impl<DB: Database> Transaction<DB> {
    pub(super) fn new(connection: Connection<DB>) -> Transaction<DB> {
        Transaction { connection }
    }

    /// Makes what was done stay.
    ///
    /// # Errors
    /// What the database says; then nothing stays.
    pub async fn commit(self) -> Result<(), Error> {
        let Connection { link, held } = self.connection;
        held.book.tell_transaction("COMMIT");
        match link {
            Link::Transaction(transaction) => transaction.commit().await,
            Link::Pooled(_) => Ok(()),
        }
    }

    /// Undoes what was done.
    ///
    /// # Errors
    /// What the database says; the connection is then closed, which undoes it too.
    pub async fn rollback(self) -> Result<(), Error> {
        let Connection { link, held } = self.connection;
        held.book.tell_transaction("ROLLBACK");
        match link {
            Link::Transaction(transaction) => transaction.rollback().await,
            Link::Pooled(_) => Ok(()),
        }
    }
}

impl<DB: Database> Deref for Transaction<DB> {
    type Target = Connection<DB>;

    fn deref(&self) -> &Connection<DB> {
        &self.connection
    }
}

impl<DB: Database> DerefMut for Transaction<DB> {
    fn deref_mut(&mut self) -> &mut Connection<DB> {
        &mut self.connection
    }
}
