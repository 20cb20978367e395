//! The end of threads that were told to end.

use crate::clock::{self, Mono};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often is looked whether one has ended.
const SOON: Duration = Duration::from_millis(5);

/// Wakes them, and waits until all have ended, or until then. One that blocks for longer is left to the end of
/// the process.
pub(super) fn end(threads: Vec<JoinHandle<()>>, deadline: Mono) {
    threads.iter().for_each(|it| it.thread().unpark());
    for thread in threads {
        while !thread.is_finished() && clock::mono() < deadline {
            thread::park_timeout(SOON);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_end_are_awaited_and_one_that_does_not_is_left() {
        let (keep, kept) = std::sync::mpsc::channel::<()>();
        let (done, told) = std::sync::mpsc::channel();
        let stuck = thread::spawn(move || _ = kept.recv());
        let quick = thread::spawn(move || {
            thread::park();
            done.send(()).ok();
        });
        end(vec![quick], clock::mono() + Duration::from_secs(20));
        assert_eq!(told.try_recv(), Ok(()), "it was woken and awaited");
        let begun = clock::mono();
        end(vec![stuck], begun + Duration::from_millis(20));
        assert!(clock::mono().since(begun) >= Duration::from_millis(20));
        drop(keep);
    }
}
