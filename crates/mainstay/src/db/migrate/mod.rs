//! Migrations: the steps by which an application's schema came to be what it is, each done once.
//!
//! What was done stands in the table `_sqlx_migrations`, in sqlx's own form, so that either tool goes on
//! where the other one ended. One process migrates at a time: PostgreSQL and MySQL have locks for it,
//! of SQLite's file one is taken.

#[cfg(feature = "login")]
mod bring_up;
mod failed;
mod session;
#[cfg(test)]
mod tests;

#[cfg(feature = "login")]
pub(crate) use bring_up::bring_up;
pub(crate) use failed::Failed;
pub(crate) use session::{Done, Goal, Session};

use crate::health::checks::Kind;
use sqlx::AssertSqlSafe;
use sqlx::migrate::{MigrationType, Migrator};
use std::collections::BTreeMap;

/// Where it stands what was done of an application's.
const TABLE: &str = "_sqlx_migrations";

/// A step of the schema, done once on each database.
///
/// ```
/// use mainstay::db::Migration;
///
/// const MIGRATIONS: &[Migration] = &[
///     Migration::new(1, "orders", "CREATE TABLE orders (id BIGINT PRIMARY KEY, placed BIGINT NOT NULL)")
///         .down("DROP TABLE orders"),
///     Migration::new(2, "orders by time", "CREATE INDEX orders_placed ON orders (placed)")
///         .down("DROP INDEX orders_placed")
///         .down_on_mysql("DROP INDEX orders_placed ON orders"),
/// ];
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    version: i64,
    name: &'static str,
    up: Script,
    down: Script,
}

/// A script, and how it reads on the databases that have it otherwise.
#[derive(Clone, Copy, Debug)]
struct Script {
    usual: Option<&'static str>,
    postgres: Option<&'static str>,
    mysql: Option<&'static str>,
}

impl Script {
    const NONE: Script = Script { usual: None, postgres: None, mysql: None };

    fn of(self, kind: Kind) -> Option<&'static str> {
        match kind {
            Kind::Postgres => self.postgres.or(self.usual),
            Kind::MySql => self.mysql.or(self.usual),
            Kind::Sqlite | Kind::App => self.usual,
        }
    }
}

impl Migration {
    /// The step to `version`, above those of all steps before it. `up` may be several statements.
    #[must_use]
    pub const fn new(version: i64, name: &'static str, up: &'static str) -> Migration {
        Migration {
            version,
            name,
            up: Script { usual: Some(up), ..Script::NONE },
            down: Script::NONE,
        }
    }

    /// How it is undone; without it, nobody goes back behind this step.
    #[must_use]
    pub const fn down(mut self, script: &'static str) -> Migration {
        self.down.usual = Some(script);
        self
    }

    /// What is done on PostgreSQL instead.
    #[must_use]
    pub const fn on_postgres(mut self, script: &'static str) -> Migration {
        self.up.postgres = Some(script);
        self
    }

    /// What is done on MySQL and MariaDB instead.
    #[must_use]
    pub const fn on_mysql(mut self, script: &'static str) -> Migration {
        self.up.mysql = Some(script);
        self
    }

    /// How it is undone on PostgreSQL instead.
    #[must_use]
    pub const fn down_on_postgres(mut self, script: &'static str) -> Migration {
        self.down.postgres = Some(script);
        self
    }

    /// How it is undone on MySQL and MariaDB instead.
    #[must_use]
    pub const fn down_on_mysql(mut self, script: &'static str) -> Migration {
        self.down.mysql = Some(script);
        self
    }
}

/// All steps of an application: a table of [`Migration`], or a [`Migrator`] of sqlx's.
#[derive(Clone, Debug)]
pub struct Migrations {
    source: Source,
    /// Where it stands what was done.
    table: &'static str,
}

#[derive(Clone, Debug)]
enum Source {
    Table(&'static [Migration]),
    Migrator(std::sync::Arc<Migrator>),
}

impl From<&'static [Migration]> for Migrations {
    fn from(table: &'static [Migration]) -> Migrations {
        Migrations::of(Source::Table(table))
    }
}

impl<const N: usize> From<&'static [Migration; N]> for Migrations {
    fn from(table: &'static [Migration; N]) -> Migrations {
        Migrations::of(Source::Table(table))
    }
}

impl From<Migrator> for Migrations {
    fn from(migrator: Migrator) -> Migrations {
        Migrations::of(Source::Migrator(std::sync::Arc::new(migrator)))
    }
}

/// One step as it is done on one kind of database.
#[derive(Clone, Debug)]
struct Step {
    version: i64,
    name: String,
    up: String,
    down: Option<String>,
    checksum: Vec<u8>,
    /// Some statements cannot be part of a transaction.
    alone: bool,
}

impl Migrations {
    fn of(source: Source) -> Migrations {
        Migrations { source, table: TABLE }
    }

    /// Steps of a part of mainstay's own: their versions are nothing to the application's.
    #[cfg(feature = "login")]
    pub(crate) fn in_table(self, table: &'static str) -> Migrations {
        Migrations { table, ..self }
    }

    fn steps(&self, kind: Kind) -> Result<Vec<Step>, Failed> {
        let mut steps = match &self.source {
            Source::Table(table) => table.iter().map(|row| Step::of_table(row, kind)).collect(),
            Source::Migrator(migrator) => Step::of_migrator(migrator),
        };
        steps.sort_by_key(|step| step.version);
        match steps.windows(2).find(|pair| pair[0].version == pair[1].version) {
            Some(pair) => Err(Failed::Twice(pair[0].version)),
            None => Ok(steps),
        }
    }
}

impl Step {
    fn of_table(row: &Migration, kind: Kind) -> Step {
        let up = row.up.of(kind).unwrap_or_default().to_owned();
        let sql = AssertSqlSafe(up.clone());
        let kept = sqlx::migrate::Migration::new(
            row.version,
            row.name.into(),
            MigrationType::Simple,
            sqlx::SqlSafeStr::into_sql_str(sql),
            false,
        );
        Step {
            version: row.version,
            name: row.name.to_owned(),
            up,
            down: row.down.of(kind).map(str::to_owned),
            checksum: kept.checksum.to_vec(),
            alone: false,
        }
    }

    fn of_migrator(migrator: &Migrator) -> Vec<Step> {
        let downs: BTreeMap<i64, String> = migrator
            .iter()
            .filter(|it| it.migration_type.is_down_migration())
            .map(|it| (it.version, it.sql.as_str().to_owned()))
            .collect();
        let ups = migrator.iter().filter(|it| !it.migration_type.is_down_migration());
        ups.map(|it| Step {
            version: it.version,
            name: it.description.to_string(),
            up: it.sql.as_str().to_owned(),
            down: downs.get(&it.version).cloned(),
            checksum: it.checksum.to_vec(),
            alone: it.no_tx,
        })
        .collect()
    }
}
