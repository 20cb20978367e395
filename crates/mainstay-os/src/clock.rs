//! What the kernel knows of its clock.

use std::{io, mem};

/// Whether something keeps the wall clock in step with others', such as NTP. The kernel counts a clock that
/// nobody has set for long as out of step.
///
/// # Errors
/// When the system does not say.
pub fn is_synchronised() -> io::Result<bool> {
    // SAFETY: `timex` is a C struct of numbers alone, of which zero is a value.
    let mut asked: libc::timex = unsafe { mem::zeroed() };
    // SAFETY: the pointer is to a whole `timex` of ours; with no bit in `modes` nothing is set.
    match unsafe { libc::adjtimex(&raw mut asked) } {
        -1 => Err(io::Error::last_os_error()),
        state => Ok(state != libc::TIME_ERROR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "asks the kernel")]
    fn the_kernel_says_whether_the_clock_is_in_step() {
        assert!(is_synchronised().is_ok());
    }
}
