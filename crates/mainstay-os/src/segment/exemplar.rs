//! Exemplars of a histogram: for each magnitude of its values the newest observation that belongs to a
//! trace.
//!
//! One cell stands under a [sequence number](super::sequence): while it is being changed it counts as empty, and a
//! holder that was killed over it leaves an empty cell, which the next one can write again.

use super::atomic::{AtomicU64, Ordering::Relaxed};
use super::sequence::Sequence;

const SEQUENCE: usize = 0;
const VALUE: usize = 1;
const TIME: usize = 2;
const TRACE: usize = 3;
const SPAN: usize = 5;
/// Words of one cell, a cache line.
const CELL_WORDS: usize = 8;
/// Cells of a histogram. Powers of ten that are so far apart share one.
pub(crate) const CELLS: usize = 8;
/// Words of all cells of a histogram.
pub(crate) const WORDS: usize = CELLS * CELL_WORDS;

/// An observation and the trace that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// What was observed, billionths of a unit.
    pub value: u64,
    /// When, nanoseconds since the Unix epoch; never 0.
    pub time: u64,
    /// The trace.
    pub trace: [u8; 16],
    /// The span in it.
    pub span: [u8; 8],
}

/// Keeps an exemplar in the cell of its magnitude. For one thread of the holder at a time.
pub(crate) fn write(words: &[AtomicU64; WORDS], exemplar: &Exemplar) {
    let (cells, _) = words.as_chunks::<CELL_WORDS>();
    let magnitude = exemplar.value.checked_ilog10().unwrap_or(0) as usize;
    let cell = &cells[magnitude % CELLS];
    let (high, low) = halves(&exemplar.trace);
    Sequence(&cell[SEQUENCE]).write(|| {
        cell[VALUE].store(exemplar.value, Relaxed);
        cell[TIME].store(exemplar.time, Relaxed);
        cell[TRACE].store(high, Relaxed);
        cell[TRACE + 1].store(low, Relaxed);
        cell[SPAN].store(u64::from_be_bytes(exemplar.span), Relaxed);
    });
}

/// All that can be read at this moment.
pub(crate) fn read(words: &[AtomicU64; WORDS]) -> impl Iterator<Item = Exemplar> {
    let (cells, _) = words.as_chunks::<CELL_WORDS>();
    cells.iter().filter_map(read_cell)
}

fn read_cell(cell: &[AtomicU64; CELL_WORDS]) -> Option<Exemplar> {
    let facts = || [VALUE, TIME, TRACE, TRACE + 1, SPAN].map(|word| cell[word].load(Relaxed));
    let [value, time, high, low, span] = Sequence(&cell[SEQUENCE]).read(facts)?;
    let trace = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
    (time != 0).then_some(Exemplar { value, time, trace, span: span.to_be_bytes() })
}

fn halves(trace: &[u8; 16]) -> (u64, u64) {
    let whole = u128::from_be_bytes(*trace);
    ((whole >> 64) as u64, whole as u64)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn words() -> [AtomicU64; WORDS] {
        std::array::from_fn(|_| AtomicU64::new(0))
    }

    fn exemplar(value: u64, mark: u8) -> Exemplar {
        Exemplar { value, time: 1 + u64::from(mark), trace: [mark; 16], span: [mark; 8] }
    }

    #[test]
    fn the_newest_of_each_magnitude_is_kept() {
        let words = words();
        assert_eq!(read(&words).count(), 0);
        let (fast, slow) = (exemplar(5_000_000, 1), exemplar(2_000_000_000, 2));
        write(&words, &slow);
        write(&words, &exemplar(9_000_000, 3));
        write(&words, &fast);
        write(&words, &exemplar(0, 4));
        let mut all: Vec<_> = read(&words).collect();
        all.sort_by_key(|it| it.value);
        assert_eq!(all, [exemplar(0, 4), fast, slow]);
    }

    #[test]
    fn one_that_a_killed_holder_left_half_is_none_until_it_is_written_again() {
        let words = words();
        write(&words, &exemplar(7, 1));
        Sequence(&words[SEQUENCE]).break_off();
        words[TRACE].store(9, Relaxed);
        assert_eq!(read(&words).count(), 0);
        write(&words, &exemplar(8, 2));
        assert!(read(&words).eq([exemplar(8, 2)]));
    }

    #[test]
    fn what_is_read_while_it_is_written_is_whole() {
        let (words, over) = (words(), AtomicBool::new(false));
        let rounds = if cfg!(miri) { 50 } else { 50_000 };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..rounds {
                    write(&words, &exemplar(u64::from(round as u8 % 10), round as u8));
                }
                over.store(true, Relaxed);
            });
            while !over.load(Relaxed) {
                for it in read(&words) {
                    let mark = it.span[0];
                    assert_eq!(it, exemplar(u64::from(mark % 10), mark));
                }
            }
        });
        assert_eq!(read(&words).count(), 1);
    }
}
