//! Time: read in one place, told in UTC, taken from forms.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

pub(crate) const SECOND: i64 = 1_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// Milliseconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "this is the site's only reader of the clock")]
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|it| i64::try_from(it.as_millis()).ok()).unwrap_or(0)
}

/// The day of a moment, counted from the epoch.
pub(crate) fn day(at: i64) -> i64 {
    at.div_euclid(DAY)
}

fn utc(at: i64) -> DateTime {
    let moment = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    moment.to_zoned_datetime(TimeZone::UTC).datetime()
}

/// `26 Nov 2026, 14:05 UTC`.
pub(crate) fn text(at: i64) -> String {
    utc(at).strftime("%-d %b %Y, %H:%M UTC").to_string()
}

/// `26 November 2026`.
pub(crate) fn date(at: i64) -> String {
    utc(at).strftime("%-d %B %Y").to_string()
}

/// `2026-11-26T14:05:03Z`, for programs: RFC 3339.
pub(crate) fn machine(at: i64) -> String {
    utc(at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2026-11-26T14:05`, as the field for a moment in a form has it; empty for none.
pub(crate) fn field(at: i64) -> String {
    if at == 0 { String::new() } else { utc(at).strftime("%Y-%m-%dT%H:%M").to_string() }
}

/// Reads such a field; `None` when it holds no moment.
pub(crate) fn from_field(text: &str) -> Option<i64> {
    let moment: DateTime = text.trim().parse().ok()?;
    Some(moment.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// A span in its two largest units, rounded down: `45 s`, `3 min`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn span(millis: i64) -> String {
    let millis = millis.max(0);
    match millis {
        ..MINUTE => format!("{} s", millis / SECOND),
        MINUTE..HOUR => format!("{} min", millis / MINUTE),
        HOUR..DAY => format!("{} h {} min", millis / HOUR, millis % HOUR / MINUTE),
        _ => format!("{} d {} h", millis / DAY, millis % DAY / HOUR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-26T14:05:03.250Z
    const MOMENT: i64 = 1_795_701_903_250;

    #[test]
    fn moments_are_told_in_utc() {
        assert_eq!(machine(MOMENT), "2026-11-26T14:05:03Z");
        assert_eq!(text(MOMENT), "26 Nov 2026, 14:05 UTC");
        assert_eq!(date(MOMENT), "26 November 2026");
        assert_eq!((field(MOMENT).as_str(), field(0).as_str()), ("2026-11-26T14:05", ""));
        assert_eq!(machine(i64::MAX), "1970-01-01T00:00:00Z", "nonsense is told, not fallen over");
    }

    #[test]
    fn fields_lead_back_to_their_moments() {
        assert_eq!(from_field("2026-11-26T14:05"), Some(MOMENT / MINUTE * MINUTE));
        for wrong in ["", "tomorrow", "2026-13-01T00:00", "14:05"] {
            assert_eq!(from_field(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn spans_have_their_two_largest_units() {
        let told = [(45 * SECOND, "45 s"), (200 * SECOND, "3 min"), (125 * MINUTE, "2 h 5 min")];
        for (millis, expected) in told {
            assert_eq!(span(millis), expected);
        }
        assert_eq!((span(76 * HOUR).as_str(), span(-5).as_str()), ("3 d 4 h", "0 s"));
    }
}
