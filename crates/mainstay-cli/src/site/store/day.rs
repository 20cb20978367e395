//! How long each component was in each state, day by day, and when its state last changed.

use super::{Db, Error};
use crate::site::state::State;
use crate::site::time;
use mainstay::sqlx::{self, Row as _};
use std::collections::BTreeMap;

/// Days on the page.
pub(crate) const SHOWN: i64 = 90;
/// Days that are kept.
const KEPT: i64 = 400;

/// One day of a component: milliseconds in each state. What is missing to a whole day was not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Day {
    pub(crate) operational: i64,
    pub(crate) degraded: i64,
    pub(crate) partial: i64,
    pub(crate) down: i64,
    pub(crate) maintenance: i64,
}

impl Day {
    /// The worst state that lasted long enough to tell of: a minute.
    pub(crate) fn worst(&self) -> State {
        let told = |millis: i64| millis >= time::MINUTE;
        match self {
            day if told(day.down) => State::Down,
            day if told(day.partial) => State::Partial,
            day if told(day.degraded) => State::Degraded,
            day if told(day.maintenance) => State::Maintenance,
            day if day.measured() > 0 => State::Operational,
            _ => State::Unknown,
        }
    }

    pub(crate) fn measured(&self) -> i64 {
        self.operational + self.degraded + self.partial + self.down + self.maintenance
    }

    fn add(&mut self, other: &Day) {
        self.operational += other.operational;
        self.degraded += other.degraded;
        self.partial += other.partial;
        self.down += other.down;
        self.maintenance += other.maintenance;
    }
}

/// The days of each component, by its id and the day's number.
pub(crate) type Days = BTreeMap<String, BTreeMap<i64, Day>>;

/// The part of the measured time without maintenance in which a component worked, even if badly; `None`
/// before there is any.
pub(crate) fn uptime(days: &BTreeMap<i64, Day>) -> Option<f64> {
    let mut all = Day::default();
    days.values().for_each(|day| all.add(day));
    let counted = all.measured() - all.maintenance;
    (counted > 0).then(|| (all.operational + all.degraded) as f64 / counted as f64)
}

/// The days that are shown.
pub(crate) async fn shown(db: &Db, now: i64) -> Result<Days, Error> {
    let statement = "SELECT component, day, operational, degraded, partial, down, maintenance \
                     FROM site_days WHERE day > ?";
    let first = time::day(now) - SHOWN;
    let rows = sqlx::query(db.sql(statement)).bind(first).fetch_all(db).await?;
    let mut days = Days::new();
    for row in rows {
        let day = Day {
            operational: row.try_get(2)?,
            degraded: row.try_get(3)?,
            partial: row.try_get(4)?,
            down: row.try_get(5)?,
            maintenance: row.try_get(6)?,
        };
        days.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?, day);
    }
    Ok(days)
}

/// When each component took its present state.
pub(crate) async fn changes(db: &Db) -> Result<BTreeMap<String, (i64, State)>, Error> {
    let statement = "SELECT component, at, state FROM site_changes ORDER BY at";
    let rows = sqlx::query(statement).fetch_all(db).await?;
    let mut changes = BTreeMap::new();
    for row in rows {
        let state = State::from_word(&row.try_get::<String, _>(2)?).unwrap_or(State::Unknown);
        changes.insert(row.try_get(0)?, (row.try_get(1)?, state));
    }
    Ok(changes)
}

/// A span in which a component was in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) component: String,
    pub(crate) state: State,
    pub(crate) from: i64,
    pub(crate) to: i64,
}

impl Span {
    /// Its parts by days.
    fn by_day(&self) -> Vec<(i64, i64)> {
        let mut parts = Vec::new();
        let mut from = self.from;
        while from < self.to {
            let end = ((time::day(from) + 1) * time::DAY).min(self.to);
            parts.push((time::day(from), end - from));
            from = end;
        }
        parts
    }
}

/// Adds what was measured, and the changes of state that it shows.
pub(crate) async fn add(db: &Db, spans: &[Span], changes: &[Span]) -> Result<(), Error> {
    let mut tx = db.begin().await?;
    for span in spans {
        let Some(update) = addition(span.state) else { continue };
        for (day, millis) in span.by_day() {
            let add =
                || sqlx::query(db.sql(update)).bind(millis).bind(span.component.clone()).bind(day);
            if add().execute(&mut *tx).await?.rows_affected() == 0 {
                let insert = "INSERT INTO site_days \
                    (component, day, operational, degraded, partial, down, maintenance) \
                    VALUES (?, ?, 0, 0, 0, 0, 0)";
                sqlx::query(db.sql(insert))
                    .bind(&span.component)
                    .bind(day)
                    .execute(&mut *tx)
                    .await?;
                add().execute(&mut *tx).await?;
            }
        }
    }
    for change in changes {
        let statement = "DELETE FROM site_changes WHERE component = ? AND at < ?";
        let long_ago = change.to - KEPT * time::DAY;
        sqlx::query(db.sql(statement))
            .bind(&change.component)
            .bind(long_ago)
            .execute(&mut *tx)
            .await?;
        let statement = "INSERT INTO site_changes (component, at, state) VALUES (?, ?, ?)";
        sqlx::query(db.sql(statement))
            .bind(&change.component)
            .bind(change.to)
            .bind(change.state.word())
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await
}

/// The statement that adds to a state's column of a day.
fn addition(state: State) -> Option<&'static str> {
    macro_rules! adds_to {
        ($column:literal) => {
            concat!(
                "UPDATE site_days SET ",
                $column,
                " = ",
                $column,
                " + ? WHERE component = ? AND day = ?"
            )
        };
    }
    Some(match state {
        State::Unknown => return None,
        State::Operational => adds_to!("operational"),
        State::Degraded => adds_to!("degraded"),
        State::Partial => adds_to!("partial"),
        State::Down => adds_to!("down"),
        State::Maintenance => adds_to!("maintenance"),
    })
}

/// Forgets days that are no longer kept.
pub(crate) async fn forget(db: &Db, now: i64) -> Result<(), Error> {
    let statement = "DELETE FROM site_days WHERE day < ?";
    sqlx::query(db.sql(statement)).bind(time::day(now) - KEPT).execute(db).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_over_midnight_belongs_to_both_days() {
        let span = |from, to| Span { component: "a".into(), state: State::Down, from, to };
        let midnight = 20_000 * time::DAY;
        let parts = span(midnight - 3, midnight + 5).by_day();
        assert_eq!(parts, [(19_999, 3), (20_000, 5)]);
        assert_eq!(span(midnight, midnight).by_day(), []);
        let long = span(midnight - 1, midnight + time::DAY + 1).by_day();
        assert_eq!(long, [(19_999, 1), (20_000, time::DAY), (20_001, 1)]);
    }

    #[test]
    fn a_day_is_as_bad_as_its_worst_minute() {
        let day = Day { operational: 86_000_000, down: 59_999, ..Day::default() };
        assert_eq!(day.worst(), State::Operational);
        assert_eq!(Day { down: 60_000, ..day }.worst(), State::Down);
        assert_eq!(Day::default().worst(), State::Unknown);
    }

    #[test]
    fn uptime_counts_what_was_measured_and_was_no_maintenance() {
        let day = |operational, down, maintenance| Day {
            operational,
            down,
            maintenance,
            ..Day::default()
        };
        let days = BTreeMap::from([(1, day(900, 100, 5_000)), (2, day(1_000, 0, 0))]);
        assert_eq!(uptime(&days), Some(0.95));
        assert_eq!(uptime(&BTreeMap::from([(1, day(0, 0, 5))])), None);
    }
}
