//! The detail of readiness, for whoever reaches the admin listener: each check with its reason.

use crate::health::State;
use crate::status::{CheckStatus, Status};
use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use percent_encoding::percent_decode_str;
use std::fmt::Write as _;

/// What is asked about readiness beyond the one word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) verbose: bool,
    /// Checks that do not count in this answer.
    pub(crate) exclude: Vec<String>,
    /// This check alone.
    pub(crate) only: Option<String>,
}

impl Question {
    /// Reads what stands behind the path of readiness, and the query.
    pub(crate) fn read(rest: &str, query: &str) -> Question {
        let only = rest.strip_prefix('/').filter(|name| !name.is_empty());
        let only = only.map(|name| percent_decode_str(name).decode_utf8_lossy().into_owned());
        let mut question = Question { only, ..Question::default() };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "exclude" => question.exclude.push(value.into_owned()),
                "verbose" => question.verbose = value != "0",
                _ => {}
            }
        }
        question
    }

    /// Whether the one word answers it.
    pub(crate) fn is_plain(&self) -> bool {
        *self == Question::default()
    }

    /// The answer. `state` is what the supervisor says, without the checks.
    pub(crate) fn answer(
        &self,
        status: &Status,
        state: State,
        headers: &HeaderMap,
    ) -> Response<Bytes> {
        let counts = |check: &&CheckStatus| match &self.only {
            Some(only) => check.name == *only,
            None => !self.exclude.contains(&check.name),
        };
        let checks: Vec<&CheckStatus> = status.checks.iter().filter(counts).collect();
        if let (Some(only), true) = (&self.only, checks.is_empty()) {
            return respond(StatusCode::NOT_FOUND, false, format!("there is no check {only:?}\n"));
        }
        // A check that is asked for by name answers for itself, whatever depends on it.
        let failing =
            |check: &&&CheckStatus| !check.healthy && (check.critical || self.only.is_some());
        let is_well =
            (self.only.is_some() || state == State::Ready) && !checks.iter().any(|it| failing(&it));
        let code = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let word = match state {
            _ if is_well => "ready",
            State::Ready => State::Degraded.as_str(),
            other => other.as_str(),
        };
        let wants_json = headers.get(ACCEPT).is_some_and(|accept| {
            accept.as_bytes().windows(16).any(|part| part == b"application/json")
        });
        if wants_json {
            let body = serde_json::json!({ "status": word, "checks": checks });
            return respond(code, true, format!("{body}\n"));
        }
        let mut text = String::new();
        if self.only.is_none() {
            let ready = status.workers.iter().filter(|worker| worker.state == "ready").count();
            let (mark, how) = match state {
                State::Ready => ('+', "ok"),
                other => ('-', other.as_str()),
            };
            // Writing to a string does not fail.
            writeln!(text, "[{mark}] workers {how}: {ready} ready").ok();
        }
        checks.iter().for_each(|check| line(&mut text, check));
        for name in &self.exclude {
            let known = status.checks.iter().any(|check| check.name == *name);
            let what = if known { "excluded" } else { "excluded, and there is none of this name" };
            writeln!(text, "[ ] {} {what}", name.escape_debug()).ok();
        }
        writeln!(text, "{word}").ok();
        respond(code, false, text)
    }
}

/// `[-] search failed: 800.0 ms, 0.4 s ago, 3 in a row, for 12.1 s (application)`.
fn line(text: &mut String, check: &CheckStatus) {
    let mark = match (check.healthy, check.critical) {
        (true, _) => '+',
        (false, true) => '-',
        (false, false) => '!',
    };
    let mut facts = Vec::new();
    if let Some(age) = check.age_seconds {
        facts.push(format!("{:.1} ms", check.took_seconds * 1_000.0));
        facts.push(format!("{age:.1} s ago"));
    }
    if check.failures_in_a_row > 0 {
        facts.push(format!("{} in a row", check.failures_in_a_row));
    }
    if check.age_seconds.is_some() && !check.healthy {
        facts.push(format!("for {:.1} s", check.since_seconds));
    }
    if facts.is_empty() {
        facts.push("not made yet".to_owned());
    }
    let (name, kind) = (check.name.escape_debug(), check.kind);
    writeln!(text, "[{mark}] {name} {}: {} ({kind})", check.reason, facts.join(", ")).ok();
}

fn respond(status: StatusCode, is_json: bool, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let media = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, healthy: bool, critical: bool) -> CheckStatus {
        CheckStatus {
            name: name.to_owned(),
            kind: "application",
            critical,
            healthy,
            reason: if healthy { "ok" } else { "failed" },
            age_seconds: Some(0.4),
            took_seconds: 0.0012,
            since_seconds: 12.1,
            failures_in_a_row: u32::from(!healthy) * 3,
            successes: 1,
            failures: 3,
        }
    }

    fn ask(path: &str, checks: &[CheckStatus], state: State, accept: &str) -> (u16, String) {
        let segment = mainstay_os::segment::Segment::on_heap(mainstay_os::segment::Layout {
            slots: 3,
            ..mainstay_os::segment::Layout::small(crate::metrics::names::CELLS)
        });
        let mut status = Status::read(&segment, "shop", "1");
        status.checks = checks.to_vec();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let question = Question::read(path, query);
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        let response = question.answer(&status, state, &headers);
        (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
    }

    #[test]
    fn each_check_is_told_with_its_reason_and_the_word_comes_last() {
        let checks =
            [check("db", true, true), check("search", false, true), check("x", false, false)];
        let (status, text) = ask("?verbose", &checks, State::Ready, "*/*");
        assert_eq!(status, 503);
        assert_eq!(
            text,
            "[+] workers ok: 0 ready\n\
             [+] db ok: 1.2 ms, 0.4 s ago (application)\n\
             [-] search failed: 1.2 ms, 0.4 s ago, 3 in a row, for 12.1 s (application)\n\
             [!] x failed: 1.2 ms, 0.4 s ago, 3 in a row, for 12.1 s (application)\n\
             degraded\n"
        );
    }

    #[test]
    fn what_is_excluded_does_not_count_and_is_said() {
        let checks = [check("my search", false, true)];
        let (status, text) =
            ask("?exclude=my%20search&exclude=typo&verbose", &checks, State::Ready, "*/*");
        assert_eq!(status, 200, "{text}");
        assert!(
            text.contains("[ ] my search excluded\n[ ] typo excluded, and there is none"),
            "{text}"
        );
        let (status, text) = ask("?exclude=my+search", &checks, State::Draining, "*/*");
        assert_eq!((status, text.lines().last()), (503, Some("draining")));
    }

    #[test]
    fn one_check_answers_for_itself() {
        let checks = [check("db", true, true), check("x", false, false)];
        assert_eq!(ask("/db", &checks, State::Degraded, "*/*").0, 200);
        assert_eq!(ask("/x", &checks, State::Ready, "*/*").0, 503, "asked for by name");
        assert_eq!(ask("/none", &checks, State::Ready, "*/*").0, 404);
        let (_, json) = ask("/db", &checks, State::Ready, "application/json");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&json["status"], &json["checks"][0]["reason"]),
            (&"ready".into(), &"ok".into())
        );
    }

    #[test]
    fn no_question_is_the_plain_one() {
        for (rest, query, plain) in
            [("", "", true), ("", "verbose=0", true), ("", "verbose", false), ("/a", "", false)]
        {
            assert_eq!(Question::read(rest, query).is_plain(), plain, "{rest}?{query}");
        }
    }
}
