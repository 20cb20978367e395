//! What an application may wish of the login kit.

use std::time::Duration;

/// Time that a job may wait for a thread that hashes.
const PATIENCE: Duration = Duration::from_millis(100);

/// What an application wishes; each has a default that suits a service of low risk.
///
/// ```
/// use mainstay::security::Settings;
/// use std::time::Duration;
///
/// let settings = Settings::default().idle(Duration::from_secs(5 * 60)).min_password(15);
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    pub(super) idle: Duration,
    pub(super) absolute: Duration,
    pub(super) link_life: Duration,
    pub(super) min_password: usize,
    pub(super) hashers: Option<usize>,
    pub(super) patience: Duration,
    pub(super) origins: Vec<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            idle: Duration::from_secs(30 * 60),
            absolute: Duration::from_secs(8 * 60 * 60),
            link_life: Duration::from_secs(60 * 60),
            min_password: 12,
            hashers: None,
            patience: PATIENCE,
            origins: Vec::new(),
        }
    }
}

impl Settings {
    /// A session that nobody used for so long has ended; at least a second. Default: 30 minutes. Uses are
    /// noted once a minute, or, of a shorter time, four times in it.
    #[must_use]
    pub fn idle(self, time: Duration) -> Settings {
        Settings { idle: time.max(Duration::from_secs(1)), ..self }
    }

    /// A session has ended so long after it began, however much it was used; at least a second.
    /// Default: 8 hours.
    #[must_use]
    pub fn absolute(self, time: Duration) -> Settings {
        Settings { absolute: time.max(Duration::from_secs(1)), ..self }
    }

    /// So long a link for a password may be used; at least a second. Default: an hour.
    #[must_use]
    pub fn link_life(self, time: Duration) -> Settings {
        Settings { link_life: time.max(Duration::from_secs(1)), ..self }
    }

    /// Shortest password, characters; at least 8, at most 64. Default: 12. What they are made of is
    /// nobody's affair (NIST SP 800-63B); the longest has 1,024 bytes.
    #[must_use]
    pub fn min_password(self, characters: usize) -> Settings {
        Settings { min_password: characters.clamp(8, 64), ..self }
    }

    /// Passwords that are hashed at a time in each worker, each with 19 MiB; at least one. Default: the
    /// processors of the machine shared among the workers.
    #[must_use]
    pub fn hashers(self, threads: usize) -> Settings {
        Settings { hashers: Some(threads.max(1)), ..self }
    }

    /// An origin (`https://admin.example.org`) whose pages may send requests that change something, as
    /// those of the service's own origin may.
    #[must_use]
    pub fn trusted_origin(mut self, origin: impl Into<String>) -> Settings {
        self.origins.push(origin.into());
        self
    }
}
