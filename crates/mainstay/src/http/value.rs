//! Values of fields that are made for each answer. They are written behind each other into memory that they
//! share, so that no answer allocates for them: what was written into it is used again when nobody holds it.

use bytes::{Bytes, BytesMut};
use std::cell::RefCell;

/// Bytes that a thread writes into until it begins again.
const ROOM: usize = 4_096;
/// Longest text, bytes, whose memory is kept.
const LONGEST: usize = 1_024;

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::new(Memory::new());
}

struct Memory {
    /// What is being written.
    text: Vec<u8>,
    shared: BytesMut,
}

impl Memory {
    fn new() -> Memory {
        Memory { text: Vec::with_capacity(LONGEST), shared: BytesMut::with_capacity(ROOM) }
    }

    #[inline]
    fn shared(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        self.text.clear();
        write(&mut self.text);
        if self.text.len() > LONGEST {
            return Bytes::from(std::mem::replace(&mut self.text, Vec::with_capacity(LONGEST)));
        }
        self.shared.extend_from_slice(&self.text);
        self.shared.split().freeze()
    }
}

/// What `write` has written.
#[inline]
pub(crate) fn shared(write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    // A thread that ends has memory of its own for each.
    let mut write = Some(write);
    let done = MEMORY.try_with(|memory| {
        let mut memory = memory.try_borrow_mut().ok()?;
        Some(memory.shared(write.take()?))
    });
    done.ok().flatten().unwrap_or_else(|| {
        let mut text = Vec::new();
        if let Some(write) = write {
            write(&mut text);
        }
        Bytes::from(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_stays_as_it_was_and_what_is_not_is_written_over() {
        let text = |number: u32| format!("{number:036}").into_bytes();
        let make = |number| shared(|out| out.extend_from_slice(&text(number)));
        let held: Vec<_> = (0..1_000).map(make).collect();
        for (number, held) in (0..).zip(&held) {
            assert_eq!(*held, text(number));
        }
        drop(held);
        let first = make(0);
        let (place, room) = (first.as_ptr() as usize, ROOM);
        drop(first);
        for number in 0..1_000 {
            let next = make(number);
            assert_eq!(next, text(number));
            assert!(next.as_ptr() as usize >= place.saturating_sub(room));
            assert!((next.as_ptr() as usize) < place + room, "its memory is used again");
        }
    }

    #[test]
    fn a_long_text_has_memory_of_its_own() {
        let long = vec![b'a'; 2 * ROOM];
        let shared_long = shared(|out| out.extend_from_slice(&long));
        let short = shared(|out| out.push(b'b'));
        assert_eq!((&shared_long[..], &short[..]), (&long[..], &b"b"[..]));
    }

    #[test]
    fn a_text_may_be_made_of_another() {
        let both = shared(|out| {
            let inner = shared(|out| out.extend_from_slice(b"inner"));
            out.extend_from_slice(&inner);
            out.push(b'!');
        });
        assert_eq!(&both[..], b"inner!");
    }
}
