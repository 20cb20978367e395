//! What becomes of a panic: caught where it can be answered, told in the log everywhere else.
//!
//! A panic that [`caught`] catches is told by the catcher, who knows the request. On threads that
//! run requests the hook therefore only remembers it; what is still remembered when such a thread
//! goes idle was caught by nobody of ours, such as one in a task that the application spawned, and
//! is told then. This costs a request nothing.

use crate::event::Event;
use crate::log::Log;
use crate::telemetry::sentry::{Fault, Gravity, Report, What};
use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Arc;

thread_local! {
    static LAST: RefCell<Option<Panic>> = const { RefCell::new(None) };
    static SERVES: Cell<bool> = const { Cell::new(false) };
}

/// What a panic said, and where. Shown, it is both.
#[derive(Clone, Debug)]
pub(crate) struct Panic(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    message: String,
    place: Option<(String, u32, u32)>,
    /// Of the thread, if `RUST_BACKTRACE` asks for it.
    backtrace: Backtrace,
}

impl Panic {
    /// As reports tell it.
    pub(crate) fn fault(&self) -> Fault<'_> {
        let Inside { message, place, backtrace } = &*self.0;
        Fault {
            kind: "panic".to_owned(),
            value: message.clone(),
            place: place.as_ref().map(|(file, line, column)| (file.as_str(), *line, *column)),
            backtrace: Some(backtrace),
        }
    }

    fn of_hook(info: &PanicHookInfo<'_>) -> Panic {
        let message = info.payload_as_str().unwrap_or(SILENT).to_owned();
        let place = info.location().map(|it| (it.file().to_owned(), it.line(), it.column()));
        Panic(Arc::new(Inside { message, place, backtrace: Backtrace::capture() }))
    }

    /// Without the hook, there is no place.
    fn of_payload(payload: &(dyn Any + Send)) -> Panic {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        let message = text.unwrap_or_else(|| SILENT.to_owned());
        Panic(Arc::new(Inside { message, place: None, backtrace: Backtrace::disabled() }))
    }
}

const SILENT: &str = "a panic without a message";

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inside { message, place, .. } = &*self.0;
        match place {
            Some((file, line, _)) => write!(f, "{message} (at {file}:{line})"),
            None => f.write_str(message),
        }
    }
}

/// Installs the hook. Nothing is printed: standard error belongs to the log.
pub(crate) fn install(log: Log) {
    std::panic::set_hook(Box::new(move |info| {
        let panic = Panic::of_hook(info);
        if SERVES.get() {
            tell_uncaught(&log);
            LAST.set(Some(panic));
        } else {
            tell(&log, &panic);
        }
    }));
}

/// This thread runs requests from now on, and calls [`tell_uncaught`] when it goes idle.
pub(crate) fn serve_here() {
    SERVES.set(true);
}

/// Tells of a panic on this thread that nobody caught.
pub(crate) fn tell_uncaught(log: &Log) {
    if let Some(panic) = LAST.take() {
        tell(log, &panic);
    }
}

fn tell(log: &Log, panic: &Panic) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed").to_owned();
    if let Some(reports) = log.reports() {
        let report = Report {
            id: "",
            level: Gravity::Error,
            what: What::Errors { chain: vec![panic.fault()], mechanism: "panic", handled: false },
            request: None,
            tags: vec![("thread", thread.clone())],
            release: None,
            extra: Vec::new(),
            fingerprint: Vec::new(),
        };
        reports.tell(log, &report);
    }
    log.event(&Event::Panicked { thread, panic: panic.to_string() });
}

/// Calls `code`, and gives what a panic in it said.
///
/// # Errors
/// The panic.
#[inline(always)]
pub(crate) fn caught<T>(code: impl FnOnce() -> T) -> Result<T, Panic> {
    // What a panic leaves half done is dropped by the callers, and never used again.
    catch_unwind(AssertUnwindSafe(code))
        .map_err(|payload| LAST.take().unwrap_or_else(|| Panic::of_payload(payload.as_ref())))
}
