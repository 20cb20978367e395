//! Connections held to their deadlines, in time that the tests make.

use super::*;

const DEADLINES: Deadlines = Deadlines {
    header: Duration::from_secs(10),
    body: Duration::from_secs(5),
    write: Duration::from_secs(7),
    keep_alive: Duration::from_secs(75),
    linger: Duration::from_secs(2),
    request: Duration::ZERO,
};

fn at(seconds: u64) -> Mono {
    Mono(seconds * 1_000_000_000)
}

fn watched() -> (Watched, Arc<Recorder>) {
    let recorder = Recorder::for_tests();
    recorder.set_coarse(at(100));
    (Watched::new(Arc::clone(&recorder), None, None, false, -1, at(100)), recorder)
}

#[test]
fn a_head_that_does_not_come_is_cut_and_a_served_connection_may_idle() {
    let (conn, recorder) = watched();
    assert_eq!(conn.judge(at(110), &DEADLINES, None), Verdict::Keep);
    assert_eq!(conn.judge(at(111), &DEADLINES, None), Verdict::Abort("header"));
    conn.bytes_read();
    assert_eq!(conn.judge(at(111), &DEADLINES, None), Verdict::RefuseHead);
    assert_eq!(conn.judge(at(121), &DEADLINES, None), Verdict::Abort("header"), "unheard");
    conn.request_began(recorder.coarse(), false);
    assert_eq!(conn.judge(at(999), &DEADLINES, None), Verdict::Keep);
    recorder.set_coarse(at(200));
    conn.request_ended();
    assert_eq!(conn.judge(at(275), &DEADLINES, None), Verdict::Keep);
    assert_eq!(conn.judge(at(276), &DEADLINES, None), Verdict::Shutdown);
}

#[test]
fn a_drain_lets_idle_connections_linger_and_busy_ones_finish() {
    let (conn, recorder) = watched();
    let drain = Some(at(105));
    assert_eq!(conn.judge(at(106), &DEADLINES, drain), Verdict::Keep);
    assert_eq!(conn.judge(at(108), &DEADLINES, drain), Verdict::Shutdown);
    conn.request_began(recorder.coarse(), false);
    assert_eq!(conn.judge(at(999), &DEADLINES, drain), Verdict::Keep);
    conn.request_began(recorder.coarse(), true);
    assert_eq!(conn.judge(at(106), &DEADLINES, drain), Verdict::Shutdown, "HTTP/2 at once");
}

#[test]
fn a_body_that_stops_fails_first_and_takes_the_connection_later() {
    let (conn, recorder) = watched();
    conn.request_began(recorder.coarse(), false);
    let (body, other) = (conn.watch_body(), conn.watch_body());
    body.awaited(recorder.coarse(), Waker::noop());
    assert_eq!(conn.judge(at(105), &DEADLINES, None), Verdict::Keep);
    assert!(!body.is_expired());
    assert_eq!(conn.judge(at(106), &DEADLINES, None), Verdict::Keep);
    assert!(body.is_expired() && !other.is_expired());
    assert_eq!(conn.judge(at(107), &DEADLINES, None), Verdict::Keep);
    assert_eq!(conn.judge(at(111), &DEADLINES, None), Verdict::Abort("body"));
    body.moved();
    assert_eq!(conn.judge(at(121), &DEADLINES, None), Verdict::Keep);
    drop(body);
    assert!(!conn.watch_body().is_expired(), "a watch used again begins anew");
}

#[test]
fn frames_between_http2_requests_begin_no_head() {
    let (conn, recorder) = watched();
    conn.request_began(recorder.coarse(), true);
    conn.request_ended();
    conn.bytes_read();
    assert_eq!(conn.judge(at(120), &DEADLINES, None), Verdict::Keep);
    recorder.set_coarse(at(120));
    assert_eq!(conn.judge(at(176), &DEADLINES, None), Verdict::Shutdown);
}

#[test]
fn a_connection_that_speaks_another_protocol_has_no_deadlines_here() {
    let (conn, recorder) = watched();
    conn.request_began(recorder.coarse(), false);
    conn.request_ended();
    conn.detach();
    assert_eq!(conn.judge(at(9_999), &DEADLINES, Some(at(101))), Verdict::Keep);
}

#[test]
fn a_client_that_takes_nothing_is_cut_in_any_phase() {
    let (conn, recorder) = watched();
    conn.request_began(recorder.coarse(), false);
    conn.write_awaited();
    assert_eq!(conn.judge(at(108), &DEADLINES, None), Verdict::Abort("write"));
    conn.write_moved();
    assert_eq!(conn.judge(at(108), &DEADLINES, None), Verdict::Keep);
}
