//! The asking end: commands of the command line, sent to the running service.

use super::tables::{requests, status, workers};
use super::{Answer, Command, levels, socket_path};
use crate::cli;
use crate::config::{Config, Level};
use crate::limits::{banned, exchange, table};
use crate::log::levels::CHAINS;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Exit code when nobody answers.
pub(super) const NOBODY: u8 = 2;
/// Exit code when the service refuses.
const REFUSED: u8 = 1;

/// What a command came to: text for standard output, or for standard error with an exit code.
pub(crate) type Told = Result<String, (u8, String)>;

/// Sends a command of the command line and renders its answer.
///
/// # Errors
/// Text for standard error and the exit code: 2 when no service answers, 1 when it refuses.
pub(crate) fn run(command: &cli::Command, config: &Config, name: &str) -> Told {
    let Some((question, render)) = question(command) else { return Ok(String::new()) };
    let mut line = Line::connect(&socket_path(config, name))?;
    let data = line.ask(&question)?;
    if matches!(question, Command::Stop { .. }) {
        // The service closes its end by ending; whatever ends the wait, it was told.
        line.reader.read_to_end(&mut Vec::new()).ok();
    }
    Ok(render(&data))
}

/// A connection to the running service.
pub(super) struct Line {
    reader: BufReader<UnixStream>,
    path: PathBuf,
}

impl Line {
    /// To the service on this socket.
    ///
    /// # Errors
    /// Text for standard error and the exit code when nobody answers.
    pub(super) fn connect(path: &Path) -> Result<Line, (u8, String)> {
        let stream = UnixStream::connect(path).map_err(|error| nobody(path, &error))?;
        Ok(Line { reader: BufReader::new(stream), path: path.to_owned() })
    }

    /// Asks, and waits for the answer. A program that has taken over the service has the same socket and other
    /// connections: who only looks asks it once more.
    ///
    /// # Errors
    /// As of [`run`].
    pub(super) fn ask(&mut self, question: &Command) -> Result<Value, (u8, String)> {
        match self.ask_once(question) {
            Err((NOBODY, _)) if question.only_looks() => {
                *self = Line::connect(&self.path)?;
                self.ask_once(question)
            }
            said => said,
        }
    }

    fn ask_once(&mut self, question: &Command) -> Result<Value, (u8, String)> {
        let mut line = serde_json::to_string(question).expect("a question is plain JSON");
        line.push('\n');
        let mut answer = String::new();
        let asked = self.reader.get_mut().write_all(line.as_bytes());
        let asked = asked.and_then(|()| self.reader.read_line(&mut answer));
        asked.map_err(|error| nobody(&self.path, &error))?;
        match serde_json::from_str(&answer) {
            Ok(Answer::Ok { data }) => Ok(data),
            Ok(Answer::Error { error }) => Err((REFUSED, format!("error: {error}\n"))),
            Err(_) => Err((NOBODY, "error: the service ended before it answered\n".to_owned())),
        }
    }

    /// Waits for so long. Whether the service was still there all the time.
    pub(super) fn is_quiet_for(&mut self, time: Duration) -> bool {
        let stream = self.reader.get_ref();
        if stream.set_read_timeout(Some(time)).is_err() {
            return false;
        }
        let is_quiet = self.reader.fill_buf().is_err();
        is_quiet && self.reader.get_ref().set_read_timeout(None).is_ok()
    }
}

fn nobody(path: &Path, error: &std::io::Error) -> (u8, String) {
    let path = path.display();
    (NOBODY, format!("error: no running service answers on {path}: {error}\n"))
}

type Render = fn(&Value) -> String;

fn question(command: &cli::Command) -> Option<(Command, Render)> {
    use cli::WorkersCommand as Workers;
    Some(match command {
        cli::Command::Serve
        | cli::Command::Check
        | cli::Command::Config { .. }
        | cli::Command::Doctor(_)
        | cli::Command::Health { .. }
        | cli::Command::Inspect(_)
        | cli::Command::Kubernetes { .. }
        | cli::Command::Import { .. }
        | cli::Command::Limits(
            cli::LimitsCommand::List { .. } | cli::LimitsCommand::Watch { .. },
        )
        | cli::Command::Migrate(_)
        | cli::Command::Alerts { .. }
        | cli::Command::ExplainAlerts
        | cli::Command::Hush(_)
        | cli::Command::ExportRules { .. }
        | cli::Command::Probes { .. }
        | cli::Command::History(_)
        | cli::Command::ProbeOnce { .. }
        | cli::Command::NotifyTest { .. }
        | cli::Command::Own { .. } => return None,
        cli::Command::DoctorLive(time) => {
            let millis = u64::try_from(time.as_millis()).ok();
            let (level, module) = (Some(Level::Debug.to_string()), Some(CHAINS.to_owned()));
            let told = |_: &Value| {
                format!("each request that comes tells its chain in the error log, as {CHAINS}\n")
            };
            (Command::LogLevel { level, millis, module, request: None }, told)
        }
        cli::Command::Limits(cli::LimitsCommand::Test { key, method, path, json: as_json }) => {
            let (key, method, path) = (key.clone(), method.clone(), path.clone());
            let render = if *as_json { json } else { table::standing_text };
            (Command::TestLimits { key, method, path }, render)
        }
        cli::Command::Limits(cli::LimitsCommand::Clear { key, place }) => {
            let (key, place) = (key.clone(), place.clone());
            (Command::ClearLimits { key, place }, table::cleared_text)
        }
        cli::Command::Bans(command) => of_bans(command),
        cli::Command::Status { json: true } => (Command::Status, json),
        cli::Command::Status { json: false } => (Command::Status, status),
        cli::Command::Workers(Workers::List { json: true }) => (Command::Status, workers_json),
        cli::Command::Workers(Workers::List { json: false }) => (Command::Status, workers),
        cli::Command::Workers(Workers::Add(count)) => {
            (Command::Resize { by: i64::from(*count) }, resized)
        }
        cli::Command::Workers(Workers::Remove(count)) => {
            (Command::Resize { by: -i64::from(*count) }, resized)
        }
        cli::Command::Workers(Workers::Recycle { pid }) => {
            (Command::Recycle { pid: *pid }, |data| format!("recycling {}\n", data["recycling"]))
        }
        cli::Command::Requests { json: true } => (Command::Requests, json),
        cli::Command::Requests { json: false } => (Command::Requests, requests),
        cli::Command::Reload { wait } => (Command::Reload { wait: *wait }, reloaded),
        cli::Command::Stop { quick } => (Command::Stop { quick: *quick }, |_| "stopped\n".into()),
        cli::Command::LogLevel { level, duration, only } => {
            let millis = duration.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            let level = level.map(|level| level.to_string());
            let (module, request) = match only.clone() {
                None => (None, None),
                Some(cli::Only::Module(module)) => (Some(module), None),
                Some(cli::Only::Request(request)) => (None, Some(request)),
            };
            (Command::LogLevel { level, millis, module, request }, levels::answer)
        }
    })
}

fn of_bans(command: &cli::BansCommand) -> (Command, Render) {
    match command {
        cli::BansCommand::List { json: true } => (Command::Bans, json),
        cli::BansCommand::List { json: false } => (Command::Bans, banned::list_text),
        cli::BansCommand::Export => (Command::Bans, exchange::write),
        cli::BansCommand::Add { client, lasts } => {
            let millis = lasts.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            (Command::Ban { client: client.clone(), millis }, banned::added_text)
        }
        cli::BansCommand::Del { client } => {
            (Command::LiftBans { client: client.clone() }, banned::lifted_text)
        }
    }
}

fn json(data: &Value) -> String {
    format!("{data:#}\n")
}

fn workers_json(data: &Value) -> String {
    json(&data["workers"])
}

fn resized(data: &Value) -> String {
    format!("{} workers\n", data["workers"])
}

fn reloaded(data: &Value) -> String {
    match data["generation"].as_u64() {
        Some(generation) => format!("generation {generation} serves\n"),
        None => "reload begun\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::net::UnixListener;

    /// What a service is asked on each of so many connections, of which all but the last end unanswered.
    fn asked(connections: usize, question: &Command) -> (Result<Value, u8>, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let mut line = Line::connect(&path).unwrap();
        let service = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for left in (0..connections).rev() {
                let mut reader = BufReader::new(listener.accept().unwrap().0);
                let mut question = String::new();
                reader.read_line(&mut question).unwrap();
                asked.push(question.trim().to_owned());
                let answer = Answer::ok(json!({ "left": left })).to_line();
                let half = if left > 0 { answer.len() / 2 } else { answer.len() };
                reader.get_mut().write_all(&answer.as_bytes()[..half]).unwrap();
            }
            asked
        });
        let said = line.ask(question).map_err(|(code, _)| code);
        // Where the line gave up, the service waits for ever.
        let asked = if said.is_ok() { service.join().unwrap() } else { Vec::new() };
        (said, asked)
    }

    #[test]
    fn who_only_looks_asks_the_program_again_that_has_taken_over() {
        let look = r#"{"command":"refusals"}"#;
        assert_eq!(
            asked(2, &Command::Refusals),
            (Ok(json!({ "left": 0 })), vec![look.to_owned(); 2])
        );
        assert_eq!(asked(1, &Command::Refusals).0, Ok(json!({ "left": 0 })));
    }

    #[test]
    fn what_changes_something_is_asked_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let mut line = Line::connect(&path).unwrap();
        drop(listener.accept().unwrap());
        let said = line.ask(&Command::Resize { by: 1 });
        assert_eq!(said.map_err(|(code, _)| code), Err(NOBODY));
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "nobody has come again");
    }
}
