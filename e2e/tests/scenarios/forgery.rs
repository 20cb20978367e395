//! Whatever a client writes into its requests, it does not write lines of the log.

use crate::support::*;
use crate::wire::Wire;
use e2e::harness::{Launch, Service, poll};
use serde_json::Value;
use std::time::Duration;

/// What would begin a line if anything did.
const FORGED: &str = "FORGED 127.0.0.1 - - [x] \"GET /admin HTTP/1.1\" 200 0";

/// What is put before it, as bytes and percent-encoded: everything that ends a line, a string or a
/// colour somewhere.
const ENDS: [(&[u8], &str); 16] = [
    (b"\n", "%0a"),
    (b"\r", "%0d"),
    (b"\r\n", "%0d%0a"),
    (b"\x1b[2J\x1b[1A", "%1b%5b2J%1b%5b1A"),
    (b"\"", "%22"),
    (b"\\", "%5c"),
    (b"\\\"", "%5c%22"),
    (b"\\n", "%5cn"),
    (b"\0", "%00"),
    (b"\x08\x08", "%08%08"),
    (b"\x7f", "%7f"),
    ("\u{85}".as_bytes(), "%c2%85"),
    ("\u{2028}".as_bytes(), "%e2%80%a8"),
    ("\u{202e}".as_bytes(), "%e2%80%ae"),
    (b"\xff\xfe\x0a\xc3", "%ff%fe%0a%c3"),
    (b"\xe2\x80", "%e2%80"),
];

/// Requests, each with one of the ends in one place.
fn forgeries() -> Vec<Vec<u8>> {
    let plain = FORGED.replace(['"', ' '], "_");
    let mut all = Vec::new();
    for (raw, encoded) in ENDS {
        let forged = [raw, FORGED.as_bytes()].concat();
        let joined = [raw, plain.as_bytes()].concat();
        let user = base64(&[&forged[..], b":secret"].concat());
        let mut push = |target: &[u8], field: &[u8]| {
            let parts: [&[u8]; 5] = [
                b"GET ",
                target,
                b" HTTP/1.1\r\nHost: e2e\r\nConnection: close\r\n",
                field,
                b"\r\n",
            ];
            all.push(parts.concat());
        };
        for target in ["/a", "/a?b="] {
            push(&[target.as_bytes(), &joined].concat(), b"");
            push(format!("{target}{encoded}{plain}").as_bytes(), b"");
        }
        let names =
            ["User-Agent", "Referer", "X-Forge", "Cookie", "X-Request-Id", "X-Forwarded-For"];
        for name in names {
            push(b"/", &[name.as_bytes(), b": a=", &forged, b"\r\n"].concat());
        }
        push(b"/", format!("Authorization: Basic {user}\r\n").as_bytes());
    }
    all
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            let at = (bits >> (18 - 6 * digit)) & 63;
            text.push(char::from(DIGITS[at as usize]));
        }
    }
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// Sends all of them, each over a connection of its own; what came as lines.
fn lines_of(service: &Service, requests: &[Vec<u8>]) -> Vec<String> {
    for request in requests {
        let mut wire = Wire::connect(service.address).expect("the service listens");
        let answers = wire.send(request).finish().answers();
        assert_eq!(answers.len(), 1, "answers to {:?}", String::from_utf8_lossy(request));
    }
    let whole = poll(START, || {
        let lines = service.access_but_probes();
        (lines.len() >= requests.len()).then_some(lines)
    });
    let lines = whole.unwrap_or_else(|| service.access_but_probes());
    assert_eq!(lines.len(), requests.len(), "lines for requests:\n{}", shown(&lines));
    lines.into_iter().map(clean).collect()
}

fn shown(lines: &[Vec<u8>]) -> String {
    lines.iter().map(|line| format!("{}\n", line.escape_ascii())).collect()
}

/// A line without anything that a terminal or a reader of lines would act on.
fn clean(line: Vec<u8>) -> String {
    let line = String::from_utf8(line).unwrap_or_else(|error| panic!("no UTF-8: {error}"));
    let acts = |it: char| it.is_control() || matches!(it, '\u{2028}' | '\u{2029}');
    assert!(!line.contains(acts), "{line:?} holds control characters");
    assert!(!line.starts_with("FORGED"), "{line:?} is forged");
    line
}

fn running(config: &str, app: &str) -> Service {
    let config = format!("workers.count = 1\nlog.probes = false\n{config}");
    Launch::new(fixture()).config(&config).env("FIXTURE_APP", app).start().ready(START)
}

/// The rest behind a quoted text in which quotes and backslashes are escaped.
fn behind_quoted(text: &str) -> Option<&str> {
    let mut rest = text.strip_prefix('"')?.char_indices();
    while let Some((at, it)) = rest.next() {
        match it {
            '\\' => _ = rest.next()?,
            '"' => return text.get(at + 2..),
            _ => {}
        }
    }
    None
}

/// What stands behind the common log format's `h l u [t] "r" s b "f" "a"` in a line of it.
fn behind_combined(line: &str) -> Option<&str> {
    let (address, rest) = line.split_once(" - ")?;
    address.parse::<std::net::IpAddr>().ok()?;
    let (_user, rest) = rest.split_once(" [")?;
    let (time, rest) = rest.split_once("] ")?;
    (time.len() == 26).then_some(())?;
    let rest = behind_quoted(rest)?.strip_prefix(' ')?;
    let (status, rest) = rest.split_once(' ')?;
    status.parse::<u16>().ok().filter(|status| (200..600).contains(status))?;
    let (bytes, rest) = rest.split_once(' ')?;
    (bytes == "-" || bytes.parse::<u64>().is_ok()).then_some(())?;
    behind_quoted(behind_quoted(rest)?.strip_prefix(' ')?)
}

#[test]
fn nothing_in_a_request_forges_a_line_of_the_default_format() {
    let _together = together();
    let requests = forgeries();
    for line in lines_of(&running("", "any"), &requests) {
        let micros = behind_combined(&line).and_then(|rest| rest.strip_prefix(' '));
        let parsed = micros.is_some_and(|micros| micros.parse::<u64>().is_ok());
        assert!(parsed, "{line:?} is no line of the default format");
    }
    say(format_args!("{} requests forged no line", requests.len()));
}

#[test]
fn nothing_in_a_request_forges_a_line_of_other_atoms() {
    let _together = together();
    let formats = [
        r#"%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\" \"%{X-Forge}i\" \"%U%q\" \"%{a}C\" END"#,
        r#"%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\" \"%({x-forge}i)s\" \"%(U)s?%(q)s\" \"%(id)s %(client)s %({a}c)s\" END"#,
    ];
    for format in formats {
        let service = running(&format!("log.access_format = \"{format}\""), "any");
        for line in lines_of(&service, &forgeries()) {
            let mut rest = behind_combined(&line);
            for _ in 0..3 {
                rest = rest.and_then(|rest| behind_quoted(rest.strip_prefix(' ')?));
            }
            assert_eq!(rest, Some(" END"), "{line:?} is no line of {format}");
        }
    }
}

#[test]
fn nothing_in_a_request_forges_a_line_of_ecs() {
    let _together = together();
    for line in lines_of(&running("log.access_format = \"ecs\"", "any"), &forgeries()) {
        assert_ecs(&line);
        let object: Value = serde_json::from_str(&line).expect("looked at before");
        assert!(object["http.response.status_code"].is_u64(), "{line}");
        assert!(!line.contains("secret"), "{line} tells a password");
    }
}

/// One object, with what ECS logging requires.
fn assert_ecs(line: &str) {
    let object: Value = serde_json::from_str(line).unwrap_or_else(|it| panic!("{it}: {line:?}"));
    for key in ["@timestamp", "ecs.version", "message", "log.level"] {
        assert!(object[key].is_string(), "{key} is missing in {line}");
    }
}

#[test]
fn nothing_in_a_request_forges_a_line_of_the_error_log() {
    let _together = together();
    for format in ["gunicorn", "text", "ecs"] {
        let service = running(&format!("log.format = \"{format}\""), "fail");
        let requests = forgeries();
        lines_of(&service, &requests);
        // Behind what all others have caused: the lines of one process keep their order.
        lines_of_one_more(&service);
        let log = std::fs::read(service.directory().join("stderr.log")).expect("the harness' file");
        let lines: Vec<_> = log.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let (last, lines) = lines.split_last().expect("there are lines");
        assert!(last.is_empty(), "the last line has an end");
        for line in lines.iter().cloned().map(clean) {
            match format {
                "gunicorn" => {
                    assert!(line.starts_with("[20") && line.contains(" +0000] ["), "{line}");
                }
                "text" => assert_eq!(line.splitn(4, " - ").count(), 4, "{line}"),
                _ => assert_ecs(&line),
            }
        }
        let told =
            lines.iter().filter(|line| line.windows(11).any(|it| it == b"cannot serv")).count();
        say(format_args!("{format}: {} lines of the error log, {told} of failures", lines.len()));
        assert!(told > requests.len() / 2, "{told} failures told for {} requests", requests.len());
    }
}

fn lines_of_one_more(service: &Service) {
    let mut wire = Wire::connect(service.address).expect("the service listens");
    wire.send(b"GET /the-last HTTP/1.1\r\nHost: e2e\r\nConnection: close\r\n\r\n").finish();
    assert_eq!(wire.answers().len(), 1);
    service.wait_log(&["cannot serve /the-last"], Duration::from_secs(10));
}
