//! Spans within requests, and outside of any.

use super::current;
use crate::log::Log;
use crate::telemetry::{Place, Running, Spans};
use std::sync::Arc;

/// Begins a span, if traces are recorded: at the place that `find` gives, which is given the request
/// that this thread works for, or as a trace of its own. A request that is not to be seen has none.
#[inline]
pub(crate) fn begin(
    log: &Log,
    find: impl FnOnce(Option<&Arc<Spans>>) -> Option<Place>,
) -> Option<Running> {
    let settings = log.tracing()?;
    let context = current::current();
    let request = match context.as_deref() {
        Some(context) => Some(context.spans.as_ref()?),
        None => None,
    };
    Some(Running::begin(log, settings, find(request)))
}
