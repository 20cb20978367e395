//! How long a request waited before it came here, as `X-Request-Start` says: the time at which a proxy
//! took it. Pure.
//!
//! There is no standard. `t=` may stand before the number, which is seconds (nginx's `$msec`, with a
//! fraction), milliseconds (Heroku), microseconds (Apache's `%t`) or nanoseconds since the Unix epoch,
//! told apart by their size: 2001 to 2286 in one unit is no time that could be meant in another.

/// Seconds since the Unix epoch are between these from 2001 to 2286.
const SECONDS: std::ops::Range<u64> = 1_000_000_000..10_000_000_000;
const BILLION: u64 = 1_000_000_000;
/// A wait longer than this is a clock that goes wrong.
const LONGEST: u64 = 3_600 * BILLION;
/// Clocks of two hosts differ by this much: within it, what lies ahead has not waited.
const SKEW: u64 = BILLION;

/// The wait in nanoseconds until `now` (nanoseconds since the Unix epoch); `None` for what is no time,
/// or one that cannot be true.
pub(crate) fn read(value: &[u8], now: u64) -> Option<u64> {
    let value = value.trim_ascii();
    let value = value.strip_prefix(b"t=").unwrap_or(value);
    let (whole, fraction) = match value.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&value[..dot], &value[dot + 1..]),
        None => (value, &b""[..]),
    };
    let whole = digits(whole)?;
    let units = [BILLION, 1_000_000, 1_000, 1];
    let unit = units.into_iter().find(|unit| SECONDS.contains(&(whole / (BILLION / unit))))?;
    let mut since = whole.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction {
        place /= 10;
        since += digits(std::slice::from_ref(digit))? * place;
    }
    match now.checked_sub(since) {
        Some(waited) => (waited <= LONGEST).then_some(waited),
        None => (since - now <= SKEW).then_some(0),
    }
}

fn digits(text: &[u8]) -> Option<u64> {
    let known = !text.is_empty() && text.len() <= 19 && text.iter().all(u8::is_ascii_digit);
    known.then(|| text.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000 * BILLION;
    const MILLION: u64 = 1_000_000;

    #[test]
    fn times_of_all_proxies_are_read() {
        for (value, millis) in [
            ("1699999999.750", 250),
            ("t=1699999999.750", 250),
            ("1699999999", 1_000),
            (" t=1699999999750 ", 250),
            ("t=1699999999750000", 250),
            ("1699999999750000000", 250),
            ("1699999999750.5", 249),
            ("1700000000.9", 0),
            ("1699999999.", 1_000),
        ] {
            let waited = read(value.as_bytes(), NOW).map(|waited| waited / MILLION);
            assert_eq!(waited, Some(millis), "{value}");
        }
    }

    #[test]
    fn what_is_no_time_or_cannot_be_true_is_nothing() {
        for value in [
            "",
            "t=",
            "-1",
            "abc",
            "1.7e9",
            "t=t=1699999999",
            "17",
            "1699999999.7x",
            "1699990000",
            "1700000002",
            "99999999999999999999",
            "9999999999999999999",
            "12345678901",
            ".5",
        ] {
            assert_eq!(read(value.as_bytes(), NOW), None, "{value}");
        }
    }

    #[test]
    fn no_value_is_a_panic() {
        let mut dice = crate::testing::Dice(7);
        for _ in 0..20_000 {
            let length = dice.roll(24) as usize;
            let value: Vec<u8> =
                (0..length).map(|_| b"0123456789.t= x"[dice.roll(15) as usize]).collect();
            read(&value, NOW);
        }
    }
}
