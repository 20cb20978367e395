//! Whether the service is well: states, checks with hysteresis, and the answers to probes.

pub(crate) mod answer;
pub(crate) mod checks;
pub(crate) mod prober;
pub(crate) mod reason;
pub(crate) mod state;

pub(crate) use state::State;

/// The guide's examples are compiled.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../../../../docs/readiness.md")]
struct Guide;
