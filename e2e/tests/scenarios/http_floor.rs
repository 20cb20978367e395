//! HTTP at the level of bytes: deadlines, half-close, HTTP/2, our own paths, binds.

use crate::support::*;
use e2e::harness::{Service, poll, poll_every};
use e2e::load::{Response, Target, get, send};
use rustix::net::sockopt::set_socket_linger;
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// A connection whose reads end after 10 s.
fn connect(service: &Service) -> TcpStream {
    let stream = TcpStream::connect(service.address).expect("the service listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket option");
    stream
}

/// Reads until the peer closes or resets; whether it did, and what came.
fn read_to_end(stream: &mut TcpStream) -> (bool, String) {
    let (mut bytes, mut chunk) = (Vec::new(), [0_u8; 64 * 1024]);
    let closed = loop {
        match stream.read(&mut chunk) {
            Ok(0) => break true,
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
            Err(error) => break error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    };
    (closed, String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads until what came ends with these bytes.
fn read_until(stream: &mut TcpStream, end: &[u8]) -> String {
    let (mut bytes, mut byte) = (Vec::new(), [0_u8; 1]);
    while !bytes.ends_with(end) {
        match stream.read(&mut byte) {
            Ok(1) => bytes.push(byte[0]),
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn request(service: &Service, text: &str) -> Response {
    let answer = send(&service.target(), text.as_bytes(), Duration::from_secs(10));
    answer.unwrap_or_else(|failure| panic!("{failure} for {text:?}:\n{}", service.log()))
}

#[test]
fn a_half_closed_request_is_answered() {
    let _together = together();
    let service = service("workers.count = 1");
    let mut stream = connect(&service);
    stream.write_all(b"GET /slow?ms=200 HTTP/1.1\r\nHost: e2e\r\n\r\n").expect("an open socket");
    stream.shutdown(Shutdown::Write).expect("an open socket");
    let (closed, text) = read_to_end(&mut stream);
    assert!(closed && text.starts_with("HTTP/1.1 200") && text.ends_with("slow\n"), "{text}");
}

#[test]
fn a_connection_is_kept_alive_until_the_client_says_close() {
    let _together = together();
    let service = service("workers.count = 1");
    let mut stream = connect(&service);
    for _ in 0..3 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: e2e\r\n\r\n").expect("an open socket");
        let text = read_until(&mut stream, b"hello\n");
        assert!(!text.to_lowercase().contains("connection: close"), "{text}");
    }
    let last = b"GET / HTTP/1.1\r\nHost: e2e\r\nConnection: close\r\n\r\n";
    stream.write_all(last).expect("an open socket");
    let (closed, text) = read_to_end(&mut stream);
    assert!(closed && text.ends_with("hello\n"), "{text}");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let _together = together();
    let service = service("workers.count = 1");
    let mut stream = connect(&service);
    let pair = "GET /slow?ms=100 HTTP/1.1\r\nHost: e2e\r\n\r\n\
                GET / HTTP/1.1\r\nHost: e2e\r\nConnection: close\r\n\r\n";
    stream.write_all(pair.as_bytes()).expect("an open socket");
    let (_, text) = read_to_end(&mut stream);
    let (slow, hello) = (text.find("slow\n"), text.find("hello\n"));
    assert!(slow.is_some() && slow < hello, "{text}");
}

#[test]
fn a_body_comes_back_whole() {
    let _together = together();
    let service = service("workers.count = 1");
    let sized = "POST /echo HTTP/1.1\r\nHost: e2e\r\nContent-Length: 5\r\n\r\nabcde";
    assert_eq!(request(&service, sized).text(), "abcde");
    let chunked = "POST /echo HTTP/1.1\r\nHost: e2e\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(request(&service, chunked).text(), "abcde");
    let big = get(&service.target(), "/big?bytes=3000000", Duration::from_secs(10));
    assert_eq!(big.map(|answer| answer.body.len()), Ok(3_000_000));
}

#[test]
fn http2_by_prior_knowledge_is_greeted_with_settings() {
    let _together = together();
    let service = service("workers.count = 1");
    let mut stream = connect(&service);
    let settings = [0_u8, 0, 0, 4, 0, 0, 0, 0, 0];
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("an open socket");
    stream.write_all(&settings).expect("an open socket");
    let mut frame = [0_u8; 9];
    stream.read_exact(&mut frame).expect("a frame header");
    assert_eq!((frame[3], &frame[5..]), (4, [0_u8; 4].as_slice()), "SETTINGS on stream 0");
}

#[test]
fn a_silent_or_slow_head_is_closed_at_its_deadline() {
    let _together = together();
    let service = service("workers.count = 1\nhttp.header_timeout = \"300ms\"");
    for beginning in ["", "GET / HTTP/1.1\r\nHos"] {
        let begun = Instant::now();
        let mut stream = connect(&service);
        stream.write_all(beginning.as_bytes()).expect("an open socket");
        let (closed, text) = read_to_end(&mut stream);
        let took = begun.elapsed();
        assert!(closed, "{beginning:?} is still open after {took:?}");
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
        let bounds = Duration::from_millis(250)..Duration::from_secs(4);
        assert!(bounds.contains(&took), "{beginning:?} closed after {took:?}");
    }
    assert_eq!(service.get("/").map(|answer| answer.status), Ok(200));
}

#[test]
fn an_idle_connection_is_closed_after_keep_alive() {
    let _together = together();
    let service = service("workers.count = 1\nhttp.keep_alive = \"1s\"");
    let mut stream = connect(&service);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: e2e\r\n\r\n").expect("an open socket");
    read_until(&mut stream, b"hello\n");
    let begun = Instant::now();
    let (closed, text) = read_to_end(&mut stream);
    let took = begun.elapsed();
    assert!(closed && text.is_empty(), "{text}");
    assert!(took > Duration::from_millis(800) && took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_body_that_stops_coming_is_refused() {
    let _together = together();
    let service = service("workers.count = 1\nhttp.body_timeout = \"300ms\"");
    let mut stream = connect(&service);
    let begun = Instant::now();
    let half = b"POST /echo HTTP/1.1\r\nHost: e2e\r\nContent-Length: 10\r\n\r\nabc";
    stream.write_all(half).expect("an open socket");
    let (closed, text) = read_to_end(&mut stream);
    assert!(closed && begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(text.starts_with("HTTP/1.1 408"), "{text:?}");
    assert_eq!(service.get("/").map(|answer| answer.status), Ok(200));
}

#[test]
fn a_client_that_does_not_read_is_dropped() {
    const SIZE: usize = 50_000_000;
    let _together = together();
    let service = service("workers.count = 1\nhttp.write_timeout = \"500ms\"");
    let mut stream = connect(&service);
    let request = format!("GET /big?bytes={SIZE} HTTP/1.1\r\nHost: e2e\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("an open socket");
    stream.peek(&mut [0_u8; 1]).expect("the answer begins");
    service.wait_status("no connection left", Duration::from_secs(10), |status| {
        status.workers.iter().all(|worker| worker.connections == 0 && worker.in_flight == 0)
    });
    let (closed, text) = read_to_end(&mut stream);
    assert!(closed && text.len() < SIZE, "{} bytes", text.len());
}

#[test]
fn a_client_that_resets_during_a_handler_is_noticed() {
    let _together = together();
    let service = service("workers.count = 1");
    let clients: Vec<_> = (0..5).map(|_| connect(&service)).collect();
    for mut client in &clients {
        let get = b"GET /slow?ms=600000 HTTP/1.1\r\nHost: e2e\r\n\r\n";
        client.write_all(get).expect("an open socket");
    }
    service.wait_status("five requests in flight", START, |status| in_flight(status) == 5);
    for client in clients {
        // To close with a linger time of zero is to reset.
        set_socket_linger(&client, Some(Duration::ZERO)).expect("a socket option");
    }
    let limit = Duration::from_secs(10);
    service.wait_status("nothing in flight", limit, |status| in_flight(status) == 0);
}

#[test]
fn a_download_that_is_read_slowly_is_in_flight_until_it_is_written() {
    const SIZE: usize = 40_000_000;
    let _together = together();
    let service = service("workers.count = 1");
    let mut stream = connect(&service);
    let get = format!("GET /big?bytes={SIZE} HTTP/1.1\r\nHost: e2e\r\nConnection: close\r\n\r\n");
    stream.write_all(get.as_bytes()).expect("an open socket");
    let mut beginning = [0_u8; 1024];
    stream.read_exact(&mut beginning).expect("the answer begins");
    assert!(beginning.starts_with(b"HTTP/1.1 200"));
    // The handler is over at once; what is looked at for a second is the writing.
    poll_every(Duration::from_millis(100), Duration::from_secs(1), || {
        assert_eq!(in_flight(&service.status()), 1, "while the client reads nothing");
        None::<()>
    });
    let listed = service.control_ok(&["requests"]);
    assert!(listed.contains("/big"), "{listed}");
    let (closed, rest) = read_to_end(&mut stream);
    assert!(closed && beginning.len() + rest.len() > SIZE, "{} bytes", rest.len());
    service.wait_status("nothing in flight", START, |status| in_flight(status) == 0);
}

#[test]
fn a_slow_handler_is_not_cut_by_the_deadlines_of_the_connection() {
    let _together = together();
    let service = service(
        "workers.count = 1\nhttp.header_timeout = \"300ms\"\nhttp.body_timeout = \"300ms\"\n\
         http.write_timeout = \"300ms\"\nhttp.keep_alive = \"300ms\"",
    );
    assert_eq!(service.get("/slow?ms=1500").map(|answer| answer.text()), Ok("slow\n".into()));
}

#[test]
fn health_paths_answer_get_and_head_and_nothing_else() {
    let _together = together();
    let service = service("workers.count = 1");
    for target in [service.target(), service.admin.into()] {
        for path in ["/healthz", "/readyz"] {
            let ask = |method: &str| {
                let text =
                    format!("{method} {path} HTTP/1.1\r\nHost: e2e\r\nContent-Length: 0\r\n\r\n");
                send(&target, text.as_bytes(), Duration::from_secs(5)).expect("an answer")
            };
            // The admin listener belongs to watch, which may start later.
            poll(START, || (ask("GET").status == 200).then_some(()));
            let full = ask("GET");
            assert_eq!((full.status, full.header("cache-control")), (200, Some("no-store")));
            let head = ask("HEAD");
            assert_eq!((head.status, head.body.len()), (200, 0));
            let post = ask("POST");
            assert_eq!(post.status, 405, "{target:?} {path}");
            assert!(post.header("allow").is_some_and(|allow| allow.contains("GET")), "{post:?}");
        }
    }
}

#[test]
fn during_a_drain_readyz_is_red_and_requests_are_still_served() {
    let _together = together();
    let mut service = service("workers.count = 2\nhealth.drain_delay = \"2s\"");
    service.wait_workers(2, START);
    service.signal(Signal::TERM);
    let red = || service.get("/readyz").ok().filter(|answer| answer.status == 503);
    let red = poll(Duration::from_millis(1500), red).expect("/readyz turns red");
    assert_eq!(red.header("x-readiness-state"), Some("draining"), "{red:?}");
    let served = request(&service, "GET / HTTP/1.1\r\nHost: e2e\r\n\r\n");
    assert_eq!((served.status, served.header("connection")), (200, Some("close")), "{served:?}");
    assert_eq!(service.get("/healthz").map(|answer| answer.status), Ok(200));
    assert_eq!(service.wait_exit(START).code(), Some(0), "{}", service.log());
}

#[test]
fn an_idle_connection_gets_one_more_answer_during_a_stop() {
    let _together = together();
    let mut service = service("workers.count = 1\nhttp.linger = \"2s\"");
    let mut stream = connect(&service);
    let get = b"GET / HTTP/1.1\r\nHost: e2e\r\n\r\n";
    stream.write_all(get).expect("an open socket");
    read_until(&mut stream, b"hello\n");
    service.signal(Signal::TERM);
    service.wait_log(&["signal", "term"], START);
    stream.write_all(get).expect("an open socket");
    let (closed, text) = read_to_end(&mut stream);
    assert!(closed && text.ends_with("hello\n"), "{text}");
    assert!(text.to_lowercase().contains("connection: close"), "{text}");
    assert_eq!(service.wait_exit(START).code(), Some(0), "{}", service.log());
}

#[test]
fn several_binds_are_served_at_once() {
    let _together = together();
    let config = "workers.count = 2\nserver.bind = [\"{address}\", \"unix:{dir}/app.sock\"]";
    let mut service = service(config);
    let socket = service.directory().join("app.sock");
    let unix = Target::Unix(socket.clone());
    for target in [service.target(), unix] {
        let answer = get(&target, "/", Duration::from_secs(5));
        assert_eq!(answer.map(|answer| answer.text()), Ok("hello\n".into()), "{target:?}");
    }
    service.signal(Signal::TERM);
    assert_eq!(service.wait_exit(START).code(), Some(0), "{}", service.log());
    assert!(!socket.exists(), "the socket's file goes with the service");
}

#[test]
fn an_upgraded_connection_has_no_deadlines_and_is_waited_for_at_a_stop() {
    let _together = together();
    let mut service = service(
        "workers.count = 1\nhttp.header_timeout = \"300ms\"\nhttp.keep_alive = \"300ms\"\n\
         http.linger = \"100ms\"",
    );
    let mut stream = connect(&service);
    let head = "GET /upgrade HTTP/1.1\r\nHost: e2e\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("an open socket");
    let answer = read_until(&mut stream, b"\r\n\r\n");
    assert!(
        answer.starts_with("HTTP/1.1 101") && answer.contains("connection: upgrade"),
        "{answer}"
    );
    let mut echoes = |text: &[u8]| {
        stream.write_all(text).expect("an open socket");
        assert_eq!(read_until(&mut stream, text).as_bytes(), text);
    };
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        echoes(b"past every deadline;");
    }
    service.signal(Signal::TERM);
    service.wait_log(&["Waiting for 1 connections"], START);
    echoes(b"during the stop;");
    drop(stream);
    assert_eq!(service.wait_exit(START).code(), Some(0), "{}", service.log());
    assert!(!service.log().contains("deadline passed"), "{}", service.log());
}

#[test]
fn a_panic_in_a_body_ends_its_connection_and_is_told() {
    let _together = together();
    let service = service("workers.count = 1");
    let pid = service.wait_workers(1, START).pids();
    let mut stream = connect(&service);
    stream.write_all(b"GET /panic-in-body HTTP/1.1\r\nHost: e2e\r\n\r\n").expect("an open socket");
    let (closed, text) = read_to_end(&mut stream);
    assert!(closed && !text.ends_with("0\r\n\r\n"), "an answer that pretends to be whole: {text}");
    service.wait_log(&["Error handling request GET /panic-in-body", "as told"], START);
    assert_eq!(service.wait_workers(1, START).pids(), pid, "the worker lives");
}
