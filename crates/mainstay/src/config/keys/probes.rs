//! `[probing]`, `[heartbeat]` and the tables `[[probes]]`: what is asked from outside, and who is told that all
//! is well.

use super::{Key, ROW};
use crate::config::kind::Kind;
use std::time::Duration;

/// Whoever is asked more often than this is loaded, not probed.
const NOT_TOO_OFTEN: Kind = Kind::Duration { min: Duration::from_millis(100) };

pub(super) const PROBING: &[Key] = &[
    Key {
        path: "probing.own",
        kind: Kind::Bool,
        default: "true",
        doc: "Whether the service's own health endpoints are asked through each of its listeners, every ten \
              seconds.",
        ..ROW
    },
    Key {
        path: "probing.references",
        doc: "What answers if this host can reach anything, as HOST:PORT, joined by commas. When a probe \
              fails and none of them can be reached either, the probe's state is unknown, not down.",
        ..ROW
    },
];

pub(super) const HEARTBEAT: &[Key] = &[
    Key {
        path: "heartbeat.url",
        secret: true,
        doc: "What is asked with GET as long as the service is well, such as a check of Healthchecks or a \
              push monitor: it tells somebody when nothing comes any more. Empty: nothing.",
        ..ROW
    },
    Key {
        path: "heartbeat.url_file",
        kind: Kind::Path,
        doc: "File that holds it in place of heartbeat.url, such as a mounted secret.",
        ..ROW
    },
    Key {
        path: "heartbeat.interval",
        kind: NOT_TOO_OFTEN,
        default: "1m",
        doc: "Time between two heartbeats.",
        ..ROW
    },
];

/// Those of one table `[[probes]]`.
pub(super) const PROBE: &[Key] = &[
    Key {
        path: "probes.name",
        doc: "Its name in alerts, metrics and logs: 1 to 32 lower case letters, digits and hyphens.",
        ..ROW
    },
    Key {
        path: "probes.url",
        doc: "What is asked: http://…, https://…, tcp://HOST:PORT, dns://NAME, or dns://SERVER/NAME.",
        ..ROW
    },
    Key {
        path: "probes.family",
        kind: Kind::OneOf(&["any", "both", "4", "6"]),
        default: "any",
        doc: "Over which addresses: the first that answers, over IPv4 and IPv6 each as far as the name has both and \
              this host a way out for both, or one of the two alone. Of dns://, which records there have to be.",
        ..ROW
    },
    Key {
        path: "probes.interval",
        kind: NOT_TOO_OFTEN,
        default: "30s",
        doc: "Time between two attempts; half of it while it is not yet sure what they mean.",
        ..ROW
    },
    Key {
        path: "probes.timeout",
        kind: NOT_TOO_OFTEN,
        default: "10s",
        doc: "How long an attempt may take.",
        ..ROW
    },
    Key {
        path: "probes.confirm",
        default: "3",
        doc: "Failures until it is down: in a row, or `3 of 5` for so many of the last ones.",
        ..ROW
    },
    Key {
        path: "probes.recover",
        default: "2",
        doc: "Successes until it is up again, in the same form.",
        ..ROW
    },
    Key {
        path: "probes.status",
        default: "200-299",
        doc: "Statuses that are good, such as `200-299, 401`.",
        ..ROW
    },
    Key {
        path: "probes.contains",
        doc: "What the first MiB of the body has to contain; behind `=~` stands a regular expression, such as \
              `=~ v[0-9]+`. Empty: anything will do.",
        ..ROW
    },
    Key {
        path: "probes.json",
        doc: "What has to be so in the body as JSON, as `PATH == VALUE` (or !=, <, <=, >, >=), such as \
              `status == ok` or `checks[0].age < 5`; a PATH alone has to be there. Empty: anything will do.",
        ..ROW
    },
    Key {
        path: "probes.headers",
        kind: Kind::HeaderList,
        secret: true,
        doc: "What is sent with the question, as NAME=VALUE with %20 and such, joined by commas. A redirect to \
              another host is followed without.",
        ..ROW
    },
    Key {
        path: "probes.headers_file",
        kind: Kind::Path,
        doc: "File that holds them in place of probes.headers, such as a mounted secret.",
        ..ROW
    },
    Key {
        path: "probes.header",
        doc: "A header that has to be there, as NAME, or as `NAME: TEXT` for one that contains the text.",
        ..ROW
    },
    Key {
        path: "probes.max_time",
        kind: super::FROM_ZERO,
        default: "0s",
        doc: "What takes longer is a failure. 0: probes.timeout alone.",
        ..ROW
    },
    Key {
        path: "probes.redirects",
        kind: Kind::Count { min: 0, max: 10 },
        default: "0",
        doc: "Redirects that are followed; what comes behind them is judged.",
        ..ROW
    },
    Key {
        path: "probes.ca",
        kind: Kind::Path,
        doc: "File in PEM with the certificates that are trusted in place of the public ones.",
        ..ROW
    },
];
