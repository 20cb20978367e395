//! What the scenarios share: programs, durations, the usual load, the judgement of a report.

use e2e::harness::{Service, Status};
use e2e::load::{Load, Report, Running};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

/// Time that a service may take to start on a busy machine.
pub(crate) const START: Duration = Duration::from_secs(20);

/// Boot time of the application in the scenarios that must not show it.
pub(crate) const BOOT: Duration = Duration::from_millis(1500);

/// The same for the fixture's environment.
pub(crate) const BOOT_MS: (&str, &str) = ("FIXTURE_BOOT_MS", "1500");

static MACHINE: RwLock<()> = RwLock::new(());

/// The machine for this scenario alone: whoever measures must not be disturbed.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// The machine together with other scenarios that measure nothing.
pub(crate) fn together() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// The program that misbehaves on demand.
pub(crate) fn fixture() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fixture"))
}

/// The smallest service.
pub(crate) fn hello() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_hello"))
}

/// What people run a service with.
pub(crate) fn contrib(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib").join(path)
}

/// The program `mainstay`.
pub(crate) fn mainstay() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("mainstay-cli", "mainstay", &[]))
}

/// The same as the image has it, but for its symbols: linked as the Dockerfile says.
pub(crate) fn mainstay_of_the_image() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let file = std::fs::read_to_string(contrib("docker/Dockerfile")).expect("the Dockerfile");
        let file = file.replace("\\\n", " ");
        let line = file.lines().find_map(|it| it.strip_prefix("RUN cargo rustc "));
        let line = line.and_then(|it| it.split("&&").next()?.split_once(" -- "));
        let (_, flags) = line.expect("the Dockerfile builds with flags behind --");
        build("mainstay-cli", "mainstay", &flags.split_whitespace().collect::<Vec<_>>())
    })
}

/// The smallest service without anything that it does not use.
pub(crate) fn lean() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("lean", "lean", &[]))
}

/// A program of another crate: cargo builds it for tests of its own crate alone, so it is built here, once, as
/// `cargo run` would, with the profile of these scenarios; with flags for its own compilation and linking if need be.
fn build(package: &str, program: &str, flags: &[&str]) -> PathBuf {
    // Cargo has one place for what it has built with flags and without: it is taken from there at once.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    // target/PROFILE/hello; the profile `dev` has another name as a directory.
    let profile = hello().parent().and_then(Path::file_name).and_then(OsStr::to_str);
    let profile = match profile.expect("a program of cargo stands in a directory of its profile") {
        "debug" => "dev",
        other => other,
    };
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp");
    say(format_args!("building the program {program}"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["rustc", "--locked", "-p", package, "--bin", program]);
    build.args(["--profile", profile, "--message-format", "json-render-diagnostics"]);
    build.arg("--target-dir").arg(target).current_dir(env!("CARGO_MANIFEST_DIR"));
    build.arg("--").args(flags);
    // What cargo tells of these scenarios is none of the program's: build scripts that look at it would run again, and
    // all that depends on them would be built again.
    let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| told.iter().any(|it| name.starts_with(it))) {
            build.env_remove(name);
        }
    }
    let output = build.output().expect("cargo, which has built these scenarios");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} cannot be built:\n{said}");
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let mut messages = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let built = messages.find_map(|it| it["executable"].as_str().map(PathBuf::from));
    let built = built.unwrap_or_else(|| panic!("cargo has built no program:\n{said}"));
    let kind = if flags.is_empty() { "programs" } else { "image" };
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(profile).join(kind);
    std::fs::create_dir_all(&place).expect("cargo's own directory is writable");
    let place = place.join(program);
    // What an earlier run has left.
    std::fs::remove_file(&place).ok();
    std::fs::hard_link(&built, &place).expect("one file system");
    place
}

/// The access log in a file, where each line stands once. On standard output, even if that is a file, the last
/// write of a killed watch may come twice: who kills it and counts lines needs this.
pub(crate) const EACH_LINE_ONCE: &str = "log.access = \"{dir}/access.log\"";

/// A ready fixture with this configuration.
pub(crate) fn service(config: &str) -> Service {
    Service::start(fixture(), &[], config).ready(START)
}

/// Tells who watches in a scope that it is over, also when the scenario fails: else it would wait for them instead.
pub(crate) struct Ending<'a>(pub(crate) &'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Length of a steady phase.
pub(crate) fn steady() -> Duration {
    let seconds = std::env::var("E2E_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(2))
}

/// The usual load: new and kept-alive connections, far from saturation, so
/// that a latency is the service's and not the queue's.
pub(crate) fn usual_load(service: &Service) -> Load {
    Load { think: Some(Duration::from_millis(4)), ..Load::new(service.address) }
}

/// The undisturbed phase. It looks at the status as the disturbed one will:
/// the observer's own cost must stand on both sides of the comparison.
pub(crate) fn undisturbed(service: &Service, load: &Running) {
    let end = Instant::now() + steady();
    while Instant::now() < end {
        service.control_ok(&["status", "--json"]);
        load.run_for(Duration::from_millis(100));
    }
}

/// A process of the status.
pub(crate) fn pid(number: u32) -> Pid {
    i32::try_from(number).ok().and_then(Pid::from_raw).expect("a pid from the status")
}

/// Kills a worker of a service whose workers are recycled: who was listed may be gone by now.
pub(crate) fn kill_a_worker(service: &Service) {
    let end = Instant::now() + START;
    while kill_process(pid(service.status().pids()[0]), Signal::KILL).is_err() {
        assert!(Instant::now() < end, "nobody lives long enough to be killed");
    }
}

/// Kills watch, and waits for another.
pub(crate) fn kill_watch(service: &Service) {
    let watch = service.status().watch().expect("watch runs");
    kill_process(watch, Signal::KILL).expect("it lives");
    service.wait_status("another watch", START, |it| it.watch().is_some_and(|now| now != watch));
}

/// Waits until nobody is connected and nothing in flight.
pub(crate) fn wait_idle(service: &Service) {
    service.wait_status("nothing in flight", START, |status| {
        status.workers.iter().all(|it| it.connections == 0 && it.in_flight == 0)
    });
}

/// Requests under way in all workers together.
pub(crate) fn in_flight(status: &Status) -> u64 {
    status.workers.iter().map(|worker| worker.in_flight).sum()
}

/// Writes a figure where it is seen, whether or not the test passes.
pub(crate) fn say(text: impl std::fmt::Display) {
    let text = text.to_string();
    let mut stderr = std::io::stderr().lock();
    for line in text.lines() {
        // A closed standard error must not fail a scenario.
        writeln!(stderr, "[e2e] {line}").ok();
    }
}

/// Fails unless every single request has a whole, good answer.
pub(crate) fn assert_nothing_lost(title: &str, report: &Report, service: &Service) {
    say(format_args!("{title}\n{report}"));
    assert!(report.ok() > 0, "{title}: no answer at all\n{report}");
    assert_eq!(report.lost(), 0, "{title}:\n{report}\n{}", service.log());
}

/// Fails when a phase shows that something went on behind the scenes: the rule
/// is a p99 of at most twice the undisturbed one, and it is printed. On a busy machine a p99 of
/// single milliseconds is noise, and no test fails because the machine was slow, so what fails is
/// what only waiting for a boot explains: more than a fifteenth of the boot time beyond the
/// undisturbed p99, or a maximum of half of it.
pub(crate) fn assert_unnoticed(report: &Report, phase: &str, boot: Duration) {
    let before = report.phase("steady").quantile(0.99);
    let during = report.phase(phase).quantile(0.99);
    let ratio = during.as_secs_f64() / before.as_secs_f64().max(1e-6);
    say(format_args!("{phase}: p99 is {ratio:.2} x the undisturbed p99 (rule: at most 2)"));
    let close = during <= before + boot / 15;
    assert!(ratio <= 2.0 || close, "{phase}: p99 {during:?}, undisturbed {before:?}\n{report}");
    let max = report.phase(phase).max();
    assert!(max < boot / 2, "the maximum {max:?} of {phase} shows a boot time\n{report}");
}

/// A small file system of its own.
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// Mounts one on an empty directory; `None` where that is not allowed, which CI allows.
    pub(crate) fn mount(at: &Path, size: &str) -> Option<Disk> {
        let options = format!("size={size}");
        let arguments = ["-t", "tmpfs", "-o", &options, "none"];
        let mounted = Command::new("mount").args(arguments).arg(at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Disk(at.to_owned()));
        }
        assert!(std::env::var_os("CI").is_none(), "no tmpfs can be mounted here");
        say("skipped: no tmpfs can be mounted here (1 scenario)");
        None
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What cannot be unmounted now is, once nobody has it open.
        Command::new("umount").arg("-l").arg(&self.0).output().ok();
    }
}
