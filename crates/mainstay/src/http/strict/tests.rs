//! Tests of the whole machine: the corpus in tests/corpus/requests, and properties.
//!
//! A case of the corpus is what one client sends, and then closes. Its file begins with lines that
//! begin with `#`; one of them is `# expect: `, followed by the status of each answer in turn. In a
//! `.bad` file the last is that of the refusal, and its reason follows. The rest is the text of what
//! is sent, in which newlines count for nothing and `\r`, `\n`, `\t`, `\0`, `\\` and `\xHH` stand
//! for bytes. 200 stands for an application that reads the body and answers at once, and a body that
//! is refused is answered by the refusal alone.

use super::judge::{Outcome, judge, outcome};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// One file of the corpus.
struct Case {
    name: String,
    bytes: Vec<u8>,
    /// Such as `200 400 bare_lf`.
    expected: String,
}

fn corpus() -> Vec<Case> {
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/requests"));
    let files = fs::read_dir(directory).expect("the corpus is part of the tree");
    let names: BTreeSet<String> = files
        .map(|it| it.expect("a readable directory").file_name().to_string_lossy().into_owned())
        .collect();
    names.into_iter().map(|name| case(directory, name)).collect()
}

fn case(directory: &Path, name: String) -> Case {
    let text = fs::read_to_string(directory.join(&name)).expect("a file of the corpus is text");
    let mut expected = None;
    let mut rest = text.as_str();
    while let Some((line, behind)) = rest.split_once('\n').filter(|(it, _)| it.starts_with('#')) {
        expected = line.strip_prefix("# expect: ").map(str::to_owned).or(expected);
        rest = behind;
    }
    let expected = expected.unwrap_or_else(|| panic!("{name} expects nothing"));
    Case { bytes: unescaped(&name, rest), name, expected }
}

fn unescaped(name: &str, text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.chars().filter(|it| *it != '\n');
    while let Some(next) = rest.next() {
        if next != '\\' {
            bytes.extend(next.to_string().as_bytes());
            continue;
        }
        bytes.push(match rest.next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).unwrap_or_else(|_| panic!("{name}: \\x{digits}"))
            }
            other => panic!("{name}: no escape {other:?}"),
        });
    }
    bytes
}

/// What a server answers, in the form of the corpus.
fn answers(outcome: &Outcome) -> String {
    let whole = outcome.heads - u64::from(outcome.in_body);
    let mut told = vec!["200".to_owned(); usize::try_from(whole).expect("few requests")];
    told.extend(outcome.reject.map(|it| format!("{} {}", it.status, it.reason)));
    told.join(" ")
}

#[test]
fn every_case_of_the_corpus_is_answered_as_it_expects() {
    for case in corpus() {
        assert_eq!(answers(&outcome(&case.bytes, [])), case.expected, "{}", case.name);
        assert_eq!(case.name.ends_with(".bad"), case.expected.contains('_'), "{}", case.name);
    }
}

#[test]
fn every_case_of_the_corpus_is_answered_alike_behind_a_good_request() {
    let good = b"PUT /first HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    for case in corpus() {
        let bytes = [good, case.bytes.as_slice()].concat();
        let expected = format!("200 {}", case.expected);
        assert_eq!(answers(&outcome(&bytes, [])), expected.trim_end(), "{}", case.name);
        judge(&bytes, good.len() + 1);
    }
}

#[test]
fn every_case_of_the_corpus_is_answered_alike_split_at_every_byte() {
    for case in corpus() {
        let length = case.bytes.len();
        let whole = outcome(&case.bytes, []);
        assert_eq!(outcome(&case.bytes, 0..length), whole, "{}, byte by byte", case.name);
        // Of what is long, every byte near its end, where limits are, and some of the rest.
        let splits = (0..length).filter(|at| length < 2000 || length - at < 40 || at % 101 == 0);
        for split in splits {
            assert_eq!(outcome(&case.bytes, [split]), whole, "{}, split at {split}", case.name);
        }
    }
}

#[test]
fn the_corpus_is_large_and_has_every_reason() {
    let corpus = corpus();
    let (bad, good): (Vec<&Case>, Vec<&Case>) =
        corpus.iter().partition(|case| case.name.ends_with(".bad"));
    assert!(good.iter().all(|case| case.name.ends_with(".good")), "a file of another kind");
    assert!(good.len() >= 40 && bad.len() >= 100, "{} good, {} bad", good.len(), bad.len());
    for (reject, means) in REJECTS {
        let told = format!("{} {}", reject.status, reject.reason);
        assert!(bad.iter().any(|case| case.expected.ends_with(&told)), "no case of {told}");
        assert!(means.ends_with('.'), "{told}: {means}");
    }
}

#[test]
fn each_reason_stands_for_one_row() {
    let reasons: BTreeSet<&str> = REJECTS.iter().map(|(reject, _)| reject.reason).collect();
    assert_eq!(reasons.len(), REJECTS.len());
    let is_word = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_';
    assert!(reasons.iter().all(|reason| reason.chars().all(is_word)));
}

fn fresh() -> Framing {
    Framing::new(Limits::default())
}

fn reason(result: Result<usize, Rejected>) -> &'static str {
    result.map_or_else(|rejected| rejected.reject.reason, |_| "")
}

#[test]
fn what_cannot_begin_a_method_is_refused_at_its_first_byte() {
    for first in [0, 0x16, b' ', b'g', b'#', b'"', 0x80, 0xff] {
        assert_eq!(reason(fresh().feed(&[first])), "method_invalid", "{first:#x}");
    }
    assert_eq!(reason(fresh().feed(b"\n")), "bare_lf");
    assert_eq!(reason(fresh().feed(b"\rG")), "bare_cr");
    assert_eq!(reason(fresh().feed(b"\r\n\r")), "blank_lines");
}

#[test]
fn limits_are_held_before_the_end_of_a_line_has_come() {
    let mut framing = fresh();
    let line = [b"GET /".as_slice(), &[b'a'; 4090]].concat();
    assert_eq!(framing.feed(&line[..4094]), Ok(0));
    assert_eq!(reason(framing.feed(&line)), "request_line_too_long");
    let mut framing = fresh();
    let head = [b"GET / HTTP/1.1\r\nA: ".as_slice(), &[b'a'; 8190]].concat();
    assert_eq!(framing.feed(&head[..16 + 8189]), Ok(0));
    assert_eq!(reason(framing.feed(&head[..16 + 8190])), "field_too_long");
    let mut framing = fresh();
    let head = [b"GET / HTTP/1.1\r\n".as_slice(), &b"A: 1\r\n".repeat(100), b"A"].concat();
    assert_eq!(framing.feed(&head[..head.len() - 1]), Ok(0));
    assert_eq!(reason(framing.feed(&head)), "too_many_fields");
}

#[test]
fn a_limit_of_zero_is_the_most_that_hyper_takes() {
    let framing = |line| Framing::new(Limits { line, ..Limits::default() });
    let line =
        |length: usize| [b"GET /".as_slice(), &vec![b'a'; length - 14], b" HTTP/1.1\r\n"].concat();
    assert_eq!(framing(0).feed(&line(65_535)), Ok(0));
    assert_eq!(reason(framing(0).feed(&line(65_536))), "request_line_too_long");
    assert_eq!(reason(framing(usize::MAX).feed(&line(65_536))), "request_line_too_long");
}

#[test]
fn a_refusal_tells_where_the_head_stands_and_what_came_before() {
    let good = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    let bad = b"GET /b HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    let bytes = [good.as_slice(), b"\r\n", bad, b"behind"].concat();
    let rejected = fresh().feed(&bytes).expect_err("two hosts");
    assert_eq!(rejected.verified, good.len());
    assert_eq!(&bytes[rejected.head], bad);
    assert!(!rejected.in_body);

    let bytes = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab";
    let rejected = fresh().feed(bytes).expect_err("a chunk that does not end");
    assert!(rejected.in_body && rejected.head.is_empty());
    assert_eq!(rejected.verified, bytes.len() - 1);
}

#[test]
fn a_fault_is_final() {
    let mut framing = fresh();
    let first = framing.feed(b"no").expect_err("no method");
    let second = framing.feed(b"GET / HTTP/1.0\r\n\r\n").expect_err("nothing passes");
    assert_eq!((first.reject, second.verified), (second.reject, 0));
}

#[test]
fn a_tunnel_lets_everything_pass() {
    let mut framing = fresh();
    let head = b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n";
    assert_eq!(framing.feed(head), Ok(head.len()));
    framing.tunnel();
    assert_eq!(framing.feed(b"\x16\x03\x01\r\n\0"), Ok(6));
    assert_eq!(framing.eof(0), None);
    assert!(!framing.is_in_head());
}

#[test]
fn an_empty_line_behind_a_body_is_no_head() {
    let mut framing = fresh();
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(framing.feed(&[request.as_slice(), b"\r\n"].concat()), Ok(request.len()));
    assert!(!framing.is_in_head());
    assert_eq!(framing.eof(2), None);
    assert_eq!(framing.feed(b"\r\nG"), Ok(0));
    assert!(framing.is_in_head());
    assert_eq!(framing.eof(3).map(|it| it.reason), Some("incomplete_head"));
    assert_eq!(framing.heads(), 1);
}

/// Pieces of requests, so that arbitrary sequences get deep.
const PIECES: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\n",
    b"POST /a?b HTTP/1.1\r\n",
    b"GET / HTTP/1.0\r\n",
    b"OPTIONS * ",
    b"CONNECT a:1 HTTP/1.1\r\n",
    b"http://a/ ",
    b"GET ",
    b"HTTP/1.1\r\n",
    b"\r\n",
    b"\r",
    b"\n",
    b"Host: a\r\n",
    b"Host: ",
    b"Content-Length: 5\r\n",
    b"Content-Length: ",
    b"a: b\r\n",
    b" ",
    b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding: gzip\r\n",
    b"Expect: x\r\n",
    b"\t",
    b"hello",
    b"5\r\nhello\r\n",
    b"1;a=b\r\nx\r\n",
    b"0\r\n",
    b"0\r\n\r\n",
    b"ff\r\n",
    b":",
    b"\0",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"X: y\r\n",
];

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(PIECES).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

fn valid_body() -> impl Strategy<Value = String> {
    let length = "[a-z\r\n]{0,40}"
        .prop_map(|body| format!("content-LENGTH: \t{}\r\n\r\n{body}", body.len()));
    let extension = "( ?; ?[a-z]{1,4}( ?= ?([!a-z]{1,5}|\"[ !#-\\[\\]-~]{0,5}\"))?){0,2}";
    let chunk = ("[0-9\r\n]{1,40}", extension)
        .prop_map(|(data, extension)| format!("{:X}{extension}\r\n{data}\r\n", data.len()));
    let trailers = prop::collection::vec("X-[A-Z]{1,9}:[ -~]{0,20}\r\n", 0..4);
    let chunked = (prop::collection::vec(chunk, 0..4), trailers).prop_map(|(chunks, trailers)| {
        let (chunks, trailers) = (chunks.concat(), trailers.concat());
        format!("Transfer-Encoding: Chunked\r\n\r\n{chunks}0\r\n{trailers}\r\n")
    });
    prop_oneof![Just("\r\n".to_owned()), length, chunked]
}

fn valid_request() -> impl Strategy<Value = String> {
    let target =
        "/[a-zA-Z0-9._~%{}|^\\\\-]{0,30}(\\?[!#-;=?-~]{0,30})?|http://[a-z]{1,9}/[a-z]{0,9}";
    let fields = prop::collection::vec("[a-bX_]{1,12}:[ \t]?[ -~\u{80}-\u{fff}]{0,60}\r\n", 0..9);
    let host = "[a-z.]{0,20}(:[0-9]{0,4})?";
    let parts = ("(\r\n)?", "[A-BD-Z-]{3,20}", target, host, fields, valid_body());
    parts.prop_map(|(blank, method, target, host, fields, body)| {
        let fields = fields.concat();
        format!("{blank}{method} {target} HTTP/1.1\r\n{fields}Host: {host}\r\n{body}")
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_have_one_outcome_however_they_are_split(
        bytes in any_bytes(), mut ends in prop::collection::vec(any::<prop::sample::Index>(), 0..6)
    ) {
        let mut ends: Vec<usize> = ends.drain(..).map(|end| end.index(bytes.len() + 1)).collect();
        ends.sort_unstable();
        judge(&bytes, ends.first().copied().unwrap_or_default());
        prop_assert_eq!(outcome(&bytes, ends), outcome(&bytes, []));
    }

    #[test]
    fn what_has_passed_depends_on_what_has_come_alone(bytes in any_bytes()) {
        let mut grown = fresh();
        let mut passed = 0;
        for end in 0..=bytes.len() {
            let whole = fresh().feed(&bytes[..end]);
            match grown.feed(&bytes[passed..end]) {
                Ok(more) => {
                    passed += more;
                    prop_assert_eq!(whole, Ok(passed));
                }
                Err(rejected) => {
                    let whole = whole.expect_err("refused in pieces");
                    prop_assert_eq!(whole.verified, passed + rejected.verified);
                    prop_assert_eq!(whole.reject, rejected.reject);
                    break;
                }
            }
        }
    }

    #[test]
    fn valid_requests_pass_whole(requests in prop::collection::vec(valid_request(), 1..4)) {
        let bytes = requests.concat().into_bytes();
        let expected = Outcome {
            verified: bytes.len(), heads: requests.len() as u64, reject: None, in_body: false,
        };
        prop_assert_eq!(outcome(&bytes, []), expected);
        judge(&bytes, bytes.len() / 2);
    }
}
