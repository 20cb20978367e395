//! Permits: how many requests of a key may be under way at once. Each is a word of a ring beside the key's
//! place, which names its holder. Who is killed has given back all of his as soon as his slot is nobody's or
//! another's: there is nothing to repair. The place of a key that nobody comes for any more stays taken until
//! another key finds no room.
//!
//! A place is given up when its last permit is given back, unless somebody came meanwhile: whoever takes a word
//! changes the place's state after it, and whoever gives up reads the state, then the words, and then changes
//! the state from what he read. So one of the two sees the other.

use super::key::Key;
use super::state::{Kind, MAX_COUNT, State};
use super::table::{Found, Full, Table};
use super::{EVICTED, FULL, Limits, Rings};
use crate::segment::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, SeqCst},
    fence,
};

/// The most that a key may have at once.
pub const MAX_PERMITS: u64 = super::EXACT_AMOUNT;

const HELD: u64 = 1 << 63;
const TURN_SHIFT: u32 = 48;
const TURN: u64 = 0x1fff;
const SLOT_SHIFT: u32 = 32;
/// Of a turn in the count of a state: its bits are the upper ones.
const COUNT_SHIFT: u32 = 9;
/// How long a place is kept for permits that are held, milliseconds: of a request that lasts longer the place may
/// become another's.
const KEPT: u64 = 24 * 60 * 60 * 1_000;

/// Who holds a permit: a slot, and which of its holders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The slot's index, below 65,536.
    pub slot: usize,
    /// Its [epoch](crate::segment::Slot::epoch), as far as it fits.
    pub epoch: u32,
}

/// A permit, to be [given back](Limits::give_back).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    key: Key,
    most: u64,
    place: usize,
    at: usize,
    word: u64,
}

/// What became of who asked for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It has one.
    Admitted(Permit),
    /// As many are held as may be.
    Refused,
    /// There was no room to count it, which is counted in [`Limits::full`].
    Uncounted,
}

impl Holder {
    fn word(self, turn: u64) -> u64 {
        HELD | turn << TURN_SHIFT
            | (self.slot as u64 & 0xffff) << SLOT_SHIFT
            | u64::from(self.epoch)
    }
}

/// Whether it is of who has come since this turn: the place is another's by now, and so is the word. What was left
/// of a turn so long ago that it looks like one to come is somebody's who is gone.
fn is_later(word: u64, turn: u64, lives: &impl Fn(Holder) -> bool) -> bool {
    let ahead = (word >> TURN_SHIFT & TURN).wrapping_sub(turn) & TURN;
    (1..=TURN / 2).contains(&ahead) && !is_free(word, word >> TURN_SHIFT & TURN, lives)
}

/// Whether nobody holds it: not of this turn, or of somebody who is gone.
fn is_free(word: u64, turn: u64, lives: &impl Fn(Holder) -> bool) -> bool {
    let is_ours = word & HELD != 0 && word >> TURN_SHIFT & TURN == turn;
    let holder = Holder { slot: (word >> SLOT_SHIFT & 0xffff) as usize, epoch: word as u32 };
    !(is_ours && lives(holder))
}

impl<'a> Limits<'a> {
    /// Asks for a permit of `key`, which may have `most` at once, 1 to [`MAX_PERMITS`]. `lives` says whether a
    /// holder is still there.
    pub fn permit(
        &self,
        key: Key,
        most: u64,
        holder: Holder,
        now_ns: u64,
        lives: &impl Fn(Holder) -> bool,
    ) -> Entry {
        let evicted = || _ = self.words[EVICTED].fetch_add(1, Relaxed);
        match self.permits(most).take(key, most, holder, now_ns / 1_000_000, lives, &evicted) {
            Ok(Some(permit)) => Entry::Admitted(permit),
            Ok(None) => Entry::Refused,
            Err(Full) => {
                self.words[FULL].fetch_add(1, Relaxed);
                Entry::Uncounted
            }
        }
    }

    /// Gives a permit back.
    pub fn give_back(&self, permit: &Permit, lives: &impl Fn(Holder) -> bool) {
        self.permits(permit.most).give_back(permit, lives);
    }

    /// How many of a key's permits are held.
    #[must_use]
    pub fn held(&self, key: Key, most: u64, lives: &impl Fn(Holder) -> bool) -> u64 {
        let permits = self.permits(most);
        let Some(found) = permits.table.find(key, key.tag()) else { return 0 };
        let turn = found.by.turn();
        let words = permits.of(&found, most).iter();
        words.filter(|it| !is_free(it.load(Acquire), turn, lives)).count() as u64
    }

    /// The rings that have so many words.
    fn permits(&self, most: u64) -> Rings<'a> {
        let class = self.geometry.class(most.min(MAX_PERMITS));
        Rings {
            table: Table::new(&self.words[class.places]),
            words: &self.words[class.rings],
            length: class.length,
        }
    }
}

impl<'a> Rings<'a> {
    /// A permit, or none when all are held. Times are milliseconds.
    pub(super) fn take(
        &self,
        key: Key,
        most: u64,
        holder: Holder,
        now: u64,
        lives: &impl Fn(Holder) -> bool,
        evicted: &impl Fn(),
    ) -> Result<Option<Permit>, Full> {
        let kept = now.saturating_add(KEPT);
        loop {
            let mut place = match self.table.find_or_claim(key, key.tag(), now, evicted) {
                Err(Full) if self.reclaim(key, lives) => continue,
                found => found?,
            };
            if !place.is.is_settled() {
                // Counts of two turns of a place are far from each other, so that no state is taken for one of
                // another turn by whoever has read it before.
                let first = State::count(kept, place.by.turn() << COUNT_SHIFT & MAX_COUNT, true);
                if !place.replace(first) {
                    continue;
                }
                place.is = first;
            }
            let (words, turn) = (self.of(&place, most), place.by.turn());
            // Twice: one that was free in between may have been behind the first look.
            let taken = take(words, turn, holder, lives);
            let Some((at, word)) = taken.or_else(|| take(words, turn, holder, lives)) else {
                match place.again() {
                    Some(_) => return Ok(None),
                    None => continue,
                }
            };
            fence(SeqCst);
            if keeps(place, kept) {
                return Ok(Some(Permit { key, most, place: place.index, at, word }));
            }
            words[at].compare_exchange(word, 0, AcqRel, Relaxed).ok();
        }
    }

    pub(super) fn give_back(&self, permit: &Permit, lives: &impl Fn(Holder) -> bool) {
        let Permit { key, most, place, at, word } = *permit;
        let found = self.table.find(key, key.tag());
        // Also where the place is another's by now: nothing of this turn may be left there.
        let mine = &self.words[place * self.length + at];
        if mine.compare_exchange(word, 0, AcqRel, Relaxed).is_err() {
            return;
        }
        let Some(found) = found else { return };
        let (words, turn) = (self.of(&found, most), found.by.turn());
        if found.index != place || word >> TURN_SHIFT & TURN != turn {
            return;
        }
        fence(SeqCst);
        let Some(found) = found.again() else { return };
        if words.iter().all(|it| is_free(it.load(Acquire), turn, lives)) {
            found.replace(State::freed(found.is));
        }
    }

    /// Gives up the places where `key` may be that nobody holds: those who held them were killed, and nobody has
    /// come since. As whoever gives back, it changes no state that somebody has changed who has just come.
    #[cold]
    fn reclaim(&self, key: Key, lives: &impl Fn(Holder) -> bool) -> bool {
        let dead = |found: &Found<'_>| {
            let words = &self.words[found.index * self.length..][..self.length];
            // Others count in rings.
            let is_ours = matches!(found.is.kind(), Kind::Count { .. });
            is_ours && words.iter().all(|it| is_free(it.load(Acquire), found.by.turn(), lives))
        };
        let freed = self.table.of(key).filter(dead);
        freed.filter(|found| found.replace(State::freed(found.is))).count() > 0
    }

    /// The words of a place.
    fn of(&self, place: &Found<'_>, most: u64) -> &'a [AtomicU64] {
        &self.words[place.index * self.length..][..most.clamp(1, MAX_PERMITS) as usize]
    }
}

/// Takes a free word.
fn take(
    words: &[AtomicU64],
    turn: u64,
    holder: Holder,
    lives: &impl Fn(Holder) -> bool,
) -> Option<(usize, u64)> {
    let mine = holder.word(turn);
    // Each holder begins elsewhere, so that they seldom meet.
    let first = holder.slot % words.len();
    (first..words.len()).chain(0..first).find_map(|at| {
        let was = words[at].load(Acquire);
        let is_taken = is_free(was, turn, lives)
            && !is_later(was, turn, lives)
            && words[at].compare_exchange(was, mine, AcqRel, Acquire).is_ok();
        is_taken.then_some((at, mine))
    })
}

/// Makes the state another one, so that nobody gives the place up who has not seen the word; `false` when the
/// place has been given up or is another's.
fn keeps(mut place: Found<'_>, kept: u64) -> bool {
    loop {
        let next = match place.is.kind() {
            Kind::Count { ends, count } => {
                State::count(kept.max(ends), (count + 1) & MAX_COUNT, true)
            }
            _ => State::count(kept, 1, true),
        };
        if place.replace(next) {
            return true;
        }
        match place.again() {
            Some(found) => place = found,
            None => return false,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::segment::{Layout, Segment};
    use std::sync::atomic::{AtomicU64 as Plain, Ordering};

    const NOW: u64 = 1_000_000_000_000;

    fn segment() -> Segment {
        Segment::on_heap(Layout { limits: 1 << 18, ..Layout::small(0) })
    }

    fn holder(slot: usize, epoch: u32) -> Holder {
        Holder { slot, epoch }
    }

    fn admitted(entry: Entry) -> Permit {
        let Entry::Admitted(permit) = entry else { panic!("{entry:?}") };
        permit
    }

    #[test]
    fn a_key_has_so_many_permits_and_one_more_when_one_is_given_back() {
        let segment = segment();
        let (limits, all) = (segment.limits(), |_: Holder| true);
        let (one, other) = (limits.key(1, b"", b"one"), limits.key(1, b"", b"other"));
        let ask = |key| limits.permit(key, 2, holder(3, 1), NOW, &all);
        let permits = [admitted(ask(one)), admitted(ask(one))];
        assert_eq!((ask(one), limits.held(one, 2, &all)), (Entry::Refused, 2));
        admitted(ask(other));
        limits.give_back(&permits[0], &all);
        limits.give_back(&permits[0], &all);
        assert_eq!(limits.held(one, 2, &all), 1);
        let third = admitted(ask(one));
        limits.give_back(&permits[1], &all);
        limits.give_back(&third, &all);
        assert_eq!(limits.held(one, 2, &all), 0);
        admitted(ask(one));
        // That of a turn before is nobody's.
        limits.give_back(&third, &all);
        assert_eq!(limits.held(one, 2, &all), 1);
    }

    #[test]
    fn permits_of_who_is_gone_are_there_for_others_at_once() {
        let segment = segment();
        let limits = segment.limits();
        let key = limits.key(1, b"", b"one");
        let all = |_: Holder| true;
        for _ in 0..3 {
            admitted(limits.permit(key, 3, holder(0, 7), NOW, &all));
        }
        assert_eq!(limits.permit(key, 3, holder(1, 1), NOW, &all), Entry::Refused);
        let next = |it: Holder| it != holder(0, 7);
        assert_eq!(limits.held(key, 3, &next), 0);
        for _ in 0..3 {
            admitted(limits.permit(key, 3, holder(0, 8), NOW, &next));
        }
        assert_eq!(limits.permit(key, 3, holder(1, 1), NOW, &next), Entry::Refused);
    }

    #[test]
    fn places_are_there_again_for_other_keys_when_permits_were_given_back() {
        let segment = segment();
        let (limits, all) = (segment.limits(), |_: Holder| true);
        for number in 0_u64..10_000 {
            let key = limits.key(1, b"", &number.to_le_bytes());
            let permit = admitted(limits.permit(key, 4, holder(0, 1), NOW, &all));
            limits.give_back(&permit, &all);
        }
        assert_eq!((limits.full(), limits.evicted()), (0, 0));
    }

    #[test]
    fn places_of_who_was_killed_are_there_for_other_keys_and_those_of_who_lives_are_not() {
        // Two lines of places in each of which 129 may be.
        let segment = Segment::on_heap(Layout { limits: 1 << 19, ..Layout::small(0) });
        let (limits, all) = (segment.limits(), |_: Holder| true);
        let key = |number: u64| limits.key(1, b"", &number.to_le_bytes());
        let take = |number, slot, lives: &dyn Fn(Holder) -> bool| {
            let lives = |it: Holder| lives(it);
            limits.permit(key(number), 129, holder(slot, 1), NOW, &lives)
        };
        let mut held = Vec::new();
        while let Entry::Admitted(permit) = take(held.len() as u64, held.len() % 2, &all) {
            held.push(permit);
        }
        assert_eq!(held.len(), 8);
        assert_eq!((take(10_000, 2, &all), limits.full()), (Entry::Uncounted, 2));
        let dead = |it: Holder| it.slot != 0;
        let alive = held.len() as u64 / 2;
        let again = (10_000..10_100).filter(|it| matches!(take(*it, 2, &dead), Entry::Admitted(_)));
        assert_eq!(again.count(), held.len() - alive as usize);
        let of_living = (0..held.len() as u64).filter(|it| it % 2 == 1);
        assert_eq!(of_living.map(|it| limits.held(key(it), 129, &dead)).sum::<u64>(), alive);
        // What a dead one would give back is not his any more.
        let of_new = || (10_000..10_100).map(|it| limits.held(key(it), 129, &dead)).sum::<u64>();
        let before = of_new();
        limits.give_back(&held[0], &dead);
        assert_eq!((of_new(), limits.evicted()), (before, 0));
        assert!(before > 0);
    }

    #[test]
    fn a_word_of_who_has_come_since_is_not_taken_by_who_is_late() {
        let words = [Plain::new(holder(1, 1).word(5))];
        let all = |_: Holder| true;
        assert_eq!(take(&words, 4, holder(2, 1), &all), None);
        assert_eq!(take(&words, TURN - 5, holder(2, 1), &all), None, "turns go round");
        assert!(take(&words, 6, holder(2, 1), &all).is_some());
        let words = [Plain::new(holder(1, 1).word(5))];
        assert!(take(&words, 4, holder(2, 1), &|_: Holder| false).is_some(), "he is gone");
    }

    #[test]
    fn never_more_than_may_be_hold_one_however_many_ask_at_once() {
        let segment = segment();
        let (now, most) = (Plain::new(0), Plain::new(0));
        let admitted: usize = std::thread::scope(|scope| {
            let all: Vec<_> = (0..4)
                .map(|slot| {
                    let (segment, now, most) = (&segment, &now, &most);
                    scope.spawn(move || {
                        let limits = segment.limits();
                        let (key, all) = (limits.key(1, b"", b"one"), |_: Holder| true);
                        let mut admitted = 0;
                        for _ in 0..20_000 {
                            let entry = limits.permit(key, 2, holder(slot, 1), NOW, &all);
                            let Entry::Admitted(permit) = entry else { continue };
                            most.fetch_max(
                                now.fetch_add(1, Ordering::SeqCst) + 1,
                                Ordering::SeqCst,
                            );
                            admitted += 1;
                            now.fetch_sub(1, Ordering::SeqCst);
                            limits.give_back(&permit, &all);
                        }
                        admitted
                    })
                })
                .collect();
            all.into_iter().map(|it| it.join().expect("it does not panic")).sum()
        });
        assert!(most.into_inner() <= 2 && admitted > 100, "{admitted}");
        let limits = segment.limits();
        let key = limits.key(1, b"", b"one");
        assert_eq!(limits.held(key, 2, &|_: Holder| true), 0, "all were given back");
    }
}
