//! A file that others may rename or remove, and whose disk may be full.

use super::note::Mark;
use super::place::{Manner, Place, Resumed};
use crate::clock::{self, Mono};
use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often the path is compared with the file.
const LOOK: Duration = Duration::from_secs(1);
/// How many files of a directory are looked at for one that was renamed.
const NEIGHBOURS: usize = 10_000;

/// The file at a path, opened when it is needed.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: Option<OwnedFd>,
    manner: Manner,
    /// What the path leads to now, opened, while the last line is finished in the file before.
    next: Option<OwnedFd>,
    /// When the path is looked at again.
    look_at: Mono,
}

impl LogFile {
    pub(super) fn new(path: &Path) -> LogFile {
        let path = path.to_owned();
        LogFile { path, file: None, manner: Manner::AtOnce, next: None, look_at: Mono(0) }
    }

    fn take(&mut self, file: OwnedFd) -> io::Result<()> {
        self.manner = Manner::of(&rustix::fs::fstat(&file)?, &file);
        self.file = Some(file);
        Ok(())
    }

    /// Whether the path leads to the file that is open.
    fn is_in_place(&self) -> bool {
        let file = self.file.as_ref().map(rustix::fs::fstat);
        match (rustix::fs::stat(&self.path), file) {
            (Ok(path), Some(Ok(file))) => (path.st_dev, path.st_ino) == (file.st_dev, file.st_ino),
            _ => false,
        }
    }

    /// The path of the file that `mark` is about: ours, or one beside it to which it was renamed.
    fn find(&self, mark: Mark) -> Option<PathBuf> {
        let is_it = |path: &Path| {
            fs::metadata(path).is_ok_and(|it| (it.dev(), it.ino()) == (mark.dev, mark.ino))
        };
        if is_it(&self.path) {
            return Some(self.path.clone());
        }
        let mut neighbours = fs::read_dir(directory(&self.path)).ok()?.flatten().take(NEIGHBOURS);
        let renamed = neighbours.find(|it| it.ino() == mark.ino && is_it(&it.path()))?;
        Some(renamed.path())
    }
}

impl Place for LogFile {
    fn most(&self) -> usize {
        self.manner.most()
    }

    fn mark(&mut self) -> io::Result<Option<Mark>> {
        if self.file.is_none() {
            self.take(open(&self.path, OFlags::CREATE)?)?;
            self.look_at = clock::mono() + LOOK;
        }
        let Some(file) = &self.file else { return Ok(None) };
        let stat = rustix::fs::fstat(file)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let is_file = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
        Ok(is_file.then_some(Mark { dev: stat.st_dev, ino: stat.st_ino, size }))
    }

    fn write(&mut self, bytes: &[u8], until: Mono) -> io::Result<usize> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        self.manner.write(file, bytes, until)
    }

    fn is_lost(&mut self) -> bool {
        let stat = self.file.as_ref().map(rustix::fs::fstat);
        let is_lost = stat.is_some_and(|stat| stat.is_ok_and(|stat| stat.st_nlink == 0));
        if is_lost {
            self.file = None;
        }
        is_lost
    }

    fn has_moved(&mut self) -> bool {
        let now = clock::mono();
        if self.file.is_none() || now < self.look_at {
            return false;
        }
        self.look_at = now + LOOK;
        if self.is_in_place() {
            return false;
        }
        // While there is nothing there, what was moved away is the best place that there is.
        self.next = open(&self.path, OFlags::CREATE).ok();
        self.next.is_some()
    }

    fn move_on(&mut self) {
        self.file = None;
        if let Some(next) = self.next.take() {
            // One that cannot be looked at is opened again.
            self.take(next).ok();
        }
    }

    fn look_again(&mut self) {
        self.look_at = Mono(0);
    }

    fn resume(&mut self, mark: Mark, expected: &[u8]) -> Option<Resumed> {
        let path = self.find(mark)?;
        let file = open(&path, OFlags::empty()).ok()?;
        let stat = rustix::fs::fstat(&file).ok()?;
        let more = u64::try_from(stat.st_size).ok()?.checked_sub(mark.size);
        // A shorter file was cut off, or is another one that got the number of one that was removed.
        let more = usize::try_from(more?).unwrap_or(usize::MAX);
        if (stat.st_dev, stat.st_ino) != (mark.dev, mark.ino) {
            return None;
        }
        // Who may write and not read has to believe the size.
        let there = beginning_in(&path, mark.size, expected).unwrap_or(more.min(expected.len()));
        self.take(file).ok()?;
        self.look_at = Mono(0);
        Some(Resumed { there, is_end: there == more })
    }

    fn identity(&self) -> Option<(u64, u64)> {
        let stat = rustix::fs::stat(&self.path).ok()?;
        Some((stat.st_dev, stat.st_ino))
    }
}

/// How many bytes of `expected` the file has from `size` on. What was cut off meanwhile is not
/// there; where somebody else's bytes follow, whole lines count.
fn beginning_in(path: &Path, size: u64, expected: &[u8]) -> io::Result<usize> {
    let file = File::open(path)?;
    let (mut found, mut buffer) = (0, [0; 4_096]);
    loop {
        let rest = expected.get(found..).unwrap_or_default();
        let read = file.read_at(&mut buffer, size + found as u64)?;
        let read = buffer.get(..read.min(rest.len())).unwrap_or_default();
        let same = read.iter().zip(rest).take_while(|(one, other)| one == other).count();
        found += same;
        if same < read.len() {
            let there = expected.get(..found).unwrap_or_default();
            return Ok(memchr::memrchr(b'\n', there).map_or(0, |end| end + 1));
        }
        if same == 0 {
            return Ok(found);
        }
    }
}

fn open(path: &Path, more: OFlags) -> io::Result<OwnedFd> {
    // Without a reader a named pipe is not waited for. Files do not care, and the description is
    // nobody else's.
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(rustix::fs::open(path, flags | more, Mode::from_raw_mode(0o640))?)
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether a file can be appended to, or made, at `path`. Leaves nothing behind.
///
/// # Errors
/// Why not.
pub(super) fn try_path(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(it) if it.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(it) if it.is_file() => open(path, OFlags::empty()).map(drop),
        // A pipe or a device is looked at when there is something to write.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let may = Access::WRITE_OK | Access::EXEC_OK;
            Ok(rustix::fs::accessat(CWD, directory(path), may, AtFlags::EACCESS)?)
        }
        Err(error) => Err(error),
    }
}
