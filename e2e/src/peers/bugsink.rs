//! A server that people run in place of Sentry, which groups what comes into issues, in a database of its own: Bugsink.

use super::{Server, python};
use crate::harness::{free_port, poll};
use crate::load::{get, send};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const VERSION: &str = "2.6.2";
/// Time for one answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Makes the database.
const PREPARE: &str = include_str!("bugsink.py");
/// What its own example for a single machine says, but that it tells nobody of itself.
const SETTINGS: &str = r#"
from bugsink.settings.default import *
SECRET_KEY = "of-a-test-and-long-enough-that-django-has-no-objection-to-it"
DATABASES["default"]["NAME"] = "DIRECTORY/db.sqlite3"
DATABASES["snappea"]["NAME"] = "DIRECTORY/snappea.sqlite3"
SNAPPEA = {"TASK_ALWAYS_EAGER": True}
EMAIL_BACKEND = "bugsink.email_backends.QuietConsoleEmailBackend"
BUGSINK = {"BASE_URL": "http://127.0.0.1:PORT", "PHONEHOME": False, "INGEST_STORE_BASE_DIR": "DIRECTORY/ingestion"}
ALLOWED_HOSTS = ["*"]
"#;

/// One that runs, with one project and nothing in it.
#[derive(Debug)]
pub struct Bugsink {
    server: Server,
    address: SocketAddr,
    key: String,
    token: String,
    _directory: tempfile::TempDir,
}

impl Bugsink {
    /// Starts one; none when it cannot be had.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn start() -> Option<Bugsink> {
        let programs = python("bugsink", VERSION)?;
        let directory = tempfile::Builder::new().prefix("e2e-bugsink-").tempdir();
        let directory = directory.expect("a temporary directory");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let path = directory.path().to_str().expect("a path of text");
        let settings = SETTINGS.replace("DIRECTORY", path);
        let settings = settings.replace("PORT", &address.port().to_string());
        std::fs::write(directory.path().join("bugsink_conf.py"), settings).expect("room");
        let command = |program: &str| of_python(&programs.join(program), directory.path());
        let made = command("python").args(["-c", PREPARE]).output().expect("Python starts");
        let (told, said) = (text(&made.stdout), text(&made.stderr));
        let words = told.lines().last().and_then(|line| line.split_once(' '));
        let (key, token) = words.unwrap_or_else(|| panic!("no database:\n{told}\n{said}"));
        let mut command = command("gunicorn");
        command.args(["--bind", &address.to_string(), "--workers=1", "bugsink.wsgi"]);
        let server = Server::start(command, directory.path().join("bugsink.log"));
        let (key, token) = (key.to_owned(), token.to_owned());
        let mut bugsink = Bugsink { server, address, key, token, _directory: directory };
        bugsink.server.wait(|| get(&address.into(), "/api/0/", PATIENCE).is_ok());
        Some(bugsink)
    }

    /// Its project.
    #[must_use]
    pub fn dsn(&self) -> String {
        format!("http://{}@{}/1", self.key, self.address)
    }

    /// The key of the project, which is a secret to whoever does not send there.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its issues, the oldest first.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn issues(&self) -> Vec<Value> {
        self.list("issues/?project=1")
    }

    /// The events of an issue, whole.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn events(&self, issue: &Value) -> Vec<Value> {
        let id = issue["id"].as_str().expect("an issue has an id");
        let all = self.list(&format!("events/?issue={id}"));
        let ids = all.iter().filter_map(|event| event["id"].as_str());
        ids.map(|id| self.ask(&format!("events/{id}/"))["data"].take()).collect()
    }

    /// Waits until its issues have so many events in all, and gives the issues.
    ///
    /// # Panics
    /// When they do not come.
    pub fn wait_issues(&self, events: u64, deadline: Duration) -> Vec<Value> {
        let mut last = Vec::new();
        let count = |issue: &Value| issue["digested_event_count"].as_u64().unwrap_or(0);
        let came = poll(deadline, || {
            last = self.issues();
            (last.iter().map(count).sum::<u64>() >= events).then_some(())
        });
        assert!(came.is_some(), "not {events} events came:\n{last:#?}\n{}", self.server.said());
        last
    }

    fn list(&self, path: &str) -> Vec<Value> {
        let mut page = self.ask(path);
        match page["results"].take() {
            Value::Array(all) => all,
            other => panic!("{path}: {other} of {page}"),
        }
    }

    fn ask(&self, path: &str) -> Value {
        let request = format!(
            "GET /api/canonical/0/{path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Connection: close\r\n\r\n",
            self.address, self.token
        );
        let answer = send(&self.address.into(), request.as_bytes(), PATIENCE).expect("an answer");
        let said = || panic!("{path}: {answer:?}\n{}", self.server.said());
        serde_json::from_slice(&answer.body).unwrap_or_else(|_| said())
    }
}

/// A program of its environment, with its settings.
fn of_python(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new(program);
    // gunicorn makes a directory in that of its user.
    command.current_dir(directory).env("PYTHONPATH", directory).env("HOME", directory);
    command.env("DJANGO_SETTINGS_MODULE", "bugsink_conf");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
