//! A PostgreSQL server of its own.

use super::process::{Server, User};
use super::{directories, is_program, missing};
use crate::harness::free_port;
use rustix::process::Signal;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

/// A PostgreSQL server; its one user is `shop`, its database `postgres`.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    user: User,
    programs: PathBuf,
    port: u16,
    connections: u32,
    directory: tempfile::TempDir,
}

impl Postgres {
    /// Starts one that takes so many connections; `None` where PostgreSQL is not installed.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(connections: u32) -> Option<Postgres> {
        let Some(programs) = programs() else {
            missing("PostgreSQL");
            return None;
        };
        let directory = tempfile::Builder::new().prefix("e2e-postgres-").tempdir();
        let directory = directory.expect("a temporary directory");
        let user = User::named("postgres");
        user.own(directory.path());
        let mut initdb = user.command(&programs.join("initdb"));
        initdb.args([
            "--auth=trust",
            "--username=shop",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
        ]);
        let made = initdb.arg("-D").arg(directory.path().join("data")).output();
        let made = made.expect("initdb can be started");
        assert!(made.status.success(), "initdb: {made:?}");
        let port = free_port();
        let server = Postgres::run(&user, &programs, directory.path(), port, connections);
        let mut postgres = Postgres { server, user, programs, port, connections, directory };
        postgres.wait();
        Some(postgres)
    }

    fn run(
        user: &User,
        programs: &std::path::Path,
        directory: &std::path::Path,
        port: u16,
        connections: u32,
    ) -> Server {
        let mut command = user.command(&programs.join("postgres"));
        command.arg("-D").arg(directory.join("data")).args(["-p", &port.to_string()]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        command.args(["-c", &format!("unix_socket_directories={}", directory.display())]);
        command.args(["-c", &format!("max_connections={connections}")]);
        command.args(["-c", "superuser_reserved_connections=1", "-c", "max_wal_senders=0"]);
        Server::start(command, directory.join("server.log"))
    }

    fn wait(&mut self) {
        let (programs, port) = (self.programs.clone(), self.port);
        self.server.wait(|| {
            let mut ready = Command::new(programs.join("pg_isready"));
            ready.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
            ready.status().is_ok_and(|status| status.success())
        });
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://shop@127.0.0.1:{}/postgres", self.port)
    }

    /// A database of its own on it, by a name that no other test uses; its URL.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn database(&self, name: &str) -> String {
        self.sql(&format!("CREATE DATABASE {name}"));
        format!("postgres://shop@127.0.0.1:{}/{name}", self.port)
    }

    /// Runs a statement and gives what it prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn sql(&self, statement: &str) -> String {
        let Output { status, stdout, stderr } = self.psql(statement).output().expect("psql");
        assert!(status.success(), "{statement}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8_lossy(&stdout).trim().to_owned()
    }

    /// Occupies a connection for so many seconds.
    ///
    /// # Panics
    /// When psql cannot be started.
    #[must_use]
    pub fn occupy(&self, seconds: u32) -> Child {
        let mut psql = self.psql(&format!("SELECT pg_sleep({seconds})"));
        psql.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("psql can be started")
    }

    fn psql(&self, statement: &str) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-A", "-t", "-h", "127.0.0.1", "-U", "shop", "-d", "postgres"]);
        psql.args(["-p", &self.port.to_string(), "-c", statement]);
        psql
    }

    /// Stops all of its processes where they are.
    pub fn freeze(&self) {
        self.server.freeze();
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.server.thaw();
    }

    /// Shuts it down at once.
    pub fn stop(&mut self) {
        self.server.end(Signal::QUIT);
    }

    /// Starts it again on the same port and data.
    pub fn start_again(&mut self) {
        let directory = self.directory.path();
        self.server =
            Postgres::run(&self.user, &self.programs, directory, self.port, self.connections);
        self.wait();
    }
}

/// The directory that has all of its programs: Debian's of the newest version, or one of the usual.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut places: Vec<PathBuf> = versions.map(|it| it.path().join("bin")).collect();
    places.sort();
    let all = ["initdb", "postgres", "pg_isready", "psql"];
    places
        .into_iter()
        .rev()
        .chain(directories())
        .find(|directory| all.iter().all(|name| is_program(&directory.join(name))))
}
