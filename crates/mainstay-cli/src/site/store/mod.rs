//! What the site keeps: components with their days, incidents with their updates and attachments.
//!
//! Reads go to the pool; writes are part of the transaction of the request that makes them.

pub(crate) mod attachment;
pub(crate) mod component;
pub(crate) mod day;
pub(crate) mod incident;
pub(crate) mod lease;

use mainstay::db::Pool;
use mainstay::sqlx::{self, Any};

/// The database, of whatever kind.
pub(crate) type Db = Pool<Any>;
pub(crate) type Row = sqlx::any::AnyRow;
pub(crate) type Error = sqlx::Error;

/// A name of `bytes` bytes that nobody can guess, in lower-case letters and digits: 8 letters for each 5.
pub(crate) fn random_id(bytes: usize) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).expect("the system has random numbers");
    random
        .chunks(5)
        .flat_map(|chunk| {
            let word = chunk.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
            (0..8).rev().map(move |at| char::from(LETTERS[(word >> (5 * at) & 31) as usize]))
        })
        .collect()
}

/// Whether a text may be such a name: what comes in an address is looked at before anything is asked.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=48).contains(&text.len())
        && text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_long_enough_and_never_the_same() {
        let all: std::collections::HashSet<String> = (0..1_000).map(|_| random_id(10)).collect();
        assert_eq!(all.len(), 1_000);
        assert!(all.iter().all(|id| id.len() == 16 && is_id(id)));
        assert!(!is_id("") && !is_id("../x") && !is_id("A") && !is_id(&"a".repeat(49)));
    }
}
