//! Signing in, and changing a password: whoever is refused learns nothing of why, nor by the time that it
//! took.

use super::hashers::DUMMY;
use super::throttle::Gate;
use super::types::UserRow;
use super::{Login, Password, Refusal, Session, SignedIn, User, name};
use crate::event::{Event, Time};
use crate::http::context::RequestContext;
use std::time::Duration;

/// Whose password was right.
struct Proven {
    user: User,
    /// As it stands in the table; of a hash with old parameters, a new one beside it.
    hash: String,
    rehashed: Option<String>,
}

/// What came of a try.
enum Outcome {
    Proven(Proven),
    /// The name for the log, and why.
    Refused(String, &'static str),
}

impl Login {
    /// Signs a user in: a new session, whose cookie the answer has to carry, as
    /// [`SignedIn`] does when it stands in the tuple of an answer. The session that the request came
    /// with, if there was one, has ended.
    ///
    /// # Errors
    /// [`Refusal::Wrong`] for a wrong name, a wrong password, a disabled user, and too many failures
    /// alike; [`Refusal::Busy`]; [`Refusal::Failed`].
    pub async fn sign_in(
        &self,
        context: &RequestContext,
        name: &str,
        password: &Password,
    ) -> Result<SignedIn, Refusal> {
        let name = name::folded(name);
        let _turn = self.inner.hashers.turn().await?;
        let gate = self.gate(context.client(), &name).await?;
        let proven = match self.tried(&gate, &name, password).await? {
            Outcome::Proven(proven) => proven,
            Outcome::Refused(user, why) => {
                self.tell_refused(context, &gate, user, why).await;
                return Err(Refusal::Wrong);
            }
        };
        let fails = self.fails(&gate).await?;
        let user = proven.user.name.clone();
        let mut transaction = self.pool().begin().await?;
        self.forgive(&mut transaction, &gate).await?;
        if let Some(new) = &proven.rehashed {
            let update = "UPDATE mainstay_users SET password = ? WHERE id = ? AND password = ?";
            sqlx::query(self.pool().sql(update))
                .bind(new.as_str())
                .bind(proven.user.id)
                .bind(proven.hash.as_str())
                .execute(&mut *transaction)
                .await?;
        }
        let renewed = self.end_of_request(&mut transaction, context).await?;
        let signed_in = self.begin_session(&mut transaction, context, proven.user).await?;
        transaction.commit().await?;
        let event = match fails {
            0 => Event::LoginSuccess { user: user.clone() },
            retries => Event::LoginSuccessAfterFail { user: user.clone(), retries },
        };
        self.tell(Some(context), &user, &event);
        self.tell(Some(context), &user, &Event::SessionCreated { user: user.clone() });
        if renewed {
            let event = Event::SessionRenewed { user: user.clone(), why: "sign-in" };
            self.tell(Some(context), &user, &event);
        }
        self.sweep().await;
        Ok(signed_in)
    }

    /// Changes the password of a session's user: he goes on in a new session, all others of his have
    /// ended, and links that he was given are void.
    ///
    /// # Errors
    /// [`Refusal::Wrong`] when the old password is; [`Refusal::Weak`]; [`Refusal::Busy`];
    /// [`Refusal::Failed`].
    pub async fn change_password(
        &self,
        context: &RequestContext,
        session: &Session,
        old: &Password,
        new: &Password,
    ) -> Result<SignedIn, Refusal> {
        let name = session.user().name.clone();
        if let Some(why) = new.weakness(&name, self.inner.settings.min_password) {
            return Err(Refusal::Weak(why));
        }
        let _turn = self.inner.hashers.turn().await?;
        let gate = self.gate_within(context.client(), &name).await?;
        let proven = match self.tried(&gate, &name, old).await? {
            Outcome::Proven(proven) => proven,
            Outcome::Refused(user, why) => {
                let event = Event::PasswordChangeFail { user: user.clone(), why };
                self.tell(Some(context), &user, &event);
                self.tell_locks(context, &gate, &user).await;
                return Err(Refusal::Wrong);
            }
        };
        let hash = match self.inner.hashers.hash(new).await {
            Ok(hash) => hash,
            Err(refusal) => {
                self.uncount(&gate).await;
                return Err(refusal);
            }
        };
        let mut transaction = self.pool().begin().await?;
        let update = "UPDATE mainstay_users SET password = ? \
                      WHERE id = ? AND password = ? AND disabled = 0";
        let changed = sqlx::query(self.pool().sql(update))
            .bind(hash.as_str())
            .bind(proven.user.id)
            .bind(proven.hash.as_str())
            .execute(&mut *transaction)
            .await?;
        let id = proven.user.id;
        let is_own = self.end_one(&mut transaction, session.id(), "password-change").await?;
        if changed.rows_affected() == 0 || !is_own {
            // Somebody else was faster: this session has ended by that.
            transaction.rollback().await?;
            return Err(Refusal::Wrong);
        }
        self.forgive(&mut transaction, &gate).await?;
        let ended = self.end_all(&mut transaction, id, "password-change").await?;
        let voided = self.void_links(&mut transaction, id).await?;
        let signed_in = self.begin_session(&mut transaction, context, proven.user).await?;
        transaction.commit().await?;
        let context = Some(context);
        let event = Event::PasswordChange { user: name.clone(), how: "by the user" };
        self.tell(context, &name, &event);
        let event = Event::SessionRenewed { user: name.clone(), why: "password-change" };
        self.tell(context, &name, &event);
        self.tell_ended(context, &name, "password-change", ended);
        self.tell_voided(context, &name, "password-change", voided);
        Ok(signed_in)
    }

    /// Looks at the password, and takes back the count of a try that came to no end.
    async fn tried(
        &self,
        gate: &Gate,
        name: &str,
        password: &Password,
    ) -> Result<Outcome, Refusal> {
        let outcome = self.look(gate, name, password).await;
        if outcome.is_err() {
            self.uncount(gate).await;
        }
        outcome
    }

    async fn look(&self, gate: &Gate, name: &str, password: &Password) -> Result<Outcome, Refusal> {
        let row = self.user_and_hash(name).await?;
        let may = |user: &User, hash: &str| gate.is_open && !user.disabled && !hash.is_empty();
        // Whoever may not sign in costs as much as whoever may.
        let hash = match &row {
            Some((user, hash)) if may(user, hash) => hash.as_str(),
            _ => DUMMY,
        };
        let empty = Password::from("");
        let looked_at = if password.is_possible() { password } else { &empty };
        let verdict = self.inner.hashers.verify(hash, looked_at).await?;
        let why = match &row {
            _ if !gate.is_open => "locked",
            None => "unknown name",
            Some((user, _)) if user.disabled => "disabled",
            Some((_, hash)) if hash.is_empty() => "no password yet",
            Some(_) => "wrong password",
        };
        match row {
            Some((user, hash))
                if may(&user, &hash) && verdict.is_right && password.is_possible() =>
            {
                // Hashing it anew can wait until there is time.
                let rehashed = match verdict.is_old {
                    true => self.inner.hashers.hash(password).await.ok(),
                    false => None,
                };
                Ok(Outcome::Proven(Proven { user, hash, rehashed }))
            }
            Some((user, _)) => Ok(Outcome::Refused(user.name, why)),
            None => {
                let hash = self.inner.key.hash(&["name", name]);
                Ok(Outcome::Refused(format!("unknown-{hash}"), why))
            }
        }
    }

    async fn user_and_hash(&self, name: &str) -> Result<Option<(User, String)>, Refusal> {
        let select = "SELECT id, name, role, disabled, password FROM mainstay_users WHERE name = ?";
        let row: Option<(i64, String, String, i64, String)> =
            sqlx::query_as(self.pool().sql(select)).bind(name).fetch_optional(self.pool()).await?;
        Ok(row.map(|(id, name, role, disabled, hash)| {
            let row: UserRow = (id, name, role, disabled);
            (User::of(row), hash)
        }))
    }

    /// Failures before this try, which was counted as one.
    async fn fails(&self, gate: &Gate) -> Result<i64, Refusal> {
        let Some((id, _)) = gate.counters.last() else { return Ok(0) };
        Ok(self.counter(id).await?.map_or(0, |(fails, ..)| (fails - 1).max(0)))
    }

    async fn tell_refused(
        &self,
        context: &RequestContext,
        gate: &Gate,
        user: String,
        why: &'static str,
    ) {
        self.tell(Some(context), &user, &Event::LoginFail { user: user.clone(), why });
        self.tell_locks(context, gate, &user).await;
    }

    /// Tells which counters have come to their limit by this try. Those that were locked before have been
    /// told.
    async fn tell_locks(&self, context: &RequestContext, gate: &Gate, user: &str) {
        if !gate.is_open {
            return;
        }
        for (id, kind) in &gate.counters {
            // The failure itself was told in any case.
            let Ok(Some((fails, until, since))) = self.counter(id).await else { continue };
            let (name, whose) = (user.to_owned(), kind.whose);
            let event = match fails {
                it if it == kind.free => {
                    Event::LoginFailMax { user: name, limit: kind.free, whose }
                }
                it if it > kind.free => {
                    let delay = Duration::from_millis((until - since).max(0).unsigned_abs());
                    Event::LoginLock { user: name, whose, delay: Time(delay) }
                }
                _ => continue,
            };
            self.tell(Some(context), user, &event);
        }
    }
}
