//! The kit on files of SQLite; on the database of `MAINSTAY_LOGIN_URL`, with one test at a time, where
//! that is set.

#![cfg(all(feature = "sqlite", feature = "axum"))]

mod handlers;
mod links;
mod sessions;
mod sign_in;
mod users;

use super::*;
use crate::Failure;
use crate::db::driver::Hidden;
use crate::db::migrate::bring_up;
use crate::db::{Book, Settings as PoolSettings};
use crate::http::context::{Context, RequestContext, Scheme};
use crate::log::level_word;
use crate::log::outlet::drained;
use crate::metrics::names;
use axum::extract::FromRef;
use axum::routing::{get, post};
use futures_util::future::join_all;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, Request, StatusCode};
use mainstay_os::segment::{Layout, Segment};
use sqlx::pool::PoolOptions;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tower_service::Service;

const GOOD: &str = "correct horse battery";
const OTHER: &str = "staple of the day";
const MINUTE: i64 = 60_000;
const HOME: &str = "192.0.2.7";
const AWAY: &str = "198.51.100.9";

/// A database with its log, on which kits are opened as workers open them.
struct Rig {
    dir: tempfile::TempDir,
    log: Log,
}

fn url_of_environment() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "a switch of the tests, not of the program")]
    std::env::var("MAINSTAY_LOGIN_URL").ok()
}

fn pool_settings() -> PoolSettings {
    let config = crate::Config::resolve(&crate::config::Sources::default()).unwrap();
    PoolSettings::of(&config.database, 1, "test", Duration::from_secs(30))
}

/// No test waits for a thread that hashes.
fn patient() -> Settings {
    Settings { patience: Duration::from_secs(600), ..Settings::default() }
}

impl Rig {
    async fn new() -> Rig {
        let ring_bytes = [64, 1024 * 1024, 64];
        let layout = Layout { in_flight: 1, ring_bytes, ..Layout::small(names::CELLS) };
        let segment = Segment::on_heap(layout);
        segment.header().set_log_level(level_word(crate::config::Level::Info));
        let rig = Rig { dir: tempfile::tempdir().unwrap(), log: Log::new(segment, 0) };
        if url_of_environment().is_some() {
            let pool = rig.pool().await;
            for table in ["users", "sessions", "links", "throttle", "keys", "login_migrations"] {
                let drop = format!("DROP TABLE IF EXISTS mainstay_{table}");
                sqlx::query(sqlx::AssertSqlSafe(drop)).execute(&pool).await.unwrap();
            }
        }
        rig
    }

    fn url(&self) -> String {
        let file = || format!("sqlite:{}/a.db", self.dir.path().display());
        url_of_environment().unwrap_or_else(file)
    }

    async fn pool(&self) -> Pool<Any> {
        let (url, settings) = (self.url(), pool_settings());
        let kind = Any::kind(&url).unwrap();
        let begin = settings.clone();
        let pool = PoolOptions::<Any>::new()
            .max_connections(4)
            .after_connect(move |connection, _| {
                let begin = begin.clone();
                Box::pin(async move { Any::begin(connection, kind, &begin).await })
            })
            .connect_with(Any::options(&url, &settings).unwrap())
            .await
            .unwrap();
        let book = Book::new(self.log.clone(), "test".to_owned(), kind, 0, 4, &settings);
        Pool::new(pool, Arc::new(book))
    }

    async fn open(&self, settings: Settings) -> Login {
        let pool = self.pool().await;
        bring_up(&pool, &schema::migrations(), &pool_settings()).await.unwrap();
        Login::over(self.log.clone(), pool, settings, 2).await.unwrap()
    }

    /// The lines of the log since the last look.
    fn lines(&self) -> String {
        drained(self.log.segment())
    }
}

impl Login {
    fn pass(&self, millis: i64) {
        self.inner.clock.fetch_add(millis, Relaxed);
    }

    async fn with_admin(&self) -> SignedIn {
        let link = self.first_link().await.unwrap().unwrap();
        self.redeem(&from(HOME), link.token(), Some("admin"), &GOOD.into()).await.unwrap()
    }

    async fn user(&self, signed_in: &SignedIn) -> Option<String> {
        self.of_cookie(signed_in, &from(HOME)).await.map(|it| it.user().name.clone())
    }

    async fn of_cookie(&self, signed_in: &SignedIn, context: &RequestContext) -> Option<Session> {
        self.session(&cookies(signed_in), Some(context)).await.unwrap()
    }

    async fn tries(&self, client: &str, name: &str, count: usize) -> Vec<bool> {
        let mut open = Vec::new();
        for _ in 0..count {
            open.push(self.gate(client.parse().ok(), name).await.unwrap().is_open);
        }
        open
    }
}

fn cookies(signed_in: &SignedIn) -> HeaderMap {
    let cookie = signed_in.cookie().to_str().unwrap().split(';').next().unwrap();
    HeaderMap::from_iter([(COOKIE, cookie.parse().unwrap())])
}

fn from(client: &str) -> RequestContext {
    RequestContext::new(Context::begin(|context| {
        context.client = client.parse().ok();
        context.host.push_str("shop.example");
    }))
}

fn run(test: impl AsyncFnOnce(Rig)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { test(Rig::new().await).await });
}

#[track_caller]
fn is_wrong(result: &Result<SignedIn, Refusal>) {
    assert!(matches!(result, Err(Refusal::Wrong)), "{result:?}");
}
