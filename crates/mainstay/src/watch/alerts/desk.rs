//! What one receiver is told, and when: alone or in company, again while it goes on, and gathered when it would
//! be too much. Pure.
//!
//! It is told the end of what it was told the beginning of, and of nothing else.

use super::super::rules::rule::Severity;
use super::super::rules::{Moment, nanos};
use super::letter::{Item, Letter, Status};
use crate::config::receivers::{Policy, Receiver, Shape};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);
/// The least time between two letters beyond the budget.
const GATHERED: Duration = Duration::from_secs(300);
/// So many alerts wait for no further ones.
const MANY: usize = 100;
/// The largest budget, and one.
const MOST: usize = 10_001;
/// Alertmanager forgets what is not said again.
const KEPT_ALIVE: Duration = Duration::from_secs(60);
/// After what time it is told again that an alert fires.
const CRITICAL: Duration = Duration::from_secs(4 * 3_600);
const WARNING: Duration = Duration::from_secs(24 * 3_600);

/// An alert that the receiver was told of, and of which it waits for the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Open {
    item: Item,
    /// When it was last told.
    told: Moment,
}

/// Everything about one receiver that is to outlive a process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Desk {
    /// What is still to be told, the oldest first.
    pile: Vec<Item>,
    /// When the first of it came.
    since: Moment,
    /// The last letter.
    last: Moment,
    /// The letters of the last hour.
    sent: VecDeque<Moment>,
    /// By key.
    open: BTreeMap<String, Open>,
}

/// What is known of an alert that is open, for telling it again.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Still {
    /// It fires; what is found now, in words.
    Fires(String),
    /// It fires, and nobody is to hear of it now.
    Quiet,
    /// It is not known to fire.
    Unknown,
}

impl Desk {
    /// The time has moved on by so much of which nothing has passed.
    pub(super) fn put_off(&mut self, leap: u64) {
        let told = self.open.values_mut().map(|open| &mut open.told);
        let all = [&mut self.since, &mut self.last].into_iter().chain(&mut self.sent).chain(told);
        all.for_each(|at| *at = at.saturating_add(leap));
    }

    /// Takes note of what is to be told.
    pub(super) fn note(&mut self, item: Item, policy: &Policy, now: Moment) {
        let is_same = |it: &Item| it.key == item.key && it.fired == item.fired;
        match item.status {
            Status::Firing if policy.critical_only && item.severity != Severity::Critical => {}
            Status::Firing => self.push(item, now),
            Status::Resolved => {
                let waits =
                    self.pile.iter_mut().find(|it| it.status == Status::Firing && is_same(it));
                if let Some(waits) = waits.filter(|it| it.round == 0) {
                    // Both ends in one word: the beginning would come too late.
                    *waits = item;
                } else if self.open.contains_key(&item.key) {
                    self.pile.retain(|it| !(it.status == Status::Firing && is_same(it)));
                    self.push(item, now);
                }
            }
        }
    }

    fn push(&mut self, item: Item, now: Moment) {
        if self.pile.is_empty() {
            self.since = now;
        }
        self.pile.push(item);
    }

    /// The letters for which it is time. `is_behind` says that earlier ones have not arrived yet.
    pub(super) fn turn(
        &mut self,
        now: Moment,
        receiver: &Receiver,
        is_behind: bool,
        still: impl Fn(&Item) -> Still,
    ) -> Vec<Letter> {
        let policy = &receiver.policy;
        let mut letters = Vec::new();
        if !is_behind {
            letters.extend(self.again(now, receiver, still));
        }
        while self.sent.front().is_some_and(|at| at.saturating_add(nanos(HOUR)) <= now) {
            self.sent.pop_front();
        }
        let is_grouped = !policy.wait.is_zero() || !policy.interval.is_zero();
        while !self.pile.is_empty() {
            // Alertmanager groups by itself.
            let left = match receiver.shape {
                Shape::Alertmanager => usize::MAX,
                _ => (policy.budget as usize).saturating_sub(self.sent.len()),
            };
            // What does not fit into the rest of the budget goes with it at once: one by one, as letters of an hour
            // ago are forgotten, it would come ever later.
            let (is_over, is_much) = (left == 0, self.pile.len() > left && !is_grouped);
            let items = if is_grouped || is_much || is_over {
                let interval =
                    if is_over { policy.interval.max(GATHERED) } else { policy.interval };
                let waited = self.since.saturating_add(nanos(policy.wait));
                let due = waited.max(self.last.saturating_add(nanos(interval)));
                if now < due && self.pile.len() < MANY {
                    break;
                }
                self.pile.drain(..self.pile.len().min(MANY)).collect()
            } else {
                vec![self.pile.remove(0)]
            };
            let note = (is_much || is_over).then(|| {
                let budget = policy.budget;
                format!("there were {budget} messages within an hour, so these come together")
            });
            letters.push(self.leave(items, note, now));
            self.since = now;
        }
        letters
    }

    /// What goes on for long is told again.
    fn again(
        &mut self,
        now: Moment,
        receiver: &Receiver,
        still: impl Fn(&Item) -> Still,
    ) -> Vec<Letter> {
        let keeps_alive = receiver.shape == Shape::Alertmanager;
        let mut again = Vec::new();
        for (key, open) in &mut self.open {
            let every = match (receiver.policy.repeat, open.item.severity) {
                _ if keeps_alive => KEPT_ALIVE,
                (Some(every), _) => every,
                (None, Severity::Critical) => CRITICAL,
                (None, Severity::Warning) => WARNING,
            };
            let is_due = !every.is_zero() && open.told.saturating_add(nanos(every)) <= now;
            if !is_due || self.pile.iter().any(|it| it.key == *key) {
                continue;
            }
            match still(&open.item) {
                Still::Fires(text) => open.item.text = text,
                // It is no news, and silence would mean that it is over.
                Still::Quiet if keeps_alive => {}
                Still::Quiet | Still::Unknown => continue,
            }
            open.told = now;
            open.item.round += 1;
            let reason = Some("it still fires".to_owned());
            again.push(Item { reason: reason.filter(|_| !keeps_alive), ..open.item.clone() });
        }
        if keeps_alive && !again.is_empty() {
            return vec![Letter::of(again, None, now)];
        }
        again.into_iter().for_each(|item| self.push(item, now));
        Vec::new()
    }

    fn leave(&mut self, items: Vec<Item>, note: Option<String>, now: Moment) -> Letter {
        for item in &items {
            match item.status {
                Status::Firing => {
                    let open = Open { item: item.clone(), told: now };
                    self.open.insert(item.key.clone(), open);
                }
                Status::Resolved => drop(self.open.remove(&item.key)),
            }
        }
        self.last = now;
        self.sent.push_back(now);
        // One more than any budget is enough to know.
        if self.sent.len() > MOST {
            self.sent.pop_front();
        }
        Letter::of(items, note, now)
    }

    /// That somebody knows of an alert, by its name or fingerprint, of which this receiver was told.
    pub(super) fn known(&self, alert: &str, by: &str, now: Moment) -> Option<Letter> {
        let mut open = self.open.values().map(|open| &open.item);
        let item = open.find(|it| it.name() == alert || it.fingerprint() == alert)?;
        Some(Letter::known(item.clone(), by, now))
    }

    /// What of a letter for `other`, who takes nothing, this receiver does not know yet.
    pub(super) fn stand_in(&mut self, letter: &Letter, other: &str, now: Moment) -> Option<Letter> {
        let is_same = |one: &Item, other: &Item| one.key == other.key && one.fired == other.fired;
        let is_open =
            |item: &Item| self.open.get(&item.key).is_some_and(|it| is_same(&it.item, item));
        let waits = |item: &Item| self.pile.iter().any(|it| is_same(it, item));
        let knows = |item: &Item| match item.status {
            Status::Firing => is_open(item) || waits(item),
            Status::Resolved => waits(item) || !is_open(item),
        };
        let items: Vec<_> = letter.items.iter().filter(|item| !knows(item)).cloned().collect();
        // Where the end of an earlier one waits, this one waits behind it.
        let behind = |item: &Item| self.pile.iter().any(|it| it.key == item.key);
        let (later, items): (Vec<_>, Vec<_>) = items.into_iter().partition(behind);
        later.into_iter().for_each(|item| self.push(item, now));
        if items.is_empty() {
            return None;
        }
        let note = Some(format!("this was for {other}, which takes nothing"));
        Some(Letter { is_handed: true, ..self.leave(items, note, now) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::rules::engine::Kind;
    use super::super::letter::tests::item;
    use super::*;
    use crate::config::receivers::parse;
    use crate::testing::Dice;
    use std::collections::HashSet;

    const SECOND: u64 = 1_000_000_000;
    const MINUTE: u64 = 60 * SECOND;
    const START: u64 = 1_795_342_252 * SECOND;

    fn receiver(options: &str) -> Receiver {
        parse(&format!("ops={options}")).unwrap().remove(0)
    }

    fn fires(_: &Item) -> Still {
        Still::Fires("now".to_owned())
    }

    /// What letters say.
    fn told(letters: &[Letter]) -> Vec<String> {
        letters.iter().map(Letter::what).collect()
    }

    /// Takes note of the ends of alerts, and what comes of it.
    fn say(desk: &mut Desk, to: &Receiver, now: u64, said: &[(Kind, &str, u64)]) -> Vec<String> {
        for (kind, rule, fired) in said {
            desk.note(item(*kind, rule, "", *fired), &to.policy, now);
        }
        told(&desk.turn(now, to, false, fires))
    }

    #[test]
    fn by_itself_each_alert_is_a_letter_at_once() {
        let (mut desk, to) = (Desk::default(), receiver("http://h/"));
        let both = [(Kind::Firing, "a", START), (Kind::Firing, "b", START)];
        assert_eq!(say(&mut desk, &to, START, &both), ["firing of a", "firing of b"]);
        let over = [(Kind::Resolved, "a", START), (Kind::Resolved, "c", START)];
        assert_eq!(
            say(&mut desk, &to, START + SECOND, &over),
            ["resolved of a"],
            "c was never told"
        );
    }

    #[test]
    fn a_group_waits_for_its_first_time_and_then_between_its_letters() {
        let (mut desk, to) = (Desk::default(), receiver("http://h/ wait=30s interval=5m"));
        let mut at = |seconds: u64, said: &[(Kind, &str, u64)]| {
            say(&mut desk, &to, START + seconds * SECOND, said)
        };
        assert!(at(0, &[(Kind::Firing, "a", START)]).is_empty());
        assert!(at(20, &[(Kind::Firing, "b", START)]).is_empty());
        assert_eq!(at(30, &[]), ["firing of a, firing of b"]);
        assert!(at(40, &[(Kind::Resolved, "a", START), (Kind::Firing, "c", START)]).is_empty());
        // What began and ended in between is one word.
        assert!(at(50, &[(Kind::Resolved, "c", START)]).is_empty());
        assert!(at(329, &[]).is_empty());
        assert_eq!(at(330, &[]), ["resolved of a, resolved of c"]);
    }

    #[test]
    fn what_goes_on_is_told_again_unless_it_is_quiet_or_behind() {
        let (mut desk, to) = (Desk::default(), receiver("http://h/ repeat=1h"));
        say(&mut desk, &to, START, &[(Kind::Firing, "a", START)]);
        let hour = |hours: u64| START + hours * 60 * MINUTE;
        assert!(desk.turn(hour(1) - 1, &to, false, fires).is_empty());
        assert!(desk.turn(hour(1), &to, true, fires).is_empty());
        assert!(desk.turn(hour(1), &to, false, |_| Still::Quiet).is_empty());
        assert!(desk.turn(hour(1), &to, false, |_| Still::Unknown).is_empty());
        let again = desk.turn(hour(1), &to, false, fires);
        let item = &again[0].items[0];
        assert_eq!(
            (again.len(), &*item.text, item.reason.as_deref()),
            (1, "now", Some("it still fires"))
        );
        let third = desk.turn(hour(2), &to, false, fires);
        assert!(again[0].id != third[0].id && again[0].id.ends_with("-firing-1"));
        assert_eq!(
            say(&mut desk, &to, hour(3), &[(Kind::Resolved, "a", START)]),
            ["resolved of a"]
        );
        assert!(desk.turn(hour(9), &to, false, fires).is_empty());
        let (mut never, to) = (Desk::default(), receiver("http://h/ repeat=0"));
        say(&mut never, &to, START, &[(Kind::Firing, "a", START)]);
        assert!(never.turn(hour(999), &to, false, fires).is_empty());
    }

    #[test]
    fn alertmanager_hears_each_minute_of_what_fires_even_when_it_is_quiet() {
        let (mut desk, to) = (Desk::default(), receiver("alertmanager+http://h budget=1"));
        let both = [(Kind::Firing, "a", START), (Kind::Firing, "b", START)];
        assert_eq!(say(&mut desk, &to, START, &both), ["firing of a", "firing of b"]);
        let letters = desk.turn(START + MINUTE, &to, false, |_| Still::Quiet);
        // In the order of their keys.
        assert_eq!((letters.len(), letters[0].items.len()), (1, 2));
        assert_eq!(letters[0].items[0].reason, None);
    }

    #[test]
    fn beyond_its_budget_letters_are_gathered_with_a_word_why() {
        let (mut desk, to) = (Desk::default(), receiver("http://h/ budget=2"));
        let one = |name: &'static str| [(Kind::Firing, name, START)];
        assert_eq!(say(&mut desk, &to, START, &one("a")).len(), 1);
        assert_eq!(say(&mut desk, &to, START + MINUTE, &one("b")).len(), 1);
        assert!(say(&mut desk, &to, START + 2 * MINUTE, &one("c")).is_empty());
        assert!(say(&mut desk, &to, START + 3 * MINUTE, &one("d")).is_empty());
        let letters = desk.turn(START + 6 * MINUTE, &to, false, fires);
        assert_eq!(told(&letters), ["firing of c, firing of d"]);
        assert!(letters[0].note.as_ref().unwrap().contains("2 messages within an hour"));
        assert_eq!(say(&mut desk, &to, START + 70 * MINUTE, &one("e")), ["firing of e"]);
    }

    #[test]
    fn grave_ones_alone_are_told_to_whoever_wants_no_others() {
        let (mut desk, to) = (Desk::default(), receiver("http://h/ severity=critical"));
        let warning = Item { severity: Severity::Warning, ..item(Kind::Firing, "a", "", START) };
        desk.note(warning, &to.policy, START);
        desk.note(item(Kind::Firing, "b", "", START), &to.policy, START);
        desk.note(item(Kind::Resolved, "a", "", START), &to.policy, START);
        assert_eq!(told(&desk.turn(START, &to, false, fires)), ["firing of b"]);
    }

    #[test]
    fn whoever_stands_in_is_told_what_it_does_not_know_and_the_end_of_that() {
        let (mut desk, to) = (Desk::default(), receiver("http://h/"));
        say(&mut desk, &to, START, &[(Kind::Firing, "a", START)]);
        let of = |kind, rule| Letter::of(vec![item(kind, rule, "", START)], None, START);
        assert_eq!(desk.stand_in(&of(Kind::Firing, "a"), "two", START), None, "known");
        let letter = desk.stand_in(&of(Kind::Firing, "b"), "two", START).unwrap();
        assert!(letter.is_handed && letter.note.unwrap().contains("for two"));
        assert_eq!(desk.stand_in(&of(Kind::Firing, "b"), "two", START), None, "once");
        assert_eq!(desk.stand_in(&of(Kind::Resolved, "c"), "two", START), None, "never told");
        assert_eq!(say(&mut desk, &to, START, &[(Kind::Resolved, "b", START)]), ["resolved of b"]);
        assert_eq!(desk.stand_in(&of(Kind::Resolved, "b"), "two", START), None, "told already");
        // What waits here is told once, and what began anew comes behind the end of what was before.
        let (mut slow, to) = (Desk::default(), receiver("http://h/ interval=5m"));
        say(&mut slow, &to, START, &[(Kind::Firing, "a", START)]);
        let over = [(Kind::Resolved, "a", START)];
        assert!(say(&mut slow, &to, START + MINUTE, &over).is_empty());
        assert_eq!(slow.stand_in(&of(Kind::Resolved, "a"), "two", START + MINUTE), None);
        let again = Letter::of(vec![item(Kind::Firing, "a", "", START + MINUTE)], None, START);
        assert_eq!(slow.stand_in(&again, "two", START + 2 * MINUTE), None);
        let letters = slow.turn(START + 5 * MINUTE, &to, false, fires);
        assert_eq!(told(&letters), ["resolved of a, firing of a"]);
    }

    /// Alerts that come and go by chance, and what a receiver hears of them.
    #[test]
    fn whatever_comes_each_end_follows_its_beginning_and_no_hour_has_too_many_letters() {
        let kinds = [
            "http://h/ repeat=0",
            "http://h/ wait=30s",
            "http://h/ interval=2m budget=5",
            "http://h/ budget=3 repeat=10m",
            "http://h/ wait=10s interval=1m repeat=5m budget=9",
        ];
        let mut heard = 0;
        for seed in 0..40_u64 {
            let to = receiver(kinds[seed as usize % kinds.len()]);
            let (mut dice, mut desk) = (Dice(seed), Desk::default());
            let mut real: BTreeMap<&str, u64> = BTreeMap::new();
            let mut open: BTreeMap<String, u64> = BTreeMap::new();
            let (mut sent, mut ids) = (Vec::new(), HashSet::new());
            let mut began = HashSet::new();
            for tick in 0..900 {
                // At the end all is well for longer than anything waits.
                let (now, calm) = (START + tick * 10 * SECOND, tick > 780);
                for rule in ["a", "b", "c", "d"] {
                    let ended = calm || dice.roll(8) == 0;
                    match real.get(rule) {
                        None if !calm && dice.roll(20) == 0 => {
                            real.insert(rule, now);
                            let item = item(Kind::Firing, rule, "", now);
                            began.insert((item.key.clone(), now));
                            desk.note(item, &to.policy, now);
                        }
                        Some(fired) if ended && *fired != now => {
                            desk.note(item(Kind::Resolved, rule, "", *fired), &to.policy, now);
                            real.remove(rule);
                        }
                        _ => {}
                    }
                }
                if dice.roll(99) == 0 {
                    let text = serde_json::to_string(&desk).unwrap();
                    assert_eq!(serde_json::from_str::<Desk>(&text).unwrap(), desk);
                }
                for letter in desk.turn(now, &to, false, fires) {
                    assert!(ids.insert(letter.id.clone()), "seed {seed}: {} twice", letter.id);
                    sent.push(now);
                    heard += 1;
                    for item in letter.items {
                        began.remove(&(item.key.clone(), item.fired));
                        match item.status {
                            Status::Firing if item.round > 0 => {
                                assert_eq!(open.get(&item.key), Some(&item.fired));
                            }
                            Status::Firing => {
                                assert_eq!(open.insert(item.key, item.fired), None, "seed {seed}");
                            }
                            // Both ends in one, or the end of what was told.
                            Status::Resolved => {
                                let was = open.remove(&item.key);
                                assert!(was.is_none_or(|was| was == item.fired), "seed {seed}");
                            }
                        }
                    }
                }
                sent.retain(|at: &u64| at + 60 * MINUTE > now);
                let most = to.policy.budget as usize + 12;
                assert!(sent.len() <= most, "seed {seed}: {} in an hour", sent.len());
            }
            assert!(open.is_empty() && desk.open.is_empty(), "seed {seed}: {open:?}");
            assert!(began.is_empty(), "seed {seed}: nobody heard of {began:?}");
        }
        assert!(heard > 1_000, "{heard}");
    }
}
