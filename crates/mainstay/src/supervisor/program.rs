//! What a generation runs: the program file that was on disk when it began, held open, and the
//! configuration as it was then. A worker that dies is replaced by its own generation's program,
//! whatever lies on disk by now.

use crate::config::Config;
use crate::config::load::Snapshot;
use rustix::fs::{Mode, OFlags};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

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

    /// The open program file.
    pub(crate) fn file(&self) -> &OwnedFd {
        &self.file
    }
}
