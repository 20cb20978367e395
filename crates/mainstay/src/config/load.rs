//! Loading: gathers the sources from file and environment and resolves them. The supervisor reads
//! the file at start and at each reload; the processes it starts resolve the same text again, so
//! that a file edited in between reaches none of them.

use jiff::tz::TimeZoneDatabase;
use std::fmt::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::error::{Problem, Wrong};
use super::{Config, ConfigError, Sources, env, file, maintenance};

/// The configuration file as it was at one moment; without a file, that.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Snapshot {
    file: Option<(PathBuf, String)>,
}

impl Snapshot {
    /// Reads the file named by the flag `-c`, else by `MAINSTAY_CONFIG`, else `mainstay.toml`.
    ///
    /// # Errors
    /// A file that was named and cannot be read; the exit code that belongs to it is 78.
    pub(crate) fn read(flag: Option<&Path>) -> Result<Snapshot, ConfigError> {
        let variable = env::config_file();
        let file = file::find(flag, variable.as_deref().map(Path::new))?;
        Ok(Snapshot { file })
    }

    /// The file's path and text.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn file(&self) -> Option<&(PathBuf, String)> {
        self.file.as_ref()
    }

    /// Lays environment and flags over the file and fills `[app]` from the files it names.
    /// `app_defaults` is the application's own TOML text.
    ///
    /// # Errors
    /// All problems that can be found; the exit code that belongs to it is 78.
    pub(crate) fn resolve(
        &self,
        app_defaults: Option<&str>,
        flags: &[(&'static str, String)],
    ) -> Result<Config, ConfigError> {
        let mut sources = Sources {
            app_defaults: app_defaults.map(str::to_owned),
            file: self.file.clone(),
            env: env::collect()?,
            flags: flags.to_vec(),
            secrets: Vec::new(),
        };
        let mut config = Config::resolve(&sources)?;
        sources.secrets = file::secrets(&config)?;
        if !sources.secrets.is_empty() {
            config = Config::resolve(&sources)?;
        }
        file::fill_app(&mut config.app, &config.app_origins)?;
        Ok(config)
    }

    /// As much of the file as tells where the running service is: its name, its control socket,
    /// its admin listener and where that answers probes.
    /// `None` when there is no file, or it cannot be read as TOML.
    pub(crate) fn way_to_service(&self) -> Option<Snapshot> {
        let (path, text) = self.file.as_ref()?;
        let table: toml::Table = text.parse().ok()?;
        let mut kept = String::new();
        for (section, keys) in [
            ("server", &["name", "control", "admin"][..]),
            ("health", &["live_path", "ready_path"]),
        ] {
            writeln!(kept, "[{section}]").ok()?;
            let section = table.get(section).and_then(toml::Value::as_table);
            for key in keys {
                let value = section.and_then(|it| it.get(*key));
                if let Some(value @ toml::Value::String(_)) = value {
                    writeln!(kept, "{key} = {value}").ok()?;
                }
            }
        }
        Some(Snapshot { file: Some((path.clone(), kept)) })
    }

    /// Puts the snapshot into memory that children inherit.
    ///
    /// # Errors
    /// When the system has none.
    pub(crate) fn to_memory(&self) -> io::Result<OwnedFd> {
        memory("mainstay-config", self)
    }

    /// Reads what another process put there.
    ///
    /// # Errors
    /// When it is not a snapshot.
    pub(crate) fn from_memory(fd: OwnedFd) -> Result<Snapshot, ConfigError> {
        read_memory(fd).map_err(|error| {
            let message = format!("cannot read the inherited configuration: {error}");
            Problem::place(None, message, None).into()
        })
    }
}

/// Whether this host knows the zones that windows of maintenance name, as it is now. For whoever may still refuse a
/// configuration: a process that inherits one serves, whatever has become of this host's zones since.
///
/// # Errors
/// The first that it does not know, or cannot read.
pub(crate) fn zones(config: &Config) -> Result<(), ConfigError> {
    // The database that the process shares remembers files that are gone by now.
    zones_in(config, TimeZoneDatabase::from_env)
}

fn zones_in(config: &Config, known: fn() -> TimeZoneDatabase) -> Result<(), ConfigError> {
    let windows = maintenance::parse(&config.alerts.maintenance).unwrap_or_default();
    let mut named = windows.iter().filter_map(maintenance::Window::zone).peekable();
    if named.peek().is_none() {
        return Ok(());
    }
    let known = known();
    let Some(zone) = named.find(|name| known.get(name).is_err()) else { return Ok(()) };
    let entry = config.effective().iter().find(|it| it.key.path == "alerts.maintenance");
    let entry = entry.expect("a key of the table");
    let hint = Some("install tzdata, or use UTC".to_owned());
    let wrong = Wrong { message: format!("names {zone}, and no such zone is known here"), hint };
    Err(Problem::value(entry.origin.clone(), entry.key.path, entry.shown(), wrong).into())
}

/// A value as JSON in memory that is known by its descriptor alone.
///
/// # Errors
/// When the system has no memory.
pub(crate) fn memory(name: &str, value: &impl serde::Serialize) -> io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)?;
    let text = serde_json::to_vec(value).map_err(io::Error::other)?;
    let file = fs::File::from(fd);
    file.write_all_at(&text, 0)?;
    Ok(file.into())
}

/// Reads such a value, whatever the descriptor's position, which processes share.
///
/// # Errors
/// When it is something else.
pub(crate) fn read_memory<T: serde::de::DeserializeOwned>(fd: impl AsFd) -> io::Result<T> {
    let file = fs::File::from(fd.as_fd().try_clone_to_owned()?);
    let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut text = vec![0; len];
    file.read_exact_at(&mut text, 0)?;
    serde_json::from_slice(&text).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_that_is_not_known_here_is_refused_by_who_judges_and_not_by_who_inherits() {
        let text = "[alerts]\nmaintenance = \"night=daily 02:00-04:00 Nowhere/Land\"\n";
        let file = Some((PathBuf::from("mainstay.toml"), text.to_owned()));
        let config = Config::resolve(&Sources { file, ..Sources::default() }).unwrap();
        let refused = zones(&config).unwrap_err().to_string();
        assert!(
            refused.contains("names Nowhere/Land, and no such zone is known here"),
            "{refused}"
        );
        let without = Config::resolve(&Sources::default()).unwrap();
        zones_in(&without, || unreachable!("nothing is named")).unwrap();
        assert!(zones_in(&config, TimeZoneDatabase::none).is_err());
    }
}
