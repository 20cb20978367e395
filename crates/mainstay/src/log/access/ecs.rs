//! The access line as one JSON object in the Elastic Common Schema.
//!
//! The order of the first three fields and of `ecs.version` is that of the ECS logging rules. What is
//! the same in each line of a process is one literal, made when the format is compiled.

use super::response::CODE;
use super::target::{self, Target};
use super::{Draft, Ended, Facts, FormatError, Protocol};
use crate::log::Service;
use crate::log::digits;
use crate::log::ecs::{push_service, string};
use crate::log::escape::{self, Style};
use crate::log::stamps::Stamps;

/// Bytes that an address may have.
const ADDRESS: usize = 64;
/// Bytes that the id of a request may have.
const ID: usize = 128;
const METHOD: usize = 32;
/// Texts of any length in a line.
const TEXTS: usize = 8;
/// Bytes of keys, numbers, times and all that is bounded, on the safe side.
const BOUNDED: usize = 1_000 + ID + 2 * METHOD + 7 * ADDRESS + 3 * CODE;
/// Least bytes for each text of any length.
const LEAST_SHARE: usize = 32;

#[derive(Debug)]
pub(super) struct Ecs {
    /// From behind the message to before the request's own fields.
    constant: Box<[u8]>,
    /// Bytes that a draft may have.
    room: usize,
    /// Bytes for each text, when they do not all fit.
    share: usize,
}

impl Ecs {
    /// # Errors
    /// When `max_line` leaves no room for the texts of a request.
    pub(super) fn new(service: &Service, max_line: usize) -> Result<Ecs, FormatError> {
        let mut constant = b"\",".to_vec();
        push_service(service, "mainstay.access", "access", &mut constant);
        constant.extend_from_slice(
            b",\"event.kind\":\"event\",\"event.category\":[\"web\"],\"event.action\":\"http-request\"",
        );
        let room = max_line.saturating_sub(constant.len() + BOUNDED);
        let share = room / TEXTS;
        if share < LEAST_SHARE {
            let least = constant.len() + BOUNDED + TEXTS * LEAST_SHARE;
            let message = format!("lines of it may need {least} bytes and may have {max_line}");
            return Err(FormatError { column: 1, message });
        }
        Ok(Ecs { constant: constant.into(), room, share })
    }

    #[inline]
    pub(super) fn begin(&self, facts: &Facts<'_>, draft: &mut Draft) {
        render(facts, draft, usize::MAX);
        if draft.text.len() > self.room {
            render(facts, draft, self.share);
            draft.is_cut = true;
        }
    }

    #[inline]
    pub(super) fn end(
        &self,
        draft: &Draft,
        ended: &Ended<'_>,
        stamps: &mut Stamps,
        out: &mut Vec<u8>,
    ) {
        out.reserve(draft.text.len() + self.constant.len() + BOUNDED);
        let cut = draft.cuts.first().map_or(0, |cut| *cut as usize);
        let (message, fields) = draft.text.split_at_checked(cut).unwrap_or_default();
        out.extend_from_slice(b"{\"@timestamp\":\"");
        stamps.ecs(ended.wall, out);
        out.extend_from_slice(b"\",\"log.level\":\"info\",\"message\":\"");
        out.extend_from_slice(message);
        out.push(b' ');
        let has_status = (100..1_000).contains(&ended.status);
        match has_status {
            true => out.extend_from_slice(&digits::three(u64::from(ended.status))),
            false => out.push(b'-'),
        }
        out.extend_from_slice(&self.constant);
        out.extend_from_slice(fields);
        out.extend_from_slice(outcome(ended));
        digits::push(out, ended.duration);
        if has_status {
            out.extend_from_slice(b",\"http.response.status_code\":");
            out.extend_from_slice(&digits::three(u64::from(ended.status)));
        }
        out.extend_from_slice(b",\"http.response.body.bytes\":");
        digits::push(out, ended.body_bytes);
        out.extend_from_slice(b",\"http.request.body.bytes\":");
        digits::push(out, ended.request_bytes);
        out.extend_from_slice(b",\"process.pid\":");
        digits::push(out, u64::from(ended.pid));
        out.extend_from_slice(b",\"labels.worker\":\"");
        digits::push(out, ended.worker as u64);
        out.extend_from_slice(b"\",\"labels.generation\":\"");
        digits::push(out, ended.generation);
        out.push(b'"');
        if !ended.reason.is_empty() || ended.status >= 500 {
            failure(ended, out);
        }
        if draft.is_cut {
            out.extend_from_slice(b",\"labels.truncated\":\"true\"");
        }
        out.extend_from_slice(b"}\n");
    }
}

/// Up to the number of the duration.
fn outcome(ended: &Ended<'_>) -> &'static [u8] {
    macro_rules! outcome {
        ($types:literal, $outcome:literal) => {
            concat!(
                ",\"event.type\":[",
                $types,
                "],\"event.outcome\":\"",
                $outcome,
                "\",\"event.duration\":"
            )
            .as_bytes()
        };
    }
    let is_lost = ended.reason.starts_with("worker_");
    match ended.status {
        500.. if is_lost => outcome!("\"access\",\"error\"", "unknown"),
        _ if is_lost => outcome!("\"access\"", "unknown"),
        500.. => outcome!("\"access\",\"error\"", "failure"),
        400.. => outcome!("\"access\"", "failure"),
        _ => outcome!("\"access\"", "success"),
    }
}

#[cold]
fn failure(ended: &Ended<'_>, out: &mut Vec<u8>) {
    if !ended.reason.is_empty() {
        string(out, b",\"event.reason\":\"", ended.reason.as_bytes(), CODE);
    }
    if ended.status >= 500 {
        if !ended.reason.is_empty() {
            string(out, b",\"error.type\":\"", ended.reason.as_bytes(), CODE);
        }
        if !ended.error_id.is_empty() {
            string(out, b",\"error.id\":\"", ended.error_id.as_bytes(), CODE);
        }
        out.extend_from_slice(b",\"error.code\":\"");
        digits::push(out, u64::from(ended.status));
        out.push(b'"');
    }
}

/// Writes the draft, each text of any length with at most `cap` bytes.
fn render(facts: &Facts<'_>, draft: &mut Draft, cap: usize) {
    draft.clear();
    let target = Target::of(facts.target);
    // Its parts are written four times and looked at once.
    let is_clean = escape::is_clean(facts.target);
    let is_cut = message(facts, &target, is_clean, cap, &mut draft.text);
    draft.cut();
    let out = &mut draft.text;
    let mut cut = is_cut | url(facts, &target, is_clean, cap, out) | who(facts, out);
    if let Some(agent) = facts.agent {
        cut |= string(out, b",\"user_agent.original\":\"", agent, cap);
    }
    if let Some(referer) = facts.referrer {
        cut |= string(out, b",\"http.request.referrer\":\"", referer, cap);
    }
    if let Some(user) = facts.user {
        cut |= string(out, b",\"user.name\":\"", user, cap);
    }
    draft.is_cut = cut;
}

/// `GET /path`.
#[inline(always)]
fn message(
    facts: &Facts<'_>,
    target: &Target<'_>,
    is_clean: bool,
    cap: usize,
    out: &mut Vec<u8>,
) -> bool {
    let known = |text: &'static [u8]| text;
    let method = if facts.method.is_empty() { known(b"-") } else { facts.method };
    let path = if target.path.is_empty() { known(b"-") } else { target.path };
    let is_cut = escape::push(out, method, Style::Json, METHOD);
    out.push(b' ');
    is_cut | escape::push_known(out, path, is_clean, cap)
}

#[inline(always)]
fn url(
    facts: &Facts<'_>,
    target: &Target<'_>,
    is_clean: bool,
    cap: usize,
    out: &mut Vec<u8>,
) -> bool {
    let mut cut = false;
    if !facts.method.is_empty() {
        cut |= string(out, b",\"http.request.method\":\"", facts.method, METHOD);
    }
    out.extend_from_slice(match facts.version {
        Protocol::H10 => b",\"http.version\":\"1.0\"",
        Protocol::H11 => b",\"http.version\":\"1.1\"",
        Protocol::H2 => b",\"http.version\":\"2.0\"",
        Protocol::Unknown => b"",
    });
    if !facts.target.is_empty() {
        cut |= known(out, b",\"url.original\":\"", facts.target, is_clean, cap);
        cut |= known(out, b",\"url.path\":\"", target.path, is_clean, cap);
    }
    if let Some(query) = target.query {
        cut |= known(out, b",\"url.query\":\"", query, is_clean, cap);
    }
    if !facts.scheme.is_empty() {
        cut |= string(out, b",\"url.scheme\":\"", facts.scheme.as_bytes(), ADDRESS);
    }
    if !facts.host.is_empty() {
        let domain = target::without_port(facts.host);
        cut |= string(out, b",\"url.domain\":\"", domain.as_bytes(), cap);
    }
    cut
}

/// `string` of what it is known of whether it is clean.
#[inline(always)]
fn known(out: &mut Vec<u8>, key: &[u8], value: &[u8], is_clean: bool, cap: usize) -> bool {
    out.extend_from_slice(key);
    let is_cut = escape::push_known(out, value, is_clean, cap);
    out.push(b'"');
    is_cut
}

#[inline(always)]
fn who(facts: &Facts<'_>, out: &mut Vec<u8>) -> bool {
    let mut cut = false;
    if !facts.client.is_empty() {
        cut |= string(out, b",\"client.ip\":\"", facts.client.as_bytes(), ADDRESS);
    }
    if !facts.peer.is_empty() {
        cut |= string(out, b",\"source.ip\":\"", facts.peer.as_bytes(), ADDRESS);
        out.extend_from_slice(b",\"source.port\":");
        digits::push(out, u64::from(facts.peer_port));
        if facts.client != facts.peer && !facts.client.is_empty() {
            cut |= string(out, b",\"network.forwarded_ip\":\"", facts.client.as_bytes(), ADDRESS);
        }
    }
    if !facts.request_id.is_empty() {
        cut |= string(out, b",\"http.request.id\":\"", facts.request_id, ID);
    }
    if !facts.trace_id.is_empty() {
        cut |= string(out, b",\"trace.id\":\"", facts.trace_id, ADDRESS);
    }
    if !facts.span_id.is_empty() {
        // The span of the request is a transaction to Elastic's tools.
        cut |= string(out, b",\"span.id\":\"", facts.span_id, ADDRESS);
        cut |= string(out, b",\"transaction.id\":\"", facts.span_id, ADDRESS);
    }
    cut
}
