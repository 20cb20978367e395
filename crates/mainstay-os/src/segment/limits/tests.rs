//! The table as a whole: hits of one process, and of many threads at once.

use super::*;
use crate::segment::{Capacity, Layout, Segment};

const SECOND: u64 = 1_000_000_000;
const ALL: [Strategy; 4] =
    [Strategy::FixedWindow, Strategy::MovingWindow, Strategy::SlidingWindowCounter, Strategy::Gcra];

fn segment(limits: usize) -> Segment {
    let metrics = Capacity::NONE;
    Segment::on_heap(Layout {
        slots: 1,
        counters: 0,
        in_flight: 0,
        ring_bytes: [0; 3],
        metrics,
        limits,
    })
}

fn policy(strategy: Strategy, amount: u64, seconds: u64) -> Policy {
    Policy::new(strategy, amount, Duration::from_secs(seconds)).unwrap()
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
        assert!(said[0].retry_after > Duration::ZERO, "{strategy:?}");
        let later = begin + said[0].retry_after.as_nanos() as u64 + 1_000;
        assert!(limits.decide(&[hit], later, &mut said), "{strategy:?}: {said:?}");
    }
    assert_eq!((limits.evicted(), limits.full()), (0, 0));
}

#[test]
fn exactly_as_many_are_admitted_by_any_number_of_threads() {
    for strategy in ALL {
        for threads in [1, 2, 4, 16] {
            let segment = segment(64 << 10);
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
