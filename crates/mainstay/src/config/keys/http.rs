//! `[http]`: connections and requests.

use super::{ABOVE_ZERO, ANY_COUNT, FROM_ZERO, Key, ROW};
use crate::config::kind::Kind;

pub(super) const KEYS: &[Key] = &[
    Key {
        path: "http.keep_alive",
        kind: FROM_ZERO,
        default: "75s",
        doc: "Time a connection may stay open between two requests. 0s: one request for each \
              connection.",
        ..ROW
    },
    Key {
        path: "http.header_timeout",
        kind: ABOVE_ZERO,
        default: "10s",
        doc: "Time a client has to send the head of a request.",
        ..ROW
    },
    Key {
        path: "http.body_timeout",
        kind: ABOVE_ZERO,
        default: "30s",
        doc: "Time a client may be silent while it sends the body of a request.",
        ..ROW
    },
    Key {
        path: "http.write_timeout",
        kind: ABOVE_ZERO,
        default: "30s",
        doc: "Time a client may take no data while an answer is sent.",
        ..ROW
    },
    Key {
        path: "http.linger",
        kind: FROM_ZERO,
        default: "2s",
        doc: "Time that idle connections are kept open at stop for one more answer, which tells \
              the client to close.",
        ..ROW
    },
    Key {
        path: "http.h2",
        kind: Kind::Bool,
        default: "true",
        doc: "Whether cleartext HTTP/2 is spoken with clients that begin with it.",
        ..ROW
    },
    Key {
        path: "http.request_timeout",
        kind: FROM_ZERO,
        default: "30s",
        doc: "Time the application has to begin its answer; then the client gets a 504. What is \
              streamed afterwards takes as long as it takes. 0s: no limit.",
        ..ROW
    },
    Key {
        path: "http.max_body",
        kind: Kind::Bytes,
        default: "64 MiB",
        doc: "Largest body of a request; a larger one is answered with 413. 0: no limit.",
        ..ROW
    },
    Key {
        path: "http.max_connections",
        kind: ANY_COUNT,
        default: "10000",
        doc: "Connections that a worker keeps open at a time. At the limit it closes idle ones \
              and leaves new ones to other workers, or in the queue. 0: no limit.",
        ..ROW
    },
    Key {
        path: "http.keep_alive_requests",
        kind: ANY_COUNT,
        default: "0",
        doc: "Requests after which a connection is closed. 0: never.",
        ..ROW
    },
    Key {
        path: "http.limit_request_line",
        kind: Kind::Count { min: 0, max: 65_536 },
        default: "4094",
        doc: "Longest request line in bytes; a longer one is answered with 414. 0: no limit of \
              its own.",
        ..ROW
    },
    Key {
        path: "http.limit_request_fields",
        kind: Kind::Count { min: 1, max: 1_000 },
        default: "100",
        doc: "Most header fields of a request; more are answered with 431.",
        ..ROW
    },
    Key {
        path: "http.limit_request_field_size",
        kind: Kind::Count { min: 64, max: 65_536 },
        default: "8190",
        doc: "Longest header field in bytes, with its name and its line's end; a longer one is \
              answered with 431.",
        ..ROW
    },
    Key {
        path: "http.half_close",
        kind: Kind::Bool,
        default: "true",
        doc: "Whether a client that closes its sending side after a request is still answered. With \
              false it counts as gone, as most proxies that close mean it: its request is dropped and \
              rolled back at once. A connection that is reset is gone in both cases.",
        ..ROW
    },
    Key {
        path: "http.detach",
        kind: Kind::Bool,
        default: "false",
        doc: "Whether requests of unsafe methods (all but GET, HEAD, OPTIONS and TRACE) are done to \
              their end when their client leaves before the answer.",
        ..ROW
    },
    Key {
        path: "http.error_pages",
        kind: Kind::Path,
        doc: "Directory with templates of your own for error pages: 404.html, 500.html, \
              error.html and so on. Empty: the built-in ones.",
        ..ROW
    },
];
