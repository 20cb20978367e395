//! A watch that is killed between any two things that it does.

use super::super::drain::{Drain, Way};
use super::super::spool::Spool;
use super::super::totals::Totals;
use super::*;
use crate::testing::Dice;
use std::fs;
use std::path::Path;
use std::sync::{Condvar, Mutex};

/// The ways to two receivers of spans, as a new watch finds them.
fn ways(segment: &Segment, directory: &Path) -> Vec<Way> {
    let way = |name: &'static str| {
        let place = directory.join(name);
        let started = segment.header().started_wall();
        let spool = Spool::on_disk(&place, 1 << 20, started).unwrap();
        let totals = Totals::new(segment, 3, name);
        totals.reconcile(spool.waiting());
        let (spool, bell) = (Mutex::new(spool), Condvar::new());
        Way { name, takes: Parcel::Spans, spool, bell, totals }
    };
    vec![way("traces"), way("others")]
}

/// Sends what is there, or a part of it.
fn send(way: &Way, most: usize, names: &mut Vec<String>) {
    let mut spool = way.spool();
    let (batch, unread) = spool.oldest(most, 1 << 20).unwrap();
    assert_eq!(unread, 0);
    for parcel in batch.parcels() {
        let spans = ScopeSpans::decode(parcel).unwrap().spans;
        names.extend(spans.into_iter().map(|span| span.name));
    }
    way.totals.sent(batch.items);
    spool.done(&batch).unwrap();
}

/// Tears the end of the last file off, as far as it has one that was not yet taken from a ring.
fn tear(directory: &Path, kept: &[u64; 2], dice: &mut Dice) {
    for (name, kept) in ["traces", "others"].iter().zip(kept) {
        let all = fs::read_dir(directory.join(name)).unwrap().map(|it| it.unwrap().path());
        let last = all.filter(|it| it.extension().is_some()).max();
        let Some(last) = last else { continue };
        let len = fs::metadata(&last).unwrap().len();
        let torn = len - dice.roll(len.saturating_sub(*kept) + 1);
        fs::OpenOptions::new().write(true).open(last).unwrap().set_len(torn).unwrap();
    }
}

#[test]
fn a_killed_watch_neither_loses_nor_doubles_a_span() {
    for seed in 0..60 {
        let (mut dice, directory) = (Dice(seed), tempfile::tempdir().unwrap());
        let segment = segment(1 << 14);
        let (mut pushed, mut sent) = (Vec::new(), [Vec::new(), Vec::new()]);
        let log = watch(&segment);
        for _life in 0..12 {
            let ways = ways(&segment, directory.path());
            let mut drain = Drain::new(&log, &ways);
            drain.take_over();
            for _ in 0..dice.roll(12) {
                for _ in 0..dice.roll(8) {
                    let name = format!("{}", pushed.len());
                    let slot = [0, 2][dice.roll(2) as usize];
                    if push(&segment, slot, &parcel(&name, 1 + dice.roll(3) as usize)) {
                        pushed.push(name);
                    }
                }
                if dice.roll(2) == 0 {
                    drain.step();
                }
                let at = dice.roll(2) as usize;
                send(&ways[at], 1 + dice.roll(20) as usize, &mut sent[at]);
            }
            // What stands in the last file now was taken from its ring.
            let kept = ["traces", "others"].map(|name| {
                let all = fs::read_dir(directory.path().join(name)).unwrap();
                let all = all.map(|it| it.unwrap().path());
                let last = all.filter(|it| it.extension().is_some()).max();
                last.map_or(0, |last| fs::metadata(last).unwrap().len())
            });
            if dice.roll(3) > 0 {
                drain.dies = true;
                drain.step();
                drop(ways);
                tear(directory.path(), &kept, &mut dice);
            }
        }
        let ways = ways(&segment, directory.path());
        let mut drain = Drain::new(&log, &ways);
        drain.take_over();
        for (way, sent) in ways.iter().zip(&mut sent) {
            while way.spool().waiting() > 0 {
                send(way, 50, sent);
            }
            let mut found: Vec<usize> =
                sent.iter().filter_map(|name| name.strip_suffix(".0")?.parse().ok()).collect();
            found.sort_unstable();
            let expected: Vec<usize> = (0..pushed.len()).collect();
            assert_eq!(found, expected, "seed {seed}");
            let (taken, gone, lost) = way.totals.read();
            assert_eq!((taken, gone), (sent.len() as u64, sent.len() as u64), "seed {seed}");
            assert_eq!(lost, []);
        }
    }
}
