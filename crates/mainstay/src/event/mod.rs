//! Every operational event: one row here is one variant, one log line and one counter.
//!
//! The messages of the events that Gunicorn has too are Gunicorn's, so that what people grep for
//! keeps working; docs/events.md is made from this table.

mod values;

pub(crate) use values::{Facts, Limiting, Mib, Time};

use crate::config::Level;
use std::fmt;

/// A row of the table, without the values of one occurrence.
#[derive(Debug)]
pub(crate) struct Row {
    /// Dotted name, stable; the counter's label.
    pub(crate) name: &'static str,
    /// At which level it is logged.
    pub(crate) level: Level,
    /// The message with its fields in braces.
    #[cfg(test)]
    pub(crate) message: &'static str,
    /// When it happens.
    #[cfg(test)]
    pub(crate) doc: &'static str,
}

macro_rules! events {
    ($(
        $(#[doc = $doc:literal])+
        $variant:ident { $($field:ident: $type:ty),* $(,)? } $name:literal $level:ident $message:literal;
    )*) => {
        /// Something that an operator wants to know.
        #[derive(Clone, Debug, PartialEq)]
        #[cfg_attr(
            not(all(feature = "login", feature = "metrics", feature = "sqlite")),
            allow(dead_code, reason = "events keep their places without their parts")
        )]
        pub(crate) enum Event {
            $($(#[doc = $doc])+ $variant { $($field: $type),* },)*
        }

        enum Index { $($variant),* }

        /// All rows, in the order of their counters: append, never reorder.
        pub(crate) const TABLE: &[Row] = &[
            $(Row {
                name: $name,
                level: Level::$level,
                #[cfg(test)]
                message: $message,
                #[cfg(test)]
                doc: concat!($($doc),+),
            }),*
        ];

        impl Event {
            /// The event's place in [`TABLE`], and so among the counters.
            pub(crate) fn index(&self) -> usize {
                match self { $(Event::$variant { .. } => Index::$variant as usize),* }
            }
        }

        impl fmt::Display for Event {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Event::$variant { $($field),* } => write!(f, $message)),* }
            }
        }
    };
}

events! {
    /// The supervisor begins.
    Starting { name: String, version: String } "service.starting" Info
        "Starting {name} {version}";
    /// A listener is bound or inherited; logged once for all.
    Listening { addresses: String, pid: u32 } "service.listening" Info
        "Listening at: {addresses} ({pid})";
    /// What kind of workers, and how many of them.
    UsingWorkers { count: usize, threads: usize } "service.workers" Info
        "Using worker: {count} processes with {threads} threads each";
    /// The number of workers that should be ready changed.
    WorkersChanged { count: usize } "service.workers_changed" Debug
        "{count} workers";
    /// A signal arrived at the supervisor.
    Signal { signal: &'static str } "signal.handled" Info
        "Handling signal: {signal}";
    /// A signal that means nothing here, or nothing now.
    SignalIgnored { signal: &'static str, why: &'static str } "signal.ignored" Debug
        "Ignoring signal: {signal} ({why})";
    /// A worker was started.
    WorkerBooting { pid: u32, slot: usize, generation: u64 } "worker.booting" Info
        "Booting worker with pid: {pid} (slot {slot}, generation {generation})";
    /// A worker said READY and counts from now on.
    WorkerReady { pid: u32, boot: Time, generation: u64 } "worker.ready" Info
        "Worker ready (pid:{pid}) after {boot} (generation {generation})";
    /// A worker could not be started, or left, failed or hung before READY.
    WorkerBootFailed { pid: u32, reason: String } "worker.boot_failed" Error
        "Worker failed to boot (pid:{pid}): {reason}";
    /// A worker made no progress for longer than `workers.timeout`.
    WorkerTimeout { pid: u32, silent: Time } "worker.timeout" Critical
        "WORKER TIMEOUT (pid:{pid}): no progress for {silent}";
    /// A request that was in flight when its worker stopped making progress or was killed.
    RequestStuck { pid: u32, method: String, path: String, age: Time, peer: String } "request.stuck" Critical
        "In flight in worker {pid}: {method} {path} for {age} from {peer}";
    /// The supervisor sent a worker a signal that ends it.
    WorkerSignalled { pid: u32, signal: &'static str, why: String } "worker.signalled" Warning
        "Worker (pid:{pid}) was sent SIG{signal}! ({why})";
    /// A worker left as it was told to.
    WorkerExited { pid: u32, code: i32, facts: Facts } "worker.exited" Info
        "Worker exited (pid:{pid}) with code {code}. {facts}";
    /// A worker left without having been told to, or with another code than 0.
    WorkerDied { pid: u32, how: String, facts: Facts } "worker.died" Error
        "Worker (pid:{pid}) {how}. {facts}";
    /// A worker was killed by the kernel for want of memory, as its cgroup's counter shows.
    WorkerOutOfMemory { pid: u32, rss: Mib } "worker.oom" Critical
        "Worker (pid:{pid}) was killed by the kernel: out of memory at {rss} resident";
    /// Workers die young: the next start waits.
    CrashLoop { deaths: u32, delay: Time } "worker.crash_loop" Error
        "{deaths} workers died young in a row; next start in {delay}";
    /// A worker will be replaced.
    Recycling { pid: u32, reason: String } "worker.recycling" Info
        "Autorestarting worker (pid:{pid}): {reason}";
    /// A worker was told to finish what it has and to leave.
    DrainBegun { pid: u32, in_flight: u64, connections: u64 } "worker.drain_begun" Info
        "Draining worker (pid:{pid}): {in_flight} requests in flight, {connections} connections";
    /// A worker finished everything it had.
    Drained { pid: u32, served: u64, took: Time } "worker.drained" Info
        "Worker exiting (pid: {pid}): drained {served} requests in {took}";
    /// A worker waits for connections at its end.
    DrainWaiting { connections: u64 } "worker.drain_waiting" Info
        "Waiting for {connections} connections to finish";
    /// A worker's grace was over before its connections were.
    DrainForced { connections: u64 } "worker.drain_forced" Warning
        "Forcing close of {connections} connections";
    /// A worker found itself without its supervisor.
    ParentGone { pid: u32 } "worker.parent_gone" Warning
        "Parent changed, shutting down: worker {pid}";
    /// The application's factory failed or panicked.
    AppFailed { reason: String } "worker.app_failed" Error
        "Exception in worker process: {reason}";
    /// A handler panicked; the client got a 500.
    HandlerPanicked { method: String, path: String, panic: String } "request.panicked" Error
        "Error handling request {method} {path}: {panic}";
    /// Something that nobody awaits panicked, such as a task that the application spawned.
    Panicked { thread: String, panic: String } "process.panicked" Error
        "Panic in thread {thread}: {panic}";
    /// What arrived on a connection was not a request.
    InvalidRequest { peer: String, reason: String } "request.invalid" Warning
        "Invalid request from ip={peer}: {reason}";
    /// A connection was cut because a deadline of it passed.
    DeadlinePassed { peer: String, which: &'static str } "connection.deadline" Info
        "Closing connection from {peer}: {which} deadline passed";
    /// The worker could not accept; it tries again.
    AcceptFailed { reason: String } "connection.accept_failed" Error
        "Cannot accept connections: {reason}";
    /// A reload began.
    ReloadBegun { name: String, generation: u64 } "reload.begun" Info
        "Hang up: {name}: reloading as generation {generation}";
    /// All workers run the new generation.
    Reloaded { generation: u64, took: Time } "reload.done" Info
        "Reloaded: generation {generation} serves after {took}";
    /// The reload was given up; the old generation serves on.
    ReloadFailed { generation: u64, reason: String } "reload.failed" Error
        "Reload failed, generation {generation} keeps serving: {reason}";
    /// A changed setting that only a restart can apply.
    RestartNeeded { keys: String } "reload.restart_needed" Warning
        "Changed but not applied until a restart: {keys}";
    /// Something in the configuration looks wrong but can be lived with.
    ConfigWarning { warning: String } "config.warning" Warning
        "Configuration: {warning}";
    /// The supervisor will replace its own program.
    UpgradeBegun { program: String } "upgrade.begun" Info
        "Upgrading the supervisor in place: {program}";
    /// The new program runs under the old pid.
    Upgraded { name: String, version: String } "upgrade.done" Info
        "Master has been promoted: {name} {version} took over in place";
    /// The new program was not trusted with the service.
    UpgradeRefused { reason: String } "upgrade.refused" Error
        "USR2 signal ignored. The old program goes on: {reason}";
    /// The service begins to stop; readiness is 503, requests are still served.
    StopBegun { delay: Time } "stop.begun" Info
        "Draining the service: accepting for {delay} more";
    /// No new connection enters; the queue is emptied.
    Sealed { listeners: usize } "stop.sealed" Info
        "Sealed {listeners} listeners: serving what has connected";
    /// A listener could not be sealed; connections made in its last instant may be reset.
    SealFailed { listener: String, reason: String } "stop.seal_failed" Warning
        "Cannot seal {listener}: {reason}";
    /// INT or QUIT while the service was stopping gracefully.
    QuickStop {} "stop.quick" Info
        "Quick shutdown requested";
    /// The supervisor ends well.
    ShuttingDown { name: String, code: u8 } "service.stopped" Info
        "Shutting down: {name} (exit {code})";
    /// The supervisor ends for a reason.
    Halted { name: String, code: u8, reason: String } "service.halted" Error
        "Shutting down: {name} (exit {code}). Reason: {reason}";
    /// The service's health state changed.
    StateChanged { from: &'static str, to: &'static str, why: String } "health.state" Info
        "Service is {to} (was {from}): {why}";
    /// Watch was started.
    WatchBooting { pid: u32 } "watch.booting" Info
        "Booting watch with pid: {pid}";
    /// Watch ended without having been told to; serving is not affected.
    WatchDied { pid: u32, how: String, delay: Time } "watch.died" Error
        "Watch (pid:{pid}) {how}; next start in {delay}";
    /// A process that was not ours ended in our care (process 1 of a container).
    Reaped { pid: u32, how: String } "child.reaped" Debug
        "Reaped unknown child process (pid {pid}, {how})";
    /// A process could not be started.
    SpawnFailed { what: &'static str, reason: String } "child.spawn_failed" Error
        "Cannot start {what}: {reason}";
    /// The log level was changed while running.
    LogLevel { level: Level, until: String } "log.level" Info
        "Log level is {level} {until}";
    /// Logs are opened anew.
    LogsReopened {} "log.reopened" Info
        "Reopening logs";
    /// Lines that a full ring refused.
    LinesDropped { lines: u64, log: &'static str, process: String } "log.dropped" Warning
        "{lines} log lines of {process} were dropped ({log})";
    /// The number of workers cannot grow further: the segment has no slot.
    NoSlot { slots: usize } "worker.no_slot" Warning
        "No free worker slot among {slots}: waiting for one";
    /// A request came over the control socket.
    Control { command: String } "control.command" Info
        "Control: {command}";
    /// The service manager could not be told something.
    NotifyFailed { reason: String } "systemd.notify_failed" Warning
        "Cannot notify the service manager: {reason}";
    /// A request was answered with a 5xx that the application did not shape, or that carries its cause.
    RequestFailed { error_id: String, method: String, path: String, status: u16, error: String } "request.failed" Error
        "Error handling request {method} {path}: {error} (status {status}, error id {error_id})";
    /// An error page took the place of a 4xx's plain text, or of an answer that carries its cause.
    RequestRefused { method: String, path: String, status: u16, reason: String } "request.refused" Debug
        "Refused {method} {path} with status {status}: {reason}";
    /// An error page does not render; a plain page stands in. Told once for each page and worker.
    ErrorPageFailed { page: String, reason: String } "error_pages.failed" Error
        "Error page {page} cannot be made, a plain one is sent instead: {reason}";
    /// A log could not be written for more than a second; its lines wait in their rings.
    LogStalled { log: &'static str, reason: String } "log.stalled" Warning
        "The {log} cannot be written: {reason}";
    /// A log that could not be written is written again.
    LogResumed { log: &'static str, after: Time, lines: u64 } "log.resumed" Info
        "The {log} is written again after {after}; {lines} lines were dropped meanwhile";
    /// Something that the service depends on does not work.
    CheckFailed { name: String, reason: String } "check.failed" Error
        "Check {name} fails: {reason}; the service is not ready";
    /// Something that is checked, and on which nothing depends, does not work.
    OptionalCheckFailed { name: String, reason: String } "check.optional_failed" Warning
        "Check {name} fails: {reason}";
    /// Something that was checked works again.
    CheckRecovered { name: String, after: Time } "check.recovered" Info
        "Check {name} is well again after {after}";
    /// A pool of connections was opened by a worker.
    PoolOpened { pool: String, kind: &'static str, max: u32, workers: u32, of: String } "pool.opened" Debug
        "Pool {pool} of {kind}: at most {max} connections in each of {workers} workers{of}";
    /// All pools together may open more connections than the server takes.
    PoolOversized { pool: String, max: u32, workers: u32, hosts: u32, all: u32, limit: u32 } "pool.oversized" Warning
        "Pool {pool} may open {all} connections ({max} for each of {workers} workers of {hosts} hosts), and the server takes {limit}";
    /// All connections of a pool are in use, and somebody waits for one.
    PoolSaturated { pool: String, max: u32, waiting: u64 } "pool.saturated" Warning
        "Pool {pool} is exhausted: all {max} connections are in use, {waiting} wait";
    /// A pool has connections for whoever wants one again.
    PoolRelieved { pool: String, after: Time } "pool.relieved" Info
        "Pool {pool} has connections again after {after}";
    /// Somebody waited long for a connection; told every ten seconds at most.
    PoolSlow { pool: String, waited: Time, max: u32 } "pool.slow_acquire" Warning
        "Pool {pool} gave a connection only after {waited} (of {max})";
    /// Somebody waited for a connection in vain.
    PoolTimeout { pool: String, waited: Time, max: u32 } "pool.timeout" Error
        "Pool {pool} gave no connection within {waited} (of {max})";
    /// A pool gives nobody a connection though its database is well: the worker is replaced.
    PoolWedged { pool: String, after: Time, holders: String } "pool.wedged" Critical
        "Pool {pool} is stuck: no connection was taken or given back for {after}; held by {holders}";
    /// A statement took long.
    QuerySlow { pool: String, took: Time, waited: Time, rows: u64, statement: String, request: String } "query.slow" Warning
        "Slow statement of {pool}: {took}, waited {waited}, {rows} rows, by {request}: {statement}";
    /// A statement takes long and still runs.
    QueryRunning { pool: String, so_far: Time, statement: String, request: String } "query.running" Warning
        "Statement of {pool} still runs after {so_far}, by {request}: {statement}";
    /// A statement failed.
    QueryFailed { pool: String, error: String, statement: String, request: String } "query.failed" Error
        "Statement of {pool} failed: {error}, by {request}: {statement}";
    /// A request ran the same statement many times: a loop over rows that one statement could do.
    QueryRepeated { pool: String, times: u32, statement: String, request: String } "query.repeated" Warning
        "{times} equal statements of {pool} in one request, {request}: {statement}";
    /// Pending migrations were run before a worker was ready.
    Migrated { count: usize, version: i64, took: Time } "database.migrated" Info
        "Ran {count} migrations up to version {version} in {took}";
    /// Somebody signed in.
    LoginSuccess { user: String } "authn_login_success" Info
        "authn_login_success:{user}";
    /// Somebody signed in after failures.
    LoginSuccessAfterFail { user: String, retries: i64 } "authn_login_successafterfail" Info
        "authn_login_successafterfail:{user},{retries}";
    /// Somebody was refused at signing in. The login kit tells a name that is none of a user as a keyed hash; what an application says stands as it is.
    LoginFail { user: String, why: &'static str } "authn_login_fail" Warning
        "authn_login_fail:{user} ({why})";
    /// An account, or a client, has used up the failures that cost it no time.
    LoginFailMax { user: String, limit: i64, whose: &'static str } "authn_login_fail_max" Warning
        "authn_login_fail_max:{user},{limit} (of the {whose})";
    /// Nobody signs in to an account, or from a client, for a while.
    LoginLock { user: String, whose: &'static str, delay: Time } "authn_login_lock" Warning
        "authn_login_lock:{user},maxretries (the {whose}, for {delay})";
    /// A password was set or changed; all other sessions of the user have ended.
    PasswordChange { user: String, how: &'static str } "authn_password_change" Info
        "authn_password_change:{user} ({how})";
    /// A password was not changed: the old one was wrong.
    PasswordChangeFail { user: String, why: &'static str } "authn_password_change_fail" Critical
        "authn_password_change_fail:{user} ({why})";
    /// A link was made by which a user sets a password.
    TokenCreated { user: String, life: Time, by: String } "authn_token_created" Info
        "authn_token_created:{user} (a link for {life}, by {by})";
    /// Links of a user are void from now on.
    TokenRevoked { user: String, links: u64, why: &'static str } "authn_token_revoked" Info
        "authn_token_revoked:{user} ({links} links, {why})";
    /// Somebody came with a link that was used before.
    TokenReuse { user: String } "authn_token_reuse" Critical
        "authn_token_reuse:{user}";
    /// A user asked for what his role does not allow.
    AuthzFail { user: String, resource: String } "authz_fail" Critical
        "authz_fail:{user},{resource}";
    /// A user has another role.
    AuthzChange { user: String, from: String, to: String, by: String } "authz_change" Warning
        "authz_change:{user},{from},{to} (by {by})";
    /// Somebody administered users.
    AuthzAdmin { by: String, what: &'static str, user: String } "authz_admin" Warning
        "authz_admin:{by},{what} {user}";
    /// There is a user more.
    UserCreated { by: String, user: String, role: String } "user_created" Warning
        "user_created:{by},{user},{role}";
    /// Something of a user was changed.
    UserUpdated { by: String, user: String, what: &'static str } "user_updated" Warning
        "user_updated:{by},{user},{what}";
    /// A session began.
    SessionCreated { user: String } "session_created" Info
        "session_created:{user}";
    /// A session goes on under a new id; the old one has ended.
    SessionRenewed { user: String, why: &'static str } "session_renewed" Info
        "session_renewed:{user} ({why})";
    /// Sessions ended that nobody signed out of.
    SessionExpired { user: String, reason: &'static str, sessions: u64 } "session_expired" Info
        "session_expired:{user},{reason} ({sessions} sessions)";
    /// A user signed out.
    SessionLogout { user: String } "session_logout" Info
        "session_logout:{user}";
    /// Somebody came with the id of a session that has ended; told once a minute for each.
    SessionUseAfterExpire { user: String, reason: String } "session_use_after_expire" Critical
        "session_use_after_expire:{user} (ended by {reason})";
    /// A request that would change something came from a page of another origin.
    MaliciousCsrf { client: String, origin: String, host: String, why: &'static str } "malicious_csrf" Critical
        "malicious_csrf:{client} (from {origin} to {host}: {why})";
    /// A metric has as many series as it may have, or was given a label longer than 128 bytes; told once by
    /// each worker. What has no series of its own is in `overflow="true"`.
    MetricOverflow { metric: String, limit: u64 } "metrics.overflow" Warning
        "Metric {metric} has no room for another series (at most {limit}); it is counted as overflow";
    /// A receiver of telemetry has taken nothing for ten seconds; what is for it waits in its spool.
    TelemetryAway { receiver: &'static str, reason: String, waiting: u64 } "telemetry.away" Warning
        "The receiver of {receiver} takes nothing: {reason}; {waiting} items wait";
    /// A receiver that was away takes telemetry again.
    TelemetryBack { receiver: &'static str, after: Time } "telemetry.back" Info
        "The receiver of {receiver} takes telemetry again after {after}";
    /// A receiver refused some of what was sent, which is lost; told once a minute at most.
    TelemetryRefused { receiver: &'static str, items: u64, reason: String } "telemetry.refused" Warning
        "The receiver of {receiver} refused {items} items: {reason}";
    /// A spool of telemetry takes nothing, or has lost something; told once, until it takes something again.
    TelemetryLost { receiver: &'static str, reason: String } "telemetry.lost" Warning
        "The spool of {receiver} loses telemetry: {reason}";
    /// The directory of a spool cannot be used; what waits is kept in memory.
    TelemetryUnspooled { receiver: &'static str, reason: String } "telemetry.unspooled" Warning
        "No spool for {receiver}, telemetry waits in memory: {reason}";
    /// A process handed over more telemetry than its ring had room for.
    TelemetryDropped { parcels: u64, process: String } "telemetry.dropped" Warning
        "{parcels} hand-overs of telemetry of {process} were dropped";
    /// Something was measured by the crate `metrics` that cannot be; told once for each name.
    MetricRefused { reason: String } "metrics.refused" Warning
        "A library's metric is not measured: {reason}";
    /// The application has installed a recorder of the crate `metrics` before its worker began: what that
    /// crate's macros measure goes there.
    RecorderTaken {} "metrics.recorder_taken" Warning
        "Another recorder of the crate metrics is installed; what libraries measure goes there";
    /// The statsd server does not take what is pushed; told when that begins. What is not taken at once is
    /// kept for the next second.
    StatsdAway { reason: String } "metrics.statsd_away" Warning
        "Metrics cannot be pushed to statsd: {reason}";
    /// A client was refused by a rate limit. Of each client and limit the first five in a window are told,
    /// then the tenth, the hundredth and so on, all together at most a megabyte a minute.
    LimitExceeded { limit: String, key: String, scope: String, more: String } "excess_rate_limit_exceeded" Warning
        "ratelimit {limit} ({key}) exceeded at endpoint: {scope}{more}";
    /// A client would have been refused by a rate limit that only tells; as seldom as the refused.
    LimitWouldDeny { limit: String, key: String, scope: String, more: String } "limits.would_deny" Warning
        "ratelimit {limit} ({key}) would be exceeded at endpoint: {scope}{more}";
    /// The window of a rate limit has ended in which not every breach was told.
    LimitUntold { limit: String, key: String, scope: String, count: u64, untold: u64 } "limits.untold" Warning
        "ratelimit {limit} ({key}) was exceeded {count} times at endpoint: {scope}; the last {untold} of them were not told";
    /// More clients exceeded their rate limits at a time than can be told apart, or than the log has room for.
    LimitStrangers { count: u64 } "limits.strangers" Warning
        "{count} breaches of rate limits were not told: there were too many clients";
    /// A client was answered with more 404s than `limits.excess_404` finds usual; as seldom as the refused.
    MaliciousExcess404 { client: String, limit: String, more: String } "malicious_excess_404" Warning
        "malicious_excess_404:{client} (more than {limit}){more}";
    /// An alert rule fires; told once for each incident, when it is told to receivers too.
    AlertFiring { rule: String, severity: &'static str, what: String } "alert.firing" Error
        "Alert {rule} fires ({severity}): {what}";
    /// An alert that fired is over.
    AlertResolved { rule: String, after: Time, what: String } "alert.resolved" Info
        "Alert {rule} is over after {after}: {what}";
    /// An alert rule fires, and nobody is told, because another alert explains it.
    AlertHeld { rule: String, what: String } "alert.held" Info
        "Alert {rule} fires and is held back: {what}";
    /// Somebody has silenced alerts, ended a silence or acknowledged an alert.
    AlertsQuiet { what: String } "alert.quiet" Info
        "Alerts: {what}";
    /// Nobody has evaluated the alert rules for some time: watch was away, or the service.
    AlertsGap { gap: Time } "alert.gap" Warning
        "Alert rules were not evaluated for {gap}";
    /// The state of alerts cannot be saved; told when that begins. What is decided meanwhile is lost with watch.
    AlertsUnsaved { reason: String } "alert.unsaved" Error
        "The state of alerts cannot be saved: {reason}";
    /// The state of alerts that was found cannot be read; it was put aside.
    AlertsForgotten { reason: String } "alert.forgotten" Error
        "The state of alerts cannot be read, and begins anew: {reason}";
    /// A receiver of notifications does not take one, which is tried again; told once, until it takes one.
    NotifierAway { receiver: String, reason: String, waiting: u64 } "notify.away" Warning
        "Receiver {receiver} takes no notifications: {reason}; {waiting} wait";
    /// A receiver that took nothing takes notifications again.
    NotifierBack { receiver: String, after: Time } "notify.back" Info
        "Receiver {receiver} takes notifications again after {after}";
    /// What is for a receiver that takes nothing is told to the one that stands in for it.
    NotifierStandIn { receiver: String, stand_in: String, count: u64 } "notify.stand_in" Warning
        "Receiver {stand_in} is told what receiver {receiver} does not take: {count} notifications";
    /// A notification was given up.
    NotificationLost { receiver: String, what: String, reason: String } "notify.lost" Error
        "Receiver {receiver} will not get the notification {what}: {reason}";
    /// Some of those that a receiver names, such as an address of mail, took a notification, and others did not.
    NotificationPartly { receiver: String, what: String, reason: String } "notify.partly" Error
        "The notification {what} has reached only some of receiver {receiver}: {reason}";
    /// With `alerts.dry_run`: what would be delivered.
    NotificationDry { receiver: String, what: String } "notify.dry_run" Info
        "Dry run: receiver {receiver} would be told of {what}";
    /// The store of rate limits does not answer; told once for the service when that begins. What limits do
    /// meanwhile says `limits.when_away`.
    LimitStoreAway { store: String, reason: String } "limits.store_away" Warning
        "The store of rate limits {store} is away: {reason}";
    /// The store of rate limits answers again.
    LimitStoreBack { store: String, after: Time } "limits.store_back" Info
        "The store of rate limits {store} is back after {after}";
    /// A client is refused everything for a while, for what the log has under this name, or because an operator
    /// said so.
    BanAdded { client: String, time: Time, why: &'static str, times: u64 } "ban.added" Warning
        "ban.added:{client} for {time} ({why}, ban number {times})";
    /// A ban has ended by itself.
    BanExpired { client: String, time: Time, why: &'static str } "ban.expired" Info
        "ban.expired:{client} after {time} ({why})";
    /// A ban was lifted by an operator.
    BanLifted { client: String, why: &'static str } "ban.lifted" Info
        "ban.lifted:{client} ({why})";
    /// With `bans.dry_run`: a client that would be banned; told again after as long as the ban would last.
    BanWouldBe { client: String, time: Time, why: &'static str, times: u64 } "ban.dry_run" Warning
        "Dry run: {client} would be banned for {time} ({why}, ban number {times})";
    /// What a probe asks is down: so many attempts in a row, or of the last ones, failed.
    ProbeDown { probe: String, target: String, reason: String } "probe.down" Error
        "Probe {probe}: {target} is down: {reason}";
    /// What a probe asks is up again.
    ProbeUp { probe: String, after: Time } "probe.up" Info
        "Probe {probe} is up again after {after}";
    /// A probe failed, and nothing else can be reached from this host either; told once, until something can.
    VantageLost {} "probe.vantage_lost" Warning
        "Nothing can be reached from this host: what probes ask is unknown, not down";
    /// Something can be reached from this host again.
    VantageBack { after: Time } "probe.vantage_back" Info
        "Something can be reached from this host again after {after}";
    /// No heartbeat is sent, because the service is not well; told once, until it is.
    HeartbeatWithheld { reason: String } "heartbeat.withheld" Warning
        "No heartbeat is sent: {reason}";
    /// Heartbeats are not taken; told once, until one is.
    HeartbeatFailed { reason: String } "heartbeat.failed" Warning
        "The heartbeat is not taken: {reason}";
    /// Heartbeats are sent and taken again.
    HeartbeatBack { after: Time } "heartbeat.back" Info
        "Heartbeats are sent again after {after}";
    /// Watch dies as soon as it is started: no alerts, no probes, no metrics until it lives. Told at its third death in a
    /// row, and then each time that they are twice as many.
    WatchCrashLoop { deaths: u32, delay: Time } "watch.crash_loop" Critical
        "Watch died {deaths} times in a row: nobody looks after the service; next start in {delay}";
    /// The file of the history could not be read, so a new one was begun; the old one is there with `.bad` behind its
    /// name, and its log beside it. Two older ones are kept, with `.bad.1` and `.bad.2`.
    HistoryForgotten { reason: String } "history.forgotten" Error
        "The history begins anew, what there was is put aside: {reason}";
    /// The history cannot be written down; it is in the memory of watch. Told once, until it can.
    HistoryUnsaved { reason: String } "history.unsaved" Error
        "The history is in memory only: {reason}";
    /// The thread that writes the history failed by a fault of its own, told as a panic beside it. It goes on with the
    /// file; after a few failures in a row it does not, and nothing is written until watch starts again.
    HistoryFailed { reason: String } "history.failed" Error
        "The history's thread has failed: {reason}";
    /// Watch dies again and again, or lives again, and not all receivers of alerts could be told so.
    WatchUntold { reason: String } "watch.untold" Error
        "Receivers of alerts were not told about watch: {reason}";
    /// A zone that windows of maintenance name was known when the configuration was read, and is not any more: its file is
    /// gone, or damaged. A reload refuses the configuration until it is back; everything else goes on.
    AlertsZone { zone: String } "alert.zone_unknown" Error
        "No zone {zone} is known here any more: maintenance in it keeps nothing quiet";
    /// A request was answered with a 4xx whose user agent names a tool of `security.attack_tools`; told once in ten
    /// minutes for each client.
    MaliciousAttackTool { client: String, tool: String } "malicious_attack_tool" Critical
        "malicious_attack_tool:{client},{tool}";
    /// What happened oftener at a client than was told: failed logins, of which the first five in a window are told,
    /// then the tenth, the hundredth and so on.
    SecurityUntold { event: &'static str, client: String, count: u64, untold: u64 } "security.untold" Warning
        "{event} of {client}: {count} times, {untold} of them were not told";
    /// More clients did what is told of than can be told apart, or than the log has room for.
    SecurityStrangers { count: u64 } "security.strangers" Warning
        "{count} security events were not told: there were too many clients";
    /// The file of bans was read, and says something new.
    BansRead { file: String, added: usize, lifted: usize, spared: usize } "bans.read" Info
        "Bans of {file}: {added} added, {lifted} lifted, {spared} never banned";
    /// Lines of the file of bans cannot be read, or have no place; the others are in force.
    BansRefused { file: String, lines: usize, reason: String } "bans.refused" Warning
        "Bans of {file}: {lines} lines are not in force: {reason}";
    /// The file of bans cannot be read; what it said stays in force. Told once, until it can.
    BansUnread { file: String, reason: String } "bans.unread" Warning
        "Bans of {file} cannot be read: {reason}";
}

impl Event {
    /// The event's row.
    pub(crate) fn row(&self) -> &'static Row {
        &TABLE[self.index()]
    }
}

impl Event {
    /// In the words of nginx, where it has some: by them Fail2ban's own filter knows who came too often.
    pub(crate) fn in_nginx(&self) -> Option<Limiting<'_>> {
        match self {
            Event::LimitExceeded { scope, .. } => Some(Limiting(scope)),
            _ => None,
        }
    }
}

/// docs/events.md, made from [`TABLE`].
#[cfg(test)]
fn markdown() -> String {
    let mut page = String::from(
        "# Events\n\nEvery operational event is one line of the error log and one counter. \
         This page is made from `crates/mainstay/src/event/mod.rs`; do not edit it.\n\n\
         | event | level | message | when |\n|---|---|---|---|\n",
    );
    for row in TABLE {
        let (name, level, message, doc) = (row.name, row.level, row.message, row.doc.trim());
        page.push_str(&format!("| `{name}` | {level} | {message} | {doc} |\n"));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vocabulary of OWASP for security, which has a form of its own.
    const VOCABULARY: &[&str] = &["authn_", "authz_", "excess_", "malicious_", "session_", "user_"];

    #[test]
    fn names_are_unique_and_dotted_or_of_the_vocabulary() {
        let mut names: Vec<_> = TABLE.iter().map(|row| row.name).collect();
        let of_owasp = |name: &str| VOCABULARY.iter().any(|begin| name.starts_with(begin));
        assert!(names.iter().all(|name| name.contains('.') != of_owasp(name)));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
    }

    #[test]
    fn an_event_finds_its_row_and_fills_its_message() {
        let event = Event::WorkerReady {
            pid: 7,
            boot: Time(std::time::Duration::from_millis(1_500)),
            generation: 2,
        };
        assert_eq!(event.row().name, "worker.ready");
        assert_eq!(event.to_string(), "Worker ready (pid:7) after 1.5 s (generation 2)");
    }

    #[test]
    fn the_events_page_is_the_table() {
        crate::testing::compare_page("docs/events.md", &markdown());
    }
}
