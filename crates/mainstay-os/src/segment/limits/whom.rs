//! What stands beside a place of who is refused: whom it is for and since when, with a sum by which it is known that
//! all of it was written for one term. Whoever was passed over may still write here, and must take nobody's name.

use super::sip;
use crate::segment::atomic::{AtomicU64, Ordering::Relaxed};
use crate::segment::text;

// Words beside each place.
pub(super) const SINCE: usize = 0;
pub(super) const LAST: usize = 1;
pub(super) const BEFORE: usize = 2;
/// Lengths of the texts, and whether it is tried only.
const FACTS: usize = 3;
pub(super) const SUM: usize = 4;
const POLICY: usize = 5;
const LIMIT: usize = 13;
pub(super) const KEY: usize = 18;
pub(super) const DETAILS: usize = 32;
/// The texts: where each begins, and behind the last.
const TEXTS: [usize; 4] = [POLICY, LIMIT, KEY, DETAILS];
const TRIED: u64 = 1 << 63;

/// Bytes of a limit's name that are kept.
pub const REFUSED_NAME: usize = (LIMIT - POLICY) * 8;

/// Whom a limit refuses. Texts beyond 64, 40 and 112 bytes are cut where they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whom<T> {
    /// The limit's name.
    pub policy: T,
    /// What it says.
    pub limit: T,
    /// As the log names the client.
    pub key: T,
    /// It would be refused, if the limit were held.
    pub tried: bool,
}

/// What a place says of itself.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) whom: Whom<Vec<u8>>,
    pub(super) since: u64,
    pub(super) last: u64,
    pub(super) before: u64,
    sum: u64,
}

impl Beside {
    /// As it stands there, whoever wrote it.
    pub(super) fn read(place: &[AtomicU64; DETAILS]) -> Beside {
        let facts = place[FACTS].load(Relaxed);
        let [policy, limit, key] = [0, 1, 2].map(|index| {
            let mut bytes = Vec::new();
            let length = (facts >> (index * 10) & 0x3ff) as usize;
            text::load(&place[TEXTS[index]..TEXTS[index + 1]], length, &mut bytes);
            bytes
        });
        let whom = Whom { policy, limit, key, tried: facts & TRIED != 0 };
        let [since, last, before, sum] =
            [SINCE, LAST, BEFORE, SUM].map(|word| place[word].load(Relaxed));
        Beside { whom, since, last, before, sum }
    }

    /// Whether all of it was written for this term, and nothing since.
    pub(super) fn is_of(&self, secret: [u64; 2], tag: u64, term: u64) -> bool {
        let Whom { policy, limit, key, tried } = &self.whom;
        let whom = Whom { policy: &policy[..], limit, key, tried: *tried };
        self.sum == sum(secret, tag, term, [self.since, self.before], &whom)
    }
}

/// Writes who has a place from now on.
pub(super) fn write(
    place: &[AtomicU64; DETAILS],
    secret: [u64; 2],
    [tag, term]: [u64; 2],
    [now, before]: [u64; 2],
    whom: &Whom<&[u8]>,
) {
    place[SINCE].store(now, Relaxed);
    place[LAST].store(now, Relaxed);
    place[BEFORE].store(before, Relaxed);
    // As it is stored, and not read back: whoever was passed over may write there at this moment.
    let whom = cut(whom);
    let mut facts = if whom.tried { TRIED } else { 0 };
    let texts = [whom.policy, whom.limit, whom.key];
    for (index, (bytes, ends)) in texts.into_iter().zip(TEXTS.windows(2)).enumerate() {
        let stored = text::store(&place[ends[0]..ends[1]], bytes);
        facts |= (stored as u64) << (index * 10);
    }
    place[FACTS].store(facts, Relaxed);
    place[SUM].store(sum(secret, tag, term, [now, before], &whom), Relaxed);
}

/// A client's tag; never 0.
pub(super) fn tag(secret: [u64; 2], whom: &Whom<&[u8]>) -> u64 {
    let [first, second] = secret;
    let policy = sip::hash([first ^ u64::from(whom.tried), second], whom.policy);
    let limit = sip::hash([first ^ policy, second], whom.limit);
    sip::hash([first ^ limit, second], whom.key).max(1)
}

/// By which it is known that all of a place was written for this client and term.
fn sum(secret: [u64; 2], of: u64, term: u64, known: [u64; 2], whom: &Whom<&[u8]>) -> u64 {
    let [since, before] = known;
    let known = since.rotate_left(29) ^ before.rotate_left(47);
    tag(secret, whom) ^ of.rotate_left(17) ^ term ^ known
}

/// As much of the texts as a place has room for.
fn cut<'a>(whom: &Whom<&'a [u8]>) -> Whom<&'a [u8]> {
    let cut =
        |bytes: &'a [u8], at: usize| &bytes[..bytes.len().min((TEXTS[at + 1] - TEXTS[at]) * 8)];
    let (policy, limit, key) = (cut(whom.policy, 0), cut(whom.limit, 1), cut(whom.key, 2));
    Whom { policy, limit, key, tried: whom.tried }
}
