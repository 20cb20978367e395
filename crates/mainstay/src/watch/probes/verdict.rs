//! What attempts say together: whether something is up, down, or whether nobody can know. Pure.
//!
//! One failure is asked about again at once; so many of the last ones make it down, so many successes up again.
//! What came of an attempt that this host itself has spoilt counts for neither.

use crate::clock::Mono;
use crate::config::probes::Votes;
use std::collections::VecDeque;
use std::time::Duration;

/// The first failure is asked about again after this time.
const AGAIN: Duration = Duration::from_secs(1);

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Good,
    Bad,
    /// Nothing can be reached from here, so it says nothing of what was asked.
    Unknown,
    /// There is nothing to judge: what was asked is about to end.
    Paused,
}

/// How it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    #[default]
    Unknown,
    Up,
    Down,
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            State::Unknown => "unknown",
            State::Up => "up",
            State::Down => "down",
        }
    }
}

/// What has become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) from: State,
    pub(crate) to: State,
    /// How long it was as it was before.
    pub(crate) after: Duration,
}

/// One thing that is asked again and again.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    interval: Duration,
    confirm: Votes,
    recover: Votes,
    /// What is known, whether or not it can be known now.
    known: State,
    /// One bit for each attempt since `known` began, the last one the lowest; 1 is bad.
    bad: u32,
    seen: u32,
    /// Nothing can be known now.
    is_blind: bool,
    since: Mono,
    /// When each of the failures among them was.
    failures: VecDeque<Mono>,
}

impl Verdict {
    pub(crate) fn new(interval: Duration, confirm: Votes, recover: Votes, now: Mono) -> Verdict {
        let known = State::Unknown;
        let (bad, seen, is_blind, failures) = (0, 0, false, VecDeque::new());
        Verdict { interval, confirm, recover, known, bad, seen, is_blind, since: now, failures }
    }

    pub(crate) fn state(&self) -> State {
        if self.is_blind { State::Unknown } else { self.known }
    }

    /// Since when it is so; what is down is so since the first failure.
    pub(crate) fn since(&self) -> Mono {
        self.since
    }

    /// Whether attempts of late say otherwise than the state.
    pub(crate) fn is_doubted(&self) -> bool {
        let opposite =
            if self.known == State::Down { self.last(1) == 0 } else { self.last(1) == 1 };
        self.seen > 0 && opposite
    }

    /// Bad ones among the last `of`.
    fn last(&self, of: u32) -> u32 {
        (self.bad & mask(of)).count_ones()
    }

    /// Takes what came of an attempt that began at `now`.
    pub(crate) fn note(&mut self, outcome: Outcome, now: Mono) -> Option<Change> {
        let before = self.state();
        let is_bad = match outcome {
            Outcome::Paused => return None,
            Outcome::Unknown => {
                self.is_blind = true;
                return self.changed(before, now);
            }
            Outcome::Good => false,
            Outcome::Bad => true,
        };
        self.is_blind = false;
        self.bad = self.bad << 1 | u32::from(is_bad);
        self.seen = self.seen.saturating_add(1);
        let counted = self.last(self.confirm.of) as usize;
        if is_bad {
            self.failures.push_back(now);
            self.failures.drain(..self.failures.len().saturating_sub(counted));
        }
        let is_down = is_bad && self.last(self.confirm.of) >= self.confirm.wanted;
        let good = self.recover.of.min(self.seen) - self.last(self.recover.of.min(self.seen));
        let is_up = !is_bad && (self.known == State::Unknown || good >= self.recover.wanted);
        if self.known != State::Down && is_down {
            let begun = self.failures.pop_front().unwrap_or(now);
            self.enter(State::Down);
            return self.changed(before, begun);
        }
        if self.known != State::Up && is_up {
            self.enter(State::Up);
        }
        self.changed(before, now)
    }

    fn enter(&mut self, state: State) {
        self.known = state;
        (self.bad, self.seen) = (0, 0);
        self.failures.clear();
    }

    fn changed(&mut self, from: State, now: Mono) -> Option<Change> {
        let to = self.state();
        if from == to {
            return None;
        }
        let after = now.since(self.since);
        self.since = now;
        Some(Change { from, to, after })
    }

    /// How long until the next attempt; a tenth of it is by chance, of which `dice` is one.
    pub(crate) fn pause(&self, dice: u64) -> Duration {
        let pause = match self.known {
            State::Down if !self.is_doubted() => self.interval,
            State::Up | State::Unknown if self.seen > 0 && self.last(1) == 0 => self.interval,
            // The first of a row of failures.
            State::Up | State::Unknown if self.seen > 0 && self.last(2.min(self.seen)) == 1 => {
                AGAIN.min(self.interval / 2)
            }
            State::Up if self.seen == 0 => self.interval,
            _ => self.interval / 2,
        };
        pause.mul_f64(0.95 + (dice % 1_000) as f64 / 10_000.0)
    }
}

fn mask(bits: u32) -> u32 {
    if bits >= 32 { u32::MAX } else { (1 << bits) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dice;

    const SECOND: u64 = 1_000_000_000;
    const MINUTE: Duration = Duration::from_secs(60);

    fn verdict(confirm: (u32, u32), recover: (u32, u32)) -> Verdict {
        let votes = |(wanted, of)| Votes { wanted, of };
        Verdict::new(MINUTE, votes(confirm), votes(recover), Mono(0))
    }

    /// Attempts, a second apart: `.` good, `x` bad, `?` unknown, `~` paused; what each has changed: `U` up, `D`
    /// down, `?` unknown.
    fn run(verdict: &mut Verdict, attempts: &str) -> String {
        let mut told = String::new();
        for (attempt, second) in attempts.chars().zip(1..) {
            let outcome = match attempt {
                '.' => Outcome::Good,
                'x' => Outcome::Bad,
                '?' => Outcome::Unknown,
                _ => Outcome::Paused,
            };
            told.push(match verdict.note(outcome, Mono(second * SECOND)).map(|it| it.to) {
                None => ' ',
                Some(State::Up) => 'U',
                Some(State::Down) => 'D',
                Some(State::Unknown) => '?',
            });
        }
        told.trim_end().to_owned()
    }

    #[test]
    fn so_many_failures_are_down_and_so_many_successes_up() {
        for (attempts, told) in [
            (".xx.xx.", "U"),
            (".xxx", "U  D"),
            (".xxx.x..", "U  D   U"),
            ("xxx", "  D"),
            ("xx.", "  U"),
            (".x~~x~x", "U     D"),
            (".x??xx.", "U ?  D"),
        ] {
            let found = run(&mut verdict((3, 3), (2, 2)), attempts);
            // What is no more unknown is what it was before.
            assert_eq!(found.replace("? U", "?  "), told, "{attempts}");
        }
        assert_eq!(run(&mut verdict((3, 5), (2, 2)), ".x.x.x"), "U    D");
        assert_eq!(run(&mut verdict((3, 5), (3, 5)), ".x.x.x.x..x."), "U    D   U");
        assert_eq!(run(&mut verdict((1, 1), (1, 1)), ".x.x"), "UDUD");
    }

    #[test]
    fn what_is_down_is_so_since_its_first_failure() {
        let mut verdict = verdict((3, 3), (2, 2));
        run(&mut verdict, "..x.xxx");
        assert_eq!((verdict.state(), verdict.since()), (State::Down, Mono(5 * SECOND)));
    }

    #[test]
    fn what_nobody_can_know_is_unknown_and_comes_back_as_it_was() {
        let mut found = verdict((3, 3), (2, 2));
        assert_eq!(run(&mut found, ".????"), "U?");
        assert_eq!(found.state(), State::Unknown);
        assert_eq!(run(&mut found, "."), "U");
        let mut found = verdict((2, 2), (2, 2));
        assert_eq!(run(&mut found, ".xx??x"), "U D? D");
    }

    #[test]
    fn a_first_failure_is_asked_about_again_at_once_and_doubts_at_half_the_interval() {
        let about = |pause: Duration, expected: u64| {
            let seconds = pause.as_secs_f64();
            let expected = expected as f64;
            assert!(
                (expected * 0.949..=expected * 1.051).contains(&seconds),
                "{pause:?} {expected}"
            );
        };
        let mut verdict = verdict((3, 3), (2, 2));
        for (attempt, seconds) in
            [(".", 60), (".", 60), ("x", 1), ("x", 30), ("x", 60), ("x", 60), (".", 30), (".", 60)]
        {
            run(&mut verdict, attempt);
            about(verdict.pause(0), seconds);
            about(verdict.pause(999), seconds);
        }
    }

    #[test]
    fn whatever_comes_only_enough_failures_are_down_and_only_what_is_known_counts() {
        for seed in 0..400 {
            let mut dice = Dice(seed);
            let (of, back) = (1 + dice.roll(5) as u32, 1 + dice.roll(4) as u32);
            let confirm = (1 + dice.roll(of.into()) as u32, of);
            let recover = (1 + dice.roll(back.into()) as u32, back);
            let calm = 1 + dice.roll(12);
            let mut verdict = verdict(confirm, recover);
            let (mut known, mut now, mut bad) = (Vec::new(), Mono(0), false);
            for _ in 0..300 {
                now = now + verdict.pause(dice.roll(1_000));
                if dice.roll(calm) == 0 {
                    bad = !bad;
                }
                let outcome = match dice.roll(15) {
                    0 => Outcome::Unknown,
                    1 => Outcome::Paused,
                    _ if bad => Outcome::Bad,
                    _ => Outcome::Good,
                };
                let was = verdict.state();
                let change = verdict.note(outcome, now);
                assert_eq!(change.is_some(), was != verdict.state());
                if matches!(outcome, Outcome::Good | Outcome::Bad) {
                    known.push(outcome);
                }
                let late = |of: u32| known.iter().rev().take(of as usize);
                match change.map(|it| (it.from, it.to)) {
                    Some((State::Up, State::Down)) => {
                        let bad = late(of).filter(|it| **it == Outcome::Bad).count();
                        assert!(outcome == Outcome::Bad && bad >= confirm.0 as usize, "{seed}");
                        assert!(verdict.since() <= now);
                    }
                    Some((State::Down, State::Up)) => {
                        let good = late(back).filter(|it| **it == Outcome::Good).count();
                        assert!(outcome == Outcome::Good && good >= recover.0 as usize, "{seed}");
                    }
                    Some((_, State::Unknown)) => assert_eq!(outcome, Outcome::Unknown),
                    _ => {}
                }
            }
            // A long calm decides whatever was in doubt.
            for (outcome, state) in [(Outcome::Bad, State::Down), (Outcome::Good, State::Up)] {
                (0..40).for_each(|_| _ = verdict.note(outcome, now));
                assert_eq!(verdict.state(), state, "{seed}");
            }
        }
    }
}
