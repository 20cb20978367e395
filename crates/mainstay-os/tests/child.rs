//! Starting, signalling and reaping processes.

use crate::parts::{ASKED, CODE, HEARS, SAYS};
use crate::support::{
    PATIENCE, all_said, alone, end_of, is_readable, next_line, number, pipe, start,
};
use mainstay_os::child::{Child, Ended, Program};
use mainstay_os::signals::{Signal, name_of};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::time::Duration;

#[test]
fn an_exit_code_is_reported_with_what_the_process_used() {
    alone("child::an_exit_code_is_reported_with_what_the_process_used", || {
        for code in [0, 7, 255] {
            let child = start("worker", &[(CODE, code.to_string())], &[], Signal::Kill);
            let (ended, usage) = end_of(&child);
            assert_eq!(ended, Ended::Code(code));
            assert!(usage.cpu >= Duration::from_millis(20), "{usage:?}");
            assert!(usage.peak_rss > 100_000, "{usage:?}");
        }
    });
}

#[test]
fn what_a_process_used_is_known_before_it_is_reaped() {
    alone("child::what_a_process_used_is_known_before_it_is_reaped", || {
        let child = start("signalled", &[], &[], Signal::Kill);
        assert_eq!(child.peek_usage().unwrap(), None, "it has not ended");
        child.signal(Signal::Kill).unwrap();
        assert_eq!(end_of(&child).0, Ended::Signal(Signal::Kill.number()));
        let child = start("worker", &[(CODE, "0".to_owned())], &[], Signal::Kill);
        assert!(is_readable(&child, PATIENCE));
        let seen = child.peek_usage().unwrap().expect("it has ended");
        assert!(seen.cpu >= Duration::from_millis(20), "{seen:?}");
        assert_eq!(end_of(&child).1, seen);
        assert!(child.peek_usage().is_err(), "it is gone");
    });
}

#[test]
fn the_signal_that_ended_a_process_is_reported() {
    alone("child::the_signal_that_ended_a_process_is_reported", || {
        let child = start("signalled", &[], &[], Signal::Kill);
        assert_eq!(child.try_reap().unwrap(), None, "it has not ended");
        child.signal(Signal::Kill).unwrap();
        assert_eq!(end_of(&child).0, Ended::Signal(Signal::Kill.number()));
        child.signal(Signal::Kill).expect("a signal to a process that is gone is no error");
    });
}

#[test]
fn a_signal_sent_right_after_the_start_waits_to_be_read() {
    alone("child::a_signal_sent_right_after_the_start_waits_to_be_read", || {
        for signal in [Signal::Term, Signal::Usr2, Signal::Hup, Signal::Ttin] {
            let child = start("signalled", &[], &[], Signal::Kill);
            child.signal(signal).unwrap();
            assert_eq!(end_of(&child).0, Ended::Code(signal.number()), "{signal:?}");
        }
    });
}

#[test]
fn a_process_that_awaits_signals_is_ended_by_abort() {
    alone("child::a_process_that_awaits_signals_is_ended_by_abort", || {
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        setrlimit(Resource::Core, none).expect("who runs the tests need not keep its core");
        let child = start("signalled", &[], &[], Signal::Kill);
        child.signal(Signal::Abrt).unwrap();
        assert_eq!(end_of(&child).0, Ended::Signal(Signal::Abrt.number()));
    });
}

#[test]
fn a_process_that_does_not_set_its_alarm_again_is_ended() {
    alone("child::a_process_that_does_not_set_its_alarm_again_is_ended", || {
        let child = start("alarmed", &[], &[], Signal::Kill);
        let Ended::Signal(number) = end_of(&child).0 else { panic!("it ended by itself") };
        assert_eq!(name_of(number), "ALRM");
    });
}

#[test]
fn only_the_descriptors_kept_are_open_in_a_child() {
    alone("child::only_the_descriptors_kept_are_open_in_a_child", || {
        let ((hears, speaks), (other, kept)) = (pipe(), pipe());
        let asked = [&hears, &other, &kept].map(number).join(",");
        let env = [(SAYS, number(&speaks)), (ASKED, asked)];
        let child = start("reporter", &env, &[speaks.as_fd(), kept.as_fd()], Signal::Kill);
        drop(speaks);
        let (closed, open) = ([number(&hears), number(&other)], number(&kept));
        let report = all_said(hears);
        assert_eq!(end_of(&child).0, Ended::Code(0), "{report}");
        let expected = format!(
            "blocked true\nleads true\n{} open false\n{} open false\n{open} open true\n",
            closed[0], closed[1]
        );
        assert_eq!(report, expected);
    });
}

#[test]
fn a_child_hears_of_the_death_of_its_parent() {
    alone("child::a_child_hears_of_the_death_of_its_parent", || {
        let ((hears, speaks), (told, tells)) = (pipe(), pipe());
        let env = [(SAYS, number(&speaks)), (HEARS, number(&told))];
        let keep = [speaks.as_fd(), told.as_fd()];
        let parent = start("parent", &env, &keep, Signal::Kill);
        drop(speaks);
        let grandchild: u32 = next_line(&hears).parse().unwrap();
        assert_ne!(grandchild, parent.pid());
        assert!(!is_readable(&hears, Duration::ZERO), "its parent lives");
        parent.signal(Signal::Kill).unwrap();
        assert_eq!(end_of(&parent).0, Ended::Signal(Signal::Kill.number()));
        assert_eq!(all_said(hears), "USR1\n");
        drop(tells);
    });
}

#[test]
fn a_child_of_the_program_before_is_taken_up_by_its_pid() {
    alone("child::a_child_of_the_program_before_is_taken_up_by_its_pid", || {
        let pid = start("signalled", &[], &[], Signal::Kill).pid();
        let child = Child::adopt(pid).unwrap();
        assert_eq!(child.pid(), pid);
        child.signal(Signal::Int).unwrap();
        assert!(is_readable(&child, PATIENCE));
        let ended = Child::adopt(pid).expect("one that has ended is still to be reaped");
        assert_eq!(end_of(&ended).0, Ended::Code(Signal::Int.number()));
        assert!(child.try_reap().is_err(), "it is reaped");
        assert!(Child::adopt(pid).is_err(), "it is gone");
    });
}

#[test]
fn a_process_that_is_no_child_is_not_taken_up() {
    for pid in [0, 1, std::process::id(), std::os::unix::process::parent_id(), u32::MAX] {
        assert!(Child::adopt(pid).is_err(), "{pid}");
    }
}

#[test]
fn a_file_that_cannot_be_executed_is_an_error() {
    let nothing = OsStr::new("/proc/self/no-such-program");
    let program =
        Program { path: nothing, name: nothing, args: &[], env: &[], env_remove: &[], keep: &[] };
    assert_eq!(program.spawn(Signal::Kill).unwrap_err().kind(), std::io::ErrorKind::NotFound);
}
