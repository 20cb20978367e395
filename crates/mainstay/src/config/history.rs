//! `[history]`, as the configuration has it.

use super::sections::Values;

/// `[history]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct History {
    /// Whether it is kept.
    pub enabled: bool,
    /// Most bytes of its file; 16 MiB at least.
    pub max_bytes: u64,
}

impl Values<'_> {
    pub(super) fn history(&self) -> History {
        History {
            enabled: self.yes("history.enabled"),
            max_bytes: self.number("history.max_bytes"),
        }
    }
}
