//! Watch: off every request's path, it owns what may block. It writes the logs of all processes
//! and answers on the admin listener. When it dies nothing is lost: the segment is the truth, and
//! the supervisor starts it again.

mod admin;
mod alerts;
#[cfg(feature = "database")]
mod checks;
mod coding;
mod detail;
mod directories;
mod export;
mod logs;
mod metrics;
mod processes;
mod rules;
mod run;
mod series;
mod statsd;
mod threads;

pub(crate) use alerts::{Wish, ask, explain, export, list, test};
pub(crate) use run::run;
