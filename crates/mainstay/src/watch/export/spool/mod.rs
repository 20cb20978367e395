//! What a receiver has not taken yet, oldest first: on disk, or in memory where no directory can be used.
//!
//! It is bounded. What comes while it is full is refused, and what is in it stays: an outage is told from
//! its beginning on.

use super::disk::Disk;
use super::frame::frames;
use std::collections::HashMap;
use std::io;
use std::path::Path;

/// Most bytes in memory.
const MEMORY: u64 = 16 << 20;
/// Into so many files a spool is divided.
const PARTS: u64 = 8;

/// The spool of one receiver.
#[derive(Debug)]
pub(super) struct Spool {
    store: Store,
    /// Most bytes.
    room: u64,
    /// Items that wait.
    waiting: u64,
    /// Positions up to which rings of this segment have been written, by slot: of an earlier watch that may
    /// not have lived to take them.
    floors: HashMap<u32, u64>,
}

#[derive(Debug)]
enum Store {
    Disk(Disk),
    /// Bytes, of which so many have been sent.
    Memory(Vec<u8>, usize),
}

/// The oldest parcels, copied.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// Bytes of whole frames.
    len: usize,
    pub(super) items: u64,
    pub(super) count: usize,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn parcels(&self) -> Vec<&[u8]> {
        frames(&self.bytes[..self.len]).map(|(frame, _)| frame.parcel).collect()
    }
}

impl Spool {
    /// A spool in memory.
    pub(super) fn in_memory(room: u64) -> Spool {
        let store = Store::Memory(Vec::new(), 0);
        Spool { store, room: room.min(MEMORY), waiting: 0, floors: HashMap::new() }
    }

    /// Takes over the spool in a directory, with what an earlier watch or service left there.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub(super) fn on_disk(directory: &Path, room: u64, segment: u64) -> io::Result<Spool> {
        let (mut waiting, mut floors) = (0, HashMap::new());
        let disk = Disk::open(directory, (room / PARTS).max(1), |frame, waits| {
            if waits {
                waiting += u64::from(frame.items);
            }
            if frame.segment == segment {
                // Of one slot the last one counts: positions go up, round the end of the numbers too.
                floors.insert(frame.slot, frame.position);
            }
        })?;
        Ok(Spool { store: Store::Disk(disk), room, waiting, floors })
    }

    /// Whether the record of `slot` that ends at `position` is in the spool already.
    pub(super) fn has(&self, slot: u32, position: u64) -> bool {
        self.floors.get(&slot).is_some_and(|floor| floor.wrapping_sub(position) < u64::MAX / 2)
    }

    /// An earlier watch's positions are not asked for any more: all rings have been taken beyond them.
    pub(super) fn forget_floors(&mut self) {
        self.floors = HashMap::new();
    }

    /// Items that wait.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Bytes that wait.
    pub(super) fn unsent(&self) -> u64 {
        match &self.store {
            Store::Disk(disk) => disk.unsent(),
            Store::Memory(bytes, sent) => (bytes.len() - sent) as u64,
        }
    }

    /// Bytes that it takes: a file is given back as a whole.
    pub(super) fn used(&self) -> u64 {
        match &self.store {
            Store::Disk(disk) => disk.used(),
            Store::Memory(bytes, sent) => (bytes.len() - sent) as u64,
        }
    }

    /// Whether there is room for so many bytes more.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.used() + bytes as u64 <= self.room
    }

    /// Appends whole frames with so many items, for which there is room.
    ///
    /// # Errors
    /// When they could not be written; then nothing is.
    pub(super) fn append(&mut self, bytes: &[u8], items: u64) -> io::Result<()> {
        match &mut self.store {
            Store::Disk(disk) => disk.append(bytes)?,
            Store::Memory(all, sent) => {
                // Moved rarely enough that it costs nothing.
                if *sent > all.len() / 2 {
                    all.drain(..std::mem::take(sent));
                }
                all.extend_from_slice(bytes);
            }
        }
        self.waiting += items;
        Ok(())
    }

    /// The oldest parcels: at most so many, and not many more bytes than `most`. Returns also how many bytes
    /// could not be read and were given up.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn oldest(&mut self, count: usize, most: usize) -> io::Result<(Batch, u64)> {
        let mut lost = 0;
        let mut limit = most;
        loop {
            let bytes = match &mut self.store {
                Store::Disk(disk) => disk.read(limit)?,
                Store::Memory(all, sent) => {
                    let rest = &all[*sent..];
                    rest[..rest.len().min(limit)].to_vec()
                }
            };
            let mut batch = Batch::default();
            for (frame, len) in frames(&bytes).take(count) {
                batch.len += len;
                batch.count += 1;
                batch.items += u64::from(frame.items);
            }
            if !batch.is_empty() || bytes.is_empty() {
                batch.bytes = bytes;
                return Ok((batch, lost));
            }
            if bytes.len() >= limit {
                // One parcel is larger than what a request may be.
                limit = limit.saturating_mul(4);
                continue;
            }
            lost += match &mut self.store {
                Store::Disk(disk) => disk.skip()?,
                Store::Memory(all, sent) => {
                    let rest = (all.len() - std::mem::take(sent)) as u64;
                    all.clear();
                    rest
                }
            };
        }
    }

    /// A batch need not be sent again.
    ///
    /// # Errors
    /// When that cannot be written down; after a restart it is sent again.
    pub(super) fn done(&mut self, batch: &Batch) -> io::Result<()> {
        self.waiting = self.waiting.saturating_sub(batch.items);
        match &mut self.store {
            Store::Disk(disk) => disk.advance(batch.len),
            Store::Memory(_, sent) => {
                *sent += batch.len;
                Ok(())
            }
        }
    }

    /// Nothing is left to be read: what was thought to wait does not. Returns how many items that were.
    pub(super) fn give_up_waiting(&mut self) -> u64 {
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests;
