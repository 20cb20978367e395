//! The trace as it goes on to other services (W3C Trace Context).

use super::current;
use super::{Context, TraceContext};
use crate::telemetry::here;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What a request to another service carries, so that its trace goes on there: the values of
/// `traceparent` and, if the caller sent a valid one, of `tracestate`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Outgoing {
    trace: TraceContext,
    state: String,
}

impl Outgoing {
    /// Of what this thread does: of the current span of `tracing` if traces are recorded, of the request
    /// that is handled here, or none.
    #[must_use]
    pub fn current() -> Option<Outgoing> {
        match current::current() {
            Some(context) => Some(Outgoing::of(&context)).filter(|it| it.trace.is_some()),
            None => {
                let place = here(None)?;
                let spans = &place.spans;
                let trace = TraceContext {
                    trace_id: spans.trace,
                    span_id: place.parent,
                    parent: None,
                    flags: spans.flags,
                };
                Some(Outgoing { trace, state: spans.state.clone() })
            }
        }
    }

    pub(super) fn of(context: &Context) -> Outgoing {
        let within = context.spans.as_ref().and_then(|spans| here(Some(spans)));
        let span_id = within.map_or(context.trace.span_id, |place| place.parent);
        Outgoing { trace: TraceContext { span_id, ..context.trace }, state: context.state.clone() }
    }

    /// The value of `traceparent`.
    #[must_use]
    pub fn traceparent(&self) -> String {
        self.trace.to_string()
    }

    /// The value of `tracestate`, if there is one.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        Some(self.state.as_str()).filter(|state| !state.is_empty())
    }

    /// Puts both into the headers of a request, in place of what was there. Does nothing for a request
    /// that has no trace, which is one whose head was refused.
    pub fn put(&self, headers: &mut HeaderMap) {
        if let (true, Ok(trace)) = (self.trace.is_some(), HeaderValue::try_from(self.traceparent()))
        {
            headers.insert(TRACEPARENT, trace);
            headers.remove(TRACESTATE);
            if let Some(state) = self.tracestate().and_then(|it| HeaderValue::from_str(it).ok()) {
                headers.insert(TRACESTATE, state);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_of_another_request_get_this_trace_in_place_of_theirs() {
        let context = Context::begin(|context| {
            context.trace = TraceContext::within([0xab; 16], [7; 8], 1);
            context.state.push_str("a=1");
        });
        let mut headers = HeaderMap::new();
        headers.insert(TRACESTATE, HeaderValue::from_static("old=1"));
        headers.insert(TRACEPARENT, HeaderValue::from_static("old"));
        Outgoing::of(&context).put(&mut headers);
        assert_eq!(headers["traceparent"], context.trace.to_string());
        assert_eq!((headers["tracestate"].as_bytes(), headers.len()), (&b"a=1"[..], 2));

        let mut none = HeaderMap::new();
        Outgoing::of(&Context::begin(|_| {})).put(&mut none);
        assert!(none.is_empty(), "no trace is no header");
    }
}
