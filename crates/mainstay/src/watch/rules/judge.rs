//! From what a look found, and what is remembered of earlier ones, to a finding for each rule and subject.

use super::builtin::{
    CERTIFICATE_DAYS, FEW_ERRORS, LEAST_ERRORS, LEAST_REQUESTS, LOOPS, NOTIFIER, POOL_WINDOW,
    PRESENT, QUEUE, SATURATED as MOSTLY, SLACK, WIDTHS,
};
use super::facts::{Directory, Facts, Pool, Probe, Receiver, SATURATED, TIMEOUTS, WAITED, Windows};
use super::own;
use super::rule::{Finding, Level, Reading};
use crate::config::Alerts;
use crate::config::own::OwnRule;
use crate::config::units::show_duration;
use std::time::Duration;

/// Columns of the series of requests, and of restarts.
const REQUESTS: usize = 0;
const ERRORS: usize = 1;
const FAILED_LOGINS: usize = 2;
const UNPLANNED: usize = 0;
const PLANNED: usize = 1;
const CRASH_LOOPS: usize = 2;

/// All findings of a look. `own` are the operator's rules, `blind` those that have failed for some time.
pub(crate) fn findings(
    (alerts, own): (&Alerts, &[OwnRule]),
    windows: &Windows,
    facts: &Facts,
    blind: &[(&'static str, bool)],
) -> Vec<Finding> {
    let mut found = vec![ready(facts), crash_loop(alerts, windows)];
    let pools = facts.pools.iter();
    found.extend(pools.map(|pool| of("pool_exhausted", &pool.name, pool_is(pool, windows))));
    found.extend(errors(alerts, windows));
    found.push(of("worker_restarts", "", restarts(alerts, windows)));
    found.push(of("failed_logins", "", logins(alerts, windows)));
    let directories = facts.directories.iter();
    found.extend(directories.map(|it| of("directory_full", &it.path, Some(directory(alerts, it)))));
    found.extend(blind.iter().map(|(rule, is_blind)| {
        let how = if *is_blind { "cannot be" } else { "is" };
        let text = format!("the rule {rule} {how} evaluated");
        of("rule_failed", rule, Some((bad_if(*is_blind), text)))
    }));
    let receivers = facts.receivers.iter();
    found.extend(receivers.map(|it| of("notifier_failed", &it.name, Some(receiver(it)))));
    for rule in own {
        // The table has it under the same name, for as long as the process lives.
        let name = blind.iter().find(|(name, _)| *name == rule.name).map(|(name, _)| *name);
        found.extend(name.map(|name| own::finding(rule, name, windows.own.get(name))));
    }
    found.extend(facts.probes.iter().flat_map(probe));
    found.push(gap(facts.gap));
    found
}

/// A finding; what gives none has failed.
fn of(rule: &'static str, subject: &str, found: Option<(Reading, String)>) -> Finding {
    let (reading, text) = found.unwrap_or((Reading::Failed, String::new()));
    Finding { rule, subject: subject.to_owned(), reading, text }
}

fn bad_if(is_bad: bool) -> Reading {
    Reading::Is(if is_bad { Level::Bad } else { Level::Good })
}

fn ready(facts: &Facts) -> Finding {
    let found = match facts.ready {
        None => (Reading::Paused, String::new()),
        Some(true) => (Reading::Is(Level::Good), "the service is ready".to_owned()),
        Some(false) => {
            (Reading::Is(Level::Bad), format!("the service is not ready: {}", facts.why))
        }
    };
    of("not_ready", "", Some(found))
}

fn crash_loop(alerts: &Alerts, windows: &Windows) -> Finding {
    let window = alerts.restarts_window / LOOPS;
    let loops = windows.restarts.grown(CRASH_LOOPS, window);
    let found = loops.map(|loops| {
        let text = format!(
            "it came {loops} times within {} that workers died young in a row",
            show_duration(window)
        );
        (bad_if(loops > 0), text)
    });
    of("crash_loop", "", found)
}

fn pool_is(pool: &Pool, windows: &Windows) -> Option<(Reading, String)> {
    let series = windows.pools.get(&pool.name)?;
    let grown = |column| series.grown(column, POOL_WINDOW);
    let seconds = POOL_WINDOW.as_secs_f64();
    let timeouts = grown(TIMEOUTS)?;
    let queue = grown(WAITED)? as f64 / 1e9 / seconds;
    let saturated = grown(SATURATED)? as f64 / 1e9 / seconds;
    let is_bad = timeouts > 0 || saturated >= MOSTLY || queue > QUEUE;
    let text = format!(
        "pool {}: {timeouts} waits timed out within {}, {:.0} % of it was some worker's pool exhausted, \
         {queue:.1} waited on average; now {} of {} connections are in use and {} wait",
        pool.name,
        show_duration(POOL_WINDOW),
        saturated.min(1.0) * 100.0,
        pool.in_use,
        pool.max,
        pool.waiting
    );
    Some((bad_if(is_bad), text))
}

/// Requests and failures within a window.
fn share(windows: &Windows, window: Duration) -> Option<(u64, u64)> {
    let (requests, errors) =
        (windows.requests.grown(REQUESTS, window)?, windows.requests.grown(ERRORS, window)?);
    // Who is counted among requests is so a moment before or after.
    Some((requests.max(errors), errors))
}

fn part(errors: u64, requests: u64) -> f64 {
    if requests == 0 { 0.0 } else { errors as f64 / requests as f64 }
}

fn errors(alerts: &Alerts, windows: &Windows) -> [Finding; 2] {
    let names = ["high_5xx", "high_5xx_low_traffic"];
    let good = |why: &str| Some((Reading::Is(Level::Good), why.to_owned()));
    let [high, low] = judged_errors(alerts, windows).map_or([None, None], |(is_low, found)| {
        if is_low {
            [good("there are too few requests"), Some(found)]
        } else {
            [Some(found), good("there are enough requests")]
        }
    });
    [of(names[0], "", high), of(names[1], "", low)]
}

/// Whether there is little traffic, and what is found in it.
fn judged_errors(alerts: &Alerts, windows: &Windows) -> Option<(bool, (Reading, String))> {
    let told = |requests: u64, errors: u64, window: Duration| {
        let percent = part(errors, requests) * 100.0;
        let window = show_duration(window);
        format!("{errors} of {requests} requests ({percent:.1} %) ended with a 5xx within {window}")
    };
    let is_above = |requests, errors| part(errors, requests) > alerts.errors_above;
    let mut widest = (0, 0, Duration::ZERO);
    for width in WIDTHS {
        let window = alerts.errors_window * width;
        let (requests, errors) = share(windows, window)?;
        widest = (requests, errors, window);
        if requests < LEAST_REQUESTS {
            continue;
        }
        let (now, now_bad) = share(windows, alerts.errors_window / PRESENT)?;
        let is_bad = errors >= LEAST_ERRORS && is_above(requests, errors) && is_above(now, now_bad);
        return Some((false, (bad_if(is_bad), told(requests, errors, window))));
    }
    let (requests, errors, window) = widest;
    let is_bad = errors >= FEW_ERRORS && is_above(requests, errors);
    Some((true, (bad_if(is_bad), told(requests, errors, window))))
}

fn restarts(alerts: &Alerts, windows: &Windows) -> Option<(Reading, String)> {
    let grown = |column| windows.restarts.grown(column, alerts.restarts_window);
    let (unplanned, planned) = (grown(UNPLANNED)?, grown(PLANNED)?);
    let counted = if alerts.restarts_count == "all" { unplanned + planned } else { unplanned };
    let window = show_duration(alerts.restarts_window);
    let text = format!("{unplanned} unplanned and {planned} planned restarts within {window}");
    Some((bad_if(counted > alerts.restarts_above), text))
}

fn logins(alerts: &Alerts, windows: &Windows) -> Option<(Reading, String)> {
    let failed = windows.requests.grown(FAILED_LOGINS, alerts.errors_window)?;
    let text = format!("{failed} logins failed within {}", show_duration(alerts.errors_window));
    Some((bad_if(failed > alerts.logins_above), text))
}

fn directory(alerts: &Alerts, found: &Directory) -> (Reading, String) {
    let path = &found.path;
    let Some((space, inodes)) = found.used else {
        return (Reading::Missing, format!("the file system of {path} does not answer"));
    };
    let most = space.max(inodes.unwrap_or(0.0));
    let level = if most > alerts.uploads_above {
        Level::Bad
    } else if most < alerts.uploads_above - SLACK {
        Level::Good
    } else {
        Level::Between
    };
    let inodes =
        inodes.map_or(String::new(), |it| format!(" and {:.1} % of its inodes", it * 100.0));
    let full = found.full_in.map(ahead).unwrap_or_default();
    let text = format!("{:.1} % of the space of {path}{inodes} are used{full}", space * 100.0);
    (Reading::Is(level), text)
}

/// `; if it goes on as in the last hours, it is full in 3 h`.
fn ahead(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    let when = match minutes {
        0..120 => format!("{minutes} min"),
        120..2_880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1_440),
    };
    format!("; if it goes on as in the last hours, it is full in {when}")
}

fn receiver(found: &Receiver) -> (Reading, String) {
    let name = &found.name;
    let text = match found.failing {
        Duration::ZERO => format!("the receiver {name} takes what is for it"),
        time => format!("the receiver {name} has taken nothing for {} s", time.as_secs()),
    };
    (bad_if(found.failing >= NOTIFIER), text)
}

fn probe(found: &Probe) -> Vec<Finding> {
    let (name, target) = (&found.name, &found.target);
    let (reading, text) = match found.is_up {
        None => (Reading::Missing, format!("nobody can know how {target} is")),
        Some(true) => (Reading::Is(Level::Good), format!("{target} is up")),
        Some(false) => (Reading::Is(Level::Bad), format!("{target} is down: {}", found.why)),
    };
    let rule = if found.is_own { "listener_silent" } else { "probe_down" };
    let mut findings = vec![of(rule, name, Some((reading, text)))];
    if let Some(days) = found.days_left {
        let text = match days {
            ..0.0 => format!("a certificate of {target} has ended"),
            _ => format!("a certificate of {target} ends in {days:.1} days"),
        };
        let soon = bad_if(days < CERTIFICATE_DAYS[1]);
        findings.push(of("certificate_ends_soon", name, Some((soon, text.clone()))));
        let soon = bad_if(days < CERTIFICATE_DAYS[0]);
        findings.push(of("certificate_expiry", name, Some((soon, text))));
    } else if target.starts_with("https:") {
        // What was told stands until somebody knows better.
        let text = format!("nobody knows how long certificates of {target} last");
        findings.extend(
            ["certificate_ends_soon", "certificate_expiry"]
                .map(|rule| of(rule, name, Some((Reading::Missing, text.clone())))),
        );
    }
    findings
}

fn gap(found: Option<Duration>) -> Finding {
    let text = match found {
        None => "somebody looks after the service".to_owned(),
        Some(gap) => {
            format!("monitoring gap of {} s: nobody looked after the service", gap.as_secs())
        }
    };
    of("monitoring_gap", "", Some((bad_if(found.is_some()), text)))
}

#[cfg(test)]
mod tests {
    use super::super::builtin::tests::alerts;
    use super::super::facts::Pool as Found;
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const BIRTH: u64 = 1_000_000 * SECOND;

    /// A service that is looked at each ten seconds.
    struct Service {
        alerts: Alerts,
        windows: Windows,
        facts: Facts,
        now: u64,
    }

    impl Service {
        fn new() -> Service {
            let windows = Windows::default().of(BIRTH);
            let facts = Facts { complete: true, ready: Some(true), ..Facts::default() };
            Service { alerts: alerts(), windows, facts, now: BIRTH }
        }

        /// So many seconds with so many requests, of which so many fail, at each look.
        fn serve(&mut self, seconds: u64, requests: u64, errors: u64) -> &mut Service {
            for _ in 0..seconds / 10 {
                self.facts.requests += requests;
                self.facts.errors += errors;
                self.look(10);
            }
            self
        }

        fn look(&mut self, seconds: u64) {
            self.now += seconds * SECOND;
            self.windows.note(self.now, &self.facts, &self.alerts);
        }

        fn is(&self, rule: &str) -> Level {
            let found = findings((&self.alerts, &[]), &self.windows, &self.facts, &[]);
            let found = found.into_iter().find(|it| it.rule == rule).unwrap();
            match found.reading {
                Reading::Is(level) => level,
                other => panic!("{rule} is {other:?}: {}", found.text),
            }
        }
    }

    #[test]
    fn more_than_one_percent_is_bad_and_one_percent_is_not() {
        let mut service = Service::new();
        assert_eq!(service.serve(600, 100, 1).is("high_5xx"), Level::Good, "exactly 1 %");
        assert_eq!(service.serve(300, 1_000, 11).is("high_5xx"), Level::Bad, "1.1 %");
        assert_eq!(service.serve(70, 1_000, 0).is("high_5xx"), Level::Good, "not any more");
        assert_eq!(service.is("high_5xx_low_traffic"), Level::Good);
    }

    #[test]
    fn few_failures_of_few_requests_are_no_noise() {
        let mut service = Service::new();
        // One of 21, and in an hour that is all.
        service.serve(200, 1, 0).serve(10, 1, 1);
        assert_eq!(
            (service.is("high_5xx"), service.is("high_5xx_low_traffic")),
            (Level::Good, Level::Good)
        );
        service.serve(10, 1, 1).serve(10, 1, 1);
        assert_eq!(service.is("high_5xx_low_traffic"), Level::Bad, "three in an hour");
        // With more traffic the other rule judges, which wants five.
        service.serve(100, 8, 0).serve(10, 8, 1);
        assert_eq!(service.is("high_5xx_low_traffic"), Level::Good);
        assert_eq!(service.is("high_5xx"), Level::Good);
    }

    #[test]
    fn ten_restarts_in_an_hour_are_good_and_eleven_are_not_at_any_second() {
        for offset in 1..10 {
            let mut service = Service::new();
            service.look(offset);
            for _ in 0..10 {
                service.facts.restarts[0] += 1;
                service.look(300);
            }
            service.facts.restarts[1] += 240;
            service.look(7);
            assert_eq!(service.is("worker_restarts"), Level::Good);
            service.facts.restarts[0] += 1;
            service.look(7);
            assert_eq!(service.is("worker_restarts"), Level::Bad);
            service.look(900);
            assert_eq!(service.is("worker_restarts"), Level::Good, "an hour has passed for some");
            service.alerts.restarts_count = "all".to_owned();
            assert_eq!(service.is("worker_restarts"), Level::Bad);
        }
    }

    #[test]
    fn failed_logins_are_counted_within_their_window_alone() {
        let mut service = Service::new();
        for _ in 0..60 {
            service.facts.failed_logins += 1;
            service.look(10);
        }
        assert_eq!(service.is("failed_logins"), Level::Good, "30 in five minutes");
        service.facts.failed_logins += 25;
        service.look(10);
        assert_eq!(service.is("failed_logins"), Level::Bad);
        service.look(290);
        assert_eq!(service.is("failed_logins"), Level::Good);
    }

    #[test]
    fn a_pool_is_exhausted_by_a_time_out_by_a_queue_or_by_one_worker_and_not_by_a_burst() {
        let pool =
            |name: &str| Found { name: name.to_owned(), max: 5, in_use: 5, ..Found::default() };
        let mut calm = Service::new();
        calm.facts.pools = vec![pool("main")];
        for second in 0..120 {
            // Two seconds of each ten.
            calm.facts.pools[0].is_saturated = second % 10 < 2;
            calm.facts.pools[0].waited += if second % 10 < 2 { SECOND } else { 0 };
            calm.look(1);
        }
        assert_eq!(calm.is("pool_exhausted"), Level::Good);
        calm.facts.pools[0].timeouts += 1;
        calm.look(1);
        assert_eq!(calm.is("pool_exhausted"), Level::Bad, "one waited in vain");
        for (saturated, waited) in [(true, 0), (false, 2 * SECOND)] {
            let mut service = Service::new();
            service.facts.pools = vec![pool("main")];
            for _ in 0..70 {
                service.facts.pools[0].is_saturated = saturated;
                service.facts.pools[0].waited += waited;
                service.look(1);
            }
            assert_eq!(service.is("pool_exhausted"), Level::Bad, "{saturated} {waited}");
        }
    }

    #[test]
    fn a_directory_is_judged_by_space_and_by_inodes_with_a_threshold_of_its_own_for_the_end() {
        let mut service = Service::new();
        let cases = [
            ((0.80, None), Level::Between),
            ((0.801, None), Level::Bad),
            ((0.779, Some(0.2)), Level::Good),
            ((0.2, Some(0.95)), Level::Bad),
            ((0.2, Some(0.79)), Level::Between),
        ];
        for (used, level) in cases {
            service.facts.directories =
                vec![Directory { path: "/x".to_owned(), used: Some(used), full_in: None }];
            assert_eq!(service.is("directory_full"), level, "{used:?}");
        }
        for (minutes, when) in [(119, "in 119 min"), (200, "in 3 h"), (6_000, "in 4 days")] {
            service.facts.directories[0].full_in = Some(Duration::from_secs(minutes * 60));
            let found = findings((&service.alerts, &[]), &service.windows, &service.facts, &[]);
            let told = found.iter().find(|it| it.rule == "directory_full").map(|it| &*it.text);
            assert!(told.is_some_and(|it| it.ends_with(when)), "{told:?}");
        }
        service.facts.directories[0].used = None;
        let found = findings((&service.alerts, &[]), &service.windows, &service.facts, &[]);
        assert!(found.iter().any(|it| it.reading == Reading::Missing && it.text.contains("/x")));
    }

    #[test]
    fn probes_are_judged_by_their_state_and_certificates_by_their_days() {
        let mut service = Service::new();
        let is = |is_up, days_left| Probe { is_up, days_left, ..Probe::default() };
        for (days, level) in
            [(14.1, [Level::Good; 2]), (13.9, [Level::Bad, Level::Good]), (6.9, [Level::Bad; 2])]
        {
            service.facts.probes = vec![is(Some(true), Some(days))];
            assert_eq!(service.is("probe_down"), Level::Good);
            let found = [service.is("certificate_expiry"), service.is("certificate_ends_soon")];
            assert_eq!(found, level, "{days}");
        }
        service.facts.probes = vec![is(Some(false), None)];
        assert_eq!(service.is("probe_down"), Level::Bad);
        service.facts.probes = vec![Probe { is_own: true, ..is(None, None) }];
        let found = findings((&service.alerts, &[]), &service.windows, &service.facts, &[]);
        let found = found.iter().find(|it| it.rule == "listener_silent").unwrap();
        assert_eq!(found.reading, Reading::Missing);
        assert_eq!(service.is("monitoring_gap"), Level::Good);
        service.facts.gap = Some(Duration::from_secs(39));
        assert_eq!(service.is("monitoring_gap"), Level::Bad);
    }

    #[test]
    fn a_service_that_starts_or_stops_is_not_judged_and_a_total_that_shrinks_is_an_error() {
        let mut service = Service::new();
        service.serve(60, 100, 0);
        service.facts.ready = None;
        let reading = |service: &Service, rule: &str| {
            let found = findings((&service.alerts, &[]), &service.windows, &service.facts, &[]);
            found.into_iter().find(|it| it.rule == rule).unwrap().reading
        };
        assert_eq!(reading(&service, "not_ready"), Reading::Paused);
        service.facts.ready = Some(false);
        assert_eq!(service.is("not_ready"), Level::Bad);
        service.facts.restarts = [3, 0];
        service.look(10);
        service.facts.restarts = [0, 0];
        service.now += 3_700 * SECOND;
        service.facts.restarts = [9, 0];
        service.look(10);
        service.facts.restarts = [1, 0];
        service.look(10);
        assert_eq!(reading(&service, "worker_restarts"), Reading::Failed);
    }
}
