//! What is shown of alerts: as JSON on the admin listener, and as gauges.

use super::super::rules::engine::Engine;
use super::super::rules::instance::{Instance, State};
use super::book::Book;
use super::letter::{Sender, fingerprint, name, time};
use crate::clock::{self, Mono};
use crate::metrics::registry::Metrics;
use crate::metrics::{Gauge, Merge, families};
use mainstay_os::segment::Segment;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The alerts as they were at the last look, shared with whoever answers.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    text: Mutex<String>,
    /// When the rules were last evaluated, monotonic nanoseconds.
    looked: AtomicU64,
    /// How long some receiver had taken nothing then, nanoseconds.
    failing: AtomicU64,
}

impl Shown {
    pub(super) fn set(&self, text: String) {
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// The rules were evaluated, and some receiver had taken nothing for so long.
    pub(crate) fn looked_at(&self, now: Mono, failing: Duration) {
        self.looked.store(now.0, SeqCst);
        self.failing.store(u64::try_from(failing.as_nanos()).unwrap_or(u64::MAX), SeqCst);
    }

    /// When the rules were last evaluated.
    pub(crate) fn looked(&self) -> Mono {
        Mono(self.looked.load(SeqCst))
    }

    /// How long some receiver has taken nothing.
    pub(crate) fn failing(&self) -> Duration {
        Duration::from_nanos(self.failing.load(SeqCst))
    }

    /// The text; `{"enabled":false}` where no rule is evaluated.
    pub(crate) fn text(&self) -> String {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if text.is_empty() { "{\"enabled\":false}".to_owned() } else { text.clone() }
    }
}

/// All of it.
pub(super) fn render(
    (engine, sender): (&Engine, &Sender),
    receivers: &[super::facts::Receiver],
    book: &Book,
) -> String {
    let rules = engine.rules().iter().enumerate();
    let rules = rules.map(|(index, rule)| {
        let alerts = engine.alerts(index);
        json!({
            "rule": rule.name,
            "severity": rule.severity.as_str(),
            "label": rule.label,
            "alerts": alerts
                .map(|(subject, it)| {
                    let mut told = alert(subject, it);
                    told["id"] = fingerprint(sender, rule.name, subject).into();
                    told["known_by"] = book.kept.hush.known_by(&name(rule.name, subject), it.fired).into();
                    told
                })
                .collect::<Vec<_>>(),
        })
    });
    let receivers = receivers.iter().map(|receiver| {
        json!({
            "receiver": receiver.name,
            "waiting": book.waiting(&receiver.name),
            "failing_seconds": receiver.failing.as_secs_f64(),
        })
    });
    let all = json!({
        "enabled": true,
        "rules": rules.collect::<Vec<_>>(),
        "receivers": receivers.collect::<Vec<_>>(),
        "silences": book.kept.hush.shown(),
    });
    all.to_string()
}

fn alert(subject: &str, alert: &Instance) -> Value {
    let mut told = json!({
        "subject": subject,
        "state": alert.state,
        "data": alert.data,
        "since": time(alert.since),
        "flapping": alert.is_flapping(),
        "held_by": alert.gate,
        "text": alert.text,
    });
    if alert.state.fires() {
        told["fired"] = time(alert.fired).into();
    }
    told
}

/// The gauges. Without room in the register there are fewer.
pub(super) struct Gauges {
    metrics: Arc<Metrics>,
    rules: Vec<[Option<Gauge>; 3]>,
    last: Option<Gauge>,
}

impl Gauges {
    /// Those of all rules, at 0, in the slot of this process.
    pub(super) fn new(segment: &Segment, slot: usize, engine: &Engine) -> Gauges {
        let metrics = Metrics::new(segment.clone(), slot, |_| {});
        let of = |rule: &str, state: &str| {
            let labels = [("rule", rule), ("state", state)];
            metrics.own_gauge(&families::ALERTS, Merge::Last, &labels).ok()
        };
        let states = ["pending", "firing", "no_data"];
        let rules = engine.rules().iter();
        let rules = rules.map(|rule| states.map(|state| of(rule.name, state))).collect();
        let last = metrics.own_gauge(&families::ALERTS_LAST, Merge::Last, &[]).ok();
        Gauges { metrics, rules, last }
    }

    /// After an evaluation.
    pub(super) fn set(&self, engine: &Engine) {
        let set = |gauge: &Option<Gauge>, value: f64| gauge.iter().for_each(|it| it.set(value));
        for (index, [pending, firing, unknown]) in self.rules.iter().enumerate() {
            set(pending, engine.count(index, State::Pending) as f64);
            set(firing, engine.count(index, State::Firing) as f64);
            set(unknown, engine.count_unknown(index) as f64);
        }
        set(&self.last, clock::wall() as f64 / 1e9);
    }

    /// How it goes with the receivers.
    pub(super) fn set_receivers(&self, receivers: &[super::facts::Receiver], book: &Book) {
        let set = |gauge: &Option<Gauge>, value: f64| gauge.iter().for_each(|it| it.set(value));
        for receiver in receivers {
            let labels = [("receiver", &*receiver.name)];
            let own = |family| self.metrics.own_gauge(family, Merge::Last, &labels).ok();
            set(&own(&families::NOTIFICATIONS_WAITING), book.waiting(&receiver.name) as f64);
            set(&own(&families::RECEIVER_FAILING), receiver.failing.as_secs_f64());
        }
    }
}
