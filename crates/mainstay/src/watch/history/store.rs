//! What is kept: batches go in, each in one transaction; what is too old goes, and when there is too much, the
//! finest goes first.

use super::age::Age;
use super::file::{self, Opened, Room, is_full};
use super::intake::Happening;
use super::roll::{Bucket, Kind, LONGEST, Rollup, Row, STEP, WIDTHS};
use super::shape::Shape;
use super::totals::Totals;
use sqlx::{Connection, SqliteConnection};
use std::collections::BTreeMap;
use std::path::Path;

/// So often is looked for what is too old, seconds.
const TIDY: i64 = 300;
/// Rows that wait while nothing can be written; more are lost.
const WAITING: usize = 20_000;
/// Happenings that are kept.
const EVENTS: i64 = 20_000;
/// Free pages above this part of all are given back.
const FREE: i64 = 4;

/// What there was in ten seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Batch {
    /// When they began, seconds since the Unix epoch.
    pub(crate) at: i64,
    /// What ended before then is over.
    pub(crate) end: i64,
    pub(crate) parts: Vec<(String, Kind, Bucket)>,
    pub(crate) happenings: Vec<Happening>,
}

/// Bound values of a row, in the order of the table's columns.
pub(super) type Columns = (i64, i64, i64, i64, i64, f64, Option<f64>, Option<f64>, Option<Vec<u8>>);

/// The store, and the one who writes to it.
#[derive(Debug)]
pub(crate) struct Store {
    pub(super) connection: SqliteConnection,
    room: Room,
    pub(super) series: BTreeMap<String, (i64, Kind)>,
    /// Those of the series that are not written down.
    strangers: Vec<String>,
    rollup: Rollup,
    closed: Vec<Row>,
    happenings: Vec<Happening>,
    totals: Option<Totals>,
    /// The time by which rows are old, and by which was tidied up.
    age: Age,
    tidied: i64,
}

impl Store {
    /// The file of a directory; also gives why what was there is not used.
    ///
    /// # Errors
    /// When it cannot be used.
    pub(crate) async fn open(directory: &Path, most: u64) -> sqlx::Result<(Store, Option<String>)> {
        let mut opened = file::open(directory, most).await?;
        let forgotten = opened.forgotten.take();
        match Store::load(opened).await {
            Ok(store) => Ok((store, forgotten)),
            Err(error) if file::is_damaged(&error) => {
                file::put_aside(directory)?;
                let store = Store::load(file::open(directory, most).await?).await?;
                Ok((store, Some(error.to_string())))
            }
            Err(error) => Err(error),
        }
    }

    /// One in memory.
    ///
    /// # Errors
    /// When there is no room for that.
    pub(crate) async fn in_memory(most: u64) -> sqlx::Result<Store> {
        Store::load(file::in_memory(most).await?).await
    }

    async fn load(opened: Opened) -> sqlx::Result<Store> {
        let mut store = Store {
            connection: opened.connection,
            room: opened.room,
            series: BTreeMap::new(),
            strangers: Vec::new(),
            rollup: Rollup::default(),
            closed: Vec::new(),
            happenings: Vec::new(),
            totals: None,
            age: Age::default(),
            tidied: 0,
        };
        match store.resume().await {
            Ok(()) => Ok(store),
            Err(error) => {
                // Whatever comes later must not meet its log.
                store.connection.close().await.ok();
                Err(error)
            }
        }
    }

    /// Goes on where the file ends.
    async fn resume(&mut self) -> sqlx::Result<()> {
        let known = sqlx::query_as::<_, (i64, String, String)>("SELECT id, name, kind FROM series");
        let known = known.fetch_all(&mut self.connection).await?.into_iter();
        self.series = known.map(|(id, name, kind)| (name, (id, Kind::from_word(&kind)))).collect();
        let open = "SELECT series, res, ts, n, bad, sum, mn, mx, shape FROM open";
        let open = sqlx::query_as::<_, Columns>(open).fetch_all(&mut self.connection).await?;
        open.into_iter().for_each(|columns| self.rollup.resume(row(columns)));
        let totals = "SELECT value FROM meta WHERE name = 'totals'";
        let totals: Option<String> =
            sqlx::query_scalar(totals).fetch_optional(&mut self.connection).await?;
        self.totals = totals.and_then(|text| serde_json::from_str(&text).ok());
        let age = "SELECT value FROM meta WHERE name = 'age'";
        let age: Option<String> =
            sqlx::query_scalar(age).fetch_optional(&mut self.connection).await?;
        self.age = match age.and_then(|text| serde_json::from_str(&text).ok()) {
            Some(age) => age,
            None => Age::since(self.rollup.last().unwrap_or_default()),
        };
        Ok(())
    }

    /// Goes on with a new file, since this one's is of no use any more; or in memory, and then also says why.
    ///
    /// # Errors
    /// When there is not even room for that.
    pub(crate) async fn renew(
        self,
        directory: &Path,
        most: u64,
    ) -> sqlx::Result<(Store, Option<sqlx::Error>)> {
        let Store { connection, series, mut rollup, closed, happenings, totals, age, .. } = self;
        connection.close().await.ok();
        let opened = match file::put_aside(directory) {
            Ok(()) => Store::open(directory, most).await,
            Err(error) => Err(error.into()),
        };
        let (fresh, why) = match opened {
            Ok((fresh, _)) => (fresh, None),
            Err(error) => (Store::in_memory(most).await?, Some(error)),
        };
        rollup.forgotten();
        let strangers = series.keys().cloned().collect();
        let fresh = Store { series, strangers, rollup, closed, happenings, totals, age, ..fresh };
        Ok((fresh, why))
    }

    /// The totals up to which everything is in what was taken.
    pub(crate) fn totals(&self) -> Option<&Totals> {
        self.totals.as_ref()
    }

    /// Takes a batch, and writes down all that is not written down yet. Returns how many rows are lost because too
    /// many wait, and how writing went.
    pub(crate) async fn take(
        &mut self,
        batch: Batch,
        totals: Option<Totals>,
    ) -> (usize, sqlx::Result<()>) {
        let (at, end) = (batch.at, batch.end);
        let now = self.age.look(end, STEP);
        for (name, kind, bucket) in batch.parts {
            let id = self.id(name, kind);
            self.rollup.note(id, at, &bucket, &mut self.closed);
        }
        self.rollup.settle(end, &mut self.closed);
        self.happenings.extend(batch.happenings);
        self.totals = totals.or(self.totals.take());
        let mut written = self.write().await;
        if written.as_ref().is_err_and(is_full) {
            written = match self.fit(true).await {
                Ok(()) => self.write().await,
                Err(error) => Err(error),
            };
        }
        if written.is_err() {
            let lost = self.closed.len().saturating_sub(WAITING);
            self.closed.drain(..lost);
            let over = self.happenings.len().saturating_sub(WAITING);
            self.happenings.drain(..over);
            return (lost + over, written);
        }
        (0, self.tidy(now).await)
    }

    fn id(&mut self, name: String, kind: Kind) -> (i64, Kind) {
        if let Some(known) = self.series.get(&name) {
            return *known;
        }
        let id = self.series.values().map(|(id, _)| id + 1).max().unwrap_or(1);
        self.strangers.push(name.clone());
        *self.series.entry(name).or_insert((id, kind))
    }

    /// All that is not written down, in one transaction.
    async fn write(&mut self) -> sqlx::Result<()> {
        file::begin(&mut self.connection).await?;
        let written = self.insert().await;
        file::end(&mut self.connection, written).await?;
        self.closed.clear();
        self.happenings.clear();
        self.strangers.clear();
        self.rollup.saved();
        Ok(())
    }

    /// All that is not written down, within a transaction.
    async fn insert(&mut self) -> sqlx::Result<()> {
        for name in &self.strangers {
            let Some((id, kind)) = self.series.get(name) else { continue };
            let insert = sqlx::query("INSERT OR IGNORE INTO series VALUES(?, ?, ?)").bind(id);
            insert.bind(name).bind(kind.as_str()).execute(&mut self.connection).await?;
        }
        for row in &self.closed {
            // A clock that was set back comes by the same bucket again.
            let known = "SELECT series, res, ts, n, bad, sum, mn, mx, shape FROM roll \
                         WHERE series = ? AND res = ? AND ts = ?";
            let known = sqlx::query_as::<_, Columns>(known).bind(row.series).bind(row.width);
            let known = known.bind(row.at).fetch_optional(&mut self.connection).await?;
            let insert = "INSERT OR REPLACE INTO roll VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)";
            match known.map(self::row) {
                Some(mut whole) => {
                    whole.bucket.merge(&row.bucket);
                    insert_row(insert, &whole, &mut self.connection).await?;
                }
                None => insert_row(insert, row, &mut self.connection).await?,
            }
            sqlx::query("DELETE FROM open WHERE series = ? AND res = ? AND ts = ?")
                .bind(row.series)
                .bind(row.width)
                .bind(row.at)
                .execute(&mut self.connection)
                .await?;
        }
        for row in self.rollup.unsaved() {
            let insert = "INSERT OR REPLACE INTO open VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)";
            insert_row(insert, &row, &mut self.connection).await?;
        }
        for it in &self.happenings {
            let insert = sqlx::query("INSERT INTO event(ts, kind, what, text) VALUES(?, ?, ?, ?)");
            let insert = insert.bind(it.at).bind(it.kind).bind(&it.what).bind(&it.text);
            insert.execute(&mut self.connection).await?;
        }
        if let Some(totals) = &self.totals {
            note(&mut self.connection, "totals", totals).await?;
        }
        note(&mut self.connection, "age", &self.age).await
    }

    /// Lets go what is too old, and what is too much.
    async fn tidy(&mut self, now: i64) -> sqlx::Result<()> {
        if (now - self.tidied).abs() >= TIDY {
            self.tidied = now;
            file::begin(&mut self.connection).await?;
            let gone = self.forget(now).await;
            let gone = file::end(&mut self.connection, gone).await?;
            self.series.retain(|name, _| !gone.contains(name));
        }
        self.fit(false).await
    }

    /// Lets go what is too old, within a transaction. Gives the series of which nothing is left.
    async fn forget(&mut self, now: i64) -> sqlx::Result<Vec<String>> {
        for (id, kind) in self.series.values() {
            for level in kind.levels() {
                let delete =
                    sqlx::query("DELETE FROM roll WHERE series = ? AND res = ? AND ts < ?");
                let delete = delete.bind(id).bind(level.width).bind(now - level.keep);
                delete.execute(&mut self.connection).await?;
            }
        }
        sqlx::query("DELETE FROM event WHERE ts < ? OR id <= (SELECT max(id) FROM event) - ?")
            .bind(now - LONGEST)
            .bind(EVENTS)
            .execute(&mut self.connection)
            .await?;
        let gone = "DELETE FROM series WHERE NOT EXISTS (SELECT 1 FROM roll WHERE series = id) \
                    AND NOT EXISTS (SELECT 1 FROM open WHERE series = id) RETURNING name";
        sqlx::query_scalar(gone).fetch_all(&mut self.connection).await
    }

    /// Makes room if there is little, or in any case.
    async fn fit(&mut self, is_full: bool) -> sqlx::Result<()> {
        let most = self.room.pages();
        let (pages, free) = self.pages().await?;
        if is_full || pages - free > most - most / 8 {
            for width in WIDTHS {
                while self.pages().await.map(|(pages, free)| pages - free)? > most - most / 4 {
                    if !self.halve(width).await? {
                        break;
                    }
                }
            }
            // What happened is worth most and is small, unless its texts are long.
            while self.pages().await.map(|(pages, free)| pages - free)? > most - most / 4 {
                let half =
                    "DELETE FROM event WHERE id <= (SELECT (min(id) + max(id)) / 2 FROM event)";
                let gone = sqlx::query(half).execute(&mut self.connection).await?;
                if gone.rows_affected() == 0 {
                    break;
                }
            }
        }
        let (pages, free) = self.pages().await?;
        if free > pages / FREE {
            sqlx::query("PRAGMA incremental_vacuum(200)").execute(&mut self.connection).await?;
        }
        Ok(())
    }

    /// Pages of the file, and how many of them are free.
    pub(super) async fn pages(&mut self) -> sqlx::Result<(i64, i64)> {
        let pages = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut self.connection).await?;
        let free =
            sqlx::query_scalar("PRAGMA freelist_count").fetch_one(&mut self.connection).await?;
        Ok((pages, free))
    }

    /// Lets go the older half of a level; whether there was something.
    async fn halve(&mut self, width: i64) -> sqlx::Result<bool> {
        let mut span: Option<(i64, i64)> = None;
        for (id, _) in self.series.values() {
            let ends = "SELECT min(ts), max(ts) FROM roll WHERE series = ? AND res = ?";
            let ends = sqlx::query_as::<_, (Option<i64>, Option<i64>)>(ends).bind(id).bind(width);
            if let (Some(first), Some(last)) = ends.fetch_one(&mut self.connection).await? {
                let (a, b) = span.unwrap_or((first, last));
                span = Some((a.min(first), b.max(last)));
            }
        }
        let Some((first, last)) = span else { return Ok(false) };
        // Each on its own, so that the log beside the file stays small.
        for (id, _) in self.series.values() {
            sqlx::query("DELETE FROM roll WHERE series = ? AND res = ? AND ts <= ?")
                .bind(id)
                .bind(width)
                .bind(first.midpoint(last))
                .execute(&mut self.connection)
                .await?;
        }
        Ok(true)
    }

    /// Closes the file, with no log beside it.
    ///
    /// # Errors
    /// When that fails; all is in the log then.
    pub(crate) async fn close(mut self) -> sqlx::Result<()> {
        sqlx::query("PRAGMA incremental_vacuum").execute(&mut self.connection).await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut self.connection).await?;
        self.connection.close().await
    }
}

/// Writes down what there is one of.
async fn note(
    connection: &mut SqliteConnection,
    name: &str,
    value: &impl serde::Serialize,
) -> sqlx::Result<()> {
    let text = serde_json::to_string(value).map_err(|it| sqlx::Error::Encode(it.into()))?;
    let insert = sqlx::query("INSERT OR REPLACE INTO meta VALUES(?, ?)").bind(name).bind(text);
    insert.execute(connection).await.map(drop)
}

async fn insert_row(
    insert: &'static str,
    row: &Row,
    connection: &mut SqliteConnection,
) -> sqlx::Result<()> {
    let bucket = &row.bucket;
    let range = bucket.range.unzip();
    let insert = sqlx::query(insert).bind(row.series).bind(row.width).bind(row.at);
    let insert = insert.bind(whole(bucket.n)).bind(whole(bucket.bad)).bind(bucket.sum);
    let insert = insert.bind(range.0).bind(range.1).bind(bucket.shape.as_ref().map(|it| it.pack()));
    insert.execute(connection).await.map(drop)
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A row from its columns. What is no shape is none.
pub(super) fn row((series, width, at, n, bad, sum, least, most, shape): Columns) -> Row {
    let count = |it: i64| u64::try_from(it).unwrap_or_default();
    let shape = shape.and_then(|it| Shape::unpack(&it)).map(Box::new);
    let bucket = Bucket { n: count(n), bad: count(bad), sum, range: least.zip(most), shape };
    Row { series, width, at, bucket }
}
