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
}

/// Where watch goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begin {
    pub(super) now: Moment,
    /// Since the last look the service was killed: it neither looks as it did, nor was it ended by somebody.
    pub(super) is_unclean: bool,
}

/// From the last look, at `last` of the rules' time, to `here`; `was_ended` says that somebody had ended the service.
pub(super) fn go_on(
    (last, place): (Moment, Place),
    (here, wall): (Place, Moment),
    was_ended: bool,
) -> Begin {
    let has_looked = last != 0 && place.run != 0;
    if has_looked && place.run == here.run && place.mono <= here.mono {
        return Begin { now: last.saturating_add(here.mono - place.mono), is_unclean: false };
    }
    // A clock that was set back must not make what is young old.
    Begin { now: wall.max(last), is_unclean: has_looked && place.run != here.run && !was_ended }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const LAST: Moment = 1_000_000 * SECOND;

    fn at(run: u64, mono: u64) -> Place {
        Place { run: run * SECOND, mono: mono * SECOND }
    }

    #[test]
    fn from_one_watch_to_the_next_a_leap_of_the_clock_is_none() {
        for leap in [-86_400_i64, -1, 0, 3_600, 86_400 * 365] {
            let wall = LAST.saturating_add_signed(leap * SECOND as i64);
            let begin = go_on((LAST, at(7, 100)), (at(7, 104), wall), false);
            assert_eq!(begin, Begin { now: LAST + 4 * SECOND, is_unclean: false }, "{leap}");
        }
    }

    #[test]
    fn another_service_goes_by_the_hosts_clock_and_knows_whether_the_last_one_was_killed() {
        let go_on = |place, was_ended| go_on((LAST, place), (at(9, 10), LAST + SECOND), was_ended);
        let now = LAST + SECOND;
        assert_eq!(go_on(at(7, 100), false), Begin { now, is_unclean: true });
        assert_eq!(go_on(at(7, 100), true), Begin { now, is_unclean: false });
        assert_eq!(
            go_on(Place::default(), false),
            Begin { now, is_unclean: false },
            "no such word"
        );
        let first = super::go_on((0, Place::default()), (at(9, 10), now), false);
        assert_eq!(first, Begin { now, is_unclean: false });
        let back = super::go_on((LAST, at(7, 100)), (at(9, 10), LAST - SECOND), true);
        assert_eq!(back.now, LAST);
    }
}
