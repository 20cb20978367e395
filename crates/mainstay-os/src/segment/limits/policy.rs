//! What a limit is: an algorithm, an amount and a window, checked once so that every state fits its word.

use std::fmt;
use std::time::Duration;

/// Largest amount that a counter holds.
const MAX_AMOUNT: u64 = super::state::MAX_COUNT;
/// Longest window: three years, so that a window's end fits its word for years of uptime.
const MAX_WINDOW: Duration = Duration::from_secs(3 * 366 * 86_400);
/// Shortest time between two admissions of [`Strategy::Gcra`], nanoseconds.
const MIN_INTERVAL: u64 = 1_000;

/// How admissions are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// At most the amount in each window; a window begins with the first admission after the last one
    /// ended, as in the Python package `limits`. Up to twice the amount around a boundary.
    FixedWindow,
    /// At most the amount in any span of a window's length. Amounts above
    /// [`EXACT_AMOUNT`](super::EXACT_AMOUNT) are counted in parts of a 64th of the window, and an
    /// admission then counts for up to a 64th longer.
    MovingWindow,
    /// The present window and as much of the one before as still overlaps. Windows are those that begin at
    /// multiples of their length since the host's start.
    SlidingWindowCounter,
    /// The amount at once, then one in each window's part: the generic cell rate algorithm. Up to twice the
    /// amount in a window.
    Gcra,
}

/// A limit's definition; made by [`Policy::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Policy {
    /// A hash of the definition, the same in every process and program.
    pub id: u64,
    /// How admissions are counted.
    pub strategy: Strategy,
    /// How many are admitted; with 0, none.
    pub amount: u64,
    /// In which time.
    pub window: Duration,
    /// The window in milliseconds.
    pub(super) window_ms: u64,
    /// Time between two admissions, nanoseconds; of [`Strategy::Gcra`] alone.
    pub(super) interval: u64,
}

/// Why there can be no such limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// The amount is larger than this.
    Amount(u64),
    /// The window is no whole number of milliseconds, or 0.
    Window,
    /// The window is longer than this.
    Long(Duration),
    /// More than this many a second, which only [`Strategy::Gcra`] minds.
    Rate(u64),
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyError::Amount(most) => write!(f, "the amount is above {most}"),
            PolicyError::Window => f.write_str("the window is not a whole number of milliseconds"),
            PolicyError::Long(most) => {
                write!(f, "the window is longer than {} days", most.as_secs() / 86_400)
            }
            PolicyError::Rate(most) => write!(f, "more than {most} a second"),
        }
    }
}

impl std::error::Error for PolicyError {}

impl Policy {
    /// Checks a definition.
    ///
    /// # Errors
    /// [`PolicyError`] says which amounts and windows do not fit.
    pub fn new(strategy: Strategy, amount: u64, window: Duration) -> Result<Policy, PolicyError> {
        if amount > MAX_AMOUNT {
            return Err(PolicyError::Amount(MAX_AMOUNT));
        }
        if window.is_zero() || !window.subsec_nanos().is_multiple_of(1_000_000) {
            return Err(PolicyError::Window);
        }
        if window > MAX_WINDOW {
            return Err(PolicyError::Long(MAX_WINDOW));
        }
        let nanos = window.as_secs() * 1_000_000_000 + u64::from(window.subsec_nanos());
        let interval = match (strategy, amount) {
            (Strategy::Gcra, 1..) => (nanos + amount / 2) / amount,
            _ => nanos,
        };
        if interval < MIN_INTERVAL {
            return Err(PolicyError::Rate(1_000_000_000 / MIN_INTERVAL));
        }
        let id = [strategy as u64 + 1, amount, nanos].into_iter().fold(0, spread);
        let window_ms = nanos / 1_000_000;
        Ok(Policy { id, strategy, amount, window, window_ms, interval })
    }
}

/// One round of splitmix64: for telling definitions apart.
fn spread(hash: u64, word: u64) -> u64 {
    let word = (hash ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}
