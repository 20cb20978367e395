//! The words of a place: whose it is, and what has been counted. Each value of a word is valid to read.
//!
//! The first word is the tag of a key with the place's *turn*, which goes on whenever the place changes
//! hands. The second is the state, of one of these kinds; it tells when it ends, so nobody has to clean up.

/// Bits of a tag.
const TAG_BITS: u32 = 48;
const TAG: u64 = (1 << TAG_BITS) - 1;
/// Turns wrap; a place would have to change hands that often during one operation to be mistaken.
const TURN: u64 = (1 << 13) - 1;

const KIND_SHIFT: u32 = 61;
const VALUE: u64 = (1 << KIND_SHIFT) - 1;

const ENDS_SHIFT: u32 = 23;
/// The latest end that a state can tell, milliseconds since the host's start: 8.7 years.
pub(super) const LATEST: u64 = (1 << (KIND_SHIFT - ENDS_SHIFT)) - 1;
const HOT: u64 = 1 << 22;
/// The largest count.
pub(super) const MAX_COUNT: u64 = HOT - 1;

/// Kinds of state. What is none of them counts as nothing.
const COUNT: u64 = 1;
const PACE: u64 = 2;
const RING: u64 = 3;
const CLAIM: u64 = 4;
const FREED: u64 = 5;

/// The first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner(pub(super) u64);

impl Owner {
    #[inline]
    pub(super) fn tag(self) -> u64 {
        self.0 & TAG
    }

    #[inline]
    pub(super) fn turn(self) -> u64 {
        self.0 >> TAG_BITS & TURN
    }

    /// Whether it is the owner that the claim of `tag` after `turn` has made.
    #[inline]
    pub(super) fn is_next_after(self, turn: u64, tag: u64) -> bool {
        self == Owner(turn << TAG_BITS).followed_by(tag)
    }

    /// The next owner of a place that this one has.
    #[inline]
    pub(super) fn followed_by(self, tag: u64) -> Owner {
        Owner(((self.turn() + 1) & TURN) << TAG_BITS | tag & TAG)
    }
}

/// The second word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State(pub(super) u64);

/// A state, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nobody's.
    Vacant,
    /// Somebody is about to own the place after the owner of this turn.
    Claim {
        /// Who.
        tag: u64,
        /// The turn before.
        turn: u64,
    },
    /// So many until then, milliseconds.
    Count {
        /// When it ends.
        ends: u64,
        /// How many.
        count: u64,
    },
    /// When all that was admitted is paid for, nanoseconds.
    Pace(u64),
    /// The ring beside the place counts until then, milliseconds.
    Ring {
        /// When it ends.
        ends: u64,
    },
}

impl State {
    #[inline]
    pub(super) fn claim(tag: u64, before: Owner) -> State {
        State(CLAIM << KIND_SHIFT | before.turn() << TAG_BITS | tag & TAG)
    }

    /// What a claim becomes that is given up. Not 0, so that no claim can be made on the strength of what
    /// the place was before.
    #[inline]
    pub(super) fn freed(claim: State) -> State {
        State(FREED << KIND_SHIFT | claim.0 & VALUE)
    }

    /// `hot` places are given to others last.
    #[inline]
    pub(super) fn count(ends: u64, count: u64, hot: bool) -> State {
        let ends = ends.min(LATEST) << ENDS_SHIFT;
        let hot = if hot { HOT } else { 0 };
        State(COUNT << KIND_SHIFT | ends | hot | count.min(MAX_COUNT))
    }

    #[inline]
    pub(super) fn pace(nanos: u64) -> State {
        State(PACE << KIND_SHIFT | nanos.min(VALUE))
    }

    #[inline]
    pub(super) fn ring(ends: u64, hot: bool) -> State {
        let hot = if hot { HOT } else { 0 };
        State(RING << KIND_SHIFT | ends.min(LATEST) << ENDS_SHIFT | hot)
    }

    #[inline]
    pub(super) fn kind(self) -> Kind {
        let (value, ends) = (self.0 & VALUE, (self.0 & VALUE) >> ENDS_SHIFT);
        match self.0 >> KIND_SHIFT {
            COUNT => Kind::Count { ends, count: value & MAX_COUNT },
            PACE => Kind::Pace(value),
            RING => Kind::Ring { ends },
            CLAIM => Kind::Claim { tag: value & TAG, turn: value >> TAG_BITS & TURN },
            _ => Kind::Vacant,
        }
    }

    /// Whether it is an owner's own, and no claim.
    #[inline]
    pub(super) fn is_settled(self) -> bool {
        matches!(self.0 >> KIND_SHIFT, COUNT..=RING)
    }

    /// When it counts for nothing any more, milliseconds; 0 for what never counted.
    #[inline]
    pub(super) fn ends(self) -> u64 {
        match self.kind() {
            Kind::Count { ends, .. } | Kind::Ring { ends } => ends,
            Kind::Pace(nanos) => nanos.div_ceil(1_000_000),
            Kind::Vacant | Kind::Claim { .. } => 0,
        }
    }

    #[inline]
    pub(super) fn is_hot(self) -> bool {
        matches!(self.0 >> KIND_SHIFT, COUNT | RING) && self.0 & HOT != 0
    }
}
