//! What leaves the host: spans, log records and error reports, on their way from the process that made
//! them through its ring in the segment to watch, which sends them.

mod attributes;
mod open;
mod proto;
pub(crate) mod record;
pub(crate) mod redact;
pub(crate) mod sentry;
pub(crate) mod server;
pub(crate) mod settings;
pub(crate) mod span;
pub(crate) mod spans;
pub(crate) mod state;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use attributes::Shape;
pub(crate) use open::{Open, here};
pub(crate) use settings::Settings;
pub(crate) use spans::{Place, Running, Spans};

/// What a record of the telemetry ring holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Parcel {
    /// Spans, each as a field `spans` of OTLP's message `ScopeSpans` (tag, length, `Span`), so that records
    /// are put together by putting them behind each other.
    Spans = 1,
    /// Log records, each as a field `log_records` of OTLP's message `ScopeLogs`.
    Logs = 2,
    /// One event of Sentry, as JSON without the fields that watch adds.
    Report = 3,
}

/// The guide's examples are compiled.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../../../../docs/tracing.md")]
struct Guide;
