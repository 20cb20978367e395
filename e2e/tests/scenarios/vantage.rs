//! Where nothing can be reached nothing is down: a host that has lost its way to the world calls nobody.

use crate::probes::{probe, wait_probe};
use crate::support::*;
use e2e::harness::{Launch, Service, poll};
use e2e::peers::{Hook, World};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);
/// Attempts without a way that are waited for.
const ATTEMPTS: u64 = 12;

/// A series of `/metrics`.
fn value(service: &Service, series: &str) -> u64 {
    let page = service.get_admin("/metrics").expect("watch answers").text();
    let line = page.lines().find_map(|it| it.strip_prefix(series));
    line.and_then(|it| it.trim().parse().ok()).unwrap_or_else(|| panic!("no {series} in {page}"))
}

/// The log says that the way to the world was lost and came back, and nobody was called for it.
fn assert_only_the_way_was_told(service: &Service, hook: &Hook) {
    let events =
        |name: &str| value(service, &format!("mainstay_events_total{{event=\"{name}\"}} "));
    let told =
        ["probe.down", "probe.vantage_lost", "probe.vantage_back", "alert.firing"].map(events);
    assert_eq!(told, [0, 1, 1, 0], "{}", service.log());
    assert!(hook.taken().is_empty(), "{:?}", hook.taken());
}

#[test]
fn a_service_that_begins_without_a_way_to_the_world_knows_nothing_and_calls_nothing_down() {
    let _together = together();
    let test = "vantage::a_service_that_begins_without_a_way_to_the_world_knows_nothing_and_calls_nothing_down";
    let Some(world) = World::within(test) else { return };
    world.cut();
    let hook = Hook::start();
    let service = Launch::new(hello())
        .config(&format!(
            "workers.count = 1\nalerts.interval = \"200ms\"\nalerts.state = \"{{dir}}/alerts\"\n\
             alerts.receivers = \"ops={}\"\nprobing.references = \"{}\"\n[[probes]]\n\
             name = \"one\"\nurl = \"{}\"\ninterval = \"200ms\"\ntimeout = \"1s\"\nconfirm = \"2\"\n",
            hook.url(),
            world.reference(),
            world.url()
        ))
        .start()
        .ready(START);
    let attempts = |outcome: &str| {
        let labels = format!("{{outcome=\"{outcome}\",probe=\"one\"}}");
        value(&service, &format!("mainstay_probe_attempts_total{labels} "))
    };
    let many = || {
        let state = probe(&service, "one")?["state"].clone();
        assert_eq!(state, "unknown", "{}", service.log());
        (attempts("unknown") >= ATTEMPTS).then_some(())
    };
    assert!(poll(LONG, many).is_some(), "{:?}\n{}", probe(&service, "one"), service.log());
    world.mend();
    wait_probe(&service, "one", "up");
    assert_eq!((attempts("failure"), attempts("success") > 0), (0, true), "nothing was down");
    assert_only_the_way_was_told(&service, &hook);
}

#[test]
fn a_host_without_a_way_to_the_world_calls_nothing_down_and_says_so_once() {
    let _together = together();
    let test = "vantage::a_host_without_a_way_to_the_world_calls_nothing_down_and_says_so_once";
    let Some(world) = World::within(test) else { return };
    let hook = Hook::start();
    let names = ["one", "two", "three"];
    let tables = names.map(|name| {
        format!(
            "[[probes]]\nname = \"{name}\"\nurl = \"{}\"\ninterval = \"200ms\"\ntimeout = \"1s\"\n\
             confirm = \"2\"\n",
            world.url()
        )
    });
    let service = Launch::new(hello())
        .config(&format!(
            "workers.count = 1\nalerts.interval = \"200ms\"\nalerts.state = \"{{dir}}/alerts\"\n\
             alerts.receivers = \"ops={}\"\nprobing.references = \"{}\"\n{}",
            hook.url(),
            world.reference(),
            tables.concat()
        ))
        .start()
        .ready(START);
    let all_up = || names.map(|name| wait_probe(&service, name, "up"));
    all_up();
    let attempts = |name: &str, outcome: &str| {
        let labels = format!("{{outcome=\"{outcome}\",probe=\"{name}\"}}");
        value(&service, &format!("mainstay_probe_attempts_total{labels} "))
    };
    let failures = names.map(|name| attempts(name, "failure"));
    world.cut();
    for name in names {
        wait_probe(&service, name, "unknown");
        let many = || (attempts(name, "unknown") >= ATTEMPTS).then_some(());
        assert!(
            poll(LONG, many).is_some(),
            "{name}: {:?}\n{}",
            probe(&service, name),
            service.log()
        );
    }
    world.mend();
    all_up();
    assert_eq!(names.map(|name| attempts(name, "failure")), failures, "nothing was down");
    assert_only_the_way_was_told(&service, &hook);
}
