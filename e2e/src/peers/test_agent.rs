//! Datadog's test agent, a receiver of OTLP in Python. It is installed once, into a virtual environment
//! below the target directory.

use super::process::Server;
use super::{find, missing};
use crate::harness::{free_port, poll};
use crate::load::{Target, get};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

const PACKAGE: &str = "ddapm-test-agent==1.69.1";
const ANSWER: Duration = Duration::from_secs(10);

/// A test agent that runs.
#[derive(Debug)]
pub struct TestAgent {
    _server: Server,
    port: u16,
    _directory: tempfile::TempDir,
}

impl TestAgent {
    /// Starts one; `None` where it cannot be installed.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Option<TestAgent> {
        let Some(program) = installed() else {
            missing("ddapm-test-agent");
            return None;
        };
        let directory = tempfile::Builder::new().prefix("e2e-agent-").tempdir();
        let directory = directory.expect("a temporary directory");
        let port = free_port();
        let mut command = Command::new(program);
        command.current_dir(directory.path());
        command.args(["--port", &free_port().to_string(), "--web-ui-port", "0"]);
        command.args(["--otlp-http-port", &port.to_string()]);
        command.args(["--otlp-grpc-port", &free_port().to_string()]);
        let mut server = Server::start(command, directory.path().join("agent.log"));
        server.wait(|| ask(port, "/test/session/requests").is_some());
        Some(TestAgent { _server: server, port, _directory: directory })
    }

    /// Where it takes OTLP.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it has understood of one kind, `metrics`, `traces` or `logs`, as its JSON.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn understood(&self, kind: &str) -> serde_json::Value {
        let path = format!("/test/session/{kind}");
        let text = poll(ANSWER, || ask(self.port, &path)).expect("the agent answers");
        serde_json::from_str(&text).expect("JSON")
    }
}

fn ask(port: u16, path: &str) -> Option<String> {
    let address = (Ipv4Addr::LOCALHOST, port).into();
    let answer = get(&Target::Tcp(address), path, ANSWER).ok()?;
    (answer.status == 200).then(|| answer.text())
}

/// The program, installed if need be.
fn installed() -> Option<PathBuf> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAM.get_or_init(install).clone()
}

fn install() -> Option<PathBuf> {
    // target/PROFILE/deps/scenarios
    let here = std::env::current_exe().ok()?;
    let target = here.ancestors().nth(3)?;
    let place = target.join("peers").join(PACKAGE.replace("==", "-"));
    let program = place.join("bin/ddapm-test-agent");
    if program.is_file() {
        return Some(program);
    }
    let python = find("python3")?;
    // What an interrupted attempt left is made whole by the next one.
    run(Command::new(python).arg("-m").arg("venv").arg(&place))?;
    run(Command::new(place.join("bin/pip")).args(["install", "--quiet", PACKAGE]))?;
    Some(program).filter(|program| program.is_file())
}

fn run(command: &mut Command) -> Option<()> {
    command.output().ok().filter(|output| output.status.success()).map(|_| ())
}
