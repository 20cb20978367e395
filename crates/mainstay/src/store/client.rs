//! The protocol, by the crate `redis`, and what goes wrong with it.

use crate::limits::address::{Address, Place};
use crate::limits::question::Question;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo as _,
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
const TRY_OUT_KEY: &str = "MAINSTAY:TRY";

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
pub(super) struct Client(redis::Client);

impl Client {
    /// For the server at this address.
    ///
    /// # Errors
    /// Why it cannot be spoken to.
    pub(super) fn new(address: &Address) -> Result<Client, String> {
        let place = match &address.place {
            Place::Tcp { host, port, tls: false } => ConnectionAddr::Tcp(host.clone(), *port),
            Place::Tcp { host, port, tls: true } => {
                let (host, port) = (host.clone(), *port);
                ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
            }
            Place::Unix(path) => ConnectionAddr::Unix(path.into()),
        };
        let mut login = RedisConnectionInfo::default().set_db(address.db);
        if let Some(user) = &address.user {
            login = login.set_username(user);
        }
        if let Some(password) = &address.password {
            login = login.set_password(password);
        }
        let info = place.into_connection_info().map(|info| info.set_redis_settings(login));
        let client = info.and_then(redis::Client::open);
        client.map(Client).map_err(|error| format!("limits.storage cannot be used: {error}"))
    }

    pub(super) async fn connect(&self) -> Result<Connection, Trouble> {
        // Whoever waits says for how long.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connected = self.0.get_multiplexed_async_connection_with_config(&config).await;
        connected.map(Connection).map_err(Trouble::from)
    }

    /// A connection for commands, which may wait.
    pub(super) fn wait(&self, limit: Duration) -> Result<redis::Connection, Trouble> {
        let connection = self.0.get_connection_with_timeout(limit)?;
        connection.set_read_timeout(Some(limit))?;
        connection.set_write_timeout(Some(limit))?;
        Ok(connection)
    }
}

/// A connection that several use at once.
#[derive(Clone)]
pub(super) struct Connection(MultiplexedConnection);

impl Connection {
    /// The numbers that the script says. A server that does not know it is told it.
    pub(super) async fn decide(&mut self, question: &Question) -> Result<Vec<i64>, Trouble> {
        match by_hash(question).query_async(&mut self.0).await {
            Err(error) if is_unknown(&error) => {
                Ok(by_text(question).query_async(&mut self.0).await?)
            }
            said => Ok(said?),
        }
    }

    /// Whether it does what decisions need.
    pub(super) async fn try_out(&mut self) -> Result<(), Trouble> {
        let mut command = redis::cmd("EVAL");
        command.arg(TRY_OUT).arg(1).arg(TRY_OUT_KEY);
        let _: i64 = command.query_async(&mut self.0).await?;
        Ok(())
    }
}

/// As [`Connection::decide`], for commands.
pub(super) fn decide(
    connection: &mut redis::Connection,
    question: &Question,
) -> Result<Vec<i64>, Trouble> {
    match by_hash(question).query(connection) {
        Err(error) if is_unknown(&error) => Ok(by_text(question).query(connection)?),
        said => Ok(said?),
    }
}

fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

fn by_hash(question: &Question) -> Cmd {
    call("EVALSHA", DECIDE.get_hash(), question)
}

fn by_text(question: &Question) -> Cmd {
    call("EVAL", DECIDE_TEXT, question)
}

fn call(command: &str, script: &str, question: &Question) -> Cmd {
    let items = &question.items;
    let mut command = redis::cmd(command);
    command.arg(script).arg(items.len() * 2);
    for item in items {
        command.arg(&item.keys()[..]);
    }
    command.arg(question.order.as_str());
    for item in items {
        command.arg(&item.arguments()[..]);
    }
    command
}
