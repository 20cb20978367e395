//! What the pages show of the database, read at most once a second for everybody. While the database is
//! away the last of it is shown, and said to be old: a status page that is down with what it tells of is
//! of no use.

use crate::site::store::component::{self, Component};
use crate::site::store::day::{self, Days};
use crate::site::store::incident::{self, Incident};
use crate::site::store::{Db, Error};
use crate::site::{state::State, time};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What was read is good for so long.
const FRESH: i64 = time::SECOND;
/// A page does not wait longer for the database.
const PATIENCE: Duration = Duration::from_millis(400);
/// After a failure nobody asks for so long.
const PAUSE: i64 = 2 * time::SECOND;

/// Everything at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) taken: i64,
    pub(crate) components: Vec<Component>,
    pub(crate) days: Days,
    pub(crate) changes: BTreeMap<String, (i64, State)>,
    /// Drafts are among them.
    pub(crate) incidents: Vec<Incident>,
}

/// A snapshot, and whether the database gave it when it was last asked.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) is_old: bool,
}

#[derive(Debug)]
pub(crate) struct Board {
    db: Db,
    last: Mutex<Last>,
    /// One asks, the others wait for what he gets.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Last {
    snapshot: Arc<Snapshot>,
    failed: Option<i64>,
}

impl Board {
    pub(crate) fn new(db: Db) -> Board {
        Board { db, last: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to show now.
    pub(crate) async fn shown(&self) -> Shown {
        if let Some(shown) = self.known() {
            return shown;
        }
        let _asking = self.asking.lock().await;
        // Somebody else may have asked meanwhile.
        if let Some(shown) = self.known() {
            return shown;
        }
        let now = time::now();
        let read = tokio::time::timeout(PATIENCE, read(&self.db, now)).await;
        let mut last = self.last();
        match read {
            Ok(Ok(snapshot)) => *last = Last { snapshot: Arc::new(snapshot), failed: None },
            // Why is told by the pool and the check.
            Ok(Err(_)) | Err(_) => last.failed = Some(time::now()),
        }
        Shown { snapshot: Arc::clone(&last.snapshot), is_old: last.failed.is_some() }
    }

    fn known(&self) -> Option<Shown> {
        let (last, now) = (self.last(), time::now());
        let is_fresh = (0..FRESH).contains(&(now - last.snapshot.taken));
        let is_paused = last.failed.is_some_and(|then| (0..PAUSE).contains(&(now - then)));
        (is_fresh || is_paused)
            .then(|| Shown { snapshot: Arc::clone(&last.snapshot), is_old: last.failed.is_some() })
    }

    /// Something was written: the next page shows it.
    pub(crate) fn forget(&self) {
        let mut last = self.last();
        if last.snapshot.taken != 0 {
            let old = &last.snapshot;
            last.snapshot = Arc::new(Snapshot {
                taken: 1,
                components: old.components.clone(),
                days: old.days.clone(),
                changes: old.changes.clone(),
                incidents: old.incidents.clone(),
            });
        }
    }
}

async fn read(db: &Db, now: i64) -> Result<Snapshot, Error> {
    Ok(Snapshot {
        taken: now,
        components: component::all(db).await?,
        days: day::shown(db, now).await?,
        changes: day::changes(db).await?,
        incidents: incident::since(db, now - day::SHOWN * time::DAY).await?,
    })
}
