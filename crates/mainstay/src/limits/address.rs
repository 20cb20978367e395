//! Where counts for several hosts are kept: addresses of a Redis as the Python package `limits` writes them.

use percent_encoding::percent_decode_str;
use std::fmt;

/// The port without another.
const PORT: u16 = 6_379;
/// That of a sentinel.
const SENTINEL_PORT: u16 = 26_379;

/// A Redis or Valkey. It may hold a password, which nothing shows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) place: Place,
    /// The number of the database.
    pub(crate) db: i64,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

/// How it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp {
        host: String,
        port: u16,
        /// With TLS.
        tls: bool,
    },
    /// The path of a socket.
    Unix(String),
    /// Sentinels, who know the server that takes writes.
    Sentinel {
        hosts: Vec<(String, u16)>,
        service: String,
        /// With TLS to sentinels and servers.
        tls: bool,
    },
    /// A cluster, by some of its nodes.
    Cluster {
        hosts: Vec<(String, u16)>,
        /// With TLS.
        tls: bool,
    },
}

impl Address {
    /// Reads an address; `None` where counts are kept here. What is refused is not repeated: it may hold a
    /// password.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn parse(text: &str) -> Result<Option<Address>, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("it is not a URL".to_owned());
        };
        // Flask-Limiter's users may have asked for the asynchronous client.
        let scheme = scheme.to_ascii_lowercase();
        let scheme = scheme.strip_prefix("async+").unwrap_or(&scheme);
        match scheme {
            "memory" => Ok(None),
            "redis" | "valkey" => Address::tcp(rest, false).map(Some),
            "rediss" | "valkeys" => Address::tcp(rest, true).map(Some),
            "unix" | "redis+unix" | "valkey+unix" => Address::unix(rest).map(Some),
            "redis+sentinel" | "valkey+sentinel" => Address::sentinel(rest, false).map(Some),
            "rediss+sentinel" | "valkeys+sentinel" => Address::sentinel(rest, true).map(Some),
            "redis+cluster" | "valkey+cluster" => Address::cluster(rest, false).map(Some),
            "rediss+cluster" | "valkeys+cluster" => Address::cluster(rest, true).map(Some),
            // Before "://" no password stands, but who knows what was meant.
            _ => Err("it is of no store that is known".to_owned()),
        }
    }

    fn tcp(rest: &str, tls: bool) -> Result<Address, String> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, password, host) = credentials(authority)?;
        let (host, port) = host_and_port(host, PORT)?;
        let host = if host.is_empty() { "localhost" } else { host };
        let place = Place::Tcp { host: host.to_owned(), port, tls };
        let address = Address { place, db: 0, user, password };
        address.with("db", path)?.with_all(query)
    }

    fn unix(rest: &str) -> Result<Address, String> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, password, host) = credentials(authority)?;
        if path.is_empty() || !host.is_empty() {
            return Err("it names no path, as in redis+unix:///run/redis.sock".to_owned());
        }
        let place = Place::Unix(format!("/{}", decoded(path)?));
        Address { place, db: 0, user, password }.with_all(query)
    }

    fn sentinel(rest: &str, tls: bool) -> Result<Address, String> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, password, hosts) = credentials(authority)?;
        let service = decoded(path.trim_end_matches('/'))?;
        if service.is_empty() {
            return Err("it names no service, as in redis+sentinel://host:26379/mymaster".into());
        }
        let place = Place::Sentinel { hosts: all_hosts(hosts, SENTINEL_PORT)?, service, tls };
        Address { place, db: 0, user, password }.with_all(query)
    }

    fn cluster(rest: &str, tls: bool) -> Result<Address, String> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, password, hosts) = credentials(authority)?;
        let place = Place::Cluster { hosts: all_hosts(hosts, PORT)?, tls };
        let address = Address { place, db: 0, user, password };
        match address.with("db", path)?.with_all(query)? {
            address if address.db != 0 => Err("a cluster has no databases".to_owned()),
            address => Ok(address),
        }
    }

    fn with_all(self, query: &str) -> Result<Address, String> {
        let pairs = query.split('&').filter(|it| !it.is_empty());
        pairs
            .map(|it| it.split_once('=').unwrap_or((it, "")))
            .try_fold(self, |address, (name, value)| address.with(name, value))
    }

    /// What a parameter says; an empty one says nothing.
    fn with(mut self, name: &str, value: &str) -> Result<Address, String> {
        let value = decoded(value)?;
        match name {
            _ if value.is_empty() => {}
            "db" => {
                let db = value.parse().ok().filter(|db| *db >= 0);
                self.db = db.ok_or_else(|| "its database is no number".to_owned())?;
            }
            "username" => self.user = Some(value),
            "password" => self.password = Some(value),
            // A secret may have slipped into the name.
            _ => return Err("it has a parameter other than db, username and password".to_owned()),
        }
        Ok(self)
    }

    /// Whether it is spoken to with TLS.
    pub(crate) fn tls(&self) -> bool {
        match self.place {
            Place::Tcp { tls, .. } | Place::Sentinel { tls, .. } | Place::Cluster { tls, .. } => {
                tls
            }
            Place::Unix(_) => false,
        }
    }
}

/// A host, and its port, or this one.
fn host_and_port(text: &str, port: u16) -> Result<(&str, u16), String> {
    let (host, said) = match text.strip_prefix('[') {
        Some(host) => match host.split_once(']') {
            Some((host, said)) => (host, said.strip_prefix(':').unwrap_or(said)),
            None => return Err("its \"[\" is not closed".to_owned()),
        },
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let port = match said {
        "" => port,
        said => said.parse().map_err(|_| "its port is none".to_owned())?,
    };
    Ok((host, port))
}

/// Hosts with commas between them.
fn all_hosts(text: &str, port: u16) -> Result<Vec<(String, u16)>, String> {
    let each = text.split(',').map(|it| match host_and_port(it.trim(), port)? {
        ("", _) => Err("it names no host".to_owned()),
        (host, port) => Ok((host.to_owned(), port)),
    });
    each.collect()
}

/// User, password, and what stands behind them.
type Credentials<'a> = (Option<String>, Option<String>, &'a str);

fn credentials(authority: &str) -> Result<Credentials<'_>, String> {
    let Some((said, host)) = authority.rsplit_once('@') else { return Ok((None, None, authority)) };
    let (user, password) = said.split_once(':').unwrap_or((said, ""));
    let some = |text: &str| Ok::<_, String>(Some(decoded(text)?).filter(|it| !it.is_empty()));
    Ok((some(user)?, some(password)?, host))
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| "it is not UTF-8".to_owned())
}

/// Without user and password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |host: &str, port: u16| match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        let all = |hosts: &[(String, u16)]| {
            let each = hosts.iter().map(|(host, port)| shown(host, *port));
            each.collect::<Vec<_>>().join(",")
        };
        match &self.place {
            Place::Tcp { host, port, .. } => f.write_str(&shown(host, *port))?,
            Place::Unix(path) => f.write_str(path)?,
            Place::Sentinel { hosts, service, .. } => write!(f, "{service} of {}", all(hosts))?,
            Place::Cluster { hosts, .. } => write!(f, "the cluster of {}", all(hosts))?,
        }
        if self.db == 0 { Ok(()) } else { write!(f, " (database {})", self.db) }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Address {
        Address::parse(text).unwrap().unwrap()
    }

    #[test]
    fn addresses_are_read_as_limits_writes_them() {
        let tcp = |host: &str, port, tls| Place::Tcp { host: host.to_owned(), port, tls };
        let cases = [
            ("redis://127.0.0.1", tcp("127.0.0.1", 6_379, false), 0, None, None),
            (
                "redis://:p%40ss@redis.internal:6380/3",
                tcp("redis.internal", 6_380, false),
                3,
                None,
                Some("p@ss"),
            ),
            ("valkeys://me:pass@[::1]:7000/", tcp("::1", 7_000, true), 0, Some("me"), Some("pass")),
            ("rediss://a:b:c@host", tcp("host", 6_379, true), 0, Some("a"), Some("b:c")),
            ("async+redis://localhost?db=2", tcp("localhost", 6_379, false), 2, None, None),
            ("redis+unix:///run/redis.sock", Place::Unix("/run/redis.sock".into()), 0, None, None),
            (
                "redis+unix://:pass@/run/r.sock?db=4",
                Place::Unix("/run/r.sock".into()),
                4,
                None,
                Some("pass"),
            ),
            (
                "unix:///r.sock?username=me&password=x",
                Place::Unix("/r.sock".into()),
                0,
                Some("me"),
                Some("x"),
            ),
            (
                "redis+sentinel://:pass@a:1, [::1],c/mymaster?db=2",
                Place::Sentinel {
                    hosts: vec![("a".into(), 1), ("::1".into(), 26_379), ("c".into(), 26_379)],
                    service: "mymaster".into(),
                    tls: false,
                },
                2,
                None,
                Some("pass"),
            ),
            (
                "valkey+cluster://me:pass@a:7000,b",
                Place::Cluster {
                    hosts: vec![("a".into(), 7_000), ("b".into(), 6_379)],
                    tls: false,
                },
                0,
                Some("me"),
                Some("pass"),
            ),
            (
                "rediss+sentinel://a/m",
                Place::Sentinel {
                    hosts: vec![("a".into(), 26_379)],
                    service: "m".into(),
                    tls: true,
                },
                0,
                None,
                None,
            ),
            (
                "valkeys+cluster://a",
                Place::Cluster { hosts: vec![("a".into(), 6_379)], tls: true },
                0,
                None,
                None,
            ),
        ];
        for (text, place, db, user, password) in cases {
            let (user, password) = (user.map(str::to_owned), password.map(str::to_owned));
            assert_eq!(read(text), Address { place, db, user, password }, "{text}");
        }
        for none in ["", "memory://", "async+memory://"] {
            assert_eq!(Address::parse(none), Ok(None), "{none}");
        }
    }

    #[test]
    fn what_is_no_address_is_told_without_repeating_it() {
        let bad = [
            "hunter2",
            "redis://:hunter2@host:port",
            "redis://:hunter2@host/one",
            "redis://:hunter2@host/-1",
            "redis://host?hunter2=1",
            "redis://:hunter2@[::1",
            "redis+unix://:hunter2@",
            "redis+unix://hunter2/path",
            "mongodb://:hunter2@host",
            "redis+sentinel://:hunter2@host:26379",
            "redis+sentinel://:hunter2@host:26379,/mymaster",
            "redis+cluster://:hunter2@",
            "redis+cluster://:hunter2@host:7000,host:7001/1",
            "redis://%ff:hunter2@host",
        ];
        for text in bad {
            let error = Address::parse(text).unwrap_err();
            assert!(!error.contains("hunter2"), "{text}: {error}");
        }
        assert!(Address::parse(bad[9]).unwrap_err().contains("no service"));
    }

    #[test]
    fn an_address_is_shown_without_who_may_use_it() {
        let cases = [
            ("redis://me:hunter2@[::1]/2", "[::1]:6379 (database 2)"),
            ("rediss://:hunter2@host:1", "host:1"),
            ("unix:///r.sock?password=hunter2", "/r.sock"),
            ("redis+sentinel://:hunter2@a,b:1/m?db=3", "m of a:26379,b:1 (database 3)"),
            ("redis+cluster://:hunter2@[::1]:7000", "the cluster of [::1]:7000"),
        ];
        for (text, shown) in cases {
            assert_eq!(
                (read(text).to_string(), format!("{:?}", read(text))),
                (shown.into(), shown.into())
            );
        }
    }
}
