//! `[security]` as plain values.

use super::sections::Values;

/// `[security]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Security {
    /// Where the application takes logins, joined by ` & `.
    pub login_routes: String,
    /// Names of tools of attackers, as a list.
    pub attack_tools: String,
}

impl Values<'_> {
    pub(super) fn security(&self) -> Security {
        Security {
            login_routes: self.text("security.login_routes"),
            attack_tools: self.text("security.attack_tools"),
        }
    }
}
