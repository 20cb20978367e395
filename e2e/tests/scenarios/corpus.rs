//! The corpus of raw requests over sockets: what each is answered with, and its lines in the access
//! log. How a case is written stands at the head of the tests of `http::strict`.

use crate::support::*;
use crate::wire::{Answer, Wire};
use e2e::harness::{Launch, Service, poll_every};
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Port of the client, status, reason, and the path, which tells health checks apart.
const CONFIG: &str = "workers.count = 2\nlog.access_format = '%(peer_port)s %(s)s %(reason)s %(U)s'\n\
                      log.probes = false\nhttp.body_timeout = \"5s\"\nhttp.header_timeout = \"5s\"";
const CORPUS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/mainstay/tests/corpus/requests");
/// Longer cases are not split at every byte.
const SHORT: usize = 220;
/// Whatever is wrong with a request is known from its bytes: nothing waits for a deadline.
const PROMPT: Duration = Duration::from_secs(3);
/// Connections at a time.
const BATCH: usize = 200;

const GOOD: &[u8] = b"PUT /first HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";

struct Case {
    name: String,
    bytes: Vec<u8>,
    statuses: Vec<u16>,
    /// Of the last of them.
    reason: Option<String>,
}

fn corpus() -> Vec<Case> {
    let files = std::fs::read_dir(Path::new(CORPUS)).expect("the corpus is part of the tree");
    let mut paths: Vec<_> = files.map(|file| file.expect("a readable directory").path()).collect();
    paths.sort();
    paths.iter().map(|path| Case::read(path)).collect()
}

impl Case {
    fn read(path: &Path) -> Case {
        let text = std::fs::read_to_string(path).expect("a file of the corpus is text");
        let (head, body): (Vec<&str>, Vec<&str>) = {
            let comments = text.lines().take_while(|line| line.starts_with('#')).count();
            (text.lines().take(comments).collect(), text.lines().skip(comments).collect())
        };
        let expected = head.iter().rev().find_map(|line| line.strip_prefix("# expect: "));
        let expected = expected.unwrap_or_else(|| panic!("{} expects nothing", path.display()));
        let (mut statuses, mut reason) = (Vec::new(), None);
        for word in expected.split(' ') {
            match word.parse() {
                Ok(status) => statuses.push(status),
                Err(_) => reason = Some(word.to_owned()),
            }
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Case { name, bytes: unescaped(&body.concat()), statuses, reason }
    }

    /// Statuses and reasons of the lines that it should have behind `before` good ones.
    fn lines(&self, before: usize) -> Vec<String> {
        let mut lines = vec!["200 -".to_owned(); before];
        let (last, good) = self.statuses.split_last().expect("a case is answered");
        lines.extend(good.iter().map(|status| format!("{status} -")));
        lines.push(format!("{last} {}", self.reason.as_deref().unwrap_or("-")));
        lines
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.chars());
    while let Some(next) = rest.next() {
        let escape = if next == '\\' { rest.next() } else { None };
        match escape {
            None => bytes.extend(next.to_string().as_bytes()),
            Some('r') => bytes.push(b'\r'),
            Some('n') => bytes.push(b'\n'),
            Some('t') => bytes.push(b'\t'),
            Some('0') => bytes.push(0),
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(&digits, 16).expect("two hex digits"));
            }
            Some(other) => bytes.extend(other.to_string().as_bytes()),
        }
    }
    bytes
}

/// What is sent over one connection: in two parts, and with so many good requests before the case.
struct Sent<'a> {
    case: &'a Case,
    parts: [Vec<u8>; 2],
    before: usize,
}

fn service() -> Service {
    let launch = Launch::new(fixture()).config(CONFIG).env("FIXTURE_APP", "any");
    launch.start().ready(START)
}

/// Sends all of them, holds the answers against what the cases expect, and afterwards the log too.
fn judge(service: &Service, sent: &[Sent<'_>]) {
    let mut faults = Vec::new();
    for batch in sent.chunks(BATCH) {
        let already = service.access_but_probes().len();
        let mut wires: Vec<_> = batch
            .iter()
            .map(|it| {
                let mut wire = Wire::connect(service.address).expect("the service listens");
                wire.send(&it.parts[0]);
                wire
            })
            .collect();
        let mut expected = HashMap::new();
        for (wire, it) in wires.iter_mut().zip(batch) {
            wire.send(&it.parts[1]).finish();
            expected.insert(wire.port(), (it, it.case.lines(it.before)));
        }
        for (wire, it) in wires.iter_mut().zip(batch) {
            let begun = Instant::now();
            let statuses: Vec<u16> = wire.answers().iter().map(|it: &Answer| it.status).collect();
            let wanted = [&vec![200; it.before][..], &it.case.statuses].concat();
            let took = begun.elapsed();
            if took > PROMPT {
                faults.push(format!("{}: answered only after {took:?}", it.name()));
            }
            if statuses != wanted {
                faults.push(format!("{}: {statuses:?}, not {wanted:?}", it.name()));
            }
        }
        let count: usize = expected.values().map(|(_, lines)| lines.len()).sum();
        let mut lines = Vec::new();
        // More than expected would be a fault too, so what is there is looked at as soon as it can
        // be whole.
        poll_every(Duration::from_millis(20), Duration::from_secs(10), || {
            lines = service.access_but_probes().split_off(already);
            (lines.len() >= count).then_some(())
        });
        let mut found: HashMap<u16, Vec<String>> = HashMap::new();
        for line in lines {
            let line = String::from_utf8(line).expect("a line is text");
            // The path is what a client wrote, and may hold spaces.
            let words: Vec<_> = line.splitn(4, ' ').collect();
            let [port, status, reason, _path] = words[..] else { panic!("no line: {line:?}") };
            let port = port.parse().expect("a port is a number");
            found.entry(port).or_default().push(format!("{status} {reason}"));
        }
        for (port, (it, wanted)) in expected {
            let lines = found.remove(&port).unwrap_or_default();
            if lines != wanted {
                faults.push(format!("{}: lines {lines:?}, not {wanted:?}", it.name()));
            }
        }
        assert!(found.is_empty(), "lines of nobody: {found:?}");
    }
    let few: Vec<_> = faults.iter().take(40).collect();
    assert!(faults.is_empty(), "{} faults: {few:#?}\n{}", faults.len(), service.log());
}

impl Sent<'_> {
    fn name(&self) -> String {
        let (name, before) = (&self.case.name, self.before);
        format!("{name} behind {before}, split at {}", self.parts[0].len())
    }
}

/// The case behind `before`, split at a byte of both.
fn sent<'a>(case: &'a Case, before: &[u8], split: usize) -> Sent<'a> {
    let bytes = [before, &case.bytes].concat();
    let (first, rest) = bytes.split_at(split.min(bytes.len()));
    let parts = [first.to_vec(), rest.to_vec()];
    Sent { case, parts, before: usize::from(!before.is_empty()) }
}

#[test]
fn a_corpus_of_raw_requests_is_judged_over_a_socket() {
    let _together = together();
    let (service, corpus) = (service(), corpus());
    let whole: Vec<_> = corpus.iter().map(|case| sent(case, b"", 0)).collect();
    judge(&service, &whole);
    say(format_args!("{} raw requests have the answers and lines they should", whole.len()));
}

#[test]
fn a_corpus_of_raw_requests_is_judged_alike_behind_a_good_request() {
    let _together = together();
    let (service, corpus) = (service(), corpus());
    let behind: Vec<_> = corpus.iter().map(|case| sent(case, GOOD, 0)).collect();
    judge(&service, &behind);
}

#[test]
fn a_corpus_of_raw_requests_is_judged_alike_split_at_every_byte() {
    let _together = together();
    let (service, corpus, begun) = (service(), corpus(), Instant::now());
    let short = corpus.iter().filter(|case| case.bytes.len() <= SHORT);
    let split = short.flat_map(|case| (1..case.bytes.len()).map(|at| sent(case, b"", at)));
    let split: Vec<_> = split.collect();
    judge(&service, &split);
    say(format_args!("{} split raw requests in {:.1?}", split.len(), begun.elapsed()));
}
