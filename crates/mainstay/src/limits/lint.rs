//! What is allowed and most probably not meant, each finding by a name that can be looked up in
//! docs/rate-limits.md.

use super::parse::Rate;
use super::rules::KeyBy;
use super::settings::Settings;

/// What is said of which key.
pub(crate) type Finding = (&'static str, String);

/// What of the rest of the configuration matters for limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around {
    /// Requests come over a unix socket.
    pub(crate) unix: bool,
    /// Who comes over a unix socket may say for whom.
    pub(crate) trusts_unix: bool,
}

/// All findings.
pub(crate) fn findings(settings: &Settings, around: Around) -> Vec<Finding> {
    let mut found = Vec::new();
    let groups = [
        ("limits.default", &settings.default),
        ("limits.application", &settings.application),
        ("limits.meta", &settings.meta),
    ];
    let rules = settings.rules.iter().map(|rule| ("limits.routes", &rule.rates));
    for (key, rates) in groups.into_iter().chain(rules) {
        of_rates(key, rates, &mut found);
    }
    for (index, rule) in settings.rules.iter().enumerate() {
        if let Some(before) = settings.rules[..index].iter().find(|it| it.hides(rule)) {
            let (rule, before) = (rule.place(), before.place());
            found.push((
                "limits.routes",
                format!("rule-never-met: \"{rule}\" is never met, \"{before}\" stands before it"),
            ));
        }
    }
    let limits = !settings.default.is_empty()
        || !settings.application.is_empty()
        || !settings.rules.is_empty()
        || settings.concurrency > 0;
    if !settings.enabled && limits {
        found.push(("limits.enabled", "limits-off: limits are set and none of them counts".into()));
    }
    if !settings.meta.is_empty() && !limits {
        found.push(("limits.meta", "meta-alone: there are no limits that could be broken".into()));
    }
    if limits && settings.key != KeyBy::Address {
        let what = "key-is-the-clients: clients choose its value; unless something before \
                    this service checks it, a new value is a new client";
        found.push(("limits.key", what.into()));
    }
    if limits && settings.key == KeyBy::Address && around.unix && !around.trusts_unix {
        let what = "all-are-one: clients over a unix socket have no address and are counted as one; \
                    name \"unix\" in proxy.trusted if a proxy says who they are";
        found.push(("limits.key", what.into()));
    }
    found
}

fn of_rates(key: &'static str, rates: &[Rate], found: &mut Vec<Finding>) {
    for (index, rate) in rates.iter().enumerate() {
        if rate.amount == 0 {
            found.push((key, format!("refuses-everything: \"{rate}\" admits nobody")));
        }
        // Who keeps to fewer in a longer time keeps to this one too.
        let binds_more = |(other, it): (usize, &Rate)| {
            let same = it.amount == rate.amount && it.window() == rate.window();
            it.amount <= rate.amount && it.window() >= rate.window() && (!same || other < index)
        };
        let others = || rates.iter().enumerate().filter(|(other, _)| *other != index);
        if let Some((_, other)) = others().find(|(at, it)| binds_more((*at, it))) {
            found.push((key, format!("never-binds: \"{rate}\" never binds beside \"{other}\"")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    fn names(change: impl FnOnce(&mut Limits), unix: bool, trusts_unix: bool) -> Vec<String> {
        let mut limits = Limits::for_tests();
        change(&mut limits);
        let settings = Settings::of(&limits).unwrap();
        let found = findings(&settings, Around { unix, trusts_unix });
        found.into_iter().map(|(_, it)| it.split(':').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn each_finding_has_its_name() {
        let none: [&str; 0] = [];
        assert_eq!(names(|it| it.default = "10/minute; 100/hour".into(), true, true), none);
        assert_eq!(
            names(|it| it.default = "10/minute; 10/hour".into(), false, false),
            ["never-binds"]
        );
        assert_eq!(
            names(|it| it.default = "5/minute; 5/minute".into(), false, false),
            ["never-binds"]
        );
        assert_eq!(names(|it| it.default = "0/day".into(), false, false), ["refuses-everything"]);
        assert_eq!(names(|it| it.meta = "5/day".into(), false, false), ["meta-alone"]);
        assert_eq!(names(|it| it.default = "5/day".into(), true, false), ["all-are-one"]);
        let hidden = |it: &mut Limits| it.routes = "/a/*: 1/day & GET /a/b: 2/day".into();
        assert_eq!(names(hidden, false, false), ["rule-never-met"]);
        let header = |it: &mut Limits| {
            it.application = "1/day".into();
            it.key = "header:x-api-key".into();
        };
        assert_eq!(names(header, true, false), ["key-is-the-clients"]);
        let off = |it: &mut Limits| {
            it.application = "1/day".into();
            it.enabled = false;
        };
        assert_eq!(names(off, false, false), ["limits-off"]);
    }
}
