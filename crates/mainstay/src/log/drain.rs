//! Emptying the rings of all processes into the error log's stream.

use super::ERROR_LOG;
use super::line;
use crate::clock;
use crate::config::Level;
use crate::event::Event;
use crate::metrics::names;
use mainstay_os::segment::Segment;
use std::io::{self, Write};

/// Bytes gathered for one write.
const BATCH: usize = 64 * 1024;

/// The drainer's memory. At any time one process drains.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    record: Vec<u8>,
    batch: Vec<u8>,
}

impl Drain {
    /// Moves what is in the rings to `out`, whole lines in batches, and returns how many lines
    /// that was. Lines of one process keep their order.
    ///
    /// # Errors
    /// What `out` says; what was taken from the rings by then is lost.
    pub(crate) fn run(&mut self, segment: &Segment, out: &mut impl Write) -> io::Result<usize> {
        let mut lines = 0;
        for slot in segment.slots() {
            let ring = slot.ring();
            while let Some(record) = ring.pop(&mut self.record) {
                if record.kind == ERROR_LOG {
                    self.batch.extend_from_slice(record.bytes);
                    lines += 1;
                }
                if self.batch.len() >= BATCH {
                    self.flush(out)?;
                }
            }
            let dropped = ring.dropped_untold();
            if dropped > 0 {
                let process = format!("pid {}", slot.pid());
                let event = Event::LinesDropped { lines: dropped, process };
                slot.add(names::event_cell(&event), 1);
                let mut told = Vec::new();
                line::write(&mut told, clock::wall(), std::process::id(), Level::Warning, &event);
                self.batch.extend_from_slice(&told);
            }
        }
        self.flush(out)?;
        Ok(lines)
    }

    fn flush(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let written = out.write_all(&self.batch).and_then(|()| out.flush());
        self.batch.clear();
        written
    }
}
