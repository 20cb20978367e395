//! Apache's `%{format}t`: a time in strftime's form, of the beginning or the end of a request.

use crate::clock::Civil;
use crate::log::digits;
use crate::log::stamps::{self, Stamps};

/// A time and how it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Of the request's end; otherwise of its beginning.
    pub(super) is_end: bool,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<[u8]>),
    Directive(u8),
    /// Since the Unix epoch, in units of so many nanoseconds.
    Since(u64),
    /// Three digits of milliseconds, or six of microseconds.
    Fraction(usize),
}

/// Directives of strftime that are known, those that stand for others first.
const DIRECTIVES: &[u8] = b"FTDRYmdHMSybaejIpsfz%";

impl Moment {
    /// Reads what stands between the braces.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn parse(text: &str) -> Result<Moment, String> {
        let (is_end, rest) = match text.strip_prefix("end:") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("begin:").unwrap_or(text)),
        };
        let alone = match rest {
            "sec" => Some(Part::Since(1_000_000_000)),
            "msec" => Some(Part::Since(1_000_000)),
            "usec" => Some(Part::Since(1_000)),
            "msec_frac" => Some(Part::Fraction(3)),
            "usec_frac" => Some(Part::Fraction(6)),
            _ => None,
        };
        let parts = match alone {
            Some(part) => vec![part],
            None => strftime(rest)?,
        };
        Ok(Moment { is_end, parts })
    }

    /// Bytes at most.
    pub(super) fn longest(&self) -> usize {
        self.parts
            .iter()
            .map(|part| if let Part::Literal(text) = part { text.len() } else { 20 })
            .sum()
    }

    /// Appends the time.
    pub(super) fn push(&self, wall: u64, stamps: &Stamps, out: &mut Vec<u8>) {
        let (civil, zone) = stamps.local(wall);
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.extend_from_slice(text),
                Part::Since(unit) => digits::push(out, wall / unit),
                Part::Fraction(count) => {
                    let micros = wall / 1_000 % 1_000_000;
                    let ([a, b, c], [d, e, f]) =
                        (digits::three(micros / 1_000), digits::three(micros));
                    out.extend([a, b, c, d, e, f].iter().take(*count));
                }
                Part::Directive(letter) => directive(*letter, wall, &civil, zone, out),
            }
        }
    }
}

fn strftime(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut pieces = text.split('%');
    let mut literal = pieces.next().unwrap_or_default().to_owned();
    while let Some(piece) = pieces.next() {
        let Some(letter) = piece.chars().next() else {
            // Two percent signs in a row have nothing between them.
            let Some(behind) = pieces.next() else { return Err("a time that ends with %".into()) };
            literal.push('%');
            literal.push_str(behind);
            continue;
        };
        let known = u8::try_from(letter).ok().filter(|letter| DIRECTIVES.contains(letter));
        let Some(known) = known else {
            return Err(format!("%{letter} is not known in a time"));
        };
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.as_bytes().into()));
        }
        parts.push(Part::Directive(known));
        literal = piece.get(letter.len_utf8()..).unwrap_or_default().to_owned();
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal.as_bytes().into()));
    }
    Ok(parts)
}

fn directive(letter: u8, wall: u64, civil: &Civil, zone: [u8; 5], out: &mut Vec<u8>) {
    let two = |n: u32| digits::two(u64::from(n));
    let mut several = |letters: &[u8]| {
        for letter in letters {
            match letter {
                b'-' | b':' | b'/' => out.push(*letter),
                letter => directive(*letter, wall, civil, zone, out),
            }
        }
    };
    match letter {
        b'F' => several(b"Y-m-d"),
        b'T' => several(b"H:M:S"),
        b'D' => several(b"m/d/y"),
        b'R' => several(b"H:M"),
        b'Y' => out.extend(stamps::year(civil)),
        b'y' => out.extend(digits::two(civil.year.unsigned_abs())),
        b'm' => out.extend(two(civil.month)),
        b'd' => out.extend(two(civil.day)),
        b'e' => {
            let [tens, ones] = two(civil.day);
            out.extend([if tens == b'0' { b' ' } else { tens }, ones]);
        }
        b'H' => out.extend(two(civil.hour)),
        b'I' => out.extend(two((civil.hour + 11) % 12 + 1)),
        b'p' => out.extend(if civil.hour < 12 { b"AM" } else { b"PM" }),
        b'M' => out.extend(two(civil.minute)),
        b'S' => out.extend(two(civil.second)),
        b'b' => out.extend(stamps::month(civil.month)),
        b'a' => out.extend(stamps::weekday(days(civil))),
        b'j' => out.extend(digits::three(day_of_year(civil))),
        b's' => digits::push(out, wall / 1_000_000_000),
        b'f' => {
            let micros = wall / 1_000 % 1_000_000;
            out.extend(digits::three(micros / 1_000));
            out.extend(digits::three(micros));
        }
        b'z' => out.extend(zone),
        other => out.push(other),
    }
}

/// Whole days since the Unix epoch.
fn days(civil: &Civil) -> u64 {
    let (month, day) = (i64::from(civil.month), i64::from(civil.day));
    // Years begin in March here, so that the leap day is the last.
    let year = if month <= 2 { civil.year - 1 } else { civil.year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_years = 365 * year + year / 4 - year / 100 + year / 400;
    u64::try_from(of_years + of_year - 719_468).unwrap_or(0)
}

/// 1 for the first of January.
fn day_of_year(civil: &Civil) -> u64 {
    days(civil).saturating_sub(days(&Civil { month: 1, day: 1, ..*civil })) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(format: &str) -> String {
        let mut out = Vec::new();
        let moment = Moment::parse(format).unwrap();
        moment.push(1_795_342_252_123_456_789, &Stamps::new(|_| 3_600), &mut out);
        assert!(out.len() <= moment.longest());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_directive_is_that_of_strftime() {
        assert_eq!(shown("%Y-%m-%dT%H:%M:%S%z"), "2026-11-22T11:10:52+0100");
        assert_eq!(shown("begin:%F %T, %D %R"), "2026-11-22 11:10:52, 11/22/26 11:10");
        assert_eq!(shown("end:%a %b %e %I%p day %j, 100%%"), "Sun Nov 22 11AM day 326, 100%");
        assert_eq!(shown("%s.%f %y"), "1795342252.123456 26");
        for (name, text) in [
            ("sec", "1795342252"),
            ("msec", "1795342252123"),
            ("end:usec", "1795342252123456"),
            ("msec_frac", "123"),
            ("begin:usec_frac", "123456"),
        ] {
            assert_eq!(shown(name), text);
        }
        let directives = DIRECTIVES.iter().map(|letter| format!("%{}", char::from(*letter)));
        assert!(directives.map(|text| shown(&text)).all(|text| !text.is_empty()));
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for seconds in [0, 951_827_696, 1_795_342_252, 4_107_542_399, 4_107_542_400] {
            assert_eq!(days(&Civil::from_unix(seconds)), seconds / 86_400);
        }
        let last = Civil::from_unix(951_827_696 + 306 * 86_400);
        assert_eq!((last.month, last.day, day_of_year(&last)), (12, 31, 366));
    }

    #[test]
    fn what_is_not_known_is_said() {
        assert_eq!(Moment::parse("%Q").unwrap_err(), "%Q is not known in a time");
        assert_eq!(Moment::parse("%H%").unwrap_err(), "a time that ends with %");
        assert!(Moment::parse("end:%Y").unwrap().is_end);
    }
}
