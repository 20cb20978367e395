//! What is wrong with a configuration: every problem, with its origin and a way out.

use std::{error::Error, fmt, path::PathBuf};

/// Where a value came from. `Display` gives what an operator would search for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The key table.
    Default,
    /// The defaults that the application's code gives, at this line of their text.
    Application { line: usize },
    /// The configuration file, at this line (from 1).
    File { path: PathBuf, line: usize },
    /// The environment variable of this name.
    Variable(String),
    /// The flag of this name, with its dashes.
    Flag(String),
}

impl Origin {
    /// Whether whoever runs the service said so, and not the program itself.
    pub(crate) fn is_operators(&self) -> bool {
        !matches!(self, Self::Default | Self::Application { .. })
    }

    /// The line within a text, or 0 where there is none.
    pub(crate) fn line(&self) -> usize {
        match self {
            Self::Application { line } | Self::File { line, .. } => *line,
            Self::Default | Self::Variable(_) | Self::Flag(_) => 0,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Application { line } => write!(f, "application's defaults:{line}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong: `origin: key = value message; hint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where it stands; none when it is nowhere in particular (a file that cannot be found).
    pub origin: Option<Origin>,
    /// The key as the operator wrote it; empty when the problem is not about one key.
    pub key: String,
    /// The value as written, when it may be shown.
    pub value: Option<String>,
    /// What is wrong, as the predicate of "key = value".
    pub message: String,
    /// What to do instead.
    pub hint: Option<String>,
}

impl Problem {
    /// A value that does not fit its key.
    pub(crate) fn value(origin: Origin, key: &str, value: String, wrong: Wrong) -> Self {
        let Wrong { message, hint } = wrong;
        Self { origin: Some(origin), key: key.to_owned(), value: Some(value), message, hint }
    }

    /// A sentence about the whole of a place.
    pub(crate) fn place(origin: Option<Origin>, message: String, hint: Option<&str>) -> Self {
        let hint = hint.map(str::to_owned);
        Self { origin, key: String::new(), value: None, message, hint }
    }
}

/// Why a value was refused, before it is known where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub message: String,
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("error: ")?;
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        // "unknown key" stands before the name it is about, everything else behind it.
        let leads = self.message.starts_with("unknown ") && !self.key.is_empty();
        if leads {
            write!(f, "{} \"{}\"", self.message, self.key)?;
        } else {
            f.write_str(&self.key)?;
        }
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        if !leads {
            let gap = if self.key.is_empty() { "" } else { " " };
            write!(f, "{gap}{}", self.message)?;
        }
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// A configuration that cannot be used: all that is wrong with it, in the order of its layers.
///
/// `Display` gives one line per problem, each beginning with `error: `, without a last newline.
/// The exit code that belongs to it is 78.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// An error of at least one problem.
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        debug_assert!(!problems.is_empty(), "an error without a problem");
        Self { problems }
    }

    /// One sentence about a variable.
    pub(crate) fn variable(name: &str, message: &str) -> Self {
        let origin = Some(Origin::Variable(name.to_owned()));
        Problem::place(origin, message.to_owned(), None).into()
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n" };
            write!(f, "{gap}{problem}")?;
        }
        Ok(())
    }
}

impl Error for ConfigError {}
