//! `[log]`: what is written.

use super::{Alias, AliasMap, Change, Key, ROW, same};
use crate::config::kind::Kind;

pub(super) const KEYS: &[Key] = &[
    Key {
        path: "log.level",
        kind: Kind::Level,
        default: "info",
        aliases: &[same("LOG_LEVEL"), same("GUNICORN_LOG_LEVEL")],
        flag: Some("log-level"),
        doc: "The least grave lines of the error log that are written: debug, info, warning, error \
              or critical. The access log has no level.",
        ..ROW
    },
    Key {
        path: "log.access",
        kind: Kind::Target,
        default: "stdout",
        flag: Some("access-logfile"),
        doc: "Where the access log goes: stdout (or -), stderr, or a file. Empty: nowhere.",
        ..ROW
    },
    Key {
        path: "log.access_format",
        kind: Kind::AccessFormat,
        default: "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\" %(D)s",
        flag: Some("access-logformat"),
        doc: "A line of the access log: Gunicorn's atoms or Apache's directives, or ecs for one \
              JSON object for each request.",
        ..ROW
    },
    Key {
        path: "log.error",
        kind: Kind::Target,
        default: "stderr",
        aliases: &[Alias { var: "LOG_TO_STDOUT", map: AliasMap::StdoutOrFile }],
        flag: Some("error-logfile"),
        doc: "Where everything else goes, the application's own records among it: stdout (or -), \
              stderr, or a file. Empty: nowhere. LOG_TO_STDOUT=true means stdout, \
              LOG_TO_STDOUT=false the file app.log.",
        ..ROW
    },
    Key {
        path: "log.format",
        kind: Kind::OneOf(&["auto", "text", "gunicorn", "ecs", "nginx"]),
        default: "auto",
        flag: Some("log-format"),
        doc: "Lines of the error log: text (time - name - LEVEL - message), gunicorn ([time] [pid] \
              [LEVEL] message), ecs (JSON) or nginx, whose tools find refusals by rate limits in it. auto: \
              text in a file, gunicorn elsewhere.",
        ..ROW
    },
    Key {
        path: "log.max_line",
        kind: Kind::Count { min: 1_000, max: 65_536 },
        default: "8000",
        doc: "Longest line of any log in bytes; what is longer is cut where it stays readable, \
              and marked.",
        ..ROW
    },
    Key {
        path: "log.buffer",
        kind: Kind::Bytes,
        default: "1 MiB",
        change: Change::Restart,
        doc: "Room for lines of each worker's access log that are not yet written, 64 KiB to 64 \
              MiB; the error log has a quarter of it.",
        ..ROW
    },
    Key {
        path: "log.probes",
        kind: Kind::Bool,
        default: "true",
        doc: "Whether health checks that succeed have lines in the access log. They are counted \
              either way.",
        ..ROW
    },
];
