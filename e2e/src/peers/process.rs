//! A server process of a peer, run as an unprivileged user where the test is root.

use crate::harness::poll;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Time that a peer has to start or to stop.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The user that a peer runs as: another one than root, if this is root and it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User(Option<(u32, u32)>);

impl User {
    pub(super) fn named(name: &str) -> User {
        if !rustix::process::geteuid().is_root() {
            return User(None);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let row = passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let found = fields.next()? == name;
            let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            found.then_some((uid, gid))
        });
        User(row)
    }

    /// A command that runs as this user.
    pub(super) fn command(&self, program: &Path) -> Command {
        match &self.0 {
            None => Command::new(program),
            Some((uid, gid)) => {
                let mut command = Command::new("setpriv");
                // By number: not every user has a group of its name.
                command.args([format!("--reuid={uid}"), format!("--regid={gid}")]);
                command.arg("--clear-groups").arg(program);
                command
            }
        }
    }

    /// Gives a directory to this user.
    pub(super) fn own(&self, directory: &Path) {
        if let Some((uid, gid)) = self.0 {
            let given = std::os::unix::fs::chown(directory, Some(uid), Some(gid));
            given.expect("root may give away what it made");
        }
    }
}

/// A server that runs. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Server {
    child: Option<Child>,
    log: PathBuf,
}

impl Server {
    pub(crate) fn start(mut command: Command, log: PathBuf) -> Server {
        let file = File::options().create(true).append(true).open(&log).expect("a log file");
        let also = file.try_clone().expect("a descriptor");
        command.stdin(Stdio::null()).stdout(file).stderr(also);
        let child = command.spawn().expect("the peer's program can be started");
        Server { child: Some(child), log }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("it runs"))
    }

    /// Waits until `probe` finds it answering.
    pub(crate) fn wait(&mut self, mut probe: impl FnMut() -> bool) {
        let answers = poll(PATIENCE, || {
            let child = self.child.as_mut().expect("it runs");
            if let Some(status) = child.try_wait().expect("our own child") {
                panic!("a peer ended with {status}:\n{}", self.said());
            }
            probe().then_some(())
        });
        assert!(answers.is_some(), "a peer does not answer:\n{}", self.said());
    }

    /// Ends it by a signal, and waits until it has ended.
    pub(super) fn end(&mut self, signal: Signal) {
        let Some(mut child) = self.child.take() else { return };
        self.each(Pid::from_child(&child), Signal::CONT);
        kill_process(Pid::from_child(&child), signal).ok();
        let ended = poll(PATIENCE, || child.try_wait().ok().flatten());
        if ended.is_none() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Stops it and all of its processes where they are, as a machine that hangs.
    pub(super) fn freeze(&self) {
        self.each(self.pid(), Signal::STOP);
    }

    /// Lets it go on.
    pub(super) fn thaw(&self) {
        self.each(self.pid(), Signal::CONT);
    }

    fn each(&self, root: Pid, signal: Signal) {
        for pid in std::iter::once(root).chain(crate::harness::children(root)) {
            // One that is gone needs no signal.
            kill_process(pid, signal).ok();
        }
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end(Signal::KILL);
    }
}
