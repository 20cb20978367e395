//! One outcome for a whole connection, however its bytes were split: for fuzzing and tests.

use super::{Framing, Limits, Reject};

/// What became of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    /// Bytes that were handed on.
    pub(crate) verified: usize,
    /// Heads among them.
    pub(crate) heads: u64,
    /// What was told the client at last, when it had sent all and closed.
    pub(crate) reject: Option<Reject>,
    /// Whether the last head's body is not whole.
    pub(crate) in_body: bool,
}

/// Feeds `bytes` as they had come up to each of `ends`, and then all.
pub(crate) fn outcome(bytes: &[u8], ends: impl IntoIterator<Item = usize>) -> Outcome {
    let mut framing = Framing::new(Limits::default());
    let mut verified = 0;
    for end in ends.into_iter().chain([bytes.len()]) {
        let fed = bytes.get(verified..end).unwrap_or_default();
        match framing.feed(fed) {
            Ok(passed) => verified += passed,
            Err(rejected) => {
                assert!(rejected.verified <= rejected.head.start, "a head that was handed on");
                assert!(rejected.head.end <= fed.len(), "a head that was not fed");
                assert!(!rejected.in_body || rejected.head.is_empty(), "a body is no head");
                assert_eq!(framing.eof(0), None, "a fault is told once");
                return Outcome {
                    verified: verified + rejected.verified,
                    heads: framing.heads(),
                    reject: Some(rejected.reject),
                    in_body: rejected.in_body,
                };
            }
        }
        assert!(verified <= bytes.len(), "more passed than was there");
    }
    let reject = framing.eof(bytes.len() - verified);
    let in_body = reject.is_some_and(|reject| reject.reason == "incomplete_body");
    Outcome { verified, heads: framing.heads(), reject, in_body }
}

/// Judges `bytes` whole, split in two, and byte by byte.
///
/// # Panics
/// If the outcomes differ, or anything else is not as it must be. This is what the fuzz target for
/// request heads calls.
pub(crate) fn judge(bytes: &[u8], split: usize) {
    let whole = outcome(bytes, []);
    let split = split.min(bytes.len());
    assert_eq!(outcome(bytes, [split]), whole, "split at {split}");
    assert_eq!(outcome(bytes, 0..bytes.len()), whole, "byte by byte");
}
