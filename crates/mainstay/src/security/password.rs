//! A password as it was typed, and what is asked of a new one.

use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;
use std::fmt;
use zeroize::Zeroizing;

/// Longest password, bytes: hashing must not become work of the sender's choosing.
const LONGEST: usize = 1_024;
/// A text of fewer different characters is a key that was held down.
const DIFFERENT: usize = 4;

/// A password as it was typed. Nothing shows it, and its memory is overwritten when it is dropped.
///
/// It is read from forms and JSON as any text is: `#[derive(Deserialize)] struct Form { name: String,
/// password: Password }`.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether it can be one at all: what is longer than any that was ever set is not hashed.
    pub(super) fn is_possible(&self) -> bool {
        self.0.len() <= LONGEST
    }

    /// What is wrong with it as a new password of the user `name`: too short, too long, or the first
    /// guess of anybody.
    pub(super) fn weakness(&self, name: &str, min: usize) -> Option<&'static str> {
        let text = self.0.as_str();
        if text.len() > LONGEST {
            return Some("The password is longer than 1,024 bytes.");
        }
        if text.chars().take(min).count() < min {
            return Some(too_short(min));
        }
        if text.trim().eq_ignore_ascii_case(name) {
            return Some("The password is the name.");
        }
        // Not more of them are looked at than decide.
        let mut different = BTreeSet::new();
        if !text.chars().any(|it| different.insert(it) && different.len() >= DIFFERENT) {
            return Some("The password repeats a few characters.");
        }
        None
    }
}

/// The words of [`Refusal::Weak`](super::Refusal::Weak) are constant.
fn too_short(min: usize) -> &'static str {
    match min {
        8 => "The password has fewer than 8 characters.",
        12 => "The password has fewer than 12 characters.",
        15 => "The password has fewer than 15 characters.",
        16 => "The password has fewer than 16 characters.",
        _ => "The password is too short.",
    }
}

impl From<String> for Password {
    fn from(text: String) -> Password {
        Password(Zeroizing::new(text))
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Password {
        Password::from(text.to_owned())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Password, D::Error> {
        String::deserialize(deserializer).map(Password::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_judged_by_its_length_and_never_by_its_composition() {
        let weakness = |text: &str| Password::from(text).weakness("alice.of.the.shop", 12);
        for good in ["correct horse", "aaaaaaaaabcd", "四文字じゃない十二文字以上のもの"]
        {
            assert_eq!(weakness(good), None, "{good}");
        }
        assert_eq!(weakness(&"abcd".repeat(256)), None);
        for bad in
            ["", "eleven char", "abababababababab", "Alice.Of.The.Shop", "日本語十一文字です。。"]
        {
            assert!(weakness(bad).is_some(), "{bad}");
        }
        assert!(weakness(&"abcde".repeat(205)).is_some(), "1,025 bytes");
    }

    #[test]
    fn a_password_is_read_from_json_and_shown_by_nothing() {
        let password: Password = serde_json::from_str("\"correct \\\"horse\"").unwrap();
        assert_eq!(password.bytes(), b"correct \"horse");
        assert_eq!(format!("{password:?} {:#?}", Some(&password)).matches("horse").count(), 0);
    }
}
