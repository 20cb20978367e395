//! What becomes of requests at their limits, in one process and with a clock of the test's own.

use super::*;
use crate::config::{Config, Limits, Sources};
use crate::event;
use crate::http::context::Context;
use crate::limits::jails::Jails;
use crate::log::Look;
use crate::log::line::LineFormat;
use crate::metrics::names;
use mainstay_os::segment::{Layout, Segment};

impl Limiter {
    /// No limits.
    pub(crate) fn for_tests(log: &Log) -> Arc<Limiter> {
        let settings = Settings::of(&Limits::for_tests()).unwrap();
        let metrics = Metrics::new(log.segment().clone(), log.slot_index(), |_| {});
        Limiter::new(settings, warden(log), log.clone(), &metrics, 1).unwrap()
    }
}

/// Nobody is banned.
fn warden(log: &Log) -> Arc<Warden> {
    let config = Config::resolve(&Sources::default()).unwrap();
    Warden::new(Jails::of(&config).unwrap(), log.clone())
}

pub(super) struct Rig {
    pub(super) limiter: Arc<Limiter>,
    pub(super) segment: Segment,
    now: u64,
}

/// Seconds since the epoch at which the tests begin.
const EPOCH: u64 = 1_700_000_000;

impl Rig {
    pub(super) fn new(change: impl FnOnce(&mut Limits)) -> Rig {
        let segment = Segment::on_heap(Layout {
            slots: 1,
            counters: names::CELLS,
            in_flight: 0,
            ring_bytes: [64 << 10; 3],
            metrics: names::CAPACITY,
            limits: 1 << 20,
        });
        segment.header().set_log_level(crate::log::level_word(crate::config::Level::Info));
        let log = Log::new(segment.clone(), 0);
        let metrics = Metrics::new(segment.clone(), 0, |event| panic!("{event}"));
        let mut limits = Limits::for_tests();
        change(&mut limits);
        let settings = Settings::of(&limits).unwrap();
        let limiter = Limiter::new(settings, warden(&log), log, &metrics, 1).unwrap();
        // Counting begins at a time that is not 0, as everywhere.
        Rig { limiter, segment, now: 1_000 * SECOND }
    }

    pub(super) fn after(&mut self, seconds: u64) {
        self.now += seconds * SECOND;
    }

    /// What becomes of `GET path` of a client: the status, and the fields of an answer of 200.
    fn get(&self, client: &str, path: &str) -> (u16, HeaderMap) {
        self.ask("GET", client, path, &HeaderMap::new())
    }

    fn ask(&self, method: &str, client: &str, path: &str, headers: &HeaderMap) -> (u16, HeaderMap) {
        let entered = self.asked(method, client, path, headers, |it| self.limiter.enter(it));
        self.became(entered)
    }

    /// Does something with a request.
    pub(super) fn asked<T>(
        &self,
        method: &str,
        client: &str,
        path: &str,
        headers: &HeaderMap,
        work: impl FnOnce(&Asked<'_>) -> T,
    ) -> T {
        let context = Context::begin(|context| {
            context.client = client.parse().ok();
            context.method.push_str(method);
            context.path.push_str(path);
        });
        let method = method.parse().unwrap();
        let asked = Asked {
            context: Some(&context),
            client: context.client,
            method: &method,
            path,
            headers,
            now: Mono(self.now),
            wall: EPOCH * SECOND + (self.now - 1_000 * SECOND),
        };
        work(&asked)
    }

    /// The status, and the fields of an answer of 200.
    pub(super) fn became(&self, entered: Entered) -> (u16, HeaderMap) {
        match entered {
            Entered::Refused(answer) => (answer.status().as_u16(), answer.headers().clone()),
            Entered::Waits(..) => panic!("the store is asked"),
            Entered::Admitted(admitted, _) => {
                let mut answer = Response::new(());
                if self.limiter.settings.fields != Fields::Off && admitted.count > 0 {
                    self.limiter.add_fields(&admitted, None, answer.headers_mut());
                }
                (200, answer.headers().clone())
            }
        }
    }

    fn statuses(&self, client: &str, path: &str, count: usize) -> Vec<u16> {
        (0..count).map(|_| self.get(client, path).0).collect()
    }

    /// The lines of the error log, from their messages on.
    pub(super) fn lines(&self) -> Vec<String> {
        let slot = self.segment.slot(0).unwrap();
        let (mut buffer, mut lines) = (Vec::new(), Vec::new());
        while let Some(record) = slot.ring(1).pop(&mut buffer) {
            let line = String::from_utf8(record.bytes[8..].to_vec()).unwrap();
            let message = line.find("ratelimit").expect("no other line");
            let end = line.find(" [client=").unwrap_or(line.len());
            lines.push(line[message..end].trim_end().to_owned());
        }
        lines
    }

    pub(super) fn total(&self, policy: &str, outcome: Outcome) -> u64 {
        // Each limit has claimed its three series in its turn.
        let limit = self.limiter.kept.iter().position(|it| *it.name == *policy).unwrap();
        let measures = self.segment.slot(0).unwrap().measures();
        measures.counted(limit * OUTCOMES.len() + outcome as usize)
    }
}

fn fields(headers: &HeaderMap) -> Vec<String> {
    headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
}

#[test]
fn a_client_has_so_many_requests_and_then_is_told_when_to_come_again() {
    let mut rig = Rig::new(|it| it.default = "2/minute".into());
    let (status, headers) = rig.get("192.0.2.1", "/a");
    assert_eq!(status, 200);
    assert_eq!(
        fields(&headers),
        [
            "x-ratelimit-limit: 2",
            "x-ratelimit-remaining: 1",
            "x-ratelimit-reset: 1700000060",
            "ratelimit: \"default\";r=1;t=60",
            "ratelimit-policy: \"default\";q=2;w=60",
        ]
    );
    assert_eq!(rig.get("192.0.2.1", "/b").0, 200, "all paths are one");
    rig.after(20);
    let (status, headers) = rig.get("192.0.2.1", "/a");
    assert_eq!(status, 429);
    assert_eq!(
        fields(&headers),
        [
            "x-ratelimit-limit: 2",
            "x-ratelimit-remaining: 0",
            "x-ratelimit-reset: 1700000060",
            "ratelimit: \"default\";r=0;t=40",
            "ratelimit-policy: \"default\";q=2;w=60",
            "retry-after: 40",
        ]
    );
    assert_eq!(rig.get("192.0.2.2", "/a").0, 200, "another client");
    rig.after(40);
    assert_eq!(rig.get("192.0.2.1", "/a").0, 200, "the next window");
    assert_eq!(rig.total("default", Outcome::Allowed), 4);
    assert_eq!(rig.total("default", Outcome::Denied), 1);
}

#[test]
fn a_request_that_one_limit_refuses_uses_up_none() {
    let rig = Rig::new(|it| {
        it.application = "10/hour".into();
        it.routes = "/login: 2/minute".into();
    });
    assert_eq!(
        rig.statuses("192.0.2.1", "/login", 9),
        [200, 200, 429, 429, 429, 429, 429, 429, 429]
    );
    // Eight are left for everything else.
    assert_eq!(rig.statuses("192.0.2.1", "/", 9).iter().filter(|it| **it == 200).count(), 8);
}

#[test]
fn a_path_of_its_own_has_its_limits_in_place_of_the_default_ones() {
    let rig = Rig::new(|it| {
        it.default = "1/hour".into();
        it.routes = "GET /orders/{id}: 3/hour; 2/minute".into();
    });
    assert_eq!(rig.statuses("192.0.2.1", "/orders/1", 3), [200, 200, 429]);
    assert_eq!(rig.statuses("192.0.2.1", "/", 2), [200, 429]);
    let (_, headers) = rig.get("192.0.2.9", "/orders/2");
    assert_eq!(
        headers["ratelimit"],
        "\"GET /orders/{id}-60\";r=1;t=60, \"GET /orders/{id}-3600\";r=2;t=3600"
    );
    assert_eq!(headers["x-ratelimit-limit"], "2", "the one that is nearest to its end");
    // A HEAD is a GET, a POST is not, and has the default limit.
    assert_eq!(rig.ask("HEAD", "192.0.2.1", "/orders/1", &HeaderMap::new()).0, 429);
    assert_eq!(rig.ask("POST", "192.0.2.9", "/orders/1", &HeaderMap::new()).0, 200);
}

#[test]
fn clients_are_told_apart_by_network_or_header_and_some_are_exempt() {
    let rig = Rig::new(|it| it.default = "1/hour".into());
    assert_eq!(rig.get("2001:db8::1", "/").0, 200);
    assert_eq!(rig.get("2001:db8::2", "/").0, 429, "the same 64 bits");
    assert_eq!(rig.get("2001:db8:0:1::1", "/").0, 200);
    assert_eq!(rig.get("", "/").0, 200, "a unix socket");
    assert_eq!(rig.get("", "/").0, 429);
    let rig = Rig::new(|it| {
        it.default = "1/hour".into();
        it.key = "header:x-api-key".into();
        it.exempt = "10.0.0.0/8, /static/*".into();
    });
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", "hunter2".parse().unwrap());
    assert_eq!(rig.ask("GET", "192.0.2.1", "/", &headers).0, 200);
    assert_eq!(rig.ask("GET", "192.0.2.2", "/", &headers).0, 429, "the key is the client");
    assert_eq!(rig.get("192.0.2.1", "/").0, 200, "without it the address is");
    assert_eq!(rig.statuses("10.1.2.3", "/", 3), [200; 3]);
    assert_eq!(rig.statuses("192.0.2.1", "/static/a.css", 3), [200; 3]);
    let lines = rig.lines();
    assert!(lines[0].starts_with("ratelimit 1 per 1 hour (key#"), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains("hunter2")), "{lines:?}");
}

#[test]
fn a_dry_run_counts_and_tells_and_refuses_nothing() {
    let rig = Rig::new(|it| {
        it.default = "1/hour".into();
        it.dry_run = true;
    });
    let (_, headers) = rig.get("192.0.2.1", "/");
    assert!(headers.is_empty(), "what is not held is not promised");
    assert_eq!(rig.statuses("192.0.2.1", "/", 2), [200, 200]);
    let line = "ratelimit 1 per 1 hour (192.0.2.1) would be exceeded at endpoint: default";
    assert_eq!(rig.lines(), [line, line]);
    assert_eq!(rig.total("default", Outcome::WouldDeny), 2);
    assert_eq!(rig.total("default", Outcome::Denied), 0);
    let rig = Rig::new(|it| it.routes = "/search: dry-run 1/hour & /a: 1/hour".into());
    assert_eq!(rig.statuses("192.0.2.1", "/search", 3), [200; 3]);
    assert_eq!(rig.statuses("192.0.2.1", "/a", 2), [200, 429]);
}

#[test]
fn whoever_is_refused_too_often_is_refused_everything() {
    let rig = Rig::new(|it| {
        it.routes = "/login: 1/hour".into();
        it.meta = "2/day".into();
    });
    assert_eq!(rig.statuses("192.0.2.1", "/login", 3), [200, 429, 429]);
    let (status, headers) = rig.get("192.0.2.1", "/other");
    assert_eq!((status, headers["retry-after"].to_str().unwrap()), (429, "86400"));
    assert_eq!(rig.get("192.0.2.2", "/other").0, 200);
    let told = rig.lines();
    assert_eq!(told[2], "ratelimit 2 per 1 day (192.0.2.1) exceeded at endpoint: meta");
}

#[test]
fn flask_limiters_headers_and_order_are_kept_when_asked_for() {
    let rig = Rig::new(|it| {
        it.application = "5/hour".into();
        it.routes = "/a: 10/hour; 2/minute".into();
        it.headers = "x-ratelimit".into();
        it.compat = "flask-limiter".into();
    });
    let (_, headers) = rig.get("192.0.2.1", "/a");
    assert_eq!(
        fields(&headers),
        [
            "x-ratelimit-limit: 2",
            "x-ratelimit-remaining: 1",
            "x-ratelimit-reset: 1700000061",
            "retry-after: 61",
        ]
    );
    rig.get("192.0.2.1", "/a");
    let (status, headers) = rig.get("192.0.2.1", "/a");
    assert_eq!((status, headers["x-ratelimit-limit"].to_str().ok()), (429, Some("2")));
    // The application's limit was used up before the path's refused.
    assert_eq!(rig.statuses("192.0.2.1", "/", 3), [200, 200, 429]);
}

#[test]
fn a_network_of_ipv6_has_so_many_times_the_amount_and_what_either_refuses_uses_up_none() {
    for strategy in ["fixed-window", "moving-window", "sliding-window-counter", "gcra"] {
        let rig = Rig::new(|it| {
            it.default = "2/day".into();
            it.ipv6_network = 3;
            it.strategy = strategy.into();
        });
        assert_eq!(rig.statuses("2001:db8:0:1::1", "/", 5), [200, 200, 429, 429, 429]);
        // Who was refused by his own limit has taken nothing from his neighbours.
        for neighbour in ["2001:db8:0:2::1", "2001:db8:0:3::1"] {
            assert_eq!(rig.statuses(neighbour, "/", 2), [200; 2], "{strategy}");
        }
        rig.lines();
        let (status, headers) = rig.get("2001:db8:0:4::1", "/");
        assert_eq!((status, headers["x-ratelimit-limit"].to_str().unwrap()), (429, "6"));
        let told = "ratelimit 6 per 1 day (2001:db8::/48) exceeded at endpoint: default";
        assert_eq!(rig.lines(), [told], "{strategy}");
        assert_eq!(rig.statuses("2001:db8:1:1::1", "/", 1), [200], "another network");
        assert_eq!(rig.statuses("192.0.2.1", "/", 3), [200, 200, 429], "IPv4 has none");
        assert_eq!(rig.total("default", Outcome::Denied), 4);
        assert_eq!(rig.total("default-ipv6-48", Outcome::Denied), 1);
        assert_eq!(rig.total("default-ipv6-48", Outcome::Allowed), 7);
        let ipv4 = rig.get("192.0.2.2", "/").1;
        assert_eq!(ipv4["ratelimit-policy"], "\"default\";q=2;w=86400");
        let ipv6 = &rig.get("2001:db8:2::1", "/").1["ratelimit-policy"];
        assert_eq!(ipv6, "\"default\";q=2;w=86400, \"default-ipv6-48\";q=6;w=86400");
    }
}

#[test]
fn a_refusal_by_a_networks_limit_alone_is_nobodys_own() {
    let rig = Rig::new(|it| {
        it.default = "2/day".into();
        it.ipv6_network = 1;
        it.meta = "1/day".into();
    });
    assert_eq!(rig.statuses("2001:db8:0:1::1", "/", 2), [200; 2]);
    rig.lines();
    assert_eq!(rig.statuses("2001:db8:0:2::1", "/", 4), [429; 4]);
    assert_eq!(rig.total("meta", Outcome::Denied), 0, "nothing counts for it");
    assert_eq!(rig.total("default-ipv6-48", Outcome::Denied), 4);
    // His own limit counts.
    assert_eq!(rig.statuses("2001:db8:0:1::1", "/", 2), [429; 2]);
    assert_eq!(rig.total("meta", Outcome::Denied), 1);
}

#[test]
fn who_has_used_more_than_four_fifths_of_a_limit_is_counted_as_near_to_it() {
    let rig = Rig::new(|it| {
        it.default = "10/minute".into();
        it.routes = "/once: 1/day & /tried: dry-run 5/day".into();
    });
    assert_eq!(rig.statuses("192.0.2.1", "/", 8), [200; 8]);
    let near = |at: usize| {
        // The series are claimed behind those of decisions, of limits that are held.
        let behind = rig.limiter.kept.len() * OUTCOMES.len();
        rig.segment.slot(0).unwrap().measures().counted(behind + at)
    };
    assert_eq!(near(0), 0);
    assert_eq!(rig.statuses("192.0.2.1", "/", 4), [200, 200, 429, 429]);
    assert_eq!(rig.statuses("192.0.2.1", "/once", 3), [200, 429, 429]);
    rig.statuses("192.0.2.1", "/tried", 9);
    assert_eq!([near(0), near(1), near(2)], [2, 1, 0], "who is refused is in the other counters");
}

#[test]
fn every_strategy_admits_what_its_limit_says_in_a_burst() {
    for strategy in ["fixed-window", "moving-window", "sliding-window-counter", "gcra"] {
        let rig = Rig::new(|it| {
            it.default = "7/hour".into();
            it.strategy = strategy.into();
        });
        let admitted = rig.statuses("192.0.2.1", "/", 30).iter().filter(|it| **it == 200).count();
        assert_eq!(admitted, 7, "{strategy}");
        let (_, headers) = rig.get("192.0.2.1", "/");
        let number = |text: &str| text.parse::<u64>().unwrap();
        let state = headers["ratelimit"].to_str().unwrap();
        let wait = number(headers["retry-after"].to_str().unwrap());
        assert!(wait >= number(state.rsplit("t=").next().unwrap()), "{strategy}: {headers:?}");
    }
}

#[test]
fn the_log_is_told_the_first_breaches_and_then_each_power_of_ten() {
    let mut rig = Rig::new(|it| it.default = "1/minute".into());
    rig.statuses("192.0.2.1", "/", 1_013);
    let line = "ratelimit 1 per 1 minute (192.0.2.1) exceeded at endpoint: default";
    let mut expected = vec![line.to_owned(); 5];
    for (count, untold) in [(10, 4), (100, 89), (1_000, 899)] {
        expected.push(format!("{line} ({count} times, {untold} of them not told)"));
    }
    assert_eq!(rig.lines(), expected);
    rig.after(60);
    rig.limiter.tell_ended(Mono(rig.now));
    let told = "ratelimit 1 per 1 minute (192.0.2.1) was exceeded 1012 times at endpoint: default; \
                the last 12 of them were not told";
    assert_eq!(rig.lines(), [told]);
    assert_eq!(rig.total("default", Outcome::Denied), 1_012, "metrics are exact");
}

#[test]
fn whoever_ends_tells_what_it_left_untold_in_a_window_that_goes_on() {
    let rig = Rig::new(|it| it.default = "1/day".into());
    rig.statuses("192.0.2.1", "/", 1 + 12);
    rig.lines();
    rig.limiter.tell_ended(Mono(rig.now));
    assert!(rig.lines().is_empty(), "others may follow");
    rig.limiter.tell_rest(Mono(rig.now));
    let told = "ratelimit 1 per 1 day (192.0.2.1) was exceeded 12 times at endpoint: default; \
                the last 2 of them were not told";
    assert_eq!(rig.lines(), [told]);
}

#[test]
fn a_flood_of_refusals_with_long_paths_is_counted_to_the_last_and_fills_no_log() {
    for format in [LineFormat::Gunicorn, LineFormat::Ecs] {
        let rig = Rig::new(|it| it.default = "0/minute".into());
        rig.limiter.log.set_look(Look { format, ..Look::default() });
        let path = format!("/{}", "\"x".repeat(3_900));
        let slot = rig.segment.slot(0).unwrap();
        let (mut buffer, mut bytes) = (Vec::new(), 0);
        for turn in 0..6_000 {
            let client = format!("198.18.{}.{}", turn % 1_000 / 250, turn % 250);
            assert_eq!(rig.get(&client, &path).0, 429);
            while let Some(record) = slot.ring(1).pop(&mut buffer) {
                bytes += record.bytes.len() - 8;
            }
        }
        assert!((500_000..=1_000_000).contains(&bytes), "{format:?}: {bytes} bytes in a minute");
        assert_eq!(rig.total("default", Outcome::Denied), 6_000, "metrics are exact");
    }
}

#[test]
fn limits_that_are_switched_off_cost_and_say_nothing() {
    let rig = Rig::new(|it| {
        it.default = "1/day".into();
        it.enabled = false;
    });
    assert_eq!(rig.statuses("192.0.2.1", "/", 3), [200; 3]);
    assert!(rig.get("192.0.2.1", "/").1.is_empty() && rig.lines().is_empty());
}

#[test]
fn the_events_of_limits_have_their_words() {
    let names = ["excess_rate_limit_exceeded", "malicious_excess_404", "limits.would_deny"];
    for name in names {
        assert!(event::TABLE.iter().any(|row| row.name == name), "{name}");
    }
}
