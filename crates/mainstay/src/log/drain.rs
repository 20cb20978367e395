//! Emptying the rings of all processes into the error log's stream.

use super::stamps::Stamps;
use super::{LINE, Look, Stream, push_event};
use crate::clock;
use crate::event::Event;
use crate::metrics::names;
use mainstay_os::segment::{Ring, Segment};
use std::io::{self, Write};
use std::ops::Range;

/// Bytes gathered for one write.
const BATCH: usize = 64 * 1024;

/// The drainer's memory. At any time one process drains.
#[derive(Debug)]
pub(crate) struct Drain {
    stream: Stream,
    record: Vec<u8>,
    text: Vec<u8>,
    lines: Vec<(u64, Range<usize>)>,
    /// Lines in order, and how much of them was written.
    batch: Vec<u8>,
    written: usize,
    /// How far the rings have been read into the batch: slot and position.
    read: Vec<(usize, u64)>,
}

impl Default for Drain {
    fn default() -> Drain {
        Drain::of(Stream::Error)
    }
}

impl Drain {
    /// A drainer of one log.
    pub(crate) fn of(stream: Stream) -> Drain {
        Drain {
            stream,
            record: Vec::new(),
            text: Vec::new(),
            lines: Vec::new(),
            batch: Vec::new(),
            written: 0,
            read: Vec::new(),
        }
    }

    /// Moves what is in the rings to `out`, whole lines in the order of their times, and returns
    /// how many lines that was. Lines of one process keep their order.
    ///
    /// A line leaves its ring only when it is written, so a drainer that is killed loses none; its
    /// successor may write again what it had written last.
    ///
    /// # Errors
    /// What `out` says. What it did not take is kept for the next run, and until then nothing more
    /// is taken from the rings, which count what they have no room for.
    pub(crate) fn run(&mut self, segment: &Segment, out: &mut impl Write) -> io::Result<usize> {
        let mut lines = 0;
        self.send(segment, out)?;
        loop {
            self.text.clear();
            self.lines.clear();
            for (index, slot) in segment.slots().enumerate() {
                let ring = slot.ring(self.stream as usize);
                self.gather(index, &ring);
                let dropped = ring.untold(ring.dropped());
                if dropped > 0 {
                    let process = format!("pid {}", slot.pid());
                    let event = Event::LinesDropped { lines: dropped, process };
                    slot.add(names::event_cell(&event), 1);
                    self.tell(&event);
                }
            }
            if self.lines.is_empty() && self.read.is_empty() {
                return Ok(lines);
            }
            lines += self.lines.len();
            // Stable, so that equal times keep the order of their ring.
            self.lines.sort_by_key(|(time, _)| *time);
            for (_, line) in &self.lines {
                self.batch.extend_from_slice(&self.text[line.clone()]);
            }
            self.send(segment, out)?;
        }
    }

    fn send(&mut self, segment: &Segment, out: &mut impl Write) -> io::Result<()> {
        while self.written < self.batch.len() {
            match out.write(&self.batch[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.batch.clear();
        self.written = 0;
        out.flush()?;
        for (slot, position) in self.read.drain(..) {
            if let Some(slot) = segment.slot(slot) {
                slot.ring(self.stream as usize).take(position);
            }
        }
        Ok(())
    }

    /// Takes a share of a ring: no ring can keep the others waiting.
    fn gather(&mut self, slot: usize, ring: &Ring<'_>) {
        let begin = self.text.len();
        let mut position = ring.position();
        while self.text.len() - begin < BATCH {
            let Some((record, next)) = ring.peek(position, &mut self.record) else { break };
            position = next;
            if let (LINE, Some((time, line))) = (record.kind, record.bytes.split_first_chunk()) {
                let from = self.text.len();
                self.text.extend_from_slice(line);
                self.lines.push((u64::from_le_bytes(*time), from..self.text.len()));
            }
        }
        if position != ring.position() {
            self.read.push((slot, position));
        }
    }

    fn tell(&mut self, event: &Event) {
        let (wall, from) = (clock::wall(), self.text.len());
        // So rare that nothing of it is kept.
        let stamps = &mut Stamps::new(mainstay_os::zone::offset_at);
        push_event(event, &Look::default(), stamps, &mut self.text);
        self.lines.push((wall, from..self.text.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Level;
    use crate::log::Log;
    use mainstay_os::segment::Layout;

    fn segment(ring_bytes: usize) -> Segment {
        let layout =
            Layout { slots: 3, counters: names::CELLS, in_flight: 1, ring_bytes: [64, ring_bytes] };
        Segment::on_heap(layout)
    }

    fn drained(segment: &Segment) -> String {
        let mut out = Vec::new();
        Drain::default().run(segment, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_of_several_processes_come_out_in_the_order_they_were_written() {
        let segment = segment(16 * 1024);
        let logs = [2, 0, 1].map(|slot| Log::new(segment.clone(), slot));
        for count in 0..30 {
            logs[count % 3].event(&Event::Drained {
                pid: 1,
                served: count as u64,
                took: crate::event::Time(std::time::Duration::ZERO),
            });
        }
        let counts: Vec<usize> = drained(&segment)
            .lines()
            .map(|line| line.split(' ').rev().nth(4).unwrap().parse().unwrap())
            .collect();
        assert_eq!(counts, (0..30).collect::<Vec<_>>());
        assert_eq!(drained(&segment), "");
    }

    #[test]
    fn what_a_full_ring_refuses_is_told_to_the_line() {
        let segment = segment(1024);
        let log = Log::new(segment.clone(), 0);
        (0..100).for_each(|_| log.event(&Event::LogsReopened {}));
        let text = drained(&segment);
        let written = text.lines().filter(|line| line.contains("Reopening")).count();
        let told = format!("{} log lines", 100 - written);
        assert!(written > 0 && text.contains(&told), "{text}");
        log.event(&Event::LogsReopened {});
        assert_eq!(drained(&segment).lines().count(), 1, "a gap is told once");
    }

    /// Takes so many bytes, then fails once.
    struct Full(usize, Vec<u8>);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                self.0 = usize::MAX;
                return Err(io::ErrorKind::StorageFull.into());
            }
            let part = bytes.len().min(self.0);
            self.0 -= part;
            self.1.extend_from_slice(&bytes[..part]);
            Ok(part)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_stream_did_not_take_is_written_when_it_takes_again() {
        let segment = segment(4_096);
        let log = Log::new(segment.clone(), 0);
        (0..10).for_each(|_| log.event(&Event::LogsReopened {}));
        let (mut drain, mut full) = (Drain::default(), Full(100, Vec::new()));
        assert!(drain.run(&segment, &mut full).is_err());
        drain.run(&segment, &mut full).unwrap();
        let text = String::from_utf8(full.1).unwrap();
        assert_eq!(text.lines().filter(|line| line.ends_with("Reopening logs")).count(), 10);
    }

    #[test]
    fn a_drainer_that_dies_before_it_has_written_loses_nothing() {
        let segment = segment(4_096);
        let log = Log::new(segment.clone(), 0);
        (0..10).for_each(|_| log.event(&Event::LogsReopened {}));
        let mut full = Full(0, Vec::new());
        assert!(Drain::default().run(&segment, &mut full).is_err(), "it dies here");
        assert_eq!(drained(&segment).lines().count(), 10);
        assert_eq!(drained(&segment), "");
    }

    #[test]
    fn lines_below_the_level_are_counted_and_not_written() {
        let segment = segment(1024);
        let log = Log::new(segment.clone(), 0);
        segment.header().set_log_level(crate::log::level_word(Level::Error));
        log.event(&Event::LogsReopened {});
        assert_eq!(drained(&segment), "");
        assert_eq!(segment.total(names::event_cell(&Event::LogsReopened {})), 1);
    }
}
