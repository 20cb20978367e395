//! The sections of the configuration as plain values, and how they are read from the layers.

use std::{path::PathBuf, time::Duration};

use super::{
    Effective, otel,
    value::{AutoDuration, Bind, Count, Level, LogTarget, Secret, Value},
};

/// `[server]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Server {
    /// Name of the service; none means the program's file name.
    pub name: Option<String>,
    /// Where requests are accepted; at least one.
    pub bind: Vec<Bind>,
    /// Where the watch process answers.
    pub admin: Option<Bind>,
    /// Connections that may wait on each socket, 1 to 65,535.
    pub backlog: u32,
    /// Directory whose file system is measured.
    pub uploads: Option<PathBuf>,
    /// File for the supervisor's process id.
    pub pidfile: Option<PathBuf>,
    /// Path of the control socket; none means chosen by mainstay.
    pub control: Option<PathBuf>,
    /// Where the service runs, for structured logs.
    pub environment: Option<String>,
}

/// `[workers]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Workers {
    /// Number of processes, 1 to 512.
    pub count: Count,
    /// Threads of each runtime, 1 to 64.
    pub threads: u32,
    /// Requests after which a worker is replaced.
    pub max_requests: Option<u64>,
    /// Requests added to `max_requests` by chance, from 0 to this number included.
    pub max_requests_jitter: u64,
    /// Age at which a worker is replaced.
    pub lifetime: Option<Duration>,
    /// Resident memory in bytes at which a worker is replaced.
    pub max_rss: Option<u64>,
    /// Time until a new worker is ready; above zero.
    pub boot_timeout: Duration,
    /// Time without a heartbeat after which a worker counts as stuck.
    pub timeout: Option<Duration>,
    /// Time a draining worker has for its requests; may be zero.
    pub grace: Duration,
}

/// `[http]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Http {
    /// Time between two requests of a connection; zero means one request for each connection.
    pub keep_alive: Duration,
    /// Time for the head of a request; above zero.
    pub header_timeout: Duration,
    /// Time a client may be silent within a body; above zero.
    pub body_timeout: Duration,
    /// Time a client may take no data; above zero.
    pub write_timeout: Duration,
    /// Time that idle connections stay open at stop; may be zero.
    pub linger: Duration,
    /// Whether cleartext HTTP/2 is spoken.
    pub h2: bool,
    /// Time until the application begins its answer.
    pub request_timeout: Option<Duration>,
    /// Largest body of a request, bytes.
    pub max_body: Option<u64>,
    /// Connections that a worker keeps open at a time.
    pub max_connections: Option<u64>,
    /// Requests after which a connection is closed.
    pub keep_alive_requests: Option<u64>,
    /// Longest request line, bytes; 0 for no limit of its own.
    pub limit_request_line: u32,
    /// Most header fields, 1 to 1,000.
    pub limit_request_fields: u32,
    /// Longest header field with its name and line's end, 64 to 65,536 bytes.
    pub limit_request_field_size: u32,
    /// Whether who closes its sending side after a request is answered.
    pub half_close: bool,
    /// Whether requests of unsafe methods outlive their client.
    pub detach: bool,
    /// Directory of error page templates.
    pub error_pages: Option<PathBuf>,
}

/// `[proxy]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Proxy {
    /// Who may say who the client is, as a list.
    pub trusted: String,
    /// `x-forwarded`, `forwarded` or `off`.
    pub header: String,
    /// How many proxies at most; none for as many as are trusted.
    pub hops: Option<u8>,
    /// Counts as Werkzeug's `ProxyFix` takes them, `x_for=1,x_proto=1`; empty for none.
    pub fix: String,
    /// Hosts that a proxy may name, as a list.
    pub hosts: String,
    /// `off`, `v1`, `v2` or `auto`.
    pub protocol: String,
}

/// `[limits]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Whether limits count at all.
    pub enabled: bool,
    /// Limits of all paths without any of their own, as a limit string; empty for none.
    pub default: String,
    /// Limits of the whole application; empty for none.
    pub application: String,
    /// Limits of breaches; empty for none.
    pub meta: String,
    /// Limits of single paths, joined by ` & `; empty for none.
    pub routes: String,
    /// `fixed-window`, `moving-window`, `sliding-window-counter` or `gcra`.
    pub strategy: String,
    /// `address`, `header:NAME` or `cookie:NAME`.
    pub key: String,
    /// Bits of an IPv6 address that tell clients apart, 32 to 128.
    pub ipv6_prefix: u32,
    /// How many times a client's amount an IPv6 network of 48 bits has; 0 where those are not counted.
    pub ipv6_network: u64,
    /// Paths, addresses and networks that are not limited, as a list.
    pub exempt: String,
    /// `both`, `draft-10`, `x-ratelimit`, `draft-7`, `draft-6` or `off`.
    pub headers: String,
    /// Whether nothing is refused.
    pub dry_run: bool,
    /// `off` or `flask-limiter`.
    pub compat: String,
    /// From how many answers of 404 on a client is told of; empty for none.
    pub excess_404: String,
    /// Requests of a client that may be under way at once; 0 for any number.
    pub concurrency: u64,
    /// Where counts for several hosts are kept; none means here.
    pub storage: Option<Secret>,
    /// File in which that stands.
    pub storage_file: Option<PathBuf>,
    /// How long a request waits for it, 1 ms at least.
    pub storage_timeout: Duration,
    /// `local`, `allow` or `deny`.
    pub when_away: String,
    /// What stands before all of its keys; empty for nothing.
    pub key_prefix: String,
}

#[cfg(test)]
impl Limits {
    pub(crate) fn for_tests() -> Limits {
        Limits {
            enabled: true,
            default: String::new(),
            application: String::new(),
            meta: String::new(),
            routes: String::new(),
            strategy: "fixed-window".to_owned(),
            key: "address".to_owned(),
            ipv6_prefix: 64,
            ipv6_network: 0,
            exempt: String::new(),
            headers: "both".to_owned(),
            dry_run: false,
            compat: "off".to_owned(),
            excess_404: String::new(),
            concurrency: 0,
            storage: None,
            storage_file: None,
            storage_timeout: Duration::from_millis(50),
            when_away: "local".to_owned(),
            key_prefix: String::new(),
        }
    }
}

/// `[health]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Path of the liveness endpoint; begins with `/`.
    pub live_path: String,
    /// Path of the readiness endpoint; begins with `/`, and is another.
    pub ready_path: String,
    /// Time between the wish to stop and the last accept.
    pub drain_delay: AutoDuration,
    /// Time between two results of a check; above zero.
    pub check_interval: Duration,
    /// Time a check may take; above zero.
    pub check_timeout: Duration,
}

/// `[database]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Database {
    /// Its URL, which may hold a password.
    pub url: Option<Secret>,
    /// File in which the URL stands.
    pub url_file: Option<PathBuf>,
    /// Connections of each pool of each worker, 1 to 1,000.
    pub pool: Count,
    /// Hosts that share the server, 1 to 10,000.
    pub hosts: u32,
    /// Time a request waits for a connection; above zero.
    pub acquire_timeout: Duration,
    /// Time from which a statement is slow.
    pub slow_query: Option<Duration>,
    /// `off`, `sql` or `debug`.
    pub echo: String,
    /// `off` or `on-start`.
    pub migrate: String,
}

/// `[log]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Log {
    /// The least grave lines of the error log that are written.
    pub level: Level,
    /// Where the access log goes.
    pub access: LogTarget,
    /// A line of the access log.
    pub access_format: String,
    /// Where the error log goes.
    pub error: LogTarget,
    /// `auto`, `text`, `gunicorn` or `ecs`.
    pub format: String,
    /// Longest line, 1,000 to 65,536 bytes.
    pub max_line: u32,
    /// Room for lines of each worker that are not yet written, bytes.
    pub buffer: u64,
    /// Whether health checks that succeed have access lines.
    pub probes: bool,
}

/// `[metrics]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Metrics {
    /// The statsd server to which they are pushed.
    pub statsd: Option<Bind>,
    /// What stands before their names there.
    pub statsd_prefix: String,
    /// DogStatsD's tags, separated by commas.
    pub dogstatsd_tags: String,
}

/// `[sentry]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sentry {
    /// Where errors are reported; none means nowhere.
    pub dsn: Option<Secret>,
    /// The release that reports name; none means name and version of the service.
    pub release: Option<String>,
    /// Which part of the errors is reported, 0 to 1.
    pub sample_rate: f64,
    /// Whether reports tell the client's address.
    pub send_pii: bool,
}

#[cfg(test)]
impl Sentry {
    pub(crate) fn for_tests(dsn: Secret) -> Sentry {
        Sentry { dsn: Some(dsn), release: None, sample_rate: 1.0, send_pii: false }
    }
}

/// `[telemetry]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Telemetry {
    /// Where OTLP is sent; none means the preset's place, or nowhere.
    pub endpoint: Option<String>,
    /// Headers of every request to it, which may hold keys.
    pub headers: Option<Secret>,
    /// `none`, `elastic`, `datadog-agent`, `datadog`, `newrelic` or `sentry`.
    pub preset: String,
    /// The key that the preset's receiver asks for.
    pub key: Option<Secret>,
    /// File in which the key stands.
    pub key_file: Option<PathBuf>,
    /// Part of the traces begun here that is kept, 0 to 1.
    pub sample: f64,
    /// Time from which a request is kept in any case.
    pub keep_slow: Option<Duration>,
    /// Directory for what has not been taken yet; none means memory.
    pub spool: Option<PathBuf>,
    /// Room in it for each receiver, bytes.
    pub spool_size: u64,
}

/// Reads effective values as the types of `Config`'s fields.
///
/// A path or a type that the table does not have is a fault of the two lists in this crate, which
/// any test that resolves the defaults finds.
pub(super) struct Values<'a>(pub(super) &'a [Effective]);

impl Values<'_> {
    pub(super) fn server(&self) -> Server {
        Server {
            name: Some(self.text("server.name")).filter(|it| !it.is_empty()),
            bind: match self.get("server.bind") {
                Value::Binds(binds) => binds.clone(),
                other => mistaken("server.bind", other),
            },
            admin: match self.get("server.admin") {
                Value::Bind(bind) => bind.clone(),
                other => mistaken("server.admin", other),
            },
            backlog: self.small("server.backlog"),
            pidfile: self.path("server.pidfile"),
            uploads: self.path("server.uploads"),
            control: self.path("server.control"),
            environment: Some(self.text("server.environment")).filter(|it| !it.is_empty()),
        }
    }

    pub(super) fn workers(&self) -> Workers {
        Workers {
            count: match self.get("workers.count") {
                Value::CountOrAuto(count) => *count,
                other => mistaken("workers.count", other),
            },
            threads: self.small("workers.threads"),
            max_requests: above_zero(self.number("workers.max_requests")),
            max_requests_jitter: self.number("workers.max_requests_jitter"),
            lifetime: above_zero(self.duration("workers.lifetime")),
            max_rss: above_zero(self.number("workers.max_rss")),
            boot_timeout: self.duration("workers.boot_timeout"),
            timeout: above_zero(self.duration("workers.timeout")),
            grace: self.duration("workers.grace"),
        }
    }

    pub(super) fn http(&self) -> Http {
        Http {
            keep_alive: self.duration("http.keep_alive"),
            header_timeout: self.duration("http.header_timeout"),
            body_timeout: self.duration("http.body_timeout"),
            write_timeout: self.duration("http.write_timeout"),
            linger: self.duration("http.linger"),
            h2: self.yes("http.h2"),
            request_timeout: above_zero(self.duration("http.request_timeout")),
            max_body: above_zero(self.number("http.max_body")),
            max_connections: above_zero(self.number("http.max_connections")),
            keep_alive_requests: above_zero(self.number("http.keep_alive_requests")),
            limit_request_line: self.small("http.limit_request_line"),
            limit_request_fields: self.small("http.limit_request_fields"),
            limit_request_field_size: self.small("http.limit_request_field_size"),
            half_close: self.yes("http.half_close"),
            detach: self.yes("http.detach"),
            error_pages: self.path("http.error_pages"),
        }
    }

    pub(super) fn proxy(&self) -> Proxy {
        Proxy {
            trusted: self.text("proxy.trusted"),
            header: self.text("proxy.header"),
            hops: above_zero(self.number("proxy.hops") as u8),
            fix: self.text("proxy.fix"),
            hosts: self.text("proxy.hosts"),
            protocol: self.text("proxy.protocol"),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            enabled: self.yes("limits.enabled"),
            default: self.text("limits.default"),
            application: self.text("limits.application"),
            meta: self.text("limits.meta"),
            routes: self.text("limits.routes"),
            strategy: self.text("limits.strategy"),
            key: self.text("limits.key"),
            ipv6_prefix: self.small("limits.ipv6_prefix"),
            ipv6_network: self.number("limits.ipv6_network"),
            exempt: self.text("limits.exempt"),
            headers: self.text("limits.headers"),
            dry_run: self.yes("limits.dry_run"),
            compat: self.text("limits.compat"),
            excess_404: self.text("limits.excess_404"),
            concurrency: self.number("limits.concurrency"),
            storage: Some(self.text("limits.storage")).filter(|it| !it.is_empty()).map(Secret::new),
            storage_file: self.path("limits.storage_file"),
            storage_timeout: self.duration("limits.storage_timeout"),
            when_away: self.text("limits.when_away"),
            key_prefix: self.text("limits.key_prefix"),
        }
    }

    pub(super) fn health(&self) -> Health {
        Health {
            live_path: self.text("health.live_path"),
            ready_path: self.text("health.ready_path"),
            drain_delay: match self.get("health.drain_delay") {
                Value::DurationOrAuto(delay) => *delay,
                other => mistaken("health.drain_delay", other),
            },
            check_interval: self.duration("health.check_interval"),
            check_timeout: self.duration("health.check_timeout"),
        }
    }

    pub(super) fn database(&self) -> Database {
        Database {
            url: Some(self.text("database.url")).filter(|it| !it.is_empty()).map(Secret::new),
            url_file: self.path("database.url_file"),
            pool: match self.get("database.pool") {
                Value::CountOrAuto(count) => *count,
                other => mistaken("database.pool", other),
            },
            hosts: self.small("database.hosts"),
            acquire_timeout: self.duration("database.acquire_timeout"),
            slow_query: above_zero(self.duration("database.slow_query")),
            echo: self.text("database.echo"),
            migrate: self.text("database.migrate"),
        }
    }

    pub(super) fn sentry(&self) -> Sentry {
        Sentry {
            dsn: Some(self.text("sentry.dsn")).filter(|it| !it.is_empty()).map(Secret::new),
            release: Some(self.text("sentry.release")).filter(|it| !it.is_empty()),
            sample_rate: self.ratio("sentry.sample_rate"),
            send_pii: self.yes("sentry.send_pii"),
        }
    }

    pub(super) fn log(&self) -> Log {
        Log {
            level: match self.get("log.level") {
                Value::Level(level) => *level,
                other => mistaken("log.level", other),
            },
            access: self.target("log.access"),
            access_format: self.text("log.access_format"),
            error: self.target("log.error"),
            format: self.text("log.format"),
            max_line: self.small("log.max_line"),
            buffer: self.number("log.buffer"),
            probes: self.yes("log.probes"),
        }
    }

    pub(super) fn metrics(&self) -> Metrics {
        Metrics {
            statsd: match self.get("metrics.statsd") {
                Value::Bind(bind) => bind.clone(),
                other => mistaken("metrics.statsd", other),
            },
            statsd_prefix: self.text("metrics.statsd_prefix"),
            dogstatsd_tags: self.text("metrics.dogstatsd_tags"),
        }
    }

    pub(super) fn telemetry(&self) -> Telemetry {
        let text = |path| Some(self.text(path)).filter(|it| !it.is_empty());
        Telemetry {
            endpoint: text("telemetry.endpoint"),
            headers: text("telemetry.headers").map(Secret::new),
            preset: self.text("telemetry.preset"),
            key: text("telemetry.key").map(Secret::new),
            key_file: self.path("telemetry.key_file"),
            sample: self.ratio("telemetry.sample"),
            keep_slow: above_zero(self.duration("telemetry.keep_slow")),
            spool: self.path("telemetry.spool"),
            spool_size: self.number("telemetry.spool_size"),
        }
    }

    pub(super) fn yes(&self, path: &str) -> bool {
        match self.get(path) {
            Value::Bool(yes) => *yes,
            other => mistaken(path, other),
        }
    }

    pub(super) fn ratio(&self, path: &'static str) -> f64 {
        match self.get(path) {
            Value::Ratio(ratio) => otel::ratio(ratio).unwrap_or(1.0),
            other => mistaken(path, other),
        }
    }

    fn target(&self, path: &str) -> LogTarget {
        match self.get(path) {
            Value::Target(target) => target.clone(),
            other => mistaken(path, other),
        }
    }

    fn get(&self, path: &str) -> &Value {
        let found = self.0.iter().find(|it| it.key.path == path);
        &found.expect("a field of Config is a key of the table").value
    }

    pub(super) fn text(&self, path: &str) -> String {
        match self.get(path) {
            Value::Text(text) => text.clone(),
            other => mistaken(path, other),
        }
    }

    pub(super) fn path(&self, path: &str) -> Option<PathBuf> {
        match self.get(path) {
            Value::Path(it) => Some(it.clone()).filter(|it| !it.as_os_str().is_empty()),
            other => mistaken(path, other),
        }
    }

    pub(super) fn number(&self, path: &str) -> u64 {
        match self.get(path) {
            Value::Count(n) | Value::Bytes(n) => *n,
            other => mistaken(path, other),
        }
    }

    pub(super) fn small(&self, path: &str) -> u32 {
        u32::try_from(self.number(path)).expect("the table's range fits 32 bits")
    }

    pub(super) fn duration(&self, path: &str) -> Duration {
        match self.get(path) {
            Value::Duration(it) => *it,
            other => mistaken(path, other),
        }
    }
}

/// Zero is how a file says "off".
fn above_zero<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

fn mistaken(path: &str, value: &Value) -> ! {
    unreachable!("the field for {path} does not take what the table makes of it: {value:?}")
}
