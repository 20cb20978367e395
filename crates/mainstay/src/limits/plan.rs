//! Which limits a request meets: made once from the settings, so that a request only looks.

use super::parse::Rate;
use super::rules::{Away, Rule};
use super::settings::Settings;
use super::who::NETWORK;
use mainstay_os::segment::{Policy, Strategy};
use std::time::Duration;

/// Most limits that one request may meet.
pub(crate) const MOST: usize = 16;

/// A limit as it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Met {
    pub(crate) policy: Policy,
    pub(crate) rate: Rate,
    /// Its name for clients and metrics, unlike that of any other.
    pub(crate) name: Box<str>,
    /// What is counted together.
    pub(crate) scope: Box<str>,
    /// It counts what a whole [network](super::who::NETWORK) of IPv6 does, and nobody else.
    pub(crate) is_wide: bool,
    /// It refuses nothing.
    pub(crate) dry_run: bool,
    /// What becomes of it while the store is away.
    pub(crate) away: Away,
    /// Its place among all limits of the plan.
    pub(crate) index: usize,
}

/// All limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) application: Vec<Met>,
    pub(crate) meta: Vec<Met>,
    pub(crate) default: Vec<Met>,
    pub(crate) rules: Vec<(Rule, Vec<Met>)>,
    pub(crate) excess_404: Vec<Met>,
}

impl Plan {
    /// The plan of these settings.
    ///
    /// # Errors
    /// Which limit of which key cannot be counted, and why.
    pub(crate) fn of(settings: &Settings) -> Result<Plan, (&'static str, String)> {
        let mut made = Made { settings, count: 0 };
        // The names of keys stand where the problem is told.
        let within = |key: &'static str| move |error: String| (key, error);
        let application = made.group("application", "global", &settings.application, false, None);
        let application = application.and_then(|it| with_room(made.with_networks(it)?, 0));
        let application = application.map_err(within("limits.application"))?;
        // Those of the application and of the path are decided on together; all others one by one.
        let before = application.len();
        let meta = made.group("meta", "meta", &settings.meta, false, None);
        let meta = meta.and_then(|it| with_room(it, 0)).map_err(within("limits.meta"))?;
        let default = made.group("default", "default", &settings.default, false, None);
        let default = default.and_then(|it| with_room(made.with_networks(it)?, before));
        let default = default.map_err(within("limits.default"))?;
        let mut rules = Vec::new();
        for rule in &settings.rules {
            let place = rule.place();
            let group = made.group(&place, &place, &rule.rates, rule.dry_run, rule.away);
            let group = group.and_then(|it| with_room(made.with_networks(it)?, before));
            rules.push((rule.clone(), group.map_err(within("limits.routes"))?));
        }
        let excess_404 = made.group("excess-404", "excess-404", &settings.excess_404, true, None);
        let excess_404 = excess_404.and_then(|it| with_room(it, 0));
        let excess_404 = excess_404.map_err(within("limits.excess_404"))?;
        Ok(Plan { application, meta, default, rules, excess_404 })
    }

    /// The limits of one request: those of the application, then those of its path.
    pub(crate) fn met(&self, method: &str, path: &str) -> impl Iterator<Item = &Met> {
        self.application.iter().chain(self.of_path(method, path))
    }

    /// The limits that a request meets because of its path.
    #[inline]
    pub(crate) fn of_path(&self, method: &str, path: &str) -> &[Met] {
        self.of_group(self.group(method, path))
    }

    /// Which limits those are: the number of the rule, or that behind the last for the default limits.
    #[inline]
    pub(crate) fn group(&self, method: &str, path: &str) -> usize {
        let rule = self.rules.iter().position(|(rule, _)| rule.meets(method, path));
        rule.unwrap_or(self.rules.len())
    }

    /// The limits of a [`Plan::group`].
    #[inline]
    pub(crate) fn of_group(&self, group: usize) -> &[Met] {
        self.rules.get(group).map_or(&self.default, |(_, limits)| limits)
    }

    /// Every limit, by its index.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Met> {
        let first = [&self.application, &self.meta, &self.default].into_iter();
        let groups = first.chain(self.rules.iter().map(|(_, limits)| limits));
        groups.chain([&self.excess_404]).flatten()
    }

    /// Whether there is nothing that requests could meet.
    pub(crate) fn is_empty(&self) -> bool {
        self.application.is_empty() && self.default.is_empty() && self.rules.is_empty()
    }
}

struct Made<'a> {
    settings: &'a Settings,
    count: usize,
}

impl Made<'_> {
    /// Limits that stand together, shortest unit first as Flask-Limiter has them. What says the same
    /// as another is not counted twice.
    fn group(
        &mut self,
        origin: &str,
        scope: &str,
        rates: &[Rate],
        dry_run: bool,
        away: Option<Away>,
    ) -> Result<Vec<Met>, String> {
        let away = away.unwrap_or(self.settings.away);
        let mut sorted = rates.to_vec();
        sorted.sort_by_key(Rate::unit_seconds);
        let mut group: Vec<Met> = Vec::new();
        for rate in sorted {
            let policy = policy(self.settings.strategy, &rate)?;
            if group.iter().any(|it| it.policy.id == policy.id) {
                continue;
            }
            let alone = rates.len() == 1;
            let mut name =
                if alone { origin.to_owned() } else { format!("{origin}-{}", rate.window()) };
            if group.iter().any(|it| *it.name == *name) {
                name = format!("{name}-{}", rate.amount);
            }
            let (name, scope, index) = (name.into(), scope.into(), self.count);
            let dry_run = dry_run || self.settings.dry_run;
            group.push(Met { policy, rate, name, scope, is_wide: false, dry_run, away, index });
            self.count += 1;
        }
        Ok(group)
    }

    /// Behind the limits of clients the same for networks of IPv6, with as many times the amount as is configured.
    fn with_networks(&mut self, mut group: Vec<Met>) -> Result<Vec<Met>, String> {
        let times = self.settings.ipv6_network;
        if times == 0 {
            return Ok(group);
        }
        for at in 0..group.len() {
            let mut wide = Met { is_wide: true, index: self.count, ..group[at].clone() };
            wide.name = format!("{}-ipv6-{NETWORK}", wide.name).into();
            wide.rate.amount = wide.rate.amount.saturating_mul(times);
            wide.policy = policy(self.settings.strategy, &wide.rate)
                .map_err(|error| format!("{error}, {times} times the amount of a client"))?;
            group.push(wide);
            self.count += 1;
        }
        Ok(group)
    }
}

/// These limits, unless a request that has met `before` others would meet too many with them.
fn with_room(group: Vec<Met>, before: usize) -> Result<Vec<Met>, String> {
    match before + group.len() {
        ..=MOST => Ok(group),
        many => Err(format!("a request would meet {many} limits, and {MOST} at most are counted")),
    }
}

/// What the table counts for a rate.
///
/// # Errors
/// Why it cannot count it.
pub(crate) fn policy(strategy: Strategy, rate: &Rate) -> Result<Policy, String> {
    let window = Duration::from_secs(rate.window());
    Policy::new(strategy, rate.amount, window).map_err(|error| format!("\"{rate}\": {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn plan(change: impl FnOnce(&mut config::Limits)) -> Result<Plan, (&'static str, String)> {
        let mut limits = config::Limits::for_tests();
        change(&mut limits);
        Plan::of(&Settings::of(&limits).unwrap())
    }

    /// So many limits that are unlike each other, whose windows begin with this one.
    fn rates(count: usize, first: usize) -> String {
        let rates = (0..count).map(|at| format!("100/{} minute", first + at));
        rates.collect::<Vec<_>>().join("; ")
    }

    /// How many limits a request meets.
    fn met(plan: &Plan, path: &str) -> usize {
        plan.met("GET", path).count()
    }

    #[test]
    fn a_request_meets_up_to_sixteen_limits_however_they_are_divided() {
        for application in 0..=MOST {
            let with = |more: usize| {
                plan(|it| {
                    it.application = rates(application, 1);
                    it.default = rates(MOST - application + more, 100);
                })
            };
            let plan = with(0).expect("as many as may be");
            assert_eq!(met(&plan, "/"), MOST, "{application}");
            let (key, reason) = with(1).expect_err("one more");
            assert_eq!(
                (key, &*reason),
                ("limits.default", "a request would meet 17 limits, and 16 at most are counted")
            );
        }
        let (key, _) = plan(|it| it.application = rates(MOST + 1, 1)).expect_err("one more");
        assert_eq!(key, "limits.application");
    }

    #[test]
    fn networks_of_ipv6_double_what_a_request_meets_and_no_more() {
        let with = |application, of_rule| {
            plan(|it| {
                it.ipv6_network = 8;
                it.application = rates(application, 1);
                it.routes = format!("/a: {}", rates(of_rule, 100));
            })
        };
        assert_eq!(met(&with(5, 3).expect("as many as may be"), "/a"), MOST);
        assert_eq!(met(&with(7, 1).expect("as many as may be"), "/a"), MOST);
        let (key, reason) = with(5, 4).expect_err("one more");
        assert_eq!(
            (key, &*reason),
            ("limits.routes", "a request would meet 18 limits, and 16 at most are counted")
        );
        let (key, _) = with(9, 1).expect_err("more than there is room for");
        assert_eq!(key, "limits.application");
    }

    #[test]
    fn what_is_said_twice_and_what_no_request_is_decided_by_takes_no_room() {
        let plan = plan(|it| {
            it.ipv6_network = 8;
            it.application = format!("{0}; {0}", rates(8, 1));
            it.meta = rates(MOST, 1);
            it.excess_404 = rates(MOST, 1);
        });
        assert_eq!(met(&plan.expect("as many as may be"), "/"), MOST);
        let (key, _) = self::plan(|it| it.meta = rates(MOST + 1, 1)).expect_err("one more");
        assert_eq!(key, "limits.meta");
    }
}
