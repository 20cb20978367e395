//! Processes that count against the same limits are killed at random instants, and no limit is exceeded, and
//! nothing has to be repaired.

use crate::segment::SEGMENT;
use crate::support::{
    PATIENCE, alone, end_of, given, is_readable, now, number, start, told, variable,
};
use mainstay_os::child::{Child, Ended};
use mainstay_os::segment::{Hit, Layout, Limits, Policy, Segment, Strategy, Verdict};
use mainstay_os::signals::Signal;
use rustix::time::{ClockId, clock_gettime};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

/// How many processes are killed, if not 1,000.
const KILLS: &str = "MAINSTAY_LIMIT_KILLS";
/// How many keys hit a table that has room for few of them, if not 100,000.
const FLOOD: &str = "MAINSTAY_LIMIT_KEYS";
/// Which of the processes one is.
const INDEX: &str = "MAINSTAY_TEST_INDEX";

const ALL: [Strategy; 4] =
    [Strategy::FixedWindow, Strategy::MovingWindow, Strategy::SlidingWindowCounter, Strategy::Gcra];
/// Processes that hit at the same time.
const HITTERS: usize = 3;
/// Keys of each round, so that counts begin all the time.
const KEYS: u64 = 16;
const AMOUNT: u64 = 16;

fn layout(counters: usize, limits: usize) -> Layout {
    Layout { slots: 16, limits, ..Layout::small(counters) }
}

fn mono() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn hit(limits: Limits<'_>, strategy: Strategy, amount: u64, key: [u64; 2]) -> Hit {
    let window = Duration::from_secs(100 * 86_400);
    let policy = Policy::new(strategy, amount, window).expect("it fits");
    let key = key.map(u64::to_le_bytes).concat();
    Hit { policy, key: limits.key(policy.id, b"round", &key), cost: 1 }
}

/// The part of the other processes: hits the keys of the round that the header tells, and counts what was
/// admitted.
pub(crate) fn hits_for_ever() -> i32 {
    let (fd, index) = (given(SEGMENT), told::<usize>(INDEX));
    let segment = Segment::attach(&fd).expect("the same program made it");
    let (limits, slot) = (segment.limits(), segment.slot(index).expect("there is one for each"));
    let mut said = [Verdict::default()];
    for step in 0_u64.. {
        let round = segment.header().generation();
        for (number, strategy) in ALL.into_iter().enumerate() {
            let hit = hit(limits, strategy, AMOUNT, [round, step % KEYS]);
            if limits.decide(&[hit], mono(), &mut said) {
                slot.add(round as usize * ALL.len() + number, 1);
            }
        }
        slot.beat(step + 1, round);
    }
    unreachable!("somebody kills it before it has counted to 2^64")
}

/// The part of a process that never hits a key again, in a table that has room for few.
pub(crate) fn floods() -> i32 {
    let (fd, index) = (given(SEGMENT), told::<usize>(INDEX));
    let segment = Segment::attach(&fd).expect("the same program made it");
    let (limits, slot) = (segment.limits(), segment.slot(index).expect("there is one for each"));
    let pid = u64::from(std::process::id());
    for step in 0_u64.. {
        for strategy in ALL {
            let hit = hit(limits, strategy, 15, [pid, step]);
            limits.decide(&[hit], mono(), &mut [Verdict::default()]);
        }
        slot.beat(step + 1, pid);
    }
    unreachable!("somebody kills it before it has counted to 2^64")
}

/// Hits as the others do, is not killed, and gives the most time of the processor that a decision took: that of
/// this thread, so that what others do on a busy machine is not counted, and whoever waits for the dead is seen.
fn survives(segment: &Segment, is_over: &AtomicBool) -> Duration {
    let (limits, slot) = (segment.limits(), segment.slot(HITTERS).expect("there is one more"));
    let (mut most, mut said) = (Duration::ZERO, [Verdict::default()]);
    let used = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("not negative");
    for step in 0_u64.. {
        if is_over.load(SeqCst) {
            break;
        }
        let round = segment.header().generation();
        for (number, strategy) in ALL.into_iter().enumerate() {
            let (hit, begin) = (hit(limits, strategy, AMOUNT, [round, step % KEYS]), used());
            let is_admitted = limits.decide(&[hit], mono(), &mut said);
            most = most.max(used() - begin);
            slot.add(round as usize * ALL.len() + number, u64::from(is_admitted));
        }
    }
    most
}

fn hitter(part: &str, fd: &OwnedFd, index: usize) -> Child {
    let env = [(SEGMENT, number(fd)), (INDEX, index.to_string())];
    start(part, &env, &[fd.as_fd()], Signal::Kill)
}

/// Kills one after the other at random instants while the others go on; `before` each comes a round.
fn kill_many(part: &str, segment: &Segment, fd: &OwnedFd, kills: u64, before: impl Fn(u64)) {
    let mut hitters: Vec<_> = (0..HITTERS).map(|index| hitter(part, fd, index)).collect();
    for kill in 1..=kills {
        let index = kill as usize % HITTERS;
        let slot = segment.slot(index).expect("there is one for each");
        let (deadline, begin) = (now() + PATIENCE, slot.heartbeat());
        before(kill);
        while slot.heartbeat() == begin {
            assert!(now() < deadline, "it does not hit");
            assert!(!is_readable(&hitters[index], Duration::ZERO), "it ended by itself");
        }
        let seed = kill.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let instant = now() + Duration::from_nanos((seed >> 33) % 1_000_000);
        while now() < instant {
            std::hint::spin_loop();
        }
        hitters[index].signal(Signal::Kill).expect("it is ours");
        assert_eq!(end_of(&hitters[index]).0, Ended::Signal(Signal::Kill.number()));
        hitters[index] = hitter(part, fd, index);
    }
    for child in hitters {
        child.signal(Signal::Kill).expect("it is ours");
        end_of(&child);
    }
}

fn how_many(name: &str, otherwise: u64) -> u64 {
    variable(name).map_or(otherwise, |many| many.parse().expect("a number"))
}

/// Dropped, it is over.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn no_limit_is_exceeded_whoever_is_killed() {
    alone("limits::no_limit_is_exceeded_whoever_is_killed", || {
        let kills = how_many(KILLS, 1_000);
        let counters = (kills as usize + 2) * ALL.len();
        let bytes = (kills as usize + 64) * (64 << 10);
        let (segment, fd) = Segment::create(layout(counters, bytes)).unwrap();
        let is_over = AtomicBool::new(false);
        let stall = std::thread::scope(|scope| {
            let survivor = scope.spawn(|| survives(&segment, &is_over));
            // Also when what follows fails: the scope waits for it.
            let _over = Over(&is_over);
            kill_many("hitter", &segment, &fd, kills, |round| {
                segment.header().set_generation(round);
            });
            is_over.store(true, SeqCst);
            survivor.join().expect("it does not panic")
        });
        eprintln!("no decision beside {kills} kills took more than {stall:.1?} of the processor");
        // Interrupts and first touches of memory are in it; whoever spun for a dead one would take far longer.
        assert!(stall < Duration::from_millis(50), "{stall:?}");

        let limits = segment.limits();
        assert_eq!((limits.evicted(), limits.full()), (0, 0), "there was room");
        let (mut admitted, mut untold, mut used_up) = (0, 0, 0);
        for round in 0..=kills {
            for (number, strategy) in ALL.into_iter().enumerate() {
                let told = segment.total(round as usize * ALL.len() + number);
                let used = |key| {
                    let hit = hit(limits, strategy, AMOUNT, [round, key]);
                    let mut said = [Verdict::default()];
                    limits.peek(&[hit], mono(), &mut said);
                    AMOUNT - said[0].remaining
                };
                let used: u64 = (0..KEYS).map(used).sum();
                assert!(told <= used, "{strategy:?} {round}: {told} admitted, {used} used");
                admitted += told;
                untold += used - told;
                used_up += u64::from(used == KEYS * AMOUNT);
            }
        }
        // Each kill may come between an admission and its being told, once for each that was alive.
        assert!(untold <= kills + HITTERS as u64, "{untold} used and not told");
        eprintln!("{kills} killed: {admitted} admitted, {untold} untold, {used_up} rounds used up");
        assert!(used_up > 0 && admitted > kills, "no teeth");
    });
}

#[test]
fn a_table_that_is_too_small_is_as_good_as_new_whoever_is_killed() {
    alone("limits::a_table_that_is_too_small_is_as_good_as_new_whoever_is_killed", || {
        let (segment, fd) = Segment::create(layout(1, 96 << 10)).unwrap();
        kill_many("flooder", &segment, &fd, how_many(KILLS, 1_000) / 4, |_| {});
        let limits = segment.limits();
        assert!(limits.evicted() > 1_000, "no teeth: {}", limits.evicted());
        let full = limits.full();
        for (strategy, key) in ALL.into_iter().flat_map(|it| (0..30).map(move |key| (it, key))) {
            let hit = hit(limits, strategy, 5, [0, key]);
            let mut said = [Verdict::default()];
            let admitted = (0..20).filter(|_| limits.decide(&[hit], mono(), &mut said)).count();
            assert_eq!(admitted, 5, "{strategy:?}");
        }
        assert_eq!(limits.full(), full);
    });
}

/// Resident memory of this process in shared mappings, kB.
fn shared_kilobytes() -> u64 {
    let field = crate::support::status_field("RssShmem");
    let number = field.split_once(' ').map(|(number, _)| number.parse());
    number.expect("a number and its unit").expect("the kernel writes decimal")
}

#[test]
fn a_flood_of_keys_takes_no_more_memory_and_is_counted() {
    alone("limits::a_flood_of_keys_takes_no_more_memory_and_is_counted", || {
        let keys = how_many(FLOOD, 100_000);
        // The table is full after a twentieth of the keys.
        let bytes = (keys as usize / 20 * 16 * 2).next_multiple_of(4_096);
        let (segment, _fd) = Segment::create(layout(1, bytes)).unwrap();
        assert!(shared_kilobytes() < 200, "nothing is taken before it is used");
        let limits = segment.limits();
        let (mut early, mut times) = (0, Vec::new());
        for key in 0..keys {
            let hit = hit(limits, Strategy::FixedWindow, 10, [0, key]);
            let (mut said, begin) = ([Verdict::default()], mono());
            assert!(limits.decide(&[hit], begin, &mut said), "a new key is admitted");
            times.push(mono() - begin);
            if key == keys / 2 {
                early = shared_kilobytes();
            }
        }
        let late = shared_kilobytes();
        assert_eq!(late, early, "kB after half of the keys and after all");
        let places = bytes as u64 / 2 / 16;
        assert!(limits.evicted() >= keys - places, "{} of {keys}", limits.evicted());
        assert!(limits.evicted() < keys && limits.full() == 0);
        times.sort_unstable();
        let p99 = times[times.len() * 99 / 100];
        eprintln!(
            "{keys} keys, {places} places, {late} kB, p99 {p99} ns with two readings of time"
        );
    });
}
