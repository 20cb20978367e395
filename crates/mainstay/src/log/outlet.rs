//! Where lines go: standard output, standard error or a file, each written by one writer.
//!
//! Logs that go to the same place share an outlet, so that nothing tears their lines apart. Whoever
//! writes here may be made to wait, or be refused: it is never somebody who serves.

use super::Stream;
use super::drain::{Drain, Sink};
use crate::clock::{self, Mono};
use crate::config::{Config, LogTarget};
use crate::event::Event;
use mainstay_os::segment::Segment;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a file's path is compared with the file.
const LOOK: Duration = Duration::from_secs(1);

/// One place, and the logs that go there.
#[derive(Debug)]
pub(crate) struct Outlet {
    target: Target,
    streams: Vec<Stream>,
    drain: Drain,
}

#[derive(Debug)]
enum Target {
    /// Nobody wants them: what is in the rings is taken and forgotten.
    Nowhere,
    Standard(Standard),
    File(LogFile),
}

impl Outlet {
    /// The outlets that the configuration asks for; every log has one.
    pub(crate) fn all(config: &Config) -> Vec<Outlet> {
        let mut outlets: Vec<Outlet> = Vec::new();
        for (stream, target) in
            [(Stream::Access, &config.log.access), (Stream::Error, &config.log.error)]
        {
            let target = Target::of(target);
            match outlets.iter_mut().find(|outlet| outlet.target.is_same_place(&target)) {
                Some(outlet) => outlet.streams.push(stream),
                None => {
                    let drain = Drain::of(&[]);
                    outlets.push(Outlet { target, streams: vec![stream], drain });
                }
            }
        }
        for outlet in &mut outlets {
            outlet.drain = Drain::of(&outlet.streams);
        }
        outlets
    }

    /// The name by which events speak of it.
    pub(crate) fn name(&self) -> &'static str {
        match self.streams[..] {
            [Stream::Access] => "access log",
            [Stream::Error] => "error log",
            _ => "access and error log",
        }
    }

    /// What this outlet's logs lost and cannot tell themselves.
    pub(crate) fn untold(&mut self) -> Vec<Event> {
        self.drain.untold().collect()
    }

    /// Opens files anew before the next line.
    pub(crate) fn reopen(&mut self) {
        if let Target::File(file) = &mut self.target {
            file.look_at = Mono(0);
        }
    }

    /// A stream that takes nothing is given up at this time.
    pub(crate) fn give_up_at(&mut self, deadline: Mono) {
        if let Target::Standard(standard) = &mut self.target {
            standard.deadline = Some(deadline);
        }
    }

    /// Writes what is in the rings, and returns how many lines that was.
    ///
    /// # Errors
    /// What kept it from writing. Lines that were not written are still in their rings, or are kept
    /// for the next run.
    pub(crate) fn run(&mut self, segment: &Segment) -> io::Result<usize> {
        match &mut self.target {
            Target::Nowhere => self.drain.run(segment, &mut io::sink()),
            Target::Standard(standard) => self.drain.run(segment, standard),
            Target::File(file) => self.drain.run(segment, file),
        }
    }
}

/// Tries to open the files that the configuration names, so that a start can be refused.
///
/// # Errors
/// The key, and why its file cannot be appended to.
pub(crate) fn probe(config: &Config) -> Result<(), (&'static str, io::Error)> {
    for (key, target) in [("log.access", &config.log.access), ("log.error", &config.log.error)] {
        if let LogTarget::File(path) = target {
            open(path).map_err(|error| (key, error))?;
        }
    }
    Ok(())
}

impl Target {
    fn of(target: &LogTarget) -> Target {
        match target {
            LogTarget::Nowhere => Target::Nowhere,
            LogTarget::Stdout => Target::Standard(Standard::new(false)),
            LogTarget::Stderr => Target::Standard(Standard::new(true)),
            LogTarget::File(path) => Target::File(LogFile::new(path)),
        }
    }

    fn is_same_place(&self, other: &Target) -> bool {
        match (self, other) {
            (Target::Standard(one), Target::Standard(other)) => {
                one.is_error == other.is_error || is_same_file(one.fd(), other.fd())
            }
            (Target::File(one), Target::File(other)) => one.path == other.path,
            (Target::Nowhere, Target::Nowhere) => true,
            _ => false,
        }
    }
}

fn is_same_file(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    match (rustix::fs::fstat(one), rustix::fs::fstat(other)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}

/// Standard output or error. It is never made non-blocking: that would be so for everybody who has
/// it, a terminal's shell among them.
#[derive(Debug)]
struct Standard {
    is_error: bool,
    /// When to give up waiting; none for never.
    deadline: Option<Mono>,
}

impl Standard {
    fn new(is_error: bool) -> Standard {
        Standard { is_error, deadline: None }
    }

    fn fd(&self) -> BorrowedFd<'static> {
        if self.is_error { rustix::stdio::stderr() } else { rustix::stdio::stdout() }
    }
}

impl Sink for Standard {
    fn put(&mut self, batch: &[u8], written: usize) -> io::Result<usize> {
        if let Some(deadline) = self.deadline {
            let left = deadline.since(clock::mono());
            let timeout = Timespec::try_from(left).ok();
            let mut polls = [PollFd::from_borrowed_fd(self.fd(), PollFlags::OUT)];
            if left.is_zero() || poll(&mut polls, timeout.as_ref())? == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        let rest = batch.get(written..).unwrap_or_default();
        // A pipe takes so much at once or not at all, and others may write to it too.
        let part = whole_lines(rest, rustix::pipe::PIPE_BUF);
        Ok(written + rustix::io::write(self.fd(), part)?)
    }
}

/// As many whole lines as `most` bytes hold; of a longer line a part.
fn whole_lines(bytes: &[u8], most: usize) -> &[u8] {
    let Some(part) = bytes.get(..most) else { return bytes };
    match memchr::memrchr(b'\n', part) {
        Some(end) => part.get(..=end).unwrap_or(part),
        None => part,
    }
}

/// A file that others may rename, remove, or fill the disk of.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: Option<OwnedFd>,
    /// When the path is looked at again.
    look_at: Mono,
    /// Where in the present batch this file begins.
    since: usize,
}

impl LogFile {
    fn new(path: &Path) -> LogFile {
        LogFile { path: path.to_owned(), file: None, look_at: Mono(0), since: 0 }
    }

    /// Whether the path leads to the file that is open.
    fn is_in_place(&self, file: impl AsFd) -> bool {
        match (rustix::fs::stat(&self.path), rustix::fs::fstat(file)) {
            (Ok(path), Ok(file)) => (path.st_dev, path.st_ino) == (file.st_dev, file.st_ino),
            _ => false,
        }
    }
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::from_raw_mode(0o640))?)
}

/// Nobody can read the file any more.
fn is_removed(file: &OwnedFd) -> bool {
    rustix::fs::fstat(file).is_ok_and(|stat| stat.st_nlink == 0)
}

impl Sink for LogFile {
    fn put(&mut self, batch: &[u8], written: usize) -> io::Result<usize> {
        if written == 0 {
            self.since = 0;
        }
        let now = clock::mono();
        let at_line = written == 0 || batch.get(written - 1) == Some(&b'\n');
        if let Some(file) = &self.file {
            let removed = is_removed(file);
            // A line that was begun is finished where it was begun, if anybody can read it there.
            let moved = at_line && now >= self.look_at && !self.is_in_place(file);
            if removed || moved {
                self.file = None;
            }
            if removed {
                return Ok(self.since);
            }
        }
        if now >= self.look_at {
            self.look_at = now + LOOK;
        }
        let file = match &self.file {
            Some(file) => file,
            None => {
                self.since = written;
                self.file.insert(open(&self.path)?)
            }
        };
        let rest = batch.get(written..).unwrap_or_default();
        let more = rustix::io::write(file, rest)?;
        if is_removed(file) {
            // Removed before or after these bytes came: either way nobody has them.
            self.file = None;
            return Ok(self.since);
        }
        Ok(written + more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Log;
    use crate::metrics::names;
    use mainstay_os::segment::Layout;
    use std::fs;

    struct Rig {
        segment: Segment,
        log: Log,
        directory: tempfile::TempDir,
        outlet: Outlet,
    }

    impl Rig {
        fn new() -> Rig {
            let ring_bytes = [64, 64 * 1024];
            let layout = Layout { slots: 3, counters: names::CELLS, in_flight: 1, ring_bytes };
            let segment = Segment::on_heap(layout);
            let log = Log::new(segment.clone(), 0);
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("logs/app.log");
            fs::create_dir(directory.path().join("logs")).unwrap();
            let streams = vec![Stream::Error];
            let target = Target::File(LogFile::new(&path));
            let outlet = Outlet { target, drain: Drain::of(&streams), streams };
            Rig { segment, log, directory, outlet }
        }

        fn say(&mut self, number: u32) {
            self.log.event(&Event::Signal { signal: ["a", "b", "c", "d"][number as usize] });
        }

        fn write(&mut self) -> io::Result<usize> {
            self.outlet.run(&self.segment)
        }

        /// The signals that are told in a file, in their order.
        fn read(&self, name: &str) -> String {
            let text = fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
            text.lines().filter_map(|line| line.chars().last()).collect()
        }
    }

    #[test]
    fn a_file_that_was_renamed_is_left_and_made_anew() {
        let mut rig = Rig::new();
        rig.say(0);
        rig.write().unwrap();
        let path = rig.directory.path().join("logs/app.log");
        fs::rename(&path, path.with_extension("1")).unwrap();
        rig.outlet.reopen();
        rig.say(1);
        rig.write().unwrap();
        assert_eq!((rig.read("logs/app.1"), rig.read("logs/app.log")), ("a".into(), "b".into()));
    }

    #[test]
    fn lines_wait_in_their_ring_while_there_is_no_directory() {
        let mut rig = Rig::new();
        rig.say(0);
        rig.write().unwrap();
        fs::remove_dir_all(rig.directory.path().join("logs")).unwrap();
        rig.say(1);
        assert!(rig.write().is_err());
        rig.say(2);
        assert!(rig.write().is_err());
        fs::create_dir(rig.directory.path().join("logs")).unwrap();
        rig.write().unwrap();
        assert_eq!(rig.read("logs/app.log"), "bc", "what was removed with its file is gone");
    }

    #[test]
    fn lines_of_a_write_into_a_removed_file_are_written_again() {
        let mut rig = Rig::new();
        rig.say(0);
        rig.write().unwrap();
        fs::remove_file(rig.directory.path().join("logs/app.log")).unwrap();
        rig.say(1);
        rig.write().unwrap();
        assert_eq!(rig.read("logs/app.log"), "b");
    }

    #[test]
    fn a_write_holds_whole_lines_if_it_can() {
        assert_eq!(whole_lines(b"one\ntwo\nthree", 9), b"one\ntwo\n");
        assert_eq!(whole_lines(b"one\n", 9), b"one\n");
        assert_eq!(whole_lines(b"long line\n", 4), b"long");
    }
}
