//! `[telemetry]`: what leaves the host, and for whom.

use super::{FROM_ZERO, Key, ROW, same};
use crate::config::kind::Kind;

pub(super) const KEYS: &[Key] = &[
    Key {
        path: "telemetry.endpoint",
        kind: Kind::HttpUrl,
        aliases: &[same("OTEL_EXPORTER_OTLP_ENDPOINT")],
        doc: "Where OTLP is sent, as HTTP with protobuf, such as http://localhost:4318; v1/traces, \
              v1/metrics and v1/logs are put behind it. Empty: the preset's, or nothing is sent.",
        ..ROW
    },
    Key {
        path: "telemetry.headers",
        kind: Kind::HeaderList,
        aliases: &[same("OTEL_EXPORTER_OTLP_HEADERS")],
        secret: true,
        doc: "Headers of every request to it: name=value, joined by commas, with values that are \
              percent-encoded where they need it.",
        ..ROW
    },
    Key {
        path: "telemetry.preset",
        kind: Kind::OneOf(&["none", "elastic", "datadog-agent", "datadog", "newrelic", "sentry"]),
        default: "none",
        doc: "Whose receiver it is: sets the endpoint, where there is one for all, the header of \
              telemetry.key, and whether metrics are sent as differences.",
        ..ROW
    },
    Key {
        path: "telemetry.key",
        kind: Kind::HeaderValue,
        secret: true,
        doc: "The key that the receiver of the preset asks for; it goes into the right header.",
        ..ROW
    },
    Key {
        path: "telemetry.key_file",
        kind: Kind::Path,
        doc: "File that holds the key in place of telemetry.key, such as a mounted secret.",
        ..ROW
    },
    Key {
        path: "telemetry.sample",
        kind: Kind::Ratio,
        default: "1",
        doc: "Part of the traces begun here that is kept, 0 to 1. Whoever calls with a trace of \
              their own has decided already.",
        ..ROW
    },
    Key {
        path: "telemetry.keep_slow",
        kind: FROM_ZERO,
        default: "1s",
        doc: "Requests that take this long are kept whatever the sample says, as are those that \
              fail. 0s: only those that fail.",
        ..ROW
    },
    Key {
        path: "telemetry.spool",
        kind: Kind::Path,
        doc: "Directory for what a receiver has not taken yet; it outlives the service. Empty: \
              memory of watch, at most 16 MiB for each receiver.",
        ..ROW
    },
    Key {
        path: "telemetry.spool_size",
        kind: Kind::Bytes,
        default: "64 MiB",
        doc: "Room in it for each receiver, 1 MiB to 64 GiB. What comes while it is full is lost \
              and counted; what is in it stays.",
        ..ROW
    },
];
