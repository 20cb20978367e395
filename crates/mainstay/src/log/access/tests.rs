//! Corpora and properties of access lines.
//!
//! `*.golden`: `format:` holds until the next one; then for each request `request: METHOD TARGET
//! VERSION` (`-` for what is not known), `header:` lines, `answer: STATUS BYTES` (with `lost` when there
//! was no answer), `out:` lines for its headers, a `reason:`, and at last the `line:` that it gives.
//! `<TAB>` is a tab. `*.good`: a format a line; `*.bad`: a format, ` => ` and the error it gives.

use super::*;
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

const MAX_LINE: usize = 8_000;

fn service() -> Service {
    Service {
        name: "shop".into(),
        version: "1.2.3".into(),
        environment: "production".into(),
        node: "shop-1".into(),
        host: "web-1".into(),
    }
}

fn facts(headers: &HeaderMap) -> Facts<'_> {
    let last = |name| headers.get_all(name).iter().next_back().map(http::HeaderValue::as_bytes);
    let user = last(http::header::AUTHORIZATION).and_then(|value| {
        let mut scratch = Vec::new();
        user(value, &mut scratch).map(|user| &*user.to_vec().leak())
    });
    Facts {
        agent: last(http::header::USER_AGENT),
        referrer: last(http::header::REFERER),
        user,
        method: b"GET",
        target: b"/",
        version: Protocol::H11,
        headers,
        peer: "192.0.2.7",
        peer_port: 40_001,
        client: "203.0.113.9",
        scheme: "https",
        host: "shop.example:8000",
        local: Some(SocketAddr::from(([10, 0, 0, 1], 8_000))),
        request_id: b"req-1",
        trace_id: b"0af7651916cd43dd8448eb211c80319c",
        span_id: b"b7ad6b7169203331",
        number: 5,
        started_wall: 1_795_342_250_888_551_000,
    }
}

fn ended() -> Ended<'static> {
    Ended {
        status: 200,
        body_bytes: 10,
        duration: 1_234_905_000,
        first_byte: Some(900_000),
        wall: 1_795_342_252_123_456_789,
        pid: 16_968,
        worker: 3,
        generation: 2,
        reason: "",
        connection: Ending::KeepAlive,
        error_id: "err-1",
        request_bytes: 77,
    }
}

fn compiled(format: &str) -> AccessFormat {
    AccessFormat::compile(format, &service(), MAX_LINE)
        .unwrap_or_else(|error| panic!("{format}: {error}"))
}

/// The line of a request, without its newline.
fn line(
    format: &AccessFormat,
    facts: &Facts<'_>,
    out: Option<&HeaderMap>,
    ended: &Ended<'_>,
) -> String {
    let mut draft = Draft::default();
    format.begin(facts, &mut draft);
    if let Some(out) = out {
        format.answered(out, &mut draft);
    }
    let mut line = Vec::new();
    format.end(&draft, ended, &mut Stamps::new(|_| 0), &mut line);
    let line = String::from_utf8(line).expect("a line is UTF-8");
    line.strip_suffix('\n').expect("a line ends with a newline").to_owned()
}

fn corpus(folder: &str, ending: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|found| found == ending));
    let read: Vec<_> =
        files.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect();
    assert!(!read.is_empty(), "no *.{ending}");
    read
}

/// A request of a golden file.
#[derive(Default)]
struct Case {
    request: String,
    headers: HeaderMap,
    answer: String,
    out: HeaderMap,
    reason: String,
}

impl Case {
    fn line(&self, format: &AccessFormat) -> String {
        let parts: Vec<&str> = self.request.split(' ').collect();
        let [method, target, version] = parts[..] else { panic!("{}", self.request) };
        let known = |text: &'static str| if text == "-" { "" } else { text };
        let (method, target) = (known(method.to_owned().leak()), known(target.to_owned().leak()));
        let version = match version {
            "HTTP/1.0" => Protocol::H10,
            "HTTP/1.1" => Protocol::H11,
            "HTTP/2.0" => Protocol::H2,
            _ => Protocol::Unknown,
        };
        let (method, target) = (method.as_bytes(), target.as_bytes());
        let facts = Facts { method, target, version, ..facts(&self.headers) };
        let answer: Vec<&str> = self.answer.split(' ').collect();
        let is_lost = answer.len() > 2;
        let ended = Ended {
            status: answer[0].parse().unwrap(),
            body_bytes: answer[1].parse().unwrap(),
            first_byte: ended().first_byte.filter(|_| !is_lost),
            reason: &self.reason,
            ..ended()
        };
        line(format, &facts, Some(&self.out).filter(|_| !is_lost), &ended)
    }
}

#[test]
fn golden_lines_come_out_byte_for_byte() {
    let mut count = 0;
    for (path, text) in corpus("access", "golden") {
        let (mut format, mut case) = (compiled(DEFAULT), Case::default());
        for text in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let text = text.replace("<TAB>", "\t");
            let (key, value) = text.split_once(':').unwrap();
            let value = value.strip_prefix(' ').unwrap_or(value);
            let header = |headers: &mut HeaderMap| {
                let (name, value) = value.split_once(':').unwrap();
                headers.append(
                    HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    HeaderValue::from_bytes(value.trim_start_matches(' ').as_bytes()).unwrap(),
                );
            };
            match key {
                "format" => format = compiled(value),
                "request" => case.request = value.to_owned(),
                "header" => header(&mut case.headers),
                "out" => header(&mut case.out),
                "answer" => case.answer = value.to_owned(),
                "reason" => case.reason = value.to_owned(),
                "line" => {
                    assert_eq!(case.line(&format), value, "{}: {}", path.display(), case.request);
                    (case, count) = (Case::default(), count + 1);
                }
                other => panic!("{}: {other}", path.display()),
            }
        }
    }
    assert!(count >= 22, "{count} lines");
}

#[test]
fn a_right_format_compiles_and_a_wrong_one_says_where_it_is_wrong() {
    for (path, text) in corpus("formats", "good") {
        for format in text.lines() {
            let compiled = AccessFormat::compile(format, &service(), MAX_LINE);
            assert!(compiled.is_ok(), "{}: {format}: {compiled:?}", path.display());
        }
    }
    for (path, text) in corpus("formats", "bad") {
        for line in text.lines() {
            let (format, error) = line.split_once(" => ").unwrap();
            let found = AccessFormat::compile(format, &service(), MAX_LINE).unwrap_err();
            assert_eq!(found.to_string(), error, "{}: {format}", path.display());
        }
    }
    let error = AccessFormat::compile("%(h)s\n", &service(), MAX_LINE).unwrap_err();
    assert_eq!(
        error.to_string(),
        "column 6: a control character; the line's end is added by itself"
    );
    for format in ["ecs", DEFAULT] {
        let error = AccessFormat::compile(format, &service(), 100).unwrap_err();
        assert!(error.message.starts_with("lines of it may need"), "{error}");
    }
}

/// The values of the forging corpus.
fn forgeries() -> Vec<Vec<u8>> {
    let value = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('<') {
            let (hex, behind) = behind.split_once('>').unwrap();
            bytes.extend_from_slice(before.as_bytes());
            bytes.push(u8::from_str_radix(hex, 16).unwrap());
            rest = behind;
        }
        bytes.extend_from_slice(rest.as_bytes());
        bytes
    };
    let (_, text) = corpus("forging", "txt").remove(0);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| match line.strip_prefix("LONG ").and_then(|line| line.split_once(' ')) {
            Some((count, unit)) => value(unit).repeat(count.parse().unwrap()),
            None => value(line),
        })
        .collect()
}

/// Splits a line of the default format as a parser of Apache's combined format does.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let (mut is_quoted, mut is_bracketed, mut characters) = (false, false, line.chars());
    while let Some(character) = characters.next() {
        let field = fields.last_mut().unwrap();
        match character {
            '\\' => {
                let next = characters.clone().next();
                match next {
                    Some(quoted @ ('"' | '\\')) => {
                        characters.next();
                        field.push(quoted);
                    }
                    _ => field.push('\\'),
                }
            }
            '"' => is_quoted = !is_quoted,
            '[' if !is_quoted && field.is_empty() => is_bracketed = true,
            ']' if is_bracketed && !is_quoted => is_bracketed = false,
            ' ' if !is_quoted && !is_bracketed => fields.push(String::new()),
            other => field.push(other),
        }
    }
    assert!(!is_quoted && !is_bracketed, "{line}");
    fields
}

fn header_map(value: &[u8], user: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in [http::header::REFERER, http::header::USER_AGENT, http::header::COOKIE] {
        // What is no header value never gets as far as here.
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    let credentials = base64(&[user, b":pw"].concat());
    headers.append(http::header::AUTHORIZATION, format!("Basic {credentials}").parse().unwrap());
    headers
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = bytes.chunks(3).flat_map(|group| {
        let bits = group.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        (0..4).map(move |place| match place <= group.len() {
            true => char::from(LETTERS[bits >> (18 - 6 * place) & 63]),
            false => '=',
        })
    });
    groups.collect()
}

#[test]
fn no_value_of_a_peer_forges_a_line_or_a_field() {
    let (text, ecs) = (compiled(DEFAULT), compiled("ecs"));
    let ended = ended();
    for value in forgeries() {
        let headers = header_map(&value, &value);
        let host = String::from_utf8_lossy(&value);
        let target = [b"/", &value[..]].concat();
        let target = &target[..];
        let facts = Facts { target, host: &host, request_id: host.as_bytes(), ..facts(&headers) };
        let shown = line(&text, &facts, None, &ended);
        assert!(shown.len() < MAX_LINE && !shown.contains(|c: char| c.is_control() && c != '\t'));
        let found = fields(&shown);
        assert_eq!(found.len(), 10, "{found:#?}");
        let fixed = [&found[0], &found[1], &found[3], &found[5], &found[6], &found[9]];
        let time = "22/Nov/2026:10:10:52 +0000";
        assert_eq!(fixed, ["192.0.2.7", "-", time, "200", "10", "1234905"]);

        let shown = line(&ecs, &facts, None, &ended);
        let object = judge_ecs(&shown);
        assert_eq!(object["http.response.status_code"], 200);
        if value.len() < 500 {
            assert_eq!(object["url.original"], String::from_utf8_lossy(target).as_ref(), "{shown}");
            assert!(object.get("labels.truncated").is_none());
        } else if value.len() > 3_000 {
            assert_eq!(object["labels.truncated"], "true");
        }
    }
}

/// Checks what every ECS line must have, and gives the object.
fn judge_ecs(line: &str) -> serde_json::Value {
    assert!(line.len() < MAX_LINE && !line.contains(|c: char| c.is_control() || c == '\u{2028}'));
    let object: serde_json::Value =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let mut at = 0;
    for key in ["@timestamp", "log.level", "message", "ecs.version"] {
        assert!(object[key].is_string(), "{key}: {line}");
        let place = line.find(&format!("\"{key}\":")).unwrap();
        assert!(place >= at, "{key} stands before another: {line}");
        at = place;
    }
    assert!(line.starts_with("{\"@timestamp\":"), "{line}");
    for key in ["service.name", "event.dataset", "event.outcome", "event.action"] {
        assert!(object[key].is_string(), "{key}: {line}");
    }
    assert!(object["event.duration"].is_u64() && object["process.pid"].is_u64());
    object
}

#[test]
fn an_ecs_line_has_the_fields_of_the_schema() {
    let mut headers = header_map(b"http://r/", b"alice");
    headers.insert(http::header::USER_AGENT, "curl/8".parse().unwrap());
    let facts = Facts { method: b"POST", target: b"/a%20b?x=1", ..facts(&headers) };
    let ended = Ended { status: 504, reason: "request_timeout", ..ended() };
    let shown = line(&compiled("ecs"), &facts, None, &ended);
    let expected = concat!(
        r#"{"@timestamp":"2026-11-22T10:10:52.123Z","log.level":"info","message":"POST /a%20b 504","#,
        r#""ecs.version":"9.4.0","log.logger":"mainstay.access","service.name":"shop","#,
        r#""service.version":"1.2.3","service.environment":"production","service.node.name":"shop-1","#,
        r#""host.hostname":"web-1","event.dataset":"shop.access","event.kind":"event","#,
        r#""event.category":["web"],"event.action":"http-request","http.request.method":"POST","#,
        r#""http.version":"1.1","url.original":"/a%20b?x=1","url.path":"/a%20b","url.query":"x=1","#,
        r#""url.scheme":"https","url.domain":"shop.example","client.ip":"203.0.113.9","#,
        r#""source.ip":"192.0.2.7","source.port":40001,"network.forwarded_ip":"203.0.113.9","#,
        r#""http.request.id":"req-1","trace.id":"0af7651916cd43dd8448eb211c80319c","#,
        r#""span.id":"b7ad6b7169203331","transaction.id":"b7ad6b7169203331","#,
        r#""user_agent.original":"curl/8","http.request.referrer":"http://r/","user.name":"alice","#,
        r#""event.type":["access","error"],"event.outcome":"failure","event.duration":1234905000,"#,
        r#""http.response.status_code":504,"http.response.body.bytes":10,"http.request.body.bytes":77,"#,
        r#""process.pid":16968,"labels.worker":"3","labels.generation":"2","#,
        r#""event.reason":"request_timeout","error.type":"request_timeout","error.id":"err-1","#,
        r#""error.code":"504"}"#,
    );
    assert_eq!(shown, expected);
    judge_ecs(&shown);
}

#[test]
fn only_a_format_with_response_headers_wants_the_answer() {
    assert!(compiled("%({x-out}o)s").wants_answer() && compiled("%{X-Out}o").wants_answer());
    assert!(!compiled(DEFAULT).wants_answer() && !compiled("ecs").wants_answer());
}

#[test]
fn what_became_of_the_connection_is_one_character() {
    let (format, headers) = (compiled("%X"), HeaderMap::new());
    for (connection, shown) in
        [(Ending::KeepAlive, "+"), (Ending::Close, "-"), (Ending::Aborted, "X")]
    {
        let ended = Ended { connection, ..ended() };
        assert_eq!(line(&format, &facts(&headers), None, &ended), shown);
    }
}

#[test]
fn the_outcome_tells_success_failure_and_loss() {
    let (ecs, headers) = (compiled("ecs"), HeaderMap::new());
    for (status, reason, outcome, kind) in [
        (200, "", "success", r#"["access"]"#),
        (304, "", "success", r#"["access"]"#),
        (404, "", "failure", r#"["access"]"#),
        (499, "client_gone", "failure", r#"["access"]"#),
        (500, "", "failure", r#"["access","error"]"#),
        (502, "worker_killed", "unknown", r#"["access","error"]"#),
        (200, "worker_killed", "unknown", r#"["access"]"#),
    ] {
        let ended = Ended { status, reason, ..ended() };
        let object = judge_ecs(&line(&ecs, &facts(&headers), None, &ended));
        assert_eq!(object["event.outcome"], outcome, "{status} {reason}");
        assert_eq!(object["event.type"].to_string(), kind, "{status} {reason}");
        let known = !reason.is_empty();
        assert_eq!(object.get("event.reason").is_some(), known);
    }
}

#[test]
fn what_is_not_known_is_left_out_of_an_ecs_line() {
    let headers = HeaderMap::new();
    let facts = Facts {
        method: b"",
        target: b"",
        version: Protocol::Unknown,
        peer: "",
        peer_port: 0,
        client: "",
        scheme: "",
        host: "",
        local: None,
        request_id: b"",
        trace_id: b"",
        span_id: b"",
        ..facts(&headers)
    };
    let ended = Ended { status: 400, error_id: "", ..ended() };
    let format = AccessFormat::compile("ecs", &Service::default(), MAX_LINE).unwrap();
    let shown = line(&format, &facts, None, &ended);
    assert!(!shown.contains("\"\"") && shown.contains(r#""message":"- - 400""#), "{shown}");
    assert!(!shown.contains("ip\"") && !shown.contains("url."), "{shown}");
    serde_json::from_str::<serde_json::Value>(&shown).unwrap();
}

#[test]
fn a_draft_that_is_used_again_allocates_no_more() {
    let headers = header_map(b"http://r/", b"alice");
    for format in [compiled(DEFAULT), compiled("ecs")] {
        let (mut draft, mut out) = (Draft::default(), Vec::new());
        let mut stamps = Stamps::new(|_| 0);
        let mut make = |draft: &mut Draft, out: &mut Vec<u8>| {
            out.clear();
            format.begin(&facts(&headers), draft);
            format.end(draft, &ended(), &mut stamps, out);
            let buffers = [draft.text.as_ptr(), draft.scratch.as_ptr(), out.as_ptr()];
            (buffers, draft.cuts.as_ptr(), out.clone())
        };
        let first = make(&mut draft, &mut out);
        assert!((0..10).all(|_| make(&mut draft, &mut out) == first));
    }
}

fn byte_of_any_kind() -> impl Strategy<Value = u8> {
    prop_oneof![Just(b'\\'), Just(b'"'), Just(b'%'), Just(b'\n'), 32_u8..127, any::<u8>()]
}

fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(byte_of_any_kind(), 0..40),
        // Long ones are made of few choices, since each choice costs the generator time.
        1 => (prop::collection::vec(byte_of_any_kind(), 1..8), 300_usize..1_500)
            .prop_map(|(unit, times)| unit.repeat(times)),
    ]
}

fn some_format() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(
            atoms::ATOMS
                .iter()
                .map(|row| row.name)
                .filter(|name| !name.is_empty())
                .collect::<Vec<_>>()
        )
        .prop_map(|name| format!("%({name})s")),
        prop::sample::select(vec![
            "{x-a}i",
            "{x-a}o",
            "{sid}c",
            "{http_x_a}e",
            "h",
            "r",
            "a",
            "D",
            "L"
        ])
        .prop_flat_map(|name| "[-0+ ]{0,2}([0-9]{1,2})?(\\.[0-9]{1,2})?[sdf]"
            .prop_map(move |conversion| format!("%({name}){conversion}"))),
        "[ -~]{0,4}",
        "\\PC{0,3}",
    ];
    let gunicorn = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    let apache = prop::collection::vec(
        prop_oneof![
            "%!?([2-5]0[0-9],?){0,2}[<>]?(\\{[A-Za-z-]{1,8}\\})?[A-Za-z]",
            "%\\{(begin:|end:)?(%[A-Za-z]|[ :/-]){0,6}\\}t",
            "[ -~]{0,3}",
        ],
        0..8,
    );
    prop_oneof![gunicorn, apache.prop_map(|pieces| pieces.concat()), Just("ecs".to_owned())]
}

proptest! {
    #[test]
    fn no_format_makes_the_compiler_panic(
        text in prop_oneof![some_format(), "\\PC{0,40}", "(%|\\(|\\)|\\{|\\}|s|h|\\^|\\\\|é|[0-9]|[ -~]){0,16}"],
        max_line in 0_usize..9_000,
    ) {
        if let Err(error) = AccessFormat::compile(&text, &service(), max_line) {
            prop_assert!(error.column >= 1 && error.column <= text.chars().count() + 1);
        }
    }

    #[test]
    fn any_request_in_any_format_is_one_line_within_the_cap(
        text in some_format(),
        values in prop::collection::vec(some_bytes(), 8),
        max_line in 600_usize..9_000,
        (status, answered) in (any::<u16>(), any::<bool>()),
    ) {
        let Ok(format) = AccessFormat::compile(&text, &service(), max_line) else { return Ok(()) };
        let printable: Vec<u8> = values[0].iter().copied().filter(|byte| *byte >= 32 && *byte != 127).collect();
        let mut headers = header_map(&printable, &values[1]);
        let value = HeaderValue::from_bytes(&printable).unwrap();
        headers.append("x-a", value.clone());
        headers.append("x-a", value);
        let texts: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value)).collect();
        let facts = Facts {
            method: &values[2],
            target: &values[3],
            peer: &texts[4],
            client: &texts[5],
            host: &texts[6],
            request_id: texts[7].as_bytes(),
            trace_id: texts[0].as_bytes(),
            span_id: texts[1].as_bytes(),
            scheme: &texts[2],
            number: u64::MAX,
            started_wall: u64::MAX,
            ..facts(&headers)
        };
        let ended = Ended {
            status,
            body_bytes: u64::MAX,
            duration: u64::MAX,
            wall: u64::MAX,
            pid: u32::MAX,
            worker: usize::MAX,
            generation: u64::MAX,
            reason: &texts[3],
            error_id: &texts[4],
            request_bytes: u64::MAX,
            first_byte: Some(u64::MAX),
            ..ended()
        };
        let shown = line(&format, &facts, Some(&headers).filter(|_| answered), &ended);
        prop_assert!(shown.len() < max_line, "{} of {}: {}", shown.len(), max_line, text);
        let forges = |c: char| (c.is_control() && c != '\t') || matches!(c, '\u{2028}' | '\u{2029}');
        prop_assert!(!shown.contains(forges), "{}", shown);
        if text == "ecs" {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&shown).is_ok(), "{}", shown);
        }
    }
}
