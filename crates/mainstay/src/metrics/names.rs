//! The table of counters that mainstay keeps by itself. The row's place is its cell in every slot's
//! counter block; rows are appended, never reordered, and [`SCHEMA`] is raised when that cannot be.

use super::exits::{self, Exit};
use crate::event;
use mainstay_os::segment::{BINS, Capacity};

/// Programs that disagree on the meaning of cells refuse each other's segment.
pub(crate) const SCHEMA: u64 = 1;

/// Cells kept for the table below, so that it can grow without moving the events behind it.
const OWN: usize = 64;
/// Cells in each slot's block.
pub(crate) const CELLS: usize = PUSHED_BINS + BINS;

/// Cells of counters that have labels; a slot has each of them.
const LABELLED: usize = 384;
/// Answers of readiness: 200, and 503.
pub(crate) const READINESS: [usize; 2] = [LABELLED, LABELLED + 1];
/// Workers that were started in the place of one that ended: unplanned, and planned.
pub(crate) const RESTARTS: [usize; 2] = [LABELLED + 2, LABELLED + 3];
/// Requests that began, by [`PROTOCOLS`].
pub(crate) const BEGUN: usize = LABELLED + 4;
/// Versions of HTTP, as labels.
pub(crate) const PROTOCOLS: [&str; 4] = ["1.0", "1.1", "2", "unknown"];
/// Ends of workers, by [`exits::TABLE`].
const EXITS: usize = LABELLED + 16;

/// Cells in watch's slot of what a statsd server was told: that there was one, then the totals up to which
/// it was.
pub(crate) const PUSHED: usize = 512;
/// The same of each bin of the time of requests.
pub(crate) const PUSHED_BINS: usize = PUSHED + 16;

/// Metrics of the application, those of mainstay that have labels, and their series. Memory is taken
/// only by what is used.
pub(crate) const CAPACITY: Capacity =
    Capacity { metrics: 256, counters: 1_024, gauges: 1_024, histograms: 1_024 };

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident $text:literal;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "named as the constants that it numbers")]
        #[cfg_attr(
            not(all(feature = "redis", feature = "sqlite")),
            allow(dead_code, reason = "of a store")
        )]
        enum Index { $($name),* }
        $($(#[doc = $doc])+
        #[cfg_attr(
            not(all(feature = "redis", feature = "sqlite")),
            allow(dead_code, reason = "of a store")
        )]
        pub(crate) const $name: usize = Index::$name as usize;)*
        /// Name and help of each counter, in the order of the cells.
        pub(crate) const TABLE: &[(&str, &str)] = &[$(($text, concat!($($doc),+))),*];
    };
}

counters! {
    /// Requests that ended, whatever became of them.
    REQUESTS "mainstay_http_requests_total";
    /// Requests that ended with a 1xx status.
    STATUS_1XX "mainstay_http_responses_1xx_total";
    /// Requests that ended with a 2xx status.
    STATUS_2XX "mainstay_http_responses_2xx_total";
    /// Requests that ended with a 3xx status.
    STATUS_3XX "mainstay_http_responses_3xx_total";
    /// Requests that ended with a 4xx status.
    STATUS_4XX "mainstay_http_responses_4xx_total";
    /// Requests that ended with a 5xx status.
    STATUS_5XX "mainstay_http_responses_5xx_total";
    /// Requests whose client went away, or whose worker cut them, before there was a status.
    ABANDONED "mainstay_http_requests_abandoned_total";
    /// Connections accepted.
    CONNECTIONS "mainstay_connections_total";
    /// Requests served without a description in the in-flight table because it was full.
    IN_FLIGHT_OVERFLOW "mainstay_in_flight_overflow_total";
    /// Requests that were in flight in a worker when it died.
    LOST "mainstay_http_requests_lost_total";
    /// Access lines handed to the writer.
    ACCESS_LINES "mainstay_access_lines_total";
    /// Access lines for which the writer had no room.
    ACCESS_DROPPED "mainstay_access_lines_dropped_total";
    /// Requests without an access line because none was wanted: successful health checks.
    ACCESS_QUIET "mainstay_access_lines_quiet_total";
    /// Requests in whose forwarded headers something was not believed.
    FORWARDED_REFUSED "mainstay_forwarded_header_rejected_total";
    /// Lines of the access log that were written.
    ACCESS_WRITTEN "mainstay_access_lines_written_total";
    /// Lines of the error log that were written.
    ERROR_WRITTEN "mainstay_error_lines_written_total";
    /// Spans handed to the sender.
    SPANS "mainstay_spans_total";
    /// Spans of traces to be sent for which there was no room, in the request's buffer or the sender's.
    SPANS_DROPPED "mainstay_spans_dropped_total";
    /// Log records handed to the sender.
    RECORDS "mainstay_log_records_total";
    /// Log records for which the sender had no room.
    RECORDS_DROPPED "mainstay_log_records_dropped_total";
    /// Workers that were started.
    WORKERS_SPAWNED "mainstay_workers_spawned_total";
    /// Reports of errors handed to watch, which sends them.
    REPORTS "mainstay_error_reports_total";
    /// Reports of errors for which the ring to watch had no room.
    REPORTS_DROPPED "mainstay_error_reports_dropped_total";
    /// Reports of errors that were not made because there were too many.
    REPORTS_SUPPRESSED "mainstay_error_reports_suppressed_total";
    /// Reports of errors that were not made because `sentry.sample_rate` did not choose them.
    REPORTS_UNSAMPLED "mainstay_error_reports_unsampled_total";
    /// Requests for health that workers answered; they are among all requests too.
    PROBES "mainstay_http_probe_requests_total";
    /// Of these, those that were answered with a 5xx.
    PROBE_FAILURES "mainstay_http_probe_failures_total";
    /// Looks at the service with all alert rules.
    EVALUATIONS "mainstay_alert_evaluations_total";
    /// Rules that could not be evaluated at a look.
    EVALUATION_ERRORS "mainstay_alert_evaluation_errors_total";
    /// Notifications that a receiver has taken.
    NOTIFIED "mainstay_alert_notifications_sent_total";
    /// Attempts to deliver a notification that failed.
    NOTIFY_FAILED "mainstay_alert_notification_failures_total";
    /// Notifications that were given up: refused, too old, or for a receiver that is named no more.
    NOTIFY_LOST "mainstay_alert_notifications_lost_total";
    /// Requests on which the store of rate limits decided, in one round trip each.
    STORE_TRIPS "mainstay_limit_store_round_trips_total";
    /// Requests that waited for the store of rate limits until `limits.storage_timeout`.
    STORE_TIMEOUTS "mainstay_limit_store_timeouts_total";
    /// Requests for which the store of rate limits could not be asked, or said that it cannot.
    STORE_ERRORS "mainstay_limit_store_errors_total";
    /// Requests that were refused without asking the store of rate limits, since it had refused their client
    /// until later.
    STORE_KNOWN "mainstay_limit_store_known_refusals_total";
    /// Requests on which was decided as `limits.when_away` says, since the store of rate limits was away.
    STORE_AWAY "mainstay_limit_store_away_decisions_total";
    /// Clients that were banned, by what they did or by an operator; a ban of a dry run is none.
    BANS "mainstay_bans_total";
    /// Requests that were refused because their client is banned.
    BANNED "mainstay_banned_requests_total";
    /// Heartbeats that were taken.
    HEARTBEATS "mainstay_heartbeats_sent_total";
    /// Heartbeats that were not taken.
    HEARTBEATS_FAILED "mainstay_heartbeats_failed_total";
    /// Heartbeats that were not sent, as the service was not well.
    HEARTBEATS_WITHHELD "mainstay_heartbeats_withheld_total";
    /// Samples and happenings that are missing in the history, since its file could not take them in time.
    HISTORY_LOST "mainstay_history_lost_total";
    /// Requests that were answered with a 4xx and whose user agent names a tool of `security.attack_tools`.
    ATTACK_TOOLS "mainstay_attack_tool_requests_total";
}

/// The client went away before it had its answer; nginx's number.
pub(crate) const CLIENT_GONE: u16 = 499;

/// No counter: beyond every block.
pub(crate) const NONE: usize = usize::MAX;

/// The cell of the counter for requests that ended with a status; 499 is a client that left.
pub(crate) fn status_cell(status: u16) -> usize {
    match status {
        CLIENT_GONE => ABANDONED,
        100..200 => STATUS_1XX,
        200..300 => STATUS_2XX,
        300..400 => STATUS_3XX,
        400..500 => STATUS_4XX,
        _ => STATUS_5XX,
    }
}

/// The cells of the counters of the table, in its order.
pub(crate) fn counter_cells() -> impl Iterator<Item = (&'static str, usize)> {
    TABLE.iter().enumerate().map(|(cell, (name, _))| (*name, cell))
}

/// The cell of the counter of an event.
pub(crate) fn event_cell(event: &event::Event) -> usize {
    OWN + event.index()
}

/// The cell of the counter of the event of this name.
pub(crate) fn event_cell_of(name: &str) -> Option<usize> {
    event_cells().find(|(it, _)| *it == name).map(|(_, cell)| cell)
}

/// The cells of all events, in the order of their table.
pub(crate) fn event_cells() -> impl Iterator<Item = (&'static str, usize)> {
    event::TABLE.iter().enumerate().map(|(index, row)| (row.name, OWN + index))
}

/// The cell of the counter of ends for this reason.
pub(crate) fn exit_cell(exit: Exit) -> usize {
    EXITS + exit as usize
}

/// The cells of the ends of workers, with their reasons.
pub(crate) fn exit_cells() -> impl Iterator<Item = (&'static exits::Row, usize)> {
    exits::TABLE.iter().zip(EXITS..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_and_event_has_a_cell_of_its_own() {
        assert!(TABLE.len() <= OWN);
        assert!(OWN + event::TABLE.len() <= LABELLED);
        assert!(BEGUN + PROTOCOLS.len() <= EXITS && EXITS + exits::TABLE.len() <= PUSHED);
        assert!(TABLE.iter().all(|(name, help)| name.ends_with("_total") && !help.is_empty()));
    }
}
