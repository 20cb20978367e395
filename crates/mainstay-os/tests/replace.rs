//! One program taking the place of another in the same process.

use crate::parts::{ASKED, HEARS, SAYS};
use crate::support::{
    all_said, alone, closes_on_exec, end_of, has_all_awaited, number, pipe, start, status_field,
};
use mainstay_os::child::{Ended, Program};
use mainstay_os::signals::{Signal, SignalSource};
use rustix::process::{getpid, kill_process};
use std::ffi::OsStr;
use std::os::fd::AsFd;

#[test]
fn a_replacement_that_fails_leaves_everything_as_before() {
    alone("replace::a_replacement_that_fails_leaves_everything_as_before", || {
        let source = SignalSource::open().unwrap();
        // Comes before the attempt and must outlive it.
        kill_process(getpid(), rustix::process::Signal::TERM).unwrap();
        let before = ["SigBlk", "SigIgn", "SigCgt"].map(status_field);
        let (hears, speaks) = pipe();
        let nothing = OsStr::new("/proc/self/no-such-program");
        let program = Program {
            path: nothing,
            name: nothing,
            args: &[],
            env: &[("MAINSTAY_TEST_UNUSED", "1".into())],
            env_remove: &["PATH"],
            keep: &[hears.as_fd(), speaks.as_fd()],
        };
        assert_eq!(program.replace().kind(), std::io::ErrorKind::NotFound);

        assert_eq!(["SigBlk", "SigIgn", "SigCgt"].map(status_field), before);
        assert!(has_all_awaited(&before[0]));
        assert!(closes_on_exec(&hears) && closes_on_exec(&speaks));
        assert!(crate::support::variable("MAINSTAY_TEST_UNUSED").is_none());
        assert!(crate::support::variable("PATH").is_some());
        assert_eq!(source.wait().unwrap(), Signal::Term);
        drop(hears);
        let broken = rustix::io::write(&speaks, b"x");
        assert_eq!(broken, Err(rustix::io::Errno::PIPE), "and not the signal");
    });
}

#[test]
fn a_replacement_keeps_pid_children_and_descriptors() {
    alone("replace::a_replacement_keeps_pid_children_and_descriptors", || {
        let ((hears, speaks), (_told, other)) = (pipe(), pipe());
        let asked = [&speaks, &other].map(number);
        let env = [(SAYS, number(&speaks)), (HEARS, number(&other)), (ASKED, asked.join(","))];
        let child = start("replacer", &env, &[speaks.as_fd(), other.as_fd()], Signal::Kill);
        drop(speaks);
        let report = all_said(hears);
        assert_eq!(end_of(&child).0, Ended::Code(0), "{report}");
        let [kept, other] = asked;
        let expected = format!("blocked true\nleads true\n{kept} open true\n{other} open false\n");
        assert_eq!(report, expected);
    });
}
