//! `[database]`: databases and their pools.

use super::{ABOVE_ZERO, FROM_ZERO, Key, ROW, same};
use crate::config::kind::Kind;

pub(super) const KEYS: &[Key] = &[
    Key {
        path: "database.url",
        kind: Kind::DatabaseUrl,
        aliases: &[same("DATABASE_URL")],
        secret: true,
        doc: "The database: sqlite:FILE, postgres://USER:PASSWORD@HOST/NAME or mysql://… in the \
              same form. Empty: the application's default, or none.",
        ..ROW
    },
    Key {
        path: "database.url_file",
        kind: Kind::Path,
        doc: "File that holds the URL in place of database.url, such as a mounted secret.",
        ..ROW
    },
    Key {
        path: "database.pool",
        kind: Kind::CountOrAuto { min: 1, max: 1_000 },
        default: "auto",
        doc: "Connections that each pool of each worker may open. auto: 80 % of the server's \
              limit, divided by database.hosts and workers, 1 to 10; 4 for SQLite.",
        ..ROW
    },
    Key {
        path: "database.hosts",
        kind: Kind::Count { min: 1, max: 10_000 },
        default: "1",
        doc: "How many hosts share the database server, for database.pool = auto.",
        ..ROW
    },
    Key {
        path: "database.acquire_timeout",
        kind: ABOVE_ZERO,
        default: "3s",
        doc: "Time that a request waits for a connection of a pool before it fails.",
        ..ROW
    },
    Key {
        path: "database.slow_query",
        kind: FROM_ZERO,
        default: "500ms",
        doc: "Statements that take longer are logged, once while they still run and once at their \
              end. 0s: never.",
        ..ROW
    },
    Key {
        path: "database.echo",
        kind: Kind::OneOf(&["off", "sql", "debug"]),
        default: "off",
        aliases: &[same("DB_ECHO")],
        doc: "Whether every statement is logged: sql with its time and rows, debug also with \
              transactions and the waits for connections. Values are never shown.",
        ..ROW
    },
    Key {
        path: "database.migrate",
        kind: Kind::OneOf(&["off", "on-start"]),
        default: "off",
        doc: "Whether pending migrations run before a worker is ready. off: by the command \
              migrate alone.",
        ..ROW
    },
];
