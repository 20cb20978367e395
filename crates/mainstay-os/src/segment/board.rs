//! The board: named entries that several processes find by name, each with a few values, a target text
//! and a lease. It is where checks of health stand: who made one last, with what outcome, and who is to
//! make the next.
//!
//! Entries are only ever added, and all of it is compare-and-swap: whoever dies at any instruction
//! blocks nobody. An entry is claimed by one word, a hash of its name; whoever finds that word may
//! write the name again, since all write the same. The target is a text of several words that may
//! change, so it carries its own sum: a reader that finds it half written finds nothing, and whoever
//! declares the entry next writes it whole.

use super::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use super::text;

/// How many entries a board has.
pub const ENTRIES: usize = 24;
/// Longest name, bytes.
pub const MAX_NAME: usize = 48;
/// Longest target, bytes.
pub const MAX_TARGET: usize = 512;
/// Values of an entry. What they mean is their users' affair.
pub const ENTRY_VALUES: usize = 8;

const ID: usize = 0;
const NAME_LENGTH: usize = 1;
const NAME: usize = 2;
const DECLARED: usize = NAME + text::words_for(MAX_NAME);
const FLAGS: usize = DECLARED + 1;
const LEASE: usize = FLAGS + 1;
const VALUES: usize = LEASE + 1;
const TARGET_SUM: usize = VALUES + ENTRY_VALUES;
const TARGET_LENGTH: usize = TARGET_SUM + 1;
const TARGET: usize = TARGET_LENGTH + 1;
const ENTRY_WORDS: usize = (TARGET + text::words_for(MAX_TARGET)).next_multiple_of(8);

/// Words of the board.
pub(crate) const WORDS: usize = ENTRIES * ENTRY_WORDS;

/// A lease is a time in the high bits and its holder in these.
const HOLDER_BITS: u32 = 12;
const HOLDER: u64 = (1 << HOLDER_BITS) - 1;

/// View of the board.
#[derive(Clone, Copy, Debug)]
pub struct Board<'a> {
    words: &'a [AtomicU64],
}

/// View of one entry.
#[derive(Clone, Copy, Debug)]
pub struct BoardEntry<'a> {
    words: &'a [AtomicU64; ENTRY_WORDS],
}

impl<'a> Board<'a> {
    pub(crate) fn new(words: &'a [AtomicU64]) -> Board<'a> {
        Board { words: &words[..WORDS] }
    }

    fn all(&self) -> &'a [[AtomicU64; ENTRY_WORDS]] {
        self.words.as_chunks().0
    }

    /// Entry `index`, if it has been claimed.
    #[inline]
    #[must_use]
    pub fn entry(&self, index: usize) -> Option<BoardEntry<'a>> {
        let words = self.all().get(index)?;
        (words[ID].load(Acquire) != 0).then_some(BoardEntry { words })
    }

    /// All claimed entries, with their indices.
    pub fn entries(&self) -> impl Iterator<Item = (usize, BoardEntry<'a>)> + use<'a> {
        let board = *self;
        // They are claimed from the first on.
        (0..ENTRIES).map_while(move |index| Some((index, board.entry(index)?)))
    }

    /// Finds the entry of this name, or claims one for it; of a name longer than [`MAX_NAME`] the
    /// beginning counts. `None` when the board is full, or the name empty.
    #[must_use]
    pub fn claim(&self, name: &[u8]) -> Option<(usize, BoardEntry<'a>)> {
        let name = &name[..name.len().min(MAX_NAME)];
        if name.is_empty() {
            return None;
        }
        let id = sum(name).max(1);
        for (index, words) in self.all().iter().enumerate() {
            let found = match words[ID].compare_exchange(0, id, AcqRel, Acquire) {
                Ok(_) => id,
                Err(found) => found,
            };
            let entry = BoardEntry { words };
            if found == id && entry.is_named(name) {
                return Some((index, entry));
            }
        }
        None
    }
}

impl BoardEntry<'_> {
    /// Whether it is the entry of this name, which is completed if its claimant did not live to.
    fn is_named(&self, name: &[u8]) -> bool {
        if self.words[NAME_LENGTH].load(Acquire) == 0 {
            text::store(&self.words[NAME..DECLARED], name);
            self.words[NAME_LENGTH].store(name.len() as u64, Release);
        }
        self.name() == name
    }

    /// The name; empty for a moment after it was claimed.
    #[must_use]
    pub fn name(&self) -> Vec<u8> {
        let mut name = Vec::new();
        let length = self.words[NAME_LENGTH].load(Acquire);
        let length = usize::try_from(length).unwrap_or(MAX_NAME).min(MAX_NAME);
        text::load(&self.words[NAME..DECLARED], length, &mut name);
        name
    }

    /// Says that `generation` wants the entry, with these flags and this target. Who speaks last is
    /// believed; of the generations that spoke, the highest and the last are remembered. Of a target
    /// longer than [`MAX_TARGET`] bytes nothing is kept.
    pub fn declare(&self, generation: u32, flags: u64, target: &[u8]) {
        let add = |word: u64| {
            let (highest, last) = ((word >> 32) as u32, word as u32);
            let (highest, last) = match generation {
                new if new > highest => (new, highest),
                known if known == highest => (highest, last),
                old => (highest, old),
            };
            Some(u64::from(highest) << 32 | u64::from(last))
        };
        self.words[DECLARED].fetch_update(AcqRel, Acquire, add).ok();
        self.words[FLAGS].store(flags, Release);
        let target = if target.len() > MAX_TARGET { &[] } else { target };
        self.words[TARGET_SUM].store(0, Release);
        text::store(&self.words[TARGET..], target);
        self.words[TARGET_LENGTH].store(target.len() as u64, Release);
        self.words[TARGET_SUM].store(sum(target), Release);
    }

    /// Whether `generation` wants the entry.
    #[inline]
    #[must_use]
    pub fn is_wanted_by(&self, generation: u32) -> bool {
        let word = self.words[DECLARED].load(Acquire);
        generation != 0 && (generation == (word >> 32) as u32 || generation == word as u32)
    }

    /// Whether it stands as this declaration would leave it; costs little.
    #[must_use]
    pub fn stands(&self, generation: u32, flags: u64, target: &[u8]) -> bool {
        let target = if target.len() > MAX_TARGET { &[] } else { target };
        self.is_wanted_by(generation)
            && self.flags() == flags
            && self.words[TARGET_SUM].load(Acquire) == sum(target)
    }

    /// The flags of the last declaration.
    #[inline]
    #[must_use]
    pub fn flags(&self) -> u64 {
        self.words[FLAGS].load(Acquire)
    }

    /// The target of the last declaration; `None` while it is being changed, or when whoever changed
    /// it died.
    #[must_use]
    pub fn target(&self) -> Option<Vec<u8>> {
        let expected = self.words[TARGET_SUM].load(Acquire);
        let length = usize::try_from(self.words[TARGET_LENGTH].load(Acquire)).ok()?;
        let mut target = Vec::new();
        text::load(&self.words[TARGET..], length.min(MAX_TARGET), &mut target);
        (sum(&target) == expected).then_some(target)
    }

    /// Takes the lease for `holder` (below 4,096) until `until`, if nobody has it at `now`, `holder`
    /// itself included. Times are monotonic nanoseconds, as exact as 4 µs.
    pub fn lease(&self, holder: u64, now: u64, until: u64) -> bool {
        let (holder, mine) = (holder & HOLDER, until & !HOLDER);
        let found = self.words[LEASE].load(Acquire);
        found & !HOLDER <= now
            && self.words[LEASE].compare_exchange(found, mine | holder, AcqRel, Relaxed).is_ok()
    }

    /// Gives the lease back, if `holder` has it.
    pub fn release(&self, holder: u64) {
        let found = self.words[LEASE].load(Acquire);
        if found & HOLDER == holder & HOLDER {
            self.words[LEASE].compare_exchange(found, holder & HOLDER, AcqRel, Relaxed).ok();
        }
    }

    /// Who has the lease at `now`.
    #[must_use]
    pub fn holder(&self, now: u64) -> Option<u64> {
        let found = self.words[LEASE].load(Acquire);
        (found & !HOLDER > now).then_some(found & HOLDER)
    }

    /// Value `index`, below [`ENTRY_VALUES`]. Each is written and read by itself.
    #[inline]
    #[must_use]
    pub fn value(&self, index: usize) -> u64 {
        self.words[VALUES..TARGET_SUM][index].load(Acquire)
    }

    /// Sets value `index`; for the holder of the lease.
    #[inline]
    pub fn set(&self, index: usize, value: u64) {
        self.words[VALUES..TARGET_SUM][index].store(value, Release);
    }

    /// Adds to value `index`; for anybody.
    pub fn add(&self, index: usize, by: u64) {
        self.words[VALUES..TARGET_SUM][index].fetch_add(by, Relaxed);
    }
}

/// FNV-1a, spread: for telling texts apart, not for keeping anybody out.
fn sum(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^ hash >> 29
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::segment::cases;
    use proptest::prelude::*;

    fn words() -> Vec<AtomicU64> {
        (0..WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn a_name_is_claimed_once_and_found_by_everybody() {
        let words = words();
        let board = Board::new(&words);
        let index = |name: &[u8]| board.claim(name).map(|(index, _)| index);
        assert_eq!((index(b"db"), index(b"search"), index(b"db")), (Some(0), Some(1), Some(0)));
        let names: Vec<_> = board.entries().map(|(_, entry)| entry.name()).collect();
        assert_eq!(names, [b"db".to_vec(), b"search".to_vec()]);
        assert_eq!(index(b""), None);
        for number in 2..ENTRIES {
            assert_eq!(index(format!("check {number}").as_bytes()), Some(number));
        }
        assert_eq!(index(b"one too many"), None);
        assert_eq!(index(b"search"), Some(1));
    }

    #[test]
    fn a_claim_whose_claimant_died_is_completed_by_the_next() {
        let words = words();
        words[ID].store(sum(b"db"), Relaxed);
        let board = Board::new(&words);
        assert_eq!(board.entry(0).map(|entry| entry.name()), Some(Vec::new()));
        assert_eq!(
            board.claim(b"db").map(|(index, entry)| (index, entry.name())),
            Some((0, b"db".to_vec()))
        );
    }

    #[test]
    fn the_last_word_counts_and_the_generations_that_want_an_entry_are_known() {
        let words = words();
        let (_, entry) = Board::new(&words).claim(b"db").unwrap();
        assert!(entry.target().is_none() && !entry.is_wanted_by(0), "nobody has said anything");
        entry.declare(1, 5, b"sqlite:old");
        assert!(entry.stands(1, 5, b"sqlite:old") && !entry.stands(1, 5, b"sqlite:new"));
        entry.declare(2, 5, b"sqlite:new");
        assert!(entry.is_wanted_by(1) && entry.is_wanted_by(2) && !entry.is_wanted_by(3));
        entry.declare(3, 5, b"sqlite:newer");
        assert!(!entry.is_wanted_by(1) && entry.is_wanted_by(2));
        // Generations 2 and 3 have failed; the first, which serves, says so again.
        entry.declare(1, 4, b"sqlite:old");
        assert!(
            entry.stands(1, 4, b"sqlite:old") && entry.is_wanted_by(3) && !entry.is_wanted_by(2)
        );
        entry.declare(3, 5, &[b'x'; MAX_TARGET + 1]);
        assert!(entry.is_wanted_by(1));
        assert_eq!(entry.target().as_deref(), Some(&b""[..]));
    }

    #[test]
    fn a_target_that_was_left_half_written_is_none_until_it_is_declared_again() {
        let words = words();
        let (_, entry) = Board::new(&words).claim(b"db").unwrap();
        entry.declare(1, 0, b"postgres://one.example/shop");
        entry.words[TARGET + 1].store(7, Relaxed);
        assert_eq!(entry.target(), None);
        entry.declare(1, 0, b"postgres://one.example/shop");
        assert_eq!(entry.target().as_deref(), Some(&b"postgres://one.example/shop"[..]));
    }

    #[test]
    fn a_lease_is_one_holders_until_it_is_over_or_given_back() {
        let words = words();
        let (_, entry) = Board::new(&words).claim(b"db").unwrap();
        const SECOND: u64 = 1_000_000_000;
        assert!(entry.lease(3, SECOND, 3 * SECOND));
        assert!(!entry.lease(4, 2 * SECOND, 4 * SECOND));
        assert!(!entry.lease(3, 2 * SECOND, 4 * SECOND), "not even who has it");
        assert_eq!(entry.holder(2 * SECOND), Some(3));
        assert!(entry.lease(4, 4 * SECOND, 6 * SECOND), "over");
        entry.release(3);
        assert_eq!(entry.holder(5 * SECOND), Some(4), "not his to give back");
        entry.release(4);
        assert_eq!(entry.holder(5 * SECOND), None);
        assert!(entry.lease(5, 5 * SECOND, 6 * SECOND));
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn targets_are_read_as_declared_or_not_at_all(
            targets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 1..6),
            damage in prop::collection::vec((0..ENTRY_WORDS - TARGET_SUM, any::<u64>()), 0..3),
        ) {
            let words = words();
            let (_, entry) = Board::new(&words).claim(b"db").unwrap();
            for (generation, target) in targets.iter().enumerate() {
                entry.declare(generation as u32 + 1, 0, target);
                let kept = if target.len() > MAX_TARGET { &[][..] } else { target };
                prop_assert_eq!(entry.target(), Some(kept.to_vec()));
            }
            for (at, value) in damage {
                entry.words[TARGET_SUM + at].store(value, Relaxed);
            }
            let target = targets.last().unwrap();
            entry.declare(targets.len() as u32, 0, target);
            let kept = if target.len() > MAX_TARGET { &[][..] } else { target };
            prop_assert_eq!(entry.target(), Some(kept.to_vec()));
        }
    }
}
