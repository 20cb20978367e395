//! The alert rules over random totals, and the same totals as `promtool test rules` takes them: both must say the
//! same at every look.
//!
//! What the two cannot mean alike is left out: how long an alert is kept after its last bad look, which Prometheus
//! counts from its first good one; pools, at which the service looks each second; the space between the two
//! thresholds of a directory; and what goes to and fro.

use crate::config::{Alerts, Config, Sources};
use crate::watch::rules::builtin::rules;
use crate::watch::rules::engine::{Engine, Memory};
use crate::watch::rules::facts::{Directory, Facts, Windows};
use crate::watch::rules::judge::findings;
use crate::watch::rules::prometheus::export;
use crate::watch::rules::rule::Rule;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Between two looks.
const TICK: u64 = 10;
/// Looks until all windows are full.
const WARM: u64 = 72;
const SECOND: u64 = 1_000_000_000;
const DIRECTORY: &str = "/srv/uploads";
/// The rules that are compared, with the labels that their alerts have in Prometheus.
const COMPARED: [(&str, &str); 7] = [
    ("not_ready", ""),
    ("crash_loop", "event: worker.crash_loop, "),
    ("high_5xx", ""),
    ("high_5xx_low_traffic", ""),
    ("worker_restarts", ""),
    ("failed_logins", "event: authn_login_fail, "),
    ("directory_full", "directory: /srv/uploads, "),
];

/// What promtool is to be given.
#[derive(Clone, Debug)]
pub struct Drill {
    /// The file of rules.
    pub rules: String,
    /// The tests, without the line that names the rules.
    pub tests: String,
    /// How often each compared rule was found firing.
    pub fired: BTreeMap<&'static str, u64>,
}

/// splitmix64.
struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % sides
    }
}

/// The totals at one look, as they are scraped.
#[derive(Default)]
struct World {
    facts: Facts,
    used: f64,
    /// Until when something is as it is, and how bad it is: readiness, failures, restarts, logins, space.
    moods: [(u64, bool); 5],
    /// Requests that come at each look.
    traffic: u64,
}

impl World {
    /// Goes on to the next look.
    fn step(&mut self, dice: &mut Dice, tick: u64) {
        for (until, is_bad) in &mut self.moods {
            if tick >= *until {
                *is_bad = !*is_bad && tick >= WARM;
                // Some are short, and all are so far apart that nothing flaps.
                let length = if *is_bad { 1 + dice.roll(14) } else { 22 + dice.roll(40) };
                *until = tick.max(WARM) + length;
            }
        }
        let [ready, errors, restarts, logins, space] = self.moods.map(|(_, is_bad)| is_bad);
        self.facts.ready = Some(!ready);
        self.used =
            if space { 0.81 + dice.roll(19) as f64 / 100.0 } else { dice.roll(78) as f64 / 100.0 };
        if tick < WARM {
            return;
        }
        if dice.roll(60) == 0 {
            self.traffic = [0, 1, 5, 50, 800][dice.roll(5) as usize];
        }
        let requests = self.traffic * (90 + dice.roll(21)) / 100;
        self.facts.requests += requests;
        // Within the shortest window it must not go to and fro.
        let failed = if errors { requests / 8 + 1 } else { u64::from(dice.roll(40) == 0) };
        self.facts.errors += failed.min(requests);
        self.facts.restarts[0] +=
            if restarts { dice.roll(4) } else { u64::from(dice.roll(60) == 0) };
        self.facts.crash_loops += u64::from(restarts);
        self.facts.failed_logins += if logins { dice.roll(40) } else { dice.roll(3) };
    }

    fn scrape(&self, series: &mut BTreeMap<&'static str, String>) {
        let facts = &self.facts;
        for (name, value) in [
            ("mainstay_ready", f64::from(u8::from(facts.ready == Some(true)))),
            ("mainstay_http_requests_total", facts.requests as f64),
            ("mainstay_http_probe_requests_total", 0.0),
            ("mainstay_http_requests_abandoned_total", 0.0),
            ("mainstay_http_responses_5xx_total", facts.errors as f64),
            ("mainstay_http_probe_failures_total", 0.0),
            ("mainstay_worker_restarts_total{planned=\"false\"}", facts.restarts[0] as f64),
            ("mainstay_events_total{event=\"worker.crash_loop\"}", facts.crash_loops as f64),
            ("mainstay_events_total{event=\"authn_login_fail\"}", facts.failed_logins as f64),
            ("mainstay_directory_used_ratio{directory=\"/srv/uploads\"}", self.used),
        ] {
            // A String takes everything.
            write!(series.entry(name).or_default(), "{value} ").ok();
        }
    }
}

fn configured() -> Alerts {
    let flags = [("alerts.errors_window", "50s"), ("alerts.restarts_window", "10m")];
    let flags = flags.map(|(key, value)| (key, value.to_owned())).into();
    let config = Config::resolve(&Sources { flags, ..Sources::default() });
    config.expect("values of their kinds").alerts
}

/// So many looks at a service whose totals follow from `seed`.
#[must_use]
pub fn drill(seed: u64, ticks: u64) -> Drill {
    let alerts = configured();
    let mut table = rules(&alerts);
    for rule in &mut table {
        (rule.keep, rule.clear) = (Duration::ZERO, 1);
    }
    let compared = |rule: &&Rule| COMPARED.iter().any(|(name, _)| *name == rule.name);
    let exported: Vec<_> = table.iter().filter(compared).cloned().collect();
    let rules = export(&alerts, &exported);
    let (mut engine, _) = Engine::resume(table, Memory::default(), 0, u64::MAX);
    let (mut world, mut dice) = (World::default(), Dice(seed));
    world.facts.complete = true;
    let mut series = BTreeMap::new();
    let (mut expected, mut fired) = (String::new(), BTreeMap::new());
    // The clock of the service does not begin at 0, which is no time.
    let birth = 1_000_000 * SECOND;
    let mut windows = Windows::default().of(birth);
    for tick in 0..WARM + ticks {
        world.step(&mut dice, tick);
        world.scrape(&mut series);
        let now = birth + tick * TICK * SECOND;
        let (path, used) = (DIRECTORY.to_owned(), Some((world.used, None)));
        world.facts.directories = vec![Directory { path, used, full_in: None }];
        windows.note(now, &world.facts, &alerts);
        engine.tick(now, findings((&alerts, &[]), &windows, &world.facts, &[]), true);
        for (index, rule) in engine.rules().iter().enumerate() {
            let Some((name, labels)) = COMPARED.iter().find(|(name, _)| *name == rule.name) else {
                continue;
            };
            if engine.alerts(index).any(|(_, alert)| alert.is_flapping()) {
                continue;
            }
            let fires = engine.alerts(index).any(|(_, alert)| alert.state.fires());
            *fired.entry(*name).or_default() += u64::from(fires);
            let time = tick * TICK;
            write!(expected, "  - {{ eval_time: {time}s, alertname: {}", rule.alert).ok();
            if fires {
                let severity = rule.severity.as_str();
                let summary = rule.about.replace('\'', "''");
                write!(
                    expected,
                    ", exp_alerts: [{{ exp_labels: {{ {labels}severity: {severity} }}, \
                     exp_annotations: {{ summary: '{summary}' }} }}]"
                )
                .ok();
            }
            expected.push_str(" }\n");
        }
    }
    let mut tests =
        format!("evaluation_interval: {TICK}s\ntests:\n- interval: {TICK}s\n  input_series:\n");
    for (name, values) in series {
        writeln!(tests, "  - {{ series: '{name}', values: '{}' }}", values.trim_end()).ok();
    }
    Drill { rules, tests: tests + "  alert_rule_test:\n" + &expected, fired }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_that_is_compared_fires_and_rests_in_a_few_drills() {
        let mut fired = BTreeMap::new();
        for seed in 1..=4 {
            let found = drill(seed, 320);
            found
                .fired
                .into_iter()
                .for_each(|(rule, count)| *fired.entry(rule).or_insert(0) += count);
            let looks = found.tests.lines().filter(|it| it.contains("eval_time")).count();
            assert!(looks > 390 * 6, "{looks}");
        }
        assert_eq!(fired.len(), 7, "{fired:?}");
        assert!(fired.values().all(|count| (1..1_500).contains(count)), "{fired:?}");
    }
}
