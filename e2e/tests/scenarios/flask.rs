//! The same requests to an application with Flask-Limiter and to a service with `limits.compat`: the same statuses,
//! and the same headers in the same order with the same values.

use crate::support::*;
use e2e::harness::poll;
use e2e::load::{Response, get};
use e2e::peers;
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const TIMEOUT: Duration = Duration::from_secs(20);

/// What an answer says: its status, what it tells of limits with times from now on, and its text.
#[derive(Debug)]
struct Said {
    status: u64,
    told: Vec<(String, i64)>,
    text: String,
}

impl Said {
    fn new(status: u64, told: Vec<(String, String)>, now: i64, text: String) -> Said {
        let told = told.into_iter().map(|(name, value)| {
            let value: i64 = value.parse().expect("a whole number");
            let from = if name == "x-ratelimit-reset" { now } else { 0 };
            (name, value - from)
        });
        Said { status, told: told.collect(), text }
    }

    fn of(answer: &Response) -> Said {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let is_told = |name: &str| name.contains("ratelimit") || name == "retry-after";
        let told = answer.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone()));
        let told = told.filter(|(name, _)| is_told(name)).collect();
        Said::new(answer.status.into(), told, now.cast_signed(), answer.text())
    }

    /// Times may differ by the moments at which both were asked, and by what the asking `took`.
    fn is_like(&self, other: &Said, took: Duration) -> bool {
        let most = 2 + took.as_secs().cast_signed();
        let like = |one: &(String, i64), other: &(String, i64)| {
            let is_time = one.0 == "x-ratelimit-reset" || one.0 == "retry-after";
            one.0 == other.0 && (one.1 - other.1).abs() <= if is_time { most } else { 0 }
        };
        self.status == other.status
            && self.told.len() == other.told.len()
            && self.told.iter().zip(&other.told).all(|(one, other)| like(one, other))
    }
}

fn flask(strategy: &str, rates: &str, paths: &[&str]) -> Option<Vec<Said>> {
    let programs = peers::python("Flask-Limiter", "4.1.1")?;
    let mut python = Command::new(programs.join("python"));
    let output =
        python.args(["-c", include_str!("flask.py"), strategy, rates]).args(paths).output();
    let output = output.expect("there is a Python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let read = |line: &str| {
        let it: Value = serde_json::from_str(line).expect("JSON");
        let told = serde_json::from_value(it[1].clone()).expect("names and values");
        let now = it[2].as_f64().expect("a time") as i64;
        let text = it[3].as_str().expect("a text").to_owned();
        Said::new(it[0].as_u64().expect("a status"), told, now, text)
    };
    Some(said.lines().map(read).collect())
}

/// Waits until no window of hours begins within half a minute: both sides are asked in one.
fn wait_for_room_in_a_window() {
    let left = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec;
        3_600 - now % 3_600
    };
    assert!(
        poll(Duration::from_secs(60), || (left() > 30).then_some(())).is_some(),
        "time goes on"
    );
}

#[test]
fn with_compat_answers_tell_of_limits_what_flask_limiter_tells_header_by_header() {
    let _together = together();
    // Each limit is broken by some, and what was refused counts at the limits before; in the end, that of all.
    let paths = "/ /few / / / /few /few /slow / /slow /slow /slow /slow / /few /slow";
    let paths: Vec<&str> = paths.split(' ').collect();
    let rates = [
        ("fixed-window", "3/minute; 20/hour"),
        ("moving-window", "3/minute; 20/hour"),
        ("sliding-window-counter", "3/hour; 20 per 2 hour"),
    ];
    for (strategy, rates) in rates {
        if strategy == "sliding-window-counter" {
            wait_for_room_in_a_window();
        }
        let begun = Instant::now();
        let Some(theirs) = flask(strategy, rates, &paths) else { return };
        let service = service(&format!(
            "workers.count = 2\nlimits.compat = 'flask-limiter'\nlimits.strategy = '{strategy}'\n\
             limits.headers = 'x-ratelimit'\nlimits.application = '12 per hour'\n\
             limits.default = '2/hour'\nlimits.routes = ['/: {rates}', '/slow: 4 per 2 hour']"
        ));
        let ask = |path: &&str| {
            let path = if *path == "/slow" { "/slow?ms=1" } else { path };
            Said::of(&get(&service.target(), path, TIMEOUT).expect("an answer"))
        };
        let ours: Vec<Said> = paths.iter().map(ask).collect();
        for (at, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            let path = paths[at];
            assert!(
                ours.is_like(theirs, begun.elapsed()),
                "{strategy} {at} {path}:\n{ours:?}\n{theirs:?}"
            );
            // Flask-Limiter's sentence stands in the body of a refusal.
            if let Some((_, text)) = theirs.text.split_once("<p>") {
                let text = text.split("</p>").next().expect("a first part");
                assert!(ours.text.contains(text), "{at} {path}: {text} is not in {}", ours.text);
            }
        }
        let refused = theirs.iter().filter(|it| it.status == 429).count();
        assert!(refused >= 5 && theirs.len() - refused >= 9, "{refused} were refused");
        assert!(theirs.last().is_some_and(|it| it.text.contains("12 per 1 hour")), "{theirs:?}");
    }
}
