//! `chromedriver` as a process, and the WebDriver protocol: one JSON object there, one back, over HTTP.

use crate::harness::{descendants, is_alive, poll};
use crate::load::{Target, send};
use crate::peers::{Server, find, missing};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Longest time for one command; what the browser itself waits for ends before (`timeouts`).
const PATIENCE: Duration = Duration::from_secs(60);

/// Line of the driver's log that tells its port.
const PORT: &str = "started successfully on port ";

/// What the driver refused: its word for the reason, and its sentence.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: String,
    message: String,
}

impl Refusal {
    /// Whether the same command may succeed a moment later, because the page is about to change.
    pub(super) fn is_of_the_moment(&self) -> bool {
        matches!(
            self.error.as_str(),
            "no such element"
                | "stale element reference"
                | "element click intercepted"
                | "element not interactable"
                | "invalid element state"
        )
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error, self.message)
    }
}

/// A driver with one session, which is one browser with a profile of its own.
#[derive(Debug)]
pub(super) struct Driver {
    server: Server,
    address: SocketAddr,
    session: String,
    // The last field: the profile is removed after its processes have ended.
    directory: tempfile::TempDir,
}

impl Driver {
    /// Starts both; `None` where one of them is not installed.
    pub(super) fn start() -> Option<Driver> {
        let (Some(chromedriver), Some(chromium)) = (find("chromedriver"), find("chromium")) else {
            missing("Chromium with its chromedriver");
            return None;
        };
        let directory = tempfile::Builder::new().prefix("e2e-browser-").tempdir();
        let directory = directory.expect("a temporary directory");
        let mut command = Command::new(chromedriver);
        command.env_clear().env("LANG", "C.UTF-8");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", directory.path()).env("TMPDIR", directory.path());
        // A group of its own, which Chromium inherits: whatever happens, one signal ends all of it.
        command.arg("--port=0").process_group(0);
        let mut server = Server::start(command, directory.path().join("driver.log"));
        let log = directory.path().join("driver.log");
        server.wait(|| port(&log).is_some());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port(&log).expect("it was there")));
        let mut driver = Driver { server, address, session: String::new(), directory };
        let wanted = capabilities(&chromium, &driver.directory.path().join("profile"));
        let session = driver.ask("POST", "/session", &wanted);
        let session = session.unwrap_or_else(|refusal| panic!("no browser: {refusal}"));
        driver.session = format!("/session/{}", session["sessionId"].as_str().expect("an id"));
        Some(driver)
    }

    /// Leader of the process group that all of this is.
    pub(super) fn pid(&self) -> Pid {
        self.server.pid()
    }

    #[cfg(test)]
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Asks the session for something.
    pub(super) fn get(&self, path: &str) -> Result<Value, Refusal> {
        self.ask("GET", &format!("{}{path}", self.session), &Value::Null)
    }

    /// Tells the session to do something.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, Refusal> {
        self.ask("POST", &format!("{}{path}", self.session), body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, Refusal> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let answer = send(&Target::Tcp(self.address), request.as_bytes(), PATIENCE);
        let answer = answer.unwrap_or_else(|failure| {
            panic!("{method} {path}: {failure:?}; the driver said:\n{}", self.server.said())
        });
        let mut json: Value = serde_json::from_slice(&answer.body).expect("a driver answers JSON");
        let value = json["value"].take();
        if answer.status == 200 {
            return Ok(value);
        }
        let word = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        Err(Refusal { error: word("error"), message: word("message") })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let family = descendants(self.pid());
        // No word to the session before: what is not asked cannot hang. Nobody else is in the group.
        kill_process_group(self.pid(), Signal::KILL).ok();
        // Who still dies may still write into the profile, which is about to be removed.
        poll(PATIENCE, || (!family.iter().any(|pid| is_alive(*pid))).then_some(()));
    }
}

fn port(log: &Path) -> Option<u16> {
    let text = std::fs::read_to_string(log).ok()?;
    text.split_once(PORT)?.1.split_once('.')?.0.parse().ok()
}

fn capabilities(chromium: &Path, profile: &Path) -> Value {
    let mut args = vec![
        format!("--user-data-dir={}", profile.display()),
        // A page under test gets nothing from elsewhere, and nor does the browser itself.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost".to_owned(),
    ];
    let fixed = [
        "--headless",
        "--hide-scrollbars",
        "--disable-gpu",
        "--no-first-run",
        "--disable-component-update",
    ];
    args.extend(fixed.map(str::to_owned));
    if rustix::process::geteuid().is_root() {
        // Chromium's own sandbox refuses to run as root.
        args.push("--no-sandbox".to_owned());
    }
    json!({"capabilities": {"alwaysMatch": {
        "browserName": "chrome",
        "timeouts": {"implicit": 0, "pageLoad": 30_000, "script": 30_000},
        "goog:loggingPrefs": {"browser": "ALL"},
        "goog:chromeOptions": {"binary": chromium, "args": args},
    }}})
}
