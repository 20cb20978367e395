//! Signals as events.

use crate::support::alone;
use mainstay_os::signals::{Signal, SignalSource, name_of};
use rustix::process::{Signal as RawSignal, getpid, kill_process};

#[test]
fn every_awaited_signal_is_read_in_the_order_it_came() {
    alone("signals::every_awaited_signal_is_read_in_the_order_it_came", || {
        let source = SignalSource::open().unwrap();
        let back_and_forth = Signal::AWAITED.iter().chain(Signal::AWAITED.iter().rev());
        for signal in back_and_forth {
            let raw = RawSignal::from_named_raw(signal.number()).unwrap();
            kill_process(getpid(), raw).unwrap();
            assert_eq!(source.wait().unwrap(), *signal);
            let none = source.next().map_err(|error| error.kind());
            assert_eq!(none, Err(std::io::ErrorKind::WouldBlock), "each is read once");
        }
    });
}

#[test]
fn signals_that_come_together_are_all_read() {
    alone("signals::signals_that_come_together_are_all_read", || {
        let source = SignalSource::open().unwrap();
        for signal in Signal::AWAITED {
            let raw = RawSignal::from_named_raw(signal.number()).unwrap();
            kill_process(getpid(), raw).unwrap();
        }
        let mut waiting = Signal::AWAITED.to_vec();
        while !waiting.is_empty() {
            let signal = source.wait().unwrap();
            let at = waiting.iter().position(|waiting| *waiting == signal);
            waiting.remove(at.unwrap_or_else(|| panic!("{signal:?} was read twice")));
        }
    });
}

#[test]
fn a_signal_is_named_as_kill_knows_it() {
    for signal in Signal::AWAITED.iter().chain([&Signal::Kill, &Signal::Abrt]) {
        assert_eq!(name_of(signal.number()), signal.name());
    }
    assert_eq!(name_of(11), "SEGV");
    assert_eq!(name_of(64), "64", "a number without a name stays a number");
}
