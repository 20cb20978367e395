//! The error log: events become lines in Gunicorn's form, lines go into this process's ring in the
//! segment, and the drainer (watch; at the very end the supervisor) writes them. Nobody who serves
//! ever waits for a log.

pub(crate) mod drain;
mod line;

use crate::clock;
use crate::config::Level;
use crate::event::Event;
use crate::metrics::names;
use mainstay_os::segment::{Segment, Slot};
use std::sync::{Arc, Mutex, PoisonError};

/// The logs, and the index of each one's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Stream {
    /// A line for each request.
    Access = 0,
    /// Everything else.
    Error = 1,
}

/// A record of a ring that is a line: eight bytes of time, then the line.
pub(crate) const LINE: u16 = 1;

/// This process's way into the log. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    segment: Segment,
    slot: usize,
    pid: u32,
    /// A ring has one writer; a process with several threads takes turns here.
    turn: Mutex<Vec<u8>>,
}

impl Log {
    /// A log through the ring of `slot`, which this process holds.
    pub(crate) fn new(segment: Segment, slot: usize) -> Log {
        let pid = std::process::id();
        let turn = Mutex::new(Vec::with_capacity(256));
        Log { inner: Arc::new(Inner { segment, slot, pid, turn }) }
    }

    /// The slot that this process holds.
    pub(crate) fn slot(&self) -> Slot<'_> {
        self.inner.segment.slot(self.inner.slot).expect("the passport's slot was checked at start")
    }

    /// The segment that the log writes to.
    pub(crate) fn segment(&self) -> &Segment {
        &self.inner.segment
    }

    /// Counts the event, and writes its line if the level asks for it.
    pub(crate) fn event(&self, event: &Event) {
        let slot = self.slot();
        slot.add(names::event_cell(event), 1);
        let level = event.row().level;
        if level < current_level(&self.inner.segment) {
            return;
        }
        let mut buffer = self.inner.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let wall = clock::wall();
        buffer.clear();
        // The drainer puts the lines of several processes in order by this.
        buffer.extend_from_slice(&wall.to_le_bytes());
        line::append(&mut buffer, wall, self.inner.pid, level, event);
        // A full ring counts what it refuses, and the drainer tells it.
        slot.ring(Stream::Error as usize).push(LINE, &buffer);
    }
}

/// The level at which lines are written now: a temporary one until its time is over.
pub(crate) fn current_level(segment: &Segment) -> Level {
    let header = segment.header();
    let until = header.log_level_until();
    if until != 0 && clock::mono().0 >= until {
        return level_from_word(header.log_level_base());
    }
    level_from_word(header.log_level())
}

/// Levels as the segment keeps them.
pub(crate) fn level_word(level: Level) -> u64 {
    LEVELS.iter().position(|known| *known == level).unwrap_or(1) as u64
}

fn level_from_word(word: u64) -> Level {
    usize::try_from(word).ok().and_then(|word| LEVELS.get(word)).copied().unwrap_or(Level::Info)
}

const LEVELS: [Level; 5] =
    [Level::Debug, Level::Info, Level::Warning, Level::Error, Level::Critical];
