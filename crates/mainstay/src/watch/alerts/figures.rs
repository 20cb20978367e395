//! What own rules look at: the series that they choose, out of all that `/metrics` shows.

use super::super::directories::Directories;
use super::super::metrics::walk;
use super::super::rules::own::Found;
use crate::config::own::{OwnRule, Selector};
use crate::metrics::label;
use crate::metrics::text::{Shape, Sink, Value};
use crate::status::Status;
use mainstay_os::segment::{Segment, Tally, upper_edge};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Collects while it is shown everything.
struct Chosen<'a> {
    wanted: Vec<&'a Selector>,
    names: HashSet<&'a str>,
    found: Vec<Found>,
}

impl<'a> Chosen<'a> {
    fn new(wanted: Vec<&'a Selector>) -> Chosen<'a> {
        let names = wanted.iter().map(|it| &*it.metric).collect();
        Chosen { found: vec![Found::Nothing; wanted.len()], names, wanted }
    }

    fn each(&mut self, name: &str, labels: &str, mut add: impl FnMut(&mut Found)) {
        if !self.names.contains(name) {
            return;
        }
        let mut read = None;
        for (selector, found) in self.wanted.iter().zip(&mut self.found) {
            if selector.metric != name {
                continue;
            }
            let labels = read.get_or_insert_with(|| label::parse(labels));
            let of = |name: &str| {
                let found = labels.iter().find(|(it, _)| it == name);
                found.map_or("", |(_, value)| value.as_str())
            };
            if selector
                .labels
                .iter()
                .all(|(name, is_equal, value)| (of(name) == value) == *is_equal)
            {
                add(found);
            }
        }
    }
}

impl Sink for Chosen<'_> {
    fn wants(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    fn family(&mut self, _: &str, _: Shape, _: &str) {}

    fn sample(&mut self, name: &str, labels: &str, value: Value) {
        let value = match value {
            Value::Whole(whole) => whole as f64,
            // What nobody has set is nothing, and could not be kept as a number.
            Value::Real(real) if !real.is_finite() => return,
            Value::Real(real) => real,
        };
        self.each(name, labels, |found| {
            let before = if let Found::Number(number) = found { *number } else { 0.0 };
            let sum = before + value;
            if sum.is_finite() {
                *found = Found::Number(sum);
            }
        });
    }

    fn histogram(&mut self, name: &str, labels: &str, tally: &Tally) {
        self.each(name, labels, |found| {
            let mut bins = match std::mem::take(found) {
                Found::Bins(bins) => bins,
                _ => BTreeMap::new(),
            };
            for (bin, count) in tally.bins.iter().enumerate().filter(|(_, count)| **count > 0) {
                *bins.entry(upper_edge(bin)).or_default() += count;
            }
            *found = Found::Bins(bins);
        });
    }
}

/// What is found for each rule, by its name.
pub(super) fn find(
    rules: &[OwnRule],
    segment: &Segment,
    status: &Status,
    directories: &Directories,
) -> BTreeMap<String, [Found; 2]> {
    if rules.is_empty() {
        return BTreeMap::new();
    }
    // Many rules look at the same, each with a window or a threshold of its own.
    let (mut wanted, mut places) = (Vec::new(), HashMap::new());
    for selector in rules.iter().flat_map(|it| [Some(&it.of), it.by.as_ref()]).flatten() {
        places.entry(selector).or_insert_with(|| {
            wanted.push(selector);
            wanted.len() - 1
        });
    }
    let mut chosen = Chosen::new(wanted);
    walk(segment, status, &directories.seen(), &mut chosen);
    let of = |selector: Option<&Selector>| {
        let place = selector.and_then(|it| places.get(it));
        place.map_or(Found::Nothing, |place| chosen.found[*place].clone())
    };
    let each = rules.iter().map(|it| (it.name.clone(), [of(Some(&it.of)), of(it.by.as_ref())]));
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::own::parse;
    use crate::metrics::names;
    use crate::metrics::requests::Requests;
    use mainstay_os::segment::Layout;

    #[test]
    fn what_is_no_number_is_nothing_and_spoils_no_sum() {
        let rules = parse("a: value(queue) > 1; b: value(empty) > 1").unwrap();
        let wanted: Vec<_> = rules.iter().map(|it| &it.of).collect();
        let mut chosen = Chosen::new(wanted);
        for (name, value) in
            [("queue", 2.0), ("queue", f64::NAN), ("queue", f64::INFINITY), ("empty", f64::NAN)]
        {
            chosen.sample(name, "", Value::Real(value));
        }
        chosen.sample("queue", "", Value::Real(f64::MAX));
        chosen.sample("queue", "", Value::Real(f64::MAX));
        assert_eq!(chosen.found, [Found::Number(f64::MAX), Found::Nothing]);
    }

    #[test]
    fn what_is_chosen_is_added_up_from_what_metrics_show() {
        let (counters, metrics, ring_bytes) = (names::CELLS, names::CAPACITY, [64; 3]);
        let segment =
            Segment::on_heap(Layout { slots: 4, ring_bytes, metrics, ..Layout::small(counters) });
        segment.slot(0).unwrap().hand_out(1, 0, 0);
        let mut requests = Requests::new(segment.clone(), 0, |_| {});
        for (route, status, times) in [("/a", 200, 3), ("/a", 500, 4), ("/b", 200, 5)] {
            let series = requests.series(b"GET", Some(route), status);
            let measures = segment.slot(0).unwrap().measures();
            (0..times).for_each(|_| measures.observe_in_turn(series.duration, 1_000_000));
        }
        segment.slot(0).unwrap().add(names::event_cell_of("authn_login_fail").unwrap(), 6);
        let name = crate::metrics::families::REQUEST_DURATION.name;
        let rules = parse(&format!(
            "a: p95({name}{{route=\"/a\"}}, 5m) > 1; b: p95({name}{{status!=\"5xx\"}}, 5m) > 1; \
             c: ratio(mainstay_events_total{{event=\"authn_login_fail\"}} / mainstay_events_total, 5m) > 1; \
             d: value(nothing) > 1"
        ))
        .unwrap();
        let status = Status::read(&segment, "shop", "1");
        let found = find(&rules, &segment, &status, &Directories::default());
        let count = |name: &str| match &found[name][0] {
            Found::Bins(bins) => bins.values().sum::<u64>(),
            other => panic!("{other:?}"),
        };
        assert_eq!((count("a"), count("b")), (7, 8));
        assert_eq!(found["c"], [Found::Number(6.0), Found::Number(6.0)]);
        assert_eq!(found["d"][0], Found::Nothing);
    }
}
