//! A condition on a document of JSON, as a probe has it: `status == ok`, `checks[0].age < 5`, `error` for what is
//! only to be there.

use serde_json::Value;
use std::cmp::Ordering;

/// How the two are to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

/// Those of two characters come first, since the others begin so.
const RELATIONS: [(&str, Relation); 6] = [
    ("==", Relation::Equal),
    ("!=", Relation::Unequal),
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("<", Relation::Less),
    (">", Relation::More),
];

/// A step into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Place(usize),
}

/// What it is compared with: `"1.10"` is that text, and no number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    text: String,
    is_quoted: bool,
}

impl Wanted {
    fn number(&self) -> Option<f64> {
        let number: f64 = self.text.parse().ok()?;
        (!self.is_quoted && number.is_finite()).then_some(number)
    }
}

/// The condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    path: Vec<Step>,
    /// None: it is to be there, and not null.
    wanted: Option<(Relation, Wanted)>,
}

impl Condition {
    /// Reads `PATH`, or `PATH RELATION VALUE`, where a value may stand in quotes.
    ///
    /// # Errors
    /// The predicate of a sentence.
    pub(crate) fn parse(text: &str) -> Result<Condition, &'static str> {
        let places = RELATIONS.iter().filter_map(|(sign, relation)| {
            Some((text.find(sign)?, std::cmp::Reverse(sign.len()), *relation))
        });
        let first = places.min_by_key(|(at, length, _)| (*at, *length));
        let Some((at, length, relation)) = first else {
            return Ok(Condition { path: steps(text.trim())?, wanted: None });
        };
        let value = text[at + length.0..].trim();
        let quoted = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        let value = match quoted {
            Some(value) => value,
            None if value.is_empty() => return Err("compares with nothing"),
            None if RELATIONS.iter().any(|(sign, _)| value.contains(sign)) => {
                return Err("compares twice");
            }
            None => value,
        };
        let is_ordering = !matches!(relation, Relation::Equal | Relation::Unequal);
        let wanted = Wanted { text: value.to_owned(), is_quoted: quoted.is_some() };
        if is_ordering && wanted.number().is_none() {
            return Err("compares with what is no number");
        }
        let wanted = Some((relation, wanted));
        Ok(Condition { path: steps(text[..at].trim())?, wanted })
    }

    /// Whether a document is as it should be. What is not there is equal to nothing.
    pub(crate) fn holds(&self, document: &Value) -> bool {
        let found = self.path.iter().try_fold(document, |value, step| match step {
            Step::Name(name) => value.get(name),
            Step::Place(place) => value.get(place),
        });
        match (&self.wanted, found) {
            (None, found) => found.is_some_and(|it| !it.is_null()),
            (Some((relation, wanted)), Some(found)) => compare(found, *relation, wanted),
            (Some((relation, _)), None) => *relation == Relation::Unequal,
        }
    }
}

/// `a.b[0].c`; `[0]` at the beginning is of a document that is a list.
fn steps(path: &str) -> Result<Vec<Step>, &'static str> {
    let mut steps = Vec::new();
    for (index, part) in path.split('.').enumerate() {
        let (name, mut places) = match part.find('[') {
            Some(at) => part.split_at(at),
            None => (part, ""),
        };
        let fits = |it: char| !it.is_control() && !it.is_whitespace() && !"[]\"".contains(it);
        if !name.chars().all(fits) || (name.is_empty() && (index > 0 || places.is_empty())) {
            return Err("begins with no path such as a.b[0]");
        }
        if !name.is_empty() {
            steps.push(Step::Name(name.to_owned()));
        }
        while !places.is_empty() {
            let inner = places.strip_prefix('[').and_then(|it| it.split_once(']'));
            let (place, rest) = inner.ok_or("begins with no path such as a.b[0]")?;
            let place = place.parse().map_err(|_| "has a place that is no number")?;
            steps.push(Step::Place(place));
            places = rest;
        }
    }
    Ok(steps)
}

fn compare(found: &Value, relation: Relation, wanted: &Wanted) -> bool {
    let number = match found {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let order = number.zip(wanted.number()).and_then(|(a, b)| a.partial_cmp(&b));
    let wanted = &*wanted.text;
    let is_equal = order == Some(Ordering::Equal)
        || match found {
            Value::String(text) => text == wanted,
            Value::Bool(is) => wanted == if *is { "true" } else { "false" },
            Value::Null => wanted == "null",
            Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
        };
    match relation {
        Relation::Equal => is_equal,
        Relation::Unequal => !is_equal,
        Relation::Less => order == Some(Ordering::Less),
        Relation::AtMost => order.is_some_and(Ordering::is_le),
        Relation::More => order == Some(Ordering::Greater),
        Relation::AtLeast => order.is_some_and(Ordering::is_ge),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_condition_holds_of_what_it_says() {
        let document = json!({
            "status": "ok", "age": 4.5, "count": "7", "ready": true, "error": null, "empty": "",
            "checks": [{ "name": "a b", "list": [[1, 2]] }], "sign": "a<b",
        });
        for (condition, holds) in [
            ("status == ok", true),
            ("status==\"ok\"", true),
            ("status != ok", false),
            ("status == down", false),
            ("age < 5", true),
            ("age >= 4.5", true),
            ("age > 4.5", false),
            ("age == 4.50", true),
            ("count <= 7", true),
            ("count == 7.0", true),
            ("ready == true", true),
            ("ready", true),
            ("error", false),
            ("error == null", true),
            ("status < 5", false),
            ("empty == \"\"", true),
            ("checks[0].name == a b", true),
            ("checks[0].list[0][1] == 2", true),
            ("checks[1].name", false),
            ("checks[1].name != x", true),
            ("checks == x", false),
            ("sign == \"a<b\"", true),
        ] {
            let parsed =
                Condition::parse(condition).unwrap_or_else(|why| panic!("{condition} {why}"));
            assert_eq!(parsed.holds(&document), holds, "{condition}");
        }
        assert!(Condition::parse("[1] == 4").unwrap().holds(&json!([3, 4])));
    }

    #[test]
    fn what_is_no_condition_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "begins with no path"),
            ("== ok", "begins with no path"),
            ("a..b", "begins with no path"),
            ("a b == c", "begins with no path"),
            ("a[0", "begins with no path"),
            ("a[x]", "no number"),
            ("a ==", "with nothing"),
            ("a < ok", "is no number"),
            ("a < b < 3", "twice"),
        ] {
            let told = Condition::parse(text).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
