//! The types that settings have once they are read, and how each is written back.

use std::{fmt, net::Ipv6Addr, path::PathBuf, str::FromStr, time::Duration};

use super::units;

/// A text that nothing shows: passwords, tokens, addresses that hold them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text itself, for whoever it is meant for.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Where a listener stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Bind {
    /// A TCP address. The host is a name, an IPv4 or an IPv6 address, the latter without its
    /// brackets. Port 0 lets the system choose.
    Tcp {
        /// Name or address to resolve.
        host: String,
        /// Port, 0 to 65535.
        port: u16,
    },
    /// A unix socket at this path.
    Unix(PathBuf),
    /// A listening socket inherited under this descriptor number.
    Fd(i32),
}

impl Bind {
    /// Reads `HOST`, `HOST:PORT`, `[::1]:80`, `:80`, `unix:/path` or `fd://3`.
    ///
    /// # Errors
    /// The predicate of a sentence ("has no valid port").
    pub(crate) fn parse(text: &str, default_port: u16) -> Result<Self, &'static str> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("unix:") {
            // "unix://run/x" is Gunicorn's second form; what follows it is the path.
            let path = path.strip_prefix("//").unwrap_or(path);
            let absolute = path.starts_with('/');
            let path = path.trim_start_matches('/');
            if path.is_empty() || path.contains('\0') {
                return Err("names no path of a unix socket");
            }
            return Ok(Self::Unix(PathBuf::from(format!(
                "{}{path}",
                if absolute { "/" } else { "" }
            ))));
        }
        if let Some(number) = text.strip_prefix("fd://") {
            let number = number.parse().ok().filter(|it| *it >= 0);
            return number.map(Self::Fd).ok_or("names no descriptor number");
        }
        Self::parse_tcp(text, default_port)
    }

    fn parse_tcp(text: &str, default_port: u16) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("is not an address");
        }
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, port) = rest.split_once(']').ok_or("has no closing bracket")?;
            host.parse::<Ipv6Addr>().map_err(|_| "is not an IPv6 address")?;
            let port = match port.strip_prefix(':') {
                None if port.is_empty() => None,
                found => Some(found.ok_or("is not an address")?),
            };
            (host, port)
        } else if text.parse::<Ipv6Addr>().is_ok() {
            return Err("is an IPv6 address without brackets");
        } else {
            match text.split_once(':') {
                // Gunicorn's meaning of ":80": every IPv4 address of the machine.
                Some(("", port)) => ("0.0.0.0", Some(port)),
                Some((host, port)) => (named(host)?, Some(port)),
                None if text.bytes().all(|b| b.is_ascii_digit()) => {
                    return Err("is a port without an address");
                }
                None => (named(text)?, None),
            }
        };
        let port = match port {
            None => default_port,
            Some(port) => digits(port).ok_or("has no valid port")?,
        };
        Ok(Self::Tcp { host: host.to_owned(), port })
    }
}

/// A host name or an IPv4 address, by its characters alone; resolving is the listener's work.
fn named(host: &str) -> Result<&str, &'static str> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if host.bytes().all(fits) { Ok(host) } else { Err("is not an address") }
}

/// A port of digits only: `u16::from_str` would also take "+80".
pub(crate) fn digits(port: &str) -> Option<u16> {
    if port.bytes().all(|b| b.is_ascii_digit()) { port.parse().ok() } else { None }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Fd(number) => write!(f, "fd://{number}"),
        }
    }
}

/// A number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// One per core that this process may use.
    Auto,
    /// Exactly so many.
    Fixed(u32),
}

/// A duration, or the choice left to mainstay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoDuration {
    /// Chosen at start from where the program runs.
    Auto,
    /// Exactly so long.
    Fixed(Duration),
}

/// Where a log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Nowhere: its lines are not made.
    Nowhere,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The file at this path, which is appended to.
    File(PathBuf),
}

impl LogTarget {
    /// Reads `stdout` or `-`, `stderr`, a path, or nothing.
    ///
    /// # Errors
    /// The predicate of a sentence.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        Ok(match text {
            "" => Self::Nowhere,
            "-" | "stdout" => Self::Stdout,
            "stderr" => Self::Stderr,
            path if path.ends_with('/') => return Err("is a directory"),
            path => Self::File(PathBuf::from(path)),
        })
    }
}

impl fmt::Display for LogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => Ok(()),
            Self::Stdout => f.write_str("stdout"),
            Self::Stderr => f.write_str("stderr"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How grave a log line is. The order is by gravity: `Debug < Critical`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// For whoever looks for a fault.
    Debug,
    /// The normal course of events.
    Info,
    /// Something that may become a fault.
    Warning,
    /// A fault that cost at least one request or one worker.
    Error,
    /// The service cannot go on.
    Critical,
}

impl Level {
    /// The name as written in the configuration: lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no [`Level`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownLevel;

impl fmt::Display for UnknownLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a log level; use debug, info, warning, error or critical")
    }
}

impl std::error::Error for UnknownLevel {}

impl FromStr for Level {
    type Err = UnknownLevel;

    /// Reads a level in any case; `warn` is `warning`.
    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        match text.trim().to_ascii_lowercase().as_str() {
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warning" | "warn" => Ok(Self::Warning),
            "error" => Ok(Self::Error),
            "critical" => Ok(Self::Critical),
            _ => Err(UnknownLevel),
        }
    }
}

/// A setting's value once read, whatever its kind; `keys::Kind` says which it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Path(PathBuf),
    Count(u64),
    CountOrAuto(Count),
    Bool(bool),
    Duration(Duration),
    DurationOrAuto(AutoDuration),
    Bytes(u64),
    /// `server.bind`, one or more.
    Binds(Vec<Bind>),
    /// An address that may be empty.
    Bind(Option<Bind>),
    Level(Level),
    Target(LogTarget),
    /// A number of 0 to 1, in the one way that Rust shows it.
    Ratio(String),
}

impl Value {
    /// The value as JSON, in the form the file would have it.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Path(path) => path.to_string_lossy().into(),
            Self::Count(n) => (*n).into(),
            Self::CountOrAuto(Count::Fixed(n)) => (*n).into(),
            Self::CountOrAuto(Count::Auto) | Self::DurationOrAuto(AutoDuration::Auto) => {
                "auto".into()
            }
            Self::Bool(yes) => (*yes).into(),
            Self::Duration(it) | Self::DurationOrAuto(AutoDuration::Fixed(it)) => {
                units::show_duration(*it).into()
            }
            Self::Bytes(0) => 0.into(),
            Self::Bytes(n) => units::show_bytes(*n).into(),
            Self::Binds(binds) if binds.len() == 1 => binds[0].to_string().into(),
            Self::Binds(binds) => binds.iter().map(Bind::to_string).collect(),
            Self::Bind(bind) => bind.as_ref().map(Bind::to_string).unwrap_or_default().into(),
            Self::Level(level) => level.as_str().into(),
            Self::Target(target) => target.to_string().into(),
            Self::Ratio(ratio) => ratio.parse::<f64>().unwrap_or_default().into(),
        }
    }

    /// The value as it stands behind the `=` of a TOML file.
    pub(crate) fn to_toml(&self) -> String {
        toml_literal(&self.to_json())
    }
}

/// JSON strings, numbers, booleans and lists are TOML too, but for the characters that JSON
/// leaves bare in a string and TOML does not.
fn toml_literal(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Array(items) => {
            let items: Vec<String> = items.iter().map(toml_literal).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string().replace('\u{7f}', "\\u007f"),
    }
}
