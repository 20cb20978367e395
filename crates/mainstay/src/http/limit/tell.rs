//! Breaches of limits in the log, with whom they are about: each at first, then ever fewer.

use super::{Limiter, Outcome};
use crate::clock::{self, Mono};
use crate::event::Event;
use crate::http::context::Context;
use crate::limits::flood::{Breach, Flood, Tell};
use crate::limits::who::Who;
use crate::log::{Log, RecordContext};
use mainstay_os::segment::Whom;
use std::sync::{MutexGuard, PoisonError};

/// Most bytes of a key that are told, and of a path: the access log has all of it.
const KEY: usize = 256;

/// What is told of a limit.
struct Told {
    name: Box<str>,
    text: String,
    scope: Box<str>,
    window: u64,
}

impl Limiter {
    /// Tells of a breach of a limit, if it is its turn.
    #[cold]
    pub(super) fn tell(
        &self,
        context: Option<&Context>,
        limit: usize,
        who: &Who<'_>,
        outcome: Outcome,
        now: Mono,
    ) {
        let is_wide = self.kept.get(limit).is_some_and(|kept| kept.is_wide);
        let who = who.of_limit(is_wide).unwrap_or(*who);
        // Of a whole network's limit no client is told, or whoever bans by the log would ban a neighbour.
        let context = context.filter(|_| !is_wide);
        self.tell_key(context, limit, who.shown(&self.log.segment().limits()), outcome, now);
    }

    /// As [`Limiter::tell`], of somebody with this name.
    pub(super) fn tell_key(
        &self,
        context: Option<&Context>,
        limit: usize,
        mut key: String,
        outcome: Outcome,
        now: Mono,
    ) {
        key.truncate(key.floor_char_boundary(KEY));
        let Some(Told { name, text, scope, window }) = self.told_of(limit) else { return };
        self.count_client(&name, &text, &key, outcome);
        let Some((more, count)) = self.turn(limit, &key, now, window) else { return };
        let (limit, scope) = (text, scope.to_string());
        let event = match outcome {
            Outcome::WouldDeny => Event::LimitWouldDeny { limit, key, scope, more },
            Outcome::Allowed | Outcome::Denied => Event::LimitExceeded { limit, key, scope, more },
        };
        self.write(context, &event, "web", &name, count);
    }

    pub(super) fn tell_not_found(&self, context: &Context, limit: usize, who: &Who<'_>, now: Mono) {
        let key = who.shown(&self.log.segment().limits());
        let Some(Told { name, text, window, .. }) = self.told_of(limit) else { return };
        self.count_client(&name, &text, &key, Outcome::WouldDeny);
        let Some((more, count)) = self.turn(limit, &key, now, window) else { return };
        let event = Event::MaliciousExcess404 { client: key, limit: text, more };
        self.write(Some(context), &event, "intrusion_detection", &name, count);
    }

    /// Tells what was left untold in windows that have ended.
    pub(crate) fn tell_ended(&self, now: Mono) {
        let ended = self.flood().ended(now.0);
        self.tell_sums(ended);
    }

    /// Tells what was left untold in any window, when this process ends.
    pub(crate) fn tell_rest(&self, now: Mono) {
        let rest = self.flood().rest(now.0);
        self.tell_sums(rest);
    }

    fn tell_sums(&self, (ended, strangers): (Vec<(Breach, u64, u64)>, u64)) {
        for (Breach { limit, key }, count, untold) in ended {
            let Some(Told { text: limit, scope, .. }) = self.told_of(limit) else {
                self.flood().written(0);
                continue;
            };
            let (key, scope) = (key.into(), scope.into());
            let event = Event::LimitUntold { limit, key, scope, count, untold };
            self.write(None, &event, "web", "", untold);
        }
        if strangers > 0 {
            let event = Event::LimitStrangers { count: strangers };
            self.write(None, &event, "web", "", strangers);
        }
    }

    /// Whether this breach is told, what more there is to tell of it, and for how many its line stands.
    fn turn(&self, limit: usize, key: &str, now: Mono, window: u64) -> Option<(String, u64)> {
        let breach = Breach { limit, key: key.into() };
        let window = window.saturating_mul(super::SECOND);
        match self.flood().breach(&breach, now.0, window) {
            Tell::Nothing => None,
            Tell::One => Some((String::new(), 1)),
            Tell::Many { count, untold } => {
                Some((format!(" ({count} times, {untold} of them not told)"), 1 + untold))
            }
        }
    }

    fn flood(&self) -> MutexGuard<'_, Flood> {
        self.flood.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts whose refusal it was, for `limits watch`: after the limit's counter, so that it names none that is
    /// not in the total. Each one, whatever is told of it. By a clock that is read here: a request's may be seconds old
    /// where a handler blocks, and who hands out places has one second for it.
    fn count_client(&self, name: &str, text: &str, key: &str, outcome: Outcome) {
        let now = clock::mono();
        let tried = matches!(outcome, Outcome::WouldDeny);
        let (policy, limit, key) = (name.as_bytes(), text.as_bytes(), key.as_bytes());
        self.log
            .segment()
            .limits()
            .who_is_refused()
            .note(&Whom { policy, limit, key, tried }, now.0);
    }

    fn told_of(&self, limit: usize) -> Option<Told> {
        let of = |kept: &super::Kept| Told {
            name: kept.name.clone(),
            text: kept.text.clone(),
            scope: kept.scope.clone(),
            window: kept.window,
        };
        match self.kept.get(limit) {
            Some(kept) => Some(of(kept)),
            None => self.own().get(limit - self.kept.len()).map(of),
        }
    }

    /// Tells what there was room for, of so many breaches.
    fn write(
        &self,
        context: Option<&Context>,
        event: &Event,
        category: &'static str,
        rule: &str,
        breaches: u64,
    ) {
        match write(&self.log, context, event, category, rule) {
            // What the ring had no room for is in the next sum.
            None => self.flood().lost(breaches),
            Some(bytes) => self.flood().written(bytes),
        }
    }
}

/// What an event is about, beside its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    /// By ECS.
    pub(super) category: &'static str,
    pub(super) outcome: &'static str,
    pub(super) user: &'a str,
    /// The limit.
    pub(super) rule: &'a str,
}

impl About<'_> {
    /// Something that went wrong, or was refused.
    pub(super) const FAILURE: About<'static> =
        About { category: "web", outcome: "failure", user: "", rule: "" };
}

/// Tells of something that a request is about, if it is known; returns how many bytes of log that made, if there
/// was room for it.
pub(super) fn write(
    log: &Log,
    context: Option<&Context>,
    event: &Event,
    category: &'static str,
    rule: &str,
) -> Option<usize> {
    write_about(log, context, event, About { category, rule, ..About::FAILURE })
}

/// The same of something that is about more than a limit.
pub(super) fn write_about(
    log: &Log,
    context: Option<&Context>,
    event: &Event,
    about: About<'_>,
) -> Option<usize> {
    let Some(context) = context else { return log.event_measured(event, None) };
    let trace = Some(context.trace).filter(|trace| trace.is_some());
    let (trace_id, span_id) =
        trace.map_or(([0; 32], [0; 16]), |it| (it.trace_hex(), it.span_hex()));
    let hex = |digits| trace.and(std::str::from_utf8(digits).ok()).unwrap_or_default();
    let client = context.client.map(|client| client.to_string()).unwrap_or_default();
    let record = RecordContext {
        user: about.user,
        rule: about.rule,
        category: about.category,
        outcome: about.outcome,
        request_id: context.id.as_str(),
        trace_id: hex(&trace_id[..]),
        span_id: hex(&span_id[..]),
        route: cut(context.route.get().map_or("", AsRef::as_ref)),
        client: &client,
        method: cut(&context.method),
        path: cut(&context.path),
    };
    log.event_measured(event, Some(record))
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(KEY)).unwrap_or_default()
}
