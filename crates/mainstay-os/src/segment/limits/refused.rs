//! Who is refused, for whoever looks on: the clients that limits refuse most, each with how often since it has
//! a place here. Metrics count all refusals exactly; this says whose they are, as far as there are places.
//!
//! A set of sixteen places is chosen by a keyed hash. Where all are taken, the one whose client has been refused
//! least makes room (Space-Saving, Metwally et al. 2005), or one that has been quiet for an hour. So whoever has no
//! place has been refused at most [`Refused::at_most`] times since it was last quiet for an hour; and no refusal is
//! ever told of the wrong client: the counts here are never more than there were.
//!
//! A count goes up by one compare-and-swap of a word that says whose term at the place it is, and the tag of a place
//! is bound to that term. Places are handed out by one process at a time for each set; whoever is killed or stopped at
//! it is passed over after a second, and what it had begun is nobody's. If it goes on later, its tag is of a term that
//! has ended and its texts do not fit the place's sum: nobody is counted by it, and whoever looks, or needs the place,
//! gives it up, so that its client has another one with its next refusal. What had been counted there may be anybody's of
//! the set: it is part of the error of all of them.

use super::Limits;
use super::whom::{self, BEFORE, Beside, DETAILS, LAST, Whom};
use crate::segment::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
    fence,
};

/// Sets, where the table has room.
const SETS: usize = 16;
/// Places of a set.
const PLACES: usize = if cfg!(loom) { 2 } else { 16 };

// Words of a set: who hands out a place of it since when; how often a client was refused that had to make room,
// at most; how many refusals are of clients that nobody can tell; whose the places are; and their terms and counts.
const HANDS_OUT: usize = 0;
const FLOOR: usize = 1;
const LOST: usize = 2;
const TAGS: usize = 8;
const COUNTS: usize = TAGS + PLACES;
const SET: usize = COUNTS + PLACES;

/// Bits of a count; above them is the term.
const COUNT_BITS: u32 = 48;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
/// Milliseconds after which a client has been quiet.
const QUIET: u64 = 3_600_000;
/// Milliseconds after which whoever hands out a place has been killed or stopped.
const STUCK: u64 = 1_000;
/// How often it is looked again while somebody else hands out a place: some ten microseconds.
const TURNS: usize = if cfg!(loom) { 2 } else { 400 };

/// Words of so many bytes of a table.
pub(super) fn words(bytes: usize) -> usize {
    (bytes / 4_096).min(SETS) * (SET + PLACES * DETAILS)
}

/// A client that has a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Who it is.
    pub whom: Whom<Vec<u8>>,
    /// Its place and its term there: with another one, counting has begun anew.
    pub term: u64,
    /// How often it has been refused since it has its place.
    pub count: u64,
    /// How often before, at most, since it was last quiet for an hour.
    pub before: u64,
    /// Since when, milliseconds since the host's start.
    pub since: u64,
    /// When it was refused last.
    pub last: u64,
}

/// View of them; everybody writes.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    secret: [u64; 2],
    sets: &'a [[AtomicU64; SET]],
    details: &'a [[AtomicU64; DETAILS]],
}

impl<'a> Limits<'a> {
    /// Who is refused.
    #[must_use]
    pub fn who_is_refused(&self) -> Refused<'a> {
        Refused::over(&self.words[self.geometry.refused()], self.secret())
    }
}

/// What became of one attempt to count.
enum Step {
    Counted,
    /// Others were faster.
    Again,
    /// It has no place.
    None,
}

impl<'a> Refused<'a> {
    pub(super) fn over(words: &'a [AtomicU64], secret: [u64; 2]) -> Refused<'a> {
        let sets = words.len() / (SET + PLACES * DETAILS) * SET;
        let (sets, details) = words.split_at(sets);
        Refused { secret, sets: sets.as_chunks().0, details: details.as_chunks().0 }
    }

    /// Counts one refusal. Whether it is told here: nobody waits for that longer than some microseconds.
    pub fn note(&self, whom: &Whom<&[u8]>, now_ns: u64) -> bool {
        let (tag, now) = (self.tag(whom), now_ns / 1_000_000);
        let Some(set) = ((tag >> 32) as usize).checked_rem(self.sets.len()) else { return false };
        for _ in 0..TURNS {
            match self.count(set, tag, now) {
                Step::Counted => return true,
                Step::None if self.hand_out(set, tag, whom, now) => return true,
                Step::Again | Step::None => std::hint::spin_loop(),
            }
        }
        // It may be one of any client of the set, with a place or without.
        self.sets[set][LOST].fetch_add(1, Relaxed);
        false
    }

    /// Clients that have a place, in no order. A place of which nobody can tell whose it is is given up by looking.
    pub fn each(self) -> impl Iterator<Item = Named> + use<'a> {
        let all: Vec<_> = (0..self.sets.len() * PLACES).filter_map(|at| self.read(at)).collect();
        // What is given up on the way may be of a client that was read before.
        all.into_iter().map(move |named| {
            let lost = self.lost(named.term as usize & 0xffff);
            Named { before: named.before.saturating_add(lost), ..named }
        })
    }

    /// Takes their places from those who are meant, and returns how many had one: they begin anew.
    pub fn forget(&self, is_meant: impl Fn(&Whom<Vec<u8>>) -> bool) -> usize {
        let meant = (0..self.sets.len() * PLACES).filter(|at| {
            let found = self.read(*at).filter(|it| is_meant(&it.whom));
            found.is_some_and(|it| self.give_up(*at, it.term >> 16 << COUNT_BITS).is_some())
        });
        meant.count()
    }

    /// How often a client without a place has been refused, at most, since it was last quiet for an hour, or was
    /// forgotten.
    #[must_use]
    pub fn at_most(&self) -> u64 {
        let of = |set: &[AtomicU64; SET]| {
            set[FLOOR].load(Relaxed).saturating_add(set[LOST].load(Relaxed))
        };
        self.sets.iter().map(of).max().unwrap_or(0)
    }

    /// Refusals of clients that nobody can tell, in the set of this place.
    fn lost(&self, at: usize) -> u64 {
        self.sets[at / PLACES][LOST].load(Relaxed)
    }

    fn tag(&self, whom: &Whom<&[u8]>) -> u64 {
        whom::tag(self.secret, whom)
    }

    fn count(&self, set: usize, tag: u64, now: u64) -> Step {
        let words = &self.sets[set];
        let (tags, counts) = (&words[TAGS..COUNTS], &words[COUNTS..]);
        let mut is_coming = false;
        for at in 0..PLACES {
            // Most are somebody else's whatever the term.
            let of = tags[at].load(Acquire);
            if (of ^ tag) & COUNT != 0 {
                continue;
            }
            let is = counts[at].load(Acquire);
            if of != bound(tag, is) {
                continue;
            }
            if is & COUNT == 0 {
                is_coming = true;
                continue;
            }
            if is & COUNT == COUNT {
                return Step::Counted;
            }
            if counts[at].compare_exchange(is, is + 1, AcqRel, Relaxed).is_err() {
                return Step::Again;
            }
            self.details[set * PLACES + at][LAST].fetch_max(now, Relaxed);
            return Step::Counted;
        }
        let hands_out = words[HANDS_OUT].load(Relaxed);
        let is_fresh = hands_out != 0 && hands_out + STUCK > now;
        if is_coming && is_fresh { Step::Again } else { Step::None }
    }

    /// Gives it a place with a count of 1, unless somebody else hands one out.
    fn hand_out(&self, set: usize, tag: u64, whom: &Whom<&[u8]>, now: u64) -> bool {
        let words = &self.sets[set];
        let turn = words[HANDS_OUT].load(Relaxed);
        let mine = now.max(1);
        if (turn != 0 && turn + STUCK > now)
            || words[HANDS_OUT].compare_exchange(turn, mine, AcqRel, Relaxed).is_err()
        {
            return false;
        }
        if turn != 0 {
            // What somebody had begun who is passed over is nobody's, unless it has just come to its end.
            for count in &words[COUNTS..] {
                let is = count.load(Acquire);
                if is != 0 && is & COUNT == 0 {
                    count.compare_exchange(is, next(is), AcqRel, Relaxed).ok();
                }
            }
        }
        let has_place = self.place(set, tag, whom, [now, mine]);
        // Not if it was taken away meanwhile.
        words[HANDS_OUT].compare_exchange(mine, 0, Release, Relaxed).ok();
        has_place
    }

    /// `mine` says that it is this one who hands out places.
    fn place(&self, set: usize, tag: u64, whom: &Whom<&[u8]>, [now, mine]: [u64; 2]) -> bool {
        let words = &self.sets[set];
        let (tags, counts) = (&words[TAGS..COUNTS], &words[COUNTS..]);
        let details = &self.details[set * PLACES..][..PLACES];
        let mut best = (u8::MAX, u64::MAX, 0, 0);
        for at in 0..PLACES {
            let is = counts[at].load(Acquire);
            if is & COUNT != 0 && tags[at].load(Relaxed) == bound(tag, is) {
                return false;
            }
            let weight = (is & COUNT).saturating_add(details[at][BEFORE].load(Relaxed));
            let is_quiet = details[at][LAST].load(Relaxed) + QUIET < now;
            let rank = match is & COUNT {
                0 => 0,
                _ if is_quiet => 1,
                _ => 2,
            };
            best = best.min((rank, weight, at, is));
        }
        let (rank, weight, at, is) = best;
        let of = tags[at].load(Relaxed);
        let is_whole = rank == 0 || Beside::read(&details[at]).is_of(self.secret, of, is & !COUNT);
        if rank == 2 && is_whole {
            words[FLOOR].fetch_max(weight, Relaxed);
        }
        // From here on nobody counts for whom it was.
        let term = next(is);
        let has_ended = match is_whole {
            true => counts[at].compare_exchange(is, term, AcqRel, Relaxed).is_ok(),
            // Its client may have another place, and when it came last is not known either.
            false => self.lose(set * PLACES + at, is),
        };
        if !has_ended {
            return false;
        }
        // Whoever passed this one over before now need not have seen the term, and may give the same client a place.
        if words[HANDS_OUT].compare_exchange(mine, mine, AcqRel, Relaxed).is_err() {
            return false;
        }
        fence(Release);
        let before = words[FLOOR].load(Relaxed);
        let tag = bound(tag, term);
        whom::write(&details[at], self.secret, [tag, term], [now, before], whom);
        tags[at].store(tag, Release);
        counts[at].compare_exchange(term, term | 1, AcqRel, Relaxed).is_ok()
    }

    fn read(&self, at: usize) -> Option<Named> {
        let (set, place) = (&self.sets[at / PLACES], &self.details[at]);
        let (tag, count) = (&set[TAGS + at % PLACES], &set[COUNTS + at % PLACES]);
        let before = count.load(Acquire);
        let of = tag.load(Relaxed);
        let beside = Beside::read(place);
        fence(Acquire);
        let is = count.load(Relaxed);
        // Otherwise it is being handed out.
        let (term, is_whole) = (is & !COUNT, before & !COUNT == is & !COUNT && before & COUNT != 0);
        if is_whole && !beside.is_of(self.secret, of, term) {
            // Somebody who was passed over has written there since.
            let mut is = is;
            while is & !COUNT == term && is & COUNT != 0 && !self.lose(at, is) {
                is = count.load(Acquire);
            }
            return None;
        }
        let Beside { whom, since, last, before, .. } = beside;
        is_whole.then_some(Named {
            whom,
            term: (is >> COUNT_BITS) << 16 | at as u64,
            count: is & COUNT,
            before,
            since,
            last,
        })
    }

    /// Ends a term at a place of which nobody can tell whose it is, if it has this count still. Who is killed on the way
    /// leaves an error that is too large, and none that is too small.
    fn lose(&self, at: usize, is: u64) -> bool {
        let set = &self.sets[at / PLACES];
        set[LOST].fetch_add(is & COUNT, Relaxed);
        let ended = set[COUNTS + at % PLACES].compare_exchange(is, next(is), AcqRel, Relaxed);
        if ended.is_err() {
            set[LOST].fetch_sub(is & COUNT, Relaxed);
        }
        ended.is_ok()
    }

    /// Ends a term at a place, if it has not ended, and returns what was counted in it.
    fn give_up(&self, at: usize, term: u64) -> Option<u64> {
        let count = &self.sets[at / PLACES][COUNTS + at % PLACES];
        let goes_on = |is: u64| is & !COUNT == term && is & COUNT != 0;
        let ended = count.fetch_update(AcqRel, Relaxed, |is| goes_on(is).then(|| next(is)));
        ended.ok().map(|is| is & COUNT)
    }
}

/// A client's tag in the term that a count is of: in another term it is nobody's.
fn bound(tag: u64, is: u64) -> u64 {
    tag ^ is & !COUNT
}

/// The beginning of the term after the one that a count is of.
fn next(is: u64) -> u64 {
    (is & !COUNT).wrapping_add(COUNT + 1)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::whom::{KEY, SINCE, SUM};
    use super::*;
    use crate::segment::text;
    use crate::segment::{Layout, Segment};
    use std::collections::HashMap;

    const MS: u64 = 1_000_000;
    const BEGIN: u64 = 5_000_000;

    fn segment() -> Segment {
        Segment::on_heap(Layout { limits: 1 << 16, ..Layout::small(0) })
    }

    fn whom(key: &str) -> Whom<&[u8]> {
        Whom { policy: b"default", limit: b"5 per 1 minute", key: key.as_bytes(), tried: false }
    }

    fn note(refused: Refused<'_>, key: &str, now: u64) -> bool {
        refused.note(&whom(key), now * MS)
    }

    /// What is told of each client, as far as it has a place.
    fn named(refused: Refused<'_>) -> HashMap<String, Named> {
        let all = refused.each().map(|it| (String::from_utf8_lossy(&it.whom.key).into_owned(), it));
        all.collect()
    }

    /// Numbers in an order that nobody has chosen.
    fn random(seed: &mut u64) -> u64 {
        *seed =
            seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *seed >> 33
    }

    #[test]
    fn each_client_of_each_limit_is_counted_and_told_as_it_was_named() {
        let segment = segment();
        let limits = segment.limits();
        let refused = limits.who_is_refused();
        assert!(note(refused, "a", BEGIN) && note(refused, "a", BEGIN + 7));
        let tried = Whom { tried: true, ..whom("a") };
        let long = Whom { key: &[b'x'; 300][..], policy: &[b'p'; 65], ..whom("") };
        assert!(refused.note(&tried, BEGIN * MS) && refused.note(&long, BEGIN * MS));
        let mut all: Vec<_> = refused.each().collect();
        all.sort_by_key(|it| (it.whom.key.len(), it.whom.tried));
        let counts: Vec<_> = all.iter().map(|it| (it.count, it.before, it.since)).collect();
        assert_eq!(counts, [(2, 0, BEGIN), (1, 0, BEGIN), (1, 0, BEGIN)]);
        assert_eq!((all[0].last, all[1].whom.tried), (BEGIN + 7, true));
        assert_eq!(
            (&*all[0].whom.policy, &*all[0].whom.limit),
            (&b"default"[..], &b"5 per 1 minute"[..])
        );
        assert_eq!((all[2].whom.key.len(), all[2].whom.policy.len()), (112, 64));
        assert_eq!(refused.at_most(), 0);
        let none = Segment::on_heap(Layout::small(0));
        assert!(!note(none.limits().who_is_refused(), "a", BEGIN), "there is no room at all");
    }

    #[test]
    fn whoever_is_refused_most_is_named_and_no_count_is_further_off_than_it_says() {
        let segment = segment();
        let limits = segment.limits();
        let refused = limits.who_is_refused();
        let (mut truth, mut seed) = (HashMap::<String, u64>::new(), 1);
        for turn in 0..40_000 {
            // Twenty that come often, among ever new ones.
            let client = match random(&mut seed) % 3 {
                0 => format!("often-{}", random(&mut seed) % 20),
                _ => format!("once-{turn}"),
            };
            assert!(note(refused, &client, BEGIN + turn));
            *truth.entry(client).or_default() += 1;
        }
        let (named, at_most) = (named(refused), refused.at_most());
        for (client, count) in &truth {
            match named.get(client) {
                Some(it) => assert!(it.count <= *count && *count <= it.count + it.before, "{it:?}"),
                None => assert!(*count <= at_most, "{client}: {count}"),
            }
        }
        let often = truth.keys().filter(|it| it.starts_with("often")).count();
        assert_eq!(often, named.keys().filter(|it| it.starts_with("often")).count());
        assert!((50..=200).contains(&at_most), "{at_most} of 40000 in 256 places");
    }

    #[test]
    fn a_client_that_was_quiet_for_an_hour_makes_room_whatever_its_count() {
        let segment = segment();
        let limits = segment.limits();
        let refused = limits.who_is_refused();
        for client in 0..2_000 {
            for _ in 0..9 {
                assert!(note(refused, &format!("old-{client}"), BEGIN));
            }
        }
        let before = refused.at_most();
        assert_eq!(refused.each().count(), SETS * PLACES);
        for client in 0..100 {
            assert!(note(refused, &format!("new-{client}"), BEGIN + QUIET + 1));
        }
        assert_eq!(named(refused).keys().filter(|it| it.starts_with("new")).count(), 100);
        assert_eq!(refused.at_most(), before);
    }

    #[test]
    fn whoever_is_killed_while_a_place_is_handed_out_is_passed_over_after_a_second() {
        let segment = segment();
        let limits = segment.limits();
        let refused = limits.who_is_refused();
        assert!(note(refused, "a", BEGIN));
        // As if it had died when the place was no longer the other's.
        let tag = refused.tag(&whom("a"));
        let set = &refused.sets[(tag >> 32) as usize % SETS];
        let of = |at: &usize| set[TAGS + at].load(Relaxed);
        let at = (0..PLACES).find(|at| of(at) == bound(tag, set[COUNTS + at].load(Relaxed)));
        let at = at.unwrap();
        set[HANDS_OUT].store(BEGIN, Relaxed);
        set[COUNTS + at].store(7 << COUNT_BITS, Relaxed);
        assert_eq!(refused.each().count(), 0);
        assert!(!note(refused, "a", BEGIN + STUCK - 1));
        assert_eq!(refused.at_most(), 1, "it is not lost from what may have been");
        assert!(note(refused, "a", BEGIN + STUCK) && note(refused, "a", BEGIN + STUCK));
        let named = named(refused);
        assert_eq!((named["a"].count, named["a"].before, named.len()), (2, 1, 1));
        // What a stopped one writes later belongs to nobody.
        refused.details[refused.sets.len() * PLACES - 1][KEY].store(1, Relaxed);
        let place = &refused.details[(tag >> 32) as usize % SETS * PLACES + at];
        place[KEY].store(u64::from(b'b'), Relaxed);
        assert_eq!(refused.each().count(), 0);
    }

    #[test]
    fn whoever_was_stopped_and_goes_on_takes_nobody_s_name() {
        let segment = segment();
        let limits = segment.limits();
        let refused = limits.who_is_refused();
        let tag = refused.tag(&whom("a"));
        let index = (tag >> 32) as usize % SETS;
        let set = &refused.sets[index];
        // It was stopped when it had a place for a and not yet written who that is; the place was given to b.
        let b = (0..).map(|it| format!("b{it}"));
        let mut same = b.filter(|it| (refused.tag(&whom(it)) >> 32) as usize % SETS == index);
        let (b, c) = (same.next().unwrap(), same.next().unwrap());
        let stopped = next(0);
        set[HANDS_OUT].store(BEGIN, Relaxed);
        set[COUNTS].store(stopped, Relaxed);
        assert!(note(refused, &b, BEGIN + STUCK));
        let at = (0..PLACES).find(|at| set[COUNTS + at].load(Relaxed) & COUNT != 0).unwrap();
        // It goes on.
        let place = &refused.details[index * PLACES + at];
        text::store(&place[KEY..], b"a");
        place[SUM].store(1, Relaxed);
        set[TAGS + at].store(bound(tag, stopped), Relaxed);
        for later in 1..=3 {
            assert!(note(refused, "a", BEGIN + STUCK + later), "counted by name at once");
            assert!(note(refused, &b, BEGIN + STUCK + later));
        }
        let all = named(refused);
        assert_eq!((all["a"].count, all[&b].count, refused.each().count()), (3, 3, 2));
        assert_eq!(refused.at_most(), 1, "b had been counted where nobody can read it");
        // If it dies on the way, whoever looks gives the place up.
        assert!(note(refused, &c, BEGIN + STUCK));
        let at = (0..PLACES).find(|at| {
            set[TAGS + at].load(Relaxed)
                == bound(refused.tag(&whom(&c)), set[COUNTS + at].load(Relaxed))
        });
        let place = &refused.details[index * PLACES + at.unwrap()];
        place[BEFORE].store(77, Relaxed);
        assert!(!named(refused).contains_key(&c), "not with what is another's");
        assert!(note(refused, &c, BEGIN + STUCK));
        assert_eq!(named(refused)[&c].count, 1);
        assert_eq!((refused.at_most(), refused.each().count()), (2, 3));
    }

    #[test]
    fn what_was_counted_where_a_stopped_one_wrote_is_in_the_error_though_the_place_is_given_away() {
        // Found by whoever looks, by whoever needs the place, and by the same after an hour that the stopped one made up.
        for (is_looked_at, last) in [(true, BEGIN), (false, BEGIN), (false, 1)] {
            let segment = segment();
            let limits = segment.limits();
            let refused = limits.who_is_refused();
            let index = (refused.tag(&whom("a")) >> 32) as usize % SETS;
            let other = (0..).map(|it| format!("b{it}"));
            let mut others =
                other.filter(|it| (refused.tag(&whom(it)) >> 32) as usize % SETS == index);
            (0..5).for_each(|_| assert!(note(refused, "a", BEGIN)));
            let set = &refused.sets[index];
            let at = (0..PLACES).find(|at| set[COUNTS + at].load(Relaxed) & COUNT == 5).unwrap();
            refused.details[index * PLACES + at][SINCE].store(1, Relaxed);
            refused.details[index * PLACES + at][LAST].store(last, Relaxed);
            set[TAGS + at].store(77, Relaxed);
            (0..5).for_each(|_| assert!(note(refused, "a", BEGIN)));
            for other in others.by_ref().take(PLACES - 2) {
                (0..9).for_each(|_| assert!(note(refused, &other, BEGIN)));
            }
            if is_looked_at {
                let a = &named(refused)["a"];
                assert!(a.count == 5 && a.before == 5, "as soon as somebody looks: {a:?}");
            } else {
                assert!(note(refused, &others.next().unwrap(), BEGIN));
                let a = &named(refused)["a"];
                assert!(a.count == 5 && a.before >= 5, "{a:?}");
            }
            for other in others.take(4 * PLACES) {
                (0..20).for_each(|_| assert!(note(refused, &other, BEGIN)));
            }
            assert!(!named(refused).contains_key("a"), "it has made room");
            assert!(refused.at_most() >= 10, "{} in fact 10", refused.at_most());
        }
    }

    #[test]
    fn whoever_is_forgotten_begins_anew() {
        let segment = segment();
        let limits = segment.limits();
        let refused = limits.who_is_refused();
        for _ in 0..5 {
            assert!(note(refused, "a", BEGIN) && note(refused, "b", BEGIN));
        }
        let before = named(refused)["a"].term;
        assert_eq!(refused.forget(|it| it.key == b"a"), 1);
        assert_eq!(refused.forget(|it| it.key == b"a"), 0);
        assert_eq!(named(refused).into_keys().collect::<Vec<_>>(), ["b"]);
        assert!(note(refused, "a", BEGIN + 1));
        let (a, b) = (&named(refused)["a"], &named(refused)["b"]);
        assert_eq!((a.count, a.before, a.since, b.count), (1, 0, BEGIN + 1, 5));
        assert_ne!(a.term, before);
        assert_eq!(refused.at_most(), 0);
    }

    #[test]
    fn as_many_are_counted_as_were_noted_by_however_many_at_once() {
        let segment = segment();
        let rounds = if cfg!(miri) { 20 } else { 5_000 };
        let run = |clients: u64| {
            let counted: u64 = std::thread::scope(|scope| {
                let all: Vec<_> = (0..4)
                    .map(|thread| {
                        let segment = &segment;
                        scope.spawn(move || {
                            let (limits, mut seed) = (segment.limits(), thread);
                            let noted = (0..rounds).filter(|_| {
                                let key = format!("{clients}-{}", random(&mut seed) % clients);
                                note(limits.who_is_refused(), &key, BEGIN)
                            });
                            noted.count() as u64
                        })
                    })
                    .collect();
                all.into_iter().map(|it| it.join().expect("it does not panic")).sum()
            });
            let of = format!("{clients}-");
            let named = segment.limits().who_is_refused().each();
            let told = named.filter(|it| it.whom.key.starts_with(of.as_bytes()));
            (counted, told.map(|it| it.count).sum::<u64>())
        };
        let (counted, told) = run(20);
        assert_eq!(counted, told, "all have places");
        assert!(counted > 0);
        let (counted, told) = run(5_000);
        assert!(told > 0 && told < counted, "most have to make room: {told} of {counted}");
    }
}
