//! The rules as Prometheus takes them, made from the same values. Where the two cannot mean the same, a comment
//! of the file says so.

use super::builtin::{
    CERTIFICATE_DAYS, FEW_ERRORS, LEAST_ERRORS, LEAST_REQUESTS, LOOPS, NOTIFIER, POOL_WINDOW,
    PRESENT, QUEUE, SATURATED, WIDTHS,
};
use super::own;
use super::rule::{Rule, Trigger};
use crate::config::Alerts;
use crate::config::units::show_duration;
use std::fmt::Write as _;
use std::time::Duration;

const HEAD: &str = "\
# Made by `rules export --format prometheus` from the configuration that is in force.
# Prometheus sees what it scrapes: a check of readiness is a scrape here, and what happens between two scrapes
# is seen by totals alone. It inhibits nothing by itself; `alerts explain` says what explains what.
groups:
- name: mainstay
  rules:
";

/// The names of the service's own probes.
const OWN: &str = "(healthz|readyz)(-[0-9]+)?";

/// The file.
pub(crate) fn export(alerts: &Alerts, rules: &[Rule]) -> String {
    let mut text = HEAD.to_owned();
    for rule in rules {
        let (expression, hold) = expression(alerts, rule);
        entry(&mut text, rule.alert, &expression, hold, rule.keep, rule.severity.as_str());
        // A String takes everything.
        writeln!(text, "      summary: {}", quoted(&rule.about)).ok();
    }
    let stale = (alerts.interval * 6).max(Duration::from_secs(60));
    for (alert, expression, hold, about) in [
        (
            "MainstayAbsent",
            "absent(mainstay_build_info)".to_owned(),
            Duration::from_secs(60),
            "Nothing is scraped from the service.",
        ),
        (
            "MainstayRulesStale",
            format!(
                "time() - mainstay_alert_last_evaluation_timestamp_seconds > {}",
                stale.as_secs()
            ),
            Duration::ZERO,
            "The service does not evaluate its own rules any more.",
        ),
    ] {
        entry(&mut text, alert, &expression, hold, Duration::ZERO, "critical");
        writeln!(text, "      summary: {}", quoted(about)).ok();
    }
    text
}

fn entry(
    text: &mut String,
    alert: &str,
    expression: &str,
    hold: Duration,
    keep: Duration,
    severity: &str,
) {
    writeln!(text, "  - alert: {alert}\n    expr: {}", quoted(expression)).ok();
    if !hold.is_zero() {
        writeln!(text, "    for: {}", show_duration(hold)).ok();
    }
    if !keep.is_zero() {
        writeln!(text, "    keep_firing_for: {}", show_duration(keep)).ok();
    }
    writeln!(text, "    labels:\n      severity: {severity}\n    annotations:").ok();
}

/// A scalar of YAML that means what it says.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The expression of a rule, and for how long it has to hold.
fn expression(alerts: &Alerts, rule: &Rule) -> (String, Duration) {
    let hold = match rule.trigger {
        // The first of so many checks in a row is so long ago.
        Trigger::Count(count) => alerts.interval * count.saturating_sub(1),
        Trigger::For(time) => time,
    };
    if let Some(own) = own::named(alerts).iter().find(|it| it.name == rule.name) {
        return (own::expression(own), hold);
    }
    let expression = match rule.name {
        "not_ready" => "mainstay_ready == 0 unless on (instance, job) \
                        mainstay_state{state=~\"starting|draining|stopped\"} == 1"
            .to_owned(),
        "crash_loop" => {
            let window = show_duration(alerts.restarts_window / LOOPS);
            format!("increase(mainstay_events_total{{event=\"worker.crash_loop\"}}[{window}]) > 0")
        }
        "pool_exhausted" => pool(),
        "high_5xx" => high(alerts),
        "high_5xx_low_traffic" => low(alerts),
        "worker_restarts" => restarts(alerts),
        "failed_logins" => format!(
            "round(increase(mainstay_events_total{{event=\"authn_login_fail\"}}[{}])) > {}",
            show_duration(alerts.errors_window),
            alerts.logins_above
        ),
        "directory_full" => {
            let above = alerts.uploads_above;
            format!(
                "mainstay_directory_used_ratio > {above} or mainstay_directory_inodes_used_ratio > {above} \
                 or mainstay_directory_up == 0"
            )
        }
        "rule_failed" => "increase(mainstay_alert_evaluation_errors_total[1m]) > 0".to_owned(),
        "listener_silent" => format!("mainstay_probe_up{{probe=~\"{OWN}\"}} == 0"),
        "probe_down" => format!("mainstay_probe_up{{probe!~\"{OWN}\"}} == 0"),
        "certificate_ends_soon" => {
            format!("mainstay_probe_certificate_days_left < {}", CERTIFICATE_DAYS[1])
        }
        "certificate_expiry" => {
            format!("mainstay_probe_certificate_days_left < {}", CERTIFICATE_DAYS[0])
        }
        "monitoring_gap" => {
            "increase(mainstay_events_total{event=\"alert.gap\"}[1m]) > 0".to_owned()
        }
        // The one that is left, as a test shows.
        _ => format!("mainstay_alert_receiver_failing_seconds >= {}", NOTIFIER.as_secs()),
    };
    (expression, hold)
}

fn pool() -> String {
    let window = show_duration(POOL_WINDOW);
    format!(
        "increase(mainstay_pool_timeouts_total[{window}]) > 0 \
         or avg_over_time((mainstay_pool_saturated_workers > bool 0)[{window}:5s]) >= {SATURATED} \
         or rate(mainstay_pool_wait_seconds_total[{window}]) > {QUEUE}"
    )
}

/// Requests of the application within a window.
fn requests(window: &str) -> String {
    format!(
        "(increase(mainstay_http_requests_total[{window}]) \
         - increase(mainstay_http_probe_requests_total[{window}]) \
         - increase(mainstay_http_requests_abandoned_total[{window}]))"
    )
}

/// Those that failed.
fn errors(window: &str) -> String {
    format!(
        "(increase(mainstay_http_responses_5xx_total[{window}]) \
         - increase(mainstay_http_probe_failures_total[{window}]))"
    )
}

/// As judged by the shortest window that has enough requests.
fn high(alerts: &Alerts) -> String {
    let (above, window) = (alerts.errors_above, alerts.errors_window);
    let mut all = Vec::new();
    let mut enough = String::new();
    for width in WIDTHS {
        let (requests, errors) = {
            let window = show_duration(window * width);
            (requests(&window), errors(&window))
        };
        let unless = match enough.as_str() {
            "" => String::new(),
            enough => format!(" unless {enough}"),
        };
        all.push(format!(
            "(({errors} / {requests} > {above} and {errors} >= {LEAST_ERRORS} \
             and {requests} >= {LEAST_REQUESTS}){unless})"
        ));
        enough = format!("{requests} >= {LEAST_REQUESTS}");
    }
    let present = show_duration(window / PRESENT);
    format!("({}) and {} / {} > {above}", all.join(" or "), errors(&present), requests(&present))
}

fn low(alerts: &Alerts) -> String {
    let window = show_duration(alerts.errors_window * WIDTHS[WIDTHS.len() - 1]);
    let (requests, errors) = (requests(&window), errors(&window));
    format!(
        "{requests} < {LEAST_REQUESTS} and round({errors}) >= {FEW_ERRORS} \
         and {errors} / {requests} > {}",
        alerts.errors_above
    )
}

fn restarts(alerts: &Alerts) -> String {
    let which = if alerts.restarts_count == "all" { "" } else { "{planned=\"false\"}" };
    let window = show_duration(alerts.restarts_window);
    // What Prometheus extrapolates is no whole number: 10 would be more than 10.
    format!(
        "sum without (planned) (round(increase(mainstay_worker_restarts_total{which}[{window}]))) > {}",
        alerts.restarts_above
    )
}

#[cfg(test)]
mod tests {
    use super::super::builtin::{rules, tests::alerts};
    use super::*;
    use crate::metrics::{families, names};

    #[test]
    fn every_rule_is_exported_with_an_expression_of_its_own_on_metrics_that_exist() {
        let (alerts, rules) = (alerts(), rules(&alerts()));
        let text = export(&alerts, &rules);
        let mut seen = std::collections::HashSet::new();
        for rule in &rules {
            assert!(text.contains(&format!("- alert: {}\n", rule.alert)));
            assert!(seen.insert(expression(&alerts, rule).0), "{} has no own", rule.name);
        }
        let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
        for word in words.filter(|word| word.starts_with("mainstay_")) {
            let known = families::TABLE.iter().any(|it| it.name == word)
                || names::TABLE.iter().any(|(name, _)| *name == word);
            assert!(known, "{word}");
        }
    }

    #[test]
    fn values_of_the_configuration_are_those_of_the_file() {
        let mut alerts = alerts();
        alerts.restarts_above = 7;
        alerts.errors_above = 0.02;
        alerts.restarts_count = "all".to_owned();
        let text = export(&alerts, &rules(&alerts));
        assert!(text.contains("mainstay_worker_restarts_total[1h]))) > 7'"), "{text}");
        assert!(text.contains("> 0.02") && !text.contains("> 0.01"));
        assert!(text.contains("    for: 20s\n    keep_firing_for: 1m\n"), "the third check");
    }
}
