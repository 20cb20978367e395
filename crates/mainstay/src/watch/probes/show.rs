//! What is shown of probes: metrics, from which the status takes their states too, and JSON on the admin
//! listener.

use super::attempt::Attempt;
use super::verdict::{Outcome, State};
use super::{Board, Entry};
use crate::clock::{self, Mono};
use crate::log::Log;
use crate::metrics::registry::Metrics;
use crate::metrics::{Counter, Gauge, Merge, families, label};
use mainstay_os::segment::Kind;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const OUTCOMES: [(Outcome, &str); 3] =
    [(Outcome::Good, "success"), (Outcome::Bad, "failure"), (Outcome::Unknown, "unknown")];

/// The metrics of one probe. Without room in the register there are fewer.
pub(super) struct Gauges {
    metrics: Arc<Metrics>,
    name: String,
    up: Option<Gauge>,
    attempts: Vec<(Outcome, Counter)>,
}

impl Gauges {
    /// They are there from now on.
    pub(super) fn new(log: &Log, name: &str) -> Gauges {
        let metrics = Metrics::new(log.segment().clone(), log.slot_index(), log.teller());
        let up = metrics.own_gauge(&families::PROBE_UP, Merge::Last, &[("probe", name)]).ok();
        let attempts = OUTCOMES.into_iter().filter_map(|(outcome, word)| {
            let labels = [("outcome", word), ("probe", name)];
            Some((outcome, metrics.own_counter(&families::PROBE_ATTEMPTS, &labels).ok()?))
        });
        let (attempts, name) = (attempts.collect(), name.to_owned());
        Gauges { metrics, name, up, attempts }
    }

    /// How it is now; what is not known is no number.
    pub(super) fn set(&self, state: State) {
        let value = match state {
            State::Up => 1.0,
            State::Down => 0.0,
            State::Unknown => f64::NAN,
        };
        self.up.iter().for_each(|it| it.set(value));
    }

    /// After an attempt.
    pub(super) fn count(&self, outcome: Outcome, attempt: &Attempt) {
        let counter = self.attempts.iter().find(|(it, _)| *it == outcome);
        counter.into_iter().for_each(|(_, counter)| counter.inc());
        let phases = attempt.phases.each().into_iter();
        for (phase, took) in phases.chain([("total", Some(attempt.total))]) {
            let Some(took) = took else { continue };
            let labels = [("phase", phase), ("probe", &*self.name)];
            let gauge = self.metrics.own_gauge(&families::PROBE_SECONDS, Merge::Last, &labels);
            gauge.into_iter().for_each(|it| it.set(took.as_secs_f64()));
        }
        if let Some(days) = days_left(attempt) {
            let labels = [("probe", &*self.name)];
            let gauge = self.metrics.own_gauge(&families::PROBE_CERTIFICATE, Merge::Last, &labels);
            gauge.into_iter().for_each(|it| it.set(days));
        }
    }
}

/// Days until the first of its certificates ends.
fn days_left(attempt: &Attempt) -> Option<f64> {
    attempt.ends.map(|end| (end as f64 - clock::wall() as f64 / 1e9) / 86_400.0)
}

/// Of probes that are no more nothing is known.
pub(super) fn forget(log: &Log, names: &[String]) {
    let metrics = Metrics::new(log.segment().clone(), log.slot_index(), log.teller());
    let register = log.segment().register();
    for family in [&families::PROBE_UP, &families::PROBE_SECONDS, &families::PROBE_CERTIFICATE] {
        let name = family.name.as_bytes();
        let Some((metric, _)) = register.metrics().find(|(_, it)| it.name() == name) else {
            continue;
        };
        for series in register.series(Kind::Gauge).filter(|series| series.metric == metric) {
            let labels = label::parse(&String::from_utf8_lossy(&series.labels));
            let is_ours =
                |(label, value): &(String, String)| label == "probe" && names.contains(value);
            if labels.iter().any(is_ours) {
                continue;
            }
            let labels: Vec<_> = labels.iter().map(|(name, value)| (&**name, &**value)).collect();
            let gauge = metrics.own_gauge(family, Merge::Last, &labels);
            gauge.into_iter().for_each(|it| it.set(f64::NAN));
        }
    }
}

impl Board {
    /// All of it, as JSON.
    pub(crate) fn text(&self) -> String {
        let now = clock::mono();
        let probes = self.entries().iter().map(|entry| entry.render(now)).collect::<Vec<_>>();
        json!({ "probes": probes }).to_string()
    }
}

impl Entry {
    fn render(&self, now: Mono) -> Value {
        let mut told = json!({
            "probe": self.probe.name,
            "target": self.probe.target.to_string(),
            "own": self.is_own,
            "state": self.verdict.state().as_str(),
            "doubted": self.verdict.is_doubted(),
            "since_seconds": now.since(self.verdict.since()).as_secs_f64(),
            "last": null,
        });
        if let Some((begun, at, attempt)) = &self.last {
            told["last"] = render(attempt);
            told["last"]["age_seconds"] = now.since(*begun).as_secs_f64().into();
            told["last"]["at_unix_seconds"] = (*at as f64 / 1e9).into();
        }
        told
    }
}

/// One attempt, with its phases.
pub(super) fn render(attempt: &Attempt) -> Value {
    let seconds = |time: Option<Duration>| time.map(|it| it.as_secs_f64());
    let mut phases = serde_json::Map::new();
    for (phase, took) in attempt.phases.each() {
        phases.insert(phase.to_owned(), seconds(took).into());
    }
    let families = attempt.families.iter().map(|(ip, failure)| {
        let reason = failure.map(super::failure::Failure::as_str);
        (ip.as_str().to_owned(), Value::from(reason))
    });
    let families: serde_json::Map<_, _> = families.collect();
    json!({
        "good": attempt.failure.is_none(),
        "reason": attempt.failure.map(super::failure::Failure::as_str),
        "text": attempt.why(),
        "status": attempt.status,
        "total_seconds": attempt.total.as_secs_f64(),
        "phases": phases,
        "families": families,
        "certificate_days_left": days_left(attempt),
    })
}
