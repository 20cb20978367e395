//! The commands about alerts: what is in force, what is the case, and whether a receiver can be reached.

use super::super::rules::builtin::rules;
use super::super::rules::{prometheus, words};
use super::letter::Letter;
use super::office::{client, send};
use super::pace::Verdict;
use super::{named, sender};
use crate::clock;
use crate::config::{Bind, Config};
use serde_json::Value;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

/// Nobody answers.
const NOBODY: u8 = 2;
/// It was refused.
const REFUSED: u8 = 1;
/// More alerts of one rule are one line while all is well.
const FEW: usize = 3;
/// For an answer of the service.
const PATIENCE: Duration = Duration::from_secs(10);

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
            let each = all.iter().map(|it| match it.key {
                Some(_) => format!("{} (signed)", it.name),
                None => it.name.clone(),
            });
            let dry = if config.alerts.dry_run { " - or would be: alerts.dry_run" } else { "" };
            format!("Told are the log and {}{dry}.", each.collect::<Vec<_>>().join(", "))
        }
    };
    // A String takes everything.
    writeln!(text, "{who}\nThe same for Prometheus: rules export --format prometheus").ok();
    text
}

/// `rules export`: the rules as a file of Prometheus.
pub(crate) fn export(config: &Config) -> String {
    prometheus::export(&config.alerts, &rules(&config.alerts))
}

/// `alerts`: what the running service says of them.
///
/// # Errors
/// Text for standard error and the exit code: 2 when no service answers.
pub(crate) fn list(config: &Config, json: bool) -> Result<String, (u8, String)> {
    let Some(bind) = &config.server.admin else {
        return Err((NOBODY, "error: server.admin is empty, and alerts are shown there\n".into()));
    };
    let answer = ask(bind).map_err(|error| {
        (NOBODY, format!("error: no running service answers on {bind}: {error}\n"))
    })?;
    let told: Value = serde_json::from_str(&answer)
        .map_err(|_| (NOBODY, format!("error: what answers on {bind} shows no alerts\n")))?;
    Ok(if json { format!("{told:#}\n") } else { table(&told) })
}

/// The body of `/alerts`.
fn ask(bind: &Bind) -> io::Result<String> {
    let answer = crate::ask::get(bind, "/alerts", PATIENCE)?;
    match answer.status {
        200 => Ok(answer.body),
        _ => Err(io::Error::other("it does not answer as a service of mainstay does")),
    }
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
    let letter = Letter::test(receiver, &sender(name, version), clock::wall());
    let why = match send(&client(), found, &letter) {
        Ok((Verdict::Taken, status)) => {
            return Ok(format!("{receiver} has taken it with status {status}.\n"));
        }
        Ok((_, status)) => format!("it answers with status {status}"),
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
        assert!(export(&config).contains("- alert: MainstayNotReady"));
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
                  "flapping": false, "since": "", "held_by": "not_ready", "text": "" }] },
            ],
            "receivers": [{ "receiver": "ops", "waiting": 2, "failing_seconds": 61.2 }],
        }));
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].starts_with("not_ready           firing, flapping "), "{text}");
        assert!(lines[1].ends_with("2026-01-01T00:00:00.000Z  so it is"));
        assert!(lines[2].ends_with("  0 are watched"), "{text}");
        assert!(lines[3].starts_with("directory_full{/x}  pending, no_data, held by not_ready"));
        assert_eq!(lines[4], "receiver ops: 2 wait, it takes nothing for 61 s");
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
