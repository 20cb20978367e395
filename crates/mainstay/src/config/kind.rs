//! The kinds of settings: how a raw value becomes a [`Value`], and what to say when it does not.

use std::{path::PathBuf, time::Duration};

use crate::http::client::{AllowedHosts, Networks, ProxyFix};
use crate::limits::address::Address;
use crate::limits::place::Place;
use crate::limits::rules::{BETWEEN, Exempt, KeyBy, Rule};
use crate::limits::settings::read_many;
use crate::log::{Service, access::AccessFormat};
use crate::telemetry::sentry::Dsn;

use super::{
    error::Wrong,
    maintenance, otel, own, receivers, units,
    value::{AutoDuration, Bind, Count, LogTarget, Value},
};

/// What a key takes. Ranges include both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text without control characters, at most 255 bytes.
    Text,
    /// A path of the file system; empty means none.
    Path,
    /// The path of a URL: begins with `/`.
    UrlPath,
    /// A whole number.
    Count { min: u64, max: u64 },
    /// A whole number, or `auto`.
    CountOrAuto { min: u32, max: u32 },
    /// `true` or `false`.
    Bool,
    /// A duration of `min` to 365 days.
    Duration { min: Duration },
    /// A duration, or `auto`.
    DurationOrAuto,
    /// A size in bytes.
    Bytes,
    /// One or more addresses; `port` is taken where none is given.
    Binds { port: u16 },
    /// One address or none.
    OptionalBind { port: u16 },
    /// A log level.
    Level,
    /// Where a log goes.
    Target,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// The format of access lines.
    AccessFormat,
    /// Addresses and networks.
    Networks,
    /// Counts of hops, as Werkzeug's `ProxyFix` takes them.
    ProxyFix,
    /// Names of hosts.
    Hosts,
    /// The URL of a database; empty means none.
    DatabaseUrl,
    /// Where Sentry takes reports; empty means nowhere.
    Dsn,
    /// An address that begins with `http://` or `https://`; empty means none.
    HttpUrl,
    /// Headers of requests: `name=value,…`.
    HeaderList,
    /// A text that can stand in a header; empty means none.
    HeaderValue,
    /// A number of 0 to 1.
    Ratio,
    /// Rate limits; empty means none.
    Limits,
    /// Rate limits of single paths.
    LimitRules,
    /// Paths with their methods.
    Places,
    /// Words of a list; empty means none.
    Words,
    /// Who is counted as one by rate limits.
    LimitKey,
    /// Who and what is not limited.
    LimitExempt,
    /// Where counts of rate limits for several hosts are kept; empty means here.
    LimitStorage,
    /// Receivers of notifications.
    Receivers,
    /// Maintenance windows.
    Maintenance,
    /// Alert rules of the operator's own.
    OwnRules,
}

/// A value as it was said, before its key's kind has looked at it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Raw {
    /// From a variable, a flag or the key table, where everything is text.
    Untyped(String),
    /// A TOML string.
    Str(String),
    /// A TOML integer; one beyond 128 bits is given as the nearest.
    Int(i128),
    /// A TOML number with a fraction.
    Real(String),
    /// A TOML boolean.
    Bool(bool),
    /// A TOML array of strings.
    List(Vec<String>),
    /// A TOML table of whole numbers.
    Table(Vec<(String, i128)>),
    /// Anything that no key takes, by its name ("a table").
    Other(&'static str),
}

impl Raw {
    fn name(&self) -> &'static str {
        match self {
            Self::Untyped(_) => "text",
            Self::Str(_) => "a string",
            Self::Int(_) => "a number",
            Self::Real(_) => "a number with a fraction",
            Self::Bool(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(name) => name,
        }
    }

    /// The text of a string, typed or not.
    fn text(&self) -> Option<&str> {
        match self {
            Self::Untyped(text) | Self::Str(text) => Some(text),
            _ => None,
        }
    }
}

impl Kind {
    /// Reads a raw value.
    ///
    /// # Errors
    /// What is wrong with it, with the accepted form as a hint.
    pub(crate) fn parse(&self, raw: &Raw) -> Result<Value, Wrong> {
        let read = match *self {
            Self::Text => self.text(raw, plain).map(Value::Text),
            Self::Path => self.text(raw, printable).map(|it| Value::Path(PathBuf::from(it))),
            Self::UrlPath => self.text(raw, url_path).map(Value::Text),
            Self::Count { min, max } => self.count(raw, min, max).map(Value::Count),
            Self::CountOrAuto { .. } if is_auto(raw) => Ok(Value::CountOrAuto(Count::Auto)),
            Self::CountOrAuto { min, max } => self.count(raw, min.into(), max.into()).map(|n| {
                let n = u32::try_from(n).expect("the range of the kind is one of u32");
                Value::CountOrAuto(Count::Fixed(n))
            }),
            Self::Bool => self.boolean(raw).map(Value::Bool),
            Self::Duration { min } => self.duration(raw, min).map(Value::Duration),
            Self::DurationOrAuto if is_auto(raw) => Ok(Value::DurationOrAuto(AutoDuration::Auto)),
            Self::DurationOrAuto => self
                .duration(raw, Duration::ZERO)
                .map(|it| Value::DurationOrAuto(AutoDuration::Fixed(it))),
            Self::Bytes => self.bytes(raw).map(Value::Bytes),
            Self::Binds { port } => self.binds(raw, port).map(Value::Binds),
            Self::OptionalBind { port } => self.optional_bind(raw, port).map(Value::Bind),
            Self::Level => {
                self.text(raw, |it| it.parse().map_err(|_| "is not a log level")).map(Value::Level)
            }
            Self::Target => {
                self.text(raw, |it| LogTarget::parse(&printable(it)?)).map(Value::Target)
            }
            Self::OneOf(words) => self.one_of(raw, words).map(Value::Text),
            Self::AccessFormat => self.access_format(raw).map(Value::Text),
            Self::Networks => self.joined(raw).and_then(|it| judged(it, Networks::parse)),
            Self::Hosts => self.joined(raw).and_then(|it| judged(it, AllowedHosts::parse)),
            Self::ProxyFix => self.counts(raw).and_then(|it| judged(it, ProxyFix::parse)),
            Self::DatabaseUrl => self.text(raw, database_url).map(Value::Text),
            Self::Dsn => self.text(raw, dsn).map(Value::Text),
            Self::HttpUrl => self.text(raw, otel::http_url).map(Value::Text),
            Self::HeaderList => self
                .text(raw, |it| otel::headers(it).map(|_| it.trim().to_owned()))
                .map(Value::Text),
            Self::HeaderValue => self.text(raw, otel::header_value).map(Value::Text),
            Self::Ratio => self.ratio(raw).map(Value::Ratio),
            Self::Limits => self.list(raw, "; ").and_then(|it| judged(it, read_many)),
            Self::LimitRules => self.list(raw, BETWEEN).and_then(|it| judged(it, Rule::parse_all)),
            Self::Places => self.list(raw, BETWEEN).and_then(|it| judged(it, Place::parse_all)),
            Self::Words => self.joined(raw).map(Value::Text),
            Self::LimitKey => self.text(raw, printable).and_then(|it| judged(it, KeyBy::parse)),
            Self::LimitExempt => self.joined(raw).and_then(|it| judged(it, Exempt::parse)),
            Self::LimitStorage => {
                self.text(raw, printable).and_then(|it| judged(it, Address::parse))
            }
            Self::Receivers => self.listed(raw).and_then(|it| judged(it, receivers::parse)),
            Self::OwnRules => self.list(raw, "; ").and_then(|it| judged(it, own::parse)),
            Self::Maintenance => self.listed(raw).and_then(|it| judged(it, maintenance::parse)),
        };
        read.map_err(|wrong| Wrong { hint: wrong.hint.or_else(|| Some(self.accepts())), ..wrong })
    }

    /// The accepted form, as an order: `use "auto" or 1 to 512`.
    pub(crate) fn accepts(&self) -> String {
        match self {
            Self::Text => "use a text of at most 255 bytes".to_owned(),
            Self::Path => "use a path, or \"\" for none".to_owned(),
            Self::UrlPath => "use a path that begins with \"/\", such as \"/healthz\"".to_owned(),
            Self::Count { min, max: u64::MAX } => format!("use a whole number from {min}"),
            Self::Count { min, max } => format!("use {min} to {max}"),
            Self::CountOrAuto { min, max } => format!("use \"auto\" or {min} to {max}"),
            Self::Bool => "use true or false".to_owned(),
            Self::Duration { min } if min.is_zero() => {
                "use \"30s\", \"250ms\", \"2m\", \"1h\", or 0".to_owned()
            }
            Self::Duration { .. } => "use \"30s\", \"250ms\", \"2m\" or \"1h\"".to_owned(),
            Self::DurationOrAuto => "use \"auto\", \"30s\", \"250ms\", \"2m\", or 0".to_owned(),
            Self::Bytes => "use \"512 MiB\", \"2 GB\", or a number of bytes".to_owned(),
            Self::Binds { .. } => {
                "use \"HOST:PORT\", \"[::1]:80\", \":80\", \"unix:/path\" or \"fd://3\"".to_owned()
            }
            Self::OptionalBind { .. } => {
                "use \"HOST:PORT\", \"unix:/path\" or \"fd://3\", or \"\" for none".to_owned()
            }
            Self::Level => "use debug, info, warning, error or critical".to_owned(),
            Self::Target => "use stdout, stderr, the path of a file, or \"\" for none".to_owned(),
            Self::OneOf(words) => format!("use {}", words.join(", ")),
            Self::AccessFormat => {
                "use atoms such as %(h)s, directives such as %h, or ecs".to_owned()
            }
            Self::Networks => {
                "use addresses and networks such as \"10.0.0.0/8, ::1\", loopback, private or unix"
                    .to_owned()
            }
            Self::ProxyFix => "use { x_for = 1, x_proto = 1 } or \"x_for=1,x_proto=1\"".to_owned(),
            Self::Hosts => "use names such as \"example.com, .example.com\"".to_owned(),
            Self::DatabaseUrl => {
                "use sqlite:FILE, postgres://USER:PASSWORD@HOST/NAME or mysql://…".to_owned()
            }
            Self::Dsn => "use https://KEY@HOST/PROJECT, or \"\" for none".to_owned(),
            Self::HttpUrl => "use http://HOST:PORT or https://HOST, or \"\" for none".to_owned(),
            Self::HeaderList => "use name=value,name=value".to_owned(),
            Self::HeaderValue => "use a text of visible ASCII".to_owned(),
            Self::Ratio => "use a number of 0 to 1, such as 0.25".to_owned(),
            Self::Limits => "use limits such as \"200 per day; 50/hour\", or \"\" for none".to_owned(),
            Self::LimitRules => {
                "use rules such as \"POST /login: 5/minute\", several joined by \" & \" or as a list"
                    .to_owned()
            }
            Self::LimitKey => "use address, header:NAME or cookie:NAME".to_owned(),
            Self::Places => {
                "use such as \"POST /login\" or \"/account/*\", several joined by \" & \" or as a list".to_owned()
            }
            Self::Words => "use words such as \"nikto, sqlmap\", or \"\" for none".to_owned(),
            Self::LimitExempt => {
                "use paths, addresses and networks such as \"/static/*, 10.0.0.0/8\"".to_owned()
            }
            Self::LimitStorage => {
                "use redis://HOST:PORT/DB, rediss://HOST, redis+unix:///PATH, \
                 redis+sentinel://HOST,HOST/SERVICE, redis+cluster://HOST,HOST (rediss+… with TLS), or \"\" for \
                 none".to_owned()
            }
            Self::OwnRules => {
                "use rules such as \"slow: p95(mainstay_http_request_duration_seconds, 5m) > 800ms for 3m\""
                    .to_owned()
            }
            Self::Maintenance => {
                "use windows such as \"deploys=mon-fri 02:00-04:00 severity=warning\", in UTC, local or a zone".to_owned()
            }
            Self::Receivers => {
                "use NAME=https://HOST/PATH, or NAME=https://HOST/PATH KEY; docs/alerts.md has the others"
                    .to_owned()
            }
        }
    }

    /// What stands for the value in `--help`.
    pub(crate) fn placeholder(&self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Path | Self::UrlPath => "PATH",
            Self::Count { .. } => "N",
            Self::CountOrAuto { .. } => "N|auto",
            Self::Bool => "true|false",
            Self::Duration { .. } => "DURATION",
            Self::DurationOrAuto => "DURATION|auto",
            Self::Bytes => "SIZE",
            Self::Binds { .. } | Self::OptionalBind { .. } => "ADDRESS",
            Self::Level => "LEVEL",
            Self::Target => "TARGET",
            Self::OneOf(_) => "WORD",
            Self::AccessFormat => "FORMAT",
            Self::Networks => "NETWORKS",
            Self::ProxyFix => "COUNTS",
            Self::Hosts => "HOSTS",
            Self::DatabaseUrl | Self::Dsn | Self::HttpUrl | Self::LimitStorage => "URL",
            Self::HeaderList => "HEADERS",
            Self::HeaderValue => "KEY",
            Self::Ratio => "RATIO",
            Self::Limits => "LIMITS",
            Self::LimitRules => "RULES",
            Self::Places => "PATHS",
            Self::Words => "WORDS",
            Self::LimitKey => "KEY",
            Self::LimitExempt => "LIST",
            Self::Receivers => "RECEIVERS",
            Self::Maintenance => "WINDOWS",
            Self::OwnRules => "RULES",
        }
    }

    /// Whether repeating it adds to it.
    pub(crate) fn takes_several(&self) -> bool {
        matches!(self, Self::Binds { .. })
    }

    fn noun(&self) -> &'static str {
        match self {
            Self::Text
            | Self::Path
            | Self::UrlPath
            | Self::Level
            | Self::Target
            | Self::OneOf(_)
            | Self::AccessFormat
            | Self::DatabaseUrl
            | Self::Dsn
            | Self::HttpUrl
            | Self::HeaderList
            | Self::LimitKey
            | Self::LimitStorage
            | Self::HeaderValue => "a string",
            Self::Ratio => "a number of 0 to 1",
            Self::Networks
            | Self::Hosts
            | Self::Receivers
            | Self::Maintenance
            | Self::OwnRules
            | Self::Limits
            | Self::LimitRules
            | Self::Places
            | Self::Words
            | Self::LimitExempt => "a string or a list of strings",
            Self::ProxyFix => "a table of numbers",
            Self::Count { .. } => "a number",
            Self::CountOrAuto { .. } => "a number or \"auto\"",
            Self::Bool => "a boolean",
            Self::Duration { .. } | Self::DurationOrAuto => "a duration",
            Self::Bytes => "a size",
            Self::Binds { .. } => "an address or a list of addresses",
            Self::OptionalBind { .. } => "an address",
        }
    }

    fn mismatch(&self, raw: &Raw) -> Wrong {
        wrong(format!("is {}, not {}", raw.name(), self.noun()))
    }

    fn text<T>(
        &self,
        raw: &Raw,
        read: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Result<T, Wrong> {
        read(raw.text().ok_or_else(|| self.mismatch(raw))?).map_err(wrong)
    }

    fn count(&self, raw: &Raw, min: u64, max: u64) -> Result<u64, Wrong> {
        let number = match raw {
            Raw::Int(number) => *number,
            // A variable is text by nature; a string in a typed file is a slip worth telling.
            Raw::Untyped(text) => {
                text.trim().parse::<i128>().map_err(|_| wrong("is not a number"))?
            }
            Raw::Str(text) if text.trim().parse::<i128>().is_ok() => {
                let hint = Some("write the number without quotes".to_owned());
                return Err(Wrong { hint, ..self.mismatch(raw) });
            }
            Raw::Str(_) => return Err(wrong("is not a number")),
            _ => return Err(self.mismatch(raw)),
        };
        let inside = u64::try_from(number).ok().filter(|n| (min..=max).contains(n));
        inside.ok_or_else(|| wrong("is out of range"))
    }

    fn boolean(&self, raw: &Raw) -> Result<bool, Wrong> {
        match raw {
            Raw::Bool(yes) => Ok(*yes),
            Raw::Untyped(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok(true),
                "false" | "no" | "off" | "0" => Ok(false),
                _ => Err(wrong("is not a boolean")),
            },
            Raw::Str(text) if matches!(text.as_str(), "true" | "false") => {
                let hint = Some("write it without quotes".to_owned());
                Err(Wrong { hint, ..self.mismatch(raw) })
            }
            _ => Err(self.mismatch(raw)),
        }
    }

    fn duration(&self, raw: &Raw, min: Duration) -> Result<Duration, Wrong> {
        let found = match raw {
            Raw::Int(seconds) => units::duration(&seconds.to_string()).map_err(wrong)?,
            _ => self.text(raw, units::duration)?,
        };
        if found < min {
            return Err(wrong(format!("is shorter than {}", units::show_duration(min))));
        }
        Ok(found)
    }

    fn bytes(&self, raw: &Raw) -> Result<u64, Wrong> {
        match raw {
            Raw::Int(bytes) => units::bytes(&bytes.to_string()).map_err(wrong),
            _ => self.text(raw, units::bytes),
        }
    }

    fn ratio(&self, raw: &Raw) -> Result<String, Wrong> {
        let text = match raw {
            Raw::Int(number) => number.to_string(),
            Raw::Real(number) => number.clone(),
            _ => self.text(raw, |it| Ok(it.trim().to_owned()))?,
        };
        Ok(otel::ratio(&text).map_err(wrong)?.to_string())
    }

    fn binds(&self, raw: &Raw, port: u16) -> Result<Vec<Bind>, Wrong> {
        let named: Vec<&str> = match raw {
            Raw::List(items) => items.iter().map(String::as_str).collect(),
            Raw::Int(_) => return Err(wrong("is a port without an address")),
            _ => raw.text().ok_or_else(|| self.mismatch(raw))?.split(',').collect(),
        };
        if named.iter().all(|it| it.trim().is_empty()) {
            return Err(wrong("names no address"));
        }
        let many = named.len() > 1;
        let read = |it: &&str| {
            Bind::parse(it, port).map_err(|message| match many {
                true => wrong(format!("has \"{}\", which {message}", it.trim())),
                false => wrong(message),
            })
        };
        named.iter().map(read).collect()
    }

    fn access_format(&self, raw: &Raw) -> Result<String, Wrong> {
        let text = self.text(raw, printable)?;
        match AccessFormat::compile(&text, &Service::default(), usize::from(u16::MAX)) {
            Ok(_) => Ok(text),
            Err(error) => Err(Wrong {
                hint: Some(self.accepts()),
                ..wrong(format!("has a mistake at {error}"))
            }),
        }
    }

    fn one_of(&self, raw: &Raw, words: &[&'static str]) -> Result<String, Wrong> {
        let said = self.text(raw, |it| Ok(it.trim().to_ascii_lowercase()))?;
        if words.contains(&said.as_str()) {
            return Ok(said);
        }
        let meant = super::keys::nearest(&said, words.iter().copied());
        let hint = meant.map(|word| format!("did you mean {word}? {}", self.accepts()));
        Err(Wrong { hint, ..wrong("is none of the words it may be") })
    }

    /// A list as one text, which the part of the program that it is for reads.
    fn joined(&self, raw: &Raw) -> Result<String, Wrong> {
        self.list(raw, ",")
    }

    fn list(&self, raw: &Raw, between: &str) -> Result<String, Wrong> {
        match raw {
            Raw::List(items) => printable(&items.join(between)).map_err(wrong),
            _ => self.text(raw, printable),
        }
    }

    /// The same, where lines separate too.
    fn listed(&self, raw: &Raw) -> Result<String, Wrong> {
        match raw {
            Raw::List(_) => self.joined(raw),
            _ => self.text(raw, |it| printable(&it.replace('\n', ","))),
        }
    }

    fn counts(&self, raw: &Raw) -> Result<String, Wrong> {
        match raw {
            Raw::Table(counts) => {
                let counts: Vec<_> =
                    counts.iter().map(|(name, count)| format!("{name}={count}")).collect();
                printable(&counts.join(",")).map_err(wrong)
            }
            _ => self.text(raw, printable),
        }
    }

    fn optional_bind(&self, raw: &Raw, port: u16) -> Result<Option<Bind>, Wrong> {
        let read = |it: &str| match it.trim() {
            "" => Ok(None),
            it => Bind::parse(it, port).map(Some),
        };
        self.text(raw, read)
    }
}

fn wrong(message: impl Into<String>) -> Wrong {
    Wrong { message: message.into(), hint: None }
}

/// The text, if the part of the program that it is for understands it.
fn judged<T>(text: String, read: impl FnOnce(&str) -> Result<T, String>) -> Result<Value, Wrong> {
    match read(&text) {
        Ok(_) => Ok(Value::Text(text)),
        Err(message) => Err(wrong(format!("is refused: {message}"))),
    }
}

fn is_auto(raw: &Raw) -> bool {
    raw.text().is_some_and(|it| it.trim().eq_ignore_ascii_case("auto"))
}

fn plain(text: &str) -> Result<String, &'static str> {
    if text.len() > 255 { Err("is too long") } else { printable(text) }
}

fn printable(text: &str) -> Result<String, &'static str> {
    // A name or a path ends up in log lines, where a line feed would forge one.
    if text.chars().any(char::is_control) {
        return Err("holds a control character");
    }
    Ok(text.trim().to_owned())
}

/// The schemes of databases that are known.
pub(crate) const DATABASES: &[&str] = &["sqlite", "postgres", "postgresql", "mysql", "mariadb"];

fn database_url(text: &str) -> Result<String, &'static str> {
    let text = printable(text)?;
    match text.split_once(':') {
        _ if text.is_empty() => Ok(text),
        Some((scheme, _)) if DATABASES.contains(&scheme) => Ok(text),
        Some(_) => Err("is of no database that is known"),
        None => Err("is not a URL"),
    }
}

fn dsn(text: &str) -> Result<String, &'static str> {
    let text = printable(text)?;
    if !text.is_empty() {
        Dsn::parse(&text)?;
    }
    Ok(text)
}

fn url_path(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if !text.starts_with('/') {
        return Err("does not begin with \"/\"");
    }
    // What a request's path can never equal would be an endpoint that never answers.
    if text.bytes().any(|b| !b.is_ascii_graphic() || matches!(b, b'?' | b'#')) {
        return Err("is not the path of a URL");
    }
    Ok(text.to_owned())
}
