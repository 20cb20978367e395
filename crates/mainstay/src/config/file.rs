//! The configuration file and the files that `[app]` names: the only reader of either.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use toml::Value;

use super::{
    Config, Effective, Filling, Secret,
    error::{ConfigError, Origin, Problem},
    keys::{APP, FILE_VARIABLE},
};

/// The file that is read when none is named, in the working directory.
pub(crate) const DEFAULT: &str = "mainstay.toml";

/// The file's path and text: the one of the flag, else the one of the variable, else
/// `mainstay.toml` where it exists, else none.
///
/// # Errors
/// A file that was named must exist, and any file must be a readable text.
pub(crate) fn find(
    flag: Option<&Path>,
    variable: Option<&Path>,
) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let named = match (flag, variable) {
        (Some(path), _) => Some((path, Origin::Flag("--config".to_owned()))),
        (None, Some(path)) => Some((path, Origin::Variable(FILE_VARIABLE.to_owned()))),
        (None, None) => None,
    };
    let path = named.as_ref().map_or(Path::new(DEFAULT), |(path, _)| path);
    match read(path) {
        Ok(text) => Ok(Some((path.to_owned(), text))),
        Err(Unreadable::Io(error))
            if named.is_none() && error.kind() == io::ErrorKind::NotFound =>
        {
            Ok(None)
        }
        Err(why) => {
            let message = format!("cannot read {}: {why}", path.display());
            Err(Problem::place(named.map(|(_, origin)| origin), message, None).into())
        }
    }
}

/// The contents of the files that settings name in the place of a secret.
///
/// # Errors
/// A file that cannot be read, and a secret that is given in both ways.
pub(crate) fn secrets(config: &Config) -> Result<Vec<Filling>, ConfigError> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    secrets_of((None, config.effective()), &mut found, &mut problems);
    for (number, row) in config.rows.iter().enumerate() {
        secrets_of((Some(number), &row.values), &mut found, &mut problems);
    }
    if problems.is_empty() { Ok(found) } else { Err(ConfigError::new(problems)) }
}

/// Those of a table, or of all sections.
fn secrets_of(
    (row, values): (Option<usize>, &[Effective]),
    found: &mut Vec<Filling>,
    problems: &mut Vec<Problem>,
) {
    for entry in values {
        let named = entry.key.path.strip_suffix("_file");
        let Some(other) = values.iter().find(|it| Some(it.key.path) == named) else { continue };
        let super::value::Value::Path(file) = &entry.value else { continue };
        if file.as_os_str().is_empty() {
            continue;
        }
        let path = other.key.path;
        let message = match read(file) {
            // The application's default is what any setting goes before.
            _ if other.origin.is_operators() => {
                format!("stands beside {path}; give one of the two")
            }
            Ok(text) => {
                found.push(Filling { row, path, text: Secret::new(text.trim().to_owned()) });
                continue;
            }
            Err(why) => format!("cannot be read: {why}"),
        };
        problems.push(Problem {
            origin: Some(entry.origin.clone()),
            key: entry.key.path.to_owned(),
            value: Some(entry.shown()),
            message,
            hint: None,
        });
    }
}

/// Fills `x` with the content of the file that `x_file` names, in all tables of `[app]`. Blanks
/// at both ends of the content are removed: editors and `echo` leave a line feed.
///
/// # Errors
/// A file that cannot be read, and `x` beside `x_file`; contents are never shown.
pub(crate) fn fill_app(
    app: &mut toml::Table,
    origins: &[(String, Origin)],
) -> Result<(), ConfigError> {
    let mut problems = Vec::new();
    fill(app, APP, origins, &mut problems);
    if problems.is_empty() { Ok(()) } else { Err(ConfigError::new(problems)) }
}

fn fill(
    table: &mut toml::Table,
    path: &str,
    origins: &[(String, Origin)],
    problems: &mut Vec<Problem>,
) {
    let mut filled = Vec::new();
    for (name, value) in table.iter_mut() {
        let key = format!("{path}.{name}");
        if let Value::Table(inner) = value {
            fill(inner, &key, origins, problems);
        }
        let (Some(target), Some(file)) = (name.strip_suffix("_file"), value.as_str()) else {
            continue;
        };
        if !target.is_empty() {
            filled.push((target.to_owned(), key, file.to_owned()));
        }
    }
    for (target, key, file) in filled {
        let outcome = if table.contains_key(&target) {
            Err(format!("stands beside {path}.{target}; give one of the two"))
        } else {
            read(Path::new(&file)).map_err(|why| format!("cannot be read: {why}"))
        };
        match outcome {
            Ok(text) => drop(table.insert(target, Value::String(text.trim().to_owned()))),
            Err(message) => {
                let origin = origins.iter().find(|(known, _)| *known == key);
                let origin = origin.map(|(_, origin)| origin.clone());
                problems.push(Problem {
                    origin,
                    key,
                    value: Some(format!("{file:?}")),
                    message,
                    hint: None,
                });
            }
        }
    }
}

enum Unreadable {
    Io(io::Error),
    NotText,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                f.write_str("no such file")
            }
            Self::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                f.write_str("permission denied")
            }
            Self::Io(error) if error.kind() == io::ErrorKind::IsADirectory => {
                f.write_str("it is a directory")
            }
            Self::Io(error) => error.fmt(f),
            Self::NotText => f.write_str("it is not UTF-8"),
        }
    }
}

fn read(path: &Path) -> Result<String, Unreadable> {
    let bytes = fs::read(path).map_err(Unreadable::Io)?;
    String::from_utf8(bytes).map_err(|_| Unreadable::NotText)
}
