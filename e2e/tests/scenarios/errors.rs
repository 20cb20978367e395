//! Errors arrive at a server that speaks Sentry's protocol: each once, whole, and without a secret.

use crate::support::*;
use e2e::harness::{Launch, Service};
use e2e::load::{Response, send};
use e2e::peers::{Bugsink, Kent};
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use std::time::Duration;

/// Time that an event may take.
const ARRIVE: Duration = Duration::from_secs(20);

/// What no event may hold.
const SECRETS: [&str; 2] = ["hunter2", "192.0.2.7"];

fn reporting(kent: &Kent, config: &str) -> Service {
    reporting_to(&kent.dsn(KEY), config)
}

fn reporting_to(dsn: &str, config: &str) -> Service {
    let config =
        format!("server.environment = \"staging\"\nproxy.trusted = \"loopback\"\n{config}");
    let launch = Launch::new(fixture()).env("SENTRY_DSN", dsn);
    launch.config(&config).start().ready(START)
}

/// A request that carries a secret in every place that has room for one.
fn ask(service: &Service, path: &str) -> Response {
    let head = format!(
        "GET {path}?page=2&api_key=hunter2 HTTP/1.1\r\nHost: shop.example\r\nX-Request-Id: id-of-{}\r\n\
         Authorization: Bearer hunter2\r\nCookie: session=hunter2\r\nX-Api-Key: hunter2\r\n\
         X-Forwarded-For: 192.0.2.7\r\nReferer: http://shop.example/?token=hunter2\r\n\
         Accept: application/json\r\nConnection: close\r\n\r\n",
        path.trim_start_matches('/')
    );
    send(&service.target(), head.as_bytes(), START).expect("an answer")
}

/// The key of the project.
const KEY: &str = "key0of0the0project";

/// The events of which the outermost error has this type.
fn of_type<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let is_it = |event: &&Value| outermost(event)["type"] == kind;
    events.iter().filter(is_it).collect()
}

fn outermost(event: &Value) -> &Value {
    event["exception"]["values"].as_array().and_then(|it| it.last()).unwrap_or(&Value::Null)
}

fn only<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    let found = of_type(events, kind);
    assert_eq!(found.len(), 1, "events of {kind}: {found:#?} of {events:#?}");
    found[0]
}

#[test]
fn a_panic_a_failure_with_causes_and_a_killed_worker_arrive_once_each_and_without_a_secret() {
    let _together = together();
    let Some(kent) = Kent::start() else { return };
    let mut service = reporting(&kent, "workers.count = 2");
    let workers = service.wait_workers(2, START).workers;
    assert_eq!(ask(&service, "/panic").status, 500);
    let failed = ask(&service, "/causes");
    let problem: Value = serde_json::from_slice(&failed.body).expect("a problem");
    assert_eq!(ask(&service, "/panic-in-task").status, 200);
    // A panic of a task is told when its thread next goes idle, and a worker that is killed does not.
    assert_eq!(kent.wait_events(3, ARRIVE).len(), 3);
    kill_process(pid(workers[0].pid), Signal::KILL).expect("a worker to be killed");
    let events = kent.wait_events(4, ARRIVE);
    service.signal(Signal::TERM);
    service.wait_exit(START);
    let all = kent.items("event");
    assert_eq!(all.len(), 4, "more came: {all:#?} than {events:#?}");

    let panics = of_type(&all, "panic");
    assert_eq!(panics.len(), 2);
    let panic = panics.iter().find(|it| it["transaction"] == "/panic").expect("of the handler");
    assert_eq!(outermost(panic)["value"], "the fixture panics in a handler, as told");
    assert_eq!(outermost(panic)["mechanism"]["handled"], false);
    let frames = outermost(panic)["stacktrace"]["frames"].as_array().expect("frames");
    assert!(
        frames
            .iter()
            .any(|it| it["filename"].as_str().is_some_and(|it| it.ends_with("fixture.rs")))
    );
    let task = panics.iter().find(|it| it["transaction"].is_null()).expect("of the task");
    assert_eq!(outermost(task)["value"], "the fixture panics in a task, as told");

    let failure = only(&all, "StockAway");
    let chain = failure["exception"]["values"].as_array().expect("a chain");
    assert_eq!(chain.len(), 2);
    assert_eq!(
        (&chain[0]["type"], &chain[0]["value"]),
        (&"Custom".into(), &"no route to it".into())
    );
    let told = "the stock at http://shop:[Filtered]@192.0.2.1/ is away";
    assert_eq!(chain[1]["value"], told);
    let id = problem["error_id"].as_str().expect("an error id").replace('-', "");
    assert_eq!(failure["event_id"], id, "the client's error id is the event's");
    assert_eq!(failure["level"], "error");
    assert_eq!(failure["release"], "fixture@1");
    assert_eq!(failure["environment"], "staging");
    assert_eq!(failure["transaction"], "/causes");
    assert_eq!(failure["tags"]["request_id"], "id-of-causes");
    assert_eq!(failure["tags"]["status"], "500");
    assert_eq!(failure["request"]["method"], "GET");
    assert_eq!(failure["request"]["url"], "http://shop.example/causes");
    assert_eq!(failure["request"]["query_string"], "page=2&api_key=[Filtered]");
    assert_eq!(failure["request"]["headers"]["authorization"], "[Filtered]");
    assert_eq!(failure["contexts"]["trace"]["trace_id"].as_str().map(str::len), Some(32));
    let crumbs = failure["breadcrumbs"]["values"].as_array().expect("crumbs");
    let said: Vec<_> = crumbs.iter().map(|it| it["message"].as_str().unwrap_or_default()).collect();
    assert_eq!(said, ["asking the stock", "the stock wants token=[Filtered]"]);
    assert_eq!(crumbs[0]["data"]["order"], "7");

    let killed = only(&all, "WorkerKilled");
    assert_eq!(killed["level"], "fatal");
    assert_eq!(killed["release"], "fixture@1");
    assert_eq!(killed["tags"]["generation"], "1");
    assert!(outermost(killed)["value"].as_str().is_some_and(|it| it.contains("SIGKILL")));

    let whole = format!("{all:?}");
    for secret in SECRETS {
        assert!(!whole.contains(secret), "{secret} in {all:#?}");
    }
    assert!(kent.said().contains(&format!("sentry_key={KEY}")), "{}", kent.said());
    assert!(!whole.contains(KEY) && !service.log().contains(KEY), "{}", service.log());
}

#[test]
fn of_one_fault_ten_are_reported_and_the_rest_is_told_with_the_next_event() {
    let _together = together();
    let Some(kent) = Kent::start() else { return };
    let service = reporting(&kent, "workers.count = 1");
    for _ in 0..40 {
        assert_eq!(ask(&service, "/panic").status, 500);
    }
    assert_eq!(kent.wait_events(10, ARRIVE).len(), 10);
    ask(&service, "/causes");
    let events = kent.wait_events(11, ARRIVE);
    assert_eq!(of_type(&events, "panic").len(), 10);
    let lost: Vec<_> = kent.items("client_report");
    let lost: u64 = lost
        .iter()
        .flat_map(|report| report["discarded_events"].as_array().cloned().unwrap_or_default())
        .inspect(|it| {
            assert_eq!(
                (&it["reason"], &it["category"]),
                (&"event_processor".into(), &"error".into())
            );
        })
        .filter_map(|it| it["quantity"].as_u64())
        .sum();
    assert_eq!(lost, 30);
    let metrics = service.get_admin("/metrics").expect("metrics").text();
    assert!(metrics.contains("mainstay_error_reports_suppressed_total 30"), "{metrics}");
}

#[test]
fn what_is_reported_last_is_sent_before_the_service_ends() {
    let _together = together();
    let Some(kent) = Kent::start() else { return };
    let mut service = reporting(&kent, "workers.count = 1");
    assert_eq!(ask(&service, "/panic").status, 500);
    service.signal(Signal::TERM);
    assert!(service.wait_exit(START).success());
    assert_eq!(kent.items("event").len(), 1);
}

#[test]
fn a_worker_that_hangs_and_one_that_does_not_boot_are_reported_once_each() {
    let _together = together();
    let Some(kent) = Kent::start() else { return };
    let service = reporting(&kent, "workers.count = 1\nworkers.timeout = \"1s\"");
    // Nobody answers it: its worker is ended.
    drop(send(
        &service.target(),
        b"GET /block?ms=60000&token=hunter2 HTTP/1.1\r\nHost: a\r\n\r\n",
        ARRIVE,
    ));
    let events = kent.wait_events(1, ARRIVE);
    let hung = only(&events, "WorkerTimeout");
    let requests = hung["extra"]["requests"].as_array().expect("requests in flight");
    assert!(requests[0].as_str().is_some_and(|it| it.starts_with("GET /block for ")), "{hung:#?}");
    service.wait_workers(1, START);
    std::fs::write(service.directory().join("fixture.env"), "FIXTURE_BOOT=exit\n").expect("a file");
    assert!(!service.control(&["reload", "--wait"]).status.success());
    let events = kent.wait_events(2, ARRIVE);
    only(&events, "WorkerTimeout");
    let failed = only(&events, "WorkerBootFailed");
    assert!(
        outermost(failed)["value"].as_str().is_some_and(|it| it.contains("exited with code 7"))
    );
    assert!(!format!("{events:?}").contains("hunter2"));
}

/// `cargo test -p e2e -- --ignored errors::bugsink` runs it.
#[test]
#[ignore = "takes a minute to install Bugsink and to make its database"]
fn bugsink_makes_an_issue_of_each_fault_and_puts_what_comes_again_to_it() {
    let _together = together();
    let Some(bugsink) = Bugsink::start() else { return };
    let mut service = reporting_to(&bugsink.dsn(), "workers.count = 2");
    let workers = service.wait_workers(2, START).workers;
    let failed = ask(&service, "/causes");
    let problem: Value = serde_json::from_slice(&failed.body).expect("a problem");
    assert_eq!(ask(&service, "/panic").status, 500);
    assert_eq!(ask(&service, "/causes").status, failed.status);
    bugsink.wait_issues(3, ARRIVE);
    kill_process(pid(workers[0].pid), Signal::KILL).expect("a worker to be killed");
    let issues = bugsink.wait_issues(4, ARRIVE);
    service.signal(Signal::TERM);
    service.wait_exit(START);

    let told = |issue: &Value| {
        let text = |key: &str| issue[key].as_str().unwrap_or_default().to_owned();
        (text("calculated_type"), text("transaction"), issue["digested_event_count"].as_u64())
    };
    let mut all: Vec<_> = issues.iter().map(told).collect();
    all.sort();
    let row = |kind: &str, path: &str, count| (kind.to_owned(), path.to_owned(), Some(count));
    let expected =
        [row("StockAway", "/causes", 2), row("WorkerKilled", "", 1), row("panic", "/panic", 1)];
    assert_eq!(all, expected, "{issues:#?}");

    let events: Vec<Value> = issues.iter().flat_map(|issue| bugsink.events(issue)).collect();
    assert_eq!(events.len(), 4);
    let id = problem["error_id"].as_str().expect("an error id").replace('-', "");
    let failure = events.iter().find(|it| it["event_id"] == id.as_str());
    let failure = failure.unwrap_or_else(|| panic!("the client's id is no event's: {events:#?}"));
    let chain = failure["exception"]["values"].as_array().expect("a chain");
    assert_eq!((chain.len(), &chain[0]["type"]), (2, &"Custom".into()));
    assert_eq!(failure["release"], "fixture@1");
    assert_eq!(failure["environment"], "staging");
    let killed = events.iter().find(|it| outermost(it)["type"] == "WorkerKilled");
    assert_eq!(killed.expect("a killed worker")["level"], "fatal");
    let whole = format!("{events:?}");
    for secret in SECRETS.into_iter().chain([bugsink.key()]) {
        assert!(!whole.contains(secret), "{secret} in {events:#?}");
    }
    assert!(!service.log().contains(bugsink.key()), "{}", service.log());
}
