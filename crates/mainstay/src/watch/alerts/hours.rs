//! Which time it is for the rules. It goes on by the monotonic clock as long as the service lives, from one watch to the
//! next, so that a leap of the host's clock neither fires nor ends anything. Pure.

use super::super::rules::Moment;
use serde::{Deserialize, Serialize};

/// Where the last look was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The service, by its beginning on the monotonic clock; 0 where nobody has looked.
    pub(super) run: u64,
    /// When that was on the same clock.
    pub(super) mono: u64,
    /// And on the host's; 0 where nobody has written it down.
    #[serde(default)]
    pub(super) wall: Moment,
}

/// Where watch goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begin {
    pub(super) now: Moment,
    /// Since the last look.
    pub(super) passed: u64,
    /// By so much more than that the rules' time has moved, to be the host's again: what is due by it is due later.
    pub(super) leap: u64,
    /// Since the last look the service was killed: it neither looks as it did, nor was it ended by somebody.
    pub(super) is_unclean: bool,
}

/// From the last look, at `last` of the rules' time, to `here`; `was_ended` says that somebody had ended the service.
/// Where it is another service, the time between the two is the host's at both ends: the rules' may have been another one
/// for as long as the last service lived.
pub(super) fn go_on((last, place): (Moment, Place), here: Place, was_ended: bool) -> Begin {
    let has_looked = last != 0 && place.run != 0;
    if has_looked && place.run == here.run && place.mono <= here.mono {
        let passed = here.mono - place.mono;
        let now = last.saturating_add(passed);
        return Begin { now, passed, leap: 0, is_unclean: false };
    }
    let then = if place.wall == 0 { last } else { place.wall };
    let passed = if last == 0 { 0 } else { here.wall.saturating_sub(then) };
    // A clock that was set back must not make what is young old.
    let now = here.wall.max(last.saturating_add(passed));
    let leap = if last == 0 { 0 } else { now - last - passed };
    let is_unclean = has_looked && place.run != here.run && !was_ended;
    Begin { now, passed, leap, is_unclean }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const LAST: Moment = 1_000_000 * SECOND;

    fn at(run: u64, mono: u64, wall: Moment) -> Place {
        Place { run: run * SECOND, mono: mono * SECOND, wall }
    }

    /// What the last service has left, the host's clock at the last look.
    fn left(wall: Moment) -> (Moment, Place) {
        (LAST, at(7, 100, wall))
    }

    #[test]
    fn from_one_watch_to_the_next_a_leap_of_the_clock_is_none() {
        for leap in [-86_400_i64, -1, 0, 3_600, 86_400 * 365] {
            let wall = LAST.saturating_add_signed(leap * SECOND as i64);
            let begin = go_on(left(LAST), at(7, 104, wall), false);
            let (now, passed) = (LAST + 4 * SECOND, 4 * SECOND);
            assert_eq!(begin, Begin { now, passed, leap: 0, is_unclean: false }, "{leap}");
        }
    }

    #[test]
    fn another_service_goes_by_the_hosts_clock_and_knows_whether_the_last_one_was_killed() {
        let now = LAST + SECOND;
        let begin = |is_unclean| Begin { now, passed: SECOND, leap: 0, is_unclean };
        let go_on = |place, was_ended| super::go_on((LAST, place), at(9, 10, now), was_ended);
        assert_eq!(go_on(at(7, 100, LAST), false), begin(true));
        assert_eq!(go_on(at(7, 100, LAST), true), begin(false));
        assert_eq!(go_on(at(7, 100, 0), true), begin(false), "nobody wrote the host's time down");
        assert_eq!(go_on(Place::default(), false), begin(false), "no such word");
        let first = super::go_on((0, Place::default()), at(9, 10, now), false);
        assert_eq!(first, Begin { passed: 0, ..begin(false) });
    }

    #[test]
    fn how_long_nobody_looked_has_nothing_of_a_leap_while_the_last_service_lived() {
        const HOURS: u64 = 3 * 3_600 * SECOND;
        // Set forward by hours, and then back by as much, since the last service began.
        let ahead = go_on(left(LAST + HOURS), at(9, 10, LAST + HOURS + SECOND), true);
        let now = LAST + HOURS + SECOND;
        assert_eq!(ahead, Begin { now, passed: SECOND, leap: HOURS, is_unclean: false });
        let behind = go_on(left(LAST - HOURS), at(9, 10, LAST - HOURS + SECOND), true);
        let now = LAST + SECOND;
        assert_eq!(behind, Begin { now, passed: SECOND, leap: 0, is_unclean: false });
        let back = go_on(left(LAST), at(9, 10, LAST - HOURS), true);
        assert_eq!(back, Begin { now: LAST, passed: 0, leap: 0, is_unclean: false });
    }
}
