//! Datadog's test agent, a receiver of OTLP in Python.

use super::process::Server;
use super::python;
use crate::harness::{free_port, poll};
use crate::load::{Target, get};
use base64ct::{Base64, Encoding};
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

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
        let program = python("ddapm-test-agent", "1.69.1")?.join("ddapm-test-agent");
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

    /// The bodies of the requests that came at a path.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn bodies(&self, path: &str) -> Vec<Vec<u8>> {
        let text = poll(ANSWER, || ask(self.port, "/test/session/requests"));
        let all = serde_json::from_str::<serde_json::Value>(&text.expect("the agent answers"));
        let all = all.expect("JSON");
        let requests = all.as_array().expect("a list").iter();
        let at_path = requests.filter(|it| it["url"].as_str().is_some_and(|it| it.ends_with(path)));
        let body = |it: &serde_json::Value| Base64::decode_vec(it["body"].as_str()?).ok();
        at_path.map(|it| body(it).expect("a body")).collect()
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
