//! `[proxy]`: whom to believe about the client.

use super::{Key, ROW, same};
use crate::config::kind::Kind;

pub(super) const KEYS: &[Key] = &[
    Key {
        path: "proxy.trusted",
        kind: Kind::Networks,
        default: "127.0.0.1,::1",
        aliases: &[same("FORWARDED_ALLOW_IPS")],
        doc: "Proxies that may say who the client is: addresses, networks, loopback, private, or \
              unix for peers on unix sockets. Empty: nobody.",
        ..ROW
    },
    Key {
        path: "proxy.header",
        kind: Kind::OneOf(&["x-forwarded", "forwarded", "off"]),
        default: "x-forwarded",
        doc: "Which headers of a trusted proxy are read: X-Forwarded-For and its like, Forwarded \
              (RFC 7239), or none.",
        ..ROW
    },
    Key {
        path: "proxy.hops",
        kind: Kind::Count { min: 0, max: 32 },
        default: "0",
        doc: "How many proxies at most stand before the service. 0: as many as are trusted.",
        ..ROW
    },
    Key {
        path: "proxy.fix",
        kind: Kind::ProxyFix,
        doc: "Counting as Werkzeug's ProxyFix does it, such as { x_for = 1, x_proto = 1 }, in \
              place of walking the chain. Empty: the chain is walked.",
        ..ROW
    },
    Key {
        path: "proxy.hosts",
        kind: Kind::Hosts,
        doc: "Hosts that a trusted proxy may name, such as example.com or .example.com. Empty: \
              what it says of the host is not used.",
        ..ROW
    },
    Key {
        path: "proxy.protocol",
        kind: Kind::OneOf(&["off", "v1", "v2", "auto"]),
        default: "off",
        doc: "Whether connections of trusted proxies begin with the PROXY protocol, and which \
              version of it.",
        ..ROW
    },
];
