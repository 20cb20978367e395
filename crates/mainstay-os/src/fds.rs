//! Descriptors that cross `exec`: named by number in the environment, taken over once, checked.

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::FdFlags;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Mutex;

/// Numbers taken so far: taking one twice would give a descriptor two owners.
static TAKEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

/// Takes over descriptor `number`, inherited from the process that executed this program, and marks
/// it close-on-exec again.
///
/// # Errors
/// When no such descriptor is open, when it is one of the standard three, when it was taken before,
/// or when it is close-on-exec: then it was opened by this program and has an owner in it.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not an inherited descriptor"));
    }
    let mut taken = TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if taken.contains(&number) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "descriptor taken before"));
    }
    // SAFETY: the borrow lives for these two calls; a number that is not open is reported by fcntl.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = rustix::io::fcntl_getfd(borrowed)?;
    if flags.contains(FdFlags::CLOEXEC) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not an inherited descriptor"));
    }
    rustix::io::fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC)?;
    taken.push(number);
    // SAFETY: the number is open and came across exec (checked above: what this program opens is
    // close-on-exec), so nothing here owns it yet, and the list gives it one owner only.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Whether `number` is an open descriptor of this process.
#[must_use]
pub fn is_open(number: RawFd) -> bool {
    if number < 0 {
        return false;
    }
    // SAFETY: the borrow lives for this call; a number that is not open is reported by fcntl.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_getfd(borrowed).is_ok()
}

/// Which of the sockets in `numbers` have been reset or closed in both directions by their peers;
/// one that is half closed has not. A number that is no longer open counts as such.
#[must_use]
pub fn hung_up(numbers: &[RawFd]) -> Vec<bool> {
    let borrowed: Vec<_> = numbers
        .iter()
        // SAFETY: the borrows live for one call of poll, which reports a number that is not open;
        // one that was closed and opened anew meanwhile is looked at, and nothing is done to it.
        .map(|number| unsafe { BorrowedFd::borrow_raw(*number) })
        .collect();
    let mut polls: Vec<_> = borrowed.iter().map(|fd| PollFd::new(fd, PollFlags::empty())).collect();
    // Asked for nothing, poll still reports errors and hang-ups; without waiting it does not fail.
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    if rustix::event::poll(&mut polls, Some(&at_once)).is_err() {
        return vec![false; numbers.len()];
    }
    polls.iter().map(|poll| !poll.revents().is_empty()).collect()
}

/// Keeps `fd` open across `exec` (or no longer). Async-signal-safe, so usable between fork and
/// exec.
///
/// # Errors
/// What the system says, which for an open descriptor is nothing.
pub fn keep_across_exec(fd: impl AsFd, keep: bool) -> io::Result<()> {
    let fd = fd.as_fd();
    let flags = rustix::io::fcntl_getfd(fd)?;
    let flags = if keep { flags - FdFlags::CLOEXEC } else { flags | FdFlags::CLOEXEC };
    Ok(rustix::io::fcntl_setfd(fd, flags)?)
}

/// The numbers of `fds`, for a variable that names them to a child.
pub fn numbers<'a>(fds: impl IntoIterator<Item = &'a OwnedFd>) -> Vec<RawFd> {
    fds.into_iter().map(AsRawFd::as_raw_fd).collect()
}
