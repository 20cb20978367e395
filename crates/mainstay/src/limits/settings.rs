//! From the configuration's texts to what they mean.

use super::address::Address;
use super::parse::{Rate, parse_many};
use super::rules::{Away, Exempt, KeyBy, Rule};
use super::who::NETWORK;
use crate::config;
use mainstay_os::segment::Strategy;
use std::time::Duration;

/// `[limits]`, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) enabled: bool,
    pub(crate) default: Vec<Rate>,
    pub(crate) application: Vec<Rate>,
    pub(crate) meta: Vec<Rate>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) strategy: Strategy,
    pub(crate) key: KeyBy,
    /// Bits of an IPv6 address that tell clients apart.
    pub(crate) ipv6_prefix: u32,
    /// How many times a client's amount a whole network of IPv6 has; 0 where networks are not counted.
    pub(crate) ipv6_network: u64,
    pub(crate) exempt: Exempt,
    pub(crate) fields: Fields,
    /// Nothing is refused.
    pub(crate) dry_run: bool,
    /// As Flask-Limiter has it.
    pub(crate) flask: bool,
    pub(crate) excess_404: Vec<Rate>,
    /// Where counts for several hosts are kept.
    pub(crate) storage: Option<Address>,
    /// How long it may take.
    pub(crate) timeout: Duration,
    /// What becomes of limits while it does not answer.
    pub(crate) away: Away,
    /// What stands before all of its keys.
    pub(crate) key_prefix: String,
    /// Requests of a client that may be under way at once; 0 for any number.
    pub(crate) concurrency: u64,
}

/// Which headers tell of limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fields {
    /// `RateLimit` and `RateLimit-Policy` of draft 10, and `X-RateLimit-*`.
    Both,
    Draft10,
    XRateLimit,
    Draft7,
    Draft6,
    Off,
}

impl Settings {
    /// As `[limits]` says.
    ///
    /// # Errors
    /// The key and what is wrong with its value.
    pub(crate) fn of(limits: &config::Limits) -> Result<Settings, String> {
        let rates = |key: &str, text: &str| {
            read_many(text).map_err(|error| format!("limits.{key}: {error}"))
        };
        let wrong = |key: &'static str| move |error: String| format!("limits.{key}: {error}");
        if limits.ipv6_network > 0 && limits.ipv6_prefix <= NETWORK {
            return Err(format!(
                "limits.ipv6_network: it is for networks of {NETWORK} bits, and limits.ipv6_prefix = {} \
                 counts none that is smaller",
                limits.ipv6_prefix
            ));
        }
        Ok(Settings {
            enabled: limits.enabled,
            default: rates("default", &limits.default)?,
            application: rates("application", &limits.application)?,
            meta: rates("meta", &limits.meta)?,
            rules: Rule::parse_all(&limits.routes).map_err(wrong("routes"))?,
            strategy: strategy(&limits.strategy).unwrap_or(Strategy::FixedWindow),
            key: KeyBy::parse(&limits.key).map_err(wrong("key"))?,
            ipv6_prefix: limits.ipv6_prefix,
            ipv6_network: limits.ipv6_network,
            exempt: Exempt::parse(&limits.exempt).map_err(wrong("exempt"))?,
            fields: fields(&limits.headers),
            dry_run: limits.dry_run,
            flask: limits.compat == "flask-limiter",
            excess_404: rates("excess_404", &limits.excess_404)?,
            storage: match &limits.storage {
                Some(storage) => Address::parse(storage.expose()).map_err(wrong("storage"))?,
                None => None,
            },
            timeout: limits.storage_timeout,
            away: match &*limits.when_away {
                "allow" => Away::Allow,
                "deny" => Away::Deny,
                _ => Away::Local,
            },
            key_prefix: limits.key_prefix.clone(),
            concurrency: limits.concurrency,
        })
    }
}

/// Limits, or none.
pub(crate) fn read_many(text: &str) -> Result<Vec<Rate>, String> {
    match text.trim() {
        "" => Ok(Vec::new()),
        _ => parse_many(text).map_err(|error| error.to_string()),
    }
}

/// The strategy that the configuration calls so.
pub(crate) fn strategy(name: &str) -> Option<Strategy> {
    Some(match name {
        "fixed-window" => Strategy::FixedWindow,
        "moving-window" => Strategy::MovingWindow,
        "sliding-window-counter" => Strategy::SlidingWindowCounter,
        "gcra" => Strategy::Gcra,
        _ => return None,
    })
}

/// Its name in the configuration.
pub(crate) fn strategy_name(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::FixedWindow => "fixed-window",
        Strategy::MovingWindow => "moving-window",
        Strategy::SlidingWindowCounter => "sliding-window-counter",
        Strategy::Gcra => "gcra",
    }
}

fn fields(name: &str) -> Fields {
    match name {
        "draft-10" => Fields::Draft10,
        "x-ratelimit" => Fields::XRateLimit,
        "draft-7" => Fields::Draft7,
        "draft-6" => Fields::Draft6,
        "off" => Fields::Off,
        _ => Fields::Both,
    }
}
