//! The parts that other processes play in the tests: this program again, told by its environment.

use crate::support::{
    PART, given, has_all_awaited, say, start, status_field, told, variable, with_program,
};
use crate::{kill, limits, segment, support};
use mainstay_os::child::{Child, Ended};
use mainstay_os::signals::{Signal, SignalSource};
use mainstay_os::{alarm, fds, signals};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::os::fd::{AsFd, RawFd};
use std::time::Duration;

/// Where a part speaks.
pub(crate) const SAYS: &str = "MAINSTAY_TEST_SAYS";
/// Where a part listens.
pub(crate) const HEARS: &str = "MAINSTAY_TEST_HEARS";
/// With which code a part leaves.
pub(crate) const CODE: &str = "MAINSTAY_TEST_CODE";
/// Numbers of which a part tells whether they are open descriptors.
pub(crate) const ASKED: &str = "MAINSTAY_TEST_ASKED";
/// A child that the part has from its program before.
const HEIR: &str = "MAINSTAY_TEST_HEIR";

#[test]
fn a_process_plays_the_part_it_is_given() {
    let Some(part) = variable(PART) else { return };
    let code = match part.as_str() {
        "worker" => works(),
        "signalled" => tells_its_signal(),
        "alarmed" => is_late(),
        "reporter" => reports(),
        "parent" => has_a_child(),
        "replacer" => replaces_itself(),
        "successor" => succeeds(),
        "writer" => kill::writes_for_ever(),
        "hitter" => limits::hits_for_ever(),
        "flooder" => limits::floods(),
        "neighbour" => segment::writes_beside(),
        other => panic!("no part {other}"),
    };
    #[expect(clippy::exit, clippy::disallowed_methods, reason = "the code is what a part tells")]
    std::process::exit(code);
}

/// Uses a little processor time and leaves with the code it was told.
fn works() -> i32 {
    let spent = || clock_gettime(ClockId::ProcessCPUTime).tv_nsec;
    while spent() < 20_000_000 {
        black_box((0..1_000_u64).fold(1, |a, b| black_box(a ^ b)));
    }
    told(CODE)
}

/// Says that it is there, waits for one signal, says its name and leaves with its number.
fn tells_its_signal() -> i32 {
    let source = SignalSource::open().expect("signals can be awaited");
    let speaks = variable(SAYS).map(|_| given(SAYS));
    let signal = source.wait().expect("a signal comes");
    if let Some(speaks) = speaks {
        say(speaks, signal.name());
    }
    signal.number()
}

/// Sets its alarm, and not again.
fn is_late() -> i32 {
    alarm::set(Duration::ZERO);
    tells_its_signal()
}

/// Says what it has inherited.
fn reports() -> i32 {
    let speaks = given(SAYS);
    let mask = status_field("SigBlk");
    say(&speaks, &format!("blocked {}", has_all_awaited(&mask)));
    let group = rustix::process::getpgid(None).expect("every process has a group");
    say(&speaks, &format!("leads {}", group == rustix::process::getpid()));
    for asked in told::<String>(ASKED).split(',') {
        let number: RawFd = asked.parse().expect("descriptors are numbers");
        say(&speaks, &format!("{asked} open {}", fds::is_open(number)));
    }
    0
}

/// Starts a child of its own, says that child's pid, and stays until nobody speaks to it.
fn has_a_child() -> i32 {
    let (speaks, hears) = (given(SAYS), given(HEARS));
    let env = [(SAYS, support::number(&speaks))];
    let child = start("signalled", &env, &[speaks.as_fd()], Signal::Usr1);
    say(&speaks, &child.pid().to_string());
    drop(speaks);
    support::all_said(hears);
    0
}

/// Starts a child and becomes its successor, which inherits it.
fn replaces_itself() -> i32 {
    let speaks = given(SAYS);
    let _not_kept = given(HEARS);
    let child = start("signalled", &[], &[], Signal::Kill);
    let env = [(SAYS, support::number(&speaks)), (HEIR, child.pid().to_string())];
    let error = with_program("successor", &env, &[speaks.as_fd()], |program| program.replace());
    panic!("the program was not replaced: {error}");
}

/// Takes up the child of the program before and ends it, then reports.
fn succeeds() -> i32 {
    let heir = Child::adopt(told(HEIR)).expect("children stay over a replaced program");
    heir.signal(Signal::Term).expect("a child of ours can be signalled");
    let (ended, _) = support::end_of(&heir);
    assert_eq!(ended, Ended::Code(Signal::Term.number()), "the child heard its signal");
    signals::block().expect("signals can be blocked");
    reports()
}
