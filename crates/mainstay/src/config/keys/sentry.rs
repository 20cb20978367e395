//! `[sentry]`: where errors are reported.

use super::{Key, ROW, same};
use crate::config::kind::Kind;

pub(super) const KEYS: &[Key] = &[
    Key {
        path: "sentry.dsn",
        kind: Kind::Dsn,
        aliases: &[same("SENTRY_DSN")],
        secret: true,
        doc: "Where errors are reported: the DSN of a project of Sentry, or of a server that speaks \
              its protocol, https://KEY@HOST/PROJECT. Empty: nowhere.",
        ..ROW
    },
    Key {
        path: "sentry.release",
        aliases: &[same("SENTRY_RELEASE")],
        doc: "The release that reports name. Empty: NAME@VERSION of the service.",
        ..ROW
    },
    Key {
        path: "sentry.sample_rate",
        kind: Kind::Ratio,
        default: "1",
        aliases: &[same("SENTRY_SAMPLE_RATE")],
        doc: "Which part of the errors is reported, from 0 for none to 1 for all.",
        ..ROW
    },
    Key {
        path: "sentry.send_pii",
        kind: Kind::Bool,
        default: "false",
        aliases: &[same("SENTRY_SEND_DEFAULT_PII")],
        doc: "Whether reports tell the client's address.",
        ..ROW
    },
];
