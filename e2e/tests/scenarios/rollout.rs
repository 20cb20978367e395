//! Several instances behind a balancer that follows readiness, as in Kubernetes: a rolling update and the drain of
//! a node, by the signals and in the order that are sent there, under load.

use crate::support::*;
use e2e::harness::{Service, poll};
use e2e::load::{Load, Report, Running};
use e2e::peers::{Balancer, Follows};
use rustix::process::Signal;
use std::time::Duration;

/// A probe each half second, of which two must fail; and a second until every node knows of it. Kubernetes has
/// usually longer periods, and the same order.
const FOLLOWS: Follows =
    Follows { period: Duration::from_millis(500), failures: 2, lag: Duration::from_secs(1) };

/// What an instance has: a drain delay longer than it takes until nobody is sent to it any more.
const PATIENT: &str = "workers.count = 1\nhealth.drain_delay = \"6s\"\nworkers.grace = \"10s\"";
/// The same without.
const HASTY: &str = "workers.count = 1\nhealth.drain_delay = \"0s\"\nworkers.grace = \"10s\"";

/// Instances behind a balancer, and clients before it.
struct Fleet {
    balancer: Balancer,
    load: Running,
    instances: Vec<Service>,
    config: &'static str,
}

impl Fleet {
    fn of(count: usize, config: &'static str) -> Fleet {
        let balancer = Balancer::start(FOLLOWS);
        let instances: Vec<_> = (0..count).map(|_| service(config)).collect();
        instances.iter().for_each(|it| join(&balancer, it));
        let load = Load { think: Some(Duration::from_millis(4)), ..Load::new(balancer.address()) };
        Fleet { balancer, load: load.start(), instances, config }
    }

    /// Another instance, to which clients are sent.
    fn add(&mut self) {
        let instance = service(self.config);
        join(&self.balancer, &instance);
        self.instances.push(instance);
    }

    /// Ends the oldest instance as the kubelet does, and sees that it ends well.
    fn remove(&mut self) {
        let mut oldest = self.instances.remove(0);
        oldest.signal(Signal::TERM);
        let status = oldest.wait_exit(START);
        assert_eq!(status.code(), Some(0), "{}", oldest.log());
        let address = oldest.address;
        let forgotten = poll(START, || (!self.balancer.sends_to(address)).then_some(()));
        assert!(forgotten.is_some(), "the balancer follows readiness");
    }

    fn end(self) -> (Report, Vec<Service>) {
        (self.load.stop(), self.instances)
    }
}

/// Lets the balancer find an instance.
fn join(balancer: &Balancer, instance: &Service) {
    balancer.add(instance.address);
    let found = poll(START, || balancer.sends_to(instance.address).then_some(()));
    assert!(found.is_some(), "the balancer finds an instance that is ready");
}

#[test]
fn a_rolling_update_and_the_drain_of_a_node_lose_nothing() {
    let _alone = alone();
    let mut fleet = Fleet::of(2, PATIENT);
    fleet.load.run_for(Duration::from_millis(500));
    fleet.load.mark("rolling update");
    // maxSurge 1, maxUnavailable 0: a new one first, then an old one goes.
    for _ in 0..2 {
        fleet.add();
        fleet.remove();
    }
    fleet.load.mark("drain of a node");
    // An eviction ends an instance before there is another.
    fleet.remove();
    fleet.add();
    fleet.load.run_for(Duration::from_millis(500));
    let (report, instances) = fleet.end();
    assert_nothing_lost("3 instances ended and 3 begun behind a balancer", &report, &instances[0]);
}

/// What the delay is for: who closes at once is still sent to.
#[test]
fn without_a_drain_delay_a_rolling_update_would_lose_requests() {
    let _alone = alone();
    let mut fleet = Fleet::of(2, HASTY);
    fleet.load.run_for(Duration::from_millis(500));
    fleet.remove();
    let (report, _) = fleet.end();
    say(format_args!("without a drain delay {} of {} are lost", report.lost(), report.ok()));
    assert!(report.lost() > 0, "the balancer sends to who has gone, as kube-proxy does:\n{report}");
}
