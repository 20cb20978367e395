//! Signals, blocked and read from a descriptor, so that they are events like any other and no code
//! ever runs inside a handler.

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::io;
use std::mem::MaybeUninit;

/// The signals that supervisor and workers speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
#[allow(missing_docs, reason = "POSIX names them")]
pub enum Signal {
    Hup = libc::SIGHUP,
    Int = libc::SIGINT,
    Quit = libc::SIGQUIT,
    Abrt = libc::SIGABRT,
    Kill = libc::SIGKILL,
    Usr1 = libc::SIGUSR1,
    Usr2 = libc::SIGUSR2,
    Term = libc::SIGTERM,
    Chld = libc::SIGCHLD,
    Ttin = libc::SIGTTIN,
    Ttou = libc::SIGTTOU,
    Winch = libc::SIGWINCH,
}

impl Signal {
    /// Those that are events: all but KILL, which nobody can wait for, and ABRT, which must end a
    /// process that no longer waits for anything.
    pub const AWAITED: &'static [Signal] = &[
        Signal::Hup,
        Signal::Int,
        Signal::Quit,
        Signal::Usr1,
        Signal::Usr2,
        Signal::Term,
        Signal::Chld,
        Signal::Ttin,
        Signal::Ttou,
        Signal::Winch,
    ];

    /// The signal's number.
    #[must_use]
    pub fn number(self) -> i32 {
        self as i32
    }

    /// The name as `kill` knows it, without `SIG`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Signal::Hup => "HUP",
            Signal::Int => "INT",
            Signal::Quit => "QUIT",
            Signal::Abrt => "ABRT",
            Signal::Kill => "KILL",
            Signal::Usr1 => "USR1",
            Signal::Usr2 => "USR2",
            Signal::Term => "TERM",
            Signal::Chld => "CHLD",
            Signal::Ttin => "TTIN",
            Signal::Ttou => "TTOU",
            Signal::Winch => "WINCH",
        }
    }

    fn from_number(number: i32) -> Option<Signal> {
        Signal::AWAITED.iter().copied().find(|signal| signal.number() == number)
    }
}

/// The conventional name of signal `number`, for reports about a process that one ended.
#[must_use]
pub fn name_of(number: i32) -> String {
    match number {
        libc::SIGABRT => "ABRT".into(),
        libc::SIGSEGV => "SEGV".into(),
        libc::SIGBUS => "BUS".into(),
        libc::SIGILL => "ILL".into(),
        libc::SIGFPE => "FPE".into(),
        libc::SIGKILL => "KILL".into(),
        libc::SIGPIPE => "PIPE".into(),
        libc::SIGALRM => "ALRM".into(),
        libc::SIGSYS => "SYS".into(),
        libc::SIGXCPU => "XCPU".into(),
        other => Signal::from_number(other).map_or(other.to_string(), |s| s.name().into()),
    }
}

/// The set of awaited signals in the system's form.
fn awaited_set() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised by the call above.
    let mut set = unsafe { set.assume_init() };
    for signal in Signal::AWAITED {
        // SAFETY: the set is initialised and the number is a valid signal.
        unsafe { libc::sigaddset(&raw mut set, signal.number()) };
    }
    set
}

/// Blocks the awaited signals in this thread and all that it starts. Async-signal-safe.
///
/// # Errors
/// What the system says.
pub fn block() -> io::Result<()> {
    let set = awaited_set();
    // SAFETY: the set is initialised; no old set is asked for.
    match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// What this process does about SIGPIPE.
pub(crate) fn broken_pipe_action() -> Option<libc::sigaction> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: no new action is given, and the pointer is valid for a write.
    let told = unsafe { libc::sigaction(libc::SIGPIPE, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: zeroed bytes are a valid action, and the call may have filled it.
    (told == 0).then(|| unsafe { action.assume_init() })
}

/// Does about SIGPIPE what was done before.
pub(crate) fn set_broken_pipe_action(before: &libc::sigaction) {
    // SAFETY: the action was this process's own, so a handler in it is still its code.
    let set = unsafe { libc::sigaction(libc::SIGPIPE, before, std::ptr::null_mut()) };
    debug_assert_eq!(set, 0, "an action that the system told can be set");
}

/// A descriptor that is readable when a blocked signal is pending.
#[derive(Debug)]
pub struct SignalSource {
    fd: OwnedFd,
}

impl SignalSource {
    /// Blocks the awaited signals and opens the source. To be called before any thread is started.
    ///
    /// # Errors
    /// What the system says.
    pub fn open() -> io::Result<SignalSource> {
        block()?;
        let set = awaited_set();
        // SAFETY: the set is initialised, and -1 asks for a new descriptor.
        let fd =
            unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and has no other owner.
        Ok(SignalSource { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// The next pending signal, without waiting for one.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::WouldBlock`] when none is pending.
    pub fn next(&self) -> io::Result<Signal> {
        loop {
            let mut info = [0_u8; size_of::<libc::signalfd_siginfo>()];
            let read = rustix::io::retry_on_intr(|| rustix::io::read(&self.fd, &mut info))?;
            // The number is the first field, 32 bits in the machine's order.
            let number = info.first_chunk::<4>().map(|bytes| i32::from_ne_bytes(*bytes));
            if let (true, Some(number)) = (read == info.len(), number)
                && let Some(signal) = Signal::from_number(number)
            {
                return Ok(signal);
            }
        }
    }

    /// Waits for the next signal.
    ///
    /// # Errors
    /// What the system says; interruptions are retried.
    pub fn wait(&self) -> io::Result<Signal> {
        loop {
            match self.next() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut polls =
                        [rustix::event::PollFd::new(&self.fd, rustix::event::PollFlags::IN)];
                    rustix::io::retry_on_intr(|| rustix::event::poll(&mut polls, None))?;
                }
                other => return other,
            }
        }
    }
}

impl AsRawFd for SignalSource {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl AsFd for SignalSource {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
