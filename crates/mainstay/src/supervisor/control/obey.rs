//! Doing what was asked.

use super::{Answer, Asked, Command, levels, refusals};
use crate::clock;
use crate::event::Event;
use crate::limits::plan::Plan;
use crate::limits::settings::Settings;
use crate::limits::table;
use crate::status;
use crate::supervisor::machine::Input;
use crate::supervisor::run::Supervisor;
use serde_json::json;

impl Supervisor {
    /// Obeys one command and answers it, at once or when it has ended.
    pub(crate) fn obey(&mut self, asked: Asked) {
        let Asked { client, command } = asked;
        if !command.only_looks() {
            self.report(&Event::Control { command: command.name().to_owned() });
        }
        let answer = match command {
            Command::Status => Ok(self.status()),
            Command::Requests => Ok(self.requests()),
            Command::Resize { by } => self.resize(by),
            Command::Recycle { pid } => self.recycle(pid),
            Command::Reload { wait } => return self.obey_reload(client, wait),
            Command::Stop { quick } => {
                self.feed(Input::Stop { quick });
                Ok(json!({ "stopping": true }))
            }
            Command::LogLevel { level: None, .. } => Ok(levels::in_force(self.log.segment())),
            Command::LogLevel { level: Some(level), millis, module, request } => {
                self.set_log_level(&level, millis, module, request)
            }
            Command::TestLimits { key, method, path } => self.limits().and_then(|(it, plan)| {
                let (limits, now) = (self.log.segment().limits(), clock::mono().0);
                table::standing(&it, &plan, &limits, (&key, &method, &path), now)
            }),
            Command::ClearLimits { key, place } => self.limits().and_then(|(it, plan)| {
                let place = place.as_ref().map(|(method, path)| (&**method, &**path));
                table::clear(&it, &plan, &self.log.segment().limits(), &key, place)
            }),
            Command::Refusals => Ok(refusals::said(self.log.segment(), clock::mono().0)),
            Command::Bans => Ok(self.bans()),
            Command::Ban { client, millis } => self.ban(&client, millis),
            Command::LiftBans { client } => self.lift_bans(client.as_deref()),
        };
        let answer = answer.map_or_else(Answer::error, Answer::ok);
        self.control.answer(client, &answer);
    }

    /// The rate limits of the configuration that serves.
    fn limits(&self) -> Result<(Settings, Plan), String> {
        let settings = Settings::of(&self.config.limits)?;
        let plan = Plan::of(&settings).map_err(|(key, reason)| format!("{key}: {reason}"))?;
        Ok((settings, plan))
    }

    fn status(&self) -> serde_json::Value {
        let Self { identity, log, .. } = self;
        let mut status = status::to_json(log.segment(), &identity.name, &identity.version);
        status["log"] = levels::in_force(log.segment());
        status
    }

    fn requests(&self) -> serde_json::Value {
        let now = clock::mono();
        let workers = status::worker_slots(self.log.segment());
        let mut all: Vec<_> =
            workers.flat_map(|(_, slot)| status::requests_of(slot, now)).collect();
        all.sort_by(|one, other| other.age_seconds.total_cmp(&one.age_seconds));
        json!({ "requests": all })
    }

    fn resize(&mut self, by: i64) -> Result<serde_json::Value, String> {
        let (_, before) = self.machine.wanted();
        let wanted = i64::try_from(before).unwrap_or(i64::MAX).saturating_add(by);
        let most = self.slots.len() - 1;
        match usize::try_from(wanted) {
            Ok(target) if (1..=most).contains(&target) => {
                self.feed(Input::Resize { target });
                Ok(json!({ "workers": target }))
            }
            _ => Err(format!(
                "there are {before} workers; at least 1 and at most {most} can be, by the room \
                 that workers.count had asked for at the start"
            )),
        }
    }

    fn recycle(&mut self, pid: Option<u32>) -> Result<serde_json::Value, String> {
        let slot = match pid {
            None => None,
            Some(pid) => {
                let mut workers = self.machine.workers();
                let found = workers.find(|(_, worker)| worker.pid == pid && worker.is_ready());
                let found = found.map(|(slot, _)| slot);
                Some(found.ok_or_else(|| format!("no worker that is ready has pid {pid}"))?)
            }
        };
        self.feed(Input::Recycle { slot, reason: "asked for".into() });
        Ok(json!({ "recycling": pid.map_or_else(|| json!("all"), |pid| json!(pid)) }))
    }

    fn obey_reload(&mut self, client: u64, wait: bool) {
        if self.machine.is_reloading() {
            let error = Answer::error("a reload is in progress");
            return self.control.answer(client, &error);
        }
        if wait {
            self.control.wait_for_reload(client);
        }
        self.reload();
        if !wait {
            self.control.answer(client, &Answer::ok(json!({ "reloading": true })));
        }
    }
}
