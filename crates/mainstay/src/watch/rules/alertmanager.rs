//! What explains what, as Alertmanager takes it: the exported rules inhibit each other as the service's own do.

use super::rule::Rule;
use std::fmt::Write as _;

const HEAD: &str = "\
# Made by `rules export --format alertmanager` from the configuration that is in force: a part of Alertmanager's
# file, for the rules of `rules export --format prometheus`. Alertmanager knows no time after the source is over:
# what still looks back on it then is told.
inhibit_rules:
";

/// The part of the file.
pub(crate) fn export(rules: &[Rule]) -> String {
    let mut text = HEAD.to_owned();
    let alert =
        |name: &&'static str| rules.iter().find(|rule| rule.name == *name).map(|rule| rule.alert);
    for rule in rules.iter().filter(|rule| !rule.explains.is_empty()) {
        let targets: Vec<_> = rule.explains.iter().filter_map(alert).collect();
        // A String takes everything.
        writeln!(
            text,
            "- source_matchers: ['alertname=\"{}\"']\n  target_matchers: ['alertname=~\"{}\"']\n  \
             equal: [instance, job]",
            rule.alert,
            targets.join("|")
        )
        .ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::builtin::{rules, tests::alerts};
    use super::*;

    #[test]
    fn each_rule_that_explains_others_inhibits_them() {
        let rules = rules(&alerts());
        let text = export(&rules);
        assert_eq!(
            text.matches("- source").count(),
            rules.iter().filter(|it| !it.explains.is_empty()).count()
        );
        let first = "- source_matchers: ['alertname=\"MainstayNotReady\"']\n  target_matchers: \
                     ['alertname=~\"MainstayPoolExhausted|MainstayHigh5xx|";
        assert!(text.contains(first), "{text}");
    }
}
