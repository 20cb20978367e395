//! What is to be opened, and the settings that hold for all pools.

use crate::config::{Count, Database};
use std::fmt;
use std::time::Duration;

/// A pool to be opened: a URL alone is enough, for the pool that is called `database`.
///
/// The URL may hold a password; nothing shows it.
#[derive(Clone)]
pub struct Open {
    pub(crate) url: String,
    pub(crate) name: String,
    pub(crate) max: Option<u32>,
    pub(crate) needs_writes: bool,
    pub(crate) critical: bool,
}

impl Open {
    /// The pool `database` on this URL.
    pub fn new(url: impl Into<String>) -> Open {
        let name = "database".to_owned();
        Open { url: url.into(), name, max: None, needs_writes: true, critical: true }
    }

    /// Its name, in checks, logs and metrics: at most 48 bytes, each once in a worker.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Open {
        Open { name: name.into(), ..self }
    }

    /// So many connections at most, in each worker, in place of `database.pool`.
    #[must_use]
    pub fn max(self, connections: u32) -> Open {
        Open { max: Some(connections.max(1)), ..self }
    }

    /// The application only reads: a replica, or a server that is read-only after a failover, is as
    /// good as any.
    #[must_use]
    pub fn read_only(self) -> Open {
        Open { needs_writes: false, ..self }
    }

    /// The service is ready though the database is not.
    #[must_use]
    pub fn optional(self) -> Open {
        Open { critical: false, ..self }
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("name", &self.name).finish_non_exhaustive()
    }
}

impl From<&str> for Open {
    fn from(url: &str) -> Open {
        Open::new(url)
    }
}

impl From<&String> for Open {
    fn from(url: &String) -> Open {
        Open::new(url)
    }
}

impl From<String> for Open {
    fn from(url: String) -> Open {
        Open::new(url)
    }
}

/// How much is told of statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Echo {
    Off,
    Sql,
    Debug,
}

/// What holds for all pools of a worker.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Connections of each pool; none for as many as the server allows.
    pub(crate) pool: Option<u32>,
    /// Hosts and workers that share a server.
    pub(crate) hosts: u32,
    pub(crate) workers: u32,
    pub(crate) acquire_timeout: Duration,
    pub(crate) slow_query: Option<Duration>,
    pub(crate) echo: Echo,
    /// What sessions are called on the server.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "others have no such name"))]
    pub(crate) application: String,
    /// Time in which a pool may be opened.
    pub(crate) boot: Duration,
}

impl Settings {
    pub(crate) fn of(
        database: &Database,
        workers: u32,
        application: &str,
        boot: Duration,
    ) -> Settings {
        Settings {
            pool: match database.pool {
                Count::Auto => None,
                Count::Fixed(count) => Some(count),
            },
            hosts: database.hosts,
            workers: workers.max(1),
            acquire_timeout: database.acquire_timeout,
            slow_query: database.slow_query,
            echo: match database.echo.as_str() {
                "sql" => Echo::Sql,
                "debug" => Echo::Debug,
                _ => Echo::Off,
            },
            application: application.to_owned(),
            boot,
        }
    }

    /// Connections that a pool of each worker may have on a server that allows `limit`; a fifth is left
    /// to others. Without a limit that is known, ten.
    pub(crate) fn share(&self, limit: Option<u32>) -> u32 {
        const MOST: u32 = 10;
        let Some(limit) = limit else { return MOST };
        let share = u64::from(limit) * 8 / 10 / (u64::from(self.hosts) * u64::from(self.workers));
        u32::try_from(share).unwrap_or(MOST).clamp(1, MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(hosts: u32, workers: u32) -> Settings {
        Settings {
            pool: None,
            hosts,
            workers,
            acquire_timeout: Duration::from_secs(3),
            slow_query: None,
            echo: Echo::Off,
            application: String::new(),
            boot: Duration::from_secs(30),
        }
    }

    #[test]
    fn all_workers_together_leave_a_fifth_of_the_server_s_connections() {
        assert_eq!(settings(1, 2).share(Some(100)), 10, "ten are enough");
        assert_eq!(settings(2, 8).share(Some(100)), 5);
        assert_eq!(settings(10, 16).share(Some(100)), 1, "none can do without one");
        assert_eq!(settings(1, 4).share(None), 10);
    }

    #[test]
    fn no_password_is_shown() {
        let open = Open::new("postgres://shop:hunter2@db/shop").name("orders");
        assert_eq!(format!("{open:?}"), "Open { name: \"orders\", .. }");
    }
}
