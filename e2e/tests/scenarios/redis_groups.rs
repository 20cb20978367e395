//! Rate limits that several Redis servers count: sentinels who name another one when theirs has died, and a cluster in
//! which each key has its node. Neither costs a request, and one line tells of it.

use crate::redis::{admitted, counted_by, hit, metric, wait_told};
use crate::support::*;
use e2e::harness::{Launch, poll};
use e2e::load::Load;
use e2e::peers::{self, REDIS_PASSWORD, RedisCluster, TlsRedis, WatchedRedis};
use std::path::Path;
use std::time::Duration;

const TIME: Duration = Duration::from_secs(60);

#[test]
fn a_fail_over_by_sentinels_costs_no_request_and_is_told_once() {
    let _alone = alone();
    let Some(mut redis) = WatchedRedis::start() else { return };
    let config = "limits.default = '4000000/day; 3000000/hour'\nlimits.storage_timeout = '250ms'";
    let service = counted_by(&redis.url(), config);
    let load = Load { max_duration: TIME, ..usual_load(&service) }.start();
    load.run_for(steady());
    load.mark("stopped");
    redis.stop_server();
    wait_told(&service, 1, 1);
    load.mark("the other");
    let trips = metric(&service, "round_trips_total");
    load.run_for(steady() / 2);
    let report = load.stop();
    assert_nothing_lost("a fail-over by sentinels", &report, &service);
    assert!(metric(&service, "round_trips_total") > trips, "the other is asked");
    assert_eq!(
        redis.ask_replica(&["EXISTS", "LIMITS:LIMITER/127.0.0.1/default/4000000/1/day"]),
        "1"
    );
    let table = service.control_ok(&["limits", "test", "--key", "127.0.0.1", "--path", "/"]);
    assert!(table.contains("passes"), "{table}");
    wait_told(&service, 1, 1);
    assert!(!service.log().contains(REDIS_PASSWORD), "{}", service.log());
}

#[test]
fn a_cluster_and_pythons_limits_count_together_and_a_node_that_dies_costs_no_request() {
    let _alone = alone();
    let Some(mut cluster) = RedisCluster::start() else { return };
    let Some(programs) = peers::python("limits[redis]", "5.8.0") else { return };
    for strategy in ["fixed-window", "moving-window", "sliding-window-counter"] {
        let url = cluster.url();
        let hit = |client: &str, hits| hit(&programs, &url, strategy, client, hits);
        let config = format!(
            "limits.strategy = '{strategy}'\nlimits.application = '10/hour'\n\
             limits.default = '300/hour; 200/day'"
        );
        let service = counted_by(&url, &config);
        assert_eq!(admitted(&service, "192.0.2.1", 4), 4, "{strategy}");
        assert_eq!(hit("192.0.2.1", 3), (3, 3), "{strategy}");
        assert_eq!(admitted(&service, "192.0.2.1", 5), 3, "{strategy}");
        assert_eq!(hit("192.0.2.1", 1), (0, 0), "{strategy}");
        assert_eq!(hit("192.0.2.2", 7), (7, 3), "{strategy}");
        assert_eq!(admitted(&service, "192.0.2.2", 5), 3, "{strategy}");
        // What one limit refused has used up none of the others.
        let test = ["limits", "test", "--key", "192.0.2.1", "--path", "/"];
        let table = service.control_ok(&test);
        assert!(table.contains(" 293 ") && table.contains(" 193 "), "{strategy}: {table}");
        let cleared = service.control_ok(&["limits", "clear", "--key", "192.0.2.1"]);
        assert!(cleared.contains("the cluster of"), "{cleared}");
        assert_eq!(admitted(&service, "192.0.2.1", 1), 1, "{strategy}");
        assert_eq!(metric(&service, "errors_total"), 0, "{}", service.log());
        let flushed = cluster.ask_each(&["FLUSHALL"]);
        assert!(flushed.iter().all(|it| it == "OK"), "{flushed:?}");
    }
    // Limits on several nodes, so that the loss of one is felt.
    let rows: Vec<_> = (20..24).map(|it| format!("{it}00000/day")).collect();
    let config = format!("limits.default = '{}'\nlimits.storage_timeout = '1s'", rows.join("; "));
    let service = counted_by(&cluster.url(), &config);
    let load = Load { max_duration: TIME, ..usual_load(&service) }.start();
    load.run_for(steady());
    let nodes = cluster.ask_each(&["DBSIZE"]);
    assert!(nodes[2] != "0", "{nodes:?}");
    load.mark("a node stopped");
    cluster.stop(2);
    wait_told(&service, 1, 0);
    load.run_for(steady());
    cluster.start_again(2);
    wait_told(&service, 1, 1);
    load.mark("back");
    let trips = metric(&service, "round_trips_total");
    load.run_for(steady() / 2);
    let report = load.stop();
    assert_nothing_lost("a node of a cluster that dies", &report, &service);
    assert!(metric(&service, "round_trips_total") > trips, "it is asked again");
    wait_told(&service, 1, 1);
    a_node_that_refuses_writes_is_an_outage_until_it_takes_them(&cluster);
}

/// Whichever node it is: it is tried with a key of its own before the store is believed to be back.
fn a_node_that_refuses_writes_is_an_outage_until_it_takes_them(cluster: &RedisCluster) {
    let set = |node: usize, replicas: &str| {
        cluster.ask(node, &["CONFIG", "SET", "min-replicas-to-write", replicas])
    };
    // Of two nodes at least one does not have the key that a single server is tried with.
    for node in 0..2 {
        let service = counted_by(&cluster.url(), "limits.default = '1000/day'");
        assert_eq!(set(node, "1"), "OK");
        let refused = || -> u64 {
            let said = cluster.ask(node, &["INFO", "errorstats"]);
            let count = said.lines().find_map(|it| it.strip_prefix("errorstat_NOREPLICAS:count="));
            count.map_or(0, |it| it.trim().parse().expect("a number"))
        };
        let before = refused();
        let clients = (0..64).map(|client| format!("192.0.2.{client}"));
        clients.for_each(|client| assert_eq!(admitted(&service, &client, 1), 1));
        // The first was a request, and the others were tries.
        let tried = poll(TIME, || (refused() >= before + 3).then_some(()));
        assert!(tried.is_some(), "node {node}: {} were refused\n{}", refused(), service.log());
        wait_told(&service, 1, 0);
        assert_eq!(set(node, "0"), "OK");
        wait_told(&service, 1, 1);
    }
}

#[test]
fn sentinels_and_clusters_are_spoken_to_with_tls_and_believed_by_their_certificates_alone() {
    let _together = together();
    for redis in [TlsRedis::start_watched(), TlsRedis::start_cluster()] {
        let Some(redis) = redis else { return };
        let config = format!(
            "workers.count = 2\nlimits.storage = '{}'\nlimits.storage_timeout = '5s'\n\
             limits.default = '10/hour; 3/minute'",
            redis.url()
        );
        // It speaks TLS, which the fixture does not.
        let start = |trusts: &Path| {
            let launch = Launch::new(mainstay()).config(&config);
            let launch = launch.env("DATABASE_URL", "sqlite:site.db");
            launch.env("SSL_CERT_FILE", &trusts.display().to_string()).start().ready(START)
        };
        let stranger = start(&redis.other_certificate());
        let check = stranger.control(&["check"]);
        let said = String::from_utf8_lossy(&check.stderr).into_owned();
        assert!(said.contains("store-unreachable") && said.contains("certificate"), "{said}");
        assert_eq!(redis.ask(&["DBSIZE"]), "0");
        drop(stranger);
        let service = start(&redis.certificate());
        assert_eq!(admitted(&service, "192.0.2.1", 5), 3);
        assert_ne!(redis.ask(&["DBSIZE"]), "0");
        for counter in ["timeouts_total", "errors_total", "away_decisions_total", "away"] {
            assert_eq!(metric(&service, counter), 0, "{counter}\n{}", service.log());
        }
        let test = ["limits", "test", "--key", "192.0.2.1", "--path", "/"];
        assert!(service.control_ok(&test).contains("is refused"));
        assert!(!service.log().contains(REDIS_PASSWORD), "{}", service.log());
    }
}
