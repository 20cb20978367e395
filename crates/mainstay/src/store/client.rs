//! The protocol, by the crate `redis`, and what goes wrong with it.

use super::sentinel::Sentinels;
use super::{nodes, spread};
use crate::limits::address::{Address, Place};
use crate::limits::question::{Item, Order, Question, Reply};
use redis::aio::MultiplexedConnection;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ErrorKind, FromRedisValue, IntoConnectionInfo as _,
    RedisConnectionInfo, RedisError, Script, ServerErrorKind,
};
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// What decides, with its hash, by which the server knows it.
static DECIDE: LazyLock<Script> = LazyLock::new(|| Script::new(DECIDE_TEXT));
const DECIDE_TEXT: &str = include_str!("decide.lua");

/// Writes and reads, as decisions do: a server that may only be read, or is full, does not count.
const TRY_OUT: &str = "redis.call('SET', KEYS[1], 1, 'PX', 1000) return redis.call('TIME')[1]";
pub(super) const TRY_OUT_KEY: &str = "MAINSTAY:TRY";
/// How often a cluster is asked again, at a node that it names, or after a moment.
const RETRIES: u32 = 1;

/// Why the store has not decided.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// The connection was not there in time.
    Connecting,
    /// No answer within this time.
    Late(Duration),
    /// An answer of something else.
    NoAnswer,
    /// It cannot be spoken to.
    None(String),
    /// The connection was closed.
    Closed(Arc<RedisError>),
    /// It said so, or could not be reached.
    Said(Arc<RedisError>),
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Trouble {
        match error.is_connection_dropped() || error.is_io_error() {
            true => Trouble::Closed(Arc::new(error)),
            false => Trouble::Said(Arc::new(error)),
        }
    }
}

impl Trouble {
    /// With who had it.
    pub(super) fn of(self, who: &str) -> Trouble {
        Trouble::None(format!("{who}: {self}"))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Connecting => f.write_str("no connection in time"),
            Trouble::Late(time) => write!(f, "no answer within {} ms", time.as_millis()),
            Trouble::NoAnswer => f.write_str("it answers what is none"),
            Trouble::None(why) => f.write_str(why),
            Trouble::Closed(error) | Trouble::Said(error) => write!(f, "{error}"),
        }
    }
}

/// Who makes connections.
pub(super) enum Client {
    One(redis::Client),
    Sentinels(Sentinels),
    Cluster(Box<ClusterClient>),
}

impl Client {
    /// For the server at this address.
    ///
    /// # Errors
    /// Why it cannot be spoken to.
    pub(super) fn new(address: &Address) -> Result<Client, String> {
        Client::of(address).map_err(|error| format!("limits.storage cannot be used: {error}"))
    }

    fn of(address: &Address) -> Result<Client, RedisError> {
        let mut login = RedisConnectionInfo::default().set_db(address.db);
        if let Some(user) = &address.user {
            login = login.set_username(user);
        }
        if let Some(password) = &address.password {
            login = login.set_password(password);
        }
        let one = |place: ConnectionAddr| {
            let info = place.into_connection_info()?.set_redis_settings(login.clone());
            redis::Client::open(info).map(Client::One)
        };
        match &address.place {
            Place::Tcp { host, port, tls } => one(server(host, *port, *tls)),
            Place::Unix(path) => one(ConnectionAddr::Unix(path.into())),
            Place::Sentinel { hosts, service, tls } => {
                Ok(Client::Sentinels(Sentinels::new(hosts, service, *tls, login)))
            }
            Place::Cluster { hosts, tls } => {
                // The others are spoken to as the first is.
                let nodes = hosts.iter().map(|(host, port)| {
                    let info = server(host, *port, *tls).into_connection_info()?;
                    Ok(info.set_redis_settings(login.clone()))
                });
                let nodes: Vec<_> = nodes.collect::<Result<_, RedisError>>()?;
                let builder = ClusterClientBuilder::new(nodes).retries(RETRIES);
                builder.build().map(|client| Client::Cluster(Box::new(client)))
            }
        }
    }

    pub(super) async fn connect(&self) -> Result<Connection, Trouble> {
        match self {
            Client::One(client) => open(client).await.map(Connection::One),
            Client::Sentinels(sentinels) => sentinels.connect().await.map(Connection::One),
            Client::Cluster(client) => Ok(Connection::Many(client.get_async_connection().await?)),
        }
    }
}

/// How a server is reached.
pub(super) fn server(host: &str, port: u16, tls: bool) -> ConnectionAddr {
    let host = host.to_owned();
    match tls {
        true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        false => ConnectionAddr::Tcp(host, port),
    }
}

/// A connection to this server.
pub(super) async fn open(client: &redis::Client) -> Result<MultiplexedConnection, Trouble> {
    // Whoever waits says for how long.
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

/// A connection that several use at once.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    /// Those to the nodes of a cluster.
    Many(ClusterConnection),
}

impl Connection {
    /// What the store decides.
    pub(super) async fn decide(&self, question: &Question) -> Result<Reply, Trouble> {
        match self {
            Connection::Many(_) if question.items.len() > 1 => spread::decide(self, question).await,
            _ => self.clone().run(question.order, &question.items).await,
        }
    }

    /// What the script says of these. A server that does not know it is told it.
    pub(super) async fn run(&mut self, order: Order, items: &[Item]) -> Result<Reply, Trouble> {
        let by_hash = self.send(&call("EVALSHA", DECIDE.get_hash(), order, items)).await;
        let numbers: Vec<i64> = match by_hash {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.send(&call("EVAL", DECIDE_TEXT, order, items)).await?
            }
            said => said?,
        };
        Reply::read(&numbers, items.len()).ok_or(Trouble::NoAnswer)
    }

    pub(super) async fn send<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, RedisError> {
        match self {
            Connection::One(it) => command.query_async(it).await,
            Connection::Many(it) => command.query_async(it).await,
        }
    }

    /// Whether it is there: of a cluster, each node that takes writes.
    pub(super) async fn ping(&mut self) -> Result<(), Trouble> {
        let _: redis::Value = self.send(&redis::cmd("PING")).await?;
        Ok(())
    }

    /// Whether it does what decisions need: of a cluster, each node.
    pub(super) async fn try_out(&mut self) -> Result<(), Trouble> {
        match self {
            Connection::One(_) => try_out(self, TRY_OUT_KEY).await,
            Connection::Many(_) => {
                self.ping().await?;
                nodes::try_each(self).await
            }
        }
    }
}

/// Whether the server that has this key does.
pub(super) async fn try_out(open: &mut Connection, key: &str) -> Result<(), Trouble> {
    let mut command = redis::cmd("EVAL");
    command.arg(TRY_OUT).arg(1).arg(key);
    let _: i64 = open.send(&command).await?;
    Ok(())
}

fn call(command: &str, script: &str, order: Order, items: &[Item]) -> Cmd {
    let mut command = redis::cmd(command);
    command.arg(script).arg(items.len() * 2);
    for item in items {
        command.arg(&item.keys()[..]);
    }
    command.arg(order.as_str());
    for item in items {
        command.arg(&item.arguments()[..]);
    }
    command
}
