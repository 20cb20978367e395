//! The one writer of the error log: a thread that empties all rings, so that a standard error that
//! blocks stops nothing but this thread.

use crate::log::Stream;
use crate::log::drain::Drain;
use mainstay_os::segment::Segment;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How soon a line is written when there is traffic, and when there was none for a while.
const SOON: Duration = Duration::from_millis(5);
const IDLE: Duration = Duration::from_millis(80);
const STACK: usize = 256 * 1024;

/// The thread.
#[derive(Debug)]
pub(crate) struct LogWriter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl LogWriter {
    /// Starts it.
    ///
    /// # Errors
    /// When the system has no room for a thread.
    pub(crate) fn start(segment: Segment) -> io::Result<LogWriter> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("log".into())
            .stack_size(STACK)
            .spawn(move || write(&segment, &told))?;
        Ok(LogWriter { stop, thread })
    }

    /// The thread has ended by itself, which only a fault in it does.
    pub(crate) fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Writes what is there and ends.
    pub(crate) fn finish(self) {
        self.stop.store(true, SeqCst);
        self.thread.thread().unpark();
        // If the thread failed, the supervisor writes what is left.
        self.thread.join().ok();
    }
}

fn write(segment: &Segment, stop: &AtomicBool) {
    let mut drain = Drain::default();
    let (mut access, mut stdout) = (Drain::of(Stream::Access), io::stdout().lock());
    let mut pause = SOON;
    let mut stderr = io::stderr().lock();
    loop {
        let last = stop.load(SeqCst);
        // A closed standard error takes nothing; the rings fill up and count what they refuse.
        let lines = drain.run(segment, &mut stderr).unwrap_or(0)
            + access.run(segment, &mut stdout).unwrap_or(0);
        if last {
            return;
        }
        pause = if lines > 0 { SOON } else { (pause * 2).min(IDLE) };
        thread::park_timeout(pause);
    }
}
