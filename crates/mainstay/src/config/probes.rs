//! Probes and the heartbeat, as the configuration names them.

use super::condition::Condition;
use super::error::{Problem, Wrong};
use super::expression::Expression;
use super::layers::Filled;
use super::otel::headers as listed;
use super::sections::Values;
use super::value::{Secret, digits};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Most probes: each has a thread.
pub(crate) const MOST: usize = 32;
/// What the service's own probes are called, before a number where there are several listeners.
pub(crate) const OWN: [&str; 2] = ["healthz", "readyz"];

/// `[probing]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Probing {
    /// Whether the service's own health endpoints are asked through its listeners.
    pub own: bool,
    /// What can be reached if anything can, as a list of HOST:PORT.
    pub references: String,
}

/// `[heartbeat]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Heartbeat {
    /// What is asked as long as all is well; whoever knows it can pretend that it is.
    pub url: Option<Secret>,
    /// File in which it stands.
    pub url_file: Option<PathBuf>,
    /// Time between two; 100 ms at least.
    pub interval: Duration,
}

/// What is asked, when, and what is expected of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Probe {
    pub(crate) name: String,
    pub(crate) target: Target,
    pub(crate) family: Family,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) confirm: Votes,
    pub(crate) recover: Votes,
    /// What is sent with the question; whoever knows it may be let in.
    pub(crate) headers: Vec<(String, Secret)>,
    pub(crate) expect: Expect,
}

/// What an answer has to be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expect {
    /// Ranges of statuses, both ends included.
    pub(crate) status: Vec<(u16, u16)>,
    pub(crate) contains: Option<Contained>,
    pub(crate) json: Option<Condition>,
    /// A header's name, and what it contains.
    pub(crate) header: Option<(String, String)>,
    pub(crate) max_time: Option<Duration>,
    pub(crate) redirects: u32,
    pub(crate) ca: Option<PathBuf>,
}

/// Over which addresses something is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// The first that answers, as clients have it that try one after the other.
    Any,
    /// Each of the two by itself.
    Both,
    Only(Ip),
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ip {
    V4,
    V6,
}

impl Ip {
    pub(crate) fn of(address: IpAddr) -> Ip {
        if address.is_ipv4() { Ip::V4 } else { Ip::V6 }
    }

    /// Stable, for programs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Ip::V4 => "4",
            Ip::V6 => "6",
        }
    }
}

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IPv{}", self.as_str())
    }
}

/// What a body contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Contained {
    Text(String),
    Match(Expression),
}

/// So many of the last so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Votes {
    pub(crate) wanted: u32,
    pub(crate) of: u32,
}

/// What is asked.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Http(Url),
    Tcp {
        host: String,
        port: u16,
    },
    /// By the system's resolver, or by one server.
    Dns {
        name: String,
        server: Option<IpAddr>,
    },
    /// The path of a URL through a unix socket.
    Unix {
        socket: PathBuf,
        path: String,
    },
}

/// The parts of a URL.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) is_tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// With its query.
    pub(crate) path: String,
}

impl fmt::Display for Url {
    /// Without its query, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.is_tls { ("https", 443) } else { ("http", 80) };
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}", bracketed(&self.host))?;
        if self.port != usual {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(path)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Http(url) => url.fmt(f),
            Target::Tcp { host, port } => write!(f, "tcp://{}:{port}", bracketed(host)),
            Target::Dns { name, server: None } => write!(f, "dns://{name}"),
            Target::Dns { name, server: Some(server) } => {
                write!(f, "dns://{}/{name}", bracketed(&server.to_string()))
            }
            Target::Unix { socket, path } => write!(f, "unix:{}:{path}", socket.display()),
        }
    }
}

/// As it is shown: a query may be a secret.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

impl Target {
    /// Reads `http://…`, `https://…`, `tcp://HOST:PORT`, `dns://NAME` or `dns://SERVER/NAME`.
    ///
    /// # Errors
    /// The predicate of a sentence; it shows nothing of the text.
    pub(crate) fn parse(text: &str) -> Result<Target, &'static str> {
        if text.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err("is no URL");
        }
        let (scheme, rest) = text.split_once("://").ok_or("is no URL")?;
        match scheme {
            "http" | "https" => Ok(Target::Http(Url::parse(scheme == "https", rest)?)),
            "tcp" => {
                let (host, port) = authority(rest)?;
                let port = port.ok_or("names no port")?;
                Ok(Target::Tcp { host, port })
            }
            "dns" => {
                let (server, name) = match rest.split_once('/') {
                    Some((server, name)) => {
                        let server = server.trim_start_matches('[').trim_end_matches(']');
                        (Some(server.parse().map_err(|_| "names no address of a server")?), name)
                    }
                    None => (None, rest),
                };
                let fits = |label: &str| (1..=63).contains(&label.len());
                let name = name.trim_end_matches('.');
                if name.len() > 253 || !name.split('.').all(fits) {
                    return Err("names no name");
                }
                Ok(Target::Dns { name: name.to_owned(), server })
            }
            _ => Err("is neither http, https, tcp nor dns"),
        }
    }
}

impl Url {
    fn parse(is_tls: bool, rest: &str) -> Result<Url, &'static str> {
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, port) = authority(&rest[..end])?;
        let slash = if rest[end..].starts_with('/') { "" } else { "/" };
        let path = format!("{slash}{}", &rest[end..]);
        Ok(Url { is_tls, host, port: port.unwrap_or(if is_tls { 443 } else { 80 }), path })
    }

    /// Where a redirect from here leads to.
    pub(crate) fn join(&self, location: &str) -> Option<Url> {
        if location.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return None;
        }
        let is_scheme = |it: &str| {
            it.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        };
        // An address may stand in a query, too.
        if let Some((scheme, rest)) = location.split_once("://").filter(|(it, _)| is_scheme(it)) {
            return match &*scheme.to_ascii_lowercase() {
                "http" => Url::parse(false, rest).ok(),
                "https" => Url::parse(true, rest).ok(),
                _ => None,
            };
        }
        if let Some(rest) = location.strip_prefix("//") {
            return Url::parse(self.is_tls, rest).ok();
        }
        let here = self.path.split('?').next().unwrap_or_default();
        let path = match location {
            it if it.starts_with('/') => it.to_owned(),
            it if it.starts_with('?') => format!("{here}{it}"),
            it => format!("{}/{it}", here.rsplit_once('/').map_or("", |(before, _)| before)),
        };
        let path = path.split('#').next().unwrap_or_default().to_owned();
        Some(Url { path, ..self.clone() })
    }

    /// As the header `Host` has it.
    pub(crate) fn authority(&self) -> String {
        match (self.is_tls, self.port) {
            (true, 443) | (false, 80) => bracketed(&self.host),
            (_, port) => format!("{}:{port}", bracketed(&self.host)),
        }
    }
}

/// `HOST`, `HOST:PORT` or `[::1]:PORT`.
fn authority(text: &str) -> Result<(String, Option<u16>), &'static str> {
    if text.contains('@') {
        return Err("holds a user or a password");
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("has no closing bracket")?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| "names no host")?;
            (host, rest.strip_prefix(':').or(rest.is_empty().then_some("")))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("")),
        },
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if host.is_empty() || !host.bytes().all(fits) {
        return Err("names no host");
    }
    let port = match port.ok_or("names no host")? {
        "" => None,
        port => Some(digits(port).filter(|it| *it > 0).ok_or("names no port")?),
    };
    Ok((host.to_owned(), port))
}

/// The references of all probes.
///
/// # Errors
/// The predicate of a sentence.
pub(crate) fn references(text: &str) -> Result<Vec<(String, u16)>, &'static str> {
    let items = text.split(',').map(str::trim).filter(|it| !it.is_empty());
    items
        .map(|item| {
            let (host, port) = authority(item)?;
            Ok((host, port.ok_or("names no port")?))
        })
        .collect()
}

impl Votes {
    /// Reads `3` or `3 of 5`.
    fn parse(text: &str) -> Result<Votes, &'static str> {
        let number = |text: &str| text.trim().parse().map_err(|_| "is neither N nor N of M");
        let (wanted, of) = match text.split_once(" of ") {
            Some((wanted, of)) => (number(wanted)?, number(of)?),
            None => (number(text)?, number(text)?),
        };
        if wanted == 0 || of > 32 || wanted > of {
            return Err("is not 1 to 32, or more than there are");
        }
        Ok(Votes { wanted, of })
    }
}

/// Reads a word, which is one of those that there are. An address is of one family only.
fn family(word: &str, target: &Target) -> Result<Family, &'static str> {
    let family = match word {
        "both" => Family::Both,
        "4" => Family::Only(Ip::V4),
        "6" => Family::Only(Ip::V6),
        _ => Family::Any,
    };
    let host = match target {
        Target::Http(url) => &url.host,
        Target::Tcp { host, .. } => host,
        _ => return Ok(family),
    };
    match (family, host.parse().map(Ip::of)) {
        (Family::Only(wanted), Ok(is)) if wanted != is => {
            Err("is not what the address in probes.url is of")
        }
        _ => Ok(family),
    }
}

/// Reads a text, or an expression behind `=~`.
fn contained(text: &str) -> Result<Option<Contained>, String> {
    match text.strip_prefix("=~").map(str::trim) {
        None if text.is_empty() => Ok(None),
        None => Ok(Some(Contained::Text(text.to_owned()))),
        Some("") => Err("is no expression: nothing stands behind =~".to_owned()),
        Some(expression) => Expression::parse(expression).map(Contained::Match).map(Some),
    }
}

/// Reads `200-299, 401`.
fn statuses(text: &str) -> Result<Vec<(u16, u16)>, &'static str> {
    let number = |text: &str| {
        let number = digits(text.trim()).filter(|it| (100..=599).contains(it));
        number.ok_or("is no list of statuses")
    };
    let each = text.split(',').map(|item| match item.split_once('-') {
        Some((from, to)) => Ok((number(from)?, number(to)?)),
        None => number(item).map(|it| (it, it)),
    });
    each.collect()
}

fn header(text: &str) -> Result<Option<(String, String)>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if name.trim().is_empty() || !name.trim().bytes().all(fits) {
        return Err("names no header");
    }
    Ok(Some((name.trim().to_ascii_lowercase(), value.trim().to_owned())))
}

/// What is sent with a question, but for what only the connection itself can say.
fn sent(text: &str) -> Result<Vec<(String, Secret)>, &'static str> {
    const OURS: [&str; 3] = ["connection", "content-length", "transfer-encoding"];
    let headers = listed(text)?;
    if headers.iter().any(|(name, _)| OURS.contains(&&*name.to_ascii_lowercase())) {
        return Err("has a header that every question has by itself");
    }
    Ok(headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect())
}

fn name(text: &str) -> Result<String, &'static str> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=32).contains(&text.len()) || !text.bytes().all(fits) {
        return Err("is no name");
    }
    if OWN.iter().any(|own| text.strip_prefix(own).is_some_and(is_number)) {
        return Err("is the name of a probe of the service's own");
    }
    Ok(text.to_owned())
}

fn is_number(rest: &str) -> bool {
    rest.is_empty() || rest.strip_prefix('-').is_some_and(|it| digits(it).is_some())
}

/// The probes of the tables; what is wrong with one is added to `problems`.
pub(super) fn read(rows: &[Filled], problems: &mut Vec<Problem>) -> Vec<Probe> {
    let mut found: Vec<Probe> = Vec::new();
    for row in rows.iter().filter(|row| row.table == "probes") {
        let wrong = match one(row) {
            Ok(probe) if found.iter().any(|it| it.name == probe.name) => {
                ("probes.name", "stands there twice".into())
            }
            Ok(_) if found.len() == MOST => ("probes.name", "is one more than 32".into()),
            Ok(probe) => {
                found.push(probe);
                continue;
            }
            Err(wrong) => wrong,
        };
        problems.push(problem(row, wrong));
    }
    found
}

fn problem(row: &Filled, (path, message): Mistake) -> Problem {
    let entry = row.values.iter().find(|it| it.key.path == path);
    let entry = entry.expect("a key of the table");
    let is_said = entry.origin.is_operators() || entry.origin.line() > 0;
    let origin = if is_said { entry.origin.clone() } else { row.origin.clone() };
    // An address with a user in it is refused for the password that stands there.
    let hides = path == "probes.url" || entry.key.secret;
    let shown = if hides { "(hidden)".to_owned() } else { entry.shown() };
    Problem::value(origin, path, shown, Wrong { message: message.into_owned(), hint: None })
}

/// A key, and the predicate of a sentence.
type Mistake = (&'static str, Cow<'static, str>);

fn at<T: Into<Cow<'static, str>>>(path: &'static str) -> impl FnOnce(T) -> Mistake {
    move |why| (path, why.into())
}

fn one(row: &Filled) -> Result<Probe, Mistake> {
    let values = Values(&row.values);
    let target = Target::parse(&values.text("probes.url")).map_err(at("probes.url"))?;
    let is_tls = matches!(&target, Target::Http(url) if url.is_tls);
    if is_tls && !cfg!(feature = "tls") {
        let why = "needs the feature tls, which this program was built without";
        return Err(("probes.url", why.into()));
    }
    let some = |text: String| Some(text).filter(|it| !it.is_empty());
    let contains = contained(&values.text("probes.contains")).map_err(at("probes.contains"))?;
    let max_time = Some(values.duration("probes.max_time")).filter(|it| !it.is_zero());
    Ok(Probe {
        name: name(&values.text("probes.name")).map_err(at("probes.name"))?,
        family: family(&values.text("probes.family"), &target).map_err(at("probes.family"))?,
        target,
        interval: values.duration("probes.interval"),
        timeout: values.duration("probes.timeout"),
        confirm: Votes::parse(&values.text("probes.confirm")).map_err(at("probes.confirm"))?,
        recover: Votes::parse(&values.text("probes.recover")).map_err(at("probes.recover"))?,
        headers: sent(&values.text("probes.headers")).map_err(at("probes.headers"))?,
        expect: Expect {
            status: statuses(&values.text("probes.status")).map_err(at("probes.status"))?,
            contains,
            json: some(values.text("probes.json"))
                .map(|it| Condition::parse(&it))
                .transpose()
                .map_err(at("probes.json"))?,
            header: header(&values.text("probes.header")).map_err(at("probes.header"))?,
            max_time,
            redirects: u32::try_from(values.number("probes.redirects")).unwrap_or(0),
            ca: values.path("probes.ca"),
        },
    })
}

impl Probe {
    /// One that nobody configured, with what a table has by default.
    pub(crate) fn usual(name: &str, target: Target) -> Probe {
        let (name, interval) = (name.to_owned(), Duration::from_secs(10));
        Probe {
            name,
            target,
            family: Family::Any,
            interval,
            timeout: Duration::from_secs(10),
            confirm: Votes { wanted: 3, of: 3 },
            recover: Votes { wanted: 2, of: 2 },
            headers: Vec::new(),
            expect: Expect { status: vec![(200, 299)], ..Expect::default() },
        }
    }
}

impl Values<'_> {
    pub(super) fn probing(&self) -> Probing {
        Probing { own: self.yes("probing.own"), references: self.text("probing.references") }
    }

    pub(super) fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            url: Some(self.text("heartbeat.url")).filter(|it| !it.is_empty()).map(Secret::new),
            url_file: self.path("heartbeat.url_file"),
            interval: self.duration("heartbeat.interval"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Sources};
    use super::*;

    fn config(text: &str) -> Result<Config, String> {
        let file = Some((PathBuf::from("mainstay.toml"), text.to_owned()));
        Config::resolve(&Sources { file, ..Sources::default() }).map_err(|it| it.to_string())
    }

    #[test]
    fn a_table_is_a_probe_with_the_defaults_of_what_it_does_not_say() {
        let text = "[[probes]]\nname = \"site\"\nurl = \"http://example.org/a?key=hunter2\"\n\
                    confirm = \"2 of 4\"\njson = \"status == ok\"\ncontains = '=~ v\\d'\nfamily = \"6\"\n\
                    headers = \"Authorization=Bearer%20hunter2,Host=shop.example\"\nheader = \"Server: nginx\"\nstatus = \"200, 300-399\"\n\
                    [[probes]]\nname = \"db\"\nurl = \"tcp://[::1]:5432\"\ninterval = \"1m\"\n";
        let found = config(text).unwrap();
        let [site, db] = &found.probes[..] else { panic!("{:?}", found.probes) };
        assert_eq!(site.confirm, Votes { wanted: 2, of: 4 });
        assert_eq!((site.family, db.family), (Family::Only(Ip::V6), Family::Any));
        let expression = Expression::parse(r"v\d").unwrap();
        assert_eq!(site.expect.contains, Some(Contained::Match(expression)));
        assert_eq!(site.recover, Votes { wanted: 2, of: 2 });
        assert_eq!(site.expect.header, Some(("server".to_owned(), "nginx".to_owned())));
        assert_eq!(site.expect.status, [(200, 200), (300, 399)]);
        assert_eq!(
            (&*site.headers[0].0, site.headers[0].1.expose()),
            ("Authorization", "Bearer hunter2")
        );
        assert!(
            site.expect.json == Condition::parse("status == ok").ok() && db.expect.json.is_none()
        );
        assert_eq!(db.target, Target::Tcp { host: "::1".to_owned(), port: 5_432 });
        assert_eq!(db.interval, Duration::from_secs(60));
        assert!(!format!("{:?} {}", found, site.target).contains("hunter2"));
        assert!(config("").unwrap().probes.is_empty());
    }

    #[test]
    fn what_is_wrong_with_a_table_is_told_with_its_line() {
        for (lines, why) in [
            ("url = \"http://a/\"", "1: probes.name"),
            ("name = \"a\"", "1: probes.url"),
            ("name = \"a\"\nurl = \"http://u:hunter2@a/\"", "3: probes.url"),
            ("name = \"a\"\nurl = \"gopher://a/\"", "neither http"),
            ("name = \"a\"\nurl = \"tcp://a\"", "names no port"),
            ("name = \"A\"\nurl = \"http://a/\"", "2: probes.name"),
            ("name = \"readyz-2\"\nurl = \"http://a/\"", "service's own"),
            ("name = \"a\"\nurl = \"http://a/\"\nconfirm = \"4 of 3\"", "4: probes.confirm"),
            ("name = \"a\"\nurl = \"http://a/\"\nstatus = \"2xx\"", "4: probes.status"),
            ("name = \"a\"\nurl = \"http://a/\"\njson = \"a..b\"", "4: probes.json"),
            ("name = \"a\"\nurl = \"http://a/\"\nheaders = \"hunter2\"", "4: probes.headers"),
            (
                "name = \"a\"\nurl = \"http://a/\"\ncontains = \"=~(a\"",
                "4: probes.contains = \"=~(a\"",
            ),
            ("name = \"a\"\nurl = \"http://a/\"\ncontains = \"=~ a{999}\"", "size limit"),
            ("name = \"a\"\nurl = \"http://a/\"\ncontains = \"=~\"", "nothing stands behind"),
            ("name = \"a\"\nurl = \"http://a/\"\nfamily = \"v6\"", "4: probes.family"),
            ("name = \"a\"\nurl = \"tcp://[::1]:1\"\nfamily = \"4\"", "4: probes.family"),
            ("name = \"a\"\nurl = \"http://a/\"\nheaders = \"Connection=x\"", "by itself"),
            ("name = \"a\"\nurl = \"http://a/\"\nevery = \"1s\"", "unknown key"),
            ("name = \"a\"\nurl = \"http://a/\"\ninterval = \"1ms\"", "4: probes.interval"),
            (
                "name = \"a\"\nurl = \"http://a/\"\n[[probes]]\nname = \"a\"\nurl = \"http://a/\"",
                "twice",
            ),
        ] {
            let told = config(&format!("[[probes]]\n{lines}\n")).unwrap_err();
            assert!(told.contains(why) && !told.contains("hunter2"), "{lines}: {told}");
        }
        assert!(config("[probes]\nname = \"a\"\n").unwrap_err().contains("[[probes]]"));
        assert!(config("probing.references = \"host\"").unwrap_err().contains("names no port"));
    }

    #[test]
    fn a_redirect_leads_where_a_browser_would_go() {
        let Ok(Target::Http(here)) = Target::parse("http://a.example:8000/one/two?x=1") else {
            panic!()
        };
        for (location, there) in [
            ("/three", "http://a.example:8000/three"),
            ("three#four", "http://a.example:8000/one/three"),
            ("https://b.example", "https://b.example/"),
            ("//c.example/x", "http://c.example/x"),
        ] {
            assert_eq!(here.join(location).unwrap().to_string(), there, "{location}");
        }
        let next = here.join("/login?next=https://d.example/").unwrap();
        assert_eq!(next.path, "/login?next=https://d.example/");
        assert!(here.join("HTTPS://d.example/").is_some_and(|it| it.is_tls));
        assert!(here.join("ftp://d.example/").is_none() && here.join("/a b").is_none());
    }
}
