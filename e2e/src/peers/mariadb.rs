//! A MariaDB server of its own.

use super::process::{Server, User};
use super::{find, missing};
use crate::harness::free_port;
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A MariaDB server; its user is `shop` with the password `hunter2`, its database `shop`.
#[derive(Debug)]
pub struct MariaDb {
    server: Server,
    user: User,
    program: PathBuf,
    port: u16,
    connections: u32,
    directory: tempfile::TempDir,
}

impl MariaDb {
    /// Starts one that takes so many connections; `None` where MariaDB is not installed.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(connections: u32) -> Option<MariaDb> {
        let (Some(program), Some(install)) = (find("mariadbd"), find("mariadb-install-db")) else {
            missing("MariaDB");
            return None;
        };
        let directory = tempfile::Builder::new().prefix("e2e-mariadb-").tempdir();
        let directory = directory.expect("a temporary directory");
        let user = User::named("mysql");
        user.own(directory.path());
        let mut make = user.command(&install);
        make.arg("--no-defaults")
            .arg(format!("--datadir={}", directory.path().join("data").display()));
        make.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        let made = make.output().expect("mariadb-install-db can be started");
        assert!(made.status.success(), "mariadb-install-db: {made:?}");
        let port = free_port();
        let server = MariaDb::run(&user, &program, directory.path(), port, connections);
        let mut mariadb = MariaDb { server, user, program, port, connections, directory };
        mariadb.wait();
        mariadb.sql("CREATE DATABASE shop");
        mariadb.sql("CREATE USER shop@'%' IDENTIFIED BY 'hunter2'");
        mariadb.sql("GRANT ALL ON *.* TO shop@'%'");
        // What may write though nobody may would hide a server that is read-only.
        mariadb.sql("REVOKE SUPER, READ ONLY ADMIN ON *.* FROM shop@'%'");
        Some(mariadb)
    }

    fn run(user: &User, program: &Path, directory: &Path, port: u16, connections: u32) -> Server {
        let mut command = user.command(program);
        command.arg("--no-defaults");
        command.arg(format!("--datadir={}", directory.join("data").display()));
        command.arg(format!("--socket={}", directory.join("socket").display()));
        command.arg(format!("--pid-file={}", directory.join("pid").display()));
        command.arg(format!("--port={port}")).arg(format!("--max-connections={connections}"));
        command.args(["--bind-address=127.0.0.1", "--skip-log-bin", "--skip-name-resolve"]);
        command.args(["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M"]);
        Server::start(command, directory.join("server.log"))
    }

    fn wait(&mut self) {
        let socket = self.directory.path().join("socket");
        self.server.wait(|| {
            let mut ask = client(&socket, "SELECT 1");
            ask.output().is_ok_and(|output| output.status.success())
        });
    }

    /// The URL of its database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mysql://shop:hunter2@127.0.0.1:{}/shop", self.port)
    }

    /// A database of its own on it, by a name that no other test uses; its URL.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn database(&self, name: &str) -> String {
        self.sql(&format!("CREATE DATABASE {name}"));
        format!("mysql://shop:hunter2@127.0.0.1:{}/{name}", self.port)
    }

    /// Runs a statement as root and gives what it prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn sql(&self, statement: &str) -> String {
        let socket = self.directory.path().join("socket");
        let Output { status, stdout, stderr } =
            client(&socket, statement).output().expect("a client");
        assert!(status.success(), "{statement}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8_lossy(&stdout).trim().to_owned()
    }

    /// Occupies a connection for so many seconds.
    ///
    /// # Panics
    /// When the client cannot be started.
    #[must_use]
    pub fn occupy(&self, seconds: u32) -> Child {
        let mut client = Command::new("mariadb");
        client.args([
            "--no-defaults",
            "--protocol=tcp",
            "-h",
            "127.0.0.1",
            "-u",
            "shop",
            "-phunter2",
        ]);
        client.args(["-P", &self.port.to_string(), "-e", &format!("SELECT sleep({seconds})")]);
        client
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the client can be started")
    }

    /// Stops all of its processes where they are.
    pub fn freeze(&self) {
        self.server.freeze();
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.server.thaw();
    }

    /// Shuts it down.
    pub fn stop(&mut self) {
        self.server.end(Signal::TERM);
    }

    /// Starts it again on the same port and data.
    pub fn start_again(&mut self) {
        let directory = self.directory.path();
        self.server =
            MariaDb::run(&self.user, &self.program, directory, self.port, self.connections);
        self.wait();
    }
}

/// The client as root, over the socket, which does not count among the connections.
fn client(socket: &Path, statement: &str) -> Command {
    let mut client = Command::new("mariadb");
    client.args(["--no-defaults", "-u", "root", "-N", "-B", "-e", statement]);
    client.arg(format!("--socket={}", socket.display()));
    client
}
