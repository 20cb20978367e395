//! `[alerts]`: what is told to somebody, when, and to whom.

use super::{ABOVE_ZERO, Key, ROW};
use crate::config::kind::Kind;
use std::time::Duration;

/// So often a look may cost what it costs.
const NOT_TOO_OFTEN: Kind = Kind::Duration { min: Duration::from_millis(100) };

pub(super) const KEYS: &[Key] = &[
    Key {
        path: "alerts.enabled",
        kind: Kind::Bool,
        default: "true",
        doc: "Whether the rules are evaluated. `alerts explain` prints them as they are in force.",
        ..ROW
    },
    Key {
        path: "alerts.interval",
        kind: NOT_TOO_OFTEN,
        default: "10s",
        doc: "Time between two looks at the service, each with all rules.",
        ..ROW
    },
    Key {
        path: "alerts.readiness_checks",
        kind: Kind::Count { min: 1, max: 1_000 },
        default: "3",
        doc: "The check in a row at which not being ready fires, one each alerts.interval: 3 means \
              more than 2.",
        ..ROW
    },
    Key {
        path: "alerts.errors_above",
        kind: Kind::Ratio,
        default: "0.01",
        doc: "Part of the requests that may end with a 5xx, 0 to 1; more than that fires.",
        ..ROW
    },
    Key {
        path: "alerts.errors_window",
        kind: NOT_TOO_OFTEN,
        default: "5m",
        doc: "Within what time it is judged; with fewer than 100 requests in it, within 3 and 12 times as \
              long.",
        ..ROW
    },
    Key {
        path: "alerts.restarts_above",
        kind: Kind::Count { min: 0, max: 1_000_000 },
        default: "10",
        doc: "Restarts of workers that there may be within alerts.restarts_window; one more fires.",
        ..ROW
    },
    Key {
        path: "alerts.restarts_window",
        kind: ABOVE_ZERO,
        default: "1h",
        doc: "Within what time restarts are counted.",
        ..ROW
    },
    Key {
        path: "alerts.restarts_count",
        kind: Kind::OneOf(&["unplanned", "all"]),
        default: "unplanned",
        doc: "Which restarts count: unplanned ones, or all, those by recycling and reload included.",
        ..ROW
    },
    Key {
        path: "alerts.logins_above",
        kind: Kind::Count { min: 0, max: 1_000_000 },
        default: "50",
        doc: "Failed logins that there may be within alerts.errors_window; one more fires.",
        ..ROW
    },
    Key {
        path: "alerts.limits_above",
        kind: Kind::Count { min: 0, max: 1_000_000_000 },
        default: "1000",
        doc: "Requests that rate limits may refuse within alerts.errors_window; one more fires.",
        ..ROW
    },
    Key {
        path: "alerts.uploads_above",
        kind: Kind::Ratio,
        default: "0.8",
        doc: "Part of the space, and of the inodes, of an uploads directory's file system that may be \
              used, as df has it, 0 to 1; more than that fires.",
        ..ROW
    },
    Key {
        path: "alerts.rules",
        kind: Kind::OwnRules,
        doc: "Further rules, as NAME: FUNCTION(METRIC{LABEL=\"VALUE\"}, WINDOW) > NUMBER for TIME, joined by \
              semicolons or as a list, on what /metrics shows. Functions are value, avg, min, max, increase, rate, \
              ratio, p50, p95, p99 and absent; docs/alerts.md explains them.",
        ..ROW
    },
    Key {
        path: "alerts.receivers",
        kind: Kind::Receivers,
        secret: true,
        doc: "Who is told, as NAME=ADDRESS, joined by commas: http(s)://… is a webhook that takes what \
              Alertmanager sends; alertmanager+, slack+, discord+, teams+ and ntfy+ before it, pagerduty:KEY, \
              smtp:// and exec: name others. Behind the address may stand a key and options; docs/alerts.md \
              has them. Empty: the log alone.",
        ..ROW
    },
    Key {
        path: "alerts.receivers_file",
        kind: Kind::Path,
        doc: "File that holds them in place of alerts.receivers, such as a mounted secret; a line for \
              each will do.",
        ..ROW
    },
    Key {
        path: "alerts.maintenance",
        kind: Kind::Maintenance,
        doc: "Times in which alerts are told to nobody, as NAME=DAYS HH:MM-HH:MM in UTC, with `local` behind it \
              in the host's zone, with Europe/Berlin in that one, or NAME=DATETIME/DATETIME, joined by commas; \
              behind it may stand which: rule=high_*, severity=warning.",
        ..ROW
    },
    Key {
        path: "alerts.link",
        kind: Kind::HttpUrl,
        doc: "Where people look further, such as the address of the console or of a dashboard: it stands in all \
              that receivers are told.",
        ..ROW
    },
    Key {
        path: "alerts.state",
        kind: Kind::Path,
        doc: "Directory for the state of alerts and for what is still to be delivered; it outlives the \
              service. Receivers need one. Empty: memory of watch.",
        ..ROW
    },
    Key {
        path: "alerts.dry_run",
        kind: Kind::Bool,
        default: "false",
        doc: "Deliver nothing: what would be is written into the log.",
        ..ROW
    },
];
