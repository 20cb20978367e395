//! One line of the application and error log, in one of three formats, always one line: control
//! characters are escaped, so that nothing a peer sent begins a line of its own, and what is too long is
//! cut at a marked place, the stack trace first.

use super::Service;
use super::digits;
use super::ecs::push_service;
use super::escape::{Escape, Style};
use super::stamps::Stamps;
use crate::config::Level;
use std::fmt::{Display, Write};

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LineFormat {
    /// `[2026-11-22 10:10:52 +0000] [pid] [LEVEL] message`.
    #[default]
    Gunicorn,
    /// `2026-11-22 10:10:52,123 - name - LEVEL - message`.
    Text,
    /// One JSON object.
    Ecs,
    /// `2026/11/22 10:10:52 [warn] pid#0: *0 message, client: 203.0.113.9, server: , request: "GET /"`.
    Nginx,
}

/// What a line tells.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    /// Nanoseconds since the Unix epoch.
    pub(crate) wall: u64,
    pub(crate) pid: u32,
    pub(crate) level: Level,
    /// `mainstay.error`, or the path of the module that speaks.
    pub(crate) logger: &'a str,
    pub(crate) message: &'a dyn Display,
    /// Further facts: `key=value`, or `labels.key`.
    pub(crate) fields: &'a [(&'a str, &'a dyn Display)],
    /// The request that it belongs to.
    pub(crate) context: Option<LineContext<'a>>,
    pub(crate) error: Option<LineError<'a>>,
    /// Name of the event.
    pub(crate) action: Option<&'a str>,
    /// The message in the words of nginx, where it has some.
    pub(crate) in_nginx: Option<&'a dyn Display>,
}

/// The request that a line belongs to. What is empty is not known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LineContext<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) trace_id: &'a str,
    pub(crate) span_id: &'a str,
    pub(crate) route: &'a str,
    pub(crate) client: &'a str,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// Whom it is about. Text lines name him in the message.
    pub(crate) user: &'a str,
    /// The category and the outcome by ECS, of what is none of the web's own.
    pub(crate) category: &'a str,
    pub(crate) outcome: &'a str,
    /// The limit that it is about. Text lines say what it allows in the message.
    pub(crate) rule: &'a str,
}

/// What failed. What is empty is not known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LineError<'a> {
    pub(crate) type_: &'a str,
    pub(crate) message: &'a str,
    pub(crate) stack_trace: &'a str,
    /// The one that the client was told.
    pub(crate) id: &'a str,
}

/// Appends the line with its newline to `out`: at most `max_line` bytes, which are [`LEAST`] at least.
pub(crate) fn render(
    format: LineFormat,
    service: &Service,
    line: &Line<'_>,
    stamps: &mut Stamps,
    max_line: usize,
    out: &mut Vec<u8>,
) {
    let max_line = max_line.max(LEAST);
    let (start, end) = (out.len(), out.len() + max_line);
    // First as it is. A line that has no room for everything but its stack trace is written again,
    // with room for each of its texts.
    for (message, text) in [(usize::MAX, usize::MAX), (max_line / 4, max_line / 16)] {
        out.truncate(start);
        let mut writer = Writer { out, start, end, text, is_cut: false };
        match format {
            LineFormat::Gunicorn | LineFormat::Text => {
                writer.head(format, line, stamps, message);
                writer.text_tail(line);
            }
            LineFormat::Ecs => writer.object(service, line, stamps, message),
            LineFormat::Nginx => writer.nginx(line, stamps, message),
        }
        if !writer.is_cut {
            break;
        }
    }
    if let Some(error) = line.error.filter(|error| !error.stack_trace.is_empty()) {
        stack_trace(format, error.stack_trace, end, out);
    }
    if format == LineFormat::Ecs {
        out.push(b'}');
    }
    out.push(b'\n');
}

/// Shortest cap of a line: what describes the service always fits.
pub(crate) const LEAST: usize = 2_000;
/// Bytes that an object may have besides its texts, on the safe side.
const CONSTANT: usize = 1_500;
/// Bytes that the name of a logger or a field may have.
const NAME: usize = 128;
/// Kept free for what closes an object: `,"labels.truncated":"true"}`, a quote and the newline.
const RESERVE: usize = 32;
const TRUNCATED: &[u8] = b",\"labels.truncated\":\"true\"";

/// As much of a stack trace as there is room for.
fn stack_trace(format: LineFormat, text: &str, end: usize, out: &mut Vec<u8>) {
    let is_json = format == LineFormat::Ecs;
    // The mark stands already when something else was cut.
    let is_marked = out.ends_with(TRUNCATED);
    if is_marked {
        out.truncate(out.len() - TRUNCATED.len());
    }
    let key: &[u8] = if is_json { b",\"error.stack_trace\":\"" } else { b" stack_trace=\"" };
    let style = if is_json { Style::Json } else { Style::Text(b'"') };
    let room = end.saturating_sub(out.len() + key.len() + RESERVE);
    let mut is_cut = true;
    // Less says nothing.
    if room >= 40 {
        out.extend_from_slice(key);
        is_cut = super::escape::push(out, text.as_bytes(), style, room);
        out.push(b'"');
    }
    if is_json && (is_cut || is_marked) {
        out.extend_from_slice(TRUNCATED);
    }
}

fn label(level: Level) -> &'static str {
    match level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warning => "WARNING",
        Level::Error => "ERROR",
        Level::Critical => "CRITICAL",
    }
}

fn lower_label(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
        Level::Critical => "critical",
    }
}

/// One attempt at a line.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    /// Where the line must end.
    end: usize,
    /// Bytes for each text but the message.
    text: usize,
    /// Something did not fit.
    is_cut: bool,
}

impl Writer<'_> {
    /// Bytes that may still be written.
    fn room(&self) -> usize {
        self.end.saturating_sub(self.out.len() + RESERVE)
    }

    fn value(&mut self, value: &dyn Display, style: Style, cap: usize) {
        let cap = cap.min(self.room());
        let mut escape = Escape::new(self.out, style, cap);
        // A Display that fails has written what it could.
        let is_whole = write!(escape, "{value}").is_ok();
        self.is_cut |= escape.is_cut() || !is_whole;
    }

    /// A field as a whole, or none of it.
    fn field(&mut self, write: impl FnOnce(&mut Self)) {
        let start = self.out.len();
        write(self);
        if self.out.len() + RESERVE > self.end {
            self.out.truncate(start);
            self.is_cut = true;
        }
    }

    /// Up to the message.
    fn head(&mut self, format: LineFormat, line: &Line<'_>, stamps: &mut Stamps, message: usize) {
        let level = label(line.level).as_bytes();
        if format == LineFormat::Gunicorn {
            stamps.gunicorn(line.wall, self.out);
            self.out.extend_from_slice(b" [");
            digits::push(self.out, u64::from(line.pid));
            self.out.extend_from_slice(b"] [");
            self.out.extend_from_slice(level);
            self.out.extend_from_slice(b"] ");
        } else {
            stamps.text(line.wall, self.out);
            self.out.extend_from_slice(b" - ");
            self.value(&line.logger, Style::Message, NAME);
            self.out.extend_from_slice(b" - ");
            self.out.extend_from_slice(level);
            self.out.extend_from_slice(b" - ");
        }
        self.value(line.message, Style::Message, message);
    }

    /// A line as nginx writes it. The connection's number is not known here.
    fn nginx(&mut self, line: &Line<'_>, stamps: &mut Stamps, message: usize) {
        let start = self.out.len();
        stamps.text(line.wall, self.out);
        // Without the milliseconds, and with slashes.
        self.out.truncate(start + 19);
        for at in [start + 4, start + 7] {
            self.out[at] = b'/';
        }
        self.out.extend_from_slice(b" [");
        let level: &[u8] = match line.level {
            Level::Debug => b"debug",
            Level::Info => b"info",
            Level::Warning => b"warn",
            Level::Error => b"error",
            Level::Critical => b"crit",
        };
        self.out.extend_from_slice(level);
        self.out.extend_from_slice(b"] ");
        digits::push(self.out, u64::from(line.pid));
        self.out.extend_from_slice(b"#0: *0 ");
        // What others say must not begin as what is known by its words.
        if line.logger != super::LOGGER {
            self.value(&line.logger, Style::Message, NAME);
            self.out.extend_from_slice(b": ");
        }
        self.value(line.in_nginx.unwrap_or(line.message), Style::Message, message);
        self.facts(line);
        let Some(context) = line.context else { return };
        self.field(|it| {
            if !context.client.is_empty() {
                it.out.extend_from_slice(b", client: ");
                it.value(&context.client, Style::Message, it.text);
                it.out.extend_from_slice(b", server: ");
            }
            if !context.method.is_empty() {
                it.out.extend_from_slice(b", request: \"");
                it.value(&context.method, Style::Text(b'"'), it.text);
                it.out.push(b' ');
                it.value(&context.path, Style::Text(b'"'), it.text);
                it.out.push(b'"');
            }
        });
    }

    /// What is told of the thing itself, and of what failed.
    fn facts(&mut self, line: &Line<'_>) {
        for (key, value) in line.fields {
            self.pair(key, value);
        }
        if let Some(error) = &line.error {
            let known =
                [("error_type", error.type_), ("error", error.message), ("error_id", error.id)];
            known.iter().for_each(|(key, value)| self.known(key, value));
        }
    }

    /// Behind the message of a text line.
    fn text_tail(&mut self, line: &Line<'_>) {
        self.facts(line);
        let Some(context) = line.context else { return };
        let known = [
            ("request_id", context.request_id),
            ("client", context.client),
            ("route", context.route),
            ("method", context.method),
            ("path", context.path),
            ("trace_id", context.trace_id),
        ];
        let open = self.out.len();
        known.iter().for_each(|(key, value)| self.known(key, value));
        if let Some(first) = self.out.get_mut(open..).filter(|text| !text.is_empty()) {
            // Each pair begins with a blank: the first one's goes before the bracket.
            first[0] = b'[';
            self.out.insert(open, b' ');
            self.out.push(b']');
        }
    }

    fn known(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.pair(key, &value);
        }
    }

    /// ` key=value`, with quotes where the value would not be told from what follows.
    fn pair(&mut self, key: &str, value: &dyn Display) {
        self.field(|it| {
            it.out.push(b' ');
            it.value(&key, Style::Text(b'='), NAME);
            it.out.push(b'=');
            let start = it.out.len();
            it.value(value, Style::Text(b'"'), it.text);
            let written = it.out.get(start..).unwrap_or_default();
            if written.is_empty() || written.iter().any(|byte| b" =\"[]\\\t".contains(byte)) {
                it.out.insert(start, b'"');
                it.out.push(b'"');
            }
        });
    }

    fn object(&mut self, service: &Service, line: &Line<'_>, stamps: &mut Stamps, message: usize) {
        self.out.extend_from_slice(b"{\"@timestamp\":\"");
        stamps.ecs(line.wall, self.out);
        self.out.extend_from_slice(b"\",\"log.level\":\"");
        self.out.extend_from_slice(lower_label(line.level).as_bytes());
        self.out.extend_from_slice(b"\",\"message\":\"");
        // What is behind the message has its room.
        let cap = message.min(self.end - self.start - CONSTANT);
        self.value(line.message, Style::Json, cap);
        self.out.extend_from_slice(b"\",");
        self.field(|it| push_service(service, line.logger, "error", it.out));
        self.out.extend_from_slice(b",\"process.pid\":");
        digits::push(self.out, u64::from(line.pid));
        self.kind(line);
        if let Some(context) = line.context {
            for (key, value) in [
                ("http.request.id", context.request_id),
                ("trace.id", context.trace_id),
                ("span.id", context.span_id),
                ("transaction.id", context.span_id),
                ("client.ip", context.client),
                ("http.request.method", context.method),
                ("url.path", context.path),
                ("labels.route", context.route),
                ("user.name", context.user),
                ("rule.name", context.rule),
            ] {
                self.member(key, value);
            }
        }
        if let Some(error) = &line.error {
            self.member("error.type", error.type_);
            self.member("error.id", error.id);
            self.member("error.message", error.message);
        }
        for (key, value) in line.fields {
            self.labelled(key, value);
        }
        if self.is_cut {
            self.out.extend_from_slice(TRUNCATED);
        }
    }

    /// The categories of the event.
    fn kind(&mut self, line: &Line<'_>) {
        self.out.extend_from_slice(b",\"event.kind\":\"event\"");
        let context = line.context.unwrap_or_default();
        if line.context.is_some() || line.error.is_some() {
            let category = if context.category.is_empty() { "web" } else { context.category };
            self.out.extend_from_slice(b",\"event.category\":[\"");
            self.out.extend_from_slice(category.as_bytes());
            self.out.extend_from_slice(b"\"]");
        }
        self.member("event.outcome", context.outcome);
        if line.error.is_some() {
            let error = b",\"event.type\":[\"error\"],\"event.outcome\":\"failure\"";
            self.out.extend_from_slice(error);
        }
        let exception = line.error.map(|_| "exception");
        self.member("event.action", line.action.or(exception).unwrap_or_default());
    }

    /// A field of the schema, unless it is empty.
    fn member(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.field(|it| {
                it.out.extend_from_slice(b",\"");
                it.out.extend_from_slice(key.as_bytes());
                it.out.extend_from_slice(b"\":\"");
                it.value(&value, Style::Json, it.text);
                it.out.push(b'"');
            });
        }
    }

    /// A field of the application's own; its key must not look like a path.
    fn labelled(&mut self, key: &str, value: &dyn Display) {
        self.field(|it| {
            it.out.extend_from_slice(b",\"labels.");
            let start = it.out.len();
            it.value(&key, Style::Json, NAME);
            for byte in it.out.iter_mut().skip(start) {
                if matches!(byte, b'.' | b'*' | b' ') {
                    *byte = b'_';
                }
            }
            it.out.extend_from_slice(b"\":\"");
            it.value(value, Style::Json, it.text);
            it.out.push(b'"');
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WALL: u64 = 1_795_342_252_123_000_000;

    fn line<'a>(message: &'a dyn Display, fields: &'a [(&'a str, &'a dyn Display)]) -> Line<'a> {
        let (level, logger) = (Level::Warning, "shop::cart");
        Line {
            wall: WALL,
            pid: 42,
            level,
            logger,
            message,
            fields,
            context: None,
            error: None,
            action: None,
            in_nginx: None,
        }
    }

    fn rendered(format: LineFormat, line: &Line<'_>, max_line: usize) -> String {
        let service = Service { name: "shop".into(), version: "1".into(), ..Service::default() };
        let mut out = b"before\n".to_vec();
        render(format, &service, line, &mut Stamps::new(|_| 0), max_line, &mut out);
        let text = String::from_utf8(out).unwrap();
        let line = text.strip_prefix("before\n").unwrap();
        assert!(line.len() <= max_line.max(LEAST), "{}", line.len());
        assert_eq!(line.find('\n'), Some(line.len() - 1), "{line}");
        line.trim_end_matches('\n').to_owned()
    }

    fn context() -> LineContext<'static> {
        LineContext {
            request_id: "req-1",
            client: "203.0.113.9",
            route: "/cart/{id}",
            method: "GET",
            path: "/cart/1",
            trace_id: "0af7651916cd43dd8448eb211c80319c",
            span_id: "b7ad6b7169203331",
            ..LineContext::default()
        }
    }

    #[test]
    fn a_line_has_the_form_of_its_format() {
        let line = line(&"Handling signal: hup", &[]);
        for (format, text) in [
            (
                LineFormat::Gunicorn,
                "[2026-11-22 10:10:52 +0000] [42] [WARNING] Handling signal: hup",
            ),
            (
                LineFormat::Text,
                "2026-11-22 10:10:52,123 - shop::cart - WARNING - Handling signal: hup",
            ),
            (
                LineFormat::Ecs,
                concat!(
                    r#"{"@timestamp":"2026-11-22T10:10:52.123Z","log.level":"warning","#,
                    r#""message":"Handling signal: hup","ecs.version":"9.4.0","log.logger":"shop::cart","#,
                    r#""service.name":"shop","service.version":"1","event.dataset":"shop.error","#,
                    r#""process.pid":42,"event.kind":"event"}"#,
                ),
            ),
        ] {
            assert_eq!(rendered(format, &line, 8_000), text);
        }
    }

    #[test]
    fn a_line_knows_its_facts_its_request_and_what_failed() {
        let line = Line {
            context: Some(context()),
            error: Some(LineError {
                type_: "sqlx::Error",
                message: "no \"cart\"",
                stack_trace: "a\n  b",
                id: "err-1",
            }),
            action: Some("request.failed"),
            ..line(&"It failed", &[("rows", &3), ("sql.text", &"select 1")])
        };
        assert_eq!(
            rendered(LineFormat::Gunicorn, &line, 8_000),
            concat!(
                r#"[2026-11-22 10:10:52 +0000] [42] [WARNING] It failed rows=3 sql.text="select 1" "#,
                r#"error_type=sqlx::Error error="no \"cart\"" error_id=err-1 "#,
                r#"[request_id=req-1 client=203.0.113.9 route=/cart/{id} method=GET path=/cart/1 "#,
                r#"trace_id=0af7651916cd43dd8448eb211c80319c] stack_trace="a\x0a  b""#,
            )
        );
        let ecs = rendered(LineFormat::Ecs, &line, 8_000);
        let object: serde_json::Value = serde_json::from_str(&ecs).unwrap();
        for (key, value) in [
            ("event.action", "request.failed"),
            ("event.outcome", "failure"),
            ("error.type", "sqlx::Error"),
            ("error.message", "no \"cart\""),
            ("error.stack_trace", "a\n  b"),
            ("error.id", "err-1"),
            ("http.request.id", "req-1"),
            ("labels.route", "/cart/{id}"),
            ("labels.sql_text", "select 1"),
            ("labels.rows", "3"),
        ] {
            assert_eq!(object[key], value, "{key}");
        }
    }

    #[test]
    fn nginx_s_form_tells_the_client_and_others_are_named_before_what_they_say() {
        let line = Line { context: Some(context()), ..line(&"mine", &[("rows", &3)]) };
        let shown = |line: &Line<'_>| rendered(LineFormat::Nginx, line, 8_000);
        let tail = ", client: 203.0.113.9, server: , request: \"GET /cart/1\"";
        let head = "2026/11/22 10:10:52 [warn] 42#0: *0 ";
        assert_eq!(shown(&line), format!("{head}shop::cart: mine rows=3{tail}"));
        let words: &dyn Display = &"limiting requests";
        let line = Line { logger: "mainstay.error", fields: &[], in_nginx: Some(words), ..line };
        assert_eq!(shown(&line), format!("{head}limiting requests{tail}"));
    }

    #[test]
    fn what_is_about_a_user_has_a_category_and_an_outcome_of_its_own() {
        let context =
            LineContext { user: "alice", category: "session", outcome: "success", ..context() };
        let context = LineContext { rule: "POST /login", ..context };
        let line = Line { context: Some(context), ..line(&"session_created:alice", &[]) };
        let ecs = rendered(LineFormat::Ecs, &line, 8_000);
        let object: serde_json::Value = serde_json::from_str(&ecs).unwrap();
        let members =
            [("user.name", "alice"), ("event.outcome", "success"), ("rule.name", "POST /login")];
        for (key, value) in members {
            assert_eq!(object[key], value, "{key}");
        }
        assert_eq!(object["event.category"], serde_json::json!(["session"]));
        assert_eq!(object["client.ip"], "203.0.113.9");
    }

    #[test]
    fn nothing_in_a_text_begins_a_line_of_its_own() {
        let forged = "a\n[2026] [1] [INFO] b\r\u{1b}[31m\u{2028}c\u{85}é";
        let shown = rendered(LineFormat::Gunicorn, &line(&forged, &[]), 8_000);
        let text = r"a\x0a[2026] [1] [INFO] b\x0d\x1b[31m\xe2\x80\xa8c\xc2\x85é";
        assert!(shown.ends_with(text), "{shown}");
    }

    #[test]
    fn the_stack_trace_is_cut_before_the_message() {
        let (trace, message) = ("frame\n".repeat(3_000), "m".repeat(3_000));
        let error = LineError { message: "why", stack_trace: &trace, ..LineError::default() };
        let line = Line { error: Some(error), ..line(&message, &[]) };
        for format in [LineFormat::Gunicorn, LineFormat::Text, LineFormat::Ecs] {
            let shown = rendered(format, &line, 8_000);
            assert!(shown.len() > 7_900 && shown.contains(&message), "{shown}");
        }
        let object: serde_json::Value =
            serde_json::from_str(&rendered(LineFormat::Ecs, &line, 8_000)).unwrap();
        assert_eq!(object["labels.truncated"], "true");
        assert!(object["error.stack_trace"].as_str().unwrap().ends_with("..."));
        assert_eq!(object["error.message"], "why");
    }

    proptest! {
        #[test]
        fn any_line_in_any_format_is_one_line_within_the_cap(
            message in "(\\PC|\n|\"|\\\\){0,20}", times in 1_usize..400, max_line in 0_usize..9_000,
            count in 0_usize..12,
        ) {
            let (message, long) = (message.repeat(times), message.repeat(times / 10));
            let key = long.as_str();
            let fields: Vec<(&str, &dyn Display)> = (0..count).map(|_| (key, &message as &dyn Display)).collect();
            let context = LineContext { route: &message, path: &message, request_id: key, ..context() };
            let error = LineError { type_: key, message: &message, stack_trace: &message, id: key };
            let line = Line {
                context: Some(context),
                error: Some(error),
                logger: key,
                ..line(&message, &fields)
            };
            for format in [LineFormat::Gunicorn, LineFormat::Text, LineFormat::Nginx] {
                rendered(format, &line, max_line);
            }
            let ecs = rendered(LineFormat::Ecs, &line, max_line);
            let object = serde_json::from_str::<serde_json::Value>(&ecs);
            prop_assert!(object.is_ok_and(|object| object["ecs.version"] == "9.4.0"), "{}", ecs);
        }
    }
}
