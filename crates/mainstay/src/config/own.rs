//! Alert rules of the operator's own, as they stand in the configuration: what is measured, over which time, and
//! what of it is too much. The set is small: each has an equal in PromQL.

use super::units;
use std::time::Duration;

/// Names of built-in rules, which are taken.
pub(crate) const TAKEN: &[&str] = &[
    "not_ready",
    "crash_loop",
    "pool_exhausted",
    "high_5xx",
    "high_5xx_low_traffic",
    "worker_restarts",
    "failed_logins",
    "directory_full",
    "rule_failed",
    "notifier_failed",
    "limits_exceeded",
    "probe_down",
    "listener_silent",
    "certificate_ends_soon",
    "certificate_expiry",
    "monitoring_gap",
];
/// Windows in which something is counted.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(24 * 3_600);
/// Units of a threshold, with what they make of a number.
const UNITS: &[(&str, f64)] = &[
    ("", 1.0),
    ("%", 0.01),
    ("ms", 0.001),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3_600.0),
    ("kB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("KiB", 1_024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
];

/// What is made of the series that are chosen; they are added up before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Function {
    /// As it is now.
    Value,
    /// What a gauge was within the window.
    Average,
    Least,
    Most,
    /// What a counter has grown within the window: by how much, and how much in a second.
    Increase,
    Rate,
    /// The growth of one counter in parts of another's.
    Ratio,
    /// What so large a part of a histogram's values within the window is not above.
    Quantile(f64),
    /// Whether there is none: 1, or 0.
    Absent,
}

/// Names of all.
const FUNCTIONS: &[(&str, Function)] = &[
    ("value", Function::Value),
    ("avg", Function::Average),
    ("min", Function::Least),
    ("max", Function::Most),
    ("increase", Function::Increase),
    ("rate", Function::Rate),
    ("ratio", Function::Ratio),
    ("p50", Function::Quantile(0.5)),
    ("p95", Function::Quantile(0.95)),
    ("p99", Function::Quantile(0.99)),
    ("absent", Function::Absent),
];

/// Which series are meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Selector {
    pub(crate) metric: String,
    /// Name, whether it is to be equal, and value.
    pub(crate) labels: Vec<(String, bool, String)>,
}

impl Selector {
    /// As it was written, and as PromQL has it.
    pub(crate) fn shown(&self, suffix: &str) -> String {
        let labels: Vec<_> = self
            .labels
            .iter()
            .map(|(name, is_equal, value)| {
                let value = value.replace('\\', "\\\\").replace('"', "\\\"");
                format!("{name}{}\"{value}\"", if *is_equal { "=" } else { "!=" })
            })
            .collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        format!("{}{suffix}{labels}", self.metric)
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OwnRule {
    pub(crate) name: String,
    pub(crate) function: Function,
    pub(crate) of: Selector,
    /// What a ratio is in parts of.
    pub(crate) by: Option<Selector>,
    /// Zero where it is of now.
    pub(crate) window: Duration,
    /// More than the threshold is bad; if not, less is.
    pub(crate) is_above: bool,
    pub(crate) threshold: f64,
    /// Where it is good again.
    pub(crate) clear: f64,
    /// How long it is to be bad before it fires, and after that not to be.
    pub(crate) hold: Duration,
    pub(crate) keep: Duration,
    pub(crate) is_critical: bool,
    /// What was written behind the name.
    pub(crate) text: String,
}

/// Reads `NAME: FUNCTION(METRIC{LABEL="VALUE"}, WINDOW) > THRESHOLD for TIME …; …`.
///
/// # Errors
/// What is wrong, for the end of a sentence.
pub(crate) fn parse(text: &str) -> Result<Vec<OwnRule>, String> {
    let mut found: Vec<OwnRule> = Vec::new();
    for item in split(text, ';').into_iter().map(str::trim).filter(|it| !it.is_empty()) {
        let named = item.split_once(':').map(|(name, rest)| (name.trim(), rest.trim()));
        let (name, rest) = named.filter(|(name, _)| is_name(name)).ok_or_else(|| {
            format!("{item:?} does not begin with a name in lower case and a colon")
        })?;
        if TAKEN.contains(&name) {
            return Err(format!("the rule {name} is built in: give yours a name of its own"));
        }
        let rule = rule(name, rest).map_err(|why| format!("the rule {name} {why}"))?;
        if found.iter().any(|it| it.name == name) {
            return Err(format!("the rule {name} stands there twice"));
        }
        found.push(rule);
    }
    Ok(found)
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=48).contains(&name.len())
        && name.bytes().all(fits)
        && name.as_bytes()[0].is_ascii_lowercase()
}

/// The parts of a text between such characters that are in no quotes and no braces.
fn split(text: &str, between: char) -> Vec<&str> {
    let (mut parts, mut start, mut is_quoted, mut depth) = (Vec::new(), 0, false, 0_i32);
    for (at, letter) in text.char_indices() {
        match letter {
            '"' => is_quoted = !is_quoted,
            '{' if !is_quoted => depth += 1,
            '}' if !is_quoted => depth -= 1,
            it if it == between && !is_quoted && depth <= 0 => {
                parts.push(&text[start..at]);
                start = at + it.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn rule(name: &str, text: &str) -> Result<OwnRule, String> {
    let (called, rest) = text.split_once('(').ok_or("calls no function")?;
    let called = called.trim();
    let names = || FUNCTIONS.iter().map(|(name, _)| *name);
    let function = FUNCTIONS.iter().find(|(it, _)| *it == called).map(|(_, it)| *it);
    let function = function.ok_or_else(|| match super::keys::nearest(called, names()) {
        Some(near) => format!("calls {called}, which is no function; did you mean {near}?"),
        None => {
            format!("calls {called}, which is none of {}", names().collect::<Vec<_>>().join(", "))
        }
    })?;
    let end = split(rest, ')')[0].len();
    let (inner, rest) = (&rest[..end], rest.get(end + 1..).ok_or("has no closing parenthesis")?);
    let parts: Vec<_> = split(inner, ',').into_iter().map(str::trim).collect();
    let is_now = matches!(function, Function::Value | Function::Absent);
    let (selectors, window) = match (parts.as_slice(), is_now) {
        ([selectors], true) => (*selectors, Duration::ZERO),
        ([selectors, window], false) => {
            let window =
                units::duration(window).map_err(|why| format!("has a window that {why}"))?;
            if !(SHORTEST..=LONGEST).contains(&window) {
                return Err("has a window that is not 1s to 24h".to_owned());
            }
            (*selectors, window)
        }
        (_, true) => return Err(format!("gives {called} more than a metric")),
        (_, false) => {
            return Err(format!(
                "does not give {called} a metric and a window: {called}(NAME, 5m)"
            ));
        }
    };
    let (of, by) = match (split(selectors, '/').as_slice(), function) {
        ([of, by], Function::Ratio) => (selector(of)?, Some(selector(by)?)),
        (_, Function::Ratio) => {
            return Err("gives ratio no two metrics: ratio(A / B, 5m)".to_owned());
        }
        _ => (selector(selectors)?, None),
    };
    let mut words = rest.split_whitespace();
    let mut found = OwnRule {
        name: name.to_owned(),
        function,
        of,
        by,
        window,
        is_above: true,
        threshold: 0.0,
        clear: 0.0,
        hold: Duration::ZERO,
        keep: Duration::ZERO,
        is_critical: false,
        text: text.to_owned(),
    };
    match (words.next(), function) {
        (None, Function::Absent) => {}
        (Some(word @ (">" | "<")), _) if function != Function::Absent => {
            found.is_above = word == ">";
            found.threshold = number(words.next().unwrap_or_default())?;
        }
        (_, Function::Absent) => words = rest.split_whitespace(),
        _ => return Err("compares with nothing: > NUMBER or < NUMBER".to_owned()),
    }
    found.clear = found.threshold;
    options(&mut found, &mut words)?;
    Ok(found)
}

fn options<'a>(
    rule: &mut OwnRule,
    words: &mut impl Iterator<Item = &'a str>,
) -> Result<(), String> {
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_default();
        let time =
            |text: &str| units::duration(text).map_err(|why| format!("has a {word} that {why}"));
        match word {
            "for" => rule.hold = time(value())?,
            "keep" => rule.keep = time(value())?,
            "clear" => rule.clear = number(value())?,
            "critical" => rule.is_critical = true,
            "warning" => rule.is_critical = false,
            other => return Err(format!("has a word that means nothing: {other}")),
        }
    }
    let is_beyond =
        if rule.is_above { rule.clear > rule.threshold } else { rule.clear < rule.threshold };
    if is_beyond { Err("is clear where it is bad".to_owned()) } else { Ok(()) }
}

fn number(text: &str) -> Result<f64, String> {
    let end = text
        .find(|it: char| !(it.is_ascii_digit() || it == '.' || it == '-'))
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
    let value = digits.parse::<f64>().ok().zip(scale).map(|(number, scale)| number * scale);
    value.filter(|it| it.is_finite()).ok_or_else(|| {
        format!("has {text:?} where a number such as 5, 1%, 800ms or 2GiB is to stand")
    })
}

fn selector(text: &str) -> Result<Selector, String> {
    let text = text.trim();
    let (metric, labels) = match text.split_once('{') {
        Some((metric, rest)) => {
            (metric.trim(), rest.strip_suffix('}').ok_or("has a brace that is not closed")?)
        }
        None => (text, ""),
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    if metric.is_empty() || !metric.bytes().all(fits) || metric.as_bytes()[0].is_ascii_digit() {
        return Err(format!("names {metric:?}, which is no metric"));
    }
    let mut found = Vec::new();
    for pair in split(labels, ',').into_iter().map(str::trim).filter(|it| !it.is_empty()) {
        let wrong = || format!("has {pair:?} where NAME=\"VALUE\" is to stand");
        let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
        let (name, is_equal) = match name.strip_suffix('!') {
            Some(name) => (name, false),
            None => (name, true),
        };
        let value =
            value.strip_prefix('"').and_then(|it| it.strip_suffix('"')).ok_or_else(wrong)?;
        if name.is_empty() || value.contains('"') {
            return Err(wrong());
        }
        found.push((name.trim().to_owned(), is_equal, value.to_owned()));
    }
    Ok(Selector { metric: metric.to_owned(), labels: found })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> OwnRule {
        parse(text).unwrap().remove(0)
    }

    #[test]
    fn a_rule_is_read_with_what_it_measures_and_when_it_fires() {
        let rule = one(
            "slow_checkout: p95(http_duration{route=\"/check;out,\", status!=\"499\"}, 5m) > 800ms for 3m keep \
             1m clear 0.6s critical",
        );
        assert_eq!(rule.function, Function::Quantile(0.95));
        let labels = [("route", true, "/check;out,"), ("status", false, "499")];
        let labels = labels.map(|(name, is, value)| (name.to_owned(), is, value.to_owned()));
        assert_eq!(rule.of, Selector { metric: "http_duration".to_owned(), labels: labels.into() });
        assert_eq!((rule.threshold, rule.clear, rule.is_critical), (0.8, 0.6, true));
        let seconds = Duration::from_secs;
        assert_eq!((rule.window, rule.hold, rule.keep), (seconds(300), seconds(180), seconds(60)));
        assert_eq!(rule.of.shown(""), "http_duration{route=\"/check;out,\",status!=\"499\"}");
        let rules =
            parse("a: value(b) < 1%; c: ratio(d{e=\"f\"} / g, 1h) > 2; h: absent(i) for 1m")
                .unwrap();
        assert_eq!(rules.len(), 3);
        assert!(!rules[0].is_above && rules[0].threshold == 0.01);
        assert_eq!(rules[1].by.as_ref().unwrap().metric, "g");
        assert_eq!((rules[2].function, rules[2].hold), (Function::Absent, seconds(60)));
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_told_with_its_name() {
        for (text, why) in [
            ("rate(a, 5m) > 1", "name in lower case"),
            ("not_ready: value(b) > 1", "built in"),
            ("a: rat(b, 5m) > 1", "the rule a calls rat, which is no function; did you mean rate?"),
            ("a: histogram_quantile(b) > 1", "none of value, avg"),
            ("a: rate(b) > 1", "a metric and a window"),
            ("a: rate(b, soon) > 1", "window that is not a duration"),
            ("a: rate(b, 30d) > 1", "1s to 24h"),
            ("a: value(b, 5m) > 1", "more than a metric"),
            ("a: rate(b, 5m) >= 1", "compares with nothing"),
            ("a: rate(b, 5m) > much", "where a number"),
            ("a: rate(b, 5m > 1", "closing"),
            ("a: rate(b{c=d}, 5m) > 1", "NAME=\"VALUE\""),
            ("a: rate(9b, 5m) > 1", "no metric"),
            ("a: ratio(b, 5m) > 1", "two metrics"),
            ("a: value(b) > 1 clear 2", "clear where it is bad"),
            ("a: value(b) > 1 soon", "means nothing: soon"),
            ("a: value(b) > 1; a: value(b) > 1", "twice"),
        ] {
            let told = parse(text).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
