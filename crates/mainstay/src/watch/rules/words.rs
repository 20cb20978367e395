//! The rules as people read them.

use super::rule::{Rule, Trigger};
use crate::config::units::show_duration;
use std::fmt::Write as _;
use std::time::Duration;

/// Every rule with what it means, in the order of the table.
pub(crate) fn explain(rules: &[Rule]) -> String {
    let mut text = String::new();
    for rule in rules {
        // A String takes everything.
        writeln!(text, "{} ({})", rule.name, rule.severity.as_str()).ok();
        let about = crate::config::render::wrapped(&rule.about, 90);
        about.iter().for_each(|line| _ = writeln!(text, "    {line}"));
        writeln!(text, "    {}", end(rule)).ok();
        if !rule.explains.is_empty() {
            writeln!(text, "    While it is there, these wait: {}.", rule.explains.join(", ")).ok();
        }
        text.push('\n');
    }
    text
}

fn end(rule: &Rule) -> String {
    let when = match rule.trigger {
        Trigger::Count(1) => "Fires at once".to_owned(),
        Trigger::Count(count) => format!("Fires at the check number {count}"),
        Trigger::For(time) => format!("Fires after {}", show_duration(time)),
    };
    let good = match rule.clear {
        1 => "a good check".to_owned(),
        count => format!("{count} good checks in a row"),
    };
    let keep = match rule.keep {
        Duration::ZERO => String::new(),
        keep => format!(" and {} without a bad one", show_duration(keep)),
    };
    format!("{when}; over after {good}{keep}.")
}

#[cfg(test)]
mod tests {
    use super::super::builtin::{rules, tests::alerts};
    use super::*;

    #[test]
    fn every_rule_is_told_with_its_values() {
        let text = explain(&rules(&alerts()));
        for words in [
            "not_ready (critical)",
            "Fires at the check number 3; over after 2 good checks in a row and 1m without a bad one.",
            "While it is there, these wait: pool_exhausted, high_5xx, high_5xx_low_traffic, listener_silent.",
            "more than 1 % of requests",
        ] {
            assert!(text.replace("\n    ", " ").contains(words), "{words} in {text}");
        }
        assert_eq!(text.matches("over after").count(), rules(&alerts()).len());
    }
}
