//! Sentinels, who know which server takes writes: asked whenever a connection is made, so that after a fail-over
//! it is the new one's.

use super::client::{Trouble, open, server};
use redis::aio::MultiplexedConnection;
use redis::{Client, ErrorKind, RedisConnectionInfo};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// How long one sentinel, and the server that it names, may take: another may know better.
const EACH: Duration = Duration::from_millis(300);
/// The same with TLS, which takes twice the round trips.
const EACH_TLS: Duration = Duration::from_millis(600);

/// The sentinels of a service.
#[derive(Debug)]
pub(super) struct Sentinels {
    hosts: Vec<(String, u16)>,
    service: String,
    /// They and the servers are spoken to with TLS.
    tls: bool,
    login: RedisConnectionInfo,
    /// The one to ask first: the last that knew.
    first: AtomicUsize,
}

impl Sentinels {
    pub(super) fn new(
        hosts: &[(String, u16)],
        service: &str,
        tls: bool,
        login: RedisConnectionInfo,
    ) -> Sentinels {
        let (hosts, service) = (hosts.to_vec(), service.to_owned());
        Sentinels { hosts, service, tls, login, first: AtomicUsize::new(0) }
    }

    /// A connection to the server that takes writes.
    ///
    /// # Errors
    /// What the last sentinel said, or why it did not.
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, Trouble> {
        let mut last = Trouble::Connecting;
        let each = if self.tls { EACH_TLS } else { EACH };
        for _ in &self.hosts {
            let at = self.first.load(Ordering::Relaxed);
            let (host, port) = &self.hosts[at % self.hosts.len()];
            // Noted before it is known: whoever waits for this may give up.
            self.first.store(at.wrapping_add(1), Ordering::Relaxed);
            match timeout(each, self.by(host, *port)).await.unwrap_or(Err(Trouble::Late(each))) {
                Ok(connection) => {
                    self.first.store(at, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(trouble) => last = trouble.of(&format!("sentinel {host}:{port}")),
            }
        }
        Err(last)
    }

    /// A connection to the server that this sentinel names, if it says itself that it takes writes.
    async fn by(&self, host: &str, port: u16) -> Result<MultiplexedConnection, Trouble> {
        let mut sentinel = self.ask(host, port).await?;
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.service);
        let named: Option<(String, u16)> = command.query_async(&mut sentinel).await?;
        let named = named.ok_or_else(|| Trouble::None(format!("knows no {}", self.service)))?;
        let mut server = open(&self.client(&named.0, named.1, self.login.clone())?).await?;
        let role: redis::Value = redis::cmd("ROLE").query_async(&mut server).await?;
        match role.as_sequence().and_then(|it| it.first()) {
            Some(redis::Value::BulkString(it)) if it == b"master" => Ok(server),
            _ => {
                Err(Trouble::None(format!("names {}:{}, which takes no writes", named.0, named.1)))
            }
        }
    }

    /// A connection to a sentinel, with the servers' password, or without where it has none.
    async fn ask(&self, host: &str, port: u16) -> Result<MultiplexedConnection, Trouble> {
        let login = self.login.clone().set_db(0);
        match open(&self.client(host, port, login)?).await {
            Err(Trouble::Said(error)) if error.kind() == ErrorKind::AuthenticationFailed => {
                open(&self.client(host, port, RedisConnectionInfo::default())?).await
            }
            said => said,
        }
    }

    fn client(&self, host: &str, port: u16, login: RedisConnectionInfo) -> Result<Client, Trouble> {
        use redis::IntoConnectionInfo as _;
        let info = server(host, port, self.tls).into_connection_info()?;
        Ok(Client::open(info.set_redis_settings(login))?)
    }
}
