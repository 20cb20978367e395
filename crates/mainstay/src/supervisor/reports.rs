//! What the supervisor reports to whoever tracks errors: the ends of processes that cannot tell of them
//! any more. Each is reported once, by the event that says most of it.

use super::run::Supervisor;
use crate::clock;
use crate::config::Config;
use crate::event::{Event, Facts};
use crate::log::{Log, Look};
use crate::status;
use crate::telemetry::sentry::{Fault, Gravity, Report, Reports, What};
use mainstay_os::child::Ended;
use mainstay_os::signals;
use serde_json::{Value, json};

/// Requests that are told of one worker.
const REQUESTS: usize = 20;

/// From now on reports say what this configuration has them say.
pub(super) fn set(log: &Log, config: &Config, look: &Look, generation: u64) {
    log.set_reports(Reports::of(&config.sentry, &look.service, log.slot_index(), generation));
}

/// What is told of the end of a process, or of its beginning that was none.
struct End<'a> {
    kind: &'static str,
    value: String,
    /// What makes two ends the same fault.
    fault: String,
    /// The worker's slot, if it is one.
    slot: Option<usize>,
    extra: Vec<(&'a str, Value)>,
}

impl Supervisor {
    /// Reports an event, if it is one of those that are.
    pub(super) fn report_event(&self, event: &Event) {
        let value = event.to_string();
        let end = match event {
            Event::WorkerTimeout { pid, .. } => End {
                kind: "WorkerTimeout",
                fault: "no progress".to_owned(),
                slot: self.slot_of(*pid),
                extra: Vec::new(),
                value,
            },
            Event::WorkerBootFailed { pid, reason } => End {
                kind: "WorkerBootFailed",
                fault: reason.clone(),
                slot: self.slot_of(*pid),
                extra: Vec::new(),
                value,
            },
            Event::CrashLoop { .. } => End {
                kind: "CrashLoop",
                fault: String::new(),
                slot: None,
                extra: Vec::new(),
                value,
            },
            Event::WatchDied { how, .. } => {
                End { kind: "WatchDied", fault: how.clone(), slot: None, extra: Vec::new(), value }
            }
            _ => return,
        };
        self.report_end(end);
    }

    /// Reports the end of a worker that nobody had asked for. One that did not get to be ready has been
    /// reported as such, and one that was ended for want of progress as that.
    pub(super) fn report_death(
        &self,
        slot: usize,
        event: &Event,
        ended: Ended,
        out_of_memory: bool,
    ) {
        let Event::WorkerDied { facts, .. } = event else { return };
        let Facts { uptime, served, in_flight, peak_rss, cpu } = facts;
        let (kind, fault) = match ended {
            Ended::Signal(_) if out_of_memory => ("WorkerOutOfMemory", String::new()),
            Ended::Signal(signal) => ("WorkerKilled", format!("SIG{}", signals::name_of(signal))),
            Ended::Code(code) => ("WorkerExited", format!("code {code}")),
        };
        let extra = vec![
            ("uptime_seconds", uptime.0.as_secs_f64().into()),
            ("requests_served", (*served).into()),
            ("requests_in_flight", (*in_flight).into()),
            ("peak_memory_bytes", peak_rss.0.into()),
            ("cpu_seconds", cpu.0.as_secs_f64().into()),
        ];
        self.report_end(End { kind, value: event.to_string(), fault, slot: Some(slot), extra });
    }

    #[cold]
    fn report_end(&self, end: End<'_>) {
        let Some(reports) = self.log.reports() else { return };
        let (mut tags, mut extra, mut release) = (Vec::new(), end.extra, None);
        if let Some(slot) = end.slot {
            tags.push(("worker", slot.to_string()));
            if let Some(worker) = self.machine.worker(slot) {
                tags.push(("generation", worker.generation.to_string()));
                release = self.release_of(worker.generation);
            }
            extra.push(("requests", self.in_flight(slot)));
        }
        let fault = Fault { kind: end.kind.to_owned(), value: end.value, ..Fault::default() };
        let report = Report {
            id: "",
            level: Gravity::Fatal,
            what: What::Errors { chain: vec![fault], mechanism: "supervisor", handled: false },
            request: None,
            tags,
            release,
            extra,
            fingerprint: vec![end.kind.to_owned(), end.fault],
        };
        reports.tell(&self.log, &report);
    }

    /// The release of a generation: our own if it runs our program, and otherwise not known here.
    fn release_of(&self, generation: u64) -> Option<String> {
        let runs_ours = self.programs.get(&generation).is_some_and(|it| it.is_the_running());
        (!runs_ours && self.config.sentry.release.is_none()).then(String::new)
    }

    fn slot_of(&self, pid: u32) -> Option<usize> {
        let is_it = |slot: &usize| self.machine.worker(*slot).is_some_and(|it| it.pid == pid);
        (0..self.slots.len()).find(is_it)
    }

    /// The requests in flight in a worker, without their queries.
    fn in_flight(&self, slot: usize) -> Value {
        let Some(view) = self.log.segment().slot(slot) else { return Value::Null };
        let requests = status::requests_of(view, clock::mono()).into_iter().take(REQUESTS);
        let told = requests.map(|request| {
            let path = request.path.split('?').next().unwrap_or_default();
            json!(format!("{} {path} for {:.1} s", request.method, request.age_seconds))
        });
        told.collect()
    }
}
