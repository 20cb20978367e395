//! Statements of pools that the application has opened by sqlx itself, as sqlx tells of them through
//! `tracing`: they are echoed, found slow and counted like those of our pools. How long they waited for
//! a connection, and which of them failed, sqlx does not say.

use super::fingerprint::fingerprint;
use super::open::{Echo, Settings};
use super::span::{self, Ran};
use super::statement::{REPEATED, of_request, record, remember};
use crate::clock;
use crate::event::{Event, Time};
use crate::http::context::{current, spans};
use crate::log::Log;
use crate::log::bridge::statements::{Listener, Told};
use crate::telemetry::here;
use std::time::Duration;

/// What their pool is called.
const POOL: &str = "sqlx";

/// Listens to sqlx.
#[derive(Debug)]
pub(crate) struct Foreign {
    slow_query: Option<Duration>,
    echo: Echo,
    /// Each statement has a span.
    traced: bool,
}

impl Foreign {
    pub(crate) fn new(settings: &Settings, traced: bool) -> Foreign {
        Foreign { slow_query: settings.slow_query, echo: settings.echo, traced }
    }
}

impl Listener for Foreign {
    fn wants_all(&self) -> bool {
        self.traced || self.echo > Echo::Off
    }

    fn statement(&self, log: &Log, told: &Told<'_>) {
        let request = current::current();
        let request = request.as_deref();
        let fingerprint = fingerprint(told.text);
        if let Some(running) = spans::begin(log, here) {
            let (rows, statement) = (told.rows, &fingerprint);
            let ran = Ran {
                system: "other_sql",
                pool: POOL,
                target: None,
                statement,
                rows,
                failed: None,
            };
            span::end(&running.ago(told.took), clock::mono(), &ran);
        }
        if let Some(request) = request
            && log.makes_reports()
        {
            remember(request, POOL, &fingerprint.text, told.took, told.rows, None);
        }
        let pool = || POOL.to_owned();
        let statement = || fingerprint.text.clone();
        if self.echo > Echo::Off {
            let took = format!("{:.3}", told.took.as_secs_f64() * 1_000.0);
            let (rows, affected) = (told.rows.to_string(), told.affected.to_string());
            let fields = [
                ("ms", took.as_str()),
                ("rows", &rows),
                ("affected", &affected),
                // Only where somebody wants to know so much.
                ("pool", POOL),
            ];
            let count = if self.echo == Echo::Debug { 4 } else { 3 };
            record(log, &fingerprint.text, &fields[..count], request);
        }
        if self.slow_query.is_some_and(|limit| told.took >= limit) {
            let (took, waited) = (Time(told.took), Time(Duration::ZERO));
            let (rows, request) = (told.rows, of_request(request));
            let (pool, statement) = (pool(), statement());
            log.event(&Event::QuerySlow { pool, took, waited, rows, statement, request });
        }
        if request.is_some_and(|it| it.count_query(fingerprint.hash) == REPEATED) {
            let (pool, statement, request) = (pool(), statement(), of_request(request));
            log.event(&Event::QueryRepeated { pool, times: REPEATED, statement, request });
        }
    }
}
