//! All alerts together: takes a look with every rule at once, holds back what another alert explains, and says
//! what is to be told.
//!
//! An alert that is explained keeps its state; only the telling waits: while its cause is pending or fires, and
//! for as long after as the target still looks back on that time. What was never told needs no end.

use super::instance::{Change, Data, Instance, State};
use super::rule::{Finding, PATIENCE, Quiet, Reading, Rule, Severity};
use super::{Moment, nanos};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What is to be told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Notice {
    pub(crate) rule: String,
    pub(crate) severity: Severity,
    pub(crate) label: String,
    pub(crate) subject: String,
    pub(crate) kind: Kind,
    /// What was found, in words.
    pub(crate) text: String,
    /// When it fired, which tells one incident from another.
    pub(crate) fired: Moment,
    /// Why it is told now, where that is not plain.
    pub(crate) reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Firing,
    Resolved,
    /// It fires, and another one explains it: for the log alone.
    Held,
}

/// What outlives a process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// The last look.
    last: Moment,
    alerts: Vec<(String, String, Instance)>,
    /// When an alert of each rule was last over.
    cleared: BTreeMap<String, Moment>,
}

impl Memory {
    /// The last look.
    pub(crate) fn last(&self) -> Moment {
        self.last
    }
}

/// The rules with their alerts.
#[derive(Debug)]
pub(crate) struct Engine {
    rules: Vec<Rule>,
    alerts: BTreeMap<(usize, String), Instance>,
    cleared: Vec<Moment>,
    last: Moment,
    /// Alerts of rules that are no more, which are to be ended.
    orphans: Vec<(String, String, Instance)>,
    /// What nobody is to hear of now.
    quiet: Vec<Quiet>,
}

impl Engine {
    /// Goes on where `memory` ends. Returns too for how long nobody has looked, if that is longer than
    /// `patience`: then what was on its way out begins that way anew.
    pub(crate) fn resume(
        rules: Vec<Rule>,
        memory: Memory,
        now: Moment,
        patience: u64,
    ) -> (Engine, Option<u64>) {
        let mut engine = Engine {
            cleared: vec![0; rules.len()],
            rules,
            alerts: BTreeMap::new(),
            last: memory.last,
            orphans: Vec::new(),
            quiet: Vec::new(),
        };
        let gap = now.saturating_sub(memory.last);
        let gap = (memory.last != 0 && gap > patience).then_some(gap);
        for (name, subject, mut alert) in memory.alerts {
            match engine.rules.iter().position(|rule| rule.name == name) {
                Some(rule) => {
                    if let Some(gap) = gap {
                        alert.resume(gap, now);
                    }
                    engine.alerts.insert((rule, subject), alert);
                }
                None => engine.orphans.push((name, subject, alert)),
            }
        }
        for (rule, cleared) in engine.rules.iter().zip(&mut engine.cleared) {
            *cleared = memory.cleared.get(rule.name).copied().unwrap_or(0);
        }
        (engine, gap)
    }

    /// What is to be remembered.
    pub(crate) fn memory(&self) -> Memory {
        let cleared = self.rules.iter().zip(&self.cleared).filter(|(_, at)| **at != 0);
        let alerts = self.alerts.iter();
        Memory {
            last: self.last,
            alerts: alerts
                .map(|((rule, subject), alert)| {
                    (self.rules[*rule].name.to_owned(), subject.clone(), alert.clone())
                })
                .collect(),
            cleared: cleared.map(|(rule, at)| (rule.name.to_owned(), *at)).collect(),
        }
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The alerts of a rule, by subject.
    pub(crate) fn alerts(&self, rule: usize) -> impl Iterator<Item = (&str, &Instance)> {
        let all = self.alerts.range((rule, String::new())..(rule + 1, String::new()));
        all.map(|((_, subject), alert)| (&**subject, alert))
    }

    /// Whether each rule has failed for some time.
    pub(crate) fn blind(&self) -> Vec<(&'static str, bool)> {
        let rules = self.rules.iter().enumerate();
        rules
            .map(|(index, rule)| (rule.name, self.alerts(index).any(|(_, it)| it.is_blind())))
            .collect()
    }

    /// From now on nobody hears of these, until they are named no more. What was told is ended all the same.
    pub(crate) fn be_quiet(&mut self, quiet: Vec<Quiet>) {
        self.quiet = quiet;
    }

    /// Takes a look. `complete` says that whatever is wanted is among the findings.
    pub(crate) fn tick(
        &mut self,
        now: Moment,
        findings: Vec<Finding>,
        complete: bool,
    ) -> Vec<Notice> {
        let now = now.max(self.last);
        self.last = now;
        let mut notices = self.end_orphans();
        let mut seen = BTreeSet::new();
        let mut over = Vec::new();
        for finding in findings {
            let Some(rule) = self.rules.iter().position(|rule| rule.name == finding.rule) else {
                continue;
            };
            let key = (rule, finding.subject.clone());
            let alert = self.alerts.entry(key.clone()).or_default();
            alert.absent = 0;
            over.extend(step(&self.rules[rule], alert, &finding, now).then(|| key.clone()));
            seen.insert(key);
        }
        notices.extend(self.miss(&seen, now, complete, &mut over));
        for (rule, _) in &over {
            self.cleared[*rule] = now;
        }
        for key in over {
            let Some(alert) = self.alerts.get_mut(&key) else { continue };
            alert.owed = false;
            if std::mem::take(&mut alert.told) {
                let (rule, alert) = (&self.rules[key.0], &self.alerts[&key]);
                notices.push(notice(rule, &key.1, alert, Kind::Resolved, None));
            }
        }
        notices.extend(self.tell(now));
        notices
    }

    /// Rules that are no more leave nothing open.
    fn end_orphans(&mut self) -> Vec<Notice> {
        let told = self.orphans.drain(..).filter(|(_, _, alert)| alert.told);
        told.map(|(rule, subject, alert)| Notice {
            rule,
            severity: Severity::Warning,
            label: String::new(),
            subject,
            kind: Kind::Resolved,
            text: alert.text,
            fired: alert.fired,
            reason: Some("the rule was removed".to_owned()),
        })
        .collect()
    }

    /// Alerts for which there was no finding: nothing is known of them, or nobody wants to know.
    fn miss(
        &mut self,
        seen: &BTreeSet<(usize, String)>,
        now: Moment,
        complete: bool,
        over: &mut Vec<(usize, String)>,
    ) -> Vec<Notice> {
        let (mut notices, mut gone) = (Vec::new(), Vec::new());
        for (key, alert) in self.alerts.iter_mut().filter(|(key, _)| !seen.contains(key)) {
            let rule = &self.rules[key.0];
            alert.absent = if complete { alert.absent + 1 } else { 0 };
            if alert.absent < PATIENCE {
                let (reading, text) = (Reading::Missing, alert.text.clone());
                let finding = Finding { rule: rule.name, subject: key.1.clone(), reading, text };
                over.extend(step(rule, alert, &finding, now).then(|| key.clone()));
                continue;
            }
            if alert.told {
                let reason = Some("it is not watched any more".to_owned());
                notices.push(notice(rule, &key.1, alert, Kind::Resolved, reason));
            }
            gone.push(key.clone());
        }
        gone.iter().for_each(|key| _ = self.alerts.remove(key));
        notices
    }

    /// What fires and may be told.
    fn tell(&mut self, now: Moment) -> Vec<Notice> {
        let gates: Vec<_> = (0..self.rules.len()).map(|rule| self.gate(rule, now)).collect();
        let mut notices = Vec::new();
        for ((rule, subject), alert) in &mut self.alerts {
            let (gate, rule) = (gates[*rule], &self.rules[*rule]);
            let quiet = || self.quiet.iter().find(|it| it.is(rule, subject));
            let gate = match gate {
                Some(by) => Some((by.to_owned(), "explains it")),
                None => quiet().map(|it| (it.why.clone(), "keeps it quiet")),
            };
            let held = std::mem::replace(&mut alert.gate, gate.as_ref().map(|it| it.0.clone()));
            if !alert.owed {
                continue;
            }
            match gate {
                Some((by, how)) if held.is_none() || alert.fired == now => {
                    let why = Some(format!("{by} {how}"));
                    notices.push(notice(rule, subject, alert, Kind::Held, why));
                }
                Some(_) => {}
                None if alert.state == State::Firing => {
                    (alert.owed, alert.told) = (false, true);
                    let reason = held.map(|by| format!("it goes on after {by} was over"));
                    notices.push(notice(rule, subject, alert, Kind::Firing, reason));
                }
                None => {}
            }
        }
        notices
    }

    /// The rule, if any, that explains what this one has found now.
    fn gate(&self, target: usize, now: Moment) -> Option<&'static str> {
        let release = nanos(self.rules[target].release());
        let name = self.rules[target].name;
        let sources = self.rules.iter().enumerate().take(target);
        let mut sources = sources.filter(|(_, source)| source.explains.contains(&name));
        let found = sources.find(|(index, _)| {
            let is_there = self.alerts(*index).any(|(_, alert)| alert.state != State::Inactive);
            let cleared = self.cleared[*index];
            is_there || (cleared != 0 && now < cleared.saturating_add(release))
        });
        found.map(|(_, source)| source.name)
    }

    /// Alerts of a rule that are in this state; recovering ones still fire.
    pub(crate) fn count(&self, rule: usize, state: State) -> usize {
        let is = |alert: &Instance| match state {
            State::Firing => alert.state.fires(),
            other => alert.state == other,
        };
        self.alerts(rule).filter(|(_, alert)| is(alert)).count()
    }

    /// Alerts of a rule of which nothing is known.
    pub(crate) fn count_unknown(&self, rule: usize) -> usize {
        self.alerts(rule).filter(|(_, alert)| alert.data != Data::Ok).count()
    }
}

/// Takes a look at one; returns whether it is over.
fn step(rule: &Rule, alert: &mut Instance, finding: &Finding, now: Moment) -> bool {
    match alert.step(rule, finding, now) {
        None => false,
        Some(Change::Fired) => {
            (alert.owed, alert.told) = (true, false);
            false
        }
        Some(Change::Resolved) => true,
    }
}

fn notice(
    rule: &Rule,
    subject: &str,
    alert: &Instance,
    kind: Kind,
    reason: Option<String>,
) -> Notice {
    Notice {
        rule: rule.name.to_owned(),
        severity: rule.severity,
        label: rule.label.to_owned(),
        subject: subject.to_owned(),
        kind,
        text: alert.text.clone(),
        fired: alert.fired,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::super::builtin::{rules, tests::alerts};
    use super::super::rule::Level;
    use super::*;

    pub(super) const TICK: u64 = 10_000_000_000;

    fn engine() -> Engine {
        Engine::resume(rules(&alerts()), Memory::default(), TICK, TICK * 2).0
    }

    fn is(rule: &'static str, subject: &str, level: Level) -> Finding {
        let text = format!("{level:?}");
        Finding { rule, subject: subject.to_owned(), reading: Reading::Is(level), text }
    }

    /// Rules and kinds of what was told.
    fn told(notices: &[Notice]) -> Vec<(&str, Kind)> {
        notices.iter().map(|it| (&*it.rule, it.kind)).collect()
    }

    /// Looks at readiness and at failures, by whether each is bad.
    fn look(engine: &mut Engine, tick: u64, bad: [bool; 2]) -> Vec<(String, Kind)> {
        let [ready, errors] = bad.map(|bad| if bad { Level::Bad } else { Level::Good });
        let findings = vec![is("not_ready", "", ready), is("high_5xx", "", errors)];
        let notices = engine.tick(tick * TICK, findings, true);
        notices.into_iter().map(|it| (it.rule, it.kind)).collect()
    }

    #[test]
    fn one_outage_is_told_once_and_its_tail_is_not() {
        let mut engine = engine();
        let mut all = Vec::new();
        // Two minutes of both; the share of failures stays high for four minutes more.
        for tick in 1..=60 {
            all.extend(look(&mut engine, tick, [tick <= 12, tick <= 36]));
        }
        let expected =
            [("not_ready", Kind::Firing), ("high_5xx", Kind::Held), ("not_ready", Kind::Resolved)];
        assert_eq!(all, expected.map(|(rule, kind)| (rule.to_owned(), kind)));
    }

    #[test]
    fn what_outlives_its_cause_is_told_with_it() {
        let mut engine = engine();
        let mut when = Vec::new();
        for tick in 1..=60 {
            let notices = look(&mut engine, tick, [tick <= 12, true]);
            when.extend(notices.into_iter().map(|(rule, kind)| (tick, rule, kind)));
        }
        let found: Vec<_> = when.iter().map(|(tick, rule, kind)| (*tick, &**rule, *kind)).collect();
        let expected = [
            (3, "not_ready", Kind::Firing),
            (7, "high_5xx", Kind::Held),
            (18, "not_ready", Kind::Resolved),
            // Five minutes later nothing that it looks back on is of the outage.
            (48, "high_5xx", Kind::Firing),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_cause_that_is_still_pending_holds_back_and_lets_go_when_it_was_none() {
        let mut engine = engine();
        let ticks = 1..=12;
        let mut when = Vec::new();
        for tick in ticks {
            // Readiness fails twice just before the share of failures would be told.
            let notices = look(&mut engine, tick, [tick == 6 || tick == 7, true]);
            when.extend(notices.into_iter().map(|(rule, kind)| (tick, rule, kind)));
        }
        let high = || "high_5xx".to_owned();
        assert_eq!(when, [(7, high(), Kind::Held), (8, high(), Kind::Firing)]);
    }

    #[test]
    fn what_nobody_watches_any_more_is_ended_and_what_is_not_known_is_not() {
        let mut engine = engine();
        let pool = |level| vec![is("pool_exhausted", "main", level)];
        assert_eq!(
            told(&engine.tick(TICK, pool(Level::Bad), true)),
            [("pool_exhausted", Kind::Firing)]
        );
        for tick in 2..20 {
            assert_eq!(engine.tick(tick * TICK, Vec::new(), false), []);
        }
        let (_, alert) = engine.alerts(2).next().unwrap();
        assert_eq!((alert.state, alert.data), (State::Firing, Data::Unknown));
        assert_eq!(engine.tick(20 * TICK, Vec::new(), true), []);
        assert_eq!(engine.tick(21 * TICK, Vec::new(), true), []);
        let notices = engine.tick(22 * TICK, Vec::new(), true);
        assert_eq!(told(&notices), [("pool_exhausted", Kind::Resolved)]);
        assert!(notices[0].reason.is_some());
        assert_eq!(engine.alerts(2).count(), 0);
    }

    #[test]
    fn what_is_quiet_is_told_when_it_is_quiet_no_more_and_its_end_if_its_beginning_was() {
        let quiet = || {
            let matchers = vec![crate::config::matchers::Matcher::parse("pool=main").unwrap()];
            vec![Quiet { why: "silence 1".to_owned(), matchers }]
        };
        let look = |engine: &mut Engine, tick: u64, level| {
            let found = vec![is("pool_exhausted", "main", level)];
            let notices = engine.tick(tick * TICK, found, true);
            notices.into_iter().map(|it| (it.kind, it.reason)).collect::<Vec<_>>()
        };
        let mut engine = engine();
        engine.be_quiet(quiet());
        let why = |text: &str| Some(text.to_owned());
        let held = (Kind::Held, why("silence 1 keeps it quiet"));
        assert_eq!(look(&mut engine, 1, Level::Bad), [held]);
        assert_eq!(look(&mut engine, 2, Level::Bad), []);
        assert_eq!(engine.alerts(2).next().unwrap().1.gate.as_deref(), Some("silence 1"));
        engine.be_quiet(Vec::new());
        let on = (Kind::Firing, why("it goes on after silence 1 was over"));
        assert_eq!(look(&mut engine, 3, Level::Bad), [on]);
        engine.be_quiet(quiet());
        let told: Vec<_> = (4..40).flat_map(|tick| look(&mut engine, tick, Level::Good)).collect();
        assert_eq!(told, [(Kind::Resolved, None)], "its beginning was told");
        let told: Vec<_> = (40..90)
            .flat_map(|tick| {
                look(&mut engine, tick, if tick < 45 { Level::Bad } else { Level::Good })
            })
            .map(|it| it.0)
            .collect();
        assert_eq!(told, [Kind::Held], "nobody heard of it");
    }

    #[test]
    fn a_rule_that_is_removed_leaves_nothing_open() {
        let mut first = engine();
        first.tick(TICK, vec![is("pool_exhausted", "main", Level::Bad)], true);
        let rules: Vec<_> =
            rules(&alerts()).into_iter().filter(|rule| rule.name != "pool_exhausted").collect();
        let (mut second, gap) = Engine::resume(rules, first.memory(), 2 * TICK, TICK * 2);
        assert_eq!(gap, None);
        let notices = second.tick(2 * TICK, Vec::new(), true);
        assert_eq!(told(&notices), [("pool_exhausted", Kind::Resolved)]);
        assert_eq!(notices[0].fired, TICK, "the same incident");
        assert_eq!(second.tick(3 * TICK, Vec::new(), true), []);
    }

    #[test]
    fn a_gap_counts_for_nothing_and_ends_nothing() {
        let mut first = engine();
        for tick in 1..=4 {
            look(&mut first, tick, [tick <= 3, true]);
        }
        let later = 400 * TICK;
        let (mut second, gap) = Engine::resume(rules(&alerts()), first.memory(), later, TICK * 2);
        assert_eq!(gap, Some(396 * TICK));
        // Of the minute that it takes 30 s had passed; the keep of the other begins anew.
        let mut when = Vec::new();
        for tick in 400..=420 {
            let notices = look(&mut second, tick, [false, true]);
            when.extend(notices.into_iter().map(|(rule, kind)| (tick - 400, rule, kind)));
        }
        let found: Vec<_> = when.iter().map(|(tick, rule, kind)| (*tick, &**rule, *kind)).collect();
        assert_eq!(found, [(3, "high_5xx", Kind::Held), (5, "not_ready", Kind::Resolved)]);
    }

    #[test]
    fn errors_are_told_of_and_end_nothing() {
        let mut engine = engine();
        engine.tick(TICK, vec![is("worker_restarts", "", Level::Bad)], true);
        for tick in 2..=4 {
            let reading = Reading::Failed;
            let (rule, subject, text) = ("worker_restarts", String::new(), String::new());
            let finding = Finding { rule, subject, reading, text };
            assert_eq!(engine.tick(tick * TICK, vec![finding], true), []);
        }
        assert!(engine.blind().contains(&("worker_restarts", true)));
        assert!(engine.blind().contains(&("not_ready", false)));
        assert_eq!(engine.count(6, State::Firing) + engine.count(5, State::Firing), 1);
    }
}
