//! Where the parts of the table are, computed from its size: half of it counts, half of it rings of three
//! lengths; and beside them bans, a place for every four kilobytes, and who is refused.

use super::table::{LINE_PLACES, LINE_WORDS};
use super::{EXACT_AMOUNT, HEAD_WORDS, bans, parts, refused};
use std::ops::Range;

/// Words of a ring of each length.
const RINGS: [usize; 3] = [16, 128, EXACT_AMOUNT as usize];
const _: () = assert!(parts::WORDS <= RINGS[1], "parts have room");

/// Parts of the table, in words of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    counts: usize,
    /// Lines of places with rings of each length.
    lines: [usize; 3],
    /// Lines of places of bans.
    bans: usize,
    /// Words that say who is refused.
    refused: usize,
}

/// Rings of one length.
#[derive(Clone, Debug)]
pub(super) struct Class {
    pub(super) places: Range<usize>,
    pub(super) rings: Range<usize>,
    /// Words of each ring.
    pub(super) length: usize,
}

impl Geometry {
    /// For a table of so many bytes. What is too small counts nothing: below some hundred kilobytes the
    /// longest rings, below a kilobyte everything.
    pub(crate) fn new(bytes: usize) -> Geometry {
        let half = bytes / 2 / 8;
        Geometry {
            counts: half / LINE_WORDS * LINE_WORDS,
            lines: RINGS.map(|length| half / RINGS.len() / (LINE_WORDS + LINE_PLACES * length)),
            bans: bytes / 4_096 / LINE_PLACES,
            refused: refused::words(bytes),
        }
    }

    /// Words of the whole.
    pub(crate) fn words(self) -> usize {
        self.refused().end
    }

    /// What says who is refused.
    pub(super) fn refused(self) -> Range<usize> {
        let begin = self.bans().1.end;
        begin..begin + self.refused
    }

    /// The places of bans, and what stands beside them.
    pub(super) fn bans(self) -> (Range<usize>, Range<usize>) {
        let begin = self.class_at(2).rings.end;
        let details = begin + self.bans * LINE_WORDS;
        (begin..details, details..details + self.bans * LINE_PLACES * bans::DETAILS)
    }

    /// The counts.
    pub(super) fn counts(self) -> Range<usize> {
        HEAD_WORDS..HEAD_WORDS + self.counts
    }

    /// The rings that hold an amount.
    pub(super) fn class(self, amount: u64) -> Class {
        self.class_at(match amount {
            ..=16 => 0,
            129..=EXACT_AMOUNT => 2,
            _ => 1,
        })
    }

    pub(super) fn classes(self) -> [Class; 3] {
        [0, 1, 2].map(|class| self.class_at(class))
    }

    fn class_at(self, class: usize) -> Class {
        let words = |class: usize| self.lines[class] * (LINE_WORDS + LINE_PLACES * RINGS[class]);
        let begin = HEAD_WORDS + self.counts + (0..class).map(words).sum::<usize>();
        let rings = begin + self.lines[class] * LINE_WORDS;
        Class { places: begin..rings, rings: rings..begin + words(class), length: RINGS[class] }
    }
}
