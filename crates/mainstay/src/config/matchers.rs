//! What chooses alerts, for silences and maintenance windows: `rule=high_5xx`, `severity=warning`, `pool=db*`.

use serde::{Deserialize, Serialize};

/// Names that every alert has.
pub(crate) const RULE: &str = "rule";
pub(crate) const SEVERITY: &str = "severity";
pub(crate) const SUBJECT: &str = "subject";

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Matcher {
    /// One of the names above, or the label of a rule.
    pub(crate) name: String,
    /// With `*` at its end it stands for all that begin so.
    pub(crate) value: String,
}

impl Matcher {
    /// Reads `NAME=VALUE`.
    ///
    /// # Errors
    /// What is wrong, for the end of a sentence.
    pub(crate) fn parse(text: &str) -> Result<Matcher, String> {
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|it| it.is_ascii_lowercase() || it == b'_')
        };
        let (name, value) = text
            .split_once('=')
            .filter(|(name, value)| is_name(name) && !value.is_empty())
            .ok_or_else(|| format!("{text:?} is no NAME=VALUE, such as rule=high_5xx"))?;
        Ok(Matcher { name: name.to_owned(), value: value.to_owned() })
    }

    /// Whether this value is meant.
    pub(crate) fn is(&self, value: &str) -> bool {
        match self.value.strip_suffix('*') {
            Some(beginning) => value.starts_with(beginning),
            None => value == self.value,
        }
    }

    /// As it was written.
    pub(crate) fn shown(&self) -> String {
        format!("{}={}", self.name, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matcher_is_a_name_and_a_value_or_the_beginning_of_one() {
        let read = |text: &str| Matcher::parse(text).unwrap();
        assert!(read("rule=high_5xx").is("high_5xx") && !read("rule=high_5xx").is("high_5xx_low"));
        assert!(read("rule=high_*").is("high_5xx_low") && read("pool=*").is(""));
        assert_eq!(read("directory=/a=b").shown(), "directory=/a=b");
        for wrong in ["", "rule", "rule=", "=x", "Rule=x", "a b=c"] {
            assert!(Matcher::parse(wrong).is_err(), "{wrong}");
        }
    }
}
