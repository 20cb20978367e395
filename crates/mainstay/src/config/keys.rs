//! THE table of configuration keys. Parsing, `--help`, `check`, `config` and docs/config.md are
//! all made from it: a new setting is one row here and one field in `Config`.

use std::time::Duration;

use super::kind::Kind;

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

/// The sections in the order of the table, with what each is about.
pub(crate) static SECTIONS: &[(&str, &str)] = &[
    ("server", "The service as a whole: its name, its sockets, its files."),
    ("workers", "The worker processes: how many, when they are replaced, how long they may take."),
    ("http", "Connections and requests: how long, how large, how many."),
    ("proxy", "Whom to believe about the client's address, and what."),
    ("health", "The two health endpoints."),
    ("log", "What is written."),
];

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

/// Every key, section by section in the order of [`SECTIONS`].
pub(crate) static KEYS: &[Key] = &[
    Key {
        path: "server.name",
        change: Change::Restart,
        doc: "Name of the service in logs, metrics and on its pages. Empty: the program's file \
              name.",
        ..ROW
    },
    Key {
        path: "server.bind",
        kind: Kind::Binds { port: 8000 },
        default: "127.0.0.1:8000",
        aliases: &[Alias { var: "PORT", map: AliasMap::PortToBind }],
        flag: Some("bind"),
        short: Some('b'),
        change: Change::Restart,
        doc: "Where requests are accepted: one address or several. A host without a port means \
              port 8000. PORT=8080 means 0.0.0.0:8080.",
        ..ROW
    },
    Key {
        path: "server.admin",
        kind: Kind::OptionalBind { port: 8001 },
        default: "127.0.0.1:8001",
        flag: Some("admin"),
        change: Change::Restart,
        doc: "Where the watch process answers health checks, whatever the workers do. Empty: \
              nowhere.",
        ..ROW
    },
    Key {
        path: "server.backlog",
        kind: Kind::Count { min: 1, max: 65_535 },
        default: "2048",
        change: Change::Restart,
        doc: "Connections that may wait on each socket until a worker accepts them; the kernel's \
              somaxconn caps it.",
        ..ROW
    },
    Key {
        path: "server.pidfile",
        kind: Kind::Path,
        flag: Some("pidfile"),
        short: Some('p'),
        change: Change::Restart,
        doc: "File that holds the supervisor's process id while it runs. Empty: none.",
        ..ROW
    },
    Key {
        path: "server.control",
        kind: Kind::Path,
        flag: Some("control"),
        change: Change::Restart,
        doc: "Path of the control socket, which status, reload and the other commands speak to. \
              Empty: chosen by mainstay, from the service's name.",
        ..ROW
    },
    Key {
        path: "server.environment",
        change: Change::Restart,
        doc: "Where the service runs, such as production or staging, for structured logs. Empty: \
              not said.",
        ..ROW
    },
    Key {
        path: "workers.count",
        kind: Kind::CountOrAuto { min: 1, max: 512 },
        default: "auto",
        aliases: &[same("WEB_CONCURRENCY"), same("GUNICORN_WORKERS")],
        flag: Some("workers"),
        short: Some('w'),
        doc: "Number of worker processes. auto: one per core that the service may use.",
        ..ROW
    },
    Key {
        path: "workers.threads",
        kind: Kind::Count { min: 1, max: 64 },
        default: "1",
        doc: "Threads of each worker's runtime.",
        ..ROW
    },
    Key {
        path: "workers.max_requests",
        kind: ANY_COUNT,
        default: "0",
        flag: Some("max-requests"),
        doc: "Requests after which a worker is replaced by a new one. 0: never.",
        ..ROW
    },
    Key {
        path: "workers.max_requests_jitter",
        kind: ANY_COUNT,
        default: "0",
        doc: "Up to so many requests, this number included, are added to max_requests by chance, \
              so that workers are not all replaced at once.",
        ..ROW
    },
    Key {
        path: "workers.lifetime",
        kind: FROM_ZERO,
        default: "0s",
        doc: "Age at which a worker is replaced by a new one. 0s: never.",
        ..ROW
    },
    Key {
        path: "workers.max_rss",
        kind: Kind::Bytes,
        default: "0",
        doc: "Resident memory at which a worker is replaced by a new one. 0: never.",
        ..ROW
    },
    Key {
        path: "workers.boot_timeout",
        kind: ABOVE_ZERO,
        default: "30s",
        doc: "Time a new worker has until it is ready for requests.",
        ..ROW
    },
    Key {
        path: "workers.timeout",
        kind: FROM_ZERO,
        default: "30s",
        flag: Some("timeout"),
        short: Some('t'),
        doc: "Time without a heartbeat after which a worker counts as stuck and is replaced. It \
              is no limit on a request. 0s: never.",
        ..ROW
    },
    Key {
        path: "workers.grace",
        kind: FROM_ZERO,
        default: "15s",
        flag: Some("grace"),
        doc: "Time a worker that is to stop has for the requests it has accepted.",
        ..ROW
    },
    Key {
        path: "http.keep_alive",
        kind: FROM_ZERO,
        default: "75s",
        doc: "Time a connection may stay open between two requests. 0s: one request for each \
              connection.",
        ..ROW
    },
    Key {
        path: "http.header_timeout",
        kind: ABOVE_ZERO,
        default: "10s",
        doc: "Time a client has to send the head of a request.",
        ..ROW
    },
    Key {
        path: "http.body_timeout",
        kind: ABOVE_ZERO,
        default: "30s",
        doc: "Time a client may be silent while it sends the body of a request.",
        ..ROW
    },
    Key {
        path: "http.write_timeout",
        kind: ABOVE_ZERO,
        default: "30s",
        doc: "Time a client may take no data while an answer is sent.",
        ..ROW
    },
    Key {
        path: "http.linger",
        kind: FROM_ZERO,
        default: "2s",
        doc: "Time that idle connections are kept open at stop for one more answer, which tells \
              the client to close.",
        ..ROW
    },
    Key {
        path: "http.h2",
        kind: Kind::Bool,
        default: "true",
        doc: "Whether cleartext HTTP/2 is spoken with clients that begin with it.",
        ..ROW
    },
    Key {
        path: "http.request_timeout",
        kind: FROM_ZERO,
        default: "30s",
        doc: "Time the application has to begin its answer; then the client gets a 504. What is \
              streamed afterwards takes as long as it takes. 0s: no limit.",
        ..ROW
    },
    Key {
        path: "http.max_body",
        kind: Kind::Bytes,
        default: "64 MiB",
        doc: "Largest body of a request; a larger one is answered with 413. 0: no limit.",
        ..ROW
    },
    Key {
        path: "http.max_connections",
        kind: ANY_COUNT,
        default: "10000",
        doc: "Connections that a worker keeps open at a time. At the limit it closes idle ones \
              and leaves new ones to other workers, or in the queue. 0: no limit.",
        ..ROW
    },
    Key {
        path: "http.keep_alive_requests",
        kind: ANY_COUNT,
        default: "0",
        doc: "Requests after which a connection is closed. 0: never.",
        ..ROW
    },
    Key {
        path: "http.limit_request_line",
        kind: Kind::Count { min: 0, max: 65_536 },
        default: "4094",
        doc: "Longest request line in bytes; a longer one is answered with 414. 0: no limit of \
              its own.",
        ..ROW
    },
    Key {
        path: "http.limit_request_fields",
        kind: Kind::Count { min: 1, max: 1_000 },
        default: "100",
        doc: "Most header fields of a request; more are answered with 431.",
        ..ROW
    },
    Key {
        path: "http.limit_request_field_size",
        kind: Kind::Count { min: 64, max: 65_536 },
        default: "8190",
        doc: "Longest header field in bytes, with its name and its line's end; a longer one is \
              answered with 431.",
        ..ROW
    },
    Key {
        path: "http.error_pages",
        kind: Kind::Path,
        doc: "Directory with templates of your own for error pages: 404.html, 500.html, \
              error.html and so on. Empty: the built-in ones.",
        ..ROW
    },
    Key {
        path: "proxy.trusted",
        kind: Kind::Networks,
        default: "127.0.0.1,::1",
        aliases: &[same("FORWARDED_ALLOW_IPS")],
        doc: "Proxies that may say who the client is: addresses, networks, loopback, private, or \
              unix for peers on unix sockets. Empty: nobody.",
        ..ROW
    },
    Key {
        path: "proxy.header",
        kind: Kind::OneOf(&["x-forwarded", "forwarded", "off"]),
        default: "x-forwarded",
        doc: "Which headers of a trusted proxy are read: X-Forwarded-For and its like, Forwarded \
              (RFC 7239), or none.",
        ..ROW
    },
    Key {
        path: "proxy.hops",
        kind: Kind::Count { min: 0, max: 32 },
        default: "0",
        doc: "How many proxies at most stand before the service. 0: as many as are trusted.",
        ..ROW
    },
    Key {
        path: "proxy.fix",
        kind: Kind::ProxyFix,
        doc: "Counting as Werkzeug's ProxyFix does it, such as { x_for = 1, x_proto = 1 }, in \
              place of walking the chain. Empty: the chain is walked.",
        ..ROW
    },
    Key {
        path: "proxy.hosts",
        kind: Kind::Hosts,
        doc: "Hosts that a trusted proxy may name, such as example.com or .example.com. Empty: \
              what it says of the host is not used.",
        ..ROW
    },
    Key {
        path: "proxy.protocol",
        kind: Kind::OneOf(&["off", "v1", "v2", "auto"]),
        default: "off",
        doc: "Whether connections of trusted proxies begin with the PROXY protocol, and which \
              version of it.",
        ..ROW
    },
    Key {
        path: "health.live_path",
        kind: Kind::UrlPath,
        default: "/healthz",
        doc: "Path that answers 200 while the service makes progress.",
        ..ROW
    },
    Key {
        path: "health.ready_path",
        kind: Kind::UrlPath,
        default: "/readyz",
        doc: "Path that answers 200 while the service should be sent requests.",
        ..ROW
    },
    Key {
        path: "health.drain_delay",
        kind: Kind::DurationOrAuto,
        default: "auto",
        doc: "Time between the wish to stop, from when on the service reports that it is not \
              ready, and the moment it accepts no more. auto: 10s under Kubernetes, 0s on a \
              terminal, else 5s.",
        ..ROW
    },
    Key {
        path: "log.level",
        kind: Kind::Level,
        default: "info",
        aliases: &[same("LOG_LEVEL"), same("GUNICORN_LOG_LEVEL")],
        flag: Some("log-level"),
        doc: "The least grave lines of the error log that are written: debug, info, warning, error \
              or critical. The access log has no level.",
        ..ROW
    },
    Key {
        path: "log.access",
        kind: Kind::Target,
        default: "stdout",
        flag: Some("access-logfile"),
        doc: "Where the access log goes: stdout (or -), stderr, or a file. Empty: nowhere.",
        ..ROW
    },
    Key {
        path: "log.access_format",
        kind: Kind::AccessFormat,
        default: "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\" %(D)s",
        flag: Some("access-logformat"),
        doc: "A line of the access log: Gunicorn's atoms or Apache's directives, or ecs for one \
              JSON object for each request.",
        ..ROW
    },
    Key {
        path: "log.error",
        kind: Kind::Target,
        default: "stderr",
        aliases: &[Alias { var: "LOG_TO_STDOUT", map: AliasMap::StdoutOrFile }],
        flag: Some("error-logfile"),
        doc: "Where everything else goes, the application's own records among it: stdout (or -), \
              stderr, or a file. Empty: nowhere. LOG_TO_STDOUT=true means stdout, \
              LOG_TO_STDOUT=false the file app.log.",
        ..ROW
    },
    Key {
        path: "log.format",
        kind: Kind::OneOf(&["auto", "text", "gunicorn", "ecs"]),
        default: "auto",
        flag: Some("log-format"),
        doc: "Lines of the error log: text (time - name - LEVEL - message), gunicorn ([time] [pid] \
              [LEVEL] message) or ecs (JSON). auto: text in a file, gunicorn elsewhere.",
        ..ROW
    },
    Key {
        path: "log.max_line",
        kind: Kind::Count { min: 1_000, max: 65_536 },
        default: "8000",
        doc: "Longest line of any log in bytes; what is longer is cut where it stays readable, \
              and marked.",
        ..ROW
    },
    Key {
        path: "log.buffer",
        kind: Kind::Bytes,
        default: "1 MiB",
        change: Change::Restart,
        doc: "Room for lines of each worker's access log that are not yet written, 64 KiB to 64 \
              MiB; the error log has a quarter of it.",
        ..ROW
    },
    Key {
        path: "log.probes",
        kind: Kind::Bool,
        default: "true",
        doc: "Whether health checks that succeed have lines in the access log. They are counted \
              either way.",
        ..ROW
    },
];

/// The key of this path.
pub(crate) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
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
    let best = KEYS.iter().map(|key| (distance(key), key.path)).min_by_key(|(it, _)| *it)?;
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
        assert!(KEYS.len() <= 80, "{} keys: remove one before adding one", KEYS.len());
    }

    #[test]
    fn names_variables_and_flags_are_unique() {
        let mut seen = HashSet::new();
        for key in KEYS {
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
        let mut order: Vec<&str> = KEYS.iter().map(Key::section).collect();
        order.dedup();
        let sections: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
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
