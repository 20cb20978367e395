//! Attempts at peers that are broken in every way, and probes at work.

use super::*;
use crate::config::condition::Condition;
use crate::config::expression::Expression;
use crate::config::probes::{Contained, Expect, Ip, Target, Votes};
use crate::config::{Secret, Sources};
use crate::metrics::names;

use mainstay_os::segment::Layout;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// How a peer behaves.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// It says this and closes.
    Says(&'static str),
    /// It says this, and then nothing for ever.
    Stops(&'static str),
    /// A byte of this now and then, for ever.
    Drips(&'static str),
    /// This again and again, without end.
    Floods(&'static str),
}

fn peer(manner: Manner) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept() {
            // The question comes in one piece, or the peer has gone again.
            // What was asked matters to nobody.
            let _some = stream.read(&mut [0; 4_096]);
            match manner {
                Manner::Says(text) => stream.write_all(text.as_bytes()).unwrap_or_default(),
                Manner::Stops(text) => {
                    stream.write_all(text.as_bytes()).ok();
                    kept.push(stream);
                }
                Manner::Drips(text) => drip(&mut stream, text),
                Manner::Floods(text) => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok();
                    while stream.write_all(text.repeat(100).as_bytes()).is_ok() {}
                }
            }
        }
    });
    address
}

fn drip(stream: &mut TcpStream, text: &str) {
    for byte in text.bytes().cycle() {
        if stream.write_all(&[byte]).is_err() {
            return;
        }
        thread::park_timeout(Duration::from_millis(20));
    }
}

fn probe(address: SocketAddr, expect: Expect) -> Probe {
    let target = Target::parse(&format!("http://{address}/x")).unwrap();
    let usual = Probe::usual("some", target);
    Probe { timeout: Duration::from_millis(500), expect, ..usual }
}

fn usual() -> Expect {
    Expect { status: vec![(200, 299)], ..Expect::default() }
}

#[test]
fn every_way_to_be_broken_has_its_word_and_none_takes_longer_than_it_may() {
    use Manner::{Drips, Floods, Says, Stops};
    let body = |text: &str| Expect { contains: Some(Contained::Text(text.to_owned())), ..usual() };
    let matches = |text: &str| Expect {
        contains: Expression::parse(text).map(Contained::Match).ok(),
        ..usual()
    };
    let header = |name: &str, text: &str| Expect {
        header: Some((name.to_owned(), text.to_owned())),
        ..usual()
    };
    let json = |text: &str| Expect { json: Condition::parse(text).ok(), ..usual() };
    const JSON: &str = "HTTP/1.1 200 OK\r\n\r\n{\"status\":\"ok\",\"checks\":[{\"age\":4}]}";
    const OK: &str = "HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 5\r\n\r\nhello";
    for (manner, expect, word) in [
        (Says(OK), usual(), None),
        (Says(OK), body("hell"), None),
        (Says(OK), body("heaven"), Some("body")),
        (Says(OK), matches("(?i)^H.l+o$"), None),
        (Says(OK), matches("hel$"), Some("body")),
        (Says(OK), header("server", "nginx"), None),
        (Says(OK), header("server", "apache"), Some("header")),
        (Says(OK), header("via", ""), Some("header")),
        (Says(JSON), json("checks[0].age < 5"), None),
        (Says(JSON), json("status == down"), Some("json")),
        (Says(OK), json("status"), Some("json")),
        (Says("HTTP/1.1 503 No\r\n\r\n"), usual(), Some("status")),
        (Says(""), usual(), Some("closed")),
        (Says("HTTP/1.1 200 OK\r\nServ"), usual(), Some("closed")),
        (Says("SSH-2.0-x\r\n\r\n"), usual(), Some("malformed")),
        (Stops(""), usual(), Some("timeout_first_byte")),
        (Stops("HTTP/1.1 200 OK\r\nServ"), usual(), Some("timeout_first_byte")),
        (Stops("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"), usual(), Some("timeout_transfer")),
        (Drips("HTTP/1.1 200 OK\r\nx-y: z"), usual(), Some("timeout_first_byte")),
        (Floods("x"), usual(), None),
        (Floods("x"), body("y"), Some("body_too_long")),
        (Floods("x"), matches("x{9}"), None),
        (Floods("x"), matches("x$"), Some("body_too_long")),
        (Floods("x"), json("status"), Some("body_too_long")),
        (Says("HTTP/1.1 302 x\r\nLocation: /x\r\n\r\n"), usual(), Some("status")),
        (
            Says("HTTP/1.1 302 x\r\nLocation: /x\r\n\r\n"),
            Expect { redirects: 3, ..usual() },
            Some("redirects"),
        ),
        (
            Stops("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            Expect { max_time: Some(Duration::from_nanos(1)), ..usual() },
            Some("slow"),
        ),
    ] {
        let found = attempt(&probe(peer(manner), expect));
        assert_eq!(found.failure.map(Failure::as_str), word, "{found:?}");
        // A busy machine takes its time too, but no minute.
        assert!(found.total < Duration::from_secs(20), "{found:?}");
        assert!(found.is_near && found.phases.connect.is_some() && found.phases.tls.is_none());
    }
}

#[test]
fn headers_are_sent_in_place_of_the_usual_ones_and_never_to_another_host() {
    let (tell, told) = std::sync::mpsc::channel();
    let serve = |answer: String| {
        let (listener, tell) = (TcpListener::bind("127.0.0.1:0").unwrap(), tell.clone());
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = [0; 4_096];
            let length = stream.read(&mut question).unwrap();
            tell.send(String::from_utf8_lossy(&question[..length]).into_owned()).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    };
    let other = serve("HTTP/1.1 200 OK\r\n\r\n".to_owned());
    let first = serve(format!("HTTP/1.1 302 x\r\nLocation: http://{other}/y\r\n\r\n"));
    let header = |name: &str, value: &str| (name.to_owned(), Secret::new(value.to_owned()));
    let asked = Probe {
        headers: vec![header("authorization", "Bearer hunter2"), header("host", "shop.example")],
        timeout: Duration::from_secs(20),
        ..probe(first, Expect { redirects: 1, ..usual() })
    };
    assert_eq!(attempt(&asked).failure, None);
    assert!(!format!("{asked:?}").contains("hunter2"));
    let (first, second) = (told.recv().unwrap(), told.recv().unwrap());
    assert!(first.starts_with("GET /x HTTP/1.1\r\n") && first.ends_with("\r\n\r\n"), "{first}");
    assert!(first.contains("\r\nauthorization: Bearer hunter2\r\nhost: shop.example\r\n"));
    assert_eq!(first.to_lowercase().matches("host:").count(), 1, "{first}");
    assert!(second.contains(&format!("Host: {other}\r\n")), "{second}");
    assert!(!second.contains("hunter2") && !second.contains("shop.example"), "{second}");
}

#[test]
fn nobody_there_and_no_such_name_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let refused = attempt(&probe(address, usual()));
    assert_eq!(refused.failure, Some(Failure::Refused));
    assert_eq!((refused.status, refused.phases.first_byte), (None, None));
    let target = Target::Tcp { host: "127.0.0.1".to_owned(), port: address.port() };
    assert_eq!(attempt(&Probe::usual("x", target)).failure, Some(Failure::Refused));
    let (socket, path) = ("/nowhere/at/all".into(), "/".to_owned());
    let gone = attempt(&Probe::usual("x", Target::Unix { socket, path }));
    assert_eq!(gone.failure, Some(Failure::Refused));
}

#[test]
fn a_socket_whose_queue_is_full_is_waited_for_no_longer_than_may_be() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("full.sock");
    let (family, kind) = (rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM);
    let listener = rustix::net::socket(family, kind, None).unwrap();
    rustix::net::bind(&listener, &rustix::net::SocketAddrUnix::new(&path).unwrap()).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let _first = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let target = Target::Unix { socket: path, path: "/".to_owned() };
    let usual = Probe::usual("x", target);
    let found = attempt(&Probe { timeout: Duration::from_millis(100), ..usual });
    assert_eq!(found.failure.map(Failure::as_str), Some("timeout_connect"));
    assert!(found.total < Duration::from_secs(20), "{found:?}");
}

#[cfg(feature = "tls")]
#[test]
fn what_does_not_speak_tls_is_told_so() {
    for (manner, word) in [
        (Manner::Says("HTTP/1.1 400 Bad Request\r\n\r\n"), "tls_failed"),
        (Manner::Says(""), "closed"),
        (Manner::Stops(""), "timeout_tls"),
    ] {
        let target = Target::parse(&format!("https://localhost:{}/", peer(manner).port())).unwrap();
        let timeout = Duration::from_millis(500);
        let found = attempt(&Probe { timeout, ..Probe::usual("x", target) });
        assert_eq!(found.failure.map(Failure::as_str), Some(word), "{found:?}");
        assert!(found.phases.tls.is_some() && found.ends.is_none());
    }
}

fn log() -> Log {
    let (counters, metrics, ring_bytes) = (names::CELLS, names::CAPACITY, [4_096; 3]);
    let layout = Layout { slots: 3, ring_bytes, metrics, ..Layout::small(counters) };
    let segment = Segment::on_heap(layout);
    segment.header().set_state(Health::Ready as u64);
    Log::new(segment, 0)
}

#[test]
fn what_stops_answering_is_down_and_up_again_when_it_is_back() {
    let log = log();
    let mut config = Config::resolve(&Sources::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let target = Target::Tcp { host: "127.0.0.1".to_owned(), port: address.port() };
    let votes = |wanted| Votes { wanted, of: wanted };
    config.probes = vec![Probe {
        interval: Duration::from_millis(20),
        confirm: votes(2),
        recover: votes(2),
        ..Probe::usual("some", target)
    }];
    let probes = Probes::start(&log, &config, &[], &Arc::default()).unwrap();
    let board = probes.board();
    let wait = |is_up: Option<bool>| {
        let deadline = clock::mono() + Duration::from_secs(20);
        while board.look(0)[0].is_up != is_up {
            assert!(clock::mono() < deadline && !probes.has_failed(), "{}", board.text());
            thread::park_timeout(Duration::from_millis(5));
        }
    };
    wait(Some(true));
    drop(listener);
    wait(Some(false));
    assert_eq!(board.look(0)[0].why, "nobody listens there");
    let listener = TcpListener::bind(address).unwrap();
    wait(Some(true));
    drop(listener);
    let total = |name| log.segment().total(names::event_cell_of(name).unwrap());
    assert!(total("probe.down") >= 1 && total("probe.up") >= 1);
    assert!(board.text().contains("\"probe\":\"some\""));
    probes.finish();
}

#[test]
fn a_service_that_ends_is_not_down() {
    let log = log();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let serving = [format!("http://{}", listener.local_addr().unwrap())];
    drop(listener);
    assert!(is_judged(log.segment(), clock::mono()));
    for state in [Health::Draining, Health::Stopped] {
        log.segment().header().set_state(state as u64);
        assert!(!is_judged(log.segment(), clock::mono()));
    }
    let config = Config::resolve(&Sources::default()).unwrap();
    let probes = Probes::start(&log, &config, &serving, &Arc::default()).unwrap();
    let board = probes.board();
    let deadline = clock::mono() + Duration::from_secs(20);
    while board.text().contains("\"last\":null") {
        assert!(clock::mono() < deadline, "{}", board.text());
        thread::park_timeout(Duration::from_millis(5));
    }
    let found = board.look(0);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|it| it.is_own && it.is_up.is_none()), "{}", board.text());
    assert_eq!(log.segment().total(names::event_cell_of("probe.down").unwrap()), 0);
    probes.finish();
}

#[test]
fn a_family_that_fails_is_down_when_the_other_shows_that_this_host_can_reach_something() {
    let mut config = Config::resolve(&Sources::default()).unwrap();
    let nobody = "127.0.0.1:1";
    config.probing.references = "255.255.255.255:1".to_owned();
    let log = log();
    let vantage = Vantage::new(&config, &log);
    let target = Target::parse(&format!("tcp://{nobody}")).unwrap();
    let probe = |family| Probe { family, ..Probe::usual("x", target.clone()) };
    let failed =
        |failure, families| Attempt { failure: Some(failure), families, ..Attempt::default() };
    let late = Some(Failure::ConnectTimeout);
    let one = failed(Failure::ConnectTimeout, vec![(Ip::V4, None), (Ip::V6, late)]);
    assert_eq!(judge(&probe(Family::Both), &one, &vantage), Outcome::Bad);
    let none = failed(Failure::NoWay, Vec::new());
    assert_eq!(judge(&probe(Family::Only(Ip::V6)), &none, &vantage), Outcome::Unknown);
    let total = |name| log.segment().total(names::event_cell_of(name).unwrap());
    assert_eq!(total("probe.vantage_lost"), 0, "nothing is lost that was not there");
    let both = failed(Failure::ConnectTimeout, vec![(Ip::V4, late), (Ip::V6, late)]);
    assert_eq!(judge(&probe(Family::Both), &both, &vantage), Outcome::Unknown);
    assert_eq!(total("probe.vantage_lost"), 1);
}

#[test]
fn without_a_way_to_anything_nothing_is_down() {
    let log = log();
    let mut config = Config::resolve(&Sources::default()).unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    config.probing.references = nobody.local_addr().unwrap().to_string();
    let vantage = Vantage::new(&config, &log);
    assert!(vantage.can_reach(Failure::ConnectTimeout), "the reference answers");
    let vantage = Vantage::new(&Config::resolve(&Sources::default()).unwrap(), &log);
    assert!(vantage.can_reach(Failure::ConnectTimeout), "nobody says otherwise");
    let total = |name| log.segment().total(names::event_cell_of(name).unwrap());
    assert_eq!(total("probe.vantage_lost"), 0);
    assert!(!vantage.can_reach(Failure::NoWay) && !vantage.can_reach(Failure::NoWay));
    assert_eq!((total("probe.vantage_lost"), total("probe.vantage_back")), (1, 0));
    vantage.reached();
    vantage.reached();
    assert_eq!((total("probe.vantage_lost"), total("probe.vantage_back")), (1, 1));
}
