//! Who may touch what: the table of DESIGN §3, for what exists. Test code is free.

use super::paths::{is_below, named};
use super::tree::{File, Finding, Tree};

/// One part of the tree and its limits. The first row that fits a file is the file's.
pub(crate) struct Layer {
    /// Path of a file, or beginning of the paths of several.
    part: &'static str,
    /// Parts of the own crate that it may name; [`ANY`] for all.
    may: &'static [&'static str],
    /// What it must not name, of the own crate and of others.
    never: &'static [&'static str],
}

const ANY: &[&str] = &["crate"];

/// What does I/O, knows the time or knows the process: not for pure parts, which are given values.
const IMPURE: &[&str] = &[
    "crate::clock::mono",
    "crate::clock::wall",
    "mainstay_os::alarm",
    "mainstay_os::child::Child",
    "mainstay_os::child::Program",
    "mainstay_os::child::reap_stranger",
    "mainstay_os::fds",
    "mainstay_os::listener",
    "mainstay_os::memory",
    "mainstay_os::segment",
    "mainstay_os::signals::SignalSource",
    "mainstay_os::signals::block",
    "rustix",
    "std::env",
    "std::fs",
    "std::io",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
];
/// Everything asynchronous and everything of HTTP.
const SERVING: &[&str] =
    &["axum", "http", "http_body", "hyper", "hyper_util", "tokio", "tower_service"];
/// Standard output and error: logs are watch's to write.
const STREAMS: &[&str] =
    &["rustix::stdio", "std::io::stderr", "std::io::stdout", "std::os::fd::FromRawFd"];
/// Whoever is started in a role knows itself; the layers of HTTP do not.
const PROCESS: &[&str] =
    &["mainstay_os::child", "mainstay_os::fds", "mainstay_os::signals", "std::env", "std::process"];

/// The table. A part of the library without a row here is a finding.
pub(crate) const LAYERS: &[Layer] = &[
    Layer {
        part: "crates/mainstay-os/src/",
        may: ANY,
        never: &["axum", "clap", "http", "hyper", "serde", "serde_json", "tokio", "toml"],
    },
    Layer {
        part: "crates/mainstay/src/supervisor/machine/",
        may: &[
            "crate::clock",
            "crate::event",
            "crate::health::state",
            "crate::health::State",
            "crate::metrics::exits",
            "crate::supervisor::machine",
        ],
        never: IMPURE,
    },
    // What limits say, and which of them a request meets, is read and decided without any I/O.
    Layer {
        part: "crates/mainstay/src/limits/settings.rs",
        may: &["crate::config", "crate::limits"],
        never: SERVING,
    },
    Layer {
        part: "crates/mainstay/src/limits/jails.rs",
        may: &["crate::config", "crate::http::client::Networks", "crate::limits"],
        never: PROCESS,
    },
    Layer {
        part: "crates/mainstay/src/limits/signs.rs",
        may: &["crate::config", "crate::limits"],
        never: PROCESS,
    },
    Layer {
        part: "crates/mainstay/src/limits/",
        may: &["crate::http::client::Networks", "crate::limits"],
        never: PROCESS,
    },
    // Speaks to a server of others, for the layer of limits and for commands.
    Layer {
        part: "crates/mainstay/src/store/",
        may: &[
            "crate::cli::LimitsCommand",
            "crate::clock",
            "crate::event",
            "crate::limits",
            "crate::log",
            "crate::metrics",
            "crate::store",
        ],
        never: &["axum", "http", "hyper", "hyper_util", "std::fs", "tower_service"],
    },
    // The line of a request that a worker left behind shows headers, as any access line does.
    Layer {
        part: "crates/mainstay/src/supervisor/lost.rs",
        may: &[
            "crate::clock",
            "crate::config",
            "crate::log",
            "crate::metrics",
            "crate::supervisor",
            "crate::telemetry",
        ],
        never: &["axum", "hyper", "hyper_util", "tokio", "tower_service"],
    },
    Layer {
        part: "crates/mainstay/src/supervisor/",
        may: &[
            "crate::cli",
            "crate::clock",
            "crate::config",
            "crate::event",
            "crate::health",
            "crate::incident",
            "crate::limits",
            "crate::log",
            "crate::memory",
            "crate::metrics",
            "crate::passport",
            "crate::status",
            "crate::supervisor",
            "crate::telemetry",
            "crate::voice",
        ],
        never: SERVING,
    },
    Layer {
        part: "crates/mainstay/src/worker/",
        may: &[
            "crate::announced",
            "crate::ask",
            "crate::clock",
            "crate::config",
            "crate::db",
            "crate::event",
            "crate::health",
            "crate::http",
            "crate::limits",
            "crate::log",
            "crate::memory",
            "crate::metrics",
            "crate::panics",
            "crate::passport",
            "crate::status",
            "crate::telemetry",
            "crate::voice",
            "crate::worker",
        ],
        never: STREAMS,
    },
    Layer {
        part: "crates/mainstay/src/http/strict/",
        may: &["crate::http::strict"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/http/waited.rs",
        may: &["crate::http::waited"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/http/errors/negotiate.rs",
        may: &["crate::http::errors::negotiate"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/http/context/",
        may: &[
            "crate::clock",
            "crate::http::context",
            "crate::http::ending::Pendings",
            "crate::log::Log",
            "crate::metrics::Histogram",
            "crate::telemetry",
        ],
        never: PROCESS,
    },
    Layer {
        part: "crates/mainstay/src/http/client/settings.rs",
        may: &["crate::config::Proxy", "crate::http::client"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/http/",
        may: &[
            "crate::clock",
            "crate::db::Class",
            "crate::db::class_of",
            "crate::db::told",
            "crate::db::told_of",
            "crate::event",
            "crate::health",
            "crate::http",
            "crate::limits",
            "crate::log",
            "crate::metrics",
            "crate::panics",
            "crate::store",
            "crate::telemetry",
        ],
        never: PROCESS,
    },
    // Rules are given what was found and when.
    Layer {
        part: "crates/mainstay/src/watch/rules/",
        may: &[
            "crate::config::Alerts",
            "crate::config::matchers",
            "crate::config::own",
            "crate::config::render::wrapped",
            "crate::config::units",
            "crate::watch::rules",
        ],
        never: IMPURE,
    },
    // What is told, to whom and when, is decided and written without any I/O.
    Layer {
        part: "crates/mainstay/src/watch/alerts/desk.rs",
        may: &["crate::config::receivers", "crate::watch"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/watch/alerts/hours.rs",
        may: &["crate::watch"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/watch/alerts/hush.rs",
        may: &["crate::announced", "crate::config", "crate::watch"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/watch/alerts/letter.rs",
        may: &["crate::clock::Civil", "crate::watch"],
        never: IMPURE,
    },
    // Rollups are given what was found and when.
    Layer {
        part: "crates/mainstay/src/watch/history/age.rs",
        may: &["crate::watch::history"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/watch/history/openmetrics.rs",
        may: &["crate::metrics::label", "crate::watch::history"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/watch/history/roll.rs",
        may: &["crate::watch::history"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/watch/history/shape.rs",
        may: &["crate::watch::history", "crate::watch::varint"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/watch/history/totals.rs",
        may: &["crate::metrics", "crate::watch::history"],
        never: SERVING,
    },
    // What attempts mean is decided without making any.
    Layer {
        part: "crates/mainstay/src/watch/probes/verdict.rs",
        may: &["crate::clock", "crate::config::probes", "crate::watch::probes"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/watch/probes/certificate.rs",
        may: &["crate::watch::probes"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/watch/varint.rs",
        may: &["crate::watch::varint"],
        never: IMPURE,
    },
    // Puts bans in force that others have found.
    Layer {
        part: "crates/mainstay/src/watch/bans.rs",
        may: &[
            "crate::clock",
            "crate::config::Config",
            "crate::event",
            "crate::limits",
            "crate::log",
            "crate::metrics",
            "crate::watch",
        ],
        never: SERVING,
    },
    Layer {
        part: "crates/mainstay/src/watch/",
        may: &[
            "crate::announced",
            "crate::ask",
            "crate::clock",
            "crate::config",
            "crate::db::holding",
            "crate::db::probe",
            "crate::event",
            "crate::health",
            "crate::incident",
            "crate::log",
            "crate::memory",
            "crate::metrics",
            "crate::panics",
            "crate::passport",
            "crate::status",
            "crate::telemetry",
            "crate::voice",
            "crate::watch",
        ],
        never: &[],
    },
    // What is read from statements and scripts is read without a database.
    Layer {
        part: "crates/mainstay/src/db/fingerprint.rs",
        may: &["crate::db::fingerprint"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/db/script.rs",
        may: &["crate::db::fingerprint", "crate::db::script"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/db/summary.rs",
        may: &["crate::db::fingerprint", "crate::db::summary"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/db/status.rs",
        may: &["crate::db", "crate::health", "crate::log", "crate::status"],
        never: PROCESS,
    },
    Layer {
        part: "crates/mainstay/src/db/reason.rs",
        may: &["crate::db::reason", "crate::health"],
        never: SERVING,
    },
    // Transactions belong to requests.
    Layer {
        part: "crates/mainstay/src/db/tx.rs",
        may: &["crate::Failure", "crate::db", "crate::http::context", "crate::http::ending"],
        never: PROCESS,
    },
    Layer {
        part: "crates/mainstay/src/db/command.rs",
        may: &[
            "crate::cli",
            "crate::command",
            "crate::config",
            "crate::db",
            "crate::http::body",
            "crate::log",
            "crate::metrics",
        ],
        never: &[],
    },
    Layer {
        part: "crates/mainstay/src/db/",
        may: &[
            "crate::clock",
            "crate::config",
            "crate::db",
            "crate::event",
            "crate::health",
            "crate::http::context",
            "crate::log",
            "crate::metrics",
            "crate::telemetry",
        ],
        never: PROCESS,
    },
    Layer {
        part: "crates/mainstay/src/health/state.rs",
        may: &["crate::clock", "crate::health::state"],
        never: IMPURE,
    },
    // Making a check takes time, may panic, and is told of.
    Layer {
        part: "crates/mainstay/src/health/prober.rs",
        may: &["crate::clock", "crate::event", "crate::health", "crate::log", "crate::panics"],
        never: &["std::fs", "std::net"],
    },
    Layer {
        part: "crates/mainstay/src/health/",
        may: &["crate::clock", "crate::health"],
        never: &["std::fs", "std::net", "tokio"],
    },
    Layer {
        part: "crates/mainstay/src/event/",
        may: &["crate::config", "crate::event"],
        never: IMPURE,
    },
    // An application in a test is a worker without a service.
    Layer {
        part: "crates/mainstay/src/testing.rs",
        may: &["crate::http::body", "crate::Body", "crate::testing", "crate::worker"],
        never: PROCESS,
    },
    // The three readers of the configuration; all else of it is pure.
    Layer {
        part: "crates/mainstay/src/config/env.rs",
        may: &["crate::config", "crate::passport::VARIABLE"],
        never: SERVING,
    },
    Layer { part: "crates/mainstay/src/config/file.rs", may: &["crate::config"], never: SERVING },
    Layer { part: "crates/mainstay/src/config/load.rs", may: &["crate::config"], never: SERVING },
    // Values that another part reads are judged by that part, which is as pure.
    Layer {
        part: "crates/mainstay/src/config/kind.rs",
        may: &[
            "crate::config",
            "crate::http::client",
            "crate::limits",
            "crate::log::Service",
            "crate::log::access",
            "crate::telemetry::sentry::Dsn",
        ],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/config/check.rs",
        may: &[
            "crate::config",
            "crate::http::client::Networks",
            "crate::limits",
            "crate::log::Look",
            "crate::metrics",
        ],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/config/maintenance.rs",
        may: &["crate::clock::Civil", "crate::config"],
        never: IMPURE,
    },
    Layer { part: "crates/mainstay/src/config/", may: &["crate::config"], never: IMPURE },
    // What an event of Sentry's says, and how many there may be, is a pure matter.
    Layer {
        part: "crates/mainstay/src/telemetry/sentry/dsn.rs",
        may: &["crate::telemetry::sentry"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/telemetry/sentry/limit.rs",
        may: &["crate::clock", "crate::telemetry::sentry"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/telemetry/sentry/scrub.rs",
        may: &["crate::http::secrets", "crate::telemetry::sentry"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/telemetry/",
        may: &[
            "crate::clock",
            "crate::config",
            "crate::http::context",
            "crate::http::secrets",
            "crate::log",
            "crate::metrics",
            "crate::telemetry",
        ],
        never: PROCESS,
    },
    // How a line looks is a pure matter, and that of a request knows its headers.
    Layer {
        part: "crates/mainstay/src/log/access/",
        may: &["crate::clock::Civil", "crate::log"],
        never: IMPURE,
    },
    // Records of the application tell the request that they belong to.
    Layer {
        part: "crates/mainstay/src/log/bridge/",
        may: &["crate::config", "crate::http::context", "crate::log", "crate::telemetry"],
        never: SERVING,
    },
    Layer {
        part: "crates/mainstay/src/log/",
        may: &[
            "crate::clock",
            "crate::config",
            "crate::event",
            "crate::log",
            "crate::metrics",
            "crate::telemetry",
        ],
        never: SERVING,
    },
    // What is written is pure.
    Layer {
        part: "crates/mainstay/src/telemetry/proto.rs",
        may: &["crate::telemetry"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/telemetry/settings.rs",
        may: &["crate::config", "crate::telemetry"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/telemetry/",
        may: &[
            "crate::clock",
            "crate::config::Level",
            "crate::http::context::id",
            "crate::log::Log",
            "crate::metrics::names",
            "crate::telemetry",
        ],
        never: SERVING,
    },
    Layer {
        part: "crates/mainstay/src/metrics/",
        may: &["crate::clock", "crate::event", "crate::metrics"],
        never: &["tokio", "std::fs", "std::net"],
    },
    Layer {
        part: "crates/mainstay/src/status.rs",
        may: &[
            "crate::clock",
            "crate::db::PoolStatus",
            "crate::health",
            "crate::metrics",
            "crate::status",
        ],
        never: SERVING,
    },
    Layer {
        part: "crates/mainstay/src/passport.rs",
        may: &["crate::config", "crate::log", "crate::metrics", "crate::passport"],
        never: SERVING,
    },
    Layer {
        part: "crates/mainstay/src/cli/",
        may: &["crate::cli", "crate::config"],
        never: IMPURE,
    },
    // What workers leave for watch.
    Layer {
        part: "crates/mainstay/src/announced.rs",
        may: &["crate::announced", "crate::config::matchers"],
        never: SERVING,
    },
    // What whoever tells of watch leaves for the next one.
    Layer { part: "crates/mainstay/src/incident.rs", may: &["crate::incident"], never: SERVING },
    // One question to a listener of the service.
    Layer {
        part: "crates/mainstay/src/ask.rs",
        may: &["crate::ask", "crate::clock", "crate::config"],
        never: SERVING,
    },
    // What doctor finds follows from what it was given; one file of it looks around.
    Layer {
        part: "crates/mainstay/src/doctor/host.rs",
        may: &[
            "crate::ask",
            "crate::config",
            "crate::db::limit",
            "crate::doctor",
            "crate::supervisor::socket_path",
        ],
        never: SERVING,
    },
    Layer {
        part: "crates/mainstay/src/doctor/kubernetes/mod.rs",
        may: &["crate::config", "crate::doctor"],
        never: SERVING,
    },
    Layer {
        part: "crates/mainstay/src/doctor/kubernetes/settings.rs",
        may: &["crate::cli", "crate::config", "crate::doctor"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/doctor/",
        may: &["crate::cli::Inspection", "crate::config", "crate::doctor"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/import/mod.rs",
        may: &["crate::config", "crate::import"],
        never: SERVING,
    },
    Layer {
        part: "crates/mainstay/src/import/",
        may: &["crate::config", "crate::import"],
        never: IMPURE,
    },
    Layer {
        part: "crates/mainstay/src/clock.rs",
        may: &["crate::clock"],
        never: &["std::time::Instant"],
    },
    Layer { part: "crates/mainstay/src/voice.rs", may: &["crate::voice"], never: SERVING },
    Layer { part: "crates/mainstay/src/memory.rs", may: &["crate::memory"], never: SERVING },
    Layer {
        part: "crates/mainstay/src/panics.rs",
        may: &["crate::event", "crate::log", "crate::panics", "crate::telemetry"],
        never: SERVING,
    },
    // The command is a program of its own, beside the service.
    Layer {
        part: "crates/mainstay/src/security/command.rs",
        may: &[
            "crate::Builder::command",
            "crate::clock::Civil",
            "crate::command",
            "crate::db",
            "crate::http::body",
            "crate::log",
            "crate::metrics",
            "crate::security",
        ],
        never: SERVING,
    },
    // What has threads of its own, and the parts of them that serve.
    Layer {
        part: "crates/mainstay/src/security/",
        may: &[
            "crate::Failure",
            "crate::clock",
            "crate::db",
            "crate::event",
            "crate::health::reason",
            "crate::http",
            "crate::limits::jails",
            "crate::log",
            "crate::security",
            "crate::worker::Worker",
        ],
        never: PROCESS,
    },
    Layer { part: "crates/mainstay/src/command.rs", may: ANY, never: &["hyper", "hyper_util"] },
    Layer { part: "crates/mainstay/src/serve.rs", may: ANY, never: &[] },
    Layer { part: "crates/mainstay/src/inside/", may: ANY, never: &["std::fs", "tokio"] },
    Layer { part: "crates/mainstay/src/lib.rs", may: ANY, never: &[] },
];

/// Every path of every file of the two crates, against the table.
pub(crate) fn breaches(tree: &Tree) -> Vec<Finding> {
    let libraries = ["crates/mainstay/src/", "crates/mainstay-os/src/"];
    let files = tree.sources().filter(|file| !file.is_test);
    let files = files.filter(|file| libraries.iter().any(|library| file.path.starts_with(library)));
    files.flat_map(breaches_of).collect()
}

fn breaches_of(file: &File) -> Vec<Finding> {
    let Some(layer) = LAYERS.iter().find(|layer| file.path.starts_with(layer.part)) else {
        return vec![file.finding(1, "has no row in the table of layers")];
    };
    let mut found = Vec::new();
    for named in named(file).into_iter().filter(|named| named.line < file.test_begin()) {
        let path = &named.path;
        let ours = is_below(path, "crate");
        if ours && !layer.may.iter().any(|may| is_below(path, may)) {
            found.push(file.finding(named.line, format!("{path} is not for {}", layer.part)));
        } else if let Some(never) = layer.never.iter().find(|never| named.touches(never)) {
            let what = format!("{path}: {never} is not for {}", layer.part);
            found.push(file.finding(named.line, what));
        }
    }
    found
}
