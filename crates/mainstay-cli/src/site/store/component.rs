//! Components: the parts of the service that people ask about. Those of the running service come by
//! themselves; operators name and order them, and may add others.

use super::{Db, Error, Row};
use crate::site::state::State;
use mainstay::db::Connection;
use mainstay::sqlx::{self, Any, Row as _};

/// What a component is measured by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The service as a whole: state and workers.
    Service,
    /// The check of this name.
    Check(String),
    /// The probe of this name.
    Probe(String),
    /// Nothing: an operator says how it is.
    Nobody,
}

impl Source {
    pub(crate) fn word(&self) -> String {
        match self {
            Source::Service => "service".to_owned(),
            Source::Check(name) => format!("check:{name}"),
            Source::Probe(name) => format!("probe:{name}"),
            Source::Nobody => String::new(),
        }
    }

    fn from_word(word: &str) -> Source {
        match word.split_once(':') {
            Some(("check", name)) => Source::Check(name.to_owned()),
            Some(("probe", name)) => Source::Probe(name.to_owned()),
            _ if word == "service" => Source::Service,
            _ => Source::Nobody,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Component {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) source: Source,
    pub(crate) place: i64,
    pub(crate) hidden: bool,
    /// What an operator says, where nothing is measured.
    pub(crate) set_state: State,
}

impl Component {
    fn read(row: &Row) -> Result<Component, Error> {
        Ok(Component {
            id: row.try_get(0)?,
            name: row.try_get(1)?,
            about: row.try_get(2)?,
            source: Source::from_word(&row.try_get::<String, _>(3)?),
            place: row.try_get(4)?,
            hidden: row.try_get::<i64, _>(5)? != 0,
            set_state: State::from_word(&row.try_get::<String, _>(6)?).unwrap_or(State::Unknown),
        })
    }
}

/// All of them, in the order of the page.
pub(crate) async fn all(db: &Db) -> Result<Vec<Component>, Error> {
    let statement = "SELECT id, name, about, source, place, hidden, set_state FROM site_components \
                     ORDER BY place, id";
    let rows = sqlx::query(statement).fetch_all(db).await?;
    rows.iter().map(Component::read).collect()
}

/// Adds one of the running service, unless it is there. Whoever comes second finds it.
pub(crate) async fn meet(db: &Db, id: &str, name: &str, source: &Source) -> Result<(), Error> {
    let known = "SELECT count(*) FROM site_components WHERE source = ? OR id = ?";
    let known: i64 =
        sqlx::query_scalar(db.sql(known)).bind(source.word()).bind(id).fetch_one(db).await?;
    if known > 0 {
        return Ok(());
    }
    let statement = "INSERT INTO site_components (id, name, about, source, place, hidden, set_state) \
                     VALUES (?, ?, '', ?, ?, 0, 'unknown')";
    let place = if *source == Source::Service { 0 } else { 10 };
    sqlx::query(db.sql_if_new(statement))
        .bind(id)
        .bind(name)
        .bind(source.word())
        .bind(place)
        .execute(db)
        .await
        .map(drop)
}

/// Adds one of an operator's own.
pub(crate) async fn add(
    db: &Db,
    connection: &mut Connection<Any>,
    component: &Component,
) -> Result<(), Error> {
    let statement = "INSERT INTO site_components (id, name, about, source, place, hidden, set_state) \
                     VALUES (?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(db.sql(statement))
        .bind(&component.id)
        .bind(&component.name)
        .bind(&component.about)
        .bind(component.source.word())
        .bind(component.place)
        .bind(i64::from(component.hidden))
        .bind(component.set_state.word())
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// Writes what an operator may change.
pub(crate) async fn save(
    db: &Db,
    connection: &mut Connection<Any>,
    component: &Component,
) -> Result<bool, Error> {
    let statement = "UPDATE site_components SET name = ?, about = ?, place = ?, hidden = ?, set_state = ? \
                     WHERE id = ?";
    let saved = sqlx::query(db.sql(statement))
        .bind(&component.name)
        .bind(&component.about)
        .bind(component.place)
        .bind(i64::from(component.hidden))
        .bind(component.set_state.word())
        .bind(&component.id)
        .execute(&mut *connection)
        .await?;
    Ok(saved.rows_affected() > 0)
}

/// Removes one of an operator's own, with its history.
pub(crate) async fn remove(
    db: &Db,
    connection: &mut Connection<Any>,
    id: &str,
) -> Result<bool, Error> {
    let statement = "DELETE FROM site_components WHERE id = ? AND source = ''";
    let removed = sqlx::query(db.sql(statement)).bind(id).execute(&mut *connection).await?;
    if removed.rows_affected() == 0 {
        return Ok(false);
    }
    for statement in [
        "DELETE FROM site_days WHERE component = ?",
        "DELETE FROM site_changes WHERE component = ?",
        "DELETE FROM site_affected WHERE component = ?",
    ] {
        sqlx::query(db.sql(statement)).bind(id).execute(&mut *connection).await?;
    }
    Ok(true)
}
