//! A real service of its own for each scenario: started as a process, on free
//! ports, in a temporary directory, and gone when the test is over.

mod launch;
mod proc;
mod status;

pub use launch::{Launch, free_port};
pub use proc::{children, descendants, is_alive, program_inode, rss_bytes};
pub use status::{Status, WorkerRow};

use crate::load::{Failure, Response, Target, get};
use rustix::process::{Pid, Signal, kill_process};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Output};
use std::time::{Duration, Instant};

/// Pause between two looks at the status. Each look is a process of its own:
/// without a pause it would be the load that disturbs the load.
const STATUS_INTERVAL: Duration = Duration::from_millis(100);

/// Longest time a control command may take before it counts as hung.
const CONTROL_DEADLINE: Duration = Duration::from_secs(60);

/// Calls `probe` until it has something, for at most `deadline`.
///
/// This is the one place of the suite that waits: a scenario names its
/// condition, never a time to sleep.
pub fn poll<T>(deadline: Duration, probe: impl FnMut() -> Option<T>) -> Option<T> {
    poll_every(Duration::from_millis(5), deadline, probe)
}

/// As [`poll`], for a probe that costs something, or for a time that is itself measured.
#[expect(clippy::disallowed_methods, reason = "the pause between two looks at a condition")]
pub fn poll_every<T>(
    interval: Duration,
    deadline: Duration,
    mut probe: impl FnMut() -> Option<T>,
) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(interval);
    }
}

/// A running service and everything it was given.
#[derive(Debug)]
pub struct Service {
    child: Child,
    exited: Option<ExitStatus>,
    launch: Launch,
    /// Main listener.
    pub address: SocketAddr,
    /// Admin listener.
    pub admin: SocketAddr,
    directory: tempfile::TempDir,
}

impl Service {
    /// Starts `program serve -c FILE` with the fixed settings of the harness
    /// and the lines of `config` (see [`Launch::config`]).
    ///
    /// # Panics
    /// When the program cannot be started.
    #[must_use]
    pub fn start(program: &Path, env: &[(&str, &str)], config: &str) -> Self {
        let launch = Launch::new(program).config(config);
        env.iter().fold(launch, |launch, (key, value)| launch.env(key, value)).start()
    }

    /// The main listener as a target for load.
    #[must_use]
    pub fn target(&self) -> Target {
        Target::Tcp(self.address)
    }

    /// The service's directory; it is removed with the service.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Process id of the supervisor.
    ///
    /// # Panics
    /// Never: process ids are positive and fit.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends a signal to the supervisor.
    ///
    /// # Panics
    /// When the supervisor is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the supervisor is there to be signalled");
    }

    /// GET over a new connection to the main listener, within 5 s.
    ///
    /// # Errors
    /// The class of the failure.
    pub fn get(&self, path: &str) -> Result<Response, Failure> {
        get(&self.target(), path, Duration::from_secs(5))
    }

    /// GET over a new connection to the admin listener, within 5 s.
    ///
    /// # Errors
    /// The class of the failure.
    pub fn get_admin(&self, path: &str) -> Result<Response, Failure> {
        get(&self.admin.into(), path, Duration::from_secs(5))
    }

    /// Waits until `/readyz` answers 200 and returns the service.
    ///
    /// # Panics
    /// When it does not within the deadline, or when the supervisor ends.
    #[must_use]
    pub fn ready(mut self, deadline: Duration) -> Self {
        self.wait_ready(deadline);
        self
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Panics
    /// When it does not within the deadline, or when the supervisor ends.
    pub fn wait_ready(&mut self, deadline: Duration) {
        let target = self.target();
        let ready = poll(deadline, || {
            if let Some(status) = self.try_exit() {
                panic!("ended with {status} instead of ready:\n{}", self.log());
            }
            let answer = get(&target, "/readyz", Duration::from_secs(1));
            answer.is_ok_and(|answer| answer.status == 200).then_some(())
        });
        assert!(ready.is_some(), "not ready within {deadline:?}:\n{}", self.log());
    }

    /// Waits until `condition` holds for the status.
    ///
    /// # Panics
    /// When it does not within the deadline; `what` is the sentence to fail with.
    pub fn wait_status(
        &self,
        what: &str,
        deadline: Duration,
        condition: impl Fn(&Status) -> bool,
    ) -> Status {
        let mut last = String::from("never asked");
        let found = poll_every(STATUS_INTERVAL, deadline, || {
            let output = self.control(&["status", "--json"]);
            let Some(status) = Status::parse(&output.stdout) else {
                last = format!("{output:?}");
                return None;
            };
            last = format!("{status:#?}");
            condition(&status).then_some(status)
        });
        found.unwrap_or_else(|| {
            panic!("not within {deadline:?}: {what}; last: {last}\n{}", self.log())
        })
    }

    /// Waits until exactly `count` workers are there and all are ready.
    ///
    /// # Panics
    /// When they are not within the deadline.
    pub fn wait_workers(&self, count: usize, deadline: Duration) -> Status {
        self.wait_status(&format!("exactly {count} ready workers"), deadline, |status| {
            status.workers.len() == count && status.ready() == count
        })
    }

    /// Waits for the supervisor's end.
    ///
    /// # Panics
    /// When it does not end within the deadline.
    pub fn wait_exit(&mut self, deadline: Duration) -> ExitStatus {
        let exited = poll(deadline, || self.try_exit());
        exited.unwrap_or_else(|| panic!("still running after {deadline:?}:\n{}", self.log()))
    }

    /// The supervisor's exit status if it has ended.
    ///
    /// # Panics
    /// When the system does not know our own child.
    pub fn try_exit(&mut self) -> Option<ExitStatus> {
        if self.exited.is_none() {
            self.exited = self.child.try_wait().expect("our own child can be waited for");
        }
        self.exited
    }

    /// Runs a control command (`["reload", "--wait"]`) of the same program
    /// against this service, for at most 60 s.
    ///
    /// # Panics
    /// When the command cannot be run or hangs.
    #[must_use]
    pub fn control(&self, args: &[&str]) -> Output {
        self.launch.run(self.directory(), args, CONTROL_DEADLINE)
    }

    /// Runs a control command that must succeed; its standard output.
    ///
    /// # Panics
    /// When it fails.
    pub fn control_ok(&self, args: &[&str]) -> String {
        let output = self.control(args);
        assert!(output.status.success(), "{args:?}: {output:?}\n{}", self.log());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What `status --json` says.
    ///
    /// # Panics
    /// When the command fails or its answer is not as documented.
    #[must_use]
    pub fn status(&self) -> Status {
        let output = self.control(&["status", "--json"]);
        Status::parse(&output.stdout)
            .unwrap_or_else(|| panic!("status --json: {output:?}\n{}", self.log()))
    }

    /// Writes the settings that the fixture reads at each boot of a worker.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn fixture(&self, settings: &[(&str, &str)]) {
        let lines: String =
            settings.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        self.write("fixture.env", &lines);
    }

    /// Writes the configuration file anew, with the harness' fixed settings
    /// and these lines.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn configure(&self, config: &str) {
        let text = launch::file_text(self.directory(), self.address, self.admin, config);
        self.write(launch::CONFIG, &text);
    }

    /// Replaces the program on disk as an installer does, by rename: the next
    /// worker boots `from`. Only for a service launched with [`Launch::copied`].
    ///
    /// # Panics
    /// When the files cannot be written, or the program is not a copy.
    pub fn install(&self, from: &Path) {
        let program = self.directory().join(launch::COPY);
        assert!(program.exists(), "launch the service with Launch::copied first");
        let fresh = program.with_extension("new");
        std::fs::copy(from, &fresh).expect("room for a copy of the program");
        std::fs::rename(fresh, program).expect("a rename within one directory");
    }

    /// Replaces the program on disk by a shell script, as [`Service::install`] does.
    ///
    /// # Panics
    /// When the files cannot be written.
    pub fn install_script(&self, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let script = self.write("script", text);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&script, mode).expect("our own file");
        self.install(&script);
    }

    /// Where the program now stands that workers are booted from.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        self.launch.program_in(self.directory())
    }

    /// Everything written to standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        let text = std::fs::read(self.directory().join(launch::LOG)).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The access log so far: each line without its end, as bytes, because a line that is no UTF-8 is
    /// a fault to show and not to hide.
    ///
    /// # Panics
    /// When there is no such file.
    #[must_use]
    pub fn access(&self) -> Vec<Vec<u8>> {
        let bytes = std::fs::read(self.access_path()).expect("the harness has made this file");
        let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        // Behind the last end there is nothing, or a line of which only a part was written.
        lines.pop_if(|rest| rest.is_empty());
        lines
    }

    /// The lines of the access log but those that name a health check: one that came too early for the
    /// service to be ready has a line even with `log.probes = false`.
    #[must_use]
    pub fn access_but_probes(&self) -> Vec<Vec<u8>> {
        let mut lines = self.access();
        lines.retain(|line| !line.windows(7).any(|part| part == b"/readyz"));
        lines
    }

    /// Where the access log is.
    #[must_use]
    pub fn access_path(&self) -> PathBuf {
        self.directory().join(launch::ACCESS)
    }

    /// Waits until the access log holds a line with all of these words, and returns the line.
    ///
    /// # Panics
    /// When it does not within the deadline.
    pub fn wait_access(&self, words: &[&str], deadline: Duration) -> String {
        let found = poll(deadline, || {
            let lines = self.access().into_iter();
            let mut lines = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
            lines.find(|line| words.iter().all(|word| line.contains(word)))
        });
        found.unwrap_or_else(|| {
            let lines = self.access();
            let last = lines.iter().rev().take(20).map(|line| String::from_utf8_lossy(line));
            let last: Vec<_> = last.collect();
            panic!("no access line with {words:?} within {deadline:?}; last: {last:#?}")
        })
    }

    /// Waits until the log holds a line with all of these words, in any case,
    /// and returns the line.
    ///
    /// # Panics
    /// When it does not within the deadline.
    pub fn wait_log(&self, words: &[&str], deadline: Duration) -> String {
        let line = poll(deadline, || self.log_lines(words).into_iter().next());
        line.unwrap_or_else(|| {
            panic!("no line with {words:?} within {deadline:?} in:\n{}", self.log())
        })
    }

    /// The lines of the log that hold all of these words, in any case.
    #[must_use]
    pub fn log_lines(&self, words: &[&str]) -> Vec<String> {
        let words: Vec<_> = words.iter().map(|word| word.to_lowercase()).collect();
        let log = self.log();
        let fits = |line: &&str| {
            let line = line.to_lowercase();
            words.iter().all(|word| line.contains(word))
        };
        log.lines().filter(fits).map(str::to_owned).collect()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory().join(name);
        std::fs::write(&path, text).expect("the temporary directory is writable");
        path
    }
}

impl Drop for Service {
    /// Kills the supervisor and waits until its children have followed it.
    fn drop(&mut self) {
        let mut family = Vec::new();
        if self.try_exit().is_none() {
            family = children(self.pid());
            // Both fail only when the process is already gone.
            self.child.kill().ok();
            self.child.wait().ok();
        }
        let gone = || family.iter().all(|pid| !is_alive(*pid)).then_some(());
        if poll(Duration::from_secs(5), gone).is_some() {
            return;
        }
        // A child that survived its supervisor is a fault, and the scenario on
        // orphans shows it. Here it must not disturb the scenarios that follow.
        for pid in family.into_iter().filter(|pid| is_alive(*pid)) {
            kill_process(pid, Signal::KILL).ok();
        }
    }
}

#[cfg(test)]
mod tests;
