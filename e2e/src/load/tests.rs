//! The client against servers that misbehave on purpose.

use super::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Worker-Pid: 7\r\n\r\nok";
const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

/// A server whose behaviour towards each connection is given; it ends with the test.
fn server(behave: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let behave = Arc::new(behave);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let behave = Arc::clone(&behave);
            std::thread::spawn(move || behave(number, stream));
        }
    });
    address
}

/// Reads one request head; `false` at the end of the connection.
fn read_request(stream: &mut TcpStream) -> bool {
    let (mut head, mut byte) = (Vec::new(), [0_u8; 1]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return false,
        }
    }
    true
}

/// Closes so that the peer sees a reset: unread bytes make the kernel do it.
fn reset(stream: TcpStream) {
    let mut byte = [0_u8; 1];
    stream.peek(&mut byte).unwrap();
    drop(stream);
}

fn load(target: SocketAddr, new: usize, kept: usize, requests: u64) -> Report {
    Load {
        new_connections: new,
        kept_alive: kept,
        max_requests: requests,
        deadline: Duration::from_millis(300),
        ..Load::new(target)
    }
    .start()
    .join()
}

fn only(report: &Report, class: Failure) {
    let failures = report.failures();
    assert_eq!(failures.keys().collect::<Vec<_>>(), [&class], "{report}");
}

#[test]
fn a_well_behaved_server_loses_nothing_and_is_counted_exactly() {
    let target = server(|_, mut stream| {
        while read_request(&mut stream) {
            stream.write_all(OK).unwrap();
        }
    });
    let report = load(target, 0, 3, 300);
    assert_eq!((report.ok(), report.lost()), (300, 0), "{report}");
    let phase = report.phase("steady");
    assert_eq!(phase.workers.get(&7), Some(&300));
    assert!(phase.quantile(0.5) <= phase.quantile(0.99) && phase.quantile(0.99) <= phase.max());
}

#[test]
fn connection_close_in_an_answer_is_honoured_and_no_failure() {
    let target = server(|_, mut stream| {
        for answer in [OK, LAST] {
            if !read_request(&mut stream) {
                return;
            }
            stream.write_all(answer).unwrap();
        }
    });
    let report = load(target, 0, 2, 100);
    assert_eq!((report.ok(), report.lost()), (100, 0), "{report}");
}

#[test]
fn a_port_without_listener_is_refused() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    only(&load(free, 1, 1, 4), Failure::Refused);
}

#[test]
fn an_end_before_the_first_byte_is_told_from_a_reset() {
    let closes = server(|_, mut stream| _ = read_request(&mut stream));
    only(&load(closes, 2, 0, 4), Failure::EofBeforeByte);
    only(&load(server(|_, stream| reset(stream)), 2, 0, 4), Failure::ResetBeforeByte);
}

#[test]
fn an_end_on_a_reused_connection_has_a_class_of_its_own() {
    let target = server(|number, mut stream| {
        if read_request(&mut stream) {
            stream.write_all(OK).unwrap();
        }
        if number % 2 == 0 { reset(stream) } else { _ = read_request(&mut stream) }
    });
    let report = load(target, 0, 1, 8);
    only(&report, Failure::EofOnReused);
    assert_eq!((report.ok(), report.lost()), (4, 4), "{report}");
}

#[test]
fn an_end_inside_the_answer_is_partial() {
    let target = server(|_, mut stream| {
        read_request(&mut stream);
        stream.write_all(&OK[..OK.len() - 1]).unwrap();
    });
    only(&load(target, 1, 1, 4), Failure::Partial);
}

#[test]
fn silence_is_a_timeout_and_nonsense_is_malformed() {
    let silent = server(|_, mut stream| while read_request(&mut stream) {});
    only(&load(silent, 1, 1, 2), Failure::Timeout);
    let odd = server(|_, mut stream| {
        read_request(&mut stream);
        stream.write_all(b"hello\r\n\r\n").unwrap();
    });
    only(&load(odd, 1, 1, 4), Failure::Malformed);
}

#[test]
fn a_bad_status_is_counted_by_its_number() {
    let target = server(|_, mut stream| {
        while read_request(&mut stream) {
            stream.write_all(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
    });
    only(&load(target, 1, 1, 4), Failure::BadStatus(503));
}

#[test]
fn phases_are_kept_apart() {
    let target = server(|_, mut stream| {
        while read_request(&mut stream) {
            stream.write_all(OK).unwrap();
        }
    });
    let think = Some(Duration::from_millis(1));
    let running = Load { new_connections: 0, kept_alive: 2, think, ..Load::new(target) }.start();
    let deadline = Instant::now() + Duration::from_secs(10);
    for (mark, upto) in [("second", 20), ("third", 40)] {
        while running.answered() < upto && Instant::now() < deadline {
            std::thread::yield_now();
        }
        running.mark(mark);
    }
    let report = running.stop();
    let names: Vec<_> = report.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(names, ["steady", "second", "third"]);
    assert!(report.phase("steady").ok() >= 19 && report.phase("second").ok() >= 1, "{report}");
    assert_eq!(report.to_string().lines().count(), 3, "{report}");
}

#[test]
fn a_burst_is_sent_before_anybody_accepts() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::Tcp(listener.local_addr().unwrap());
    let burst = burst(&target, "/", 20, Duration::from_secs(5));
    assert_eq!(burst.connected(), 20);
    for stream in listener.incoming().take(20) {
        let mut stream = stream.unwrap();
        assert!(read_request(&mut stream));
        stream.write_all(OK).unwrap();
    }
    let answers = burst.collect();
    assert_eq!(answers.iter().filter(|a| a.as_ref().is_ok_and(|r| r.text() == "ok")).count(), 20);
}

#[test]
fn a_single_get_returns_headers_and_body() {
    let target = server(|_, mut stream| {
        read_request(&mut stream);
        stream.write_all(OK).unwrap();
    });
    let answer = get(&target.into(), "/", Duration::from_secs(5)).unwrap();
    assert_eq!((answer.status, answer.header("x-worker-pid")), (200, Some("7")));
}
