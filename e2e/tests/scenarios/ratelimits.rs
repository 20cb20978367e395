//! Rate limits: as many admitted as a limit says, by however many workers and whoever of them dies;
//! what the refused are told, and what the log and the commands say.

use crate::clients::{TIMEOUT, get_for, metric, statuses};
use crate::support::*;
use crate::wire::Wire;
use e2e::harness::{Service, Status};
use e2e::load::{Burst, Failure, Response, burst};
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn as_many_are_admitted_as_the_limit_says_by_four_workers_in_every_strategy() {
    let _together = together();
    for strategy in ["fixed-window", "moving-window", "sliding-window-counter", "gcra"] {
        // Slow enough that not even a bucket that fills evenly gets another during the test.
        let service = service(&format!(
            "workers.count = 4\nlimits.strategy = '{strategy}'\nlimits.default = '100/day'"
        ));
        let answers: Vec<u16> = (0..4)
            .flat_map(|_| burst(&service.target(), "/", 100, TIMEOUT).collect())
            .map(|it| it.map_or_else(|failure| panic!("{failure:?}"), |answer| answer.status))
            .collect();
        let count = |status| answers.iter().filter(|it| **it == status).count();
        assert_eq!((count(200), count(429)), (100, 300), "{strategy}:\n{}", service.log());
        let line = "mainstay_limit_decisions_total{policy=\"default\",outcome=";
        let counted = ["allowed", "denied", "would_deny"]
            .map(|outcome| metric(&service, &format!("{line}\"{outcome}\"}}")));
        assert_eq!(counted, [Some(100), Some(300), Some(0)], "{strategy}");
    }
}

#[test]
fn workers_that_are_killed_and_a_reload_admit_nobody_more() {
    let _together = together();
    let config = "workers.count = 4\nlimits.default = '400/day'";
    let service = service(config);
    let mut answers = Vec::new();
    for round in 0..8 {
        let pids = service.status().pids();
        let under_way = burst(&service.target(), "/slow?ms=300", 100, TIMEOUT);
        match round {
            3 => {
                service.configure(&format!("{config}\nlimits.headers = 'off'"));
                service.control_ok(&["reload", "--wait"]);
            }
            _ => {
                kill_process(pid(pids[round % pids.len()]), Signal::KILL).ok();
            }
        }
        answers.extend(under_way.collect());
        service.wait_workers(4, START);
    }
    let count = |status| answers.iter().flatten().filter(|it| it.status == status).count();
    let lost = answers.iter().filter(|it| it.is_err()).count();
    say(format_args!("killed: {} admitted, {} refused, {lost} lost", count(200), count(429)));
    assert!(count(200) <= 400, "{} were admitted of 400", count(200));
    // Who was admitted and killed has used up his share.
    assert!(count(200) + lost >= 400, "{} were admitted of 400, {lost} lost", count(200));
    assert_eq!(count(200) + count(429) + lost, 800, "{}", service.log());
    assert_eq!(statuses(&service, "127.0.0.1", "/", 2), [429, 429]);
}

#[test]
fn the_refused_are_told_when_to_come_again_in_the_form_that_they_accept() {
    let _together = together();
    let service = service(
        "workers.count = 1\nlimits.routes = ['GET /: 1/hour']\nlog.access_format = '%(s)s %(reason)s %(r)s'",
    );
    let first = get_for(&service, "192.0.2.7", "/", "");
    assert_eq!((first.status, first.header("retry-after")), (200, None));
    assert_eq!(first.header("ratelimit-policy"), Some("\"GET /\";q=1;w=3600"));
    assert_eq!(first.header("x-ratelimit-remaining"), Some("0"));
    let refused = get_for(&service, "192.0.2.7", "/", "Accept: application/json\r\n");
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    let problem: Value = serde_json::from_slice(&refused.body).expect("JSON");
    let kind = "https://iana.org/assignments/http-problem-types#quota-exceeded";
    assert_eq!((&problem["type"], &problem["status"]), (&kind.into(), &429.into()));
    assert_eq!(problem["violated-policies"], serde_json::json!(["GET /"]));
    let wait: u64 = refused.header("retry-after").expect("a wait").parse().expect("seconds");
    assert!((3_500..=3_600).contains(&wait), "{wait}");
    let page = get_for(&service, "192.0.2.7", "/", "Accept: text/html\r\n");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains("Please try again in 60 minutes."), "{}", page.text());
    service.wait_access(&["429 rate_limited GET / HTTP/1.1"], START);
    let line = service.wait_log(&["ratelimit 1 per 1 hour (192.0.2.7) exceeded"], START);
    assert!(line.contains("exceeded at endpoint: GET /") && line.contains("[WARNING]"), "{line}");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(statuses(&service, "192.0.2.7", path, 3), [200; 3], "probes are not limited");
    }
}

#[test]
fn a_worker_that_is_replaced_tells_what_it_left_untold_of_a_window_that_goes_on() {
    let _together = together();
    let service = service("workers.count = 1\nlimits.default = '1/day'");
    let answers = statuses(&service, "192.0.2.7", "/", 13);
    assert_eq!((answers[0], &answers[1..]), (200, &[429; 12][..]));
    service.control_ok(&["reload", "--wait"]);
    let line =
        service.wait_log(&["ratelimit 1 per 1 day (192.0.2.7) was exceeded 12 times"], START);
    assert!(line.contains("the last 2 of them were not told"), "{line}");
}

#[test]
fn a_refused_request_keeps_its_connection_unless_its_body_was_not_read() {
    let _together = together();
    let service =
        service("workers.count = 1\nlimits.default = '1/hour'\nlimits.compat = 'flask-limiter'");
    let mut wire = Wire::connect(service.address).expect("the service listens");
    let mut ask = |bytes: &str| {
        let answer = wire.send(bytes.as_bytes()).answer().expect("an answer");
        (answer.status, answer.close, wire.text(&answer))
    };
    let get = "GET / HTTP/1.1\r\nHost: e2e\r\n\r\n";
    let (status, _, text) = ask(get);
    assert_eq!(status, 200);
    // Flask-Limiter's headers, in its order, on what is admitted too.
    let names: Vec<_> =
        text.lines().filter_map(|line| line.split_once(": ")).map(|it| it.0).collect();
    let at = names.iter().position(|name| *name == "x-ratelimit-limit").expect("its headers");
    let expected = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
    assert_eq!(names[at..at + 3], expected, "{text}");
    assert!(names.contains(&"retry-after"), "{text}");
    assert_eq!(ask(get).0, 429);
    let (status, close, _) = ask(get);
    assert_eq!((status, close), (429, false), "the same connection");
    let (status, close, _) = ask("POST /echo HTTP/1.1\r\nHost: e2e\r\nContent-Length: 100\r\n\r\n");
    assert_eq!((status, close), (429, true));
}

/// Sends requests of ever new clients by one connection until the time is over; how many were refused.
fn flood(service: &Service, first: usize, time: Duration) -> u64 {
    const TOGETHER: usize = 64;
    let mut stream = TcpStream::connect(service.address).expect("the service listens");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a time that there is");
    let mut answers = BufReader::new(stream.try_clone().expect("a descriptor"));
    let (begun, mut refused, mut client) = (Instant::now(), 0, 0_u32);
    while begun.elapsed() < time {
        let mut text = String::new();
        for _ in 0..TOGETHER {
            let [_, a, b, c] = client.to_be_bytes();
            let who = format!("{}.{a}.{b}.{c}", 11 + first);
            text += &format!("HEAD / HTTP/1.1\r\nHost: e2e\r\nX-Forwarded-For: {who}\r\n\r\n");
            client = (client + 1) % 50_000;
        }
        stream.write_all(text.as_bytes()).expect("it reads");
        // An answer to HEAD ends with its head.
        let (mut ended, mut line) = (0, String::new());
        while ended < TOGETHER {
            line.clear();
            assert!(answers.read_line(&mut line).expect("answers") > 0, "it is closed");
            ended += usize::from(line == "\r\n");
            refused += u64::from(line.starts_with("HTTP/1.1 429 "));
        }
    }
    refused
}

#[test]
fn a_flood_of_refused_requests_is_counted_to_the_last_and_does_not_fill_the_log() {
    let _alone = alone();
    let config = "workers.count = 2\nlimits.default = '0/minute'\nlog.access = ''";
    let service = service(config);
    let (service, time) = (&service, Duration::from_secs(5));
    let refused: u64 = std::thread::scope(|scope| {
        let both = [0, 1].map(|first| scope.spawn(move || flood(service, first, time)));
        both.into_iter().map(|it| it.join().expect("it does not panic")).sum()
    });
    let line = "mainstay_limit_decisions_total{policy=\"default\",outcome=\"denied\"}";
    assert_eq!(metric(service, line), Some(refused));
    let told: usize =
        service.log_lines(&["ratelimit 0 per 1 minute"]).iter().map(String::len).sum();
    say(format_args!("{} refused a second, {told} bytes of log", refused / time.as_secs()));
    // Each minute has its megabyte, and five seconds lie in two of them at most.
    assert!((1_000..=2_000_000).contains(&told), "{told} bytes of log");
}

#[test]
fn a_dry_run_tells_what_it_would_refuse() {
    let _together = together();
    let service = service("workers.count = 2\nlimits.default = '1/hour'\nlimits.dry_run = true");
    assert_eq!(statuses(&service, "192.0.2.7", "/", 3), [200; 3]);
    service.wait_log(&["ratelimit 1 per 1 hour (192.0.2.7) would be exceeded"], START);
    let line = "mainstay_limit_decisions_total{policy=\"default\",outcome=\"would_deny\"}";
    assert_eq!(metric(&service, line), Some(2));
}

#[test]
fn who_finds_nothing_again_and_again_is_told_of() {
    let _together = together();
    let service = service("workers.count = 2\nlimits.excess_404 = '3/minute'");
    assert_eq!(statuses(&service, "192.0.2.7", "/.env", 4), [404; 4]);
    let line = service.wait_log(&["malicious_excess_404:192.0.2.7"], START);
    assert!(line.contains("(more than 3 per 1 minute)"), "{line}");
}

#[test]
fn a_breach_is_answered_by_the_application_and_has_its_line_even_if_that_panics() {
    let _together = together();
    let service = service("workers.count = 2\nlog.access_format = '%(s)s %(reason)s %(r)s'");
    assert_eq!(statuses(&service, "192.0.2.7", "/own", 1), [200]);
    let own = get_for(&service, "192.0.2.7", "/own", "");
    assert_eq!((own.status, &own.body[..]), (402, &b"pay\n"[..]));
    assert_eq!(own.header("ratelimit-policy"), Some("\"own\";q=1;w=3600"));
    assert!(own.header("retry-after").is_some());
    assert_eq!(statuses(&service, "192.0.2.7", "/own?panic=1", 1), [429]);
    service.wait_access(&["402 rate_limited GET /own "], START);
    service.wait_access(&["429 rate_limited GET /own?panic=1"], START);
    service.wait_log(&["Error handling request GET /own", "as told"], START);
}

#[test]
fn limits_of_the_applications_code_count_over_all_workers() {
    let _together = together();
    let service = service("workers.count = 4\nlimits.default = '1000/hour'");
    assert_eq!(statuses(&service, "192.0.2.7", "/limited", 4), [200, 200, 200, 429]);
    let keyed = "X-Api-Key: one\r\n";
    let by_key = |client| get_for(&service, client, "/limited", keyed).status;
    let clients = ["192.0.2.7", "192.0.2.8", "192.0.2.9", "192.0.2.7"];
    assert_eq!(clients.map(by_key), [200, 200, 200, 429], "the key is the client");
    let told = get_for(&service, "192.0.2.1", "/limited", "");
    let both = "\"default\";q=1000;w=3600, \"limited\";q=3;w=3600";
    assert_eq!(told.header("ratelimit-policy"), Some(both));
    assert_eq!(told.header("x-ratelimit-limit"), Some("3"));
    // Failed attempts alone count.
    let attempt = |path: &str| get_for(&service, "192.0.2.7", path, "").status;
    let paths = ["/attempt?ok=1", "/attempt", "/attempt?ok=1", "/attempt", "/attempt?ok=1"];
    assert_eq!(paths.map(attempt), [200, 401, 200, 401, 429]);
    let line = "mainstay_limit_decisions_total{policy=\"limited\",outcome=\"denied\"}";
    assert_eq!(metric(&service, line), Some(2));
    service.wait_log(&["ratelimit 3 per 1 hour (one) exceeded"], START);
}

/// How often each of so many clients of one /48 is admitted that ask all at once, each from two addresses of its /64.
fn admitted_of_network(service: &Service, clients: usize, asks: usize) -> Vec<usize> {
    let ask = |client: usize| {
        let one = |at: usize| {
            let who = format!("2001:db8:7:{client:x}::{}", at % 2 + 1);
            get_for(service, &who, "/", "").status
        };
        let statuses: Vec<u16> = (0..asks).map(one).collect();
        assert!(statuses.iter().all(|it| matches!(it, 200 | 429)), "{statuses:?}");
        statuses.iter().filter(|it| **it == 200).count()
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..clients).map(|it| scope.spawn(move || ask(it))).collect();
        all.into_iter().map(|it| it.join().expect("it does not panic")).collect()
    })
}

#[test]
fn a_network_of_ipv6_is_admitted_so_many_times_what_a_client_is_and_no_neighbour_more_than_his_own()
{
    let _together = together();
    for strategy in ["fixed-window", "moving-window", "sliding-window-counter", "gcra"] {
        let service = service(&format!(
            "workers.count = 4\nlimits.strategy = '{strategy}'\nlimits.default = '5/day'\n\
             limits.ipv6_network = 8"
        ));
        let each = admitted_of_network(&service, 16, 8);
        assert!(each.iter().all(|it| *it <= 5), "{strategy}: {each:?}");
        let at_once: usize = each.iter().sum();
        // Who was refused by the one limit has held a place of the other for a moment, and whoever came just then was
        // refused: no place may be lost by that.
        let late = statuses(&service, "2001:db8:7:ff00::1", "/", 6);
        let late = late.iter().filter(|it| **it == 200).count();
        say(format_args!("{strategy}: {at_once} of 40 admitted at once, {late} behind them"));
        assert_eq!(at_once + late, 40, "{strategy}: {each:?}\n{}", service.log());
        service.wait_log(&["ratelimit 40 per 1 day (2001:db8:7::/48) exceeded"], START);
        // What another network and addresses of IPv4 have is their own.
        let own = [200, 200, 200, 200, 200, 429, 429];
        for client in ["2001:db8:8::1", "192.0.2.7", "::ffff:192.0.2.8"] {
            assert_eq!(statuses(&service, client, "/", 7), own, "{strategy}: {client}");
        }
        let line = |policy| {
            format!("mainstay_limit_decisions_total{{policy=\"{policy}\",outcome=\"allowed\"}}")
        };
        let allowed = ["default", "default-ipv6-48"].map(|it| metric(&service, &line(it)));
        assert_eq!(allowed, [Some(40 + 3 * 5), Some(40 + 5)], "{strategy}");
    }
}

#[test]
fn a_cookie_is_a_client_wherever_it_comes_from_and_who_comes_near_to_a_limit_is_counted() {
    let _together = together();
    let service = service(
        "workers.count = 4\nlimits.key = 'cookie:sid'\nlimits.default = '10/day'\nlimits.ipv6_network = 2",
    );
    let near = || {
        let line = |policy| format!("mainstay_limit_near_total{{policy=\"{policy}\"}}");
        ["default", "default-ipv6-48"].map(|it| metric(&service, &line(it)))
    };
    assert_eq!(near(), [Some(0), Some(0)]);
    let ask = |client: &str, cookie: &str, count: usize| {
        let more = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
        let asks = (0..count).map(|_| get_for(&service, client, "/", &more).status);
        asks.filter(|it| *it == 200).count()
    };
    // Each admission that leaves fewer than a fifth of ten is near to it, and no refusal is.
    assert_eq!(ask("192.0.2.7", "sid=hunter2-one", 8), 8);
    assert_eq!(near(), [Some(0), Some(0)]);
    assert_eq!(ask("2001:db8:7::1", "other=1; sid=\"hunter2-one\"", 5), 2);
    assert_eq!(near(), [Some(2), Some(0)]);
    assert_eq!(ask("192.0.2.7", "sid=hunter2-two", 9), 9);
    assert_eq!(near(), [Some(3), Some(0)]);
    // Without the cookie it is the address, and its network; who has the cookie is of none.
    assert_eq!(ask("192.0.2.7", "", 3), 3);
    assert_eq!(ask("2001:db8:7:1::1", "sid=", 12), 10);
    assert_eq!(near(), [Some(5), Some(0)]);
    assert_eq!(ask("2001:db8:7:2::1", "other=hunter2-one", 12), 10);
    assert_eq!(near(), [Some(7), Some(4)]);
    assert_eq!(ask("2001:db8:7:3::1", "", 2), 0);
    assert_eq!(ask("2001:db8:7:3::1", "sid=hunter2-three", 1), 1);
    assert_eq!(near(), [Some(7), Some(4)]);
    service.wait_log(&["ratelimit 10 per 1 day (key#"], START);
    assert!(!service.log().contains("hunter2"), "{}", service.log());
}

#[test]
fn commands_show_test_and_clear_what_a_client_has_used() {
    let _together = together();
    let service =
        service("workers.count = 2\nlimits.routes = ['/: 2/hour', '/slow: dry-run 1/second']");
    let table = service.control_ok(&["limits"]);
    assert!(table.contains("2 per 1 hour") && table.contains("tells"), "{table}");
    assert_eq!(statuses(&service, "192.0.2.7", "/", 3), [200, 200, 429]);
    let test = ["limits", "test", "--key", "192.0.2.7", "--path", "/"];
    assert!(service.control_ok(&test).contains("is refused"), "{}", service.control_ok(&test));
    let clear = ["limits", "clear", "--key", "192.0.2.7"];
    let named = || {
        let look = service.control_ok(&["limits", "watch", "--count", "1", "--json"]);
        rows(&serde_json::from_str(&look).expect("a line is JSON"), "clients", "denied")
    };
    assert_eq!(named(), [("192.0.2.7".to_owned(), 1)]);
    assert_eq!(service.control_ok(&clear), "cleared /\n");
    assert!(named().is_empty(), "{:?}", named());
    assert!(service.control_ok(&test).contains("passes"));
    assert_eq!(statuses(&service, "192.0.2.7", "/", 3), [200, 200, 429]);
    let output = service.control(&["limits", "test", "--key", "nobody", "--path", "/"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    service.configure("limits.default = '5/min'");
    let output = service.control(&["check"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("limits.default = '5/min'") && said.contains("\"minute\""), "{said}");
    service.configure("limits.default = '5/minute; 5/hour'");
    let output = service.control(&["check"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("never-binds"), "{output:?}");
}

/// Of the rows of a look of `limits watch`: the client and how often it was refused, of these outcomes.
fn rows(look: &Value, name: &str, outcome: &str) -> Vec<(String, u64)> {
    let rows = look[name].as_array().expect("rows").iter().filter(|it| it["outcome"] == outcome);
    let row = |it: &Value| {
        let who = it["client"].as_str().or(it["policy"].as_str()).expect("a name");
        (who.to_owned(), it["all"].as_u64().expect("a number"))
    };
    rows.map(row).collect()
}

#[test]
fn whom_limits_refuse_is_shown_to_the_last_refusal_whoever_is_killed() {
    let _together = together();
    let config = "workers.count = 2\nlimits.routes = ['/: 2/day', '/echo: dry-run 1/day']";
    let service = service(config);
    let look = |count: &str| -> Vec<Value> {
        let watch = ["limits", "watch", "--count", count, "--each", "50ms", "--json"];
        let looks = service.control_ok(&watch);
        looks.lines().map(|it| serde_json::from_str(it).expect("a line is JSON")).collect()
    };
    assert!(rows(&look("1")[0], "clients", "denied").is_empty());
    for (client, count) in [("192.0.2.7", 9), ("2001:db8::1", 5), ("192.0.2.8", 2)] {
        statuses(&service, client, "/", count);
        if client == "192.0.2.7" {
            kill_a_worker(&service);
            service.wait_workers(2, START);
        }
    }
    statuses(&service, "192.0.2.9", "/echo", 4);
    let looks = look("2");
    assert_eq!(looks.len(), 2);
    assert!(looks[1]["seconds"].as_f64().is_some_and(|it| it >= 0.05), "{}", looks[1]);
    let mut named = rows(&looks[1], "clients", "denied");
    named.sort();
    assert_eq!(named, [("192.0.2.7".to_owned(), 7), ("2001:db8::/64".to_owned(), 3)]);
    // More clients than there are places.
    let refused = 400;
    for client in 0..refused {
        statuses(&service, &format!("198.18.{}.{}", client / 200, client % 200), "/", 3);
    }
    let look = &look("1")[0];
    let named = rows(look, "clients", "denied");
    let of = |client: &str| named.iter().find(|it| it.0 == client).map(|it| it.1);
    assert_eq!((of("192.0.2.7"), of("2001:db8::/64")), (Some(7), Some(3)), "{named:?}");
    let tried = rows(look, "clients", "would_deny");
    assert_eq!(tried, [("192.0.2.9".to_owned(), 3)]);
    let total = 7 + 3 + refused;
    let others: u64 = rows(look, "others", "denied").iter().map(|it| it.1).sum();
    assert_eq!(named.iter().map(|it| it.1).sum::<u64>() + others, total);
    assert!(others >= refused - 256, "{others}");
    assert_eq!(rows(look, "limits", "denied").iter().map(|it| it.1).sum::<u64>(), total);
    let line = "mainstay_limit_decisions_total{policy=\"/\",outcome=\"denied\"}";
    assert_eq!(metric(&service, line), Some(total));
    let text = service.control_ok(&["limits", "watch", "--count", "1"]);
    assert!(text.starts_with(&format!("refused: {total} in all; told of: 3 in all\n")), "{text}");
    assert!(text.contains("192.0.2.7 ") && text.contains("others "), "{text}");
}

/// So many slow requests of this host, which are under way when this returns.
fn under_way(service: &Service, path: &str, count: usize) -> Burst {
    let burst = burst(&service.target(), path, count, TIMEOUT);
    service.wait_status("so many are under way", START, |status| {
        status.workers.iter().map(|worker| worker.in_flight).sum::<u64>() >= count as u64
    });
    burst
}

fn count_of(answers: impl IntoIterator<Item = Result<Response, Failure>>, status: u16) -> usize {
    answers.into_iter().flatten().filter(|answer| answer.status == status).count()
}

#[test]
fn as_many_requests_are_under_way_as_may_be_over_four_workers_and_all_layers() {
    let _together = together();
    let service = service("workers.count = 4\nlimits.concurrency = 3");
    let answers: Vec<_> = burst(&service.target(), "/slow?ms=5000", 24, TIMEOUT).collect();
    assert_eq!(answers.iter().flatten().filter(|it| it.status == 429).count(), 21);
    let refused = answers.iter().flatten().find(|it| it.status == 429).expect("one of them");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(count_of(answers, 200), 3);
    // A layer of the application's code counts beside it, and an answer gives back what it held.
    for _ in 0..3 {
        let answers = burst(&service.target(), "/few?ms=1500", 3, TIMEOUT).collect();
        assert_eq!(count_of(answers, 200), 2);
    }
    let line = "mainstay_limit_decisions_total{policy=\"few\",outcome=\"denied\"}";
    assert_eq!(metric(&service, line), Some(3));
    service.wait_log(&["ratelimit 3 at once (127.0.0.1) exceeded at endpoint: all paths"], START);
    let table = service.control_ok(&["limits"]);
    assert!(table.contains("3 at once"), "{table}");
}

#[test]
fn what_killed_workers_held_is_there_for_others_at_once() {
    let _together = together();
    let service = service("workers.count = 2\nlimits.concurrency = 3");
    for _ in 0..4 {
        let lost = under_way(&service, "/slow?ms=60000", 3);
        assert_eq!(statuses(&service, "127.0.0.1", "/", 2), [429; 2]);
        assert_eq!(statuses(&service, "192.0.2.9", "/", 1), [200], "another client");
        let pids = service.status().pids();
        for worker in &pids {
            kill_process(pid(*worker), Signal::KILL).expect("a worker of ours");
        }
        assert_eq!(count_of(lost.collect(), 200), 0);
        let gone = |status: &Status| pids.iter().all(|pid| !status.has(*pid));
        service.wait_status("they are reaped", START, gone);
        let held = under_way(&service, "/slow?ms=1500", 3);
        assert_eq!(statuses(&service, "127.0.0.1", "/", 1), [429]);
        assert_eq!(count_of(held.collect(), 200), 3);
        assert_eq!(statuses(&service, "127.0.0.1", "/", 1), [200]);
    }
}
