//! A Redis server that is spoken to with TLS, alone behind a sentinel or as a cluster of one, with a certificate of its
//! own. Tests ask it without.

use super::process::Server;
use super::redis::{REDIS_PASSWORD, Redis, ask};
use super::tls::make;
use super::{find, missing};
use crate::harness::{free_port, poll};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Time to be ready.
const PATIENCE: Duration = Duration::from_secs(60);
const OTHER: &str = "other.pem";

/// The server, and the sentinel if it has one.
#[derive(Debug)]
pub struct TlsRedis {
    redis: Redis,
    /// Where it takes TLS.
    port: u16,
    sentinel: Option<(u16, Server)>,
    directory: tempfile::TempDir,
}

impl TlsRedis {
    /// Starts one behind a sentinel; `None` where Redis or OpenSSL is not installed.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_watched() -> Option<TlsRedis> {
        let mut started = TlsRedis::start(&[])?;
        let (plain, port) = (free_port(), free_port());
        let words = |words: &[String]| {
            let pairs = words.chunks(2).map(|it| format!("{} {}", it[0].trim_matches('-'), it[1]));
            pairs.collect::<Vec<_>>().join("\n")
        };
        let text = format!(
            "port {plain}\nbind 127.0.0.1\ndir {}\n{}\n\
             sentinel monitor mymaster 127.0.0.1 {} 1\n\
             sentinel auth-pass mymaster {REDIS_PASSWORD}\n",
            started.directory.path().display(),
            words(&with_tls(started.directory.path(), port)),
            started.port,
        );
        let file = started.directory.path().join("sentinel.conf");
        std::fs::write(&file, text).expect("a new directory is writable");
        let mut command = Command::new(find("redis-server").expect("it runs already"));
        command.arg(&file).arg("--sentinel");
        let mut server = Server::start(command, started.directory.path().join("sentinel.log"));
        server.wait(|| {
            let said = ask(plain, &["INFO", "sentinel"]).unwrap_or_default();
            said.contains("name=mymaster,status=ok")
        });
        started.sentinel = Some((port, server));
        Some(started)
    }

    /// Starts one that is a cluster; `None` where Redis or OpenSSL is not installed.
    ///
    /// # Panics
    /// When it does not come about.
    #[must_use]
    pub fn start_cluster() -> Option<TlsRedis> {
        let bus = free_port().to_string();
        let words = ["--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-port", &bus];
        let started = TlsRedis::start(&words)?;
        let taken = started.redis.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
        assert_eq!(taken, "OK");
        let is_one = || started.redis.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
        let ready = poll(PATIENCE, || is_one().then_some(()));
        assert!(ready.is_some(), "there is no cluster");
        Some(started)
    }

    fn start(more: &[&str]) -> Option<TlsRedis> {
        let Some(openssl) = find("openssl") else {
            missing("OpenSSL");
            return None;
        };
        let directory = tempfile::Builder::new().prefix("e2e-redis-tls-").tempdir();
        let directory = directory.expect("a temporary directory");
        let [key, certificate] = files(directory.path());
        make(&openssl, (&key, &certificate), "127.0.0.1", 30);
        let other = directory.path().join(OTHER);
        make(&openssl, (&directory.path().join("other.key"), &other), "elsewhere", 30);
        let port = free_port();
        let mut words = with_tls(directory.path(), port);
        words.extend(more.iter().map(|it| (*it).to_owned()));
        let redis = Redis::start_with(&words)?;
        Some(TlsRedis { redis, port, sentinel: None, directory })
    }

    /// Its address: by its sentinel, or as a cluster.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.sentinel {
            Some((port, _)) => {
                format!("rediss+sentinel://:{REDIS_PASSWORD}@127.0.0.1:{port}/mymaster?db=1")
            }
            None => format!("rediss+cluster://:{REDIS_PASSWORD}@127.0.0.1:{}", self.port),
        }
    }

    /// The file of the certificate that all of it has.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        let [_, certificate] = files(self.directory.path());
        certificate
    }

    /// The file of a certificate that nothing of it has.
    #[must_use]
    pub fn other_certificate(&self) -> PathBuf {
        self.directory.path().join(OTHER)
    }

    /// What it answers to a command, as far as it is one line.
    pub fn ask(&self, command: &[&str]) -> String {
        self.redis.ask(command)
    }
}

fn files(directory: &Path) -> [PathBuf; 2] {
    ["key.pem", "cert.pem"].map(|it| directory.join(it))
}

/// Settings by which a server, or a sentinel, takes TLS on a port and speaks so to others.
fn with_tls(directory: &Path, port: u16) -> Vec<String> {
    let [key, certificate] = files(directory).map(|it| it.display().to_string());
    let port = port.to_string();
    let words = [
        ("--tls-port", &*port),
        ("--tls-cert-file", &certificate),
        ("--tls-key-file", &key),
        ("--tls-ca-cert-file", &certificate),
        ("--tls-auth-clients", "no"),
        ("--tls-replication", "yes"),
    ];
    words.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]).collect()
}
