//! Limits that a store counts for several hosts: what it is asked, and what becomes of its answer. While it is
//! away, each limit has the way that the configuration says.

use super::refusal::{Quota, Refusal, retry_later};
use super::{Admitted, Asked, Decided, Entered, Limiter, Outcome};
use crate::http::record::Reason;
use crate::limits::plan::{Met, Plan};
use crate::limits::question::{self, Item, Naming, Order, Part, Question, Reply};
use crate::limits::rules::Away;
use crate::limits::settings::Settings;
use crate::limits::table;
use crate::limits::who::Who;
use crate::log::Log;
use crate::metrics::names;
use crate::store::{Asking, Store};
use bytes::Bytes;
use http::{Response, StatusCode};
use mainstay_os::segment::{Scope, Verdict};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

/// The store of this process.
#[derive(Debug)]
pub(super) struct Remote {
    store: Arc<Store>,
    naming: Naming,
    /// Where it is noted whom each limit refuses, by its index.
    refused: Vec<Scope>,
}

/// A request about which the store is asked.
pub(crate) struct Waiting {
    asking: Asking,
    /// Each limit, and what it does.
    items: Vec<(usize, Part)>,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("items", &self.items).finish_non_exhaustive()
    }
}

impl Waiting {
    /// What the store says; `None` where it does not.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Reply>> {
        self.asking.as_mut().poll(cx)
    }
}

/// Questions that nobody waits for.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);
/// How many of them there may be.
const MOST_UNDER_WAY: usize = 1_024;

/// One of them. Dropped, it is over.
struct UnderWay;

impl UnderWay {
    fn enter() -> Option<UnderWay> {
        let one = UnderWay;
        (UNDER_WAY.fetch_add(1, Relaxed) < MOST_UNDER_WAY).then_some(one)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Relaxed);
    }
}

impl Remote {
    /// The store of these settings, if there is one.
    ///
    /// # Errors
    /// Why it cannot be spoken to.
    pub(super) fn of(
        settings: &Settings,
        plan: &Plan,
        log: &Log,
    ) -> Result<Option<Remote>, String> {
        // What counts nothing need not be there.
        let counts = settings.enabled && !plan.is_empty();
        let store = if counts { Store::of(settings, log)? } else { None };
        let Some(store) = store else { return Ok(None) };
        let limits = log.segment().limits();
        let refused = |met: &Met| limits.scope(table::refused(met), met.scope.as_bytes());
        let refused = plan.all().map(refused).collect();
        Ok(Some(Remote { store, naming: Naming::of(settings), refused }))
    }
}

impl Limiter {
    /// Connects to the store, if there is one, before anybody waits for it.
    pub(crate) async fn meet_store(&self) {
        if let Some(remote) = &self.remote {
            remote.store.meet().await;
        }
    }

    /// Sees to it that a store that was away is asked again, also while nobody comes.
    pub(crate) fn mind_store(&self, now: crate::clock::Mono) {
        match &self.remote {
            Some(remote) => _ = remote.store.is_there(now),
            // What was known of one that is asked no more is forgotten.
            None => _ = self.log.segment().limits().breaker().answered(now.0),
        }
    }

    /// Asks the store about a request, unless it is known what it would say.
    pub(super) fn ask(&self, remote: &Remote, asked: &Asked<'_>, who: &Who<'_>) -> Entered {
        if !remote.store.is_there(asked.now) {
            return self.without(asked, who).into();
        }
        let of_path = self.plan.of_path(asked.method.as_str(), asked.path);
        let met = || self.plan.application.iter().chain(of_path);
        // Each refusal counts for meta limits, so that then only theirs are known here; and for Flask-Limiter at
        // the limits before the one that refuses, so that only the first is.
        let known = match (self.plan.meta.is_empty(), self.settings.flask) {
            (true, false) => self.known(remote, asked, who, met()),
            (true, true) => self.known(remote, asked, who, met().take(1)),
            (false, _) => self.known(remote, asked, who, self.plan.meta.iter()),
        };
        if let Some((limit, verdict)) = known {
            self.log.slot().add(names::STORE_KNOWN, 1);
            let refusal = self.note(asked, who, [(limit, &verdict)].into_iter());
            return Entered::Refused(self.refuse(asked, &refusal));
        }
        let name = remote.naming.who(who);
        let network = who.of_limit(true).filter(|_| self.settings.ipv6_network > 0);
        let network = network.map(|network| remote.naming.who(&network));
        let item = |part, met: &Met| {
            let name = if met.is_wide { network.as_ref()? } else { &name };
            Some(Item::new(part, met, &remote.naming, name))
        };
        let part = |met: &Met, hard, soft| if met.dry_run { soft } else { hard };
        let meta = self.plan.meta.iter();
        let meta = meta.filter_map(|met| item(part(met, Part::Meta, Part::MetaTried), met));
        let counted = met().filter_map(|met| item(part(met, Part::Enforced, Part::Tried), met));
        let items: Vec<Item> = meta.chain(counted).collect();
        if items.is_empty() {
            return Entered::Admitted(Admitted::default(), None);
        }
        let order = if self.settings.flask { Order::Each } else { Order::All };
        let parts = items.iter().map(|item| (item.limit, item.part)).collect();
        let asking = remote.store.ask(Question { order, items });
        Entered::Waits(Box::new(Waiting { asking, items: parts }), None)
    }

    /// Counts at the meta limits of the store that a request was refused here. Nobody waits for it.
    pub(super) fn count_refused(&self, remote: &Remote, asked: &Asked<'_>, who: &Who<'_>) {
        if self.plan.meta.is_empty() {
            return;
        }
        if !remote.store.is_there(asked.now) {
            self.meta(asked, who, false);
            return;
        }
        let name = remote.naming.who(who);
        // While the store lets others wait, this host counts for itself.
        let Some(under_way) = UnderWay::enter() else {
            self.meta(asked, who, false);
            return;
        };
        // Tried, each counts by itself.
        let item = |met| Item::new(Part::Tried, met, &remote.naming, &name);
        let items = self.plan.meta.iter().map(item).collect();
        let asking = remote.store.ask(Question { order: Order::All, items });
        tokio::spawn(async move {
            asking.await;
            drop(under_way);
        });
    }

    /// A limit that is known to refuse somebody.
    fn known<'a>(
        &self,
        remote: &Remote,
        asked: &Asked<'_>,
        who: &Who<'_>,
        met: impl Iterator<Item = &'a Met>,
    ) -> Option<(usize, Verdict)> {
        let limits = self.log.segment().limits();
        let refusing = met.filter(|met| !met.dry_run).filter_map(|met| {
            let subject = limits.subject(who.of_limit(met.is_wide)?.bytes());
            let left = limits.refused(remote.refused[met.index].key(subject), asked.now.0)?;
            let left = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
            let verdict =
                Verdict { reset_after_ns: left, retry_after_ns: left, ..Verdict::default() };
            Some((met.index, verdict))
        });
        // The one that lasts longest says when to come again.
        refusing.max_by_key(|(_, verdict)| verdict.retry_after_ns)
    }

    /// Decides as the store has said.
    pub(crate) fn settle(
        &self,
        asked: &Asked<'_>,
        waiting: &Waiting,
        reply: Option<Reply>,
    ) -> Decided {
        let who =
            Who::of(&self.settings.key, self.settings.ipv6_prefix, asked.client, asked.headers);
        let Some(reply) = reply else { return self.without(asked, &who) };
        let said = || waiting.items.iter().zip(&reply.verdicts).map(|(item, it)| (*item, it));
        let of = |wanted: Part| {
            said().filter(move |((_, part), _)| *part == wanted).map(|((limit, _), it)| (limit, it))
        };
        let banned = self.note_meta(asked, &who, of(Part::Meta), Outcome::Denied);
        self.note_meta(asked, &who, of(Part::MetaTried), Outcome::WouldDeny);
        match reply.outcome {
            question::Outcome::Banned => {
                self.believe(asked, &who, of(Part::Meta));
                Err(self.refuse(asked, &banned))
            }
            question::Outcome::Refused => {
                if self.plan.meta.is_empty() {
                    self.believe(asked, &who, of(Part::Enforced).take(reply.asked));
                }
                let refusal = self.note(asked, &who, of(Part::Enforced).take(reply.asked));
                Err(self.refuse(asked, &refusal))
            }
            question::Outcome::Admitted => {
                let admitted = self.admit(asked, of(Part::Enforced));
                for (limit, verdict) in of(Part::Tried) {
                    self.tried(asked, &who, limit, verdict.admitted);
                }
                Ok(admitted)
            }
        }
    }

    /// Counts and tells what meta limits found, and gives those that refuse.
    fn note_meta<'a>(
        &self,
        asked: &Asked<'_>,
        who: &Who<'_>,
        found: impl Iterator<Item = (usize, &'a Verdict)>,
        refused: Outcome,
    ) -> Refusal {
        let mut refusal = Refusal::default();
        for (limit, verdict) in found {
            let kept = &self.kept[limit];
            if verdict.admitted {
                kept.count(Outcome::Allowed);
                continue;
            }
            kept.count(refused);
            self.tell(asked.context, limit, who, refused, asked.now);
            refusal.add(kept, verdict);
        }
        refusal
    }

    /// Notes until when the store will refuse, so that it is not asked in vain.
    fn believe<'a>(
        &self,
        asked: &Asked<'_>,
        who: &Who<'_>,
        judged: impl Iterator<Item = (usize, &'a Verdict)>,
    ) {
        let Some(remote) = &self.remote else { return };
        let limits = self.log.segment().limits();
        for (limit, verdict) in judged.filter(|(_, verdict)| !verdict.admitted) {
            let Some(who) = who.of_limit(self.kept[limit].is_wide) else { continue };
            let subject = limits.subject(who.bytes());
            let key = remote.refused[limit].key(subject);
            let (believed, wait) = (question::believed(verdict), verdict.retry_after());
            limits.note_refused(key, believed, wait, asked.now.0);
        }
    }

    /// Decides without the store, which is away.
    #[cold]
    fn without(&self, asked: &Asked<'_>, who: &Who<'_>) -> Decided {
        self.log.slot().add(names::STORE_AWAY, 1);
        let of_path = self.plan.of_path(asked.method.as_str(), asked.path);
        let mut met = self.plan.application.iter().chain(of_path);
        if met.any(|met| met.away == Away::Deny && !met.dry_run) {
            return Err(Box::new(unknown()));
        }
        self.count_here(asked, who, |met| met.away == Away::Local)
    }
}

/// The answer to whom nobody can say whether he came too often.
fn unknown() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    retry_later(response.headers_mut(), 1);
    let message = "It cannot be told now whether there were too many requests. Please try again.";
    response.extensions_mut().insert(Quota { message: message.to_owned(), violated: Vec::new() });
    response.extensions_mut().insert(Reason("limits_unknown"));
    response
}

#[cfg(test)]
mod tests {
    use super::super::tests::Rig;
    use super::*;
    use crate::config::{Limits, Secret};
    use http::HeaderMap;
    use mainstay_os::segment::Turn;

    /// Limits of a store that is not there, and that nobody really asks.
    fn rig(change: impl FnOnce(&mut Limits)) -> Rig {
        Rig::new(|it| {
            it.storage = Some(Secret::new("redis://:hunter2@127.0.0.1:1/0".to_owned()));
            change(it);
        })
    }

    /// What becomes of `GET path` of 192.0.2.1 when the store says these numbers; and how many limits it was asked.
    fn ask(rig: &Rig, path: &str, says: Option<&[i64]>) -> (u16, HeaderMap, usize) {
        rig.asked("GET", "192.0.2.1", path, &HeaderMap::new(), |asked| {
            match rig.limiter.enter(asked) {
                Entered::Waits(waiting, _) => {
                    let limits = waiting.items.len();
                    let reply = says.map(|says| Reply::read(says, limits).unwrap());
                    let decided = rig.limiter.settle(asked, &waiting, reply);
                    let (status, headers) = rig.became(decided.into());
                    (status, headers, limits)
                }
                entered => {
                    let (status, headers) = rig.became(entered);
                    (status, headers, 0)
                }
            }
        })
    }

    fn counter(rig: &Rig, cell: usize) -> u64 {
        rig.segment.slot(0).unwrap().counter(cell)
    }

    #[test]
    fn whom_the_store_refuses_is_refused_without_asking_until_it_would_not() {
        let mut rig = rig(|it| {
            it.application = "9/hour".into();
            it.default = "5/minute".into();
        });
        let (status, headers, asked) =
            ask(&rig, "/", Some(&[2, 2, 1, 8, 3_600_000, 0, 1, 4, 60_000, 0]));
        assert_eq!((status, asked), (200, 2), "both limits at once");
        assert_eq!(headers["ratelimit"], "\"application\";r=8;t=3600, \"default\";r=4;t=60");
        let refuses = [1, 2, 1, 7, 3_599_000, 0, 0, 0, 20_000, 20_000];
        let (status, headers, _) = ask(&rig, "/", Some(&refuses));
        assert_eq!((status, headers["retry-after"].to_str().unwrap()), (429, "20"));
        rig.after(5);
        let (status, headers, asked) = ask(&rig, "/", None);
        assert_eq!((status, headers["retry-after"].to_str().unwrap(), asked), (429, "15", 0));
        assert_eq!(counter(&rig, names::STORE_KNOWN), 1);
        rig.after(15);
        assert_eq!(ask(&rig, "/", Some(&[2, 2, 1, 6, 1, 0, 1, 4, 60_000, 0])).2, 2);
        assert_eq!(rig.total("default", Outcome::Denied), 2);
        assert_eq!(rig.total("default", Outcome::Allowed), 2);
    }

    #[test]
    fn with_compat_who_is_refused_by_a_later_limit_counts_at_those_before_each_time() {
        let rig = rig(|it| {
            it.application = "2/hour".into();
            it.default = "1/minute".into();
            it.compat = "flask-limiter".into();
        });
        let by_later = [1, 2, 1, 1, 3_600_000, 0, 0, 0, 60_000, 60_000];
        assert_eq!([(); 2].map(|()| ask(&rig, "/", Some(&by_later)).2), [2, 2], "asked again");
        let by_first = [1, 1, 0, 0, 9_000, 9_000, 0, 0, 60_000, 60_000];
        assert_eq!(ask(&rig, "/", Some(&by_first)).2, 2);
        assert_eq!(ask(&rig, "/", None).2, 0, "nothing stands before that");
    }

    #[test]
    fn meta_limits_are_asked_with_the_others_and_a_dry_run_refuses_nothing() {
        let limits = |it: &mut Limits| {
            it.default = "1/minute".into();
            it.meta = "2/day".into();
        };
        let strict = rig(limits);
        let refuses = [1, 1, 1, 1, 0, 0, 0, 0, 9_000, 9_000];
        assert_eq!(ask(&strict, "/", Some(&refuses)).0, 429);
        let (status, headers, asked) =
            ask(&strict, "/", Some(&[0, 0, 0, 0, 86_000_000, 86_000_000, 0, 0, 1, 1]));
        assert_eq!((status, headers["retry-after"].to_str().unwrap(), asked), (429, "86000", 2));
        assert_eq!(ask(&strict, "/", None).2, 0, "that is known");
        let dry = rig(|it| {
            limits(it);
            it.dry_run = true;
        });
        let says = [2, 0, 0, 0, 86_000_000, 86_000_000, 0, 0, 9_000, 9_000];
        assert_eq!([ask(&dry, "/", Some(&says)).0, ask(&dry, "/", Some(&says)).0], [200, 200]);
        assert_eq!(dry.total("meta", Outcome::WouldDeny), 2);
        assert_eq!(dry.total("default", Outcome::WouldDeny), 2);
    }

    #[test]
    fn while_the_store_is_away_each_limit_has_the_way_that_was_configured() {
        let rig = rig(|it| {
            it.default = "1/minute".into();
            it.routes = "/a: away-allow 1/minute & /d: away-deny 9/minute".into();
        });
        assert_eq!(ask(&rig, "/", None).0, 200, "this host counts");
        let limits = rig.segment.limits();
        assert!(limits.breaker().failed(u64::MAX / 2));
        assert_eq!(limits.breaker().turn(1_000), Turn::Leave);
        assert_eq!([ask(&rig, "/", None).0, ask(&rig, "/", None).0], [429; 2]);
        assert_eq!([(); 3].map(|()| ask(&rig, "/a", None).0), [200; 3]);
        let (status, headers, asked) = ask(&rig, "/d", None);
        assert_eq!((status, headers["retry-after"].to_str().unwrap(), asked), (429, "1", 0));
        assert_eq!(counter(&rig, names::STORE_AWAY), 7);
        let shown = format!("{:?} {:?}", rig.limiter, rig.limiter.remote);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
