//! Several Redis servers that belong together: one with a replica and sentinels over both, and a cluster.

use super::process::Server;
use super::redis::{REDIS_PASSWORD, Redis, ask};
use super::{find, missing};
use crate::harness::{free_port, poll};
use std::process::Command;
use std::time::Duration;

/// Time that servers have to find each other.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, its replica, and three sentinels who have no password.
#[derive(Debug)]
pub struct WatchedRedis {
    server: Redis,
    replica: Redis,
    /// With the ports.
    sentinels: Vec<(u16, Server)>,
    _directory: tempfile::TempDir,
}

impl WatchedRedis {
    /// Starts them; `None` where Redis is not installed.
    ///
    /// # Panics
    /// When they do not start, or do not find each other.
    #[must_use]
    pub fn start() -> Option<WatchedRedis> {
        let auth = ["--masterauth", REDIS_PASSWORD].map(str::to_owned);
        let server = Redis::start_with(&auth)?;
        let mut more = auth.to_vec();
        more.extend(["--replicaof".to_owned(), format!("127.0.0.1 {}", server.port())]);
        let replica = Redis::start_with(&more)?;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let sentinels = (0..3).map(|_| sentinel(directory.path(), server.port())).collect();
        let watched = WatchedRedis { server, replica, sentinels, _directory: directory };
        let ready = poll(PATIENCE, || watched.is_ready().then_some(()));
        assert!(ready.is_some(), "the sentinels do not find each other and the replica");
        Some(watched)
    }

    fn is_ready(&self) -> bool {
        let synced = self.replica.ask(&["INFO", "replication"]);
        let knows = |port: u16| ask(port, &["INFO", "sentinel"]).unwrap_or_default();
        synced.contains("master_link_status:up")
            && self.sentinels.iter().all(|(port, _)| knows(*port).contains("slaves=1,sentinels=3"))
    }

    /// Their address; the first sentinel of it is none.
    #[must_use]
    pub fn url(&self) -> String {
        let ports = self.sentinels.iter().map(|(port, _)| *port);
        let all: Vec<_> = std::iter::once(free_port()).chain(ports).collect();
        let all: Vec<_> = all.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://:{REDIS_PASSWORD}@{}/mymaster?db=1", all.join(","))
    }

    /// Ends the server that takes writes.
    pub fn stop_server(&mut self) {
        self.server.stop();
    }

    /// What the replica answers to a command.
    pub fn ask_replica(&self, command: &[&str]) -> String {
        self.replica.ask(command)
    }
}

fn sentinel(directory: &std::path::Path, server: u16) -> (u16, Server) {
    let port = free_port();
    let file = directory.join(format!("{port}.conf"));
    let text = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor mymaster 127.0.0.1 {server} 2\n\
         sentinel auth-pass mymaster {REDIS_PASSWORD}\n\
         sentinel down-after-milliseconds mymaster 2000\n\
         sentinel failover-timeout mymaster 3000\n",
        directory.display()
    );
    std::fs::write(&file, text).expect("a new directory is writable");
    let mut command = Command::new(find("redis-server").expect("it runs already"));
    command.arg(&file).arg("--sentinel");
    let mut started = Server::start(command, directory.join(format!("{port}.log")));
    started.wait(|| ask(port, &["PING"]).is_some_and(|it| it == "PONG"));
    (port, started)
}

/// A cluster of three nodes.
#[derive(Debug)]
pub struct RedisCluster(Vec<Redis>);

impl RedisCluster {
    /// Starts it; `None` where Redis is not installed.
    ///
    /// # Panics
    /// When it does not come about.
    #[must_use]
    pub fn start() -> Option<RedisCluster> {
        let Some(program) = find("redis-cli") else {
            missing("redis-cli");
            return None;
        };
        let node = |_| {
            let bus = free_port().to_string();
            let words = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
            let words = words.into_iter().chain(["--cluster-port", &bus]);
            Redis::start_with(&words.map(str::to_owned).collect::<Vec<_>>())
        };
        let nodes: Vec<Redis> = (0..3).map(node).collect::<Option<_>>()?;
        let mut command = Command::new(program);
        command.args(["--no-auth-warning", "-a", REDIS_PASSWORD, "--cluster-yes"]);
        command.args(["--cluster", "create"]);
        command.args(nodes.iter().map(|it| format!("127.0.0.1:{}", it.port())));
        let output = command.output().expect("it is a program");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let cluster = RedisCluster(nodes);
        cluster.wait();
        Some(cluster)
    }

    fn wait(&self) {
        let ready = poll(PATIENCE, || {
            let is = |it: &Redis| it.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
            self.0.iter().all(is).then_some(())
        });
        assert!(ready.is_some(), "there is no cluster");
    }

    /// Its address, by two of its nodes.
    #[must_use]
    pub fn url(&self) -> String {
        let [one, other] = [&self.0[0], &self.0[1]].map(Redis::port);
        format!("redis+cluster://:{REDIS_PASSWORD}@127.0.0.1:{one},127.0.0.1:{other}")
    }

    /// What each node answers to a command.
    #[must_use]
    pub fn ask_each(&self, command: &[&str]) -> Vec<String> {
        self.0.iter().map(|it| it.ask(command)).collect()
    }

    /// What a node answers to a command.
    #[must_use]
    pub fn ask(&self, node: usize, command: &[&str]) -> String {
        self.0[node].ask(command)
    }

    /// Ends a node.
    pub fn stop(&mut self, node: usize) {
        self.0[node].stop();
    }

    /// Starts it again, and waits until it is one of them.
    pub fn start_again(&mut self, node: usize) {
        self.0[node].start_again();
        self.wait();
    }
}
