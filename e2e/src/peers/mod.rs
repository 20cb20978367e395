//! The real things that services meet: started by the test that wants one, on loopback and a free port,
//! in a directory of their own, and gone with it.
//!
//! One that is not installed is a skip that is printed, and a failure where `CI` is set.

mod alertmanager;
mod balancer;
mod bugsink;
mod collector;
mod crowdsec;
mod endpoint;
mod fail2ban;
mod hook;
mod inbox;
mod kent;
mod mail;
mod mariadb;
mod monitor;
mod opensearch;
mod postbox;
mod postgres;
mod process;
mod prometheus;
mod protoc;
mod python;
mod redis;
mod redis_groups;
mod redis_tls;
mod relay;
mod rsyslog;
mod statsd;
mod test_agent;
mod tls;
mod world;

pub use alertmanager::Alertmanager;
pub use balancer::{Balancer, Follows};
pub use bugsink::Bugsink;
pub use collector::{Collector, SILENCE, Total};
pub use crowdsec::crowdsec;
pub use endpoint::{LogEndpoint, Mood};
pub use fail2ban::fail2ban;
pub use hook::{Hook, Message};
pub use kent::Kent;
pub use mail::MailServer;
pub use mariadb::MariaDb;
pub use monitor::Monitor;
pub use opensearch::OpenSearch;
pub use postbox::{Postbox, Posted};
pub use postgres::Postgres;
pub(crate) use process::Server;
pub use prometheus::{
    Prometheus, Read, openmetrics, promtool, promtool_blocks, promtool_rules, promtool_test,
};
pub use protoc::protoc;
pub use python::python;
pub use redis::{REDIS_PASSWORD, Redis};
pub use redis_groups::{RedisCluster, WatchedRedis};
pub use redis_tls::TlsRedis;
pub use relay::Relay;
pub use rsyslog::Rsyslog;
pub use statsd::{Navdoon, Statsd};
pub use test_agent::TestAgent;
pub use tls::TlsServer;
pub use world::World;

use std::path::{Path, PathBuf};

/// A program, by its name, in the usual places.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    directories().map(|directory| directory.join(name)).find(|it| is_program(it))
}

fn directories() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).collect::<Vec<_>>().into_iter().chain(usual)
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

/// Says that a peer is missing.
///
/// # Panics
/// In CI, where none may be.
pub fn missing(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what} is not installed, and CI must have it");
    #[expect(clippy::print_stderr, reason = "a skip is to be seen")]
    {
        eprintln!("[e2e] skipped: {what} is not installed");
    }
}
