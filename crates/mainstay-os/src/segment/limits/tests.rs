//! The table as a whole: hits of one process, and of many threads at once.

use super::*;
use crate::segment::{Capacity, Layout, Segment, cases};
use proptest::prelude::{Just, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as _;

const SECOND: u64 = 1_000_000_000;
const ALL: [Strategy; 4] =
    [Strategy::FixedWindow, Strategy::MovingWindow, Strategy::SlidingWindowCounter, Strategy::Gcra];

fn segment(limits: usize) -> Segment {
    let metrics = Capacity::NONE;
    Segment::on_heap(Layout { metrics, limits, ..Layout::small(0) })
}

fn policy(strategy: Strategy, amount: u64, seconds: u64) -> Policy {
    Policy::new(strategy, amount, Duration::from_secs(seconds)).expect("it fits")
}

fn hit(limits: Limits<'_>, policy: Policy, key: &[u8]) -> Hit {
    Hit { policy, key: limits.key(policy.id, b"all", key), cost: 1 }
}

#[test]
fn as_many_are_admitted_as_a_limit_says_and_then_none_until_it_resets() {
    let segment = segment(1 << 20);
    let limits = segment.limits();
    for strategy in ALL {
        let hit = hit(limits, policy(strategy, 5, 60), b"a");
        let mut said = [Verdict::default()];
        let begin = 600 * SECOND;
        for left in (0..5).rev() {
            assert!(limits.decide(&[hit], begin, &mut said), "{strategy:?}");
            assert_eq!(said[0].remaining, left, "{strategy:?}");
        }
        assert!(!limits.decide(&[hit], begin, &mut said), "{strategy:?}");
        assert_eq!(said[0].remaining, 0, "{strategy:?}");
        assert!(said[0].retry_after_ns > 0, "{strategy:?}");
        let later = begin + said[0].retry_after_ns + 1_000;
        assert!(limits.decide(&[hit], later, &mut said), "{strategy:?}: {said:?}");
    }
    assert_eq!((limits.evicted(), limits.full()), (0, 0));
}

#[test]
fn exactly_as_many_are_admitted_by_any_number_of_threads() {
    for strategy in ALL {
        for threads in [1, 2, 4, 16] {
            let segment = segment(1 << 20);
            let policy = policy(strategy, 500, 3_600);
            for key in 0..8_u64 {
                let key = key.to_le_bytes();
                let admitted = std::thread::scope(|scope| {
                    let all: Vec<_> = (0..threads)
                        .map(|_| {
                            scope.spawn(|| {
                                let limits = segment.limits();
                                let hit = hit(limits, policy, &key);
                                let mut said = [Verdict::default()];
                                let hits = (0..5_000 / threads + 1)
                                    .filter(|_| limits.decide(&[hit], 7_300 * SECOND, &mut said));
                                hits.count()
                            })
                        })
                        .collect();
                    all.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
                });
                assert_eq!(admitted, 500, "{strategy:?} in {threads} threads");
            }
            assert_eq!(segment.limits().full(), 0);
        }
    }
}

/// What one key's limit should say, as simply as it can be said: each admission is remembered.
#[derive(Default)]
struct Model {
    /// When, milliseconds, and how much.
    admitted: Vec<(u64, u64)>,
    /// Where the window of a fixed-window limit began.
    began: Option<u64>,
}

impl Model {
    fn sum(&self, is_in: impl Fn(u64) -> bool) -> u64 {
        self.admitted.iter().filter(|(at, _)| is_in(*at)).map(|(_, cost)| cost).sum()
    }

    /// What counts at `now` of a window.
    fn used(&self, strategy: Strategy, window: u64, now: u64) -> u64 {
        match strategy {
            Strategy::FixedWindow => {
                let began = self.began.filter(|began| now < began + window);
                began.map_or(0, |began| self.sum(|at| at >= began))
            }
            Strategy::MovingWindow => self.sum(|at| at + window >= now),
            Strategy::SlidingWindowCounter => {
                let here = now / window * window;
                let before = self.sum(|at| at + window >= here && at < here);
                before * (window - (now - here)) / window + self.sum(|at| at >= here)
            }
            Strategy::Gcra => unreachable!("it has a model of its own"),
        }
    }

    fn hit(&mut self, policy: &Policy, cost: u64, now: u64) -> (bool, u64) {
        let (window, amount) = (policy.window_ms, policy.amount);
        let used = self.used(policy.strategy, window, now);
        let admitted = used + cost <= amount;
        if admitted {
            if self.began.is_none_or(|began| now >= began + window) {
                self.began = Some(now);
            }
            self.admitted.push((now, cost));
        }
        (admitted, amount - if admitted { used + cost } else { used })
    }
}

/// A leaky bucket in exact arithmetic: it leaks one in each interval, and holds the amount.
#[derive(Default)]
struct Bucket {
    level: u128,
    at: u64,
}

impl Bucket {
    fn hit(&mut self, policy: &Policy, cost: u64, now: u64) -> (bool, u64) {
        let interval = u128::from(policy.interval);
        self.level = self.level.saturating_sub(u128::from((now - self.at) * 1_000_000));
        self.at = now;
        let whole = interval * u128::from(policy.amount);
        let admitted = self.level + interval * u128::from(cost) <= whole;
        if admitted {
            self.level += interval * u128::from(cost);
        }
        (admitted, ((whole - self.level) / interval) as u64)
    }
}

/// Steps in time, milliseconds, and costs.
fn history() -> impl proptest::strategy::Strategy<Value = Vec<(u64, u64)>> {
    let step =
        prop_oneof![4 => 0_u64..50, 2 => 0_u64..2_000, 1 => (0_u64..5).prop_map(|it| it * 500)];
    prop::collection::vec((step, prop_oneof![6 => Just(1_u64), 1 => 1_u64..6]), 1..80)
}

/// Histories are long.
fn few() -> proptest::test_runner::Config {
    let all = cases();
    proptest::test_runner::Config { cases: all.cases / 4, ..all }
}

proptest! {
    #![proptest_config(few())]

    #[test]
    fn each_strategy_says_what_its_model_says(
        history in history(),
        amount in prop_oneof![0_u64..6, 6_u64..40],
        window in prop_oneof![Just(500_u64), Just(1_000), 1_u64..3_000],
        begin in 0_u64..10_000_000,
    ) {
        let segment = segment(64 << 10);
        let limits = segment.limits();
        for strategy in ALL {
            let policy = Policy::new(strategy, amount, Duration::from_millis(window)).expect("it fits");
            let (mut model, mut bucket, mut now) = (Model::default(), Bucket::default(), begin);
            for (step, cost) in &history {
                now += step;
                let hit = Hit { cost: *cost, ..hit(limits, policy, b"a") };
                let mut said = [Verdict::default(); 2];
                let expected = match strategy {
                    Strategy::Gcra => bucket.hit(&policy, *cost, now),
                    _ => model.hit(&policy, *cost, now),
                };
                let peeked = limits.peek(&[hit], now * 1_000_000, &mut said[1..]);
                let admitted = limits.decide(&[hit], now * 1_000_000, &mut said);
                prop_assert_eq!((admitted, said[0].remaining), expected, "{:?} at {}", strategy, now);
                prop_assert_eq!(peeked, admitted);
                prop_assert!(said[0].reset_after() <= policy.window * 2);
                // A time that is exactly a window ago still counts, for nothing longer.
                let waits = said[0].retry_after_ns > 0;
                prop_assert!(waits != admitted || !admitted && strategy == Strategy::MovingWindow);
            }
        }
    }

    #[test]
    fn who_waits_as_long_as_he_is_told_is_admitted_and_who_waits_less_is_not(
        history in history(),
        amount in 1_u64..12,
        cost in 1_u64..4,
        begin in 0_u64..10_000_000,
    ) {
        let cost = cost.min(amount);
        for strategy in ALL {
            let segment = segment(64 << 10);
            let limits = segment.limits();
            let policy = policy(strategy, amount, 1);
            let (mut now, mut said) = (begin, [Verdict::default()]);
            for (step, _) in &history {
                now += step % 100;
                let hit = Hit { cost, ..hit(limits, policy, b"a") };
                if limits.decide(&[hit], now * 1_000_000, &mut said) {
                    continue;
                }
                // A time counts for a whole window, its last instant included.
                let wait = said[0].retry_after_ns;
                let then = now * 1_000_000 + wait;
                let early = then - wait.min(1_000_000);
                prop_assert!(!limits.peek(&[hit], early, &mut said), "{:?}", strategy);
                prop_assert!(limits.peek(&[hit], then + 1_000, &mut said), "{:?} {}", strategy, wait);
            }
        }
    }

    #[test]
    fn what_is_given_back_was_never_taken(
        history in history(),
        amount in prop_oneof![1_u64..40, 1_025_u64..1_040],
        begin in 0_u64..10_000_000,
    ) {
        for strategy in ALL {
            let segment = segment(64 << 10);
            let limits = segment.limits();
            let policy = policy(strategy, amount, 2);
            let (mut now, mut said) = (begin * 1_000_000, [Verdict::default()]);
            for (step, cost) in &history {
                now += step * 1_000_000;
                let hit = Hit { cost: *cost, ..hit(limits, policy, b"a") };
                limits.peek(&[hit], now, &mut said);
                let before = said[0].remaining;
                if limits.decide(&[hit], now, &mut said) {
                    limits.refund(&hit, now);
                    limits.peek(&[hit], now, &mut said);
                    prop_assert_eq!(said[0].remaining, before, "{:?}", strategy);
                    limits.decide(&[hit], now, &mut said);
                }
            }
        }
    }
}

#[test]
fn of_several_limits_none_is_used_when_one_denies() {
    for strategy in ALL {
        let segment = segment(1 << 20);
        let limits = segment.limits();
        let wide = hit(limits, policy(strategy, 10, 3_600), b"a");
        let narrow = hit(limits, policy(strategy, 3, 60), b"a");
        let now = 7_200 * SECOND;
        let mut said = [Verdict::default(); 2];
        for _ in 0..20 {
            limits.decide(&[wide, narrow], now, &mut said);
        }
        assert_eq!([said[0].remaining, said[1].remaining], [7, 0], "{strategy:?}");
        assert_eq!([said[0].admitted, said[1].admitted], [true, false], "{strategy:?}");
    }
}

#[test]
fn what_a_key_has_used_can_be_forgotten() {
    let segment = segment(1 << 20);
    let limits = segment.limits();
    for strategy in ALL {
        for amount in [10, 1_000, 5_000] {
            let hit = hit(limits, policy(strategy, amount, 60), b"a");
            let mut said = [Verdict::default()];
            assert!(!limits.clear(hit.key), "{strategy:?}");
            assert!(limits.decide(&[hit], SECOND, &mut said));
            assert!(limits.clear(hit.key), "{strategy:?}");
            limits.peek(&[hit], SECOND, &mut said);
            assert_eq!(said[0].remaining, amount, "{strategy:?}");
        }
    }
}

#[test]
fn what_does_not_fit_its_word_is_no_policy() {
    let of = |strategy, amount, window| Policy::new(strategy, amount, window).err();
    let second = Duration::from_secs(1);
    assert_eq!(of(Strategy::FixedWindow, 4_194_304, second), Some(PolicyError::Amount(4_194_303)));
    assert_eq!(of(Strategy::FixedWindow, 1, Duration::ZERO), Some(PolicyError::Window));
    assert_eq!(of(Strategy::FixedWindow, 1, Duration::from_micros(1)), Some(PolicyError::Window));
    assert_eq!(of(Strategy::Gcra, 1_100_000, second), Some(PolicyError::Rate(1_000_000)));
    let years = Duration::from_secs(4 * 366 * 86_400);
    assert!(matches!(of(Strategy::Gcra, 1, years), Some(PolicyError::Long(_))));
    for strategy in ALL {
        for window in [Duration::from_millis(1), Duration::from_secs(3 * 360 * 86_400)] {
            assert_eq!(of(strategy, 1, window), None);
        }
        let one = policy(strategy, 5, 60);
        assert_eq!(one.id, policy(strategy, 5, 60).id);
        assert_ne!(one.id, policy(strategy, 6, 60).id);
    }
}

#[test]
fn parts_never_admit_more_than_the_amount_in_any_window() {
    let segment = segment(1 << 20);
    let limits = segment.limits();
    let policy = policy(Strategy::MovingWindow, 2_000, 64);
    let hit = Hit { cost: 7, ..hit(limits, policy, b"a") };
    let (mut said, mut admitted) = ([Verdict::default()], Vec::new());
    let mut seed = 1_u64;
    for step in 0..60_000_u64 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let now = step * 7 + (seed >> 61);
        if limits.decide(&[hit], now * 1_000_000, &mut said) {
            admitted.push(now);
        }
    }
    assert!(admitted.len() > 1_500, "they are let in as time goes on: {}", admitted.len());
    let most = 2_000 / 7;
    for (first, last) in admitted.iter().zip(&admitted[most..]) {
        assert!(last - first > 64_000, "{} within {} ms", most + 1, last - first);
    }
}

#[test]
fn keys_that_are_too_many_make_room_and_are_counted() {
    let segment = segment(16 << 10);
    let limits = segment.limits();
    let policy = policy(Strategy::FixedWindow, 10, 60);
    let mut said = [Verdict::default()];
    let fresh = |number: u64| hit(limits, policy, &number.to_le_bytes());
    // One who has used up more than half stays.
    let busy = hit(limits, policy, b"busy");
    for _ in 0..8 {
        assert!(limits.decide(&[busy], SECOND, &mut said));
    }
    for number in 0..20_000 {
        assert!(limits.decide(&[fresh(number)], SECOND, &mut said));
    }
    let places = 8 * 1024 / 16;
    assert!(limits.evicted() >= 20_000 - places, "{}", limits.evicted());
    limits.peek(&[busy], SECOND, &mut said);
    assert_eq!((said[0].remaining, limits.full()), (2, 0));
    // Ended counts make room for nothing.
    let evicted = limits.evicted();
    for number in 0..100 {
        assert!(limits.decide(&[fresh(number)], 62 * SECOND, &mut said));
    }
    assert_eq!(limits.evicted(), evicted);
    // Without any room there are no limits, which is counted.
    let none = super::tests::segment(0);
    assert!((0..20).all(|_| none.limits().decide(&[busy], SECOND, &mut said)));
    assert_eq!(none.limits().full(), 20);
}
