//! Incidents and announced maintenance, each with its updates and attachments.

use super::attachment::{self, Attachment};
use super::{Db, Error, Row, random_id};
use crate::site::state::Impact;
use mainstay::db::Connection;
use mainstay::sqlx::{self, Any, Row as _};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Incident,
    Maintenance,
}

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Incident => "incident",
            Kind::Maintenance => "maintenance",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Kind> {
        [Kind::Incident, Kind::Maintenance].into_iter().find(|kind| kind.word() == word)
    }

    /// What an update may say of how it stands: word, text, and whether that is the end.
    pub(crate) fn statuses(self) -> &'static [(&'static str, &'static str, bool)] {
        match self {
            Kind::Incident => &[
                ("investigating", "Investigating", false),
                ("identified", "Identified", false),
                ("monitoring", "Monitoring", false),
                ("resolved", "Resolved", true),
            ],
            Kind::Maintenance => &[
                ("scheduled", "Scheduled", false),
                ("in_progress", "In progress", false),
                ("verifying", "Verifying", false),
                ("completed", "Completed", true),
            ],
        }
    }

    /// Text of a status, and whether it is the end.
    pub(crate) fn status(self, word: &str) -> Option<(&'static str, bool)> {
        let found = self.statuses().iter().find(|(known, ..)| *known == word);
        found.map(|(_, text, ends)| (*text, *ends))
    }
}

/// Where in its life an incident is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Only operators know of it.
    Draft,
    /// Maintenance that is still to come.
    Scheduled,
    /// It lasts.
    Ongoing,
    /// It is over.
    Closed,
}

#[derive(Clone, Debug)]
pub(crate) struct Incident {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) title: String,
    pub(crate) impact: Impact,
    pub(crate) created: i64,
    /// When everybody could see it; 0 for a draft.
    pub(crate) published: i64,
    /// When it began, or is to begin.
    pub(crate) begins: i64,
    /// When maintenance is to end.
    pub(crate) ends: i64,
    /// When an update said that it was over; 0 for not yet.
    pub(crate) closed: i64,
    pub(crate) author: String,
    /// Counts the changes, so that none is made on top of one that its maker has not seen.
    pub(crate) revision: i64,
    pub(crate) affected: Vec<String>,
    /// Newest first.
    pub(crate) updates: Vec<Update>,
    pub(crate) attachments: Vec<Attachment>,
}

#[derive(Clone, Debug)]
pub(crate) struct Update {
    pub(crate) id: String,
    pub(crate) at: i64,
    /// When it was last rewritten; 0 for never.
    pub(crate) edited: i64,
    pub(crate) status: String,
    pub(crate) body: String,
    pub(crate) author: String,
}

impl Incident {
    pub(crate) fn phase(&self, now: i64) -> Phase {
        if self.published == 0 {
            return Phase::Draft;
        }
        match self.kind {
            _ if self.closed != 0 => Phase::Closed,
            Kind::Incident => Phase::Ongoing,
            Kind::Maintenance if now < self.begins => Phase::Scheduled,
            // Announced work ends when it was announced to, unless somebody says so before.
            Kind::Maintenance if now < self.ends => Phase::Ongoing,
            Kind::Maintenance => Phase::Closed,
        }
    }

    /// When it was over, if it is.
    pub(crate) fn end(&self, now: i64) -> Option<i64> {
        match self.phase(now) {
            Phase::Closed if self.closed != 0 => Some(self.closed),
            Phase::Closed => Some(self.ends),
            _ => None,
        }
    }

    /// How it stands, in a word of [`Kind::statuses`].
    pub(crate) fn status(&self, now: i64) -> &str {
        let said = self.updates.first().map_or("", |update| update.status.as_str());
        match (self.kind, self.phase(now)) {
            (Kind::Maintenance, Phase::Closed) => "completed",
            (Kind::Maintenance, Phase::Ongoing) if said == "scheduled" => "in_progress",
            _ => said,
        }
    }

    fn read(row: &Row) -> Result<Incident, Error> {
        Ok(Incident {
            id: row.try_get(0)?,
            kind: Kind::from_word(&row.try_get::<String, _>(1)?).unwrap_or(Kind::Incident),
            title: row.try_get(2)?,
            impact: Impact::from_word(&row.try_get::<String, _>(3)?).unwrap_or(Impact::None),
            created: row.try_get(4)?,
            published: row.try_get(5)?,
            begins: row.try_get(6)?,
            ends: row.try_get(7)?,
            closed: row.try_get(8)?,
            author: row.try_get(9)?,
            revision: row.try_get(10)?,
            affected: Vec::new(),
            updates: Vec::new(),
            attachments: Vec::new(),
        })
    }
}

/// Those that are not over, and those that began, were closed or were planned to end since then; the
/// youngest first. Drafts are among them.
pub(crate) async fn since(db: &Db, then: i64) -> Result<Vec<Incident>, Error> {
    let statement = "SELECT id, kind, title, impact, created, published, begins, ends, closed, author, revision \
                     FROM site_incidents \
                     WHERE closed = 0 AND (kind = 'incident' OR ends >= ?) OR closed >= ? OR published = 0 \
                     ORDER BY begins DESC, id";
    let rows = sqlx::query(db.sql(statement)).bind(then).bind(then).fetch_all(db).await?;
    let all = rows.iter().map(Incident::read).collect::<Result<_, _>>()?;
    with_parts(db, all).await
}

/// One of them.
pub(crate) async fn find(db: &Db, id: &str) -> Result<Option<Incident>, Error> {
    let statement = "SELECT id, kind, title, impact, created, published, begins, ends, closed, author, revision \
                     FROM site_incidents WHERE id = ?";
    let row = sqlx::query(db.sql(statement)).bind(id).fetch_optional(db).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(with_parts(db, vec![Incident::read(&row)?]).await?.pop())
}

/// Incidents with what belongs to them.
async fn with_parts(db: &Db, mut all: Vec<Incident>) -> Result<Vec<Incident>, Error> {
    if all.is_empty() {
        return Ok(all);
    }
    let one = (all.len() == 1).then(|| all[0].id.clone());
    let rows = match &one {
        None => sqlx::query("SELECT incident, component FROM site_affected").fetch_all(db).await?,
        Some(id) => {
            let statement = "SELECT incident, component FROM site_affected WHERE incident = ?";
            sqlx::query(db.sql(statement)).bind(id).fetch_all(db).await?
        }
    };
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (place, incident) in all.iter().enumerate() {
        places.insert(incident.id.clone(), place);
    }
    for row in rows {
        if let Some(place) = places.get(&row.try_get::<String, _>(0)?) {
            all[*place].affected.push(row.try_get(1)?);
        }
    }
    let rows = match &one {
        None => {
            let statement = "SELECT incident, id, at, edited, status, body, author FROM site_updates \
                             ORDER BY at DESC, id";
            sqlx::query(statement).fetch_all(db).await?
        }
        Some(id) => {
            let statement = "SELECT incident, id, at, edited, status, body, author FROM site_updates \
                             WHERE incident = ? ORDER BY at DESC, id";
            sqlx::query(db.sql(statement)).bind(id).fetch_all(db).await?
        }
    };
    for row in rows {
        if let Some(place) = places.get(&row.try_get::<String, _>(0)?) {
            all[*place].updates.push(Update {
                id: row.try_get(1)?,
                at: row.try_get(2)?,
                edited: row.try_get(3)?,
                status: row.try_get(4)?,
                body: row.try_get(5)?,
                author: row.try_get(6)?,
            });
        }
    }
    for attachment in attachment::all(db).await? {
        if let Some(place) = places.get(&attachment.incident) {
            all[*place].attachments.push(attachment);
        }
    }
    Ok(all)
}

/// Adds a draft.
pub(crate) async fn add(
    db: &Db,
    connection: &mut Connection<Any>,
    incident: &Incident,
) -> Result<(), Error> {
    let statement = "INSERT INTO site_incidents \
        (id, kind, title, impact, created, published, begins, ends, closed, author, revision) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(db.sql(statement))
        .bind(&incident.id)
        .bind(incident.kind.word())
        .bind(&incident.title)
        .bind(incident.impact.word())
        .bind(incident.created)
        .bind(incident.published)
        .bind(incident.begins)
        .bind(incident.ends)
        .bind(incident.closed)
        .bind(&incident.author)
        .bind(incident.revision)
        .execute(&mut *connection)
        .await?;
    set_affected(db, connection, &incident.id, &incident.affected).await
}

/// Writes an incident's own facts, if nobody has changed them since they were read; whether that was so.
pub(crate) async fn save(
    db: &Db,
    connection: &mut Connection<Any>,
    incident: &Incident,
) -> Result<bool, Error> {
    let statement = "UPDATE site_incidents SET title = ?, impact = ?, published = ?, begins = ?, ends = ?, \
                     closed = ?, revision = revision + 1 WHERE id = ? AND revision = ?";
    let saved = sqlx::query(db.sql(statement))
        .bind(&incident.title)
        .bind(incident.impact.word())
        .bind(incident.published)
        .bind(incident.begins)
        .bind(incident.ends)
        .bind(incident.closed)
        .bind(&incident.id)
        .bind(incident.revision)
        .execute(&mut *connection)
        .await?;
    if saved.rows_affected() == 0 {
        return Ok(false);
    }
    set_affected(db, connection, &incident.id, &incident.affected).await?;
    Ok(true)
}

async fn set_affected(
    db: &Db,
    connection: &mut Connection<Any>,
    incident: &str,
    affected: &[String],
) -> Result<(), Error> {
    let statement = "DELETE FROM site_affected WHERE incident = ?";
    sqlx::query(db.sql(statement)).bind(incident).execute(&mut *connection).await?;
    for component in affected {
        let statement = "INSERT INTO site_affected (incident, component) VALUES (?, ?)";
        sqlx::query(db.sql(statement))
            .bind(incident)
            .bind(component)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Adds an update.
pub(crate) async fn add_update(
    db: &Db,
    connection: &mut Connection<Any>,
    incident: &str,
    update: &Update,
) -> Result<(), Error> {
    let statement = "INSERT INTO site_updates (id, incident, at, edited, status, body, author) \
                     VALUES (?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(db.sql(statement))
        .bind(&update.id)
        .bind(incident)
        .bind(update.at)
        .bind(update.edited)
        .bind(&update.status)
        .bind(&update.body)
        .bind(&update.author)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// Rewrites an update's text.
pub(crate) async fn save_update(
    db: &Db,
    connection: &mut Connection<Any>,
    incident: &str,
    update: &Update,
) -> Result<bool, Error> {
    let statement = "UPDATE site_updates SET at = ?, edited = ?, status = ?, body = ? \
                     WHERE id = ? AND incident = ?";
    let saved = sqlx::query(db.sql(statement))
        .bind(update.at)
        .bind(update.edited)
        .bind(&update.status)
        .bind(&update.body)
        .bind(&update.id)
        .bind(incident)
        .execute(&mut *connection)
        .await?;
    Ok(saved.rows_affected() > 0)
}

/// Removes a draft with all that belongs to it; what was published stays on the record.
pub(crate) async fn remove_draft(
    db: &Db,
    connection: &mut Connection<Any>,
    id: &str,
) -> Result<bool, Error> {
    let statement = "DELETE FROM site_incidents WHERE id = ? AND published = 0";
    let removed = sqlx::query(db.sql(statement)).bind(id).execute(&mut *connection).await?;
    if removed.rows_affected() == 0 {
        return Ok(false);
    }
    for statement in [
        "DELETE FROM site_affected WHERE incident = ?",
        "DELETE FROM site_updates WHERE incident = ?",
        "DELETE FROM site_attachments WHERE incident = ?",
    ] {
        sqlx::query(db.sql(statement)).bind(id).execute(&mut *connection).await?;
    }
    Ok(true)
}

/// A new name for an incident or an update.
pub(crate) fn new_id() -> String {
    random_id(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(kind: Kind) -> Incident {
        Incident {
            id: new_id(),
            kind,
            title: "t".into(),
            impact: Impact::Minor,
            created: 1,
            published: 10,
            begins: 100,
            ends: 200,
            closed: 0,
            author: "ann".into(),
            revision: 0,
            affected: Vec::new(),
            updates: vec![Update {
                id: new_id(),
                at: 10,
                edited: 0,
                status: kind.statuses()[0].0.into(),
                body: "b".into(),
                author: "ann".into(),
            }],
            attachments: Vec::new(),
        }
    }

    #[test]
    fn maintenance_begins_and_ends_by_its_plan_or_when_somebody_says_so() {
        let mut plan = incident(Kind::Maintenance);
        let at = |plan: &Incident, now| (plan.phase(now), plan.status(now).to_owned());
        assert_eq!(at(&plan, 50), (Phase::Scheduled, "scheduled".into()));
        assert_eq!(at(&plan, 100), (Phase::Ongoing, "in_progress".into()));
        assert_eq!(at(&plan, 200), (Phase::Closed, "completed".into()));
        assert_eq!(plan.end(300), Some(200));
        plan.closed = 150;
        assert_eq!((plan.phase(160), plan.end(160)), (Phase::Closed, Some(150)));
        plan.published = 0;
        assert_eq!(plan.phase(160), Phase::Draft);
    }

    #[test]
    fn an_incident_lasts_until_somebody_says_that_it_is_over() {
        let mut incident = incident(Kind::Incident);
        assert_eq!((incident.phase(1_000), incident.end(1_000)), (Phase::Ongoing, None));
        assert_eq!(incident.status(1_000), "investigating");
        incident.closed = 900;
        assert_eq!((incident.phase(1_000), incident.end(1_000)), (Phase::Closed, Some(900)));
    }

    #[test]
    fn each_kind_has_one_status_that_ends_it() {
        for kind in [Kind::Incident, Kind::Maintenance] {
            assert_eq!(Kind::from_word(kind.word()), Some(kind));
            assert_eq!(kind.statuses().iter().filter(|(.., ends)| *ends).count(), 1);
            assert!(kind.status("nonsense").is_none());
        }
    }
}
