//! Values of fields that are made for each answer. They are written behind each other into memory that they
//! share, so that few answers allocate for them: when it is full it is used again, unless somebody still holds a
//! part of it.

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
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

/// The value of a field, of what [`shared`] gave; `None` if no field may hold it.
#[inline]
pub(crate) fn field(text: Bytes) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_maybe_shared(text).ok()?;
    // A connection of HTTP/2 keeps values in its table to name them again, some fifty of them for as long as it
    // lasts, and each would hold all of the memory that it shares. These hardly ever come again.
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_kept_in_no_table_of_http_2() {
        let value = field(shared(|out| out.extend_from_slice(b"0af7651916cd43dd"))).unwrap();
        assert_eq!(value, "0af7651916cd43dd");
        assert!(value.is_sensitive());
        assert_eq!(field(Bytes::from_static(b"a\nb")), None);
    }

    #[test]
    fn what_is_held_stays_as_it_was_and_what_is_not_is_written_over() {
        let text = |number: u32| format!("{number:036}").into_bytes();
        let make = |number| shared(|out| out.extend_from_slice(&text(number)));
        let held: Vec<_> = (0..1_000).map(make).collect();
        for (number, held) in (0..).zip(&held) {
            assert_eq!(*held, text(number));
        }
        drop(held);
        let mut next = make(0);
        let mut starts = Vec::new();
        for number in 1..1_000 {
            let behind = next.as_ptr() as usize + next.len();
            drop(next);
            next = make(number);
            assert_eq!(next, text(number));
            // Behind the last one, or at the beginning again.
            if next.as_ptr() as usize != behind {
                starts.push(next.as_ptr() as usize);
            }
        }
        assert!((7..=10).contains(&starts.len()), "{} times", starts.len());
        assert!(starts.iter().all(|it| *it == starts[0]), "its memory is used again");
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
