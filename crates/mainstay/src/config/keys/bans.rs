//! `[bans]`: who is refused everything for a while. docs/bans.md is the guide.

use super::{Key, ROW};
use crate::config::kind::Kind;
use std::time::Duration;

const A_SECOND: Kind = Kind::Duration { min: Duration::from_secs(1) };

pub(super) const KEYS: &[Key] = &[
    Key {
        path: "bans.limits",
        kind: Kind::Limits,
        doc: "So many refusals by rate limits within so much time ban a client, such as \
              \"20 per 10 minute\". Empty: none do.",
        ..ROW
    },
    Key { path: "bans.logins", kind: Kind::Limits, doc: "The same of failed logins.", ..ROW },
    Key { path: "bans.not_found", kind: Kind::Limits, doc: "The same of answers of 404.", ..ROW },
    Key {
        path: "bans.csrf",
        kind: Kind::Limits,
        doc: "The same of requests that pages of other origins sent and that were refused.",
        ..ROW
    },
    Key {
        path: "bans.attack_tools",
        kind: Kind::Limits,
        doc: "The same of answers of 4xx to tools of security.attack_tools.",
        ..ROW
    },
    Key {
        path: "bans.time",
        kind: A_SECOND,
        default: "10m",
        doc: "How long a client is banned for the first time.",
        ..ROW
    },
    Key {
        path: "bans.factor",
        kind: Kind::Count { min: 1, max: 100 },
        default: "1",
        doc: "Each further ban of a client lasts so many times as long as the one before. Who was not \
              banned for bans.max_time begins anew.",
        ..ROW
    },
    Key {
        path: "bans.max_time",
        kind: A_SECOND,
        default: "7d",
        doc: "The longest that a ban becomes by that.",
        ..ROW
    },
    Key {
        path: "bans.ignore",
        kind: Kind::Networks,
        doc: "Addresses and networks that are never banned, beside loopback and proxy.trusted.",
        ..ROW
    },
    Key {
        path: "bans.file",
        kind: Kind::Path,
        doc: "A file of bans, \"NETWORK UNTIL REASON\" on each line, as \"bans list --format file\" prints it. It is \
              read again when it has changed.",
        ..ROW
    },
    Key {
        path: "bans.dry_run",
        kind: Kind::Bool,
        default: "false",
        doc: "Tell who would be banned, and refuse nobody. Bans by command are in force all the same.",
        ..ROW
    },
];
