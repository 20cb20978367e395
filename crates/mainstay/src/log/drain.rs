//! Emptying the rings of all processes into an outlet.

use super::stamps::Stamps;
use super::{LINE, Look, Stream, push_event};
use crate::clock;
use crate::event::Event;
use crate::metrics::names;
use mainstay_os::segment::{Ring, Segment, Slot};
use std::io::{self, Write};
use std::ops::Range;

/// Bytes gathered for one write.
const BATCH: usize = 64 * 1024;

/// What takes bytes.
pub(crate) trait Sink {
    /// Takes some of `batch` from `written` on, and says how much of it is written now: more than
    /// before, or less, when what was written turned out to be lost.
    ///
    /// # Errors
    /// Why it takes none.
    fn put(&mut self, batch: &[u8], written: usize) -> io::Result<usize>;
}

impl<W: Write> Sink for W {
    fn put(&mut self, batch: &[u8], written: usize) -> io::Result<usize> {
        match self.write(batch.get(written..).unwrap_or_default())? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            more => Ok(written + more),
        }
    }
}

/// The drainer's memory. At any time one process drains.
#[derive(Debug)]
pub(crate) struct Drain {
    streams: Vec<Stream>,
    record: Vec<u8>,
    text: Vec<u8>,
    lines: Vec<(u64, Range<usize>)>,
    /// Lines in order, and how much of them was written.
    batch: Vec<u8>,
    written: usize,
    /// How far the rings have been read into the batch: slot, ring and position.
    read: Vec<(usize, Stream, u64)>,
    /// Refused records, to be told once there is room.
    untold: Vec<Event>,
}

impl Default for Drain {
    fn default() -> Drain {
        Drain::of(&[Stream::Error])
    }
}

impl Drain {
    /// A drainer of these logs.
    pub(crate) fn of(streams: &[Stream]) -> Drain {
        Drain {
            streams: streams.to_vec(),
            record: Vec::new(),
            text: Vec::new(),
            lines: Vec::new(),
            batch: Vec::new(),
            written: 0,
            read: Vec::new(),
            untold: Vec::new(),
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
    pub(crate) fn run(&mut self, segment: &Segment, out: &mut impl Sink) -> io::Result<usize> {
        let mut lines = 0;
        self.send(segment, out)?;
        loop {
            self.text.clear();
            self.lines.clear();
            for (index, slot) in segment.slots().enumerate() {
                for at in 0..self.streams.len() {
                    let stream = self.streams[at];
                    self.gather(index, stream, &slot.ring(stream as usize));
                    self.count_dropped(&slot, stream);
                }
            }
            self.tell_dropped();
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

    /// Events that others are to tell, because lines of a log are not told in that log itself.
    pub(crate) fn untold(&mut self) -> std::vec::Drain<'_, Event> {
        self.untold.drain(..)
    }

    fn send(&mut self, segment: &Segment, out: &mut impl Sink) -> io::Result<()> {
        while self.written < self.batch.len() {
            match out.put(&self.batch, self.written) {
                Ok(written) => self.written = written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.batch.clear();
        self.written = 0;
        for (slot, stream, position) in self.read.drain(..) {
            if let Some(slot) = segment.slot(slot) {
                slot.ring(stream as usize).take(position);
            }
        }
        Ok(())
    }

    /// Takes a share of a ring: no ring can keep the others waiting.
    fn gather(&mut self, slot: usize, stream: Stream, ring: &Ring<'_>) {
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
            self.read.push((slot, stream, position));
        }
    }

    fn count_dropped(&mut self, slot: &Slot<'_>, stream: Stream) {
        let ring = slot.ring(stream as usize);
        let (log, total) = match stream {
            Stream::Access => ("access log", slot.counter(names::ACCESS_DROPPED)),
            Stream::Error => ("error log", ring.dropped()),
        };
        let lines = ring.untold(total);
        if lines > 0 {
            let process = format!("pid {}", slot.pid());
            self.untold.push(Event::LinesDropped { lines, log, process });
        }
    }

    /// Tells in the error log itself what it lost.
    fn tell_dropped(&mut self) {
        if !self.streams.contains(&Stream::Error) {
            return;
        }
        for event in std::mem::take(&mut self.untold) {
            let from = self.text.len();
            let stamps = &mut Stamps::new(mainstay_os::zone::offset_at);
            push_event(&event, &Look::default(), stamps, &mut self.text);
            self.lines.push((clock::wall(), from..self.text.len()));
        }
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
