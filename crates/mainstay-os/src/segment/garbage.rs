//! Whatever stands in the words of a segment, reading it neither panics nor goes on for ever, and
//! what is written afterwards is read as it was written.

use super::atomic::Ordering::Relaxed;
use super::{
    Capacity, ENTRY_VALUES, Failed, GAUGES, JOURNAL_VALUES, JOURNALS, Kind, Layout, Limits,
    MAX_METHOD, MAX_NAME, MAX_NOTE, MAX_PATH, MAX_TARGET, NOTES, Phase, Record, Segment,
    Settlement, Slot, Started, Tally, cases, limits, read_histograms,
};
use proptest::prelude::*;
use proptest::sample::Index;
use std::hint::black_box;

fn layouts() -> impl Strategy<Value = Layout> {
    let metrics = [0_usize..3, 0..3, 0..3, 0..2];
    let metrics = metrics.prop_map(|[metrics, counters, gauges, histograms]| Capacity {
        metrics,
        counters,
        gauges,
        histograms,
    });
    (1_usize..4, 0_usize..10, 0_usize..4, [0_usize..100, 0..100, 0..100], metrics, 0_usize..20_000)
        .prop_map(|(slots, counters, in_flight, ring_bytes, metrics, limits)| Layout {
            slots,
            in_flight,
            ring_bytes,
            metrics,
            limits,
            ..Layout::small(counters)
        })
}

/// Words that are likely to be taken for lengths, indices, states and positions.
fn garbage() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0_u64..300,
        (0_u64..300).prop_map(|below| u64::MAX - below),
        (0_u32..64, 0_u64..4).prop_map(|(shift, more)| (1 << shift) + more),
    ]
}

/// Reads all that there is to read of a slot.
fn read_all(slot: Slot<'_>, layout: Layout) {
    black_box((slot.phase().as_str(), slot.pid(), slot.generation(), slot.spawned()));
    black_box((slot.epoch(), slot.served_before(), slot.heartbeat(), slot.ready_at()));
    black_box((slot.rss_bytes(), slot.gauge_in_flight(), slot.gauge_connections()));
    black_box((0..=layout.counters).map(|index| slot.counter(index)).max());
    for index in 0..3 {
        let mut tally = Tally::default();
        read_histograms(&[slot.measures()], index, &mut tally);
        black_box((tally.count(), tally.sum, tally.exemplars, slot.measures().counted(index)));
        black_box((slot.measures().read_gauge(index), slot.bin_cell(index, 7)));
    }
    for request in slot.in_flight().iter() {
        assert!(request.method.len() <= MAX_METHOD && request.path.len() <= MAX_PATH);
    }
    for failed in slot.failures().iter() {
        assert!(failed.route.len() <= 64 && failed.reason.len() <= 24);
    }
    for (index, bytes) in layout.ring_bytes.into_iter().enumerate() {
        let ring = slot.ring(index);
        black_box(ring.untold(ring.dropped()));
        if let Some(intent) = ring.intended() {
            assert!(intent.wrapping_sub(ring.position()) as usize <= bytes.div_ceil(8));
        }
        let (mut position, mut out) = (ring.position(), Vec::new());
        for seen in 0.. {
            let Some(front) = ring.front(position) else { break };
            assert!(seen < bytes.div_ceil(8), "more than it can hold");
            out.clear();
            ring.copy_rest(&front, &mut out);
            assert_eq!(out.len(), front.rest);
            position = front.next;
        }
        let (words, mut buffer) = (bytes.div_ceil(8), Vec::new());
        for popped in 0.. {
            let Some(record) = ring.pop(&mut buffer) else { break };
            assert!(record.bytes.len() <= words * 8 && popped < words, "more than it can hold");
        }
        assert!(ring.is_empty());
    }
}

/// Hits, looks, gives back and forgets; what is counted depends on what was there.
fn use_limits(limits: Limits<'_>) {
    for strategy in [
        limits::Strategy::FixedWindow,
        limits::Strategy::MovingWindow,
        limits::Strategy::SlidingWindowCounter,
        limits::Strategy::Gcra,
    ] {
        for (amount, cost) in [(0, 1), (3, 1), (100, 3), (2_000, u64::MAX), (4_000_000, 9)] {
            let window = std::time::Duration::from_secs(60);
            let Ok(policy) = limits::Policy::new(strategy, amount, window) else { continue };
            let mut said = [limits::Verdict::default(); 2];
            for key in [b"a", b"b", b"c"] {
                let hit = limits::Hit { policy, key: limits.key(policy.id, b"", key), cost };
                for now in [0, 1 << 40, u64::MAX] {
                    limits.decide(&[hit], now, &mut said);
                    limits.decide(&[hit, hit], now, &mut said);
                    limits.peek(&[hit, hit], now, &mut said);
                    limits.refund(&hit, now);
                }
                black_box(limits.clear(hit.key));
                use_bans(limits, hit.key);
                use_permits(limits, hit.key);
            }
        }
    }
}

/// Bans, looks and lifts.
fn use_bans(limits: Limits<'_>, key: limits::Key) {
    let (bans, wanted) =
        (limits.bans(), limits::Wanted { note: [1; 3], counts: true, renews: true });
    for now in [0, 1 << 40, u64::MAX] {
        black_box((limits.any_banned(now), bans.in_force(now).count(), bans.ended(now)));
        let added = bans.add(key, &wanted, now, |last| {
            (last.map_or(1, |last| last.times.wrapping_add(1)), std::time::Duration::MAX)
        });
        black_box((added, bans.find(key, now), bans.lift(key, now), bans.unmade()));
    }
}

/// Asks for permits, and gives back.
fn use_permits(limits: Limits<'_>, key: limits::Key) {
    let lives = |holder: limits::Holder| holder.slot.is_multiple_of(2);
    for most in [1, 20, 1_024] {
        for now in [0, u64::MAX] {
            let holder = limits::Holder { slot: 2, epoch: 1 };
            let entry = limits.permit(key, most, holder, now, &lives);
            black_box(limits.held(key, most, &lives));
            if let limits::Entry::Admitted(permit) = entry {
                limits.give_back(&permit, &lives);
            }
        }
    }
}

/// Uses a slot as its next holder does.
fn use_afterwards(slot: Slot<'_>, layout: Layout) {
    let before: Vec<_> = (0..layout.counters).map(|index| slot.counter(index)).collect();
    slot.complete();
    let counters: Vec<_> = (0..layout.counters).map(|index| slot.counter(index)).collect();
    assert!(counters.iter().zip(&before).all(|(now, then)| now >= then), "no total goes down");
    slot.take_back();
    assert_eq!((slot.phase(), slot.pid()), (Phase::Free, 0));
    slot.hand_out(2, 3, 4);
    assert_eq!((slot.gauge_in_flight(), slot.gauge_connections(), slot.heartbeat()), (0, 0, 0));
    assert_eq!(slot.in_flight().iter().count(), 0);
    for (index, before) in counters.into_iter().enumerate() {
        assert_eq!(slot.counter(index), before, "no total is cleared");
        assert_eq!(slot.add(index, 5), before.wrapping_add(5));
    }
    let meter = slot.meter(1).expect("there is one for each entry of the board");
    assert!((0..GAUGES).all(|gauge| meter.gauge(gauge) == 0), "what was live has ended");
    meter.enter(3);
    assert_eq!(meter.gauge(3), 1);
    slot.connection_opened();
    slot.request_began();
    let request = Started { method: b"PUT", path: b"/here", ..Started::default() };
    slot.in_flight().begin(0, &request);
    let read = slot.in_flight().read(0);
    assert_eq!(read.map(|read| read.path), (layout.in_flight > 0).then(|| b"/here".to_vec()));
    let failed = Failed { time: 7, route: &b"/here"[..], ..Failed::default() };
    slot.failures().note(&failed);
    assert!(slot.failures().iter().any(|it| it.time == 7 && it.route == b"/here"));
    slot.request_ended();
    slot.connection_closed();
    slot.in_flight().end(0);
    assert_eq!((slot.gauge_in_flight(), slot.gauge_connections()), (0, 0));

    let (record, mut buffer) = (b"a line of a log", Vec::new());
    for (index, bytes) in layout.ring_bytes.into_iter().enumerate() {
        // What a settlement published may have made the ring nonsense, which reading empties.
        while slot.ring(index).pop(&mut buffer).is_some() {}
        let fits = bytes.div_ceil(8) >= 3;
        assert_eq!(slot.ring(index).push(6, record), fits);
        let popped = slot.ring(index).pop(&mut buffer).map(|record| (record.kind, record.bytes));
        assert_eq!(popped, fits.then_some((6, &record[..])));
        let record = Record { ring: index, kind: 7, bytes: record, handed: 0, dropped: 1 };
        let settlement =
            Settlement { entry: Some(0), cells: [0, 2, usize::MAX], record: Ok(record) };
        assert_eq!(slot.settle(&settlement), fits);
        let popped = slot.ring(index).pop(&mut buffer).map(|record| record.kind);
        assert_eq!(popped, fits.then_some(7));
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn no_word_can_lead_a_reader_astray(
        layout in layouts(),
        everywhere in prop::collection::vec(garbage(), 0..40),
        here_and_there in prop::collection::vec((any::<Index>(), garbage()), 0..60),
    ) {
        let segment = Segment::on_heap(layout);
        let cells = segment.cells.words();
        for (cell, value) in cells.iter().zip(everywhere.iter().cycle()) {
            cell.store(*value, Relaxed);
        }
        for (index, value) in here_and_there {
            index.get(cells).store(value, Relaxed);
        }
        black_box((0..layout.counters).map(|index| segment.total(index)).max());
        for note in (0..NOTES).map(|index| segment.header().note(index)) {
            prop_assert!(note.read().is_none_or(|read| (1..=MAX_NOTE).contains(&read.text().len())));
            note.write([5, 6], b"afterwards");
            prop_assert_eq!(note.read().map(|read| read.values), Some([5, 6]));
        }
        for journal in (0..JOURNALS).map(|index| segment.header().journal(index)) {
            black_box(journal.read());
            journal.write(&[7; JOURNAL_VALUES]);
            prop_assert_eq!(journal.read(), Some([7; JOURNAL_VALUES]));
        }
        for (_, entry) in segment.board().entries() {
            black_box((entry.name().len() <= MAX_NAME, entry.flags(), entry.holder(7)));
            black_box((0..ENTRY_VALUES).map(|value| entry.value(value)).max());
            prop_assert!(entry.target().is_none_or(|target| target.len() <= MAX_TARGET));
        }
        if let Some((_, entry)) = segment.board().claim(b"afterwards") {
            entry.declare(u32::MAX, 3, b"a target");
            prop_assert_eq!(entry.target(), Some(b"a target".to_vec()));
        }
        let register = segment.register();
        black_box(register.metrics().map(|(_, it)| (it.name(), it.help())).max());
        for kind in [Kind::Counter, Kind::Gauge, Kind::Histogram] {
            black_box(register.series(kind).map(|series| series.labels).max());
        }
        use_limits(segment.limits());
        for slot in segment.slots() {
            read_all(slot, layout);
            use_afterwards(slot, layout);
            read_all(slot, layout);
        }
    }

    #[test]
    fn a_stamp_is_believed_only_if_it_gives_the_size_of_the_memory(
        layout in layouts(),
        words in prop::collection::vec((0_usize..12, garbage()), 0..4),
    ) {
        let segment = Segment::on_heap(layout);
        let cells = segment.cells.words();
        prop_assert_eq!(Layout::read(cells), Ok(layout));
        for (index, value) in words {
            cells[index].store(value, Relaxed);
        }
        if let Ok(read) = Layout::read(cells) {
            prop_assert_eq!(read.words(), cells.len());
        }
        for len in [0, 1, cells.len() - 1] {
            prop_assert!(Layout::read(&cells[..len]).is_err());
        }
    }
}
