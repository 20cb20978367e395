//! The rules that are there without a word of configuration, with its values. A rule comes before those that it
//! explains.

use super::own;
use super::rule::{Missing, Rule, Severity, Trigger};
use crate::config::Alerts;
use crate::config::units::show_duration;
use std::time::Duration;

/// How far back pools are looked at.
pub(crate) const POOL_WINDOW: Duration = Duration::from_secs(60);
/// A pool of which all is in use for this part of the time is exhausted.
pub(crate) const SATURATED: f64 = 0.9;
/// More than so many who wait on average are a queue.
pub(crate) const QUEUE: f64 = 1.0;
/// A share of failures is only judged from so many requests on, and from so many failures on.
pub(crate) const LEAST_REQUESTS: u64 = 100;
pub(crate) const LEAST_ERRORS: u64 = 5;
/// With fewer requests so many failures are worth a word.
pub(crate) const FEW_ERRORS: u64 = 3;
/// The windows in which failures are judged: the shortest with enough requests, in `alerts.errors_window`.
pub(crate) const WIDTHS: [u32; 3] = [1, 3, 12];
/// So many of the present window are in one of these.
pub(crate) const PRESENT: u32 = 5;
/// So many of the window of a crash loop are in `alerts.restarts_window`.
pub(crate) const LOOPS: u32 = 30;
/// How far below its threshold a directory is well again.
pub(crate) const SLACK: f64 = 0.02;
/// A certificate that ends within so many days is to be renewed; and now at once.
pub(crate) const CERTIFICATE_DAYS: [f64; 2] = [14.0, 7.0];
/// Probes of the service's own are asked this often, and need some attempts to be up again.
const OWN_PROBES: Duration = Duration::from_secs(30);
/// How long a receiver of notifications may fail.
pub(crate) const NOTIFIER: Duration = Duration::from_secs(60);

const ONCE: Rule = Rule {
    name: "",
    alert: "",
    severity: Severity::Warning,
    label: "",
    trigger: Trigger::Count(1),
    clear: 1,
    keep: Duration::ZERO,
    missing: Missing::Keep,
    window: Duration::ZERO,
    explains: &[],
    about: String::new(),
};

/// The table.
pub(crate) fn rules(alerts: &Alerts) -> Vec<Rule> {
    let some_looks = alerts.interval * 6;
    let mut rules = vec![not_ready(alerts, some_looks), crash_loop(alerts), pool_exhausted()];
    rules.extend(high_5xx(alerts));
    rules.push(worker_restarts(alerts));
    rules.push(Rule {
        name: "failed_logins",
        alert: "MainstayFailedLogins",
        window: alerts.errors_window,
        about: format!(
            "More than {} logins failed within {}.",
            alerts.logins_above,
            show_duration(alerts.errors_window)
        ),
        ..ONCE
    });
    rules.push(directory_full(alerts, some_looks));
    rules.push(Rule {
        name: "rule_failed",
        alert: "MainstayRuleFailed",
        label: "rule",
        about: "A rule could not be evaluated three times in a row; its alerts stay as they are."
            .to_owned(),
        ..ONCE
    });
    rules.push(Rule {
        name: "notifier_failed",
        alert: "MainstayNotifierFailed",
        label: "receiver",
        about: format!("A receiver has taken nothing for {}.", show_duration(NOTIFIER)),
        ..ONCE
    });
    rules.extend(own::rules(alerts));
    rules.extend(probed());
    rules
}

/// What probes find, and that nobody looked.
fn probed() -> [Rule; 5] {
    let of = |name, alert, severity, about: &str| Rule {
        name,
        alert,
        severity,
        label: "probe",
        about: about.to_owned(),
        ..ONCE
    };
    let days = |days: f64| {
        format!("A certificate that a probe met ends within {days:.0} days, or has ended.")
    };
    let [first, last] = CERTIFICATE_DAYS.map(days);
    let (warning, critical) = (Severity::Warning, Severity::Critical);
    let silent =
        "A listener of the service's own is not served: its health endpoints are not answered.";
    let down = "What a probe asks is down, as its own number of attempts confirms.";
    [
        Rule { window: OWN_PROBES, ..of("listener_silent", "MainstayListenerSilent", critical, silent) },
        of("probe_down", "MainstayProbeDown", critical, down),
        Rule {
            explains: &["certificate_expiry"],
            ..of("certificate_ends_soon", "MainstayCertificateEndsSoon", critical, &last)
        },
        of("certificate_expiry", "MainstayCertificateExpiry", warning, &first),
        Rule {
            name: "monitoring_gap",
            alert: "MainstayMonitoringGap",
            about: "Nobody has evaluated these rules for some time, and nobody had ended the service: it \
                    died, or watch did."
                .to_owned(),
            ..ONCE
        },
    ]
}

fn not_ready(alerts: &Alerts, keep: Duration) -> Rule {
    Rule {
        name: "not_ready",
        alert: "MainstayNotReady",
        severity: Severity::Critical,
        trigger: Trigger::Count(alerts.readiness_checks),
        clear: 2,
        keep,
        window: alerts.interval,
        explains: &["pool_exhausted", "high_5xx", "high_5xx_low_traffic", "listener_silent"],
        about: format!(
            "The service is not ready (what is answered with 503) at {} checks in a row, one each {}. \
             A service that starts or stops is not judged.",
            alerts.readiness_checks,
            show_duration(alerts.interval),
        ),
        ..ONCE
    }
}

fn crash_loop(alerts: &Alerts) -> Rule {
    let window = alerts.restarts_window / LOOPS;
    Rule {
        name: "crash_loop",
        alert: "MainstayCrashLoop",
        severity: Severity::Critical,
        window,
        about: format!(
            "Workers died young in a row within {}, and the next start waits.",
            show_duration(window)
        ),
        ..ONCE
    }
}

fn pool_exhausted() -> Rule {
    let window = show_duration(POOL_WINDOW);
    Rule {
        name: "pool_exhausted",
        alert: "MainstayPoolExhausted",
        severity: Severity::Critical,
        label: "pool",
        keep: POOL_WINDOW * 2,
        window: POOL_WINDOW,
        explains: &["high_5xx", "high_5xx_low_traffic"],
        about: format!(
            "Within {window} a wait for a connection of the pool timed out; or the pool of a worker was \
             exhausted while somebody waited for {:.0} % of the time; or more than {QUEUE:.0} waited on \
             average.",
            SATURATED * 100.0
        ),
        ..ONCE
    }
}

fn high_5xx(alerts: &Alerts) -> [Rule; 2] {
    let (window, percent) = (alerts.errors_window, alerts.errors_above * 100.0);
    let present = window / PRESENT;
    let [shortest, longer, longest] = WIDTHS.map(|times| show_duration(window * times));
    let high = Rule {
        name: "high_5xx",
        alert: "MainstayHigh5xx",
        severity: Severity::Critical,
        trigger: Trigger::For(present),
        keep: present * 2,
        window,
        about: format!(
            "For {} more than {percent} % of requests, and at least {LEAST_ERRORS}, ended with a 5xx: within \
             the shortest of {shortest}, {longer} and {longest} that had {LEAST_REQUESTS} requests, and within \
             the last {} too. Health checks and clients that left are not counted.",
            show_duration(present),
            show_duration(present),
        ),
        ..ONCE
    };
    let low = Rule {
        name: "high_5xx_low_traffic",
        alert: "MainstayHigh5xxLowTraffic",
        window: window * WIDTHS[2],
        about: format!(
            "With fewer than {LEAST_REQUESTS} requests within {longest}: more than {percent} % of them, and at \
             least {FEW_ERRORS}, ended with a 5xx."
        ),
        ..ONCE
    };
    [high, low]
}

fn worker_restarts(alerts: &Alerts) -> Rule {
    let which = if alerts.restarts_count == "all" {
        "planned ones included"
    } else {
        "without those that were planned: recycling, reload, an operator's wish"
    };
    Rule {
        name: "worker_restarts",
        alert: "MainstayWorkerRestarts",
        window: alerts.restarts_window,
        about: format!(
            "Workers were restarted more than {} times within {}, {which}.",
            alerts.restarts_above,
            show_duration(alerts.restarts_window),
        ),
        ..ONCE
    }
}

fn directory_full(alerts: &Alerts, time: Duration) -> Rule {
    let above = alerts.uploads_above;
    Rule {
        name: "directory_full",
        alert: "MainstayDirectoryFull",
        label: "directory",
        trigger: Trigger::For(time),
        missing: Missing::Tell,
        about: format!(
            "More than {:.0} % of the space (as df has it: used / (used + available)) or of the inodes of an \
             uploads directory's file system are used for {}; it is over below {:.0} %. A file system that \
             does not answer at 3 checks in a row is told too.",
            above * 100.0,
            show_duration(time),
            (above - SLACK) * 100.0
        ),
        ..ONCE
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::{Config, Sources};
    use std::collections::HashSet;

    /// A rule without a meaning of its own.
    pub(in super::super) fn rule(trigger: Trigger) -> Rule {
        Rule { name: "some", trigger, ..ONCE }
    }

    /// The configuration of nobody.
    pub(crate) fn alerts() -> Alerts {
        Config::resolve(&Sources::default()).unwrap().alerts
    }

    #[test]
    fn a_rule_comes_before_those_that_it_explains_and_has_a_name_of_its_own() {
        let rules = rules(&alerts());
        for (index, rule) in rules.iter().enumerate() {
            for explained in rule.explains {
                let found = rules.iter().position(|it| it.name == *explained);
                assert!(found.is_some_and(|found| found > index), "{} {explained}", rule.name);
            }
            assert!(rule.about.ends_with('.') && rule.alert.starts_with("Mainstay"));
        }
        assert!(rules.iter().all(|it| crate::config::own::TAKEN.contains(&it.name)));
        assert_eq!(rules.len(), crate::config::own::TAKEN.len());
        let names: HashSet<_> = rules.iter().flat_map(|rule| [rule.name, rule.alert]).collect();
        assert_eq!(names.len(), rules.len() * 2);
    }

    #[test]
    fn the_defaults_are_those_that_the_rules_are_named_for() {
        let rules = rules(&alerts());
        let of = |name: &str| rules.iter().find(|rule| rule.name == name).unwrap();
        assert_eq!(of("not_ready").trigger, Trigger::Count(3), "more than two in a row");
        assert_eq!(of("not_ready").keep, Duration::from_secs(60));
        assert_eq!(of("high_5xx").trigger, Trigger::For(Duration::from_secs(60)));
        assert_eq!(of("high_5xx").release(), Duration::from_secs(300));
        assert!(of("worker_restarts").about.contains("more than 10 times within 1h"));
        assert!(of("directory_full").about.contains("More than 80 %"));
    }
}
