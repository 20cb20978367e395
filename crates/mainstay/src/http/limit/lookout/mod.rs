//! What answers say of clients: who fails to log in, and whose user agent is a scanner's. Nobody is refused here;
//! bans count what is seen. An answer that is neither costs a look at its status.

use super::ban::Warden;
use super::tell::{self, About};
use crate::clock::Mono;
use crate::event::Event;
use crate::http::context::{Context, LoginSaid};
use crate::http::record::{Reason, Ticket};
use crate::limits::flood::{Breach, Flood, Tell};
use crate::limits::jails::Why;
use crate::limits::signs::Signs;
use crate::limits::who::{Address, Who};
use crate::log::Log;
use crate::metrics::names;
use http::{Response, StatusCode};
use mainstay_os::segment::{Hit, Key, Verdict};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of a user's name that are told and counted by.
const NAME: usize = 128;
/// Of whom no name is known.
const NOBODY: &str = "-";

/// What is told of, as it stands where others have the number of a limit.
const LOGINS: usize = 0;
const TOOLS: usize = 1;
const TOO_MANY: usize = 2;
const WELL: usize = 3;
const AFTER_ALL: usize = 4;
const EVENTS: [&str; 5] = [
    "authn_login_fail",
    "malicious_attack_tool",
    "authn_login_fail_max",
    "authn_login_success",
    "authn_login_successafterfail",
];
/// Bytes a minute that all workers together tell of what is bad, of who logs in, and of who does so after failures: a
/// tenth of what is told of limits. A flood of the one leaves room for the others, as for who has guessed right.
const MOST: [usize; 3] = [60_000, 20_000, 20_000];
/// However many workers there are, each of them tells a few lines.
const LEAST: [usize; 3] = [3_000, 1_000, 1_000];
/// One of what is told in each of these budgets.
const BUDGETS: [usize; 3] = [LOGINS, WELL, AFTER_ALL];

/// Who looks at answers.
pub(crate) struct Lookout {
    signs: Signs,
    /// Bits of an IPv6 address that tell clients apart.
    ipv6_prefix: u32,
    warden: Arc<Warden>,
    log: Log,
    floods: [Mutex<Flood>; 3],
}

impl fmt::Debug for Lookout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookout").field("signs", &self.signs).finish_non_exhaustive()
    }
}

/// Somebody who is seen.
struct Seen<'a> {
    context: &'a Context,
    address: Address,
    client: String,
    now: Mono,
}

impl Lookout {
    pub(crate) fn new(
        signs: Signs,
        ipv6_prefix: u32,
        warden: Arc<Warden>,
        log: Log,
        workers: usize,
    ) -> Arc<Lookout> {
        Arc::new(Lookout { signs, ipv6_prefix, warden, log, floods: floods(workers) })
    }

    /// Looks at an answer.
    #[inline(always)]
    pub(crate) fn see<B>(&self, response: &Response<B>, ticket: &mut Ticket) {
        let status = response.status();
        if status.is_client_error() || self.signs.has_logins() || ticket.says_of_login() {
            self.look(status, response.extensions().get().copied(), ticket);
        }
    }

    #[cold]
    #[inline(never)]
    fn look(&self, status: StatusCode, reason: Option<Reason>, ticket: &mut Ticket) {
        let now = ticket.parts().0.recorder().coarse();
        let Some(context) = ticket.parts().1.clone() else { return };
        // Who is banned has been told of, and is answered so whatever he asks for.
        let is_banned = reason.is_some_and(|Reason(reason)| reason == "banned");
        if status.is_client_error()
            && !is_banned
            && let Some(tool) = self.signs.tool_of(&ticket.agent())
        {
            self.tool(&self.seen(&context, now), tool);
        }
        // What mainstay itself refuses is no answer to a login.
        let is_login = reason.is_none() && self.signs.is_login(&context.method, &context.path);
        self.login(&context, status, is_login, now);
    }

    fn seen<'a>(&self, context: &'a Context, now: Mono) -> Seen<'a> {
        let address = Address::of(context.client, self.ipv6_prefix);
        let client = Who::Address(address).shown(&self.log.segment().limits());
        Seen { context, address, client, now }
    }

    /// Somebody comes with a tool that looks for holes, and has found none here.
    fn tool(&self, seen: &Seen<'_>, tool: &str) {
        self.log.slot().add(names::ATTACK_TOOLS, 1);
        self.warden.note(Why::AttackTool, seen.context.client, Some(seen.context), seen.now);
        let limits = self.log.segment().limits();
        let key = limits.key(self.signs.tool.id, b"tools", seen.address.bytes());
        let hit = Hit { policy: self.signs.tool, key, cost: 1 };
        if limits.decide(&[hit], seen.now.0, &mut [Verdict::default()]) {
            let (client, tool) = (seen.client.clone(), tool.to_owned());
            let about = About { category: "intrusion_detection", ..About::FAILURE };
            self.tell(seen, TOOLS, &Event::MaliciousAttackTool { client, tool }, about);
        }
    }

    fn login(&self, context: &Context, status: StatusCode, is_login: bool, now: Mono) {
        let failed = match status {
            StatusCode::UNAUTHORIZED => Some("answered with 401"),
            StatusCode::FORBIDDEN => Some("answered with 403"),
            _ => None,
        };
        let went_well = (status.is_success() || status.is_redirection())
            && self.signs.may_succeed(&context.method, &context.path);
        match (context.login.get(), failed) {
            // It has told, and counted.
            (Some(LoginSaid::Kit), _) => {}
            (Some(LoginSaid::Failed(user)), _) => {
                self.failed(&self.seen(context, now), user, "as the application says");
            }
            (Some(LoginSaid::Succeeded(user)), _) => {
                self.succeeded(&self.seen(context, now), user, true);
            }
            (None, Some(why)) if is_login => self.failed(&self.seen(context, now), NOBODY, why),
            (None, None) if is_login && went_well => {
                self.succeeded(&self.seen(context, now), NOBODY, false);
            }
            _ => {}
        }
    }

    fn failed(&self, seen: &Seen<'_>, user: &str, why: &'static str) {
        let user = cut(user);
        let about = About { category: "authentication", user, ..About::FAILURE };
        let event = Event::LoginFail { user: user.to_owned(), why };
        self.tell(seen, LOGINS, &event, about);
        for (whose, key) in self.counters(seen, user) {
            if self.count(key, seen.now) == self.signs.too_many {
                let limit = i64::try_from(self.signs.too_many).unwrap_or(i64::MAX);
                let event = Event::LoginFailMax { user: user.to_owned(), limit, whose };
                self.tell(seen, TOO_MANY, &event, about);
            }
        }
        self.warden.note(Why::Logins, seen.context.client, Some(seen.context), seen.now);
    }

    fn succeeded(&self, seen: &Seen<'_>, user: &str, is_certain: bool) {
        let user = cut(user);
        let limits = self.log.segment().limits();
        let mut retries = 0;
        for (_, key) in self.counters(seen, user) {
            let mut verdicts = [Verdict::default()];
            let hit = Hit { policy: self.signs.fails, key, cost: 1 };
            limits.peek(&[hit], seen.now.0, &mut verdicts);
            let fails = self.signs.fails.amount.saturating_sub(verdicts[0].remaining);
            // Of several who see the same failures one has cleared them.
            if fails > 0 && limits.clear(key) {
                retries = retries.max(i64::try_from(fails).unwrap_or(i64::MAX));
            }
        }
        let (kind, event) = match (retries, user.to_owned()) {
            (0, user) if is_certain => (WELL, Event::LoginSuccess { user }),
            (0, _) => return,
            (retries, user) => (AFTER_ALL, Event::LoginSuccessAfterFail { user, retries }),
        };
        let about = About { category: "authentication", outcome: "success", user, rule: "" };
        self.tell(seen, kind, &event, about);
    }

    /// What failures are counted on: the client's count, and the account's if it is known.
    fn counters(&self, seen: &Seen<'_>, user: &str) -> impl Iterator<Item = (&'static str, Key)> {
        let (limits, id) = (self.log.segment().limits(), self.signs.fails.id);
        let client = ("client", limits.key(id, b"logins of a client", seen.address.bytes()));
        let account = || ("account", limits.key(id, b"logins of an account", user.as_bytes()));
        let account = (user != NOBODY).then(account);
        [client].into_iter().chain(account)
    }

    /// Counts a failure; the how manieth it is.
    fn count(&self, key: Key, now: Mono) -> u64 {
        let hit = Hit { policy: self.signs.fails, key, cost: 1 };
        let mut verdicts = [Verdict::default()];
        self.log.segment().limits().decide(&[hit], now.0, &mut verdicts);
        self.signs.fails.amount.saturating_sub(verdicts[0].remaining)
    }

    /// Tells what there is room for; the event's counter has all of them.
    fn tell(&self, seen: &Seen<'_>, kind: usize, event: &Event, about: About<'_>) {
        let window = u64::try_from(self.signs.fails.window.as_nanos()).unwrap_or(u64::MAX);
        // Who logs in as himself, again and again, hides no other name that he has guessed.
        let key = match kind {
            WELL | AFTER_ALL => format!("{} as {}", seen.client, about.user).into(),
            _ => seen.client.as_str().into(),
        };
        let breach = Breach { limit: kind, key };
        let told = self.flood(kind).breach(&breach, seen.now.0, window);
        let (count, untold) = match told {
            Tell::Nothing => {
                self.log.slot().add(names::event_cell(event), 1);
                return;
            }
            Tell::One => (1, 0),
            Tell::Many { count, untold } => (count, untold),
        };
        let write = |event| tell::write_about(&self.log, Some(seen.context), event, about);
        // What the ring had no room for is in the next sum.
        let Some(one) = write(event) else { return self.flood(kind).lost(1 + untold) };
        if untold == 0 {
            return self.flood(kind).written(one);
        }
        let (event, client) = (EVENTS[kind], seen.client.clone());
        match write(&Event::SecurityUntold { event, client, count, untold }) {
            None => self.flood(kind).written_without(one, untold),
            Some(more) => self.flood(kind).written(one + more),
        }
    }

    /// Tells what was left untold in windows that have ended.
    pub(crate) fn tell_ended(&self, now: Mono) {
        for kind in BUDGETS {
            let ended = self.flood(kind).ended(now.0);
            self.tell_sums(kind, ended);
        }
    }

    /// Tells what was left untold in any window, when this process ends.
    pub(crate) fn tell_rest(&self, now: Mono) {
        // The second time it is what the ring had no room for, in one short line.
        for kind in [BUDGETS, BUDGETS].concat() {
            let rest = self.flood(kind).rest(now.0);
            self.tell_sums(kind, rest);
        }
    }

    fn tell_sums(&self, kind: usize, (ended, strangers): (Vec<(Breach, u64, u64)>, u64)) {
        let write = |event: &Event, count: u64| match self.log.event_measured(event, None) {
            None => self.flood(kind).lost(count),
            Some(bytes) => self.flood(kind).written(bytes),
        };
        for (Breach { limit: kind, key }, count, untold) in ended {
            let (event, client) = (EVENTS.get(kind).copied().unwrap_or_default(), key.into());
            write(&Event::SecurityUntold { event, client, count, untold }, untold);
        }
        if strangers > 0 {
            write(&Event::SecurityStrangers { count: strangers }, strangers);
        }
    }

    /// Of what shares its budget.
    fn flood(&self, kind: usize) -> MutexGuard<'_, Flood> {
        let budget = BUDGETS.iter().rposition(|first| *first <= kind).unwrap_or_default();
        self.floods[budget].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn floods(workers: usize) -> [Mutex<Flood>; 3] {
    [0, 1, 2].map(|of| Mutex::new(Flood::new((MOST[of] / workers.max(1)).max(LEAST[of]))))
}

fn cut(user: &str) -> &str {
    match &user[..user.floor_char_boundary(NAME)] {
        "" => NOBODY,
        user => user,
    }
}

#[cfg(test)]
mod tests;
