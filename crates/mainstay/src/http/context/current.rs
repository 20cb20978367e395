//! The request that a thread works for at this moment.
//!
//! Entered and left around each poll of a request's future, by moving one pointer in and out: nothing
//! is counted, nothing allocated.

use super::Context;
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::sync::Arc;

thread_local! {
    // Whoever enters also leaves, panics included, so that a thread that ends has nothing to drop
    // here. Without a destructor each access is two instructions cheaper, and never fails.
    static CURRENT: Cell<ManuallyDrop<Option<Arc<Context>>>> =
        const { Cell::new(ManuallyDrop::new(None)) };
}

/// Exchanges this thread's request for the one in `slot`.
#[inline(always)]
fn exchange(slot: &mut Option<Arc<Context>>) {
    CURRENT.with(|current| {
        let entering = ManuallyDrop::new(slot.take());
        *slot = ManuallyDrop::into_inner(current.replace(entering));
    });
}

/// Puts back what was there.
struct Leave<'a>(&'a mut Option<Arc<Context>>);

impl Drop for Leave<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        exchange(self.0);
    }
}

/// Runs `work` for the request `context`, or for none; whatever was current before is so again
/// afterwards. While it runs, `context` holds what was before.
#[inline(always)]
pub(crate) fn within<T>(context: &mut Option<Arc<Context>>, work: impl FnOnce() -> T) -> T {
    exchange(context);
    let _leave = Leave(context);
    work()
}

/// The request that this thread works for.
pub(crate) fn current() -> Option<Arc<Context>> {
    CURRENT.with(|current| {
        let context = ManuallyDrop::into_inner(current.replace(ManuallyDrop::new(None)));
        let clone = context.clone();
        // Nothing is dropped: what was put in above is nothing.
        current.set(ManuallyDrop::new(context));
        clone
    })
}

/// Calls `look` with the request that this thread works for.
pub(crate) fn with_current<T>(look: impl FnOnce(Option<&Context>) -> T) -> T {
    look(current().as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::context::RequestId;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn context(id: &str) -> Option<Arc<Context>> {
        let id = RequestId::accept(id.as_bytes()).unwrap();
        Some(Context::begin(|context| context.id = id))
    }

    fn id() -> Option<String> {
        with_current(|context| context.map(|context| context.id.to_string()))
    }

    #[test]
    fn a_thread_works_for_one_request_at_a_time() {
        assert_eq!(id(), None);
        let (mut outer, mut inner) = (context("outer"), context("inner"));
        within(&mut outer, || {
            assert_eq!(id().as_deref(), Some("outer"));
            within(&mut inner, || assert_eq!(id().as_deref(), Some("inner")));
            assert_eq!(id().as_deref(), Some("outer"));
            within(&mut None, || assert_eq!(id(), None));
        });
        assert_eq!(id(), None);
        assert_eq!(outer.map(|it| it.id.to_string()).as_deref(), Some("outer"));
        assert_eq!(Arc::strong_count(inner.as_ref().unwrap()), 1, "nothing is kept");
    }

    #[test]
    fn a_panic_leaves_its_request() {
        let mut failing = context("failing");
        let panicked = catch_unwind(AssertUnwindSafe(|| within(&mut failing, || panic!("told"))));
        assert!(panicked.is_err() && failing.is_some());
        assert_eq!(id(), None);
    }
}
