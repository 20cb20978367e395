//! A worker's signals, read by a small thread of its own, so that they are heard even while the
//! application blocks the runtime.

use super::Shared;
use crate::event::Event;
use mainstay_os::signals::{Signal, SignalSource};
use std::io;
use std::sync::Arc;
use std::thread;

/// Enough for a loop that reads a descriptor and writes a line.
const STACK: usize = 128 * 1024;

/// Starts the thread. It lives as long as the process.
///
/// # Errors
/// When the system has no room for a thread.
pub(crate) fn listen(source: SignalSource, shared: Arc<Shared>) -> io::Result<()> {
    let thread = thread::Builder::new().name("signals".into()).stack_size(STACK);
    thread.spawn(move || {
        while let Ok(signal) = source.wait() {
            handle(signal, &shared);
        }
    })?;
    Ok(())
}

fn handle(signal: Signal, shared: &Shared) {
    match signal {
        Signal::Term => {
            let now = std::os::unix::process::parent_id();
            if u64::from(now) != shared.log.segment().header().supervisor_pid() {
                shared.log.event(&Event::ParentGone { pid: std::process::id() });
                // Nobody is left to kill a worker that cannot finish.
                orphan_deadline(shared);
            }
            shared.drain.begin(false);
        }
        Signal::Int | Signal::Quit => shared.drain.begin(true),
        Signal::Usr1 => shared.log.event(&Event::LogsReopened {}),
        // The supervisor has told what was in flight; a core dump tells where.
        Signal::Abrt => std::process::abort(),
        Signal::Hup
        | Signal::Usr2
        | Signal::Ttin
        | Signal::Ttou
        | Signal::Winch
        | Signal::Chld
        | Signal::Kill => {}
    }
}

fn orphan_deadline(shared: &Shared) {
    let limit = shared.config.workers.grace + std::time::Duration::from_secs(5);
    let thread = thread::Builder::new().name("orphan".into()).stack_size(STACK);
    let started = thread.spawn(move || {
        thread::park_timeout(limit);
        std::process::abort();
    });
    if started.is_err() {
        std::process::abort();
    }
}
