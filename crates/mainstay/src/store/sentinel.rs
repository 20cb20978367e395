//! Sentinels, who know which server takes writes: asked whenever a connection is made, so that after a fail-over
//! it is the new one's. All at once, and the first who names a server that takes writes is believed: however many of
//! them are silent, that takes no longer than one takes.

use super::client::{Trouble, open, server};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{Client, ErrorKind, RedisConnectionInfo};
use std::time::Duration;
use tokio::time::timeout;

/// How long one sentinel, and the server that it names, may take.
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
    /// How long one of them may take.
    each: Duration,
}

impl Sentinels {
    pub(super) fn new(
        hosts: &[(String, u16)],
        service: &str,
        tls: bool,
        login: RedisConnectionInfo,
    ) -> Sentinels {
        let (hosts, service) = (hosts.to_vec(), service.to_owned());
        let each = if tls { EACH_TLS } else { EACH };
        Sentinels { hosts, service, tls, login, each }
    }

    /// A connection to the server that takes writes.
    ///
    /// # Errors
    /// What the last sentinel said that said anything, or that none did.
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, Trouble> {
        let each = self.each;
        let ask = |(host, port): &'_ (String, u16)| {
            let (host, port) = (host.clone(), *port);
            async move {
                let said = timeout(each, self.by(&host, port)).await;
                let said = said.unwrap_or(Err(Trouble::Late(each)));
                let is_silent = matches!(said, Err(Trouble::Late(_)));
                said.map_err(|it| (is_silent, it.of(&format!("sentinel {host}:{port}"))))
            }
        };
        let mut asked: FuturesUnordered<_> = self.hosts.iter().map(ask).collect();
        let mut last = None;
        while let Some(said) = asked.next().await {
            match said {
                Ok(connection) => return Ok(connection),
                // Who is silent says less than anybody else.
                Err((true, _)) if last.is_some() => {}
                Err((_, trouble)) => last = Some(trouble),
            }
        }
        Err(last.unwrap_or(Trouble::Connecting))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    fn listen() -> (TcpListener, (String, u16)) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, ("127.0.0.1".to_owned(), port))
    }

    /// The words of the next command; `None` when nobody asks any more.
    fn command(reader: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
        let mut line = || {
            let mut line = String::new();
            let read = reader.read_line(&mut line).ok()?;
            (read > 0).then_some(line)
        };
        let count: usize = line()?.trim().strip_prefix('*')?.parse().ok()?;
        let mut words = Vec::new();
        for _ in 0..count {
            let mut length = String::new();
            reader.read_line(&mut length).ok()?;
            let mut word = vec![0; length.trim().strip_prefix('$')?.parse::<usize>().ok()? + 2];
            reader.read_exact(&mut word).ok()?;
            words.push(String::from_utf8_lossy(&word).trim().to_owned());
        }
        Some(words)
    }

    /// A sentinel that names itself, and says so of itself: `role` is what it is.
    fn speaks(role: &'static str) -> (String, u16) {
        let (listener, host) = listen();
        let port = host.1;
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    while let Some(words) = command(&mut reader) {
                        let port = port.to_string();
                        let said = match &*words[0] {
                            "SENTINEL" => {
                                format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len())
                            }
                            "ROLE" => format!("*1\r\n${}\r\n{role}\r\n", role.len()),
                            _ => "+OK\r\n".to_owned(),
                        };
                        if reader.get_mut().write_all(said.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        host
    }

    /// With so much time for each that the load of a machine does not matter to who speaks.
    const AMPLE: Duration = Duration::from_secs(5);

    fn connect(hosts: &[(String, u16)], each: Duration) -> (Result<(), String>, Duration) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let login = RedisConnectionInfo::default();
        let sentinels = Sentinels { each, ..Sentinels::new(hosts, "limits", false, login) };
        let begun = clock::mono();
        let said = runtime.block_on(async { sentinels.connect().await });
        (said.map(|_| ()).map_err(|trouble| trouble.to_string()), clock::mono().since(begun))
    }

    #[test]
    fn however_many_are_silent_or_behind_the_one_who_knows_is_heard() {
        // Their connections are made by the kernel and taken by nobody.
        let silent: Vec<_> = (0..6).map(|_| listen()).collect();
        let mut hosts: Vec<_> = silent.iter().map(|(_, host)| host.clone()).collect();
        hosts.push(speaks("slave"));
        hosts.push(speaks("master"));
        let (said, took) = connect(&hosts, AMPLE);
        assert_eq!(said, Ok(()));
        assert!(took < AMPLE, "{took:?}");
    }

    #[test]
    fn when_all_are_silent_it_takes_as_long_as_one_takes() {
        let silent: Vec<_> = (0..6).map(|_| listen()).collect();
        let hosts: Vec<_> = silent.iter().map(|(_, host)| host.clone()).collect();
        let (said, took) = connect(&hosts, EACH);
        let error = said.unwrap_err();
        assert!(error.ends_with("no answer within 300 ms"), "{error}");
        assert!((EACH..6 * EACH).contains(&took), "{took:?}");
        let (said, _) = connect(&[speaks("slave")], AMPLE);
        let error = said.unwrap_err();
        assert!(error.contains("which takes no writes"), "{error}");
    }
}
