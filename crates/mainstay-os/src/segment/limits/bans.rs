//! Bans: keys that are refused everything for a while. A ban has a place as a count has one, which is never
//! given to others before it ends, and beside it a note of its user's on whom it is. What is left of an
//! ended ban says how often its key was banned, until the place is needed.

use super::key::Key;
use super::state::{Kind, LATEST, State};
use super::table::{Found, Table};
use super::{BANS_NEWEST, BANS_TOLD, BANS_UNMADE, BANS_UNTIL, Limits};
use crate::segment::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::time::Duration;

/// Words of a note.
pub const BAN_NOTE: usize = 3;
/// Words beside each place: since when, and the note.
pub(super) const DETAILS: usize = 1 + BAN_NOTE;
/// In the first of them.
const COUNTS: u64 = 1 << 63;

/// View of the bans; everybody writes.
#[derive(Clone, Copy, Debug)]
pub struct Bans<'a> {
    head: &'a [AtomicU64],
    table: Table<'a>,
    details: &'a [[AtomicU64; DETAILS]],
}

/// A ban, in force or ended. Times are milliseconds since the host's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// When it began.
    pub since: u64,
    /// When it ends.
    pub ends: u64,
    /// The how manieth of its key it is.
    pub times: u64,
    /// [`Limits::any_banned`] knows of it.
    pub counts: bool,
    /// What was noted of it. It is to be believed only if the key that follows from it [is its
    /// own](Ban::is_of): whoever was killed may have left another's.
    pub note: [u64; BAN_NOTE],
    tag: u64,
}

impl Ban {
    /// Whether it is this key's.
    #[must_use]
    pub fn is_of(&self, key: Key) -> bool {
        self.tag == key.tag()
    }
}

/// What a ban is to be.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Whom it is about.
    pub note: [u64; BAN_NOTE],
    /// [`Limits::any_banned`] is to know of it.
    pub counts: bool,
    /// It takes the place of one that is in force.
    pub renews: bool,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is in force. Of all who try at once one is told so.
    New(Ban),
    /// There was one in force.
    Already(Ban),
    /// There is no place for it, which is counted in [`Bans::unmade`].
    NoRoom,
}

impl<'a> Limits<'a> {
    /// The bans.
    #[inline]
    #[must_use]
    pub fn bans(&self) -> Bans<'a> {
        let (places, details) = self.geometry.bans();
        Bans {
            head: &self.words[..super::HEAD_WORDS],
            table: Table::new(&self.words[places]),
            details: self.words[details].as_chunks().0,
        }
    }

    /// Whether a ban may be in force: what everybody asks first.
    #[inline]
    #[must_use]
    pub fn any_banned(&self, now_ns: u64) -> bool {
        now_ns / 1_000_000 < self.words[BANS_UNTIL].load(Relaxed)
    }
}

impl Bans<'_> {
    /// The ban of a key that is in force.
    #[must_use]
    pub fn find(&self, key: Key, now_ns: u64) -> Option<Ban> {
        let found = self.table.find(key, key.tag())?;
        self.read(&found).filter(|ban| ban.ends > now_ns / 1_000_000)
    }

    /// Bans a key. `term` is given the last ban of the key, if it is known, and says how manieth this one is
    /// and how long it lasts.
    pub fn add(
        &self,
        key: Key,
        wanted: &Wanted,
        now_ns: u64,
        term: impl Fn(Option<&Ban>) -> (u64, Duration),
    ) -> Added {
        let now = now_ns / 1_000_000;
        loop {
            let Ok(place) = self.table.find_or_claim(key, key.tag(), now, || {}) else {
                self.head[BANS_UNMADE].fetch_add(1, Relaxed);
                return Added::NoRoom;
            };
            let last = self.read(&place);
            if let Some(last) = last.filter(|last| last.ends > now && !wanted.renews) {
                return Added::Already(last);
            }
            let (times, lasts) = term(last.as_ref());
            let lasts = u64::try_from(lasts.as_millis()).unwrap_or(LATEST);
            let ends = now.saturating_add(lasts).min(LATEST);
            // Before the ban itself: nobody who looks for it is told that there is none.
            if wanted.counts {
                self.head[BANS_UNTIL].fetch_max(ends, Relaxed);
            }
            self.head[BANS_NEWEST].fetch_max(ends, Relaxed);
            let Some(details) = self.details.get(place.index) else { return Added::NoRoom };
            let (note, counts) = (wanted.note, wanted.counts);
            let since = now & !COUNTS | if counts { COUNTS } else { 0 };
            for (word, value) in details.iter().zip([since].into_iter().chain(note)) {
                word.store(value, Release);
            }
            let next = State::count(ends, times, true);
            if place.replace(next) {
                return Added::New(Ban { since: now, ends, times, counts, note, tag: key.tag() });
            }
        }
    }

    /// Ends the ban of a key that is in force, and forgets those before it.
    #[must_use]
    pub fn lift(&self, key: Key, now_ns: u64) -> Option<Ban> {
        while let Some(found) = self.table.find(key, key.tag()) {
            let ban = self.read(&found).filter(|ban| ban.ends > now_ns / 1_000_000)?;
            if found.replace(State::freed(found.is)) {
                return Some(ban);
            }
        }
        None
    }

    /// All bans that are in force, in no order.
    pub fn in_force(&self, now_ns: u64) -> impl Iterator<Item = Ban> {
        let now = now_ns / 1_000_000;
        let any = now < self.head[BANS_NEWEST].load(Relaxed);
        let all = any.then(|| self.all().filter(move |ban| ban.ends > now));
        all.into_iter().flatten()
    }

    /// The bans that have ended since this was asked last; those that were lifted are none. For the
    /// supervisor alone.
    #[must_use]
    pub fn ended(&self, now_ns: u64) -> Vec<Ban> {
        let (now, told) = (now_ns / 1_000_000, self.head[BANS_TOLD].load(Relaxed));
        if told >= self.head[BANS_NEWEST].load(Relaxed) {
            return Vec::new();
        }
        let ended = self.all().filter(|ban| ban.ends > told && ban.ends <= now).collect();
        self.head[BANS_TOLD].fetch_max(now, Relaxed);
        ended
    }

    /// How many bans there is room for.
    #[must_use]
    pub fn places(&self) -> usize {
        self.details.len()
    }

    /// How many bans were not made because there was no place for them.
    #[must_use]
    pub fn unmade(&self) -> u64 {
        self.head[BANS_UNMADE].load(Relaxed)
    }

    fn all(&self) -> impl Iterator<Item = Ban> {
        self.table.each().filter_map(|found| self.read(&found))
    }

    /// What is in a place, unless it is a claim or nothing.
    fn read(&self, found: &Found<'_>) -> Option<Ban> {
        let Kind::Count { ends, count: times } = found.is.kind() else { return None };
        let details = self.details.get(found.index)?;
        let [since, note @ ..] = details.each_ref().map(|word| word.load(Acquire));
        let (since, counts) = (since & !COUNTS, since & COUNTS != 0);
        Some(Ban { since, ends, times, counts, note, tag: found.by.tag() })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::segment::{Added, Ban, Key, Layout, Limits, Segment, Wanted};
    use std::time::Duration;

    const SECOND: u64 = 1_000_000_000;

    fn segment() -> Segment {
        Segment::on_heap(Layout { limits: 1 << 16, ..Layout::small(0) })
    }

    fn key(limits: &Limits<'_>, number: u64) -> Key {
        limits.key(7, b"bans", &number.to_le_bytes())
    }

    /// Bans for ten seconds, twenty the second time and so on.
    fn ban(limits: &Limits<'_>, number: u64, now: u64, renews: bool) -> Added {
        let wanted = Wanted { note: [number, 0, 0], counts: true, renews };
        limits.bans().add(key(limits, number), &wanted, now, |last| {
            let times = last.map_or(0, |last| last.times) + 1;
            (times, Duration::from_secs(10 * times))
        })
    }

    fn numbers(bans: impl IntoIterator<Item = Ban>) -> Vec<u64> {
        let mut numbers: Vec<_> = bans.into_iter().map(|ban| ban.note[0]).collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn a_ban_is_in_force_until_it_ends_and_the_next_one_knows_of_it() {
        let segment = segment();
        let (limits, now) = (segment.limits(), 1_000 * SECOND);
        assert!(!limits.any_banned(now));
        let Added::New(first) = ban(&limits, 1, now, false) else { panic!("it is new") };
        assert_eq!((first.since, first.ends, first.times), (1_000_000, 1_010_000, 1));
        assert!(limits.any_banned(now) && first.is_of(key(&limits, 1)));
        assert_eq!(ban(&limits, 1, now + SECOND, false), Added::Already(first));
        assert_eq!(limits.bans().find(key(&limits, 1), now), Some(first));
        assert_eq!(limits.bans().find(key(&limits, 2), now), None);
        let later = now + 10 * SECOND;
        assert!(!limits.any_banned(later));
        assert_eq!(limits.bans().find(key(&limits, 1), later), None);
        let Added::New(second) = ban(&limits, 1, later, false) else { panic!("it is new") };
        assert_eq!((second.ends, second.times), (1_030_000, 2));
    }

    #[test]
    fn each_end_is_told_once_and_what_was_lifted_has_none() {
        let segment = segment();
        let (limits, now) = (segment.limits(), 1_000 * SECOND);
        let bans = limits.bans();
        assert_eq!(bans.ended(now), []);
        for number in 1..=3 {
            assert!(matches!(ban(&limits, number, now + number * SECOND, false), Added::New(_)));
        }
        assert_eq!(numbers(bans.in_force(now)), [1, 2, 3]);
        let lifted = bans.lift(key(&limits, 2), now).map(|ban| ban.note[0]);
        assert_eq!((lifted, bans.lift(key(&limits, 2), now)), (Some(2), None));
        assert_eq!(bans.ended(now + 5 * SECOND), []);
        assert_eq!(numbers(bans.ended(now + 12 * SECOND)), [1]);
        assert_eq!(numbers(bans.in_force(now + 12 * SECOND)), [3]);
        assert_eq!(numbers(bans.ended(now + 13 * SECOND)), [3]);
        assert_eq!(bans.ended(now + 99 * SECOND), []);
        let Added::New(again) = ban(&limits, 2, now, false) else { panic!("it is new") };
        assert_eq!(again.times, 1, "who was lifted begins anew");
        let Added::New(renewed) = ban(&limits, 2, now + SECOND, true) else { panic!("renewed") };
        assert_eq!((renewed.times, renewed.ends), (2, 1_021_000));
    }

    #[test]
    fn no_ban_makes_room_for_another_and_what_is_not_made_is_counted() {
        let segment = segment();
        let (limits, now) = (segment.limits(), 1_000 * SECOND);
        let made: Vec<u64> =
            (0..100).filter(|it| matches!(ban(&limits, *it, now, false), Added::New(_))).collect();
        assert!((8..=16).contains(&made.len()), "{made:?}");
        assert_eq!(numbers(limits.bans().in_force(now)), made);
        assert_eq!(limits.bans().unmade(), 100 - made.len() as u64);
        let later = now + 11 * SECOND;
        assert!(matches!(ban(&limits, 200, later, false), Added::New(_)), "ended ones do");
    }

    #[test]
    fn one_of_all_who_ban_at_once_has_done_it() {
        let segment = segment();
        for round in 0..200 {
            let new: usize = std::thread::scope(|scope| {
                let all: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| ban(&segment.limits(), 1, round * 10_000 * SECOND, false))
                    })
                    .collect();
                let all = all.into_iter().map(|it| it.join().expect("it does not panic"));
                all.filter(|added| matches!(added, Added::New(_))).count()
            });
            assert_eq!(new, 1);
        }
    }
}
