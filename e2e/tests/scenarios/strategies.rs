//! The strategies of rate limits beside the Python package that they come from, `limits`: the same decision, the
//! same remainder and the same reset in random histories, on a clock that both are told.
//!
//! Different on purpose: a denied hit of a fixed window is not counted, so `limits` is asked before it is hit; at an
//! instant exactly a window after a hit, a moving window's statistics say what its decision says; when a window of a
//! sliding counter begins, its reset is not now; where nothing is used there is no reset. Nor can `limits` be exact where a window's part is no binary
//! fraction, so sliding windows are powers of two here. It has no cell rate algorithm, which is held to a model
//! where it is.
//!
//! `E2E_HISTORIES` says how many, if not 20,000.

use crate::support::*;
use e2e::peers;
use mainstay_os::segment::{Capacity, Hit, Layout, Policy, Segment, Strategy, Verdict};
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

/// One limit, and when it is hit with what cost.
struct History {
    strategy: Strategy,
    amount: u64,
    seconds: u64,
    hits: Vec<(u64, u64)>,
}

/// Numbers that look random and are the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ word >> 31) % end
    }
}

fn history(random: &mut Random) -> History {
    let strategies =
        [Strategy::FixedWindow, Strategy::MovingWindow, Strategy::SlidingWindowCounter];
    let strategy = strategies[random.below(3) as usize];
    let seconds = match strategy {
        Strategy::SlidingWindowCounter => 1 << random.below(8),
        _ => [1 + random.below(5), 60, 3_600, 86_400][random.below(4) as usize],
    };
    let amount = [random.below(4), 1 + random.below(10), 20 + random.below(1_000)];
    let amount = amount[random.below(3) as usize];
    // Times are whole eighths of a second, which are exact in both.
    let mut now = 8_000 + random.below(1 << 30) / 125 * 125;
    let mut hit = || {
        let eighths = [2, 8, seconds * 8 / 4 + 1, seconds * 8 * 3];
        let step = eighths[random.below(4) as usize];
        now += random.below(step) * 125;
        let cost = [1, 1, 1 + random.below(4), 1 + random.below(amount + 2)];
        (now, cost[random.below(4) as usize])
    };
    let hits = (0..20).map(|_| hit()).collect();
    History { strategy, amount, seconds, hits }
}

/// As the Python program reads them.
fn written(histories: &[History]) -> String {
    let mut text = String::new();
    for History { strategy, amount, seconds, hits } in histories {
        let strategy = match strategy {
            Strategy::FixedWindow => "fixed-window",
            Strategy::MovingWindow => "moving-window",
            Strategy::SlidingWindowCounter => "sliding-window-counter",
            Strategy::Gcra => unreachable!("limits has none"),
        };
        writeln!(text, "{strategy} {amount} {seconds}").expect("a string takes all");
        for (now, cost) in hits {
            writeln!(text, "{now} {cost}").expect("a string takes all");
        }
    }
    text
}

#[test]
fn strategies_say_what_limits_says() {
    let _together = together();
    let Some(programs) = peers::python("limits", "5.8.0") else { return };
    let many =
        std::env::var("E2E_HISTORIES").map_or(20_000, |many| many.parse().expect("a number"));
    let mut random = Random(many);
    let (ring_bytes, metrics, limits) = ([64; 3], Capacity::NONE, 4 << 20);
    let layout = Layout { slots: 1, counters: 1, in_flight: 0, ring_bytes, metrics, limits };
    let segment = Segment::on_heap(layout);
    let directory = tempfile::tempdir().expect("a directory for histories");
    let (script, file) = (directory.path().join("strategies.py"), directory.path().join("hits"));
    std::fs::write(&script, include_str!("strategies.py")).expect("it can be written");

    let (mut hits, mut denied, mut unclear) = (0_u64, 0, 0);
    for begin in (0..many).step_by(10_000) {
        let histories: Vec<_> =
            (begin..many.min(begin + 10_000)).map(|_| history(&mut random)).collect();
        std::fs::write(&file, written(&histories)).expect("it can be written");
        let told = Command::new(programs.join("python")).arg(&script).arg(&file).output();
        let told = told.expect("there is a Python");
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        let told = String::from_utf8(told.stdout).expect("it writes digits");
        let mut told = told.lines();
        for history in &histories {
            for (said, (now, cost)) in ours(&segment, history).into_iter().zip(&history.hits) {
                let line = told.next().expect("there is a line for each hit");
                let History { strategy, amount, seconds, .. } = history;
                let what = || format!("{strategy:?} {amount}/{seconds} s: {cost} at {now}");
                let words: Vec<_> = line.split(' ').collect();
                assert_eq!(u8::from(said.admitted).to_string(), words[0], "{}: {line}", what());
                hits += 1;
                denied += u64::from(!said.admitted);
                if words[1] == "-" {
                    unclear += 1;
                    continue;
                }
                assert_eq!(said.remaining.to_string(), words[1], "{}: {line}", what());
                let reset: f64 = words[2].parse().expect("a number of milliseconds");
                let differs = (said.reset_after.as_secs_f64() * 1_000.0 - reset).abs();
                assert!(differs < 0.001, "{}: {line}, but {:?}", what(), said.reset_after);
            }
        }
        assert_eq!(told.next(), None);
    }
    let limits = segment.limits();
    assert_eq!((limits.evicted(), limits.full()), (0, 0), "each was counted");
    eprintln!("{many} histories of {hits} hits, {denied} denied, {unclear} without figures");
    assert!(denied > hits / 10 && denied < hits / 10 * 9, "no teeth");
}

/// What our limit says to each hit. Nothing of it stays, for the next history may be earlier.
fn ours(segment: &Segment, history: &History) -> Vec<Verdict> {
    let limits = segment.limits();
    let window = Duration::from_secs(history.seconds);
    let policy = Policy::new(history.strategy, history.amount, window).expect("it fits");
    let key = limits.key(policy.id, b"", b"a");
    let say = |(now, cost): &(u64, u64)| {
        let mut said = [Verdict::default()];
        limits.decide(&[Hit { policy, key, cost: *cost }], now * 1_000_000, &mut said);
        said[0]
    };
    let said: Vec<Verdict> = history.hits.iter().map(say).collect();
    assert!(limits.clear(key) || said.iter().all(|it| !it.admitted), "what was counted is there");
    said
}
