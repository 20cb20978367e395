//! What the fuzz targets call: anything at all goes in, and whatever must hold is asserted. A test
//! replays the corpora that they have found.

use crate::http::client::{self, AllowedHosts, Family, Networks, ProxyFix, Trust, explain};
use crate::http::context::TraceContext;
use crate::http::strict::judge::judge;
use crate::http::traceparent;
use crate::limits::parse;
use crate::log::Service;
use crate::log::access::{AccessFormat, Draft, Ended, Ending, Facts, Protocol, user};
use crate::log::stamps::Stamps;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::net::{IpAddr, SocketAddr};

/// What a client sends: judged alike, however it is split.
///
/// # Panics
/// When what must hold does not.
pub fn request_heads(bytes: &[u8]) {
    let sum = bytes.iter().fold(0, |sum, byte| sum + usize::from(*byte));
    judge(bytes, sum % (bytes.len() + 1));
}

/// The first line is a format, each one behind it one of the texts of a request. Whatever it is, its
/// line is one line, UTF-8, within the cap, and in ECS a JSON object.
///
/// # Panics
/// When what must hold does not.
pub fn format_strings(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let format = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let texts: [&[u8]; 4] = std::array::from_fn(|_| lines.next().unwrap_or_default());
    let service = Service { name: "shop".into(), ..Service::default() };
    let max_line = 2_000 + bytes.len() % 4_000;
    let compiled = match AccessFormat::compile(&format, &service, max_line) {
        Ok(compiled) => compiled,
        Err(error) => {
            let columns = 1..=format.chars().count() + 1;
            assert!(columns.contains(&error.column), "{error}");
            return;
        }
    };
    let mut headers = HeaderMap::new();
    for name in ["user-agent", "referer", "authorization", "cookie", "x-a", "x-a"] {
        for value in texts.iter().filter_map(|text| HeaderValue::from_bytes(text).ok()) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    let [method, target, host, id] = texts;
    let [host, id] = [host, id].map(String::from_utf8_lossy);
    let mut decoded = Vec::new();
    let facts = Facts {
        agent: Some(texts[2]),
        referrer: Some(texts[3]),
        user: user(target, &mut decoded),
        method,
        target,
        version: Protocol::H11,
        headers: &headers,
        peer: &host,
        peer_port: 40_001,
        client: &id,
        scheme: &id,
        host: &host,
        local: Some(SocketAddr::from(([10, 0, 0, 1], 8_000))),
        request_id: id.as_bytes(),
        trace_id: host.as_bytes(),
        span_id: id.as_bytes(),
        number: 5,
        started_wall: 1_795_342_250_888_551_000,
    };
    let status = bytes.iter().fold(0, |sum: u16, byte| sum.wrapping_add(u16::from(*byte)));
    let mut draft = Draft::default();
    compiled.begin(&facts, &mut draft);
    if status.is_multiple_of(2) {
        compiled.answered(&headers, &mut draft);
    }
    judge_line(&compiled, &draft, status, [&id, &host], max_line, format == "ecs");
}

fn judge_line(
    format: &AccessFormat,
    draft: &Draft,
    status: u16,
    [reason, error_id]: [&str; 2],
    max_line: usize,
    is_json: bool,
) {
    let ended = Ended {
        status,
        body_bytes: u64::MAX,
        duration: u64::MAX,
        first_byte: Some(u64::MAX),
        wall: u64::MAX,
        pid: u32::MAX,
        worker: usize::MAX,
        generation: u64::MAX,
        reason,
        connection: Ending::Close,
        error_id,
        request_bytes: u64::MAX,
    };
    let mut line = Vec::new();
    format.end(draft, &ended, &mut Stamps::new(|_| 20_700), &mut line);
    assert!(line.len() <= max_line, "{} bytes of {max_line}", line.len());
    let line = str::from_utf8(&line).expect("a line is UTF-8");
    let line = line.strip_suffix('\n').expect("a line has an end");
    let forges = |c: char| (c.is_control() && c != '\t') || matches!(c, '\u{2028}' | '\u{2029}');
    assert!(!line.contains(forges), "forged: {line:?}");
    if is_json {
        let read = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line);
        assert!(read.is_ok(), "no JSON: {line}");
    }
}

/// Lines of headers from which a proxy's word is read, each `name: value`. What is believed is what
/// is explained, and a stranger's word changes nothing.
///
/// # Panics
/// When what must hold does not.
pub fn forwarded(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(64) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts.next().and_then(|name| HeaderName::from_bytes(name).ok());
        let value = parts.next().and_then(|it| HeaderValue::from_bytes(it.trim_ascii()).ok());
        if let (Some(name), Some(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let proxy = Some(SocketAddr::from(([10, 0, 0, 1], 80)));
    let stranger = Some(SocketAddr::from(([192, 0, 2, 7], 80)));
    for family in [Family::XForwarded, Family::Forwarded, Family::Off] {
        for (fix, hops, hosts) in [
            ("", None, "*"),
            ("", Some(2), ".example.com, [::1]"),
            ("x_for=2,x_proto=1,x_host=1,x_port=1,x_prefix=1", None, ""),
        ] {
            let trust = Trust {
                proxies: Networks::parse("10.0.0.0/8, ::1, unix").expect("three good entries"),
                header: family,
                hops,
                fix: ProxyFix::parse(fix).expect("good counts"),
                hosts: AllowedHosts::parse(hosts).expect("good hosts"),
                ..Trust::default()
            };
            for peer in [proxy, None] {
                believed(&trust, peer, &headers);
            }
            let origin = believed(&trust, stranger, &headers);
            assert_eq!(origin.client, Some(IpAddr::from([192, 0, 2, 7])));
            assert_eq!(origin, client::resolve(&trust, stranger, &HeaderMap::new()));
        }
    }
}

fn believed(trust: &Trust, peer: Option<SocketAddr>, headers: &HeaderMap) -> client::Origin {
    let origin = client::resolve(trust, peer, headers);
    let lines = explain::explain(trust, peer, headers);
    let verdict = lines.last().expect("an explanation ends with a verdict");
    let client = origin.client.map_or("unknown (unix socket)".to_owned(), |ip| ip.to_string());
    let begin = format!("client {client}, scheme {}", origin.scheme.as_str());
    assert!(verdict.starts_with(&begin), "{verdict} is not {origin:?}");
    if let Some(client) = origin.client {
        assert_eq!(client, client.to_canonical(), "a client is in canonical form");
    }
    if let Some(prefix) = &origin.prefix {
        assert!(prefix.starts_with('/') && !prefix.starts_with("//"), "{prefix}");
    }
    origin
}

/// A value of `traceparent`. What is read is what was sent, and what is written is read back.
///
/// # Panics
/// When what must hold does not.
pub fn traceparent(bytes: &[u8]) {
    let Some(found) = traceparent::parse(bytes) else { return };
    assert!(found.trace != [0; 16] && found.parent != [0; 8], "an id of zeros");
    let written = TraceContext {
        trace_id: found.trace,
        span_id: found.parent,
        parent: None,
        flags: found.flags,
    };
    let written = written.to_string();
    assert_eq!(bytes.get(2..53), written.as_bytes().get(2..53), "another trace than was sent");
    let again = traceparent::parse(written.as_bytes()).expect("what is written can be read");
    assert_eq!((again.trace, again.parent), (found.trace, found.parent));
    assert_eq!(again.flags, found.flags & 0b11);
}

/// Limits as an operator writes them: what is read is shown so that it reads back as the same, and what
/// is refused is refused at a place of the text.
///
/// # Panics
/// When what must hold does not.
pub fn limit_strings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match parse::parse_many(&text) {
        Ok(rates) => {
            let shown: Vec<_> = rates.iter().map(ToString::to_string).collect();
            assert_eq!(parse::parse_many(&shown.join("; ")), Ok(rates.clone()));
            for rate in rates {
                assert!(rate.window() >= rate.unit_seconds() && rate.unit_seconds() > 0);
            }
        }
        Err(error) => {
            assert!((1..=text.chars().count() + 1).contains(&error.column), "{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// Runs what is kept in `fuzz/corpus` for a target, one input a file.
    fn replay(target: &str, run: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let entries = fs::read_dir(&folder).expect("the corpus is part of the tree");
        let mut count = 0;
        for entry in entries {
            let path = entry.expect("a readable directory").path();
            let bytes = fs::read(&path).expect("a readable file");
            let ran = std::panic::catch_unwind(|| run(&bytes));
            assert!(ran.is_ok(), "{}", path.display());
            count += 1;
        }
        assert!(count > 0, "no corpus of {target}");
    }

    #[test]
    fn what_was_found_of_request_heads_is_judged_alike_however_it_is_split() {
        replay("request_heads", request_heads);
    }

    #[test]
    fn what_was_found_of_formats_makes_one_line_within_the_cap() {
        replay("format_strings", format_strings);
    }

    #[test]
    fn what_was_found_of_forwarded_headers_is_believed_as_it_is_explained() {
        replay("forwarded", forwarded);
    }

    #[test]
    fn what_was_found_of_traceparents_is_read_as_it_was_sent() {
        replay("traceparent", traceparent);
    }

    #[test]
    fn what_was_found_of_limit_strings_reads_back_as_the_same() {
        replay("limit_strings", limit_strings);
    }
}
