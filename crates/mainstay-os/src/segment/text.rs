//! Bytes in and out of atomic words, eight at a time, little-endian.

use super::atomic::{AtomicU64, Ordering::Relaxed};

/// How many words `bytes` bytes take.
pub(crate) const fn words_for(bytes: usize) -> usize {
    bytes.div_ceil(8)
}

/// Stores as much of `bytes` as fits and returns how many bytes that was.
#[inline]
pub(crate) fn store(words: &[AtomicU64], bytes: &[u8]) -> usize {
    let fits = bytes.len().min(words.len() * 8);
    let (chunks, rest) = bytes[..fits].as_chunks::<8>();
    // Eight words at a time, whose loop is unrolled: half the instructions.
    let (lines, last) = chunks.as_chunks::<8>();
    let (places, behind) = words.split_at(lines.len() * 8);
    for (place, line) in places.as_chunks::<8>().0.iter().zip(lines) {
        for (word, chunk) in place.iter().zip(line) {
            word.store(u64::from_le_bytes(*chunk), Relaxed);
        }
    }
    for (word, chunk) in behind.iter().zip(last) {
        word.store(u64::from_le_bytes(*chunk), Relaxed);
    }
    if !rest.is_empty() {
        words[chunks.len()].store(last_word(&bytes[..fits], rest), Relaxed);
    }
    fits
}

/// The bytes of `rest`, one to seven, with which `bytes` ends, and zeros behind them.
#[inline(always)]
fn last_word(bytes: &[u8], rest: &[u8]) -> u64 {
    match bytes.last_chunk() {
        // Read together with what stands before them, which is then shifted out.
        Some(chunk) => u64::from_le_bytes(*chunk) >> (64 - 8 * rest.len() as u32),
        // By hand: for so few bytes a call of memcpy costs more than it does.
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Appends `len` bytes to `out`; a `len` beyond the words is cut to what they hold.
pub(crate) fn load(words: &[AtomicU64], len: usize, out: &mut Vec<u8>) {
    let len = len.min(words.len() * 8);
    let begin = out.len();
    out.resize(begin + len, 0);
    let (chunks, rest) = out[begin..].as_chunks_mut::<8>();
    for (chunk, word) in chunks.iter_mut().zip(words) {
        *chunk = word.load(Relaxed).to_le_bytes();
    }
    if !rest.is_empty() {
        let last = words[len / 8].load(Relaxed).to_le_bytes();
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::segment::cases;
    use proptest::prelude::*;

    fn words(count: usize) -> Vec<AtomicU64> {
        (0..count).map(|_| AtomicU64::new(u64::MAX)).collect()
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn what_fits_is_read_as_it_was_stored(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            room in 0_usize..12,
            before in prop::collection::vec(any::<u8>(), 0..4),
        ) {
            let words = words(room);
            let stored = store(&words, &bytes);
            prop_assert_eq!(stored, bytes.len().min(room * 8));
            let mut read = before.clone();
            load(&words, stored, &mut read);
            prop_assert_eq!(&read[..before.len()], &before);
            prop_assert_eq!(&read[before.len()..], &bytes[..stored]);
            let untouched = words.iter().skip(words_for(stored));
            prop_assert!(untouched.into_iter().all(|word| word.load(Relaxed) == u64::MAX));
        }

        #[test]
        fn a_length_beyond_the_words_is_cut(len in any::<usize>(), room in 0_usize..5) {
            let mut read = Vec::new();
            load(&words(room), len, &mut read);
            prop_assert_eq!(read, vec![0xff; len.min(room * 8)]);
        }
    }
}
