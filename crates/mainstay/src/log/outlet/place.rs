//! What takes lines: a trait with one implementation for each kind of place. Here: nowhere, and
//! the standard streams. Whoever writes may be made to wait; it is never somebody who serves.

use super::note::Mark;
use crate::clock::{self, Mono};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Stat};
use rustix::net::SendFlags;
use rustix::pipe::PIPE_BUF;
use std::fmt;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};

/// Bytes of one batch, where nothing asks for smaller ones.
pub(super) const BATCH: usize = 64 * 1024;

/// Where an outlet's lines go.
pub(super) trait Place: fmt::Debug + Send {
    /// Bytes that a batch for it holds at most.
    fn most(&self) -> usize {
        BATCH
    }

    /// Whether lines that went there are written.
    fn keeps(&self) -> bool {
        true
    }

    /// Makes sure that there is something to write to, and says where the next byte goes, if
    /// whoever comes later can find that again.
    ///
    /// # Errors
    /// Why there is nothing.
    fn mark(&mut self) -> io::Result<Option<Mark>> {
        Ok(None)
    }

    /// Writes some of `bytes` and says how many. What can block is waited for until `until`.
    ///
    /// # Errors
    /// Why none were written; [`io::ErrorKind::TimedOut`] when the time is over.
    fn write(&mut self, bytes: &[u8], until: Mono) -> io::Result<usize>;

    /// Nobody will ever read what was written there; whoever writes next begins elsewhere.
    fn is_lost(&mut self) -> bool {
        false
    }

    /// Lines should go elsewhere, where there is something to write to now.
    fn has_moved(&mut self) -> bool {
        false
    }

    /// Goes there.
    fn move_on(&mut self) {}

    /// Looks at once, with the next line, whether lines should go elsewhere.
    fn look_again(&mut self) {}

    /// Goes on in the file that an earlier drainer was writing to, and says what of `expected` is
    /// there, from its mark on. `None` when there is no such file.
    fn resume(&mut self, mark: Mark, expected: &[u8]) -> Option<Resumed> {
        let _ = (mark, expected);
        None
    }

    /// Device and inode of what is written to, for places that may be one.
    fn identity(&self) -> Option<(u64, u64)> {
        None
    }
}

/// What an earlier drainer got done in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resumed {
    /// So many bytes are there.
    pub(super) there: usize,
    /// The file ends behind them.
    pub(super) is_end: bool,
}

/// Nobody wants the lines.
#[derive(Debug)]
pub(super) struct Nowhere;

impl Place for Nowhere {
    fn keeps(&self) -> bool {
        false
    }

    fn write(&mut self, bytes: &[u8], _: Mono) -> io::Result<usize> {
        Ok(bytes.len())
    }
}

/// How a descriptor takes bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// At once and as many as come: files, and devices that are no terminal.
    AtOnce,
    /// When its reader has made room; what fits [`PIPE_BUF`] is not torn.
    WhenReady,
    /// As that; but a socket can also be asked not to wait.
    Socket,
}

impl Manner {
    pub(super) fn of(stat: &Stat, fd: impl AsFd) -> Manner {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Manner::AtOnce,
            FileType::CharacterDevice if !fd.as_fd().is_terminal() => Manner::AtOnce,
            FileType::Socket => Manner::Socket,
            _ => Manner::WhenReady,
        }
    }

    pub(super) fn most(self) -> usize {
        if self == Manner::AtOnce { BATCH } else { PIPE_BUF }
    }

    /// As [`Place::write`].
    pub(super) fn write(self, fd: impl AsFd, bytes: &[u8], until: Mono) -> io::Result<usize> {
        if self == Manner::AtOnce {
            return at_least_one(rustix::io::write(&fd, bytes)?);
        }
        // A pipe takes so much at once or not at all, and others may write to it too.
        let part = whole_lines(bytes, PIPE_BUF);
        loop {
            let left = until.since(clock::mono());
            let timeout = Timespec::try_from(left).ok();
            let mut polls = [PollFd::new(&fd, PollFlags::OUT)];
            if poll(&mut polls, timeout.as_ref())? == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let written = if self == Manner::Socket {
                rustix::net::send(&fd, part, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
            } else {
                rustix::io::write(&fd, part)
            };
            match written {
                // Somebody made it so, or was faster.
                Err(rustix::io::Errno::AGAIN) if !left.is_zero() => {}
                Err(rustix::io::Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                written => return at_least_one(written?),
            }
        }
    }
}

fn at_least_one(written: usize) -> io::Result<usize> {
    if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
}

/// As many whole lines as `most` bytes hold; of a longer line a part.
fn whole_lines(bytes: &[u8], most: usize) -> &[u8] {
    let Some(part) = bytes.get(..most) else { return bytes };
    match memchr::memrchr(b'\n', part) {
        Some(end) => part.get(..=end).unwrap_or(part),
        None => part,
    }
}

/// Standard output or error. It is never made non-blocking: that would be so for everybody who has
/// it, a terminal's shell among them. Nor is it marked: the application may print there too.
#[derive(Debug)]
pub(super) struct Standard {
    is_error: bool,
    manner: Manner,
}

impl Standard {
    pub(super) fn new(is_error: bool) -> Standard {
        let stat = rustix::fs::fstat(descriptor(is_error));
        let manner = stat.map_or(Manner::WhenReady, |it| Manner::of(&it, descriptor(is_error)));
        Standard { is_error, manner }
    }
}

fn descriptor(is_error: bool) -> BorrowedFd<'static> {
    if is_error { rustix::stdio::stderr() } else { rustix::stdio::stdout() }
}

impl Place for Standard {
    fn most(&self) -> usize {
        self.manner.most()
    }

    fn write(&mut self, bytes: &[u8], until: Mono) -> io::Result<usize> {
        self.manner.write(descriptor(self.is_error), bytes, until)
    }

    fn identity(&self) -> Option<(u64, u64)> {
        let stat = rustix::fs::fstat(descriptor(self.is_error)).ok()?;
        Some((stat.st_dev, stat.st_ino))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::time::Duration;

    #[test]
    fn a_write_holds_whole_lines_if_it_can() {
        assert_eq!(whole_lines(b"one\ntwo\nthree", 9), b"one\ntwo\n");
        assert_eq!(whole_lines(b"one\n", 9), b"one\n");
        assert_eq!(whole_lines(b"long line\n", 4), b"long");
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_given_up_in_time_and_taken_up_again() {
        let (mut reader, writer) = io::pipe().unwrap();
        let line = [[b'x'; 99].as_slice(), b"\n"].concat().repeat(200);
        let mut written = 0;
        let error = loop {
            match Manner::WhenReady.write(&writer, &line, clock::mono() + Duration::from_millis(20))
            {
                Ok(bytes) => written += bytes,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(written % 100 == 0 && written > 50_000, "whole lines: {written}");
        reader.read_exact(&mut vec![0; 8_000]).unwrap();
        assert_eq!(Manner::WhenReady.write(&writer, &line, clock::mono()).unwrap(), 4_000);
        drop(reader);
        let error = Manner::WhenReady.write(&writer, &line, clock::mono()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_socket_is_not_waited_for_beyond_its_time() {
        let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
        let bytes = [b'\n'; 4_096];
        let error = loop {
            if let Err(error) = Manner::Socket.write(&writer, &bytes, clock::mono()) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(reader);
        let error = Manner::Socket.write(&writer, &bytes, clock::mono()).unwrap_err();
        assert_ne!(error.kind(), io::ErrorKind::TimedOut);
    }
}
