//! From a new configuration and a new program to a new generation, or back.

use super::lost::LostLines;
use super::machine::{Input, Policy};
use super::program::Program;
use super::run::{OBSERVE, Supervisor};
use super::start::worker_count;
use crate::clock;
use crate::config::load::{self, Snapshot};
use crate::config::{AutoDuration, Config, QUICK_GRACE, env, keys};
use crate::event::Event;
use crate::log::{self, Look, outlet};
use crate::telemetry::Settings;
use std::io::IsTerminal;
use std::time::Duration;

/// Workers give a sign of life this often: four times within the limit of their silence.
pub(crate) fn heartbeat_interval(config: &Config) -> Duration {
    let quarter = config.workers.timeout.map_or(OBSERVE, |timeout| timeout / 4);
    quarter.clamp(Duration::from_millis(50), OBSERVE)
}

/// What the configuration says to the machine that has `slots` slots.
pub(crate) fn policy(config: &Config, slots: usize) -> Policy {
    let workers = &config.workers;
    Policy {
        target: worker_count(workers.count).min(slots.saturating_sub(1)).max(1),
        boot_timeout: workers.boot_timeout,
        heartbeat_timeout: workers.timeout,
        grace: workers.grace,
        quick_grace: QUICK_GRACE,
        lifetime: workers.lifetime,
        max_rss: workers.max_rss,
        drain_delay: drain_delay(config.health.drain_delay),
        stale_after: heartbeat_interval(config) * 3,
    }
}

/// How long load balancers need to see that the service is leaving; a terminal has none.
fn drain_delay(configured: AutoDuration) -> Duration {
    match configured {
        AutoDuration::Fixed(delay) => delay,
        AutoDuration::Auto if env::in_kubernetes() => Duration::from_secs(10),
        AutoDuration::Auto if std::io::stderr().is_terminal() => Duration::ZERO,
        AutoDuration::Auto => Duration::from_secs(5),
    }
}

impl Supervisor {
    /// HUP: as the command, with nobody who waits. One that comes during a reload follows it.
    pub(crate) fn reload_by_signal(&mut self) {
        self.reload_wanted = true;
        if !self.machine.is_reloading() && self.upgrade.is_none() {
            self.reload_if_wanted();
        }
    }

    /// Begins the reload that could not begin when it was asked for.
    pub(crate) fn reload_if_wanted(&mut self) {
        if std::mem::take(&mut self.reload_wanted) && !self.machine.is_stopping() {
            self.reload();
        }
    }

    /// Begins a reload; its end is told to whoever waits, however early it comes.
    pub(crate) fn reload(&mut self) {
        let generation = self.machine.next_generation();
        let stamp = clock::mono().0 / 1_000;
        self.tell_manager(&format!("RELOADING=1\nMONOTONIC_USEC={stamp}"));
        match self.prepare(generation) {
            Ok(policy) => {
                let name = self.identity.name.clone();
                self.report(&Event::ReloadBegun { name, generation });
                self.feed(Input::Reload { policy });
            }
            Err(reason) => {
                let (generation, _) = self.machine.wanted();
                self.report(&Event::ReloadFailed { generation, reason: reason.clone() });
                self.end_reload(&Err(reason));
            }
        }
    }

    /// Reads configuration and program. Nothing has changed when this fails.
    fn prepare(&mut self, generation: u64) -> Result<Policy, String> {
        if self.machine.is_reloading() || self.machine.is_stopping() || self.upgrade.is_some() {
            return Err("the service is busy with another reload, an upgrade or its end".into());
        }
        let identity = &self.identity;
        let snapshot = Snapshot::read(identity.config_file.as_deref());
        let snapshot = snapshot.map_err(|error| error.to_string())?;
        let config = snapshot
            .resolve(identity.app_defaults.as_deref(), &identity.flags)
            .map_err(|error| error.to_string())?;
        load::zones(&config).map_err(|error| error.to_string())?;
        outlet::probe(&config).map_err(|(key, error)| format!("{key}: {error}"))?;
        let (asked, most) = (worker_count(config.workers.count), self.slots.len() - 1);
        if asked > most {
            return Err(format!(
                "workers.count = {asked} is more than the {most} that the service has had room for \
                 since its start; restart it"
            ));
        }
        let policy = policy(&config, self.slots.len());
        let program = Program::open(&identity.program, &snapshot, config)
            .map_err(|error| format!("{}: {error}", identity.program.display()))?;
        self.programs.insert(generation, program);
        Ok(policy)
    }

    /// The reload has ended: takes up its configuration, or forgets it.
    pub(crate) fn end_reload(&mut self, result: &Result<u64, String>) {
        match result {
            Ok(generation) => {
                if let Some(program) = self.programs.get(generation) {
                    let config = program.config.clone();
                    self.take_up(config);
                }
            }
            Err(_) => {
                let (generation, _) = self.machine.wanted();
                self.programs.retain(|number, _| *number <= generation);
                self.try_watch_at_once();
            }
        }
        self.tell_manager("READY=1");
        self.control.answer_reload(result);
        mainstay_os::memory::forget_code().ok();
        self.reload_if_wanted();
    }

    fn take_up(&mut self, config: Config) {
        let look = Look::of(&config, &self.identity.name, &self.identity.version);
        // Its workers have compiled the same format before they were ready.
        if let Ok(lines) = LostLines::new(&config, &look, &self.log) {
            self.lost_lines = lines;
        }
        super::reports::set(&self.log, &config, &look, self.machine.wanted().0);
        self.log.set_look(look);
        self.log.set_telemetry(&Settings::of(&config));
        for warning in &config.warnings {
            self.report(&Event::ConfigWarning { warning: warning.clone() });
        }
        let changed = self.config.changed(&config);
        let restart: Vec<_> = changed
            .iter()
            .filter(|key| key.change == keys::Change::Restart)
            .map(|key| key.path)
            .collect();
        if !restart.is_empty() {
            self.report(&Event::RestartNeeded { keys: restart.join(", ") });
        }
        let header = self.log.segment().header();
        let level = log::level_word(config.log.level);
        header.set_log_level_until(0);
        header.set_log_level(level);
        header.set_log_level_base(level);
        log::levels::clear(self.log.segment());
        let interval = heartbeat_interval(&config);
        header.set_heartbeat_interval(u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX));
        // What needs a restart stays as it was, and is told again at the next reload.
        let kept = std::mem::replace(&mut self.config, config);
        self.config.keep_restart_keys(&kept);
        // It writes logs and answers as the new configuration says, by the new program.
        self.replace_watch();
    }
}
