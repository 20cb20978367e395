//! Starting the servers to be measured, all in the same shape: single-thread processes that accept
//! from one shared listener.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use e2e::load;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    Fallible, callgrind,
    process::{self, Guarded, wait_until},
    roles::{ROLE, Role},
};

/// The variable that names the program in whose place this one is started.
pub(crate) const PROGRAM: &str = "BENCH_PROGRAM";

/// Two limits of each client, of which neither is reached.
const LIMITS: &str = "\n[limits]\ndefault = \"4194303/hour; 4000000/minute\"\n";

/// Directories that nginx makes at its start, in its own one.
const TEMPORARY: &str = "client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; \
                         uwsgi_temp_path tmp; scgi_temp_path tmp;";

/// A server boots slowly under callgrind on a busy machine.
const BOOT: Duration = Duration::from_secs(60);

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Hyper,
    Axum,
    /// axum under the mainstay of this tree.
    Mainstay,
    /// The same with two limits for each client, that are far away.
    Limited,
    /// nginx, which answers by itself, with its access log and the same two limits.
    Nginx(PathBuf),
    /// axum under mainstay with many series, and an admin listener to ask for them.
    Measured,
    /// Any other program that links mainstay.
    Other(PathBuf),
}

impl Program {
    /// Its name in the table.
    pub(crate) fn name(&self) -> String {
        match self {
            Program::Hyper => "bare hyper".to_owned(),
            Program::Axum => "bare axum".to_owned(),
            Program::Mainstay => "axum + mainstay".to_owned(),
            Program::Limited => "axum + mainstay, two limits".to_owned(),
            Program::Nginx(_) => "nginx, access log and two limits".to_owned(),
            Program::Measured => "axum + mainstay, many series".to_owned(),
            Program::Other(path) => {
                path.file_name().unwrap_or(path.as_os_str()).display().to_string()
            }
        }
    }

    /// Starts it with this many serving processes and waits until all of them serve; with
    /// `counting`, under callgrind, which leaves its files in that directory.
    ///
    /// # Errors
    /// When it does not start, with what it has written to standard error.
    pub(crate) fn start(&self, processes: usize, counting: Option<&Path>) -> Fallible<Running> {
        let own = std::env::current_exe()?;
        let launch = |path: &Path, role| Launch::new(path, role, counting);
        match self {
            Program::Limited => {
                let launch = launch(&own, Some(Role::Mainstay))?;
                Launch { more: LIMITS, ..launch }.supervised(processes)
            }
            Program::Nginx(path) => launch(path, None)?.nginx(processes),
            Program::Hyper => launch(&own, Some(Role::Hyper))?.bare(processes),
            Program::Axum => launch(&own, Some(Role::Axum))?.bare(processes),
            Program::Mainstay => launch(&own, Some(Role::Mainstay))?.supervised(processes),
            Program::Measured => launch(&own, Some(Role::Measured))?.supervised(processes),
            Program::Other(path) if counting.is_some() => {
                launch(path, None)?.replaced(processes, &own)
            }
            Program::Other(path) => launch(path, None)?.supervised(processes),
        }
    }
}

/// A server that serves. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Running {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where metrics are asked for, if they are.
    pub(crate) admin: Option<SocketAddr>,
    /// The processes that answer requests.
    pub(crate) workers: Vec<u32>,
    /// All its processes, with those that only look after the others.
    pub(crate) all: Vec<u32>,
    children: Vec<Guarded>,
    /// Its directory, removed with it.
    launch: Launch,
}

impl Running {
    /// Stops it in good order, so that callgrind writes its counts.
    ///
    /// # Errors
    /// When it does not end within a minute.
    pub(crate) fn stop(mut self) -> Fallible<()> {
        for child in &mut self.children {
            child.stop(BOOT)?;
        }
        Ok(())
    }
}

/// What is started, and the directory with its configuration, control socket and log.
#[derive(Debug)]
struct Launch {
    home: TempDir,
    path: PathBuf,
    role: Option<Role>,
    counting: Option<PathBuf>,
    stands_for: Option<PathBuf>,
    /// What the configuration says beyond the shape of all servers.
    more: &'static str,
}

impl Launch {
    fn new(path: &Path, role: Option<Role>, counting: Option<&Path>) -> Fallible<Launch> {
        let (path, counting) = (path.to_owned(), counting.map(Path::to_owned));
        Ok(Launch { home: TempDir::new()?, path, role, counting, stands_for: None, more: "" })
    }

    /// Processes of this program that share a listener made here.
    fn bare(self, processes: usize) -> Fallible<Running> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let mut children = Vec::new();
        for _ in 0..processes {
            let stdin = OwnedFd::from(listener.try_clone()?);
            children.push(Guarded(self.command()?.stdin(stdin).spawn()?));
        }
        drop(listener);
        if !wait_until(BOOT, || answers(address)) {
            return Err(self.complaint());
        }
        let workers: Vec<u32> = children.iter().map(|child| child.0.id()).collect();
        let all = workers.clone();
        Ok(Running { address, admin: None, all, workers, children, launch: self })
    }

    /// A program that links mainstay, with its supervisor and watch.
    fn supervised(self, processes: usize) -> Fallible<Running> {
        let address = free()?;
        let admin = (self.role == Some(Role::Measured)).then(free).transpose()?;
        let text = self.configuration(address, admin, processes);
        fs::write(self.home.path().join("mainstay.toml"), text)?;
        let child = Guarded(self.command()?.args(["serve", "-c", "mainstay.toml"]).spawn()?);
        let workers = self.wait_ready(address, processes, &[])?;
        let all = process::family(&[child.0.id()])?;
        Ok(Running { address, admin, workers, all, children: vec![child], launch: self })
    }

    /// nginx with a worker for each process. When instructions are counted, it is one process under callgrind.
    fn nginx(self, processes: usize) -> Fallible<Running> {
        let address = free()?;
        let home = self.home.path().display();
        let (master, worker) = if self.counting.is_some() { ("off", 1) } else { ("on", processes) };
        let text = format!(
            "daemon off;\nmaster_process {master};\nworker_processes {worker};\n\
             pid {home}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n  \
             access_log {home}/access.log combined buffer=64k flush=1s;\n  \
             limit_req_zone $binary_remote_addr zone=a:10m rate=1000000r/s;\n  \
             limit_req_zone $binary_remote_addr zone=b:10m rate=900000r/s;\n  \
             keepalive_requests 1000000000;\n  {TEMPORARY}\n  server {{\n    listen {address};\n    \
             limit_req zone=a burst=100000 nodelay;\n    limit_req zone=b burst=100000 nodelay;\n    \
             location / {{ return 200 \"hello\\n\"; }}\n  }}\n}}\n"
        );
        fs::write(self.home.path().join("nginx.conf"), text)?;
        let mut command = self.command()?;
        if let Some(results) = &self.counting {
            command = self.command_of(Path::new("valgrind"))?;
            command.args(["--tool=callgrind", "--quiet"]);
            command.arg(format!("--callgrind-out-file={}/%p", results.display())).arg(&self.path);
        }
        command.args(["-e", "stderr", "-p"]).arg(self.home.path());
        let child = Guarded(command.args(["-c", "nginx.conf"]).spawn()?);
        if !wait_until(BOOT, || answers(address)) {
            return Err(self.complaint());
        }
        let all = process::family(&[child.0.id()])?;
        let serves = |pid: &u32| self.counting.is_some() || *pid != child.0.id();
        let workers = all.iter().copied().filter(serves).collect();
        Ok(Running { address, admin: None, workers, all, children: vec![child], launch: self })
    }

    /// The same for a program that knows nothing of callgrind: started from a copy, whose place is
    /// then taken by this program, so that a reload starts the worker through `step_under`.
    fn replaced(mut self, processes: usize, own: &Path) -> Fallible<Running> {
        let copy = self.home.path().join("program");
        fs::copy(&self.path, &copy)?;
        self.stands_for = Some(std::mem::replace(&mut self.path, copy));
        let mut server = self.supervised(processes)?;
        // Moved there, because a program that is running cannot be written to.
        let next = server.launch.home.path().join("next");
        fs::copy(own, &next)?;
        fs::rename(&next, &server.launch.path)?;
        server.children[0].signal(Signal::HUP)?;
        server.workers = server.launch.wait_ready(server.address, processes, &server.workers)?;
        Ok(server)
    }

    /// The shape of the bare servers; whatever costs a request anything is left as it comes.
    fn configuration(
        &self,
        address: SocketAddr,
        admin: Option<SocketAddr>,
        processes: usize,
    ) -> String {
        let admin = admin.map(|it| it.to_string()).unwrap_or_default();
        let control = self.home.path().join("control.sock");
        format!(
            "[server]\nbind = \"{address}\"\nadmin = \"{admin}\"\ncontrol = {control:?}\n\n\
             [workers]\ncount = {processes}\nthreads = 1\n\n[health]\ndrain_delay = \"0s\"\n\n\
             [probing]\nown = false\n{}",
            self.more
        )
    }

    /// The workers, once all of them are ready and none of `former` is left.
    fn wait_ready(
        &self,
        address: SocketAddr,
        processes: usize,
        former: &[u32],
    ) -> Fallible<Vec<u32>> {
        let mut workers = Vec::new();
        let ready = wait_until(BOOT, || {
            workers = self.workers().unwrap_or_default();
            let all_ready = workers.len() == processes && workers.iter().all(|(_, ready)| *ready);
            all_ready && !workers.iter().any(|(pid, _)| former.contains(pid)) && answers(address)
        });
        if ready {
            Ok(workers.into_iter().map(|(pid, _)| pid).collect())
        } else {
            Err(self.complaint())
        }
    }

    /// Pids of the workers and whether each is ready; none while nothing answers.
    fn workers(&self) -> Option<Vec<(u32, bool)>> {
        let mut ask = self.command().ok()?;
        let told = ask
            .args(["status", "--json", "-c", "mainstay.toml"])
            .stdout(Stdio::piped())
            .output()
            .ok()?;
        let status: Value = serde_json::from_slice(&told.stdout).ok()?;
        let pid = |worker: &Value| u32::try_from(worker["pid"].as_u64()?).ok();
        status["workers"]
            .as_array()?
            .iter()
            .map(|worker| Some((pid(worker)?, worker["state"] == "ready")))
            .collect()
    }

    /// Sees nothing of this program's environment but OpenTelemetry's variables, and writes to the log.
    fn command(&self) -> Fallible<Command> {
        self.command_of(&self.path)
    }

    fn command_of(&self, program: &Path) -> Fallible<Command> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.home.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        // So that the cost of traces can be measured: OTEL_EXPORTER_OTLP_ENDPOINT switches them on.
        let of_traces = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("OTEL_");
        command.envs(std::env::vars_os().filter(|(name, _)| of_traces(name)));
        command.envs(self.role.map(|role| (ROLE, role.name())));
        command.envs(self.counting.as_ref().map(|results| (callgrind::RESULTS, results)));
        command.envs(self.stands_for.as_ref().map(|program| (PROGRAM, program)));
        Ok(command)
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("stderr.log")
    }

    fn complaint(&self) -> Box<dyn std::error::Error> {
        let told = fs::read_to_string(self.log()).unwrap_or_default();
        format!("{} does not serve; it said:\n{told}", self.path.display()).into()
    }
}

/// An address that nobody has. The port is free again when the listener is dropped; nobody else is expected to
/// take it.
fn free() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

fn answers(address: SocketAddr) -> bool {
    load::get(&address.into(), "/", Duration::from_secs(5)).is_ok_and(|answer| answer.status == 200)
}
