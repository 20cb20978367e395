//! The totals of the segment at one moment, and what was added between two of them: whatever time watch was away,
//! nothing that was counted is missing, and nothing is there twice.

use super::intake::Happening;
use super::roll::Bucket;
use super::shape::Shape;
use crate::metrics::exits;
use mainstay_os::segment::upper_edge;
use serde::{Deserialize, Serialize};

/// Nanoseconds, or billionths.
const BILLION: f64 = 1e9;
/// A service is young for so long, seconds.
const YOUNG: i64 = 60;

/// The totals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// When the service began; another one's totals say nothing of this one's.
    pub(crate) birth: u64,
    pub(crate) requests: u64,
    /// Of these, those that ended with a 5xx.
    pub(crate) errors: u64,
    /// Time that all requests took, seconds.
    pub(crate) took: f64,
    /// How many took how long, by the segment's bins.
    pub(crate) bins: Vec<u64>,
    pub(crate) generation: u64,
    /// The application's version.
    pub(crate) version: String,
    /// Upgrades of the supervisor in place.
    pub(crate) upgrades: u64,
    /// Ends of workers, in the order of the table of reasons.
    pub(crate) exits: Vec<u64>,
}

impl Totals {
    /// The same, but for what is lower than before: what the segment counts goes up alone, and a look at some of it
    /// while it does may be a little behind. What was counted before must not be counted once more.
    pub(crate) fn not_below(mut self, before: Option<&Totals>) -> Totals {
        let Some(before) = before.filter(|it| it.birth == self.birth) else { return self };
        self.requests = self.requests.max(before.requests);
        self.errors = self.errors.max(before.errors);
        self.took = self.took.max(before.took);
        for (bin, known) in self.bins.iter_mut().zip(&before.bins) {
            *bin = (*bin).max(*known);
        }
        self
    }

    /// What is to be subtracted: nothing for a service that has just begun. Of one that has run for long and of which
    /// nothing is known, what was before says nothing of the last ten seconds.
    fn base<'a>(&'a self, before: Option<&'a Totals>, at: i64) -> Option<&'a Totals> {
        match before.filter(|it| it.birth == self.birth) {
            Some(before) => Some(before),
            None if at - (self.birth / 1_000_000_000) as i64 <= YOUNG => None,
            None => Some(self),
        }
    }

    /// The requests since `before`, and how long they took.
    pub(crate) fn requests_since(&self, before: Option<&Totals>, at: i64) -> [Bucket; 2] {
        let before = self.base(before, at);
        let of = |value: fn(&Totals) -> u64| value(self).saturating_sub(before.map_or(0, value));
        let requests =
            Bucket { n: of(|it| it.requests), bad: of(|it| it.errors), ..Bucket::default() };
        let (mut shape, mut n, mut lower) = (Shape::default(), 0, 0);
        for (bin, count) in self.bins.iter().enumerate() {
            let known = before.and_then(|it| it.bins.get(bin)).copied().unwrap_or(0);
            let upper = upper_edge(bin);
            // The geometric middle of a bin; of the first, and of the last, the edge that they have.
            let middle = match (lower, upper) {
                (0, upper) => upper as f64,
                (lower, u64::MAX) => lower as f64,
                (lower, upper) => (lower as f64 * upper as f64).sqrt(),
            };
            let more = count.saturating_sub(known);
            shape.add(middle / BILLION, more);
            n += more;
            lower = upper;
        }
        let sum = (self.took - before.map_or(0.0, |it| it.took)).max(0.0);
        let shape = (n > 0).then(|| Box::new(shape));
        [requests, Bucket { n, sum, shape, ..Bucket::default() }]
    }

    /// What happened since `before`.
    pub(crate) fn happenings_since(&self, before: Option<&Totals>, at: i64) -> Vec<Happening> {
        let tell = |kind, what: &str, text| Happening { at, kind, what: what.to_owned(), text };
        let version = if self.version.is_empty() {
            String::new()
        } else {
            format!("version {}", self.version)
        };
        let Some(before) = self.base(before, at) else {
            return vec![tell("deployment", "start", version)];
        };
        let mut found = Vec::new();
        if self.upgrades > before.upgrades {
            found.push(tell("deployment", "upgrade", version.clone()));
        }
        if self.generation > before.generation {
            let text = format!("generation {} {version}", self.generation);
            found.push(tell("deployment", "reload", text.trim_end().to_owned()));
        }
        for (row, (now, then)) in exits::TABLE.iter().zip(self.exits.iter().zip(&before.exits)) {
            if now > then {
                let plan = if row.planned { "planned" } else { "unplanned" };
                let count = now - then;
                found.push(tell("exit", row.name, format!("{count} workers ended, {plan}")));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service that began a thousand seconds after the epoch.
    fn totals(requests: u64) -> Totals {
        let (birth, bins) = (1_000_000_000_000, vec![requests; 2]);
        Totals { birth, requests, errors: 1, took: requests as f64, bins, ..Totals::default() }
    }

    #[test]
    fn what_a_look_found_a_little_behind_is_not_counted_once_more() {
        let (mut before, mut counted) = (totals(10), [0; 2]);
        for found in [30, 29, 31] {
            let now = totals(found).not_below(Some(&before));
            let [requests, times] = now.requests_since(Some(&before), 5_000);
            counted = [counted[0] + requests.n, counted[1] + times.n];
            before = now;
        }
        assert_eq!(counted, [21, 42]);
        let other = Totals { birth: 1, ..totals(5) };
        assert_eq!(other.clone().not_below(Some(&before)), other, "of another service");
    }

    #[test]
    fn what_was_added_between_two_looks_is_there_once() {
        let [requests, times] = totals(30).requests_since(Some(&totals(10)), 5_000);
        assert_eq!((requests.n, requests.bad, times.n, times.sum), (20, 0, 40, 20.0));
    }

    #[test]
    fn all_of_a_young_service_counts_and_nothing_of_an_old_one_that_nobody_has_looked_at() {
        let other = Totals { birth: 4, ..totals(10) };
        for before in [None, Some(&other)] {
            let n = |at| totals(30).requests_since(before, at)[0].n;
            assert_eq!((n(1_020), n(5_000)), (30, 0));
        }
    }

    #[test]
    fn starts_reloads_and_ends_of_workers_are_told() {
        let before = Totals { exits: vec![0; exits::TABLE.len()], ..totals(1) };
        let mut now = before.clone();
        assert_eq!(now.happenings_since(Some(&before), 1_010), []);
        now.generation += 1;
        now.exits[0] += 2;
        let told: Vec<_> =
            now.happenings_since(Some(&before), 1_010).into_iter().map(|it| it.what).collect();
        assert_eq!(told, ["reload", exits::TABLE[0].name]);
        assert_eq!(now.happenings_since(None, 1_010)[0].what, "start");
        assert_eq!(now.happenings_since(None, 9_000), [], "nobody saw it start");
    }
}
