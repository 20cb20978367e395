//! Rules on any metric, the operator's own and a built-in one: what was found of them at each look, what that comes to, and the same in PromQL.
//! They are evaluated on what `/metrics` shows.

use super::rule::{Finding, Level, Missing, Reading, Rule, Severity, Trigger};
use super::{Moment, nanos};
use crate::config::Alerts;
use crate::config::own::{self, Function, OwnRule, Selector};
use crate::config::units::show_duration;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Samples that are kept of a window.
const SAMPLES: u32 = 60;

/// What was found of the series that a rule chooses, added up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum Found {
    /// There is none, which is what a total of nothing is too.
    #[default]
    Nothing,
    Number(f64),
    /// Values by the largest of their bin, billionths of a unit.
    Bins(BTreeMap<u64, u64>),
}

impl Found {
    /// A total; a histogram is none.
    fn total(&self) -> Option<f64> {
        match self {
            Found::Nothing => Some(0.0),
            Found::Number(number) => Some(*number),
            Found::Bins(_) => None,
        }
    }
}

/// What was found at some looks, the oldest first: of what is measured, and of what it is in parts of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct History {
    samples: VecDeque<(Moment, [Found; 2])>,
}

impl History {
    /// Takes note of a look at a service that began at `birth`.
    pub(crate) fn note(
        &mut self,
        birth: Moment,
        now: Moment,
        mut found: [Found; 2],
        (function, window): (Function, Duration),
    ) {
        if self.samples.is_empty() {
            self.samples.push_back((birth, <[Found; 2]>::default()));
        }
        let (window, count) = (nanos(window), self.samples.len());
        // The last one moves until it is far enough from the one before.
        let between = window / u64::from(SAMPLES);
        if count >= 3
            && self.samples[count - 1].0 - self.samples[count - 2].0 < between
            && let Some((_, [was, _])) = self.samples.pop_back()
        {
            // It moves with the extreme that it has seen.
            match (&was, &mut found[0], function) {
                (Found::Number(was), Found::Number(is), Function::Most) => *is = is.max(*was),
                (Found::Number(was), Found::Number(is), Function::Least) => *is = is.min(*was),
                (Found::Number(_), it @ Found::Nothing, Function::Most | Function::Least) => {
                    *it = was;
                }
                _ => {}
            }
        }
        self.samples.push_back((now, found));
        while self.samples.len() >= 3 && self.samples[1].0.saturating_add(window) <= now {
            self.samples.pop_front();
        }
    }

    fn last(&self) -> Option<&(Moment, [Found; 2])> {
        self.samples.back()
    }

    /// The sample from which the window is counted. What may be older than the window is not counted.
    fn base(&self, window: Duration) -> Option<&[Found; 2]> {
        let window = nanos(window);
        let from = self.last()?.0.saturating_sub(window);
        let after = self.samples.partition_point(|(at, _)| *at <= from);
        let near = |at: Moment| at.saturating_add(window / 5) >= from;
        let before = after.checked_sub(1).map(|it| &self.samples[it]).filter(|(at, _)| near(*at));
        before.or_else(|| self.samples.get(after)).map(|(_, found)| found)
    }

    /// How much a total has grown; `None` when it has shrunk.
    fn grown(&self, which: usize, window: Duration) -> Option<f64> {
        let grown = self.last()?.1[which].total()? - self.base(window)?[which].total()?;
        (grown >= 0.0).then_some(grown)
    }

    fn is_of_bins(&self) -> bool {
        matches!(self.last(), Some((_, [Found::Bins(_), _])))
    }

    /// The numbers within the window.
    fn numbers(&self, window: Duration) -> impl Iterator<Item = f64> {
        let from = self.last().map_or(0, |it| it.0).saturating_sub(nanos(window));
        // The first one stands for the birth, of which nothing was found.
        let young = self.samples.iter().skip(1).filter(move |(at, _)| *at >= from);
        young.filter_map(|(_, found)| match found[0] {
            Found::Number(number) => Some(number),
            _ => None,
        })
    }

    /// What so large a part of the values within the window is not above, in units. `None` when there was none.
    fn quantile(&self, part: f64, window: Duration) -> Option<f64> {
        let (Found::Bins(last), base) = (&self.last()?.1[0], &self.base(window)?[0]) else {
            return None;
        };
        let before = |edge: &u64| match base {
            Found::Bins(bins) => bins.get(edge).copied().unwrap_or(0),
            _ => 0,
        };
        let grown: Vec<_> = last
            .iter()
            .map(|(edge, count)| (*edge, count.saturating_sub(before(edge))))
            .filter(|(_, count)| *count > 0)
            .collect();
        let all: u64 = grown.iter().map(|(_, count)| count).sum();
        let wanted = (part * all as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let found = grown.iter().find(|(_, count)| {
            seen += count;
            seen >= wanted
        });
        found.map(|(edge, _)| *edge as f64 / 1e9)
    }
}

/// The one that is there without a word.
const LIMITS: &str = "limits_exceeded";

/// All of them; those of the configuration it has judged.
pub(crate) fn named(alerts: &Alerts) -> Vec<OwnRule> {
    let mut all = vec![limits(alerts)];
    all.extend(own::parse(&alerts.rules).unwrap_or_default());
    all
}

/// Requests that rate limits have refused.
fn limits(alerts: &Alerts) -> OwnRule {
    let labels = vec![("outcome".to_owned(), true, "denied".to_owned())];
    let (window, above) = (alerts.errors_window, alerts.limits_above);
    OwnRule {
        name: LIMITS.to_owned(),
        function: Function::Increase,
        of: Selector { metric: "mainstay_limit_decisions_total".to_owned(), labels },
        by: None,
        window,
        is_above: true,
        threshold: above as f64,
        clear: above as f64,
        hold: Duration::ZERO,
        keep: Duration::ZERO,
        is_critical: false,
        text: format!(
            "rate limits refused more than {above} requests within {}",
            show_duration(window)
        ),
    }
}

/// The same as rules like any others.
pub(crate) fn rules(alerts: &Alerts) -> Vec<Rule> {
    let each = named(alerts).into_iter().map(|own| {
        // A process reads its configuration once, and its rules live as long as it does.
        let name: &'static str = Box::leak(own.name.clone().into_boxed_str());
        let is_built_in = own.name == LIMITS;
        let alert = camel(&own.name);
        let alert = if is_built_in { format!("Mainstay{alert}") } else { alert };
        let alert: &'static str = Box::leak(alert.into_boxed_str());
        let about = match is_built_in {
            true => format!("R{}.", &own.text[1..]),
            false => format!("Own rule: {}.", own.text),
        };
        Rule {
            name,
            alert,
            severity: if own.is_critical { Severity::Critical } else { Severity::Warning },
            label: "",
            trigger: if own.hold.is_zero() { Trigger::Count(1) } else { Trigger::For(own.hold) },
            clear: 1,
            keep: own.keep,
            missing: Missing::Keep,
            window: own.window,
            explains: &[],
            about,
        }
    });
    each.collect()
}

fn camel(name: &str) -> String {
    let words = name.split('_').filter(|it| !it.is_empty());
    words.map(|it| format!("{}{}", it[..1].to_ascii_uppercase(), &it[1..])).collect()
}

/// What a rule finds.
pub(crate) fn finding(own: &OwnRule, name: &'static str, history: Option<&History>) -> Finding {
    let (reading, text) = history.map_or((Reading::Missing, String::new()), |it| judge(own, it));
    Finding { rule: name, subject: String::new(), reading, text }
}

fn judge(own: &OwnRule, history: &History) -> (Reading, String) {
    let metric = &own.of.metric;
    let is_there = history.last().is_some_and(|it| it.1[0] != Found::Nothing);
    let missing = || (Reading::Missing, format!("there is no metric {}", own.of.shown("")));
    let quiet = |why: &str| {
        (
            Reading::Is(Level::Good),
            format!("{why} of {metric} within {}", show_duration(own.window)),
        )
    };
    let value = match own.function {
        Function::Absent => {
            let (level, how) = if is_there { (Level::Good, "is") } else { (Level::Bad, "is not") };
            return (Reading::Is(level), format!("the metric {} {how} there", own.of.shown("")));
        }
        // Where nothing is limited, nobody is refused.
        _ if !is_there && own.name != LIMITS => return missing(),
        Function::Value => history.numbers(Duration::ZERO).last(),
        Function::Least => history.numbers(own.window).reduce(f64::min),
        Function::Most => history.numbers(own.window).reduce(f64::max),
        Function::Average => {
            let (count, sum) =
                history.numbers(own.window).fold((0, 0.0), |(n, sum), it| (n + 1, sum + it));
            (count > 0).then(|| sum / f64::from(count))
        }
        Function::Quantile(_) if !history.is_of_bins() => None,
        Function::Quantile(part) => match history.quantile(part, own.window) {
            None => return quiet("there is no value"),
            some => some,
        },
        Function::Increase => match history.grown(0, own.window) {
            None => return (Reading::Failed, String::new()),
            some => some,
        },
        Function::Rate => match history.grown(0, own.window) {
            None => return (Reading::Failed, String::new()),
            Some(grown) => Some(grown / own.window.as_secs_f64()),
        },
        Function::Ratio => match (history.grown(0, own.window), history.grown(1, own.window)) {
            (Some(_), Some(0.0)) => return quiet("there is nothing to compare"),
            (Some(part), Some(whole)) => Some(part / whole),
            _ => return (Reading::Failed, String::new()),
        },
    };
    // A histogram has quantiles alone, and nothing else has any.
    let Some(value) = value else { return (Reading::Failed, String::new()) };
    let (is_bad, is_good) = if own.is_above {
        (value > own.threshold, value <= own.clear)
    } else {
        (value < own.threshold, value >= own.clear)
    };
    let level = match (is_bad, is_good) {
        (true, _) => Level::Bad,
        (false, true) => Level::Good,
        (false, false) => Level::Between,
    };
    let shown = format!("{value:.4}");
    let shown = shown.trim_end_matches('0').trim_end_matches('.');
    let text = match own.name == LIMITS {
        true => {
            format!("rate limits refused {shown} requests within {}", show_duration(own.window))
        }
        false => format!("it is {shown}: {}", own.text),
    };
    (Reading::Is(level), text)
}

/// The expression of an own rule for Prometheus.
pub(super) fn expression(own: &OwnRule) -> String {
    let window = show_duration(own.window);
    let (of, threshold) = (own.of.shown(""), own.threshold);
    let compared = if own.is_above { ">" } else { "<" };
    let value = match own.function {
        Function::Absent => return format!("absent({of})"),
        Function::Value => format!("sum({of})"),
        Function::Average => format!("avg_over_time(sum({of})[{window}:])"),
        Function::Least => format!("min_over_time(sum({of})[{window}:])"),
        Function::Most => format!("max_over_time(sum({of})[{window}:])"),
        Function::Increase => format!("round(sum(increase({of}[{window}])))"),
        Function::Rate => format!("sum(rate({of}[{window}]))"),
        Function::Ratio => {
            let by = own.by.as_ref().map_or_else(String::new, |by| by.shown(""));
            format!("sum(increase({of}[{window}])) / sum(increase({by}[{window}]))")
        }
        Function::Quantile(part) => {
            let of = own.of.shown("_bucket");
            format!("histogram_quantile({part}, sum by (le) (rate({of}[{window}])))")
        }
    };
    format!("{value} {compared} {threshold}")
}

#[cfg(test)]
mod tests {
    use super::super::builtin::tests::alerts;
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const BIRTH: u64 = 1_000_000 * SECOND;

    fn own(text: &str) -> OwnRule {
        own::parse(text).unwrap().remove(0)
    }

    /// What a rule finds after looks each ten seconds.
    fn after(rule: &OwnRule, found: impl IntoIterator<Item = [Found; 2]>) -> (Reading, String) {
        let mut history = History::default();
        for (found, tick) in found.into_iter().zip(1..) {
            history.note(BIRTH, BIRTH + tick * 10 * SECOND, found, (rule.function, rule.window));
        }
        judge(rule, &history)
    }

    fn numbers(numbers: &[f64]) -> Vec<[Found; 2]> {
        numbers.iter().map(|it| [Found::Number(*it), Found::Nothing]).collect()
    }

    fn is(rule: &str, found: &[f64]) -> Reading {
        after(&own(rule), numbers(found)).0
    }

    #[test]
    fn gauges_are_judged_now_or_within_their_window() {
        let [good, between, bad] = [Level::Good, Level::Between, Level::Bad].map(Reading::Is);
        assert_eq!(is("a: value(b) > 5", &[9.0, 5.0]), good, "exactly is not more");
        assert_eq!(is("a: value(b) > 5 clear 3", &[4.0]), between);
        assert_eq!(is("a: value(b) < 5", &[4.0]), bad);
        assert_eq!(is("a: max(b, 30s) > 5", &[9.0, 1.0, 1.0]), bad);
        assert_eq!(is("a: max(b, 15s) > 5", &[9.0, 1.0, 1.0]), good);
        assert_eq!(is("a: min(b, 30s) > 5", &[9.0, 1.0, 9.0]), good);
        assert_eq!(is("a: avg(b, 30s) > 5", &[9.0, 1.0, 9.0]), bad);
        assert_eq!(after(&own("a: value(b) > 1"), [<[Found; 2]>::default()]).0, Reading::Missing);
        assert_eq!(after(&own("a: absent(b)"), [<[Found; 2]>::default()]).0, bad);
        assert_eq!(is("a: absent(b)", &[0.0]), good);
    }

    #[test]
    fn counters_are_judged_by_what_came_and_one_that_is_born_late_has_counted_from_nothing() {
        let [good, bad] = [Level::Good, Level::Bad].map(Reading::Is);
        assert_eq!(is("a: increase(b, 1m) > 10", &[11.0]), bad, "born at 11");
        assert_eq!(is("a: increase(b, 1m) > 10", &[10.0]), good, "exactly 10");
        let mut long = vec![100.0; 60];
        assert_eq!(is("a: increase(b, 1m) > 10", &long), good, "that was long ago");
        long.push(111.0);
        assert_eq!(is("a: increase(b, 1m) > 10", &long), bad);
        assert_eq!(is("a: rate(b, 10s) > 1", &long), bad);
        assert_eq!(is("a: increase(b, 1m) > 10", &[9.0, 3.0, 2.0]), good);
        long.push(5.0);
        assert_eq!(is("a: increase(b, 1m) > 10", &long), Reading::Failed, "it has shrunk");
        let pair = |part, whole| [[Found::Number(part), Found::Number(whole)]];
        let ratio = own("a: ratio(b / c, 1m) > 1%");
        assert_eq!(after(&ratio, pair(1.0, 100.0)).0, good);
        assert_eq!(after(&ratio, pair(2.0, 100.0)).0, bad);
        assert_eq!(after(&ratio, pair(0.0, 0.0)).0, good, "no traffic");
    }

    #[test]
    fn a_histogram_has_quantiles_alone_and_a_number_has_none() {
        let bins = [Found::Bins([(1, 1)].into()), Found::Nothing];
        for rule in ["a: increase(b, 1m) > 1", "a: max(b, 1m) > 1", "a: value(b) > 1"] {
            assert_eq!(after(&own(rule), [bins.clone()]).0, Reading::Failed, "{rule}");
        }
        assert_eq!(is("a: p95(b, 1m) > 1", &[5.0]), Reading::Failed);
    }

    #[test]
    fn a_quantile_is_of_what_came_within_the_window() {
        let bins = |slow: u64, fast: u64| {
            [Found::Bins([(900_000_000, slow), (100_000_000, fast)].into()), Found::Nothing]
        };
        let rule = own("a: p95(b, 1m) > 800ms");
        assert_eq!(after(&rule, [bins(5, 95)]).0, Reading::Is(Level::Good));
        let (reading, text) = after(&rule, [bins(6, 94)]);
        assert_eq!((reading, &*text), (Reading::Is(Level::Bad), "it is 0.9: p95(b, 1m) > 800ms"));
        let mut long = vec![bins(50, 50); 20];
        assert_eq!(after(&rule, long.clone()).0, Reading::Is(Level::Good), "nothing came lately");
        long.push(bins(50, 99));
        assert_eq!(after(&rule, long).0, Reading::Is(Level::Good));
    }

    #[test]
    fn refusals_of_rate_limits_are_counted_within_their_window_and_none_is_none() {
        let rule = limits(&alerts());
        assert_eq!(after(&rule, [<[Found; 2]>::default()]).0, Reading::Is(Level::Good));
        assert_eq!(after(&rule, numbers(&[1_000.0])).0, Reading::Is(Level::Good));
        let (reading, text) = after(&rule, numbers(&[1_001.0]));
        assert_eq!(reading, Reading::Is(Level::Bad));
        assert_eq!(text, "rate limits refused 1001 requests within 5m");
        assert!(super::rules(&alerts())[0].about.starts_with("Rate limits refused more than 1000"));
    }

    #[test]
    fn an_extreme_stands_for_as_long_as_its_window_however_seldom_it_was_seen() {
        for (text, spike, usual) in
            [("a: max(b, 1h) > 1", 200.0, 3.0), ("a: min(b, 1h) < 1", 1.0, 3.0)]
        {
            let (rule, mut history) = (own(text), History::default());
            for tick in 1..420_u64 {
                let found = if tick == 37 { spike } else { usual };
                let now = BIRTH + tick * 10 * SECOND;
                let how = (rule.function, rule.window);
                history.note(BIRTH, now, [Found::Number(found), Found::Nothing], how);
                let numbers: Vec<_> = history.numbers(rule.window).collect();
                // A sample stands for a sixtieth of the window.
                let is_within = (37..37 + 354).contains(&tick);
                if is_within || !(37..=37 + 367).contains(&tick) {
                    assert_eq!(numbers.contains(&spike), is_within, "{text} at {tick}");
                }
            }
        }
    }

    #[test]
    fn a_memory_is_of_a_bounded_size_and_survives_being_written() {
        let (rule, mut history) = (own("a: increase(b, 24h) > 1"), History::default());
        for tick in 1..20_000 {
            history.note(
                BIRTH,
                BIRTH + tick * 10 * SECOND,
                [Found::Number(0.0), Found::Nothing],
                (rule.function, rule.window),
            );
        }
        assert!(history.samples.len() <= SAMPLES as usize + 3, "{}", history.samples.len());
        let text = serde_json::to_string(&history).unwrap();
        assert_eq!(serde_json::from_str::<History>(&text).unwrap(), history);
    }

    #[test]
    fn own_rules_stand_in_the_table_and_have_an_equal_in_promql() {
        let mut alerts = alerts();
        alerts.rules = "slow_checkout: p95(d{route=\"/c\"}, 5m) > 800ms for 3m critical; few: increase(o, 1h) < 1; \
                        gone: absent(o); share: ratio(a / b, 5m) > 1%; most: max(g, 5m) > 2"
            .to_owned();
        let rules = rules(&alerts);
        assert_eq!((rules[0].name, rules[0].alert), (LIMITS, "MainstayLimitsExceeded"));
        assert_eq!((rules[1].name, rules[1].alert), ("slow_checkout", "SlowCheckout"));
        assert_eq!(rules[1].trigger, Trigger::For(Duration::from_secs(180)));
        let expressions: Vec<_> = named(&alerts).iter().skip(1).map(expression).collect();
        assert_eq!(
            expressions,
            [
                "histogram_quantile(0.95, sum by (le) (rate(d_bucket{route=\"/c\"}[5m]))) > 0.8",
                "round(sum(increase(o[1h]))) < 1",
                "absent(o)",
                "sum(increase(a[5m])) / sum(increase(b[5m])) > 0.01",
                "max_over_time(sum(g)[5m:]) > 2",
            ]
        );
    }
}
