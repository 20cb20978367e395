//! The compose file of contrib/: every file, service and port that it names is there, and what it hands to each
//! program is judged by that program, where there is one.

use crate::support::*;
use e2e::harness::{Launch, poll};
use e2e::peers::{Alertmanager, Postgres, Prometheus, Redis, find, missing};
use saphyr::{LoadableYamlNode, ScalarOwned, YamlOwned};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What a `docker compose` user puts beside the file, as its first lines say.
const SECRETS: [(&str, &str); 3] = [
    ("database-url", "postgres://mainstay:x@postgres:5432/mainstay"),
    ("password", "x"),
    ("grafana-password", "x"),
];

fn docker(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/docker").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(docker(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("a program that was found can be started")
}

/// A document of YAML in the shape of JSON.
fn yaml(text: &str) -> Value {
    let documents = YamlOwned::load_from_str(text).expect("YAML");
    value(documents.into_iter().next().expect("a document"))
}

fn value(node: YamlOwned) -> Value {
    match node {
        YamlOwned::Value(ScalarOwned::String(it)) => it.into(),
        YamlOwned::Value(ScalarOwned::Integer(it)) => it.into(),
        YamlOwned::Value(ScalarOwned::Boolean(it)) => it.into(),
        YamlOwned::Sequence(items) => items.into_iter().map(value).collect(),
        YamlOwned::Mapping(entries) => {
            let pairs = entries.into_iter().map(|(key, held)| (value(key), value(held)));
            let name = |key: &Value| key.as_str().expect("a name").to_owned();
            Value::Object(pairs.map(|(key, held)| (name(&key), held)).collect())
        }
        other => panic!("not in these files: {other:?}"),
    }
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}"))
}

/// The texts of a list; none where there is no list.
fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The ports that a service listens on, by what it exposes and publishes.
fn ports(service: &Value) -> BTreeSet<&str> {
    let all = texts(&service["expose"]).into_iter().chain(texts(&service["ports"]));
    all.filter_map(|it| it.rsplit(':').next()).collect()
}

/// The files that a service is given: of each where it stands here and where it stands there.
fn mounted(service: &Value) -> Vec<(&str, &str)> {
    let all = texts(&service["volumes"]).into_iter().filter_map(|it| it.split_once(':'));
    all.map(|(here, there)| (here, there.trim_end_matches(":ro"))).collect()
}

/// Addresses such as `redis:6379` in a text.
fn addresses(text: &str) -> BTreeSet<(&str, &str)> {
    let apart = |it: char| !(it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | ':'));
    let pairs = text.split(apart).filter_map(|it| it.split_once(':'));
    let named = pairs.filter(|(host, port)| {
        host.starts_with(|it: char| it.is_ascii_lowercase())
            && !port.is_empty()
            && port.bytes().all(|it| it.is_ascii_digit())
    });
    named.filter(|(host, _)| *host != "localhost").collect()
}

/// Those of them where no service of the file listens.
fn strangers(services: &Map<String, Value>, text: &str) -> Vec<String> {
    let listens =
        |host: &str, port: &str| services.get(host).is_some_and(|it| ports(it).contains(port));
    let all = addresses(text).into_iter().filter(|(host, port)| !listens(host, port));
    all.map(|(host, port)| format!("{host}:{port}")).collect()
}

/// Every file below a path.
fn files(path: &Path, into: &mut Vec<PathBuf>) {
    if !path.is_dir() {
        return into.push(path.to_owned());
    }
    for entry in fs::read_dir(path).expect("a directory of ours").flatten() {
        files(&entry.path(), into);
    }
}

#[test]
fn the_compose_file_has_no_fault_that_docker_compose_knows() {
    let _together = together();
    let Some(program) = find("docker-compose") else { return missing("docker-compose") };
    let file = read("compose.yaml");
    let place = tempfile::tempdir().expect("a temporary directory");
    let judge = |text: &str| {
        fs::write(place.path().join("compose.yaml"), text).expect("a file of ours");
        let mut command = Command::new(&program);
        run(command.args(["-f", "compose.yaml", "config"]).current_dir(&place))
    };
    for (name, held) in SECRETS {
        assert!(file.contains(&format!(">{name}\n")) || file.contains(&format!(">{name};")));
        fs::write(place.path().join(name), held).expect("a file of ours");
    }
    let good = judge(&file);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    let said = yaml(&String::from_utf8_lossy(&good.stdout));
    let names = |it: &Value| object(&it["services"]).keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&said), names(&yaml(&file)));
    assert!(!judge(&file.replace("restart:", "restarts:")).status.success(), "it judges");
}

#[test]
fn every_file_service_and_port_that_the_compose_file_names_is_there() {
    let _together = together();
    let file = yaml(&read("compose.yaml"));
    let services = object(&file["services"]);
    let mut found = BTreeSet::new();
    let mut judge = |whose: &str, text: &str| {
        assert_eq!(strangers(services, text), [""; 0], "{whose}");
        found.extend(addresses(text).into_iter().map(|(host, port)| format!("{host}:{port}")));
    };
    for (name, service) in services {
        for (here, there) in mounted(service) {
            assert!(there.starts_with('/'), "{name}: {there}");
            if !here.starts_with('.') {
                assert!(file["volumes"].get(here).is_some(), "{name}: no volume {here}");
                continue;
            }
            let mut all = Vec::new();
            files(&docker(here), &mut all);
            for path in all {
                let text = fs::read_to_string(&path);
                let text = text.unwrap_or_else(|error| panic!("{name}: {here}: {error}"));
                judge(&path.display().to_string(), &text);
            }
        }
        let secrets = texts(&service["secrets"]);
        for secret in &secrets {
            assert!(file["secrets"].get(secret).is_some(), "{name}: no secret {secret}");
            assert!(SECRETS.iter().any(|(known, _)| known == secret), "{secret} is told of");
        }
        for (key, set) in service["environment"].as_object().into_iter().flatten() {
            let set = set.as_str().unwrap_or_else(|| panic!("{name}: {key} is no text"));
            judge(name, set);
            if let Some(secret) = set.strip_prefix("/run/secrets/") {
                assert!(secrets.contains(&secret), "{name}: {key} is a secret that it has not");
            }
        }
        for key in ["command", "entrypoint"] {
            judge(name, &texts(&service[key]).join(" "));
        }
        for on in service["depends_on"].as_object().into_iter().flat_map(Map::keys) {
            assert!(services.contains_key(on), "{name} depends on {on}");
        }
    }
    judge("the database's address", SECRETS[0].1);
    for port in ["8001", "9090", "9093", "9200", "6379", "5432"] {
        assert!(found.iter().any(|it| it.ends_with(port)), "nobody asks {port}: {found:?}");
    }
    // It judges: nothing listens there.
    assert_eq!(
        strangers(services, "http://redis:6380/, mainstays:8001"),
        ["mainstays:8001".to_owned(), "redis:6380".to_owned()]
    );
}

#[test]
fn fluent_bit_is_handed_the_lines_and_hands_them_on() {
    let _together = together();
    let file = yaml(&read("compose.yaml"));
    let (services, pipeline) = (&file["services"], &yaml(&read("fluent-bit.yaml"))["pipeline"]);
    let (input, output) = (&pipeline["inputs"][0], &pipeline["outputs"][0]);
    let logging = &services["mainstay"]["logging"]["options"];
    // Docker's daemon sends from the host, so to a port that is published.
    let address = logging["fluentd-address"].as_str().expect("an address");
    let port = input["port"].to_string();
    let published = format!("{address}:{port}");
    assert!(texts(&services["fluent-bit"]["ports"]).contains(&&*published), "{published}");
    assert_eq!(output["match"], logging["tag"]);
    for filter in pipeline["filters"].as_array().expect("filters") {
        assert_eq!(filter["match"], logging["tag"], "{filter}");
    }
    let host = output["host"].as_str().expect("a host");
    let to = format!("{host}:{}", output["port"]);
    assert_eq!(strangers(object(services), &to), [""; 0]);
    // The index is one of those that the template is for.
    let template: Value =
        serde_json::from_str(&read("../elasticsearch/index-template.json")).expect("JSON");
    let pattern = template["index_patterns"][0].as_str().expect("a pattern");
    let index = output["index"].as_str().expect("an index");
    assert!(index.starts_with(pattern.trim_end_matches('*')), "{index} is none of {pattern}");
    // Both files for Fluent Bit end alike: what is right of one is right of the other.
    let other = fs::read_to_string(docker("../fluent-bit/fluent-bit.yaml")).expect("a file");
    let mut other = yaml(&other);
    let theirs = &mut other["pipeline"]["outputs"][0];
    theirs["host"] = output["host"].clone();
    assert_eq!(theirs, output);
    assert_eq!(other["parsers"], yaml(&read("fluent-bit.yaml"))["parsers"]);
}

#[test]
fn what_the_compose_file_sets_is_good_to_each_program_that_reads_it() {
    let _together = together();
    let file = yaml(&read("compose.yaml"));
    let place = tempfile::tempdir().expect("a temporary directory");
    for (name, held) in SECRETS {
        fs::write(place.path().join(name), held).expect("a file of ours");
    }
    let check = |also: Option<(&str, &str)>| {
        let mut command = Command::new(mainstay());
        command.arg("check").current_dir(&place).env_clear();
        for (key, set) in object(&file["services"]["mainstay"]["environment"]) {
            let set = set.as_str().expect("a text");
            let there = format!("{}/", place.path().display());
            command.env(key, set.replace("/run/secrets/", &there));
        }
        run(command.envs(also))
    };
    let good = check(None);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    assert!(!check(Some(("MAINSTAY_LIMITS_STORE", "redis://redis"))).status.success(), "it judges");
    let amtool = find("amtool");
    let Some(amtool) = amtool else { return missing("amtool") };
    let output = run(Command::new(amtool).arg("check-config").arg(docker("alertmanager.yml")));
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn alertmanager_and_grafana_have_what_rules_export_says() {
    let _together = together();
    let place = tempfile::tempdir().expect("a temporary directory");
    for (format, path) in
        [("alertmanager", "alertmanager.yml"), ("grafana", "grafana/dashboards/mainstay.json")]
    {
        let mut command = Command::new(mainstay());
        command.args(["rules", "export", "--format", format]).current_dir(&place);
        let output = run(command.env_remove("MAINSTAY_BLESS"));
        assert!(output.status.success(), "{output:?}");
        let exported = String::from_utf8_lossy(&output.stdout);
        let stands = read(path);
        // What is ours alone is before it.
        let begin = exported.lines().next().expect("a line");
        let own = stands.find(begin).unwrap_or_else(|| panic!("{path} has no {begin:?}"));
        let made = format!("{}{exported}", &stands[..own]);
        if std::env::var_os("MAINSTAY_BLESS").is_some() {
            fs::write(docker(path), &made).expect("the tree can be written");
        }
        assert_eq!(read(path), made, "{path} is not up to date; MAINSTAY_BLESS=1 writes it");
    }
    let board: Value =
        serde_json::from_str(&read("grafana/dashboards/mainstay.json")).expect("JSON");
    let asked = &board["templating"]["list"][0]["query"];
    let sources = yaml(&read("grafana/provisioning/datasources/mainstay.yaml"));
    let sources = sources["datasources"].as_array().expect("data sources");
    let first = sources.iter().find(|it| it["isDefault"] == true).expect("a default one");
    assert_eq!(&first["type"], asked, "the board takes the data source that is the default");
    // Where the board is looked for is where it is mounted.
    let file = yaml(&read("compose.yaml"));
    let grafana = &file["services"]["grafana"];
    let provider = yaml(&read("grafana/provisioning/dashboards/mainstay.yaml"));
    let path = provider["providers"][0]["options"]["path"].as_str().expect("a path");
    assert!(mounted(grafana).contains(&("./grafana/dashboards", path)), "{path}");
    let home = &grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"];
    assert_eq!(home, &format!("{path}/mainstay.json"));
}

/// A file of compose's as it stands, but for an address or a time that is another one here.
fn with(path: &str, other: &[(&str, &str)]) -> String {
    other.iter().fold(read(path), |text, (from, to)| {
        assert!(text.contains(from), "{path} has no {from:?}");
        text.replace(from, to)
    })
}

#[test]
fn its_database_redis_prometheus_and_alertmanager_work_with_the_service_by_their_very_files() {
    let _together = together();
    let Some(mut postgres) = Postgres::start(40) else { return };
    let Some(redis) = Redis::start() else { return };
    let Some(alertmanager) = Alertmanager::configured(&read("alertmanager.yml")) else { return };
    let place = tempfile::tempdir().expect("a temporary directory");
    let secret = place.path().join(SECRETS[0].0);
    fs::write(&secret, postgres.database("mainstay")).expect("a file of ours");
    let mut launch = Launch::new(mainstay()).env("MAINSTAY_LIMITS_DEFAULT", "1000/minute");
    let file = yaml(&read("compose.yaml"));
    for (key, set) in object(&file["services"]["mainstay"]["environment"]) {
        let set = match key.as_str() {
            // Where it is asked is the harness's to say.
            "MAINSTAY_SERVER_ADMIN" => continue,
            "MAINSTAY_DATABASE_URL_FILE" => secret.display().to_string(),
            "MAINSTAY_LIMITS_STORAGE" => redis.url(),
            _ => set.as_str().expect("a text").to_owned(),
        };
        launch = launch.env(key, &set);
    }
    let service = launch.start().ready(START);
    // Its times are for people who wait; everything else is what compose mounts.
    let config = with(
        "prometheus.yml",
        &[
            ("mainstay:8001", &service.admin.to_string()),
            ("alertmanager:9093", &alertmanager.address().to_string()),
            ("_interval: 15s", "_interval: 1s"),
        ],
    );
    let prometheus = Prometheus::configured(&config, &[("rules.yml", &read("rules.yml"))]);
    let Some(prometheus) = prometheus else { return };
    assert_eq!(service.get("/").expect("an answer").status, 200);
    let keys = redis.ask(&["INFO", "keyspace"]);
    assert!(keys.contains(":keys="), "Redis counts: {keys}\n{}", service.log());
    prometheus.wait("mainstay_ready", &[1.0]);
    assert!(alertmanager.active().is_empty(), "{:?}", alertmanager.active());
    postgres.stop();
    let refuses = || Some(service.get("/readyz").ok()?.status).filter(|it| *it == 503);
    assert!(poll(START, refuses).is_some(), "{}", service.log());
    let told = alertmanager.wait("MainstayNotReady", 1);
    assert_eq!(told[0]["receivers"][0]["name"], "operators", "{told:?}");
    assert_eq!(told[0]["labels"]["instance"], service.admin.to_string(), "{told:?}");
    assert_eq!(told[0]["labels"]["job"], "mainstay", "{told:?}");
    postgres.start_again();
    let takes = || Some(service.get("/readyz").ok()?.status).filter(|it| *it == 200);
    assert!(poll(START, takes).is_some(), "{}", service.log());
    prometheus.wait("mainstay_ready", &[1.0]);
}
