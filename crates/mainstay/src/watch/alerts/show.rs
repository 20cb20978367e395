//! What is shown of alerts: as JSON on the admin listener, and as gauges.

use super::super::rules::engine::Engine;
use super::super::rules::instance::{Instance, State};
use super::book::Book;
use super::hush::Hush;
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
    last: Mutex<Option<Arc<Picture>>>,
    /// When the rules were last evaluated, monotonic nanoseconds.
    looked: AtomicU64,
    /// How long some receiver had taken nothing then, nanoseconds.
    failing: AtomicU64,
}

impl Shown {
    pub(super) fn set(&self, picture: Picture) {
        let picture = Some(Arc::new(picture));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = picture;
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

    /// As JSON; `{"enabled":false}` where no rule is evaluated.
    pub(crate) fn text(&self) -> String {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        last.map_or_else(|| "{\"enabled\":false}".to_owned(), |it| it.text())
    }
}

/// All alerts at one moment. Nobody asks for most of them, and to write one costs more than the look that it shows:
/// so it is written when somebody asks.
#[derive(Debug)]
pub(super) struct Picture {
    sender: Sender,
    rules: Vec<Alerts>,
    receivers: Vec<Waits>,
    hush: Hush,
}

/// The alerts of a rule, by subject.
#[derive(Debug)]
struct Alerts {
    rule: &'static str,
    severity: &'static str,
    label: &'static str,
    alerts: Vec<(String, Instance)>,
}

/// A receiver for which letters may wait.
#[derive(Debug)]
struct Waits {
    receiver: String,
    waiting: usize,
    failing: Duration,
}

impl Picture {
    /// Takes one.
    pub(super) fn take(
        (engine, sender): (&Engine, &Sender),
        receivers: &[super::facts::Receiver],
        book: &Book,
    ) -> Picture {
        let rules = engine.rules().iter().enumerate();
        let rules = rules.map(|(index, rule)| Alerts {
            rule: rule.name,
            severity: rule.severity.as_str(),
            label: rule.label,
            alerts: engine
                .alerts(index)
                .map(|(it, alert)| (it.to_owned(), alert.clone()))
                .collect(),
        });
        let receivers = receivers.iter().map(|it| Waits {
            receiver: it.name.clone(),
            waiting: book.waiting(&it.name),
            failing: it.failing,
        });
        Picture {
            sender: sender.clone(),
            rules: rules.collect(),
            receivers: receivers.collect(),
            hush: book.kept.hush.clone(),
        }
    }

    fn text(&self) -> String {
        let rules = self.rules.iter().map(|it| {
            let alerts =
                it.alerts.iter().map(|(subject, alert)| self.alert(it.rule, subject, alert));
            json!({
                "rule": it.rule,
                "severity": it.severity,
                "label": it.label,
                "alerts": alerts.collect::<Vec<_>>(),
            })
        });
        let receivers = self.receivers.iter().map(|it| {
            json!({
                "receiver": it.receiver,
                "waiting": it.waiting,
                "failing_seconds": it.failing.as_secs_f64(),
            })
        });
        let all = json!({
            "enabled": true,
            "rules": rules.collect::<Vec<_>>(),
            "receivers": receivers.collect::<Vec<_>>(),
            "silences": self.hush.shown(),
        });
        all.to_string()
    }

    fn alert(&self, rule: &str, subject: &str, it: &Instance) -> Value {
        let mut told = alert(subject, it);
        told["id"] = fingerprint(&self.sender, rule, subject).into();
        told["known_by"] = self.hush.known_by(&name(rule, subject), it.fired).into();
        told
    }
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
