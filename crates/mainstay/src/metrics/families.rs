//! The metrics of mainstay's own that are no counters of [`names`](super::names): what they are called,
//! and what they mean.

use super::text::Shape;

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    /// Names of its labels, for the page.
    #[cfg(test)]
    pub(crate) labels: &'static str,
    pub(crate) help: &'static str,
}

macro_rules! families {
    ($($(#[doc = $doc:literal])+ $name:ident $text:literal $shape:ident [$($label:literal),*];)*) => {
        $(
            $(#[doc = $doc])+
            #[cfg_attr(not(feature = "database"), allow(dead_code, reason = "of pools"))]
            pub(crate) const $name: Family = Family {
                name: $text,
                shape: Shape::$shape,
                #[cfg(test)]
                labels: concat!($("`", $label, "` "),*),
                help: concat!($($doc),+),
            };
        )*
        /// All rows.
        #[cfg(test)]
        pub(crate) const TABLE: &[Family] = &[$($name),*];
    };
}

families! {
    /// What runs: the service, its version, and the version of mainstay.
    BUILD "mainstay_build_info" Info ["service", "version", "mainstay"];
    /// When the service started, over reloads and upgrades, seconds since the Unix epoch.
    START_TIME "mainstay_start_time_seconds" Gauge [];
    /// Since the service started, over reloads and upgrades.
    UPTIME "mainstay_uptime_seconds" Gauge [];
    /// The generation that serves: 1 at start, one more with each reload.
    GENERATION "mainstay_generation" Gauge [];
    /// 1 for the state that the service is in, 0 for the others.
    STATE "mainstay_state" Gauge ["state"];
    /// Workers in each state.
    WORKERS "mainstay_workers" Gauge ["state"];
    /// Workers that should be ready.
    WORKERS_TARGET "mainstay_workers_target" Gauge [];
    /// Resident memory of each worker at its last sign of life.
    WORKER_MEMORY "mainstay_worker_resident_memory_bytes" Gauge ["slot"];
    /// Since each worker was started.
    WORKER_UPTIME "mainstay_worker_uptime_seconds" Gauge ["slot"];
    /// Since the last sign of life of each worker.
    WORKER_HEARTBEAT "mainstay_worker_heartbeat_age_seconds" Gauge ["slot"];
    /// How long requests took, from their head to the end of their answer.
    REQUEST_DURATION "mainstay_http_request_duration_seconds" Histogram ["method", "route", "status"];
    /// Requests that are being served.
    IN_FLIGHT "mainstay_http_requests_in_flight" Gauge [];
    /// Connections that are open.
    CONNECTIONS_OPEN "mainstay_connections_open" Gauge [];
    /// Operational events, by their names in docs/events.md: starts and ends of workers, reloads, failures.
    EVENTS "mainstay_events_total" Counter ["event"];
    /// Whether each check of readiness is well.
    CHECK_UP "mainstay_check_up" Gauge ["check", "kind"];
    /// Results of each check of readiness.
    CHECK_RESULTS "mainstay_check_results_total" Counter ["check", "kind", "result"];
    /// How long each check of readiness took when it was last made.
    CHECK_TOOK "mainstay_check_last_duration_seconds" Gauge ["check", "kind"];
    /// How often a series was refused for want of room, and counted as overflow.
    OVERFLOWS "mainstay_metrics_overflow_total" Counter ["metric"];
    /// Connections of each pool that somebody holds, and that nobody uses.
    POOL_CONNECTIONS "mainstay_pool_connections" Gauge ["pool", "kind", "state"];
    /// Connections that each pool may have, in all workers together.
    POOL_MAX "mainstay_pool_connections_max" Gauge ["pool", "kind"];
    /// Requests that wait for a connection.
    POOL_WAITING "mainstay_pool_waiting" Gauge ["pool", "kind"];
    /// Workers whose pool is exhausted while somebody waits.
    POOL_SATURATED "mainstay_pool_saturated_workers" Gauge ["pool", "kind"];
    /// Connections taken.
    POOL_ACQUIRED "mainstay_pool_acquired_total" Counter ["pool", "kind"];
    /// Waits for a connection that ended without one.
    POOL_TIMEOUTS "mainstay_pool_timeouts_total" Counter ["pool", "kind"];
    /// Statements that ended.
    POOL_STATEMENTS "mainstay_pool_statements_total" Counter ["pool", "kind"];
    /// Statements that failed.
    POOL_FAILED "mainstay_pool_statements_failed_total" Counter ["pool", "kind"];
    /// Statements that took longer than `database.slow_query`.
    POOL_SLOW "mainstay_pool_statements_slow_total" Counter ["pool", "kind"];
    /// Hand-overs of spans, log records and reports for which a worker had no room, as telemetry is not drained
    /// or comes too fast.
    TELEMETRY_DROPPED "mainstay_telemetry_dropped_total" Counter [];
    /// Spans, log records and reports that watch took over for each receiver: those that were sent, those that
    /// were lost, and those that wait.
    TELEMETRY_TAKEN "mainstay_telemetry_taken_total" Counter ["receiver"];
    /// Of these, what the receiver has.
    TELEMETRY_SENT "mainstay_telemetry_sent_total" Counter ["receiver"];
    /// Of these, what nobody will have, by reason: `spool_full`, `spool_failed`, `malformed`, `refused`,
    /// `rejected`, `held_back`, `watch_died`, `unreadable`.
    TELEMETRY_LOST "mainstay_telemetry_lost_total" Counter ["receiver", "reason"];
    /// What waits for each receiver.
    TELEMETRY_SPOOL "mainstay_telemetry_spool_bytes" Gauge ["receiver"];
    /// When each receiver last took something, seconds since the Unix epoch.
    TELEMETRY_LAST "mainstay_telemetry_last_success_timestamp_seconds" Gauge ["receiver"];
}
