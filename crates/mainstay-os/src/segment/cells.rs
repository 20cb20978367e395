//! The words of a segment, mapped or on the heap.

use super::atomic::AtomicU64;

/// Owner of a fixed array of atomic words.
#[derive(Debug)]
pub struct Cells {
    backing: Backing,
}

#[derive(Debug)]
enum Backing {
    Heap(Box<[AtomicU64]>),
    #[cfg(not(loom))]
    Mapped(super::map::Mapping),
}

impl Cells {
    /// `words` zeroed words on the heap of this process.
    #[must_use]
    pub fn on_heap(words: usize) -> Cells {
        Cells { backing: Backing::Heap((0..words).map(|_| AtomicU64::new(0)).collect()) }
    }

    #[cfg(not(loom))]
    pub(crate) fn mapped(mapping: super::map::Mapping) -> Cells {
        Cells { backing: Backing::Mapped(mapping) }
    }

    /// All words.
    #[inline]
    #[must_use]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        match &self.backing {
            Backing::Heap(words) => words,
            #[cfg(not(loom))]
            Backing::Mapped(mapping) => mapping.words(),
        }
    }
}
