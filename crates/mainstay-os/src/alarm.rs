//! A dead-man's switch: a process that does not set it again in time is ended by the kernel.

use std::time::Duration;

/// Ends this process by SIGALRM after `limit` (whole seconds, at least one), unless this is called
/// again before. Replaces any `alarm(2)` of the process.
pub fn set(limit: Duration) {
    let seconds = u32::try_from(limit.as_secs()).unwrap_or(u32::MAX).max(1);
    // SAFETY: alarm takes a number and touches no memory of ours.
    unsafe { libc::alarm(seconds) };
}
