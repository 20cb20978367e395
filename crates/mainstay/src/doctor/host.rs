//! What doctor knows of this host and of the running service. The only part of it that looks.

use crate::ask;
use crate::config::{Bind, Config, LogTarget, Value, env};
use crate::supervisor::socket_path;
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For an answer of the running service.
const PATIENCE: Duration = Duration::from_secs(2);
/// The kernel's number for file systems in memory.
const TMPFS: u64 = 0x0102_1994;

/// Facts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    pub(crate) root: bool,
    pub(crate) kubernetes: bool,
    pub(crate) cores: usize,
    /// The longest queue of a listener.
    pub(crate) somaxconn: Option<u64>,
    /// Descriptors that a process may have open.
    pub(crate) files: Option<u64>,
    /// Bytes that the cgroup allows.
    pub(crate) memory: Option<u64>,
    /// Whether the clock is kept in step.
    pub(crate) in_step: Option<bool>,
    pub(crate) places: Vec<Place>,
    /// Files in which secrets stand: the key, the file, and whether everybody may read it.
    pub(crate) secrets: Vec<(&'static str, PathBuf, bool)>,
    /// The directory of the control socket, if others may write to it.
    pub(crate) open_control: Option<PathBuf>,
    /// What the running service says of itself.
    pub(crate) running: Option<serde_json::Value>,
    /// Connections that the database server takes; why it is not known.
    pub(crate) database: Option<Result<u32, String>>,
}

/// Where the service keeps something.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) key: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) is_there: bool,
    pub(crate) in_memory: bool,
    /// Space or inodes, whichever is fuller, as df has it.
    pub(crate) used: f64,
}

/// Looks around.
pub(crate) fn look(config: &Config, name: &str) -> Host {
    let control = socket_path(config, name);
    Host {
        root: rustix::process::geteuid().is_root(),
        kubernetes: env::in_kubernetes(),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        somaxconn: number("/proc/sys/net/core/somaxconn"),
        files: getrlimit(Resource::Nofile).current,
        memory: memory_limit(),
        in_step: mainstay_os::clock::is_synchronised().ok(),
        places: places(config).filter_map(|(key, path)| place(key, path)).collect(),
        secrets: secrets(config),
        open_control: control.parent().filter(|it| is_open(it)).map(Path::to_owned),
        running: running(config),
        database: database(config, name),
    }
}

fn number(path: impl AsRef<Path>) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The least that a cgroup above this process allows; version 2 says `max` for no limit.
fn memory_limit() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let own = root.join(own);
    let above = own.ancestors().take_while(|it| it.starts_with(root));
    above.filter_map(|it| number(it.join("memory.max"))).min()
}

/// The directories in which things are kept, by the key that names them.
fn places(config: &Config) -> impl Iterator<Item = (&'static str, PathBuf)> {
    let file = |key, target: &LogTarget| match target {
        LogTarget::File(path) => Some((key, directory_of(path))),
        _ => None,
    };
    let url = config.database.url.as_ref().and_then(|it| sqlite_file(it.expose()));
    let directory = |key, path: &Option<PathBuf>| path.clone().map(|path| (key, path));
    [
        file("log.access", &config.log.access),
        file("log.error", &config.log.error),
        directory("server.uploads", &config.server.uploads),
        directory("alerts.state", &config.alerts.state),
        directory("telemetry.spool", &config.telemetry.spool),
        url.map(|path| ("database.url", directory_of(Path::new(path)))),
    ]
    .into_iter()
    .flatten()
}

fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The file of a URL of SQLite.
pub(crate) fn sqlite_file(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("sqlite:")?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let file = rest.split('?').next().unwrap_or_default();
    (!file.is_empty() && !file.contains(":memory:")).then_some(file)
}

fn place(key: &'static str, path: PathBuf) -> Option<Place> {
    let Ok(stat) = rustix::fs::statvfs(&path) else {
        // Some keys name a directory that the service makes.
        let made = matches!(key, "alerts.state" | "telemetry.spool");
        return (!made).then_some(Place {
            key,
            path,
            is_there: false,
            in_memory: false,
            used: 0.0,
        });
    };
    let part = |used: u64, available: u64| match used + available {
        0 => 0.0,
        all => used as f64 / all as f64,
    };
    let space = part(stat.f_blocks.saturating_sub(stat.f_bfree), stat.f_bavail);
    let inodes = part(stat.f_files.saturating_sub(stat.f_ffree), stat.f_favail);
    let kind = rustix::fs::statfs(&path).ok().and_then(|it| u64::try_from(it.f_type).ok());
    Some(Place {
        key,
        path,
        is_there: true,
        in_memory: kind == Some(TMPFS),
        used: space.max(inodes),
    })
}

/// Files that hold a secret: those that keys with `_file` name, and the configuration file if one stands in it.
fn secrets(config: &Config) -> Vec<(&'static str, PathBuf, bool)> {
    let mut found = Vec::new();
    let rows = config.rows.iter().flat_map(|row| &row.values);
    for entry in config.effective().iter().chain(rows) {
        let path = match (&entry.value, entry.file()) {
            (Value::Path(path), _) if entry.key.path.ends_with("_file") => path.clone(),
            (_, Some(file)) if entry.holds_secret() => file.to_owned(),
            _ => continue,
        };
        if let Ok(about) = fs::metadata(&path) {
            found.push((entry.key.path, path, about.mode() & 0o004 != 0));
        }
    }
    found
}

/// Whether others may write to a directory.
fn is_open(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|it| it.mode() & 0o002 != 0)
}

fn running(config: &Config) -> Option<serde_json::Value> {
    let bind = config.server.admin.as_ref().filter(|it| !matches!(it, Bind::Fd(_)))?;
    let answer = ask::get(bind, "/status", PATIENCE).ok().filter(|it| it.status == 200)?;
    serde_json::from_str(&answer.body).ok()
}

#[cfg(feature = "database")]
fn database(config: &Config, name: &str) -> Option<Result<u32, String>> {
    let url = config.database.url.as_ref()?.expose();
    // A file has no limit, and asking would make it.
    if url.starts_with("sqlite:") {
        return None;
    }
    Some(crate::db::limit(config, name).map_err(|error| error.to_string()))
}

#[cfg(not(feature = "database"))]
fn database(_: &Config, _: &str) -> Option<Result<u32, String>> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_file_of_a_database_is_found_in_its_url() {
        for (url, file) in [
            ("sqlite:shop.db", Some("shop.db")),
            ("sqlite:///var/lib/shop.db?mode=rwc", Some("/var/lib/shop.db")),
            ("sqlite::memory:", None),
            ("postgres://a/b", None),
        ] {
            assert_eq!(sqlite_file(url), file, "{url}");
        }
    }

    #[test]
    fn what_is_kept_and_who_may_read_secrets_is_looked_up() {
        let place = tempfile::tempdir().unwrap();
        let secret = place.path().join("url");
        fs::write(&secret, "postgres://nobody@127.0.0.1:1/none").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
        let file = place.path().join("none/access.log").display().to_string();
        let flags = vec![
            ("log.access", file),
            ("server.uploads", place.path().display().to_string()),
            ("database.url_file", secret.display().to_string()),
            ("server.admin", String::new()),
        ];
        let config = Config::resolve(&Sources { flags, ..Sources::default() }).unwrap();
        let host = look(&config, "none");
        let place_of = |key| host.places.iter().find(|it| it.key == key).unwrap();
        assert!(!place_of("log.access").is_there);
        assert!(place_of("server.uploads").is_there);
        assert_eq!(host.secrets, [("database.url_file", secret, true)]);
        assert!(host.running.is_none() && host.cores >= 1 && host.files.is_some());
    }
}
