//! The five rules that a service is promised, each by the same script: below its threshold, at it, above it; without data
//! and with errors while it fires; well again; to and fro. A twin is restarted every few looks, and must tell the same.

use super::builtin::{rules, tests::alerts};
use super::engine::{Engine, Kind, Memory, Notice};
use super::facts::{Directory, Facts, Pool, Windows};
use super::judge::findings;
use super::nanos;
use super::rule::Reading;
use crate::config::Alerts;
use std::time::Duration;

const TICK: Duration = Duration::from_secs(10);
const BIRTH: u64 = 1_000_000_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Below,
    At,
    Above,
}

/// A rule, and what makes it so.
struct Case {
    rule: &'static str,
    /// How the service is at a look, of which it is the so-many-th.
    set: fn(&mut Facts, Is, u64),
    /// Looks above within which it fires.
    within: u64,
    /// Looks below until nothing is left of what was.
    settle: u64,
}

const CASES: [Case; 5] = [
    Case {
        rule: "not_ready",
        // Two checks in a row are not more than two.
        set: |facts, is, look| {
            let is_bad = is == Is::Above || is == Is::At && look % 3 != 2;
            facts.ready = Some(!is_bad);
        },
        within: 3,
        settle: 20,
    },
    Case {
        rule: "high_5xx",
        set: |facts, is, _| {
            facts.requests += 1_000;
            facts.errors += match is {
                Is::Below => 5,
                Is::At => 10,
                Is::Above => 12,
            };
        },
        // What went well before is in the window too.
        within: 32,
        settle: 60,
    },
    Case {
        rule: "worker_restarts",
        set: |facts, is, look| {
            let count = match is {
                Is::Below => 0,
                Is::At => 10,
                Is::Above => 11,
            };
            facts.restarts[0] += if look == 0 { count } else { 0 };
            facts.restarts[1] += 200;
        },
        within: 3,
        settle: 400,
    },
    Case {
        rule: "pool_exhausted",
        // One waits on average, which is not more than one.
        set: |facts, is, _| {
            let pool = facts.pools.first().cloned().unwrap_or_default();
            let waits = [0, 1, 2][is as usize];
            let (name, is_saturated) = ("main".to_owned(), is == Is::Above);
            let in_use = if is_saturated { 5 } else { 2 };
            let (waiting, waited) = (waits, pool.waited + waits * nanos(TICK));
            let timeouts = pool.timeouts;
            let pool = Pool { name, in_use, max: 5, waiting, is_saturated, timeouts, waited };
            facts.pools = vec![pool];
        },
        within: 8,
        settle: 40,
    },
    Case {
        rule: "directory_full",
        set: |facts, is, _| {
            let used = Some(([0.79, 0.80, 0.81][is as usize], Some(0.1)));
            let used = if is == Is::Below { Some((0.77, Some(0.1))) } else { used };
            facts.directories = vec![Directory { path: "/srv".to_owned(), used, full_in: None }];
        },
        within: 8,
        settle: 30,
    },
];

/// A service with its engine, looked at each ten seconds.
struct Script<'a> {
    case: &'a Case,
    alerts: Alerts,
    facts: Facts,
    windows: Windows,
    engine: Engine,
    now: u64,
    /// Looks so far, and whether it is restarted.
    looks: u64,
    is_twin: bool,
}

impl Script<'_> {
    fn new(case: &Case, is_twin: bool) -> Script<'_> {
        let alerts = alerts();
        let (engine, _) = Engine::resume(rules(&alerts), Memory::default(), BIRTH, u64::MAX);
        let facts = Facts { ready: Some(true), complete: true, ..Facts::default() };
        let windows = Windows::default().of(BIRTH);
        Script { case, alerts, facts, windows, engine, now: BIRTH, looks: 0, is_twin }
    }

    fn look(&mut self, is: Is, look: u64, reading: Option<Reading>) -> Vec<Notice> {
        self.now += nanos(TICK);
        (self.case.set)(&mut self.facts, is, look);
        self.windows.note(self.now, &self.facts, &self.alerts);
        let mut found = findings((&self.alerts, &[]), &self.windows, &self.facts, &[]);
        for finding in found.iter_mut().filter(|it| it.rule == self.case.rule) {
            finding.reading = reading.unwrap_or(finding.reading);
        }
        let notices = self.engine.tick(self.now, found, true);
        self.looks += 1;
        if self.is_twin && self.looks.is_multiple_of(3) {
            let text = serde_json::to_string(&(self.engine.memory(), &self.windows)).unwrap();
            let (memory, windows) = serde_json::from_str::<(Memory, Windows)>(&text).unwrap();
            let rules = rules(&self.alerts);
            (self.engine, _) = Engine::resume(rules, memory, self.now, 2 * nanos(TICK));
            self.windows = windows.of(BIRTH);
        }
        notices.into_iter().filter(|it| it.rule == self.case.rule).collect()
    }

    fn fires(&self) -> bool {
        let rules = self.engine.rules().iter();
        let rule = rules.into_iter().position(|it| it.name == self.case.rule).unwrap();
        self.engine.alerts(rule).any(|(_, alert)| alert.state.fires())
    }
}

/// Both of them, of which one is restarted.
struct Pair<'a>([Script<'a>; 2]);

impl Pair<'_> {
    fn looks(&mut self, is: Is, count: u64, reading: Option<Reading>) -> Vec<Kind> {
        let mut kinds = Vec::new();
        for look in 0..count {
            let [one, two] = &mut self.0;
            let (told, twin) = (one.look(is, look, reading), two.look(is, look, reading));
            assert_eq!(told, twin, "{}: a restart has changed what is told", one.case.rule);
            kinds.extend(told.iter().map(|it| it.kind));
        }
        kinds
    }

    fn fires(&self) -> bool {
        self.0[0].fires()
    }
}

#[test]
fn each_of_the_five_rules_goes_through_its_script_with_restarts_and_without() {
    for case in &CASES {
        let rule = case.rule;
        let mut pair = Pair([Script::new(case, false), Script::new(case, true)]);
        assert_eq!(pair.looks(Is::Below, 60, None), [], "{rule} below");
        assert_eq!(pair.looks(Is::At, 60, None), [], "{rule} at its threshold");
        assert_eq!(pair.looks(Is::Below, case.settle, None), [], "{rule} below again");
        assert_eq!(pair.looks(Is::Above, case.within, None), [Kind::Firing], "{rule} above");
        for reading in [Reading::Missing, Reading::Failed, Reading::Paused] {
            assert_eq!(pair.looks(Is::Above, 2, Some(reading)), [], "{rule} {reading:?}");
            assert!(pair.fires(), "{rule} is ended by {reading:?}");
        }
        assert_eq!(pair.looks(Is::Below, case.settle, None), [Kind::Resolved], "{rule} is over");
        assert!(!pair.fires(), "{rule}");
        let mut told = Vec::new();
        for _ in 0..6 {
            told.extend(pair.looks(Is::Above, case.within, None));
            told.extend(pair.looks(Is::Below, case.settle.min(30), None));
        }
        assert!(told.len() <= 12, "{rule}: to and fro is told {} times", told.len());
        told.extend(pair.looks(Is::Below, case.settle * 2, None));
        assert!(!pair.fires() && told.len().is_multiple_of(2), "{rule}: {told:?}");
        let ends = told.chunks(2).all(|it| it == [Kind::Firing, Kind::Resolved]);
        assert!(ends, "{rule}: each end follows its beginning: {told:?}");
    }
}
