//! Migrations on real files of SQLite.

#![cfg(feature = "sqlite")]

use super::session::*;
use super::*;
use crate::db::open::{Echo, Settings};
use sqlx::{AnyConnection, Connection};
use std::time::Duration;

const TABLE_OF_TWO: &[Migration] = &[
    Migration::new(1, "a", "CREATE TABLE a (x BIGINT); INSERT INTO a VALUES (1);")
        .down("DROP TABLE a"),
    Migration::new(2, "b", "CREATE TABLE b (x BIGINT)").down("DROP TABLE b"),
];
const BROKEN: &[Migration] = &[
    TABLE_OF_TWO[0],
    Migration::new(2, "b", "CREATE TABLE b (x BIGINT);\n\nINSERT INTO nowhere\nVALUES (1);"),
];

fn settings() -> Settings {
    Settings {
        pool: None,
        hosts: 1,
        workers: 1,
        acquire_timeout: Duration::from_secs(3),
        slow_query: None,
        echo: Echo::Off,
        application: String::new(),
        boot: Duration::from_secs(30),
    }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.0.path().join("a.db").display())
    }

    async fn session(&self, table: &'static [Migration]) -> Result<Session, Failed> {
        Session::begin(&self.url(), &table.into(), &settings()).await
    }

    async fn reach(&self, table: &'static [Migration], goal: Goal) -> Result<Vec<i64>, Failed> {
        let mut session = self.session(table).await?;
        let done = session.reach(goal).await?;
        session.end().await?;
        Ok(done.iter().map(|it| if it.up { it.version } else { -it.version }).collect())
    }

    async fn states(&self, table: &'static [Migration]) -> Vec<&'static str> {
        let mut session = self.session(table).await.unwrap();
        session.standing().await.unwrap().into_iter().map(|it| it.state).collect()
    }
}

fn run(test: impl AsyncFnOnce(Place)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test(Place::new()));
}

#[test]
fn each_step_is_done_once_and_undone_in_reverse() {
    run(async |place| {
        assert_eq!(place.states(TABLE_OF_TWO).await, ["pending", "pending"]);
        assert_eq!(place.reach(TABLE_OF_TWO, Goal::Version(1)).await.unwrap(), [1]);
        assert_eq!(place.states(TABLE_OF_TWO).await, ["done", "pending"]);
        assert_eq!(place.reach(TABLE_OF_TWO, Goal::Latest).await.unwrap(), [2]);
        assert_eq!(place.reach(TABLE_OF_TWO, Goal::Latest).await.unwrap(), [0; 0]);
        assert_eq!(place.reach(TABLE_OF_TWO, Goal::Version(0)).await.unwrap(), [-2, -1]);
        assert_eq!(place.states(TABLE_OF_TWO).await, ["pending", "pending"]);
        let error = place.reach(TABLE_OF_TWO, Goal::Version(3)).await.unwrap_err();
        assert_eq!(error.to_string(), "there is no migration 3");
    });
}

#[test]
fn a_step_that_fails_names_its_statement_and_leaves_nothing() {
    run(async |place| {
        let error = place.reach(BROKEN, Goal::Latest).await.unwrap_err().to_string();
        let expected = "migration 2 (b) failed at line 3: no such table: nowhere (code 1): \
                        INSERT INTO nowhere VALUES (1)";
        assert_eq!(error, expected);
        assert_eq!(place.states(BROKEN).await, ["done", "pending"]);
        assert_eq!(place.reach(TABLE_OF_TWO, Goal::Latest).await.unwrap(), [2], "no b is left");
    });
}

#[test]
fn what_was_done_otherwise_or_is_unknown_stops_everything() {
    const OTHER: &[Migration] = &[Migration::new(1, "a", "CREATE TABLE a (y BIGINT)")];
    run(async |place| {
        place.reach(TABLE_OF_TWO, Goal::Latest).await.unwrap();
        assert_eq!(place.states(OTHER).await, ["changed", "missing"]);
        let error = place.reach(OTHER, Goal::Latest).await.unwrap_err();
        assert!(matches!(error, Failed::Changed(1)), "{error}");
        let error = place.reach(&TABLE_OF_TWO[..1], Goal::Latest).await.unwrap_err();
        assert!(matches!(error, Failed::Missing(2)), "{error}");
        let error = place.reach(TABLE_OF_TWO, Goal::Version(0)).await.map(|_| ());
        assert!(error.is_ok());
    });
}

#[test]
fn sqlx_goes_on_where_this_ended() {
    run(async |place| {
        place.reach(&TABLE_OF_TWO[..1], Goal::Latest).await.unwrap();
        let all = TABLE_OF_TWO.iter().map(|row| {
            sqlx::migrate::Migration::new(
                row.version,
                row.name.into(),
                MigrationType::Simple,
                sqlx::SqlSafeStr::into_sql_str(row.up.usual.unwrap()),
                false,
            )
        });
        let migrator = Migrator::with_migrations(all.collect());
        let mut connection = <AnyConnection as Connection>::connect(&place.url()).await.unwrap();
        migrator.run_direct(None, &mut connection, false).await.unwrap();
        assert_eq!(place.states(TABLE_OF_TWO).await, ["done", "done"]);
        let theirs = Migrations::from(migrator);
        let mut session = Session::begin(&place.url(), &theirs, &settings()).await.unwrap();
        assert_eq!(session.plan(Goal::Latest).await.unwrap(), []);
    });
}

#[test]
fn many_who_migrate_at_once_do_it_once() {
    let place = Place::new();
    let url = place.url();
    let done: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let url = url.clone();
                scope.spawn(move || {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(async {
                        let table = TABLE_OF_TWO.into();
                        let mut session = Session::begin(&url, &table, &settings()).await.unwrap();
                        let done = session.reach(Goal::Latest).await.unwrap();
                        session.end().await.unwrap();
                        done.len()
                    })
                })
            })
            .collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert_eq!(done.iter().sum::<usize>(), 2, "{done:?}");
}
