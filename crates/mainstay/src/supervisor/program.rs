//! What a generation runs: the program file that was on disk when it began, held open, and the
//! configuration as it was then. A worker that dies is replaced by its own generation's program,
//! whatever lies on disk by now.

use crate::config::load::Snapshot;
use crate::config::{Config, env};
use rustix::fs::{Mode, OFlags};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The path by which this program was called, links unresolved, so that a link that points
/// elsewhere by the time of a reload leads to the new program. `called` is `argv[0]`.
///
/// # Errors
/// When the program cannot be found at all.
pub(crate) fn find(called: &OsStr) -> io::Result<PathBuf> {
    let running = std::env::current_exe()?;
    let by_name = if called.as_bytes().contains(&b'/') {
        vec![std::env::current_dir()?.join(called)]
    } else {
        let path = env::search_path().unwrap_or_default();
        std::env::split_paths(&path).map(|directory| directory.join(called)).collect()
    };
    let same = |path: &Path| Some(file_identity(path)? == file_identity(&running)?);
    Ok(by_name.into_iter().find(|path| same(path) == Some(true)).unwrap_or(running))
}

fn file_identity(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// One generation's program and configuration.
#[derive(Debug)]
pub(crate) struct Program {
    file: OwnedFd,
    pub(crate) snapshot: OwnedFd,
    pub(crate) config: Config,
}

impl Program {
    /// Opens the program at `path` and puts the configuration where its processes find it.
    ///
    /// # Errors
    /// When the file is not there, or there is no memory.
    pub(crate) fn open(path: &Path, snapshot: &Snapshot, config: Config) -> io::Result<Program> {
        rustix::fs::access(path, rustix::fs::Access::EXEC_OK)?;
        let file = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Program { file, snapshot: snapshot.to_memory()?, config })
    }

    /// Takes up a program that an earlier program of this process held.
    pub(crate) fn resume(file: OwnedFd, snapshot: OwnedFd, config: Config) -> Program {
        Program { file, snapshot, config }
    }

    /// The path by which this very file is executed, even after it was replaced on disk.
    pub(crate) fn path(&self) -> OsString {
        format!("/proc/self/fd/{}", self.file.as_raw_fd()).into()
    }

    /// Whether it is the program that runs here.
    pub(crate) fn is_the_running(&self) -> bool {
        // The link leads to the file itself, whatever lies by its name by now.
        let own = file_identity(Path::new("/proc/self/exe"));
        own.is_some() && own == file_identity(Path::new(&self.path()))
    }

    /// The open program file.
    pub(crate) fn file(&self) -> &OwnedFd {
        &self.file
    }
}
