//! What templates and programs are given, made of a snapshot and of what the service says. Pure.

use crate::site::board::{Shown, Snapshot};
use crate::site::state::{State, overall, sentence};
use crate::site::store::attachment::Attachment;
use crate::site::store::component::Component;
use crate::site::store::day::{self, Day};
use crate::site::store::incident::{Incident, Kind, Phase};
use crate::site::{format, markdown, sampler, time};
use mainstay::Status;
use serde::Serialize;
use std::collections::BTreeMap;

/// Closed incidents are on the first page for so many days.
const PAST: i64 = 14;

/// A moment for people and for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Moment {
    pub(crate) text: String,
    pub(crate) machine: String,
    pub(crate) field: String,
}

impl Moment {
    pub(crate) fn of(at: i64) -> Moment {
        Moment { text: time::text(at), machine: time::machine(at), field: time::field(at) }
    }

    fn some(at: i64) -> Option<Moment> {
        (at != 0).then(|| Moment::of(at))
    }
}

/// A state as word, text and shape.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct StateView {
    pub(crate) word: &'static str,
    pub(crate) text: &'static str,
    pub(crate) shape: &'static str,
}

impl From<State> for StateView {
    fn from(state: State) -> StateView {
        StateView { word: state.word(), text: state.text(), shape: state.shape() }
    }
}

/// One day of the bars.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Bar {
    /// Its place, 0 for the oldest.
    pub(crate) place: i64,
    pub(crate) state: &'static str,
    pub(crate) date: String,
    /// What there is to say of it.
    pub(crate) text: String,
    pub(crate) is_measured: bool,
    /// Worth a line of its own.
    pub(crate) is_trouble: bool,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct ComponentView {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) state: StateView,
    pub(crate) since: Option<Moment>,
    /// Uptime of the days that are shown, rounded down; none before anything was measured.
    pub(crate) uptime: Option<String>,
    pub(crate) uptime_ratio: Option<f64>,
    /// Days with anything measured.
    pub(crate) days: usize,
    pub(crate) bars: Vec<Bar>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct UpdateView {
    pub(crate) id: String,
    pub(crate) at: Moment,
    pub(crate) edited: Option<Moment>,
    pub(crate) status: String,
    pub(crate) status_text: &'static str,
    pub(crate) html: String,
    pub(crate) body: String,
    pub(crate) author: String,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct AttachmentView {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) size: String,
    pub(crate) is_image: bool,
}

impl From<&Attachment> for AttachmentView {
    fn from(attachment: &Attachment) -> AttachmentView {
        AttachmentView {
            id: attachment.id.clone(),
            name: attachment.name.clone(),
            url: format!("/attachments/{}", attachment.id),
            size: format::size(attachment.size.unsigned_abs()),
            is_image: attachment.media.starts_with("image/"),
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct IncidentView {
    pub(crate) id: String,
    pub(crate) url: String,
    pub(crate) kind: &'static str,
    pub(crate) title: String,
    pub(crate) impact: &'static str,
    pub(crate) impact_text: &'static str,
    pub(crate) phase: &'static str,
    pub(crate) status: String,
    pub(crate) status_text: &'static str,
    pub(crate) state: StateView,
    pub(crate) begins: Moment,
    pub(crate) ends: Option<Moment>,
    pub(crate) closed: Option<Moment>,
    pub(crate) published: Option<Moment>,
    pub(crate) lasted: Option<String>,
    pub(crate) author: String,
    pub(crate) revision: i64,
    pub(crate) affected: Vec<String>,
    pub(crate) affected_ids: Vec<String>,
    pub(crate) updates: Vec<UpdateView>,
    pub(crate) attachments: Vec<AttachmentView>,
    #[serde(skip)]
    pub(crate) at: i64,
}

impl IncidentView {
    pub(crate) fn of(
        incident: &Incident,
        names: &BTreeMap<String, String>,
        now: i64,
    ) -> IncidentView {
        let phase = match incident.phase(now) {
            Phase::Draft => "draft",
            Phase::Scheduled => "scheduled",
            Phase::Ongoing => "ongoing",
            Phase::Closed => "closed",
        };
        let end = incident.end(now);
        let status = incident.status(now).to_owned();
        let state = match (incident.kind, end) {
            (_, Some(_)) => State::Operational,
            (Kind::Maintenance, _) => State::Maintenance,
            (Kind::Incident, _) => State::of_impact(incident.impact),
        };
        IncidentView {
            id: incident.id.clone(),
            url: format!("/incidents/{}", incident.id),
            kind: incident.kind.word(),
            title: incident.title.clone(),
            impact: incident.impact.word(),
            impact_text: incident.impact.text(),
            phase,
            status_text: incident.kind.status(&status).map_or("", |(text, _)| text),
            status,
            state: state.into(),
            begins: Moment::of(incident.begins),
            ends: (incident.kind == Kind::Maintenance).then(|| Moment::of(incident.ends)),
            closed: end.map(Moment::of),
            published: Moment::some(incident.published),
            lasted: end.map(|end| time::span(end - incident.begins)),
            author: incident.author.clone(),
            revision: incident.revision,
            affected: incident.affected.iter().filter_map(|id| names.get(id).cloned()).collect(),
            affected_ids: incident.affected.clone(),
            updates: updates(incident),
            attachments: incident.attachments.iter().map(AttachmentView::from).collect(),
            at: incident.updates.first().map_or(incident.begins, |update| update.at),
        }
    }
}

fn updates(incident: &Incident) -> Vec<UpdateView> {
    let view = |update: &crate::site::store::incident::Update| UpdateView {
        id: update.id.clone(),
        at: Moment::of(update.at),
        edited: Moment::some(update.edited),
        status_text: incident.kind.status(&update.status).map_or("", |(text, _)| text),
        status: update.status.clone(),
        html: markdown::render(&update.body),
        body: update.body.clone(),
        author: update.author.clone(),
    };
    incident.updates.iter().map(view).collect()
}

/// The public page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PageView {
    pub(crate) title: String,
    pub(crate) state: StateView,
    pub(crate) sentence: &'static str,
    pub(crate) components: Vec<ComponentView>,
    pub(crate) active: Vec<IncidentView>,
    pub(crate) scheduled: Vec<IncidentView>,
    pub(crate) past: Vec<IncidentView>,
    pub(crate) past_days: i64,
    /// When what is shown of the database was read, if it has not answered since.
    pub(crate) old: Option<Moment>,
    /// Nothing of the database was ever read by this worker.
    pub(crate) is_blind: bool,
    pub(crate) now: Moment,
}

/// The names of components by their ids.
pub(crate) fn names(components: &[Component]) -> BTreeMap<String, String> {
    components.iter().map(|it| (it.id.clone(), it.name.clone())).collect()
}

/// Makes the public page.
pub(crate) fn page(title: &str, shown: &Shown, status: &Status, now: i64) -> PageView {
    let snapshot = &*shown.snapshot;
    let components = components(snapshot, status, now);
    let states = components.iter().filter_map(|it| State::from_word(it.state.word));
    let state = overall(states);
    let names = names(&snapshot.components);
    let of = |phase: Phase| {
        let found = snapshot.incidents.iter().filter(move |it| it.phase(now) == phase);
        found.map(|it| IncidentView::of(it, &names, now)).collect::<Vec<_>>()
    };
    let mut scheduled = of(Phase::Scheduled);
    scheduled.reverse();
    let mut past = of(Phase::Closed);
    let first = time::day(now) - PAST;
    past.retain(|it| {
        let found = snapshot.incidents.iter().find(|known| known.id == it.id);
        found.and_then(|it| it.end(now)).is_some_and(|end| time::day(end) > first)
    });
    PageView {
        title: title.to_owned(),
        state: state.into(),
        sentence: sentence(state),
        components,
        active: of(Phase::Ongoing),
        scheduled,
        past,
        past_days: PAST,
        old: shown.is_old.then(|| Moment::of(snapshot.taken)),
        is_blind: snapshot.taken == 0,
        now: Moment::of(now),
    }
}

/// The components that everybody sees.
pub(crate) fn components(snapshot: &Snapshot, status: &Status, now: i64) -> Vec<ComponentView> {
    let states = sampler::states(&snapshot.components, &snapshot.incidents, status, now);
    let visible = snapshot.components.iter().filter(|component| !component.hidden);
    visible
        .map(|component| {
            let state = states.get(&component.id).copied().unwrap_or(State::Unknown);
            let since = snapshot.changes.get(&component.id).filter(|(_, known)| *known == state);
            let none = BTreeMap::new();
            let days = snapshot.days.get(&component.id).unwrap_or(&none);
            let uptime = day::uptime(days);
            ComponentView {
                id: component.id.clone(),
                name: component.name.clone(),
                about: component.about.clone(),
                state: state.into(),
                since: since.map(|(at, _)| Moment::of(*at)),
                uptime: uptime.map(percent),
                uptime_ratio: uptime,
                days: days.values().filter(|day| day.measured() > 0).count(),
                bars: bars(days, now),
            }
        })
        .collect()
}

/// Rounded down: no figure is ahead of the truth.
fn percent(ratio: f64) -> String {
    format!("{:.2} %", (ratio * 10_000.0).floor() / 100.0)
}

fn bars(days: &BTreeMap<i64, Day>, now: i64) -> Vec<Bar> {
    let today = time::day(now);
    (0..day::SHOWN)
        .map(|place| {
            let number = today - day::SHOWN + 1 + place;
            let day = days.get(&number).copied().unwrap_or_default();
            let worst = day.worst();
            let is_trouble = worst > State::Maintenance;
            let date = time::date(number * time::DAY);
            Bar {
                place,
                state: worst.word(),
                text: told(&day, number == today, now),
                date,
                is_measured: day.measured() > 0,
                is_trouble,
            }
        })
        .collect()
}

/// What there is to say of a day: how long it was in which state, and how long nobody measured.
fn told(day: &Day, is_today: bool, now: i64) -> String {
    if day.measured() == 0 {
        return "not measured".to_owned();
    }
    let states = [
        (State::Down, day.down),
        (State::Partial, day.partial),
        (State::Degraded, day.degraded),
        (State::Maintenance, day.maintenance),
    ];
    let long = states.into_iter().filter(|(_, millis)| *millis >= time::MINUTE);
    let mut parts: Vec<String> = long
        .map(|(state, millis)| {
            format!("{} for {}", state.text().to_lowercase(), time::span(millis))
        })
        .collect();
    if parts.is_empty() {
        parts.push("operational".to_owned());
    }
    let whole = if is_today { now.rem_euclid(time::DAY) } else { time::DAY };
    let missing = whole - day.measured();
    // The last look of a day was a moment before its end.
    if missing > 5 * time::MINUTE {
        parts.push(format!("not measured for {}", time::span(missing)));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_is_rounded_down() {
        assert_eq!((percent(1.0), percent(0.999_99)), ("100.00 %".into(), "99.99 %".into()));
        assert_eq!(percent(0.0), "0.00 %");
    }

    #[test]
    fn bars_end_with_today_and_tell_what_was_not_measured() {
        let now = 20_000 * time::DAY + 10 * time::HOUR;
        let today = Day { operational: 9 * time::HOUR, down: 30 * time::MINUTE, ..Day::default() };
        let bars = bars(&BTreeMap::from([(20_000, today)]), now);
        assert_eq!(bars.len(), 90);
        let last = &bars[89];
        assert_eq!((last.state, last.is_trouble), ("down", true));
        assert_eq!(last.text, "down for 30 min, not measured for 30 min");
        assert_eq!((bars[0].state, bars[0].text.as_str()), ("unknown", "not measured"));
    }
}
