//! What is counted, and where in the segment: the table of mainstay's own counters, and the metrics of
//! the application.

mod check;
pub(crate) mod exits;
#[cfg(feature = "metrics")]
pub(crate) mod facade;
pub(crate) mod families;
mod handle;
pub(crate) mod label;
pub(crate) mod names;
#[cfg(test)]
mod page;
pub(crate) mod readiness;
pub(crate) mod registry;
pub(crate) mod requests;
pub(crate) mod text;

pub use check::MetricError;
pub use handle::{Counter, Gauge, Histogram, Labelled, Measure, Merge};

/// The guide's examples are compiled.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../../../../docs/metrics.md")]
struct Guide;
