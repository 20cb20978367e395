//! How clocks stand in the zones that windows of maintenance name.

use super::super::rules::Moment;
use crate::config::maintenance::{Window, Zone};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};

/// Those that are named, as this host knows them.
#[derive(Debug, Default)]
pub(super) struct Zones(BTreeMap<String, TimeZone>);

impl Zones {
    /// Those of windows, and which of them are not known here. The configuration was refused if that was so when it
    /// was read; a file that has gone since must not end who looks after the service.
    pub(super) fn of(windows: &[Window]) -> (Zones, BTreeSet<String>) {
        let (mut zones, mut unknown) = (BTreeMap::new(), BTreeSet::new());
        for name in windows.iter().filter_map(Window::zone) {
            match TimeZone::get(name) {
                Ok(zone) => drop(zones.insert(name.to_owned(), zone)),
                Err(_) => drop(unknown.insert(name.to_owned())),
            }
        }
        (Zones(zones), unknown)
    }

    /// Seconds east of UTC at that moment.
    pub(super) fn east(&self, zone: &Zone, now: Moment) -> Option<i32> {
        let seconds = i64::try_from(now / 1_000_000_000).ok()?;
        match zone {
            Zone::Utc => Some(0),
            Zone::Host => Some(mainstay_os::zone::offset_at(seconds)),
            Zone::Named(name) => {
                let at = Timestamp::from_second(seconds).ok()?;
                Some(self.0.get(name)?.to_offset(at).seconds())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_zone_has_its_summers_and_one_that_is_not_known_has_no_time() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let zones = Zones(BTreeMap::from([("Europe/Berlin".to_owned(), berlin)]));
        let named = |name: &str| Zone::Named(name.to_owned());
        // 22 November and 22 July 2026.
        let [winter, summer] = [1_795_342_252, 1_784_714_400].map(|it| it * 1_000_000_000);
        let east = |zone: Zone, at| zones.east(&zone, at);
        assert_eq!(east(named("Europe/Berlin"), winter), Some(3_600));
        assert_eq!(east(named("Europe/Berlin"), summer), Some(7_200));
        assert_eq!((east(named("Nowhere/Land"), winter), east(Zone::Utc, summer)), (None, Some(0)));
    }
}
