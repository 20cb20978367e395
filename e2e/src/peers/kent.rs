//! A server that takes what clients of Sentry send, and shows it: Kent.

use super::{Server, python};
use crate::harness::{free_port, poll};
use crate::load::{Target, get};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

const VERSION: &str = "2.2.0";
/// Time for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// One that runs, with nothing in it.
#[derive(Debug)]
pub struct Kent {
    server: Server,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

impl Kent {
    /// Starts one; none when it cannot be had.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn start() -> Option<Kent> {
        let programs = python("kent", VERSION)?;
        let directory = tempfile::Builder::new().prefix("e2e-kent-").tempdir();
        let directory = directory.expect("a temporary directory");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut command = Command::new(programs.join("kent-server"));
        let port = address.port().to_string();
        command.args(["run", "--host", "127.0.0.1", "--port", &port]);
        command.current_dir(directory.path());
        let server = Server::start(command, directory.path().join("kent.log"));
        let mut kent = Kent { server, address, directory };
        kent.server.wait(|| get(&address.into(), "/api/eventlist/", PATIENCE).is_ok());
        Some(kent)
    }

    /// A project of it, with this key.
    #[must_use]
    pub fn dsn(&self, key: &str) -> String {
        format!("http://{key}@{}/1", self.address)
    }

    /// What it has said itself: the heads of what came.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("kent.log")).unwrap_or_default()
    }

    /// The bodies of all items of this type that came, the oldest first.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn items(&self, kind: &str) -> Vec<Value> {
        let list = self.json("/api/eventlist/");
        let list = list["events"].as_array().expect("a list of events");
        let items = list.iter().filter_map(|it| it["event_id"].as_str());
        let items = items.map(|id| self.json(&format!("/api/event/{id}"))["payload"].take());
        let of_kind = items.filter(|item| item["header"]["type"] == kind);
        of_kind.map(|mut item| item["body"].take()).collect()
    }

    /// Waits until so many events came, and gives them.
    ///
    /// # Panics
    /// When they do not come.
    #[must_use]
    pub fn wait_events(&self, count: usize, deadline: Duration) -> Vec<Value> {
        let mut last = Vec::new();
        let came = poll(deadline, || {
            last = self.items("event");
            (last.len() >= count).then_some(())
        });
        assert!(came.is_some(), "not {count} events came but {}:\n{last:#?}", last.len());
        last
    }

    fn json(&self, path: &str) -> Value {
        let target: Target = self.address.into();
        let answer = get(&target, path, PATIENCE).expect("Kent answers");
        serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{path}: {answer:?}"))
    }
}
