//! A service with a database, written on mainstay's public API: `DATABASE_URL` says which.
//!
//! | setting | meaning |
//! |---|---|
//! | `DATABASE_MIGRATIONS` | `broken`: one of the migrations fails |
//! | `DATABASE_SETTINGS` | file with the same word, read at each boot |
//! | `DATABASE_CHECK` | file whose word decides what the check `switch` finds: `ok`, `fail`, `hang`, `panic`; without the variable there is no such check |

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use mainstay::db::{Migration, Pool, Tx};
use mainstay::sqlx::{self, Any, Executor};
use mainstay::{Failure, Worker};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const MIGRATIONS: &[Migration] = &[
    Migration::new(
        1,
        "items",
        "CREATE TABLE items (id BIGINT PRIMARY KEY, name VARCHAR(100) NOT NULL)",
    )
    .down("DROP TABLE items"),
    Migration::new(2, "names", "CREATE INDEX items_name ON items (name)")
        .down("DROP INDEX items_name")
        .down_on_mysql("DROP INDEX items_name ON items"),
];

/// The same, and one more that fails.
const BROKEN: &[Migration] = &[
    MIGRATIONS[0],
    MIGRATIONS[1],
    Migration::new(
        3,
        "more",
        "ALTER TABLE items ADD COLUMN price BIGINT;\nINSERT INTO nowhere VALUES (1);",
    ),
];

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Db = Pool<Any>;

/// The state of the handlers: `Tx` finds its pool in it.
#[derive(Clone)]
struct App {
    db: Db,
}

impl FromRef<App> for Db {
    fn from_ref(app: &App) -> Db {
        app.db.clone()
    }
}

fn main() -> ExitCode {
    let named = std::env::var("DATABASE_MIGRATIONS").ok();
    let written = std::env::var("DATABASE_SETTINGS").ok();
    let written = written.and_then(|path| std::fs::read_to_string(path).ok());
    let is_broken = named.or(written).is_some_and(|word| word.trim() == "broken");
    let migrations: &'static [Migration] = if is_broken { BROKEN } else { MIGRATIONS };
    mainstay::builder().name("database").version("1").migrations(migrations).serve(app)
}

async fn app(worker: Worker) -> Result<Router, BoxError> {
    if std::env::var_os("DATABASE_CHECK").is_some() {
        worker.ready("switch", switch)?;
    }
    let db = worker.database().await?;
    Ok(Router::new()
        .route("/", get(|| async { "hello\n" }))
        .route("/setup", get(setup))
        .route("/insert", get(insert))
        .route("/count", get(count))
        .route("/hold", get(hold))
        .route("/leak", get(leak))
        .route("/sleep", get(sleep))
        .route("/loop", get(repeat))
        .route("/fail", get(fail))
        .route("/literal", get(literal))
        .route("/foreign", get(foreign))
        .route("/tx", get(transaction).post(transaction))
        .with_state(App { db }))
}

async fn switch() -> Result<(), BoxError> {
    let file = std::env::var("DATABASE_CHECK")?;
    match std::fs::read_to_string(file)?.trim() {
        "ok" => Ok(()),
        "hang" => std::future::pending().await,
        "panic" => panic!("the check panics, as told"),
        other => Err(format!("the switch is on {other}").into()),
    }
}

/// `/setup`: the table, empty.
async fn setup(State(db): State<Db>) -> Result<&'static str, Failure> {
    db.execute("DROP TABLE IF EXISTS items").await?;
    db.execute("CREATE TABLE items (id BIGINT PRIMARY KEY, name VARCHAR(100) NOT NULL)").await?;
    Ok("made\n")
}

/// `/insert?n=N`
async fn insert(State(db): State<Db>, uri: Uri) -> Result<&'static str, Failure> {
    let n = number(&uri, "n");
    let statement = db.sql("INSERT INTO items (id, name) VALUES (?, ?)");
    sqlx::query(statement).bind(n).bind(format!("item {n}")).execute(&db).await?;
    Ok("inserted\n")
}

async fn count(State(db): State<Db>) -> Result<String, Failure> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM items").fetch_one(&db).await?;
    Ok(format!("{count}\n"))
}

/// `/hold?ms=N`: holds a connection for N milliseconds.
async fn hold(State(db): State<Db>, uri: Uri) -> Result<&'static str, Failure> {
    let mut connection = db.acquire().await?;
    (&mut *connection).execute("SELECT 1").await?;
    tokio::time::sleep(Duration::from_millis(number(&uri, "ms").unsigned_abs())).await;
    Ok("held\n")
}

/// `/leak`: takes a connection and never gives it back.
async fn leak(State(db): State<Db>) -> Result<&'static str, Failure> {
    std::mem::forget(db.acquire().await?);
    Ok("leaked\n")
}

/// `/sleep?ms=N`: a statement that takes about N milliseconds.
async fn sleep(State(db): State<Db>, uri: Uri) -> Result<&'static str, Failure> {
    let ms = number(&uri, "ms");
    if db.is_postgres() {
        sqlx::query("SELECT pg_sleep($1)").bind(ms as f64 / 1e3).execute(&db).await?;
    } else if db.is_mysql() {
        sqlx::query("SELECT sleep(?)").bind(ms as f64 / 1e3).execute(&db).await?;
    } else {
        // How many rows that are depends on the machine and on how SQLite was built.
        const FEW: i64 = 50_000;
        let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) \
                    SELECT max(i) FROM n";
        let begun = Instant::now();
        sqlx::query(rows).bind(FEW).execute(&db).await?;
        let took = i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX).max(1);
        sqlx::query(rows).bind(ms * 1_000 * FEW / took * 5 / 4).execute(&db).await?;
    }
    Ok("slept\n")
}

/// `/loop?n=N`: the same statement N times.
async fn repeat(State(db): State<Db>, uri: Uri) -> Result<String, Failure> {
    let statement = db.sql("SELECT name FROM items WHERE id = ?");
    let mut found = 0;
    for id in 0..number(&uri, "n") {
        let row: Option<String> =
            sqlx::query_scalar(statement.clone()).bind(id).fetch_optional(&db).await?;
        found += usize::from(row.is_some());
    }
    Ok(format!("{found}\n"))
}

/// `/fail?n=N`: a statement that cannot be prepared, or, with N, a row that is there already.
async fn fail(State(db): State<Db>, uri: Uri) -> Result<&'static str, Failure> {
    if uri.query().is_none() {
        db.execute("SELECT secret FROM nowhere WHERE code = 'hunter2'").await?;
    } else {
        insert(State(db), uri).await?;
    }
    Ok("no failure\n")
}

/// `/tx?n=N&end=E`: a row within the request's transaction, and then: `ok`, `redirect`, `refuse` (409),
/// `fail` (500), `panic`, `slow` (a minute), or `body` (an answer that keeps the transaction).
async fn transaction(mut tx: Tx<Any>, State(db): State<Db>, uri: Uri) -> Result<Response, Failure> {
    let statement = db.sql("INSERT INTO items (id, name) VALUES (?, ?)");
    sqlx::query(statement)
        .bind(number(&uri, "n"))
        .bind("of a transaction")
        .execute(&mut *tx)
        .await?;
    let query = uri.query().unwrap_or_default();
    match query.split('&').find_map(|pair| pair.strip_prefix("end=")).unwrap_or("ok") {
        "redirect" => Ok(Redirect::to("/count").into_response()),
        "refuse" => Ok(StatusCode::CONFLICT.into_response()),
        "fail" => Err(std::io::Error::other("the fixture fails, as told").into()),
        "panic" => panic!("the fixture panics in a transaction, as told"),
        "slow" => {
            tokio::time::sleep(Duration::from_millis(number(&uri, "ms").unsigned_abs())).await;
            Ok("late\n".into_response())
        }
        "body" => {
            let body = futures_util::stream::once(async move {
                drop(tx);
                Ok::<_, std::io::Error>("kept\n")
            });
            Ok(Body::from_stream(body).into_response())
        }
        _ => Ok("ok\n".into_response()),
    }
}

/// `/literal`: a statement with a value in its text.
async fn literal(State(db): State<Db>) -> Result<&'static str, Failure> {
    db.execute("SELECT id FROM items WHERE name = 'hunter2' AND id IN (1, 2, 4711)").await?;
    Ok("asked\n")
}

/// `/foreign?n=N`: N statements of a pool that mainstay knows nothing of.
async fn foreign(State(db): State<Db>, uri: Uri) -> Result<&'static str, Failure> {
    let url = std::env::var("DATABASE_URL")?;
    let statement = "SELECT 'hunter2' AS secret, 4711 AS number, 3 AS three";
    let count = number(&uri, "n");
    if db.is_postgres() {
        let pool = sqlx::PgPool::connect(&url).await?;
        for _ in 0..count {
            sqlx::query(statement).fetch_all(&pool).await?;
        }
    } else if db.is_mysql() {
        let pool = sqlx::MySqlPool::connect(&url).await?;
        for _ in 0..count {
            sqlx::query(statement).fetch_all(&pool).await?;
        }
    } else {
        let pool = sqlx::SqlitePool::connect(&url).await?;
        for _ in 0..count {
            sqlx::query(statement).fetch_all(&pool).await?;
        }
    }
    Ok("asked\n")
}

fn number(uri: &Uri, name: &str) -> i64 {
    let pairs = uri.query().unwrap_or_default().split('&').filter_map(|it| it.split_once('='));
    let found = pairs.into_iter().find(|(key, _)| *key == name);
    found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}
