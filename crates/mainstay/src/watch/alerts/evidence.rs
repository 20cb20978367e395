//! What is told beside an alert, as it stands when it fires: which routes fail, why workers ended, what is not
//! well.

use super::super::rules::facts::{Facts, Windows};
use super::super::rules::{Moment, nanos};
use super::letter::time;
use super::requests;
use crate::config::Alerts;
use crate::metrics::exits;
use crate::metrics::families;
use crate::metrics::label;
use crate::status::Status;
use mainstay_os::segment::{Kind, Measures, Segment, Tally, read_histograms};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Most routes that are told.
const ROUTES: usize = 5;
/// Most users of a pool that words name.
const USERS: usize = 2;
/// A reload that long ago may be the reason.
const LATELY: Duration = Duration::from_secs(3_600);
/// Looks at routes in a window.
const LOOKS: u32 = 5;

/// Failures by method and route.
type Failures = BTreeMap<(String, String), u64>;

/// How often each route had failed, some times ago.
#[derive(Debug, Default)]
pub(super) struct Routes {
    looks: VecDeque<(Moment, Failures)>,
}

impl Routes {
    /// Takes note now and then.
    pub(super) fn note(&mut self, now: Moment, segment: &Segment, alerts: &Alerts) {
        let window = nanos(alerts.errors_window);
        let last = self.looks.back().map_or(0, |(at, _)| *at);
        if last != 0 && now.saturating_sub(last) < window / u64::from(LOOKS) {
            return;
        }
        self.looks.push_back((now, failures(segment)));
        while self.looks.len() >= 2 && self.looks[1].0.saturating_add(window) <= now {
            self.looks.pop_front();
        }
    }

    /// The routes that failed most since the oldest look.
    fn worst(&self, segment: &Segment) -> Vec<Value> {
        let before = self.looks.front().map(|(_, failures)| failures);
        let now = failures(segment).into_iter();
        let mut grown: Vec<_> = now
            .filter_map(|(key, count)| {
                let old = before.and_then(|it| it.get(&key)).copied().unwrap_or(0);
                Some((count.checked_sub(old).filter(|grown| *grown > 0)?, key))
            })
            .collect();
        grown.sort_by(|a, b| b.cmp(a));
        let worst = grown.into_iter().take(ROUTES);
        worst
            .map(|(count, (method, route))| {
                json!({ "method": method, "route": route, "failures": count })
            })
            .collect()
    }
}

/// Failures since the service began, from the histograms of requests.
fn failures(segment: &Segment) -> Failures {
    let register = segment.register();
    let name = families::REQUEST_DURATION.name.as_bytes();
    let Some((metric, _)) = register.metrics().find(|(_, it)| it.name() == name) else {
        return Failures::new();
    };
    let slots = segment.slots().filter(|slot| slot.epoch() != 0);
    let measures: Vec<Measures<'_>> = slots.map(|slot| slot.measures()).collect();
    let mut found = Failures::new();
    for series in register.series(Kind::Histogram).filter(|series| series.metric == metric) {
        let labels = label::parse(&String::from_utf8_lossy(&series.labels));
        let of = |name: &str| labels.iter().find(|(it, _)| it == name).map(|(_, value)| value);
        let (Some(method), Some(route), Some("5xx")) =
            (of("method"), of("route"), of("status").map(String::as_str))
        else {
            continue;
        };
        let mut tally = Tally::default();
        read_histograms(&measures, series.index, &mut tally);
        *found.entry((method.clone(), route.clone())).or_default() += tally.count();
    }
    found
}

/// All that is known and worth a word, at `now` of the rules' time, which is `wall` by the host's clock: by that
/// requests and reloads have their times.
pub(super) fn gather(
    segment: &Segment,
    status: &Status,
    facts: &Facts,
    (windows, routes): (&Windows, &Routes),
    (now, wall): (Moment, Moment),
    alerts: &Alerts,
) -> Value {
    let ready = status.workers.iter().filter(|worker| worker.state == "ready").count();
    let mut told = Map::new();
    told.insert("state".to_owned(), status.state.into());
    told.insert("generation".to_owned(), status.generation.into());
    let since = segment.header().generation_since();
    if status.generation > 1 && since != 0 {
        let age = wall.saturating_sub(since) as f64 / 1e9;
        let reload = json!({ "at": time(since), "age_seconds": age });
        told.insert("last_reload".to_owned(), reload);
    }
    told.insert("workers".to_owned(), json!({ "ready": ready, "wanted": status.target }));
    let mut add = |name: &str, list: Value| {
        let is_empty = list.as_array().is_some_and(Vec::is_empty)
            || list.as_object().is_some_and(Map::is_empty);
        if !is_empty {
            told.insert(name.to_owned(), list);
        }
    };
    let ill = status.checks.iter().filter(|check| !check.healthy);
    add("failing_checks", ill.map(|it| json!({ "check": it.name, "reason": it.reason })).collect());
    let ended = windows.exits.grown_to(now, &facts.exits, alerts.restarts_window);
    let ended = exits::TABLE.iter().zip(ended).filter(|(_, count)| *count > 0);
    add(
        "worker_exits",
        ended.map(|(row, count)| (row.name.to_owned(), Value::from(count))).collect(),
    );
    add("failing_routes", routes.worst(segment).into());
    add("last_failed", requests::failed(segment, wall, alerts.errors_window).into());
    let busy = facts.pools.iter().filter(|pool| pool.waiting > 0 || pool.in_use >= pool.max);
    let pools = busy.map(|pool| {
        json!({
            "pool": pool.name,
            "in_use": pool.in_use,
            "max": pool.max,
            "waiting": pool.waiting,
            "users": requests::users(segment, &pool.name),
        })
    });
    add("busy_pools", pools.collect());
    Value::Object(told)
}

/// The same in a few words, for the log.
pub(super) fn words(evidence: &Value) -> String {
    let mut words = Vec::new();
    let each = |name: &str| evidence[name].as_array().cloned().unwrap_or_default();
    for route in each("failing_routes") {
        let of = |name: &str| route[name].as_str().unwrap_or_default().to_owned();
        words.push(format!("{} {} failed {} times", of("method"), of("route"), route["failures"]));
    }
    let last = each("last_failed").first().map(requests::line);
    words.extend(last.map(|it| format!("the last was {it}")));
    for pool in each("busy_pools") {
        let users = pool["users"].as_array().into_iter().flatten().flat_map(requests::lines);
        let users: Vec<_> = users.take(USERS).collect();
        if let (Some(name), false) = (pool["pool"].as_str(), users.is_empty()) {
            words.push(format!("where pool {name} is in use there is {}", users.join(" and ")));
        }
    }
    for (reason, count) in evidence["worker_exits"].as_object().into_iter().flatten() {
        words.push(format!("{count} workers ended by {reason}"));
    }
    let reload = evidence["last_reload"]["age_seconds"].as_f64();
    if let Some(age) = reload.filter(|age| *age < LATELY.as_secs_f64()) {
        words.push(format!("there was a reload {age:.0} s before"));
    }
    if words.is_empty() { String::new() } else { format!(" [{}]", words.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};
    use crate::metrics::exits::Exit;
    use crate::metrics::names;
    use crate::metrics::requests::Requests;
    use mainstay_os::segment::{Failed, Layout};

    #[test]
    fn evidence_names_what_failed_lately_and_nothing_older() {
        let (counters, metrics, ring_bytes) = (names::CELLS, names::CAPACITY, [64; 3]);
        let segment =
            Segment::on_heap(Layout { slots: 4, ring_bytes, metrics, ..Layout::small(counters) });
        segment.slot(0).unwrap().hand_out(1, 0, 0);
        let mut requests = Requests::new(segment.clone(), 0, |_| {});
        let mut fail = |route: &str, times: u64| {
            let series = requests.series(b"GET", Some(route), 503);
            let measures = segment.slot(0).unwrap().measures();
            (0..times).for_each(|_| measures.observe_in_turn(series.duration, 1_000));
        };
        let alerts = Config::resolve(&Sources::default()).unwrap().alerts;
        let (mut routes, mut windows) = (Routes::default(), Windows::default());
        let mut facts = Facts { exits: vec![0; exits::TABLE.len()], ..Facts::default() };
        fail("/old", 9);
        let begin = 1_000_000_000_000_000_000;
        routes.note(begin, &segment, &alerts);
        windows.note(begin, &facts, &alerts);
        fail("/orders", 7);
        fail("/old", 1);
        facts.exits[Exit::SigKill as usize] = 11;
        let now = begin + 60_000_000_000;
        // The host's clock was set back by a day since.
        let wall = begin - 86_400_000_000_000;
        segment.header().set_generation(2);
        segment.header().set_generation_since(wall - 30_000_000_000);
        segment.slot(0).unwrap().failures().note(&Failed {
            time: wall - 1_000_000_000,
            took: 1,
            status: 503,
            method: b"GET",
            route: b"/orders",
            id: b"0af1",
            reason: b"",
        });
        let status = Status::read(&segment, "shop", "1");
        let times = (now, wall);
        let found = gather(&segment, &status, &facts, (&windows, &routes), times, &alerts);
        assert_eq!(found["last_failed"][0]["id"], "0af1");
        assert_eq!(found["last_reload"]["age_seconds"], 30.0);
        let routes = json!([
            { "method": "GET", "route": "/orders", "failures": 7 },
            { "method": "GET", "route": "/old", "failures": 1 },
        ]);
        assert_eq!(
            (&found["failing_routes"], &found["worker_exits"]["sigkill"]),
            (&routes, &json!(11))
        );
        assert!(found.get("failing_checks").is_none());
        let told = " [GET /orders failed 7 times, GET /old failed 1 times, the last was GET /orders 503 (id 0af1), 11 workers \
             ended by sigkill, there was a reload 30 s before]";
        assert_eq!(words(&found), told);
        assert_eq!(words(&json!({})), "");
    }

    #[test]
    fn what_is_worth_a_word_is_the_last_failure_who_uses_a_pool_and_a_reload_of_late() {
        let told = |age: f64| {
            words(&json!({
                "last_failed": [{ "method": "GET", "route": "/a", "status": 500, "id": "0af1" }],
                "busy_pools": [{ "pool": "main", "users": [{ "worker": 7, "in_use": 5, "requests": [
                    { "method": "GET", "path": "/slow", "age_seconds": 12.0 },
                ] }] }, { "pool": "other", "users": [] }],
                "last_reload": { "at": "", "age_seconds": age },
            }))
        };
        let begin = " [the last was GET /a 500 (id 0af1), where pool main is in use there is GET /slow for \
                     12.0 s in worker 7";
        assert_eq!(told(40.2), format!("{begin}, there was a reload 40 s before]"));
        assert_eq!(told(90_000.0), format!("{begin}]"));
    }
}
