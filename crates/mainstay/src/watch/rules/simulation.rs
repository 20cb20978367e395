//! Random looks of many seeds, with restarts in between, and what must hold after each.

use super::builtin::{rules, tests::alerts};
use super::engine::{Engine, Kind, Memory, Notice};
use super::facts::{Facts, Pool, Windows};
use super::instance::State;
use super::judge::findings;
use super::rule::{Finding, Level, Reading, Rule, Trigger};
use super::{Moment, nanos};
use crate::testing::Dice;
use std::collections::BTreeMap;

const TICK: u64 = 10_000_000_000;
const SUBJECTS: [&str; 2] = ["a", "b"];

/// What the simulation knows of an alert by itself.
#[derive(Clone, Debug, Default)]
struct Own {
    state: State,
    /// Bad looks in a row, and since when.
    run: u32,
    since: Moment,
    /// The incident that was told, until its end was.
    open: Option<Moment>,
    /// Incidents that ever were told.
    told: Vec<Moment>,
}

struct World {
    dice: Dice,
    engine: Engine,
    own: BTreeMap<(usize, String), Own>,
    now: Moment,
    /// Chances of a look to be as the last one.
    calm: u64,
    last: BTreeMap<(usize, String), Level>,
}

impl World {
    fn new(seed: u64) -> World {
        let (engine, _) = Engine::resume(rules(&alerts()), Memory::default(), TICK, 2 * TICK);
        let calm = 1 + seed % 30;
        let (own, last) = (BTreeMap::new(), BTreeMap::new());
        World { dice: Dice(seed), engine, own, now: TICK, calm, last }
    }

    fn look(&mut self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (index, rule) in self.engine.rules().iter().enumerate() {
            let subjects = if rule.label.is_empty() { &[""][..] } else { &SUBJECTS[..] };
            for subject in subjects {
                let key = (index, (*subject).to_owned());
                let level = self.last.entry(key).or_insert(Level::Good);
                if self.dice.roll(self.calm) == 0 {
                    *level = [Level::Good, Level::Between, Level::Bad][self.dice.roll(3) as usize];
                }
                let reading = match self.dice.roll(40) {
                    0 => Reading::Missing,
                    1 => Reading::Failed,
                    2 => Reading::Paused,
                    _ => Reading::Is(*level),
                };
                let (rule, subject) = (rule.name, (*subject).to_owned());
                findings.push(Finding { rule, subject, reading, text: String::new() });
            }
        }
        findings
    }

    fn step(&mut self) -> Vec<Notice> {
        self.now += TICK;
        let findings = self.look();
        let notices = self.engine.tick(self.now, findings.clone(), true);
        for notice in &notices {
            self.heard(notice);
        }
        for finding in &findings {
            let rule = self.engine.rules().iter().position(|it| it.name == finding.rule).unwrap();
            self.judge(rule, finding);
        }
        notices
    }

    /// Each incident is told once, and its end once, after it.
    fn heard(&mut self, notice: &Notice) {
        let rules = self.engine.rules();
        let rule = rules.iter().position(|it| it.name == notice.rule).unwrap();
        let own = self.own.entry((rule, notice.subject.clone())).or_default();
        match notice.kind {
            Kind::Held => assert!(own.open.is_none(), "{notice:?}"),
            Kind::Firing => {
                assert!(own.open.is_none() && !own.told.contains(&notice.fired), "{notice:?}");
                own.open = Some(notice.fired);
                own.told.push(notice.fired);
                let name = rules[rule].name;
                let explains = |it: &Rule| it.explains.contains(&name);
                for (source, _) in rules.iter().enumerate().filter(|(_, it)| explains(it)) {
                    let quiet = self.engine.alerts(source).all(|it| it.1.state == State::Inactive);
                    assert!(quiet, "{notice:?} is explained by {}", rules[source].name);
                }
            }
            Kind::Resolved => assert_eq!(own.open.take(), Some(notice.fired), "{notice:?}"),
        }
    }

    /// The state has changed as the look says, and in no other way.
    fn judge(&mut self, rule: usize, finding: &Finding) {
        let subject = &finding.subject;
        let state = self.engine.alerts(rule).find(|it| it.0 == subject).unwrap().1.state;
        let policy = &self.engine.rules()[rule];
        let own = self.own.entry((rule, subject.clone())).or_default();
        let was = std::mem::replace(&mut own.state, state);
        let told = policy.missing == super::rule::Missing::Tell;
        match finding.reading {
            Reading::Is(Level::Bad) => {
                if own.run == 0 {
                    own.since = self.now;
                }
                own.run += 1;
                assert!(!matches!(state, State::Inactive | State::Recovering), "{finding:?}");
                let entered = !was.fires() && state == State::Firing;
                match policy.trigger {
                    _ if told => {}
                    Trigger::Count(count) if !was.fires() => {
                        assert_eq!(entered, own.run == count, "{finding:?} {own:?}");
                    }
                    Trigger::For(time) if entered => {
                        assert!(self.now - own.since >= nanos(time), "{finding:?} {own:?}");
                    }
                    _ => {}
                }
            }
            Reading::Is(level) => {
                own.run = 0;
                assert!(level == Level::Good || !was.fires() || state == State::Firing);
                assert!(!matches!(state, State::Pending), "{finding:?}");
            }
            Reading::Missing if told => assert!(was == State::Inactive || state != State::Inactive),
            _ => assert_eq!(was, state, "{finding:?}"),
        }
        if was.fires() && !state.fires() {
            assert_eq!(finding.reading, Reading::Is(Level::Good), "only what is good ends it");
        }
    }

    /// What is remembered is written down and read again, as when a process dies.
    fn restart(&mut self) {
        let text = serde_json::to_string(&self.engine.memory()).unwrap();
        let memory: Memory = serde_json::from_str(&text).unwrap();
        assert_eq!(memory, self.engine.memory());
        self.engine = Engine::resume(rules(&alerts()), memory, self.now, 2 * TICK).0;
    }
}

#[test]
fn whatever_is_found_each_incident_is_told_once_and_ended_by_what_is_good_alone() {
    let mut told = 0;
    for seed in 0..80 {
        let mut world = World::new(seed);
        for _ in 0..300 {
            told += world.step().len();
            if world.dice.roll(50) == 0 {
                world.restart();
            }
        }
    }
    assert!(told > 1_500, "{told}");
}

#[test]
fn a_restart_at_any_point_changes_nothing_that_is_told() {
    for seed in 0..8 {
        let (mut one, mut two) = (World::new(seed), World::new(seed));
        for _ in 0..150 {
            two.restart();
            assert_eq!(one.step(), two.step(), "seed {seed}");
        }
    }
}

#[test]
fn when_all_is_well_for_long_nothing_is_left_open() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        for _ in 0..200 {
            world.step();
        }
        for _ in 0..100 {
            world.now += TICK;
            let rules = world.engine.rules().iter();
            let all = rules.flat_map(|rule| {
                let subjects = if rule.label.is_empty() { &[""][..] } else { &SUBJECTS[..] };
                subjects.iter().map(|subject| Finding {
                    rule: rule.name,
                    subject: (*subject).to_owned(),
                    reading: Reading::Is(Level::Good),
                    text: String::new(),
                })
            });
            let all = all.collect();
            for notice in world.engine.tick(world.now, all, true) {
                world.heard(&notice);
            }
        }
        assert!(world.own.values().all(|own| own.open.is_none()), "seed {seed}");
    }
}

/// A pool of five that is looked at each second and judged each ten, as the thread of alerts does: at which second
/// it was told first, within ten minutes. `wait` says how many wait at a second, `times_out` at which one a wait
/// ends without a connection.
fn exhausted(wait: impl Fn(u64) -> u64, times_out: Option<u64>) -> Option<u64> {
    const SECOND: u64 = 1_000_000_000;
    let (alerts, birth) = (alerts(), 1_000_000 * SECOND);
    let (mut engine, _) = Engine::resume(rules(&alerts), Memory::default(), birth, 2 * TICK);
    let mut windows = Windows::default().of(birth);
    let (mut timeouts, mut waited) = (0, 0);
    (1..=600).find(|second| {
        let (now, waiting) = (birth + second * SECOND, wait(*second));
        timeouts += u64::from(times_out == Some(*second));
        waited += waiting * SECOND;
        let in_use = if waiting > 0 { 5 } else { 2 };
        let (name, is_saturated) = ("main".to_owned(), waiting > 0);
        let pool = Pool { name, in_use, max: 5, waiting, is_saturated, timeouts, waited };
        let facts =
            Facts { ready: Some(true), complete: true, pools: vec![pool], ..Facts::default() };
        windows.note(now, &facts, &alerts);
        let is_time = second.is_multiple_of(10);
        let notices = is_time
            .then(|| engine.tick(now, findings((&alerts, &[]), &windows, &facts, &[]), true));
        let mut notices = notices.into_iter().flatten();
        notices.any(|it| it.rule == "pool_exhausted" && it.kind == Kind::Firing)
    })
}

#[test]
fn a_sixth_borrower_of_five_is_told_within_70_seconds_and_bursts_alone_are_not() {
    // From any second on, since looks are ten apart.
    for begin in 100..110 {
        let told = exhausted(|second| u64::from(second >= begin), None).unwrap();
        assert!((50..=70).contains(&(told - begin)), "{begin} {told}");
        // Three of them are a queue sooner.
        let told = exhausted(|second| if second >= begin { 3 } else { 0 }, None).unwrap();
        assert!(told - begin <= 31, "{begin} {told}");
        // Two seconds of each minute, at any of its seconds.
        let burst = |second: u64| if (second + begin) % 60 < 2 { 5 } else { 0 };
        assert_eq!(exhausted(burst, None), None, "{begin}");
        let told = exhausted(burst, Some(begin)).unwrap();
        assert!(told - begin < 10, "{begin} {told}");
    }
}
