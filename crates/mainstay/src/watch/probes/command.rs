//! The commands about probes: how they are, and one attempt here and now.

use super::super::ask::{Asked, ask};
use super::attempt::{Attempt, attempt};
use super::failure::Failure;
use super::show::render;
use crate::config::Config;
use crate::config::probes::{Expect, Probe, Target};
use serde_json::Value;
use std::fmt::Write as _;

/// It did not go as it should.
const FAILED: u8 = 1;
/// The command makes no sense.
const USAGE: u8 = 64;
/// As browsers do, within reason.
const REDIRECTS: u32 = 5;

/// `probes`: what the running service says of them.
///
/// # Errors
/// Text for standard error and the exit code: 2 when no service answers.
pub(crate) fn list(config: &Config, json: bool) -> Asked {
    let told = ask(config, "/probes", "probes")?;
    Ok(if json { format!("{told:#}\n") } else { table(&told) })
}

fn table(told: &Value) -> String {
    let probes = told["probes"].as_array().map_or(&[][..], Vec::as_slice);
    if probes.is_empty() {
        return "Nothing is probed: probing.own is off and there is no [[probes]].\n".to_owned();
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut rows = vec![["PROBE", "STATE", "FOR", "TOOK", "TARGET"].map(str::to_owned)];
    let mut notes = String::new();
    for probe in probes {
        let mut state = text(&probe["state"]);
        if probe["doubted"] == true {
            state.push('?');
        }
        let seconds =
            |value: &Value| value.as_f64().map_or(String::new(), |it| format!("{it:.0} s"));
        let took = probe["last"]["total_seconds"].as_f64();
        let took = took.map_or(String::new(), |it| format!("{:.0} ms", it * 1e3));
        let name = text(&probe["probe"]);
        rows.push([
            name.clone(),
            state,
            seconds(&probe["since_seconds"]),
            took,
            text(&probe["target"]),
        ]);
        // A String takes everything.
        if probe["last"]["good"] == false {
            writeln!(notes, "{name}: {}", text(&probe["last"]["text"])).ok();
        }
        if let Some(days) = probe["last"]["certificate_days_left"].as_f64() {
            writeln!(notes, "{name}: its certificate ends in {days:.0} days").ok();
        }
    }
    let widths: [usize; 4] =
        [0, 1, 2, 3].map(|it| rows.iter().map(|row| row[it].chars().count()).max().unwrap_or(0));
    let mut lines = String::new();
    for [name, state, since, took, target] in rows {
        let [a, b, c, d] = widths;
        writeln!(lines, "{name:a$}  {state:b$}  {since:c$}  {took:d$}  {target}").ok();
    }
    lines + &notes
}

/// `probe URL`: asks once, with the settings of the probe of this name if there is one.
///
/// # Errors
/// Text for standard error and the exit code: 1 when the answer is not as it should be.
pub(crate) fn once(config: &Config, what: &str, json: bool) -> Asked {
    let known = config.probes.iter().find(|probe| probe.name == what);
    let probe = match known {
        Some(probe) => probe.clone(),
        None => {
            let target = Target::parse(what).map_err(|why| {
                (USAGE, format!("error: {what} is no probe, and as a URL it {why}\n"))
            })?;
            if matches!(&target, Target::Http(url) if url.is_tls) && !cfg!(feature = "tls") {
                let why =
                    "error: https needs the feature tls, which this program was built without\n";
                return Err((USAGE, why.to_owned()));
            }
            let usual = Probe::usual("once", target);
            Probe { expect: Expect { redirects: REDIRECTS, ..usual.expect.clone() }, ..usual }
        }
    };
    let found = attempt(&probe);
    let told = if json { format!("{:#}\n", render(&found)) } else { words(&probe, &found) };
    if found.failure.is_some() { Err((FAILED, told)) } else { Ok(told) }
}

fn words(probe: &Probe, found: &Attempt) -> String {
    let how = match found.failure {
        None => "it is as it should be".to_owned(),
        Some(failure) => format!("{} ({})", found.why(), failure.as_str()),
    };
    let mut text = format!("{}: {how}\n", probe.target);
    // A String takes everything.
    if let Some(status) = found.status {
        writeln!(text, "  status       {status}").ok();
    }
    let phases = found.phases.each().into_iter().chain([("total", Some(found.total))]);
    for (phase, took) in phases {
        if let Some(took) = took {
            writeln!(text, "  {phase:<10}  {:>8.1} ms", took.as_secs_f64() * 1e3).ok();
        }
    }
    for (ip, failure) in &found.families {
        let how = failure.map_or("is as it should be", Failure::about);
        writeln!(text, "  {ip}         {how}").ok();
    }
    if let Some(days) = render(found)["certificate_days_left"].as_f64() {
        writeln!(text, "  certificate  ends in {days:.1} days").ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use serde_json::json;

    #[test]
    fn probes_are_a_table_with_what_is_wrong_below() {
        let text = table(&json!({ "probes": [
            { "probe": "site", "state": "down", "doubted": true, "since_seconds": 61.2,
              "target": "https://a/", "last": { "good": false, "text": "nobody listens there",
              "total_seconds": 0.0123, "certificate_days_left": 12.4 } },
            { "probe": "healthz", "state": "unknown", "doubted": false, "since_seconds": 0.1,
              "target": "http://b/", "last": null },
        ] }));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], "site     down?    61 s  12 ms  https://a/");
        assert_eq!(lines[2], "healthz  unknown  0 s          http://b/");
        assert_eq!(lines[3], "site: nobody listens there");
        assert_eq!(lines[4], "site: its certificate ends in 12 days");
        assert!(table(&json!({ "probes": [] })).contains("Nothing is probed"));
    }

    #[test]
    fn a_probe_that_is_made_once_says_how_far_it_came() {
        let config = Config::resolve(&Sources::default()).unwrap();
        let (code, told) = once(&config, "tcp://127.0.0.1:1", false).unwrap_err();
        assert!(code == 1 && told.contains("nobody listens there (refused)"), "{told}");
        assert!(told.contains("  connect ") && !told.contains("first_byte"), "{told}");
        let (code, told) = once(&config, "nonsense", false).unwrap_err();
        assert!(code == 64 && told.contains("is no URL"), "{told}");
    }
}
