//! The bins of histograms: linear within parts of each decade, so that every customary bound (1, 2.5,
//! 5, 7.5 and 10 of any power of ten) is the edge of a bin, and cumulative counts at such bounds are
//! exact. A bin is at most a tenth of its lower edge wide: its middle is within 5 % of what is in it.
//!
//! Values are whole billionths of a unit, such as nanoseconds. From 1,000 of them (a microsecond) to 10¹⁸
//! (a thousand million units) there are 38 bins for each decade, and one bin below and one above.

/// The last value of the lowest bin.
const LOWEST: u64 = 1_000;
/// The power of ten of [`LOWEST`].
const FIRST_DECADE: u32 = 3;
const DECADES: usize = 15;
/// Bins of a decade: steps of 0.1 up to 3, of 0.25 up to 5, of 0.5 up to 10.
const PER_DECADE: usize = 38;

/// How many bins a histogram has.
pub const BINS: usize = 1 + DECADES * PER_DECADE + 1;

/// The largest value of each bin.
static EDGES: [u64; BINS] = {
    let mut edges = [0; BINS];
    let mut bin = 0;
    while bin < BINS {
        edges[bin] = edge(bin);
        bin += 1;
    }
    edges
};

/// Leading bits that are looked at to come near a value's bin.
const LEADING: u32 = 4;
/// Values with the same leading bits.
const ALIKE: usize = 1 << LEADING;

/// For each place of the highest bit and the four bits behind it, the bin of the smallest such value.
/// These steps are about as wide as bins, so the right one is hardly further than the next.
static NEAR: [u16; 64 * ALIKE] = {
    let mut near = [0; 64 * ALIKE];
    let (mut bin, mut index) = (0, LEADING as usize * ALIKE);
    while index < near.len() {
        let smallest = ((ALIKE + index % ALIKE) as u64) << (index / ALIKE - LEADING as usize);
        while smallest > edge(bin) {
            bin += 1;
        }
        near[index] = bin as u16;
        index += 1;
    }
    near
};

/// The bin that a value belongs into. Its largest value belongs to a bin, as `le` says.
#[inline]
#[must_use]
pub fn bin_of(value: u64) -> usize {
    if value <= LOWEST {
        return 0;
    }
    let highest = value.ilog2();
    let leading = (value >> (highest - LEADING)) as usize % ALIKE;
    let mut bin = usize::from(NEAR[highest as usize * ALIKE + leading]);
    while EDGES.get(bin).is_some_and(|edge| value > *edge) {
        bin += 1;
    }
    bin
}

/// The largest value of a bin; of the last one the largest that there is.
#[must_use]
pub fn upper_edge(bin: usize) -> u64 {
    EDGES.get(bin).copied().unwrap_or(u64::MAX)
}

const fn edge(bin: usize) -> u64 {
    let Some(above) = bin.checked_sub(1) else { return LOWEST };
    if bin >= BINS - 1 {
        return u64::MAX;
    }
    let (decade, step) = (above / PER_DECADE, above % PER_DECADE + 1);
    let hundredths = match step {
        low @ ..=20 => 100 + low * 10,
        middle @ ..=28 => 300 + (middle - 20) * 25,
        high => 500 + (high - 28) * 50,
    };
    hundredths as u64 * 10_u64.pow(decade as u32 + FIRST_DECADE - 2)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::segment::cases;
    use proptest::prelude::*;

    #[test]
    fn customary_bounds_are_edges() {
        for decade in FIRST_DECADE..FIRST_DECADE + DECADES as u32 {
            for quarters in [4, 8, 10, 20, 30, 40] {
                let bound = quarters * 10_u64.pow(decade) / 4;
                assert_eq!(upper_edge(bin_of(bound)), bound);
                assert_eq!(bin_of(bound + 1), bin_of(bound) + 1);
            }
        }
    }

    #[test]
    fn bins_follow_each_other_without_a_gap() {
        for bin in 0..BINS - 1 {
            assert_eq!(bin_of(upper_edge(bin)), bin);
            assert_eq!(bin_of(upper_edge(bin) + 1), bin + 1);
        }
        assert_eq!((bin_of(0), bin_of(u64::MAX), upper_edge(BINS)), (0, BINS - 1, u64::MAX));
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn the_middle_of_a_bin_is_within_five_percent(value in 1_001_u64..1_000_000_000_000_000_000) {
            let bin = bin_of(value);
            let (lower, upper) = (upper_edge(bin - 1), upper_edge(bin));
            prop_assert!(lower < value && value <= upper);
            let middle = lower.midpoint(upper) as f64;
            prop_assert!((middle - value as f64).abs() <= 0.05 * value as f64 + 1.0);
        }
    }
}
