//! Deadlines, limits, ids and error pages, each with its line in the access log.

use crate::support::*;
use crate::wire::{Answer, Wire};
use e2e::harness::Service;
use std::time::{Duration, Instant};

const FORMAT: &str = "workers.count = 1\nlog.probes = false\n\
                      log.access_format = '%(s)s %(reason)s %(connection)s %(id)s %(error_id)s %(r)s'\n";

fn running(config: &str) -> Service {
    service(&format!("{FORMAT}{config}"))
}

fn wire(service: &Service) -> Wire {
    Wire::connect(service.address).expect("the service listens")
}

/// Sends these bytes and reads one answer.
fn ask(service: &Service, bytes: &str) -> (Wire, Answer) {
    let mut wire = wire(service);
    let answer = wire.send(bytes.as_bytes()).answer();
    let answer = answer.unwrap_or_else(|end| panic!("{end:?} for {bytes:?}:\n{}", service.log()));
    (wire, answer)
}

/// The words of the line with these in it.
fn line(service: &Service, words: &[&str]) -> Vec<String> {
    service.wait_access(words, Duration::from_secs(10)).split(' ').map(str::to_owned).collect()
}

fn body(wire: &Wire, answer: &Answer) -> String {
    let text = wire.text(answer);
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

#[test]
fn an_application_that_is_late_becomes_504() {
    let _together = together();
    let service = running("http.request_timeout = \"300ms\"");
    let begun = Instant::now();
    let (mut wire, answer) = ask(&service, "GET /slow?ms=60000 HTTP/1.1\r\nHost: e2e\r\n\r\n");
    let took = begun.elapsed();
    assert_eq!((answer.status, answer.close), (504, true));
    let bounds = Duration::from_millis(250)..Duration::from_secs(3);
    assert!(bounds.contains(&took), "504 after {took:?}");
    assert!(wire.answer().is_err(), "the connection is closed");
    let line = line(&service, &["/slow?ms=60000"]);
    assert_eq!(line[..3], ["504", "request_timeout", "-"], "{line:?}");
}

#[test]
fn a_body_that_is_too_large_is_refused_as_soon_as_that_is_known() {
    let _together = together();
    let service = running("http.max_body = \"1000\"");
    let head = "POST /echo?by=length HTTP/1.1\r\nHost: e2e\r\nContent-Length: 1001\r\n\r\n";
    assert_eq!(ask(&service, head).1.status, 413, "before a byte of it came");
    let piece = format!("1f4\r\n{}\r\n", "x".repeat(500));
    let chunked = format!(
        "POST /echo?by=chunks HTTP/1.1\r\nHost: e2e\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        piece.repeat(3)
    );
    assert_eq!(ask(&service, &chunked).1.status, 413, "without the end of it");
    for by in ["/echo?by=length", "/echo?by=chunks"] {
        assert_eq!(line(&service, &[by])[..2], ["413", "body_too_large"]);
    }
    let fits = format!(
        "POST /echo?by=two HTTP/1.1\r\nHost: e2e\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        piece.repeat(2)
    );
    assert_eq!(ask(&service, &fits).1.status, 200);
    assert_eq!(line(&service, &["/echo?by=two"])[..3], ["200", "-", "+"]);
}

#[test]
fn a_head_or_a_body_that_does_not_come_is_408_with_a_line() {
    let _together = together();
    let service = running("http.header_timeout = \"300ms\"\nhttp.body_timeout = \"300ms\"");
    let half = "POST /echo HTTP/1.1\r\nHost: e2e\r\nContent-Length: 10\r\n\r\nabc";
    for (bytes, reason) in [(half, "body_timeout"), ("GET /half HTTP/1.1\r\nHos", "header_timeout")]
    {
        assert_eq!(ask(&service, bytes).1.status, 408, "{reason}");
        let line = line(&service, &[reason]);
        assert_eq!(line[..3], ["408", reason, "-"], "{line:?}");
    }
    // Silence, and the empty line that some send behind a body, are no requests.
    let mut silent = wire(&service);
    assert!(silent.answer().is_err());
    let (mut wire, answer) =
        ask(&service, "POST /echo?last HTTP/1.1\r\nHost: e2e\r\nContent-Length: 1\r\n\r\nx\r\n");
    assert_eq!(answer.status, 200);
    // Longer than the deadline of a head: nothing must come of it.
    assert!(!wire.listen(Duration::from_secs(1)), "something came behind an empty line");
    wire.reset();
    line(&service, &["/echo?last"]);
    assert_eq!(service.access_but_probes().len(), 3, "one line for each request");
}

#[test]
fn a_client_that_leaves_has_a_line_with_499() {
    let _together = together();
    let service = running("");
    for (bytes, of) in [
        ("GET /slow?ms=60000 HTTP/1.1\r\nHost: e2e\r\n\r\n", "/slow"),
        ("GET /half HTTP/1.1\r\nHos", "/half"),
    ] {
        let mut wire = wire(&service);
        wire.send(bytes.as_bytes()).listen(Duration::from_millis(300));
        wire.reset();
        let line = line(&service, &[of]);
        assert_eq!(line[..3], ["499", "client_gone", "X"], "{line:?}");
    }
}

#[test]
fn a_connection_is_closed_after_its_last_request() {
    let _together = together();
    let service = running("http.keep_alive_requests = 3");
    let mut wire = wire(&service);
    let request = b"GET / HTTP/1.1\r\nHost: e2e\r\n\r\n";
    for number in 1..=3 {
        let answer = wire.send(request).answer().expect("three requests are answered");
        assert_eq!((answer.status, answer.close), (200, number == 3), "request {number}");
    }
    assert!(wire.answer().is_err(), "the connection is closed");
    service.wait_status("three requests", START, |status| status.counter("http_requests") >= 3);
}

#[test]
fn a_full_worker_closes_idle_connections_for_those_who_wait() {
    let _together = together();
    let service = running("http.max_connections = 3");
    let request = b"GET / HTTP/1.1\r\nHost: e2e\r\n\r\n";
    let mut idle: Vec<_> = (0..3).map(|_| wire(&service)).collect();
    for wire in &mut idle {
        assert_eq!(wire.send(request).answer().map(|it| it.status), Ok(200));
    }
    let mut next = wire(&service);
    assert_eq!(next.send(request).answer().map(|it| it.status), Ok(200), "{}", service.log());
    assert!(idle[0].answer().is_err(), "the longest idle one was closed");
    let status = service.status();
    let open: u64 = status.workers.iter().map(|worker| worker.connections).sum();
    assert!(open <= 3, "{open} connections");
}

#[test]
fn a_full_worker_leaves_idle_connections_open_while_nobody_waits() {
    let _together = together();
    let service = running("http.max_connections = 3");
    let request = b"GET / HTTP/1.1\r\nHost: e2e\r\n\r\n";
    let mut idle: Vec<_> = (0..3).map(|_| wire(&service)).collect();
    for round in 0..20 {
        for wire in &mut idle {
            let status = wire.send(request).answer().map(|it| it.status);
            assert_eq!(status, Ok(200), "round {round}");
        }
    }
}

#[test]
fn a_full_worker_takes_who_waits_as_soon_as_somebody_is_idle() {
    let _together = together();
    let service = running("http.max_connections = 1");
    let mut slow = wire(&service);
    slow.send(b"GET /slow?ms=500 HTTP/1.1\r\nHost: e2e\r\n\r\n");
    service.wait_status("the slow one is there", START, |status| {
        status.workers.iter().any(|worker| worker.in_flight == 1)
    });
    // It waits while nobody is idle, and not for as long as connections are kept alive.
    let (_, next) = ask(&service, "GET / HTTP/1.1\r\nHost: e2e\r\n\r\n");
    assert_eq!(next.status, 200);
    assert_eq!(slow.answer().map(|it| it.status), Ok(200), "it had its answer first");
}

#[test]
fn a_request_id_is_taken_from_whom_is_trusted_and_echoed() {
    let _together = together();
    let asks = "GET /?id HTTP/1.1\r\nHost: e2e\r\nX-Request-Id: shop-42\r\n\r\n";
    let trusting = running("");
    let (wire, answer) = ask(&trusting, asks);
    assert_eq!(wire.header(&answer, "x-request-id").as_deref(), Some("shop-42"));
    assert_eq!(line(&trusting, &["/?id"])[3], "shop-42");
    let strict = running("proxy.trusted = \"192.0.2.1\"");
    for asks in [asks, "GET /?id HTTP/1.1\r\nHost: e2e\r\n\r\n"] {
        let (wire, answer) = ask(&strict, asks);
        let id = wire.header(&answer, "x-request-id").expect("an id of our own");
        let is_uuid_v7 = id.len() == 36 && id.as_bytes()[14] == b'7';
        assert!(is_uuid_v7, "{id}");
        assert_eq!(line(&strict, &[&id])[3], id);
    }
}

#[test]
fn an_error_is_told_in_the_form_that_the_client_reads_and_by_one_id_everywhere() {
    let _together = together();
    let service = running("");
    let cases = [
        ("GET /none?%", 404, false),
        ("GET /echo?%", 405, false),
        ("GET /panic?%", 500, true),
        ("GET /failure?%", 502, true),
    ];
    for (asks, status, has_id) in cases {
        for (accept, form) in
            [("text/html", "text/html"), ("application/json", "application/problem+json")]
        {
            let asks = asks.replace('%', &form[form.len() - 4..]);
            let text = format!("{asks} HTTP/1.1\r\nHost: e2e\r\nAccept: {accept}\r\n\r\n");
            let (wire, answer) = ask(&service, &text);
            assert_eq!(answer.status, status, "{text}");
            let kind = wire.header(&answer, "content-type").unwrap_or_default();
            assert!(kind.starts_with(form), "{kind} for {text}");
            let page = body(&wire, &answer);
            let inside = ["in a handler", "refuses us", "192.0.2.1", ".rs"];
            assert!(!inside.iter().any(|word| page.contains(word)), "{page}");
            let target = asks.split(' ').nth(1).expect("a target");
            let line = line(&service, &[target]);
            assert_eq!(line[0], status.to_string(), "{line:?}");
            assert_eq!(line[4] != "-", has_id, "{line:?}");
            if has_id {
                assert!(page.contains(&line[4]), "{line:?}, but {page}");
                let told = service.wait_log(&[&line[4]], Duration::from_secs(10));
                assert!(told.contains("[ERROR]"), "{told}");
                let lines = service.log_lines(&[&line[4]]);
                assert_eq!(lines.len(), 1, "told once: {lines:#?}");
            }
        }
    }
}
