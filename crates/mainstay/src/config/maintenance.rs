//! Maintenance windows: times, in UTC, in the zone of the host or in any other, in which some alerts or all are told to
//! nobody.

use super::matchers::Matcher;
use crate::clock::Civil;

const MINUTES: u64 = 60;
const DAY: u64 = 24 * 60;
/// Behind times that are in the host's zone.
const LOCAL: &str = "local";
const UTC: &str = "UTC";
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Whose clocks show a window's days and hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    Utc,
    /// This host's.
    Host,
    /// Such as `Europe/Berlin`.
    Named(String),
}

impl Zone {
    /// From the word behind the times, which is no matcher.
    fn parse(word: &str) -> Option<Zone> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
        match word {
            LOCAL => Some(Zone::Host),
            UTC => Some(Zone::Utc),
            name if name.contains('/') && name.bytes().all(fits) => {
                Some(Zone::Named(name.to_owned()))
            }
            _ => None,
        }
    }
}

/// When it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum When {
    /// On these days of the week, Monday first, from one minute of the day to another, which may be of the next.
    Weekly { days: [bool; 7], from: u64, to: u64, zone: Zone },
    /// Once, in minutes since the Unix epoch.
    Once { from: u64, to: u64 },
}

/// A window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) name: String,
    when: When,
    /// Which alerts it is about; none means all.
    pub(crate) matchers: Vec<Matcher>,
}

impl Window {
    /// The zone that it names.
    pub(crate) fn zone(&self) -> Option<&str> {
        match &self.when {
            When::Weekly { zone: Zone::Named(name), .. } => Some(name),
            _ => None,
        }
    }

    /// Whether it is open at `seconds` since the Unix epoch. `east` says how many seconds east of UTC a zone is then;
    /// in one of which that is not known no window is open.
    pub(crate) fn is_open(&self, seconds: u64, east: impl Fn(&Zone) -> Option<i32>) -> bool {
        match &self.when {
            When::Once { from, to } => (*from..*to).contains(&(seconds / MINUTES)),
            When::Weekly { days, from, to, zone } => {
                let Some(east) = east(zone).map(i64::from) else { return false };
                let minutes = seconds.saturating_add_signed(east) / MINUTES;
                let (day, minute) = (minutes / DAY, minutes % DAY);
                // The epoch was a Thursday.
                let is_on = |day: u64| days[((day + 3) % 7) as usize];
                let is_today = is_on(day) && (*from..(*to).max(*from)).contains(&minute);
                let is_over_midnight = to <= from
                    && ((is_on(day) && minute >= *from)
                        || (day > 0 && is_on(day - 1) && minute < *to));
                is_today || is_over_midnight
            }
        }
    }
}

/// Reads `NAME=DAYS HH:MM-HH:MM MATCHER…, …`, with a zone behind the times or without, or with `DATE-TIME/DATE-TIME` in place of days and times.
///
/// # Errors
/// What is wrong, for the end of a sentence.
pub(crate) fn parse(text: &str) -> Result<Vec<Window>, String> {
    let items = text.split([',', '\n']).map(str::trim).filter(|it| !it.is_empty());
    items.map(window).collect()
}

fn window(item: &str) -> Result<Window, String> {
    let (name, rest) = item
        .split_once('=')
        .filter(|(name, _)| !name.is_empty() && !name.contains(char::is_whitespace))
        .ok_or_else(|| format!("{item:?} does not begin with NAME="))?;
    let mut words = rest.split_whitespace().peekable();
    let first = words.next().unwrap_or_default();
    let when = match first.split_once('/') {
        Some((from, to)) => once(from, to),
        None => {
            let times = words.next().unwrap_or_default();
            let zone = words.next_if(|it| Zone::parse(it).is_some()).and_then(Zone::parse);
            weekly(first, times, zone.unwrap_or(Zone::Utc))
        }
    };
    let when = when.ok_or_else(|| {
        format!("the time of {name} is neither mon-fri 02:00-04:00 nor 2026-12-01T02:00Z/2026-12-01T04:00Z")
    })?;
    let matchers = words.map(Matcher::parse).collect::<Result<_, _>>()?;
    Ok(Window { name: name.to_owned(), when, matchers })
}

fn weekly(days: &str, times: &str, zone: Zone) -> Option<When> {
    let mut on = [days == "daily"; 7];
    let day = |name: &str| DAYS.iter().position(|it| *it == name);
    for part in days.split('+').filter(|_| days != "daily") {
        let (from, to) = match part.split_once('-') {
            Some((from, to)) => (day(from)?, day(to)?),
            None => (day(part)?, day(part)?),
        };
        // Saturday to Monday goes round.
        (0..=(to + 7 - from) % 7).for_each(|it| on[(from + it) % 7] = true);
    }
    let (from, to) = times.split_once('-')?;
    let (from, to) = (minute(from)?, minute(to)?);
    (from != to && from < DAY).then_some(When::Weekly { days: on, from, to, zone })
}

/// `HH:MM` as a minute of the day; `24:00` is its end.
fn minute(text: &str) -> Option<u64> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |text: &str| (text.len() == 2).then(|| text.parse::<u64>().ok()).flatten();
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (minutes < 60 && hours * 60 + minutes <= DAY).then_some(hours * 60 + minutes)
}

fn once(from: &str, to: &str) -> Option<When> {
    let (from, to) = (moment(from)?, moment(to)?);
    (from < to).then_some(When::Once { from, to })
}

/// `2026-12-01T02:00Z` in minutes since the Unix epoch.
fn moment(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut parts = date.split('-').map(|it| it.parse::<u32>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1970..3_000).contains(&year) || parts.next().is_some() {
        return None;
    }
    // From a day that is early enough to the one that is called so.
    let near = u64::from(year - 1970) * 365 + u64::from(month.checked_sub(1)?) * 28;
    let is = |days: &u64| {
        let it = Civil::from_unix(days * DAY * MINUTES);
        (it.year, it.month, it.day) == (i64::from(year), month, day)
    };
    let days = (near..near + 1_000).find(is)?;
    Some(days * DAY + minute(time)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of a time like `2026-11-27T02:35Z`, which was a Friday.
    fn at(text: &str) -> u64 {
        moment(text).unwrap() * MINUTES
    }

    #[test]
    fn a_weekly_window_is_open_on_its_days_and_over_midnight() {
        let open = |text: &str, when: &str| {
            let east = |zone: &Zone| match zone {
                Zone::Utc => Some(0),
                Zone::Host => Some(5 * 3_600 + 1_800),
                Zone::Named(name) => (name == "Asia/Kathmandu").then_some(5 * 3_600 + 2_700),
            };
            parse(&format!("a={text}")).unwrap()[0].is_open(at(when), east)
        };
        for (text, when, is) in [
            ("daily 02:00-04:00", "2026-11-27T02:00Z", true),
            ("daily 02:00-04:00", "2026-11-27T03:59Z", true),
            ("daily 02:00-04:00", "2026-11-27T04:00Z", false),
            ("fri 00:00-24:00", "2026-11-27T23:59Z", true),
            ("fri 00:00-24:00", "2026-11-28T00:00Z", false),
            ("mon-thu 02:00-04:00", "2026-11-27T03:00Z", false),
            ("thu+sat 22:00-03:00", "2026-11-27T02:59Z", true),
            ("thu+sat 22:00-03:00", "2026-11-27T03:00Z", false),
            ("thu+sat 22:00-03:00", "2026-11-27T22:00Z", false),
            ("sat-mon 12:00-13:00", "2026-11-30T12:30Z", true),
            ("sat-mon 12:00-13:00", "2026-12-01T12:30Z", false),
            // Half past five hours east of here the next day has begun.
            ("sat 02:00-04:00 local", "2026-11-27T20:29Z", false),
            ("sat 02:00-04:00 local rule=a", "2026-11-27T20:30Z", true),
            ("sat 02:00-04:00 local", "2026-11-27T22:30Z", false),
            ("sat 02:00-04:00", "2026-11-27T20:30Z", false),
            ("sat 02:00-04:00 UTC", "2026-11-27T20:30Z", false),
            ("sat 02:00-04:00 Asia/Kathmandu", "2026-11-27T20:14Z", false),
            ("sat 02:00-04:00 Asia/Kathmandu rule=a", "2026-11-27T20:15Z", true),
            ("sat 00:00-24:00 Nowhere/Land", "2026-11-28T12:00Z", false),
            ("2026-12-01T02:00Z/2026-12-01T04:00Z rule=a", "2026-12-01T03:59Z", true),
            ("2026-12-01T02:00Z/2026-12-01T04:00Z", "2026-12-01T04:00Z", false),
        ] {
            assert_eq!(open(text, when), is, "{text} {when}");
        }
        assert_eq!(at("2000-02-29T12:34Z"), 951_827_640);
        assert_eq!(moment("2026-02-29T12:34Z"), None);
    }

    #[test]
    fn windows_are_told_apart_and_what_is_wrong_is_told() {
        let found = parse("a=daily 02:00-03:00 severity=warning pool=x,b=sun 00:00-01:00").unwrap();
        assert_eq!((found.len(), found[0].matchers.len(), &*found[1].name), (2, 2, "b"));
        for (text, why) in [
            ("daily 02:00-03:00", "NAME="),
            ("a=never 02:00-03:00", "the time of a"),
            ("a=daily 02:00-02:00", "the time of a"),
            ("a=daily 2:00-25:00", "the time of a"),
            ("a=2026-13-01T02:00Z/2026-12-01T04:00Z", "the time of a"),
            ("a=daily 02:00-03:00 everything", "NAME=VALUE"),
            ("a=daily 02:00-03:00 ../etc/passwd", "NAME=VALUE"),
        ] {
            assert!(parse(text).unwrap_err().contains(why), "{text}");
        }
    }
}
