//! What a statement does, in few words and of few kinds: `SELECT orders customers`.

use super::fingerprint::{Token, next};

/// Longest summary, bytes, by the conventions.
const LONGEST: usize = 255;
/// Words that begin an operation.
const OPERATIONS: &[&str] = &[
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "REPLACE",
    "MERGE",
    "CREATE",
    "ALTER",
    "DROP",
    "TRUNCATE",
    "PRAGMA",
    "VACUUM",
    "ANALYZE",
    "EXPLAIN",
    "CALL",
    "SET",
    "SHOW",
    "LISTEN",
    "NOTIFY",
    "COPY",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT",
    "RELEASE",
    "LOCK",
];
/// Words behind which what they work on stands.
const BEFORE: &[&str] =
    &["FROM", "INTO", "UPDATE", "JOIN", "TABLE", "CALL", "PRAGMA", "TRUNCATE", "LISTEN", "NOTIFY"];
/// What may stand between the two.
const BETWEEN: &[&str] =
    &["ONLY", "IF", "NOT", "EXISTS", "TABLE", "IGNORE", "OR", "LATERAL", "ABORT", "FAIL"];

/// The operations of a statement and what they work on, in order. Empty when it has none that is known.
pub(super) fn summary(statement: &str) -> String {
    let mut out = String::new();
    let (mut rest, mut expects, mut last) = (statement, false, "");
    while !rest.is_empty() && out.len() < LONGEST {
        let (token, behind) = next(rest);
        rest = behind;
        let word = match token {
            Token::Word(word) => word,
            Token::Blank => continue,
            // A list of tables goes on, what is in brackets is a statement of its own.
            Token::Mark('.' | ',') | Token::Value => {
                last = "";
                continue;
            }
            Token::Mark(_) => {
                (expects, last) = (false, "");
                continue;
            }
        };
        let is = |list: &[&str]| list.iter().any(|it| word.eq_ignore_ascii_case(it));
        let is_update_of =
            |it: &str| last.eq_ignore_ascii_case(it) && word.eq_ignore_ascii_case("update");
        if expects && is(BETWEEN) {
            continue;
        } else if expects && !is(OPERATIONS) {
            // A name that has a schema has it before a dot.
            let end = statement.len() - rest.len();
            let begin = end - word.len();
            let name = qualified(statement, begin, &mut rest);
            add(&mut out, name);
            expects = false;
        } else if is_update_of("for")
            || is_update_of("do")
            || is_update_of("key")
            || is_update_of("on")
        {
            // FOR UPDATE locks, ON CONFLICT DO UPDATE is part of an INSERT.
            expects = false;
        } else if is(OPERATIONS)
            && (out.is_empty() || !is(&["SET", "ANALYZE", "REPLACE", "RELEASE", "LOCK", "COPY"]))
        {
            add(&mut out, &word.to_ascii_uppercase());
            expects = is(BEFORE);
        } else if is(BEFORE) {
            expects = true;
        }
        last = word;
    }
    out
}

/// The name that begins at `begin`, with what follows behind dots.
fn qualified<'a>(statement: &'a str, begin: usize, rest: &mut &'a str) -> &'a str {
    while let Some(behind) = rest.strip_prefix('.') {
        let (Token::Word(_), behind) = (if behind.is_empty() { break } else { next(behind) })
        else {
            break;
        };
        *rest = behind;
    }
    statement.get(begin..statement.len() - rest.len()).unwrap_or_default()
}

fn add(out: &mut String, word: &str) {
    let blank = usize::from(!out.is_empty());
    if out.len() + blank + word.len() <= LONGEST {
        out.push_str(&" "[..blank]);
        out.push_str(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_summary_names_operations_and_tables() {
        for (statement, expected) in [
            ("SELECT * FROM orders WHERE id = ?", "SELECT orders"),
            (
                "select a, b from shop.orders o join \"Customers\" c on c.id = o.c",
                "SELECT shop.orders \"Customers\"",
            ),
            (
                "INSERT INTO shipping_details (a, b) SELECT a, b FROM orders",
                "INSERT shipping_details SELECT orders",
            ),
            ("INSERT INTO a (b) VALUES (?) ON CONFLICT (b) DO UPDATE SET c = ?", "INSERT a"),
            ("INSERT INTO a VALUES (?) ON DUPLICATE KEY UPDATE b = ?", "INSERT a"),
            ("UPDATE users SET name = ? WHERE id = ?", "UPDATE users"),
            ("DELETE FROM sessions WHERE until < ?", "DELETE sessions"),
            ("SELECT * FROM jobs FOR UPDATE SKIP LOCKED", "SELECT jobs"),
            ("CREATE TABLE IF NOT EXISTS a (b int)", "CREATE a"),
            ("DROP TABLE a", "DROP a"),
            ("WITH x AS (SELECT a FROM b) SELECT * FROM x", "SELECT b SELECT x"),
            ("SELECT count(*) FROM (SELECT 1 FROM a) t", "SELECT SELECT a"),
            ("PRAGMA journal_mode", "PRAGMA journal_mode"),
            ("BEGIN", "BEGIN"),
            ("SELECT 1", "SELECT"),
            ("", ""),
            ("gibberish", ""),
        ] {
            assert_eq!(summary(statement), expected, "{statement}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail_or_long(text: String, sql in "(SELECT|FROM|INTO|UPDATE|a|\\.|\"|'|,|\\(| ){0,40}") {
            prop_assert!(summary(&text).len() <= LONGEST);
            prop_assert!(summary(&sql).len() <= LONGEST);
        }
    }
}
