//! Figures as people read them: durations, sizes, counts. Pure.
//!
//! Every rule rounds down, so that no figure on the page is ever ahead of the truth.

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Stands for a figure that is not known: absent, negative, not a number.
const UNKNOWN: &str = "–";

/// Seconds as their two largest units: `12 s`, `3 min 12 s`, `5 h 3 min`, `2 d 4 h`.
pub(super) fn duration(seconds: f64) -> String {
    if !is_known(seconds) {
        return UNKNOWN.to_owned();
    }
    let whole = seconds as u64;
    match whole {
        0..MINUTE => format!("{whole} s"),
        MINUTE..HOUR => format!("{} min {} s", whole / MINUTE, whole % MINUTE),
        HOUR..DAY => format!("{} h {} min", whole / HOUR, whole % HOUR / MINUTE),
        DAY.. => format!("{} d {} h", count(whole / DAY), whole % DAY / HOUR),
    }
}

/// Seconds since something happened, to a tenth where tenths matter: `0.4 s ago`, `12 s ago`.
pub(super) fn ago(seconds: f64) -> String {
    if !is_known(seconds) {
        UNKNOWN.to_owned()
    } else if seconds < 10.0 {
        format!("{:.1} s ago", tenths(seconds))
    } else {
        format!("{} ago", duration(seconds))
    }
}

/// Bytes in binary units: `512 B`, `7.4 MiB`. No process has a size of 0: that means not measured
/// yet.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes == 0 {
        return UNKNOWN.to_owned();
    }
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut scaled = bytes as f64 / 1024.0;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{:.1} {}", tenths(scaled), UNITS[unit])
}

/// A whole number with a comma between thousands: `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn is_known(seconds: f64) -> bool {
    seconds.is_finite() && seconds >= 0.0
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).floor() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_their_two_largest_units() {
        let cases = [
            (0.0, "0 s"),
            (59.99, "59 s"),
            (60.0, "1 min 0 s"),
            (192.0, "3 min 12 s"),
            (3_599.0, "59 min 59 s"),
            (3_600.0, "1 h 0 min"),
            (18_190.0, "5 h 3 min"),
            (86_399.0, "23 h 59 min"),
            (187_200.0, "2 d 4 h"),
            (86_400_000.0, "1,000 d 0 h"),
        ];
        for (seconds, shown) in cases {
            assert_eq!(duration(seconds), shown);
        }
    }

    #[test]
    fn a_duration_that_cannot_be_is_shown_as_unknown() {
        for seconds in [-0.1, f64::NAN, f64::INFINITY] {
            assert_eq!(duration(seconds), "–");
            assert_eq!(ago(seconds), "–");
        }
    }

    #[test]
    fn recent_moments_are_told_to_a_tenth_of_a_second() {
        let cases = [
            (0.0, "0.0 s ago"),
            (0.49, "0.4 s ago"),
            (9.99, "9.9 s ago"),
            (10.0, "10 s ago"),
            (61.0, "1 min 1 s ago"),
        ];
        for (seconds, shown) in cases {
            assert_eq!(ago(seconds), shown);
        }
    }

    #[test]
    fn sizes_are_in_binary_units_and_never_rounded_up() {
        let cases = [
            (0, "–"),
            (1, "1 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_048_575, "1023.9 KiB"),
            (7_759_462, "7.3 MiB"),
            (1_610_612_736, "1.5 GiB"),
            (1 << 40, "1.0 TiB"),
            (1 << 51, "2048.0 TiB"),
        ];
        for (bytes, shown) in cases {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn counts_have_a_comma_between_thousands() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345, "12,345"),
            (1_234_567, "1,234,567"),
        ];
        for (number, shown) in cases {
            assert_eq!(count(number), shown);
        }
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }
}
