//! The metrics of mainstay's own that are no counters of [`names`](super::names): what they are called,
//! and what they mean.

use super::text::Shape;

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    /// Names of its labels, each in backticks and with a blank behind it.
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
                labels: concat!($("`", $label, "` "),*),
                help: concat!($($doc),+),
            };
        )*
        /// All rows.
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
    /// Workers that have ended, by reason; planned are those that were told to leave and left in time.
    WORKER_EXITS "mainstay_worker_exits_total" Counter ["planned", "reason"];
    /// Workers that have ended and in whose place another was started, before or after.
    WORKER_RESTARTS "mainstay_worker_restarts_total" Counter ["planned"];
    /// Descriptors that each worker has open.
    WORKER_FDS "mainstay_worker_open_fds" Gauge ["slot"];
    /// Processor time of all processes of a role that ever were, and of children of them that ended and were awaited.
    ROLE_CPU "mainstay_cpu_seconds_total" Counter ["role"];
    /// Resident memory of all processes of a role. Pages that several share are counted in each.
    ROLE_MEMORY "mainstay_resident_memory_bytes" Gauge ["role"];
    /// Processor time of supervisor, watch and workers, those that have ended included.
    PROCESS_CPU "process_cpu_seconds_total" Counter [];
    /// Resident memory of supervisor, watch and workers, summed: pages that several share are counted in each.
    PROCESS_MEMORY "process_resident_memory_bytes" Gauge [];
    /// Address space of supervisor, watch and workers, summed.
    PROCESS_VIRTUAL "process_virtual_memory_bytes" Gauge [];
    /// Descriptors that supervisor, watch and workers have open, summed.
    PROCESS_FDS "process_open_fds" Gauge [];
    /// Descriptors that supervisor, watch and workers may have open, summed; each has its own limit.
    PROCESS_MAX_FDS "process_max_fds" Gauge [];
    /// Threads of supervisor, watch and workers, summed.
    PROCESS_THREADS "process_threads" Gauge [];
    /// When the service started, over reloads and upgrades, seconds since the Unix epoch.
    PROCESS_START "process_start_time_seconds" Gauge [];
    /// Whether the service is ready: whether a request for readiness is answered with 200 now.
    READY "mainstay_ready" Gauge [];
    /// Answers to requests for readiness, on all listeners, by status.
    READINESS_ANSWERS "mainstay_readiness_answers_total" Counter ["status"];
    /// Answers to requests for readiness that were 503, in a row up to the last one; 0 once one is 200.
    READINESS_RUN "mainstay_readiness_failures_in_a_row" Gauge [];
    /// Requests that began, by version of HTTP; those that are no HTTP are of an unknown one.
    REQUESTS_BEGUN "mainstay_http_requests_begun_total" Counter ["protocol"];
    /// How long requests took, from their head to the end of their answer.
    REQUEST_DURATION "mainstay_http_request_duration_seconds" Histogram ["method", "route", "status"];
    /// How long it took from the head of a request until the head of its answer was there.
    FIRST_BYTE "mainstay_http_time_to_first_byte_seconds" Histogram ["method", "route"];
    /// Sizes of the bodies of requests, as far as they were received.
    REQUEST_BYTES "mainstay_http_request_body_bytes" Histogram ["method", "route"];
    /// Sizes of the bodies of answers, as far as they were handed over.
    RESPONSE_BYTES "mainstay_http_response_body_bytes" Histogram ["method", "route"];
    /// How long requests waited between the proxy that took them and a worker, as X-Request-Start of a trusted proxy says.
    QUEUE_WAIT "mainstay_http_queue_wait_seconds" Histogram [];
    /// Requests that are being served.
    IN_FLIGHT "mainstay_http_requests_in_flight" Gauge [];
    /// Connections that are open.
    CONNECTIONS_OPEN "mainstay_connections_open" Gauge [];
    /// Operational events, by their names in docs/events.md: starts and ends of workers, reloads, failures.
    EVENTS "mainstay_events_total" Counter ["event"];
    /// Connections that wait on each listener until a worker accepts them, as of the last second.
    LISTENER_QUEUE "mainstay_listener_queue" Gauge ["listener"];
    /// Connections that may wait on each listener.
    LISTENER_QUEUE_MAX "mainstay_listener_queue_max" Gauge ["listener"];
    /// Workers that want each directory measured.
    DIRECTORY_WANTED "mainstay_directory_wanted" Gauge ["directory"];
    /// Whether the file system of each directory answered when it was last asked.
    DIRECTORY_UP "mainstay_directory_up" Gauge ["directory"];
    /// Since the file system of each directory last answered; what is told of it is as old.
    DIRECTORY_AGE "mainstay_directory_age_seconds" Gauge ["directory"];
    /// Size of the file system of each directory.
    DIRECTORY_SIZE "mainstay_directory_size_bytes" Gauge ["directory"];
    /// Used space of the file system of each directory.
    DIRECTORY_USED "mainstay_directory_used_bytes" Gauge ["directory"];
    /// Free space of the file system of each directory, without what is kept for root.
    DIRECTORY_FREE "mainstay_directory_available_bytes" Gauge ["directory"];
    /// Used space as a part of used and available space, as df has it: 1 is full for all but root.
    DIRECTORY_RATIO "mainstay_directory_used_ratio" Gauge ["directory"];
    /// Inodes of the file system of each directory, where it counts them.
    DIRECTORY_INODES "mainstay_directory_inodes" Gauge ["directory"];
    /// Free inodes of the file system of each directory, where it counts them.
    DIRECTORY_INODES_FREE "mainstay_directory_inodes_free" Gauge ["directory"];
    /// Used inodes as a part of all, where the file system counts them.
    DIRECTORY_INODES_RATIO "mainstay_directory_inodes_used_ratio" Gauge ["directory"];
    /// When the file system of a directory is full, of space or of inodes, if it goes on as in the last six hours:
    /// the median of the slopes between samples. None while it does not grow.
    DIRECTORY_FULL_IN "mainstay_directory_full_in_seconds" Gauge ["directory"];
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
    /// Time that was spent waiting for connections: as a rate, how many wait on average.
    POOL_WAITED "mainstay_pool_wait_seconds_total" Counter ["pool", "kind"];
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
    /// What each rate limit decided: requests that it allowed, denied, or would have denied in a dry run. A
    /// request is counted at each limit that it meets.
    LIMIT_DECISIONS "mainstay_limit_decisions_total" Counter ["policy", "outcome"];
    /// Counts of rate limits that had to make room for others before they had ended: so much was forgiven.
    LIMIT_EVICTED "mainstay_limit_counts_evicted_total" Counter [];
    /// Requests that a rate limit admitted uncounted, because its table had no room.
    LIMIT_UNCOUNTED "mainstay_limit_uncounted_total" Counter [];
    /// Whether the store of rate limits does not answer (1), as far as is known; 0 where there is none.
    LIMIT_STORE_AWAY "mainstay_limit_store_away" Gauge [];
    /// Clients that are banned.
    BANNED_NOW "mainstay_banned_clients" Gauge [];
    /// Bans that were not made because there was no place for them.
    BANS_UNMADE "mainstay_bans_without_room_total" Counter [];
    /// Alerts of each rule that are `pending`, that are `firing`, and of which nothing is known (`no_data`).
    ALERTS "mainstay_alerts" Gauge ["rule", "state"];
    /// When the alert rules were last evaluated, seconds since the Unix epoch.
    ALERTS_LAST "mainstay_alert_last_evaluation_timestamp_seconds" Gauge [];
    /// Notifications that wait for each receiver.
    NOTIFICATIONS_WAITING "mainstay_alert_notifications_waiting" Gauge ["receiver"];
    /// How long each receiver has taken nothing of what waits for it; 0 while it does.
    RECEIVER_FAILING "mainstay_alert_receiver_failing_seconds" Gauge ["receiver"];
    /// Whether what each probe asks is up; NaN while nobody can know.
    PROBE_UP "mainstay_probe_up" Gauge ["probe"];
    /// Attempts of each probe: those that went well (`success`), that did not (`failure`), and that say nothing as
    /// this host could reach nothing (`unknown`).
    PROBE_ATTEMPTS "mainstay_probe_attempts_total" Counter ["outcome", "probe"];
    /// How long each phase took at the last attempt of each probe that came so far: `dns`, `connect`, `tls`, `first_byte`,
    /// `transfer`, and `total`.
    PROBE_SECONDS "mainstay_probe_duration_seconds" Gauge ["phase", "probe"];
    /// Days until the first certificate ends of the chain that each probe last met.
    PROBE_CERTIFICATE "mainstay_probe_certificate_days_left" Gauge ["probe"];
    /// Requests that each rate limit allowed and after which its client had less than a fifth of the amount left.
    LIMIT_NEAR "mainstay_limit_near_total" Counter ["policy"];
}
