//! Taking over descriptors by number.

use crate::support::{alone, closes_on_exec, pipe};
use mainstay_os::fds;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

/// A descriptor as `exec` hands it on: open, and owned by nobody yet.
fn inherited(fd: OwnedFd) -> RawFd {
    fds::keep_across_exec(&fd, true).expect("the descriptor is open");
    fd.into_raw_fd()
}

#[test]
fn a_descriptor_has_one_owner() {
    alone("fds::a_descriptor_has_one_owner", || {
        let (hears, speaks) = pipe();
        let number = inherited(hears);
        assert!(fds::is_open(number));
        let taken = fds::take(number).unwrap();
        assert_eq!(taken.as_raw_fd(), number);
        assert_eq!(fds::numbers([&taken, &speaks]), [number, speaks.as_raw_fd()]);
        assert!(closes_on_exec(&taken), "it goes no further by itself");
        assert_eq!(fds::take(number).unwrap_err().kind(), ErrorKind::AlreadyExists);
        rustix::io::write(&speaks, b"x").unwrap();
        assert_eq!(rustix::io::read(&taken, &mut [0; 8]), Ok(1), "the refusal closed nothing");
    });
}

#[test]
fn a_number_that_is_not_open_is_refused() {
    alone("fds::a_number_that_is_not_open_is_refused", || {
        let (hears, _speaks) = pipe();
        let number = hears.as_raw_fd();
        drop(hears);
        for number in [number, RawFd::MAX] {
            assert!(!fds::is_open(number));
            assert!(fds::take(number).is_err());
        }
        assert!(!fds::is_open(-1));
    });
}

#[test]
fn the_standard_descriptors_are_refused() {
    for number in [-1, 0, 1, 2, RawFd::MIN] {
        assert_eq!(fds::take(number).unwrap_err().kind(), ErrorKind::InvalidInput, "{number}");
    }
}

/// `bind = "fd://5"` with a wrong number must not give a descriptor of ours a second owner.
#[test]
fn a_descriptor_that_this_program_opened_is_refused() {
    alone("fds::a_descriptor_that_this_program_opened_is_refused", || {
        let (hears, speaks) = pipe();
        assert_eq!(fds::take(hears.as_raw_fd()).unwrap_err().kind(), ErrorKind::InvalidInput);
        drop(speaks);
        assert_eq!(rustix::io::read(&hears, &mut [0; 8]), Ok(0), "it is open and ours");
    });
}
