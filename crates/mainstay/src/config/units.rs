//! Durations and sizes as people write them: a whole number and its unit.

use std::time::Duration;

/// The longest duration a setting takes. A bound, so that `now + setting` can never overflow.
pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Units of time in milliseconds, the shortest first. The first name is the one written back.
const TIMES: &[(&[&str], u64)] = &[
    (&["ms"], 1),
    (&["s", "sec"], 1_000),
    (&["m", "min"], 60_000),
    (&["h"], 3_600_000),
    (&["d"], 86_400_000),
];

/// Units of size in bytes. The first entry that divides a size is the one written back, so the
/// larger units stand first, and those of 1024 before those of 1000.
const SIZES: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Reads `"30s"`, `"250ms"`, `"2m"`, `"1h"`, `"7d"` or a plain number of seconds.
///
/// The error is the predicate of a sentence ("is not a duration").
pub(crate) fn duration(text: &str) -> Result<Duration, &'static str> {
    let (number, unit) = split(text).ok_or("is not a duration")?;
    let scale = if unit.is_empty() {
        1_000
    } else {
        let known = TIMES.iter().find(|(names, _)| names.contains(&unit));
        known.ok_or("is not a duration")?.1
    };
    let found = number.checked_mul(scale).map(Duration::from_millis);
    found.filter(|it| *it <= LONGEST).ok_or("is longer than 365 days")
}

/// Writes a duration so that [`duration`] reads the same back: the largest unit that divides it.
pub(crate) fn show_duration(value: Duration) -> String {
    let millis = value.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    let divides = |scale: u64| millis.is_multiple_of(u128::from(scale));
    let (names, scale) =
        TIMES.iter().rev().find(|(_, scale)| divides(*scale)).expect("one millisecond divides all");
    format!("{}{}", millis / u128::from(*scale), names[0])
}

/// Reads `"512 MiB"`, `"2MB"`, `"64 kB"` or a plain number of bytes; units in any case.
///
/// The error is the predicate of a sentence ("is not a size").
pub(crate) fn bytes(text: &str) -> Result<u64, &'static str> {
    let (number, unit) = split(text).ok_or("is not a size")?;
    let scale = if unit.is_empty() {
        1
    } else {
        // "512M" is refused rather than guessed: half of the tools mean 1000, half 1024.
        let known = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
        known.ok_or("is not a size")?.1
    };
    number.checked_mul(scale).ok_or("is too large")
}

/// Writes a size so that [`bytes`] reads the same back.
pub(crate) fn show_bytes(value: u64) -> String {
    if value == 0 {
        return "0".to_owned();
    }
    let (name, scale) =
        SIZES.iter().find(|(_, scale)| value.is_multiple_of(*scale)).expect("one divides all");
    format!("{} {name}", value / scale)
}

/// The number in front and the unit behind it, blanks around both removed.
fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_with_and_without_unit() {
        let cases = [("30s", 30_000), ("250ms", 250), ("2m", 120_000), ("1 h", 3_600_000)];
        for (text, millis) in
            cases.into_iter().chain([("0s", 0), ("75", 75_000), ("1d", 86_400_000)])
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "1.5s", "1 fortnight", "30S", "1m30s"] {
            assert_eq!(duration(text), Err("is not a duration"), "{text}");
        }
        assert_eq!(duration("366d"), Err("is longer than 365 days"));
        assert_eq!(duration("18446744073709551615h"), Err("is longer than 365 days"));
    }

    #[test]
    fn sizes_tell_1000_from_1024_and_refuse_to_guess() {
        let cases = [("512 MiB", 512 << 20), ("2MB", 2_000_000), ("0", 0), ("64kb", 64_000)];
        for (text, size) in cases {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["512M", "", "MiB", "-1", "1.5 GiB"] {
            assert_eq!(bytes(text), Err("is not a size"), "{text}");
        }
        assert_eq!(bytes("18446744073709551615 KiB"), Err("is too large"));
    }

    /// Reads a text, and what was understood once more in its written form.
    fn survives(text: &str) -> bool {
        let same_duration = |it| duration(&show_duration(it)) == Ok(it);
        let same_size = |it| bytes(&show_bytes(it)) == Ok(it);
        duration(text).map_or(true, same_duration) && bytes(text).map_or(true, same_size)
    }

    proptest! {
        #[test]
        fn no_text_makes_the_readers_panic(text in "\\PC*") {
            prop_assert!(survives(&text));
        }

        #[test]
        fn a_number_before_any_text_does_not_make_the_readers_panic(n: u64, text in "\\PC{0,4}") {
            let text = format!("{n}{text}");
            prop_assert!(survives(&text));
        }

        #[test]
        fn a_duration_written_is_read_back(millis in 0..=31_536_000_000_u64) {
            let value = Duration::from_millis(millis);
            prop_assert_eq!(duration(&show_duration(value)), Ok(value));
        }

        #[test]
        fn a_size_written_is_read_back(value: u64) {
            prop_assert_eq!(bytes(&show_bytes(value)), Ok(value));
        }
    }
}
