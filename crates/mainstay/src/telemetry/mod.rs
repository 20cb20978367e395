//! What leaves the host: spans, log records and error reports, on their way from the process that made
//! them through its ring in the segment to watch, which sends them.

pub(crate) mod sentry;

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
