//! Rate limits, as a layer: who came too often is refused with a 429 before the application is asked,
//! and who did not is told how often he may still come.
//!
//! Which limits a request meets was decided when the worker began (`limits::plan`), the count is kept by
//! the segment's table for all processes, or by a store for all hosts (`remote`), for which the request waits a
//! moment. A request that is refused by one limit uses up none. Before all of them stands who is banned (`ban`).

pub(crate) mod ban;
pub(crate) mod breach;
pub(crate) mod concurrent;
mod fields;
pub(crate) mod lookout;
mod refusal;
#[cfg_attr(not(feature = "redis"), path = "alone.rs")]
mod remote;
pub(crate) mod route;
mod shown;
mod tell;

pub(crate) use refusal::Quota;
pub(crate) use remote::Waiting;

use super::book::Recorder;
use super::context::{Context, current};
use crate::clock::Mono;
use crate::limits::flood::Flood;
use crate::limits::jails::Why;
use crate::limits::plan::{MOST, Met, Plan};
use crate::limits::settings::{Fields, Settings};
use crate::limits::who::{Address, Who};
use crate::log::Log;
use crate::metrics::registry::Metrics;
use crate::metrics::{Counter, families};
use ban::Warden;
use bytes::Bytes;
use concurrent::{AtOnce, Held};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use mainstay_os::segment::{Hit, Policy, Scope, Verdict};
use refusal::Refusal;
use route::Noted;
pub(crate) use shown::Admitted;
use shown::{Group, Shown};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Limits that an answer tells of; of more it tells of those that are nearest to their end.
const TOLD: usize = 4;
/// As many as most requests meet at most.
const FEW: usize = 2;
const SECOND: u64 = 1_000_000_000;

/// The limits of one process.
pub(crate) struct Limiter {
    settings: Settings,
    plan: Plan,
    /// The limit of requests at once.
    at_once: Option<AtOnce>,
    /// Who is told of refusals, and refuses first.
    warden: Arc<Warden>,
    log: Log,
    metrics: Arc<Metrics>,
    /// Stands in arrays where there is no hit.
    blank: Hit,
    is_active: bool,
    /// What is told of each limit, and its counts, by its index.
    kept: Vec<Kept>,
    /// The groups of the plan.
    groups: Vec<Group>,
    flood: Mutex<Flood>,
    /// What counts for several hosts.
    remote: Option<remote::Remote>,
    /// Limits of the application's code, whose indexes go on behind those of the plan.
    own: Mutex<Vec<Kept>>,
}

/// What is known of a limit besides its count.
#[derive(Clone, Debug)]
struct Kept {
    name: Box<str>,
    text: String,
    scope: Box<str>,
    amount: u64,
    /// The same as the value of a field.
    told: HeaderValue,
    /// Seconds.
    window: u64,
    /// It is a limit of networks.
    is_wide: bool,
    /// Policy and scope, hashed.
    counted: Scope,
    counts: Option<[Counter; 3]>,
    /// Whoever has fewer left is near to the limit, which is counted there.
    near: (u64, Option<Counter>),
}

/// What a limit made of a request; the order of [`Kept::counts`].
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Allowed,
    Denied,
    WouldDeny,
}

const OUTCOMES: [&str; 3] = ["allowed", "denied", "would_deny"];

/// Who asks for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) context: Option<&'a Context>,
    pub(crate) client: Option<IpAddr>,
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) now: Mono,
    /// Wall time, nanoseconds.
    pub(crate) wall: u64,
}

/// What became of a request at its limits.
#[derive(Debug)]
pub(crate) enum Entered {
    /// With what it holds while it is under way.
    Admitted(Admitted, Option<Arc<Held>>),
    Refused(Box<Response<Bytes>>),
    /// The store is being asked.
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "there is none"))]
    Waits(Box<Waiting>, Option<Arc<Held>>),
}

impl Entered {
    /// With what the request holds; who is refused holds nothing.
    #[inline(always)]
    fn holding(self, held: Option<Arc<Held>>) -> Entered {
        match self {
            Entered::Admitted(admitted, _) => Entered::Admitted(admitted, held),
            Entered::Waits(waiting, _) => Entered::Waits(waiting, held),
            refused @ Entered::Refused(_) => refused,
        }
    }
}

/// The same, where nothing is waited for.
pub(crate) type Decided = Result<Admitted, Box<Response<Bytes>>>;

impl From<Decided> for Entered {
    #[inline(always)]
    fn from(decided: Decided) -> Entered {
        match decided {
            Ok(admitted) => Entered::Admitted(admitted, None),
            Err(answer) => Entered::Refused(answer),
        }
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("is_active", &self.is_active).finish_non_exhaustive()
    }
}

impl Limiter {
    /// The limits of these settings; all of `workers` together tell of at most nine tenths of a megabyte a minute:
    /// the rest is for what [`lookout`] sees.
    ///
    /// # Errors
    /// Which key has a limit that cannot be counted.
    pub(crate) fn new(
        settings: Settings,
        warden: Arc<Warden>,
        log: Log,
        metrics: &Arc<Metrics>,
        workers: usize,
    ) -> Result<Arc<Limiter>, String> {
        let plan = Plan::of(&settings).map_err(|(key, reason)| format!("{key}: {reason}"))?;
        let key = log.segment().limits().key(0, b"", b"");
        let policy = Policy::new(settings.strategy, 0, std::time::Duration::from_secs(1));
        let policy = policy.map_err(|error| error.to_string())?;
        let mut limiter = Limiter {
            blank: Hit { policy, key, cost: 0 },
            is_active: settings.enabled && (!plan.is_empty() || settings.concurrency > 0),
            at_once: None,
            kept: Vec::new(),
            groups: Vec::new(),
            flood: Mutex::new(Flood::new(900_000 / workers.max(1))),
            remote: remote::Remote::of(&settings, &plan, &log)?,
            own: Mutex::default(),
            metrics: Arc::clone(metrics),
            settings,
            plan,
            warden,
            log,
        };
        let kept = limiter.plan.all().map(|met| limiter.keep(met)).collect();
        limiter.kept = kept;
        limiter.groups = (0..=limiter.plan.rules.len()).map(|it| limiter.group(it)).collect();
        limiter.at_once_of_settings();
        let Plan { application, default, rules, .. } = &limiter.plan;
        let of_rules = rules.iter().flat_map(|(_, met)| met);
        let met = application.iter().chain(default).chain(of_rules).filter(|met| !met.dry_run);
        for index in met.map(|met| met.index).collect::<Vec<_>>() {
            limiter.kept[index].near = limiter.near(&limiter.kept[index]);
        }
        Ok(Arc::new(limiter))
    }

    /// Lets what the application brings count here: limits of its routes, and what it bans for. A process has
    /// one; the first stands.
    pub(crate) fn install(self: &Arc<Self>) {
        ban::install(&self.warden);
        route::install(self);
    }

    /// Counts a request that begins, unless its client is banned.
    #[inline(always)]
    pub(crate) fn enter(&self, asked: &Asked<'_>) -> Entered {
        if let Some(answer) = self.warden.refuses(asked.client, asked.now) {
            return Entered::Refused(answer);
        }
        if !self.is_active || self.settings.exempt.holds(asked.client, asked.path) {
            return Entered::Admitted(Admitted::default(), None);
        }
        self.count(asked)
    }

    #[inline]
    fn count(&self, asked: &Asked<'_>) -> Entered {
        let (key, prefix) = (&self.settings.key, self.settings.ipv6_prefix);
        let who = Who::of(key, prefix, asked.client, asked.headers);
        let held = match self.hold_by_settings(who, asked.client, asked.context, asked.now) {
            Ok(held) => held,
            Err(refused) => {
                match &self.remote {
                    Some(remote) => self.count_refused(remote, asked, &who),
                    None => _ = self.meta(asked, &who, false),
                }
                return Entered::Refused(refused);
            }
        };
        let entered = match &self.remote {
            Some(remote) => self.ask(remote, asked, &who),
            None => self.count_here(asked, &who, |_| true).into(),
        };
        entered.holding(held)
    }

    /// Counts a request in the segment, at those limits that `counts`.
    #[inline(always)]
    fn count_here(
        &self,
        asked: &Asked<'_>,
        who: &Who<'_>,
        counts: impl Fn(&Met) -> bool + Copy,
    ) -> Decided {
        let has_meta = self.plan.meta.iter().any(counts);
        if has_meta && let Some(refused) = self.meta(asked, who, true) {
            return Err(refused);
        }
        let group = self.plan.group(asked.method.as_str(), asked.path);
        let of_path = self.plan.of_group(group);
        let met = || self.plan.application.iter().chain(of_path).filter(move |met| counts(met));
        // Most requests meet few limits, and room for many costs.
        let decided = match self.plan.application.len() + of_path.len() {
            0 => Ok(Admitted::default()),
            1..=FEW => self.decide::<FEW>(asked, who, met()),
            most if most <= TOLD => self.decide::<TOLD>(asked, who, met()),
            _ => self.decide::<MOST>(asked, who, met()),
        };
        match decided {
            Ok(mut admitted) => {
                let all = &self.groups[group];
                if all.tries {
                    self.try_out(asked, who, met().filter(|met| met.dry_run));
                }
                admitted.group = (all.enforced == admitted.count).then_some(group);
                Ok(admitted)
            }
            Err(refusal) => {
                if has_meta && refusal.is_the_clients() {
                    self.meta(asked, who, false);
                }
                Err(self.refuse(asked, &refusal))
            }
        }
    }

    /// Decides on all limits that refuse.
    #[inline]
    fn decide<'a, const N: usize>(
        &self,
        asked: &Asked<'_>,
        who: &Who<'_>,
        met: impl Iterator<Item = &'a Met>,
    ) -> Result<Admitted, Refusal> {
        let limits = self.log.segment().limits();
        let (mut hits, mut verdicts) = ([self.blank; N], [Verdict::default(); N]);
        let (mut indexes, mut count) = ([0; N], 0);
        let subject = limits.subject(who.bytes());
        let counts_networks = self.settings.ipv6_network > 0;
        let network = if counts_networks { who.of_limit(true) } else { None };
        let network = network.map(|network| limits.subject(network.bytes()));
        let met = met.filter(|met| !met.dry_run && (!met.is_wide || network.is_some()));
        for met in met.take(N) {
            let subject = if met.is_wide { network.unwrap_or(subject) } else { subject };
            let key = self.kept[met.index].counted.key(subject);
            hits[count] = Hit { policy: met.policy, key, cost: 1 };
            indexes[count] = met.index;
            count += 1;
        }
        let (hits, verdicts) = (&hits[..count], &mut verdicts[..count]);
        let mut judged = count;
        let is_admitted = if self.settings.flask {
            // One after the other: the first that refuses is the last that counts.
            let mut each = hits.iter().zip(verdicts.iter_mut());
            let refusing = each.position(|(hit, verdict)| {
                !limits.decide(&[*hit], asked.now.0, std::slice::from_mut(verdict))
            });
            judged = refusing.map_or(count, |at| at + 1);
            refusing.is_none()
        } else {
            limits.decide(hits, asked.now.0, verdicts)
        };
        let judged = indexes[..judged].iter().copied().zip(&*verdicts);
        if is_admitted {
            return Ok(self.admit(asked, judged));
        }
        Err(self.note(asked, who, judged))
    }

    #[inline]
    fn admit<'a>(
        &self,
        asked: &Asked<'_>,
        judged: impl Iterator<Item = (usize, &'a Verdict)>,
    ) -> Admitted {
        let mut admitted = Admitted { wall: asked.wall, ..Admitted::default() };
        for (index, verdict) in judged {
            self.kept[index].admitted(verdict);
            let shown = Shown::of(index, verdict);
            if admitted.count < TOLD {
                admitted.shown[admitted.count] = shown;
                admitted.count += 1;
            } else if let Some(most) = admitted.shown.iter_mut().max_by_key(|it| it.remaining)
                && most.remaining > shown.remaining
            {
                *most = shown;
            }
        }
        admitted
    }

    /// The limits that refused, told and counted.
    #[cold]
    fn note<'a>(
        &self,
        asked: &Asked<'_>,
        who: &Who<'_>,
        judged: impl Iterator<Item = (usize, &'a Verdict)>,
    ) -> Refusal {
        let mut refusal = Refusal::default();
        for (index, verdict) in judged {
            let kept = &self.kept[index];
            refusal.add(kept, verdict);
            if !verdict.admitted {
                kept.count(Outcome::Denied);
                self.tell(asked.context, index, who, Outcome::Denied, asked.now);
            }
        }
        refusal
    }

    /// Counts what would be refused.
    #[inline]
    fn try_out<'a>(&self, asked: &Asked<'_>, who: &Who<'_>, met: impl Iterator<Item = &'a Met>) {
        let limits = self.log.segment().limits();
        for met in met {
            let Some(who) = who.of_limit(met.is_wide) else { continue };
            let key = limits.key(met.policy.id, met.scope.as_bytes(), who.bytes());
            let hit = Hit { policy: met.policy, key, cost: 1 };
            let is_admitted = limits.decide(&[hit], asked.now.0, &mut [Verdict::default()]);
            self.tried(asked, &who, met.index, is_admitted);
        }
    }

    /// Counts and tells what a limit would have done.
    fn tried(&self, asked: &Asked<'_>, who: &Who<'_>, limit: usize, is_admitted: bool) {
        let outcome = if is_admitted { Outcome::Allowed } else { Outcome::WouldDeny };
        self.kept[limit].count(outcome);
        if !is_admitted {
            self.tell(asked.context, limit, who, outcome, asked.now);
        }
    }

    /// Looks whether somebody has been refused too often, or counts that he was refused once more.
    #[cold]
    fn meta(
        &self,
        asked: &Asked<'_>,
        who: &Who<'_>,
        only_look: bool,
    ) -> Option<Box<Response<Bytes>>> {
        let limits = self.log.segment().limits();
        let mut refusal = Refusal::default();
        for met in &self.plan.meta {
            let key = limits.key(met.policy.id, met.scope.as_bytes(), who.bytes());
            let hits = [Hit { policy: met.policy, key, cost: 1 }];
            let mut verdicts = [Verdict::default()];
            if !only_look {
                limits.decide(&hits, asked.now.0, &mut verdicts);
                continue;
            }
            if limits.peek(&hits, asked.now.0, &mut verdicts) {
                self.kept[met.index].count(Outcome::Allowed);
                continue;
            }
            let outcome = if met.dry_run { Outcome::WouldDeny } else { Outcome::Denied };
            self.kept[met.index].count(outcome);
            self.tell(asked.context, met.index, who, outcome, asked.now);
            if !met.dry_run {
                refusal.add(&self.kept[met.index], &verdicts[0]);
            }
        }
        let is_refused = only_look && !refusal.is_empty();
        is_refused.then(|| self.refuse(asked, &refusal))
    }

    /// Adds to an answer what it tells of limits, and looks at what it says. Gives what layers of the
    /// application's code hold until it has been handed over, and their own answer's body.
    #[inline(always)]
    pub(crate) fn answered<B>(
        &self,
        admitted: &Admitted,
        recorder: &Recorder,
        response: &mut Response<B>,
    ) -> Option<Noted> {
        if response.status() == StatusCode::NOT_FOUND
            && (!self.plan.excess_404.is_empty() || self.warden.counts(Why::NotFound))
        {
            self.not_found(recorder.coarse());
        }
        // A limit of the application's code that refused has told already.
        if response.status() == StatusCode::TOO_MANY_REQUESTS
            && response.extensions().get::<Quota>().is_some()
        {
            return None;
        }
        let noted = response.extensions_mut().remove::<Noted>();
        let is_own = noted.as_ref().is_some_and(|it| it.body.is_some());
        if is_own {
            // A router has counted the body that stood in its place.
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        if (admitted.count > 0 || noted.is_some()) && !is_own && self.settings.fields != Fields::Off
        {
            self.add_fields(admitted, noted.as_ref(), response.headers_mut());
        }
        noted
    }

    /// Who finds nothing again and again is looking for something.
    #[cold]
    fn not_found(&self, now: Mono) {
        // Within the stack it is the request that is answered.
        let Some(context) = current::current() else { return };
        self.warden.note(Why::NotFound, context.client, Some(&context), now);
        let limits = self.log.segment().limits();
        let who = Who::Address(Address::of(context.client, self.settings.ipv6_prefix));
        for met in self.plan.excess_404.iter().filter(|_| self.settings.enabled) {
            let key = limits.key(met.policy.id, met.scope.as_bytes(), who.bytes());
            let hit = Hit { policy: met.policy, key, cost: 1 };
            if limits.decide(&[hit], now.0, &mut [Verdict::default()]) {
                self.kept[met.index].count(Outcome::Allowed);
            } else {
                self.kept[met.index].count(Outcome::WouldDeny);
                self.tell_not_found(&context, met.index, &who, now);
            }
        }
    }

    fn keep(&self, met: &Met) -> Kept {
        Kept {
            name: met.name.clone(),
            text: met.rate.to_string(),
            scope: met.scope.clone(),
            amount: met.rate.amount,
            told: met.rate.amount.into(),
            window: met.rate.window(),
            is_wide: met.is_wide,
            counted: self.log.segment().limits().scope(met.policy.id, met.scope.as_bytes()),
            counts: self.counts(&met.name),
            near: (0, None),
        }
    }

    /// From where on somebody is near to this limit, and who counts that.
    fn near(&self, kept: &Kept) -> (u64, Option<Counter>) {
        let counter = self.metrics.own_counter(&families::LIMIT_NEAR, &[("policy", &kept.name)]);
        match counter {
            Ok(counter) => (kept.amount.div_ceil(5), Some(counter)),
            Err(error) => {
                let reason = error.to_string();
                self.metrics.tell(&crate::event::Event::MetricRefused { reason });
                (0, None)
            }
        }
    }

    /// The counters of a limit of this name.
    fn counts(&self, name: &str) -> Option<[Counter; 3]> {
        let counts = OUTCOMES.map(|outcome| {
            let labels = [("policy", name), ("outcome", outcome)];
            match self.metrics.own_counter(&families::LIMIT_DECISIONS, &labels) {
                Ok(counter) => Some(counter),
                Err(error) => {
                    let reason = error.to_string();
                    self.metrics.tell(&crate::event::Event::MetricRefused { reason });
                    None
                }
            }
        });
        let [allowed, denied, would_deny] = counts;
        let counts = allowed.zip(denied).zip(would_deny);
        counts.map(|((allowed, denied), would_deny)| [allowed, denied, would_deny])
    }

    /// The index of a limit of the application's code: the same limit on another route is the same.
    fn own_index(&self, kept: &Kept) -> usize {
        let mut own = self.own();
        let known = own.iter().position(|it| (&it.name, &it.text) == (&kept.name, &kept.text));
        let index = self.kept.len() + known.unwrap_or(own.len());
        if known.is_none() {
            own.push(kept.clone());
        }
        index
    }

    fn own(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Counts somebody who was admitted, and whether he is near to the limit now.
    #[inline]
    fn admitted(&self, verdict: &Verdict) {
        self.count(Outcome::Allowed);
        if verdict.remaining < self.near.0
            && let Some(near) = &self.near.1
        {
            near.inc();
        }
    }

    #[inline]
    fn count(&self, outcome: Outcome) {
        if let Some(counts) = &self.counts {
            counts[outcome as usize].inc();
        }
    }
}

#[cfg(test)]
mod tests;
