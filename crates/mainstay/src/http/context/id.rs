//! Ids of requests: taken over from a trusted peer, or made here as UUIDs of version 7 (RFC 9562), in
//! the order of their time. Made without a system call and without an allocation.
//!
//! An id is a name, not a secret: whoever knows one can guess the next.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Longest id, bytes.
const LONGEST: usize = 64;
/// Length of a UUID in text.
const UUID: usize = 36;

/// The id of a request: 1 to 64 characters of `A-Z a-z 0-9 . _ : @ / + = -`.
///
/// It is the one that a trusted peer sent in `X-Request-Id`, or else a new UUID of version 7, whose
/// first digits are the time. The answer, the lines of the logs and error reports carry the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId {
    bytes: [u8; LONGEST],
    len: u8,
}

impl RequestId {
    /// No id: what a context has before it is filled in.
    pub(crate) const NONE: RequestId = RequestId { bytes: [0; LONGEST], len: 0 };

    /// Takes an id over, if it is one.
    pub(crate) fn accept(bytes: &[u8]) -> Option<RequestId> {
        let mut id = RequestId::NONE;
        // Without a way out of the loop, several bytes are looked at together.
        if bytes.is_empty() || !bytes.iter().fold(true, |good, byte| good & is_of_an_id(*byte)) {
            return None;
        }
        id.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        id.len = u8::try_from(bytes.len()).ok()?;
        Some(id)
    }

    /// A new id. `wall` is the time in nanoseconds since the Unix epoch; ids of one process ascend,
    /// also those that are made within the same microsecond or by several threads.
    #[inline]
    pub(crate) fn new(wall: u64) -> RequestId {
        RequestId::from_words(next_moment(wall), random())
    }

    /// Of a moment, 48 bits of milliseconds and 12 of what is below, and 62 bits of chance.
    #[inline]
    fn from_words(moment: u64, chance: u64) -> RequestId {
        let high = (moment >> 12) << 16 | 0x7000 | moment & 0xfff;
        let low = 1 << 63 | chance >> 2;
        let digits: [u8; 32] = hex((u128::from(high) << 64 | u128::from(low)).to_be_bytes());
        let mut bytes = [0; LONGEST];
        bytes[..8].copy_from_slice(&digits[..8]);
        bytes[8] = b'-';
        bytes[9..13].copy_from_slice(&digits[8..12]);
        bytes[13] = b'-';
        bytes[14..18].copy_from_slice(&digits[12..16]);
        bytes[18] = b'-';
        bytes[19..23].copy_from_slice(&digits[16..20]);
        bytes[23] = b'-';
        bytes[24..36].copy_from_slice(&digits[20..32]);
        RequestId { bytes, len: UUID as u8 }
    }

    /// The id as text; ASCII.
    #[inline]
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The id as bytes, which are ASCII.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({})", self.as_str())
    }
}

#[inline(always)]
fn is_of_an_id(byte: u8) -> bool {
    // `-./0123456789:` follow each other, and `@ABC…`.
    let (digit, upper, lower) = (byte.wrapping_sub(b'-'), byte.wrapping_sub(b'@'), byte | 0x20);
    (digit <= b':' - b'-')
        | (upper <= b'Z' - b'@')
        | (lower.wrapping_sub(b'a') <= b'z' - b'a')
        | (byte == b'_')
        | (byte == b'+')
        | (byte == b'=')
}

/// The moment of `wall`, in 4096ths of a millisecond, or one later than the last: ids ascend although
/// clocks stand still or go back.
#[inline]
fn next_moment(wall: u64) -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let (millis, nanos) = (wall / 1_000_000, wall % 1_000_000);
    let moment = (millis << 12) | (nanos * 4_096 / 1_000_000);
    let mut last = LAST.load(Relaxed);
    loop {
        let next = moment.max(last + 1);
        match LAST.compare_exchange_weak(last, next, Relaxed, Relaxed) {
            Ok(_) => return next,
            Err(now) => last = now,
        }
    }
}

/// 64 bits of chance: a counter of this thread, mixed (SplitMix64). Each thread begins where the
/// system's randomness put it.
#[inline]
pub(crate) fn random() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0) };
    }
    let mut state = STATE.get();
    if state == 0 {
        state = seed();
    }
    state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cold]
fn seed() -> u64 {
    static THREADS: AtomicU64 = AtomicU64::new(0);
    // The keys of the standard library's hash maps are the system's randomness.
    RandomState::new().hash_one(THREADS.fetch_add(1, Relaxed))
}

/// `bytes` as lower-case hex digits; `DIGITS` is twice `BYTES`.
///
/// By arithmetic on all of them at once, which the compiler turns into a few vector instructions; a
/// table costs more (measured: 15 instructions for an id).
#[inline(always)]
pub(crate) fn hex<const BYTES: usize, const DIGITS: usize>(bytes: [u8; BYTES]) -> [u8; DIGITS] {
    const { assert!(DIGITS == 2 * BYTES && BYTES.is_multiple_of(4)) };
    let mut digits = [0; DIGITS];
    let (eights, _) = digits.as_chunks_mut::<8>();
    for (eight, word) in eights.iter_mut().zip(bytes.as_chunks::<4>().0) {
        // Each step doubles the room of what is left, until every digit has a byte.
        let word = u64::from(u32::from_be_bytes(*word));
        let halves = (word | word << 16) & 0x0000_ffff_0000_ffff;
        let bytes = (halves | halves << 8) & 0x00ff_00ff_00ff_00ff;
        let values = (bytes | bytes << 4) & 0x0f0f_0f0f_0f0f_0f0f;
        *eight = ascii(values).to_be_bytes();
    }
    digits
}

/// One in each byte of a word.
pub(crate) const ONES: u64 = 0x0101_0101_0101_0101;

/// Eight values below 16 as digits.
#[inline(always)]
pub(crate) fn ascii(values: u64) -> u64 {
    let letters = ((values + ONES * 6) >> 4) & ONES;
    values + ONES * u64::from(b'0') + letters * u64::from(b'a' - b'9' - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_new_id_is_the_uuid_of_its_time() {
        // 2022-02-22 19:22:22 UTC, the example of RFC 9562, A.6.
        let id = RequestId::from_words(0x017f_22e2_79b0 << 12 | 0xcc3, 0x18c4_dc0c_0c07_398f << 2);
        assert_eq!(id.as_str(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
        assert_eq!(id.to_string().len(), UUID);
    }

    #[test]
    fn new_ids_ascend_though_the_clock_does_not() {
        let wall = 1_795_342_252_000_000_000;
        let ids: Vec<_> = (0..5_000_u64).map(|at| RequestId::new(wall - at)).collect();
        assert!(ids.is_sorted_by(|one, other| one.as_str() < other.as_str()));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(move || {
                    (0..1_000).map(|_| RequestId::new(wall)).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut all: Vec<_> = threads.into_iter().flat_map(|it| it.join().unwrap()).collect();
        all.sort_unstable_by_key(|id| id.bytes);
        all.dedup();
        assert_eq!(all.len(), 4_000, "no two are the same");
    }

    #[test]
    fn ids_are_taken_over_if_they_are_short_and_plain() {
        for good in ["a", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", "Root=1-67891233:a@b/c+d._"] {
            assert_eq!(RequestId::accept(good.as_bytes()).unwrap().as_str(), good);
        }
        let (longest, longer) = ("x".repeat(64), "x".repeat(65));
        assert!(RequestId::accept(longest.as_bytes()).is_some());
        for bad in ["", "a b", "a\n", "é", "\"", "a,b", "%41", &longer] {
            assert_eq!(RequestId::accept(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn an_id_has_letters_digits_and_eight_marks() {
        for byte in 0..=u8::MAX {
            let expected = byte.is_ascii_alphanumeric() || b"._:@/+=-".contains(&byte);
            assert_eq!(RequestId::accept(&[byte]).is_some(), expected, "{byte}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_id_or_none(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(id) = RequestId::accept(&bytes) {
                prop_assert_eq!(id.as_bytes(), &bytes[..]);
                prop_assert_eq!(id.as_str().as_bytes(), &bytes[..]);
            }
        }

        #[test]
        fn any_time_gives_a_uuid_of_version_seven(moment in any::<u64>(), chance in any::<u64>()) {
            let id = RequestId::from_words(moment, chance);
            let text = id.as_str();
            prop_assert_eq!((text.len(), text.as_bytes()[14]), (36, b'7'));
            prop_assert!(matches!(text.as_bytes()[19], b'8'..=b'b'));
        }
    }
}
