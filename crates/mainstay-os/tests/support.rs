//! What the tests share: processes of their own, other processes in a part, and waiting with a
//! deadline.

use crate::parts::{HEARS, SAYS};
use mainstay_os::child::{Child, Ended, Program, Usage};
use mainstay_os::signals::{self, Signal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::process::Command;
use std::time::{Duration, Instant};

/// Names the part that a process is to play.
pub(crate) const PART: &str = "MAINSTAY_TEST_PART";
/// Set in a process that runs one test alone.
const ALONE: &str = "MAINSTAY_TEST_ALONE";
/// The test that plays parts.
const STAGE: &str = "parts::a_process_plays_the_part_it_is_given";
/// Longer than anything here takes on a busy machine; reached only when something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[expect(clippy::disallowed_methods, reason = "the library's clock is in another crate")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "parts are told by the environment alone")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A variable that the starter of this part has set.
pub(crate) fn told<T: std::str::FromStr>(name: &str) -> T {
    let text = variable(name).unwrap_or_else(|| panic!("{name} is not set"));
    text.parse().unwrap_or_else(|_| panic!("{name}={text} is not what the part wants"))
}

/// Arguments with which this program runs `test` alone.
fn only(test: &str) -> [&str; 4] {
    [test, "--exact", "--nocapture", "--test-threads=1"]
}

/// Runs `body`, which is the whole of `test`, in a process of its own with the awaited signals
/// blocked: for tests of what a process has only one of.
pub(crate) fn alone(test: &str, body: impl FnOnce()) {
    if variable(ALONE).is_some() {
        return body();
    }
    signals::block().expect("signals can be blocked");
    let program = std::env::current_exe().expect("the test program has a path");
    let run = Command::new(program).args(only(test)).env(ALONE, "1").output();
    let run = run.expect("the test program can be started");
    let (told, said) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{test} in its process: {}\n{told}{said}", run.status);
    // A name that is not the test's would select nothing and succeed.
    assert!(told.contains("1 passed"), "{test} did not run:\n{told}{said}");
    #[expect(clippy::print_stderr, reason = "what it found, for who asks by --nocapture")]
    {
        eprint!("{said}");
    }
}

/// Starts this program in `part`, which the death of the caller ends by `death`.
pub(crate) fn start(
    part: &str,
    env: &[(&str, String)],
    keep: &[BorrowedFd<'_>],
    death: Signal,
) -> Child {
    with_program(part, env, keep, |program| program.spawn(death)).expect("the part can be started")
}

/// Gives `act` this program in `part`.
pub(crate) fn with_program<R>(
    part: &str,
    env: &[(&str, String)],
    keep: &[BorrowedFd<'_>],
    act: impl FnOnce(&Program<'_>) -> R,
) -> R {
    let path = std::env::current_exe().expect("the test program has a path").into_os_string();
    let args = only(STAGE).map(OsString::from);
    let env: Vec<_> = env.iter().cloned().chain([(PART, part.to_owned())]).collect();
    act(&Program {
        path: &path,
        name: &path,
        args: &args,
        env: &env,
        env_remove: &[ALONE, SAYS, HEARS],
        keep,
    })
}

/// A pipe: the end that hears and the end that speaks, both close-on-exec.
pub(crate) fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe can be made")
}

/// A descriptor's number, as a variable's value.
pub(crate) fn number(fd: impl AsFd) -> String {
    fd.as_fd().as_raw_fd().to_string()
}

/// Whether `fd` became readable, or the process behind a pidfd ended, within `patience`.
pub(crate) fn is_readable(fd: impl AsFd, patience: Duration) -> bool {
    let timeout = Timespec::try_from(patience).expect("a test waits for seconds, not centuries");
    let mut polls = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)];
    rustix::io::retry_on_intr(|| poll(&mut polls, Some(&timeout))).expect("poll") > 0
}

/// Waits for the end of `child` and reaps it.
pub(crate) fn end_of(child: &Child) -> (Ended, Usage) {
    assert!(is_readable(child, PATIENCE), "process {} did not end", child.pid());
    child.try_reap().expect("nobody else reaps").expect("the pidfd said that it has ended")
}

/// What is said through a pipe until nobody holds its other end.
pub(crate) fn all_said(hears: OwnedFd) -> String {
    let deadline = now() + PATIENCE;
    let (mut hears, mut said) = (File::from(hears), Vec::new());
    let mut part = [0; 1024];
    loop {
        assert!(is_readable(&hears, deadline - now()), "nobody speaks, nobody closes");
        match hears.read(&mut part).expect("a pipe can be read") {
            0 => return String::from_utf8(said).expect("parts speak UTF-8"),
            len => said.extend_from_slice(&part[..len]),
        }
    }
}

/// One line of what is said through a pipe that stays open.
pub(crate) fn next_line(hears: &OwnedFd) -> String {
    let (mut line, mut byte) = (Vec::new(), [0]);
    loop {
        assert!(is_readable(hears, PATIENCE), "nobody speaks");
        let len = rustix::io::read(hears, &mut byte).expect("a pipe can be read");
        if len == 0 || byte == *b"\n" {
            return String::from_utf8(line).expect("parts speak UTF-8");
        }
        line.push(byte[0]);
    }
}

/// Says `line` through an inherited descriptor.
pub(crate) fn say(speaks: impl AsFd, line: &str) {
    let line = format!("{line}\n");
    let written = rustix::io::write(speaks, line.as_bytes()).expect("the other end listens");
    assert_eq!(written, line.len(), "a line fits a pipe");
}

/// A field of this thread's status, for instance the mask of blocked signals.
pub(crate) fn status_field(name: &str) -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("there is a /proc");
    let field = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    field.unwrap_or_else(|| panic!("no field {name}")).trim().to_owned()
}

/// Whether the hexadecimal set of signals `mask` has all that are awaited.
pub(crate) fn has_all_awaited(mask: &str) -> bool {
    let mask = u64::from_str_radix(mask, 16).expect("the kernel writes hexadecimal");
    Signal::AWAITED.iter().all(|signal| mask & 1 << (signal.number() - 1) != 0)
}

/// Whether an `exec` now would close `fd`.
pub(crate) fn closes_on_exec(fd: impl AsFd) -> bool {
    let flags = rustix::io::fcntl_getfd(fd).expect("the descriptor is open");
    flags.contains(rustix::io::FdFlags::CLOEXEC)
}

/// Takes over the descriptor whose number the starter gave in variable `name`.
pub(crate) fn given(name: &str) -> OwnedFd {
    mainstay_os::fds::take(told::<RawFd>(name)).expect("the starter kept it open")
}
