//! Whether something goes to and fro, as Nagios tells it: how many of the last 21 looks differ from the one
//! before, those of late counting more.

use serde::{Deserialize, Serialize};

/// Looks that are remembered.
const LOOKS: u32 = 21;
/// Above this part of changes it flaps; below the other it does no more.
const HIGH: f64 = 0.25;
const LOW: f64 = 0.05;

/// The last looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Flap {
    /// One bit for each look, the last one the lowest; 1 is bad.
    looks: u32,
    is_flapping: bool,
}

impl Flap {
    pub(super) fn note(&mut self, is_bad: bool) {
        self.looks = (self.looks << 1 | u32::from(is_bad)) & ((1 << LOOKS) - 1);
        let part = self.changes();
        self.is_flapping = if self.is_flapping { part >= LOW } else { part > HIGH };
    }

    pub(super) fn is_flapping(self) -> bool {
        self.is_flapping
    }

    /// The weighted part of looks that differ from the one before: the oldest counts 0.8, the last one 1.2.
    fn changes(self) -> f64 {
        let pairs = LOOKS - 1;
        let changed = self.looks ^ self.looks >> 1;
        let weight = |age: u32| 1.2 - 0.4 * f64::from(age) / f64::from(pairs - 1);
        let sum: f64 = (0..pairs).filter(|age| changed >> age & 1 == 1).map(weight).sum();
        sum / f64::from(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(looks: &str) -> Flap {
        let mut flap = Flap::default();
        looks.chars().for_each(|look| flap.note(look == 'x'));
        flap
    }

    #[test]
    fn one_outage_is_no_flapping_and_three_in_a_row_are() {
        assert!(!after("xxxxx......").is_flapping());
        assert!(!after("xxxx.......xxxx......").is_flapping());
        assert!(after("xx..xx..xx..").is_flapping());
    }

    #[test]
    fn calm_ends_it_only_after_the_changes_are_forgotten() {
        let mut flap = after("x.x.x.x.");
        let calm = (1..40).find(|_| {
            flap.note(false);
            !flap.is_flapping()
        });
        assert!(calm.is_some_and(|looks| (18..=21).contains(&looks)), "{calm:?}");
    }

    #[test]
    fn all_changes_are_a_part_of_one() {
        let flap = after(&"x.".repeat(11));
        assert!((flap.changes() - 1.0).abs() < 1e-9);
    }
}
