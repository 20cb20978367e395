//! A record of the application: a line of the error log, as events are.

use super::Log;
use super::line::{Line, LineContext, LineError};
use crate::config::Level;
use std::fmt::Display;

/// What the application has to tell, rendered; nothing of its own code runs any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) level: Level,
    /// The path of the module that speaks.
    pub(crate) logger: &'a str,
    pub(crate) message: &'a str,
    /// Further facts, each key once.
    pub(crate) fields: &'a [(&'a str, &'a str)],
    pub(crate) error: Option<ErrorFacts<'a>>,
    /// The request that it belongs to.
    pub(crate) context: Option<RecordContext<'a>>,
}

/// What failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ErrorFacts<'a> {
    /// The error and its causes, outermost first: `a: b: c`.
    pub(crate) message: &'a str,
}

/// The request that a record belongs to.
pub(crate) type RecordContext<'a> = LineContext<'a>;

impl Log {
    /// Writes the record's line. Whether its level is asked for is the caller's to know.
    pub(crate) fn record(&self, record: &Record<'_>) {
        let fields: Vec<(&str, &dyn Display)> =
            record.fields.iter().map(|(key, value)| (*key, value as &dyn Display)).collect();
        self.write(|wall, pid| Line {
            wall,
            pid,
            level: record.level,
            logger: record.logger,
            message: &record.message,
            fields: &fields,
            context: record.context,
            error: record
                .error
                .map(|error| LineError { message: error.message, ..LineError::default() }),
            action: None,
            in_nginx: None,
        });
    }
}
