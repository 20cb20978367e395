//! The receivers of notifications, as they are named in the configuration.

use super::units;
use super::value::Secret;
use percent_encoding::percent_decode_str;
use std::time::Duration;

/// Letters an hour until they are gathered.
const BUDGET: u32 = 30;
/// How long a receiver may take nothing until its fallback is told.
const FALLBACK_AFTER: Duration = Duration::from_secs(60);
/// Where PagerDuty takes events.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
/// Ports of mail: submission, and the same with TLS from the first byte.
const SUBMISSION: u16 = 587;
const SUBMISSIONS: u16 = 465;

/// What a receiver takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Webhook,
    Alertmanager,
    PagerDuty,
    Slack,
    Discord,
    Teams,
    Ntfy,
    Exec,
    Mail,
}

impl Shape {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Shape::Webhook => "webhook",
            Shape::Alertmanager => "Alertmanager",
            Shape::PagerDuty => "PagerDuty",
            Shape::Slack => "Slack",
            Shape::Discord => "Discord",
            Shape::Teams => "Teams",
            Shape::Ntfy => "ntfy",
            Shape::Exec => "a program",
            Shape::Mail => "mail",
        }
    }
}

/// What stands before an address of each, and what is to stand behind it.
const SHAPES: &[(&str, Shape)] = &[
    ("alertmanager+", Shape::Alertmanager),
    ("pagerduty+", Shape::PagerDuty),
    ("slack+", Shape::Slack),
    ("discord+", Shape::Discord),
    ("teams+", Shape::Teams),
    ("ntfy+", Shape::Ntfy),
];

/// When a receiver is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Of critical alerts alone.
    pub(crate) critical_only: bool,
    /// How long the first alert waits for others; zero tells each by itself.
    pub(crate) wait: Duration,
    /// The least time between two letters; zero tells each by itself.
    pub(crate) interval: Duration,
    /// After what time it is told again that an alert fires; none leaves it to its severity.
    pub(crate) repeat: Option<Duration>,
    /// Letters an hour, beyond which they are gathered.
    pub(crate) budget: u32,
    /// Who is told while this one takes nothing, by name.
    pub(crate) fallback: Option<String>,
    /// After what time that is so.
    pub(crate) fallback_after: Duration,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            critical_only: false,
            wait: Duration::ZERO,
            interval: Duration::ZERO,
            repeat: None,
            budget: BUDGET,
            fallback: None,
            fallback_after: FALLBACK_AFTER,
        }
    }
}

/// Somebody who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receiver {
    /// In logs and metrics.
    pub(crate) name: String,
    pub(crate) shape: Shape,
    /// Whoever knows it may tell them things. Of a program it is the path.
    pub(crate) url: Secret,
    /// What signs that it comes from here, or lets in.
    pub(crate) key: Option<Secret>,
    /// Arguments of a program.
    pub(crate) args: Vec<String>,
    pub(crate) policy: Policy,
}

impl Receiver {
    /// Whether it can be told over TLS alone.
    pub(crate) fn needs_tls(&self) -> bool {
        match self.shape {
            Shape::Exec => false,
            Shape::Mail => Mail::parse(self.url.expose()).is_ok_and(|it| !it.is_plain()),
            _ => self.url.expose().starts_with("https:"),
        }
    }
}

/// Reads `NAME=ADDRESS KEY OPTION=VALUE…, …`; a line feed separates as well as a comma. Errors show none of it
/// but names.
///
/// # Errors
/// What is wrong, for the end of a sentence.
pub(crate) fn parse(text: &str) -> Result<Vec<Receiver>, String> {
    let mut found: Vec<Receiver> = Vec::new();
    let items = text.split([',', '\n']).map(str::trim).filter(|it| !it.is_empty());
    for (item, place) in items.zip(1..) {
        let (name, rest) = item
            .split_once('=')
            .filter(|(name, _)| is_name(name.trim()))
            .ok_or_else(|| format!("number {place} does not begin with NAME="))?;
        let receiver = receiver(name.trim(), rest)?;
        if found.iter().any(|it| it.name == receiver.name) {
            return Err(format!("{} stands there twice", receiver.name));
        }
        found.push(receiver);
    }
    for receiver in &found {
        let Some(other) = &receiver.policy.fallback else { continue };
        if *other == receiver.name || !found.iter().any(|it| it.name == *other) {
            return Err(format!("the fallback of {} is no other receiver", receiver.name));
        }
    }
    Ok(found)
}

fn receiver(name: &str, rest: &str) -> Result<Receiver, String> {
    let mut words = rest.split_whitespace();
    let said = words.next().unwrap_or_default();
    let (shape, url, mut key) =
        address(said).map_err(|why| format!("the address of {name} {why}"))?;
    let (mut policy, mut args) = (Policy::default(), Vec::new());
    for word in words {
        match word.split_once('=') {
            Some((option, value))
                if option_of(&mut policy, option, value)
                    .map_err(|why| format!("{option} of {name} {why}"))? => {}
            _ if shape == Shape::Exec => args.push(word.to_owned()),
            _ if key.is_none() => key = Some(word.to_owned()),
            _ => return Err(format!("{name} has more than an address, a key and options")),
        }
    }
    let takes_key = !matches!(shape, Shape::Slack | Shape::Discord | Shape::Teams | Shape::Mail);
    match &key {
        Some(_) if !takes_key => {
            return Err(format!("{name} takes no key: its address is the secret"));
        }
        Some(key) if key.len() < 16 => {
            return Err(format!("the key of {name} is shorter than 16 characters"));
        }
        None if shape == Shape::PagerDuty => {
            return Err(format!("{name} needs the integration key behind its address"));
        }
        _ => {}
    }
    let (name, url, key) = (name.to_owned(), Secret::new(url), key.map(Secret::new));
    Ok(Receiver { name, shape, url, key, args, policy })
}

/// Takes an option; not if it is none.
fn option_of(policy: &mut Policy, option: &str, value: &str) -> Result<bool, &'static str> {
    match option {
        "severity" => {
            policy.critical_only = match value {
                "critical" => true,
                "warning" => false,
                _ => return Err("is neither critical nor warning"),
            };
        }
        "wait" => policy.wait = units::duration(value)?,
        "interval" => policy.interval = units::duration(value)?,
        "repeat" => policy.repeat = Some(units::duration(value)?),
        "budget" => {
            let budget = value.parse().ok().filter(|it| (1..=10_000).contains(it));
            policy.budget = budget.ok_or("is no number of 1 to 10000")?;
        }
        "fallback" => policy.fallback = Some(value.to_owned()),
        "fallback_after" => policy.fallback_after = units::duration(value)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// What it takes, where it is, and the key that was part of that.
fn address(said: &str) -> Result<(Shape, String, Option<String>), &'static str> {
    if let Some(key) = said.strip_prefix("pagerduty:") {
        return Ok((Shape::PagerDuty, PAGERDUTY.to_owned(), Some(key.to_owned())));
    }
    if let Some(path) = said.strip_prefix("exec:") {
        let is_absolute = path.starts_with('/').then(|| path.to_owned());
        return Ok((Shape::Exec, is_absolute.ok_or("is not the whole path of a program")?, None));
    }
    if said.starts_with("smtp://") || said.starts_with("smtps://") {
        Mail::parse(said)?;
        return Ok((Shape::Mail, said.to_owned(), None));
    }
    let shaped = SHAPES.iter().find_map(|(it, shape)| Some((*shape, said.strip_prefix(it)?)));
    let (shape, url) = shaped.unwrap_or((Shape::Webhook, said));
    judge(url)?;
    if shape == Shape::Ntfy && topic(url).is_none() {
        return Err("names no topic");
    }
    Ok((shape, url.to_owned(), None))
}

/// The server of an address of ntfy, and the topic.
pub(crate) fn topic(url: &str) -> Option<(&str, &str)> {
    let (server, topic) = url.rsplit_once('/')?;
    (!topic.is_empty() && !topic.contains('?') && !server.ends_with('/')).then_some((server, topic))
}

/// A mailbox that is told, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "mail"), allow(dead_code, reason = "it is judged alone"))]
pub(crate) struct Mail {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// TLS from the first byte, not from STARTTLS on.
    pub(crate) is_implicit: bool,
    /// Who is let in.
    pub(crate) login: Option<(String, Secret)>,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
}

impl Mail {
    /// Reads `smtp://USER:PASSWORD@HOST:PORT?from=…&to=…`; `to` may stand there more than once.
    ///
    /// # Errors
    /// The predicate of a sentence.
    pub(crate) fn parse(said: &str) -> Result<Mail, &'static str> {
        let (scheme, rest) = said.split_once("://").ok_or("is no URL")?;
        let is_implicit = scheme == "smtps";
        let (authority, query) = rest.split_once('?').ok_or("names nobody: ?from=…&to=…")?;
        let authority = authority.trim_end_matches('/');
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let decoded = |text: &str| {
            percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| "is no URL")
        };
        let login = match login.map(|it| it.split_once(':').ok_or("has a user without a password"))
        {
            Some(pair) => {
                let (user, password) = pair?;
                Some((decoded(user)?, Secret::new(decoded(password)?)))
            }
            None => None,
        };
        let usual = if is_implicit { SUBMISSIONS } else { SUBMISSION };
        let (host, port) = match place.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            Some((host, port)) => (host, port.parse().map_err(|_| "has no valid port")?),
            None => (place, usual),
        };
        if host.is_empty() {
            return Err("names no host");
        }
        let (mut from, mut to) = (None, Vec::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if !is_mailbox(&value) {
                return Err("names somebody who is no user@host");
            }
            match &*name {
                "from" => from = Some(value.into_owned()),
                "to" => to.push(value.into_owned()),
                _ => return Err("says something other than from and to"),
            }
        }
        let from = from.filter(|_| !to.is_empty()).ok_or("names nobody: ?from=…&to=…")?;
        Ok(Mail { host: host.to_owned(), port, is_implicit, login, from, to })
    }

    /// Nobody on the way could listen, so that TLS is not asked for.
    pub(crate) fn is_plain(&self) -> bool {
        let host = self.host.trim_matches(['[', ']']);
        let is_loopback = host.parse().is_ok_and(|it: std::net::IpAddr| it.is_loopback());
        !self.is_implicit && (is_loopback || host == "localhost")
    }
}

/// Whether it can stand on a line of SMTP as it is.
fn is_mailbox(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"<>\"(),:;\\[]".contains(&byte);
    let sides =
        text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    sides && text.matches('@').count() == 1 && text.bytes().all(fits)
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(fits)
}

fn judge(url: &str) -> Result<(), &'static str> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let rest = rest.ok_or("does not begin with http:// or https://")?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    match authority {
        "" => Err("names no host"),
        _ if authority.contains('@') => Err("holds a user or a password"),
        _ if url.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'#') => Err("is no URL"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_are_read_with_and_without_a_key() {
        let text =
            "ops=https://hooks.example/x?token=a=b , two=http://127.0.0.1:9/ whsec_0123456789\n";
        let found = parse(text).unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|it| (&*it.name, it.url.expose(), it.key.as_ref().map(|key| key.expose())))
            .collect();
        assert_eq!(
            shown,
            [
                ("ops", "https://hooks.example/x?token=a=b", None),
                ("two", "http://127.0.0.1:9/", Some("whsec_0123456789")),
            ]
        );
        assert_eq!(parse(" "), Ok(Vec::new()));
        assert!(!format!("{found:?}").contains("token"));
    }

    #[test]
    fn what_is_wrong_is_told_without_what_is_secret() {
        for (text, why) in [
            ("https://hooks.example/hunter2", "number 1"),
            ("ops=https://a/, Ops=https://hunter2/", "number 2"),
            ("ops=hunter2", "of ops does not begin"),
            ("ops=https://user:hunter2@host/", "password"),
            ("ops=https://", "no host"),
            ("ops=https://host/#hunter2", "no URL"),
            ("ops=https://host/ hunter2", "shorter"),
            ("ops=https://host/ hunter2hunter2hunter2 more", "more than"),
            ("ops=https://host/ fallback=ops", "no other"),
            ("ops=https://host/ fallback=hunter2", "no other"),
            ("ops=https://host/ wait=hunter2", "wait of ops is not"),
            ("ops=slack+https://host/ hunter2hunter2hunter2", "takes no key"),
            ("ops=pagerduty+https://host/hunter2", "needs the integration key"),
            ("ops=ntfy+https://host", "no topic"),
            ("ops=exec:hunter2", "whole path"),
            ("ops=smtp://hunter2@host?from=a@b&to=c@d", "without a password"),
            ("ops=smtp://host?from=hunter2&to=c@d", "no user@host"),
            ("ops=smtp://host:hunter2?from=a@b&to=c@d", "port"),
            ("ops=smtp://host", "names nobody"),
            ("ops=https://host/,ops=https://host/", "twice"),
        ] {
            let told = parse(text).unwrap_err();
            assert!(told.contains(why) && !told.contains("hunter2"), "{text}: {told}");
        }
    }

    #[test]
    fn every_shape_is_known_by_what_its_address_begins_with() {
        let one = |text: &str| parse(&format!("a={text}")).unwrap().remove(0);
        for (text, shape, url) in [
            ("alertmanager+http://h:9093", Shape::Alertmanager, "http://h:9093"),
            ("slack+https://h/x", Shape::Slack, "https://h/x"),
            ("discord+https://h/x", Shape::Discord, "https://h/x"),
            ("teams+https://h/x", Shape::Teams, "https://h/x"),
            ("ntfy+https://h/shop", Shape::Ntfy, "https://h/shop"),
            ("pagerduty:0123456789abcdef", Shape::PagerDuty, PAGERDUTY),
            ("exec:/bin/true a=b c", Shape::Exec, "/bin/true"),
        ] {
            let found = one(text);
            assert_eq!((found.shape, found.url.expose()), (shape, url), "{text}");
        }
        assert_eq!(one("exec:/bin/true a=b c budget=3").args, ["a=b", "c"]);
        assert_eq!(topic("https://h/shop"), Some(("https://h", "shop")));
        let text = "smtp://shop:p%40ss@[::1]:25?from=a@b&to=c@d&to=e@f";
        let mail = Mail::parse(one(text).url.expose()).unwrap();
        assert_eq!((&*mail.host, mail.port, mail.to.len()), ("[::1]", 25, 2));
        let (user, password) = mail.login.as_ref().unwrap();
        assert_eq!((&**user, password.expose()), ("shop", "p@ss"));
        assert!(mail.is_plain() && !one(text).needs_tls());
        assert!(one("smtp://mail.example?from=a@b&to=c@d").needs_tls());
        assert!(!format!("{mail:?}").contains("p@ss"));
    }

    #[test]
    fn options_say_when_and_the_rest_is_as_it_always_is() {
        let text = "a=https://h/ severity=critical wait=30s interval=5m repeat=1h budget=7 \
                    fallback=b fallback_after=2m, b=https://h/";
        let found = parse(text).unwrap();
        let seconds = Duration::from_secs;
        let policy = Policy {
            critical_only: true,
            wait: seconds(30),
            interval: seconds(300),
            repeat: Some(seconds(3_600)),
            budget: 7,
            fallback: Some("b".to_owned()),
            fallback_after: seconds(120),
        };
        assert_eq!((&found[0].policy, &found[1].policy), (&policy, &Policy::default()));
    }
}
