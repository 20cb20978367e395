//! Spans of `tracing` as spans of a trace: where each belongs, and what failed in it.

use super::fields::Fields;
use crate::http::context::spans;
use crate::log::Log;
use crate::telemetry::Open;
use std::sync::Arc;
use tracing_core::Subscriber;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

/// Begins a span, if traces are recorded: under the closest one that belongs to the same request,
/// directly in the request, or as a trace of its own.
pub(super) fn begin<'a, S>(log: &Log, span: &SpanRef<'a, S>, is_root: bool) -> Option<Open>
where
    S: Subscriber + for<'b> LookupSpan<'b>,
{
    let running = spans::begin(log, |request| {
        if is_root {
            return None;
        }
        let parents = span.scope().skip(1);
        let mut places = parents.filter_map(|it| it.extensions().get::<Open>().map(Open::place));
        let within =
            places.find(|place| request.is_none_or(|request| Arc::ptr_eq(request, &place.spans)));
        within.or_else(|| request.map(crate::telemetry::Place::root))
    });
    running.map(Open::new)
}

/// Notes an error that was told in a span.
pub(super) fn note_error<S>(
    context: &Context<'_, S>,
    event: &tracing_core::Event<'_>,
    fields: &Fields,
) where
    S: Subscriber + for<'b> LookupSpan<'b>,
{
    let Some(span) = context.event_span(event) else { return };
    let told = |wanted: &[&str]| {
        fields.iter().find(|(key, _)| wanted.contains(key)).map(|(_, value)| value)
    };
    let message = told(&["error", "err"]).or_else(|| told(&["message"])).unwrap_or_default();
    if let Some(open) = span.extensions_mut().get_mut::<Open>() {
        open.failed(message);
    }
}
