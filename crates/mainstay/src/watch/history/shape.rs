//! How long things took, as counts in at most 64 bins whose edges grow by a third of an octave: two of them can be
//! added up, so a percentile is right at any zoom, which an average of percentiles is not.

use crate::watch::varint::{put, take};

/// How many bins there are.
pub(crate) const BINS: usize = 64;
/// Bins in which a value doubles.
const PER_OCTAVE: f64 = 3.0;
/// Upper edge of the first bin, as a power of two of seconds: 61 µs. That of the last but one is 101 s.
const FIRST: f64 = -14.0;

/// Counts by bin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape([u64; BINS]);

impl Default for Shape {
    fn default() -> Shape {
        Shape([0; BINS])
    }
}

impl Shape {
    /// Adds as many that took so long, seconds.
    pub(crate) fn add(&mut self, seconds: f64, count: u64) {
        self.0[bin(seconds)] += count;
    }

    /// Adds all of another one.
    pub(crate) fn merge(&mut self, other: &Shape) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, more)| *mine = mine.saturating_add(more));
    }

    /// What that part of them took at most, 0 to 1; at most a fifth of an octave off. None of none.
    pub(crate) fn percentile(&self, part: f64) -> Option<f64> {
        let count = self.0.iter().fold(0_u64, |sum, it| sum.saturating_add(*it));
        let rank = ((count as f64 * part).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0_u64;
        self.0.iter().enumerate().find_map(|(bin, count)| {
            seen = seen.saturating_add(*count);
            (*count > 0 && seen >= rank).then(|| middle(bin))
        })
    }

    /// As bytes: for each bin that is not empty, how many empty ones are before it, and its count.
    pub(crate) fn pack(&self) -> Vec<u8> {
        let (mut packed, mut gap) = (Vec::new(), 0);
        for count in self.0 {
            if count == 0 {
                gap += 1;
                continue;
            }
            put(&mut packed, gap);
            put(&mut packed, count);
            gap = 0;
        }
        packed
    }

    /// From bytes; none if they are no such thing.
    pub(crate) fn unpack(mut packed: &[u8]) -> Option<Shape> {
        let (mut shape, mut next) = (Shape::default(), 0_usize);
        while !packed.is_empty() {
            let bin = next.checked_add(usize::try_from(take(&mut packed)?).ok()?)?;
            *shape.0.get_mut(bin)? = take(&mut packed)?;
            next = bin + 1;
        }
        Some(shape)
    }
}

fn bin(seconds: f64) -> usize {
    let bin = (PER_OCTAVE * (seconds.log2() - FIRST)).ceil();
    // What is no number, such as the logarithm of what is below zero, becomes 0.
    (bin as usize).min(BINS - 1)
}

/// The geometric middle of a bin, seconds.
fn middle(bin: usize) -> f64 {
    ((bin as f64 - 0.5) / PER_OCTAVE + FIRST).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The most that an estimate is off: half a bin, as a factor.
    const HALF: f64 = 1.123;

    #[test]
    fn bytes_that_are_no_shape_are_refused() {
        assert_eq!(Shape::unpack(&[]), Some(Shape::default()));
        for wrong in [&[1][..], &[64, 1], &[0x80], &[0, 0x80, 0x80], &[0xff; 12]] {
            assert_eq!(Shape::unpack(wrong), None, "{wrong:?}");
        }
        assert_eq!(Shape::default().percentile(0.5), None);
    }

    #[test]
    fn what_is_beyond_all_bins_is_in_the_last_and_what_is_none_in_the_first() {
        let mut shape = Shape::default();
        for odd in [f64::INFINITY, 1e9, 0.0, -1.0, f64::NAN] {
            shape.add(odd, 1);
        }
        assert_eq!((shape.0[0], shape.0[BINS - 1]), (3, 2));
    }

    proptest! {
        #[test]
        fn percentiles_of_what_was_added_up_are_within_half_a_bin(
            parts in prop::collection::vec(prop::collection::vec(0.0001_f64..90.0, 1..40), 1..8),
            part in 0.01_f64..1.0,
        ) {
            let mut whole = Shape::default();
            for values in &parts {
                let mut shape = Shape::default();
                values.iter().for_each(|it| shape.add(*it, 1));
                let again = Shape::unpack(&shape.pack());
                prop_assert_eq!(again.as_ref(), Some(&shape));
                whole.merge(&shape);
            }
            let mut all: Vec<f64> = parts.concat();
            all.sort_by(f64::total_cmp);
            let rank = ((all.len() as f64 * part).ceil() as usize).clamp(1, all.len());
            let (exact, told) = (all[rank - 1], whole.percentile(part).unwrap());
            prop_assert!(told / exact < HALF && exact / told < HALF, "{} for {}", told, exact);
        }
    }
}
