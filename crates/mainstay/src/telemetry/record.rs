//! OTLP's `LogRecord`, as a field of `ScopeLogs`.

use super::attributes::{Attributes, capped};
use super::proto::Proto;
use crate::config::Level;
use std::fmt::Display;

/// The field `log_records` of `ScopeLogs`.
const RECORDS: u32 = 2;

/// One record of the error log. What is empty is not known.
pub(crate) struct LogRecord<'a> {
    /// Nanoseconds since the Unix epoch.
    pub(crate) wall: u64,
    pub(crate) level: Level,
    pub(crate) message: &'a dyn Display,
    /// The name of an event.
    pub(crate) event: &'a str,
    /// Hexadecimal digits.
    pub(crate) trace: &'a str,
    pub(crate) span: &'a str,
}

impl LogRecord<'_> {
    /// Appends the record with what `attributes` gives it.
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        attributes: impl FnOnce(&mut Attributes<'_, '_>),
    ) {
        let (number, name) = severity(self.level);
        Proto(out).message(RECORDS, |record| {
            record.fixed64(1, self.wall);
            record.varint(2, number);
            record.bytes(3, name.as_bytes());
            record.message(5, |body| body.text(1, capped(self.message).as_bytes()));
            let mut writer = Attributes::new(record, 6);
            attributes(&mut writer);
            let dropped = writer.dropped;
            record.varint(7, dropped.into());
            if let Some(trace) = from_hex::<16>(self.trace) {
                record.bytes(9, &trace);
                if let Some(span) = from_hex::<8>(self.span) {
                    record.bytes(10, &span);
                }
            }
            record.fixed64(11, self.wall);
            record.bytes(12, self.event.as_bytes());
        });
    }
}

/// OTLP's number of a level, and its name.
fn severity(level: Level) -> (u64, &'static str) {
    match level {
        Level::Debug => (5, "DEBUG"),
        Level::Info => (9, "INFO"),
        Level::Warning => (13, "WARN"),
        Level::Error => (17, "ERROR"),
        Level::Critical => (21, "FATAL"),
    }
}

/// The bytes of an id, if that is one.
fn from_hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes).filter(|it| *it != [0; N])
}
