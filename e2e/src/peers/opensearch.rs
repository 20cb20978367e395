//! An OpenSearch for tests, in memory and without a virtual machine: `osmem-server` of Python's packages, which has
//! its mappings, templates and queries, and no data streams.

use super::missing;
use super::process::{Server, User};
use super::python::python;
use crate::harness::free_port;
use crate::load::{Response, Target, get, send};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

const VERSION: &str = "0.1.6";
const ANSWER: Duration = Duration::from_secs(10);

/// One that runs, and has no index yet.
#[derive(Debug)]
pub struct OpenSearch {
    _server: Server,
    target: Target,
    _directory: tempfile::TempDir,
}

impl OpenSearch {
    /// Starts one; `None` where it cannot be had.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Option<OpenSearch> {
        let programs = python("osmem-server", VERSION)?;
        let Some(packed) = program(&programs.join("../lib")) else {
            missing("osmem-server for this machine");
            return None;
        };
        let directory = tempfile::Builder::new().prefix("e2e-opensearch-").tempdir();
        let directory = directory.expect("a temporary directory");
        let user = User::named("nobody");
        user.own(directory.path());
        // Where that user may run it.
        let own = directory.path().join("osmem-server");
        std::fs::copy(packed, &own).expect("a new directory is writable");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = user.command(&own);
        command.arg("-no-stdin-watch").arg(format!("-addr={address}"));
        let mut server = Server::start(command, directory.path().join("server.log"));
        let target = Target::Tcp(address);
        server.wait(|| get(&target, "/", ANSWER).is_ok_and(|answer| answer.status == 200));
        Some(OpenSearch { _server: server, target, _directory: directory })
    }

    /// Puts a template or the like.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn put(&self, path: &str, body: &str) -> Result<(), String> {
        let answer = self.ask("PUT", path, "application/json", body);
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    }

    /// Makes a document of each line, as shippers do, and says which were refused.
    ///
    /// # Panics
    /// When the answer is none.
    #[must_use]
    pub fn create(&self, index: &str, lines: &[&str]) -> Vec<String> {
        let body: String = lines.iter().map(|it| format!("{{\"create\":{{}}}}\n{it}\n")).collect();
        let path = format!("/{index}/_bulk?refresh=true");
        let answer = json(&self.ask("POST", &path, "application/x-ndjson", &body));
        let items = answer["items"].as_array().unwrap_or_else(|| panic!("no items: {answer}"));
        assert_eq!(items.len(), lines.len(), "{answer}");
        let errors = items.iter().map(|it| &it["create"]["error"]);
        errors.filter(|it| !it.is_null()).map(Value::to_string).collect()
    }

    /// How many documents a query finds.
    ///
    /// # Panics
    /// When the answer is none.
    #[must_use]
    pub fn count(&self, index: &str, query: &str) -> usize {
        let body = format!("{{\"query\":{query}}}");
        let answer =
            json(&self.ask("POST", &format!("/{index}/_count"), "application/json", &body));
        let count = answer["count"].as_u64().unwrap_or_else(|| panic!("no count: {answer}"));
        usize::try_from(count).expect("no more than there are lines")
    }

    fn ask(&self, method: &str, path: &str, kind: &str, body: &str) -> Response {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: opensearch\r\nConnection: close\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        send(&self.target, request.as_bytes(), ANSWER).expect("OpenSearch answers")
    }
}

fn json(answer: &Response) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("no JSON: {}", answer.text()))
}

/// The program that the package brings.
fn program(libraries: &Path) -> Option<PathBuf> {
    let pythons = std::fs::read_dir(libraries).ok()?.flatten();
    let inside = "site-packages/osmem_server/bin/osmem-server";
    pythons.map(|it| it.path().join(inside)).find(|it| it.exists())
}
