//! Watch dies, is reloaded, upgraded and stopped by the dice, and one receiver takes what it is told or does not: what
//! must hold whatever comes.

use super::fate::{Fate, STEADY};
use super::told::Told;
use crate::clock::Mono;
use crate::incident::{Heard, Incident};
use crate::testing::Dice;
use std::collections::BTreeMap;
use std::time::Duration;

/// Who tells, as the process of its own does.
struct Teller {
    until: Mono,
    since: u64,
    is_over: bool,
}

#[derive(Default)]
struct World {
    now: Mono,
    fate: Fate,
    lives: bool,
    told: Told,
    teller: Option<Teller>,
    /// The file beside the state of alerts.
    file: Option<Incident>,
    /// Nobody is there to be told; whether that may be.
    is_lonely: bool,
    may_be_lonely: bool,
    /// For each incident how often its beginning and its end were taken.
    heard: BTreeMap<u64, [u32; 2]>,
}

impl World {
    fn tell(&mut self, dice: &mut Dice, since: u64, is_over: bool) {
        if self.teller.is_some() {
            return self.told.not_begun();
        }
        let until = self.now + Duration::from_millis(100 + dice.roll(20_000));
        self.teller = Some(Teller { until, since, is_over });
    }

    /// What the process does when it has an answer, or none; whether all know, if there is somebody.
    fn answer(&mut self, teller: &Teller, is_taken: bool) -> Option<bool> {
        let is_known = self.file.as_ref().is_some_and(|it| it.since == teller.since);
        if self.is_lonely || (teller.is_over && !is_known) {
            return None;
        }
        let known = self.file.take().filter(|it| it.since == teller.since);
        let heard = known.as_ref().and_then(|it| it.receivers.get("ops").copied());
        if !teller.is_over && heard == Some(Heard::Taken) {
            self.file = known;
            return Some(true);
        }
        if is_taken {
            let counts = self.heard.entry(teller.since).or_default();
            assert!(!teller.is_over || counts[0] > 0 || heard.is_some(), "an end of nothing");
            assert!(teller.is_over || counts[1] == 0, "it began after it was over");
            counts[usize::from(teller.is_over)] += 1;
        }
        let word = if is_taken { Heard::Taken } else { Heard::Unsure };
        let receivers = [("ops".to_owned(), word)].into();
        let left = Incident { since: teller.since, is_over: teller.is_over, receivers };
        self.file = (!teller.is_over || !is_taken).then_some(left);
        Some(is_taken)
    }

    fn is_well(&self) -> bool {
        self.lives && self.now.since(self.fate.started) >= STEADY
    }

    /// What the supervisor makes of the end of who told.
    fn settle(&mut self, dice: &mut Dice, is_calm: bool) {
        let Some(teller) = self.teller.take_if(|it| self.now >= it.until) else { return };
        let is_taken = is_calm || dice.roll(3) > 0;
        let answer = self.answer(&teller, is_taken);
        if teller.is_over
            && let Some((since, deaths)) = self.told.another(self.is_well())
        {
            assert!(deaths >= 3 && since > teller.since);
            return self.tell(dice, since, false);
        }
        match (answer, teller.is_over) {
            (Some(true), true) => self.told.done(),
            (Some(false), true) => assert!(!self.told.not_over(self.now)),
            (Some(true), false) => {}
            (Some(false) | None, false) => self.told.not_begun(),
            (None, true) => {
                self.told.done();
                self.file = None;
            }
        }
    }

    fn step(&mut self, dice: &mut Dice, is_calm: bool) {
        self.now = self.now + Duration::from_millis(20 + dice.roll(2_000));
        self.is_lonely &= !is_calm;
        self.settle(dice, is_calm);
        let sides = if dice.roll(8) == 0 { 2 } else { 30 };
        if !self.lives && self.now >= self.fate.next {
            (self.lives, self.fate.started) = (true, self.now);
        } else if self.lives && !is_calm && dice.roll(sides) == 0 {
            self.die(dice);
        }
        let is_time = self.is_well() && self.teller.is_none();
        if let Some(since) = self.told.well(self.now).filter(|_| is_time) {
            self.tell(dice, since, true);
        }
        if !is_calm {
            self.meddle(dice);
        }
    }

    fn die(&mut self, dice: &mut Dice) {
        self.lives = false;
        let delay = self.fate.died(self.now);
        assert!(delay <= Duration::from_secs(30) && self.fate.next == self.now + delay);
        let is_ending = self.teller.as_ref().is_some_and(|it| it.is_over);
        if let Some(deaths) = self.fate.is_looping()
            && let Some(since) = self.told.looping(self.now.0, deaths, is_ending)
        {
            self.tell(dice, since, false);
        }
    }

    /// What operators do.
    fn meddle(&mut self, dice: &mut Dice) {
        match dice.roll(120) {
            0 => {
                self.fate.begin_anew(self.now);
                assert!(self.fate.next <= self.now, "a reload tries it at once");
                assert_eq!(self.fate.deaths, 0);
            }
            1 => {
                let text = serde_json::to_string(&self.told).unwrap();
                self.told = serde_json::from_str(&text).unwrap();
                self.fate = Fate { started: self.fate.started, ..Fate::default() };
            }
            2 => {
                // Whoever was telling may have been ended before its answer, or behind it.
                if let Some(teller) = self.teller.take() {
                    let is_taken = dice.roll(2) == 0;
                    self.answer(&teller, is_taken);
                }
                (self.lives, self.fate) = (false, Fate::default());
                self.told = Told::left(self.file.as_ref(), self.now);
            }
            3 => self.is_lonely = self.may_be_lonely && !self.is_lonely,
            _ => {}
        }
    }
}

#[test]
fn whatever_comes_a_loop_is_told_once_and_its_end_once_after_it() {
    let (mut begun, mut ended) = (0, 0);
    for seed in 0..300 {
        let may_be_lonely = seed % 3 == 0;
        let world = World { now: Mono(1), may_be_lonely, ..World::default() };
        let (mut world, mut dice) = (world, Dice(seed));
        for _ in 0..600 {
            world.step(&mut dice, false);
        }
        for _ in 0..400 {
            world.step(&mut dice, true);
        }
        assert!(world.lives && world.file.is_none() && world.teller.is_none(), "seed {seed}");
        assert_eq!(world.told, Told::default(), "seed {seed}");
        for (since, [one, two]) in &world.heard {
            assert!(*one <= 1 && *two <= 1, "seed {seed}, {since}: told {one} and {two} times");
        }
        if let Some([_, two]) = world.heard.values().next_back().filter(|_| !may_be_lonely) {
            assert_eq!(*two, 1, "seed {seed}: the last one was ended");
        }
        begun += world.heard.values().map(|it| it[0]).sum::<u32>();
        ended += world.heard.values().map(|it| it[1]).sum::<u32>();
    }
    assert!(begun > 300 && ended > 200, "{begun} {ended}");
}

#[test]
fn a_watch_that_waits_is_tried_at_once_after_a_reload() {
    let mut fate = Fate::default();
    for _ in 0..20 {
        fate.died(Mono(1));
    }
    assert!(fate.next > Mono(1) + Duration::from_secs(20));
    fate.begin_anew(Mono(2));
    assert_eq!((fate.next, fate.is_failing()), (Mono(2), false));
    assert_eq!(fate.died(Mono(3)), Duration::from_millis(100), "the waits begin anew too");
}
