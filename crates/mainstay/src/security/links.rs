//! One-time links by which users set their passwords: the first one of a service, those of new users,
//! and those of users who forgot theirs.

use super::secret::Secret;
use super::throttle::Gate;
use super::types::UserRow;
use super::{Link, LinkOf, Login, Password, Refusal, SignedIn, User, millis, name};
use crate::Failure;
use crate::db::Transaction;
use crate::event::{Event, Time};
use crate::http::context::RequestContext;
use sqlx::{Any, Error};

/// Whose number the first link has: nobody's.
const NOBODY: i64 = 0;
/// How he is called in the log.
const FIRST: &str = "first-user";
/// The role of the first user.
const ADMIN: &str = "admin";
/// Why a link is void that was used.
const USED: &str = "used";

/// A link as it stands in the table.
struct Found {
    /// None of the first link.
    user: Option<User>,
    expires: i64,
    used: i64,
    reason: String,
}

impl Found {
    fn name(&self) -> &str {
        self.user.as_ref().map_or(FIRST, |user| &user.name)
    }
}

impl Login {
    /// A link for the first user, whom it makes one of the role `admin`: only while there is no user,
    /// and only one at a time, so that of several workers one gets it. Its time is
    /// [`Settings::link_life`](super::Settings::link_life); then the next call gets another.
    ///
    /// # Errors
    /// When the database cannot be asked: 503 when it is away, else 500.
    pub async fn first_link(&self) -> Result<Option<Link>, Failure> {
        let (pool, now) = (self.pool(), self.now());
        let count = "SELECT COUNT(*) FROM mainstay_users";
        let users: i64 = sqlx::query_scalar(count).fetch_one(pool).await.map_err(failed)?;
        if users > 0 {
            return Ok(None);
        }
        let made = self.make_first(now).await.map_err(Failure::from)?;
        if made.is_some() {
            self.tell_created(None, FIRST, "mainstay");
        }
        Ok(made)
    }

    async fn make_first(&self, now: i64) -> Result<Option<Link>, Refusal> {
        let expires = now + millis(self.inner.settings.link_life);
        let mut transaction = self.pool().begin().await?;
        // Whoever changes this row makes the link.
        let claim = "UPDATE mainstay_keys SET moment = ? WHERE id = 'first_link' AND moment <= ?";
        let claimed = sqlx::query(self.pool().sql(claim))
            .bind(expires)
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        if claimed.rows_affected() == 0 {
            transaction.rollback().await?;
            return Ok(None);
        }
        let link = self.make_link(&mut transaction, NOBODY).await?;
        transaction.commit().await?;
        Ok(Some(link))
    }

    /// Whose link this is, if it can still be used.
    ///
    /// # Errors
    /// When the database cannot be asked: 503 when it is away, else 500.
    pub async fn link_of(&self, token: &str) -> Result<Option<LinkOf>, Failure> {
        let Some(secret) = Secret::of_link(token) else { return Ok(None) };
        let found = self.find(&secret.hash()).await.map_err(failed)?;
        let found = found.filter(|it| it.used == 0 && it.expires > self.now());
        Ok(found
            .map(|it| LinkOf { user: it.user.map(|user| user.name), expires_unix_ms: it.expires }))
    }

    /// Sets a password by a link, and signs its user in. `name` is for the first link, whose holder names
    /// himself; of others it is not looked at. A link is used once, however many try at once; all
    /// sessions that the user had have ended, and failures to sign in are forgotten.
    ///
    /// # Errors
    /// [`Refusal::LinkVoid`]; [`Refusal::BadName`] and [`Refusal::Weak`], after which the link can still
    /// be used; [`Refusal::Busy`]; [`Refusal::Failed`].
    pub async fn redeem(
        &self,
        context: &RequestContext,
        token: &str,
        name: Option<&str>,
        password: &Password,
    ) -> Result<SignedIn, Refusal> {
        let id = Secret::of_link(token).ok_or(Refusal::LinkVoid)?.hash();
        let found = self.find(&id).await?.ok_or(Refusal::LinkVoid)?;
        self.usable(context, &found)?;
        let name = match &found.user {
            Some(user) => user.name.clone(),
            None => name::accepted(name.unwrap_or_default()).map_err(Refusal::BadName)?,
        };
        if let Some(why) = password.weakness(&name, self.inner.settings.min_password) {
            return Err(Refusal::Weak(why));
        }
        let _turn = self.inner.hashers.turn().await?;
        let hash = self.inner.hashers.hash(password).await?;
        let mut transaction = self.pool().begin().await?;
        let claim = "UPDATE mainstay_links SET used = ?, reason = 'used' \
                     WHERE id = ? AND used = 0 AND expires > ?";
        let (sql, now) = (self.pool().sql(claim), self.now());
        let claimed =
            sqlx::query(sql).bind(now).bind(&id).bind(now).execute(&mut *transaction).await?;
        if claimed.rows_affected() == 0 {
            transaction.rollback().await?;
            // Somebody else used it while this password was hashed.
            if let Some(found) = self.find(&id).await? {
                self.usable(context, &found)?;
            }
            return Err(Refusal::LinkVoid);
        }
        let user = match &found.user {
            Some(user) => self.set_hash(&mut transaction, user, &hash).await?,
            None => self.make_admin(&mut transaction, &name, &hash).await?,
        };
        let ended = self.end_all(&mut transaction, user.id, "password-reset").await?;
        self.end_of_request(&mut transaction, context).await?;
        let voided = self.void_links(&mut transaction, user.id).await?;
        self.forget_failures(&mut transaction, &name).await?;
        let gate = Gate::known(&self.inner.key, context.client(), &name);
        self.forgive(&mut transaction, &gate).await?;
        let signed_in = self.begin_session(&mut transaction, context, user).await?;
        transaction.commit().await?;
        let (context, user) = (Some(context), name.clone());
        if found.user.is_none() {
            let (by, role) = (FIRST.to_owned(), ADMIN.to_owned());
            self.tell(context, &name, &Event::UserCreated { by, user: user.clone(), role });
        }
        let event = Event::PasswordChange { user: user.clone(), how: "by a link" };
        self.tell(context, &name, &event);
        self.tell_ended(context, &name, "password-reset", ended);
        self.tell_voided(context, &name, "password-reset", voided);
        self.tell(context, &name, &Event::SessionCreated { user });
        Ok(signed_in)
    }

    fn usable(&self, context: &RequestContext, found: &Found) -> Result<(), Refusal> {
        if found.used != 0 {
            if found.reason == USED {
                let user = found.name().to_owned();
                self.tell(Some(context), found.name(), &Event::TokenReuse { user });
            }
            return Err(Refusal::LinkVoid);
        }
        let is_disabled = found.user.as_ref().is_some_and(|user| user.disabled);
        match found.expires > self.now() && !is_disabled {
            true => Ok(()),
            false => Err(Refusal::LinkVoid),
        }
    }

    async fn find(&self, id: &str) -> Result<Option<Found>, Error> {
        let pool = self.pool();
        let select = "SELECT user_id, expires, used, reason FROM mainstay_links WHERE id = ?";
        let row: Option<(i64, i64, i64, String)> =
            sqlx::query_as(pool.sql(select)).bind(id).fetch_optional(pool).await?;
        let Some((user, expires, used, reason)) = row else { return Ok(None) };
        let select = "SELECT id, name, role, disabled FROM mainstay_users WHERE id = ?";
        let row: Option<UserRow> =
            sqlx::query_as(pool.sql(select)).bind(user).fetch_optional(pool).await?;
        let found = Found { user: row.map(User::of), expires, used, reason };
        // One whose user is gone is no first link.
        Ok(Some(found).filter(|found| found.user.is_some() || user == NOBODY))
    }

    /// Sets the password of a user who may have one.
    pub(super) async fn set_hash(
        &self,
        transaction: &mut Transaction<Any>,
        user: &User,
        hash: &str,
    ) -> Result<User, Refusal> {
        let update = "UPDATE mainstay_users SET password = ? WHERE id = ? AND disabled = 0";
        let sql = self.pool().sql(update);
        let set = sqlx::query(sql).bind(hash).bind(user.id).execute(&mut **transaction).await?;
        match set.rows_affected() {
            0 => Err(Refusal::LinkVoid),
            _ => Ok(user.clone()),
        }
    }

    async fn make_admin(
        &self,
        transaction: &mut Transaction<Any>,
        name: &str,
        hash: &str,
    ) -> Result<User, Refusal> {
        let count = "SELECT COUNT(*) FROM mainstay_users";
        let users: i64 = sqlx::query_scalar(count).fetch_one(&mut **transaction).await?;
        if users > 0 {
            return Err(Refusal::LinkVoid);
        }
        self.insert_user(transaction, name, ADMIN, hash).await
    }

    /// A new user.
    pub(super) async fn insert_user(
        &self,
        transaction: &mut Transaction<Any>,
        name: &str,
        role: &str,
        hash: &str,
    ) -> Result<User, Refusal> {
        let insert = "INSERT INTO mainstay_users (name, role, password, disabled, created) \
                      VALUES (?, ?, ?, 0, ?)";
        let made = sqlx::query(self.pool().sql(insert))
            .bind(name)
            .bind(role)
            .bind(hash)
            .bind(self.now())
            .execute(&mut **transaction)
            .await;
        match made {
            Ok(_) => {}
            Err(Error::Database(error)) if error.is_unique_violation() => {
                return Err(Refusal::NameTaken);
            }
            Err(error) => return Err(error.into()),
        }
        let select = "SELECT id, name, role, disabled FROM mainstay_users WHERE name = ?";
        let sql = self.pool().sql(select);
        let row: UserRow = sqlx::query_as(sql).bind(name).fetch_one(&mut **transaction).await?;
        Ok(User::of(row))
    }

    /// A new link of this user.
    pub(super) async fn make_link(
        &self,
        transaction: &mut Transaction<Any>,
        user: i64,
    ) -> Result<Link, Refusal> {
        let secret = Secret::new()?;
        let expires = self.now() + millis(self.inner.settings.link_life);
        let insert = "INSERT INTO mainstay_links (id, user_id, expires, used, reason) \
                      VALUES (?, ?, ?, 0, '')";
        sqlx::query(self.pool().sql(insert))
            .bind(secret.hash())
            .bind(user)
            .bind(expires)
            .execute(&mut **transaction)
            .await?;
        Ok(Link::new(&secret, expires))
    }

    /// Makes a user's links void, and says how many there were.
    pub(super) async fn void_links(
        &self,
        transaction: &mut Transaction<Any>,
        user: i64,
    ) -> Result<u64, Error> {
        let void =
            "UPDATE mainstay_links SET used = ?, reason = 'void' WHERE user_id = ? AND used = 0";
        let query = sqlx::query(self.pool().sql(void)).bind(self.now()).bind(user);
        Ok(query.execute(&mut **transaction).await?.rows_affected())
    }

    /// Makes the first link void, since there is a user.
    pub(super) async fn void_first(
        &self,
        transaction: &mut Transaction<Any>,
    ) -> Result<u64, Error> {
        self.void_links(transaction, NOBODY).await
    }

    /// Tells of a new link.
    pub(super) fn tell_created(&self, context: Option<&RequestContext>, user: &str, by: &str) {
        let life = Time(self.inner.settings.link_life);
        let event = Event::TokenCreated { user: user.to_owned(), life, by: by.to_owned() };
        self.tell(context, user, &event);
    }
}

fn failed(error: Error) -> Failure {
    super::refusal::failed(error)
}
