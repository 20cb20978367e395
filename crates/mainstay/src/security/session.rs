//! Sessions: who comes with which cookie, until when.

use super::cookie;
use super::secret::Secret;
use super::types::UserRow;
use super::{Login, Refusal, User, millis};
use crate::Failure;
use crate::db::Transaction;
use crate::event::Event;
use crate::http::context::{RequestContext, Scheme};
use http::{HeaderMap, HeaderValue};
use sqlx::{Any, Error};
use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

/// Uses of a session are noted this often at most, ms.
const NOTED: i64 = 60_000;
/// A session that has ended, or expired, is known for so long, ms, so that its use is told.
const REMEMBERED: i64 = 24 * 60 * 60 * 1_000;
/// Links are known for so long after they expired, ms.
const LINKS: i64 = 7 * 24 * 60 * 60 * 1_000;
/// A client that nobody signed in from for so long, ms, is a stranger again.
const CLIENTS: i64 = 30 * 24 * 60 * 60 * 1_000;
/// Old rows are swept this often at most, ms.
const SWEPT: i64 = 60 * 60 * 1_000;

/// A session that has not ended: who sends this request. An argument of axum's handlers, where the state
/// has the [`Login`]; `Option<Session>` for pages that anybody may see.
#[derive(Clone)]
pub struct Session {
    user: User,
    /// The hash of its id.
    id: String,
    context: Option<RequestContext>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Session {
    /// Whose it is.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn context(&self) -> Option<&RequestContext> {
        self.context.as_ref()
    }
}

/// Somebody has signed in: the answer has to carry the cookie of his session.
///
/// With axum it stands in the tuple of an answer: `(signed_in, Redirect::to("/"))`.
#[derive(Debug)]
pub struct SignedIn {
    user: User,
    /// Marked as sensitive, so that nothing shows it.
    cookie: HeaderValue,
}

impl SignedIn {
    /// Who he is.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }

    /// The value of the answer's `Set-Cookie`, for services without axum.
    #[must_use]
    pub fn cookie(&self) -> &HeaderValue {
        &self.cookie
    }
}

/// Somebody has signed out: the answer has to take back his cookie.
#[derive(Debug)]
pub struct SignedOut(());

impl SignedOut {
    /// The values of the answer's `Set-Cookie`, for services without axum.
    #[must_use]
    pub fn cookies(&self) -> [HeaderValue; 2] {
        cookie::taken_back()
    }
}

/// A session as it stands in the table, with its user.
type Row = (i64, i64, i64, String, i64, String, String, i64);

impl Login {
    /// The session that a request with these headers came with; none when it came with none, or with one
    /// that has ended. What [`Session`] is as an argument of handlers, for services without axum.
    ///
    /// # Errors
    /// When the database cannot be asked: 503 when it is away, else 500.
    pub async fn session(
        &self,
        headers: &HeaderMap,
        context: Option<&RequestContext>,
    ) -> Result<Option<Session>, Failure> {
        let Some(secret) = cookie::read(headers) else { return Ok(None) };
        let id = secret.hash();
        note(context, &id);
        let found = self.live(&id, context).await.map_err(super::refusal::failed)?;
        Ok(found.map(|user| Session { user, id, context: context.cloned() }))
    }

    /// Notes which session a request came with, so that it ends when somebody signs in by it.
    pub(super) fn note_session(headers: &HeaderMap, context: &RequestContext) {
        if context.context().session.get().is_none()
            && let Some(secret) = cookie::read(headers)
        {
            note(Some(context), &secret.hash());
        }
    }

    async fn live(
        &self,
        id: &str,
        context: Option<&RequestContext>,
    ) -> Result<Option<User>, Error> {
        let (pool, now) = (self.pool(), self.now());
        let select = "SELECT s.created, s.seen, s.ended, s.reason, u.id, u.name, u.role, u.disabled \
                      FROM mainstay_sessions s JOIN mainstay_users u ON u.id = s.user_id \
                      WHERE s.id = ?";
        let row: Option<Row> =
            sqlx::query_as(pool.sql(select)).bind(id).fetch_optional(pool).await?;
        let Some((created, seen, ended, reason, user, name, role, disabled)) = row else {
            return Ok(None);
        };
        let row: UserRow = (user, name, role, disabled);
        let user = User::of(row);
        if ended != 0 {
            self.tell_late(id, context, &user.name, reason).await?;
            return Ok(None);
        }
        let settings = &self.inner.settings;
        let over = match () {
            () if now - created >= millis(settings.absolute) => Some("absolute"),
            () if now - seen >= millis(settings.idle) => Some("idle"),
            // One that began while he was being disabled.
            () if user.disabled => Some("disabled"),
            () => None,
        };
        if let Some(reason) = over {
            let end =
                "UPDATE mainstay_sessions SET ended = ?, reason = ? WHERE id = ? AND ended = 0";
            let sql = pool.sql(end);
            let ended = sqlx::query(sql).bind(now).bind(reason).bind(id).execute(pool).await?;
            self.tell_ended(context, &user.name, reason, ended.rows_affected());
            return Ok(None);
        }
        if now - seen >= NOTED.min(millis(settings.idle) / 4) {
            let touch = "UPDATE mainstay_sessions SET seen = ? WHERE id = ? AND seen = ?";
            let sql = pool.sql(touch);
            // A database that only reads for a while keeps nobody from his pages.
            sqlx::query(sql).bind(now).bind(id).bind(seen).execute(pool).await.ok();
        }
        Ok(Some(user))
    }

    /// Tells of the use of a session that has ended, once a minute for each.
    async fn tell_late(
        &self,
        id: &str,
        context: Option<&RequestContext>,
        user: &str,
        reason: String,
    ) -> Result<(), Error> {
        let (pool, now) = (self.pool(), self.now());
        let update = "UPDATE mainstay_sessions SET told = ? WHERE id = ? AND told <= ?";
        let sql = pool.sql(update);
        let told = sqlx::query(sql).bind(now).bind(id).bind(now - NOTED).execute(pool).await?;
        if told.rows_affected() > 0 {
            let event = Event::SessionUseAfterExpire { user: user.to_owned(), reason };
            self.tell(context, user, &event);
        }
        Ok(())
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When the database cannot be asked: 503 when it is away, else 500.
    pub async fn sign_out(&self, session: &Session) -> Result<SignedOut, Failure> {
        let (pool, now) = (self.pool(), self.now());
        let end =
            "UPDATE mainstay_sessions SET ended = ?, reason = 'logout' WHERE id = ? AND ended = 0";
        let sql = pool.sql(end);
        let ended = sqlx::query(sql).bind(now).bind(session.id()).execute(pool).await;
        if ended.map_err(super::refusal::failed)?.rows_affected() > 0 {
            let user = session.user.name.clone();
            self.tell(session.context(), &user, &Event::SessionLogout { user: user.clone() });
        }
        Ok(SignedOut(()))
    }

    /// Tells the log that a user asked for what he may not: `what` names it, such as `orders/delete`.
    pub fn refuse(&self, session: &Session, what: &str) {
        let user = session.user.name.clone();
        let event = Event::AuthzFail { user: user.clone(), resource: what.to_owned() };
        self.tell(session.context(), &user, &event);
    }

    /// A new session for this user.
    pub(super) async fn begin_session(
        &self,
        transaction: &mut Transaction<Any>,
        context: &RequestContext,
        user: User,
    ) -> Result<SignedIn, Refusal> {
        let (secret, now) = (Secret::new()?, self.now());
        let insert = "INSERT INTO mainstay_sessions \
                      (id, user_id, created, seen, ended, reason, told) VALUES (?, ?, ?, ?, 0, '', 0)";
        sqlx::query(self.pool().sql(insert))
            .bind(secret.hash())
            .bind(user.id)
            .bind(now)
            .bind(now)
            .execute(&mut **transaction)
            .await?;
        let cookie = cookie::given(&secret, context.scheme() == Scheme::Https);
        Ok(SignedIn { user, cookie })
    }

    /// Ends the session that the request came with, whosesoever it is. Whether there was one.
    pub(super) async fn end_of_request(
        &self,
        transaction: &mut Transaction<Any>,
        context: &RequestContext,
    ) -> Result<bool, Error> {
        match context.context().session.get() {
            Some(id) => self.end_one(transaction, id, "renewed").await,
            None => Ok(false),
        }
    }

    /// Ends a session. Whether it had not ended before.
    pub(super) async fn end_one(
        &self,
        transaction: &mut Transaction<Any>,
        id: &str,
        reason: &'static str,
    ) -> Result<bool, Error> {
        let end = "UPDATE mainstay_sessions SET ended = ?, reason = ? WHERE id = ? AND ended = 0";
        let query = sqlx::query(self.pool().sql(end)).bind(self.now()).bind(reason).bind(id);
        Ok(query.execute(&mut **transaction).await?.rows_affected() > 0)
    }

    /// Ends all sessions of a user, and says how many there were.
    pub(super) async fn end_all(
        &self,
        transaction: &mut Transaction<Any>,
        user: i64,
        reason: &'static str,
    ) -> Result<u64, Error> {
        let end =
            "UPDATE mainstay_sessions SET ended = ?, reason = ? WHERE user_id = ? AND ended = 0";
        let query = sqlx::query(self.pool().sql(end)).bind(self.now()).bind(reason).bind(user);
        Ok(query.execute(&mut **transaction).await?.rows_affected())
    }

    /// Removes old rows, once in a while. Nothing depends on it: what remains goes next time.
    pub(super) async fn sweep(&self) {
        let (pool, now, last) = (self.pool(), self.now(), self.inner.swept.load(Relaxed));
        let swept = &self.inner.swept;
        if now - last < SWEPT || swept.compare_exchange(last, now, Relaxed, Relaxed).is_err() {
            return;
        }
        let settings = &self.inner.settings;
        let old = now - REMEMBERED;
        for (statement, before) in [
            ("DELETE FROM mainstay_sessions WHERE ended <> 0 AND ended < ?", old),
            ("DELETE FROM mainstay_sessions WHERE created < ?", old - millis(settings.absolute)),
            ("DELETE FROM mainstay_sessions WHERE seen < ?", old - millis(settings.idle)),
            ("DELETE FROM mainstay_links WHERE expires < ?", now - LINKS),
            ("DELETE FROM mainstay_throttle WHERE seen < ?", now - CLIENTS),
            (
                "DELETE FROM mainstay_throttle WHERE id NOT LIKE 'p:%' AND seen < ?",
                now - 2 * super::throttle::WINDOW,
            ),
        ] {
            sqlx::query(pool.sql(statement)).bind(before).execute(pool).await.ok();
        }
    }
}

fn note(context: Option<&RequestContext>, id: &str) {
    if let Some(context) = context {
        // The first one stands: it is the same.
        context.context().session.set(id.into()).ok();
    }
}
