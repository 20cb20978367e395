//! What a statement is without its values: the name under which its like are counted, and the most
//! that may be told of one that holds literals.
//!
//! Literals become `?`, lists of values `(...)`, blanks one blank, comments nothing. What looks like a
//! secret's column hides the whole tail. The words stay as they were written; two statements that
//! differ in case alone are two.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Longest statement that is told, bytes.
pub(crate) const LONGEST: usize = 2_048;

/// A statement without its values, and a number for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) text: String,
    pub(crate) hash: u64,
}

/// Takes the values out of a statement. Never fails: of what it cannot read it keeps less.
pub(crate) fn fingerprint(statement: &str) -> Fingerprint {
    let mut writer = Writer::default();
    let mut rest = statement;
    while !rest.is_empty() && writer.text.len() < LONGEST {
        let (token, behind) = next(rest);
        writer.push(token);
        rest = behind;
    }
    let mut text = writer.text;
    if !rest.is_empty() {
        let mut end = LONGEST;
        while !text.is_char_boundary(end.min(text.len())) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(" ...");
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    Fingerprint { text, hash: hasher.finish() }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Blanks or a comment.
    Blank,
    /// A literal, or a placeholder for one.
    Value,
    /// A name, a keyword, or an identifier in quotes.
    Word(&'a str),
    /// Anything else, a character at a time.
    Mark(char),
}

/// The first token of a text that is not empty, and what follows it.
pub(super) fn next(text: &str) -> (Token<'_>, &str) {
    let bytes = text.as_bytes();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
    let upto = |end: usize| text.split_at_checked(end).unwrap_or((text, ""));
    match bytes[0] {
        byte if byte.is_ascii_whitespace() => {
            let end = bytes.iter().position(|it| !it.is_ascii_whitespace());
            (Token::Blank, upto(end.unwrap_or(bytes.len())).1)
        }
        b'-' if bytes.starts_with(b"--") => {
            (Token::Blank, text.split_once('\n').map_or("", |(_, rest)| rest))
        }
        b'#' if bytes.get(1).is_none_or(|next| !matches!(next, b'>' | b'-')) => {
            // MySQL's comment; PostgreSQL has operators that begin so.
            (Token::Blank, text.split_once('\n').map_or("", |(_, rest)| rest))
        }
        b'/' if bytes.starts_with(b"/*") => (Token::Blank, behind_comment(text)),
        b'\'' => (Token::Value, behind_quoted(text, b'\'', 0)),
        b'"' | b'`' | b'[' if bytes[0] != b'[' || is_bracketed(bytes) => {
            let close = if bytes[0] == b'[' { b']' } else { bytes[0] };
            let rest = behind_quoted(text, close, 0);
            (Token::Word(upto(text.len() - rest.len()).0), rest)
        }
        b'$' => dollar(text),
        b'?' => {
            let digits = bytes[1..].iter().take_while(|it| it.is_ascii_digit()).count();
            (Token::Value, upto(1 + digits).1)
        }
        b':' | b'@' if bytes.get(1).is_some_and(|next| is_word(*next)) => {
            let length = bytes[1..].iter().take_while(|it| is_word(**it)).count();
            // `::text` was read as a mark before; `:name` is a placeholder.
            (Token::Value, upto(1 + length).1)
        }
        b':' if bytes.starts_with(b"::") => (Token::Word("::"), upto(2).1),
        byte if byte.is_ascii_digit()
            || (byte == b'.' && bytes.get(1).is_some_and(u8::is_ascii_digit)) =>
        {
            (Token::Value, behind_number(text))
        }
        byte if is_word(byte) => {
            let length = bytes.iter().take_while(|it| is_word(**it)).count();
            let (word, rest) = upto(length);
            // E'…', X'…', N'…', B'…', and MySQL's _utf8'…'.
            let is_prefix =
                word.len() == 1 || word.starts_with('_') || word.eq_ignore_ascii_case("u&");
            match rest.as_bytes().first() {
                Some(b'\'') if is_prefix => {
                    let escapes = word.eq_ignore_ascii_case("e");
                    (Token::Value, behind_string(rest, escapes))
                }
                _ => (Token::Word(word), rest),
            }
        }
        _ => {
            let mark = text.chars().next().unwrap_or(' ');
            (Token::Mark(mark), upto(mark.len_utf8()).1)
        }
    }
}

/// `[name]` is an identifier of SQLite's; `[1]` is an index of an array.
fn is_bracketed(bytes: &[u8]) -> bool {
    let inside = bytes.iter().skip(1).take_while(|byte| **byte != b']');
    inside.clone().next().is_some_and(|first| first.is_ascii_alphabetic())
        && inside.clone().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b' '))
}

/// What follows a comment, which may hold others.
fn behind_comment(text: &str) -> &str {
    let (bytes, mut depth, mut at) = (text.as_bytes(), 0_usize, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return text.get(at..).unwrap_or_default();
            }
        } else {
            at += 1;
        }
    }
    ""
}

/// What follows a text in quotes that begins at `from`; doubled quotes are within it.
fn behind_quoted(text: &str, close: u8, from: usize) -> &str {
    let bytes = text.as_bytes();
    let mut at = from + 1;
    while at < bytes.len() {
        match bytes[at] {
            // MySQL's way; elsewhere a backslash before a quote is rare, and more is hidden.
            b'\\'
                if close == b'\''
                    && bytes.get(at + 1) == Some(&b'\'')
                    && !ends_here(&bytes[at + 2..]) =>
            {
                at += 2;
            }
            byte if byte == close && bytes.get(at + 1) == Some(&close) => at += 2,
            byte if byte == close => return text.get(at + 1..).unwrap_or_default(),
            _ => at += 1,
        }
    }
    ""
}

/// Whether what follows a quote looks as if a literal had ended there.
fn ends_here(rest: &[u8]) -> bool {
    let next = rest.iter().find(|byte| !byte.is_ascii_whitespace());
    next.is_none_or(|byte| matches!(byte, b',' | b')' | b';'))
}

/// The same for one with backslashes of its own.
fn behind_string(text: &str, escapes: bool) -> &str {
    if !escapes {
        return behind_quoted(text, b'\'', 0);
    }
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return text.get(at + 1..).unwrap_or_default(),
            _ => at += 1,
        }
    }
    ""
}

/// `$1`, or `$tag$ … $tag$`.
fn dollar(text: &str) -> (Token<'_>, &str) {
    let bytes = text.as_bytes();
    let digits = bytes[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits > 0 {
        return (Token::Value, text.get(1 + digits..).unwrap_or_default());
    }
    let tag = bytes[1..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_');
    let end = 1 + tag.count();
    if bytes.get(end) != Some(&b'$') {
        return (Token::Mark('$'), text.get(1..).unwrap_or_default());
    }
    let quote = text.get(..=end).unwrap_or_default();
    let body = text.get(end + 1..).unwrap_or_default();
    (Token::Value, body.split_once(quote).map_or("", |(_, rest)| rest))
}

fn behind_number(text: &str) -> &str {
    let mut before = 0;
    let length = text
        .bytes()
        .take_while(|byte| {
            let is_sign = matches!(byte, b'+' | b'-') && matches!(before, b'e' | b'E');
            before = *byte;
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || is_sign
        })
        .count();
    text.get(length..).unwrap_or_default()
}

/// Columns whose values are nobody's: what stands behind such a word in a statement with literals is
/// hidden with them, but its name too may say too much in DDL.
#[derive(Default)]
struct Writer {
    text: String,
    /// Values and commas since the last parenthesis was opened: where it began.
    list: Option<usize>,
    blank: bool,
}

impl Writer {
    fn push(&mut self, token: Token<'_>) {
        match token {
            Token::Blank => self.blank = !self.text.is_empty(),
            Token::Value => {
                // A sign belongs to its number.
                if let Some(sign) = self.text.strip_suffix(['-', '+'])
                    && sign.trim_end().ends_with(['(', ',', '=', '<', '>'])
                {
                    let end = sign.trim_end().len();
                    self.blank = sign.len() > end || self.blank;
                    self.text.truncate(end);
                }
                self.word("?");
            }
            Token::Word(word) => {
                self.list = None;
                self.word(word);
            }
            Token::Mark('(') => {
                self.mark('(');
                self.list = Some(self.text.len());
            }
            Token::Mark(')') => {
                if let Some(begin) = self.list.take() {
                    let inside = self.text.get(begin..).unwrap_or_default();
                    if inside.starts_with('?') {
                        self.text.truncate(begin);
                        self.text.push_str("...");
                    }
                }
                self.blank = false;
                self.mark(')');
                self.join_lists();
            }
            Token::Mark(',') => {
                self.blank = false;
                self.mark(',');
            }
            Token::Mark(mark) => {
                if !matches!(mark, '-' | '+') {
                    self.list = None;
                }
                self.mark(mark);
            }
        }
    }

    fn space(&mut self) {
        if std::mem::take(&mut self.blank) && !self.text.ends_with('(') {
            self.text.push(' ');
        }
    }

    fn word(&mut self, word: &str) {
        self.space();
        self.text.push_str(word);
    }

    fn mark(&mut self, mark: char) {
        self.space();
        self.text.push(mark);
    }

    /// `(...), (...)` of many rows is `(...)`.
    fn join_lists(&mut self) {
        for joint in [",(...)", ", (...)"] {
            if let Some(before) = self.text.strip_suffix(joint)
                && before.ends_with("(...)")
            {
                let end = before.len();
                self.text.truncate(end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::client::corpus;
    use proptest::prelude::*;

    #[test]
    fn the_corpus_has_the_fingerprints_that_its_files_say() {
        let mut count = 0;
        for (name, line) in corpus::lines("fingerprint", ".good") {
            let (statement, expected) =
                line.split_once(" => ").expect("a statement and its fingerprint");
            let statement = String::from_utf8(corpus::unescape(statement)).unwrap();
            assert_eq!(fingerprint(&statement).text, expected, "{name}: {statement}");
            count += 1;
        }
        assert!(count >= 40, "the corpus has shrunk to {count}");
    }

    #[test]
    fn a_long_statement_is_cut_at_a_whole_character() {
        let long = format!("SELECT {}", "\"é\", ".repeat(1_000));
        let text = fingerprint(&long).text;
        assert!(text.len() <= LONGEST + 4 && text.ends_with(" ..."), "{}", text.len());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_none_grows(text: String, sql in "[a-z0-9'\"`$?:@()\\[\\],*/# -]{0,60}") {
            for text in [&text, &sql] {
                prop_assert!(fingerprint(text).text.len() <= 4 * text.len() + 8);
            }
        }

        #[test]
        fn no_literal_is_left(secret in "[a-z]{12}", number in 1_000_000_u64..) {
            for text in [
                format!("SELECT 1 FROM a WHERE b = '{secret}' AND c = {number}"),
                format!("INSERT INTO a VALUES ('{secret}', -{number}), ('x', 2)"),
                format!("SELECT $${secret}$$, $a${number}$a$, E'\\'{secret}' -- {secret}"),
                format!("/* {secret} */ SELECT '{secret}''{secret}'"),
            ] {
                let found = fingerprint(&text).text;
                prop_assert!(!found.contains(&secret) && !found.contains(&number.to_string()), "{}", found);
            }
        }
    }
}
