//! Whether the service is well: states, checks with hysteresis, and the answers to probes.

pub(crate) mod answer;
pub(crate) mod state;

pub(crate) use state::State;
