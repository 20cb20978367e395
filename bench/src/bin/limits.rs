//! What limits cost: processor time of one request's decision, by strategy and number of keys, beside the crate
//! `governor`, which counts in one process only.
//!
//! `cargo run --release -p bench -- limits` starts it; `limits THREADS` runs so many at once, each of which tells
//! its own processor time.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use mainstay_os::segment::{Capacity, Hit, Layout, Policy, Segment, Strategy, Subject, Verdict};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Barrier};
use std::time::Duration;

/// Rounds, of which the fastest counts: what a neighbour takes only ever makes them slower.
const ROUNDS: usize = 9;
const HOT: u64 = 1_000;
const MANY: u64 = 1_000_000;
/// Room for four counts for each that there will be.
const BYTES: usize = 256 << 20;
const HOUR: Duration = Duration::from_secs(3_600);
const NOW: u64 = 7_200 * 1_000_000_000;

/// A thing that is done for one key, by its name, and how many keys there are.
type Row = (String, u64, Once);
type Once = Arc<dyn Fn(u64) + Send + Sync>;

fn main() {
    let threads = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1);
    println!("| one request, {threads} threads | keys | CPU ns |\n|---|--:|--:|");
    for keys in [HOT, MANY] {
        for (what, keys, once) in rows(keys) {
            println!("| {what} | {keys} | {:.1} |", time(threads, keys, &once));
        }
    }
    println!("\nFastest of {ROUNDS} rounds, keys at random; the hash of the key is in each.");
}

fn rows(keys: u64) -> Vec<Row> {
    let mut rows: Vec<Row> =
        vec![("nothing".to_owned(), keys, Arc::new(|key| _ = black_box(address(key))))];
    for strategy in [Strategy::FixedWindow, Strategy::SlidingWindowCounter, Strategy::Gcra] {
        rows.push((format!("two limits, {strategy:?}"), keys, two_limits(strategy, 4_000_000)));
    }
    rows.push((
        "two limits, FixedWindow, denied".to_owned(),
        keys,
        two_limits(Strategy::FixedWindow, 1),
    ));
    rows.push((
        "one limit, FixedWindow".to_owned(),
        keys,
        one_limit(Strategy::FixedWindow, 4_000_000),
    ));
    rows.push((
        "one limit, FixedWindow, denied".to_owned(),
        keys,
        one_limit(Strategy::FixedWindow, 1),
    ));
    if keys == HOT {
        for amount in [10, 100, 1_000] {
            let what = format!("one limit, MovingWindow of {amount}, denied");
            rows.push((what, keys, one_limit(Strategy::MovingWindow, amount)));
        }
        rows.push((
            "one limit, MovingWindow by parts".to_owned(),
            keys,
            one_limit(Strategy::MovingWindow, 4_000_000),
        ));
    }
    rows.push(("governor, one limit".to_owned(), keys, governor(1_000_000_000)));
    rows.push(("governor, one limit, denied".to_owned(), keys, governor(1)));
    rows
}

fn segment() -> Segment {
    let (ring_bytes, metrics) = ([64; 3], Capacity::NONE);
    let layout = Layout { in_flight: 1, ring_bytes, metrics, limits: BYTES, ..Layout::small(1) };
    Segment::create(layout).expect("memory that processes can share").0
}

/// An address of the network `key`.
fn address(key: u64) -> Ipv6Addr {
    Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(key) << 64)
}

fn policy(strategy: Strategy, amount: u64, window: Duration) -> Policy {
    Policy::new(strategy, amount, window).expect("it fits")
}

/// Whom the limits of a request are for: the network of an address.
fn subject(segment: &Segment, key: u64) -> Subject {
    segment.limits().subject(&address(key).octets()[..8])
}

fn two_limits(strategy: Strategy, amount: u64) -> Once {
    let segment = segment();
    // So many that the second is never the one that denies.
    let policies = [policy(strategy, amount, HOUR), policy(strategy, 3_900_000, HOUR * 2)];
    let scopes = policies.map(|policy| segment.limits().scope(policy.id, b"/orders"));
    Arc::new(move |key| {
        let subject = subject(&segment, key);
        let hits =
            [0, 1].map(|it| Hit { policy: policies[it], key: scopes[it].key(subject), cost: 1 });
        let mut said = [Verdict::default(); 2];
        black_box(segment.limits().decide(&hits, NOW, &mut said));
        black_box(&said);
    })
}

fn one_limit(strategy: Strategy, amount: u64) -> Once {
    let (segment, policy) = (segment(), policy(strategy, amount, HOUR));
    let scope = segment.limits().scope(policy.id, b"/orders");
    Arc::new(move |key| {
        let key = scope.key(subject(&segment, key));
        let mut said = [Verdict::default()];
        black_box(segment.limits().decide(&[Hit { policy, key, cost: 1 }], NOW, &mut said));
        black_box(&said);
    })
}

fn governor(amount: u32) -> Once {
    let amount = NonZeroU32::new(amount).expect("it is more than none");
    let limiter: DefaultKeyedRateLimiter<IpAddr> = RateLimiter::keyed(Quota::per_hour(amount));
    Arc::new(move |key| _ = black_box(limiter.check_key(&IpAddr::V6(address(key)))))
}

/// Nanoseconds of this thread's processor time for one call.
fn time(threads: u64, keys: u64, once: &Once) -> f64 {
    // Everything is there before it is measured; and used up, where that is little.
    let warm = if keys == HOT { 1_100 } else { 2 };
    (0..warm).for_each(|_| (0..keys).for_each(|key| once(key)));
    let begin = Arc::new(Barrier::new(threads as usize));
    let all: Vec<_> = (0..threads)
        .map(|thread| {
            let (once, begin) = (Arc::clone(once), Arc::clone(&begin));
            std::thread::spawn(move || {
                begin.wait();
                rounds(thread, keys, &*once)
            })
        })
        .collect();
    let times = all.into_iter().map(|thread| thread.join().expect("it does not panic"));
    times.fold(0.0, f64::max)
}

fn rounds(thread: u64, keys: u64, once: &(dyn Fn(u64) + Send + Sync)) -> f64 {
    let (mut best, mut seed) = (f64::INFINITY, 0x9e37_79b9_7f4a_7c15 + thread);
    let calls = 1_000_000;
    for _ in 0..ROUNDS {
        let begin = spent();
        for _ in 0..calls {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            once(((u128::from(seed) * u128::from(keys)) >> 64) as u64);
        }
        best = best.min((spent() - begin) as f64 / f64::from(calls));
    }
    best
}

/// This thread's processor time, nanoseconds.
fn spent() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
