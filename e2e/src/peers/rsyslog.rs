//! rsyslog, with the configurations that contrib/ has for it, and somebody who keeps the lines that it sends.

use super::inbox;
use super::process::Server;
use super::{find, missing};
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

const CONFIG: &str = include_str!("../../../contrib/rsyslog/mainstay.conf");
const OVER_HTTP: &str = include_str!("../../../contrib/rsyslog/mainstay-http.conf");

/// One that runs, and reads a log.
#[derive(Debug)]
pub struct Rsyslog {
    server: Server,
    sent: Arc<Mutex<Vec<u8>>>,
    _directory: tempfile::TempDir,
}

impl Rsyslog {
    /// Starts one that reads this file and sends its lines over TCP; `None` where it is not installed.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(log: &Path) -> Option<Rsyslog> {
        let (sent, to) = receiver();
        let own = CONFIG
            .replace("logs.example", &to.ip().to_string())
            .replace("port=\"5140\"", &format!("port=\"{}\"", to.port()));
        run(&own, log, sent)
    }

    /// Starts one that posts them to this address; what it has sent is known there.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn over_http(log: &Path, url: &str, headers: &Path) -> Option<Rsyslog> {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../contrib/rsyslog/mainstay-post");
        let action = format!("{program} {url} {}", headers.display());
        let own = OVER_HTTP
            .replace("/usr/local/bin/mainstay-post https://logs.example/access", &action)
            .replace("/var/log/mainstay/post.log", &format!("{}.said", headers.display()));
        run(&own, log, Arc::default())
    }

    /// The whole lines that it has sent so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let end = sent.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        String::from_utf8_lossy(&sent[..end]).lines().map(str::to_owned).collect()
    }

    /// What it has said itself.
    #[must_use]
    pub fn said(&self) -> String {
        self.server.said()
    }
}

/// One with a configuration of ours, whose places are those of the test.
fn run(config: &str, log: &Path, sent: Arc<Mutex<Vec<u8>>>) -> Option<Rsyslog> {
    let Some(program) = find("rsyslogd") else {
        missing("rsyslog");
        return None;
    };
    let directory = tempfile::Builder::new().prefix("e2e-rsyslog-").tempdir();
    let directory = directory.expect("a temporary directory");
    let place = directory.path();
    let own = config.replace("/var/log/mainstay/access.log", &log.display().to_string());
    let text = format!("global(workDirectory=\"{}\")\n{own}", place.display());
    let file = place.join("rsyslog.conf");
    std::fs::write(&file, text).expect("a new directory is writable");
    let check = Command::new(&program).arg("-N1").arg("-f").arg(&file).output();
    let check = check.expect("a program that was found can be started");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    let mut command = Command::new(program);
    let pid = place.join("pid");
    command.args(["-n", "-f"]).arg(&file).arg("-i").arg(&pid);
    let mut server = Server::start(command, place.join("rsyslog.log"));
    server.wait(|| pid.exists());
    Some(Rsyslog { server, sent, _directory: directory })
}

/// Keeps everything that comes.
fn receiver() -> (Arc<Mutex<Vec<u8>>>, SocketAddr) {
    let (listener, address) = inbox::bound();
    let sent: Arc<Mutex<Vec<u8>>> = Arc::default();
    let own = Arc::clone(&sent);
    inbox::serve(listener, move |mut stream| {
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer).ok()? {
                0 => return Some(()),
                read => {
                    let mut sent = own.lock().unwrap_or_else(PoisonError::into_inner);
                    sent.extend_from_slice(&buffer[..read]);
                }
            }
        }
    });
    (sent, address)
}
