//! The production layer for web services.
//!
//! mainstay wraps an application and gives it what production asks for: supervised workers, reload
//! without a lost request, health endpoints that tell the truth, and one place for what happened.
//!
//! ```no_run
//! # mod axum { pub use ::axum::*; }
//! use axum::{Router, routing::get};
//!
//! fn main() -> std::process::ExitCode {
//!     mainstay::serve(|_worker| async {
//!         Ok(Router::new().route("/", get(|| async { "hello" })))
//!     })
//! }
//! ```
//!
//! The application is any `Service<http::Request<mainstay::Body>>` that cannot fail; no type of a
//! web framework stands in a signature here. ARCHITECTURE.md in the repository tells how it works
//! inside; the modules are listed in reading order.
#![forbid(unsafe_code)]

mod serve;

mod announced;
mod ask;
mod cli;
mod command;
mod config;
mod doctor;
mod import;
mod incident;

mod clock;
mod event;
mod memory;
mod panics;
mod passport;
mod status;
mod voice;

mod supervisor;
mod worker;

#[cfg(feature = "database")]
#[cfg_attr(
    not(any(feature = "sqlite", feature = "postgres", feature = "mysql")),
    allow(dead_code, unused_imports, unused_variables, reason = "a part for databases of none")
)]
pub mod db;
mod health;
mod http;
mod limits;
mod log;
mod metrics;
#[cfg(feature = "login")]
#[cfg_attr(
    not(any(feature = "sqlite", feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "a part for databases of none")
)]
pub mod security;
#[cfg(feature = "redis")]
mod store;
mod telemetry;
mod watch;

#[doc(hidden)]
pub mod inside;

pub mod testing;

pub use crate::http::Body;
pub use crate::http::body::BoxError;
#[cfg(feature = "axum")]
pub use crate::http::context::NotKnown;
pub use crate::http::context::{
    ClientAddr, InRequest, Outgoing, PeerAddr, RequestContext, RequestHost, RequestId, Scheme,
    TraceContext,
};
pub use crate::http::errors::{AsIs, Failure};
pub use crate::http::limit::breach::Breach;
pub use crate::http::limit::concurrent::{
    Concurrent, ConcurrentFuture, ConcurrentService, concurrent,
};
pub use crate::http::limit::route::{Asking, Limit, Limited, LimitedFuture, limit};
pub use crate::log::bridge::log_layer;
pub use command::Call;
pub use config::{
    Alerts, AutoDuration, Bans, Bind, Config, Count, Database, Health, Heartbeat, History, Http,
    Level, Limits, Log, LogTarget, Metrics, Probing, Proxy, Secret, Security, Sentry, Server,
    Telemetry, UnknownLevel, Workers,
};
pub use mainstay_os::segment::Strategy;
pub use metrics::{Counter, Gauge, Histogram, Labelled, Measure, Merge, MetricError};
pub use serve::{Builder, builder, serve};
#[cfg(feature = "database")]
pub use sqlx;
pub use status::{CheckStatus, ProbeStatus, Status, WorkerStatus};
pub use worker::{
    App, Check, Embedded, EmbeddedBody, EmbeddedFuture, HistoryPoint, Maintenance, SeriesHistory,
    Under, Worker,
};

/// The README's examples are compiled.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../../../README.md")]
struct Readme;
