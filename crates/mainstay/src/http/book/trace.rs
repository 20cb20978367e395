//! The span of a request: begun with it where traces are recorded, and made when it has ended, which
//! decides whether it is kept.

use super::Recorder;
use crate::http::context::{Context, TraceContext};
use crate::http::page::Page;
use crate::http::seen::Seen;
use crate::metrics::names;
use crate::metrics::requests::Series;
use crate::telemetry::server::{AGENT, Asked, Served};
use crate::telemetry::span::Span;
use crate::telemetry::{Settings, Spans, redact, state};
use http::Version;
use mainstay_os::segment::Exemplar;
use std::sync::Arc;

impl Recorder {
    /// What is passed on of the caller's `tracestate`, and the request's spans where they are wanted.
    #[inline]
    pub(super) fn carry(
        &self,
        tracing: Option<&Settings>,
        trace: &mut TraceContext,
        seen: &Seen<'_>,
        target: &str,
        version: Version,
    ) -> (String, Option<Arc<Spans>>) {
        // It means nothing without a trace.
        let state = seen.state.as_deref().filter(|_| trace.parent.is_some());
        let state = state.map(state::kept).unwrap_or_default();
        let spans = tracing
            .map(|settings| self.begin_spans(settings, trace, (seen, &state), target, version));
        (state, spans)
    }

    /// Begins the spans of a request, and says in `trace` whether it is sampled. `target` is as logs may
    /// show it, `state` what is passed on of the caller's.
    #[cold]
    fn begin_spans(
        &self,
        settings: &Settings,
        trace: &mut TraceContext,
        (seen, state): (&Seen<'_>, &str),
        target: &str,
        version: Version,
    ) -> Arc<Spans> {
        let parent = trace.parent.map(|_| trace.flags & 1 != 0);
        let is_sampled = settings.sampler.samples(&trace.trace_id, parent);
        trace.flags = trace.flags & !1 | u8::from(is_sampled);
        let TraceContext { trace_id, span_id, parent, flags } = *trace;
        let mut spans = Spans::new(&self.log, trace_id, span_id, parent, flags);
        spans.state.push_str(state);
        let agent = String::from_utf8_lossy(seen.agent_bytes().unwrap_or_default());
        let query = target.split_once('?').map_or("", |(_, query)| query);
        spans.asked = Asked {
            query: redact::query(query).into_owned(),
            agent: agent.get(..agent.floor_char_boundary(AGENT)).unwrap_or_default().to_owned(),
            version: match version {
                Version::HTTP_10 => "1.0",
                Version::HTTP_11 => "1.1",
                Version::HTTP_2 => "2",
                _ => "",
            },
        };
        Arc::new(spans)
    }

    /// Ends the part in its trace of a request that took `took` nanoseconds and was counted in `series`:
    /// its spans where they are recorded, and the histogram's way to the trace where somebody records it.
    #[cold]
    pub(super) fn end_trace(&self, page: &Page, context: &Context, series: Series, took: u64) {
        let TraceContext { trace_id: trace, span_id, parent, flags } = context.trace;
        let (is_recorded, span) = match &context.spans {
            Some(spans) => (self.end_spans(page, context, spans, took), span_id),
            // Only its caller has told of it.
            None => (flags & 1 != 0, parent.unwrap_or(span_id)),
        };
        if is_recorded {
            let time = self.wall(page.started).saturating_add(took);
            let exemplar = Exemplar { value: took, time, trace, span };
            self.lines().requests.exemplify(series, &exemplar);
        }
    }

    /// Ends the spans of a request. Gives whether they are kept.
    fn end_spans(&self, page: &Page, context: &Context, spans: &Spans, took: u64) -> bool {
        let Some(settings) = self.log.tracing() else { return false };
        let Asked { query, agent, version } = &spans.asked;
        let mut served = Served {
            method: &context.method,
            path: &context.path,
            query,
            scheme: context.scheme.as_str(),
            host: &context.host,
            route: context.route.get().map(AsRef::as_ref),
            agent,
            version,
            client: context.client,
            peer: context.peer,
            id: context.id.as_str(),
            // A client that left has seen none.
            status: if page.status == names::CLIENT_GONE { 0 } else { page.status },
            reason: page.reason,
            kept: "",
        };
        let kept = match (spans.is_sampled(), served.has_failed(), settings.is_slow(took)) {
            (true, ..) | (_, false, false) => "",
            (_, true, _) => "error",
            (_, _, true) => "slow",
        };
        served.kept = kept;
        let start = self.wall(page.started);
        let span = Span {
            trace: spans.trace,
            id: spans.root,
            parent: spans.parent,
            remote: Some(spans.parent.is_some()),
            state: &spans.state,
            flags: spans.flags,
            start,
            end: start.saturating_add(took),
            ..Span::default()
        };
        spans.end(!kept.is_empty(), |out| served.write(settings, &span, out));
        spans.is_sampled() || !kept.is_empty()
    }

    /// Whether the request is a health check that has neither line nor span.
    #[inline]
    pub(super) fn is_quiet(&self, path: &str) -> bool {
        self.book.quiet.as_ref().is_some_and(|paths| paths.probe(path).is_some())
    }
}
