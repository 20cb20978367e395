//! How a service is started: program, environment, configuration file, ports.

use super::{Service, poll};
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

pub(super) const CONFIG: &str = "mainstay.toml";
pub(super) const LOG: &str = "stderr.log";
/// Where the access log of a service is. A service whose `log.access` names this file in its directory
/// (`{dir}/access.log`) is read alike.
pub(super) const ACCESS: &str = "access.log";
pub(super) const COPY: &str = "program";
const LINK: &str = "current";

/// Variables that reach the service from the test's own environment. Nothing
/// else does: `PORT` or `WEB_CONCURRENCY` of a developer must not change a test.
const INHERITED: [&str; 5] = ["PATH", "HOME", "TMPDIR", "LANG", "RUST_BACKTRACE"];

/// A service to be: change it with its methods, then [`Launch::start`].
#[derive(Debug)]
pub struct Launch {
    program: PathBuf,
    copied: bool,
    linked: bool,
    env: Vec<(String, String)>,
    config: String,
    args: Vec<String>,
    directories: Vec<String>,
    listen_fd: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

impl Launch {
    /// `program serve -c FILE` with the harness' fixed settings.
    #[must_use]
    pub fn new(program: &Path) -> Self {
        Self {
            program: program.to_owned(),
            copied: false,
            linked: false,
            env: Vec::new(),
            config: String::new(),
            args: Vec::new(),
            directories: Vec::new(),
            listen_fd: None,
            stdout: None,
            stderr: None,
        }
    }

    /// Lines of the configuration, with dotted keys (`workers.count = 2`), one
    /// each. Fixed settings are written first, unless these lines set them:
    /// `server.bind`, `server.admin`, `server.control`, `server.pidfile`,
    /// `health.drain_delay = "0s"`, and `probing.own` is off: what is counted is to be a
    /// scenario's own. `{dir}` stands for the service's directory.
    #[must_use]
    pub fn config(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.config);
        self
    }

    /// Adds a variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Adds an argument after `serve -c FILE`.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// Makes a directory in the service's own before the start.
    #[must_use]
    pub fn directory(mut self, name: &str) -> Self {
        self.directories.push(name.to_owned());
        self
    }

    /// Runs a copy of the program, which a scenario may then replace on disk.
    #[must_use]
    pub fn copied(mut self) -> Self {
        self.copied = true;
        self
    }

    /// Runs a copy of the program, called through a symbolic link in the
    /// service's directory, which a scenario may then point elsewhere.
    #[must_use]
    pub fn linked(mut self) -> Self {
        self.linked = true;
        self.copied()
    }

    /// Hands over a listener as systemd does: descriptor 3, `LISTEN_FDS`,
    /// `LISTEN_PID`.
    #[must_use]
    pub fn listen_fd(mut self, listener: impl Into<OwnedFd>) -> Self {
        self.listen_fd = Some(listener.into());
        self
    }

    /// Writes standard output, where the access log goes, there, in place of a file of its own.
    #[must_use]
    pub fn stdout(mut self, to: impl Into<OwnedFd>) -> Self {
        self.stdout = Some(to.into());
        self
    }

    /// Writes standard error there, in place of the harness' file.
    #[must_use]
    pub fn stderr(mut self, to: impl Into<OwnedFd>) -> Self {
        self.stderr = Some(to.into());
        self
    }

    /// Starts the service; it need not be ready, or even alive, on return.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[must_use]
    pub fn start(self) -> Service {
        let directory = tempfile::Builder::new().prefix("e2e-").tempdir();
        let directory = directory.expect("a temporary directory");
        let (address, admin) = (free_address(), free_address());
        let text = file_text(directory.path(), address, admin, &self.config);
        std::fs::write(directory.path().join(CONFIG), text).expect("a new directory is writable");
        for name in &self.directories {
            std::fs::create_dir(directory.path().join(name)).expect("a new directory is writable");
        }
        if self.copied {
            std::fs::copy(&self.program, directory.path().join(COPY)).expect("room for a copy");
        }
        if self.linked {
            let link = directory.path().join(LINK);
            std::os::unix::fs::symlink(COPY, link).expect("a new directory is writable");
        }
        let file = |name| File::create(directory.path().join(name));
        let log = file(LOG).expect("a new directory is writable");
        let mut launch = self;
        let mut command = launch.command(directory.path());
        command.args(["serve", "-c", CONFIG]).args(&launch.args);
        match launch.stdout.take() {
            Some(to) => command.stdout(Stdio::from(to)),
            None => command.stdout(file(ACCESS).expect("a new directory is writable")),
        };
        match launch.stderr.take() {
            Some(to) => command.stderr(Stdio::from(to)),
            None => command.stderr(log),
        };
        if let Some(listener) = launch.listen_fd.take() {
            command.stdin(Stdio::from(listener));
        }
        let child = start(&mut command).expect("the program under test can be started");
        Service { child, exited: None, launch, address, admin, directory }
    }

    /// Where the program stands that this service runs.
    pub(super) fn program_in(&self, directory: &Path) -> PathBuf {
        match (self.linked, self.copied) {
            (true, _) => directory.join(LINK),
            (false, true) => directory.join(COPY),
            (false, false) => self.program.clone(),
        }
    }

    /// Runs a control command with the original program, even when a scenario
    /// has broken the copy on disk.
    pub(super) fn run(&self, directory: &Path, args: &[&str], deadline: Duration) -> Output {
        let mut command = self.bare(directory, &self.program);
        // First: a command of the application's own gets everything behind its name.
        command.args(["-c", CONFIG]).args(args);
        finish(command, deadline)
    }

    fn command(&self, directory: &Path) -> Command {
        let program = self.program_in(directory);
        if self.listen_fd.is_none() {
            return self.bare(directory, &program);
        }
        // LISTEN_PID must be the pid of the program itself, and only a shell
        // that execs it can know this number beforehand.
        let mut shell = self.bare(directory, Path::new("/bin/sh"));
        let script = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" \"$@\"";
        shell.arg("-c").arg(script).arg(program);
        shell
    }

    fn bare(&self, directory: &Path, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(directory).env_clear().stdin(Stdio::null());
        for key in INHERITED {
            if let Some(value) = std::env::var_os(key) {
                command.env(key, value);
            }
        }
        if !self.config.contains("probing.own") {
            command.env("MAINSTAY_PROBING_OWN", "false");
        }
        command.env("FIXTURE_FILE", directory.join("fixture.env"));
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command
    }
}

/// Starts a program. One that was copied just now is busy for as long as a child that another scenario has forked
/// meanwhile has it open for writing, which ends with that child's own program.
fn start(command: &mut Command) -> io::Result<Child> {
    let started = poll(Duration::from_secs(10), || match command.spawn() {
        Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => None,
        started => Some(started),
    });
    started.unwrap_or_else(|| command.spawn())
}

/// Runs a program to its end and returns what it said.
///
/// # Panics
/// When it cannot be started or is not done within the deadline.
fn finish(mut command: Command, deadline: Duration) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = start(&mut command).expect("the control command can be started");
    // The pipes are drained after the end: what a command says fits a pipe.
    let ended = poll(deadline, || child.try_wait().expect("our own child can be waited for"));
    if ended.is_none() {
        child.kill().ok();
    }
    let output = child.wait_with_output().expect("the pipes of our own child");
    assert!(ended.is_some(), "{command:?} hung for {deadline:?}: {output:?}");
    output
}

/// The configuration file: the fixed settings that `lines` does not set, then `lines`.
pub(super) fn file_text(
    directory: &Path,
    address: SocketAddr,
    admin: SocketAddr,
    lines: &str,
) -> String {
    let dir = directory.display().to_string();
    let fixed = [
        ("server.bind", address.to_string()),
        ("server.admin", admin.to_string()),
        ("server.control", format!("{dir}/control.sock")),
        ("server.pidfile", format!("{dir}/service.pid")),
        ("health.drain_delay", "0s".to_owned()),
    ];
    let given = |key: &str| lines.lines().any(|line| line.trim_start().starts_with(key));
    let fixed = fixed.iter().filter(|(key, _)| !given(key));
    let fixed: String = fixed.map(|(key, value)| format!("{key} = \"{value}\"\n")).collect();
    let own: Vec<_> = lines.lines().map(str::trim).collect();
    fixed + &own.join("\n").replace("{dir}", &dir).replace("{address}", &address.to_string()) + "\n"
}

/// A port of the loopback that nobody listens on.
///
/// # Panics
/// When thousands of ports are taken.
#[must_use]
pub fn free_port() -> u16 {
    free_address().port()
}

/// A loopback address that nobody listens on.
///
/// Below the usual ephemeral range: a port from within it could be taken by an
/// outgoing connection of the load client before the service binds it.
///
/// # Panics
/// When thousands of ports are taken.
#[must_use]
pub(super) fn free_address() -> SocketAddr {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or(0);
    (0..COUNT)
        .map(|_| (offset + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT)
        .map(|number| SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + number)))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("one free port among thousands")
}
