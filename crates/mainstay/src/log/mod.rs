//! The error log: events become lines in Gunicorn's form, lines go into this process's ring in the
//! segment, and the drainer (watch; at the very end the supervisor) writes them. Nobody who serves
//! ever waits for a log.
//!
//! How lines look is in `line` (application and error log) and `access` (a line for each request); what
//! both are made with, in `escape`, `digits`, `stamps` and `ecs`.

#[cfg_attr(not(test), expect(dead_code, reason = "wired in by the next change"))]
pub(crate) mod access;
mod digits;
pub(crate) mod drain;
mod ecs;
mod escape;
#[cfg_attr(not(test), expect(dead_code, reason = "wired in by the next change"))]
pub(crate) mod line;
pub(crate) mod stamps;

use crate::clock;
use crate::config::Level;
use crate::event::Event;
use crate::metrics::names;
use line::{Line, LineFormat};
use mainstay_os::segment::{Segment, Slot};
use stamps::Stamps;
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

/// Longest line, bytes.
const MAX_LINE: usize = 8_000;

/// What lines say about the service; what is empty is not known and left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Such as `production`.
    pub(crate) environment: String,
    /// This instance among those of the service.
    pub(crate) node: String,
    /// Name of the host.
    pub(crate) host: String,
}

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
    turn: Mutex<Turn>,
}

#[derive(Debug)]
struct Turn {
    record: Vec<u8>,
    stamps: Stamps,
}

impl Log {
    /// A log through the ring of `slot`, which this process holds.
    pub(crate) fn new(segment: Segment, slot: usize) -> Log {
        let pid = std::process::id();
        let turn = Turn { record: Vec::with_capacity(256), stamps: Stamps::new(|_| 0) };
        let turn = Mutex::new(turn);
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
        let mut turn = self.inner.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let Turn { record, stamps } = &mut *turn;
        let wall = clock::wall();
        record.clear();
        // The drainer puts the lines of several processes in order by this.
        record.extend_from_slice(&wall.to_le_bytes());
        push_event(event, wall, self.inner.pid, stamps, record);
        // A full ring counts what it refuses, and the drainer tells it.
        slot.ring(Stream::Error as usize).push(LINE, record);
    }
}

/// Appends the line of an event.
fn push_event(event: &Event, wall: u64, pid: u32, stamps: &mut Stamps, out: &mut Vec<u8>) {
    let row = event.row();
    let line = Line {
        wall,
        pid,
        level: row.level,
        logger: "mainstay.error",
        message: event,
        fields: &[],
        context: None,
        error: None,
        action: Some(row.name),
    };
    line::render(LineFormat::Gunicorn, &Service::default(), &line, stamps, MAX_LINE, out);
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
