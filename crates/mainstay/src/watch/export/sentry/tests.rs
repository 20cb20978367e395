//! What the receiver posts, and what it makes of answers; and a sender as small as one can be, against a
//! socket.

use super::*;
use serde_json::Value;
use std::cell::Cell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const EVENT: &[u8] = br#"{"event_id":"fc6d8c0c43fc4630ad850ee518f1b9d0","level":"error"}"#;

fn receiver(at: &str) -> (Sentry, Arc<Mutex<Losses>>) {
    let losses = Arc::new(Mutex::new(Losses::default()));
    let seen = Arc::clone(&losses);
    let dsn = Dsn::parse(&format!("http://hunter2@{at}/42")).unwrap();
    (Sentry::new(&dsn, move || *seen.lock().unwrap()), losses)
}

fn answered(status: u16, headers: &[(&str, &str)], sentry: &mut Sentry) -> Verdict {
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    sentry.judge(&Answer { status, headers: &headers, body: b"{\"detail\":\"no\"}" })
}

fn discarded(post: &Post) -> Value {
    let lines = post.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let lines: Vec<Value> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
    lines.get(4).map_or(Value::Null, |report| report["discarded_events"].clone())
}

#[test]
fn an_event_is_posted_with_its_key_in_a_header_that_nothing_shows() {
    let (mut sentry, _) = receiver("sentry.example");
    let post = sentry.post(&[EVENT]).unwrap();
    assert_eq!(post.url, "http://sentry.example/api/42/envelope/");
    let auth = post.headers.iter().find(|(name, _)| name == "X-Sentry-Auth").unwrap();
    assert!(auth.1.starts_with("Sentry sentry_version=7, sentry_client=mainstay/"));
    assert!(auth.1.ends_with("sentry_key=hunter2"));
    assert!(!format!("{post:?} {sentry:?}").contains("hunter2"));
    assert_eq!((sentry.name(), sentry.takes()), ("sentry", Parcel::Report));
}

#[test]
fn what_is_no_event_is_not_posted() {
    let (mut sentry, _) = receiver("sentry.example");
    assert!(sentry.post(&[b"torn {"]).is_none());
}

#[test]
fn answers_mean_what_the_protocol_says() {
    let (mut sentry, _) = receiver("sentry.example");
    assert_eq!(answered(200, &[], &mut sentry), Verdict::Taken { rejected: 0 });
    for status in [408, 500, 502, 503] {
        assert_eq!(answered(status, &[], &mut sentry), Verdict::Again { after: None });
    }
    for status in [400, 401, 403, 404, 413] {
        let Verdict::Refused(why) = answered(status, &[], &mut sentry) else { panic!("{status}") };
        assert_eq!(why, format!("status {status}: {{\"detail\":\"no\"}}"));
    }
    assert!(sentry.post(&[EVENT]).is_some(), "none of them asked for a pause");
}

#[test]
fn a_server_that_wants_no_errors_for_a_while_is_sent_none() {
    for (status, headers) in [
        (429, &[("retry-after", "60")][..]),
        (429, &[]),
        (200, &[("x-sentry-rate-limits", "2700:default;error:organization, 1:transaction:key")]),
        (200, &[("x-sentry-rate-limits", "60::organization")]),
        (429, &[("x-sentry-rate-limits", "60:error:key:quota"), ("retry-after", "0")]),
    ] {
        let (mut sentry, _) = receiver("sentry.example");
        answered(status, headers, &mut sentry);
        assert!(sentry.post(&[EVENT]).is_none(), "{headers:?}");
        assert_eq!(sentry.held_back, 1);
    }
    for (status, headers) in [
        (200, &[("x-sentry-rate-limits", "60:transaction;span:organization")][..]),
        (200, &[("x-sentry-rate-limits", "nonsense")]),
        (429, &[("retry-after", "0")]),
        (429, &[("x-sentry-rate-limits", "60:transaction:key")]),
    ] {
        let (mut sentry, _) = receiver("sentry.example");
        answered(status, headers, &mut sentry);
        assert!(sentry.post(&[EVENT]).is_some(), "{headers:?}");
    }
}

#[test]
fn what_was_lost_is_told_until_the_server_has_taken_it_and_then_no_more() {
    let (mut sentry, losses) = receiver("sentry.example");
    assert_eq!(discarded(&sentry.post(&[EVENT]).unwrap()), Value::Null);
    losses.lock().unwrap().suppressed = 3;
    let expected = serde_json::json!([
        { "reason": "event_processor", "category": "error", "quantity": 3 },
    ]);
    // An answer that never came, and one that wants it again.
    assert_eq!(discarded(&sentry.post(&[EVENT]).unwrap()), expected);
    assert_eq!(discarded(&sentry.post(&[EVENT]).unwrap()), expected);
    answered(503, &[], &mut sentry);
    assert_eq!(discarded(&sentry.post(&[EVENT]).unwrap()), expected);
    // Lost while the report was on its way.
    losses.lock().unwrap().suppressed = 5;
    answered(200, &[], &mut sentry);
    assert_eq!(discarded(&sentry.post(&[EVENT]).unwrap())[0]["quantity"], 2);
    answered(200, &[], &mut sentry);
    assert_eq!(discarded(&sentry.post(&[EVENT]).unwrap()), Value::Null);
}

/// Posts as the sender does, without its patience.
fn send(post: &Post) -> (u16, Vec<(String, String)>) {
    let (host, path) = post.url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let mut head = format!("POST /{path} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in &post.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", post.body.len()));
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&post.body).unwrap();
    read_head(&mut BufReader::new(stream))
}

fn read_head(from: &mut impl BufRead) -> (u16, Vec<(String, String)>) {
    let mut lines = from.lines().map(Result::unwrap).take_while(|line| !line.is_empty());
    let first = lines.next().unwrap();
    let number = first.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or(0);
    let fields = lines.filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_ascii_lowercase(), value.to_owned()))
    });
    (number, fields.collect())
}

#[test]
fn over_a_socket_a_server_gets_whole_envelopes_until_it_says_stop() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let (mut sentry, _) = receiver(&address.to_string());
    let serving = std::thread::spawn(move || {
        let answers =
            ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 429 Too Many\r\nRetry-After: 30\r\n\r\n"];
        answers.map(|answer| {
            let mut stream = BufReader::new(server.accept().unwrap().0);
            let (_, fields) = read_head(&mut stream);
            let length = fields.iter().find(|(name, _)| name == "content-length").unwrap();
            let mut body = vec![0; length.1.parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            body
        })
    });
    let posted = Cell::new(0);
    let mut report = || {
        let post = sentry.post(&[EVENT])?;
        posted.set(posted.get() + 1);
        let (status, headers) = send(&post);
        Some(sentry.judge(&Answer { status, headers: &headers, body: b"" }))
    };
    assert_eq!(report(), Some(Verdict::Taken { rejected: 0 }));
    assert_eq!(report(), Some(Verdict::Refused("too many events".to_owned())));
    assert_eq!(report(), None);
    assert_eq!(posted.get(), 2);
    for body in serving.join().unwrap() {
        let text = String::from_utf8(body).unwrap();
        assert!(text.contains("\"type\":\"event\"") && text.contains("fc6d8c0c43fc"), "{text}");
    }
}
