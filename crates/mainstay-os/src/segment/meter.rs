//! A meter: what one slot's holder measures of one thing that has an entry on the board, such as a
//! pool of connections. Gauges are the holder's alone and end with it; totals go on with the slot.

use super::atomic::{AtomicU64, Ordering::Relaxed};

/// Gauges of a meter. What they mean is their users' affair.
pub const GAUGES: usize = 16;
/// Totals of a meter, the cells of histograms among them.
pub const TOTALS: usize = 88;
/// Words of one meter.
pub(crate) const WORDS: usize = GAUGES + TOTALS;

/// View of one meter. The holder of the slot alone writes.
#[derive(Clone, Copy, Debug)]
pub struct Meter<'a> {
    words: &'a [AtomicU64; WORDS],
}

impl<'a> Meter<'a> {
    pub(crate) fn new(words: &'a [AtomicU64; WORDS]) -> Meter<'a> {
        Meter { words }
    }

    /// Gauge `index`, below [`GAUGES`].
    #[must_use]
    pub fn gauge(&self, index: usize) -> u64 {
        self.words[..GAUGES][index].load(Relaxed)
    }

    /// Sets a gauge.
    pub fn set(&self, index: usize, value: u64) {
        self.words[..GAUGES][index].store(value, Relaxed);
    }

    /// Raises a gauge by one.
    pub fn enter(&self, index: usize) {
        self.words[..GAUGES][index].fetch_add(1, Relaxed);
    }

    /// Lowers a gauge by one.
    pub fn leave(&self, index: usize) {
        self.words[..GAUGES][index].fetch_sub(1, Relaxed);
    }

    /// Total `index`, below [`TOTALS`].
    #[must_use]
    pub fn total(&self, index: usize) -> u64 {
        self.words[GAUGES..][index].load(Relaxed)
    }

    /// Adds to a total.
    pub fn add(&self, index: usize, by: u64) {
        self.words[GAUGES..][index].fetch_add(by, Relaxed);
    }

    /// What is live ends with its holder; for the supervisor alone.
    pub(crate) fn clear(&self) {
        self.words[..GAUGES].iter().for_each(|word| word.store(0, Relaxed));
    }
}
