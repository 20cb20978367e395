//! Heads through the judge of their framing.

use crate::http::strict::{Framing, Limits};

/// The judge of one connection.
#[derive(Debug)]
pub struct Heads {
    framing: Framing,
}

impl Heads {
    /// With the limits that a service has if it sets none.
    #[must_use]
    pub fn new() -> Heads {
        Heads { framing: Framing::new(Limits::default()) }
    }

    /// Feeds what has come, and says how many bytes of it were let pass; 0 also for what is refused.
    #[inline]
    pub fn feed(&mut self, bytes: &[u8]) -> usize {
        self.framing.feed(bytes).unwrap_or(0)
    }
}

impl Default for Heads {
    fn default() -> Heads {
        Heads::new()
    }
}
