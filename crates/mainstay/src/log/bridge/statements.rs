//! Statements of databases, of which sqlx tells through `tracing`: their texts may hold values, so they
//! go to whoever knows how to tell of them, and to the log only without one.

use super::fields::Fields;
use crate::log::Log;
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

/// The target under which sqlx tells.
pub(super) const TARGET: &str = "sqlx::query";

static LISTENER: OnceLock<Box<dyn Listener>> = OnceLock::new();

/// One statement that has ended.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "database"), allow(dead_code, reason = "nobody else listens"))]
pub(crate) struct Told<'a> {
    /// Its text, values included.
    pub(crate) text: &'a str,
    pub(crate) rows: u64,
    pub(crate) affected: u64,
    pub(crate) took: Duration,
}

/// Who makes lines of it.
pub(crate) trait Listener: fmt::Debug + Send + Sync {
    /// Whether it is to be told of all; otherwise of those alone that sqlx finds slow.
    fn wants_all(&self) -> bool;
    /// A statement has ended, in the request that this thread works for.
    fn statement(&self, log: &Log, told: &Told<'_>);
}

/// From now on `listener` is told. The first one stays. Other records of sqlx's finer than the levels in
/// force are still held back.
#[cfg_attr(not(feature = "database"), allow(dead_code, reason = "nobody else listens"))]
pub(crate) fn listen(listener: impl Listener + 'static) {
    LISTENER.set(Box::new(listener)).ok();
    tracing_core::callsite::rebuild_interest_cache();
}

/// Whether somebody listens who wants to be told of all.
pub(super) fn wants_all() -> bool {
    LISTENER.get().is_some_and(|listener| listener.wants_all())
}

/// Whether somebody listens.
pub(super) fn is_heard() -> bool {
    LISTENER.get().is_some()
}

/// Passes on what a record says.
pub(super) fn pass(log: &Log, fields: &Fields) {
    let Some(listener) = LISTENER.get() else { return };
    let field = |name: &str| fields.iter().find(|(key, _)| *key == name).map(|(_, value)| value);
    let number = |name| field(name).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    // A short text is all summary.
    let text = field("db.statement").filter(|text| !text.trim().is_empty());
    let text = text.or_else(|| field("summary")).unwrap_or_default().trim();
    let took = Duration::try_from_secs_f64(number("elapsed_secs")).unwrap_or_default();
    let (rows, affected) = (number("rows_returned") as u64, number("rows_affected") as u64);
    listener.statement(log, &Told { text, rows, affected, took });
}
