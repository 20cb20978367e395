//! The end of a request, as one act: its entry is freed, its record published, its counters raised.
//!
//! A process may be killed between any two instructions, so what will be done is written down first,
//! in absolute values: the head that the ring will have, the values that the counters will have. Then
//! a state word says that it stands, and only then it is done. Whoever finds the word set does it
//! the rest of it, to the same values; whoever finds it unset knows that nothing was done. So every request is
//! either settled or still in the table, never both and never neither.
//!
//! Every store of the doing is a release, so that none of them comes before the word that announces
//! them.

use super::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use super::{RINGS, Slot};

/// How many counters a settlement raises by one.
pub(crate) const CELLS: usize = 4;

/// Marks what is absent.
const NONE: u64 = u64::MAX;

const STATE: usize = 0;
const ENTRY: usize = 1;
const RING: usize = 2;
const HEAD: usize = 3;
const CELL: usize = 4;
const VALUE: usize = CELL + CELLS;

const IDLE: u64 = 0;
const STANDS: u64 = 1;

/// What the end of a request changes.
#[derive(Clone, Copy, Debug)]
pub struct Settlement<'a> {
    /// The request's entry in the in-flight table, if it has one.
    pub entry: Option<usize>,
    /// Counters, and cells of bins, that are raised by one; one that the slot has not is none.
    pub cells: [usize; CELLS - 1],
    /// The request's record, or the counter that is raised by one when none is kept; one that
    /// the slot has not is none.
    pub record: Result<Record<'a>, usize>,
}

/// A record for a ring.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The ring's index.
    pub ring: usize,
    /// What the bytes are.
    pub kind: u16,
    /// The bytes.
    pub bytes: &'a [u8],
    /// The counter that is raised by one when the ring had room.
    pub handed: usize,
    /// The counter that is raised by one when it had none.
    pub dropped: usize,
}

/// Everything that stands, in absolute values.
struct Plan {
    entry: usize,
    /// Ring and its new head.
    head: Option<(usize, u64)>,
    /// Counters and their new values.
    cells: [(usize, u64); CELLS],
}

#[inline]
pub(crate) fn settle(slot: &Slot<'_>, line: &[AtomicU64], settlement: &Settlement<'_>) -> bool {
    let (head, last) = match &settlement.record {
        Err(without) => (None, *without),
        Ok(record) => match slot.ring(record.ring).prepare(record.kind, record.bytes) {
            Some(head) => (Some((record.ring, head)), record.handed),
            None => (None, record.dropped),
        },
    };
    let [first, second, third] = settlement.cells;
    let raised = |cell| slot.cell(cell).map_or(0, |word| word.load(Relaxed)).wrapping_add(1);
    let cells = [first, second, third, last].map(|cell| (cell, raised(cell)));
    let plan = Plan { entry: settlement.entry.unwrap_or(usize::MAX), head, cells };
    plan.write(line);
    plan.carry_out(slot, line);
    settlement.record.is_err() || head.is_some()
}

/// Nothing read here is trusted: the words may be those of a stranger, so what stands is held
/// against what is there.
pub(crate) fn complete(slot: &Slot<'_>, line: &[AtomicU64]) {
    if line[STATE].load(Acquire) != STANDS {
        return;
    }
    let mut plan = Plan::read(line);
    plan.head = plan.head.filter(|(ring, head)| slot.ring(*ring).can_be_head(*head));
    for (cell, value) in &mut plan.cells {
        // A total never goes down, and a settlement raises it by one.
        let now = slot.cell(*cell).map(|word| word.load(Relaxed).wrapping_add(1));
        if now != Some(*value) {
            *cell = usize::MAX;
        }
    }
    plan.carry_out(slot, line);
}

impl Plan {
    #[inline]
    fn write(&self, line: &[AtomicU64]) {
        let (ring, head) = self.head.map_or((NONE, 0), |(ring, head)| (ring as u64, head));
        line[ENTRY].store(self.entry as u64, Relaxed);
        line[RING].store(ring, Relaxed);
        line[HEAD].store(head, Relaxed);
        for (index, (cell, value)) in self.cells.into_iter().enumerate() {
            line[CELL + index].store(cell as u64, Relaxed);
            line[VALUE + index].store(value, Relaxed);
        }
        line[STATE].store(STANDS, Release);
    }

    fn read(line: &[AtomicU64]) -> Plan {
        let index = |word: usize| usize::try_from(line[word].load(Relaxed)).unwrap_or(usize::MAX);
        let ring = Some(index(RING)).filter(|ring| *ring < RINGS);
        Plan {
            entry: index(ENTRY),
            head: ring.map(|ring| (ring, line[HEAD].load(Relaxed))),
            cells: std::array::from_fn(|cell| {
                (index(CELL + cell), line[VALUE + cell].load(Relaxed))
            }),
        }
    }

    #[inline]
    fn carry_out(&self, slot: &Slot<'_>, line: &[AtomicU64]) {
        if let Some((ring, head)) = self.head {
            slot.ring(ring).publish(head);
        }
        for (cell, value) in self.cells {
            if let Some(counter) = slot.cell(cell) {
                counter.store(value, Release);
            }
        }
        slot.in_flight().end(self.entry);
        line[STATE].store(IDLE, Release);
    }
}
