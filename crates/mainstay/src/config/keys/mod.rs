//! THE table of configuration keys, section by section. Parsing, `--help`, `check`, `config` and
//! docs/config.md are all made from it: a new setting is one row here and one field in `Config`.

mod alerts;
mod bans;
mod database;
mod health;
mod history;
mod http;
mod limits;
mod log;
mod metrics;
mod probes;
mod proxy;
mod security;
mod sentry;
mod server;
mod telemetry;
mod workers;

use super::kind::Kind;
use std::time::Duration;

/// One setting.
#[derive(Debug)]
pub(crate) struct Key {
    /// Section and name, `workers.count`.
    pub path: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// The built-in default, as a variable would hold it.
    pub default: &'static str,
    /// Other variables that set it, the strongest first; all are weaker than its own.
    pub aliases: &'static [Alias],
    /// Long flag without its dashes.
    pub flag: Option<&'static str>,
    /// Short flag.
    pub short: Option<char>,
    /// What it takes for a new value to count.
    pub change: Change,
    /// Whether the value must never be shown.
    pub secret: bool,
    /// What it does, in one or two sentences.
    pub doc: &'static str,
}

/// What it takes for a new value to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A reload (`HUP`, or the command `reload`).
    Reload,
    /// A new supervisor.
    Restart,
}

impl Change {
    /// The name in documents.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Restart => "restart",
        }
    }
}

/// A variable that people already set.
#[derive(Debug)]
pub(crate) struct Alias {
    /// Its name.
    pub var: &'static str,
    /// How its value becomes the key's.
    pub map: AliasMap,
}

/// How an alias's value becomes the key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AliasMap {
    /// As it is.
    Same,
    /// A port alone: every IPv4 address of the machine, as Gunicorn means `PORT`.
    PortToBind,
    /// Whether the log goes to standard output; if not, it goes to `app.log`.
    StdoutOrFile,
    /// Whether Flask-Limiter's headers are sent.
    XRateLimit,
}

impl Key {
    /// The key's own variable: `MAINSTAY_WORKERS_COUNT`.
    pub(crate) fn variable(&self) -> String {
        format!("{PREFIX}{}", self.path.replace('.', "_").to_ascii_uppercase())
    }

    /// `workers` of `workers.count`.
    pub(crate) fn section(&self) -> &'static str {
        self.split().0
    }

    /// `count` of `workers.count`.
    pub(crate) fn name(&self) -> &'static str {
        self.split().1
    }

    fn split(&self) -> (&'static str, &'static str) {
        self.path.split_once('.').expect("a path has a section and a name")
    }
}

/// What every variable of mainstay's own begins with.
pub(crate) const PREFIX: &str = "MAINSTAY_";

/// The variable that names the configuration file.
pub(crate) const FILE_VARIABLE: &str = "MAINSTAY_CONFIG";

/// Variables with the prefix that are no settings: the file's name, and what one process of a
/// service tells the next.
pub(crate) const NOT_KEYS: &[&str] = &[FILE_VARIABLE, "MAINSTAY_ROLE", "MAINSTAY_HANDOVER"];

/// The section that belongs to the application.
pub(crate) const APP: &str = "app";

/// A section of the file.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its name.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// What may stand in it.
    pub keys: &'static [Key],
}

/// The sections, with all keys, in the order of the documents.
pub(crate) static SECTIONS: &[Section] = &[
    Section {
        name: "server",
        about: "The service as a whole: its name, its sockets, its files.",
        keys: server::KEYS,
    },
    Section {
        name: "workers",
        about: "The worker processes: how many, when they are replaced, how long they may take.",
        keys: workers::KEYS,
    },
    Section {
        name: "http",
        about: "Connections and requests: how long, how large, how many.",
        keys: http::KEYS,
    },
    Section {
        name: "proxy",
        about: "Whom to believe about the client's address, and what.",
        keys: proxy::KEYS,
    },
    Section {
        name: "limits",
        about: "How often clients may come; docs/rate-limits.md is the guide.",
        keys: limits::KEYS,
    },
    Section {
        name: "bans",
        about: "Who is refused everything for a while; docs/bans.md is the guide.",
        keys: bans::KEYS,
    },
    Section {
        name: "security",
        about: "What is told of logins and of scanners; docs/security-events.md is the guide.",
        keys: security::KEYS,
    },
    Section {
        name: "health",
        about: "The two health endpoints, and the checks behind readiness.",
        keys: health::KEYS,
    },
    Section {
        name: "database",
        about: "The database that the application asks for by its configuration, and all pools.",
        keys: database::KEYS,
    },
    Section { name: "log", about: "What is written.", keys: log::KEYS },
    Section { name: "metrics", about: "Where metrics are pushed to.", keys: metrics::KEYS },
    Section {
        name: "telemetry",
        about: "What leaves the host: traces, metrics and logs over OTLP.",
        keys: telemetry::KEYS,
    },
    Section {
        name: "sentry",
        about: "Errors, reported to Sentry or whoever speaks its protocol.",
        keys: sentry::KEYS,
    },
    Section { name: "alerts", about: "The alert rules, and whom they tell.", keys: alerts::KEYS },
    Section {
        name: "probing",
        about: "Probes of the service itself, and what all probes have in common; docs/uptime.md is the guide.",
        keys: probes::PROBING,
    },
    Section {
        name: "heartbeat",
        about: "Who is told again and again that the service is well.",
        keys: probes::HEARTBEAT,
    },
    Section {
        name: "history",
        about: "What was, for 400 days; docs/history.md is the guide.",
        keys: history::KEYS,
    },
];

/// Tables of which there may be several, each with all keys: `[[probes]]`. They stand in texts alone.
pub(crate) static TABLES: &[Section] = &[Section {
    name: "probes",
    about: "What is asked from outside, one table each, at most 32.",
    keys: probes::PROBE,
}];

/// Every key, section by section.
pub(crate) fn all() -> impl Iterator<Item = &'static Key> + Clone {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// A row with what most rows have; `..ROW` fills in the rest.
const ROW: Key = Key {
    path: "",
    kind: Kind::Text,
    default: "",
    aliases: &[],
    flag: None,
    short: None,
    change: Change::Reload,
    secret: false,
    doc: "",
};

const fn same(var: &'static str) -> Alias {
    Alias { var, map: AliasMap::Same }
}

const FROM_ZERO: Kind = Kind::Duration { min: Duration::ZERO };
const ABOVE_ZERO: Kind = Kind::Duration { min: Duration::from_millis(1) };
const ANY_COUNT: Kind = Kind::Count { min: 0, max: 1_000_000_000 };

/// The key of this path.
pub(crate) fn find(path: &str) -> Option<&'static Key> {
    all().find(|key| key.path == path)
}

/// The key that a wrong path most probably means: a slip of letters, the wrong or no section, or
/// Gunicorn's longer name.
pub(crate) fn nearest_key(wrong: &str) -> Option<&'static str> {
    let (section, name) = wrong.rsplit_once('.').unwrap_or(("", wrong));
    let by_name = |right: &str| match right {
        _ if name == right => 0,
        // "thread" for "threads", and Gunicorn's "graceful_timeout" for "grace".
        _ if name.len() >= 3 && (name.starts_with(right) || right.starts_with(name)) => 1,
        _ => strsim::damerau_levenshtein(name, right),
    };
    let distance = |key: &Key| {
        let moved = usize::from(section != key.section());
        strsim::damerau_levenshtein(wrong, key.path).min(by_name(key.name()) + moved)
    };
    let best = all().map(|key| (distance(key), key.path)).min_by_key(|(it, _)| *it)?;
    close(best, name.len().max(4))
}

/// The nearest of some names, when any is near.
pub(crate) fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distances = names.map(|name| (strsim::damerau_levenshtein(wrong, name), name));
    close(distances.min_by_key(|(it, _)| *it)?, wrong.len())
}

/// One slip in three letters still reads as the same word; more is a guess.
fn close<T>((distance, found): (usize, T), letters: usize) -> Option<T> {
    (distance <= (letters / 3).max(1)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_table_keeps_its_budget() {
        let count = all().count() + TABLES.iter().map(|table| table.keys.len()).sum::<usize>();
        // 80, and more since limits, alerts and what goes with them are subjects of their own: each one's tables
        // (receivers, probes, stores, bans) count as the keys of one table.
        assert!(count <= 150, "{count} keys: remove one before adding one");
    }

    #[test]
    fn names_variables_and_flags_are_unique() {
        let mut seen = HashSet::new();
        for key in all() {
            assert!(seen.insert(key.path.to_owned()), "{} twice", key.path);
            for name in key.aliases.iter().map(|it| it.var.to_owned()).chain([key.variable()]) {
                assert!(seen.insert(name), "a variable of {} twice", key.path);
            }
            for name in key
                .flag
                .map(|it| format!("--{it}"))
                .into_iter()
                .chain(key.short.map(|it| format!("-{it}")))
            {
                assert!(seen.insert(name), "a flag of {} twice", key.path);
            }
            assert!(!NOT_KEYS.contains(&key.variable().as_str()), "{} has a taken name", key.path);
        }
    }

    #[test]
    fn keys_stand_in_the_order_of_their_sections() {
        let mut order: Vec<&str> = all().map(Key::section).collect();
        order.dedup();
        let sections: Vec<&str> = SECTIONS.iter().map(|section| section.name).collect();
        assert_eq!(order, sections);
    }

    #[test]
    fn the_nearest_key_is_the_one_meant() {
        let cases = [
            ("workers.cuont", Some("workers.count")),
            ("server.thread", Some("workers.threads")),
            ("workers", None),
            ("bind", Some("server.bind")),
            ("loglevel", Some("log.level")),
            ("server.keepalive", Some("http.keep_alive")),
            ("workers.graceful_timeout", Some("workers.grace")),
            ("server.colour", None),
        ];
        for (wrong, right) in cases {
            assert_eq!(nearest_key(wrong), right, "{wrong}");
        }
    }
}
