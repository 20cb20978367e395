//! The form of histograms whose buckets grow by a factor, which is a root of two: OTLP's
//! `ExponentialHistogram`. Pure.
//!
//! Our bins follow powers of ten and are at most a tenth of their lower edge wide. The count of a bin goes
//! into the bucket that its middle belongs to: so counts are exact, and what is in a bucket is at most 5 %
//! outside of it.

use super::figures::Bins;
use super::proto;
use crate::metrics::text::BILLION;
use crate::watch::varint;
use mainstay_os::segment::{BINS, upper_edge};
use std::collections::BTreeMap;

/// The finest scale: buckets grow by 2^(1/8), 9 %, which is about as much as bins do.
const FINEST: i32 = 3;
/// Most buckets, as OpenTelemetry has it. Where there are more, two and two become one.
const MOST: i64 = 160;

/// Buckets of one histogram.
#[derive(Debug, PartialEq)]
struct Buckets {
    /// Bucket `i` is above 2^(i/2^scale) and up to 2^((i+1)/2^scale).
    scale: i32,
    /// What is in the lowest bin, which ends where others begin.
    zeros: u64,
    /// The number of the first bucket.
    offset: i32,
    counts: Vec<u64>,
}

/// Appends the fields of a message `ExponentialHistogramDataPoint` that hold what was observed.
pub(super) fn write(bins: &Bins, sum: f64, out: &mut Vec<u8>) {
    let buckets = Buckets::of(bins);
    proto::fixed64(4, bins.values().fold(0, |sum: u64, count| sum.wrapping_add(*count)), out);
    proto::fixed64(5, sum.to_bits(), out);
    proto::number(6, zigzag(buckets.scale), out);
    proto::fixed64(7, buckets.zeros, out);
    if !buckets.counts.is_empty() {
        proto::message(8, out, |out| {
            proto::number(1, zigzag(buckets.offset), out);
            let mut packed = Vec::new();
            buckets.counts.iter().for_each(|count| varint::put(&mut packed, *count));
            proto::bytes(2, &packed, out);
        });
    }
    proto::fixed64(14, (upper_edge(0) as f64 / BILLION).to_bits(), out);
}

/// A number of the kind `sint32`.
fn zigzag(number: i32) -> u64 {
    u64::from((number << 1 ^ number >> 31) as u32)
}

impl Buckets {
    fn of(bins: &Bins) -> Buckets {
        let zeros = bins.get(&0).copied().unwrap_or(0);
        let mut scale = FINEST;
        let mut found: BTreeMap<i32, u64> = BTreeMap::new();
        for (bin, count) in bins.iter().filter(|(bin, count)| **bin > 0 && **count > 0) {
            *found.entry(bucket_of(usize::from(*bin))).or_default() += count;
        }
        let width = |found: &BTreeMap<i32, u64>| {
            let ends = found.first_key_value().zip(found.last_key_value());
            ends.map_or(0, |((first, _), (last, _))| i64::from(*last) - i64::from(*first) + 1)
        };
        while width(&found) > MOST {
            scale -= 1;
            let mut wider = BTreeMap::new();
            for (bucket, count) in found {
                *wider.entry(bucket >> 1).or_default() += count;
            }
            found = wider;
        }
        let offset = found.first_key_value().map_or(0, |(first, _)| *first);
        let len = usize::try_from(width(&found)).unwrap_or(0);
        let counts = (offset..).take(len).map(|it| found.get(&it).copied().unwrap_or(0)).collect();
        Buckets { scale, zeros, offset, counts }
    }
}

/// The bucket of the finest scale that the middle of a bin belongs to. The last bin has no end: what is in
/// it stands at its beginning.
fn bucket_of(bin: usize) -> i32 {
    let lower = upper_edge(bin.saturating_sub(1));
    let middle = if bin < BINS - 1 { lower.midpoint(upper_edge(bin)) } else { lower + 1 };
    let steps = (middle as f64 / BILLION).log2() * f64::from(1 << FINEST);
    steps.ceil() as i32 - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_os::segment::bin_of;
    use opentelemetry_proto::tonic::metrics::v1::ExponentialHistogramDataPoint;
    use proptest::prelude::*;
    use prost::Message;

    fn bins(values: &[u64]) -> Bins {
        let mut bins = Bins::new();
        for value in values {
            *bins.entry(bin_of(*value) as u16).or_default() += 1;
        }
        bins
    }

    fn decoded(bins: &Bins) -> ExponentialHistogramDataPoint {
        let mut out = Vec::new();
        write(bins, 1.5, &mut out);
        ExponentialHistogramDataPoint::decode(&out[..]).unwrap()
    }

    /// The bounds of a bucket, billionths.
    fn bounds(scale: i32, bucket: i32) -> (f64, f64) {
        let bound = |it: i32| (f64::from(it) / f64::from(scale).exp2()).exp2() * BILLION;
        (bound(bucket), bound(bucket + 1))
    }

    #[test]
    fn nothing_is_no_bucket() {
        let point = decoded(&Bins::new());
        assert_eq!((point.count, point.zero_count, point.positive), (0, 0, None));
        assert_eq!((point.scale, point.zero_threshold, point.sum), (3, 1e-6, Some(1.5)));
    }

    #[test]
    fn counts_are_exact_and_small_ones_are_zeros() {
        let point = decoded(&bins(&[0, 999, 1_000, 5_000_000, 5_000_001, 20_000_000_000]));
        assert_eq!((point.count, point.zero_count, point.scale), (6, 3, 3));
        let positive = point.positive.unwrap();
        assert_eq!(positive.bucket_counts.iter().sum::<u64>(), 3);
        let (lower, upper) = bounds(3, positive.offset);
        assert!(lower < 5_000_000.0 * 1.05 && upper > 5_000_000.0 * 0.95);
        assert_eq!(positive.bucket_counts.last(), Some(&1));
    }

    #[test]
    fn what_has_no_end_stands_at_its_beginning() {
        let buckets = Buckets::of(&bins(&[u64::MAX]));
        let (lower, upper) = bounds(buckets.scale, buckets.offset);
        assert!(lower <= 1.001e18 && upper >= 1e18, "{lower} {upper}");
    }

    proptest! {
        #[test]
        fn each_value_is_at_most_a_twentieth_outside_of_its_bucket(
            values in prop::collection::vec((0_u32..16, 1_u64..1_000), 1..60),
        ) {
            let values: Vec<_> =
                values.into_iter().map(|(power, digits)| digits * 10_u64.pow(power)).collect();
            let all = Buckets::of(&bins(&values));
            let zeros = values.iter().filter(|it| **it <= upper_edge(0)).count() as u64;
            prop_assert_eq!(all.zeros, zeros);
            prop_assert_eq!(all.zeros + all.counts.iter().sum::<u64>(), values.len() as u64);
            prop_assert!(all.counts.len() as i64 <= MOST && all.scale <= FINEST);
            for value in values.into_iter().filter(|it| *it > upper_edge(0)) {
                let own = Buckets::of(&bins(&[value])).offset >> (FINEST - all.scale);
                let (lower, upper) = bounds(all.scale, own);
                let value = value as f64;
                prop_assert!(lower <= value * 1.051 && upper >= value * 0.949, "{value}: {lower} {upper}");
                let index = usize::try_from(own - all.offset).unwrap();
                prop_assert!(all.counts[index] > 0);
            }
        }
    }
}
