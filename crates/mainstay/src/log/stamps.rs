//! Times as logs write them, each form kept for the second that it stands for: thousands of lines a
//! second share one calculation.

use super::digits;
use crate::clock::Civil;
use std::fmt;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const SECOND: u64 = 1_000_000_000;

/// The zone of local times: seconds east of UTC at a time in Unix seconds.
pub(crate) type OffsetOf = fn(i64) -> i32;

/// Writes times. All take nanoseconds since the Unix epoch.
pub(crate) struct Stamps {
    offset_of: OffsetOf,
    /// Two, since a line may hold the beginning and the end of a request.
    access: [Kept<28>; 2],
    ecs: Kept<20>,
    gunicorn: Kept<27>,
    text: Kept<20>,
}

impl fmt::Debug for Stamps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stamps").finish_non_exhaustive()
    }
}

/// A second and its text.
#[derive(Clone, Copy)]
struct Kept<const N: usize> {
    second: u64,
    text: [u8; N],
}

impl<const N: usize> Kept<N> {
    /// No time has this second: 2^64 nanoseconds are fewer.
    const NONE: Kept<N> = Kept { second: u64::MAX, text: [b'-'; N] };

    #[inline(always)]
    fn of(&mut self, second: u64, make: impl FnOnce() -> [u8; N]) -> &[u8; N] {
        if self.second != second {
            *self = Kept { second, text: make() };
        }
        &self.text
    }
}

impl Stamps {
    /// Writes local times by this zone.
    pub(crate) fn new(offset_of: OffsetOf) -> Stamps {
        Stamps {
            offset_of,
            access: [Kept::NONE; 2],
            ecs: Kept::NONE,
            gunicorn: Kept::NONE,
            text: Kept::NONE,
        }
    }

    /// `[22/Nov/2026:10:11:24 +0000]`, local: Gunicorn's `%(t)s`.
    #[inline]
    pub(crate) fn ended(&mut self, wall: u64, out: &mut Vec<u8>) {
        let (second, offset_of) = (wall / SECOND, self.offset_of);
        out.extend_from_slice(self.access[0].of(second, || access(second, offset_of)));
    }

    /// The same of a time that lies before that of [`ended`](Self::ended).
    pub(crate) fn started(&mut self, wall: u64, out: &mut Vec<u8>) {
        let (second, offset_of) = (wall / SECOND, self.offset_of);
        out.extend_from_slice(self.access[1].of(second, || access(second, offset_of)));
    }

    /// `2026-11-22T10:10:52.123Z`, UTC: ISO 8601 with milliseconds, as ECS has it.
    #[inline]
    pub(crate) fn ecs(&mut self, wall: u64, out: &mut Vec<u8>) {
        let second = wall / SECOND;
        let text = self.ecs.of(second, || {
            let mut text = *b"0000-00-00T00:00:00.";
            date_and_time(&mut text, &Civil::from_unix(second));
            text
        });
        out.extend_from_slice(text);
        let [a, b, c] = digits::three(wall / 1_000_000);
        out.extend_from_slice(&[a, b, c, b'Z']);
    }

    /// `[2026-11-22 10:10:52 +0000]`, local: Gunicorn's error log.
    pub(crate) fn gunicorn(&mut self, wall: u64, out: &mut Vec<u8>) {
        let (second, offset_of) = (wall / SECOND, self.offset_of);
        let text = self.gunicorn.of(second, || {
            let (civil, zone) = local(second, offset_of);
            let mut text = *b"[0000-00-00 00:00:00 +0000]";
            date_and_time(&mut text[1..], &civil);
            text[21..26].copy_from_slice(&zone);
            text
        });
        out.extend_from_slice(text);
    }

    /// `2026-11-22 10:10:52,123`, local: Python's `asctime`.
    pub(crate) fn text(&mut self, wall: u64, out: &mut Vec<u8>) {
        let (second, offset_of) = (wall / SECOND, self.offset_of);
        let text = self.text.of(second, || {
            let mut text = *b"0000-00-00 00:00:00,";
            date_and_time(&mut text, &local(second, offset_of).0);
            text
        });
        out.extend_from_slice(text);
        out.extend_from_slice(&digits::three(wall / 1_000_000));
    }

    /// The local time and its zone as `+0000`.
    pub(crate) fn local(&self, wall: u64) -> (Civil, [u8; 5]) {
        local(wall / SECOND, self.offset_of)
    }
}

/// `Nov` for 11.
pub(crate) fn month(number: u32) -> [u8; 3] {
    MONTHS.get(number.wrapping_sub(1) as usize).map_or(*b"???", |name| **name)
}

/// `Sun`, by the days since the Unix epoch, a Thursday.
pub(crate) fn weekday(days: u64) -> [u8; 3] {
    *DAYS[(days % 7) as usize]
}

fn local(second: u64, offset_of: OffsetOf) -> (Civil, [u8; 5]) {
    let offset = offset_of(i64::try_from(second).unwrap_or(i64::MAX));
    // Before 1970 there is no log.
    let shifted = second.saturating_add_signed(i64::from(offset));
    let minutes = u64::from(offset.unsigned_abs() / 60);
    let sign = if offset < 0 { b'-' } else { b'+' };
    let ([a, b], [c, d]) = (digits::two(minutes / 60), digits::two(minutes % 60));
    (Civil::from_unix(shifted), [sign, a, b, c, d])
}

fn access(second: u64, offset_of: OffsetOf) -> [u8; 28] {
    let (civil, zone) = local(second, offset_of);
    let mut text = *b"[00/Jan/0000:00:00:00 +0000]";
    text[1..3].copy_from_slice(&digits::two(u64::from(civil.day)));
    text[4..7].copy_from_slice(&month(civil.month));
    text[8..12].copy_from_slice(&year(&civil));
    time(&mut text[13..21], &civil);
    text[22..27].copy_from_slice(&zone);
    text
}

/// Fills `0000-00-00 00:00:00`, whatever stands between the two.
fn date_and_time(text: &mut [u8], civil: &Civil) {
    text[..4].copy_from_slice(&year(civil));
    text[5..7].copy_from_slice(&digits::two(u64::from(civil.month)));
    text[8..10].copy_from_slice(&digits::two(u64::from(civil.day)));
    time(&mut text[11..19], civil);
}

fn time(text: &mut [u8], civil: &Civil) {
    text[..2].copy_from_slice(&digits::two(u64::from(civil.hour)));
    text[3..5].copy_from_slice(&digits::two(u64::from(civil.minute)));
    text[6..8].copy_from_slice(&digits::two(u64::from(civil.second)));
}

/// Four digits: 2^64 nanoseconds end in the year 2554.
pub(crate) fn year(civil: &Civil) -> [u8; 4] {
    let year = civil.year.unsigned_abs();
    let ([a, b], [c, d]) = (digits::two(year / 100), digits::two(year));
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: u64 = 1_795_342_252_123_456_789;

    fn written(offset_of: OffsetOf, write: fn(&mut Stamps, u64, &mut Vec<u8>)) -> String {
        let (mut stamps, mut out) = (Stamps::new(offset_of), Vec::new());
        write(&mut stamps, WALL, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_form_is_the_one_of_its_log() {
        assert_eq!(written(|_| 0, Stamps::ended), "[22/Nov/2026:10:10:52 +0000]");
        assert_eq!(written(|_| 0, Stamps::started), "[22/Nov/2026:10:10:52 +0000]");
        assert_eq!(written(|_| 0, Stamps::ecs), "2026-11-22T10:10:52.123Z");
        assert_eq!(written(|_| 0, Stamps::gunicorn), "[2026-11-22 10:10:52 +0000]");
        assert_eq!(written(|_| 0, Stamps::text), "2026-11-22 10:10:52,123");
    }

    #[test]
    fn local_times_have_their_zone_and_ecs_has_none() {
        assert_eq!(written(|_| 20_700, Stamps::ended), "[22/Nov/2026:15:55:52 +0545]");
        assert_eq!(written(|_| -41_400, Stamps::gunicorn), "[2026-11-21 22:40:52 -1130]");
        assert_eq!(written(|_| -41_400, Stamps::text), "2026-11-21 22:40:52,123");
        assert_eq!(written(|_| -41_400, Stamps::ecs), "2026-11-22T10:10:52.123Z");
    }

    #[test]
    fn the_next_second_is_another_text_and_time_may_go_back() {
        let (mut stamps, mut out) = (Stamps::new(|_| 0), Vec::new());
        for step in [0, 1, 2, 0] {
            stamps.ecs(WALL + step * 500_000_000, &mut out);
        }
        let text = String::from_utf8(out).unwrap();
        let times: Vec<&str> = text.split_terminator('Z').map(|time| &time[17..]).collect();
        assert_eq!(times, ["52.123", "52.623", "53.123", "52.123"]);
        assert_eq!(weekday(WALL / SECOND / 86_400), *b"Sun");
    }
}
