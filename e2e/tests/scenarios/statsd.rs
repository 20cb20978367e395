//! Metrics pushed to a statsd server: what it adds up is what clients counted, and a server that is away
//! disturbs nobody.

use crate::support::*;
use e2e::harness::{Service, free_port, poll};
use e2e::load::Load;
use e2e::peers::{Navdoon, Statsd};
use rustix::process::Signal;
use std::net::{Ipv4Addr, SocketAddr};

fn pushing(to: SocketAddr, more: &str) -> Service {
    let config = format!("workers.count = 2\n{EACH_LINE_ONCE}\nmetrics.statsd = \"{to}\"\n{more}");
    let service = service(&config);
    service.wait_workers(2, START);
    service
}

#[test]
fn a_statsd_server_adds_up_what_clients_counted_over_a_killed_watch_and_a_reload() {
    let _together = together();
    let statsd = Statsd::start();
    let mut service = pushing(statsd.address(), "metrics.statsd_prefix = \"shop\"");
    let load = Load::new(service.target()).start();
    load.run_for(steady());
    kill_watch(&service);
    load.run_for(steady());
    service.control_ok(&["reload", "--wait"]);
    load.run_for(steady());
    let report = load.stop();
    assert_nothing_lost("watched by three, one after another", &report, &service);
    for (path, status) in [("/nowhere", 404), ("/failure", 502)] {
        assert_eq!(service.get(path).expect("an answer").status, status);
    }
    wait_idle(&service);
    let seen = |name: &str| statsd.sum(&format!("shop.gunicorn.{name}"));
    let workers = poll(START, || (seen("workers") == 2.0).then_some(()));
    assert!(workers.is_some(), "two are ready: {}", seen("workers"));
    // Lines that found no room while there was no watch to write them.
    let dropped = service.status().counter("access_lines_dropped");
    service.signal(Signal::TERM);
    assert_eq!(service.wait_exit(START).code(), Some(0), "{}", service.log());

    let requests = service.access().len() as f64 + dropped as f64;
    let class = |class: &str| seen(&format!("request.status.{class}"));
    let classes = || ["1xx", "2xx", "3xx", "4xx", "5xx", "499"].map(class).iter().sum::<f64>();
    // One push is several packets.
    let sums = || [seen("requests"), seen("request.duration").round(), classes()];
    let all = poll(START, || (sums() == [requests; 3]).then_some(()));
    say(format_args!("{requests} requests, {} at the server", seen("requests")));
    assert!(all.is_some(), "{requests} requests, {:?} at the server", sums());
    assert!(class("2xx") >= report.ok() as f64);
    // Who waited for the service to be ready may have had a 503.
    let is_unready = |line: &Vec<u8>| line.windows(6).any(|part| part == b"\" 503 ");
    let unready = service.access().iter().filter(|line| is_unready(line)).count() as f64;
    assert_eq!((class("4xx"), class("5xx")), (1.0, 1.0 + unready));
    let strange = statsd.names().into_iter().find(|name| !name.starts_with("shop.gunicorn."));
    assert_eq!(strange, None);
}

#[test]
fn a_statsd_server_that_is_away_disturbs_nobody_and_is_told_of_once() {
    let _together = together();
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let service = pushing(nowhere, "");
    let load = Load::new(service.target()).start();
    load.run_for(steady());
    service.wait_log(&["statsd"], START);
    assert_nothing_lost("nobody listens", &load.stop(), &service);
    let statsd = Statsd::at(nowhere);
    let came = poll(START, || (statsd.sum("gunicorn.workers") == 2.0).then_some(()));
    assert!(came.is_some(), "one that comes is told: {:?}", statsd.names());
    assert_eq!(service.log_lines(&["statsd"]).len(), 1, "{}", service.log());
}

#[test]
fn navdoon_counts_what_was_answered() {
    let _together = together();
    let Some(navdoon) = Navdoon::start() else { return };
    let service = pushing(navdoon.address(), "");
    for _ in 0..7 {
        assert_eq!(service.get("/").expect("an answer").status, 200);
    }
    service.control_ok(&["reload", "--wait"]);
    for _ in 0..4 {
        assert_eq!(service.get("/").expect("an answer").status, 200);
    }
    wait_idle(&service);
    let requests = service.status().counter("http_requests") as f64;
    // One push is several packets, and who waited for the service to be ready may have had a 503.
    let classes = ["2xx", "5xx"].map(|class| format!("gunicorn.request.status.{class}"));
    let sums =
        || [navdoon.sum("gunicorn.requests"), classes.iter().map(|it| navdoon.sum(it)).sum()];
    let found = poll(START, || (sums() == [requests; 2]).then_some(()));
    assert!(found.is_some(), "{requests}, {:?}", sums());
    assert!(navdoon.sum(&classes[0]) >= 11.0);
}
