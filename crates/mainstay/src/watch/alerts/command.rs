//! The commands about alerts: what is in force, what is the case, and whether a receiver can be reached.

use super::super::ask::{Asked, ask};
use super::super::rules::builtin::rules;
use super::super::rules::{alertmanager, grafana, prometheus, words};
use super::letter::Letter;
use super::office::client;
use super::pace::Verdict;
use super::shape::send;
use super::{named, sender};
use crate::clock;
use crate::config::Config;
use crate::config::receivers::{Receiver, Shape};
use crate::config::units::show_duration;
use serde_json::Value;
use std::fmt::Write as _;

/// It was refused.
const REFUSED: u8 = 1;
/// More alerts of one rule are one line while all is well.
const FEW: usize = 3;

/// `alerts explain`: the rules as they are in force, and who is told.
pub(crate) fn explain(config: &Config) -> String {
    let mut text = words::explain(&rules(&config.alerts));
    let receivers = named(config);
    let who = match receivers.as_slice() {
        _ if !config.alerts.enabled => {
            "None of this is evaluated: alerts.enabled is false.".to_owned()
        }
        [] => "Nobody is told but the log: alerts.receivers is empty.".to_owned(),
        all => {
            let each = all.iter().map(told);
            let dry = if config.alerts.dry_run { " - or would be: alerts.dry_run" } else { "" };
            format!("Told are the log and {}{dry}.", each.collect::<Vec<_>>().join(", "))
        }
    };
    if !config.alerts.maintenance.is_empty() {
        let windows = config.alerts.maintenance.replace(',', "; ");
        writeln!(text, "Nobody hears of it during maintenance: {windows}.").ok();
    }
    // A String takes everything.
    writeln!(text, "{who}\nThe same for Prometheus: rules export --format prometheus").ok();
    text
}

/// A receiver, and when it is told what.
fn told(receiver: &Receiver) -> String {
    let mut words: Vec<String> = Vec::new();
    match (receiver.shape, &receiver.key) {
        (Shape::Webhook, Some(_)) => words.push("signed".to_owned()),
        (Shape::Webhook, None) => {}
        (shape, _) => words.push(shape.as_str().to_owned()),
    }
    let policy = &receiver.policy;
    if policy.critical_only {
        words.push("of critical ones alone".to_owned());
    }
    for (time, before) in [(policy.wait, "after"), (policy.interval, "at most once each")] {
        if !time.is_zero() {
            words.push(format!("{before} {}", show_duration(time)));
        }
    }
    if let Some(fallback) = &policy.fallback {
        let after = show_duration(policy.fallback_after);
        words.push(format!("{fallback} in its place when it takes nothing for {after}"));
    }
    let name = &receiver.name;
    if words.is_empty() { name.clone() } else { format!("{name} ({})", words.join(", ")) }
}

/// `rules export`: the rules as another program takes them.
pub(crate) fn export(config: &Config, format: &str) -> String {
    let rules = rules(&config.alerts);
    match format {
        "alertmanager" => alertmanager::export(&rules),
        "grafana" => grafana::export(),
        _ => prometheus::export(&config.alerts, &rules),
    }
}

/// `alerts`: what the running service says of them.
///
/// # Errors
/// Text for standard error and the exit code: 2 when no service answers.
pub(crate) fn list(config: &Config, json: bool) -> Asked {
    let told = ask(config, "/alerts", "alerts")?;
    Ok(if json { format!("{told:#}\n") } else { table(&told) })
}

fn table(told: &Value) -> String {
    if told["enabled"] != true {
        return "Alert rules are not evaluated: alerts.enabled is false.\n".to_owned();
    }
    let mut rows = vec![["RULE", "STATE", "SINCE", "WHAT"].map(str::to_owned)];
    for rule in told["rules"].as_array().into_iter().flatten() {
        let name = text(&rule["rule"]);
        let alerts = rule["alerts"].as_array().map_or(&[][..], Vec::as_slice);
        let is_quiet = |it: &Value| it["state"] == "inactive" && it["data"] == "ok";
        if alerts.is_empty() || (alerts.len() > FEW && alerts.iter().all(is_quiet)) {
            let what = format!("{} are watched", alerts.len());
            rows.push([name, "inactive".to_owned(), String::new(), what]);
            continue;
        }
        for alert in alerts {
            let mut state = text(&alert["state"]);
            for (is_so, word) in [
                (alert["data"] != "ok", text(&alert["data"])),
                (alert["flapping"] == true, "flapping".to_owned()),
                (alert["held_by"].is_string(), format!("held by {}", text(&alert["held_by"]))),
                (alert["known_by"].is_string(), format!("known by {}", text(&alert["known_by"]))),
            ] {
                if is_so {
                    write!(state, ", {word}").ok();
                }
            }
            let subject = text(&alert["subject"]);
            let name =
                if subject.is_empty() { name.clone() } else { format!("{name}{{{subject}}}") };
            rows.push([name, state, text(&alert["since"]), text(&alert["text"])]);
        }
    }
    let widths: [usize; 3] =
        [0, 1, 2].map(|it| rows.iter().map(|row| row[it].chars().count()).max().unwrap_or(0));
    let mut lines = String::new();
    for [rule, state, since, what] in rows {
        let [a, b, c] = widths;
        let line = format!("{rule:a$}  {state:b$}  {since:c$}  {what}");
        writeln!(lines, "{}", line.trim_end()).ok();
    }
    for silence in told["silences"].as_array().into_iter().flatten() {
        let matchers = silence["matchers"].as_array().into_iter().flatten().map(text);
        let matchers = matchers.collect::<Vec<_>>().join(" ");
        let [id, until, by] = ["id", "until", "by"].map(|it| text(&silence[it]));
        writeln!(lines, "silence {id} of {matchers} until {until} by {by}").ok();
    }
    for receiver in told["receivers"].as_array().into_iter().flatten() {
        let (name, waiting) = (text(&receiver["receiver"]), &receiver["waiting"]);
        let failing = receiver["failing_seconds"].as_f64().unwrap_or(0.0);
        let how = if failing > 0.0 {
            format!("takes nothing for {failing:.0} s")
        } else {
            "is well".to_owned()
        };
        writeln!(lines, "receiver {name}: {waiting} wait, it {how}").ok();
    }
    lines
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// `notify test`: sends a receiver something that says that nothing is wrong.
///
/// # Errors
/// Text for standard error and the exit code: 1 when it does not take it.
pub(crate) fn test(
    config: &Config,
    (name, version): (&str, &str),
    receiver: &str,
) -> Result<String, (u8, String)> {
    let all = named(config);
    let Some(found) = all.iter().find(|it| it.name == receiver) else {
        let known: Vec<_> = all.iter().map(|it| &*it.name).collect();
        let known = if known.is_empty() { "there are none".to_owned() } else { known.join(", ") };
        return Err((REFUSED, format!("error: no receiver is named {receiver}: {known}\n")));
    };
    let sender = sender(name, version, &config.alerts);
    let letter = Letter::test(&sender, clock::wall());
    let why = match send(&client(), found, &letter, &sender) {
        Ok((Verdict::Taken, how)) => {
            return Ok(format!("{receiver} has taken it with {how}.\n"));
        }
        Ok((Verdict::Partly, how)) => format!("not all have: {how}"),
        Ok((_, how)) => format!("it answers with {how}"),
        Err(reason) => reason,
    };
    Err((REFUSED, format!("error: {receiver} has not taken it: {why}\n")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use serde_json::json;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    fn config(flags: &[(&'static str, &str)]) -> Config {
        let flags = flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        Config::resolve(&Sources { flags, ..Sources::default() }).unwrap()
    }

    #[test]
    fn what_is_explained_names_receivers_and_shows_no_address() {
        assert!(explain(&config(&[])).contains("Nobody is told but the log"));
        let receivers = "ops=http://host/hunter2 0123456789abcdef,two=http://host/hunter2";
        let config = config(&[("alerts.receivers", receivers), ("alerts.state", "/var/lib/x")]);
        let text = explain(&config);
        assert!(text.contains("Told are the log and ops (signed), two."), "{text}");
        assert!(!text.contains("hunter2") && !format!("{config:?}").contains("hunter2"));
        let named = |text: &str| told(&crate::config::receivers::parse(text).unwrap()[0]);
        let text =
            "a=ntfy+http://h/t severity=critical wait=30s interval=5m fallback=b,b=http://h/";
        assert_eq!(
            named(text),
            "a (ntfy, of critical ones alone, after 30s, at most once each 5m, b in its place when it takes \
             nothing for 1m)"
        );
        assert!(export(&config, "prometheus").contains("- alert: MainstayNotReady"));
    }

    #[test]
    fn alerts_are_a_table_with_what_is_odd_about_them() {
        let text = table(&json!({
            "enabled": true,
            "rules": [
                { "rule": "not_ready", "alerts": [{ "state": "firing", "data": "ok", "flapping": true,
                  "since": "2026-01-01T00:00:00.000Z", "held_by": null, "text": "so it is" }] },
                { "rule": "pool_exhausted", "alerts": [] },
                { "rule": "directory_full", "alerts": [{ "subject": "/x", "state": "pending", "data": "no_data",
                  "flapping": false, "since": "", "held_by": "not_ready", "known_by": "anna",
                  "text": "" }] },
            ],
            "silences": [{ "id": "ab12", "matchers": ["rule=a", "pool=b"], "until": "T", "by": "anna" }],
            "receivers": [{ "receiver": "ops", "waiting": 2, "failing_seconds": 61.2 }],
        }));
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].starts_with("not_ready           firing, flapping "), "{text}");
        assert!(lines[1].ends_with("2026-01-01T00:00:00.000Z  so it is"));
        assert!(lines[2].ends_with("  0 are watched"), "{text}");
        let line = "directory_full{/x}  pending, no_data, held by not_ready, known by anna";
        assert!(lines[3].starts_with(line), "{text}");
        assert_eq!(lines[4], "silence ab12 of rule=a pool=b until T by anna");
        assert_eq!(lines[5], "receiver ops: 2 wait, it takes nothing for 61 s");
    }

    #[test]
    fn a_test_says_what_the_receiver_says() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ops=http://{}/x", listener.local_addr().unwrap());
        let config = config(&[("alerts.receivers", &url), ("alerts.state", "/var/lib/x")]);
        let (_, told) = test(&config, ("shop", "1"), "other").unwrap_err();
        assert!(told.contains("no receiver is named other: ops"), "{told}");
        for (status, expected) in [(200, Ok(())), (429, Err(())), (404, Err(()))] {
            let answering = thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    assert!(stream.read(&mut [0; 9_000]).unwrap() > 0);
                    let answer = format!(
                        "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    );
                    stream.write_all(answer.as_bytes()).unwrap();
                    // Until the other side has read it.
                    stream.read_to_end(&mut Vec::new()).ok();
                });
                test(&config, ("shop", "1"), "ops")
            });
            assert_eq!(answering.clone().map(drop).map_err(drop), expected, "{answering:?}");
            let told = answering.unwrap_or_else(|(_, told)| told);
            assert!(told.contains(&format!("status {status}")), "{told}");
        }
    }
}
