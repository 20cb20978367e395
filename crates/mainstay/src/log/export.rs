//! Lines of the error log as records for receivers elsewhere.

use super::line::Line;
use crate::telemetry::record::LogRecord;

/// Appends the record that says what the line says.
pub(super) fn write(line: &Line<'_>, out: &mut Vec<u8>) {
    let context = line.context.unwrap_or_default();
    let record = LogRecord {
        wall: line.wall,
        level: line.level,
        message: line.message,
        event: line.action.unwrap_or_default(),
        trace: context.trace_id,
        span: context.span_id,
    };
    record.write(out, |it| {
        it.text("log.logger", line.logger);
        it.integer("process.pid", line.pid.into());
        for (key, value) in [
            ("http.request.id", context.request_id),
            ("http.request.method", context.method),
            ("url.path", context.path),
            ("http.route", context.route),
            ("client.address", context.client),
            ("user.name", context.user),
            ("rule.name", context.rule),
            ("event.category", context.category),
            ("event.outcome", context.outcome),
        ] {
            it.text(key, value);
        }
        if let Some(error) = line.error {
            it.text("exception.type", error.type_);
            it.text("exception.message", error.message);
            it.text("exception.stacktrace", error.stack_trace);
            it.text("error.id", error.id);
        }
        for (key, value) in line.fields {
            it.shown(key, value);
        }
    });
}
