//! One database while it is being migrated.

use super::{Failed, Migrations, Step};
use crate::clock;
use crate::db::driver::{Hidden, Options};
use crate::db::open::Settings;
use crate::db::pool::PoolConnection;
use crate::db::probe;
use crate::db::script::statements;
use crate::db::statement::numbered;
use crate::health::checks::Kind;
use sqlx::AnyConnection;
use sqlx::migrate::Migrate;
use sqlx::{Any, AssertSqlSafe, ConnectOptions, Connection, Executor, SqlSafeStr, SqlStr};
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::{Deref, DerefMut};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// All steps.
    Latest,
    /// Up or down to this version, 0 for none.
    Version(i64),
}

/// Takes the lock that sqlx takes, as sqlx means to: MariaDB has no endless time-out for locks, and
/// answers sqlx's at once without giving the lock.
async fn lock_mysql(connection: &mut AnyConnection) -> Result<(), Failed> {
    let statement =
        "SELECT CAST(GET_LOCK(LOWER(HEX(1026731422 * CRC32(DATABASE()))), 5) AS SIGNED)";
    loop {
        match sqlx::query_scalar::<_, Option<i64>>(statement).fetch_one(&mut *connection).await? {
            Some(1) => return Ok(()),
            Some(_) => {}
            None => return Err(Failed::Locked(std::io::Error::other("the server gave no lock"))),
        }
    }
}

/// How one step stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) version: i64,
    pub(crate) name: String,
    /// `done`, `pending`, `changed`, `missing` (done, and unknown to the program) or `failed`.
    pub(crate) state: &'static str,
    pub(crate) has_way_back: bool,
}

/// What was done, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) version: i64,
    pub(crate) name: String,
    /// Done; otherwise undone.
    pub(crate) up: bool,
    /// The script.
    pub(crate) script: String,
}

/// The connection that a database is migrated by.
enum Way {
    Own(AnyConnection),
    /// Of SQLite's databases in memory, which have no other.
    #[cfg_attr(not(feature = "login"), allow(dead_code, reason = "they are nobody else's"))]
    Pooled(PoolConnection<Any>),
}

impl Deref for Way {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        match self {
            Way::Own(connection) => connection,
            Way::Pooled(connection) => connection.raw(),
        }
    }
}

impl DerefMut for Way {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        match self {
            Way::Own(connection) => connection,
            Way::Pooled(connection) => connection.sqlx(),
        }
    }
}

/// A database that is being migrated.
pub(crate) struct Session {
    connection: Way,
    kind: Kind,
    steps: Vec<Step>,
    /// Where it stands what was done.
    table: &'static str,
    /// SQLite's file, locked.
    _file: Option<File>,
}

impl Session {
    /// Connects, and waits for whoever migrates now.
    pub(crate) async fn begin(
        url: &str,
        migrations: &Migrations,
        settings: &Settings,
    ) -> Result<Session, Failed> {
        let kind = Any::kind(url).ok_or(Failed::Unknown)?;
        let steps = migrations.steps(kind)?;
        let options: Options<Any> = Any::options(url, settings)?;
        let mut connection = options.connect().await?;
        Any::begin(&mut connection, kind, settings).await?;
        let path = probe::file_of(url).filter(|_| kind == Kind::Sqlite);
        let file = match path {
            None => None,
            Some(path) => Some(
                tokio::task::spawn_blocking(move || {
                    let file = File::open(path)?;
                    // A lock of its own kind, of which SQLite's know nothing.
                    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
                    Ok(file)
                })
                .await
                .unwrap_or_else(|error| Err(std::io::Error::other(error)))
                .map_err(Failed::Locked)?,
            ),
        };
        match kind {
            Kind::MySql => lock_mysql(&mut connection).await?,
            _ => connection.lock().await?,
        }
        let table = migrations.table;
        connection.ensure_migrations_table(table).await?;
        Ok(Session { connection: Way::Own(connection), kind, steps, table, _file: file })
    }

    /// On a database that nobody else can see.
    #[cfg(feature = "login")]
    pub(crate) async fn within(
        mut connection: PoolConnection<Any>,
        migrations: &Migrations,
    ) -> Result<Session, Failed> {
        let (kind, table) = (Kind::Sqlite, migrations.table);
        let steps = migrations.steps(kind)?;
        connection.sqlx().ensure_migrations_table(table).await?;
        Ok(Session { connection: Way::Pooled(connection), kind, steps, table, _file: None })
    }

    /// Ends it, and lets others.
    pub(crate) async fn end(mut self) -> Result<(), Failed> {
        self.connection.unlock().await?;
        if let Way::Own(connection) = self.connection {
            connection.close().await?;
        }
        Ok(())
    }

    async fn applied(&mut self) -> Result<BTreeMap<i64, Vec<u8>>, Failed> {
        let all = self.connection.list_applied_migrations(self.table).await?;
        Ok(all.into_iter().map(|it| (it.version, it.checksum.to_vec())).collect())
    }

    /// How each step stands, in order.
    pub(crate) async fn standing(&mut self) -> Result<Vec<Standing>, Failed> {
        let applied = self.applied().await?;
        let dirty = self.connection.dirty_version(self.table).await?;
        let mut all: BTreeMap<i64, Standing> = BTreeMap::new();
        for step in &self.steps {
            let state = match applied.get(&step.version) {
                _ if dirty == Some(step.version) => "failed",
                None => "pending",
                Some(checksum) if *checksum != step.checksum => "changed",
                Some(_) => "done",
            };
            let (name, has_way_back) = (step.name.clone(), step.down.is_some());
            let standing = Standing { version: step.version, name, state, has_way_back };
            all.insert(step.version, standing);
        }
        for version in applied.into_keys() {
            all.entry(version).or_insert_with(|| Standing {
                version,
                name: String::new(),
                state: "missing",
                has_way_back: false,
            });
        }
        Ok(all.into_values().collect())
    }

    /// What it takes to reach the goal.
    pub(crate) async fn plan(&mut self, goal: Goal) -> Result<Vec<Done>, Failed> {
        let standing = self.standing().await?;
        for Standing { version, state, .. } in &standing {
            match *state {
                "changed" => return Err(Failed::Changed(*version)),
                "missing" => return Err(Failed::Missing(*version)),
                "failed" => return Err(Failed::Dirty(*version, self.table)),
                _ => {}
            }
        }
        let target = match goal {
            Goal::Latest => i64::MAX,
            Goal::Version(0) => 0,
            Goal::Version(version) if self.steps.iter().any(|it| it.version == version) => version,
            Goal::Version(version) => return Err(Failed::NoSuch(version)),
        };
        let is_done = |step: &&Step| {
            standing.iter().any(|it| it.version == step.version && it.state == "done")
        };
        let done = |step: &Step, up: bool, script: &str| Done {
            version: step.version,
            name: step.name.clone(),
            up,
            script: script.to_owned(),
        };
        let mut plan = Vec::new();
        for step in self.steps.iter().rev().filter(|it| it.version > target).filter(is_done) {
            let script = step.down.as_deref().ok_or(Failed::NoWayBack(step.version))?;
            plan.push(done(step, false, script));
        }
        for step in self.steps.iter().filter(|it| it.version <= target && !is_done(it)) {
            plan.push(done(step, true, &step.up));
        }
        Ok(plan)
    }

    /// Reaches the goal, and gives what was done for it.
    pub(crate) async fn reach(&mut self, goal: Goal) -> Result<Vec<Done>, Failed> {
        let plan = self.plan(goal).await?;
        for done in &plan {
            self.carry_out(done).await?;
        }
        Ok(plan)
    }

    async fn carry_out(&mut self, done: &Done) -> Result<(), Failed> {
        let step = self.steps.iter().find(|it| it.version == done.version).cloned();
        let step = step.expect("plans are made of steps");
        // MySQL ends a transaction with each change of the schema: what was begun is noted first.
        let transactional = self.kind != Kind::MySql && !step.alone;
        if transactional {
            self.connection.execute("BEGIN").await?;
        } else if done.up {
            self.note(&step, false).await?;
        }
        let began = clock::mono();
        if let Err(failed) = self.run(done).await {
            if transactional {
                self.connection.execute("ROLLBACK").await.ok();
            }
            return Err(failed);
        }
        let nanos = i64::try_from(clock::mono().since(began).as_nanos()).unwrap_or(i64::MAX);
        match (done.up, transactional) {
            (true, true) => self.note(&step, true).await?,
            (true, false) => self.complete(step.version).await?,
            (false, _) => self.forget(step.version).await?,
        }
        if done.up {
            let statement = self.sql("UPDATE {table} SET execution_time = ? WHERE version = ?");
            sqlx::query(statement)
                .bind(nanos)
                .bind(step.version)
                .execute(&mut *self.connection)
                .await?;
        }
        if transactional {
            self.connection.execute("COMMIT").await?;
        }
        Ok(())
    }

    async fn run(&mut self, done: &Done) -> Result<(), Failed> {
        for (line, statement) in statements(&done.script) {
            let run = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
            self.connection.execute(run).await.map_err(|error| Failed::Statement {
                version: done.version,
                name: done.name.clone(),
                line,
                statement: statement.to_owned(),
                error,
            })?;
        }
        Ok(())
    }

    async fn note(&mut self, step: &Step, success: bool) -> Result<(), Failed> {
        let statement = match success {
            true => {
                "INSERT INTO {table} (version, description, success, checksum, execution_time) \
                 VALUES (?, ?, TRUE, ?, -1)"
            }
            false => {
                "INSERT INTO {table} (version, description, success, checksum, execution_time) \
                 VALUES (?, ?, FALSE, ?, -1)"
            }
        };
        sqlx::query(self.sql(statement))
            .bind(step.version)
            .bind(&step.name)
            .bind(step.checksum.clone())
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    async fn complete(&mut self, version: i64) -> Result<(), Failed> {
        let statement = self.sql("UPDATE {table} SET success = TRUE WHERE version = ?");
        sqlx::query(statement).bind(version).execute(&mut *self.connection).await?;
        Ok(())
    }

    async fn forget(&mut self, version: i64) -> Result<(), Failed> {
        let statement = self.sql("DELETE FROM {table} WHERE version = ?");
        sqlx::query(statement).bind(version).execute(&mut *self.connection).await?;
        Ok(())
    }

    /// A statement about the table of what was done.
    fn sql(&self, statement: &str) -> SqlStr {
        let statement = statement.replace("{table}", self.table);
        AssertSqlSafe(match self.kind {
            Kind::Postgres => numbered(&statement),
            _ => statement,
        })
        .into_sql_str()
    }
}
