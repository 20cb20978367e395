//! Processes: starting one with chosen descriptors, signalling and awaiting it by pidfd, and
//! replacing the running program in place.

use crate::{fds, signals};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, Signal as RawSignal, WaitId, WaitIdOptions, WaitIdStatus};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;
use std::{fs, io};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It left with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// What a process had used when it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Largest resident memory, bytes.
    pub peak_rss: u64,
    /// Processor time, user and system together.
    pub cpu: Duration,
}

impl From<libc::rusage> for Usage {
    fn from(usage: libc::rusage) -> Usage {
        let time = |time: libc::timeval| {
            Duration::from_secs(time.tv_sec.unsigned_abs())
                + Duration::from_micros(time.tv_usec.unsigned_abs())
        };
        Usage {
            // Linux counts it in KiB.
            peak_rss: usage.ru_maxrss.unsigned_abs() * 1024,
            cpu: time(usage.ru_utime) + time(usage.ru_stime),
        }
    }
}

/// What to start.
#[derive(Debug)]
pub struct Program<'a> {
    /// The file to execute.
    pub path: &'a OsStr,
    /// Its name as it sees it (`argv[0]`).
    pub name: &'a OsStr,
    /// Its further arguments.
    pub args: &'a [OsString],
    /// Variables set on top of this process's environment.
    pub env: &'a [(&'a str, String)],
    /// Variables removed from it.
    pub env_remove: &'a [&'a str],
    /// Descriptors that stay open in it, under the same numbers.
    pub keep: &'a [BorrowedFd<'a>],
}

impl Program<'_> {
    fn command(&self) -> Command {
        let mut command = Command::new(self.path);
        command.arg0(self.name).args(self.args);
        for name in self.env_remove {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (*name, value)));
        command
    }

    fn keep_numbers(&self) -> Vec<RawFd> {
        self.keep.iter().map(AsRawFd::as_raw_fd).collect()
    }

    /// Starts the program as a child in a process group of its own (a terminal's Ctrl-C is for the
    /// supervisor alone), with the awaited signals blocked from its first instruction, and with
    /// `death` sent to it when the calling thread ends: to be called by the thread that lives as
    /// long as the process.
    ///
    /// # Errors
    /// When the file cannot be executed or the system has no room for a process.
    pub fn spawn(&self, death: signals::Signal) -> io::Result<Child> {
        let keep = self.keep_numbers();
        let parent = rustix::process::getpid();
        let death = raw(death);
        let mut command = self.command();
        command.process_group(0);
        let prepare = move || {
            keep_open(&keep)?;
            signals::block()?;
            rustix::process::set_parent_process_death_signal(Some(death))?;
            // The parent may have died before the line above took effect.
            if rustix::process::getppid() != Some(parent) {
                return Err(io::Error::other("the parent is gone"));
            }
            Ok(())
        };
        // SAFETY: between fork and exec the closure only makes system calls (fcntl, sigprocmask,
        // prctl, getppid) on values captured before; it neither allocates nor locks. The one error
        // that allocates is on a path whose process ends at once.
        unsafe { command.pre_exec(prepare) };
        start(&mut command)
    }

    /// Starts a program that knows nothing of this one: it reads `input`, writes to `output` alone, and has no
    /// signal blocked. It is in a process group of its own, and killed when the calling thread ends.
    ///
    /// # Errors
    /// When the file cannot be executed or the system has no room for a process.
    pub fn spawn_stranger(&self, input: OwnedFd, output: OwnedFd) -> io::Result<Child> {
        let parent = rustix::process::getpid();
        let mut command = self.command();
        let errors = output.try_clone()?;
        command.process_group(0).stdin(input).stdout(output).stderr(errors);
        // The standard library has unblocked all signals by then.
        let prepare = move || {
            rustix::process::set_parent_process_death_signal(Some(RawSignal::KILL))?;
            if rustix::process::getppid() != Some(parent) {
                return Err(io::Error::other("the parent is gone"));
            }
            Ok(())
        };
        // SAFETY: as in `spawn`: system calls alone (prctl, getppid), on values captured before.
        unsafe { command.pre_exec(prepare) };
        start(&mut command)
    }

    /// Replaces the running program by this one under the same pid, keeping children and the
    /// descriptors in `keep`. Returns only when that failed; everything is then as before.
    #[must_use]
    pub fn replace(&self) -> io::Error {
        let keep = self.keep_numbers();
        let mut command = self.command();
        let prepare = move || {
            keep_open(&keep)?;
            signals::block()
        };
        // SAFETY: the closure only makes system calls on values captured before.
        unsafe { command.pre_exec(prepare) };
        // The standard library gives SIGPIPE its deadly default on its way to exec.
        let broken_pipe = signals::broken_pipe_action();
        let error = command.exec();
        if let Some(action) = broken_pipe {
            signals::set_broken_pipe_action(&action);
        }
        for fd in self.keep {
            // Back to close-on-exec: the exec that was to inherit them did not happen.
            if fds::keep_across_exec(fd, false).is_err() {
                break;
            }
        }
        error
    }
}

fn start(command: &mut Command) -> io::Result<Child> {
    #[expect(clippy::disallowed_methods, reason = "this is the place that the ban points to")]
    let mut child = command.spawn()?;
    let pid = Pid::from_child(&child);
    // Nothing but this crate reaps, so the pid is still ours here.
    match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Child { pid, pidfd }),
        Err(error) => {
            // For the caller it was not started, so it must not run on, unknown to anybody.
            child.kill().and_then(|()| child.wait()).ok();
            Err(error.into())
        }
    }
}

fn keep_open(keep: &[RawFd]) -> io::Result<()> {
    keep.iter().try_for_each(|number| {
        // SAFETY: the caller of `spawn` or `replace` holds a borrow of each for the whole call.
        let fd = unsafe { BorrowedFd::borrow_raw(*number) };
        fds::keep_across_exec(fd, true)
    })
}

fn raw(signal: signals::Signal) -> RawSignal {
    use signals::Signal;
    match signal {
        Signal::Hup => RawSignal::HUP,
        Signal::Int => RawSignal::INT,
        Signal::Quit => RawSignal::QUIT,
        Signal::Abrt => RawSignal::ABORT,
        Signal::Kill => RawSignal::KILL,
        Signal::Usr1 => RawSignal::USR1,
        Signal::Usr2 => RawSignal::USR2,
        Signal::Term => RawSignal::TERM,
        Signal::Chld => RawSignal::CHILD,
        Signal::Ttin => RawSignal::TTIN,
        Signal::Ttou => RawSignal::TTOU,
        Signal::Winch => RawSignal::WINCH,
    }
}

/// A child process that has not been reaped. Its pidfd is readable once it has ended.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Child {
    /// Takes up a child that this process had before it replaced its program.
    ///
    /// # Errors
    /// When `pid` is not an unreaped child of this process.
    pub fn adopt(pid: u32) -> io::Result<Child> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), options)?;
        Ok(Child { pid, pidfd })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        number(self.pid)
    }

    /// Sends `signal`; to a process that has ended, nothing happens.
    ///
    /// # Errors
    /// What the system says, for instance when the child changed its user.
    pub fn signal(&self, signal: signals::Signal) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.pidfd, raw(signal)) {
            Err(rustix::io::Errno::SRCH) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Kills the child, which has not been reaped, and all of its process group, which is its own.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill_group(&self) -> io::Result<()> {
        match rustix::process::kill_process_group(self.pid, RawSignal::KILL) {
            Err(rustix::io::Errno::SRCH) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What the child used, if it has ended; it stays unreaped.
    ///
    /// # Errors
    /// What the system says.
    pub fn peek_usage(&self) -> io::Result<Option<Usage>> {
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        let (pid, options) =
            (self.pid.as_raw_nonzero(), libc::WEXITED | libc::WNOHANG | libc::WNOWAIT);
        // SAFETY: both pointers are valid for a write. The kernel's own waitid has the fifth argument,
        // which the C library leaves out. The pid is ours: it was not reaped before.
        let result = unsafe {
            libc::syscall(
                libc::SYS_waitid,
                libc::P_PID,
                pid.get(),
                info.as_mut_ptr(),
                options,
                usage.as_mut_ptr(),
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: zeroed bytes are a valid siginfo, and the call may have filled it.
        let info = unsafe { info.assume_init() };
        // SAFETY: after waitid the pid field is set, or zero when the child has not ended.
        let ended = unsafe { info.si_pid() } != 0;
        // SAFETY: zeroed bytes are a valid rusage, and the call may have filled it.
        let usage = unsafe { usage.assume_init() };
        Ok(ended.then(|| Usage::from(usage)))
    }

    /// Reaps the child if it has ended, and tells what it used.
    ///
    /// # Errors
    /// What the system says; `ECHILD` if something else reaped it.
    pub fn try_reap(&self) -> io::Result<Option<(Ended, Usage)>> {
        let mut status = 0;
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        let pid = self.pid.as_raw_nonzero().get();
        // SAFETY: both pointers are valid for a write. The pid is ours: it was not reaped before.
        let reaped =
            unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG, usage.as_mut_ptr()) };
        match reaped {
            0 => return Ok(None),
            1.. => {}
            _ => return Err(io::Error::last_os_error()),
        }
        // SAFETY: zeroed bytes are a valid rusage, and the call has filled it.
        let usage = unsafe { usage.assume_init() };
        let ended = if libc::WIFEXITED(status) {
            Ended::Code(libc::WEXITSTATUS(status))
        } else {
            Ended::Signal(libc::WTERMSIG(status))
        };
        Ok(Some((ended, Usage::from(usage))))
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

fn ended(status: &WaitIdStatus) -> Option<Ended> {
    if let Some(code) = status.exit_status() {
        return Some(Ended::Code(code));
    }
    status.terminating_signal().map(Ended::Signal)
}

/// Reaps one ended child whose pid is not `known`: as process 1 of a container, this one inherits
/// orphans that nobody else awaits. Returns its pid and end, or `None` when there is none.
///
/// # Errors
/// What the system says, except that having no children is not an error.
pub fn reap_stranger(known: impl Fn(u32) -> bool) -> io::Result<Option<(u32, Ended)>> {
    let Some(first) = peek_ended()? else { return Ok(None) };
    if !known(number(first)) {
        return reap(first);
    }
    // The system shows one ended child at a time, and this one is for somebody else to reap. There
    // may be no further signal for a stranger behind it.
    for pid in children() {
        if !known(number(pid))
            && let Ok(Some(reaped)) = reap(pid)
        {
            return Ok(Some(reaped));
        }
    }
    Ok(None)
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

/// Reaps the child `pid` if it has ended.
fn reap(pid: Pid) -> io::Result<Option<(u32, Ended)>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let status = rustix::process::waitid(WaitId::Pid(pid), options)?;
    Ok(status.as_ref().and_then(ended).map(|end| (number(pid), end)))
}

/// The children of all threads of this process, as far as `/proc` tells: a kernel may be built
/// without the list.
fn children() -> impl Iterator<Item = Pid> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let pids = |list: String| {
        let pids = list.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
        pids.collect::<Vec<_>>()
    };
    lists.flat_map(pids)
}

/// The pid of a child that has ended, which stays unreaped; rustix does not tell it.
fn peek_ended() -> io::Result<Option<Pid>> {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the pointer is valid for the write of one siginfo.
    if unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) } != 0 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ECHILD) { Ok(None) } else { Err(error) };
    }
    // SAFETY: zeroed bytes are a valid siginfo, and the call may have filled it.
    let info = unsafe { info.assume_init() };
    // SAFETY: after waitid the pid field is set, or zero when no child has ended.
    Ok(Pid::from_raw(unsafe { info.si_pid() }))
}
