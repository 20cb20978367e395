//! Alertmanager: a server of its own, which is asked what it knows.

use super::process::{PATIENCE, Server};
use super::{find, missing};
use crate::harness::{free_port, poll};
use crate::load::{Target, get};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

const ANSWER: Duration = Duration::from_secs(10);

/// An Alertmanager that runs, and tells nobody.
#[derive(Debug)]
pub struct Alertmanager {
    _server: Server,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Alertmanager {
    /// Starts one; `None` where it is not installed.
    #[must_use]
    pub fn start() -> Option<Alertmanager> {
        Alertmanager::configured("route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n")
    }

    /// Starts one with this configuration; `None` where it is not installed.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn configured(config: &str) -> Option<Alertmanager> {
        let Some(program) = find("prometheus-alertmanager") else {
            missing("Alertmanager");
            return None;
        };
        let directory = tempfile::Builder::new().prefix("e2e-alertmanager-").tempdir();
        let directory = directory.expect("a temporary directory");
        let file = directory.path().join("alertmanager.yml");
        std::fs::write(&file, config).expect("a new directory is writable");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.path={}", directory.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}")).arg("--cluster.listen-address=");
        let mut server = Server::start(command, directory.path().join("server.log"));
        let target = Target::Tcp(address);
        server.wait(|| get(&target, "/-/ready", ANSWER).is_ok_and(|answer| answer.status == 200));
        Some(Alertmanager { _server: server, address, _directory: directory })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same, as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The alerts that it takes to be there.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn active(&self) -> Vec<Value> {
        let answer = get(&Target::Tcp(self.address), "/api/v2/alerts?active=true", ANSWER);
        let answer = answer.expect("Alertmanager answers");
        serde_json::from_slice(&answer.body).expect("a list of alerts")
    }

    /// Waits until the alerts of this name that are there are so many.
    ///
    /// # Panics
    /// When they are not.
    #[must_use]
    pub fn wait(&self, name: &str, count: usize) -> Vec<Value> {
        let found = poll(PATIENCE, || {
            let mut all = self.active();
            all.retain(|it| it["labels"]["alertname"] == name);
            Some(all).filter(|all| all.len() == count)
        });
        found.unwrap_or_else(|| panic!("not {count} of {name}: {:?}", self.active()))
    }
}
