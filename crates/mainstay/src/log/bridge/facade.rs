//! Records of the `log` facade.

use super::fields::{Fields, rendered};
use super::{Outlet, asks, tell};
use crate::config::Level;
use log::kv::{Error, Key, Value, VisitSource};
use log::{Metadata, Record};
use std::fmt::Write;

/// Passes records on to the log.
#[derive(Debug)]
pub(super) struct Facade(pub(super) Outlet);

impl log::Log for Facade {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let (level, is_trace) = level_of(metadata);
        self.0.log().is_some_and(|log| asks(log, level, is_trace, metadata.target()))
    }

    fn log(&self, record: &Record<'_>) {
        let metadata = record.metadata();
        let Some(log) = self.0.log().filter(|_| self.enabled(metadata)) else { return };
        let (level, _) = level_of(metadata);
        rendered(
            |fields| {
                fields.add("message", |out| out.write_fmt(*record.args()));
                // Our visitor does not fail, and what a source of its own says of its failure is lost.
                record.key_values().visit(&mut Visitor(fields)).ok();
            },
            |fields| tell(log, level, record.target(), false, fields, fields.len()),
        );
    }

    fn flush(&self) {}
}

fn level_of(metadata: &Metadata<'_>) -> (Level, bool) {
    // What the store of limits finds out at each attempt to reach a node is told once, by itself.
    let is_retold = ["redis::cluster", "redis::sentinel"];
    if is_retold.iter().any(|it| metadata.target().starts_with(it)) {
        return (Level::Debug, metadata.level() == log::Level::Trace);
    }
    match metadata.level() {
        log::Level::Trace => (Level::Debug, true),
        log::Level::Debug => (Level::Debug, false),
        log::Level::Info => (Level::Info, false),
        log::Level::Warn => (Level::Warning, false),
        log::Level::Error => (Level::Error, false),
    }
}

struct Visitor<'a>(&'a mut Fields);

impl<'kvs> VisitSource<'kvs> for Visitor<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        self.0.add(key.as_str(), |out| write!(out, "{value}"));
        Ok(())
    }
}
