//! `[history]`: what was.

use super::{Key, ROW};
use crate::config::kind::Kind;

pub(super) const KEYS: &[Key] = &[
    Key {
        path: "history.enabled",
        kind: Kind::Bool,
        default: "true",
        doc: "Whether it is kept: in the directory alerts.state, or for a shorter time in memory of watch. It needs the \
              feature sqlite.",
        ..ROW
    },
    Key {
        path: "history.max_bytes",
        kind: Kind::Bytes,
        default: "256 MiB",
        doc: "Room for it, 16 MiB to 64 GiB. When it is used up, the finest goes first, and of that the oldest.",
        ..ROW
    },
];
