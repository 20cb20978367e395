//! A sequence number, under which one writer changes several words as a whole while everybody may read them.
//!
//! The writer counts it up before and after: an odd number, or another one behind the words than before them,
//! means that they are being changed, and what is read then counts for nothing. A writer that was killed in
//! between leaves an odd number, and its successor can write again.

use super::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

/// The word that has the number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence<'a>(pub(crate) &'a AtomicU64);

impl Sequence<'_> {
    /// Runs `change`, which may store to the words, relaxed. For one writer at a time.
    #[inline]
    pub(crate) fn write(self, change: impl FnOnce()) {
        // Odd, whatever a predecessor left.
        let sequence = self.0.load(Relaxed) | 1;
        self.0.store(sequence, Relaxed);
        // Whoever sees something of the change sees the odd number, too.
        fence(Release);
        change();
        self.0.store(sequence.wrapping_add(1), Release);
    }

    /// What `look` makes of the words, which it loads relaxed; nothing when they were being changed.
    #[inline]
    pub(crate) fn read<T>(self, look: impl FnOnce() -> T) -> Option<T> {
        let before = self.0.load(Acquire);
        let seen = look();
        fence(Acquire);
        let is_whole = before.is_multiple_of(2) && self.0.load(Relaxed) == before;
        is_whole.then_some(seen)
    }

    /// Leaves it as a writer does that is killed over its change.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn break_off(self) {
        self.0.fetch_or(1, Relaxed);
    }
}
