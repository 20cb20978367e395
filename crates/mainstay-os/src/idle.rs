//! Work that gives way: a thread that runs only where nobody else wants to.

use std::io;

/// Makes the calling thread one of the policy `SCHED_IDLE`, which any other thread interrupts at once and which has
/// next to nothing of a processor that others want. There is no way back.
///
/// # Errors
/// When the system forbids it, as some sandboxes do.
pub fn give_way() -> io::Result<()> {
    // Of this policy there is one priority. By the system call, because musl's function refuses all.
    let priority: libc::c_int = 0;
    // SAFETY: the kernel reads one int through the pointer, which lives until it returns, and changes nothing but how
    // this thread is scheduled.
    let done = unsafe {
        libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_IDLE, &raw const priority)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Whether the calling thread gives way.
    fn gives_way() -> bool {
        let told = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        // Behind the name, which may hold anything, the policy is the 39th field.
        let (_, fields) = told.rsplit_once(") ").unwrap();
        let policy: libc::c_int = fields.split(' ').nth(38).unwrap().parse().unwrap();
        policy == libc::SCHED_IDLE
    }

    #[test]
    #[cfg_attr(miri, ignore = "asks the kernel")]
    fn a_thread_that_gives_way_is_the_only_one() {
        let thread = thread::spawn(|| (gives_way(), give_way(), gives_way()));
        let (before, done, after) = thread.join().unwrap();
        assert_eq!((before, done.is_ok(), after), (false, true, true));
        assert!(!gives_way());
    }
}
