//! Bytes in and out of atomic words, eight at a time, little-endian.

use super::atomic::{AtomicU64, Ordering::Relaxed};

/// How many words `bytes` bytes take.
pub(crate) const fn words_for(bytes: usize) -> usize {
    bytes.div_ceil(8)
}

/// Stores as much of `bytes` as fits and returns how many bytes that was.
pub(crate) fn store(words: &[AtomicU64], bytes: &[u8]) -> usize {
    let fits = bytes.len().min(words.len() * 8);
    let (chunks, rest) = bytes[..fits].as_chunks::<8>();
    for (word, chunk) in words.iter().zip(chunks) {
        word.store(u64::from_le_bytes(*chunk), Relaxed);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        words[chunks.len()].store(u64::from_le_bytes(last), Relaxed);
    }
    fits
}

/// Appends `len` bytes to `out`; a `len` beyond the words is cut to what they hold.
pub(crate) fn load(words: &[AtomicU64], len: usize, out: &mut Vec<u8>) {
    let len = len.min(words.len() * 8);
    out.reserve(len);
    let end = out.len() + len;
    for word in &words[..words_for(len)] {
        let bytes = word.load(Relaxed).to_le_bytes();
        let take = (end - out.len()).min(8);
        out.extend_from_slice(&bytes[..take]);
    }
}
