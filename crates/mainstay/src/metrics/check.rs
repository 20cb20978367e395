//! What names and labels of metrics may be. Pure.

use mainstay_os::segment::{Kind, MAX_METRIC_NAME};
use std::fmt;

/// Beginning of the names that mainstay keeps for itself.
const OWN: &str = "mainstay_";
/// Most labels of a metric.
const MAX_NAMES: usize = 8;
/// Longest name of a label, bytes.
const MAX_LABEL_NAME: usize = 48;
/// Endings that say what a sample is, so that a metric's own name cannot have them.
const SAMPLES: &[&str] = &["_total", "_count", "_sum", "_bucket", "_created", "_info"];
/// Labels that formats keep for themselves, and the one of what had no room.
const TAKEN: &[&str] = &["le", "quantile", "overflow"];

/// Why a metric cannot be registered; the message names the metric and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricError {
    name: String,
    why: String,
}

impl MetricError {
    pub(crate) fn new(name: &str, why: impl Into<String>) -> MetricError {
        MetricError { name: name.to_owned(), why: why.into() }
    }
}

impl fmt::Display for MetricError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metric {:?}: {}", self.name, self.why)
    }
}

impl std::error::Error for MetricError {}

/// Checks the name of a metric of the application.
pub(crate) fn name(name: &str, kind: Kind) -> Result<(), MetricError> {
    let wrong = |why: String| Err(MetricError::new(name, why));
    if name.starts_with(OWN) {
        return wrong(format!("names that begin with {OWN} are mainstay's own"));
    }
    if name.len() > MAX_METRIC_NAME {
        return wrong(format!("the name is longer than {MAX_METRIC_NAME} bytes"));
    }
    if !is_word(name) {
        return wrong("a name is a letter, then letters, digits and _".into());
    }
    if kind == Kind::Counter {
        return match name.strip_suffix("_total") {
            Some(rest) if !rest.is_empty() => Ok(()),
            _ => wrong("the name of a counter ends with _total".into()),
        };
    }
    match SAMPLES.iter().find(|end| name.ends_with(*end)) {
        Some(end) => wrong(format!("the name ends with {end}, which says something else")),
        None => Ok(()),
    }
}

/// Checks the names of a metric's labels.
pub(crate) fn labels(name: &str, labels: &[&str]) -> Result<(), MetricError> {
    let wrong = |why: String| Err(MetricError::new(name, why));
    if labels.len() > MAX_NAMES {
        return wrong(format!("it has more than {MAX_NAMES} labels"));
    }
    for (index, label) in labels.iter().enumerate() {
        if !is_word(label) || label.len() > MAX_LABEL_NAME {
            return wrong(format!(
                "label {label:?} is not a letter, then letters, digits and _, at most \
                 {MAX_LABEL_NAME}"
            ));
        }
        if TAKEN.contains(label) {
            return wrong(format!("the label {label} has a meaning of its own"));
        }
        if labels[..index].contains(label) {
            return wrong(format!("it has the label {label} twice"));
        }
    }
    Ok(())
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_cannot_be_is_told_with_the_reason() {
        let told = |text: &str, kind| name(text, kind).err().map(|error| error.to_string());
        for (text, kind) in [
            ("shop_orders_total", Kind::Counter),
            ("queue_length", Kind::Gauge),
            ("work_duration_seconds", Kind::Histogram),
        ] {
            assert_eq!(told(text, kind), None);
        }
        for (text, kind, part) in [
            ("mainstay_x_total", Kind::Counter, "mainstay's own"),
            ("orders", Kind::Counter, "ends with _total"),
            ("_total", Kind::Counter, "a letter"),
            ("x_total", Kind::Gauge, "_total"),
            ("x_bucket", Kind::Histogram, "_bucket"),
            ("1x", Kind::Gauge, "a letter"),
            ("a:b", Kind::Gauge, "a letter"),
            ("é", Kind::Gauge, "a letter"),
            ("", Kind::Gauge, "a letter"),
        ] {
            let error = told(text, kind).unwrap();
            assert!(error.contains(part) && error.contains(&format!("{text:?}")), "{error}");
        }
        assert!(told(&"x".repeat(97), Kind::Gauge).unwrap().contains("96"));
    }

    #[test]
    fn a_label_that_cannot_be_is_told_with_the_reason() {
        let told = |names: &[&str]| labels("x", names).err().map(|error| error.to_string());
        assert_eq!(told(&["kind", "Card_2"]), None);
        for (names, part) in [
            (&["a", "b", "a"][..], "a twice"),
            (&["le"], "le"),
            (&["overflow"], "overflow"),
            (&["__name"], "__name"),
            (&[""], "letter"),
            (&["a", "b", "c", "d", "e", "f", "g", "h", "i"], "more than 8"),
        ] {
            assert!(told(names).unwrap().contains(part), "{names:?}");
        }
    }
}
