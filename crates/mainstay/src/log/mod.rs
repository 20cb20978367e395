//! The error log: events become lines in Gunicorn's form, lines go into this process's ring in the
//! segment, and the drainer (watch; at the very end the supervisor) writes them. Nobody who serves
//! ever waits for a log.
//!
//! How lines look is in `line` (application and error log) and `access` (a line for each request); what
//! both are made with, in `escape`, `digits`, `stamps` and `ecs`.

pub(crate) mod access;
pub(crate) mod bridge;
pub(crate) mod digits;
mod ecs;
pub(crate) mod escape;
mod export;
pub(crate) mod levels;
pub(crate) mod line;
pub(crate) mod outlet;
mod record;
pub(crate) mod stamps;

use crate::clock;
use crate::config::{Config, Level, LogTarget};
use crate::event::Event;
use crate::metrics::names;
use crate::telemetry::sentry::Reports;
use crate::telemetry::{Parcel, Settings as Telemetry};
use access::{AccessFormat, FormatError};
use line::{Line, LineFormat};
use mainstay_os::segment::{Segment, Slot};
pub(crate) use record::{ErrorFacts, Record, RecordContext};
use stamps::Stamps;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The logs, and the index of each one's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Stream {
    /// A line for each request.
    Access = 0,
    /// Everything else.
    Error = 1,
}

/// The ring of what is for receivers elsewhere: spans, error reports.
pub(crate) const TELEMETRY: usize = 2;

/// A record of a ring that is a line: eight bytes of time, then the line.
pub(crate) const LINE: u16 = 1;

/// What lines say about the service; what is empty is not known and left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Such as `production`.
    pub(crate) environment: String,
    /// This instance among those of the service.
    pub(crate) node: String,
    /// Name of the host.
    pub(crate) host: String,
}

/// How this process's lines look.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) format: LineFormat,
    pub(crate) service: Service,
    /// Longest line, bytes.
    pub(crate) max_line: usize,
}

impl Default for Look {
    fn default() -> Look {
        Look { format: LineFormat::Gunicorn, service: Service::default(), max_line: 8_000 }
    }
}

impl Look {
    /// The look that the configuration asks for, of the service `name`.
    pub(crate) fn of(config: &Config, name: &str, version: &str) -> Look {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let format = match (config.log.format.as_str(), &config.log.error) {
            ("ecs", _) => LineFormat::Ecs,
            ("nginx", _) => LineFormat::Nginx,
            ("text", _) | ("auto", LogTarget::File(_)) => LineFormat::Text,
            _ => LineFormat::Gunicorn,
        };
        let service = Service {
            name: name.to_owned(),
            version: version.to_owned(),
            environment: config.server.environment.clone().unwrap_or_default(),
            node: format!("{name}@{host}"),
            host,
        };
        Look { format, service, max_line: config.log.max_line as usize }
    }

    /// The format of access lines; none when there is no access log.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn access(&self, config: &Config) -> Result<Option<AccessFormat>, FormatError> {
        if config.log.access == LogTarget::Nowhere {
            return Ok(None);
        }
        AccessFormat::compile(&config.log.access_format, &self.service, self.max_line).map(Some)
    }
}

/// This process's way into the log. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    segment: Segment,
    slot: usize,
    pid: u32,
    /// A ring has one writer; a process with several threads takes turns here.
    turn: Mutex<Turn>,
    /// What is recorded of traces, if anything is.
    tracing: OnceLock<Telemetry>,
    /// How errors are reported elsewhere, and whether they are.
    reports: Mutex<Option<Arc<Reports>>>,
    makes_reports: AtomicBool,
}

#[derive(Debug)]
struct Turn {
    record: Vec<u8>,
    stamps: Stamps,
    look: Look,
    /// Lines are also for receivers elsewhere.
    exports: bool,
}

impl Log {
    /// A log through the ring of `slot`, which this process holds.
    pub(crate) fn new(segment: Segment, slot: usize) -> Log {
        let pid = std::process::id();
        let stamps = Stamps::new(mainstay_os::zone::offset_at);
        let turn =
            Turn { record: Vec::with_capacity(256), stamps, look: Look::default(), exports: false };
        let turn = Mutex::new(turn);
        let (tracing, reports, makes_reports) = Default::default();
        Log { inner: Arc::new(Inner { segment, slot, pid, turn, tracing, reports, makes_reports }) }
    }

    /// From now on this is recorded for receivers elsewhere. What was said first of traces stands.
    pub(crate) fn set_telemetry(&self, telemetry: &Telemetry) {
        self.turn().exports = telemetry.logs;
        if telemetry.traces {
            self.inner.tracing.set(telemetry.clone()).ok();
        }
    }

    /// What is recorded of traces; nothing where none are.
    #[inline]
    pub(crate) fn tracing(&self) -> Option<&Telemetry> {
        self.inner.tracing.get()
    }

    /// Hands what is for receivers elsewhere over to watch; returns whether there was room. Nobody waits.
    pub(crate) fn hand_over(&self, parcel: Parcel, bytes: &[u8]) -> bool {
        // Whoever writes to a ring of this process has the turn.
        let _turn = self.turn();
        self.slot().ring(TELEMETRY).push(parcel as u16, bytes)
    }

    /// From now on lines look like this.
    pub(crate) fn set_look(&self, look: Look) {
        self.turn().look = look;
    }

    /// From now on errors are reported like this, or not at all.
    pub(crate) fn set_reports(&self, reports: Option<Reports>) {
        let Inner { reports: place, makes_reports, .. } = &*self.inner;
        makes_reports.store(reports.is_some(), Relaxed);
        *place.lock().unwrap_or_else(PoisonError::into_inner) = reports.map(Arc::new);
    }

    /// Whether errors are reported.
    #[inline]
    pub(crate) fn makes_reports(&self) -> bool {
        self.inner.makes_reports.load(Relaxed)
    }

    /// How errors are reported, if they are.
    pub(crate) fn reports(&self) -> Option<Arc<Reports>> {
        if !self.makes_reports() {
            return None;
        }
        self.inner.reports.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A way to tell events, for parts that know no log.
    pub(crate) fn teller(&self) -> impl Fn(&Event) + Send + Sync + use<> {
        let log = self.clone();
        move |event| log.event(event)
    }

    /// The slot that this process holds.
    #[inline]
    pub(crate) fn slot(&self) -> Slot<'_> {
        self.inner.segment.slot(self.inner.slot).expect("the passport's slot was checked at start")
    }

    /// This process.
    #[inline]
    pub(crate) fn pid(&self) -> u32 {
        self.inner.pid
    }

    /// The index of that slot.
    #[inline]
    pub(crate) fn slot_index(&self) -> usize {
        self.inner.slot
    }

    /// The segment that the log writes to.
    pub(crate) fn segment(&self) -> &Segment {
        &self.inner.segment
    }

    /// Whether somebody looks at this logger, or at the request of this id, more closely.
    #[inline]
    pub(crate) fn asks_closely(&self, logger: &str, request: &[u8]) -> bool {
        levels::passes(&self.inner.segment, Level::Debug, true, logger, |it| it == request)
    }

    /// Tells somebody who asked for it what nobody else wants to know.
    #[cold]
    pub(crate) fn tell_closely(&self, logger: &str, message: &str, context: RecordContext<'_>) {
        let level = Level::Debug;
        let context = Some(context);
        self.record(&Record { level, logger, message, fields: &[], error: None, context });
    }

    /// Counts the event, and writes its line if the level asks for it.
    pub(crate) fn event(&self, event: &Event) {
        self.slot().add(names::event_cell(event), 1);
        self.write_event(event, None);
    }

    /// As [`Log::event`], of something that a request is about.
    #[cfg_attr(not(feature = "login"), allow(dead_code, reason = "others have no such events"))]
    pub(crate) fn event_of(&self, event: &Event, context: RecordContext<'_>) {
        self.slot().add(names::event_cell(event), 1);
        self.write_event(event, Some(context));
    }

    /// As [`Log::event`], but an event for whose line there is no room has not happened: for what
    /// can be told later. Returns whether it has.
    pub(crate) fn event_if_room(&self, event: &Event) -> bool {
        let has_room = self.write_event(event, None).is_some();
        self.slot().add(names::event_cell(event), u64::from(has_room));
        has_room
    }

    /// As [`Log::event`] or [`Log::event_of`]; returns how many bytes of log it has made, if there was
    /// room for it.
    pub(crate) fn event_measured(
        &self,
        event: &Event,
        context: Option<RecordContext<'_>>,
    ) -> Option<usize> {
        self.slot().add(names::event_cell(event), 1);
        self.write_event(event, context)
    }

    fn write_event(&self, event: &Event, context: Option<RecordContext<'_>>) -> Option<usize> {
        let row = event.row();
        if row.level < current_level(&self.inner.segment) {
            return Some(0);
        }
        let in_nginx = event.in_nginx();
        self.write(|wall, pid| Line {
            wall,
            pid,
            level: row.level,
            logger: LOGGER,
            message: event,
            fields: &[],
            context,
            error: None,
            action: Some(row.name),
            in_nginx: in_nginx.as_ref().map(|it| it as &dyn std::fmt::Display),
        })
    }

    /// Renders a line and hands it over; returns how long it was, if there was room for it.
    fn write<'a>(&self, line: impl FnOnce(u64, u32) -> Line<'a>) -> Option<usize> {
        let mut turn = self.turn();
        let Turn { record, stamps, look, exports } = &mut *turn;
        let wall = clock::wall();
        record.clear();
        // The drainer puts the lines of several processes in order by this.
        record.extend_from_slice(&wall.to_le_bytes());
        let line = line(wall, self.inner.pid);
        line::render(look.format, &look.service, &line, stamps, look.max_line, record);
        // A full ring counts what it refuses, and the drainer tells it.
        let has_room = self.slot().ring(Stream::Error as usize).push(LINE, record);
        let written = has_room.then_some(record.len() - size_of_val(&wall));
        if *exports {
            record.clear();
            export::write(&line, record);
            let has_room = self.slot().ring(TELEMETRY).push(Parcel::Logs as u16, record);
            self.slot().add(if has_room { names::RECORDS } else { names::RECORDS_DROPPED }, 1);
        }
        written
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.inner.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who speaks in events.
const LOGGER: &str = "mainstay.error";

/// The level at which lines are written now: a temporary one until its time is over.
pub(crate) fn current_level(segment: &Segment) -> Level {
    let header = segment.header();
    let until = header.log_level_until();
    if until != 0 && clock::mono().0 >= until {
        return level_from_word(header.log_level_base());
    }
    level_from_word(header.log_level())
}

/// Levels as the segment keeps them.
pub(crate) fn level_word(level: Level) -> u64 {
    LEVELS.iter().position(|known| *known == level).unwrap_or(1) as u64
}

/// The level that a word of the segment means; `info` for one that means none.
pub(crate) fn level_from_word(word: u64) -> Level {
    usize::try_from(word).ok().and_then(|word| LEVELS.get(word)).copied().unwrap_or(Level::Info)
}

const LEVELS: [Level; 5] =
    [Level::Debug, Level::Info, Level::Warning, Level::Error, Level::Critical];
