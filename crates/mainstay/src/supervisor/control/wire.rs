//! Questions and answers as they travel.

use serde_json::Value;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Command {
    /// The service and its workers.
    Status,
    /// The requests in flight.
    Requests,
    /// More workers, or fewer for a negative number.
    Resize { by: i64 },
    /// Replace the worker with this pid, or all of them.
    Recycle { pid: Option<u32> },
    /// Run program and configuration anew; with `wait`, answered when that has ended.
    Reload { wait: bool },
    /// End the service.
    Stop { quick: bool },
    /// Change the log level, for so many milliseconds or for good, for everybody, one module or one
    /// request; without a level, tell what is in force.
    LogLevel {
        level: Option<String>,
        millis: Option<u64>,
        module: Option<String>,
        request: Option<String>,
    },
    /// How a client stands with the rate limits of a request.
    TestLimits { key: String, method: String, path: String },
    /// Forget what a client has used of the rate limits of a request (method and path), or of all.
    ClearLimits { key: String, place: Option<(String, String)> },
    /// Who is refused by which limit, and how much is refused in all.
    Refusals,
    /// The bans that are in force.
    Bans,
    /// Ban a client, for so many milliseconds or for as long as the configuration says.
    Ban { client: String, millis: Option<u64> },
    /// Lift the ban of a client, or all.
    LiftBans { client: Option<String> },
}

impl Command {
    /// As the log tells it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Command::Status => "status",
            Command::Requests => "requests",
            Command::Resize { by } if *by < 0 => "workers remove",
            Command::Resize { .. } => "workers add",
            Command::Recycle { .. } => "workers recycle",
            Command::Reload { .. } => "reload",
            Command::Stop { .. } => "stop",
            Command::LogLevel { .. } => "log-level",
            Command::TestLimits { .. } => "limits test",
            Command::ClearLimits { .. } => "limits clear",
            Command::Refusals => "limits watch",
            Command::Bans => "bans",
            Command::Ban { .. } => "bans add",
            Command::LiftBans { .. } => "bans del",
        }
    }

    /// Whether it only looks.
    pub(crate) fn only_looks(&self) -> bool {
        matches!(
            self,
            Command::Status
                | Command::Requests
                | Command::TestLimits { .. }
                | Command::Refusals
                | Command::Bans
                | Command::LogLevel { level: None, .. }
        )
    }
}

/// An answer: data, or an error.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub(crate) enum Answer {
    Ok { data: Value },
    Error { error: String },
}

impl Answer {
    pub(crate) fn ok(data: Value) -> Answer {
        Answer::Ok { data }
    }

    pub(crate) fn error(error: impl Into<String>) -> Answer {
        Answer::Error { error: error.into() }
    }

    pub(crate) fn to_line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("an answer is plain JSON");
        line.push('\n');
        line
    }
}
