//! Spans of `tracing` that are open: what the bridge keeps with each, and the one that runs here.

use super::attributes::Shape;
use super::span::{Exception, Span, SpanKind, Status};
use super::spans::{Place, Running, Spans};
use crate::clock;
use std::sync::Arc;
use tracing_core::dispatcher;
use tracing_subscriber::registry::{LookupSpan, Registry};

/// What is known of an open span, among the registry's extensions.
#[derive(Debug)]
pub(crate) struct Open {
    running: Running,
    /// The first error that was told within it, and when.
    error: Option<(u64, String)>,
}

impl Open {
    pub(crate) fn new(running: Running) -> Open {
        Open { running, error: None }
    }

    /// What happens within it happens here.
    pub(crate) fn place(&self) -> Place {
        Place { spans: Arc::clone(&self.running.spans), parent: self.running.id }
    }

    /// An error was told within it.
    pub(crate) fn failed(&mut self, message: &str) {
        if self.error.is_none() {
            self.error = Some((clock::wall(), message.to_owned()));
        }
    }

    /// It has ended. Fields whose names begin with `otel.` say what its name cannot, as users of
    /// `tracing-opentelemetry` know them.
    pub(crate) fn close<'a>(
        self,
        name: &'a str,
        target: &str,
        fields: impl Iterator<Item = (&'a str, &'a str, Shape)> + Clone,
    ) {
        let said = |wanted: &str| {
            fields.clone().find(|(key, ..)| *key == wanted).map(|(_, value, _)| value)
        };
        let kind = match said("otel.kind").unwrap_or_default() {
            kind if kind.eq_ignore_ascii_case("client") => SpanKind::Client,
            kind if kind.eq_ignore_ascii_case("server") => SpanKind::Server,
            kind if kind.eq_ignore_ascii_case("producer") => SpanKind::Producer,
            kind if kind.eq_ignore_ascii_case("consumer") => SpanKind::Consumer,
            _ => SpanKind::Internal,
        };
        let exception = self.error.as_ref();
        let exception = exception.map(|(wall, message)| Exception { wall: *wall, message });
        let why = said("otel.status_description").or(said("otel.status_message"));
        let why = why.or(exception.map(|it| it.message)).unwrap_or_default();
        let status = match said("otel.status_code") {
            Some(code) if code.eq_ignore_ascii_case("error") => Status::Error(why),
            Some(code) if code.eq_ignore_ascii_case("ok") => Status::Ok,
            _ if exception.is_some() => Status::Error(why),
            _ => Status::Unset,
        };
        let name = said("otel.name").unwrap_or(name);
        let span = Span { name, kind, status, exception, ..Span::default() };
        let failed = matches!(status, Status::Error(_));
        self.running.end(clock::mono(), failed, &span, |attributes| {
            attributes.text("code.namespace", target);
            for (key, value, shape) in fields.filter(|(key, ..)| !key.starts_with("otel.")) {
                attributes.of_shape(key, value, shape);
            }
        });
    }
}

/// Where this thread is: in the current span of `tracing`, if that is one of `request`'s or there is no
/// request, else directly in the request.
pub(crate) fn here(request: Option<&Arc<Spans>>) -> Option<Place> {
    let within =
        current().filter(|place| request.is_none_or(|request| Arc::ptr_eq(request, &place.spans)));
    within.or_else(|| request.map(Place::root))
}

/// The innermost span of `tracing` that is recorded.
fn current() -> Option<Place> {
    dispatcher::get_default(|dispatch| {
        let current = dispatch.current_span();
        let span = dispatch.downcast_ref::<Registry>()?.span(current.id()?)?;
        span.scope().find_map(|span| span.extensions().get::<Open>().map(Open::place))
    })
}
