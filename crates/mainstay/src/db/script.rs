//! A script of several statements taken apart, so that one that fails can be named.
//!
//! Semicolons within quotes, comments, dollar quotes and the bodies of triggers and procedures part
//! nothing.

use super::fingerprint::{Token, next};

/// The statements of a script, without the semicolons between them and the comments before them; each
/// with the line on which it begins, from 1.
pub(crate) fn statements(script: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let (mut rest, mut begin) = (script, 0);
    let mut words: Vec<&str> = Vec::new();
    let mut depth = 0_usize;
    while !rest.is_empty() {
        let at = script.len() - rest.len();
        let (token, behind) = next(rest);
        match token {
            Token::Blank if words.is_empty() => begin = script.len() - behind.len(),
            Token::Word(word) => {
                // Only what may open or close a body is looked at.
                depth = follow(depth, &words, word);
                words.push(word);
            }
            Token::Mark(';') if depth == 0 => {
                push(&mut found, script, begin, at);
                begin = at + 1;
                words.clear();
            }
            _ if words.is_empty() => words.push(""),
            _ => {}
        }
        rest = behind;
    }
    push(&mut found, script, begin, script.len());
    found
}

/// Whether the statement that began with `words` has a body, and where in it this word leads.
fn follow(depth: usize, words: &[&str], word: &str) -> usize {
    let is = |word: &str, other: &str| word.eq_ignore_ascii_case(other);
    let has_body = words.first().is_some_and(|first| is(first, "CREATE"))
        && words.iter().take(6).any(|it| {
            ["TRIGGER", "PROCEDURE", "FUNCTION", "EVENT"].iter().any(|kind| is(it, kind))
        });
    if !has_body {
        return depth;
    }
    let after_end = words.last().is_some_and(|last| is(last, "END"));
    match () {
        () if is(word, "BEGIN") || is(word, "CASE") => depth + 1,
        () if after_end => depth,
        () if is(word, "END") => depth.saturating_sub(1),
        () => depth,
    }
}

fn push<'a>(found: &mut Vec<(usize, &'a str)>, script: &'a str, begin: usize, end: usize) {
    let statement = script.get(begin..end).unwrap_or_default();
    let begin = begin + statement.len() - statement.trim_start().len();
    let statement = statement.trim();
    if !is_empty(statement) {
        let line = script.get(..begin).unwrap_or_default().matches('\n').count() + 1;
        found.push((line, statement));
    }
}

/// Nothing but comments.
fn is_empty(statement: &str) -> bool {
    let mut rest = statement;
    while !rest.is_empty() {
        let (token, behind) = next(rest);
        if token != Token::Blank {
            return false;
        }
        rest = behind;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn statements_are_parted_where_they_end_and_nowhere_else() {
        let script = "-- the first; table\n\
            CREATE TABLE a (b TEXT DEFAULT ';'); /* ; */\n\n\
            INSERT INTO a VALUES ('x;y''z'), (\"q;\");\n\
            CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  UPDATE a SET b = CASE WHEN 1 THEN 2 END;\n  DELETE FROM a;\nEND;\n\
            CREATE FUNCTION f() RETURNS int AS $$ BEGIN RETURN 1; END; $$ LANGUAGE plpgsql;\n\
            ;;\n-- the end;\nSELECT 1";
        let found = statements(script);
        let begins: Vec<_> = found
            .iter()
            .map(|(line, it)| (*line, it.split_whitespace().take(2).collect::<Vec<_>>().join(" ")))
            .collect();
        let expected = [
            (2, "CREATE TABLE"),
            (4, "INSERT INTO"),
            (5, "CREATE TRIGGER"),
            (9, "CREATE FUNCTION"),
            (12, "SELECT 1"),
        ];
        assert_eq!(begins, expected.map(|(line, text)| (line, text.to_owned())), "{found:#?}");
        assert!(found[2].1.ends_with("END") && found[3].1.ends_with("plpgsql"));
        assert!(statements(" ; -- nothing\n/* at all */").is_empty());
    }

    proptest! {
        #[test]
        fn nothing_of_a_script_is_lost(parts in prop::collection::vec("[a-z ()'=0-9]{1,12}", 0..6)) {
            let even = |text: &str| text.matches('\'').count().is_multiple_of(2);
            prop_assume!(parts.iter().all(|part| even(part)));
            let script = parts.join(";");
            let found: Vec<_> = statements(&script).into_iter().map(|(_, it)| it).collect();
            let expected: Vec<_> = parts.iter().map(|it| it.trim()).filter(|it| !it.is_empty()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
