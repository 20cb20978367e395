//! Tests of the whole reading: Werkzeug's table, the corpus in tests/corpus/forwarded, properties.

use super::explain::explain;
use super::*;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

fn socket(text: &str) -> Option<SocketAddr> {
    (text != "unix").then(|| text.parse().unwrap_or_else(|_| panic!("no peer: {text}")))
}

fn headers<'a, V: AsRef<[u8]>>(lines: impl IntoIterator<Item = (&'a str, V)>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let value = HeaderValue::from_bytes(value.as_ref()).expect("a value of a header");
        headers.append(name.parse::<HeaderName>().expect("a name of a header"), value);
    }
    headers
}

/// An origin as the corpus writes it.
fn told(origin: &Origin) -> String {
    let client = origin.client.map_or("none".to_owned(), |ip| ip.to_string());
    let mut parts = vec![client, origin.scheme.as_str().to_owned()];
    parts.extend(origin.host.as_ref().map(|it| format!("host={it}")));
    parts.extend(origin.port.map(|it| format!("port={it}")));
    parts.extend(origin.prefix.as_ref().map(|it| format!("prefix={it}")));
    parts.extend(origin.refused.map(|it| format!("refused={}", it.as_str())));
    parts.join(" ")
}

/// What is told must agree with what is done.
fn resolved(trust: &Trust, peer: Option<SocketAddr>, headers: &HeaderMap) -> Origin {
    let origin = resolve(trust, peer, headers);
    let lines = explain(trust, peer, headers);
    let verdict = lines.last().expect("a verdict");
    let client = origin.client.map_or("unknown (unix socket)".to_owned(), |ip| ip.to_string());
    let begin = format!("client {client}, scheme {}", origin.scheme.as_str());
    assert!(verdict.starts_with(&begin), "{verdict} is not {origin:?}");
    let refused = origin.refused.map(|why| format!("refused {}", why.as_str()));
    assert!(refused.is_none_or(|why| verdict.ends_with(&why)), "{verdict} is not {origin:?}");
    origin
}

/// A file of `tests/corpus/forwarded` is a list of cases. `set NAME VALUE` is a setting of this and
/// the following cases (`trusted`, `header`, `hops`, `fix`, `hosts`; no value: the default), `peer
/// ADDRESS:PORT` or `peer unix` the peer from here on, `Name: value` a header of this case, with
/// bytes as in [`corpus::unescape`], and `= ...` ends the case with what is expected: client, scheme
/// and whatever else there is. In a `.bad` file something is refused in each case, in a `.good`
/// file nothing.
struct Reader {
    trust: Trust,
    peer: Option<SocketAddr>,
    headers: Vec<(String, Vec<u8>)>,
}

impl Reader {
    fn set(&mut self, name: &str, value: &str) {
        let trust = &mut self.trust;
        match name {
            "trusted" => trust.proxies = Networks::parse(value).expect("a list"),
            "header" => trust.header = Family::named(value).expect("a family"),
            "hops" => trust.hops = value.parse().ok(),
            "fix" => trust.fix = ProxyFix::parse(value).expect("counts"),
            "hosts" => trust.hosts = AllowedHosts::parse(value).expect("hosts"),
            _ => panic!("no setting: {name}"),
        }
    }
}

/// Goes through the corpus and returns how many cases there were.
fn replay(ending: &str) -> usize {
    let mut count = 0;
    let mut file = String::new();
    let mut reader = Reader { trust: Trust::default(), peer: None, headers: Vec::new() };
    for (name, line) in corpus::lines("forwarded", ending) {
        if name != file {
            file = name;
            reader.trust = Trust::default();
            reader.set("trusted", "127.0.0.1,::1");
            reader.peer = socket("127.0.0.1:4000");
        }
        if let Some(setting) = line.strip_prefix("set ") {
            let (name, value) = setting.split_once(' ').unwrap_or((setting, ""));
            reader.set(name, value);
        } else if let Some(peer) = line.strip_prefix("peer ") {
            reader.peer = socket(peer);
        } else if let Some(expected) = line.strip_prefix("= ") {
            let lines = std::mem::take(&mut reader.headers);
            let lines = lines.iter().map(|(name, value)| (name.as_str(), value));
            let headers = headers(lines);
            let origin = resolved(&reader.trust, reader.peer, &headers);
            let explained = explain(&reader.trust, reader.peer, &headers).join("\n");
            assert_eq!(told(&origin), expected, "{file}: {headers:?}\n{explained}");
            assert_eq!(origin.refused.is_some(), ending == ".bad", "{file}: {headers:?}");
            count += 1;
        } else {
            let (name, value) = line.split_once(':').expect("a header");
            let value = corpus::unescape(value.trim_start());
            reader.headers.push((name.to_owned(), value));
        }
    }
    count
}

#[test]
fn the_corpus_is_read_as_its_files_say() {
    let (good, bad) = (replay(".good"), replay(".bad"));
    assert!(good >= 80 && bad >= 50, "the corpus has shrunk to {good} and {bad}");
}

/// Peer 10.0.0.1, trusted, and these counts.
fn counted(fix: &str, lines: &[(&str, &str)]) -> String {
    let proxies = Networks::parse("private").unwrap();
    let fix = ProxyFix::parse(fix).unwrap();
    let trust = Trust { proxies, fix, ..Trust::default() };
    told(&resolved(&trust, socket("10.0.0.1:80"), &headers(lines.iter().copied())))
}

/// The table of Werkzeug 3.1 row by row. Where the answer differs, a comment says why.
#[test]
fn proxy_fix_counts_as_werkzeug_does() {
    let client = |list, fix| counted(fix, &[("x-forwarded-for", list)]);
    assert_eq!(client("9.9.9.9, 1.1.1.1", "x_for=1"), "1.1.1.1 http");
    assert_eq!(client("9.9.9.9, 1.1.1.1, 2.2.2.2", "x_for=2"), "1.1.1.1 http");
    assert_eq!(client("1.1.1.1", "x_for=2"), "10.0.0.1 http refused=too_few_elements");
    assert_eq!(client("1.1.1.1,,2.2.2.2", "x_for=2"), "1.1.1.1 http");
    assert_eq!(client("1.1.1.1,", "x_for=1"), "1.1.1.1 http");
    assert_eq!(client("\"1.1.1.1\"", "x_for=1"), "1.1.1.1 http");
    // Werkzeug: unchanged, an unclosed quotation mark empties the list. That is the hole.
    assert_eq!(client("\", 1.1.1.1", "x_for=1"), "1.1.1.1 http");
    assert_eq!(client("x\", 1.1.1.1", "x_for=1"), "1.1.1.1 http");
    // Werkzeug takes these verbatim; here an address is an address.
    assert_eq!(client("<script>", "x_for=1"), "10.0.0.1 http refused=bad_element");
    assert_eq!(client("1.1.1.1:5555", "x_for=1"), "1.1.1.1 http");
    assert_eq!(client("[::1]:5555", "x_for=1"), "::1 http");

    assert_eq!(counted("x_proto=1", &[("x-forwarded-proto", "https, http")]), "10.0.0.1 http");
    assert_eq!(counted("x_proto=2", &[("x-forwarded-proto", "https, http")]), "10.0.0.1 https");
    // Werkzeug accepts any token.
    let strange = counted("x_proto=1", &[("x-forwarded-proto", "gopher")]);
    assert_eq!(strange, "10.0.0.1 http refused=bad_scheme");

    let host = ("x-forwarded-host", "h:8443");
    assert_eq!(counted("x_host=1", &[host]), "10.0.0.1 http host=h port=8443");
    let both = [("x-forwarded-host", "h"), ("x-forwarded-port", "444")];
    assert_eq!(counted("x_host=1,x_port=1", &both), "10.0.0.1 http host=h port=444");
    assert_eq!(counted("x_port=1", &both[1..]), "10.0.0.1 http port=444");
    // SERVER_PORT stays 80 in Werkzeug: nobody said otherwise.
    let secure = [("x-forwarded-host", "h"), ("x-forwarded-proto", "https")];
    assert_eq!(counted("x_host=1", &secure), "10.0.0.1 https host=h");
    assert_eq!(counted("x_prefix=1", &[("x-forwarded-prefix", "/p")]), "10.0.0.1 http prefix=/p");
}

#[test]
fn what_is_explained_names_every_hop_and_escapes_what_was_sent() {
    let proxies = Networks::parse("10.0.0.0/8").unwrap();
    let trust = Trust { proxies, ..Trust::default() };
    let lines = [
        ("x-forwarded-for", b"6.6.6.6, \xff, 203.0.113.7, 10.0.0.2".as_slice()),
        ("x-forwarded-proto", b"https"),
        ("x-forwarded-host", b"evil.example"),
        ("forwarded", b"for=6.6.6.6"),
    ];
    let headers = headers(lines);
    let expected = [
        "peer 10.0.0.1: in proxy.trusted (10.0.0.0/8)",
        r"header x-forwarded-for: 6.6.6.6, \xff, 203.0.113.7, 10.0.0.2",
        "header x-forwarded-proto: https",
        "header x-forwarded-host: evil.example",
        "header forwarded: for=6.6.6.6 (not read: proxy.header is x-forwarded)",
        "from right to left:",
        "hop 1: 10.0.0.2: 10.0.0.2 is in proxy.trusted: a proxy of ours, go on",
        "hop 2: 203.0.113.7: 203.0.113.7 is not in proxy.trusted: the client",
        "scheme: https",
        "host: evil.example: not asked for by the configuration",
        "client 203.0.113.7, scheme https",
    ];
    assert_eq!(explain(&trust, socket("10.0.0.1:80"), &headers), expected);
    let stranger = explain(&trust, socket("203.0.113.9:80"), &headers);
    assert!(stranger[0].ends_with("not in proxy.trusted (10.0.0.0/8), so no header is believed"));
    assert_eq!(stranger[5..], ["client 203.0.113.9, scheme http"]);
}

#[test]
fn only_a_conflict_ends_the_request() {
    assert!(Refused::SchemeConflict.ends_the_request());
    assert!(!Refused::BadElement.ends_the_request() && !Refused::BadScheme.ends_the_request());
}

/// Names of all headers that are read, and some that are not.
const NAMES: &[&str] = &[
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "forwarded",
    "x-forwarded-prefix",
    "x-forwarded-ssl",
    "x-forwarded-protocol",
    "x-real-ip",
    "host",
];

/// Values of the sort that matters, and any that a header may have.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let piece = r#"(10\.0\.0\.[0-9]|1\.1\.1\.1|\[?::1\]?(:80)?|for=|proto=|https?|host=|on|h|/p|[",;\\ =])"#;
    let any = prop::collection::vec(prop_oneof![Just(b'\t'), 0x20..0x7f_u8, 0x80..=0xff_u8], 0..40);
    let pieces = prop::string::string_regex(&format!("{piece}{{0,10}}")).expect("a pattern");
    prop_oneof![pieces.prop_map(String::into_bytes), any]
}

prop_compose! {
    fn any_headers()(
        lines in prop::collection::vec((prop::sample::select(NAMES), value()), 0..8),
    ) -> HeaderMap {
        headers(lines)
    }
}

prop_compose! {
    fn any_trust()(
        proxies in prop::sample::select(&["", "10.0.0.0/8", "10.0.0.0/8,::1,unix"][..]),
        header in prop::sample::select(&["x-forwarded", "forwarded", "off"][..]),
        hops in prop::option::of(0..4_u8),
        fix in prop::sample::select(&["", "x_for=2,x_host=1,x_port=1,x_prefix=1"][..]),
        hosts in prop::sample::select(&["", "*", ".h"][..]),
    ) -> Trust {
        Trust {
            proxies: Networks::parse(proxies).unwrap(),
            header: Family::named(header).unwrap(),
            hops,
            fix: ProxyFix::parse(fix).unwrap(),
            hosts: AllowedHosts::parse(hosts).unwrap(),
            ..Trust::default()
        }
    }
}

proptest! {
    #[test]
    fn nothing_that_a_peer_sends_makes_the_reading_panic(
        trust in any_trust(), headers in any_headers(),
        peer in prop::sample::select(&["10.0.0.1:80", "[::1]:80", "8.8.8.8:80", "unix"][..]),
    ) {
        resolved(&trust, socket(peer), &headers);
    }

    #[test]
    fn what_an_untrusted_peer_sends_changes_nothing(
        trust in any_trust(), headers in any_headers(), ip: [u8; 4],
    ) {
        prop_assume!(ip[0] != 10);
        let peer = Some(SocketAddr::new(ip.into(), 80));
        let alone = resolved(&trust, peer, &HeaderMap::new());
        prop_assert_eq!(alone.client, peer.map(|peer| peer.ip()));
        prop_assert_eq!(resolved(&trust, peer, &headers), alone);
    }

    #[test]
    fn nothing_left_of_the_client_changes_anything(
        left in value(), own_line: bool, proxies in 0..3_usize, form in 0..2_usize,
        hops in prop::option::of(1..4_u8),
    ) {
        let [family, name] =
            [["x-forwarded", "x-forwarded-for"], ["forwarded", "forwarded"]][form];
        let trust = Trust {
            proxies: Networks::parse("10.0.0.0/8").unwrap(),
            header: Family::named(family).unwrap(),
            hops,
            ..Trust::default()
        };
        let element = |ip: &str| match form {
            0 => ip.to_owned(),
            _ => format!("for=\"{ip}\";proto=https"),
        };
        let mut chain = vec![element("203.0.113.7")];
        chain.extend((0..proxies).map(|at| element(&format!("10.0.0.{}", at + 2))));
        let chain = chain.join(", ");
        let alone = headers([(name, chain.clone())]);
        let followed = if own_line {
            headers([(name, left), (name, chain.into_bytes())])
        } else {
            headers([(name, [&left[..], b", ", chain.as_bytes()].concat())])
        };
        let peer = socket("10.0.0.1:80");
        prop_assert_eq!(resolved(&trust, peer, &alone), resolved(&trust, peer, &followed));
    }
}
