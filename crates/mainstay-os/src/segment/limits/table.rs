//! Places of keys: lines of four places each, of which a key may be in two.
//!
//! Everything is done by compare-and-swap on one word, in an order in which whoever is killed leaves what
//! others can go on from:
//!
//! 1. A place is taken by a *claim* in its state, which names the claimant and the place's turn.
//! 2. Then its first word is given the claimant's tag and the next turn. Only from the turn that the
//!    claim names: of all who try, one succeeds, and a late one does no harm.
//! 3. Then the claimant looks at all of the key's places. What another has settled is used instead; of
//!    several claims the first in order stands, and takes the others away. Both sides look after they
//!    have claimed, so one of two sees the other, and a key never has two counts.
//! 4. The first count replaces the claim. Whoever lost the claim meanwhile begins again.
//!
//! Anybody of the same key may go on with a claim, so nobody waits for the dead.

use super::key::Key;
use super::state::{Kind, Owner, State};
use crate::segment::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, SeqCst},
    fence,
};

/// Words of a line: a cache line.
pub(super) const LINE_WORDS: usize = 8;
/// Places of a line.
pub(super) const LINE_PLACES: usize = LINE_WORDS / 2;
/// How often a claim is tried before the key goes without. Each failure is another's success.
const TRIES: usize = 64;

/// View of the places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a> {
    lines: &'a [[AtomicU64; LINE_WORDS]],
}

/// A key's place as it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    owner: &'a AtomicU64,
    state: &'a AtomicU64,
    /// Which place of the table.
    pub(super) index: usize,
    /// Whose it is.
    pub(super) by: Owner,
    /// What was in it.
    pub(super) is: State,
}

/// A state as it was read, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replace<'a>(&'a AtomicU64, State);

impl Replace<'_> {
    /// Puts `next` there unless something else came first.
    #[inline(always)]
    pub(super) fn replace(self, next: State) -> bool {
        self.0.compare_exchange(self.1.0, next.0, AcqRel, Acquire).is_ok()
    }
}

impl<'a> Found<'a> {
    #[inline(always)]
    pub(super) fn step(&self) -> Replace<'a> {
        Replace(self.state, self.is)
    }

    /// Puts `next` there unless something else came first.
    #[inline(always)]
    pub(super) fn replace(&self, next: State) -> bool {
        self.step().replace(next)
    }

    /// Reads it again; `None` when it is somebody else's by now.
    #[inline(always)]
    pub(super) fn again(self) -> Option<Self> {
        let is = State(self.state.load(Acquire));
        let same = self.owner.load(Acquire) == self.by.0;
        (same && is.is_settled()).then_some(Found { is, ..self })
    }
}

/// Why there is no place for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// How good a place is for somebody new: the lower, the better.
type Rank = (u8, u64);

/// The lines in which a key may be, in the order that all who look for it share.
#[derive(Clone, Copy)]
struct Candidates([usize; 2]);

impl Candidates {
    fn each(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().flat_map(|line| (0..LINE_PLACES).map(move |at| line * LINE_PLACES + at))
    }
}

impl<'a> Table<'a> {
    /// `words` are whole lines.
    #[inline]
    pub(super) fn new(words: &'a [AtomicU64]) -> Table<'a> {
        Table { lines: words.as_chunks().0 }
    }

    #[inline(always)]
    fn candidates(self, key: Key) -> Option<Candidates> {
        (self.lines.len() >= 2).then(|| Candidates(key.lines(self.lines.len())))
    }

    /// All settled places.
    pub(super) fn each(self) -> impl Iterator<Item = Found<'a>> {
        let places = 0..self.lines.len() * LINE_PLACES;
        // Unchanged on both sides of the state, as where one is looked for.
        places.filter_map(move |index| self.read(index).again())
    }

    /// The settled places where a key may be.
    pub(super) fn of(self, key: Key) -> impl Iterator<Item = Found<'a>> {
        let places = self.candidates(key).into_iter().flat_map(Candidates::each);
        places.filter_map(move |index| self.read(index).again())
    }

    fn read(self, index: usize) -> Found<'a> {
        let at = index % LINE_PLACES * 2;
        let line = &self.lines[index / LINE_PLACES];
        let (owner, state) = (&line[at], &line[at + 1]);
        // The state first: an owner read after it is not older.
        let is = State(state.load(Acquire));
        Found { owner, state, index, by: Owner(owner.load(Acquire)), is }
    }

    /// The settled place of `tag` in a line.
    #[inline(always)]
    fn find_in(self, line: usize, tag: u64) -> Option<Found<'a>> {
        let words = self.lines.get(line)?;
        for at in 0..LINE_PLACES {
            let (owner, state) = (&words[at * 2], &words[at * 2 + 1]);
            let by = Owner(owner.load(Acquire));
            if by.tag() == tag {
                let index = line * LINE_PLACES + at;
                // Unchanged on both sides of the state: the state is the owner's.
                let found = Found { owner, state, index, by, is: State(0) }.again();
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }

    /// The settled place of `tag`, which belongs to `key`.
    #[inline(always)]
    pub(super) fn find(self, key: Key, tag: u64) -> Option<Found<'a>> {
        let Candidates([first, second]) = self.candidates(key)?;
        self.find_in(first, tag).or_else(|| self.find_in(second, tag))
    }

    /// The settled places of both of a key's tags.
    #[inline]
    pub(super) fn find_both(self, key: Key) -> [Option<Found<'a>>; 2] {
        [key.tag(), key.tag() | 1].map(|tag| self.find(key, tag))
    }

    /// A place for `tag`: the settled one, or one whose claim the caller has to replace. `evicted` hears of
    /// each count that was given up although it had not ended by `now`, milliseconds.
    pub(super) fn find_or_claim(
        self,
        key: Key,
        tag: u64,
        now: u64,
        evicted: impl Fn(),
    ) -> Result<Found<'a>, Full> {
        let candidates = self.candidates(key).ok_or(Full)?;
        for _ in 0..TRIES {
            let (mut mine, mut best) = (None, None::<(Rank, Found<'a>)>);
            for line in candidates.0 {
                let mut busy = 0;
                let mut good = None::<(Rank, Found<'a>)>;
                for index in (0..LINE_PLACES).map(|at| line * LINE_PLACES + at) {
                    let found = self.read(index);
                    match found.is.kind() {
                        Kind::Claim { tag: claimant, .. } if claimant == tag => {
                            mine = mine.or(Some(found));
                        }
                        _ if found.is.is_settled() && found.by.tag() == tag => {
                            if let Some(found) = found.again() {
                                return Ok(found);
                            }
                        }
                        _ => {
                            let rank = rank(found.is, now);
                            busy += u64::from(rank.0 >= LIVE);
                            if good.is_none_or(|(least, _)| rank < least) {
                                good = Some((rank, found));
                            }
                        }
                    }
                }
                // The first line is better, for there it is found first, unless it is much fuller.
                let crowd = if busy < 2 { 0 } else { busy };
                let good = good.map(|((rank, ends), it)| ((rank, ends.max(crowd)), it));
                if let Some(good) = good
                    && best.is_none_or(|(least, _)| good.0 < least)
                {
                    best = Some(good);
                }
            }
            let claimed = match (mine, best) {
                (Some(claim), _) => own(claim, tag),
                (None, Some(((HOT, _), _)) | None) => return Err(Full),
                (None, Some(((rank, _), place))) => {
                    let claimed = own(place, tag);
                    if claimed.is_some() && rank == LIVE {
                        evicted();
                    }
                    claimed
                }
            };
            if let Some(claimed) = claimed.filter(|claimed| self.is_first(candidates, claimed, tag))
            {
                return Ok(claimed);
            }
        }
        Err(Full)
    }

    /// Whether a claim is the only one of its tag, after the others that are further back were taken away.
    fn is_first(self, candidates: Candidates, claimed: &Found<'_>, tag: u64) -> bool {
        fence(SeqCst);
        let mut is_after = false;
        for index in candidates.each() {
            if index == claimed.index {
                is_after = true;
                continue;
            }
            let other = self.read(index);
            let stands = match other.is.kind() {
                Kind::Claim { tag: claimant, .. } if claimant == tag => {
                    is_after && other.replace(State::freed(other.is))
                }
                _ => !(other.is.is_settled() && other.by.tag() == tag),
            };
            if !stands {
                // Lost: whoever took it away before has said the same.
                claimed.replace(State::freed(claimed.is));
                return false;
            }
        }
        true
    }

    /// Frees the place of `tag`. Whether there was one.
    pub(super) fn clear(self, key: Key, tag: u64) -> bool {
        while let Some(found) = self.find(key, tag) {
            if found.replace(State::freed(found.is)) {
                return true;
            }
        }
        false
    }

    /// Asks for the line in which a key most likely is.
    #[inline]
    pub(super) fn prefetch(self, key: Key) {
        if let Some(Candidates([line, _])) = self.candidates(key) {
            prefetch(&self.lines[line][0]);
        }
    }
}

/// Makes the place the tag's: its claim, then its first word.
fn own(mut place: Found<'_>, tag: u64) -> Option<Found<'_>> {
    let claim = State::claim(tag, place.by);
    let next = place.by.followed_by(tag);
    if matches!(place.is.kind(), Kind::Claim { tag: claimant, turn }
        if claimant == tag && place.by.is_next_after(turn, tag))
    {
        return Some(place);
    }
    if place.is != claim && !place.replace(claim) {
        return None;
    }
    place.is = claim;
    match place.owner.compare_exchange(place.by.0, next.0, AcqRel, Acquire) {
        Ok(_) => {}
        // Another of this key has gone on with the claim.
        Err(found) if found == next.0 => {}
        Err(_) => return None,
    }
    place.by = next;
    Some(place)
}

/// Ranks, in order: nothing in it, ended, somebody's claim, counting, counting and more than half used.
const LIVE: u8 = 3;
const HOT: u8 = 4;

fn rank(state: State, now: u64) -> Rank {
    match state.kind() {
        Kind::Vacant => (0, 0),
        Kind::Claim { .. } => (2, 0),
        _ if state.ends() <= now => (1, 0),
        _ if state.is_hot() => (HOT, 0),
        _ => (LIVE, state.ends()),
    }
}

/// Asks for the memory of `word`.
#[cfg(all(target_arch = "x86_64", not(loom), not(miri)))]
fn prefetch(word: &AtomicU64) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch reads nothing, whatever the address; this one is valid besides.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(word).cast()) }
}

#[cfg(not(all(target_arch = "x86_64", not(loom), not(miri))))]
fn prefetch(_: &AtomicU64) {}
