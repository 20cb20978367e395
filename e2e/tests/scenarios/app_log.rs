//! The application's own records in the error log, and levels changed while it runs.

use crate::support::*;
use e2e::harness::{Service, poll};
use e2e::load::send;
use std::cell::Cell;
use std::time::Duration;

/// Who asks the fixture for records, and counts how often.
struct Asker<'a> {
    service: &'a Service,
    asked: Cell<u32>,
}

impl Asker<'_> {
    fn new(service: &Service) -> Asker<'_> {
        Asker { service, asked: Cell::new(0) }
    }

    /// The lines of one more request, as far as `words` stand in them.
    fn lines(&self, id: &str, words: &[&str]) -> Vec<String> {
        let n = self.asked.get() + 1;
        self.asked.set(n);
        let head = format!(
            "GET /log?n={n} HTTP/1.1\r\nHost: a\r\nX-Request-Id: {id}\r\nConnection: close\r\n\r\n"
        );
        let answer = send(&self.service.target(), head.as_bytes(), START);
        assert_eq!(answer.map(|answer| answer.status), Ok(200));
        // The last record of a request; lines of one process keep their order.
        let this = format!("record {n}: ");
        self.service.wait_log(&[&this, "around another"], START);
        self.service.log_lines(&[&[this.as_str()], words].concat())
    }

    /// Asks until so many lines at debug come of one request.
    fn wait_debug(&self, id: &str, count: usize) -> Vec<String> {
        let mut last = Vec::new();
        let came = poll(Duration::from_secs(15), || {
            last = self.lines(id, &["[debug]"]);
            (last.len() == count).then_some(())
        });
        assert!(came.is_some(), "not {count} lines at debug:\n{last:#?}\n{}", self.service.log());
        last
    }
}

#[test]
fn records_of_tracing_and_log_arrive_with_their_fields() {
    let _together = together();
    let service = service("workers.count = 1");
    let lines = Asker::new(&service).lines("a", &[]);
    let expected = [
        "[INFO] record 1: info of tracing colour=blue n=1",
        "[INFO] record 1: info of log",
        "[INFO] record 1: within another n=1",
        "[INFO] record 1: around another value=chatty n=1",
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.contains(expected), "{line} is not {expected}");
    }
}

#[test]
fn one_module_is_looked_at_more_closely_until_its_time_is_over() {
    let _together = together();
    let service = service("workers.count = 2");
    let asker = Asker::new(&service);
    asker.wait_debug("a", 0);
    let told =
        service.control_ok(&["log-level", "debug", "--for", "20s", "--module", "fixture::below"]);
    assert!(told.starts_with("log level is info\n  debug of module fixture::below for "), "{told}");
    assert_eq!(service.control_ok(&["log-level"]).lines().count(), 2);
    assert!(service.control_ok(&["status"]).contains("debug of module fixture::below for "));
    let lines = asker.wait_debug("a", 1);
    assert!(lines[0].contains("debug of log"), "{lines:?}");
    // A wish takes the place of the last one.
    service.control_ok(&["log-level", "debug", "--for", "2s", "--module", "fixture"]);
    asker.wait_debug("a", 2);
    asker.wait_debug("a", 0);
    assert_eq!(service.control_ok(&["log-level"]), "log level is info\n");
}

#[test]
fn one_request_is_looked_at_more_closely_by_its_id() {
    let _together = together();
    let service = service("workers.count = 2");
    let asker = Asker::new(&service);
    asker.wait_debug("looked-at", 0);
    let args = ["log-level", "debug", "--for", "5m", "--request-id", "looked-at"];
    let told = service.control_ok(&args);
    assert!(told.contains("debug of request looked-at for "), "{told}");
    let lines = asker.wait_debug("looked-at", 2);
    assert!(lines.iter().all(|line| line.contains("request_id=looked-at")), "{lines:?}");
    assert!(asker.lines("another", &["[debug]"]).is_empty());
    let lines = asker.lines("another", &["request_id=another", "path=/log"]);
    assert_eq!(lines.len(), 4, "{lines:?}");
}

#[test]
fn what_can_be_no_module_and_no_id_is_refused() {
    let _together = together();
    let service = service("workers.count = 1");
    for (flag, text) in [("--module", "a b"), ("--request-id", ""), ("--module", &"a".repeat(200))]
    {
        let output = service.control(&["log-level", "debug", flag, text]);
        assert_eq!(output.status.code(), Some(1), "{flag} {text}: {output:?}");
    }
    assert_eq!(service.control_ok(&["log-level"]), "log level is info\n");
}
