//! What a panic said and where, kept for whoever catches it.

use std::any::Any;
use std::cell::RefCell;
use std::panic::PanicHookInfo;

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Installs the hook: panics are not printed (standard error belongs to the log), but remembered
/// with their place until [`describe`] asks.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|info| {
        let text = remember(info);
        LAST.with(|last| *last.borrow_mut() = Some(text));
    }));
}

fn remember(info: &PanicHookInfo<'_>) -> String {
    let message = info.payload_as_str().unwrap_or("a panic without a message");
    match info.location() {
        Some(place) => format!("{message} (at {}:{})", place.file(), place.line()),
        None => message.to_owned(),
    }
}

/// The message and place of the panic that was caught on this thread with `payload`.
pub(crate) fn describe(payload: &(dyn Any + Send)) -> String {
    LAST.with(|last| last.borrow_mut().take()).unwrap_or_else(|| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".to_owned())
    })
}
