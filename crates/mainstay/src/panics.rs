//! What becomes of a panic: caught where it can be answered, told in the log everywhere else.
//!
//! A panic that [`caught`] catches is told by the catcher, who knows the request. On threads that
//! run requests the hook therefore only remembers it; what is still remembered when such a thread
//! goes idle was caught by nobody of ours, such as one in a task that the application spawned, and
//! is told then. This costs a request nothing.

use crate::event::Event;
use crate::log::Log;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
    static SERVES: Cell<bool> = const { Cell::new(false) };
}

/// Installs the hook. Nothing is printed: standard error belongs to the log.
pub(crate) fn install(log: Log) {
    std::panic::set_hook(Box::new(move |info| {
        let text = describe_hook(info);
        if SERVES.get() {
            tell_uncaught(&log);
            LAST.set(Some(text));
        } else {
            tell(&log, text);
        }
    }));
}

/// This thread runs requests from now on, and calls [`tell_uncaught`] when it goes idle.
pub(crate) fn serve_here() {
    SERVES.set(true);
}

/// Tells of a panic on this thread that nobody caught.
pub(crate) fn tell_uncaught(log: &Log) {
    if let Some(text) = LAST.take() {
        tell(log, text);
    }
}

fn tell(log: &Log, panic: String) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed").to_owned();
    log.event(&Event::Panicked { thread, panic });
}

/// Calls `code`, and gives what a panic in it said.
///
/// # Errors
/// The panic's message and place.
#[inline(always)]
pub(crate) fn caught<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    // What a panic leaves half done is dropped by the callers, and never used again.
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| describe(payload.as_ref()))
}

fn describe_hook(info: &PanicHookInfo<'_>) -> String {
    let message = info.payload_as_str().unwrap_or("a panic without a message");
    match info.location() {
        Some(place) => format!("{message} (at {}:{})", place.file(), place.line()),
        None => message.to_owned(),
    }
}

fn describe(payload: &(dyn Any + Send)) -> String {
    LAST.take().unwrap_or_else(|| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".to_owned())
    })
}
