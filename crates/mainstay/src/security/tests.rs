//! The kit on files of SQLite; on the database of `MAINSTAY_LOGIN_URL`, with one test at a time, where
//! that is set.

#![cfg(all(feature = "sqlite", feature = "axum"))]

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
        let layout = Layout {
            slots: 1,
            counters: names::CELLS,
            in_flight: 1,
            ring_bytes,
            metrics: mainstay_os::segment::Capacity::NONE,
        };
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

#[test]
fn somebody_signs_in_and_out_and_is_nobody_then() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        login.with_admin().await;
        rig.lines();
        let signed_in = login.sign_in(&from(HOME), " Admin ", &GOOD.into()).await.unwrap();
        assert_eq!((&*signed_in.user().name, &*signed_in.user().role), ("admin", "admin"));
        let session = login.of_cookie(&signed_in, &from(HOME)).await.unwrap();
        assert_eq!(session.user(), signed_in.user());
        login.refuse(&session, "orders/delete");
        login.sign_out(&session).await.unwrap();
        assert_eq!(login.user(&signed_in).await, None);
        assert_eq!(login.user(&signed_in).await, None);
        let lines = rig.lines();
        for once in [
            "authn_login_success:admin",
            "session_created:admin",
            "authz_fail:admin,orders/delete",
            "session_logout:admin",
            "session_use_after_expire:admin (ended by logout)",
        ] {
            assert_eq!(lines.matches(once).count(), 1, "{once} in\n{lines}");
        }
        assert!(login.session(&HeaderMap::new(), None).await.unwrap().is_none());
    });
}

#[test]
fn wrong_passwords_unknown_names_and_disabled_users_are_told_apart_by_nothing() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        login.with_admin().await;
        for name in ["bob", "carol"] {
            let (_, link) = login.add_user("admin", name, "user").await.unwrap();
            login.redeem(&from(HOME), link.token(), None, &GOOD.into()).await.unwrap();
        }
        login.add_user("admin", "new", "user").await.unwrap();
        login.disable_user("admin", "carol").await.unwrap();
        rig.lines();
        let long = "a".repeat(2_000);
        for (name, password, why) in [
            ("bob", OTHER, "bob (wrong password)"),
            ("carol", GOOD, "carol (disabled)"),
            ("new", "", "new (no password yet)"),
            ("hunter2", GOOD, "(unknown name)"),
            ("bob", &*long, "bob (wrong password)"),
        ] {
            let before = login.inner.hashers.computed();
            let refused = login.sign_in(&from(AWAY), name, &password.into()).await.unwrap_err();
            assert!(matches!(refused, Refusal::Wrong), "{name}");
            assert_eq!(refused.text(), "Name or password is wrong.");
            assert_eq!(login.inner.hashers.computed(), before + 1, "{name}: one hash");
            let lines = rig.lines();
            assert!(lines.contains("authn_login_fail:") && lines.contains(why), "{lines}");
            assert!(!lines.contains("hunter2"), "what is no name may be a password");
        }
    });
}

#[test]
fn an_account_is_locked_after_three_failures_but_not_for_its_owner_at_home() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        login.with_admin().await;
        rig.lines();
        for _ in 0..4 {
            is_wrong(&login.sign_in(&from(AWAY), "admin", &OTHER.into()).await);
        }
        let lines = rig.lines();
        assert!(lines.contains("authn_login_fail_max:admin,3 (of the account)"), "{lines}");
        assert!(lines.contains("authn_login_lock:admin,maxretries (the account, for 1.0 s)"));
        let before = login.inner.hashers.computed();
        let locked = login.sign_in(&from(AWAY), "admin", &GOOD.into()).await;
        is_wrong(&locked);
        assert_eq!(login.inner.hashers.computed(), before + 1, "locked costs one hash too");
        login.sign_in(&from(HOME), "admin", &GOOD.into()).await.unwrap();
        is_wrong(&login.sign_in(&from(AWAY), "admin", &GOOD.into()).await);
        login.pass(1_000);
        rig.lines();
        login.sign_in(&from(AWAY), "admin", &GOOD.into()).await.unwrap();
        let lines = rig.lines();
        assert!(lines.contains("authn_login_successafterfail:admin,4"), "{lines}");
        is_wrong(&login.sign_in(&from(AWAY), "admin", &OTHER.into()).await);
        login.sign_in(&from(AWAY), "admin", &GOOD.into()).await.unwrap();
    });
}

#[test]
fn delays_double_up_to_their_limits_and_end_with_the_window() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let mut waits = Vec::new();
        for number in 0..12 {
            let client = format!("2001:db8:{number}::1");
            let gate = login.gate(client.parse().ok(), "bob").await.unwrap();
            assert!(gate.is_open, "{number}");
            let (id, _) = gate.counters.last().unwrap();
            let (fails, until, _) = login.counter(id).await.unwrap().unwrap();
            assert_eq!(fails, number + 1);
            let wait = (until - login.now()).max(0);
            waits.push(wait / 1_000);
            let shut = login.gate("192.0.2.1".parse().ok(), "bob").await.unwrap();
            assert_eq!(shut.is_open, wait <= 0, "{number}");
            if shut.is_open {
                login.uncount(&shut).await;
            }
            login.pass(wait);
        }
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        login.pass(throttle::WINDOW + 1);
        assert_eq!(login.tries(HOME, "bob", 5).await, [true, true, true, true, false]);
    });
}

#[test]
fn a_client_is_locked_after_twenty_failures_at_whatever_names() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        for number in 0..21 {
            let client = format!("2001:db8:1:2::{number:x}");
            let tries = login.tries(&client, &format!("name{number}"), 1).await;
            assert_eq!(tries, [true], "{number}");
        }
        assert_eq!(login.tries("2001:db8:1:2::", "other", 2).await, [false, false]);
        assert_eq!(login.tries("2001:db8:1:3::", "other", 1).await, [true], "another network");
        login.pass(999);
        assert_eq!(login.tries("2001:db8:1:2::", "other", 1).await, [false]);
        login.pass(1);
        assert_eq!(login.tries("2001:db8:1:2::", "other", 2).await, [true, false]);
    });
}

#[test]
fn as_many_tries_at_once_are_counted_as_one_after_another() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let clients: Vec<String> = (0..12).map(|it| format!("192.0.2.{it}")).collect();
        let tries = clients.iter().map(|client| login.gate(client.parse().ok(), "bob"));
        let open = join_all(tries).await.into_iter().filter(|it| it.as_ref().unwrap().is_open);
        assert_eq!(open.count(), 4, "three that are free, and the one that locks");
    });
}

#[test]
fn a_session_has_another_id_after_each_change_of_rights() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let first = login.with_admin().await;
        rig.lines();
        // As the layer and the argument of a handler do: the request says which session it has.
        let context = from(HOME);
        login.of_cookie(&first, &context).await.unwrap();
        let second = login.sign_in(&context, "admin", &GOOD.into()).await.unwrap();
        assert_ne!(first.cookie(), second.cookie());
        assert_eq!(login.user(&first).await, None);
        assert_eq!(login.user(&second).await.as_deref(), Some("admin"));
        let lines = rig.lines();
        assert!(lines.contains("session_renewed:admin (sign-in)"), "{lines}");
        assert!(lines.contains("session_use_after_expire:admin (ended by renewed)"), "{lines}");
    });
}

#[test]
fn a_session_ends_when_nobody_uses_it_and_however_much_it_is_used() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let idle = login.with_admin().await;
        let used = login.sign_in(&from(HOME), "admin", &GOOD.into()).await.unwrap();
        rig.lines();
        for _ in 0..24 {
            login.pass(19 * MINUTE);
            assert!(login.user(&used).await.is_some());
        }
        assert_eq!(login.user(&idle).await, None);
        let lines = rig.lines();
        assert!(lines.contains("session_expired:admin,idle (1 sessions)"), "{lines}");
        login.pass(25 * MINUTE);
        assert_eq!(login.user(&used).await, None);
        assert!(rig.lines().contains("session_expired:admin,absolute (1 sessions)"));
        assert_eq!(login.user(&used).await, None);
        assert!(rig.lines().contains("session_use_after_expire:admin (ended by absolute)"));
    });
}

#[test]
fn uses_of_a_session_are_noted_once_a_minute() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let signed_in = login.with_admin().await;
        let seen = async || -> i64 {
            let select = "SELECT seen FROM mainstay_sessions";
            sqlx::query_scalar(select).fetch_one(login.pool()).await.unwrap()
        };
        let begun = seen().await;
        login.pass(MINUTE / 2);
        assert!(login.user(&signed_in).await.is_some());
        assert_eq!(seen().await, begun);
        login.pass(MINUTE / 2);
        assert!(login.user(&signed_in).await.is_some());
        assert!(seen().await >= begun + MINUTE);
    });
}

#[test]
fn a_disabled_user_is_out_at_once_and_comes_back_with_the_same_password() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let signed_in = login.with_admin().await;
        rig.lines();
        login.disable_user("root", "ADMIN").await.unwrap();
        assert_eq!(login.user(&signed_in).await, None);
        assert!(login.users().await.unwrap()[0].disabled);
        is_wrong(&login.sign_in(&from(HOME), "admin", &GOOD.into()).await);
        assert!(matches!(login.renew_link("root", "admin").await, Err(Refusal::NoSuchUser)));
        login.enable_user("root", "admin").await.unwrap();
        login.sign_in(&from(HOME), "admin", &GOOD.into()).await.unwrap();
        assert_eq!(login.user(&signed_in).await, None, "what has ended stays so");
        let lines = rig.lines();
        for line in
            ["user_updated:root,admin,disabled", "session_expired:admin,disabled (1 sessions)"]
        {
            assert!(lines.contains(line), "{line} in\n{lines}");
        }
        for nobody in [login.disable_user("a", "b").await, login.enable_user("a", "b").await] {
            assert!(matches!(nobody, Err(Refusal::NoSuchUser)));
        }
    });
}

#[test]
fn one_worker_gets_the_first_link_and_another_one_only_when_it_has_expired() {
    run(async |rig| {
        let (one, other) = (rig.open(patient()).await, rig.open(patient()).await);
        let links = join_all([one.first_link(), other.first_link()]).await;
        let links: Vec<Link> = links.into_iter().filter_map(|it| it.unwrap()).collect();
        let [link] = &links[..] else { panic!("{links:?}") };
        let found = one.link_of(link.token()).await.unwrap().unwrap();
        assert_eq!((found.user, found.expires_unix_ms), (None, link.expires_unix_ms()));
        one.pass(61 * MINUTE);
        assert_eq!(one.link_of(link.token()).await.unwrap(), None);
        let expired = one.redeem(&from(HOME), link.token(), Some("bob"), &GOOD.into()).await;
        assert!(matches!(expired, Err(Refusal::LinkVoid)));
        let link = one.first_link().await.unwrap().unwrap();
        for (name, password, status) in [(None, GOOD, 422), (Some("b"), "short", 422)] {
            let refused = one.redeem(&from(HOME), link.token(), name, &password.into()).await;
            assert_eq!(refused.unwrap_err().status(), status);
        }
        let signed_in = one.redeem(&from(HOME), link.token(), Some("Bob"), &GOOD.into()).await;
        let user = signed_in.unwrap().user().clone();
        assert_eq!((&*user.name, &*user.role, user.disabled), ("bob", "admin", false));
        one.pass(61 * MINUTE);
        assert!(one.first_link().await.unwrap().is_none(), "there is a user");
    });
}

#[test]
fn a_first_link_is_void_once_there_is_a_user() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let first = login.first_link().await.unwrap().unwrap();
        let (user, link) = login.add_user("console", "bob", "admin").await.unwrap();
        let refused = login.redeem(&from(HOME), first.token(), Some("eve"), &GOOD.into()).await;
        assert!(matches!(refused, Err(Refusal::LinkVoid)));
        let found = login.link_of(link.token()).await.unwrap().unwrap();
        assert_eq!(found.user.as_deref(), Some("bob"));
        assert_eq!(login.users().await.unwrap(), [user]);
    });
}

#[test]
fn a_link_is_used_once_however_many_try_at_once() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        login.with_admin().await;
        let (_, link) = login.add_user("admin", "bob", "user").await.unwrap();
        rig.lines();
        let passwords: Vec<Password> =
            (0..8).map(|it| Password::from(format!("{GOOD} {it}"))).collect();
        let contexts: Vec<RequestContext> = (0..8).map(|_| from(HOME)).collect();
        let tries = contexts
            .iter()
            .zip(&passwords)
            .map(|(context, password)| login.redeem(context, link.token(), None, password));
        let all = join_all(tries).await;
        let winners: Vec<usize> = (0..8).filter(|&it| all[it].is_ok()).collect();
        let [winner] = winners[..] else { panic!("{all:?}") };
        let void = all.iter().filter(|it| matches!(it, Err(Refusal::LinkVoid))).count();
        assert_eq!(void, 7, "{all:?}");
        login.sign_in(&from(HOME), "bob", &passwords[winner]).await.unwrap();
        assert_eq!(rig.lines().matches("authn_token_reuse:bob").count(), 7);
        assert!(login.link_of(link.token()).await.unwrap().is_none());
    });
}

#[test]
fn a_newer_link_makes_older_ones_void_and_ends_what_somebody_else_had() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let signed_in = login.with_admin().await;
        let old = login.renew_link("admin", "admin").await.unwrap();
        let new = login.renew_link("admin", "admin").await.unwrap();
        let refused = login.redeem(&from(HOME), old.token(), None, &OTHER.into()).await;
        assert!(matches!(refused, Err(Refusal::LinkVoid)));
        assert!(login.user(&signed_in).await.is_some(), "until the link is used");
        assert_eq!(login.tries(AWAY, "admin", 5).await, [true, true, true, true, false]);
        login.redeem(&from(AWAY), new.token(), None, &OTHER.into()).await.unwrap();
        assert_eq!(login.user(&signed_in).await, None);
        is_wrong(&login.sign_in(&from(HOME), "admin", &GOOD.into()).await);
        login.sign_in(&from("192.0.2.99"), "admin", &OTHER.into()).await.unwrap();
        for bad in ["", "x", &format!("{}x", new.token())] {
            let refused = login.redeem(&from(HOME), bad, None, &OTHER.into()).await;
            assert!(matches!(refused, Err(Refusal::LinkVoid)));
        }
    });
}

#[test]
fn a_new_password_ends_all_other_sessions_and_goes_on_in_this_one() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let other = login.with_admin().await;
        let own = login.sign_in(&from(HOME), "admin", &GOOD.into()).await.unwrap();
        let session = login.of_cookie(&own, &from(HOME)).await.unwrap();
        let (context, good, new) = (from(HOME), GOOD.into(), Password::from(OTHER));
        rig.lines();
        let change = async |old: &Password, new: &Password| {
            login.change_password(&context, &session, old, new).await
        };
        assert!(matches!(change(&good, &"short".into()).await, Err(Refusal::Weak(_))));
        assert!(matches!(change(&good, &"admin".into()).await, Err(Refusal::Weak(_))));
        is_wrong(&change(&new, &new).await);
        assert!(rig.lines().contains("authn_password_change_fail:admin (wrong password)"));
        let renewed = change(&good, &new).await.unwrap();
        for ended in [&other, &own] {
            assert_eq!(login.user(ended).await, None);
        }
        assert!(login.user(&renewed).await.is_some());
        is_wrong(&change(&new, &good).await);
        let lines = rig.lines();
        for line in [
            "authn_password_change:admin (by the user)",
            "session_renewed:admin (password-change)",
            "session_expired:admin,password-change (1 sessions)",
        ] {
            assert!(lines.contains(line), "{line} in\n{lines}");
        }
        is_wrong(&login.sign_in(&from(HOME), "admin", &good).await);
        login.sign_in(&from(HOME), "admin", &new).await.unwrap();
    });
}

#[test]
fn users_are_added_once_and_changed_by_name() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let admin = login.with_admin().await;
        login.add_user("admin", "bob", "user").await.unwrap();
        let refused = async |name, role| login.add_user("a", name, role).await.unwrap_err();
        assert!(matches!(refused("Bob", "user").await, Refusal::NameTaken));
        assert!(matches!(refused("b b", "user").await, Refusal::BadName(_)));
        assert!(matches!(refused("carol", "").await, Refusal::BadName(_)));
        login.set_role("root", "admin", "user").await.unwrap();
        assert_eq!(login.user(&admin).await, None, "rights have changed");
        login.set_password("root", "bob", &OTHER.into()).await.unwrap();
        login.sign_in(&from(HOME), "bob", &OTHER.into()).await.unwrap();
        let users = login.users().await.unwrap();
        let names: Vec<_> = users.iter().map(|it| (it.name.as_str(), it.role.as_str())).collect();
        assert_eq!(names, [("admin", "user"), ("bob", "user")]);
        assert!(rig.lines().contains("authz_change:admin,admin,user (by root)"));
    });
}

#[test]
fn a_hash_of_other_times_is_made_anew_when_its_user_signs_in() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        login.with_admin().await;
        // Of GOOD, with the salt "saltsaltsaltsalt", 64 KiB and one pass.
        let mut out = [0; 32];
        let params = argon2::Params::new(64, 1, 1, Some(32)).unwrap();
        let kind = argon2::Algorithm::Argon2id;
        argon2::Argon2::new(kind, argon2::Version::V0x13, params)
            .hash_password_into(GOOD.as_bytes(), b"saltsaltsaltsalt", &mut out)
            .unwrap();
        use base64ct::{Base64Unpadded, Encoding};
        let [salt, out] = [&b"saltsaltsaltsalt"[..], &out].map(Base64Unpadded::encode_string);
        let old = format!("$argon2id$v=19$m=64,t=1,p=1${salt}${out}");
        let update = login.pool().sql("UPDATE mainstay_users SET password = ?");
        sqlx::query(update).bind(&old).execute(login.pool()).await.unwrap();
        let before = login.inner.hashers.computed();
        login.sign_in(&from(HOME), "admin", &GOOD.into()).await.unwrap();
        assert_eq!(login.inner.hashers.computed(), before + 2);
        login.sign_in(&from(HOME), "admin", &GOOD.into()).await.unwrap();
        assert_eq!(login.inner.hashers.computed(), before + 3);
    });
}

#[test]
fn old_rows_are_swept_when_somebody_signs_in() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        login.with_admin().await;
        login.tries(AWAY, "bob", 1).await;
        login.pass(9 * 24 * 60 * MINUTE);
        login.sign_in(&from(HOME), "admin", &GOOD.into()).await.unwrap();
        for (table, left) in [("sessions", 1), ("links", 0), ("throttle", 2)] {
            let count = format!("SELECT COUNT(*) FROM mainstay_{table}");
            let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count))
                .fetch_one(login.pool())
                .await
                .unwrap();
            assert_eq!(count, left, "{table}");
        }
    });
}

#[test]
fn nothing_secret_is_in_the_log_or_in_what_debugging_shows() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let link = login.first_link().await.unwrap().unwrap();
        let admin = login.redeem(&from(HOME), link.token(), Some("admin"), &GOOD.into()).await;
        let admin = admin.unwrap();
        let session = login.of_cookie(&admin, &from(HOME)).await.unwrap();
        is_wrong(&login.sign_in(&from(HOME), OTHER, &GOOD.into()).await);
        let again = login.redeem(&from(HOME), link.token(), Some("x"), &GOOD.into()).await;
        let shown = format!(
            "{login:?} {link:?} {admin:?} {session:?} {again:?} {:?} {:?}",
            Password::from(GOOD),
            login.first_link().await
        );
        let id =
            cookies(&admin)[COOKIE].to_str().unwrap().trim_start_matches("session=").to_owned();
        let lines = rig.lines();
        let hash: String = sqlx::query_scalar("SELECT password FROM mainstay_users")
            .fetch_one(login.pool())
            .await
            .unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(id.len(), 43);
        for secret in [GOOD, OTHER, link.token(), &id, &hash, session.id()] {
            assert!(!lines.contains(secret) && !shown.contains(secret), "{shown}\n{lines}");
        }
    });
}

/// A service with the kit.
#[derive(Clone)]
struct State(Login);

impl FromRef<State> for Login {
    fn from_ref(state: &State) -> Login {
        state.0.clone()
    }
}

fn service(login: &Login) -> axum::Router {
    async fn sign_in(
        axum::extract::State(State(login)): axum::extract::State<State>,
        context: RequestContext,
    ) -> Result<(SignedIn, &'static str), Failure> {
        Ok((login.sign_in(&context, "admin", &GOOD.into()).await?, "welcome"))
    }
    async fn sign_out(
        axum::extract::State(State(login)): axum::extract::State<State>,
        session: Session,
    ) -> Result<(SignedOut, &'static str), Failure> {
        Ok((login.sign_out(&session).await?, "bye"))
    }
    async fn mine(session: Session) -> String {
        session.user().name.clone()
    }
    async fn anybodys(session: Option<Session>) -> String {
        session.map_or_else(|| "nobody".to_owned(), |it| it.user().name.clone())
    }
    axum::Router::new()
        .route("/sign-in", post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/mine", get(mine).post(mine))
        .route("/anybodys", get(anybodys))
        .with_state(State(login.clone()))
        .layer(login.csrf())
}

/// The status of an answer, and the cookies that it sets.
async fn asked(
    service: &mut axum::Router,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    scheme: Scheme,
) -> (StatusCode, Vec<String>) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let context = RequestContext::new(Context::begin(|context| {
        context.client = HOME.parse().ok();
        context.scheme = scheme;
        context.host.push_str("shop.example");
    }));
    let request = request.extension(context).body(axum::body::Body::empty()).unwrap();
    let Ok(answer) = service.call(request).await;
    let set = answer.headers().get_all(SET_COOKIE).iter();
    let set = set.map(|it| it.to_str().unwrap().to_owned()).collect();
    (answer.status(), set)
}

#[test]
fn handlers_know_who_asks_and_give_and_take_cookies() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        login.with_admin().await;
        let mut app = service(&login);
        for (scheme, begin, is_secure) in
            [(Scheme::Http, "session=", false), (Scheme::Https, "__Host-session=", true)]
        {
            let (status, set) = asked(&mut app, "POST", "/sign-in", &[], scheme).await;
            assert_eq!(status, 200);
            assert!(set[0].starts_with(begin), "{set:?}");
            assert_eq!(set[0].contains("; Secure"), is_secure, "{set:?}");
            let cookie = [("cookie", set[0].split(';').next().unwrap())];
            assert_eq!(asked(&mut app, "GET", "/mine", &cookie, scheme).await.0, 200);
            let (status, again) = asked(&mut app, "POST", "/sign-in", &cookie, scheme).await;
            assert_eq!((status, again.len()), (StatusCode::OK, 1));
            assert_eq!(asked(&mut app, "GET", "/mine", &cookie, scheme).await.0, 401, "renewed");
            let cookie = [("cookie", again[0].split(';').next().unwrap())];
            let (status, taken) = asked(&mut app, "POST", "/sign-out", &cookie, scheme).await;
            assert_eq!((status, taken.len()), (StatusCode::OK, 2));
            assert!(taken.iter().all(|it| it.ends_with("Max-Age=0")), "{taken:?}");
            assert_eq!(asked(&mut app, "GET", "/mine", &cookie, scheme).await.0, 401);
            assert_eq!(asked(&mut app, "GET", "/anybodys", &cookie, scheme).await.0, 200);
        }
        let (_, set) = asked(&mut app, "POST", "/sign-in", &[], Scheme::Http).await;
        let cookie = [("cookie", set[0].split(';').next().unwrap())];
        login.pool().sqlx().close().await;
        for path in ["/mine", "/anybodys"] {
            assert_eq!(asked(&mut app, "GET", path, &cookie, Scheme::Http).await.0, 503, "{path}");
            let anonymous = asked(&mut app, "GET", path, &[], Scheme::Http).await.0;
            assert_eq!(anonymous, if path == "/mine" { 401 } else { 200 });
        }
        assert_eq!(asked(&mut app, "POST", "/sign-in", &[], Scheme::Http).await.0, 503);
    });
}

#[test]
fn requests_of_pages_of_other_origins_are_refused_unless_they_change_nothing() {
    run(async |rig| {
        let login = rig.open(patient().trusted_origin("https://admin.example")).await;
        let mut app = service(&login);
        rig.lines();
        // All are without a session: what passes is answered with 401.
        for (fields, status) in [
            (&[][..], 401),
            (&[("sec-fetch-site", "same-origin")], 401),
            (&[("sec-fetch-site", "none")], 401),
            (&[("sec-fetch-site", "cross-site")], 403),
            (&[("sec-fetch-site", "same-site"), ("origin", "https://blog.shop.example")], 403),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://admin.example")], 401),
            (&[("origin", "https://shop.example"), ("host", "10.0.0.1:8000")], 401),
            (&[("origin", "https://evil.example"), ("host", "evil.example")], 403),
            (&[("origin", "null")], 403),
        ] {
            let answered = asked(&mut app, "POST", "/mine", fields, Scheme::Https).await.0;
            assert_eq!(answered, status, "{fields:?}");
            let answered = asked(&mut app, "GET", "/anybodys", fields, Scheme::Https).await.0;
            assert_eq!(answered, 200, "{fields:?}");
        }
        let lines = rig.lines();
        assert_eq!(lines.matches("malicious_csrf:192.0.2.7").count(), 4, "{lines}");
        assert!(lines.contains("(from https://evil.example to shop.example: origin)"), "{lines}");
        assert!(Judge::new(&["shop.example".to_owned()]).is_err());
    });
}
