//! Watch: off every request's path, it owns what may block. It writes the logs of all processes
//! and answers on the admin listener. When it dies nothing is lost: the segment is the truth, and
//! the supervisor starts it again.

mod admin;
mod alerts;
mod ask;
mod bans;
#[cfg(feature = "database")]
mod checks;
mod coding;
mod connections;
mod detail;
mod directories;
mod export;
mod heartbeat;
#[cfg_attr(
    not(feature = "sqlite"),
    allow(dead_code, reason = "what is found is kept by SQLite alone")
)]
mod history;
mod logs;
mod metrics;
mod pace;
mod probes;
mod processes;
pub(crate) mod rules;
mod run;
mod scrapes;
mod series;
mod statsd;
mod threads;
mod varint;

pub(crate) use alerts::{Wish, ask, explain, export, list, notice, test};
#[cfg(feature = "sqlite")]
pub(crate) use history::{
    events as list_events, export as export_history, list as list_history, show as show_history,
};
pub(crate) use probes::{list as list_probes, once as probe_once};
pub(crate) use run::run;
