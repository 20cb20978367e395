//! The pool that applications are given.

use super::book::{Book, Held};
use super::driver::Driver;
use crate::health::checks::Kind;
use sqlx::pool::PoolConnection as SqlxConnection;
use sqlx::{Database, Error, Transaction as SqlxTransaction};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A pool of connections to a database, used as one of sqlx's: `&pool` is an executor. Cloning is
/// cheap, and gives the same pool.
///
/// What it does is measured: who waits how long for a connection, who holds one, how long statements
/// take. The worker gives pools: [`Worker::sqlite`](crate::Worker::sqlite) and its siblings.
pub struct Pool<DB: Database> {
    pub(super) inner: sqlx::Pool<DB>,
    pub(super) book: Arc<Book>,
}

impl<DB: Database> Clone for Pool<DB> {
    fn clone(&self) -> Self {
        Pool { inner: self.inner.clone(), book: Arc::clone(&self.book) }
    }
}

impl<DB: Database> fmt::Debug for Pool<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("name", &self.book.name).finish_non_exhaustive()
    }
}

impl<DB: Driver> Pool<DB> {
    pub(crate) fn new(inner: sqlx::Pool<DB>, book: Arc<Book>) -> Pool<DB> {
        Pool { inner, book }
    }

    /// Takes a connection, which is given back when it is dropped.
    ///
    /// # Errors
    /// [`Error::PoolTimedOut`] when there is none within `database.acquire_timeout`: all are in use, or
    /// the database is away; the log and `/readyz` tell which.
    pub async fn acquire(&self) -> Result<PoolConnection<DB>, Error> {
        let (connection, held) = self.take().await?;
        let link = Link::Pooled(connection);
        Ok(PoolConnection { connection: Connection { link, held } })
    }

    async fn take(&self) -> Result<(SqlxConnection<DB>, Held), Error> {
        let waiting = self.book.wait();
        match self.inner.acquire().await {
            Ok(connection) => Ok((connection, waiting.got())),
            Err(error) => {
                if matches!(error, Error::PoolTimedOut) {
                    waiting.failed();
                }
                Err(error)
            }
        }
    }

    /// Begins a transaction, which is rolled back when it is dropped without having been committed.
    ///
    /// # Errors
    /// As [`Pool::acquire`], and what the database says.
    pub async fn begin(&self) -> Result<super::Transaction<DB>, Error> {
        let (connection, held) = self.take().await?;
        self.book.tell_transaction("BEGIN");
        let transaction = SqlxTransaction::begin(connection, None).await?;
        let link = Link::Transaction(transaction);
        Ok(super::Transaction::new(Connection { link, held }))
    }

    /// A statement for this pool's database, written with `?` for each value: PostgreSQL wants `$1`,
    /// `$2` instead. For applications that run on several databases; `?` within quotes and comments
    /// stays.
    #[must_use]
    pub fn sql(&self, statement: &'static str) -> sqlx::SqlStr {
        super::statement::for_kind(statement, self.book.kind)
    }

    /// As [`Pool::sql`], of an `INSERT INTO` that does nothing where a row with its key is: `INSERT IGNORE`
    /// on MySQL, `ON CONFLICT DO NOTHING` elsewhere. The rows affected say which it was.
    #[must_use]
    pub fn sql_if_new(&self, insert: &'static str) -> sqlx::SqlStr {
        super::statement::if_new(insert, self.book.kind)
    }

    /// Whether it leads to PostgreSQL, whose dialect differs most from the others'.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        self.book.kind == Kind::Postgres
    }

    /// Whether it leads to MySQL or MariaDB.
    #[must_use]
    pub fn is_mysql(&self) -> bool {
        self.book.kind == Kind::MySql
    }

    /// The pool of sqlx, for libraries that want one. What goes past this pool is not measured.
    #[must_use]
    pub fn sqlx(&self) -> &sqlx::Pool<DB> {
        &self.inner
    }
}

/// How a connection is held.
pub(super) enum Link<DB: Database> {
    Pooled(SqlxConnection<DB>),
    Transaction(SqlxTransaction<'static, DB>),
}

impl<DB: Database> Link<DB> {
    pub(super) fn raw(&mut self) -> &mut DB::Connection {
        match self {
            Link::Pooled(connection) => connection,
            Link::Transaction(transaction) => transaction,
        }
    }

    fn look(&self) -> &DB::Connection {
        match self {
            Link::Pooled(connection) => connection,
            Link::Transaction(transaction) => transaction,
        }
    }
}

/// A connection: `&mut connection` is an executor, as of sqlx's connections.
pub struct Connection<DB: Database> {
    pub(super) link: Link<DB>,
    // Given back to the pool before it is given back in the book.
    pub(super) held: Held,
}

impl<DB: Database> fmt::Debug for Connection<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("pool", &self.held.book.name).finish_non_exhaustive()
    }
}

impl<DB: Database> Connection<DB> {
    /// The connection of sqlx. What goes past this one is not measured.
    pub fn sqlx(&mut self) -> &mut DB::Connection {
        self.link.raw()
    }

    /// The same, to be looked at.
    pub(super) fn raw(&self) -> &DB::Connection {
        self.link.look()
    }
}

/// A connection of a pool; `&mut *connection` is an executor.
#[derive(Debug)]
pub struct PoolConnection<DB: Database> {
    connection: Connection<DB>,
}

impl<DB: Database> Deref for PoolConnection<DB> {
    type Target = Connection<DB>;

    fn deref(&self) -> &Connection<DB> {
        &self.connection
    }
}

impl<DB: Database> DerefMut for PoolConnection<DB> {
    fn deref_mut(&mut self) -> &mut Connection<DB> {
        &mut self.connection
    }
}
