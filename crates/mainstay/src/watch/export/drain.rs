//! From the rings of all slots into the spools. A parcel leaves its ring when it stands in its spool, and
//! what stands there says how far that ring was read with it: whoever comes after a watch that was killed
//! in between neither loses nor doubles one.

use super::frame::Frame;
use super::otlp::items;
use super::spool::Spool;
use super::totals::{Reason, Totals};
use crate::clock::Mono;
use crate::event::Event;
use crate::log::{Log, TELEMETRY};
use crate::telemetry::Parcel;
use mainstay_os::segment::Ring;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most bytes that are taken of one ring at a time.
const MOST: usize = 1 << 20;
/// What rings had no room for is told at most this often.
const TELL: Duration = Duration::from_secs(10);

/// What drain and sender of one receiver share.
#[derive(Debug)]
pub(super) struct Way {
    /// The receiver's name.
    pub(super) name: &'static str,
    pub(super) takes: Parcel,
    pub(super) spool: Mutex<Spool>,
    /// Rung when something comes, and at the end.
    pub(super) bell: Condvar,
    pub(super) totals: Totals,
}

impl Way {
    pub(super) fn spool(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a step found for one way.
#[derive(Debug, Default)]
struct Found {
    bytes: Vec<u8>,
    items: u64,
    refused: u64,
    malformed: u64,
}

/// The one who takes from the rings.
#[derive(Debug)]
pub(super) struct Drain<'a> {
    log: &'a Log,
    ways: &'a [Way],
    segment: u64,
    parcel: Vec<u8>,
    found: Vec<Found>,
    /// For each way, whether it is known to be full.
    full: Vec<bool>,
    told: Mono,
    /// This drain dies before it takes from the rings what it has put into the spools.
    #[cfg(test)]
    pub(super) dies: bool,
}

impl<'a> Drain<'a> {
    pub(super) fn new(log: &'a Log, ways: &'a [Way]) -> Drain<'a> {
        let segment = log.segment().header().started_wall();
        let found = ways.iter().map(|_| Found::default()).collect();
        let full = vec![false; ways.len()];
        Drain {
            log,
            ways,
            segment,
            parcel: Vec::new(),
            found,
            full,
            told: Mono(0),
            #[cfg(test)]
            dies: false,
        }
    }

    /// Takes what is there, some of it if it is much, and returns how many parcels that was.
    pub(super) fn step(&mut self) -> usize {
        let mut taken = 0;
        let mut spools: Vec<_> = self.ways.iter().map(Way::spool).collect();
        let mut ends = Vec::new();
        let slots = self.log.segment().slots().zip(0..);
        for (slot, index) in slots.filter(|(slot, _)| slot.epoch() != 0) {
            let ring = slot.ring(TELEMETRY);
            let (position, parcels) = self.gather(ring, index, &spools);
            if parcels > 0 {
                ends.push((ring, position));
                taken += parcels;
            }
        }
        for (at, (way, spool)) in self.ways.iter().zip(&mut spools).enumerate() {
            self.put(at, way, spool);
        }
        #[cfg(test)]
        if self.dies {
            return taken;
        }
        for (ring, position) in ends {
            ring.take(position);
        }
        drop(spools);
        if taken > 0 {
            self.ways.iter().for_each(|way| way.bell.notify_one());
        }
        taken
    }

    /// Reads a ring; returns up to where, and how many parcels that were.
    fn gather(
        &mut self,
        ring: Ring<'_>,
        slot: u32,
        spools: &[MutexGuard<'_, Spool>],
    ) -> (u64, usize) {
        let (mut position, mut parcels, mut bytes) = (ring.position(), 0, 0);
        while let Some(front) = ring.front(position).filter(|_| bytes < MOST) {
            position = front.next;
            parcels += 1;
            self.parcel.clear();
            self.parcel.extend_from_slice(&front.first.to_le_bytes());
            ring.copy_rest(&front, &mut self.parcel);
            bytes += self.parcel.len();
            for ((way, spool), found) in self.ways.iter().zip(spools).zip(&mut self.found) {
                if way.takes as u16 != front.kind || spool.has(slot, position) {
                    continue;
                }
                let Some(items) = items(way.takes, &self.parcel) else {
                    found.malformed += 1;
                    continue;
                };
                if !spool.has_room(found.bytes.len() + Frame::len_of(self.parcel.len())) {
                    found.refused += u64::from(items);
                    continue;
                }
                let (segment, parcel) = (self.segment, &self.parcel[..]);
                Frame { segment, slot, position, items, parcel }.write(&mut found.bytes);
                found.items += u64::from(items);
            }
        }
        (position, parcels)
    }

    /// Writes what was found for a way into its spool, and counts it.
    fn put(&mut self, at: usize, way: &Way, spool: &mut Spool) {
        let found = std::mem::take(&mut self.found[at]);
        let mut failed = 0;
        if !found.bytes.is_empty() {
            match spool.append(&found.bytes, found.items) {
                #[cfg(test)]
                Ok(()) if self.dies => {}
                Ok(()) => way.totals.taken(found.items),
                Err(error) => {
                    failed = found.items;
                    self.tell_full(at, way, &error.to_string());
                }
            }
        }
        if found.refused > 0 {
            self.tell_full(at, way, "it is full");
        } else if found.items > failed {
            self.full[at] = false;
        }
        // What was never taken is lost all the same: it counts as both.
        way.totals.taken(found.refused + failed + found.malformed);
        way.totals.lost(Reason::SpoolFull, found.refused);
        way.totals.lost(Reason::SpoolFailed, failed);
        way.totals.lost(Reason::Malformed, found.malformed);
        way.totals.set_spool(spool.unsent());
        let mut bytes = found.bytes;
        bytes.clear();
        self.found[at].bytes = bytes;
    }

    /// Told once, until something finds room again.
    fn tell_full(&mut self, at: usize, way: &Way, reason: &str) {
        if !std::mem::replace(&mut self.full[at], true) {
            let (receiver, reason) = (way.name, reason.to_owned());
            self.log.event(&Event::TelemetryLost { receiver, reason });
        }
    }

    /// Tells what the rings had no room for.
    pub(super) fn tell_dropped(&mut self, now: Mono) {
        if now.since(self.told) < TELL {
            return;
        }
        self.told = now;
        for slot in self.log.segment().slots().filter(|slot| slot.epoch() != 0) {
            let ring = slot.ring(TELEMETRY);
            let total = ring.dropped();
            let parcels = ring.untold(total);
            let process = format!("pid {}", slot.pid());
            if parcels > 0 && self.log.event_if_room(&Event::TelemetryDropped { parcels, process })
            {
                ring.tell(total);
            }
        }
    }

    /// Takes what is there now, and at least all that an earlier watch had put into the spools.
    pub(super) fn take_over(&mut self) {
        self.take_all();
        self.ways.iter().for_each(|way| way.spool().forget_floors());
    }

    /// Takes what is there now. What comes meanwhile is not waited for: others may well be busy.
    pub(super) fn take_all(&mut self) {
        let rounds = self.log.segment().layout().ring_bytes[TELEMETRY] / MOST + 1;
        for _ in 0..rounds {
            if self.step() == 0 {
                break;
            }
        }
    }
}
