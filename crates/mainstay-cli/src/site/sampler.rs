//! Measures: one worker of all writes down, every few seconds, how long each component was in which state.
//! When the service does not run nobody measures, and the page says so instead of guessing.

use crate::site::state::{State, combined};
use crate::site::store::component::{self, Component};
use crate::site::store::day::{self, Span};
use crate::site::store::incident::{self, Incident, Kind, Phase};
use crate::site::store::{Db, Error, lease, random_id};
use crate::site::{live, time};
use mainstay::{Maintenance, Status, Worker};
use std::collections::BTreeMap;
use std::time::Duration;

const NAME: &str = "sampler";
/// Between two looks.
const EVERY: i64 = 5 * time::SECOND;
/// Who has not looked for longer has not measured what was between.
const LONGEST: i64 = 3 * EVERY;
/// So long may it take to say it.
const PATIENCE: Duration = Duration::from_secs(2);
/// What is under way is said again this often, in case that nobody knows of it any more.
const AGAIN: i64 = 60 * time::SECOND;

/// States at the last look.
#[derive(Debug, Default)]
struct Seen {
    at: i64,
    states: BTreeMap<String, State>,
    /// The maintenance that was said to be under way, and when; nothing before the first time.
    said: Option<(i64, Vec<Maintenance>)>,
}

/// Measures until the worker leaves.
pub(crate) async fn run(worker: Worker, db: Db) {
    let holder = random_id(20);
    let mut seen = Seen::default();
    let mut ticks = tokio::time::interval(Duration::from_millis(EVERY.unsigned_abs()));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let stopping = worker.stopping();
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = &mut stopping => {
                lease::give_back(&db, NAME, &holder).await.ok();
                return;
            }
        }
        // What fails is told by the database's own check; what was not written was not measured.
        match look(&worker.status(), &db, &holder, &mut seen).await {
            Ok(Some(under_way)) => say(&worker, &mut seen, under_way).await,
            Ok(None) => {}
            Err(_) => seen = Seen { said: seen.said.take(), ..Seen::default() },
        }
    }
}

/// Tells watch what is under way, so that nobody is called for what was announced.
async fn say(worker: &Worker, seen: &mut Seen, under_way: Vec<Maintenance>) {
    let now = time::now();
    let is_known = |(at, said): &(i64, Vec<Maintenance>)| *said == under_way && now - at < AGAIN;
    if seen.said.as_ref().is_some_and(is_known) {
        return;
    }
    // Watch tells what is wrong with that directory, and measuring does not wait for it.
    match tokio::time::timeout(PATIENCE, worker.under_maintenance(under_way.clone())).await {
        Ok(Ok(())) => seen.said = Some((now, under_way)),
        // It is tried again at the next look.
        Ok(Err(_)) => {}
        // One that hangs is not asked each time.
        Err(_) => seen.said = Some((now, under_way)),
    }
}

/// Takes note of how all is, and gives which maintenance is under way; nothing where another worker does that.
async fn look(
    status: &Status,
    db: &Db,
    holder: &str,
    seen: &mut Seen,
) -> Result<Option<Vec<Maintenance>>, Error> {
    let now = time::now();
    if !lease::take(db, NAME, holder, now, now + LONGEST).await? {
        *seen = Seen::default();
        return Ok(None);
    }
    meet(status, db).await?;
    let components = component::all(db).await?;
    let incidents = incident::since(db, now).await?;
    let states = states(&components, &incidents, status, now);
    let spans = spans(seen, &states, now);
    let known = day::changes(db).await?;
    let changes: Vec<Span> = states
        .iter()
        .filter(|(id, state)| known.get(*id).is_none_or(|(_, known)| known != *state))
        .map(|(id, state)| Span { component: id.clone(), state: *state, from: now, to: now })
        .collect();
    day::add(db, &spans, &changes).await?;
    if time::day(seen.at) != time::day(now) {
        day::forget(db, now).await?;
    }
    seen.at = now;
    seen.states = states;
    Ok(Some(under_way(&components, &incidents, status, now)))
}

/// Maintenance that is under way, with the alerts about its components.
fn under_way(
    components: &[Component],
    incidents: &[Incident],
    status: &Status,
    now: i64,
) -> Vec<Maintenance> {
    let ongoing = incidents.iter();
    let ongoing =
        ongoing.filter(|it| it.kind == Kind::Maintenance && it.phase(now) == Phase::Ongoing);
    let mut found = Vec::new();
    for incident in ongoing {
        let until = incident.ends / time::SECOND;
        let affected = components.iter().filter(|it| incident.affected.contains(&it.id));
        let about = affected.flat_map(|it| live::alerts(it, status));
        found.extend(about.map(|it| Maintenance::new(&incident.title, &[&it], until)));
    }
    found
}

/// Adds the components that the service has by itself.
pub(crate) async fn meet(status: &Status, db: &Db) -> Result<(), Error> {
    for (id, name, source) in live::parts(status) {
        component::meet(db, &id, &name, &source).await?;
    }
    Ok(())
}

/// Each component's state.
pub(crate) fn states(
    components: &[Component],
    incidents: &[Incident],
    status: &Status,
    now: i64,
) -> BTreeMap<String, State> {
    let ongoing = || incidents.iter().filter(|it| it.phase(now) == Phase::Ongoing);
    let state = |component: &Component| {
        let affecting = || ongoing().filter(|it| it.affected.contains(&component.id));
        let incident = affecting().filter(|it| it.kind == Kind::Incident).map(|it| it.impact).max();
        let in_maintenance = affecting().any(|it| it.kind == Kind::Maintenance);
        combined(live::measured(component, status), incident, in_maintenance)
    };
    components.iter().map(|it| (it.id.clone(), state(it))).collect()
}

/// What lies between two looks belongs to the state at the first one.
fn spans(seen: &Seen, states: &BTreeMap<String, State>, now: i64) -> Vec<Span> {
    if seen.at == 0 || now - seen.at > LONGEST {
        return Vec::new();
    }
    let both = seen.states.iter().filter(|(id, _)| states.contains_key(*id));
    both.map(|(id, state)| Span { component: id.clone(), state: *state, from: seen.at, to: now })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_looked_at_is_not_measured() {
        let states = BTreeMap::from([("a".to_owned(), State::Down)]);
        let first = Seen::default();
        assert_eq!(spans(&first, &states, 1_000), []);
        let seen = Seen { at: 1_000, states: states.clone(), said: None };
        let span = Span { component: "a".into(), state: State::Down, from: 1_000, to: 6_000 };
        assert_eq!(spans(&seen, &states, 6_000), [span]);
        assert_eq!(spans(&seen, &states, 1_001 + LONGEST), []);
        assert_eq!(spans(&seen, &BTreeMap::new(), 6_000), [], "a component that is gone");
    }
}
