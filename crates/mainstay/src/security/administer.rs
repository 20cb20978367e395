//! Users, as administrators see and change them. Who is one is the application's affair: it asks for the
//! role first.

use super::types::UserRow;
use super::{Link, Login, Password, Refusal, User, name};
use crate::Failure;
use crate::db::Transaction;
use crate::event::Event;
use crate::http::context::RequestContext;
use sqlx::Any;

impl Login {
    /// All users, by name.
    ///
    /// # Errors
    /// When the database cannot be asked: 503 when it is away, else 500.
    pub async fn users(&self) -> Result<Vec<User>, Failure> {
        let select = "SELECT id, name, role, disabled FROM mainstay_users ORDER BY name";
        let rows = sqlx::query_as::<_, UserRow>(select).fetch_all(self.pool()).await;
        Ok(rows.map_err(super::refusal::failed)?.into_iter().map(User::of).collect())
    }

    /// Adds a user, and makes the link by which he sets his password. `by` is who does it, for the log.
    ///
    /// # Errors
    /// [`Refusal::BadName`], of the name or the role; [`Refusal::NameTaken`]; [`Refusal::Failed`].
    pub async fn add_user(
        &self,
        by: &str,
        name: &str,
        role: &str,
    ) -> Result<(User, Link), Refusal> {
        let name = name::accepted(name).map_err(Refusal::BadName)?;
        let role = name::role(role).map_err(Refusal::BadName)?;
        let mut transaction = self.pool().begin().await?;
        let user = self.insert_user(&mut transaction, &name, &role, "").await?;
        let link = self.make_link(&mut transaction, user.id).await?;
        let voided = self.void_first(&mut transaction).await?;
        transaction.commit().await?;
        let context = RequestContext::current();
        let context = context.as_ref();
        let event = Event::UserCreated { by: by.to_owned(), user: name.clone(), role };
        self.tell(context, &name, &event);
        self.tell_created(context, &name, by);
        self.tell_voided(context, "first-user", "there is a user", voided);
        Ok((user, link))
    }

    /// Keeps a user from signing in, and ends his sessions and links.
    ///
    /// # Errors
    /// [`Refusal::NoSuchUser`]; [`Refusal::Failed`].
    pub async fn disable_user(&self, by: &str, name: &str) -> Result<(), Refusal> {
        let mut transaction = self.pool().begin().await?;
        let user = self.set_disabled(&mut transaction, name, 1).await?;
        let ended = self.end_all(&mut transaction, user.id, "disabled").await?;
        let voided = self.void_links(&mut transaction, user.id).await?;
        transaction.commit().await?;
        let context = self.tell_updated(by, "disabled", &user.name);
        self.tell_ended(context.as_ref(), &user.name, "disabled", ended);
        self.tell_voided(context.as_ref(), &user.name, "disabled", voided);
        Ok(())
    }

    /// Lets a user sign in again, with the password that he had.
    ///
    /// # Errors
    /// [`Refusal::NoSuchUser`]; [`Refusal::Failed`].
    pub async fn enable_user(&self, by: &str, name: &str) -> Result<(), Refusal> {
        let mut transaction = self.pool().begin().await?;
        let user = self.set_disabled(&mut transaction, name, 0).await?;
        transaction.commit().await?;
        self.tell_updated(by, "enabled", &user.name);
        Ok(())
    }

    /// Gives a user another role. His sessions have ended: what he may do is another matter from now on.
    ///
    /// # Errors
    /// [`Refusal::BadName`], of the role; [`Refusal::NoSuchUser`], also of a disabled one;
    /// [`Refusal::Failed`].
    pub async fn set_role(&self, by: &str, name: &str, role: &str) -> Result<(), Refusal> {
        let role = name::role(role).map_err(Refusal::BadName)?;
        let user = self.enabled(name).await?;
        if user.role == role {
            return Ok(());
        }
        let mut transaction = self.pool().begin().await?;
        let update = "UPDATE mainstay_users SET role = ? WHERE id = ?";
        let sql = self.pool().sql(update);
        sqlx::query(sql).bind(&role).bind(user.id).execute(&mut *transaction).await?;
        let ended = self.end_all(&mut transaction, user.id, "role-change").await?;
        transaction.commit().await?;
        let context = RequestContext::current();
        let (by, to, name) = (by.to_owned(), role, user.name);
        let event = Event::AuthzChange { user: name.clone(), from: user.role, to, by };
        self.tell(context.as_ref(), &name, &event);
        self.tell_ended(context.as_ref(), &name, "role-change", ended);
        Ok(())
    }

    /// Makes a link by which a user sets a new password; older ones are void. His password and his
    /// sessions go on until he uses it.
    ///
    /// # Errors
    /// [`Refusal::NoSuchUser`], also of a disabled one; [`Refusal::Failed`].
    pub async fn renew_link(&self, by: &str, name: &str) -> Result<Link, Refusal> {
        let user = self.enabled(name).await?;
        let mut transaction = self.pool().begin().await?;
        let voided = self.void_links(&mut transaction, user.id).await?;
        let link = self.make_link(&mut transaction, user.id).await?;
        transaction.commit().await?;
        let context = self.tell_admin(by, "renew the link of", &user.name);
        self.tell_voided(context.as_ref(), &user.name, "replaced", voided);
        self.tell_created(context.as_ref(), &user.name, by);
        Ok(link)
    }

    /// Sets a user's password, and ends his sessions and links.
    pub(super) async fn set_password(
        &self,
        by: &str,
        name: &str,
        password: &Password,
    ) -> Result<(), Refusal> {
        let user = self.enabled(name).await?;
        if let Some(why) = password.weakness(&user.name, self.inner.settings.min_password) {
            return Err(Refusal::Weak(why));
        }
        let hash = self.inner.hashers.hash(password).await?;
        let mut transaction = self.pool().begin().await?;
        self.set_hash(&mut transaction, &user, &hash).await?;
        let ended = self.end_all(&mut transaction, user.id, "password-reset").await?;
        let voided = self.void_links(&mut transaction, user.id).await?;
        self.forget_failures(&mut transaction, &user.name).await?;
        transaction.commit().await?;
        let context = self.tell_admin(by, "set the password of", &user.name);
        let event = Event::PasswordChange { user: user.name.clone(), how: "by an administrator" };
        self.tell(context.as_ref(), &user.name, &event);
        self.tell_ended(context.as_ref(), &user.name, "password-reset", ended);
        self.tell_voided(context.as_ref(), &user.name, "password-reset", voided);
        Ok(())
    }

    async fn enabled(&self, name: &str) -> Result<User, Refusal> {
        let select =
            "SELECT id, name, role, disabled FROM mainstay_users WHERE name = ? AND disabled = 0";
        let query = sqlx::query_as::<_, UserRow>(self.pool().sql(select)).bind(name::folded(name));
        query.fetch_optional(self.pool()).await?.map(User::of).ok_or(Refusal::NoSuchUser)
    }

    async fn set_disabled(
        &self,
        transaction: &mut Transaction<Any>,
        name: &str,
        disabled: i64,
    ) -> Result<User, Refusal> {
        let name = name::folded(name);
        // First, so that SQLite's transaction begins as one that writes.
        let update = "UPDATE mainstay_users SET disabled = ? WHERE name = ?";
        let sql = self.pool().sql(update);
        sqlx::query(sql).bind(disabled).bind(&name).execute(&mut **transaction).await?;
        let select = "SELECT id, name, role, disabled FROM mainstay_users WHERE name = ?";
        let query = sqlx::query_as::<_, UserRow>(self.pool().sql(select)).bind(&name);
        query.fetch_optional(&mut **transaction).await?.map(User::of).ok_or(Refusal::NoSuchUser)
    }

    fn tell_updated(&self, by: &str, what: &'static str, user: &str) -> Option<RequestContext> {
        let context = RequestContext::current();
        let event = Event::UserUpdated { by: by.to_owned(), user: user.to_owned(), what };
        self.tell(context.as_ref(), user, &event);
        context
    }

    fn tell_admin(&self, by: &str, what: &'static str, user: &str) -> Option<RequestContext> {
        let context = RequestContext::current();
        let event = Event::AuthzAdmin { by: by.to_owned(), what, user: user.to_owned() };
        self.tell(context.as_ref(), user, &event);
        context
    }
}
