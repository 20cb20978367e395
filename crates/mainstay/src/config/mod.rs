//! Configuration: what was said in five places, resolved into plain values that know where they
//! came from.
//!
//! [`Config::resolve`] is pure: it reads neither file nor environment. `load` gathers what it
//! needs; `keys` is the one table that everything else follows.

mod alerts;
mod bans;
mod check;
pub(crate) mod condition;
mod document;
pub(crate) mod env;
mod error;
pub(crate) mod expression;
pub(crate) mod file;
mod history;
pub(crate) mod keys;
mod kind;
mod layers;
pub(crate) mod load;
pub(crate) mod maintenance;
pub(crate) mod matchers;
pub(crate) mod otel;
pub(crate) mod own;
#[cfg(test)]
mod page;
pub(crate) mod probes;
pub(crate) mod receivers;
pub(crate) mod render;
mod sections;
mod security;
#[cfg(test)]
mod tests;
pub(crate) mod units;
mod value;

use std::{collections::HashSet, fmt, path::PathBuf, time::Duration};

pub use alerts::Alerts;
pub use bans::Bans;
pub(crate) use error::{ConfigError, Origin};
pub use history::History;
use keys::Key;
pub use probes::{Heartbeat, Probing};
use sections::Values;
pub use sections::{
    Database, Health, Http, Limits, Log, Metrics, Proxy, Sentry, Server, Telemetry, Workers,
};
pub use security::Security;
pub(crate) use value::Value;
pub use value::{AutoDuration, Bind, Count, Level, LogTarget, Secret, UnknownLevel};

/// The grace of a quick stop (INT, QUIT), in place of `workers.grace`.
pub(crate) const QUICK_GRACE: Duration = Duration::from_secs(2);

/// Everything that may say something about the configuration, unread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// A TOML text that the application's code gives.
    pub app_defaults: Option<String>,
    /// The file's path as it is to be shown, and its text.
    pub file: Option<(PathBuf, String)>,
    /// Variables: those that begin with `MAINSTAY_`, and the aliases.
    pub env: Vec<(String, String)>,
    /// Flags by the path of their key, in the order of the command line.
    pub flags: Vec<(&'static str, String)>,
    /// What stands in files that settings name.
    pub secrets: Vec<Filling>,
}

/// What stands in a file that a setting names in the place of another one.
#[derive(Clone, Debug)]
pub(crate) struct Filling {
    /// Of which of the tables of which there may be several; none for a section.
    pub row: Option<usize>,
    /// The key that it is for.
    pub path: &'static str,
    pub text: Secret,
}

/// The configuration of a service: every key resolved, every value within its range.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// The service as a whole.
    pub server: Server,
    /// The worker processes.
    pub workers: Workers,
    /// Connections and requests.
    pub http: Http,
    /// Proxies before the service.
    pub proxy: Proxy,
    /// How often clients may come.
    pub limits: Limits,
    /// Who is refused everything for a while.
    pub bans: Bans,
    /// What is told of logins and of scanners.
    pub security: Security,
    /// The health endpoints and checks.
    pub health: Health,
    /// The database.
    pub database: Database,
    /// What is written.
    pub log: Log,
    /// Where metrics are pushed to.
    pub metrics: Metrics,
    /// What leaves the host.
    pub telemetry: Telemetry,
    /// Where errors are reported.
    pub sentry: Sentry,
    /// The alert rules, and whom they tell.
    pub alerts: Alerts,
    /// What all probes have in common.
    pub probing: Probing,
    /// Who is told that all is well.
    pub heartbeat: Heartbeat,
    /// What was.
    pub history: History,
    /// What is asked from outside.
    pub(crate) probes: Vec<probes::Probe>,
    /// The application's own table. It may hold secrets, so `Debug` shows its names alone.
    pub app: toml::Table,
    /// What follows from it and from the variables of OpenTelemetry.
    pub(crate) otel: otel::Otel,
    pub(crate) effective: Vec<Effective>,
    pub(crate) rows: Vec<layers::Filled>,
    pub(crate) app_origins: Vec<(String, Origin)>,
    pub(crate) warnings: Vec<String>,
}

/// One key's value and where it came from. Some values are secrets: `Debug` shows what `shown` does.
#[derive(Clone, PartialEq)]
pub(crate) struct Effective {
    pub key: &'static Key,
    pub value: Value,
    pub origin: Origin,
}

impl Effective {
    /// The value as the file would have it; secrets are hidden.
    pub(crate) fn shown(&self) -> String {
        self.seen().to_toml()
    }

    /// What anybody may see of the value: nothing of a secret, and of what a probe asks all but a query.
    pub(crate) fn seen(&self) -> Value {
        match &self.value {
            _ if self.key.secret => Value::Text("(hidden)".to_owned()),
            Value::Text(url) if self.key.path == "probes.url" => Value::Text(
                url.split_once('?').map_or_else(|| url.clone(), |(it, _)| format!("{it}?(hidden)")),
            ),
            value => value.clone(),
        }
    }

    /// The file in which it stands.
    pub(crate) fn file(&self) -> Option<&std::path::Path> {
        match &self.origin {
            Origin::File { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Whether it is a secret that is set; the URL of a file holds none.
    pub(crate) fn holds_secret(&self) -> bool {
        let is_set = |text: &String| !text.is_empty() && !text.starts_with("sqlite:");
        self.key.secret && matches!(&self.value, Value::Text(text) if is_set(text))
    }
}

impl fmt::Debug for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} <- {:?}", self.key.path, self.shown(), self.origin)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Config {
    /// Lays the layers over each other and judges the result.
    ///
    /// # Errors
    /// All problems of all layers.
    pub(crate) fn resolve(sources: &Sources) -> Result<Self, ConfigError> {
        let layers = layers::merge(sources);
        let mut problems = layers.problems;
        let values = Values(&layers.effective);
        let mut config = Self {
            server: values.server(),
            workers: values.workers(),
            http: values.http(),
            proxy: values.proxy(),
            limits: values.limits(),
            bans: values.bans(),
            security: values.security(),
            health: values.health(),
            database: values.database(),
            log: values.log(),
            metrics: values.metrics(),
            telemetry: values.telemetry(),
            otel: otel::Otel::default(),
            sentry: values.sentry(),
            alerts: values.alerts(),
            probing: values.probing(),
            heartbeat: values.heartbeat(),
            history: values.history(),
            probes: probes::read(&layers.rows, &mut problems),
            rows: layers.rows,
            app: layers.app,
            effective: layers.effective,
            app_origins: layers.app_origins,
            warnings: layers.warnings,
        };
        let bad: HashSet<String> = problems.iter().map(|it| it.key.clone()).collect();
        problems.extend(check::problems(&config, &bad));
        let mut reader = otel::Reader::new(&sources.env);
        config.otel = reader.resolve(&config);
        problems.extend(reader.problems);
        if !problems.is_empty() {
            return Err(ConfigError::new(problems));
        }
        config.warnings.extend(check::warnings(&config));
        config.warnings.extend(reader.warnings);
        Ok(config)
    }

    /// Every key with its value and origin, in the order of the table.
    pub(crate) fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// Takes back from `old` the values of keys that only a restart applies.
    pub(crate) fn keep_restart_keys(&mut self, old: &Self) {
        // Every key of [server] is one of them; of the other sections those that are named here.
        self.server = old.server.clone();
        self.log.buffer = old.log.buffer;
        for (new, old) in self.effective.iter_mut().zip(&old.effective) {
            if new.key.change == keys::Change::Restart {
                *new = old.clone();
            }
        }
    }

    /// Keys whose values differ between this configuration and a new one.
    pub(crate) fn changed(&self, new: &Self) -> Vec<&'static Key> {
        let pairs = self.effective.iter().zip(&new.effective);
        pairs.filter(|(old, new)| old.value != new.value).map(|(old, _)| old.key).collect()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("server", &self.server)
            .field("workers", &self.workers)
            .field("http", &self.http)
            .field("proxy", &self.proxy)
            .field("limits", &self.limits)
            .field("bans", &self.bans)
            .field("security", &self.security)
            .field("health", &self.health)
            .field("database", &self.database)
            .field("log", &self.log)
            .field("metrics", &self.metrics)
            .field("telemetry", &self.telemetry)
            .field("sentry", &self.sentry)
            .field("alerts", &self.alerts)
            .field("probing", &self.probing)
            .field("heartbeat", &self.heartbeat)
            .field("history", &self.history)
            .field("probes", &self.probes)
            .field("app", &self.app.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
