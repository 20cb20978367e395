//! What keeps alerts quiet by somebody's wish: silences, acknowledgements, and the maintenance windows of the
//! configuration. Pure.
//!
//! Nobody hears of the beginning of a silenced alert; an acknowledged one is not told again. The end of what was
//! told is told in any case.

use super::super::rules::engine::Engine;
use super::super::rules::rule::Quiet;
use super::super::rules::{Moment, nanos};
use super::letter::{Sender, fingerprint, name, time};
use crate::announced::Announced;
use crate::config::keys::nearest;
use crate::config::maintenance::{Window, Zone};
use crate::config::matchers::{self, Matcher};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most silences at a time.
const MOST: usize = 200;
/// Longest name of somebody, and longest comment, characters.
const LONGEST: usize = 200;

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wish {
    /// An alert, by its name or fingerprint, is known.
    Acknowledge { alert: String, by: String },
    /// Alerts are to be told to nobody for so long.
    Silence { matchers: Vec<String>, time: Duration, by: String, comment: String },
    /// They are to be told again.
    End { id: String },
    /// What is in force.
    List,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Silence {
    id: String,
    matchers: Vec<Matcher>,
    until: Moment,
    by: String,
    comment: String,
}

impl Silence {
    fn shown(&self) -> String {
        let matchers: Vec<_> = self.matchers.iter().map(Matcher::shown).collect();
        let comment = match self.comment.as_str() {
            "" => String::new(),
            comment => format!(": {comment}"),
        };
        let (id, until, by) = (&self.id, time(self.until), &self.by);
        format!("silence {id} of {} until {until} by {by}{comment}", matchers.join(" "))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// The incident.
    fired: Moment,
    by: String,
}

/// All that is to outlive a process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hush {
    silences: Vec<Silence>,
    /// By the name of the alert.
    known: BTreeMap<String, Known>,
}

impl Hush {
    /// The time has moved on by so much of which nothing has passed.
    pub(super) fn put_off(&mut self, leap: u64) {
        self.silences.iter_mut().for_each(|it| it.until = it.until.saturating_add(leap));
    }

    /// What nobody is to hear of at `now`, which is `wall` by the host's clock, when zones are so many seconds east of
    /// UTC; what is over is forgotten.
    pub(super) fn quiet(
        &mut self,
        (windows, announced): (&[Window], &[Announced]),
        (now, wall): (Moment, Moment),
        east: impl Fn(&Zone) -> Option<i32>,
    ) -> Vec<Quiet> {
        self.silences.retain(|it| it.until > now);
        let silences = self
            .silences
            .iter()
            .map(|it| Quiet { why: format!("silence {}", it.id), matchers: it.matchers.clone() });
        let open = windows.iter().filter(|it| it.is_open(wall / 1_000_000_000, &east));
        let windows = open.map(|it| Quiet {
            why: format!("maintenance {}", it.name),
            matchers: it.matchers.clone(),
        });
        let announced = announced.iter().filter(|it| it.until > wall / 1_000_000_000);
        let announced = announced.map(|it| Quiet {
            why: format!("maintenance {}", it.name),
            matchers: it.matchers.clone(),
        });
        silences.chain(windows).chain(announced).collect()
    }

    /// Forgets that alerts were known which are over.
    pub(super) fn forget(&mut self, engine: &Engine) {
        self.known.retain(|alert, known| {
            firing(engine).any(|it| it.name == *alert && it.fired == known.fired)
        });
    }

    /// Who knows of this incident of an alert.
    pub(super) fn known_by(&self, alert: &str, fired: Moment) -> Option<&str> {
        self.known.get(alert).filter(|it| it.fired == fired).map(|it| &*it.by)
    }

    /// For `/alerts`.
    pub(super) fn shown(&self) -> Value {
        let each = self.silences.iter().map(|it| {
            json!({
                "id": it.id,
                "matchers": it.matchers.iter().map(Matcher::shown).collect::<Vec<_>>(),
                "until": time(it.until),
                "by": it.by,
                "comment": it.comment,
            })
        });
        each.collect()
    }

    /// Does what is asked for, if it can be; `id` is the wish's own. Returns what to answer, and whether anything
    /// has changed.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(super) fn grant(
        &mut self,
        id: &str,
        wish: Wish,
        (engine, sender): (&Engine, &Sender),
        now: Moment,
    ) -> Result<(String, bool), String> {
        match wish {
            Wish::List if self.silences.is_empty() => Ok(("there is no silence".to_owned(), false)),
            Wish::List => {
                let all: Vec<_> = self.silences.iter().map(Silence::shown).collect();
                Ok((all.join("\n"), false))
            }
            Wish::End { id } => {
                let at = self.silences.iter().position(|it| it.id == id);
                let at = at.ok_or_else(|| format!("there is no silence {id}"))?;
                Ok((format!("the end of {}", self.silences.remove(at).shown()), true))
            }
            Wish::Silence { matchers, time, by, comment } => {
                let matchers = read(&matchers, engine)?;
                let until = now.saturating_add(nanos(time));
                let (id, by, comment) = (id.to_owned(), line(&by), line(&comment));
                let silence = Silence { id, matchers, until, by, comment };
                // A process that died before it had answered does it again.
                self.silences.retain(|it| it.id != silence.id);
                if self.silences.len() >= MOST {
                    return Err(format!("there are {MOST} silences already"));
                }
                let shown = silence.shown();
                self.silences.push(silence);
                Ok((shown, true))
            }
            Wish::Acknowledge { alert, by } => {
                let mut all = firing(engine);
                let is = |it: &Firing<'_>| {
                    it.name == alert || fingerprint(sender, it.rule, it.subject) == alert
                };
                let found = all.find(is).ok_or_else(|| format!("no alert {alert} fires"))?;
                let (by, name) = (line(&by), found.name.clone());
                let told = format!("{name} is acknowledged by {by}");
                self.known.insert(name, Known { fired: found.fired, by });
                Ok((told, true))
            }
        }
    }
}

/// An alert that fires.
struct Firing<'a> {
    rule: &'a str,
    subject: &'a str,
    name: String,
    fired: Moment,
}

fn firing(engine: &Engine) -> impl Iterator<Item = Firing<'_>> {
    let rules = engine.rules().iter().enumerate();
    rules.flat_map(|(index, rule)| {
        let alerts = engine.alerts(index).filter(|(_, alert)| alert.state.fires());
        alerts.map(|(subject, alert)| {
            let (name, fired) = (name(rule.name, subject), alert.fired);
            Firing { rule: rule.name, subject, name, fired }
        })
    })
}

/// The matchers, if there are alerts that they could mean.
fn read(texts: &[String], engine: &Engine) -> Result<Vec<Matcher>, String> {
    if texts.is_empty() {
        return Err("it names no alert: rule=NAME, or rule=* for all".to_owned());
    }
    let rules = engine.rules();
    let check = |text: &String| {
        let matcher = Matcher::parse(text)?;
        let names = [matchers::RULE, matchers::SEVERITY, matchers::SUBJECT];
        let names = || names.into_iter().chain(rules.iter().map(|rule| rule.label));
        let hint =
            |found: Option<&str>| found.map_or(String::new(), |it| format!("; did you mean {it}?"));
        if !names().any(|it| it == matcher.name) {
            let hint = hint(nearest(&matcher.name, names().filter(|it| !it.is_empty())));
            return Err(format!("no alert has a label {}{hint}", matcher.name));
        }
        if matcher.name == matchers::RULE && !rules.iter().any(|rule| matcher.is(rule.name)) {
            let hint = hint(nearest(&matcher.value, rules.iter().map(|rule| rule.name)));
            return Err(format!("there is no rule {}{hint}", matcher.value));
        }
        Ok(matcher)
    };
    texts.iter().map(check).collect()
}

/// Text that is a part of a line.
fn line(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::rules::builtin::{rules, tests::alerts};
    use super::super::super::rules::engine::{Kind, Memory};
    use super::super::super::rules::rule::{Finding, Level, Reading};
    use super::super::letter::tests::sender;
    use super::*;
    use crate::config::maintenance;

    const TICK: u64 = 10_000_000_000;

    fn look(engine: &mut Engine, tick: u64, level: Level) -> Vec<Kind> {
        let (subject, text) = ("main".to_owned(), String::new());
        let found =
            vec![Finding { rule: "pool_exhausted", subject, reading: Reading::Is(level), text }];
        engine.tick(tick * TICK, found, true).into_iter().map(|it| it.kind).collect()
    }

    fn engine() -> Engine {
        Engine::resume(rules(&alerts()), Memory::default(), TICK, TICK * 2).0
    }

    fn silence(matchers: &[&str], seconds: u64) -> Wish {
        let matchers = matchers.iter().map(|it| (*it).to_owned()).collect();
        let (by, comment) = ("anna".to_owned(), "new disk\n".to_owned());
        Wish::Silence { matchers, time: Duration::from_secs(seconds), by, comment }
    }

    #[test]
    fn a_silence_holds_until_its_time_or_its_end_and_survives_being_written() {
        let (mut hush, engine, sender) = (Hush::default(), engine(), sender());
        let ask = |hush: &mut Hush, wish| hush.grant("ab12", wish, (&engine, &sender), TICK);
        let (told, is_new) = ask(&mut hush, silence(&["rule=pool_*", "pool=main"], 60)).unwrap();
        assert!(
            is_new && told.starts_with("silence ab12 of rule=pool_* pool=main until 1970-"),
            "{told}"
        );
        assert!(told.ends_with("Z by anna: new disk"), "{told}");
        // A watch that died in between does it twice.
        ask(&mut hush, silence(&["rule=pool_*"], 60)).unwrap();
        let text = serde_json::to_string(&hush).unwrap();
        let mut hush: Hush = serde_json::from_str(&text).unwrap();
        assert_eq!(hush.quiet((&[], &[]), (2 * TICK, 2 * TICK), |_| Some(0)).len(), 1);
        assert_eq!(ask(&mut hush, Wish::List).unwrap().0.lines().count(), 1);
        let mut ended = hush.clone();
        assert!(ask(&mut ended, Wish::End { id: "ab12".to_owned() }).is_ok());
        assert!(ended.quiet((&[], &[]), (2 * TICK, 2 * TICK), |_| Some(0)).is_empty());
        assert!(ask(&mut ended, Wish::End { id: "ab12".to_owned() }).is_err());
        let mut late = hush.clone();
        late.put_off(6 * TICK);
        assert_eq!(late.quiet((&[], &[]), (12 * TICK, 0), |_| Some(0)).len(), 1, "a leap");
        assert!(
            hush.quiet((&[], &[]), (7 * TICK, 7 * TICK), |_| Some(0)).is_empty()
                && hush.quiet((&[], &[]), (2 * TICK, 2 * TICK), |_| Some(0)).is_empty()
        );
    }

    #[test]
    fn a_silence_of_what_does_not_exist_is_refused_with_what_may_be_meant() {
        let (mut hush, engine, sender) = (Hush::default(), engine(), sender());
        for (matchers, why) in [
            (&[][..], "names no alert"),
            (&["rule=pool_exausted"], "no rule pool_exausted; did you mean pool_exhausted?"),
            (&["polo=main"], "no label polo; did you mean pool?"),
            (&["main"], "NAME=VALUE"),
        ] {
            let told = hush.grant("a", silence(matchers, 1), (&engine, &sender), TICK).unwrap_err();
            assert!(
                told.contains(why)
                    || told.contains(&why.replace("no label", "no alert has a label")),
                "{told}"
            );
        }
        assert_eq!(hush, Hush::default());
    }

    #[test]
    fn what_fires_can_be_acknowledged_by_name_or_fingerprint_until_it_is_over() {
        let (mut hush, mut engine, sender) = (Hush::default(), engine(), sender());
        let wish =
            |alert: &str| Wish::Acknowledge { alert: alert.to_owned(), by: "anna".to_owned() };
        assert!(hush.grant("a", wish("pool_exhausted{main}"), (&engine, &sender), TICK).is_err());
        assert_eq!(look(&mut engine, 1, Level::Bad), [Kind::Firing]);
        let short = fingerprint(&sender, "pool_exhausted", "main");
        for name in ["pool_exhausted{main}", &short] {
            let (told, _) = hush.grant("a", wish(name), (&engine, &sender), TICK).unwrap();
            assert_eq!(told, "pool_exhausted{main} is acknowledged by anna");
        }
        hush.forget(&engine);
        assert_eq!(hush.known_by("pool_exhausted{main}", TICK), Some("anna"));
        assert_eq!(hush.known_by("pool_exhausted{main}", TICK + 1), None, "another incident");
        let ends: Vec<_> = (2..30).flat_map(|tick| look(&mut engine, tick, Level::Good)).collect();
        assert_eq!(ends, [Kind::Resolved]);
        hush.forget(&engine);
        assert_eq!(hush, Hush::default());
    }

    #[test]
    fn work_that_the_application_announced_keeps_quiet_what_it_covers_until_it_is_over() {
        let mut hush = Hush::default();
        let matchers = vec![Matcher::parse("pool=main").unwrap()];
        let disk = Announced { name: "new disk".to_owned(), matchers, until: 60 };
        let announced = [disk];
        let mut engine = engine();
        let quiet = hush.quiet((&[], &announced), (6 * TICK - 1, 6 * TICK - 1), |_| Some(0));
        assert_eq!((quiet.len(), &*quiet[0].why), (1, "maintenance new disk"));
        engine.be_quiet(quiet);
        assert_eq!(look(&mut engine, 1, Level::Bad), [Kind::Held]);
        let quiet = hush.quiet((&[], &announced), (6 * TICK, 6 * TICK), |_| Some(0));
        assert!(quiet.is_empty(), "it is over");
        engine.be_quiet(quiet);
        assert_eq!(look(&mut engine, 2, Level::Bad), [Kind::Firing], "it fires still");
    }

    #[test]
    fn a_maintenance_window_keeps_quiet_while_it_is_open() {
        let windows = maintenance::parse("deploys=thu 00:00-00:01 severity=critical").unwrap();
        let mut hush = Hush::default();
        let quiet = hush.quiet((&windows, &[]), (6 * TICK - 1, 6 * TICK - 1), |_| Some(0));
        assert_eq!(
            (quiet.len(), &*quiet[0].why),
            (1, "maintenance deploys"),
            "the epoch was a Thursday"
        );
        assert!(hush.quiet((&windows, &[]), (6 * TICK, 6 * TICK), |_| Some(0)).is_empty());
        let mut engine = engine();
        engine.be_quiet(quiet);
        assert_eq!(look(&mut engine, 1, Level::Bad), [Kind::Held]);
    }
}
