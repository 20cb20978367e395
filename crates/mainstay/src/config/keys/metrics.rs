//! `[metrics]`: where metrics are pushed to.

use super::{Key, ROW};
use crate::config::kind::Kind;

pub(super) const KEYS: &[Key] = &[
    Key {
        path: "metrics.statsd",
        kind: Kind::OptionalBind { port: 8125 },
        flag: Some("statsd-host"),
        doc: "A statsd server, to which metrics are pushed each second by Gunicorn's names. Empty: \
              none.",
        ..ROW
    },
    Key {
        path: "metrics.statsd_prefix",
        flag: Some("statsd-prefix"),
        doc: "What stands before the names that are pushed, with a dot between.",
        ..ROW
    },
    Key {
        path: "metrics.dogstatsd_tags",
        flag: Some("dogstatsd-tags"),
        doc: "Tags of what is pushed, as DogStatsD takes them: env:production,team:shop. Empty: \
              none, as other servers want it.",
        ..ROW
    },
];
