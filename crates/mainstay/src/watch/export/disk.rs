//! Frames in files of a directory: appended to the last file, read from the first, which is removed when
//! all of it was sent. A file of its own says how far that is.
//!
//! What was written survives every process; nothing is synced, so a power cut may take the end, of which
//! the checksums leave what is whole.

use super::frame::{frames, leading};
use rustix::fs::{FlockOperation, flock};
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const ENDING: &str = ".spool";
/// The file that says how far was sent.
const CURSOR: &str = "cursor";
const LOCK: &str = "lock";

/// The files.
#[derive(Debug)]
pub(super) struct Disk {
    directory: PathBuf,
    files: VecDeque<Part>,
    /// The last of them.
    file: File,
    cursor: File,
    /// How much of the first file was sent.
    sent: u64,
    /// From this size on another file is begun.
    part: u64,
    /// Held as long as the directory is used.
    _lock: File,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    number: u64,
    len: u64,
}

impl Disk {
    /// Takes over a directory, which is made if it is not there; `visit` is shown the frames of all of its
    /// files, and whether they are still to be sent.
    ///
    /// # Errors
    /// When it cannot be used, or another process uses it.
    pub(super) fn open(
        directory: &Path,
        part: u64,
        mut visit: impl FnMut(super::frame::Frame<'_>, bool),
    ) -> io::Result<Disk> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let lock = open(&directory.join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| io::Error::other("another service uses it"))?;
        let cursor = open(&directory.join(CURSOR))?;
        let (number, mut sent) = read_cursor(&cursor);
        let mut files = VecDeque::new();
        for found in numbers(directory)? {
            let path = path(directory, found);
            if found < number {
                // All of it was sent, and its remover did not live to remove it.
                fs::remove_file(path)?;
                continue;
            }
            let bytes = fs::read(&path)?;
            let whole: usize = frames(&bytes).map(|(_, len)| len).sum();
            if found == number && sent > whole as u64 {
                sent = 0;
            }
            let from = if found == number { sent } else { 0 };
            let mut len = 0_u64;
            for (frame, bytes) in frames(&bytes) {
                visit(frame, len >= from);
                len += bytes as u64;
            }
            files.push_back(Part { number: found, len });
        }
        if files.front().is_none_or(|first: &Part| first.number != number) {
            sent = 0;
        }
        if files.is_empty() {
            files.push_back(Part { number: number + 1, len: 0 });
        }
        let last = files.back().copied().unwrap_or(Part { number, len: 0 });
        let file = open(&path(directory, last.number))?;
        // What is torn goes; the next frame begins there.
        file.set_len(last.len)?;
        let directory = directory.to_owned();
        Ok(Disk { directory, files, file, cursor, sent, part, _lock: lock })
    }

    /// Bytes that the files take, but for one that makes room for whatever comes.
    pub(super) fn used(&self) -> u64 {
        if self.is_sent() { 0 } else { self.files.iter().map(|part| part.len).sum() }
    }

    /// The one file that is there has nothing that is still to be sent.
    fn is_sent(&self) -> bool {
        self.files.len() == 1
            && self.files.front().is_some_and(|it| it.len > 0 && it.len == self.sent)
    }

    /// Of these, what is still to be sent.
    pub(super) fn unsent(&self) -> u64 {
        self.used().saturating_sub(self.sent)
    }

    /// Appends whole frames. However many come at once, no file grows by more than one beyond its size: the room
    /// of a file comes back only when all of it was sent.
    ///
    /// # Errors
    /// When they could not be written; then nothing is.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.make_way()?;
        let Some(last) = self.files.back_mut() else { return Ok(()) };
        let (first, rest) = bytes.split_at(leading(bytes, self.part.saturating_sub(last.len)));
        let mut begun = Vec::new();
        let written = self.file.write_all_at(first, last.len);
        let written = written.and_then(|()| {
            write_files(&self.directory, last.number + 1, self.part, rest, &mut begun)
        });
        if let Err(error) = written {
            // A torn frame that stays is overwritten by the next one, or cut when the file is opened.
            self.file.set_len(last.len).ok();
            for (part, _) in begun {
                fs::remove_file(path(&self.directory, part.number)).ok();
            }
            return Err(error);
        }
        last.len += first.len() as u64;
        for (part, file) in begun {
            self.files.push_back(part);
            self.file = file;
        }
        Ok(())
    }

    /// Begins another file if the last one is long enough, or has been sent and can go.
    fn make_way(&mut self) -> io::Result<()> {
        let last = self.files.back().copied().unwrap_or(Part { number: 0, len: 0 });
        if last.len < self.part && !self.is_sent() {
            return Ok(());
        }
        let next = Part { number: last.number + 1, len: 0 };
        self.file = open(&path(&self.directory, next.number))?;
        self.file.set_len(0)?;
        self.files.push_back(next);
        self.leave_sent().map(drop)
    }

    /// What comes next, up to `most` bytes of it, from one file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn read(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let Some(first) = self.files.front() else { return Ok(Vec::new()) };
        let len = (first.len - self.sent).min(most as u64);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        if !bytes.is_empty() {
            File::open(path(&self.directory, first.number))?
                .read_exact_at(&mut bytes, self.sent)?;
        }
        Ok(bytes)
    }

    /// So many bytes more need not be sent again.
    ///
    /// # Errors
    /// When that cannot be written down; after a restart they are sent again.
    pub(super) fn advance(&mut self, bytes: usize) -> io::Result<()> {
        self.sent += bytes as u64;
        if self.leave_sent()? {
            return Ok(());
        }
        self.write_cursor()
    }

    /// Gives the first file up whose end cannot be read; returns how many bytes that were.
    ///
    /// # Errors
    /// As [`Disk::advance`].
    pub(super) fn skip(&mut self) -> io::Result<u64> {
        let Some(first) = self.files.front() else { return Ok(0) };
        let bytes = first.len - self.sent;
        self.sent = first.len;
        if !self.leave_sent()? {
            self.write_cursor()?;
        }
        Ok(bytes)
    }

    /// Removes the first file when all of it was sent and another one is there.
    fn leave_sent(&mut self) -> io::Result<bool> {
        let mut any = false;
        while let (Some(first), true) = (self.files.front().copied(), self.files.len() > 1) {
            if self.sent < first.len {
                break;
            }
            self.files.pop_front();
            self.sent = 0;
            any = true;
            self.write_cursor()?;
            fs::remove_file(path(&self.directory, first.number))?;
        }
        Ok(any)
    }

    fn write_cursor(&self) -> io::Result<()> {
        let number = self.files.front().map_or(0, |first| first.number);
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sent.to_le_bytes());
        let sum = sum(&bytes[..16]);
        bytes[16..].copy_from_slice(&sum.to_le_bytes());
        self.cursor.write_all_at(&bytes, 0)
    }
}

/// Writes frames into files of this size from `number` on, which are in `begun` as soon as they are there.
fn write_files(
    directory: &Path,
    number: u64,
    part: u64,
    mut rest: &[u8],
    begun: &mut Vec<(Part, File)>,
) -> io::Result<()> {
    while !rest.is_empty() {
        let (now, later) = rest.split_at(leading(rest, part));
        let next = Part { number: number + begun.len() as u64, len: now.len() as u64 };
        let file = open(&path(directory, next.number))?;
        begun.push((next, file.try_clone()?));
        file.set_len(0)?;
        file.write_all_at(now, 0)?;
        rest = later;
    }
    Ok(())
}

/// A file and how far it was sent; what makes no sense is the beginning.
fn read_cursor(file: &File) -> (u64, u64) {
    let mut bytes = [0; 24];
    let long = |bytes: &[u8]| bytes.first_chunk().map_or(0, |it| u64::from_le_bytes(*it));
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) if sum(&bytes[..16]) == long(&bytes[16..]) => (long(&bytes), long(&bytes[8..])),
        _ => (0, 0),
    }
}

fn sum(bytes: &[u8]) -> u64 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    u64::from(crc.sum())
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:016x}{ENDING}"))
}

fn numbers(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(ENDING));
        numbers.extend(number.and_then(|it| u64::from_str_radix(it, 16).ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}
