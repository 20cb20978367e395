//! Rate limits of several hosts by a real Redis: as many admitted as a limit says, by services and a fleet of Python's
//! together; and whatever becomes of the store, no request is lost, and one line says so.

use crate::support::*;
use e2e::harness::{Service, poll};
use e2e::load::{Load, Response, burst, send};
use e2e::peers::{self, REDIS_PASSWORD, Redis};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(20);
const STRATEGIES: [&str; 4] = ["fixed-window", "moving-window", "sliding-window-counter", "gcra"];

/// A service whose limits are counted there, with so much time that a busy machine is no outage.
pub(crate) fn counted_by(url: &str, config: &str) -> Service {
    let timeout =
        if config.contains("storage_timeout") { "" } else { "limits.storage_timeout = '5s'\n" };
    service(&format!("workers.count = 2\nlimits.storage = '{url}'\n{timeout}{config}"))
}

fn get_for(service: &Service, client: &str) -> Response {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: e2e\r\nX-Forwarded-For: {client}\r\nConnection: close\r\n\r\n"
    );
    let answer = send(&service.target(), request.as_bytes(), TIMEOUT);
    answer.unwrap_or_else(|failure| panic!("{failure:?}:\n{}", service.log()))
}

/// How many of so many requests of a client are admitted; the others are refused.
pub(crate) fn admitted(service: &Service, client: &str, count: usize) -> usize {
    let statuses: Vec<u16> = (0..count).map(|_| get_for(service, client).status).collect();
    assert!(statuses.iter().all(|it| matches!(it, 200 | 429)), "{statuses:?}\n{}", service.log());
    statuses.iter().filter(|it| **it == 200).count()
}

/// What a metric of the store says.
pub(crate) fn metric(service: &Service, name: &str) -> u64 {
    let answer = service.get_admin("/metrics").expect("watch answers");
    let (text, begin) = (answer.text(), format!("mainstay_limit_store_{name} "));
    let value = text.lines().find_map(|it| it.strip_prefix(&begin));
    value.unwrap_or_else(|| panic!("no {name}")).parse().expect("a whole number")
}

/// What both services and the store say of themselves, for who has to find out why they do not agree.
fn told(services: &[Service; 2], redis: &Redis) -> String {
    let of = |it: &Service| {
        let metrics = it.get_admin("/metrics").expect("watch answers").text();
        let limits = metrics.lines().filter(|line| line.starts_with("mainstay_limit"));
        format!("{}\n{}", limits.collect::<Vec<_>>().join("\n"), it.log())
    };
    let keys = redis.ask(&["KEYS", "*"]);
    format!("{keys}\n{}\n{}", of(&services[0]), of(&services[1]))
}

#[test]
fn two_services_on_one_redis_admit_as_many_together_as_the_limit_says() {
    let _together = together();
    let Some(redis) = Redis::start() else { return };
    for strategy in STRATEGIES {
        let config = format!(
            "limits.strategy = '{strategy}'\nlimits.application = '100/day'\nlimits.default = '200/day; 300/day'"
        );
        let services = [counted_by(&redis.url(), &config), counted_by(&redis.unix_url(), &config)];
        let bursts = services.each_ref().map(|it| burst(&it.target(), "/", 100, TIMEOUT));
        let answers: Vec<u16> = bursts
            .into_iter()
            .flat_map(|it| it.collect())
            .map(|it| it.map_or_else(|failure| panic!("{failure:?}"), |answer| answer.status))
            .collect();
        let count = |status| answers.iter().filter(|it| **it == status).count();
        assert_eq!((count(200), count(429)), (100, 100), "{strategy}: {}", told(&services, &redis));
        // One round trip for the three limits of a request, and none for whom the store is known to refuse.
        let sum = |name| services.iter().map(|it| metric(it, name)).sum::<u64>();
        let (trips, known) = (sum("round_trips_total"), sum("known_refusals_total"));
        assert_eq!(trips + known, 200, "{strategy}");
        // Who was there first has been refused nothing so far, and asks once more.
        assert_eq!(admitted(&services[0], "127.0.0.1", 1), 0, "{strategy}");
        let before = metric(&services[0], "round_trips_total");
        assert_eq!(admitted(&services[0], "127.0.0.1", 20), 0, "{strategy}");
        assert_eq!(metric(&services[0], "round_trips_total"), before, "{strategy}");
        say(format_args!(
            "{strategy}: 200 requests, 100 admitted, {trips} round trips, then 20 without any"
        ));
        for counter in ["timeouts_total", "errors_total", "away_decisions_total", "away"] {
            assert_eq!(sum(counter), 0, "{strategy}: {counter}\n{}", services[0].log());
        }
        redis.ask(&["FLUSHALL"]);
    }
}

#[test]
fn a_network_of_ipv6_has_its_amount_of_two_services_together() {
    let _together = together();
    let Some(redis) = Redis::start() else { return };
    for strategy in STRATEGIES {
        let config = format!(
            "limits.strategy = '{strategy}'\nlimits.default = '10/day'\nlimits.ipv6_network = 3"
        );
        let services = [counted_by(&redis.url(), &config), counted_by(&redis.unix_url(), &config)];
        // What its own limit refuses a client uses up nothing of its network.
        let first = services.each_ref().map(|it| admitted(it, "2001:db8:7::1", 8));
        assert_eq!(first, [8, 2], "{strategy}: {}", told(&services, &redis));
        let neighbours = 1..=6;
        let each: Vec<usize> = std::thread::scope(|scope| {
            let ask = |client: usize, service: usize| {
                let (service, client) = (&services[service], format!("2001:db8:7:{client:x}::1"));
                scope.spawn(move || admitted(service, &client, 8))
            };
            let all: Vec<_> = neighbours.map(|it| [ask(it, 0), ask(it, 1)]).collect();
            let of = |both: [std::thread::ScopedJoinHandle<'_, usize>; 2]| {
                both.into_iter().map(|it| it.join().expect("it does not panic")).sum()
            };
            all.into_iter().map(of).collect()
        });
        assert!(each.iter().all(|it| *it <= 10), "{strategy}: {each:?}");
        let all = each.iter().sum::<usize>();
        assert_eq!(all, 20, "{strategy}: {each:?}\n{}", told(&services, &redis));
        for service in &services {
            assert_eq!(admitted(service, "2001:db8:7:ff::1", 2), 0, "{strategy}: a new neighbour");
        }
        for client in ["2001:db8:8::1", "192.0.2.1"] {
            let both = services.each_ref().map(|it| admitted(it, client, 7));
            assert_eq!(both, [7, 3], "{strategy}: {client}");
        }
        for counter in ["timeouts_total", "errors_total", "away_decisions_total", "away"] {
            let sum = services.iter().map(|it| metric(it, counter)).sum::<u64>();
            assert_eq!(sum, 0, "{strategy}: {counter}\n{}", services[0].log());
        }
        redis.ask(&["FLUSHALL"]);
    }
}

/// How many hits of a limit of 10 an hour Python's `limits` admits a client of the whole application, and what is
/// left then.
pub(crate) fn hit(
    programs: &Path,
    url: &str,
    strategy: &str,
    client: &str,
    hits: usize,
) -> (usize, usize) {
    let hits = hits.to_string();
    let mut python = Command::new(programs.join("python"));
    python.args(["-c", include_str!("redis.py"), url, strategy]);
    let output = python.args(["10 per 1 hour", client, "global", &hits]).output();
    let output = output.expect("there is a Python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text.split_whitespace().map(|it| it.parse().expect("a number"));
    (words.next().expect("admitted"), words.next().expect("left"))
}

#[test]
fn a_fleet_of_pythons_limits_and_a_service_share_one_count() {
    let _together = together();
    let Some(redis) = Redis::start() else { return };
    let Some(programs) = peers::python("limits[redis]", "5.8.0") else { return };
    let hit =
        |strategy: &str, client: &str, hits| hit(&programs, &redis.url(), strategy, client, hits);
    for strategy in &STRATEGIES[..3] {
        let config = format!("limits.strategy = '{strategy}'\nlimits.application = '10/hour'");
        let service = counted_by(&redis.url(), &config);
        // The service first.
        assert_eq!(admitted(&service, "192.0.2.1", 4), 4, "{strategy}");
        assert_eq!(hit(strategy, "192.0.2.1", 3), (3, 3), "{strategy}");
        let answer = get_for(&service, "192.0.2.1");
        assert_eq!(answer.header("x-ratelimit-remaining"), Some("2"), "{strategy}");
        assert_eq!(hit(strategy, "192.0.2.1", 5), (2, 0), "{strategy}");
        assert_eq!(admitted(&service, "192.0.2.1", 2), 0, "{strategy}");
        // The fleet first.
        assert_eq!(hit(strategy, "192.0.2.2", 7), (7, 3), "{strategy}");
        assert_eq!(admitted(&service, "192.0.2.2", 5), 3, "{strategy}");
        assert_eq!(hit(strategy, "192.0.2.2", 1), (0, 0), "{strategy}");
        redis.ask(&["FLUSHALL"]);
    }
}

#[test]
fn a_valkey_counts_as_a_redis_does() {
    let _together = together();
    let Some(valkey) = Redis::start_valkey() else { return };
    let said = valkey.ask(&["INFO", "server"]);
    assert!(said.contains("server_name:valkey"), "{said}");
    let Some(programs) = peers::python("limits[redis]", "5.8.0") else { return };
    let by_name = valkey.url().replace("redis://", "valkey://");
    for strategy in STRATEGIES {
        let config = format!(
            "limits.strategy = '{strategy}'\nlimits.application = '10/hour'\n\
             limits.default = '300/hour; 200/day'"
        );
        let services = [counted_by(&by_name, &config), counted_by(&valkey.unix_url(), &config)];
        let count = |service: usize, client, many| admitted(&services[service], client, many);
        assert_eq!((count(0, "192.0.2.1", 4), count(1, "192.0.2.1", 9)), (4, 6), "{strategy}");
        assert_eq!(count(0, "192.0.2.1", 2), 0, "{strategy}");
        if STRATEGIES[..3].contains(&strategy) {
            let hit = |hits| hit(&programs, &valkey.url(), strategy, "192.0.2.2", hits);
            assert_eq!((count(0, "192.0.2.2", 3), hit(9)), (3, (7, 0)), "{strategy}");
        }
        for counter in ["timeouts_total", "errors_total", "away_decisions_total", "away"] {
            assert_eq!(metric(&services[0], counter), 0, "{counter}\n{}", services[0].log());
        }
        valkey.ask(&["FLUSHALL"]);
    }
    // A server that was started anew knows no script.
    valkey.ask(&["SCRIPT", "FLUSH"]);
    let service = counted_by(&by_name, "limits.application = '10/hour'");
    assert_eq!(admitted(&service, "192.0.2.1", 11), 10);
}

#[test]
fn refusals_of_requests_at_once_reach_the_meta_limits_that_a_store_counts() {
    let _together = together();
    let Some(redis) = Redis::start() else { return };
    let config = "limits.default = '1000/day'\nlimits.meta = '3/day'\nlimits.concurrency = 1";
    let services = [counted_by(&redis.url(), config), counted_by(&redis.url(), config)];
    let slow = burst(&services[0].target(), "/slow?ms=6000", 1, TIMEOUT);
    services[0].wait_status("it is under way", START, |status| {
        status.workers.iter().map(|worker| worker.in_flight).sum::<u64>() > 0
    });
    assert_eq!(admitted(&services[0], "127.0.0.1", 2), 0);
    assert_eq!(admitted(&services[1], "127.0.0.1", 1), 1, "two are fewer than three");
    assert_eq!(admitted(&services[0], "127.0.0.1", 1), 0);
    assert!(slow.collect().iter().flatten().all(|it| it.status == 200));
    // It is counted behind the answer.
    let is_refused = || (admitted(&services[1], "127.0.0.1", 1) == 0).then_some(());
    assert!(poll(TIMEOUT, is_refused).is_some(), "{}", told(&services, &redis));
    assert_eq!(metric(&services[1], "away_decisions_total"), 0);
    assert_eq!(admitted(&services[1], "192.0.2.1", 1), 1, "another client");
}

/// Waits until so many lines of the log tell that the store went away and came back.
pub(crate) fn wait_told(service: &Service, away: usize, back: usize) {
    let told = || {
        let count = |what| service.log_lines(&["The store of rate limits", what]).len();
        (count(" is away: "), count(" is back after "))
    };
    let done = poll(TIMEOUT, || (told() == (away, back)).then_some(()));
    assert!(done.is_some(), "{:?}, not {:?}:\n{}", told(), (away, back), service.log());
}

#[test]
fn a_store_that_stops_hangs_or_forgets_costs_no_request_and_is_told_once() {
    let _alone = alone();
    let Some(mut redis) = Redis::start() else { return };
    let timeout = Duration::from_millis(250);
    let service = counted_by(
        &redis.url(),
        "limits.default = '4000000/day; 3000000/hour'\nlimits.storage_timeout = '250ms'",
    );
    let load = usual_load(&service);
    let load = Load { max_duration: Duration::from_secs(100), ..load }.start();
    load.run_for(steady());
    load.mark("flushed");
    redis.ask(&["FLUSHALL"]);
    redis.ask(&["SCRIPT", "FLUSH"]);
    load.run_for(steady() / 2);
    wait_told(&service, 0, 0);
    load.mark("silent");
    redis.freeze();
    load.run_for(steady());
    wait_told(&service, 1, 0);
    assert_eq!(metric(&service, "away"), 1);
    redis.thaw();
    wait_told(&service, 1, 1);
    load.mark("stopped");
    redis.stop();
    load.run_for(steady());
    wait_told(&service, 2, 1);
    redis.start_again();
    wait_told(&service, 2, 2);
    load.mark("back");
    let trips = metric(&service, "round_trips_total");
    load.run_for(steady() / 2);
    let report = load.stop();
    assert_nothing_lost("a store that stops, hangs and forgets", &report, &service);
    assert!(metric(&service, "round_trips_total") > trips, "it is asked again");
    let before = report.phase("steady").quantile(0.99);
    for phase in ["flushed", "silent", "stopped", "back"] {
        let (p99, max) = (report.phase(phase).quantile(0.99), report.phase(phase).max());
        say(format_args!(
            "store {phase}: p99 {p99:.1?}, at most {max:.1?}; steady p99 {before:.1?}"
        ));
        let most = before + timeout + Duration::from_millis(50);
        assert!(p99 <= most, "{phase}: p99 {p99:?} is above {most:?}\n{report}");
    }
    let late = metric(&service, "timeouts_total");
    say(format_args!(
        "{late} requests waited in vain, {} were decided here",
        metric(&service, "away_decisions_total")
    ));
    assert!(late > 0);
    assert!(!service.log().contains(REDIS_PASSWORD), "{}", service.log());
}

#[test]
fn while_the_store_is_away_each_limit_has_its_way() {
    let _together = together();
    let Some(mut redis) = Redis::start() else { return };
    let url = redis.url();
    let config =
        "limits.routes = ['/: 2/day', '/slow: away-allow 1/day', '/echo: away-deny 5/day']";
    let service = counted_by(&url, config);
    assert_eq!(admitted(&service, "192.0.2.1", 1), 1);
    redis.stop();
    let statuses = |path: &str| -> Vec<u16> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: e2e\r\nConnection: close\r\n\r\n");
        let get = || send(&service.target(), request.as_bytes(), TIMEOUT).expect("an answer");
        (0..3).map(|_| get().status).collect()
    };
    assert_eq!(statuses("/"), [200, 200, 429], "this host counts");
    assert_eq!(statuses("/slow?ms=1"), [200; 3]);
    assert_eq!(statuses("/echo"), [429; 3]);
    redis.start_again();
    wait_told(&service, 1, 1);
    assert_eq!(statuses("/"), [200, 200, 429], "the store counts, which has forgotten");
}

#[test]
fn commands_ask_the_store_and_check_tells_when_it_cannot_be_reached() {
    let _together = together();
    let Some(mut redis) = Redis::start() else { return };
    let service = counted_by(&redis.url(), "limits.routes = ['/: 2/hour']");
    let table = service.control_ok(&["limits"]);
    assert!(table.contains("counted by 127.0.0.1:") && !table.contains(REDIS_PASSWORD), "{table}");
    assert_eq!(admitted(&service, "192.0.2.7", 3), 2);
    let test = ["limits", "test", "--key", "192.0.2.7", "--path", "/"];
    assert!(service.control_ok(&test).contains("is refused"), "{}", service.control_ok(&test));
    let cleared = service.control_ok(&["limits", "clear", "--key", "192.0.2.7"]);
    assert!(cleared.starts_with("cleared by 127.0.0.1:"), "{cleared}");
    assert!(service.control_ok(&test).contains("passes"));
    assert_eq!(admitted(&service, "192.0.2.7", 3), 2, "that it was refused is forgotten too");
    let check = service.control(&["check"]);
    assert!(!String::from_utf8_lossy(&check.stderr).contains("unreachable"), "{check:?}");
    redis.stop();
    let check = service.control(&["check"]);
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(check.status.success() && said.contains("store-unreachable"), "{check:?}");
    assert!(!said.contains(REDIS_PASSWORD), "{said}");
    let begun = Instant::now();
    let output = service.control(&test);
    assert!(output.status.success() && begun.elapsed() < TIMEOUT, "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("this host alone"), "{output:?}");
}
