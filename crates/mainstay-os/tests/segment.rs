//! The segment as shared memory: who may map it, and that all who do see the same.

use crate::support::{alone, end_of, given, number, start};
use mainstay_os::child::Ended;
use mainstay_os::segment::{Capacity, Layout, LayoutError, MapError, Phase, Segment, Started};
use mainstay_os::signals::Signal;
use rustix::fs::{MemfdFlags, SealFlags};
use std::os::fd::{AsFd, OwnedFd};

/// The segment's descriptor in another process.
pub(crate) const SEGMENT: &str = "MAINSTAY_TEST_SEGMENT";

const LAYOUT: Layout = Layout {
    slots: 3,
    counters: 5,
    in_flight: 2,
    ring_bytes: [100, 40, 24],
    metrics: Capacity { metrics: 2, counters: 3, gauges: 2, histograms: 1 },
    limits: 0,
};
/// Words of the stamp, in order: magic, version, words, slots, counters, in-flight, bytes of
/// both rings.
const STAMP: usize = 7;

/// Everything that a segment made for `layout` consists of.
fn words_of(layout: Layout) -> Vec<u64> {
    let (_segment, fd) = Segment::create(layout).expect("a segment can be made");
    let mut bytes = vec![0; layout.words() * 8];
    let len = rustix::io::pread(&fd, &mut bytes, 0).expect("a memfd can be read");
    assert_eq!(len, bytes.len(), "the memory is as large as the layout says");
    bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

/// Memory with `bytes` in it.
fn memory(bytes: &[u8], seals: SealFlags) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create("not-quite-a-segment", flags).expect("memory");
    let written = rustix::io::write(&fd, bytes).expect("memory can be written");
    assert_eq!(written, bytes.len());
    rustix::fs::fcntl_add_seals(&fd, seals).expect("memory can be sealed");
    fd
}

fn bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Why memory of these words is refused.
fn refusal(words: &[u64]) -> Option<LayoutError> {
    match Segment::attach(memory(&bytes(words), SealFlags::SHRINK)) {
        Ok(_) => None,
        Err(MapError::Layout(error)) => Some(error),
        Err(MapError::Io(error)) => panic!("the system refused: {error}"),
    }
}

#[test]
fn a_copy_of_a_segment_is_a_segment() {
    assert_eq!(refusal(&words_of(LAYOUT)), None);
}

#[test]
fn programs_that_disagree_refuse_each_other() {
    let good = words_of(LAYOUT);
    let with = |index: usize, value: u64| {
        let mut words = good.clone();
        words[index] = value;
        refusal(&words)
    };
    assert_eq!(with(0, good[0] ^ 1), Some(LayoutError::NotASegment));
    let found = good[1] + 1;
    assert_eq!(with(1, found), Some(LayoutError::Version { found, known: good[1] }));
    for (index, size) in good.iter().copied().enumerate().take(STAMP).skip(2) {
        for value in [0, size + 8, 1 << 26, 1 << 27, 1 << 61, u64::MAX] {
            assert_eq!(with(index, value), Some(LayoutError::Size), "word {index} is {value}");
        }
    }
}

#[test]
fn memory_of_another_size_is_refused() {
    let good = words_of(LAYOUT);
    let longer: Vec<_> = good.iter().copied().chain([0]).collect();
    assert_eq!(refusal(&longer), Some(LayoutError::Size));
    assert_eq!(refusal(&good[..good.len() - 1]), Some(LayoutError::Size));
    assert_eq!(refusal(&good[..STAMP]), Some(LayoutError::NotASegment));
    assert_eq!(refusal(&[]), Some(LayoutError::NotASegment));
    let cut = memory(&bytes(&good)[..good.len() * 8 - 3], SealFlags::SHRINK);
    assert!(matches!(Segment::attach(cut), Err(MapError::Layout(LayoutError::NotASegment))));
}

#[test]
fn memory_that_could_be_pulled_away_is_refused() {
    let unsealed = memory(&bytes(&words_of(LAYOUT)), SealFlags::empty());
    let refused = Segment::attach(&unsealed);
    assert!(matches!(refused, Err(MapError::Layout(LayoutError::NotASegment))), "{refused:?}");
    let (pipe, _) = crate::support::pipe();
    assert!(matches!(Segment::attach(pipe), Err(MapError::Io(_))), "a pipe is no memory");
}

#[test]
fn nobody_resizes_a_segment() {
    let (_segment, fd) = Segment::create(LAYOUT).unwrap();
    let size = rustix::fs::fstat(&fd).unwrap().st_size.unsigned_abs();
    assert_eq!(size, LAYOUT.words() as u64 * 8);
    for other in [0, size - 8, size + 8] {
        assert_eq!(rustix::fs::ftruncate(&fd, other), Err(rustix::io::Errno::PERM));
    }
    let unsealing = rustix::fs::fcntl_add_seals(&fd, SealFlags::WRITE);
    assert_eq!(unsealing, Err(rustix::io::Errno::PERM));
}

#[test]
fn a_segment_that_nobody_could_map_is_not_made() {
    for (slots, counters, ring_bytes) in
        [(1, 1, 1 << 34), (1 << 20, 1 << 20, 64), (usize::MAX, 1, 64), (2, usize::MAX - 1, 64)]
    {
        let ring_bytes = [64, ring_bytes, 64];
        let metrics = Capacity::NONE;
        let layout = Layout { slots, in_flight: 1, ring_bytes, metrics, ..Layout::small(counters) };
        let made = Segment::create(layout).map(|_| ());
        assert!(matches!(made, Err(MapError::Layout(LayoutError::Size))), "{layout:?}: {made:?}");
    }
}

#[test]
fn two_mappings_are_the_same_memory() {
    let (ours, fd) = Segment::create(LAYOUT).unwrap();
    let theirs = Segment::attach(&fd).unwrap();
    assert_eq!(theirs.layout(), LAYOUT);
    drop(fd);
    ours.header().set_generation(7);
    assert_eq!(theirs.header().generation(), 7);
    theirs.slot(2).unwrap().add(4, 11);
    assert_eq!(ours.slot(2).unwrap().counter(4), 11);
    drop(ours);
    assert_eq!(theirs.total(4), 11, "a mapping outlives the descriptor and the other mapping");
    assert!(theirs.slot(LAYOUT.slots).is_none());
}

/// The part of another process: everything that the holder of slot 1 may write.
pub(crate) fn writes_beside() -> i32 {
    let fd = given(SEGMENT);
    let segment = Segment::attach(&fd).expect("the same program made it");
    let slot = segment.slot(1).expect("there are three");
    assert_eq!((slot.phase(), slot.generation(), slot.spawned()), (Phase::Booting, 4, 5));
    assert_eq!(slot.served_before(), 6);
    slot.beat(10, 11);
    slot.set_ready_at(12);
    slot.connection_opened();
    slot.request_began();
    let started =
        Started { mono: 13, wall: 14, method: b"GET", path: b"/?a=b", ..Started::default() };
    slot.in_flight().begin(1, &started);
    assert_eq!(slot.add(3, 15), 15);
    assert_eq!(slot.add(5, 1), 0, "there are five counters");
    assert!(slot.ring(0).push(16, b"seventeen"));
    0
}

#[test]
fn what_another_process_wrote_is_read_after_its_end() {
    alone("segment::what_another_process_wrote_is_read_after_its_end", || {
        let (segment, fd) = Segment::create(LAYOUT).unwrap();
        let slot = segment.slot(1).unwrap();
        slot.hand_out(4, 5, 6);
        let env = [(SEGMENT, number(&fd))];
        let child = start("neighbour", &env, &[fd.as_fd()], Signal::Kill);
        slot.set_pid(child.pid());
        assert_eq!(end_of(&child).0, Ended::Code(0));
        assert_eq!((slot.heartbeat(), slot.rss_bytes(), slot.ready_at()), (10, 11, 12));
        assert_eq!((slot.gauge_connections(), slot.gauge_in_flight()), (1, 1));
        let request = slot.in_flight().iter().next().unwrap();
        assert_eq!((request.started, request.started_wall, request.peer), (13, 14, None));
        assert_eq!((&*request.method, &*request.path), (&b"GET"[..], &b"/?a=b"[..]));
        assert_eq!(segment.total(3), 15);
        let mut buffer = Vec::new();
        let record = slot.ring(0).pop(&mut buffer).unwrap();
        assert_eq!((record.kind, record.bytes), (16, &b"seventeen"[..]));
        slot.take_back();
        assert_eq!((slot.phase(), slot.pid(), slot.counter(3)), (Phase::Free, 0, 15));
        assert_eq!(slot.in_flight().iter().count(), 0);
    });
}
