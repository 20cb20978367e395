//! Our pools and connections as sqlx's executors: what passes is observed.

use super::driver::Driver;
use super::pool::{Connection, Pool};
use super::statement::{Known, Observed, Rows};
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use sqlx::{Database, Either, Error, Execute, Executor, SqlStr};
use std::time::Duration;

/// What a statement gives: an outcome, or a row.
type Item<DB> = Either<<DB as Database>::QueryResult, <DB as Database>::Row>;

impl<'c, DB: Driver> Executor<'c> for &'c mut Connection<DB>
where
    for<'a> &'a mut DB::Connection: Executor<'a, Database = DB>,
{
    type Database = DB;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Item<DB>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let query = Known::new(query);
        let waited = std::mem::replace(&mut self.held.waited, Duration::ZERO);
        let observed = Observed::begin(&self.held.book, query.text(), waited);
        Rows::new(self.link.raw().fetch_many(query), observed, DB::affected).boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<DB::Row>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let query = Known::new(query);
        let waited = std::mem::replace(&mut self.held.waited, Duration::ZERO);
        let observed = Observed::begin(&self.held.book, query.text(), waited);
        let answer = self.link.raw().fetch_optional(query);
        Box::pin(observed.one(answer, |row| u64::from(row.is_some())))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [DB::TypeInfo],
    ) -> BoxFuture<'e, Result<DB::Statement, Error>>
    where
        'c: 'e,
    {
        let observed = Observed::begin(&self.held.book, sql.as_str(), Duration::ZERO);
        Box::pin(observed.one(self.link.raw().prepare_with(sql, parameters), |_| 0))
    }
}

impl<'p, DB: Driver> Executor<'p> for &'p Pool<DB>
where
    for<'a> &'a mut DB::Connection: Executor<'a, Database = DB>,
{
    type Database = DB;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Item<DB>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let pool = self.clone();
        async_stream::try_stream! {
            let mut connection = pool.acquire().await?;
            let mut rows = (&mut *connection).fetch_many(query);
            while let Some(item) = rows.try_next().await? {
                yield item;
            }
        }
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<DB::Row>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut connection = pool.acquire().await?;
            (&mut *connection).fetch_optional(query).await
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [DB::TypeInfo],
    ) -> BoxFuture<'e, Result<DB::Statement, Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut connection = pool.acquire().await?;
            (&mut *connection).prepare_with(sql, parameters).await
        })
    }
}
