//! `[workers]`: the worker processes.

use super::{ABOVE_ZERO, ANY_COUNT, FROM_ZERO, Key, ROW, same};
use crate::config::kind::Kind;

pub(super) const KEYS: &[Key] = &[
    Key {
        path: "workers.count",
        kind: Kind::CountOrAuto { min: 1, max: 512 },
        default: "auto",
        aliases: &[same("WEB_CONCURRENCY"), same("GUNICORN_WORKERS")],
        flag: Some("workers"),
        short: Some('w'),
        doc: "Number of worker processes. auto: one per core that the service may use.",
        ..ROW
    },
    Key {
        path: "workers.threads",
        kind: Kind::Count { min: 1, max: 64 },
        default: "1",
        doc: "Threads of each worker's runtime.",
        ..ROW
    },
    Key {
        path: "workers.max_requests",
        kind: ANY_COUNT,
        default: "0",
        flag: Some("max-requests"),
        doc: "Requests after which a worker is replaced by a new one. 0: never.",
        ..ROW
    },
    Key {
        path: "workers.max_requests_jitter",
        kind: ANY_COUNT,
        default: "0",
        doc: "Up to so many requests, this number included, are added to max_requests by chance, \
              so that workers are not all replaced at once.",
        ..ROW
    },
    Key {
        path: "workers.lifetime",
        kind: FROM_ZERO,
        default: "0s",
        doc: "Age at which a worker is replaced by a new one. 0s: never.",
        ..ROW
    },
    Key {
        path: "workers.max_rss",
        kind: Kind::Bytes,
        default: "0",
        doc: "Resident memory at which a worker is replaced by a new one. 0: never.",
        ..ROW
    },
    Key {
        path: "workers.boot_timeout",
        kind: ABOVE_ZERO,
        default: "30s",
        doc: "Time a new worker has until it is ready for requests.",
        ..ROW
    },
    Key {
        path: "workers.timeout",
        kind: FROM_ZERO,
        default: "30s",
        flag: Some("timeout"),
        short: Some('t'),
        doc: "Time without a heartbeat after which a worker counts as stuck and is replaced. It \
              is no limit on a request. 0s: never.",
        ..ROW
    },
    Key {
        path: "workers.grace",
        kind: FROM_ZERO,
        default: "15s",
        flag: Some("grace"),
        doc: "Time a worker that is to stop has for the requests it has accepted.",
        ..ROW
    },
];
