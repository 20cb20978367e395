//! What was found, and how it is told.

use super::rules::{Rule, Weight};
use crate::cli::Inspection;
use crate::config::render::wrapped;
use serde_json::json;
use std::fmt::Write as _;

/// Something was found that counts.
const ILL: u8 = 1;
/// The width of what is told.
const WIDTH: usize = 96;

/// One thing that was found.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) rule: &'static Rule,
    /// Of what it is true: a key, a file, an object.
    pub(crate) subject: String,
    /// What is the case.
    pub(crate) what: String,
}

/// Findings as they come.
#[derive(Debug)]
pub(crate) struct Findings {
    rules: &'static [Rule],
    pub(crate) all: Vec<Finding>,
}

impl Findings {
    pub(crate) fn new(rules: &'static [Rule]) -> Findings {
        Findings { rules, all: Vec::new() }
    }

    /// Adds one, by the name of its rule.
    pub(crate) fn add(&mut self, name: &str, subject: impl Into<String>, what: impl Into<String>) {
        let rule = self.rules.iter().find(|it| it.name == name);
        let rule = rule.expect("what is found has a row in the table");
        self.all.push(Finding { rule, subject: subject.into(), what: what.into() });
    }

    /// Text or JSON, the gravest first, and the exit code.
    pub(crate) fn tell(mut self, of: &str, how: Inspection) -> (u8, String) {
        self.all.sort_by_key(|it| std::cmp::Reverse(it.rule.weight));
        let count = |weight| self.all.iter().filter(|it| it.rule.weight == weight).count();
        let counts = [Weight::Unsafe, Weight::Doubtful, Weight::Note].map(|it| (it, count(it)));
        let least = if how.strict { Weight::Doubtful } else { Weight::Unsafe };
        let ill = self.all.iter().any(|it| it.rule.weight >= least);
        let code = if ill { ILL } else { 0 };
        let text = if how.json {
            let all: Vec<_> = self.all.iter().map(to_json).collect();
            format!("{:#}\n", json!({ "of": of, "findings": all }))
        } else {
            let mut text: String = self.all.iter().map(to_text).collect();
            let counts = counts.map(|(weight, count)| format!("{count} {}", weight.as_str()));
            // A String takes everything.
            writeln!(text, "{of}: {}", counts.join(", ")).ok();
            text
        };
        (code, text)
    }
}

fn to_json(it: &Finding) -> serde_json::Value {
    let Rule { name, weight, why, todo } = it.rule;
    json!({
        "name": name, "weight": weight.as_str(), "subject": it.subject, "what": it.what,
        "why": why, "do": todo,
    })
}

fn to_text(it: &Finding) -> String {
    let Rule { name, weight, why, todo } = it.rule;
    // What was read from files and manifests is somebody's text.
    let subject = it.subject.escape_debug();
    let mut text = format!("{}: {name}: {subject}\n", weight.as_str());
    let what = it.what.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\"");
    for (label, said) in [("what", what.as_str()), ("why", why), ("do", todo)] {
        for (line, number) in wrapped(said, WIDTH - 8).iter().zip(0..) {
            let label = if number == 0 { label } else { "" };
            writeln!(text, "  {label:<5} {line}").ok();
        }
    }
    text.push('\n');
    text
}
