//! A worker: the application under the HTTP stack, on the inherited listeners, until it is told to
//! leave. Writes nothing but its own slot.

mod accept;
mod assemble;
mod checks;
mod conn;
mod connections;
mod drain;
mod embed;
mod handle;
mod history;
mod io;
mod maintenance;
#[cfg(feature = "database")]
mod migrate;
mod minder;
#[cfg(feature = "database")]
mod pools;
mod run;

pub use checks::Check;
pub use conn::App;
pub use embed::{Embedded, EmbeddedBody, EmbeddedFuture, Under};
pub use handle::Worker;
pub use history::{HistoryPoint, SeriesHistory};
pub use maintenance::Maintenance;
pub(crate) use run::{Outcome, Plan, run};

use crate::clock::Mono;
use crate::config::Config;
use crate::http::book::Recorder;
use crate::http::stack::Layers;
use crate::http::strict::Limits;
use crate::http::watched::Deadlines;
use crate::log::Log;
use crate::metrics::registry::Metrics;
use checks::Checks;
use connections::Connections;
use std::sync::Arc;

/// What every part of a worker shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) generation: u64,
    pub(crate) config: Config,
    pub(crate) log: Log,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) connections: Connections,
    pub(crate) drain: drain::Drain,
    pub(crate) checks: Arc<Checks>,
    pub(crate) metrics: Arc<Metrics>,
    #[cfg(feature = "database")]
    pub(crate) pools: pools::Pools,
    pub(crate) layers: Arc<Layers>,
}

impl Shared {
    /// The deadlines of connections, from the configuration.
    pub(crate) fn deadlines(&self) -> Deadlines {
        let http = &self.config.http;
        Deadlines {
            header: http.header_timeout,
            body: http.body_timeout,
            write: http.write_timeout,
            keep_alive: http.keep_alive,
            linger: http.linger,
            request: http.request_timeout.unwrap_or_default(),
        }
    }

    /// The limits of heads, from the configuration.
    pub(crate) fn limits(&self) -> Limits {
        let http = &self.config.http;
        Limits {
            line: http.limit_request_line as usize,
            fields: http.limit_request_fields as usize,
            field: http.limit_request_field_size as usize,
        }
    }

    /// Since when the worker drains.
    pub(crate) fn draining_since(&self) -> Option<Mono> {
        self.drain.since()
    }
}
