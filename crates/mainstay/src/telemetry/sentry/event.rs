//! One event as JSON: what went wrong, in which request, and what had happened before. Everything that
//! is told here has lost its secrets.

use super::scrub::{self, text};
use super::{Reports, frames, stamp};
use crate::http::context::{Context, Crumb};
use serde_json::{Map, Value, json};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Longest text, bytes.
const TEXT: usize = 8_192;

/// What is to be told.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    /// The name that somebody was given for it already.
    pub(crate) id: &'a str,
    pub(crate) level: Gravity,
    pub(crate) what: What<'a>,
    /// The request in which it happened.
    pub(crate) request: Option<&'a Context>,
    /// What it can be searched by.
    pub(crate) tags: Vec<(&'static str, String)>,
    /// The release that it is of, where that is not the process's own; empty where it is not known.
    pub(crate) release: Option<String>,
    /// What else is known.
    pub(crate) extra: Vec<(&'a str, Value)>,
    /// What makes two of them the same fault; empty where the server is to find out.
    pub(crate) fingerprint: Vec<String>,
}

/// How grave it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gravity {
    /// It cost a request, or some work.
    Error,
    /// It cost a process.
    Fatal,
}

/// What went wrong.
#[derive(Debug)]
pub(crate) enum What<'a> {
    /// An error with its causes, outermost first.
    Errors {
        chain: Vec<Fault<'a>>,
        /// How it was noticed.
        mechanism: &'static str,
        /// Somebody had expected it.
        handled: bool,
    },
    /// A record of a log.
    Message { logger: &'a str, message: &'a str },
}

/// One error.
#[derive(Debug, Default)]
pub(crate) struct Fault<'a> {
    /// The name of its type, or what stands for it.
    pub(crate) kind: String,
    pub(crate) value: String,
    /// File, line and column.
    pub(crate) place: Option<(&'a str, u32, u32)>,
    pub(crate) backtrace: Option<&'a Backtrace>,
}

impl Report<'_> {
    /// A number that two reports share that are of the same fault.
    pub(super) fn fault(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.fingerprint.hash(&mut hasher);
        match &self.what {
            What::Errors { chain, mechanism, .. } => {
                mechanism.hash(&mut hasher);
                for fault in chain {
                    fault.kind.hash(&mut hasher);
                }
                match chain.first().and_then(|fault| fault.place) {
                    Some(place) => place.hash(&mut hasher),
                    // Without their numbers texts of the same fault are the same.
                    None => chain.iter().for_each(|it| plain(&it.value).hash(&mut hasher)),
                }
            }
            What::Message { logger, message } => (logger, plain(message)).hash(&mut hasher),
        }
        hasher.finish()
    }

    /// The event as a process of this service reports it.
    pub(super) fn to_json(&self, of: &Reports, id: &str, wall: u64) -> Vec<u8> {
        let level = match self.level {
            Gravity::Error => "error",
            Gravity::Fatal => "fatal",
        };
        let mut event = Map::new();
        let mut say = |name: &str, value: Value| {
            // What is not known is left out.
            if value.as_str() != Some("") && !value.is_null() {
                event.insert(name.to_owned(), value);
            }
        };
        say("event_id", id.into());
        say("timestamp", stamp(wall).into());
        say("level", level.into());
        // There is no word for Rust; with this one frames are taken as they come.
        say("platform", "native".into());
        say("server_name", of.service.host.as_str().into());
        say("environment", of.service.environment.as_str().into());
        say("release", self.release.as_deref().unwrap_or(&of.release).into());
        match &self.what {
            What::Errors { chain, mechanism, handled } => {
                say("exception", exceptions(chain, mechanism, *handled));
            }
            What::Message { logger, message } => {
                say("logger", (*logger).into());
                say("logentry", json!({ "formatted": cut(&text(message)) }));
            }
        }
        let mut contexts = json!({
            "runtime": { "name": "rust" },
            "os": { "name": of.system.0, "kernel_version": of.system.1 },
        });
        let mut tags = Map::new();
        if let Some(request) = self.request {
            say("transaction", request.route.get().map_or("", AsRef::as_ref).into());
            say("request", head(request, of.pii));
            if of.pii
                && let Some(client) = request.client
            {
                say("user", json!({ "ip_address": client.to_string() }));
            }
            if request.trace.is_some() {
                let hex = |digits: &[u8]| String::from_utf8_lossy(digits).into_owned();
                let (trace, span) = (request.trace.trace_hex(), request.trace.span_hex());
                contexts["trace"] = json!({ "trace_id": hex(&trace), "span_id": hex(&span) });
            }
            let crumbs: Vec<Value> = request.crumbs().iter().map(crumb).collect();
            if !crumbs.is_empty() {
                say("breadcrumbs", json!({ "values": crumbs }));
            }
            tags.insert("request_id".into(), request.id.as_str().into());
        }
        tags.insert("worker".into(), of.slot.to_string().into());
        tags.insert("generation".into(), of.generation.to_string().into());
        for (name, value) in &self.tags {
            tags.insert((*name).to_owned(), value.as_str().into());
        }
        say("tags", tags.into());
        say("contexts", contexts);
        if !self.extra.is_empty() {
            let extra = self.extra.iter();
            let extra: Map<_, _> =
                extra.map(|(name, value)| ((*name).to_owned(), fact(name, value))).collect();
            say("extra", extra.into());
        }
        if !self.fingerprint.is_empty() {
            say("fingerprint", self.fingerprint.as_slice().into());
        }
        Value::Object(event).to_string().into_bytes()
    }
}

/// A chain as Sentry has it: the first cause first.
fn exceptions(chain: &[Fault<'_>], mechanism: &str, handled: bool) -> Value {
    let values = chain.iter().enumerate().rev().map(|(depth, fault)| {
        let mut exception = json!({ "type": fault.kind, "value": cut(&text(&fault.value)) });
        if depth == 0 {
            exception["mechanism"] = json!({ "type": mechanism, "handled": handled });
        }
        if let Some(trace) = trace(fault) {
            exception["stacktrace"] = trace;
        }
        exception
    });
    json!({ "values": values.collect::<Vec<_>>() })
}

fn trace(fault: &Fault<'_>) -> Option<Value> {
    let whole = fault.backtrace.filter(|it| it.status() == BacktraceStatus::Captured);
    let whole = whole.and_then(|trace| frames::of_backtrace(&trace.to_string()));
    whole.or_else(|| fault.place.map(|(file, line, column)| frames::of_place(file, line, column)))
}

fn head(request: &Context, pii: bool) -> Value {
    let (query, fields) = request.head();
    let Context { scheme, host, prefix, method, path, .. } = request;
    let host = if host.is_empty() { "localhost" } else { host.as_str() };
    let url = format!("{}://{host}{prefix}{path}", scheme.as_str());
    let mut headers = Map::new();
    for (name, value) in fields {
        let Some(value) = scrub::header(name, value, pii) else { continue };
        match headers.get_mut(name) {
            // Several lines are one list (RFC 9110, section 5.3).
            Some(Value::String(list)) => list.extend([", ", &*value]),
            _ => drop(headers.insert(name.to_owned(), value.into())),
        }
    }
    let mut head = json!({ "method": method, "url": cut(&text(&url)), "headers": headers });
    if !query.is_empty() {
        head["query_string"] = scrub::query(query).into();
    }
    head
}

fn crumb(crumb: &Crumb) -> Value {
    let mut told = json!({
        "timestamp": stamp(crumb.wall),
        "level": crumb.level,
        "category": crumb.category,
        "message": text(&crumb.message),
    });
    if !crumb.facts.is_empty() {
        let facts = crumb.facts.iter();
        let facts: Map<_, _> = facts
            .map(|(name, value)| (name.to_string(), scrub::field(name, value).into()))
            .collect();
        told["data"] = facts.into();
    }
    told
}

fn fact(name: &str, value: &Value) -> Value {
    match value {
        Value::String(value) => cut(&scrub::field(name, value)).into(),
        Value::Array(items) => items.iter().map(|item| fact(name, item)).collect(),
        other => other.clone(),
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT)).unwrap_or_default()
}

fn plain(text: &str) -> String {
    text.chars().filter(|it| !it.is_ascii_digit()).take(256).collect()
}
