//! `[health]`: the health endpoints, and the checks behind readiness.

use super::{ABOVE_ZERO, Key, ROW};
use crate::config::kind::Kind;

pub(super) const KEYS: &[Key] = &[
    Key {
        path: "health.live_path",
        kind: Kind::UrlPath,
        default: "/healthz",
        doc: "Path that answers 200 while the service makes progress.",
        ..ROW
    },
    Key {
        path: "health.ready_path",
        kind: Kind::UrlPath,
        default: "/readyz",
        doc: "Path that answers 200 while the service should be sent requests.",
        ..ROW
    },
    Key {
        path: "health.drain_delay",
        kind: Kind::DurationOrAuto,
        default: "auto",
        doc: "Time between the wish to stop, from when on the service reports that it is not \
              ready, and the moment it accepts no more. auto: 10s under Kubernetes, 0s on a \
              terminal, else 5s.",
        ..ROW
    },
    Key {
        path: "health.check_interval",
        kind: ABOVE_ZERO,
        default: "5s",
        doc: "How often each thing that the service depends on is checked; every second, if that \
              is sooner, while it fails.",
        ..ROW
    },
    Key {
        path: "health.check_timeout",
        kind: ABOVE_ZERO,
        default: "800ms",
        doc: "Time a check has to answer. Keep it below the time-out of whoever asks for \
              readiness; Kubernetes waits 1s.",
        ..ROW
    },
];
