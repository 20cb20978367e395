//! Programs that read the logs: with the configuration that contrib/ has for them they read each line once and
//! whole, over rotation too.

use crate::support::*;
use e2e::harness::{Launch, Service, free_port, poll};
use e2e::load::Running;
use e2e::peers::{LogEndpoint, Mood, OpenSearch, Rsyslog, find, missing};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A service whose access log stands in a directory of its own.
fn logging() -> (Service, PathBuf) {
    let config = "workers.count = 2\nlog.access = \"{dir}/logs/access.log\"\n\
                  log.access_format = \"id %(id)s %(s)s end\"";
    let service = Launch::new(fixture()).directory("logs").config(config).start().ready(START);
    let logs = service.directory().join("logs");
    (service, logs)
}

/// Renames the log under load, and waits for the new one.
fn rotate(service: &Service, logs: &Path, load: &Running, number: usize) {
    load.run_for(steady() / 2);
    let rotated = logs.join(format!("access.log.{number}"));
    fs::rename(logs.join("access.log"), &rotated).expect("our own directory");
    service.signal(Signal::USR1);
    let opened = poll(START, || logs.join("access.log").exists().then_some(()));
    assert!(opened.is_some(), "{}", service.log());
}

/// Whether each line that was written was sent, once and whole; how many there were.
fn assert_sent_once(
    (service, logs): (&Service, &Path),
    load: Running,
    sent: impl Fn() -> Vec<String>,
    said: impl Fn() -> String,
) -> usize {
    load.run_for(steady() / 2);
    let report = load.stop();
    assert_nothing_lost("while rsyslog reads", &report, service);
    wait_idle(service);
    let mut last = (0, 0);
    let all = poll(START, || {
        let written = lines_of(logs);
        let sent = sent();
        last = (written.values().sum::<usize>(), sent.len());
        (last.0 as u64 >= report.ok() && last.0 == last.1).then_some((written, sent))
    });
    let (written, sent) =
        all.unwrap_or_else(|| panic!("{} lines were written, {} sent\n{}", last.0, last.1, said()));
    let mut times = BTreeMap::new();
    for line in sent {
        assert!(line.starts_with("id ") && line.ends_with(" end"), "torn: {line}");
        *times.entry(line).or_insert(0) += 1;
    }
    assert_eq!(times, written);
    last.1
}

#[test]
fn rsyslog_sends_each_line_once_and_whole_over_rotation() {
    let _together = together();
    let (service, logs) = logging();
    let Some(shipper) = Rsyslog::start(&logs.join("access.log")) else { return };
    let load = usual_load(&service).start();
    for number in 1..=3 {
        rotate(&service, &logs, &load, number);
    }
    let lines = assert_sent_once((&service, &logs), load, || shipper.lines(), || shipper.said());
    say(format_args!("rsyslog sent {lines} lines over 3 rotations, each once"));
}

#[test]
fn rsyslog_posts_each_line_once_to_an_endpoint_that_was_away_refused_and_hung_up() {
    let _together = together();
    let (service, logs) = logging();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let headers = service.directory().join("headers");
    fs::write(&headers, "Authorization: Bearer hunter2\n").expect("a file of ours");
    let url = format!("http://{address}/access");
    let shipper = Rsyslog::over_http(&logs.join("access.log"), &url, &headers);
    let Some(shipper) = shipper else { return };
    let read = |path: &str| fs::read_to_string(service.directory().join(path)).unwrap_or_default();
    let said = || shipper.said() + &read("headers.said");
    let load = usual_load(&service).start();
    // Nobody is there yet.
    rotate(&service, &logs, &load, 1);
    let away = poll(START, || said().contains("Connection refused").then_some(()));
    assert!(away.is_some(), "{}", said());
    let endpoint = LogEndpoint::start(address, Mood::Refuses);
    for (number, mood) in [(2, Mood::Refuses), (3, Mood::HangsUp)] {
        endpoint.turn(mood);
        rotate(&service, &logs, &load, number);
        let tried = poll(START, || (endpoint.refused() >= 2).then_some(()));
        assert!(tried.is_some(), "{mood:?}: {}", said());
    }
    assert_eq!(endpoint.lines(), [""; 0]);
    endpoint.turn(Mood::Takes);
    let lines = assert_sent_once((&service, &logs), load, || endpoint.lines(), said);
    assert_eq!(endpoint.header("authorization").as_deref(), Some("Bearer hunter2"));
    assert!(said().contains("it answered 500"), "{}", said());
    assert!(!said().contains("hunter2"), "{}", said());
    say(format_args!("rsyslog posted {lines} lines over 3 rotations and 3 outages, each once"));
}

/// The lines of all files of a directory, and how often each is there.
fn lines_of(directory: &Path) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("the logs").flatten() {
        for line in fs::read_to_string(entry.path()).unwrap_or_default().lines() {
            *times.entry(line.to_owned()).or_insert(0) += 1;
        }
    }
    times
}

#[test]
fn goaccess_reads_every_line_of_the_default_access_log() {
    let _together = together();
    let Some(program) = find("goaccess") else { return missing("GoAccess") };
    let service = service("workers.count = 1");
    for path in ["/", "/a%20b?c=d", "/none", "/readyz"] {
        service.get(path).expect("an answer");
    }
    service.wait_access(&["/none"], START);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/goaccess/goaccess.conf");
    let report = service.directory().join("report.json");
    let output = Command::new(program)
        .arg(service.access_path())
        .arg("-p")
        .arg(file)
        .args(["--no-global-config", "-o"])
        .arg(&report)
        .output()
        .expect("a program that was found can be started");
    assert!(output.status.success(), "{output:?}");
    let text = fs::read_to_string(report).expect("its report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let general = &report["general"];
    assert!(general["valid_requests"].as_u64().is_some_and(|it| it >= 4), "{general}");
    assert_eq!(general["failed_requests"], 0, "{general}");
}

/// The value of a parameter in a configuration of Fluentd.
fn of_fluentd<'a>(file: &'a str, name: &str) -> &'a str {
    let words = file.lines().filter_map(|line| line.trim().split_once(' '));
    let mut values = words.filter(|(key, _)| *key == name).map(|(_, value)| value.trim());
    values.next().unwrap_or_else(|| panic!("Fluentd is told no {name}"))
}

#[test]
fn fluentd_and_fluent_bit_read_the_same_files_and_fill_the_same_index() {
    let _together = together();
    let fluentd = fs::read_to_string(contrib("fluentd/fluent.conf")).expect("a configuration");
    let bit = fs::read_to_string(contrib("fluent-bit/fluent-bit.yaml")).expect("a configuration");
    let lines =
        bit.lines().filter_map(|line| line.trim().trim_start_matches("- ").split_once(": "));
    let bit: BTreeMap<_, _> = lines.collect();
    for (theirs, ours) in [
        ("path", "path"),
        ("rotate_wait", "rotate_wait"),
        ("index_name", "index"),
        ("write_operation", "write_operation"),
        ("port", "port"),
    ] {
        assert_eq!(Some(&of_fluentd(&fluentd, theirs)), bit.get(ours), "{theirs}");
    }
    // Each section that is opened is closed, the last one first.
    let mut open = Vec::new();
    for line in fluentd.lines().map(str::trim).filter(|line| line.starts_with('<')) {
        let name = line.trim_matches(['<', '>']).split(' ').next().unwrap_or_default();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{line}"),
            None => open.push(name),
        }
    }
    assert_eq!(open, [""; 0]);
    // What both say in their heads is a configuration of ours, which writes just these files.
    let head = |line: &str| line.strip_prefix("#   ").map(|it| format!("{it}\n"));
    let config: String = fluentd.lines().filter_map(head).collect();
    let place = tempfile::tempdir().expect("a temporary directory");
    let here = place.path().display().to_string();
    let paths: Vec<_> = of_fluentd(&fluentd, "path").split(',').collect();
    assert!(paths.iter().all(|path| config.contains(&format!("\"{path}\""))), "{config}");
    fs::write(place.path().join("mainstay.toml"), config.replace("/var/log/mainstay", &here))
        .expect("a file of ours");
    let checked = Command::new(mainstay()).arg("check").current_dir(&place).env_clear().output();
    let checked = checked.expect("the program can be started");
    assert!(checked.status.success(), "{checked:?}");
}

/// The fields of a mapping by their whole names, with their types.
fn types(properties: &Value, path: &str, into: &mut BTreeMap<String, String>) {
    for (name, field) in properties.as_object().expect("properties") {
        let name = format!("{path}{name}");
        if let Some(kind) = field["type"].as_str() {
            into.insert(name, kind.to_owned());
        } else {
            types(&field["properties"], &format!("{name}."), into);
        }
    }
}

/// Whether a field of this type takes the value as it is; more than that Elasticsearch would turn or refuse.
fn takes(kind: &str, value: &Value) -> bool {
    match (kind, value) {
        (_, Value::Array(all)) => all.iter().all(|it| takes(kind, it)),
        ("keyword" | "wildcard" | "match_only_text", it) => it.is_string(),
        ("long", it) => it.as_i64().is_some(),
        ("ip", Value::String(it)) => it.parse::<IpAddr>().is_ok(),
        // 2026-11-22T10:10:52.123Z
        ("date", Value::String(it)) => it.len() == 24 && it.ends_with('Z') && &it[10..11] == "T",
        _ => false,
    }
}

#[test]
fn elasticsearch_s_index_template_has_each_field_of_our_lines_with_its_type() {
    let _together = together();
    let contrib = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/elasticsearch");
    let template = fs::read_to_string(contrib.join("index-template.json")).expect("a template");
    let template: Value = serde_json::from_str(&template).expect("JSON");
    let mappings = &template["template"]["mappings"];
    let mut known = BTreeMap::new();
    types(&mappings["properties"], "", &mut known);
    assert_eq!(known["labels"], "object", "what applications add is kept under it");
    assert_eq!(mappings["dynamic_templates"][0]["labels"]["path_match"], "labels.*");
    // What the guide says there may be.
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/access-log.md");
    let guide = fs::read_to_string(guide).expect("the guide");
    let (_, fields) = guide.split_once("\n| fields | of |\n").expect("its table of fields");
    let rows = fields.lines().skip(1).take_while(|it| it.starts_with('|'));
    let cells: Vec<_> = rows.filter_map(|row| row.split('|').nth(1)).collect();
    let names = cells.iter().flat_map(|it| it.split('`')).filter(|it| it.contains('.'));
    for name in names {
        assert!(name.starts_with("labels.") || known.contains_key(name), "{name} has no mapping");
    }
    // What there is.
    let config = "workers.count = 1\nlog.error = \"{dir}/error.log\"\nlog.format = \"ecs\"\n\
                  log.access_format = \"ecs\"\nserver.environment = \"test\"\nlimits.routes = [\"/count: 1/hour\"]";
    let service = service(config);
    for path in ["/", "/a%20b?c=d", "/panic", "/causes", "/log", "/count", "/count"] {
        service.get(path).expect("an answer");
    }
    service.wait_access(&["GET /count 429"], START);
    let errors = service.directory().join("error.log");
    let read = || fs::read_to_string(&errors).unwrap_or_default();
    let text = || Some(read()).filter(|it| it.contains("request.panicked"));
    let errors = poll(START, text).unwrap_or_else(|| panic!("{}", read()));
    let access = fs::read_to_string(service.access_path()).expect("the access log");
    let mut seen = BTreeSet::new();
    for line in access.lines().chain(errors.lines()) {
        let line: Value = serde_json::from_str(line).expect("one object a line");
        for (name, value) in line.as_object().expect("an object") {
            let kind = if name.starts_with("labels.") {
                Some("keyword")
            } else {
                known.get(name).map(|it| &**it)
            };
            let kind = kind.unwrap_or_else(|| panic!("{name} has no mapping: {line}"));
            assert!(takes(kind, value), "{name} is {kind}: {value}");
            seen.insert(name.clone());
        }
    }
    say(format_args!("{} fields seen of {} with a mapping", seen.len(), known.len()));
    assert!(seen.len() >= 30, "{seen:?}");
    let lines: Vec<_> = access.lines().chain(errors.lines()).collect();
    assert_indexed(&template, &lines);
}

/// Whether a search engine that takes no guesses takes the template, and by it each of these lines as it is.
fn assert_indexed(template: &Value, lines: &[&str]) {
    let Some(search) = OpenSearch::start() else { return };
    let mut template = template.clone();
    // Elasticsearch alone knows it: labels beyond the limit are left out of the index.
    let settings = template["template"]["settings"].as_object_mut().expect("settings");
    settings.remove("index.mapping.total_fields.ignore_dynamic_beyond_limit").expect("it is set");
    let put = |template: &Value| search.put("/_index_template/logs", &template.to_string());
    assert_eq!(put(&template), Ok(()));
    let mut wrong = template.clone();
    wrong["template"]["mappings"]["properties"]["message"]["type"] = "match_only".into();
    assert!(put(&wrong).is_err_and(|it| it.contains("match_only")), "it judges");
    // It takes the words of a data stream, and has none.
    template.as_object_mut().expect("an object").remove("data_stream").expect("it is one");
    assert_eq!(put(&template), Ok(()));
    assert_eq!(search.create("logs-mainstay-default", lines), [""; 0]);
    let line = r#"{"@timestamp":"2026-11-22T10:10:52.123Z","http.response.status_code":"many"}"#;
    let refused = search.create("logs-mainstay-default", &[line]);
    assert!(refused.len() == 1 && refused[0].contains("status_code"), "{refused:?}");
    let found = |query: &str| search.count("logs-mainstay-default", query);
    assert_eq!(found(r#"{"match_all":{}}"#), lines.len());
    let local = lines.iter().filter(|it| it.contains(r#""client.ip":"127.0.0.1""#)).count();
    assert!(local > 0, "{lines:?}");
    assert_eq!(found(r#"{"term":{"client.ip":"127.0.0.0/8"}}"#), local);
    let late = lines.iter().filter(|it| it.contains(r#""http.response.status_code":429"#)).count();
    assert!(late > 0, "{lines:?}");
    assert_eq!(found(r#"{"range":{"http.response.status_code":{"gte":429,"lt":430}}}"#), late);
    say(format_args!("{} lines are in an index by the template", lines.len()));
}
