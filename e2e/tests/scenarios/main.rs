//! The scenarios: real processes, real sockets, real load.
//!
//! `E2E_SECONDS` is the length of each steady phase (default 2), `E2E_REQUESTS` how many requests the
//! scenarios that kill workers send (default 60,000 and 40,000). Figures are
//! written to standard error, past the test runner's capture.

mod alerts;
mod app_log;
mod bans;
mod clients;
mod commands;
mod compose;
mod control;
mod corpus;
mod databases;
mod delivery;
mod errors;
mod exact;
mod faults;
mod figures;
mod flask;
mod forgery;
mod guides;
mod history;
mod http2;
mod http_floor;
mod incidents;
mod lifecycle;
mod limits;
mod logins;
mod logs;
mod metrics;
mod pages;
mod pressure;
mod probes;
mod prometheus;
mod proxies;
mod ratelimits;
mod record;
mod redis;
mod redis_groups;
mod refusals;
mod regressions;
mod rollout;
mod secrets;
mod ship;
mod shippers;
mod signals;
mod site;
mod statsd;
mod storm;
mod strategies;
mod support;
mod systemd;
mod telemetry;
mod vantage;
mod wire;
