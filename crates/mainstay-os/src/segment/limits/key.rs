//! Whom a count is for: a keyed hash of policy, scope and key, which nobody outside can aim.

use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// What a count is found by. Made by [`Limits::key`](super::Limits::key).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub(super) u64, pub(super) u64);

impl Key {
    /// The scope's length stands before it, so that no two pairs of scope and key are one text.
    pub(super) fn of(secret: (u64, u64), policy: u64, scope: &[u8], key: &[u8]) -> Key {
        let mut hasher = SipHasher13::new_with_keys(secret.0, secret.1);
        hasher.write_u64(policy ^ (scope.len() as u64) << 32);
        hasher.write(scope);
        hasher.write(key);
        Key::from_hash(hasher.finish())
    }

    pub(super) fn from_hash(hash: u64) -> Key {
        let places = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Key(hash, places ^ places >> 29)
    }

    /// The tag of its first count; that of the second is one more. Never 0.
    pub(super) fn tag(self) -> u64 {
        (self.0 >> 16 | 2) & !1
    }

    /// Two different lines of `lines`, of which there are at least two.
    pub(super) fn lines(self, lines: usize) -> [usize; 2] {
        let within = |word: u64| (((word & 0xffff_ffff) * lines as u64) >> 32) as usize;
        let (first, second) = (within(self.1), within(self.1 >> 32));
        if first != second { [first, second] } else { [first, (first + 1) % lines] }
    }
}
