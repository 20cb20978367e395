//! Beginning: from a configuration to a running loop, or to one clear error.

use super::handover::Handover;
use super::listeners::{self, Listener};
use super::lost::LostLines;
use super::machine::Machine;
use super::notify::Notifier;
use super::oom::OomCounter;
use super::pidfile::Pidfile;
use super::program::Program;
use super::run::Supervisor;
use super::{control, reload, watch};
use crate::clock;
use crate::config::load::Snapshot;
use crate::config::{Config, ConfigError, Count};
use crate::event::Event;
use crate::health::State;
use crate::log::Look;
use crate::log::{self, Log};
use crate::metrics::names;
use crate::passport::Passport;
use crate::status::OTHER_SLOTS;
use crate::telemetry::Settings;
use mainstay_os::segment::{Layout, Segment};
use mainstay_os::signals::SignalSource;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// Slots beyond those of two whole generations: workers that are slow to leave.
const SPARE_SLOTS: usize = 8;
/// Requests in flight that a worker can describe at once.
const IN_FLIGHT: usize = 4_096;
/// Bytes of the table of rate limits, of which memory is taken by what is used: room for two million counts.
const LIMITS: usize = 64 << 20;

/// What this program is, the same in all of its processes.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The service's name.
    pub(crate) name: String,
    /// The application's version.
    pub(crate) version: String,
    /// The file on disk that a reload runs.
    pub(crate) program: PathBuf,
    /// The name it was called by, and its arguments.
    pub(crate) called: OsString,
    pub(crate) args: Vec<OsString>,
    /// The application's own configuration.
    pub(crate) app_defaults: Option<String>,
    pub(crate) config_file: Option<PathBuf>,
    pub(crate) flags: Vec<(&'static str, String)>,
}

impl Identity {
    /// A name in the configuration goes before the application's.
    pub(crate) fn take_name(&mut self, config: &Config) {
        if let Some(name) = &config.server.name {
            self.name.clone_from(name);
        }
    }
}

/// Why the service did not start: `key: reason`, and the exit code is 1.
#[derive(Debug)]
pub(crate) struct StartError {
    key: &'static str,
    reason: String,
}

impl StartError {
    fn new(key: &'static str, reason: impl fmt::Display) -> StartError {
        StartError { key, reason: reason.to_string() }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StartError { key, reason } = self;
        write!(f, "error: {key}: {reason}")
    }
}

/// How many workers the configuration asks for.
pub(crate) fn worker_count(count: Count) -> usize {
    match count {
        Count::Auto => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        Count::Fixed(count) => count as usize,
    }
}

/// Makes everything that the service owns for its whole life.
///
/// # Errors
/// What cannot be had: an address, the pidfile, the control socket, memory. Nothing is left behind.
pub(crate) fn start(
    identity: Identity,
    snapshot: &Snapshot,
    config: Config,
) -> Result<Supervisor, StartError> {
    let signals = SignalSource::open().map_err(|error| StartError::new("signals", error))?;
    let program = Program::open(&identity.program, snapshot, config.clone())
        .map_err(|error| StartError::new("program", error))?;
    let backlog = config.server.backlog;
    let bound = listeners::bind_all(&config.server.bind, backlog)
        .map_err(|error| StartError::new("server.bind", error))?;
    let bound = Bound(bound);
    let admin = match &config.server.admin {
        None => Vec::new(),
        Some(bind) => listeners::bind_one(bind, backlog, false)
            .map_err(|error| StartError::new("server.admin", error))?,
    };
    let admin = Bound(admin);
    let pidfile = match &config.server.pidfile {
        None => None,
        Some(path) => Some(Pidfile::create(path).map_err(|reason| {
            StartError::new("server.pidfile", format!("{}: {reason}", path.display()))
        })?),
    };
    let undo = Undo(pidfile);
    let origin = snapshot.to_memory().map_err(|error| StartError::new("memory", error))?;
    let control = control::Control::bind(&config, &identity.name)
        .map_err(|reason| StartError::new("server.control", reason))?;
    let notifier = Notifier::find().map_err(|error| StartError::new("NOTIFY_SOCKET", error))?;
    let (log, segment_fd) = segment(&config).map_err(|e| StartError::new("segment", e))?;
    let look = Look::of(&config, &identity.name, &identity.version);
    let lost_lines = LostLines::new(&config, &look, &log)
        .map_err(|error| StartError::new("log.access_format", error))?;
    super::reports::set(&log, &config, &look, 1);
    log.set_look(look);
    log.set_telemetry(&Settings::of(&config));
    let policy = reload::policy(&config, usize::MAX);
    let slots = log.segment().layout().slots - OTHER_SLOTS;
    let mut supervisor = Supervisor {
        machine: Machine::new(policy, slots),
        slots: (0..slots).map(|_| None).collect(),
        watch: watch::Watch::begin(config.alerts.state.as_deref()),
        programs: BTreeMap::from([(1, program)]),
        listeners: bound.keep(),
        admin: admin.keep(),
        pidfile: undo.keep(),
        oom: OomCounter::find(),
        outlets: None,
        config,
        identity,
        log,
        segment_fd,
        signals,
        control,
        notifier,
        upgrade: None,
        lost_lines,
        reload_wanted: false,
        origin,
        next_observation: clock::mono(),
        exit: None,
    };
    supervisor.announce();
    Ok(supervisor)
}

/// Takes over from an earlier program of this process.
///
/// # Errors
/// When what it handed over cannot be used. A probe has tried all of it before.
pub(crate) fn resume(identity: Identity, passport: &Passport) -> Result<Supervisor, StartError> {
    let failed = |error: &dyn fmt::Display| StartError::new("upgrade", error);
    let signals = SignalSource::open().map_err(|error| failed(&error))?;
    let handover = Handover::take(passport).map_err(|error| failed(&error))?;
    let (log, segment_fd) = passport.open_log().map_err(|error| failed(&error))?;
    let supervisor =
        handover.restore(identity, log, signals, segment_fd).map_err(|error| failed(&error))?;
    let Identity { name, version, .. } = supervisor.identity.clone();
    supervisor.log.event(&Event::Upgraded { name, version });
    supervisor.tell_manager(&format!("MAINPID={}", std::process::id()));
    if supervisor.machine.state() == State::Ready {
        supervisor.tell_manager("READY=1");
    }
    Ok(supervisor)
}

/// The access log's ring, the error log's and that of telemetry, which takes no memory before it is used.
fn ring_bytes(config: &Config) -> [usize; 3] {
    let bytes = config.log.buffer.clamp(64 << 10, 64 << 20) as usize;
    [bytes, bytes / 4, bytes * 4]
}

fn segment(config: &Config) -> io::Result<(Log, OwnedFd)> {
    let workers = worker_count(config.workers.count);
    let layout = Layout {
        slots: 2 * workers + SPARE_SLOTS + OTHER_SLOTS,
        counters: names::CELLS,
        in_flight: IN_FLIGHT,
        ring_bytes: ring_bytes(config),
        metrics: names::CAPACITY,
        limits: LIMITS,
    };
    let (segment, fd) = Segment::create(layout).map_err(io::Error::other)?;
    let header = segment.header();
    let level = log::level_word(config.log.level);
    header.set_schema(names::SCHEMA);
    header.set_supervisor_pid(u64::from(std::process::id()));
    header.set_started_mono(clock::mono().0);
    header.set_started_wall(clock::wall());
    header.set_generation(1);
    header.set_generation_since(clock::wall());
    header.set_log_level(level);
    header.set_log_level_base(level);
    let interval = reload::heartbeat_interval(config);
    header.set_heartbeat_interval(u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX));
    // The supervisor holds the last slot but one, watch the last.
    let own = layout.slots - OTHER_SLOTS;
    let log = Log::new(segment, own);
    log.slot().hand_out(1, clock::mono().0, 0);
    log.slot().set_pid(std::process::id());
    Ok((log, fd))
}

/// Configuration of a process that was started with a passport.
///
/// # Errors
/// When this program cannot make sense of it.
pub(crate) fn inherited_config(
    identity: &Identity,
    snapshot: OwnedFd,
) -> Result<Config, ConfigError> {
    Snapshot::from_memory(snapshot)?.resolve(identity.app_defaults.as_deref(), &identity.flags)
}

/// Listeners whose files are removed again if the start fails later.
struct Bound(Vec<Listener>);

impl Bound {
    fn keep(mut self) -> Vec<Listener> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // The start has failed and says why; a file left behind is stale and will be replaced.
        self.0.iter().for_each(|listener| drop(listener.unlink()));
    }
}

/// A pidfile that is removed again if the start fails later.
struct Undo(Option<Pidfile>);

impl Undo {
    fn keep(mut self) -> Option<Pidfile> {
        self.0.take()
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(pidfile) = &self.0 {
            pidfile.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    #[test]
    fn there_is_a_segment_for_as_many_workers_as_may_be_and_for_large_buffers() {
        for lines in ["[workers]\ncount = 512", "[workers]\ncount = 2\n[log]\nbuffer = \"64 MiB\""]
        {
            let file = Some((PathBuf::from("mainstay.toml"), lines.to_owned()));
            let config = Config::resolve(&Sources { file, ..Sources::default() }).unwrap();
            let made = segment(&config);
            assert!(made.is_ok(), "{lines}: {:?}", made.err());
        }
    }
}
