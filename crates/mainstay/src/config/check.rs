//! What can only be judged once all keys are known: values that contradict each other.

use std::collections::HashSet;

use crate::http::client::Networks;
use crate::limits::address::Address;
use crate::limits::jails::Jails;
use crate::limits::lint::{self, Around};
use crate::limits::plan::Plan;
use crate::limits::settings::Settings;
use crate::limits::signs::Signs;
use crate::limits::who::NETWORK;
use crate::log::Look;

use crate::metrics::{families, names};

use super::{
    Config,
    error::{ConfigError, Origin, Problem},
    keys,
    own::{self, Selector},
    probes::{self, Target},
    receivers::{self, Receiver, Shape},
    value::Bind,
};

/// Problems between keys. Keys in `bad` have a problem of their own already: their values are
/// not what the operator meant, so nothing is said about them.
pub(crate) fn problems(config: &Config, bad: &HashSet<String>) -> Vec<Problem> {
    let good = |keys: &[&str]| keys.iter().all(|key| !bad.contains(*key));
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    if good(&["server.bind"]) {
        for bind in &config.server.bind {
            if !chosen_by_system(bind) && !seen.insert(bind) {
                let message = format!("names {bind} twice");
                found.push(about(config, "server.bind", message, "name each address once"));
            }
        }
    }
    if good(&["server.bind", "server.admin"]) {
        let admin = config.server.admin.as_ref().filter(|it| !chosen_by_system(it));
        if admin.is_some_and(|it| seen.contains(it)) {
            let message = "is one of server.bind".to_owned();
            found.push(about(config, "server.admin", message, "give it an address of its own"));
        }
    }
    if good(&["log.access_format", "log.max_line"]) {
        let look = Look::of(config, config.server.name.as_deref().unwrap_or_default(), "");
        if let Err(error) = look.access(config) {
            let hint = "make log.max_line larger, or the format shorter";
            found.push(about(config, "log.max_line", format!("is too short: {error}"), hint));
        }
    }
    let room = &config.telemetry.spool_size;
    if good(&["telemetry.spool_size"]) && !(1 << 20..=64 << 30).contains(room) {
        let message = "is out of range".to_owned();
        found.push(about(config, "telemetry.spool_size", message, "use 1 MiB to 64 GiB"));
    }
    if good(&["history.max_bytes"]) && !(16 << 20..=64 << 30).contains(&config.history.max_bytes) {
        let message = "is out of range".to_owned();
        found.push(about(config, "history.max_bytes", message, "use 16 MiB to 64 GiB"));
    }
    let dsn = config.sentry.dsn.as_ref().filter(|it| it.expose().starts_with("https:"));
    if good(&["sentry.dsn"]) && dsn.is_some() && !cfg!(feature = "tls") {
        let message = "needs the feature tls, which this program was built without".to_owned();
        let hint = "build it with features = [\"tls\"], or use http://";
        found.push(about(config, "sentry.dsn", message, hint));
    }
    found.extend(of_alerts(config, &good));
    found.extend(of_references(config, &good));
    found.extend(of_heartbeat(config, &good));
    let proxy = &config.proxy;
    if good(&["proxy.fix", "proxy.header"]) && !proxy.fix.is_empty() && proxy.header == "forwarded"
    {
        let message = format!("counts X-Forwarded headers, and proxy.header is {}", proxy.header);
        found.push(about(config, "proxy.fix", message, "take away one of the two"));
    }
    let limits = &config.limits;
    if good(&["limits.ipv6_network", "limits.ipv6_prefix"])
        && limits.ipv6_network > 0
        && limits.ipv6_prefix <= NETWORK
    {
        let message = format!(
            "is for networks of {NETWORK} bits, and limits.ipv6_prefix = {} counts none that is smaller",
            limits.ipv6_prefix
        );
        found.push(about(config, "limits.ipv6_network", message, "use 0, or a longer prefix"));
    }
    // What cannot be read has been told of already.
    if let Ok(settings) = Settings::of(&config.limits)
        && let Err((key, reason)) = Plan::of(&settings)
        && good(&[key])
    {
        let hint =
            "use amounts up to 4194303, windows up to 3 years, and at most 16 limits for a request";
        found.push(about(config, key, format!("cannot be counted: {reason}"), hint));
    }
    found.extend(of_storage(config, &good));
    found.extend(of_bans(config, &good));
    let health = &config.health;
    if good(&["health.live_path", "health.ready_path"]) && health.live_path == health.ready_path {
        let message = "is health.live_path too".to_owned();
        found.push(about(config, "health.ready_path", message, "give each a path of its own"));
    }
    found
}

/// What is counted to ban somebody, and what is looked for.
fn of_bans(config: &Config, good: &impl Fn(&[&str]) -> bool) -> Option<Problem> {
    let (key, what, reason, hint) = match (Jails::of(config), Signs::of(config)) {
        (Err((key, reason)), _) => {
            let hint = "use such as \"5 per 10 minute\", with amounts up to 4194303";
            (key, "counted", reason, hint)
        }
        (_, Err((key, reason))) => (key, "used", reason, "use such as \"POST /login\""),
        _ => return None,
    };
    good(&[key]).then(|| about(config, key, format!("cannot be {what}: {reason}"), hint))
}

/// Where limits are counted for several hosts, and whether this program can.
fn of_storage(config: &Config, good: &impl Fn(&[&str]) -> bool) -> Option<Problem> {
    let storage = config.limits.storage.as_ref().filter(|_| good(&["limits.storage"]))?;
    let address = Address::parse(storage.expose()).ok()??;
    let missing = match address.tls() {
        _ if !cfg!(feature = "redis") => "redis",
        true if !cfg!(feature = "tls") => "tls",
        _ => return None,
    };
    let message = format!("needs the feature {missing}, which this program was built without");
    let hint = format!("build it with features = [\"{missing}\"]");
    Some(about(config, "limits.storage", message, &hint))
}

/// Who is told, and whether that can be.
fn of_alerts(config: &Config, good: &impl Fn(&[&str]) -> bool) -> Vec<Problem> {
    let mut found = Vec::new();
    let alerts = &config.alerts;
    let receivers = alerts.receivers.as_ref().map_or("", |it| it.expose());
    if good(&["alerts.receivers", "alerts.state"])
        && !receivers.is_empty()
        && alerts.state.is_none()
    {
        let message =
            "needs a directory: without one a notification dies with its process".to_owned();
        let hint = "set alerts.state to a directory of this service's own";
        found.push(about(config, "alerts.receivers", message, hint));
    }
    let any =
        |is: fn(&Receiver) -> bool| receivers::parse(receivers).is_ok_and(|all| all.iter().any(is));
    let any_tls = any(Receiver::needs_tls);
    if good(&["alerts.receivers"]) && any_tls && !cfg!(feature = "tls") {
        let message = "needs the feature tls, which this program was built without".to_owned();
        let hint = "build it with features = [\"tls\"], or use http://";
        found.push(about(config, "alerts.receivers", message, hint));
    }
    if good(&["alerts.rules"]) {
        found.extend(of_rules(config));
    }
    let any_mail = any(|it| it.shape == Shape::Mail);
    if good(&["alerts.receivers"]) && any_mail && !cfg!(feature = "mail") {
        let message = "needs the feature mail, which this program was built without".to_owned();
        let hint = "build it with features = [\"mail\"], or let a program send mail: exec:/path";
        found.push(about(config, "alerts.receivers", message, hint));
    }
    found
}

/// Own rules on metrics of mainstay's that do not exist. Those of the application are known when it runs.
fn of_rules(config: &Config) -> Vec<Problem> {
    let rules = own::parse(&config.alerts.rules).unwrap_or_default();
    let names = || {
        let counters = names::TABLE.iter().map(|(name, _)| *name);
        counters.chain(families::TABLE.iter().map(|it| it.name))
    };
    let judge = |rule: &str, of: &Selector| -> Option<Problem> {
        let wrong = |message: String, hint: &str| {
            Some(about(config, "alerts.rules", format!("has a rule {rule} {message}"), hint))
        };
        let near = |found: Option<&str>| {
            found.map_or_else(
                || "/metrics shows what there is".to_owned(),
                |it| format!("did you mean {it}?"),
            )
        };
        let Some(family) = families::TABLE.iter().find(|it| it.name == of.metric) else {
            let is_known = names::TABLE.iter().any(|(name, _)| *name == of.metric);
            return match (is_known, of.labels.first()) {
                (true, Some((label, ..))) => wrong(
                    format!("with a label {label}, and {} has none", of.metric),
                    "take it away",
                ),
                (false, _) if of.metric.starts_with("mainstay_") => {
                    let hint = near(keys::nearest(&of.metric, names()));
                    wrong(format!("on {}, which is no metric", of.metric), &hint)
                }
                _ => None,
            };
        };
        let labels = || family.labels.split(['`', ' ']).filter(|it| !it.is_empty());
        let (label, ..) = of.labels.iter().find(|(label, ..)| labels().all(|it| it != label))?;
        let hint = near(keys::nearest(label, labels()).or_else(|| labels().next()));
        wrong(format!("with a label {label}, which {} does not have", of.metric), &hint)
    };
    let each = rules.iter().flat_map(|rule| {
        [Some(&rule.of), rule.by.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(|of| judge(&rule.name, of))
    });
    each.collect()
}

/// What shows that this host can reach anything.
fn of_references(config: &Config, good: &impl Fn(&[&str]) -> bool) -> Option<Problem> {
    let why = probes::references(&config.probing.references).err()?;
    let hint = "use HOST:PORT, several joined by commas";
    good(&["probing.references"]).then(|| about(config, "probing.references", why.to_owned(), hint))
}

/// Where all is said to be well.
fn of_heartbeat(config: &Config, good: &impl Fn(&[&str]) -> bool) -> Option<Problem> {
    let url = config.heartbeat.url.as_ref().filter(|_| good(&["heartbeat.url"]))?;
    let (message, hint) = match Target::parse(url.expose()) {
        Ok(Target::Http(url)) if !url.is_tls || cfg!(feature = "tls") => return None,
        Ok(Target::Http(_)) => (
            "needs the feature tls, which this program was built without",
            "build it with features = [\"tls\"], or use http://",
        ),
        Ok(_) => ("is neither http nor https", "use http://HOST/PATH or https://HOST/PATH"),
        Err(why) => (why, "use http://HOST/PATH or https://HOST/PATH"),
    };
    Some(about(config, "heartbeat.url", message.to_owned(), hint))
}

/// Settings that are allowed and do nothing.
pub(crate) fn warnings(config: &Config) -> Vec<String> {
    let workers = &config.workers;
    let mut found = Vec::new();
    if workers.max_requests_jitter > 0 && workers.max_requests.is_none() {
        let origin = origin(config, "workers.max_requests_jitter");
        found.push(format!(
            "{origin}: workers.max_requests_jitter does nothing while workers.max_requests is 0"
        ));
    }
    if !config.proxy.fix.is_empty() && config.proxy.header == "off" {
        let origin = origin(config, "proxy.fix");
        found.push(format!("{origin}: proxy.fix does nothing while proxy.header is off"));
    }
    let has_tools = config.security.attack_tools.split(',').any(|it| !it.trim().is_empty());
    if !config.bans.attack_tools.is_empty() && !has_tools {
        let origin = origin(config, "bans.attack_tools");
        found.push(format!(
            "{origin}: bans.attack_tools does nothing while security.attack_tools is empty"
        ));
    }
    if let Ok(settings) = Settings::of(&config.limits) {
        let unix = config.server.bind.iter().any(|it| matches!(it, Bind::Unix(_)));
        let trusts_unix = Networks::parse(&config.proxy.trusted).is_ok_and(|it| it.trusts_unix());
        for (key, finding) in lint::findings(&settings, Around { unix, trusts_unix }) {
            found.push(format!("{}: {key}: {finding}", origin(config, key)));
        }
    }
    found
}

/// With port 0 every listener gets another port.
fn chosen_by_system(bind: &Bind) -> bool {
    matches!(bind, Bind::Tcp { port: 0, .. })
}

pub(super) fn origin(config: &Config, path: &str) -> Origin {
    let entry = config.effective().iter().find(|it| it.key.path == path);
    entry.expect("every key is effective").origin.clone()
}

pub(super) fn about(config: &Config, path: &str, message: String, hint: &str) -> Problem {
    let entry = config.effective().iter().find(|it| it.key.path == path);
    let entry = entry.expect("every key is effective");
    // As what is told of a file: what is hidden is no text of anybody's, and has no quotes.
    let value = if entry.key.secret { "(hidden)".to_owned() } else { entry.shown() };
    Problem {
        origin: Some(entry.origin.clone()),
        key: path.to_owned(),
        value: Some(value),
        message,
        hint: Some(hint.to_owned()),
    }
}

impl Config {
    /// What is wrong with the value of a key, as only using it shows: in the words of all problems.
    pub(crate) fn complaint(&self, path: &str, reason: &str) -> String {
        let problem = about(self, path, format!("cannot be used: {reason}"), "name another place");
        ConfigError::new(vec![problem]).to_string()
    }
}
