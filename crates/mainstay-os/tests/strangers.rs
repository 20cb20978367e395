//! Orphans that come to a process that asked for none.

use crate::parts::{HEARS, SAYS};
use crate::support::{PATIENCE, alone, end_of, is_readable, next_line, number, pipe, start};
use mainstay_os::child::{Ended, reap_stranger};
use mainstay_os::signals::Signal;
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open, set_child_subreaper};
use std::os::fd::AsFd;

#[test]
fn an_orphan_is_reaped_even_behind_a_child_that_waits_to_be() {
    alone("strangers::an_orphan_is_reaped_even_behind_a_child_that_waits_to_be", || {
        set_child_subreaper(Some(getpid())).unwrap();
        assert_eq!(reap_stranger(|_| false).unwrap(), None, "without children there is none");
        let ((hears, speaks), (told, tells)) = (pipe(), pipe());
        let env = [(SAYS, number(&speaks)), (HEARS, number(&told))];
        let parent = start("parent", &env, &[speaks.as_fd(), told.as_fd()], Signal::Kill);
        drop(speaks);
        let orphan: u32 = next_line(&hears).parse().unwrap();
        let pid = Pid::from_raw(orphan.try_into().unwrap()).unwrap();
        let orphan_ends = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let known = |pid| pid == parent.pid();
        assert_eq!(reap_stranger(known).unwrap(), None, "both live");
        // Its parent leaves, and the orphan follows by the death signal.
        drop((tells, told));
        assert!(is_readable(&parent, PATIENCE) && is_readable(&orphan_ends, PATIENCE));

        let reaped = reap_stranger(known).unwrap();
        assert_eq!(reaped, Some((orphan, Ended::Code(Signal::Usr1.number()))));
        assert_eq!(reap_stranger(known).unwrap(), None, "the other one is known");
        assert_eq!(end_of(&parent).0, Ended::Code(0), "and was left to who knows it");
        assert_eq!(reap_stranger(known).unwrap(), None);
    });
}
