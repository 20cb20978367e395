//! `[limits]`: how often clients may come. docs/rate-limits.md is the guide.

use super::{ABOVE_ZERO, Alias, AliasMap, Key, ROW, same};
use crate::config::kind::Kind;

pub(super) const KEYS: &[Key] = &[
    Key {
        path: "limits.enabled",
        kind: Kind::Bool,
        default: "true",
        aliases: &[same("RATELIMIT_ENABLED")],
        doc: "Whether the limits of configuration and code count at all.",
        ..ROW
    },
    Key {
        path: "limits.default",
        kind: Kind::Limits,
        aliases: &[same("RATELIMIT_DEFAULT")],
        doc: "Limits of each client for all paths together that have none of their own, such as \
              \"200 per day; 50/hour\".",
        ..ROW
    },
    Key {
        path: "limits.application",
        kind: Kind::Limits,
        aliases: &[same("RATELIMIT_APPLICATION")],
        doc: "Limits of each client for the whole application, beside those of a path.",
        ..ROW
    },
    Key {
        path: "limits.meta",
        kind: Kind::Limits,
        aliases: &[same("RATELIMIT_META")],
        doc: "How often a client may be refused by other limits before it is refused everything.",
        ..ROW
    },
    Key {
        path: "limits.routes",
        kind: Kind::LimitRules,
        doc: "Limits of single paths in place of the default ones: a list of rules such as \
              \"POST /login: 5/minute\", \"/orders/{id}: 100/hour\" or \"/search: dry-run 10/minute\". \
              The first that fits counts.",
        ..ROW
    },
    Key {
        path: "limits.concurrency",
        kind: Kind::Count { min: 0, max: 1_024 },
        default: "0",
        doc: "Requests of one client that may be under way at once, over all workers; more are refused. \
              0: any number.",
        ..ROW
    },
    Key {
        path: "limits.strategy",
        kind: Kind::OneOf(&["fixed-window", "moving-window", "sliding-window-counter", "gcra"]),
        default: "fixed-window",
        aliases: &[same("RATELIMIT_STRATEGY")],
        doc: "How a window is counted: from a client's first request, as the last requests before \
              each moment, estimated from two windows, or as a bucket that fills evenly.",
        ..ROW
    },
    Key {
        path: "limits.key",
        kind: Kind::LimitKey,
        default: "address",
        doc: "Who is counted as one client: the address, or whoever sends the same header or cookie, \
              as in header:X-Api-Key and cookie:sid. Without it, it is the address.",
        ..ROW
    },
    Key {
        path: "limits.ipv6_prefix",
        kind: Kind::Count { min: 32, max: 128 },
        default: "64",
        doc: "Bits of an IPv6 address that tell clients apart: one connection often has 64 bits of \
              addresses for itself.",
        ..ROW
    },
    Key {
        path: "limits.ipv6_network",
        kind: Kind::Count { min: 0, max: 1_000 },
        default: "0",
        doc: "How many times the amount of a client a whole /48 network of IPv6 has together, such as 8: who \
              has one has 65,536 clients for himself. 0 does not count networks.",
        ..ROW
    },
    Key {
        path: "limits.exempt",
        kind: Kind::LimitExempt,
        doc: "Paths, addresses and networks that are not limited, such as \"/static/*, 10.0.0.0/8\".",
        ..ROW
    },
    Key {
        path: "limits.headers",
        kind: Kind::OneOf(&["both", "draft-10", "x-ratelimit", "draft-7", "draft-6", "off"]),
        default: "both",
        aliases: &[Alias { var: "RATELIMIT_HEADERS_ENABLED", map: AliasMap::XRateLimit }],
        doc: "Which headers tell clients of their limits: RateLimit of the IETF's draft, \
              X-RateLimit-Limit and its like, both, or none.",
        ..ROW
    },
    Key {
        path: "limits.dry_run",
        kind: Kind::Bool,
        default: "false",
        doc: "Count and tell what would be refused, and refuse nothing.",
        ..ROW
    },
    Key {
        path: "limits.compat",
        kind: Kind::OneOf(&["off", "flask-limiter"]),
        default: "off",
        doc: "Whether headers and the order of limits are those of Flask-Limiter 4.1.",
        ..ROW
    },
    Key {
        path: "limits.excess_404",
        kind: Kind::Limits,
        default: "60/minute",
        doc: "From how many answers of 404 on a client is told of as a scanner. Nobody is refused \
              for it. Empty: from none.",
        ..ROW
    },
    Key {
        path: "limits.storage",
        kind: Kind::LimitStorage,
        aliases: &[same("RATELIMIT_STORAGE_URI"), same("RATELIMIT_STORAGE_URL")],
        secret: true,
        doc: "A Redis or Valkey that counts for several hosts, as redis://:PASSWORD@HOST:6379/0, \
              rediss://HOST, redis+unix:///PATH, redis+sentinel://HOST,HOST/SERVICE or \
              redis+cluster://HOST,HOST; with TLS rediss+sentinel:// or rediss+cluster://. Empty or memory://: each host counts for itself.",
        ..ROW
    },
    Key {
        path: "limits.storage_file",
        kind: Kind::Path,
        doc: "File that holds the address in place of limits.storage, such as a mounted secret.",
        ..ROW
    },
    Key {
        path: "limits.storage_timeout",
        kind: ABOVE_ZERO,
        default: "50ms",
        doc: "How long a request waits for the store before it is taken to be away.",
        ..ROW
    },
    Key {
        path: "limits.when_away",
        kind: Kind::OneOf(&["local", "allow", "deny"]),
        default: "local",
        doc: "What limits do while the store is away: count on each host for itself, admit \
              everything, or refuse everything. A rule of limits.routes has its own way as in \
              \"POST /login: away-deny 5/minute\".",
        ..ROW
    },
    Key {
        path: "limits.key_prefix",
        aliases: &[same("RATELIMIT_KEY_PREFIX")],
        doc: "What tells this service's keys in the store from those of others; services of one \
              prefix count together.",
        ..ROW
    },
];
