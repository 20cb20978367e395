//! The nodes of a cluster, each tried by a key of its own: one that may only be read, or lacks replicas, refuses what
//! the others take. Pure but for asking.

use super::client::{Connection, TRY_OUT_KEY, Trouble, try_out};
use futures_util::future::try_join_all;
use redis::Value;
use std::collections::BTreeMap;

/// Slots of a cluster.
const SLOTS: u16 = 16_384;
/// Numbers behind the key until each node has one; more than enough for the slots of a node that has a share.
const KEYS: u32 = 1 << 20;

/// Whether each node that has slots takes writes.
///
/// # Errors
/// What the first of them said that does not.
pub(super) async fn try_each(open: &Connection) -> Result<(), Trouble> {
    let slots: Value = open.clone().send(redis::cmd("CLUSTER").arg("SLOTS")).await?;
    let tries = keys(&slots).into_iter().map(|key| {
        let mut open = open.clone();
        async move { try_out(&mut open, &key).await }
    });
    try_join_all(tries).await.map(drop)
}

/// A key for each node that has slots, by what `CLUSTER SLOTS` says.
fn keys(slots: &Value) -> Vec<String> {
    // The longest range of each, for which a key is found soonest.
    let mut ranges: BTreeMap<Vec<u8>, (u16, u16)> = BTreeMap::new();
    for range in slots.as_sequence().into_iter().flatten() {
        let Some([Value::Int(first), Value::Int(last), node, ..]) = range.as_sequence() else {
            continue;
        };
        let (Ok(first), Ok(last)) = (u16::try_from(*first), u16::try_from(*last)) else { continue };
        let Some([_, _, Value::BulkString(id), ..]) = node.as_sequence() else { continue };
        let known = ranges.entry(id.clone()).or_insert((first, last));
        if last.saturating_sub(first) > known.1.saturating_sub(known.0) {
            *known = (first, last);
        }
    }
    let mut wanted: Vec<_> = ranges.into_values().collect();
    let mut keys = Vec::new();
    for number in 0..KEYS {
        if wanted.is_empty() {
            break;
        }
        let key = format!("{TRY_OUT_KEY}:{number}");
        let slot = slot(key.as_bytes());
        let before = wanted.len();
        wanted.retain(|(first, last)| !(*first..=*last).contains(&slot));
        if wanted.len() < before {
            keys.push(key);
        }
    }
    keys
}

/// The slot of a key without braces: its CRC-16 (XMODEM).
fn slot(key: &[u8]) -> u16 {
    let sum = key.iter().fold(0_u16, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte) << 8, |sum, _| {
            if sum & 0x8000 == 0 { sum << 1 } else { sum << 1 ^ 0x1021 }
        })
    });
    sum % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str) -> Value {
        let text = |it: &str| Value::BulkString(it.as_bytes().to_vec());
        Value::Array(vec![text("10.0.0.1"), Value::Int(6_379), text(id), Value::Array(vec![])])
    }

    fn range(first: i64, last: i64, id: &str) -> Value {
        Value::Array(vec![Value::Int(first), Value::Int(last), node(id), node("its replica")])
    }

    #[test]
    fn a_keys_slot_is_that_of_the_specification() {
        // 0x31C3 of "123456789", which the specification of Redis Cluster names.
        assert_eq!(slot(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot(b""), 0);
    }

    #[test]
    fn each_node_has_a_key_in_a_range_of_its_own() {
        let slots = Value::Array(vec![
            range(0, 5_460, "a"),
            range(5_461, 5_461, "b"),
            range(5_462, 10_922, "c"),
            range(10_923, 16_383, "b"),
            Value::Nil,
        ]);
        let found = keys(&slots);
        let slots: Vec<_> = found.iter().map(|it| slot(it.as_bytes())).collect();
        assert_eq!(slots.len(), 3, "{found:?}");
        for range in [0..=5_460, 5_462..=10_922, 10_923..=16_383] {
            assert!(slots.iter().any(|it| range.contains(it)), "{range:?}: {slots:?}");
        }
        let narrow = Value::Array(vec![range(0, 16_382, "a"), range(16_383, 16_383, "b")]);
        assert!(keys(&narrow).iter().any(|it| slot(it.as_bytes()) == 16_383));
        assert!(keys(&Value::Nil).is_empty());
    }
}
