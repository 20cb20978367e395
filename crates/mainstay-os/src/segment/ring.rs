//! A ring of log lines of one slot: whole records from the slot's holder to the one drainer.
//!
//! A record becomes visible by one store of the head, after all of its bytes; a writer killed
//! before that store has written nothing. A full ring refuses the record and counts it: nobody
//! ever waits here.

use super::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use super::text;

// The writer's line.
const HEAD: usize = 0;
const DROPPED: usize = 1;
// The drainer's line.
const TAIL: usize = 8;
const TOLD: usize = 9;
const INTENT: usize = 10;
/// Words before the data.
const FIXED_WORDS: usize = 16;

/// Words of a ring with room for `bytes` bytes.
pub(crate) const fn words(bytes: usize) -> usize {
    FIXED_WORDS + text::words_for(bytes)
}

/// A record as the drainer gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingRecord<'a> {
    /// What the writer said the bytes are; the ring does not look at it.
    pub kind: u16,
    /// The bytes as written.
    pub bytes: &'a [u8],
}

/// A record that stands in the ring, seen and not yet copied.
#[derive(Clone, Copy, Debug)]
pub struct Front {
    /// What the writer said the bytes are.
    pub kind: u16,
    /// The record's first eight bytes, little-endian; 0 when it has fewer.
    pub first: u64,
    /// Bytes of the record behind those eight.
    pub rest: usize,
    /// The position behind the record.
    pub next: u64,
    /// The word with the first of the bytes of `rest`, before it is brought into the ring.
    at: usize,
}

/// View of one ring. One process writes at a time, one drains.
#[derive(Clone, Copy, Debug)]
pub struct Ring<'a> {
    words: &'a [AtomicU64],
}

impl<'a> Ring<'a> {
    #[inline]
    pub(crate) fn new(words: &'a [AtomicU64]) -> Ring<'a> {
        Ring { words }
    }

    #[inline]
    fn data(&self) -> &'a [AtomicU64] {
        &self.words[FIXED_WORDS..]
    }

    /// Puts a record in, or counts it as dropped when there is no room and returns false.
    /// `bytes` may be at most 2³² − 1 and must fit the ring.
    pub fn push(&self, kind: u16, bytes: &[u8]) -> bool {
        match self.prepare(kind, bytes) {
            Some(head) => self.publish(head),
            None => return self.drop_one(),
        }
        true
    }

    /// Writes a record behind the last one without making it visible, and gives the head that
    /// would; `None` when there is no room for it. The next record overwrites what was not
    /// published.
    #[inline]
    pub(crate) fn prepare(&self, kind: u16, bytes: &[u8]) -> Option<u64> {
        let data = self.data();
        let head = self.words[HEAD].load(Relaxed);
        let tail = self.words[TAIL].load(Acquire);
        let need = 1 + text::words_for(bytes.len()) as u64;
        let used = head.wrapping_sub(tail).min(data.len() as u64);
        let len = u32::try_from(bytes.len()).ok()?;
        if need > data.len() as u64 - used {
            return None;
        }
        let at = (head % data.len() as u64) as usize;
        data[at].store(u64::from(kind) << 32 | u64::from(len), Relaxed);
        let behind = &data[at + 1..];
        let (now, wrapped) = bytes.split_at(bytes.len().min(behind.len() * 8));
        text::store(behind, now);
        if !wrapped.is_empty() {
            text::store(data, wrapped);
        }
        Some(head.wrapping_add(need))
    }

    /// Makes visible what was prepared.
    #[inline]
    pub(crate) fn publish(&self, head: u64) {
        self.words[HEAD].store(head, Release);
    }

    /// Whether `head` is one that [`Ring::prepare`] may have given: for a head that was kept in
    /// memory that a dead process shared.
    pub(crate) fn can_be_head(&self, head: u64) -> bool {
        let ahead = head.wrapping_sub(self.words[HEAD].load(Acquire));
        ahead <= self.data().len() as u64
            && head.wrapping_sub(self.words[TAIL].load(Acquire)) <= self.data().len() as u64
    }

    fn drop_one(&self) -> bool {
        self.words[DROPPED].fetch_add(1, Relaxed);
        false
    }

    /// Takes the oldest record, copying it to `buffer`; `None` when the ring is empty. A ring whose
    /// words make no sense is emptied, never followed.
    pub fn pop<'b>(&self, buffer: &'b mut Vec<u8>) -> Option<RingRecord<'b>> {
        let position = self.position();
        let (kind, at, len) = self.record(position)?;
        buffer.clear();
        self.copy(at + 1, len, buffer);
        self.take(position.wrapping_add(1 + text::words_for(len) as u64));
        Some(RingRecord { kind, bytes: buffer })
    }

    /// Where the oldest record is that was not taken.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.words[TAIL].load(Relaxed)
    }

    /// The record at `position`, which is left where it is: a drainer that dies before it has passed
    /// a record on leaves it for the next one. `None` at the end of the ring; words that make no
    /// sense empty it.
    #[inline]
    #[must_use]
    pub fn front(&self, position: u64) -> Option<Front> {
        let data = self.data();
        let (kind, at, len) = self.record(position)?;
        let need = 1 + text::words_for(len) as u64;
        let word = data[(at + 1) % data.len()].load(Relaxed);
        let (first, rest) = if len < 8 { (0, 0) } else { (word, len - 8) };
        Some(Front { kind, first, rest, next: position.wrapping_add(need), at: at + 2 })
    }

    /// Appends what stands behind the first eight bytes of a record to `out`.
    #[inline]
    pub fn copy_rest(&self, front: &Front, out: &mut Vec<u8>) {
        self.copy(front.at, front.rest, out);
    }

    /// Kind, word and length of the record at `position`, all of them within the ring.
    #[inline]
    fn record(&self, position: u64) -> Option<(u16, usize, usize)> {
        let data = self.data();
        let head = self.words[HEAD].load(Acquire);
        let used = head.wrapping_sub(position);
        if used == 0 {
            return None;
        }
        if used > data.len() as u64 {
            return self.give_up(head);
        }
        let at = (position % data.len() as u64) as usize;
        let word = data[at].load(Relaxed);
        let len = (word & 0xffff_ffff) as usize;
        if 1 + text::words_for(len) as u64 > used {
            return self.give_up(head);
        }
        Some(((word >> 32 & 0xffff) as u16, at, len))
    }

    /// Appends `len` bytes to `out`, from word `at` on, round the end of the ring.
    #[inline]
    fn copy(&self, at: usize, len: usize, out: &mut Vec<u8>) {
        let data = self.data();
        let first = at % data.len();
        let until_end = ((data.len() - first) * 8).min(len);
        text::load(&data[first..], until_end, out);
        text::load(data, len - until_end, out);
    }

    /// Takes everything up to `position`. One that is not between the ring's ends, such as that of
    /// a drainer whose successor has gone on, is ignored.
    pub fn take(&self, position: u64) {
        let tail = self.position();
        let head = self.words[HEAD].load(Acquire);
        if position.wrapping_sub(tail) <= head.wrapping_sub(tail) {
            self.words[TAIL].store(position, Release);
        }
    }

    /// Leaves everything up to `head` unread.
    fn give_up<T>(&self, head: u64) -> Option<T> {
        self.words[TAIL].store(head, Release);
        None
    }

    /// Nothing waits to be drained.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words[HEAD].load(Acquire) == self.words[TAIL].load(Relaxed)
    }

    /// Records refused for want of room, since the segment was made.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.words[DROPPED].load(Relaxed)
    }

    /// How much of a total of refused records was not told before.
    #[must_use]
    pub fn untold(&self, total: u64) -> u64 {
        total.saturating_sub(self.words[TOLD].load(Relaxed))
    }

    /// The total has been told; for the drainer.
    pub fn tell(&self, total: u64) {
        self.words[TOLD].store(total, Relaxed);
    }

    /// The drainer is about to pass on everything up to `position`.
    pub fn intend(&self, position: u64) {
        self.words[INTENT].store(position, Relaxed);
    }

    /// Up to where the drainer, or the one before it, was about to pass on; `None` when that is
    /// nothing, or not within the ring.
    #[must_use]
    pub fn intended(&self) -> Option<u64> {
        let (tail, intent) = (self.position(), self.words[INTENT].load(Relaxed));
        let used = self.words[HEAD].load(Acquire).wrapping_sub(tail);
        let ahead = intent.wrapping_sub(tail);
        (ahead > 0 && ahead <= used && used <= self.data().len() as u64).then_some(intent)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::segment::cases;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[derive(Clone, Debug)]
    enum Step {
        Push(u16, Vec<u8>),
        Pop,
    }

    /// Records of all sizes: empty, whole words, and larger than any ring here.
    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let bytes = prop_oneof![
            8 => prop::collection::vec(any::<u8>(), 0..40),
            1 => Just(Vec::new()),
            1 => prop::collection::vec(any::<u8>(), 160..400),
        ];
        let push = (any::<u16>(), bytes).prop_map(|(kind, bytes)| Step::Push(kind, bytes));
        prop::collection::vec(prop_oneof![3 => push, 2 => Just(Step::Pop)], 0..80)
    }

    fn empty(bytes: usize, position: u64) -> Vec<AtomicU64> {
        let words: Vec<_> = (0..words(bytes)).map(|_| AtomicU64::new(0)).collect();
        words[HEAD].store(position, Relaxed);
        words[TAIL].store(position, Relaxed);
        words
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn it_is_a_bounded_queue(
            bytes in 0_usize..200,
            position in 0_u64..1 << 40,
            steps in steps(),
        ) {
            let words = empty(bytes, position);
            let ring = Ring::new(&words);
            let (mut queue, mut dropped) = (VecDeque::new(), 0);
            let (room, mut used, mut buffer) = (bytes.div_ceil(8), 0, Vec::new());
            for step in steps {
                match step {
                    Step::Push(kind, bytes) => {
                        let need = 1 + bytes.len().div_ceil(8);
                        let fits = need <= room - used;
                        prop_assert_eq!(ring.push(kind, &bytes), fits);
                        if fits {
                            used += need;
                            queue.push_back((kind, bytes));
                        } else {
                            dropped += 1;
                        }
                    }
                    Step::Pop => {
                        let record = ring.pop(&mut buffer).map(|r| (r.kind, r.bytes.to_vec()));
                        let expected = queue.pop_front();
                        used -= expected.as_ref().map_or(0, |(_, b)| 1 + b.len().div_ceil(8));
                        prop_assert_eq!(record, expected);
                    }
                }
                prop_assert_eq!(ring.is_empty(), queue.is_empty());
                prop_assert_eq!(ring.dropped(), dropped);
            }
            prop_assert_eq!(ring.untold(ring.dropped()), dropped);
            ring.tell(ring.dropped());
            prop_assert_eq!(ring.untold(ring.dropped()), 0);
        }
    }

    #[test]
    fn a_record_as_large_as_the_ring_fits_wherever_it_begins() {
        for position in 0..10 {
            let words = empty(80, position);
            let (ring, record, mut buffer) = (Ring::new(&words), [7; 72], Vec::new());
            assert!(ring.push(1, &record));
            assert!(!ring.push(1, &[]), "it is full");
            let read = ring.pop(&mut buffer).unwrap();
            assert_eq!((read.kind, read.bytes), (1, &record[..]));
            assert!(!ring.push(1, &[7; 73]), "one byte more has no room");
        }
    }

    #[test]
    fn a_record_is_seen_and_copied_where_it_stands() {
        for position in 0..12 {
            let words = empty(80, position);
            let ring = Ring::new(&words);
            let records: [&[u8]; 4] = [b"1234567890123456789012345", b"short", b"", b"12345678"];
            assert!(records.iter().all(|record| ring.push(1, record)));
            let mut at = ring.position();
            for record in records {
                let front = ring.front(at).unwrap();
                let (first, rest) = record.split_at(if record.len() < 8 { 0 } else { 8 });
                let whole = first.try_into().map_or(0, u64::from_le_bytes);
                assert_eq!((front.kind, front.first), (1, whole));
                let mut copied = b"before".to_vec();
                ring.copy_rest(&front, &mut copied);
                let rest = if record.len() < 8 { &[] } else { rest };
                assert_eq!(copied, [b"before", rest].concat());
                at = front.next;
            }
            assert!(ring.front(at).is_none());
            ring.intend(at);
            assert_eq!((ring.position(), ring.intended()), (position, Some(at)));
            ring.take(at);
            assert_eq!((ring.is_empty(), ring.intended()), (true, None));
        }
    }
}
