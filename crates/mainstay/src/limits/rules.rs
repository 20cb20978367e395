//! What the configuration says of limits, read: which paths have limits of their own, who is counted
//! as one, and who is not counted.

use super::parse::{Rate, parse_many};
use super::pattern::Pattern;
use super::place::Place;
use crate::http::client::Networks;
use std::fmt;
use std::net::IpAddr;

/// What stands between two rules where they are one text.
pub(crate) const BETWEEN: &str = " & ";
/// Before the limits of a rule that only tells.
const DRY_RUN: &str = "dry-run ";
/// Before the limits of a rule that has its own way while the store is away.
const AWAY: [(&str, Away); 3] =
    [("away-local ", Away::Local), ("away-allow ", Away::Allow), ("away-deny ", Away::Deny)];

/// What becomes of limits while the store that counts them for several hosts does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Away {
    /// Each host counts for itself.
    Local,
    /// They admit everything.
    Allow,
    /// They refuse everything.
    Deny,
}

/// Limits of some paths, in place of the default ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// None for all of them.
    pub(crate) methods: Vec<Box<str>>,
    pub(crate) pattern: Pattern,
    pub(crate) rates: Vec<Rate>,
    /// It is told what would be refused, and nothing is.
    pub(crate) dry_run: bool,
    /// Its own way while the store is away.
    pub(crate) away: Option<Away>,
}

impl Rule {
    /// Reads `[METHOD,…] PATH: [dry-run] [away-…] LIMITS`.
    fn parse(text: &str) -> Result<Rule, String> {
        let text = text.trim();
        let Some((place, limits)) = text.split_once(':') else {
            return Err(format!("{text:?} has no \":\" between the path and its limits"));
        };
        let place = place.trim();
        let Place { methods, pattern } = Place::parse(place)?;
        let limits = limits.trim_start();
        let (dry_run, limits) = match limits.strip_prefix(DRY_RUN) {
            Some(limits) => (true, limits),
            None => (false, limits),
        };
        let own = AWAY.iter().find_map(|(word, away)| Some((limits.strip_prefix(word)?, *away)));
        let (limits, away) = own.map_or((limits, None), |(limits, away)| (limits, Some(away)));
        let rates = parse_many(limits).map_err(|it| format!("{place}: {limits:?} {it}"))?;
        Ok(Rule { methods, pattern, rates, dry_run, away })
    }

    /// Reads rules that are joined by ` & `.
    ///
    /// # Errors
    /// Which rule is wrong, and where.
    pub(crate) fn parse_all(text: &str) -> Result<Vec<Rule>, String> {
        let rules = text.split(BETWEEN).filter(|it| !it.trim().is_empty());
        let rules: Vec<Rule> = rules.map(Rule::parse).collect::<Result<_, _>>()?;
        for (index, rule) in rules.iter().enumerate() {
            if rules[..index].iter().any(|it| it.place() == rule.place()) {
                return Err(format!("{} stands there twice", rule.place()));
            }
        }
        Ok(rules)
    }

    /// Whether a request is one of it.
    #[inline]
    pub(crate) fn meets(&self, method: &str, path: &str) -> bool {
        // Who may GET may HEAD, and it costs the application as much.
        let is_meant = |it: &str| it == method || (method == "HEAD" && it == "GET");
        (self.methods.is_empty() || self.methods.iter().any(|it| is_meant(it)))
            && self.pattern.holds(path)
    }

    /// Methods and pattern, as they name the rule.
    pub(crate) fn place(&self) -> String {
        match self.methods.is_empty() {
            true => self.pattern.to_string(),
            false => format!("{} {}", self.methods.join(","), self.pattern),
        }
    }

    /// Whether no request that `other` is for gets past this one.
    pub(crate) fn hides(&self, other: &Rule) -> bool {
        let has_all = || other.methods.iter().all(|it| self.methods.contains(it));
        let methods = self.methods.is_empty() || (!other.methods.is_empty() && has_all());
        methods && self.pattern.covers(&other.pattern)
    }
}

/// Who is counted as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyBy {
    /// The client's address.
    Address,
    /// The value of this header; without it the client's address.
    Header(http::HeaderName),
    /// The value of this cookie; without it the client's address.
    Cookie(Box<str>),
}

impl fmt::Display for KeyBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyBy::Address => f.write_str("address"),
            KeyBy::Header(name) => write!(f, "header:{name}"),
            KeyBy::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

impl KeyBy {
    /// Reads `address`, `header:NAME` or `cookie:NAME`.
    ///
    /// # Errors
    /// What it is not.
    pub(crate) fn parse(text: &str) -> Result<KeyBy, String> {
        match text.trim().split_once(':') {
            None if text.trim() == "address" => Ok(KeyBy::Address),
            Some(("header", name)) => match name.trim().parse() {
                Ok(name) => Ok(KeyBy::Header(name)),
                Err(_) => Err(format!("{name:?} is no name of a header")),
            },
            Some(("cookie", name)) => {
                // The same characters make a name of a cookie and one of a header, whose letters are all alike.
                match name.trim().parse::<http::HeaderName>() {
                    Ok(_) => Ok(KeyBy::Cookie(name.trim().into())),
                    Err(_) => Err(format!("{name:?} is no name of a cookie")),
                }
            }
            _ => {
                Err(format!("{text:?} is none of \"address\", \"header:NAME\" and \"cookie:NAME\""))
            }
        }
    }
}

/// Who and what is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exempt {
    clients: Networks,
    paths: Vec<Pattern>,
}

impl Exempt {
    /// Reads a comma list of paths, addresses and networks.
    ///
    /// # Errors
    /// Names the entry and what is wrong with it.
    pub(crate) fn parse(list: &str) -> Result<Exempt, String> {
        let entries = list.split(',').map(str::trim).filter(|it| !it.is_empty());
        let (paths, clients): (Vec<&str>, Vec<&str>) = entries.partition(|it| it.starts_with('/'));
        if clients.contains(&"*") {
            return Err("\"*\" would exempt everybody: use limits.enabled = false".to_owned());
        }
        Ok(Exempt {
            clients: Networks::parse(&clients.join(","))?,
            paths: paths.into_iter().map(Pattern::parse).collect::<Result<_, _>>()?,
        })
    }

    /// Whether a client's request for a path is not counted.
    #[inline]
    pub(crate) fn holds(&self, client: Option<IpAddr>, path: &str) -> bool {
        let is_known = match client {
            Some(client) => self.clients.contains(client),
            None => self.clients.trusts_unix(),
        };
        is_known || self.paths.iter().any(|it| it.holds(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        Rule::parse(text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_rule_says_where_and_how_many() {
        let it = rule("GET,POST /orders/{id}: 5/minute; 20 per hour");
        assert_eq!(it.place(), "GET,POST /orders/{id}");
        assert_eq!(it.rates.len(), 2);
        assert!(!it.dry_run && it.meets("GET", "/orders/7") && it.meets("HEAD", "/orders/7"));
        assert!(!it.meets("DELETE", "/orders/7") && !it.meets("GET", "/orders"));
        assert!(rule("/search:dry-run 1/second").dry_run);
        let both = rule("POST /login: dry-run away-deny 1/second");
        assert!(both.dry_run && both.away == Some(Away::Deny) && both.rates.len() == 1);
        assert_eq!(rule("/a: away-local 1/second").away, Some(Away::Local));
        assert_eq!(rule("/a: 1/second").away, None);
        assert!(rule("/a: 1/second:;2/minute").meets("PATCH", "/a"));
        assert!(!rule("POST /a: 1/second").meets("HEAD", "/a"));
    }

    #[test]
    fn a_rule_that_is_wrong_is_told_with_the_right_thing() {
        for (text, error) in [
            ("/login 5/minute", "\"/login 5/minute\" has no \":\" between the path and its limits"),
            ("login: 5/minute", "the path \"login\" does not begin with \"/\""),
            ("get /a: 5/minute", "\"get\" is not a method, such as GET or POST"),
            (
                "/a: 5/min",
                "/a: \"5/min\" at character 3: no granularity matched for min: did you mean \"minute\"?",
            ),
        ] {
            assert_eq!(Rule::parse(text), Err(error.to_owned()), "{text}");
        }
        let twice = Rule::parse_all("/a: 1/second & GET /a: 1/second & /a: 2/minute");
        assert_eq!(twice, Err("/a stands there twice".to_owned()));
    }

    #[test]
    fn a_rule_hides_what_comes_after_it() {
        assert!(rule("/a/*: 1/day").hides(&rule("GET /a/b: 1/day")));
        assert!(rule("GET,POST /a: 1/day").hides(&rule("POST /a: 1/day")));
        assert!(!rule("POST /a: 1/day").hides(&rule("/a: 1/day")));
        assert!(!rule("/a/b: 1/day").hides(&rule("/a/*: 1/day")));
    }

    #[test]
    fn paths_and_networks_are_exempt_together() {
        let exempt = Exempt::parse("/static/*, 10.0.0.0/8, unix").unwrap();
        let client = |text: &str| Some(text.parse().unwrap());
        assert!(exempt.holds(client("10.1.2.3"), "/") && exempt.holds(None, "/"));
        assert!(exempt.holds(client("192.0.2.1"), "/static/a.css"));
        assert!(!exempt.holds(client("192.0.2.1"), "/") && !Exempt::default().holds(None, "/"));
        assert!(Exempt::parse("*").is_err() && Exempt::parse("10.1.2.3/8").is_err());
    }

    #[test]
    fn a_key_is_the_address_a_header_or_a_cookie() {
        assert_eq!(KeyBy::parse("address"), Ok(KeyBy::Address));
        let name = http::HeaderName::from_static("x-api-key");
        assert_eq!(KeyBy::parse("header:X-Api-Key"), Ok(KeyBy::Header(name)));
        assert_eq!(KeyBy::parse("cookie: Sid"), Ok(KeyBy::Cookie("Sid".into())));
        for text in ["address", "header:x-api-key", "cookie:Sid"] {
            assert_eq!(KeyBy::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "ip", "header", "header:", "header:a b", "cookie", "cookie:", "cookie:a=b"]
        {
            assert!(KeyBy::parse(text).is_err(), "{text}");
        }
    }
}
