//! What a store for several hosts is asked about the limits of one request, and what it says.
//!
//! Its keys are those of the Python package `limits` 5.8, so that a fleet of Flask-Limiter's counts in the same
//! places; the cell rate algorithm, which it has not, counts under names of our own.

use super::plan::Met;
use super::settings::Settings;
use super::who::Who;
use mainstay_os::segment::{Strategy, Verdict};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::time::Duration;

/// Arguments of each limit.
const ARGUMENTS: usize = 5;
/// Numbers that are told of each limit.
const TOLD: usize = 4;
/// Longest time that a key is believed to be refused without asking again: what was cleared elsewhere is seen
/// after it.
const BELIEVED: Duration = Duration::from_secs(60);

/// What a limit does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Refuses it.
    Enforced,
    /// Tells that it would.
    Tried,
    /// Refuses everything of who was refused too often.
    Meta,
    /// Tells that it would.
    MetaTried,
}

/// Which limits are asked, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// All are asked before any is used up.
    All,
    /// One after the other: the first that refuses is the last that counts.
    Each,
    /// None is used up.
    Look,
}

/// One limit of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) part: Part,
    /// The limit's index.
    pub(crate) limit: usize,
    strategy: Strategy,
    amount: u64,
    /// Seconds.
    window: u64,
    cost: u64,
    key: String,
}

/// What is asked about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) order: Order,
    pub(crate) items: Vec<Item>,
}

/// What became of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was refused too often before.
    Banned,
    Refused,
    Admitted,
}

/// What was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) outcome: Outcome,
    /// How many of the limits that refuse were asked.
    pub(crate) asked: usize,
    /// Of each limit.
    pub(crate) verdicts: Vec<Verdict>,
}

/// How keys are named, but for the limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Naming {
    /// Flask-Limiter's `key_prefix`; empty for none.
    pub(crate) prefix: String,
    /// Values of headers are keys as they are, as Flask-Limiter has them.
    pub(crate) plain: bool,
}

impl Naming {
    /// As these settings have it.
    pub(crate) fn of(settings: &Settings) -> Naming {
        Naming { prefix: settings.key_prefix.clone(), plain: settings.flask }
    }

    /// Who, as keys name it. What a header says may be a secret, which a store that others read must not hold.
    pub(crate) fn who(&self, who: &Who<'_>) -> String {
        match who {
            Who::Address(address) => address.to_string(),
            Who::Value(value) if self.plain => String::from_utf8_lossy(value).into_owned(),
            Who::Value(value) => {
                let mut text = String::from("key#");
                for byte in &Sha256::digest(value)[..12] {
                    write!(text, "{byte:02x}").ok();
                }
                text
            }
        }
    }
}

impl Item {
    /// A limit for somebody, as [`Naming::who`] names him.
    pub(crate) fn new(part: Part, met: &Met, naming: &Naming, who: &str) -> Item {
        let (rate, scope) = (&met.rate, &met.scope);
        let mut key = String::with_capacity(64 + who.len());
        key.push_str("LIMITER/");
        if !naming.prefix.is_empty() {
            key.push_str(&naming.prefix);
            key.push('/');
        }
        write!(key, "{who}/{scope}/{}", rate.key()).ok();
        let (strategy, amount, window) = (met.policy.strategy, rate.amount, rate.window());
        Item { part, limit: met.index, strategy, amount, window, cost: 1, key }
    }

    /// The same, asked about alone.
    pub(crate) fn alone(&self) -> Item {
        Item { part: Part::Enforced, ..self.clone() }
    }

    /// Its keys: the count's, and for a sliding window that of the window before.
    pub(crate) fn keys(&self) -> [String; 2] {
        let key = &self.key;
        match self.strategy {
            Strategy::SlidingWindowCounter => {
                [format!("LIMITS:{{{key}}}"), format!("LIMITS:{{{key}}}/-1")]
            }
            Strategy::Gcra => [const { "MAINSTAY:GCRA:" }; 2].map(|begin| format!("{begin}{key}")),
            Strategy::FixedWindow | Strategy::MovingWindow => {
                ["LIMITS:"; 2].map(|begin| format!("{begin}{key}"))
            }
        }
    }

    /// What the script is told of it.
    pub(crate) fn arguments(&self) -> [String; ARGUMENTS] {
        let strategy = match self.strategy {
            Strategy::FixedWindow => "fixed",
            Strategy::MovingWindow => "moving",
            Strategy::SlidingWindowCounter => "sliding",
            Strategy::Gcra => "gcra",
        };
        let part = match self.part {
            Part::Enforced => "enforced",
            Part::Tried => "tried",
            Part::Meta => "meta",
            Part::MetaTried => "meta-tried",
        };
        let numbers = [self.amount, self.window, self.cost].map(|it| it.to_string());
        let [amount, window, cost] = numbers;
        [strategy.to_owned(), part.to_owned(), amount, window, cost]
    }
}

impl Order {
    /// As the script calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Order::All => "all",
            Order::Each => "each",
            Order::Look => "look",
        }
    }
}

impl Reply {
    /// Reads the numbers of the script; `None` where they are none of it.
    pub(crate) fn read(numbers: &[i64], items: usize) -> Option<Reply> {
        let (head, told) = numbers.split_at_checked(2)?;
        let (told, rest) = told.as_chunks::<TOLD>();
        let outcome = match head[0] {
            0 => Outcome::Banned,
            1 => Outcome::Refused,
            2 => Outcome::Admitted,
            _ => return None,
        };
        let asked = usize::try_from(head[1]).ok()?;
        if told.len() != items || !rest.is_empty() || asked > items {
            return None;
        }
        let verdict = |[admitted, left, reset, retry]: &[i64; TOLD]| {
            let [left, reset, retry] =
                [left, reset, retry].map(|it| u64::try_from(*it).unwrap_or(0));
            Verdict {
                admitted: *admitted == 1,
                remaining: left,
                reset_after_ns: reset.saturating_mul(1_000_000),
                retry_after_ns: retry.saturating_mul(1_000_000),
            }
        };
        Some(Reply { outcome, asked, verdicts: told.iter().map(verdict).collect() })
    }
}

/// For how long a refusal is believed without asking again.
pub(crate) fn believed(verdict: &Verdict) -> Duration {
    verdict.retry_after().min(BELIEVED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::limits::plan::Plan;

    fn item(strategy: &str, who: &str, prefix: &str) -> Item {
        let mut limits = config::Limits::for_tests();
        limits.application = "10 per 2 minute".into();
        limits.strategy = strategy.into();
        let plan = Plan::of(&Settings::of(&limits).unwrap()).unwrap();
        let naming = Naming { prefix: prefix.into(), plain: false };
        Item::new(Part::Enforced, &plan.application[0], &naming, who)
    }

    #[test]
    fn keys_are_those_of_flask_limiter() {
        let key = "LIMITS:LIMITER/pf/192.0.2.7/global/10/2/minute";
        for strategy in ["fixed-window", "moving-window"] {
            assert_eq!(item(strategy, "192.0.2.7", "pf").keys()[0], key);
        }
        let sliding = item("sliding-window-counter", "192.0.2.7", "").keys();
        let key = "LIMITS:{LIMITER/192.0.2.7/global/10/2/minute}";
        assert_eq!(sliding, [key.to_owned(), format!("{key}/-1")]);
        let gcra = item("gcra", "unix", "").keys();
        assert_eq!(gcra[0], "MAINSTAY:GCRA:LIMITER/unix/global/10/2/minute");
        let arguments = item("gcra", "unix", "").arguments();
        assert_eq!(arguments, ["gcra", "enforced", "10", "120", "1"]);
    }

    #[test]
    fn a_secret_of_a_header_is_no_key_unless_flask_limiter_is_to_share_it() {
        let who = Who::Value(b"hunter2");
        let naming = |plain| Naming { prefix: String::new(), plain };
        assert_eq!(naming(true).who(&who), "hunter2");
        assert_eq!(naming(false).who(&who), "key#f52fbd32b2b3b86ff88ef6c4");
    }

    #[test]
    fn a_reply_is_read_and_what_is_none_is_not() {
        let reply = Reply::read(&[1, 2, 0, 0, 1_500, 2_000, 1, 7, 0, -1], 2).unwrap();
        assert_eq!((reply.outcome, reply.asked), (Outcome::Refused, 2));
        let [denied, admitted] = reply.verdicts[..] else { panic!() };
        assert_eq!(denied.retry_after(), Duration::from_secs(2));
        assert_eq!((denied.admitted, admitted.admitted, admitted.remaining), (false, true, 7));
        assert_eq!(believed(&denied), Duration::from_secs(2));
        let long = Verdict { retry_after_ns: 86_400_000_000_000, ..denied };
        assert_eq!(believed(&long), Duration::from_secs(60));
        for none in [&[][..], &[2], &[3, 0], &[2, 1], &[2, 0, 1, 1, 1], &[2, 0, 1, 1, 1, 1, 1]] {
            assert_eq!(Reply::read(none, 0), None, "{none:?}");
        }
        assert!(Reply::read(&[2, 0], 0).is_some());
    }
}
