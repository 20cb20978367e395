//! The alert rules. Pure: findings of one look at the service go in, notices come out; no clock, no file, no
//! network. `rule` says what a rule is, `builtin` which there are, `facts` what they look at, `window` how
//! much came in a span of time, `trend` where what fills up is going, `judge` makes findings of both; `instance` is one alert's state, `flap` whether
//! it goes to and fro, `engine` takes a look with all of them and holds back what another one explains; `own` are
//! the operator's; `words` and `prometheus` tell the rules to people and to Prometheus, `alertmanager` what
//! explains what, and `grafana` shows what they look at.

pub(crate) mod alertmanager;
pub(crate) mod builtin;
pub(crate) mod engine;
pub(crate) mod facts;
mod flap;
pub(crate) mod grafana;
pub(crate) mod instance;
pub(crate) mod judge;
pub(crate) mod own;
pub(crate) mod prometheus;
pub(crate) mod rule;
#[cfg(test)]
mod script;
#[cfg(test)]
mod simulation;
pub(crate) mod trend;
pub(crate) mod window;
pub(crate) mod words;

use std::time::Duration;

/// Nanoseconds since the Unix epoch that never go back, not even when the clock does.
pub(crate) type Moment = u64;

/// A span of time as it is added to a moment.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
