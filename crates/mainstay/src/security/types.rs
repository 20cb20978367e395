//! What the kit tells of users and links.

use super::secret::Secret;
use serde::Serialize;
use std::fmt;
use zeroize::Zeroizing;

/// A user, without anything secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    /// Its number, which no other user ever has.
    pub id: i64,
    /// By which he signs in: 1 to 64 letters a-z, digits, and `. _ - + @`.
    pub name: String,
    /// What he may do is the application's affair: `admin`, or whatever it was added with.
    pub role: String,
    /// Nobody signs in as him.
    pub disabled: bool,
}

/// A row of a user: id, name, role, disabled.
pub(super) type UserRow = (i64, String, String, i64);

impl User {
    pub(super) fn of((id, name, role, disabled): UserRow) -> User {
        User { id, name, role, disabled: disabled != 0 }
    }
}

/// A one-time link by which a user sets a password. Whoever has it can do so: it is to be given to
/// nobody else. Nothing shows it but [`Link::token`].
#[derive(Clone)]
pub struct Link {
    token: Zeroizing<String>,
    expires: i64,
}

impl Link {
    pub(super) fn new(secret: &Secret, expires: i64) -> Link {
        Link { token: secret.link_text(), expires }
    }

    /// The token, for a path such as `/setup/{token}`. The log shows `mst_***` wherever it stands in a
    /// path or a query.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Until when it can be used, milliseconds since the Unix epoch.
    #[must_use]
    pub fn expires_unix_ms(&self) -> i64 {
        self.expires
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// Whose link a token is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkOf {
    /// The user; none of the first link of a service without users, whose holder names himself and
    /// becomes a user of the role `admin`.
    pub user: Option<String>,
    /// Until when it can be used, milliseconds since the Unix epoch.
    pub expires_unix_ms: i64,
}
