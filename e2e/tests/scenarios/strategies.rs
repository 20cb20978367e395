//! The strategies of rate limits beside the Python package that they come from, `limits`: the same decision, the
//! same remainder and the same reset in random histories, on a clock that both are told.
//!
//! Different on purpose: a denied hit of a fixed window is not counted, so `limits` is asked before it is hit; at an
//! instant exactly a window after a hit, a moving window's statistics say what its decision says; when a window of a
//! sliding counter begins, its reset is not now; where nothing is used there is no reset. Nor can `limits` be exact where a window's part is no binary
//! fraction, so sliding windows are powers of two here. It has no cell rate algorithm, which is held to a model
//! where it is.
//!
//! `E2E_HISTORIES` says how many, if not 20,000, and `E2E_HISTORIES_FROM` after how many a run that was cut off goes on:
//! each thousand has a seed of its own. It is told from the beginning up to where all of them have been run, whatever has
//! been run beyond: nothing is skipped by who goes on from there.

use crate::support::*;
use e2e::peers;
use mainstay_os::segment::{Capacity, Hit, Layout, Policy, Segment, Strategy, Verdict};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Histories of one seed.
const BATCH: u64 = 1_000;

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
    // Times are whole eighths of a second, which are exact in both. In the first window of its clock `limits` takes a
    // sliding window for the one before as well.
    let mut now = 1_000_000 + random.below(1 << 30) / 125 * 125;
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

/// As the Python program reads it.
fn written(history: &History) -> String {
    let History { strategy, amount, seconds, hits } = history;
    let strategy = match strategy {
        Strategy::FixedWindow => "fixed-window",
        Strategy::MovingWindow => "moving-window",
        Strategy::SlidingWindowCounter => "sliding-window-counter",
        Strategy::Gcra => unreachable!("limits has none"),
    };
    let mut text = format!("{strategy} {amount} {seconds}");
    for (now, cost) in hits {
        write!(text, " {now}:{cost}").expect("a string takes all");
    }
    text
}

/// A Python that has the package, and answers batch after batch.
struct Python {
    process: Child,
    asks: Option<ChildStdin>,
    says: Lines<BufReader<ChildStdout>>,
}

impl Python {
    fn start(programs: &Path, script: &Path) -> Python {
        let mut command = Command::new(programs.join("python"));
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("there is a Python");
        let says = BufReader::new(process.stdout.take().expect("it is a pipe")).lines();
        Python { asks: process.stdin.take(), says, process }
    }

    /// It reads all of a batch before it answers.
    fn ask(&mut self, histories: &[History]) {
        let lines = histories.iter().map(|it| written(it) + "\n").chain([".\n".to_owned()]);
        let asks = self.asks.as_mut().expect("it still listens");
        asks.write_all(lines.collect::<String>().as_bytes()).expect("it listens");
        asks.flush().expect("it listens");
    }

    /// What it says to the next history.
    fn next(&mut self) -> String {
        self.says.next().expect("there is a line for each history").expect("it writes digits")
    }

    fn end(mut self) {
        drop(self.asks.take());
        assert!(self.says.next().is_none(), "it has said all");
        assert!(self.process.wait().expect("it ends").success());
    }
}

/// Which batches are under way, which have been run, and whether one has ended in another way.
#[derive(Debug)]
struct Batches {
    next: u64,
    end: u64,
    /// Up to here all of them have been run.
    whole: u64,
    /// Those that have been run beyond.
    beyond: BTreeSet<u64>,
}

/// A batch that is under way. Unless it is done, nobody begins another.
struct Taken<'a> {
    batches: &'a Mutex<Batches>,
    number: u64,
}

impl Batches {
    fn new(from: u64, end: u64) -> Mutex<Batches> {
        Mutex::new(Batches { next: from, end, whole: from, beyond: BTreeSet::new() })
    }

    /// The next one, if there is one.
    fn take(batches: &Mutex<Batches>) -> Option<Taken<'_>> {
        let mut all = batches.lock().unwrap_or_else(PoisonError::into_inner);
        let number = all.next;
        all.next += 1;
        (number < all.end).then_some(Taken { batches, number })
    }

    /// How many from the first on have been run without a gap.
    fn whole(batches: &Mutex<Batches>) -> u64 {
        batches.lock().unwrap_or_else(PoisonError::into_inner).whole
    }
}

impl Taken<'_> {
    /// It has been run; tells up to where all have been, where that has changed.
    fn done(self) -> Option<u64> {
        let mut all = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.whole;
        all.beyond.insert(self.number);
        while let Some(first) = all.beyond.first().copied()
            && first == all.whole
        {
            all.beyond.pop_first();
            all.whole += 1;
        }
        (all.whole > before).then_some(all.whole)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // Whoever panics on the way leaves the others nothing to begin.
        if std::thread::panicking() {
            let mut all = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
            all.end = 0;
        }
    }
}

#[test]
fn a_run_of_histories_that_is_cut_off_goes_on_where_the_first_batch_is_missing() {
    let batches = Batches::new(3, 8);
    let mut taken: Vec<_> = (0..4).map(|_| Batches::take(&batches).expect("five in all")).collect();
    assert_eq!(taken.iter().map(|it| it.number).collect::<Vec<_>>(), [3, 4, 5, 6]);
    assert_eq!(taken.pop().expect("6").done(), None, "three before it are under way");
    assert_eq!(taken.remove(0).done(), Some(4));
    assert_eq!(taken.pop().expect("5").done(), None);
    assert_eq!(Batches::whole(&batches), 4, "as many as a run may skip that goes on");
    let four = taken.pop().expect("4");
    let ended = std::thread::scope(|scope| {
        let run = || {
            let _mine = Batches::take(&batches).expect("7");
            std::panic::resume_unwind(Box::new("a difference"));
        };
        scope.spawn(run).join()
    });
    assert!(ended.is_err());
    assert_eq!(four.done(), Some(7), "what is under way comes to its end");
    assert!(Batches::take(&batches).is_none(), "and nothing is begun any more");
    let batches = Batches::new(0, 1);
    assert_eq!(Batches::take(&batches).and_then(Taken::done), Some(1));
    assert!(Batches::take(&batches).is_none(), "all are run");
}

/// What was compared.
#[derive(Default)]
struct Seen {
    hits: AtomicU64,
    denied: AtomicU64,
    unclear: AtomicU64,
}

#[test]
fn strategies_say_what_limits_says() {
    let _together = together();
    let Some(programs) = peers::python("limits", "5.8.0") else { return };
    let number = |name: &str, usual| {
        std::env::var(name).map_or(usual, |many| many.parse().expect("a number"))
    };
    let (many, from) = (number("E2E_HISTORIES", 20_000), number("E2E_HISTORIES_FROM", 0));
    let directory = tempfile::tempdir().expect("a directory for the program");
    let script = directory.path().join("strategies.py");
    std::fs::write(&script, include_str!("strategies.py")).expect("it can be written");
    let batches = Batches::new(from / BATCH, many.div_ceil(BATCH));
    let seen = Seen::default();
    let together = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..together {
            scope.spawn(|| {
                let mut python = Python::start(&programs, &script);
                let (ring_bytes, metrics, limits) = ([64; 3], Capacity::NONE, 4 << 20);
                let layout =
                    Layout { slots: 1, counters: 1, in_flight: 0, ring_bytes, metrics, limits };
                let segment = Segment::on_heap(layout);
                while let Some(batch) = Batches::take(&batches) {
                    compare(batch.number, &segment, &mut python, &seen);
                    if let Some(whole) = batch.done() {
                        eprintln!("the first {} histories show no difference", whole * BATCH);
                    }
                }
                python.end();
                let limits = segment.limits();
                assert_eq!((limits.evicted(), limits.full()), (0, 0), "each was counted");
            });
        }
    });
    let of = |it: &AtomicU64| it.load(Relaxed);
    let (hits, denied, unclear) = (of(&seen.hits), of(&seen.denied), of(&seen.unclear));
    eprintln!(
        "histories {from} to {} of {hits} hits, {denied} denied, {unclear} without figures",
        Batches::whole(&batches) * BATCH
    );
    assert!(denied > hits / 10 && denied < hits / 10 * 9, "no teeth");
}

/// Runs a batch on both sides.
fn compare(batch: u64, segment: &Segment, python: &mut Python, seen: &Seen) {
    let mut random = Random(batch);
    let histories: Vec<_> = (0..BATCH).map(|_| history(&mut random)).collect();
    python.ask(&histories);
    // While it works.
    let ours: Vec<_> = histories.iter().map(|history| ours(segment, history)).collect();
    for (history, ours) in histories.iter().zip(ours) {
        let line = python.next();
        let words: Vec<_> = line.split(' ').collect();
        assert_eq!(words.len(), history.hits.len(), "{line}");
        for ((said, (now, cost)), word) in ours.into_iter().zip(&history.hits).zip(words) {
            let History { strategy, amount, seconds, .. } = history;
            let what = || {
                format!(
                    "{strategy:?} {amount}/{seconds} s: {cost} at {now} of batch {batch}: {word}"
                )
            };
            let mut theirs = word.split(':');
            let admitted = if said.admitted { "1" } else { "0" };
            assert_eq!(theirs.next(), Some(admitted), "{}", what());
            seen.hits.fetch_add(1, Relaxed);
            seen.denied.fetch_add(u64::from(!said.admitted), Relaxed);
            let (Some(remaining), Some(reset)) = (theirs.next(), theirs.next()) else {
                seen.unclear.fetch_add(1, Relaxed);
                continue;
            };
            assert_eq!(said.remaining.to_string(), remaining, "{}", what());
            let reset: f64 = reset.parse().expect("a number of milliseconds");
            let differs = (said.reset_after().as_secs_f64() * 1_000.0 - reset).abs();
            assert!(differs < 0.001, "{}, but {:?}", what(), said.reset_after());
        }
    }
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
