//! Records and spans of `tracing`.

use super::fields::{Capped, Fields, chain, rendered};
use super::{Outlet, asks, spans, statements, tell};
use crate::config::Level;
use crate::log::levels::{self, Finest};
use crate::telemetry::{Open, Shape};
use std::error::Error;
use std::fmt::{self, Debug, Write};
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::subscriber::Interest;
use tracing_core::{Event, LevelFilter, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter, Layer};
use tracing_subscriber::registry::LookupSpan;

/// What `tracing-log` calls a record of the `log` facade, whose own target is a field.
const FROM_LOG: &str = "log";

/// Passes records on to the log. What it is given is what is written: [`Gate`] stands before it.
#[derive(Clone, Debug, Default)]
pub(super) struct Bridge(pub(super) Outlet);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Bridge {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::take();
        attributes.record(&mut Visitor(&mut fields));
        let Some(span) = context.span(id) else { return fields.give() };
        let open = self.0.log().and_then(|log| spans::begin(log, &span, attributes.is_root()));
        if open.is_none() && fields.is_empty() {
            return fields.give();
        }
        let mut extensions = span.extensions_mut();
        if let Some(open) = open {
            extensions.insert(open);
        }
        if fields.is_empty() {
            fields.give();
        } else {
            extensions.insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::take();
        // Before the span is locked: values are rendered by the application's own code.
        values.record(&mut Visitor(&mut fields));
        let mut extensions = span.extensions_mut();
        if let Some(old) = extensions.remove::<Fields>() {
            fields.inherit(&old);
            old.give();
        }
        extensions.insert(fields);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(log) = self.0.log() else { return };
        let metadata = event.metadata();
        let (level, _) = level_of(metadata);
        rendered(
            |fields| event.record(&mut Visitor(fields)),
            |fields| {
                if metadata.target() == statements::TARGET && statements::is_heard() {
                    return statements::pass(log, fields);
                }
                if level == Level::Error && log.tracing().is_some() {
                    spans::note_error(&context, event, fields);
                }
                let own = fields.len();
                // From the innermost outwards: the closest wins.
                for span in context.event_scope(event).into_iter().flatten() {
                    if let Some(of_span) = span.extensions().get::<Fields>() {
                        fields.inherit(of_span);
                    }
                }
                let target = metadata.target();
                tell(log, level, target, target == FROM_LOG, fields, own);
            },
        );
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let mut extensions = span.extensions_mut();
        let (fields, open) = (extensions.remove::<Fields>(), extensions.remove::<Open>());
        drop(extensions);
        if fields.is_none() && open.is_none() {
            return;
        }
        let fields = fields.unwrap_or_default();
        if let Some(open) = open {
            let metadata = span.metadata();
            open.close(metadata.name(), metadata.target(), fields.shaped());
        }
        fields.give();
    }
}

/// Lets pass what the levels in force ask for. Nothing is remembered for a call site, since levels
/// change; what is finer than any of them ask for does not get here at all (`max_level_hint`).
#[derive(Clone, Debug, Default)]
pub(super) struct Gate(pub(super) Outlet);

impl Gate {
    fn lets_pass(&self, metadata: &Metadata<'_>) -> bool {
        let (level, is_trace) = level_of(metadata);
        if statements::wants_all() && metadata.target() == statements::TARGET {
            return true;
        }
        let Some(log) = self.0.log() else { return false };
        // Traces have spans that the log, which shows their fields, may not ask for.
        let is_traced = metadata.is_span() && level >= Level::Info && log.tracing().is_some();
        is_traced || asks(log, level, is_trace, metadata.target())
    }

    fn finest(&self) -> LevelFilter {
        let finest =
            self.0.log().map_or(LevelFilter::OFF, |log| match levels::finest(log.segment()) {
                Finest::Trace => LevelFilter::TRACE,
                Finest::Level(Level::Debug) => LevelFilter::DEBUG,
                Finest::Level(Level::Info) => LevelFilter::INFO,
                Finest::Level(Level::Warning) => LevelFilter::WARN,
                Finest::Level(Level::Error) => LevelFilter::ERROR,
                Finest::Level(Level::Critical) => LevelFilter::OFF,
            });
        if statements::wants_all() {
            finest.max(LevelFilter::DEBUG)
        } else if self.0.log().is_some_and(|log| log.tracing().is_some()) {
            finest.max(LevelFilter::INFO)
        } else {
            finest
        }
    }
}

impl<S: Subscriber> Layer<S> for Gate {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.lets_pass(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.finest())
    }
}

impl<S> Filter<S> for Gate {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.lets_pass(metadata)
    }

    fn callsite_enabled(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.finest())
    }
}

/// The level in our terms, and whether it is finer than any of them.
fn level_of(metadata: &Metadata<'_>) -> (Level, bool) {
    match *metadata.level() {
        tracing_core::Level::TRACE => (Level::Debug, true),
        tracing_core::Level::DEBUG => (Level::Debug, false),
        tracing_core::Level::INFO => (Level::Info, false),
        tracing_core::Level::WARN => (Level::Warning, false),
        tracing_core::Level::ERROR => (Level::Error, false),
    }
}

struct Visitor<'a>(&'a mut Fields);

impl Visitor<'_> {
    fn add(&mut self, field: &Field, write: impl FnOnce(&mut Capped<'_>) -> fmt::Result) {
        self.add_as(Shape::Text, field, write);
    }

    fn add_as(
        &mut self,
        shape: Shape,
        field: &Field,
        write: impl FnOnce(&mut Capped<'_>) -> fmt::Result,
    ) {
        let name = field.name();
        self.0.add_as(shape, name.strip_prefix("r#").unwrap_or(name), write);
    }
}

impl Visit for Visitor<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add_as(Shape::Integer, field, |out| write!(out, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add_as(Shape::Integer, field, |out| write!(out, "{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add_as(Shape::Real, field, |out| write!(out, "{value:?}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add_as(Shape::Truth, field, |out| write!(out, "{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, |out| write!(out, "{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, |out| out.write_str(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.add(field, |out| chain(out, value));
    }
}
