//! Prometheus: a server of its own that scrapes a service, and promtool and Python's client, which judge
//! expositions.
//!
//! Python's client is what `.ci/openmetrics` puts into `peers/` of the target directory.

use super::process::Server;
use super::{find, missing};
use crate::harness::{free_port, poll};
use crate::load::{Target, get};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const CLIENT: &str = "peers/prometheus_client-0.26.0";
const ANSWER: Duration = Duration::from_secs(10);

/// Reads an exposition with the strict reader of OpenMetrics, and prints how many families it has.
const PARSE: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
families = list(parse(sys.stdin.buffer.read().decode('utf-8')))
print(len(families))
for sample in (sample for family in families for sample in family.samples):
    if sample.exemplar:
        print(sample.name, sample.exemplar.labels['trace_id'], sample.exemplar.labels['span_id'])
";

/// A Prometheus server.
#[derive(Debug)]
pub struct Prometheus {
    server: Server,
    target: Target,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    /// Starts one that scrapes `/metrics` of this address each `interval`; `None` where it is not
    /// installed.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(scraped: SocketAddr, interval: Duration) -> Option<Prometheus> {
        let interval = interval.as_millis();
        let text = format!(
            "global: {{ scrape_interval: {interval}ms, scrape_timeout: {interval}ms }}\n\
             scrape_configs:\n  \
             - {{ job_name: e2e, static_configs: [{{ targets: [\"{scraped}\"] }}] }}\n"
        );
        Prometheus::configured(&text, &[])
    }

    /// Starts one with this configuration, beside which these files stand; `None` where it is not installed.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn configured(config: &str, files: &[(&str, &str)]) -> Option<Prometheus> {
        let Some(program) = find("prometheus") else {
            missing("Prometheus");
            return None;
        };
        let directory = tempfile::Builder::new().prefix("e2e-prometheus-").tempdir();
        let directory = directory.expect("a temporary directory");
        let file = directory.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("a new directory is writable");
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).expect("a new directory is writable");
        }
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}")).arg("--log.level=debug");
        let mut server = Server::start(command, directory.path().join("server.log"));
        let target = Target::Tcp(address);
        server.wait(|| get(&target, "/-/ready", ANSWER).is_ok_and(|answer| answer.status == 200));
        Some(Prometheus { server, target, _directory: directory })
    }

    /// What it has to say of scrapes that failed.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let said = self.server.said();
        said.lines().filter(|line| line.contains("Scrape failed")).map(str::to_owned).collect()
    }

    /// The values of all series that an expression gives now.
    ///
    /// # Panics
    /// When it is not answered, or the answer is none.
    #[must_use]
    pub fn query(&self, expression: &str) -> Vec<f64> {
        let escaped: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = get(&self.target, &format!("/api/v1/query?query={escaped}"), ANSWER);
        let answer = answer.expect("Prometheus answers");
        assert_eq!(answer.status, 200, "{expression}: {}", answer.text());
        let json: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        let rows = json["data"]["result"].as_array().expect("a vector");
        let value = |row: &serde_json::Value| row["value"][1].as_str()?.parse().ok();
        rows.iter().map(|row| value(row).expect("a number")).collect()
    }

    /// Waits until an expression gives these values, in any order.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait(&self, expression: &str, expected: &[f64]) {
        let mut last = Vec::new();
        let found = poll(super::process::PATIENCE, || {
            last = self.query(expression);
            last.sort_by(f64::total_cmp);
            (last == expected).then_some(())
        });
        assert!(found.is_some(), "{expression} gives {last:?}, not {expected:?}");
    }
}

/// What promtool has to say of an exposition in Prometheus' text: nothing, if all is well. `None` where
/// it is not installed.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn promtool(text: &[u8]) -> Option<String> {
    let Some(program) = find("promtool") else {
        missing("promtool");
        return None;
    };
    let mut command = Command::new(program);
    let output = run(command.args(["check", "metrics"]), text);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Some(if output.status.success() { said } else { format!("{}\n{said}", output.status) })
}

/// What Python's client reads in an exposition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// How many families there are.
    pub families: usize,
    /// The exemplars: the sample's name, the trace and the span.
    pub exemplars: Vec<[String; 3]>,
}

/// What promtool has to say of a file of rules: nothing, if all is well. `None` where it is not installed.
///
/// # Panics
/// When it cannot be started, or the file not be written.
#[must_use]
pub fn promtool_rules(text: &str) -> Option<String> {
    let Some(program) = find("promtool") else {
        missing("promtool");
        return None;
    };
    let file = tempfile::NamedTempFile::with_suffix(".yml").expect("a temporary file");
    std::fs::write(file.path(), text).expect("a file of ours");
    let mut command = Command::new(program);
    let output =
        run(command.args(["check", "rules", "--lint=all", "--lint-fatal"]).arg(file.path()), b"");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Some(if output.status.success() { String::new() } else { format!("{}\n{said}", output.status) })
}

/// What promtool has to say of tests of rules: nothing, if all hold. `tests` is the file without the line that names
/// the rules. `None` where it is not installed.
///
/// # Panics
/// When it cannot be started, or a file not be written.
#[must_use]
pub fn promtool_test(rules: &str, tests: &str) -> Option<String> {
    let Some(program) = find("promtool") else {
        missing("promtool");
        return None;
    };
    let place = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &str| {
        let path = place.path().join(name);
        std::fs::write(&path, text).expect("a file of ours");
        path
    };
    write("rules.yml", rules);
    let tests = write("tests.yml", &format!("rule_files: [rules.yml]\n{tests}"));
    let mut command = Command::new(program);
    let output = run(command.args(["test", "rules"]).arg(tests), b"");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Some(if output.status.success() { String::new() } else { format!("{}\n{said}", output.status) })
}

/// The samples of the blocks that promtool makes of a history in OpenMetrics, a line for each; or what it has to say
/// against it. `None` where it is not installed.
///
/// # Panics
/// When it cannot be started, or a file not be written.
#[must_use]
pub fn promtool_blocks(text: &str) -> Option<Result<Vec<String>, String>> {
    let Some(program) = find("promtool") else {
        missing("promtool");
        return None;
    };
    let place = tempfile::tempdir().expect("a temporary directory");
    let (file, blocks) = (place.path().join("history.txt"), place.path().join("blocks"));
    std::fs::write(&file, text).expect("a file of ours");
    let mut command = Command::new(&program);
    let made = command.args(["tsdb", "create-blocks-from", "openmetrics"]).arg(&file).arg(&blocks);
    let made = run(made, b"");
    if !made.status.success() {
        let said = [made.stdout, made.stderr].concat();
        return Some(Err(String::from_utf8_lossy(&said).into_owned()));
    }
    // A database that Prometheus has opened has one.
    std::fs::create_dir_all(blocks.join("wal")).expect("a directory of ours");
    let mut command = Command::new(program);
    let dump = run(command.args(["tsdb", "dump"]).arg(&blocks), b"");
    let said = String::from_utf8_lossy(&dump.stdout).into_owned();
    assert!(dump.status.success(), "{said}{}", String::from_utf8_lossy(&dump.stderr));
    Some(Ok(said.lines().map(str::to_owned).collect()))
}

/// What Python's client reads in an exposition in OpenMetrics, or why it does not take it. `None` where it
/// is not there.
///
/// # Panics
/// When Python cannot be started.
#[must_use]
pub fn openmetrics(text: &[u8]) -> Option<Result<Read, String>> {
    let (Some(python), Some(client)) = (find("python3"), client()) else {
        missing("Python's prometheus_client (.ci/openmetrics fetches it)");
        return None;
    };
    let mut command = Command::new(python);
    let output = run(command.args(["-c", PARSE]).env("PYTHONPATH", client), text);
    if !output.status.success() {
        return Some(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = said.lines();
    let families = lines.next().and_then(|line| line.parse().ok()).expect("it counts them first");
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let exemplars = lines.filter_map(|line| words(line).try_into().ok()).collect();
    Some(Ok(Read { families, exemplars }))
}

fn run(command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a program that was found can be started");
    let mut stdin = child.stdin.take().expect("it is piped");
    // Whoever does not read to the end says why.
    stdin.write_all(input).ok();
    drop(stdin);
    child.wait_with_output().expect("our own child")
}

fn client() -> Option<PathBuf> {
    // A test runs from the target directory, wherever that is.
    let program = std::env::current_exe().unwrap_or_default();
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let places = program.ancestors().skip(1).chain([usual.as_path()]);
    places.map(|place| place.join(CLIENT)).find(|it| it.is_dir())
}
