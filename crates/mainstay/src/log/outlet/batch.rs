//! Lines on their way from the rings to a place: merged by time, whole, and made again the same by
//! whoever comes after.

use crate::log::{LINE, Stream};
use mainstay_os::segment::{Front, Ring, Segment};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

/// Lines, and how far the rings have been read for them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) text: Vec<u8>,
    pub(super) ends: Vec<End>,
    /// How many lines of each stream.
    pub(super) lines: [u64; 2],
}

/// Up to where a ring stands in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) slot: usize,
    pub(super) stream: Stream,
    pub(super) position: u64,
}

/// A ring and its oldest record that is not yet in the batch.
struct Cursor<'a> {
    ring: Ring<'a>,
    slot: usize,
    stream: Stream,
    front: Front,
    /// Behind the last record that is.
    position: u64,
    /// Nothing from here on is taken.
    limit: Option<u64>,
}

impl Cursor<'_> {
    /// What is no line of ours comes first and takes no room.
    fn time(&self) -> u64 {
        if self.is_line() { self.front.first } else { 0 }
    }

    fn is_line(&self) -> bool {
        self.front.kind == LINE && self.front.rest > 0
    }
}

impl Batch {
    /// Nothing was in the rings.
    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.lines = [0; 2];
    }

    /// Fills an empty batch with what is in the rings, in the order of the lines' times, up to
    /// `most` bytes, but with at least one line. Lines of one process keep their order.
    pub(super) fn gather(&mut self, segment: &Segment, streams: &[Stream], most: usize) {
        self.merge(segment, streams, most, |ring| Some((ring.front(ring.position())?, None)));
    }

    /// Makes again the batch of `len` bytes that a drainer intended which did not live to finish
    /// it; `None` when the rings do not hold it any more.
    pub(super) fn remake(segment: &Segment, streams: &[Stream], len: usize) -> Option<Batch> {
        let mut batch = Batch::default();
        batch.merge(segment, streams, len, |ring| {
            let intent = ring.intended()?;
            Some((ring.front(ring.position())?, Some(intent)))
        });
        let whole = batch.ends.iter().all(|end| {
            let ring = segment.slot(end.slot).map(|slot| slot.ring(end.stream as usize));
            ring.is_some_and(|ring| ring.intended() == Some(end.position))
        });
        (whole && batch.text.len() == len && !batch.is_empty()).then_some(batch)
    }

    /// The order is decided by the rings that take part and what is in them, never by chance or by
    /// when it was looked at: a ring that was once at its end has no more part in the batch. So the
    /// same rings up to the same positions give the same bytes.
    fn merge<'a>(
        &mut self,
        segment: &'a Segment,
        streams: &[Stream],
        most: usize,
        begin: impl Fn(&Ring<'a>) -> Option<(Front, Option<u64>)>,
    ) {
        self.clear();
        let mut cursors = Vec::new();
        for (slot, view) in segment.slots().enumerate() {
            for stream in streams.iter().copied() {
                let ring = view.ring(stream as usize);
                if let Some((front, limit)) = begin(&ring) {
                    let position = ring.position();
                    cursors.push(Cursor { ring, slot, stream, front, position, limit });
                }
            }
        }
        let times = cursors.iter().enumerate();
        let mut heap: BinaryHeap<_> =
            times.map(|(index, cursor)| Reverse((cursor.time(), index))).collect();
        while let Some(mut top) = heap.peek_mut() {
            let Reverse((time, index)) = &mut *top;
            let Some(cursor) = cursors.get_mut(*index) else { break };
            if cursor.is_line() {
                if !self.text.is_empty() && self.text.len() + cursor.front.rest > most {
                    break;
                }
                cursor.ring.copy_rest(&cursor.front, &mut self.text);
                self.lines[cursor.stream as usize] += 1;
            }
            cursor.position = cursor.front.next;
            let ended = cursor.limit == Some(cursor.position);
            let next = if ended { None } else { cursor.ring.front(cursor.position) };
            if let Some(front) = next {
                cursor.front = front;
                *time = cursor.time();
            } else {
                PeekMut::pop(top);
            }
        }
        for cursor in cursors {
            if cursor.position != cursor.ring.position() {
                let Cursor { slot, stream, position, .. } = cursor;
                self.ends.push(End { slot, stream, position });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::outlet::tests::{push, segment};

    #[test]
    fn lines_come_in_the_order_of_their_times_and_those_of_a_ring_in_their_own() {
        let segment = segment(1024);
        for (slot, stream, time, line) in [
            (0, Stream::Error, 5, "e\n"),
            (0, Stream::Error, 1, "f\n"),
            (1, Stream::Access, 4, "d\n"),
            (2, Stream::Error, 2, "a\n"),
            (2, Stream::Error, 3, "b\n"),
            (2, Stream::Access, 3, "c\n"),
        ] {
            push(&segment, slot, stream, time, line);
        }
        let mut batch = Batch::default();
        batch.gather(&segment, &[Stream::Error], 100);
        assert_eq!((batch.text.as_slice(), batch.lines), (&b"a\nb\ne\nf\n"[..], [0, 4]));
        // Of equal times the ring that is looked at first is first.
        batch.gather(&segment, &[Stream::Access, Stream::Error], 7);
        assert_eq!((batch.text.as_slice(), batch.lines), (&b"a\nc\nb\n"[..], [1, 2]));
    }

    #[test]
    fn a_batch_is_made_again_from_what_was_intended_whatever_came_since() {
        let segment = segment(4_096);
        let streams = [Stream::Access, Stream::Error];
        for number in 0..20_u64 {
            let stream = streams[number as usize % 2];
            push(
                &segment,
                number as usize % 3,
                stream,
                number * 7 % 5,
                &format!("line {number}\n"),
            );
        }
        for most in [1, 30, 70, 1_000] {
            let mut batch = Batch::default();
            batch.gather(&segment, &streams, most);
            for end in &batch.ends {
                let slot = segment.slot(end.slot).unwrap();
                slot.ring(end.stream as usize).intend(end.position);
            }
            push(&segment, 1, Stream::Error, 0, "later\n");
            let again = Batch::remake(&segment, &streams, batch.text.len()).unwrap();
            assert_eq!((again.text, again.ends), (batch.text.clone(), batch.ends.clone()));
            assert!(Batch::remake(&segment, &streams, batch.text.len() + 1).is_none());
            // As one that is not begun leaves them.
            for slot in segment.slots() {
                streams.iter().for_each(|it| slot.ring(*it as usize).intend(0));
            }
        }
    }

    #[test]
    fn what_is_no_line_is_taken_and_written_nowhere() {
        let segment = segment(1_024);
        let ring = segment.slot(0).unwrap();
        ring.ring(Stream::Error as usize).push(LINE + 1, b"12345678 not ours");
        ring.ring(Stream::Error as usize).push(LINE, b"short");
        let mut batch = Batch::default();
        batch.gather(&segment, &[Stream::Error], 100);
        assert_eq!((batch.text.len(), batch.ends.len(), batch.lines), (0, 1, [0, 0]));
    }
}
