//! A transaction for a request, as an argument of its handler.

use super::driver::Driver;
use super::pool::{Connection, Pool};
use super::reason::told;
use super::transaction::Transaction;
use crate::http::context::{Context, current};
use crate::http::ending::Pending;
use sqlx::{Database, Error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;

/// A transaction that ends with the request: committed when the answer has a status of 2xx or 3xx,
/// before the client sees a byte of it; rolled back after any other answer, a panic, a deadline, or
/// when the client leaves. `&mut *tx` is an executor.
///
/// With axum, where the state has the pool (`Pool<DB>: FromRef<State>`), it is an argument:
///
/// ```
/// # #[cfg(all(feature = "axum", feature = "sqlite"))] {
/// use axum::extract::FromRef;
/// use mainstay::db::{Pool, Tx};
/// use mainstay::{Failure, sqlx};
/// use sqlx::Sqlite;
///
/// #[derive(Clone)]
/// struct App { db: Pool<Sqlite> }
///
/// impl FromRef<App> for Pool<Sqlite> {
///     fn from_ref(app: &App) -> Pool<Sqlite> {
///         app.db.clone()
///     }
/// }
///
/// async fn order(mut tx: Tx<Sqlite>) -> Result<&'static str, Failure> {
///     sqlx::query("INSERT INTO orders (item) VALUES ('tea')").execute(&mut *tx).await?;
///     Ok("ordered")
/// }
/// # let _: axum::Router<App> = axum::Router::new().route("/order", axum::routing::post(order));
/// # }
/// ```
///
/// An answer whose body still uses it is a fault, answered with 500: nobody could tell any more whether
/// what the client sees came to be.
pub struct Tx<DB: Database> {
    transaction: Option<Transaction<DB>>,
    context: Arc<Context>,
    /// What to make of it when it is given back.
    seal: fn(Transaction<DB>) -> Box<dyn Pending>,
}

impl<DB: Database> fmt::Debug for Tx<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}

impl<DB: Driver> Tx<DB> {
    /// Begins one for the request that this code is part of.
    ///
    /// # Errors
    /// As [`Pool::begin`]; [`Error::Protocol`] outside of a request, or when it has its answer already.
    pub async fn begin(pool: &Pool<DB>) -> Result<Tx<DB>, Error> {
        let context = current::current();
        let context = context.ok_or_else(|| Error::Protocol("there is no request here".into()))?;
        Tx::of(pool, context).await
    }

    async fn of(pool: &Pool<DB>, context: Arc<Context>) -> Result<Tx<DB>, Error> {
        if !context.pendings.take_out() {
            return Err(Error::Protocol("the request has its answer already".into()));
        }
        let seal = |transaction| Box::new(Sealed(transaction)) as Box<dyn Pending>;
        // From here on it is given back, with a transaction or without.
        let mut tx = Tx { transaction: None, context, seal };
        tx.transaction = Some(pool.begin().await?);
        Ok(tx)
    }
}

impl<DB: Database> Drop for Tx<DB> {
    fn drop(&mut self) {
        let pending = self.transaction.take().map(self.seal);
        self.context.pendings.give_back(pending);
    }
}

impl<DB: Database> Deref for Tx<DB> {
    type Target = Connection<DB>;

    fn deref(&self) -> &Connection<DB> {
        self.transaction.as_ref().expect("a transaction is there until it is given back")
    }
}

impl<DB: Database> DerefMut for Tx<DB> {
    fn deref_mut(&mut self) -> &mut Connection<DB> {
        self.transaction.as_mut().expect("a transaction is there until it is given back")
    }
}

/// A transaction that waits for the answer.
struct Sealed<DB: Database>(Transaction<DB>);

impl<DB: Driver> Pending for Sealed<DB> {
    fn keep(self: Box<Self>) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> {
        Box::pin(async move {
            let committed = self.0.commit().await;
            committed
                .map_err(|error| format!("the transaction was not committed: {}", told(&error)))
        })
    }

    fn undo(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        // One that cannot be rolled back ends with its connection.
        Box::pin(async move { self.0.rollback().await.unwrap_or_default() })
    }
}

#[cfg(feature = "axum")]
impl<S, DB> axum_core::extract::FromRequestParts<S> for Tx<DB>
where
    S: Send + Sync,
    DB: Driver,
    Pool<DB>: axum_core::extract::FromRef<S>,
{
    type Rejection = crate::Failure;

    async fn from_request_parts(
        parts: &mut http::request::Parts,
        state: &S,
    ) -> Result<Tx<DB>, crate::Failure> {
        let pool = <Pool<DB> as axum_core::extract::FromRef<S>>::from_ref(state);
        let context = crate::http::context::RequestContext::of(&parts.extensions).cloned();
        let context = context.ok_or_else(|| Error::Protocol("there is no request here".into()))?;
        Ok(Tx::of(&pool, context.into_inner()).await?)
    }
}
