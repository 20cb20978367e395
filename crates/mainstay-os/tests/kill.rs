//! Writers are killed at random instants, thousands of times, and the segment is valid each time.
//!
//! Each writer holds the same slot in turn and does what a worker does, as fast as it can: requests
//! begin, and end by settlements, which put a record into a ring and count. All that a settlement does
//! is found done or not done, never in part.
//!
//! All that is written can be checked by looking at it: an entry's facts all derive from its start,
//! a record carries its number, its length and a sum. The parent reads everything the whole time, as
//! watch and supervisor do.

use crate::segment::SEGMENT;
use crate::support::{PATIENCE, alone, end_of, given, is_readable, now, number, start, variable};
use mainstay_os::child::{Child, Ended};
use mainstay_os::segment::{
    Capacity, ENTRIES, InFlight, Layout, MAX_METHOD, MAX_PATH, MAX_TARGET, Phase, Record, Segment,
    Settlement, Slot, Started, Tally,
};
use mainstay_os::signals::Signal;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How many writers are killed, if not 2,000.
const KILLS: &str = "MAINSTAY_KILLS";
/// With fewer kills it is no shame to have hit nothing in the middle.
const ENOUGH_TO_HIT: u64 = 1_000;

/// A ring that wraps every few records, and a table that is always full.
const LAYOUT: Layout = Layout {
    slots: 3,
    counters: COUNTERS,
    in_flight: 4,
    ring_bytes: [1_000, 64, 64],
    metrics: Capacity { metrics: 1, counters: 1, gauges: 1, histograms: 1 },
    limits: 0,
};
/// The slot that the writers hold; those beside it must stay as they are.
const SLOT: usize = 1;
const NEIGHBOURS: [usize; 2] = [0, 2];

const BEGAN: usize = 0;
const ENDED: usize = 1;
const ODD: usize = 2;
const EVEN: usize = 3;
const HANDED: usize = 4;
const REFUSED: usize = 5;
const COUNTERS: usize = 6;

/// Bytes of a record before its filling: epoch, number, length.
const RECORD_HEAD: usize = 24;
/// Longest filling of a record.
const FILLING: u64 = 160;

/// A number that looks random and is the same for the same `seed`.
fn mixed(seed: u64) -> u64 {
    let mut word = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// `len` bytes that belong to `seed`.
fn pattern(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|index| (mixed(seed) >> (index % 8 * 8)) as u8 ^ index as u8).collect()
}

/// The other end of request `seed`: each kind of address, and none.
fn peer_of(seed: u64) -> Option<SocketAddr> {
    let word = mixed(seed);
    let ip = match word % 3 {
        0 => return None,
        1 => IpAddr::V4(Ipv4Addr::from_bits((word >> 32) as u32)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(u128::from(word) << 64 | u128::from(!word))),
    };
    Some(SocketAddr::new(ip, (word >> 16) as u16))
}

/// The whole of request `seed`, as it must be read.
fn request_of(seed: u64) -> InFlight {
    let word = mixed(seed ^ 1) as usize;
    InFlight {
        started: seed,
        started_wall: mixed(seed),
        peer: peer_of(seed),
        client: peer_of(!seed).map(|peer| peer.ip()),
        trace: u128::from(mixed(!seed)).to_le_bytes(),
        span: seed.to_le_bytes(),
        method: pattern(seed, word % (MAX_METHOD + 1)),
        path: pattern(!seed, word / 64 % (MAX_PATH + 1)),
        agent: pattern(seed ^ 5, word / 128 % 129),
        ..InFlight::default()
    }
}

/// Record `number` of the life `epoch`, into `bytes`.
fn record_of(epoch: u64, number: u64, bytes: &mut Vec<u8>) {
    let seed = mixed(epoch << 32 ^ number);
    let filling = pattern(seed, (seed % FILLING) as usize);
    bytes.clear();
    for word in [epoch, number, filling.len() as u64] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(&filling);
}

/// The part of the other process.
pub(crate) fn writes_for_ever() -> i32 {
    let fd = given(SEGMENT);
    let segment = Segment::attach(&fd).expect("the same program made it");
    let slot = segment.slot(SLOT).expect("there are three");
    let (epoch, mut record) = (slot.epoch(), Vec::new());
    let bin = slot.bin_cell(0, 1);
    slot.measures().open(0);
    for step in 0_u64.. {
        let entry = step as usize % LAYOUT.in_flight;
        if step >= LAYOUT.in_flight as u64 {
            record_of(epoch, step, &mut record);
            slot.settle(&Settlement {
                entry: Some(entry),
                cells: [ENDED, if step % 2 == 1 { ODD } else { EVEN }, bin],
                record: Ok(Record {
                    ring: 0,
                    kind: step as u16,
                    bytes: &record,
                    handed: HANDED,
                    dropped: REFUSED,
                }),
            });
            slot.request_ended();
        }
        let request = request_of((epoch << 32) + step + 1);
        slot.add(BEGAN, 1);
        slot.request_began();
        let started = Started {
            mono: request.started,
            wall: request.started_wall,
            peer: request.peer,
            client: request.client,
            trace: request.trace,
            span: request.span,
            method: &request.method,
            path: &request.path,
            agent: &request.agent,
            ..Started::default()
        };
        slot.in_flight().begin(entry, &started);
        write_on_board(&segment, epoch, step);
        slot.beat(step + 1, epoch);
    }
    unreachable!("somebody kills it before it has counted to 2^64")
}

/// An entry for each few steps of a life, so that names are claimed and targets changed all the time.
fn write_on_board(segment: &Segment, epoch: u64, step: u64) {
    let name = format!("check {}", (epoch + step) % ENTRIES as u64);
    let (_, found) = segment.board().claim(name.as_bytes()).expect("there is room for all of them");
    let seed = mixed(epoch ^ step);
    let target = pattern(seed, (seed % MAX_TARGET as u64) as usize);
    found.declare(
        epoch as u32,
        seed,
        &[&seed.to_le_bytes()[..], &target[..target.len().max(8) - 8]].concat(),
    );
}

/// Each name stands once, and a target is whole or none.
fn check_board(segment: &Segment) {
    let mut names: Vec<_> = segment.board().entries().map(|(_, entry)| entry.name()).collect();
    names.sort();
    // Whoever claims it again completes a name whose claimant did not live to write it.
    names.retain(|name| !name.is_empty());
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    for (_, entry) in segment.board().entries() {
        let Some(target) = entry.target() else { continue };
        let seed = u64::from_le_bytes(*target.first_chunk().expect("each begins with its seed"));
        assert!(target[8..] == pattern(seed, target.len() - 8), "a torn target");
    }
}

/// What the slot has counted, over all its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Books {
    counters: [u64; COUNTERS],
}

impl Books {
    fn read(slot: Slot<'_>) -> Books {
        Books { counters: std::array::from_fn(|index| slot.counter(index)) }
    }

    /// Fails if a total went down since `before`.
    fn must_follow(&self, before: &Books) {
        let pairs = self.counters.iter().zip(&before.counters);
        let all_up = pairs.into_iter().all(|(now, then)| now >= then);
        assert!(all_up, "{before:?} was followed by {self:?}");
    }
}

/// What the parent has seen of all writers.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    records: u64,
    drops: u64,
    /// Entries read while their writer lived.
    live: u64,
    /// Kills that left a request whose facts were not all written.
    partial: u64,
    /// Kills that left a settlement to complete.
    in_progress: u64,
}

/// The parent's view of one life of the slot.
struct Reader<'a> {
    slot: Slot<'a>,
    epoch: u64,
    /// The books at the start of this life.
    opening: Books,
    latest: Books,
    buffer: Vec<u8>,
    expected: Vec<u8>,
    /// Number of the latest record, plus one.
    numbered: u64,
    drained: u64,
    live: u64,
}

impl<'a> Reader<'a> {
    fn new(slot: Slot<'a>) -> Reader<'a> {
        let (opening, epoch) = (Books::read(slot), slot.epoch());
        let (buffer, expected) = (Vec::new(), Vec::new());
        let latest = opening;
        Reader { slot, epoch, opening, latest, buffer, expected, numbered: 0, drained: 0, live: 0 }
    }

    /// Takes one record out of the ring and holds it against what it must be.
    fn drain_one(&mut self) -> bool {
        let Some(record) = self.slot.ring(0).pop(&mut self.buffer) else { return false };
        let word = |at: usize| {
            let bytes = record.bytes.get(at..at + 8).and_then(|bytes| bytes.as_array::<8>());
            u64::from_le_bytes(*bytes.expect("a record has a head"))
        };
        let (epoch, number) = (word(0), word(8));
        assert_eq!(epoch, self.epoch, "a record of another life");
        record_of(epoch, number, &mut self.expected);
        assert!(record.bytes.len() >= RECORD_HEAD && record.bytes == self.expected, "torn record");
        assert_eq!(record.kind, number as u16, "the kind belongs to another record");
        assert!(number >= self.numbered, "record {number} after {}", self.numbered);
        (self.numbered, self.drained) = (number + 1, self.drained + 1);
        true
    }

    /// Looks at everything once, while the writer writes.
    fn look(&mut self) {
        // A writer can be faster than this reader: do not stay in the ring for ever.
        for _ in 0..32 {
            if !self.drain_one() {
                break;
            }
        }
        for request in self.slot.in_flight().iter() {
            self.live += u64::from(!request.partial);
            check_request(&request, self.epoch);
        }
        let books = Books::read(self.slot);
        books.must_follow(&self.latest);
        self.latest = books;
        let gauge = self.slot.gauge_in_flight();
        assert!(gauge <= LAYOUT.in_flight as u64, "{gauge} requests in a table for four");
    }

    /// The reckoning after the writer's end.
    fn close(mut self, seen: &mut Seen) {
        let before = Books::read(self.slot);
        self.slot.complete();
        let completed = Books::read(self.slot) != before;
        self.slot.complete();
        self.look();
        while self.drain_one() {}
        assert!(self.slot.ring(0).is_empty());
        let delta = |index: usize| self.latest.counters[index] - self.opening.counters[index];
        let (ended, handed, refused) = (delta(ENDED), delta(HANDED), delta(REFUSED));
        assert_eq!(delta(ODD) + delta(EVEN), ended, "{self:?}: by parity");
        assert_eq!(handed + refused, ended, "{self:?}: by outcome");
        let mut tally = Tally::default();
        self.slot.measures().read_histogram(0, &mut tally);
        assert_eq!(tally.count(), self.latest.counters[ENDED], "{self:?}: in bins");
        assert_eq!(self.drained, handed, "{self:?}: records");

        let requests: Vec<_> = self.slot.in_flight().iter().collect();
        let open = delta(BEGAN) - ended;
        // Between its count and its entry a request is neither; nothing else may be.
        let missing = open - requests.len() as u64;
        assert!(missing <= 1, "{self:?}: {open} open, in the table {requests:?}");
        let gauge = self.slot.gauge_in_flight();
        assert!(gauge.abs_diff(open) <= 1, "{self:?}: gauge {gauge}, count {open}");
        let partial = requests.iter().filter(|request| request.partial).count() as u64;
        assert!(partial <= 1, "one writer writes one entry at a time: {requests:?}");

        seen.records += self.drained;
        seen.drops += refused;
        seen.live += self.live;
        seen.partial += partial;
        seen.in_progress += u64::from(completed);
    }
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Reader { epoch, opening, latest, numbered, drained, .. } = self;
        write!(f, "life {epoch}: {drained} records up to {numbered}, {opening:?} to {latest:?}")
    }
}

/// An entry is whole, or says that it is not.
fn check_request(request: &InFlight, epoch: u64) {
    if request.partial {
        let known = (request.started, request.method.len(), request.path.len());
        assert_eq!(known, (0, 0, 0), "facts of an entry that has none");
        return;
    }
    assert_eq!(request.started >> 32, epoch, "an entry of another life: {request:?}");
    assert_eq!(*request, request_of(request.started), "facts of different requests");
}

/// Everything in the slots beside the writers', which nobody touches.
fn prepare_neighbours(segment: &Segment) {
    for index in NEIGHBOURS {
        let slot = segment.slot(index).expect("there are three");
        slot.hand_out(index as u64, 1, 1);
        slot.in_flight().begin(0, &Started { mono: 7, wall: 7, ..Started::default() });
        (0..COUNTERS).for_each(|counter| {
            slot.add(counter, u64::MAX / 4);
        });
        assert!(slot.ring(0).push(index as u16, &pattern(7, 900)));
    }
}

fn check_neighbours(segment: &Segment) {
    for index in NEIGHBOURS {
        let slot = segment.slot(index).expect("there are three");
        assert_eq!((slot.phase(), slot.generation()), (Phase::Booting, index as u64));
        assert_eq!((slot.heartbeat(), slot.gauge_in_flight(), slot.ring(0).dropped()), (0, 0, 0));
        assert_eq!(slot.in_flight().iter().map(|request| request.started).sum::<u64>(), 7);
        assert!((0..COUNTERS).all(|counter| slot.counter(counter) == u64::MAX / 4));
        let mut buffer = Vec::new();
        let record = slot.ring(0).pop(&mut buffer).expect("its record is there");
        assert_eq!((record.kind, record.bytes), (index as u16, &*pattern(7, 900)));
        assert!(slot.ring(0).push(index as u16, &pattern(7, 900)), "there is room again");
    }
}

fn check_cleared(slot: Slot<'_>, books: &Books) {
    let live = [slot.heartbeat(), slot.rss_bytes(), slot.ready_at()];
    assert_eq!((live, slot.gauge_in_flight(), slot.gauge_connections()), ([0; 3], 0, 0));
    assert!((0..LAYOUT.in_flight).all(|entry| slot.in_flight().read(entry).is_none()));
    assert_eq!(Books::read(slot), *books, "clearing touches no total");
}

/// One life: the slot is handed out, its holder writes, is killed, and leaves it to be taken back.
fn one_life(segment: &Segment, fd: &OwnedFd, life: u64, seen: &mut Seen) {
    let slot = segment.slot(SLOT).expect("there are three");
    let before = Books::read(slot);
    let epoch = slot.epoch();
    slot.hand_out(life, life, before.counters[ENDED]);
    check_cleared(slot, &before);
    assert_eq!((slot.phase(), slot.pid(), slot.epoch()), (Phase::Booting, 0, epoch + 1));
    assert_eq!((slot.generation(), slot.served_before()), (life, before.counters[ENDED]));

    let mut reader = Reader::new(slot);
    let env = [(SEGMENT, number(fd))];
    let child = start("writer", &env, &[fd.as_fd()], Signal::Kill);
    slot.set_pid(child.pid());
    kill_at_some_instant(&child, life, &mut reader);
    assert_eq!(end_of(&child).0, Ended::Signal(Signal::Kill.number()), "it ended by itself");
    reader.close(seen);

    check_board(segment);
    let books = Books::read(slot);
    slot.take_back();
    check_cleared(slot, &books);
    assert_eq!((slot.phase(), slot.pid()), (Phase::Free, 0));
    for counter in 0..COUNTERS {
        let neighbours = NEIGHBOURS.len() as u64 * (u64::MAX / 4);
        assert_eq!(segment.total(counter), books.counters[counter] + neighbours);
    }
}

/// Reads until it is time to kill, kills, and reads until the writer is gone.
fn kill_at_some_instant(child: &Child, life: u64, reader: &mut Reader<'_>) {
    let deadline = now() + PATIENCE;
    // Every sixteenth is killed while it boots.
    if !life.is_multiple_of(16) {
        while reader.slot.heartbeat() == 0 {
            assert!(now() < deadline, "the writer does not write");
            assert!(!is_readable(child, Duration::from_micros(100)), "it ended by itself");
        }
    }
    let instant = now() + Duration::from_nanos(mixed(life) % 2_000_000);
    while now() < instant {
        reader.look();
    }
    child.signal(Signal::Kill).expect("it is ours");
    while !is_readable(child, Duration::ZERO) {
        assert!(now() < deadline, "the writer does not die");
        reader.look();
    }
}

#[test]
fn the_segment_is_valid_whenever_a_writer_is_killed() {
    alone("kill::the_segment_is_valid_whenever_a_writer_is_killed", || {
        let kills = variable(KILLS).map_or(2_000, |kills| kills.parse().expect("a number"));
        let (segment, fd) = Segment::create(LAYOUT).unwrap();
        prepare_neighbours(&segment);
        let (begin, mut seen): (Instant, Seen) = (now(), Seen::default());
        for life in 1..=kills {
            one_life(&segment, &fd, life, &mut seen);
        }
        check_neighbours(&segment);
        let took = begin.elapsed();
        eprintln!("{kills} writers killed in {took:.1?}: {seen:?}");
        if kills >= ENOUGH_TO_HIT {
            let hit = seen.records > 0 && seen.drops > 0 && seen.live > 0;
            assert!(hit && seen.partial > 0 && seen.in_progress > 0, "no teeth: {seen:?}");
        }
    });
}
