//! The pidfile, by Gunicorn's rules: written whole or not at all, never over a living service's,
//! removed only while it holds our pid.

use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Our pidfile.
#[derive(Debug)]
pub(crate) struct Pidfile {
    path: PathBuf,
}

impl Pidfile {
    /// Writes this process's pid to `path`: mode 0644, decimal, one line.
    ///
    /// # Errors
    /// When another living process's pid stands there, or the file cannot be written.
    pub(crate) fn create(path: &Path) -> Result<Pidfile, String> {
        if let Some(pid) = holder(path).filter(|pid| *pid != std::process::id())
            && is_alive(pid)
        {
            return Err(format!("already running as pid {pid}; stop it, or name another file"));
        }
        write(path).map_err(|error| format!("cannot be written: {error}"))?;
        Ok(Pidfile { path: path.to_owned() })
    }

    /// Takes up a pidfile that an earlier program of this process wrote.
    pub(crate) fn resume(path: PathBuf) -> Pidfile {
        Pidfile { path }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, unless another service has taken it over.
    pub(crate) fn remove(&self) {
        if holder(&self.path) == Some(std::process::id()) {
            // At the very end; there is nobody left to tell.
            fs::remove_file(&self.path).ok();
        }
    }
}

fn holder(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    // No permission to signal it is a sign of life too.
    pid.is_some_and(|pid| {
        !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH))
    })
}

fn write(path: &Path) -> io::Result<()> {
    let pid = std::process::id();
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{pid}"));
    let draft = PathBuf::from(draft);
    let mut options = fs::OpenOptions::new();
    let written = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .open(&draft)
        .and_then(|mut file| {
            // The umask may have taken what the rule gives.
            file.set_permissions(fs::Permissions::from_mode(0o644))?;
            writeln!(file, "{pid}")
        })
        .and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        fs::remove_file(&draft).ok();
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_or_broken_pidfile_is_overwritten_and_a_living_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("service.pid");
        for stale in ["", "garbage", "4194305\n", "-7"] {
            fs::write(&path, stale).unwrap();
            let pidfile = Pidfile::create(&path).unwrap();
            assert_eq!(holder(&path), Some(std::process::id()));
            pidfile.remove();
            assert!(!path.exists());
        }
        let parent = std::os::unix::process::parent_id();
        fs::write(&path, format!("{parent}\n")).unwrap();
        let refused = Pidfile::create(&path).unwrap_err();
        assert!(refused.contains(&format!("pid {parent}")), "{refused}");
    }

    #[test]
    fn a_pidfile_that_another_service_took_over_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("service.pid");
        let pidfile = Pidfile::create(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        pidfile.remove();
        assert!(path.exists());
    }
}
