//! Whom a count is for: keyed hashes of policy, scope and key, which nobody outside can aim.

use super::sip;

/// A policy in a scope (a route, or everywhere). Made by [`Limits::scope`](super::Limits::scope), once for
/// each limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope(u64);

/// Whom limits are for: an address, a user. Made by [`Limits::subject`](super::Limits::subject), once for
/// each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subject(u64);

/// What a count is found by: a scope and a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u64, u64);

impl Scope {
    pub(super) fn of(secret: [u64; 2], policy: u64, scope: &[u8]) -> Scope {
        // Other functions than that of subjects.
        let [first, second] = secret;
        Scope(sip::hash([second, first ^ sip::hash([second, first], &policy.to_le_bytes())], scope))
    }

    /// The key of a subject here. Both are secret, so nobody can choose two that are one.
    #[inline]
    #[must_use]
    pub fn key(self, subject: Subject) -> Key {
        Key::from_hash(self.0 ^ subject.0.rotate_left(32))
    }
}

impl Subject {
    #[inline]
    pub(super) fn of(secret: [u64; 2], subject: &[u8]) -> Subject {
        Subject(sip::hash(secret, subject))
    }
}

impl Key {
    #[inline]
    pub(super) fn from_hash(hash: u64) -> Key {
        let hash = (hash ^ hash >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let tag = hash ^ hash >> 32;
        let places = tag.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Key(tag, places ^ places >> 29)
    }

    /// The tag of its first count; that of the second is one more. Never 0.
    #[inline]
    pub(super) fn tag(self) -> u64 {
        (self.0 >> 16 | 2) & !1
    }

    /// Two different lines of `lines`, of which there are at least two.
    #[inline]
    pub(super) fn lines(self, lines: usize) -> [usize; 2] {
        let within = |word: u64| (((word & 0xffff_ffff) * lines as u64) >> 32) as usize;
        let (first, second) = (within(self.1), within(self.1 >> 32));
        if first != second { [first, second] } else { [first, (first + 1) % lines] }
    }
}
