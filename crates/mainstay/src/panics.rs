//! What becomes of a panic: caught where it can be answered, told in the log everywhere else.

use crate::event::Event;
use crate::log::Log;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
    static GUARDED: Cell<u32> = const { Cell::new(0) };
}

/// Installs the hook: panics are not printed (standard error belongs to the log). One inside of
/// [`caught`] is remembered with its place for whoever catches it; any other, such as one in a task
/// that the application spawned, is told.
pub(crate) fn install(log: Log) {
    std::panic::set_hook(Box::new(move |info| {
        let text = describe_hook(info);
        if GUARDED.get() > 0 {
            LAST.with(|last| *last.borrow_mut() = Some(text));
        } else {
            let thread = std::thread::current();
            let thread = thread.name().unwrap_or("unnamed").to_owned();
            log.event(&Event::Panicked { thread, panic: text });
        }
    }));
}

/// Calls `code`, and gives what a panic in it said.
///
/// # Errors
/// The panic's message and place.
#[inline(always)]
pub(crate) fn caught<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    let result = GUARDED.with(|depth| {
        depth.set(depth.get() + 1);
        // What a panic leaves half done is dropped by the callers, and never used again.
        let result = catch_unwind(AssertUnwindSafe(code));
        depth.set(depth.get() - 1);
        result
    });
    result.map_err(|payload| describe(payload.as_ref()))
}

fn describe_hook(info: &PanicHookInfo<'_>) -> String {
    let message = info.payload_as_str().unwrap_or("a panic without a message");
    match info.location() {
        Some(place) => format!("{message} (at {}:{})", place.file(), place.line()),
        None => message.to_owned(),
    }
}

fn describe(payload: &(dyn Any + Send)) -> String {
    LAST.with(|last| last.borrow_mut().take()).unwrap_or_else(|| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".to_owned())
    })
}
