//! One attempt: what is asked is asked over a connection of its own, and each phase is timed. Blocks for as long
//! as it may take at most.

use super::dns;
use super::failure::Failure;
use super::family::{self, Lookup, Way};
use super::http::{self, Answer};
use super::stream::{Socket, Timed};
#[cfg(feature = "tls")]
use super::tls;
use crate::clock::{self, Mono};
use crate::config::Secret;
use crate::config::probes::{Contained, Expect, Family, Ip, Probe, Target, Url};
use memchr::memmem;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long each phase took, as far as it came. Over redirects they are summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Phases {
    pub(crate) dns: Option<Duration>,
    pub(crate) connect: Option<Duration>,
    pub(crate) tls: Option<Duration>,
    /// From the connection until the first byte of the answer.
    pub(crate) first_byte: Option<Duration>,
    pub(crate) transfer: Option<Duration>,
}

impl Phases {
    /// Each with its name.
    pub(crate) fn each(&self) -> [(&'static str, Option<Duration>); 5] {
        [
            ("dns", self.dns),
            ("connect", self.connect),
            ("tls", self.tls),
            ("first_byte", self.first_byte),
            ("transfer", self.transfer),
        ]
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempt {
    pub(crate) phases: Phases,
    pub(crate) total: Duration,
    pub(crate) failure: Option<Failure>,
    pub(crate) status: Option<u16>,
    /// When the first of its certificates ends, seconds since the Unix epoch.
    pub(crate) ends: Option<u64>,
    /// It stays on this host, so no way to the world is needed.
    pub(crate) is_near: bool,
    /// What came of each family of addresses, where each is asked by itself.
    pub(crate) families: Vec<(Ip, Option<Failure>)>,
}

impl Attempt {
    /// Why it failed, in words.
    pub(crate) fn why(&self) -> String {
        let why = match (self.failure, self.status) {
            (None, _) => return String::new(),
            (Some(Failure::Status), Some(status)) => format!("its status is {status}"),
            (Some(failure), _) => failure.about().to_owned(),
        };
        // Where both fail alike it is no matter of the family.
        let is_all = self.families.iter().all(|(_, it)| *it == self.failure);
        let named = self.families.iter().find(|(_, it)| *it == self.failure && !is_all);
        named.map_or(why.clone(), |(ip, _)| format!("over {ip}: {why}"))
    }

    /// Something that is away from this host was reached.
    pub(crate) fn has_reached(&self) -> bool {
        let is_some_good = self.families.iter().any(|(_, failure)| failure.is_none());
        !self.is_near && (self.failure.is_none() || is_some_good)
    }
}

/// Makes one.
pub(crate) fn attempt(probe: &Probe) -> Attempt {
    attempt_by(probe, &dns::resolve)
}

/// The same where names are looked up like this.
pub(super) fn attempt_by(probe: &Probe, lookup: &Lookup<'_>) -> Attempt {
    let usual = Way { lookup, only: None, may_stray: false };
    match (probe.family, &probe.target) {
        (Family::Both, Target::Http(_) | Target::Tcp { .. }) => {
            family::both(|ip| attempt_over(probe, Way { only: Some(ip), ..usual }))
        }
        (Family::Only(ip), _) => attempt_over(probe, Way { only: Some(ip), ..usual }),
        _ => attempt_over(probe, usual),
    }
}

fn attempt_over(probe: &Probe, way: Way<'_>) -> Attempt {
    let begun = clock::mono();
    let deadline = begun + probe.timeout;
    let mut found = Attempt::default();
    let outcome = match &probe.target {
        Target::Http(url) => follow(url, probe, (way, deadline), &mut found).map(Some),
        Target::Tcp { host, port } => {
            connect(host, *port, (way, deadline), &mut found).map(|_| None)
        }
        Target::Dns { name, server } => {
            let asked = clock::mono();
            let outcome = match server {
                Some(server) => dns::ask(name, *server, probe.family, deadline),
                None => (way.lookup)(name, 0, deadline)
                    .and_then(|it| dns::has_wanted(&it, probe.family)),
            };
            // A resolver of this host that cannot answer may have no way to the world.
            found.is_near = outcome.is_ok() && server.is_some_and(|it| it.is_loopback());
            add(&mut found.phases.dns, asked);
            outcome.map(|()| None)
        }
        Target::Unix { socket, path } => {
            found.is_near = true;
            through_unix(socket, (path, &probe.headers), deadline, &mut found).map(Some)
        }
    };
    // What judging takes is ours.
    found.total = clock::mono().since(begun);
    let judged = outcome.and_then(|it| it.map_or(Ok(()), |it| judge(&it, &probe.expect)));
    found.failure = judged.err();
    let is_slow = probe.expect.max_time.is_some_and(|most| found.total > most);
    if found.failure.is_none() && is_slow {
        found.failure = Some(Failure::Slow);
    }
    found
}

/// Over which addresses, and until when.
type Course<'a> = (Way<'a>, Mono);

/// Where something is asked for, and with which headers.
type Question<'a, T> = (&'a T, &'a [(String, Secret)]);

/// Adds to a phase what has passed since.
fn add(phase: &mut Option<Duration>, since: Mono) {
    *phase = Some(phase.unwrap_or_default() + clock::mono().since(since));
}

fn connect(
    host: &str,
    port: u16,
    (way, deadline): Course<'_>,
    found: &mut Attempt,
) -> Result<TcpStream, Failure> {
    let asked = clock::mono();
    let addresses = way.addresses(host, port, deadline);
    add(&mut found.phases.dns, asked);
    let addresses = addresses?;
    found.is_near = addresses.iter().all(|it| it.ip().is_loopback());
    let begun = clock::mono();
    let connected = connect_any(&addresses, deadline);
    add(&mut found.phases.connect, begun);
    connected
}

/// The first address that takes a connection; each has its part of the time.
fn connect_any(addresses: &[SocketAddr], deadline: Mono) -> Result<TcpStream, Failure> {
    let mut failure = None;
    for (address, others) in addresses.iter().zip((1..=addresses.len() as u32).rev()) {
        let left = deadline.since(clock::mono()) / others;
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(address, left) {
            Ok(stream) => return Ok(stream),
            // That no way leads to one says nothing where another was tried in vain.
            Err(error) => match (failure, Failure::of_connect(&error)) {
                (Some(_), Failure::NoWay) => {}
                (_, last) => failure = Some(last),
            },
        }
    }
    Err(failure.unwrap_or(Failure::ConnectTimeout))
}

/// Asks, and goes where it is sent to, as often as it may.
fn follow(
    first: &Url,
    probe: &Probe,
    (mut way, deadline): Course<'_>,
    found: &mut Attempt,
) -> Result<Answer, Failure> {
    let (mut url, expect) = (first.clone(), &probe.expect);
    let is_theirs = |url: &Url| (url.is_tls, url.authority()) == (first.is_tls, first.authority());
    for left in (0..=expect.redirects).rev() {
        // What lets in here is nobody else's.
        let headers = if is_theirs(&url) { &*probe.headers } else { &[] };
        let answer = ask((&url, headers), expect.ca.as_deref(), (way, deadline), found)?;
        // Whether others have both families is nothing that was asked.
        way.may_stray = probe.family == Family::Both;
        let is_redirect = matches!(answer.status, 301 | 302 | 303 | 307 | 308);
        if !is_redirect || expect.redirects == 0 {
            return Ok(answer);
        }
        let next = answer.header("location").and_then(|location| url.join(location));
        let next = next.filter(|next| left > 0 && (cfg!(feature = "tls") || !next.is_tls));
        url = next.ok_or(Failure::Redirects)?;
    }
    Err(Failure::Redirects)
}

fn ask(
    (url, headers): Question<'_, Url>,
    ca: Option<&Path>,
    course: Course<'_>,
    found: &mut Attempt,
) -> Result<Answer, Failure> {
    let stream = connect(&url.host, url.port, course, found)?;
    // Requests are small and answers are waited for.
    stream.set_nodelay(true).ok();
    let socket = Timed::new(Socket::Tcp(stream), course.1);
    let host = url.authority();
    if url.is_tls {
        return ask_secretly(socket, (url, headers), ca, found);
    }
    exchange(socket, (&host, &url.path, headers), found)
}

#[cfg(feature = "tls")]
fn ask_secretly(
    socket: Timed,
    (url, headers): Question<'_, Url>,
    ca: Option<&Path>,
    found: &mut Attempt,
) -> Result<Answer, Failure> {
    let begun = clock::mono();
    let (stream, ends) = tls::begin(socket, &url.host, ca);
    add(&mut found.phases.tls, begun);
    // The first that ends of all that were met.
    found.ends = [found.ends, ends].into_iter().flatten().min();
    exchange(stream?, (&url.authority(), &url.path, headers), found)
}

#[cfg(not(feature = "tls"))]
fn ask_secretly(
    _: Timed,
    _: Question<'_, Url>,
    _: Option<&Path>,
    _: &mut Attempt,
) -> Result<Answer, Failure> {
    Err(Failure::TlsFailed)
}

fn through_unix(
    socket: &Path,
    (path, headers): Question<'_, str>,
    deadline: Mono,
    found: &mut Attempt,
) -> Result<Answer, Failure> {
    let begun = clock::mono();
    let stream = connect_unix(socket, deadline);
    add(&mut found.phases.connect, begun);
    let stream = stream.map_err(|error| Failure::of_connect(&error))?;
    let socket = Timed::new(Socket::Unix(stream), deadline);
    exchange(socket, ("localhost", path, headers), found)
}

/// Connects in time: whoever connects to a full queue would else wait until there is room.
fn connect_unix(socket: &Path, deadline: Mono) -> io::Result<UnixStream> {
    let left = deadline.since(clock::mono()).max(Duration::from_millis(1));
    let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&fd, Timeout::Send, Some(left))?;
    rustix::net::connect(&fd, &SocketAddrUnix::new(socket)?)?;
    Ok(UnixStream::from(fd))
}

/// A request and its answer, timed.
fn exchange(
    mut stream: impl Read + Write,
    question: (&str, &str, &[(String, Secret)]),
    found: &mut Attempt,
) -> Result<Answer, Failure> {
    let (begun, mut first) = (clock::mono(), None);
    let answer = http::ask(&mut stream, question, &mut first);
    let now = clock::mono();
    let first = first.unwrap_or(now);
    let phases = &mut found.phases;
    phases.first_byte = Some(phases.first_byte.unwrap_or_default() + first.since(begun));
    phases.transfer = Some(phases.transfer.unwrap_or_default() + now.since(first));
    match answer {
        Ok(answer) => {
            found.status = Some(answer.status);
            Ok(answer)
        }
        Err((failure, status)) => {
            found.status = status;
            Err(failure)
        }
    }
}

/// Whether an answer is as it is expected to be.
fn judge(answer: &Answer, expect: &Expect) -> Result<(), Failure> {
    let status = answer.status;
    if !expect.status.iter().any(|(from, to)| (*from..=*to).contains(&status)) {
        return Err(Failure::Status);
    }
    if let Some((name, text)) = &expect.header {
        let values = answer.headers.iter().filter(|(it, _)| it == name);
        if !values.map(|(_, value)| value).any(|value| value.contains(text.as_str())) {
            return Err(Failure::Header);
        }
    }
    let is_in = match &expect.contains {
        None => true,
        Some(Contained::Text(text)) => memmem::find(&answer.body, text.as_bytes()).is_some(),
        Some(Contained::Match(expression)) => expression.is_in(&answer.body, answer.is_cut),
    };
    if !is_in {
        return Err(if answer.is_cut { Failure::TooLong } else { Failure::Body });
    }
    if let Some(condition) = &expect.json {
        let no_document = if answer.is_cut { Failure::TooLong } else { Failure::Json };
        let document = serde_json::from_slice(&answer.body).map_err(|_| no_document)?;
        return if condition.holds(&document) { Ok(()) } else { Err(Failure::Json) };
    }
    Ok(())
}
