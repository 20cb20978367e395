//! A regular expression, as a probe has it. Whoever writes one may err, so what it costs is bounded: its matching takes
//! at most as many steps for each character as it has places to be in.

use regex_lite::{Regex, RegexBuilder};

/// Most that a compiled one may take, bytes: some hundred places, so that a MiB costs seconds at the very worst.
const SIZE: usize = 4 << 10;
/// How deep groups may stand in groups.
const DEPTH: u32 = 32;

/// The expression; two are the same when their texts are.
#[derive(Clone, Debug)]
pub(crate) struct Expression(Regex);

impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Expression {}

impl Expression {
    /// Compiles it.
    ///
    /// # Errors
    /// The predicate of a sentence.
    pub(crate) fn parse(text: &str) -> Result<Expression, String> {
        let built = RegexBuilder::new(text).size_limit(SIZE).nest_limit(DEPTH).build();
        built.map(Expression).map_err(|why| format!("is no expression: {why}"))
    }

    /// Whether it is found in a text of which this is the beginning, or all of it.
    pub(crate) fn is_in(&self, text: &[u8], is_cut: bool) -> bool {
        let mut text = String::from_utf8_lossy(text);
        if is_cut {
            // Where no more is read is not where it ends: `$` is not to be found there.
            text.to_mut().push(char::REPLACEMENT_CHARACTER);
        }
        self.0.is_match(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_found_anywhere_and_its_anchors_mean_the_whole_text() {
        for (expression, text, is_cut, is_in) in [
            (r"v\d+\.\d+", "this is v1.25", false, true),
            (r"^v\d+", "this is v1.25", false, false),
            ("(?i)WELCOME", "welcome", false, true),
            ("(?m)^b$", "a\nb\nc", false, true),
            ("up$", "it is up", false, true),
            ("up$", "it is up", true, false),
            ("is.*$", "it is up", true, true),
            ("b", "\u{ff}", false, false),
        ] {
            let found = Expression::parse(expression).unwrap().is_in(text.as_bytes(), is_cut);
            assert_eq!(found, is_in, "{expression} in {text}");
        }
        assert!(
            Expression::parse("b").unwrap().is_in(b"\xff\xfeb", false),
            "bytes that are no text"
        );
    }

    #[test]
    fn an_expression_that_is_none_or_too_large_says_why() {
        for (expression, why) in [
            ("(a", "is no expression: "),
            ("[z-a]", "is no expression: "),
            (r"\p{L}", "is no expression: "),
            ("a{200}", "size limit"),
            (&"(".repeat(100), "is no expression: "),
        ] {
            let told = Expression::parse(expression).unwrap_err();
            assert!(told.contains(why), "{expression}: {told}");
        }
        assert_eq!(Expression::parse("a"), Expression::parse("a"));
        assert!(Expression::parse("a") != Expression::parse("b"));
    }
}
