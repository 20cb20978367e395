//! Where the parts of the table are, computed from its size.

use super::HEAD_WORDS;
use super::table::LINE_WORDS;
use std::ops::Range;

/// Parts of the table, in words of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    counts: usize,
}

impl Geometry {
    /// For a table of so many bytes. Below 2 kB nothing is counted.
    pub(crate) fn new(bytes: usize) -> Geometry {
        let lines = bytes / 8 / LINE_WORDS;
        Geometry { counts: lines * LINE_WORDS }
    }

    /// Words of the whole.
    pub(crate) fn words(self) -> usize {
        HEAD_WORDS + self.counts
    }

    /// The counts.
    pub(super) fn counts(self) -> Range<usize> {
        HEAD_WORDS..HEAD_WORDS + self.counts
    }
}
