//! SipHash-1-3: a hash that nobody can aim who does not know its key. Of few instructions for short texts,
//! since each request has one.

/// The hash of `bytes` under `key`.
#[inline]
pub(super) fn hash(key: [u64; 2], bytes: &[u8]) -> u64 {
    let mut state = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        absorb(&mut state, u64::from_le_bytes(*word));
    }
    let last = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    absorb(&mut state, (bytes.len() as u64) << 56 | last);
    state[2] ^= 0xff;
    (0..3).for_each(|_| round(&mut state));
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

#[inline]
fn absorb(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    round(state);
    state[0] ^= word;
}

#[inline]
fn round([a, b, c, d]: &mut [u64; 4]) {
    *a = a.wrapping_add(*b);
    *b = b.rotate_left(13) ^ *a;
    *a = a.rotate_left(32);
    *c = c.wrapping_add(*d);
    *d = d.rotate_left(16) ^ *c;
    *a = a.wrapping_add(*d);
    *d = d.rotate_left(21) ^ *a;
    *c = c.wrapping_add(*b);
    *b = b.rotate_left(17) ^ *c;
    *c = c.rotate_left(32);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::segment::cases;
    use proptest::prelude::*;
    use std::hash::{DefaultHasher, Hasher};

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn it_is_the_hash_of_the_standard_library_when_the_key_is_0(
            bytes in prop::collection::vec(any::<u8>(), 0..70),
        ) {
            let mut standard = DefaultHasher::new();
            standard.write(&bytes);
            prop_assert_eq!(hash([0, 0], &bytes), standard.finish());
        }
    }

    #[test]
    fn each_half_of_the_key_counts() {
        let keys = [[0, 0], [1, 0], [0, 1], [1, 1]];
        let hashes: std::collections::BTreeSet<_> = keys.map(|key| hash(key, b"a")).into();
        assert_eq!(hashes.len(), keys.len());
    }
}
