//! Watch: off every request's path, it owns what may block. It writes the logs of all processes
//! and answers on the admin listener. When it dies nothing is lost: the segment is the truth, and
//! the supervisor starts it again.

mod admin;
mod alerts;
mod ask;
#[cfg(feature = "database")]
mod checks;
mod coding;
mod detail;
mod directories;
mod export;
mod heartbeat;
mod logs;
mod metrics;
mod probes;
mod processes;
pub(crate) mod rules;
mod run;
mod series;
mod statsd;
mod threads;

pub(crate) use alerts::{Wish, ask, explain, export, list, test};
pub(crate) use probes::{list as list_probes, once as probe_once};
pub(crate) use run::run;
