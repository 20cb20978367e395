//! `[server]`: the service as a whole.

use super::{Alias, AliasMap, Change, Key, ROW, same};
use crate::config::kind::Kind;

pub(super) const KEYS: &[Key] = &[
    Key {
        path: "server.name",
        change: Change::Restart,
        doc: "Name of the service in logs, metrics and on its pages. Empty: the program's file \
              name.",
        ..ROW
    },
    Key {
        path: "server.bind",
        kind: Kind::Binds { port: 8000 },
        default: "127.0.0.1:8000",
        aliases: &[Alias { var: "PORT", map: AliasMap::PortToBind }],
        flag: Some("bind"),
        short: Some('b'),
        change: Change::Restart,
        doc: "Where requests are accepted: one address or several. A host without a port means \
              port 8000. PORT=8080 means 0.0.0.0:8080.",
        ..ROW
    },
    Key {
        path: "server.admin",
        kind: Kind::OptionalBind { port: 8001 },
        default: "127.0.0.1:8001",
        flag: Some("admin"),
        change: Change::Restart,
        doc: "Where the watch process answers health checks, whatever the workers do. Empty: \
              nowhere.",
        ..ROW
    },
    Key {
        path: "server.backlog",
        kind: Kind::Count { min: 1, max: 65_535 },
        default: "2048",
        change: Change::Restart,
        doc: "Connections that may wait on each socket until a worker accepts them; the kernel's \
              somaxconn caps it.",
        ..ROW
    },
    Key {
        path: "server.uploads",
        kind: Kind::Path,
        doc: "Directory in which the application keeps what it is sent: how full its file system is, is \
              measured. Empty: what the application says.",
        ..ROW
    },
    Key {
        path: "server.pidfile",
        kind: Kind::Path,
        flag: Some("pidfile"),
        short: Some('p'),
        change: Change::Restart,
        doc: "File that holds the supervisor's process id while it runs. Empty: none.",
        ..ROW
    },
    Key {
        path: "server.control",
        kind: Kind::Path,
        flag: Some("control"),
        change: Change::Restart,
        doc: "Path of the control socket, which status, reload and the other commands speak to. \
              Empty: chosen by mainstay, from the service's name.",
        ..ROW
    },
    Key {
        path: "server.environment",
        aliases: &[same("SENTRY_ENVIRONMENT")],
        change: Change::Restart,
        doc: "Where the service runs, such as production or staging, for structured logs and reports \
              of errors. Empty: not said.",
        ..ROW
    },
];
