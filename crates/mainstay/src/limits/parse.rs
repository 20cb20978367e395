//! Limit strings, as Flask-Limiter's users write them: `200 per day; 50/hour`. The grammar is that of
//! the Python library `limits`, to the letter, since whole fleets are configured in it.

use std::fmt;

/// Units of time with their lengths in seconds: a month is 30 days, a year 12 of those months.
const UNITS: [(&str, u64); 6] = [
    ("second", 1),
    ("minute", 60),
    ("hour", 3_600),
    ("day", 86_400),
    ("month", 2_592_000),
    ("year", 31_104_000),
];

/// What people write in place of a unit, and what they mean.
const MEANT: [(&str, &str); 14] = [
    ("s", "second"),
    ("sec", "second"),
    ("secs", "second"),
    ("m", "minute"),
    ("min", "minute"),
    ("mins", "minute"),
    ("h", "hour"),
    ("hr", "hour"),
    ("hrs", "hour"),
    ("d", "day"),
    ("mo", "month"),
    ("y", "year"),
    ("week", "7 day"),
    ("weeks", "7 day"),
];

/// So many in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// How many are admitted; 0 refuses everything.
    pub(crate) amount: u64,
    /// How many units the window has; at least 1.
    multiple: u64,
    /// Place of the unit in [`UNITS`].
    unit: usize,
}

impl Rate {
    /// The window, seconds.
    pub(crate) fn window(&self) -> u64 {
        self.multiple * self.unit_seconds()
    }

    /// As keys of the Python package `limits` have it: `50/1/hour`.
    #[cfg(feature = "redis")]
    pub(crate) fn key(&self) -> String {
        format!("{}/{}/{}", self.amount, self.multiple, UNITS[self.unit].0)
    }

    /// The unit's length, seconds: by it alone Flask-Limiter orders the limits of a request.
    pub(crate) fn unit_seconds(&self) -> u64 {
        UNITS[self.unit].1
    }
}

/// As logs and pages show it: `50 per 1 hour`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {} {}", self.amount, self.multiple, UNITS[self.unit].0)
    }
}

/// What is wrong with a limit string, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParseError {
    /// Where, in characters from 1.
    pub(crate) column: usize,
    message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.column, self.message)
    }
}

/// Reads limits that are joined by `,`, `;` or `|`, in their order.
///
/// # Errors
/// Where the text is no list of limits, and what would be right there.
pub(crate) fn parse_many(text: &str) -> Result<Vec<Rate>, ParseError> {
    let mut reader = Reader { text, at: 0 };
    let mut rates = vec![reader.rate()?];
    while !reader.rest().is_empty() {
        // The pattern of `limits` lets a stray colon pass here, and files have it.
        if reader.rest().strip_prefix(':').is_some_and(|rest| rest.starts_with([',', ';', '|'])) {
            reader.at += 1;
        }
        if !reader.take(|it| matches!(it, ',' | ';' | '|')) {
            return Err(reader.wrong("another limit stands behind \",\", \";\" or \"|\""));
        }
        rates.push(reader.rate()?);
    }
    Ok(rates)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// One limit with the blanks around it.
    fn rate(&mut self) -> Result<Rate, ParseError> {
        self.blanks();
        let amount = self.number("a limit begins with a number, as in 5/minute")?;
        self.blanks();
        let is_word = self.rest().get(..3).is_some_and(|it| it.eq_ignore_ascii_case("per"));
        if is_word {
            self.at += 3;
        } else if !self.take(|it| it == '/') {
            return Err(self.wrong("\"/\" or \"per\" stands behind the number, as in 5/minute"));
        }
        self.blanks();
        let begin = self.at;
        let multiple = match self.digits() {
            "" => 1,
            // Zero units are one, as Python's `or` has it.
            _ => self.value(begin)?.max(1),
        };
        self.blanks();
        let begin = self.at;
        while self.take(|it| it.is_ascii_alphabetic()) {}
        let unit = self.unit(begin)?;
        let rate = Rate { amount, multiple, unit };
        if multiple.checked_mul(rate.unit_seconds()).is_none_or(|it| it > u64::from(u32::MAX)) {
            self.at = begin;
            return Err(self.wrong("the window is longer than 136 years"));
        }
        self.blanks();
        Ok(rate)
    }

    fn unit(&mut self, begin: usize) -> Result<usize, ParseError> {
        let word = self.text[begin..self.at].to_ascii_lowercase();
        let found = UNITS.iter().position(|(name, _)| {
            word.strip_prefix(name).is_some_and(|rest| matches!(rest, "" | "s"))
        });
        found.ok_or_else(|| {
            self.at = begin;
            if word.is_empty() {
                return self.wrong("a unit is missing: second, minute, hour, day, month or year");
            }
            let abbreviated = MEANT.iter().find(|(it, _)| *it == word).map(|(_, meant)| *meant);
            let near = |(name, _): &(&'static str, u64)| {
                (strsim::damerau_levenshtein(&word, name) <= 2).then_some(*name)
            };
            match abbreviated.or_else(|| UNITS.iter().find_map(near)) {
                Some(meant) => self.wrong(&format!(
                    "no granularity matched for {word}: did you mean \"{meant}\"?"
                )),
                None => self.wrong(&format!(
                    "no granularity matched for {word}: use second, minute, hour, day, month or year"
                )),
            }
        })
    }

    fn number(&mut self, missing: &str) -> Result<u64, ParseError> {
        let begin = self.at;
        if self.digits().is_empty() {
            return Err(self.wrong(missing));
        }
        self.value(begin)
    }

    /// The number whose digits end here.
    fn value(&mut self, begin: usize) -> Result<u64, ParseError> {
        self.text[begin..self.at].parse().map_err(|_| {
            self.at = begin;
            self.wrong(&format!("the number is larger than {}", u64::MAX))
        })
    }

    fn digits(&mut self) -> &'a str {
        let begin = self.at;
        while self.take(|it| it.is_ascii_digit()) {}
        &self.text[begin..self.at]
    }

    /// What Python's `\s` takes, which are four separators more than Unicode's white space.
    fn blanks(&mut self) {
        while self.take(|it| it.is_whitespace() || matches!(it, '\u{1c}'..='\u{1f}')) {}
    }

    fn take(&mut self, wanted: impl FnOnce(char) -> bool) -> bool {
        match self.rest().chars().next().filter(|it| wanted(*it)) {
            Some(it) => {
                self.at += it.len_utf8();
                true
            }
            None => false,
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn wrong(&self, message: &str) -> ParseError {
        let column = self.text[..self.at].chars().count() + 1;
        ParseError { column, message: message.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::client::corpus;
    use proptest::prelude::*;

    fn shown(text: &str) -> Result<String, ParseError> {
        let rates = parse_many(text)?;
        Ok(rates.iter().map(Rate::to_string).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn every_accepted_string_of_the_corpus_means_what_is_written_beside_it() {
        let lines = corpus::lines("limits", ".good");
        assert!(lines.len() > 20);
        for (_, line) in lines {
            let (text, meaning) = line.split_once(" => ").expect("a text and its meaning");
            let text = String::from_utf8(corpus::unescape(text)).unwrap();
            assert_eq!(shown(&text).as_deref(), Ok(meaning), "{text:?}");
        }
    }

    #[test]
    fn every_refused_string_of_the_corpus_is_told_with_its_place() {
        let lines = corpus::lines("limits", ".bad");
        assert!(lines.len() > 20);
        for (_, line) in lines {
            let (text, error) = line.split_once(" => ").expect("a text and its error");
            let text = String::from_utf8(corpus::unescape(text)).unwrap();
            let found = shown(&text).map_err(|error| error.to_string());
            assert_eq!(found, Err(error.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn windows_are_whole_units() {
        let windows =
            |text| -> Vec<u64> { parse_many(text).unwrap().iter().map(Rate::window).collect() };
        assert_eq!(
            windows("1/second, 1/minute, 1/hour, 1/day, 1/month, 1/year, 1/10minutes"),
            [1, 60, 3_600, 86_400, 2_592_000, 31_104_000, 600]
        );
    }

    fn any_rate() -> impl Strategy<Value = Rate> {
        (any::<u64>(), 1..130u64, 0..UNITS.len()).prop_map(|(amount, multiple, unit)| Rate {
            amount,
            multiple,
            unit,
        })
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_as_the_same(rates in proptest::collection::vec(any_rate(), 1..5)) {
            let shown: Vec<String> = rates.iter().map(Rate::to_string).collect();
            for separator in [",", ";", "|", " ; "] {
                prop_assert_eq!(parse_many(&shown.join(separator)), Ok(rates.clone()));
            }
        }

        #[test]
        fn no_text_makes_it_panic_and_every_error_has_a_place(text in "[0-9a-z/ ,;|:permint\u{e9}\n]{0,24}") {
            if let Err(error) = parse_many(&text) {
                prop_assert!((1..=text.chars().count() + 1).contains(&error.column));
            }
        }
    }
}
